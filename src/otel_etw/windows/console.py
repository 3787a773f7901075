"""The end of a console: its window is closed, or the user logs off. Windows ends the process soon after."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from types import TracebackType
from typing import Any, final

from otel_etw.windows.error_codes import WindowsCallError
from otel_etw.windows.libraries import bind, function_type

CTRL_CLOSE, CTRL_LOGOFF, CTRL_SHUTDOWN = 2, 5, 6
"""``CTRL_CLOSE_EVENT`` and its kin."""

GRACE_S = 4.0
"""Windows waits five seconds for a handler, then ends the process all the same."""


@final
class ConsoleEnd:
    """While open, ``clean_up`` is called when the console ends, in a thread of Windows' own.

    The process goes on until it returns, for some :data:`GRACE_S` seconds.  Ctrl-C and Ctrl-Break are left to
    Python.  Where no handler can be had nothing is called.
    """

    def __init__(self, clean_up: Callable[[], None]) -> None:
        self._clean_up = clean_up
        # Windows has its address until the handler is taken away again.
        self._handler = function_type(ctypes.c_int32, ctypes.c_uint32)(self._handle)
        self._set_handler: Any = None

    def __enter__(self) -> ConsoleEnd:
        try:
            set_handler = bind(
                "kernel32", "SetConsoleCtrlHandler", ctypes.c_int32, (ctypes.c_void_p, ctypes.c_int32)
            )
        except WindowsCallError:
            return self
        if set_handler(self._handler, True):
            self._set_handler = set_handler
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._set_handler is not None:
            self._set_handler(self._handler, False)
            self._set_handler = None

    def _handle(self, event: int) -> int:
        """What Windows calls; whether the event needs no other handler."""
        if event not in (CTRL_CLOSE, CTRL_LOGOFF, CTRL_SHUTDOWN):
            return False
        self._clean_up()
        return True
