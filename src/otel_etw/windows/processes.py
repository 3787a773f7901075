"""Whether a process is still there."""

from __future__ import annotations

import ctypes
import os

from otel_etw.windows.error_codes import ErrorCode, WindowsCallError
from otel_etw.windows.libraries import bind, last_error

_SYNCHRONIZE = 0x00100000
_STILL_RUNS = 0x00000102  # WAIT_TIMEOUT
_ANSWERS: dict[int, bool] = {ErrorCode.ACCESS_DENIED: True, ErrorCode.INVALID_PARAMETER: False}
"""What it means that a process cannot be opened: that it is another user's, or is not there."""


def process_runs(process_id: int) -> bool | None:
    """Whether a process of that id runs; ``None`` where that cannot be found out."""
    if os.name == "nt":  # where os.kill would not ask, but kill
        return _runs_on_windows(process_id)
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return None
    return True


def _runs_on_windows(process_id: int) -> bool | None:
    u32, handle_type = ctypes.c_uint32, ctypes.c_void_p
    if process_id > 0xFFFFFFFF:  # of which another process' id would be left
        return None
    try:
        opened = bind("kernel32", "OpenProcess", handle_type, (u32, u32, u32))
        wait = bind("kernel32", "WaitForSingleObject", u32, (handle_type, u32))
        close = bind("kernel32", "CloseHandle", u32, (handle_type,))
    except WindowsCallError:
        return None
    handle = opened(_SYNCHRONIZE, 0, process_id)
    if not handle:
        return _ANSWERS.get(last_error())
    try:
        return bool(wait(handle, 0) == _STILL_RUNS)
    finally:
        close(handle)
