"""Times as text: the fewest of 0, 3, 6 or 9 digits, and the way back."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from otel_etw.layouts.times import parse_time_text, time_text

SECOND = 1_000_000_000
FIRST = -62135596800 * SECOND
LAST = 253402300799 * SECOND + 999_999_999


@pytest.mark.parametrize(
    ("time_unix_nano", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (1, "1970-01-01T00:00:00.000000001Z"),
        (100, "1970-01-01T00:00:00.000000100Z"),
        (5_000, "1970-01-01T00:00:00.000005Z"),
        (5_000_000, "1970-01-01T00:00:00.005Z"),
        (-1, "1969-12-31T23:59:59.999999999Z"),
        (1773232496789000000, "2026-03-11T12:34:56.789Z"),
        (FIRST, "0001-01-01T00:00:00Z"),
        (FIRST - 1, "0001-01-01T00:00:00Z"),
        (LAST, "9999-12-31T23:59:59.999999999Z"),
        (LAST + 1, "9999-12-31T23:59:59.999999999Z"),
        (-(10**40), "0001-01-01T00:00:00Z"),
        (10**40, "9999-12-31T23:59:59.999999999Z"),
    ],
)
def test_text(time_unix_nano: int, text: str) -> None:
    """Each number of digits, both ends of what the form can say, and what lies beyond them."""
    assert time_text(time_unix_nano) == text


@given(st.integers(FIRST, LAST))
@example(FIRST)
@example(LAST)
def test_parsing_gives_the_time_back(time_unix_nano: int) -> None:
    """Every nanosecond of the years 1 to 9999 survives."""
    assert parse_time_text(time_text(time_unix_nano)) == time_unix_nano


@pytest.mark.parametrize(
    ("text", "time_unix_nano"),
    [
        ("2026-03-11T12:34:56.789+00:00", 1773232496789000000),
        ("2026-03-11T14:34:56.789+02:00", 1773232496789000000),
        ("2026-03-11T12:04:56-00:30", 1773232496000000000),
        ("2026-03-11T12:34:56.1234567891Z", 1773232496123456789),
        ("2026-03-11T12:34:56.5Z", 1773232496500000000),
        ("2026-03-11", None),
        ("2026-02-30T00:00:00Z", None),
        ("2026-03-11T12:34:56", None),
        ("٢٠٢٦-03-11T12:34:56Z", None),
        ("", None),
    ],
)
def test_parsing(text: str, time_unix_nano: int | None) -> None:
    """Offsets of older releases and any number of digits are read; what is no time gives ``None``."""
    assert parse_time_text(text) == time_unix_nano


@given(st.text())
def test_parsing_any_text(text: str) -> None:
    """Any text gives a time or ``None``."""
    found = parse_time_text(text)
    assert found is None or isinstance(found, int)
