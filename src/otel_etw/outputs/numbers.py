"""Numbers, times and byte counts as people read them."""

from __future__ import annotations

import math
from datetime import datetime, timedelta, timezone

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_UNITS = ((1, "ns"), (10**3, "us"), (10**6, "ms"), (10**9, "s"))
_BINARY_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def number_text(value: float | None, digits: int = 4) -> str:
    """Integers in full with thousands separators, others with ``digits`` significant ones; ``-`` for none."""
    if value is None:
        return "-"
    if isinstance(value, int):
        return f"{value:,}"
    if not math.isfinite(value):
        return str(value)
    if value == 0 or 1e-4 <= abs(value) < 1e4:
        return f"{value:.{digits}g}" if abs(value) < 10**digits else f"{value:,.0f}"
    return f"{value:,.0f}" if 1e4 <= abs(value) < 1e12 else f"{value:.{digits - 1}e}"


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """``1 event``, ``2,000 events``."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def bytes_text(count: int) -> str:
    """A byte count in binary units, such as ``64 KiB``; exact below 1 KiB."""
    size = float(count)
    for unit in _BINARY_UNITS:
        if size < 1024 or unit == _BINARY_UNITS[-1]:
            break
        size /= 1024
    return f"{size:.4g} {unit}"


def duration_text(nanoseconds: int) -> str:
    """A length of time in its natural unit: ``12.3 ms``, ``4.2 s``, ``1:02:03``, ``2 days 01:00:00``."""
    if nanoseconds < 0:
        return "-" + duration_text(-nanoseconds)
    if nanoseconds < 60 * 10**9:
        unit_ns, unit = next(pair for pair in _UNITS if nanoseconds < 999.5 * pair[0])
        return f"{nanoseconds / unit_ns:.3g} {unit}"
    days, seconds = divmod(nanoseconds // 10**9, 86400)
    clock = f"{seconds // 3600}:{seconds % 3600 // 60:02}:{seconds % 60:02}"
    return f"{days} day{'s' if days > 1 else ''} {clock}" if days else clock


def time_text(time_unix_nano: int, *, digits: int = 3, local: bool = False) -> str:
    """``YYYY-MM-DD hh:mm:ss.fff``, UTC unless ``local``, the fraction cut to ``digits`` (0 to 9) digits.

    A time that no calendar reaches (years 1 to 9999) is shown as its nanoseconds with ``ns``.
    """
    seconds, nanoseconds = divmod(time_unix_nano, 10**9)
    try:
        moment = _EPOCH + timedelta(seconds=seconds)
        moment = moment.astimezone() if local else moment
    except (OverflowError, ValueError, OSError):
        return f"{time_unix_nano}ns"
    text = moment.strftime("%H:%M:%S")
    fraction = f".{nanoseconds:09}"[: digits + 1] if digits else ""
    return f"{moment.year:04}-{moment.month:02}-{moment.day:02} {text}{fraction}"


def iso_time(time_unix_nano: int) -> str:
    """ISO 8601 in UTC with nine fraction digits and ``Z``, for machines."""
    text = time_text(time_unix_nano, digits=9)
    return text if text.endswith("ns") else text.replace(" ", "T") + "Z"
