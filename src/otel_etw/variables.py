"""One environment variable: how its text becomes a value, and what is said of a text that does not.

An invalid value never fails the application: it is one warning (logger ``otel_etw``), and the default is
used.  The functions here make parsers, which raise ``ValueError`` with what was expected.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar
from uuid import UUID

from otel_etw.sessions.sizes import size_in_bytes

_PREFIX = "OTEL_EXPORTER_ETW_"
_MAX_SHOWN_CHARACTERS = 80

_logger = logging.getLogger("otel_etw")
_T = TypeVar("_T")

# Variable -> the value of it that was last complained about: every exporter of a process reads the same ones.
_complained: dict[str, str] = {}


@dataclass(frozen=True)
class Variable(Generic[_T]):
    """One row of the table.

    ``parse`` makes a value of the text, or raises ``ValueError`` with what was expected.  The rest is for
    people: ``values`` that it takes, the ``unset`` value in words, what it means and to whom.
    """

    suffix: str
    parse: Callable[[str], _T]
    default: _T
    values: str
    unset: str
    meaning: str
    used_by: str

    @property
    def name(self) -> str:
        """The variable's whole name."""
        return _PREFIX + self.suffix

    def read(self, parse: Callable[[str], _T] | None = None) -> _T:
        """The value it has now; the default where it is unset or invalid. Never raises."""
        text = os.environ.get(self.name)
        if not text:
            return self.default
        try:
            return (parse or self.parse)(text)
        except ValueError as error:
            complain(self.name, text, str(error), self.unset.strip("`"))
            return self.default


def complain(name: str, text: str, problem: str, used_instead: str) -> None:
    """Log what is wrong with a variable, once for each text that it has."""
    if _complained.get(name) == text:
        return
    _complained[name] = text
    shown = text if len(text) <= _MAX_SHOWN_CHARACTERS else text[:_MAX_SHOWN_CHARACTERS] + "..."
    try:
        _logger.warning("%s is %r: %s; using %s instead", name, shown, problem, used_instead)
    except Exception:  # noqa: BLE001, S110 - a broken log handler is not ours to mend, nor to fall over
        pass


def boolean(text: str) -> bool:
    """``true`` or ``false``, as OpenTelemetry has them."""
    word = text.strip().lower()
    if word not in ("true", "false"):
        raise ValueError("expected true or false")
    return word == "true"


def choice(*words: str) -> Callable[[str], str]:
    """One of the words, in any letter case."""

    def parse(text: str) -> str:
        word = text.strip().lower()
        if word not in words:
            raise ValueError(f"expected {', '.join(words[:-1])} or {words[-1]}")
        return word

    return parse


def whole_number(smallest: int, largest: int) -> Callable[[str], int]:
    """A decimal number within both bounds."""

    def parse(text: str) -> int:
        digits = text.strip()
        if not re.fullmatch(r"[0-9]{1,20}", digits) or not smallest <= int(digits) <= largest:
            raise ValueError(f"expected a whole number from {smallest} to {largest}")
        return int(digits)

    return parse


def mask(text: str) -> int:
    """An unsigned 64-bit number, decimal or with ``0x`` hexadecimal."""
    digits = text.strip()
    if re.fullmatch(r"0[xX][0-9a-fA-F]{1,16}", digits):
        return int(digits, 16)
    if re.fullmatch(r"[0-9]{1,20}", digits) and int(digits) < 2**64:
        return int(digits)
    raise ValueError("expected an unsigned 64-bit mask, decimal or with 0x hexadecimal")


def byte_count(smallest: int, multiple_of: int = 1, largest: int = 1 << 62) -> Callable[[str], int]:
    """A size as :func:`~otel_etw.sessions.sizes.size_in_bytes` takes it, within both bounds."""

    def parse(text: str) -> int:
        size = size_in_bytes(text)
        if not smallest <= size <= largest or size % multiple_of:
            steps = f", a multiple of {multiple_of}" if multiple_of > 1 else ""
            raise ValueError(f"expected {smallest} to {largest} bytes{steps}")
        return size

    return parse


def guid(text: str) -> UUID | None:
    """A GUID, or ``none``."""
    if text.strip().lower() == "none":
        return None
    try:
        return UUID(text.strip())
    except ValueError:
        raise ValueError("expected a GUID such as edc24920-e004-40f6-a8e1-0e6e48f39d84, or none") from None


def keys(text: str) -> frozenset[str]:
    """Keys of attributes, separated by commas."""
    return frozenset(key.strip() for key in text.split(",") if key.strip())
