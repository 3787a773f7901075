"""Text from a trace, made safe to show.

Whoever can write an event decides what its strings hold: terminal escapes, line breaks that
imitate further rows, characters that reverse what follows. Everything that reaches a terminal
passes through :func:`printable` (or :func:`value_text`, which uses it); JSON lines pass through
:func:`json_line`. An escaped character is shown as Python writes it (``\\x1b``, ``\\u202e``);
a backslash of the text itself stays single, because Windows paths are full of them, so the
display does not tell an escaped character from its spelled-out form. JSON lines do.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from otel_etw.tables.json_values import json_value

_UNSAFE = (
    "\x00-\x1f\x7f-\x9f"  # C0, DEL, C1: what terminals obey
    "\u00ad\u180e\u200b\u2060-\u2065\ufeff"  # invisible: two different keys would look alike
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u206f"  # directional marks, embeddings, overrides, isolates
    "\u2028\u2029"  # line and paragraph separator
    "\ufff9-\ufffb"  # interlinear annotations
    "\ud800-\udfff"  # lone surrogates: not encodable
    "\U000e0000-\U000e007f"  # tag characters
)
_UNSAFE_CHARACTER = re.compile(f"[{_UNSAFE}]")
_LINE_BREAK = re.compile("\r\n|[\n\r]")
_NEEDS_QUOTES = re.compile(r"[\s\"=]|^$")

SHOWN_BYTES = 32
"""A longer binary value is shown by its first bytes and its length."""


def printable(text: str) -> str:
    """``text`` on one line, with every character escaped that a terminal would act on or not show."""
    if text.isascii() and text.isprintable():
        return text
    return _UNSAFE_CHARACTER.sub(_escaped, text)


def lines_of(text: str) -> list[str]:
    """The lines of ``text`` (broken at CR, LF and CR LF only), each made :func:`printable`; at least one.

    A tab becomes four spaces, since these lines are shown as a block.
    """
    return [printable(line.replace("\t", "    ")) for line in _LINE_BREAK.split(text)]


def is_multiline(value: object) -> bool:
    """Whether ``value`` is text that would be shown on several lines."""
    return isinstance(value, str) and ("\n" in value or "\r" in value)


def value_text(value: object) -> str:
    """A decoded value as one line of safe text: numbers and plain words bare, other text quoted.

    Bytes are hexadecimal with ``0x``, lists and maps compact JSON, non-finite numbers ``nan``, ``inf``.
    """
    if isinstance(value, str):
        return _quoted(value) if _NEEDS_QUOTES.search(value) else printable(value)
    return plain_text(value)


def plain_text(value: object) -> str:
    """As :func:`value_text`, but text is never quoted: for places that hold one value only."""
    if isinstance(value, str):
        return printable(value)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (bytes, bytearray, memoryview)):
        return _bytes_text(bytes(value))
    if hasattr(value, "isoformat"):  # before tuples and numbers: Windows' times are such
        return printable(str(value.isoformat()))
    if isinstance(value, (Mapping, list, tuple)):
        return printable(json.dumps(json_value(value), ensure_ascii=False, separators=(",", ":")))
    return printable(str(value))


def json_line(document: object, *, ascii_only: bool = False) -> str:
    """``document`` as one line of JSON in which every unsafe character is a ``\\u`` escape."""
    return escaped_json(json.dumps(json_value(document), ensure_ascii=ascii_only, separators=(",", ":")))


def escaped_json(text: str) -> str:
    """JSON without line breaks, with every unsafe character in it a ``\\u`` escape."""
    return _UNSAFE_CHARACTER.sub(_json_escaped, text)


def _quoted(text: str) -> str:
    return _UNSAFE_CHARACTER.sub(_escaped, json.dumps(text, ensure_ascii=False))


def _bytes_text(data: bytes) -> str:
    if len(data) <= SHOWN_BYTES:
        return f"0x{data.hex()}"
    return f"0x{data[:SHOWN_BYTES].hex()}... ({len(data)} bytes)"


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    short = {0x09: "\\t", 0x0A: "\\n", 0x0D: "\\r"}.get(code)
    if short:
        return short
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def _json_escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code <= 0xFFFF:
        return f"\\u{code:04x}"
    high, low = divmod(code - 0x10000, 0x400)
    return f"\\u{0xD800 + high:04x}\\u{0xDC00 + low:04x}"
