"""The provider's side of ETW (``evntprov.h``): registering, traits, writing."""

from __future__ import annotations

import ctypes
from typing import Any, NamedTuple

from otel_etw.windows.error_codes import WindowsCallError
from otel_etw.windows.libraries import bind, function_type

LIBRARY = "advapi32"

SET_TRAITS = 2
"""``EVENT_INFO_CLASS``: EventProviderSetTraits."""

DISABLE, ENABLE, CAPTURE_STATE = 0, 1, 2
"""Codes of an enable callback (``EVENT_CONTROL_CODE_*``)."""


def enable_callback_type() -> Any:
    """``PENABLECALLBACK``: source GUID (pointer), code, level, any-mask, all-mask, filter data (pointer),
    context (pointer, as a number or ``None``)."""
    return function_type(
        None, ctypes.c_void_p, ctypes.c_uint32, ctypes.c_uint8, ctypes.c_uint64, ctypes.c_uint64,
        ctypes.c_void_p, ctypes.c_void_p,
    )  # fmt: skip


class ProviderFunctions(NamedTuple):
    """Functions with their prototypes; each answers a code, :attr:`event_provider_enabled` a BOOLEAN."""

    event_register: Any
    """GUID (16 bytes), callback or ``None``, context, byref(c_uint64)."""
    event_unregister: Any
    """Handle. Waits until running callbacks have ended."""
    event_set_information: Any
    """Handle, information class, bytes, their number; ``None`` where there is none (Windows 7)."""
    event_provider_enabled: Any
    """Handle, level, keyword."""
    event_write_transfer: Any
    """Handle, descriptor, activity id, related id, count, data descriptors; without a prototype: the caller
    passes objects of the right C types, which is quicker."""


def provider_functions() -> ProviderFunctions:
    """Looked up anew at each call, so keep them. Raises :class:`.WindowsCallError` where there are none."""
    u32, u64, pointer = ctypes.c_uint32, ctypes.c_uint64, ctypes.c_void_p
    write = bind(LIBRARY, "EventWriteTransfer", u32, ())
    write.argtypes = None
    try:
        set_information = bind(LIBRARY, "EventSetInformation", u32, (u64, u32, ctypes.c_char_p, u32))
    except WindowsCallError:
        set_information = None
    return ProviderFunctions(
        bind(LIBRARY, "EventRegister", u32, (ctypes.c_char_p, enable_callback_type(), pointer, pointer)),
        bind(LIBRARY, "EventUnregister", u32, (u64,)),
        set_information,
        bind(LIBRARY, "EventProviderEnabled", ctypes.c_uint8, (u64, ctypes.c_uint8, u64)),
        write,
    )
