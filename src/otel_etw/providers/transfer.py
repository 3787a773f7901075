"""Calls of ``EventWriteTransfer`` with everything that one shape of events shares made beforehand.

    ULONG EventWriteTransfer(REGHANDLE, PCEVENT_DESCRIPTOR, LPCGUID activity, LPCGUID related,
                             ULONG count, PEVENT_DATA_DESCRIPTOR data)

A TraceLogging event passes three data descriptors of 16 bytes: provider traits, event metadata, payload
(spec/otel-on-etw.md, section 2.2).  Two of them never change, so an array is made once, and only the third
entry is set per event.  An array must belong to one call at a time: threads that share one tear it (the call
runs without the GIL).  So each shape keeps a pool of arrays; a thread takes one out and puts it back, and
where there is none it makes one more.

This module loads no DLL; it is given the function.  The kernel's answers are passed on as they are.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable

from otel_etw.providers.base import PreparedWrite, WriteStatus
from otel_etw.tracelogging.types import EventDescriptor

TransferFunction = Callable[..., int]
"""``EventWriteTransfer``, or what stands in for it; ``restype`` an unsigned 32-bit integer."""

_TRAITS, _METADATA = 2, 1
"""Type of a data descriptor, in its last field; 0 is payload."""

_GUID_BYTES = 16
_MOST_KEPT_BYTES = 4096
"""An array in the pool keeps its last payload alive, if that is no larger; to let go of it takes time."""

_DESCRIPTORS = 3


class _DataDescriptors(ctypes.Structure):
    """Three ``EVENT_DATA_DESCRIPTOR``: ``u64 pointer, u32 size, u32 type`` each.

    The payload's pointer is declared as a pointer to bytes, so that it is set, and its object kept alive, in
    one step; where pointers have 32 bits the other half stays 0.
    """

    _fields_ = (
        ("traits", ctypes.c_uint64),
        ("traits_bytes", ctypes.c_uint32),
        ("traits_type", ctypes.c_uint32),
        ("metadata", ctypes.c_uint64),
        ("metadata_bytes", ctypes.c_uint32),
        ("metadata_type", ctypes.c_uint32),
        ("payload", ctypes.c_char_p),
        *((("payload_upper_half", ctypes.c_uint32),) if ctypes.sizeof(ctypes.c_void_p) == 4 else ()),
        ("payload_bytes", ctypes.c_uint32),
        ("payload_type", ctypes.c_uint32),
    )


def prepare_transfer(
    function: TransferFunction, handle: int, traits: bytes, descriptor: EventDescriptor, metadata: bytes
) -> PreparedWrite:
    """What writes events of one shape to the registration ``handle`` (an unsigned 64-bit number)."""
    reghandle = ctypes.c_uint64(handle)
    descriptor_bytes = ctypes.create_string_buffer(descriptor.to_bytes(), 16)
    traits_buffer = ctypes.create_string_buffer(traits, len(traits))
    metadata_buffer = ctypes.create_string_buffer(metadata, len(metadata))
    count = ctypes.c_uint32(_DESCRIPTORS)
    pool: list[tuple[_DataDescriptors, object]] = []

    def new_entry() -> tuple[_DataDescriptors, object]:
        data = _DataDescriptors(
            traits=ctypes.addressof(traits_buffer),
            traits_bytes=len(traits),
            traits_type=_TRAITS,
            metadata=ctypes.addressof(metadata_buffer),
            metadata_bytes=len(metadata),
            metadata_type=_METADATA,
        )
        return data, ctypes.byref(data)

    def write(payload: bytes, activity_id: bytes | None) -> int:
        if activity_id is not None and len(activity_id) != _GUID_BYTES:
            return WriteStatus.INVALID_PARAMETER
        try:
            entry = pool.pop()
        except IndexError:
            entry = new_entry()
        data, reference = entry
        data.payload = payload
        data.payload_bytes = size = len(payload)
        status = function(reghandle, descriptor_bytes, activity_id, None, count, reference)
        if size > _MOST_KEPT_BYTES:
            data.payload = b""  # not None, which ctypes would keep the old one for
        pool.append(entry)
        return status

    return write
