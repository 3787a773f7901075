"""Times as text in Common Schema events, and back.

UTC, ``YYYY-MM-DDThh:mm:ss``, then the fraction in the fewest of 0, 3, 6 or 9 digits that loses nothing,
then ``Z`` (spec/otel-on-etw.md, section 3).  Releases of the Rust crate before 0.9 ended in ``+00:00``.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_FIRST_SECOND = -62135596800
"""0001-01-01T00:00:00Z, and below it the end of the year 9999: what the text form can say."""
_LAST_SECOND = 253402300799

_TEXT = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,18}))?(?:[Zz]|([+-])(\d\d):?(\d\d))", re.ASCII
)

# The last second formatted, one tuple swapped whole: two threads can never pair the wrong halves.
_last: tuple[int, str] = (0, "1970-01-01T00:00:00")


def time_text(time_unix_nano: int) -> str:
    """The text form of a time; one outside the years 1 to 9999 becomes the nearest that the form can say."""
    global _last
    second, fraction = divmod(time_unix_nano, 1_000_000_000)
    if not _FIRST_SECOND <= second <= _LAST_SECOND:
        second, fraction = (_FIRST_SECOND, 0) if second < 0 else (_LAST_SECOND, 999_999_999)
    known, text = _last
    if known != second:
        text = (_EPOCH + timedelta(seconds=second)).isoformat()[:19]
        _last = (second, text)
    if not fraction:
        return f"{text}Z"
    if fraction % 1_000_000 == 0:
        return f"{text}.{fraction // 1_000_000:03d}Z"
    if fraction % 1_000 == 0:
        return f"{text}.{fraction // 1_000:06d}Z"
    return f"{text}.{fraction:09d}Z"


def parse_time_text(text: str) -> int | None:
    """Unix nanoseconds of an RFC 3339 time (digits after the ninth are cut), or ``None`` if it is none."""
    match = _TEXT.fullmatch(text)
    if match is None:
        return None
    try:
        moment = datetime(*(int(part) for part in match.groups()[:6]), tzinfo=timezone.utc)  # type: ignore[misc,arg-type]
    except ValueError:
        return None
    whole = moment - _EPOCH
    seconds = whole.days * 86400 + whole.seconds
    if match[8]:
        offset = int(match[9]) * 3600 + int(match[10]) * 60
        seconds -= offset if match[8] == "+" else -offset
    return seconds * 1_000_000_000 + int((match[7] or "0")[:9].ljust(9, "0"))
