"""Points in time and levels as people type them, on a command line or as an argument. Pure."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

from otel_etw.tracelogging.types import LEVEL_NUMBERS

_UNITS_NS = {"s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9, "d": 86400 * 10**9, "w": 7 * 86400 * 10**9}
_AGO = re.compile(r"(\d{1,12}(?:\.\d{1,12})?)\s*([smhdw])(?:\s+ago)?", re.ASCII)
_ISO = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?)?\s*(Z|[+-]\d\d:?\d\d)?",
    re.ASCII | re.IGNORECASE,
)
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def parse_time(text: str, *, now_unix_nano: int, local: bool = False) -> int:
    """Unix nanoseconds of ``2026-03-11``, ``2026-03-11T12:34[:56.789]``, the same with ``Z`` or ``+01:00``.

    ``10m`` is that long before now (s, m, h, d, w). Without a zone the time is UTC, or the machine's own if
    ``local``. Raises ``ValueError`` with what was expected.
    """
    ago = _AGO.fullmatch(text.strip().lower())
    if ago:
        return now_unix_nano - int(float(ago[1]) * _UNITS_NS[ago[2]])
    match = _ISO.fullmatch(text.strip())
    if not match:
        raise ValueError(f"expected a time such as 2026-03-11T12:34:56Z, 2026-03-11 or 10m, found {text!r}")
    year, month, day, hour, minute, second = (int(part or 0) for part in match.groups()[:6])
    try:
        moment = datetime(year, month, day, hour, minute, second, tzinfo=_zone(match[8], local))
        moment = moment.astimezone(timezone.utc)
    except (ValueError, OverflowError, OSError) as problem:
        raise ValueError(f"{text!r} is no time: {problem}") from None
    return (moment - _EPOCH) // timedelta(seconds=1) * 10**9 + int((match[7] or "").ljust(9, "0"))


def parse_level(text: str) -> int:
    """The number of a level given by name or number. Raises ``ValueError``."""
    if text.isascii() and text.isdigit() and 1 <= int(text) <= 255:
        return int(text)
    if text.lower() in LEVEL_NUMBERS:
        return LEVEL_NUMBERS[text.lower()]
    raise ValueError(f"expected critical, error, warning, info, verbose or 1 to 255, found {text!r}")


def _zone(text: str | None, local: bool) -> timezone | None:
    if text is None:
        return None if local else timezone.utc
    if text in "Zz":
        return timezone.utc
    hours, minutes = int(text[1:3]), int(text[-2:])
    offset = timedelta(hours=hours, minutes=minutes)
    return timezone(-offset if text[0] == "-" else offset)
