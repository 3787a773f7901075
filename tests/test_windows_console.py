"""Closing the console's window: what is called then, and how long Windows is kept waiting."""

from __future__ import annotations

import ctypes
import threading

import pytest

from otel_etw.cli.stopping import StopSignals
from otel_etw.windows import console
from otel_etw.windows.console import CTRL_CLOSE, CTRL_LOGOFF, CTRL_SHUTDOWN, ConsoleEnd
from otel_etw.windows.libraries import function_type


class Kernel:
    """``kernel32`` with one function: remembers the handlers that are set, which have Windows' signature."""

    def __init__(self) -> None:
        self.handlers: list[int] = []
        self.set_handler = function_type(ctypes.c_int32, ctypes.c_void_p, ctypes.c_int32)(self._set)

    def __getitem__(self, name: str) -> object:
        assert name == "SetConsoleCtrlHandler"
        return self.set_handler

    def _set(self, handler: int, adds: int) -> int:
        (self.handlers.append if adds else self.handlers.remove)(handler)
        return 1

    def call(self, event: int) -> int:
        """As Windows does it, by address."""
        (handler,) = self.handlers
        return int(function_type(ctypes.c_int32, ctypes.c_uint32)(handler)(event))


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    kernel = Kernel()
    monkeypatch.setattr(ctypes, "WinDLL", lambda name, **options: kernel, raising=False)
    return kernel


def test_the_end_of_the_console_is_noticed_and_nothing_else(kernel: Kernel) -> None:
    """Ctrl-C and Ctrl-Break (0 and 1) go on to Python's own handler."""
    calls: list[None] = []
    with ConsoleEnd(lambda: calls.append(None)):
        assert [kernel.call(event) for event in (CTRL_CLOSE, CTRL_LOGOFF, CTRL_SHUTDOWN)] == [1, 1, 1]
        assert len(calls) == 3
        assert [kernel.call(event) for event in (0, 1)] == [0, 0]
    assert len(calls) == 3
    assert kernel.handlers == []


def test_windows_waits_until_a_command_has_cleaned_up(kernel: Kernel) -> None:
    """The handler returns when the block that stops the session has been left."""
    order = []
    with StopSignals() as signals:
        closing = threading.Thread(target=lambda: order.append(f"handler answered {kernel.call(CTRL_CLOSE)}"))
        closing.start()
        assert signals.wait(30)
        order.append("session stopped")
    closing.join(30)
    assert order == ["session stopped", "handler answered 1"]


def test_windows_is_not_kept_waiting_for_ever(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would end the process after five seconds in any case."""
    monkeypatch.setattr("otel_etw.windows.console.GRACE_S", 0.01)
    with StopSignals() as signals:
        assert kernel.call(CTRL_CLOSE) == 1
        assert signals.is_asked


def test_without_such_a_function_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other systems have no such event."""
    monkeypatch.delattr(ctypes, "WinDLL", raising=False)
    with ConsoleEnd(lambda: None):
        pass
    assert console.GRACE_S < 5
