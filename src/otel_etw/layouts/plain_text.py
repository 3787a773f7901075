"""Any Python object as text that has an encoding, without ever raising.

What reaches an exporter comes from the application: strings with lone surrogates, integers of
a million digits, objects whose ``__str__`` fails.  Each function here gives a stated text for such
a value, and the plain one for all others.
"""

from __future__ import annotations

import re
from decimal import Decimal

REPLACEMENT = "\ufffd"
"""U+FFFD, what stands for a character that cannot be encoded."""

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def clean_text(text: str) -> str:
    """``text`` with every lone surrogate replaced by U+FFFD, so that it has a UTF-8 form."""
    if text.isascii():
        return text
    return _LONE_SURROGATE.sub(REPLACEMENT, text)


def utf8(text: str) -> bytes:
    """``text`` in UTF-8, lone surrogates replaced by U+FFFD."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return clean_text(text).encode()


def clean_name(name: object) -> str:
    """A field or event name: text without NUL (which ends a name on the wire) and without lone surrogates."""
    text = text_of(name)
    return text.replace("\0", REPLACEMENT) if "\0" in text else text


def integer_text(number: int) -> str:
    """Decimal digits; hexadecimal (``0x...``) where Python refuses to convert that many of them."""
    try:
        return int.__repr__(number)
    except ValueError:
        return hex(number)


def double_text(number: float) -> str:
    """A double without an exponent and without a needless fraction (``1``, ``2.5``, ``inf``, ``NaN``).

    The spelling of Rust's ``Display``, which the reference uses where a number stands for a name.
    """
    if number != number:
        return "NaN"
    text = float.__repr__(number)
    if "e" in text:
        text = format(Decimal(text), "f")
    return text[:-2] if text.endswith(".0") else text


def text_of(value: object) -> str:
    """``str(value)``, clean; the name of its type if that fails.

    Text of a type of its own is its characters, whatever ``str()`` makes of it: an enumeration whose members
    are text has another answer in each version of Python.
    """
    try:
        return clean_text(str.__str__(value) if issubclass(type(value), str) else str(value))
    except Exception:  # noqa: BLE001 - whatever the application's object raises
        return clean_text(type(value).__name__)


def cut_utf8(data: bytes, limit_bytes: int) -> bytes:
    """The longest beginning of UTF-8 text of at most ``limit_bytes`` that splits no character."""
    if len(data) <= limit_bytes:
        return data
    end = max(limit_bytes, 0)
    while end and data[end] & 0xC0 == 0x80:
        end -= 1
    return data[:end]
