"""Record kinds and the walk over the records of one buffer. Pure.

The first u32 of a record tells its kind: the top byte is a marker, the one below the header type.
Where Size sits, how long the fixed header is and where the time is differ by kind: one table.

Rules for damage: a record of a known kind whose size is impossible ends its buffer, since nothing after
it can be trusted; a record of an unknown kind is skipped by the size it states.  Every step advances
by at least 8 bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import Enum
from functools import lru_cache
from struct import Struct
from typing import NamedTuple

from otel_etw.etl import layout
from otel_etw.etl.damage import DamageKind
from otel_etw.etl.layout import EXTENDED_ITEM, HeaderType, MessageFlag, align8

_U32 = Struct("<I")
_I64 = Struct("<q")
_MESSAGE_BYTES = layout.MESSAGE_HEADER.size
_WNODE_MIN_BYTES = 16
_MAX_EXTENDED_ITEMS = 64


class RecordKind(str, Enum):
    """The family of a record; 32 and 64-bit forms are one kind and differ in ``pointer_size``."""

    EVENT = "event"  # EVENT_HEADER: manifest, TraceLogging and raw events
    SYSTEM = "system"  # kernel record with process and thread
    COMPACT = "compact"  # the same without CPU times
    PERFINFO = "perfinfo"  # kernel record without process and thread
    CLASSIC = "classic"  # EVENT_TRACE_HEADER
    INSTANCE = "instance"  # classic with instance ids
    MESSAGE = "message"  # WPP
    ERROR = "error"  # the recorder's own failure, shaped like EVENT

    def __str__(self) -> str:
        return self.value


class RecordShape(NamedTuple):
    """How a record of one header type is laid out. ``pointer_size`` 0: not said by the type."""

    name: str
    kind: RecordKind
    pointer_size: int
    size_offset: int
    fixed_bytes: int
    time_offset: int  # 0: no fixed place


def _pair(name: str, kind: RecordKind, size_at: int, fixed_bytes: int, time_at: int) -> list[RecordShape]:
    return [RecordShape(f"{name}{8 * p}", kind, p, size_at, fixed_bytes, time_at) for p in (4, 8)]


def _shapes() -> dict[int, RecordShape]:
    kind, at = RecordKind, HeaderType
    pairs = {
        (at.SYSTEM32, at.SYSTEM64): _pair("system", kind.SYSTEM, 4, 0x20, 0x10),
        (at.COMPACT32, at.COMPACT64): _pair("compact", kind.COMPACT, 4, 0x18, 0x10),
        (at.PERFINFO32, at.PERFINFO64): _pair("perfinfo", kind.PERFINFO, 4, 0x10, 0x08),
        (at.FULL_HEADER32, at.FULL_HEADER64): _pair("full_header", kind.CLASSIC, 0, 0x30, 0x10),
        (at.INSTANCE32, at.INSTANCE64): _pair("instance", kind.INSTANCE, 0, 0x48, 0x10),
        (at.EVENT_HEADER32, at.EVENT_HEADER64): _pair("event_header", kind.EVENT, 0, 0x50, 0x10),
    }
    shapes = {int(t): s for types, both in pairs.items() for t, s in zip(types, both, strict=True)}
    shapes[at.ERROR] = RecordShape("error", kind.ERROR, 0, 0, 0x50, 0x10)
    shapes[at.MESSAGE] = RecordShape("message", kind.MESSAGE, 0, 0, _MESSAGE_BYTES, 0)
    return shapes


SHAPES = _shapes()
"""Header type -> shape, of the kinds that are delivered; others are skipped by size."""

WPP_SHAPE = RecordShape("wpp", RecordKind.MESSAGE, 0, 0, _MESSAGE_BYTES, 0)
"""The shape of a record with the marker 0x90 (its header type byte is reserved)."""


class Record(NamedTuple):
    """A record found: ``pos`` in the data walked, ``size`` without the gap to the next one.

    ``raw`` is its raw time; that of the record before it where it has none.
    """

    pos: int
    size: int
    shape: RecordShape
    raw: int


Data = bytes | bytearray | memoryview
"""The filled part of a buffer after its header: its records, decompressed."""

OnSkip = Callable[[DamageKind, int, str], None]
"""Called with the kind of trouble, the position in the data and the reason."""


def walk(data: Data, raw: int, on_skip: OnSkip, start: int = 0) -> Iterator[Record]:
    """The records of ``data``, the filled part of a buffer without its header, from ``start`` on.

    ``raw`` is the time given to records before the first one that has its own.
    """
    filled = len(data)
    pos = start
    while pos + 8 <= filled:
        (word,) = _U32.unpack_from(data, pos)
        marker = word >> 24
        shape = SHAPES.get(word >> 16 & 0xFF) if marker == layout.MARKER_TRACE else None
        if shape is None:
            if word == layout.FILLER:
                return
            if marker == layout.MARKER_MESSAGE:
                shape = WPP_SHAPE
            else:
                step = _step_over_unknown(word, pos, filled - pos, on_skip)
                if step == 0:
                    return
                pos += step
                continue
        is_blank = False
        if shape.size_offset:
            size = data[pos + 4] | data[pos + 5] << 8
            is_blank = data[pos + 7] == layout.BLANK_GROUP and shape.kind is RecordKind.COMPACT
        else:
            size = word & 0xFFFF
        if size < shape.fixed_bytes or pos + size > filled:
            on_skip(DamageKind.RECORD, pos, _bad_size(shape, size, filled - pos))
            return
        if is_blank:
            pos += (size + 7) & ~7
            continue
        if shape.time_offset:
            (raw,) = _I64.unpack_from(data, pos + shape.time_offset)
        else:
            raw = message_time(data, pos, size, raw)
        yield Record(pos, size, shape, raw)
        pos += (size + 7) & ~7


def _bad_size(shape: RecordShape, size: int, remaining: int) -> str:
    return f"{shape.name} record: expected a size of {shape.fixed_bytes} to {remaining}, found {size}"


def _step_over_unknown(word: int, pos: int, remaining: int, on_skip: OnSkip) -> int:
    """Bytes to the record after one of an unknown kind; 0 if its size cannot be believed."""
    if word >> 31:
        size, least = word & 0xFFFF, 8
    else:  # an old WNODE: the whole word is its size
        size, least = word, _WNODE_MIN_BYTES
    if least <= size <= remaining:
        on_skip(DamageKind.UNKNOWN_RECORD, pos, f"record of unknown kind {word:#010x}, {size} bytes")
        return align8(size)
    why = f"expected a record header, found {word:#010x} with {remaining} bytes left"
    on_skip(DamageKind.RECORD, pos, why)
    return 0


class MessageParts(NamedTuple):
    """Where the optional parts of a WPP record are (0: absent), and where its arguments start."""

    guid: int
    time: int
    ids: int
    end: int


@lru_cache(maxsize=256)
def message_parts(flags: int) -> MessageParts:
    """The places of the parts that ``OptionFlags`` (low byte) announces, from the start of the record."""
    offset = _MESSAGE_BYTES
    places = {}
    for flag, size in (
        (MessageFlag.SEQUENCE, 4),
        (MessageFlag.GUID, 16),
        (MessageFlag.COMPONENT_ID, 4),
        (MessageFlag.TIMESTAMP, 8),
        (MessageFlag.SYSTEM_INFO, 8),
    ):
        places[flag] = offset if flags & flag else 0
        offset += size if flags & flag else 0
    return MessageParts(
        places[MessageFlag.GUID], places[MessageFlag.TIMESTAMP], places[MessageFlag.SYSTEM_INFO], offset
    )


def message_time(data: Data, pos: int, size: int, before: int) -> int:
    """The raw time of the message of ``size`` bytes at ``pos``; ``before`` if it has none."""
    parts = message_parts(data[pos + 6])
    if not parts.time or parts.end > size:
        return before
    raw: int = _I64.unpack_from(data, pos + parts.time)[0]
    return raw


class ExtendedItems(NamedTuple):
    """The extended items of an event record, where its user data starts, and what was wrong, if anything."""

    items: tuple[tuple[int, bytes], ...]
    end: int
    problem: str | None


def extended_items(record: bytes, start: int) -> ExtendedItems:
    """The chain of items from ``start`` on; damage makes the rest of the record user data."""
    items: list[tuple[int, bytes]] = []
    pos = start
    while len(items) < _MAX_EXTENDED_ITEMS:
        if pos + EXTENDED_ITEM.size > len(record):
            return ExtendedItems(tuple(items), pos, f"extended item at {pos:#x} lies outside the record")
        item_size, item_type, linkage, data_size = EXTENDED_ITEM.unpack_from(record, pos)
        if item_size % 8 or item_size < EXTENDED_ITEM.size + data_size:
            item_size = align8(EXTENDED_ITEM.size + data_size)
        if pos + item_size > len(record):
            why = f"extended item at {pos:#x}: expected at most {len(record) - pos} bytes, found {item_size}"
            return ExtendedItems(tuple(items), pos, why)
        data_at = pos + EXTENDED_ITEM.size
        items.append((item_type, record[data_at : data_at + data_size]))
        pos += item_size
        if not linkage & layout.LINKAGE_MORE:
            return ExtendedItems(tuple(items), pos, None)
    return ExtendedItems(tuple(items), pos, f"expected at most {_MAX_EXTENDED_ITEMS} extended items")
