"""The bytes a session puts into its file: trace header, buffer headers, event records. Pure functions.

The values are those of uncompressed sequential files recorded by Windows 10 and 11: one processor,
64-bit layout, QPC clock of 10 MHz, so that one raw tick is 100 ns.

    raw time = RAW_TIME_AT_START + (FILETIME of the event - FILETIME of the start)
"""

from __future__ import annotations

import struct

from otel_etw.etl import layout
from otel_etw.etl.layout import BufferFlag, BufferType, EventHeaderFlag, ExtendedType, HeaderType, align8
from otel_etw.tracelogging.types import EventDescriptor
from otel_etw.tracelogging.values import TICKS_PER_SECOND

RAW_TIME_AT_START = 864_000_000_000
"""Raw time of the start of the file: one day, as if the machine had booted then.

Readers take 0 for "not set" and dislike negative times; a day leaves room for a clock that is set back.
"""

LARGEST_SESSION_NAME = 256
LARGEST_FILE_NAME = 1024
"""UTF-16 units that are kept of the two names (of the file's, the end): with them the trace header
fits the smallest buffer of 4096 bytes."""

_SMALL_ITEM_OVERHEAD = layout.EXTENDED_ITEM.size
_GUID_BYTES = 16
_NO_ACTIVITY = bytes(_GUID_BYTES)

# Facts of the recording system that no reader may find to be 0, from files recorded by Windows.
_OS_VERSION = (10, 0)
_LAYOUT_VERSION = (1, 5)
_OS_BUILD = 19045
_TIMER_RESOLUTION = 156_250
_CPU_SPEED_MHZ = 1000
_POINTER_BYTES = 8
_LOGFILE_HEADER_VERSION = 2
_MEGABYTE = 1024 * 1024


# --- trace header and buffer headers -----------------------------------------------------------


def header_buffer(
    buffer_size_bytes: int,
    *,
    session_name: str,
    file_name: str,
    start_filetime: int,
    process_id: int,
    thread_id: int,
    circular_bytes: int | None = None,
) -> bytes:
    """The whole first buffer of a file that has no other yet: EndTime 0, BuffersWritten 1.

    ``circular_bytes`` is the size of a circular file, ``None`` for a sequential one.
    """
    record = _trace_header_record(
        buffer_size_bytes, session_name, file_name, start_filetime, process_id, thread_id, circular_bytes
    )
    filled = layout.BUFFER_HEADER_BYTES + len(record)
    header = buffer_header(
        buffer_size_bytes,
        filled=filled,
        raw_time=0,
        sequence_number=0,
        flags=BufferFlag.FLUSH_MARKER | BufferFlag.PROCESSOR_INDEX,
        buffer_type=BufferType.HEADER,
    )
    return (header + record).ljust(buffer_size_bytes, layout.FILLER_BYTE)


def buffer_header(
    buffer_size_bytes: int,
    *,
    filled: int,
    raw_time: int,
    sequence_number: int,
    flags: int = BufferFlag.PROCESSOR_INDEX,
    buffer_type: int = BufferType.GENERIC,
) -> bytes:
    """A ``WMI_BUFFER_HEADER`` for a buffer whose first ``filled`` bytes, this header included, are valid."""
    return layout.BUFFER_HEADER.pack(
        buffer_size_bytes,
        filled,
        filled,
        0,
        raw_time,
        sequence_number,
        0,
        0,
        0,
        layout.BUFFER_STATE_FLUSH,
        filled,
        flags,
        buffer_type,
        bytes(16),
    )


def reserved_buffer(buffer_size_bytes: int) -> bytes:
    """What holds the place of a buffer that has no event yet; readers take it for the end of the file."""
    return bytes(layout.BUFFER_HEADER_BYTES).ljust(buffer_size_bytes, layout.FILLER_BYTE)


BLANK_BYTES = layout.COMPACT_HEADER.size
"""Of the smallest blank, which is all header."""
LARGEST_BLANK_BYTES = align8(layout.MAX_RECORD_BYTES)

_pack_blank = struct.Struct("<HBBHBB").pack


def blank(span_bytes: int) -> bytes:
    """The first 8 bytes of a blank record that takes ``span_bytes``, a multiple of 8; see :mod:`.recycling`.

    ThreadId, ProcessId and the raw time follow (16 bytes), then anything.
    """
    size = min(span_bytes, layout.MAX_RECORD_BYTES)
    return _pack_blank(0, HeaderType.COMPACT64, layout.MARKER_TRACE, size, 0, layout.BLANK_GROUP)


