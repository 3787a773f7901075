"""The session's side of ETW (``evntrace.h``): starting, enabling, asking, stopping, consuming."""

from __future__ import annotations

import ctypes
from typing import Any, NamedTuple

from otel_etw.windows.libraries import bind, function_type

LIBRARY = "advapi32"

QUERY, STOP, UPDATE, FLUSH = 0, 1, 2, 3
"""``EVENT_TRACE_CONTROL_*``."""

INVALID_PROCESSTRACE_HANDLE = 0xFFFFFFFFFFFFFFFF
INVALID_PROCESSTRACE_HANDLE_32 = 0x00000000FFFFFFFF
"""What ``OpenTraceW`` answers when it fails, in 64-bit and in 32-bit processes."""


def record_callback_type() -> Any:
    """``PEVENT_RECORD_CALLBACK``: address of an ``EVENT_RECORD``, valid during the call only."""
    return function_type(None, ctypes.c_void_p)


def buffer_callback_type() -> Any:
    """``PEVENT_TRACE_BUFFER_CALLBACKW``: address of the ``EVENT_TRACE_LOGFILEW``; 0 ends ``ProcessTrace``."""
    return function_type(ctypes.c_uint32, ctypes.c_void_p)


class ControlFunctions(NamedTuple):
    """Starting, enabling, asking and stopping; each answers a code."""

    start_trace: Any
    """byref(c_uint64) for the handle, name (UTF-16 with NUL), properties."""
    control_trace: Any
    """Handle or 0, name or ``None``, properties, what to do."""
    enable_trace: Any
    """``EnableTraceEx2``: handle, GUID (16 bytes), code, level, both masks, timeout in ms, parameters."""
    query_all_traces: Any
    """Array of pointers to properties, how many, byref(c_uint32) for how many there are."""


class ConsumerFunctions(NamedTuple):
    """Receiving events."""

    open_trace: Any
    """byref(EventTraceLogfile) -> handle, or the invalid one and ``ctypes.get_last_error``."""
    process_trace: Any
    """Array of handles, how many, start and end (``None``). Blocks."""
    close_trace: Any
    """Handle."""


def control_functions() -> ControlFunctions:
    """Looked up anew at each call, so keep them. Raises :class:`.WindowsCallError` where there are none."""
    u8, u32, u64, pointer = ctypes.c_uint8, ctypes.c_uint32, ctypes.c_uint64, ctypes.c_void_p
    guid, text = ctypes.c_char_p, ctypes.c_char_p
    return ControlFunctions(
        bind(LIBRARY, "StartTraceW", u32, (pointer, text, pointer)),
        bind(LIBRARY, "ControlTraceW", u32, (u64, text, pointer, u32)),
        bind(LIBRARY, "EnableTraceEx2", u32, (u64, guid, u32, u8, u64, u64, u32, pointer)),
        bind(LIBRARY, "QueryAllTracesW", u32, (pointer, u32, pointer)),
    )


def consumer_functions() -> ConsumerFunctions:
    """Looked up anew at each call, so keep them. Raises :class:`.WindowsCallError` where there are none."""
    u32, u64, pointer = ctypes.c_uint32, ctypes.c_uint64, ctypes.c_void_p
    return ConsumerFunctions(
        bind(LIBRARY, "OpenTraceW", u64, (pointer,)),
        bind(LIBRARY, "ProcessTrace", u32, (pointer, u32, pointer, pointer)),
        bind(LIBRARY, "CloseTrace", u32, (u64,)),
    )


def wide(text: str) -> bytes:
    """``text`` as Windows' functions take it: UTF-16 with a NUL, which must not stand in it."""
    if "\0" in text:
        raise ValueError("a name for Windows cannot contain NUL")
    return text.encode("utf-16-le", "surrogatepass") + b"\0\0"
