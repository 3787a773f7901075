"""Raw timestamps to UTC: every clock kind, with integer arithmetic."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_etw.etl.clock import Clock, clock_of, filetime_to_unix_nano, unix_nano_to_filetime

START = 133_000_000_000_000_000


def clock(clock_type: int, perf_freq: int = 10_000_000, cpu_mhz: int = 2000) -> Clock:
    return clock_of(clock_type, first_raw=1000, start_filetime=START, perf_freq_hz=perf_freq, cpu_mhz=cpu_mhz)


@pytest.mark.parametrize(
    ("clock_type", "perf_freq", "cpu_mhz", "ticks", "steps_of_100ns"),
    [
        (1, 10_000_000, 2000, 12_345_678, 12_345_678),
        (1, 3_000_000, 2000, 1, 3),
        (1, 3_000_000, 2000, 2, 6),
        (1, 3_000_000, 2000, -1, -4),
        (1, 24_000_000, 2000, 23, 9),
        (1, 3_579_545, 2000, 3_579_545 * 10**6, 10**13),
        (2, 3_000_000, 2000, 77, 77),
        (2, 0, 0, -77, -77),
        (3, 10_000_000, 2000, 199, 0),
        (3, 10_000_000, 2000, 200, 1),
        (3, 10_000_000, 3592, 3592 * 10**6, 10**7),
        (3, 10_000_000, 2000, -1, -1),
        (0, 3_000_000, 2000, 3, 10),
        (0, 0, 2000, 3, 3),
        (9, 3_000_000, 2000, 3, 10),
        (1, 0, 2000, 5, 5),
        (3, 10_000_000, 0, 5, 5),
    ],
)
def test_each_clock_kind_counts_100ns_steps_rounded_down(
    clock_type: int, perf_freq: int, cpu_mhz: int, ticks: int, steps_of_100ns: int
) -> None:
    converted = clock(clock_type, perf_freq, cpu_mhz).filetime(1000 + ticks)
    assert converted == START + steps_of_100ns


def test_unix_nanoseconds_keep_the_last_digit() -> None:
    assert filetime_to_unix_nano(116_444_736_000_000_001) == 100
    assert clock(1).unix_nano(1001) == (START - 116_444_736_000_000_000) * 100 + 100


@given(st.integers(-(2**62), 2**62))
def test_filetime_and_unix_nanoseconds_are_inverse(filetime: int) -> None:
    assert unix_nano_to_filetime(filetime_to_unix_nano(filetime)) == filetime


@given(
    st.integers(0, 4),
    st.integers(0, 2**64 - 1),
    st.integers(0, 2**32 - 1),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-(2**63), 2**63 - 1),
)
def test_later_raw_times_are_never_earlier_in_utc(
    clock_type: int, perf_freq: int, cpu_mhz: int, one: int, other: int
) -> None:
    made = clock(clock_type, perf_freq, cpu_mhz)
    early, late = sorted((one, other))
    assert made.filetime(early) <= made.filetime(late)


@given(st.integers(0, 3), st.integers(1, 2**40), st.integers(1, 10_000), st.integers(0, 2**62))
def test_raw_gives_the_latest_raw_time_not_after(
    clock_type: int, perf_freq: int, cpu_mhz: int, filetime: int
) -> None:
    made = clock(clock_type, perf_freq, cpu_mhz)
    raw = made.raw(filetime)
    assert made.filetime(raw) <= filetime
    ticks_after_start = raw + 1 - made.first_raw
    assert ticks_after_start * made.numerator > (filetime - made.start_filetime) * made.denominator