def _trace_header_record(
    buffer_size_bytes: int,
    session_name: str,
    file_name: str,
    start_filetime: int,
    process_id: int,
    thread_id: int,
    circular_bytes: int | None,
) -> bytes:
    is_circular = circular_bytes is not None
    logfile_header = layout.LOGFILE_HEADER_64.pack(
        buffer_size_bytes,
        *_OS_VERSION,
        *_LAYOUT_VERSION,
        _OS_BUILD,
        1,  # NumberOfProcessors: more than the largest ProcessorIndex
        0,  # EndTime
        _TIMER_RESOLUTION,
        min(-(-(circular_bytes or 0) // _MEGABYTE), 0xFFFFFFFF),  # MaximumFileSize
        layout.LogFileMode.CIRCULAR if is_circular else layout.LogFileMode.SEQUENTIAL,
        1,  # BuffersWritten
        1,  # StartBuffers
        _POINTER_BYTES,
        0,  # EventsLost
        _CPU_SPEED_MHZ,
        0,
        0,
        bytes(layout.TIME_ZONE_BYTES),  # UTC
        start_filetime - RAW_TIME_AT_START,  # BootTime
        TICKS_PER_SECOND,
        start_filetime,
        layout.ClockType.QPC,
        0,  # BuffersLost
    )
    names = _utf16(session_name, LARGEST_SESSION_NAME) + _utf16(file_name, LARGEST_FILE_NAME, keep_end=True)
    size = layout.SYSTEM_TRACE_HEADER.size + len(logfile_header) + len(names)
    system_header = layout.SYSTEM_TRACE_HEADER.pack(
        _LOGFILE_HEADER_VERSION,
        HeaderType.SYSTEM64,
        layout.MARKER_TRACE,
        size,
        0,
        0,
        thread_id,
        process_id,
        RAW_TIME_AT_START,
        0,
        0,
    )
    return (system_header + logfile_header + names).ljust(align8(size), b"\0")


def _utf16(text: str, largest: int, *, keep_end: bool = False) -> bytes:
    """``text`` as NUL-terminated UTF-16 of at most ``largest`` units, cut at a character boundary."""
    encoded = text.replace("\0", "").encode("utf-16-le", "replace")
    kept = encoded[-2 * largest :] if keep_end else encoded[: 2 * largest]
    return kept.decode("utf-16-le", "ignore").encode("utf-16-le") + b"\0\0"


# --- event records -----------------------------------------------------------------------------


def item_size(data_bytes: int) -> int:
    """Bytes of an extended item with ``data_bytes`` of data: header, data, padding."""
    return align8(_SMALL_ITEM_OVERHEAD + data_bytes)


RELATED_ITEM_BYTES = item_size(_GUID_BYTES)


def event_size(traits: bytes, metadata: bytes | None, payload: bytes, related: bytes | None = None) -> int:
    """``Size`` of the record these would make; it is valid up to :data:`layout.MAX_RECORD_BYTES`."""
    size = layout.EVENT_HEADER.size + len(payload)
    if metadata is not None:
        size += item_size(len(traits)) + item_size(len(metadata))
    if related is not None:
        size += RELATED_ITEM_BYTES
    return size


def largest_record(buffer_size_bytes: int) -> int:
    """Largest ``Size`` of a record in a buffer of this size; records never span buffers."""
    return min(layout.MAX_RECORD_BYTES, (buffer_size_bytes - layout.BUFFER_HEADER_BYTES) & ~7)


def largest_event(buffer_size_bytes: int, traits: bytes) -> int:
    """Most bytes that metadata and payload may have together, with any padding and no related activity id."""
    overhead = layout.EVENT_HEADER.size + item_size(len(traits))
    return largest_record(buffer_size_bytes) - overhead - item_size(0) - 7


def schema_items(traits: bytes, metadata: bytes) -> bytes:
    """The two extended items of a TraceLogging event: provider traits, then event metadata (the last)."""
    return _item(ExtendedType.PROVIDER_TRAITS, traits, more=True) + _item(
        ExtendedType.EVENT_SCHEMA_TL, metadata, more=False
    )


def related_item(related_activity_id: bytes, *, more: bool) -> bytes:
    """The extended item for a related activity id (16 bytes, GUID memory order); it comes first."""
    if len(related_activity_id) != _GUID_BYTES:
        raise ValueError(f"a related activity id has 16 bytes, not {len(related_activity_id)}")
    return _item(ExtendedType.RELATED_ACTIVITY_ID, related_activity_id, more=more)


def _item(kind: ExtendedType, data: bytes, *, more: bool) -> bytes:
    size = item_size(len(data))
    header = layout.EXTENDED_ITEM.pack(size, kind, layout.LINKAGE_MORE if more else 0, len(data))
    return (header + data).ljust(size, b"\0")


_pack_event_header = layout.EVENT_HEADER.pack
RECORD_HEADER_BYTES = layout.EVENT_HEADER.size
"""Bytes of an event record before its extended items."""
_EVENT_HEADER64 = int(HeaderType.EVENT_HEADER64)
_MARKER_TRACE = layout.MARKER_TRACE
_EXTENDED_INFO = int(EventHeaderFlag.EXTENDED_INFO)
_PADDING = tuple(bytes(-size % 8) for size in range(8))


def event_record(
    raw_time: int,
    thread_id: int,
    process_id: int,
    provider_id: bytes,
    descriptor: EventDescriptor,
    items: bytes,
    payload: bytes,
    activity_id: bytes | None = None,
) -> bytes:
    """One ``EVENT_HEADER`` record, zero-padded to a multiple of 8.

    ``provider_id`` and ``activity_id`` are 16 bytes in GUID memory order; ``items`` is the finished
    chain of extended items or empty.  Raises ``struct.error`` for a descriptor out of range or a
    record over 64 KiB, ``ValueError`` for an activity id that is no GUID or a payload not made of bytes.
    """
    if activity_id is None:
        activity_id = _NO_ACTIVITY
    elif len(activity_id) != _GUID_BYTES:
        raise ValueError(f"an activity id has 16 bytes, not {len(activity_id)}")
    size = RECORD_HEADER_BYTES + len(items) + len(payload)
    header = _pack_event_header(
        size,
        _EVENT_HEADER64,
        _MARKER_TRACE,
        _EXTENDED_INFO if items else 0,
        0,
        thread_id,
        process_id,
        raw_time,
        provider_id,
        *descriptor,
        0,
        0,
        activity_id,
    )
    record = b"".join((header, items, payload, _PADDING[size & 7]))
    if len(record) != size + 7 & ~7:
        raise ValueError("the payload has another length in bytes than it says")
    return record
