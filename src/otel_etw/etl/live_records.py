"""Events as a real-time session delivers them (``EVENT_RECORD``) -> records of files, and ``Event``. Pure.

Windows hands an event over in parts: a header of 80 bytes, extended items whose data lie elsewhere, user
data.  In a trace file the same event is one run of bytes.  It is put together again here, so that everything
that knows events of files knows these.

Raw times of such events are FILETIMEs: Windows converts them unless it is asked not to.  Of the header's
Flags a file keeps those that say something about the event; the rest tell how the record was stored, which
its header type does in a file.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from uuid import UUID

from otel_etw.etl import layout
from otel_etw.etl.clock import Clock
from otel_etw.etl.context import TraceContext
from otel_etw.etl.event import Event
from otel_etw.etl.layout import EventHeaderFlag, ExtendedType, HeaderType, MessageFlag, align8
from otel_etw.etl.walking import SHAPES, WPP_SHAPE
from otel_etw.layouts.eventsource import MANIFEST_EVENT_ID

HEADER_BYTES = layout.EVENT_HEADER.size

LOST_NOTICE_PROVIDER = UUID("6a399ae0-4bc6-4de9-870b-3657f8947e7e").bytes_le
"""``RT_LostEvent`` (``evntrace.h``), as it is in memory: notices of what could not be delivered."""
LOST_EVENT, LOST_BUFFER, LOST_FILE = 32, 33, 34
"""Opcodes of these notices (``evntrace.h``: RT_LostEvent, RT_LostBuffer, RT_LostFile)."""

_MESSAGE = int(EventHeaderFlag.TRACE_MESSAGE)
_PROCESSOR_INDEX = int(EventHeaderFlag.PROCESSOR_INDEX)
_FLAGS = Struct("<H")
_FLAGS_OFFSET = 4
_START = Struct("<HBBH")
_IDS_AND_TIME = slice(0x08, 0x18)
_IDS = slice(0x08, 0x10)
_TIME = Struct("<q")
_TIME_OFFSET = 0x10
_PROVIDER = slice(0x18, 0x28)
_ID = Struct("<H")
_VERSION, _LEVEL, _OPCODE = (layout.DESCRIPTOR_OFFSET + at for at in (2, 4, 5))
_CPU_TIMES = slice(0x38, 0x40)
_CLASSIC_START = Struct("<HBBBBH")
_INSTANCE_BYTES = layout.INSTANCE_EXTENSION.size

_EVENT_ID = slice(layout.DESCRIPTOR_OFFSET, layout.DESCRIPTOR_OFFSET + 2)
_MANIFEST_ID = MANIFEST_EVENT_ID.to_bytes(2, "little")
_EVENT32, _EVENT64 = int(HeaderType.EVENT_HEADER32), int(HeaderType.EVENT_HEADER64)

_ODD_FORMS = int(EventHeaderFlag.CLASSIC_HEADER | EventHeaderFlag.TRACE_MESSAGE)
_KEPT_FLAGS = int(EventHeaderFlag.PRIVATE_SESSION | EventHeaderFlag.STRING_ONLY)
_EXTENDED_INFO = int(EventHeaderFlag.EXTENDED_INFO)
_HEADER32 = int(EventHeaderFlag.HEADER_32_BIT)
_MARKER = layout.MARKER_TRACE
_MOST = layout.MAX_RECORD_BYTES
_MESSAGE_FLAGS = MessageFlag.GUID | MessageFlag.TIMESTAMP | MessageFlag.SYSTEM_INFO
_PADDING = tuple(bytes(-size % 8) for size in range(8))

Items = Sequence[tuple[int, bytes]]
"""Extended items as (type, data), see :class:`.layout.ExtendedType`."""


def live_context() -> TraceContext:
    """What events of one real-time session share; their raw times are FILETIMEs."""
    return TraceContext(Clock(0, 0, 1, 1), 8)


def lost_notice(header: bytes) -> int | None:
    """The opcode of a notice that something was lost (:data:`LOST_EVENT` ...); ``None`` for an event."""
    return header[_OPCODE] if header[_PROVIDER] == LOST_NOTICE_PROVIDER else None


def live_event(
    header: bytes, items: Items, user_data: bytes, processor: int, number: int, context: TraceContext
) -> Event:
    """The ``number``-th event of its session; the first 80 bytes of ``header`` are its ``EVENT_HEADER``.

    ``processor`` is the u16 of ``ETW_BUFFER_CONTEXT``. ``buffer`` of the event is 0 and ``offset`` is that
    number, as it has no place in a file.
    """
    (flags,) = _FLAGS.unpack_from(header, _FLAGS_OFFSET)
    (time,) = _TIME.unpack_from(header, _TIME_OFFSET)
    record = _record(header, flags, items, user_data)
    shape = WPP_SHAPE if flags & _MESSAGE else SHAPES[record[2]]
    if not flags & _PROCESSOR_INDEX:
        processor &= 0xFF
    return Event(record, shape, time, processor, 0, number, context)


def live_record(header: bytes, items: Items, user_data: bytes) -> bytes:
    """The bytes that a trace file has for this event, without padding at their end.

    An event of the classic interface has a header without room for extended items, of which only instance
    ids are kept.  Size is 65535 for records that no file could hold.
    """
    (flags,) = _FLAGS.unpack_from(header, _FLAGS_OFFSET)
    return _record(header, flags, items, user_data)


def is_manifest_piece(header: bytes) -> bool:
    """Whether this may be a piece of a .NET EventSource manifest, for :func:`.gather_manifests`."""
    return header[_EVENT_ID] == _MANIFEST_ID


def _record(header: bytes, flags: int, items: Items, user_data: bytes) -> bytes:
    if flags & _ODD_FORMS:
        if flags & _MESSAGE:
            return _message_record(header, bool(flags & _HEADER32), user_data)
        return _classic_record(header, bool(flags & _HEADER32), items, user_data)
    chain = item_chain(items) if items else b""
    start = _START.pack(
        min(HEADER_BYTES + len(chain) + len(user_data), _MOST),
        _EVENT32 if flags & _HEADER32 else _EVENT64,
        _MARKER,
        flags & _KEPT_FLAGS | (_EXTENDED_INFO if items else 0),
    )
    return b"".join((start, header[6:HEADER_BYTES], chain, user_data))


def item_chain(items: Items) -> bytes:
    """Extended items one after the other, each padded, all but the last linked to the next."""
    parts: list[bytes] = []
    for number, (kind, data) in enumerate(items, 1):
        size = layout.EXTENDED_ITEM.size + len(data)
        linkage = layout.LINKAGE_MORE if number < len(items) else 0
        parts += (
            layout.EXTENDED_ITEM.pack(align8(size) & 0xFFFF, kind, linkage, len(data)),
            data,
            _PADDING[size & 7],
        )
    return b"".join(parts)


def _classic_record(header: bytes, is_32_bit: bool, items: Items, user_data: bytes) -> bytes:
    ids = next((data for kind, data in items if kind == ExtendedType.INSTANCE_INFO), b"")
    ids = ids if len(ids) == _INSTANCE_BYTES else b""
    if ids:
        kind = HeaderType.INSTANCE32 if is_32_bit else HeaderType.INSTANCE64
    else:
        kind = HeaderType.FULL_HEADER32 if is_32_bit else HeaderType.FULL_HEADER64
    size = min(layout.EVENT_TRACE_HEADER.size + len(ids) + len(user_data), _MOST)
    start = _CLASSIC_START.pack(size, kind, _MARKER, header[_OPCODE], header[_LEVEL], header[_VERSION])
    return b"".join(
        (start, header[_IDS_AND_TIME], header[_PROVIDER], header[_CPU_TIMES], ids, user_data)
    )  # fmt: skip


def _message_record(header: bytes, is_32_bit: bool, user_data: bytes) -> bytes:
    """Of a WPP message Windows says GUID, number, time and ids, whatever it was stored with."""
    (number,) = _ID.unpack_from(header, layout.DESCRIPTOR_OFFSET)
    parts = (
        header[_PROVIDER],
        _TIME.pack(*_TIME.unpack_from(header, _TIME_OFFSET)),
        header[_IDS],
        user_data,
    )
    size = min(layout.MESSAGE_HEADER.size + sum(map(len, parts)), _MOST)
    pointer = MessageFlag.POINTER32 if is_32_bit else MessageFlag.POINTER64
    start = layout.MESSAGE_HEADER.pack(size, 0, layout.MARKER_MESSAGE, number, _MESSAGE_FLAGS | pointer)
    return b"".join((start, *parts))
