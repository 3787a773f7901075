"""Calls of ``EventWriteTransfer``, for events of one shape with everything that they share made beforehand.

    ULONG EventWriteTransfer(REGHANDLE, PCEVENT_DESCRIPTOR, LPCGUID activity, LPCGUID related,
                             ULONG count, PEVENT_DATA_DESCRIPTOR data)

A TraceLogging event passes three data descriptors of 16 bytes: provider traits, event metadata, payload
(spec/otel-on-etw.md, section 2.2).  Two of them never change, so an array is made once, and only the third
entry is set per event.  An array must belong to one call at a time: threads that share one tear it (the call
runs without the GIL).  So each shape keeps a pool of arrays; a thread takes one out and puts it back, and
where there is none it makes one more.

The handle is a ``c_uint64`` that whoever registered may set to another one, and to 0 when it is closed.  A
call that was under way with the old one is refused as invalid, so it is made again, once.

This module loads no DLL; it is given the function.  The kernel's answers are passed on as they are.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from typing import Any

from otel_etw.providers.base import PreparedWrite, WriteStatus
from otel_etw.tracelogging.types import EventDescriptor

TransferFunction = Callable[..., int]
"""``EventWriteTransfer``, or what stands in for it; ``restype`` an unsigned 32-bit integer."""

_TRAITS, _METADATA, _PAYLOAD = 2, 1, 0
"""Type of a data descriptor, in its last field."""

_GUID_BYTES = 16
_MOST_KEPT_BYTES = 4096
"""An array in the pool keeps its last payload alive, if that is no larger; to let go of it takes time."""

_SUCCESS = int(WriteStatus.SUCCESS)
_INVALID_HANDLE = int(WriteStatus.INVALID_HANDLE)
_NOT_ENOUGH_MEMORY = int(WriteStatus.NOT_ENOUGH_MEMORY)
_INVALID_PARAMETER = int(WriteStatus.INVALID_PARAMETER)


def _descriptor_fields(name: str) -> Iterator[tuple[str, Any]]:
    yield name, ctypes.c_char_p
    if ctypes.sizeof(ctypes.c_void_p) == 4:
        yield f"{name}_upper_half", ctypes.c_uint32
    yield f"{name}_bytes", ctypes.c_uint32
    yield f"{name}_type", ctypes.c_uint32


class _DataDescriptors(ctypes.Structure):
    """Three ``EVENT_DATA_DESCRIPTOR``: ``u64 pointer, u32 size, u32 type`` each.

    Pointers are declared as such to bytes, so that one is set, and its object kept alive, in one step; where
    pointers have 32 bits the other half stays 0.
    """

    _fields_ = tuple(
        field for name in ("traits", "metadata", "payload") for field in _descriptor_fields(name)
    )


_ALL_DESCRIPTORS = ctypes.c_uint32(3)
_PAYLOAD_ALONE = ctypes.c_uint32(1)
_PAYLOAD_OFFSET: int = _DataDescriptors.payload.offset


def prepare_transfer(
    function: TransferFunction,
    handle: ctypes.c_uint64,
    traits: bytes,
    descriptor: EventDescriptor,
    metadata: bytes,
) -> PreparedWrite:
    """What writes events of one shape to the registration that ``handle`` holds at that time.

    It never raises, not even what a signal handler of the application's raises right after a call.
    """
    descriptor_bytes = descriptor.to_bytes()
    known_handle = handle.value  # stays what it was: other threads may be under way with that one, too
    pool: list[tuple[_DataDescriptors, object]] = []

    def new_entry() -> tuple[_DataDescriptors, object]:
        data = _DataDescriptors(
            traits=traits,
            traits_bytes=len(traits),
            traits_type=_TRAITS,
            metadata=metadata,
            metadata_bytes=len(metadata),
            metadata_type=_METADATA,
        )
        return data, ctypes.byref(data)

    def write(payload: bytes, activity_id: bytes | None) -> int:
        status = _INVALID_PARAMETER
        try:
            if activity_id is not None and len(activity_id) != _GUID_BYTES:
                return status
            try:
                data, reference = entry = pool.pop()
            except IndexError:
                data, reference = entry = new_entry()
            data.payload = payload
            data.payload_bytes = size = len(payload)
            status = _SUCCESS  # what a signal handler raises comes when the call is done
            status = function(handle, descriptor_bytes, activity_id, None, _ALL_DESCRIPTORS, reference)
            if status == _INVALID_HANDLE and known_handle != handle.value != 0:
                status = function(handle, descriptor_bytes, activity_id, None, _ALL_DESCRIPTORS, reference)
            if size > _MOST_KEPT_BYTES:
                data.payload = b""  # not None, which ctypes would keep the old one for
            pool.append(entry)
        except (MemoryError, RecursionError):  # before the call
            return _NOT_ENOUGH_MEMORY
        except ctypes.ArgumentError:  # instead of the call
            return _INVALID_PARAMETER
        except Exception:  # noqa: BLE001, S110 - an odd payload, or a signal handler's
            pass
        return status

    return write


def transfer(
    function: TransferFunction,
    handle: ctypes.c_uint64,
    traits: bytes,
    descriptor: EventDescriptor,
    metadata: bytes | None,
    payload: bytes,
    activity_id: bytes | None = None,
    related_activity_id: bytes | None = None,
) -> int:
    """Write one event; without ``metadata`` its payload is all that is passed.

    Raises what ctypes and ``struct`` raise for arguments of wrong types or out of range.
    """
    for guid in (activity_id, related_activity_id):
        if guid is not None and len(guid) != _GUID_BYTES:
            return _INVALID_PARAMETER
    data = _DataDescriptors(payload=payload, payload_bytes=len(payload), payload_type=_PAYLOAD)
    count, offset = _PAYLOAD_ALONE, _PAYLOAD_OFFSET
    if metadata is not None:
        data.traits, data.traits_bytes, data.traits_type = traits, len(traits), _TRAITS
        data.metadata, data.metadata_bytes, data.metadata_type = metadata, len(metadata), _METADATA
        count, offset = _ALL_DESCRIPTORS, 0
    known_handle = handle.value
    call = (descriptor.to_bytes(), activity_id, related_activity_id, count, ctypes.byref(data, offset))
    status = function(handle, *call)
    if status == _INVALID_HANDLE and known_handle != handle.value != 0:
        status = function(handle, *call)
    return status
