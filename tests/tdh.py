"""What Windows itself makes of a trace file: ``ProcessTrace``, and the Trace Data Helper for names and types.

Works on Windows only. Places are those of ``TRACE_EVENT_INFO`` and ``EVENT_PROPERTY_INFO`` in ``tdh.h``; they
do not depend on the size of pointers, as these structures have offsets instead.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from otel_etw.tracelogging.types import EventDescriptor
from otel_etw.windows.libraries import bind
from otel_etw.windows.session_functions import (
    INVALID_PROCESSTRACE_HANDLE,
    INVALID_PROCESSTRACE_HANDLE_32,
    consumer_functions,
    record_callback_type,
    wide,
)
from otel_etw.windows.structures import EventHeaderExtendedDataItem, EventRecord, EventTraceLogfile

SELF_DESCRIBING = 3
"""``DECODING_SOURCE``: DecodingSourceTlg."""

STRUCTURE = 24
"""The in-type that is given to a structure here: TDH has a flag for it instead."""

_MODE_EVENT_RECORD = 0x10000000  # PROCESS_TRACE_MODE_EVENT_RECORD
_INSUFFICIENT_BUFFER = 122
_INFO_HEAD = struct.Struct("<16s16s16sI10I2I3I")
_INFO_HEAD_BYTES = 112
_PROPERTY = struct.Struct("<IIHHIHHI")
_IS_STRUCT, _LENGTH_IS_ELSEWHERE, _COUNT_IS_ELSEWHERE, _FIXED_COUNT = 0x01, 0x02, 0x04, 0x20
_OLDER_IN_TYPES = {300: 22, 301: 23}
"""Counted texts, as Windows before version 1709 called them."""


@dataclass(frozen=True)
class TdhField:
    """One field as TDH names it; ``out_type`` is a ``TDH_OUTTYPE`` and 0 for a structure."""

    name: str
    in_type: int
    out_type: int
    is_array: bool
    members: tuple[TdhField, ...]


@dataclass(frozen=True)
class TdhEvent:
    """One event as a consumer of Windows' own gets it."""

    provider_id: UUID
    descriptor: EventDescriptor
    timestamp_filetime: int
    process_id: int
    thread_id: int
    activity_id: UUID
    extended_types: tuple[int, ...]
    user_data: bytes
    decoding_source: int
    provider_name: str
    event_name: str
    fields: tuple[TdhField, ...]


def read_with_tdh(path: Path, provider_ids: set[UUID]) -> list[TdhEvent]:
    """The events of these providers in the file, in the order in which ``ProcessTrace`` gives them."""
    information = bind(
        "tdh",
        "TdhGetEventInformation",
        ctypes.c_uint32,
        (ctypes.c_void_p, ctypes.c_uint32, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p),
    )
    events: list[TdhEvent] = []
    failures: list[BaseException] = []

    def on_record(address: int) -> None:
        try:
            record = EventRecord.from_address(address)
            if _uuid(record.EventHeader.ProviderId) in provider_ids:
                events.append(_event(record, _event_information(information, address)))
        except BaseException as failure:  # it would be lost in the callback
            failures.append(failure)

    _process_file(path, on_record)
    if failures:
        raise failures[0]
    return events


def _process_file(path: Path, on_record: Callable[[int], None]) -> None:
    functions = consumer_functions()
    callback = record_callback_type()(on_record)
    name = ctypes.create_string_buffer(wide(str(path)))
    logfile = EventTraceLogfile()
    logfile.LogFileName = ctypes.addressof(name)
    logfile.ProcessTraceMode = _MODE_EVENT_RECORD
    logfile.EventRecordCallback = ctypes.cast(callback, ctypes.c_void_p).value
    handle = functions.open_trace(ctypes.byref(logfile))
    if handle in (INVALID_PROCESSTRACE_HANDLE, INVALID_PROCESSTRACE_HANDLE_32):
        raise OSError(f"OpenTraceW({path}) answered {ctypes.get_last_error()}")  # type: ignore[attr-defined]
    try:
        code = functions.process_trace(ctypes.byref(ctypes.c_uint64(handle)), 1, None, None)
    finally:
        functions.close_trace(handle)
    if code:
        raise OSError(f"ProcessTrace({path}) answered {code}")


def _event_information(function: Any, address: int) -> bytes:
    """The bytes of the event's ``TRACE_EVENT_INFO``."""
    size = ctypes.c_uint32(0)
    code = function(address, 0, None, None, ctypes.byref(size))
    if code == _INSUFFICIENT_BUFFER:
        buffer = ctypes.create_string_buffer(size.value)
        code = function(address, 0, None, buffer, ctypes.byref(size))
        if code == 0:
            return buffer.raw
    raise OSError(f"TdhGetEventInformation answered {code}")


def _event(record: EventRecord, information: bytes) -> TdhEvent:
    header = record.EventHeader
    facts = _INFO_HEAD.unpack_from(information)
    source, names = facts[3], facts[4:16]
    provider_name, task_name, event_name = names[0], names[4], names[10]
    count, top_count = facts[16:18]
    items: Iterable[Any] = ()
    if record.ExtendedDataCount:
        items = (EventHeaderExtendedDataItem * record.ExtendedDataCount).from_address(record.ExtendedData)
    return TdhEvent(
        _uuid(header.ProviderId),
        EventDescriptor.from_bytes(bytes(header.EventDescriptor)),
        header.TimeStamp,
        header.ProcessId,
        header.ThreadId,
        _uuid(header.ActivityId),
        tuple(item.ExtType for item in items),
        ctypes.string_at(record.UserData, record.UserDataLength) if record.UserDataLength else b"",
        source,
        _text(information, provider_name),
        # Before version 1709 the event's name was where a manifest's task has its own.
        _text(information, event_name or task_name),
        _fields(information, count, top_count),
    )


def _fields(information: bytes, count: int, top_count: int) -> tuple[TdhField, ...]:
    """The tree of fields, without those that TDH makes up to say how long another one is."""
    properties = [
        _PROPERTY.unpack_from(information, _INFO_HEAD_BYTES + _PROPERTY.size * index)
        for index in range(count)
    ]
    made_up = {number for flags, *_, number, _, _ in properties if flags & _COUNT_IS_ELSEWHERE}
    made_up |= {number for flags, *_, number, _ in properties if flags & _LENGTH_IS_ELSEWHERE}

    def field(index: int) -> TdhField:
        flags, name, first, second, _, number, _, _ = properties[index]
        is_struct = bool(flags & _IS_STRUCT)
        is_array = bool(flags & (_COUNT_IS_ELSEWHERE | _FIXED_COUNT)) or number > 1
        members = tuple(fields(first, first + second)) if is_struct else ()
        in_type = STRUCTURE if is_struct else _OLDER_IN_TYPES.get(first, first)
        return TdhField(_text(information, name), in_type, 0 if is_struct else second, is_array, members)

    def fields(start: int, end: int) -> tuple[TdhField, ...]:
        return tuple(field(index) for index in range(start, end) if index not in made_up)

    return fields(0, top_count)


def _text(information: bytes, offset: int) -> str:
    """The UTF-16 text at ``offset``, up to its NUL; empty for offset 0."""
    if not offset:
        return ""
    end = offset
    while information[end : end + 2] not in (b"\0\0", b"", b"\0"):
        end += 2
    return information[offset:end].decode("utf-16-le")


def _uuid(guid: Any) -> UUID:
    return UUID(bytes_le=bytes(guid))
