"""How a command that goes on until it is told to stop is told so: Ctrl-C, signals, a duration."""

from __future__ import annotations

import re
import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Any, final

import click

_UNITS_S = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)\s*([smhd]?)", re.ASCII)
_LONGEST_S = 366 * 86400.0
_LOOK_S = 0.2  # Windows runs no Python handler while a thread waits, so it never waits long


def parsed_duration(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """Callback of an option: seconds of ``90``, ``90s``, ``1.5m``, ``2h``, ``1d``; a year at most."""
    if value is None:
        return None
    match = _DURATION.fullmatch(value.strip().lower())
    seconds = float(match[1]) * _UNITS_S[match[2]] if match else 0.0
    if not 0 < seconds <= _LONGEST_S:
        raise click.BadParameter(f"expected a duration such as 90s, 5m or 2h, found {value!r}")
    return seconds


@final
class StopSignals:
    """While open, Ctrl-C, SIGTERM and Ctrl-Break ask to stop, and nothing is interrupted by them.

    So does closing the console's window: Windows ends the process once this is closed.  Only the main thread
    can open it.
    """

    def __init__(self, duration_s: float | None = None) -> None:
        """With ``duration_s`` the time asks, too, that long after the start."""
        from otel_etw.windows import console

        self._event = threading.Event()
        self._closed = threading.Event()
        self._grace_s = console.GRACE_S
        self._console = console.ConsoleEnd(self._ask_and_wait)
        self._deadline = None if duration_s is None else time.monotonic() + duration_s
        self._earlier: dict[int, Any] = {}

    def __enter__(self) -> StopSignals:
        for name in ("SIGINT", "SIGTERM", "SIGBREAK"):
            number = getattr(signal, name, None)
            if number is not None:
                self._earlier[number] = signal.signal(number, self._ask)
        self._console.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed.set()
        self._console.__exit__(kind, error, trace)
        for number, handler in self._earlier.items():
            # None is for a handler that was not set from Python, which cannot be set again.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    @property
    def is_asked(self) -> bool:
        """Whether it is time to stop."""
        return self._event.is_set() or (self._deadline is not None and time.monotonic() >= self._deadline)

    def wait(self, seconds: float) -> bool:
        """Wait for so long or until asked to stop; whether it is time to stop."""
        end = time.monotonic() + seconds
        if self._deadline is not None:
            end = min(end, self._deadline)
        while not self._event.is_set() and (left := end - time.monotonic()) > 0:
            self._event.wait(min(left, _LOOK_S))
        return self.is_asked

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self._event.set()

    def _ask_and_wait(self) -> None:
        self._event.set()
        self._closed.wait(self._grace_s)
