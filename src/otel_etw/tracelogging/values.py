"""Python values for Windows types that Python has no type for: FILETIME, SYSTEMTIME and SIDs.

GUIDs are ``uuid.UUID`` and addresses ``ipaddress`` objects, so they need nothing here.
"""

from __future__ import annotations

import re
import struct
from datetime import date, timedelta
from typing import NamedTuple

from otel_etw.errors import DecodeError, EncodeError

UNIX_EPOCH_FILETIME = 116_444_736_000_000_000
"""1970-01-01 UTC in 100 ns ticks since 1601-01-01 UTC."""

TICKS_PER_SECOND = 10_000_000
_TICKS_PER_DAY = 86_400 * TICKS_PER_SECOND

# The Gregorian calendar repeats every 400 years; FILETIME reaches year 30828, datetime.date only 9999.
_DAYS_PER_CYCLE = 146_097
_YEARS_PER_CYCLE = 400
_FIRST_DAY = date(1601, 1, 1)


class FileTime(int):
    """A Windows FILETIME: 100 ns ticks since 1601-01-01 UTC. It is an ``int`` and compares as one."""

    __slots__ = ()

    @classmethod
    def from_unix_nano(cls, unix_nano: int) -> FileTime:
        """The tick that contains ``unix_nano`` (ns since 1970-01-01 UTC); the last two digits are lost."""
        return cls(unix_nano // 100 + UNIX_EPOCH_FILETIME)

    @property
    def unix_nano(self) -> int:
        """Nanoseconds since 1970-01-01 UTC; negative before, and any size."""
        return (int(self) - UNIX_EPOCH_FILETIME) * 100

    def isoformat(self) -> str:
        """``YYYY-MM-DDTHH:MM:SS.fffffffZ``, always seven digits; a year past 9999 simply has five."""
        days, ticks = divmod(int(self), _TICKS_PER_DAY)
        cycles, days = divmod(days, _DAYS_PER_CYCLE)
        day = _FIRST_DAY + timedelta(days=days)
        seconds, fraction = divmod(ticks, TICKS_PER_SECOND)
        minutes, second = divmod(seconds, 60)
        hour, minute = divmod(minutes, 60)
        return (
            f"{day.year + cycles * _YEARS_PER_CYCLE:04d}-{day.month:02d}-{day.day:02d}"
            f"T{hour:02d}:{minute:02d}:{second:02d}.{fraction:07d}Z"
        )

    def __str__(self) -> str:
        return self.isoformat()

    def __repr__(self) -> str:
        return f"FileTime({int(self)}, {self.isoformat()})"


_SYSTEMTIME = struct.Struct("<8H")


class SystemTime(NamedTuple):
    """A Windows SYSTEMTIME: eight u16 in this order, of no stated time zone, not always a valid date."""

    year: int
    month: int
    day_of_week: int
    """0 is Sunday."""
    day: int
    hour: int
    minute: int
    second: int
    millisecond: int

    def isoformat(self) -> str:
        """``YYYY-MM-DDTHH:MM:SS.mmm`` from the numbers as they are; no zone, since none is known."""
        return (
            f"{self.year:04d}-{self.month:02d}-{self.day:02d}"
            f"T{self.hour:02d}:{self.minute:02d}:{self.second:02d}.{self.millisecond:03d}"
        )

    def to_bytes(self) -> bytes:
        """The 16 bytes of the Windows structure; ``struct.error`` for a member outside u16."""
        return _SYSTEMTIME.pack(*self)

    @classmethod
    def from_bytes(cls, data: bytes) -> SystemTime:
        """From exactly 16 bytes."""
        return cls._make(_SYSTEMTIME.unpack(data))


SID_HEADER_BYTES = 8
_SID_TEXT = re.compile(r"S-(\d{1,3})-(\d{1,15}|0x[0-9a-f]{1,12})((?:-\d{1,10})*)", re.IGNORECASE | re.ASCII)


def sid_size(data: bytes, offset: int = 0) -> int:
    """Bytes of the SID at ``offset``: 8 + 4 for each sub-authority; two bytes must be there."""
    return SID_HEADER_BYTES + 4 * data[offset + 1]


def sid_text(data: bytes) -> str:
    """The customary text of a SID (``S-1-5-18``); ``DecodeError`` if ``data`` is not exactly one SID.

    As Windows writes it: an authority of 2**32 or more in hexadecimal, the rest decimal.
    """
    if len(data) < SID_HEADER_BYTES or len(data) != sid_size(data):
        raise DecodeError(f"expected a SID of 8 bytes and 4 for each sub-authority, found {len(data)} bytes")
    authority = int.from_bytes(data[2:8], "big")
    parts = struct.unpack_from(f"<{data[1]}I", data, SID_HEADER_BYTES)
    shown = str(authority) if authority < 1 << 32 else f"0x{authority:012X}"
    return "-".join(("S", str(data[0]), shown, *map(str, parts)))


def sid_bytes(text: str) -> bytes:
    """The binary SID that ``text`` names; ``EncodeError`` if it names none."""
    match = _SID_TEXT.fullmatch(text)
    if match is None:
        raise EncodeError(f"expected a SID such as 'S-1-5-18', found {text!r}")
    revision, shown, rest = match.groups()
    authority = int(shown, 16 if shown[:2] in ("0x", "0X") else 10)
    parts = [int(part) for part in rest.split("-")[1:]]
    if int(revision) > 0xFF or authority >> 48 or len(parts) > 0xFF or any(part >> 32 for part in parts):
        raise EncodeError(f"a number of the SID {text!r} is out of range")
    return struct.pack(f"<BB6s{len(parts)}I", int(revision), len(parts), authority.to_bytes(6, "big"), *parts)
