"""Raw timestamps of a trace <-> UTC. Pure integer arithmetic: floats lose the last digits.

A trace states the raw clock value ``T0`` of its first record and the UTC time ``S`` of the same
moment; an event at raw time ``t`` happened at ``S + (t - T0)`` in the clock's unit.  The primary
value is a FILETIME, the number of 100 ns steps since 1601-01-01 UTC; ``datetime`` would drop the
last digit of it.
"""

from __future__ import annotations

from dataclasses import dataclass

from otel_etw.etl.layout import ClockType
from otel_etw.tracelogging.values import TICKS_PER_SECOND, UNIX_EPOCH_FILETIME


def filetime_to_unix_nano(filetime: int) -> int:
    """FILETIME -> nanoseconds since 1970-01-01 UTC (negative before it)."""
    return (filetime - UNIX_EPOCH_FILETIME) * 100


def unix_nano_to_filetime(unix_nano: int) -> int:
    """Nanoseconds since 1970-01-01 UTC -> FILETIME, rounded down to 100 ns."""
    return unix_nano // 100 + UNIX_EPOCH_FILETIME


@dataclass(frozen=True)
class Clock:
    """The clock of one trace: raw value ``first_raw`` is UTC ``start_filetime``, and
    ``denominator`` raw ticks last ``numerator`` steps of 100 ns."""

    first_raw: int
    start_filetime: int
    numerator: int
    denominator: int

    def filetime(self, raw: int) -> int:
        """UTC of raw time ``raw``, rounded down to 100 ns."""
        return self.start_filetime + (raw - self.first_raw) * self.numerator // self.denominator

    def unix_nano(self, raw: int) -> int:
        """UTC of raw time ``raw`` as Unix nanoseconds (a multiple of 100)."""
        return filetime_to_unix_nano(self.filetime(raw))

    def raw(self, filetime: int) -> int:
        """The latest raw time that is not after ``filetime``."""
        return self.first_raw + (filetime - self.start_filetime) * self.denominator // self.numerator


def clock_of(
    clock_type: int, *, first_raw: int, start_filetime: int, perf_freq_hz: int, cpu_mhz: int
) -> Clock:
    """The clock that a trace header describes (``ReservedFlags`` is ``clock_type``).

    An unknown type is taken as QPC; a rate of 0, which only a damaged header can state, as
    100 ns steps, so that every trace has a usable clock.
    """
    numerator, denominator = TICKS_PER_SECOND, perf_freq_hz
    if clock_type == ClockType.CPU_CYCLE:
        numerator, denominator = 10, cpu_mhz
    if clock_type == ClockType.SYSTEM_TIME or denominator == 0:
        numerator, denominator = 1, 1
    return Clock(first_raw, start_filetime, numerator, denominator)
