"""``EventBatch``: many records as columns of their headers, and where what describes and fills them is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from otel_etw.etl import layout
from otel_etw.etl.clock import Clock
from otel_etw.etl.context import TraceContext
from otel_etw.etl.event import Event
from otel_etw.etl.layout import BUFFER_HEADER_BYTES, ExtendedType
from otel_etw.etl.reader import Trace
from otel_etw.tables import kinds
from otel_etw.tables.chunks import Chunk, Lanes
from otel_etw.tables.forms import Forms, assign
from otel_etw.tables.record_walk import Records
from otel_etw.tracelogging.types import CHANNEL_TRACELOGGING

if TYPE_CHECKING:
    from otel_etw.tables.classes import Classes

_MOST_ITEMS = 4
_UNKNOWN_ID = 0xFFFFFFFF
_MOST_EXACT = 1 << 36
"""Ticks per second up to which times can be had in whole columns without passing 64 bits."""
_U64 = np.uint64
_UNIX_EPOCH_TICKS = 116444736000000000
_I64_MAX = (1 << 63) - 1


@dataclass(frozen=True)
class Places:
    """Where the parts of event records are, per record; ``form`` is -1 for records without describing items.

    ``is_odd`` marks records whose parts are left to :mod:`otel_etw.etl.user_data`: other kinds, unusual
    chains of extended items, damage.
    """

    form: np.ndarray
    payload_start: np.ndarray
    related: np.ndarray
    """Position of the related activity id, 0 without one."""
    stack: np.ndarray
    """1 where there are extended items that hold a stack."""
    is_odd: np.ndarray


@dataclass(frozen=True)
class EventBatch:
    """Records of one or more files; the arrays have one element per record, in the order of their places.

    ``order`` are the rows as they are to be delivered, ``None`` if as they stand.
    """

    chunk: Chunk
    lanes: Lanes
    records: Records
    traces: Sequence[Trace]
    forms: Forms
    order: np.ndarray | None = field(default=None)

    def __len__(self) -> int:
        return len(self.records.position)

    def event(self, row: int) -> Event:
        """The record of that row as an event that stays valid."""
        records = self.records
        position, size = int(records.position[row]), int(records.size[row])
        lane = int(records.lane[row])
        buffer = self.lanes.buffers[lane]
        return Event(
            self.chunk.data[position : position + size].tobytes(),
            kinds.RECORD_SHAPES[int(records.header_type[row])],
            int(records.raw[row]),
            buffer.processor,
            buffer.index,
            position - int(self.lanes.start[lane]) + BUFFER_HEADER_BYTES,
            self._context(int(self.lanes.file[lane])),
        )

    def path(self, row: int) -> str:
        """The file that the record of that row comes from."""
        return self.traces[int(self.lanes.file[int(self.records.lane[row])])].path

    def rows(self) -> np.ndarray:
        """All rows in the order of delivery."""
        return np.arange(len(self)) if self.order is None else self.order

    def selected(self, mask: np.ndarray) -> EventBatch:
        """Only the records where ``mask`` is true."""
        records = Records(*(column[mask] for column in self.records))
        order = None
        if self.order is not None:
            renumbered = np.cumsum(mask) - 1
            order = renumbered[self.order[mask[self.order]]]
        return EventBatch(self.chunk, self.lanes, records, self.traces, self.forms, order)

    def ordered(self, order: np.ndarray) -> EventBatch:
        """The same records, to be delivered in another order."""
        return EventBatch(self.chunk, self.lanes, self.records, self.traces, self.forms, order)

    def _context(self, file: int) -> TraceContext:
        return self.traces[file].context

    # --- columns of the headers ---

    @cached_property
    def words(self) -> np.ndarray:
        """The chunk as numbers of eight bytes."""
        data = self.chunk.data
        return data[: len(data) & -8].view("<u8")

    @cached_property
    def first_word(self) -> np.ndarray:
        """Index of each record's first eight bytes in :attr:`words`."""
        return self.records.position >> 3

    @cached_property
    def file(self) -> np.ndarray:
        """Number of each record's file."""
        return self.lanes.file[self.records.lane]

    @cached_property
    def time_ns(self) -> np.ndarray:
        """Unix nanoseconds; times outside of 64 bits are the nearest that fit."""
        if len(self.traces) == 1:
            return unix_nano(self.traces[0].header.clock, self.records.raw)
        time = np.empty(len(self), np.int64)
        for number in np.unique(self.file).tolist():
            rows = self.file == number
            time[rows] = unix_nano(self.traces[number].header.clock, self.records.raw[rows])
        return time

    @cached_property
    def ids(self) -> tuple[np.ndarray, np.ndarray]:
        """Thread and process ids; 0xFFFFFFFF where the record does not say."""
        word = kinds.IDS_WORD.take(self.records.header_type)
        known = word >= 0
        both = np.full(len(self), ~_U64(0), _U64)
        if known.all():
            both = self.words.take(self.first_word + word)
        else:
            both[known] = self.words[self.first_word[known] + word[known]]
        return both.astype(np.uint32), (both >> _U64(32)).astype(np.uint32)

    @cached_property
    def descriptor(self) -> np.ndarray:
        """The eight bytes of id, version, channel, level, opcode and task; of other kinds what they have."""
        header_type = self.records.header_type
        whole = kinds.IS_DESCRIBED_BY_DESCRIPTOR.take(header_type)
        if whole.all():
            return self.words.take(self.first_word + 5)
        descriptor = np.zeros(len(self), _U64)
        descriptor[whole] = self.words[self.first_word[whole] + 5]
        first = self.words.take(self.first_word)
        classic = kinds.IS_CLASSIC[header_type]
        version = (first >> _U64(48)) & _U64(0xFF)
        level = (first >> _U64(40)) & _U64(0xFF)
        opcode = (first >> _U64(32)) & _U64(0xFF)
        descriptor[classic] = (version << _U64(16) | level << _U64(32) | opcode << _U64(40))[classic]
        hook = kinds.IS_HOOK[header_type]
        version, opcode = first & _U64(0xFF), (first >> _U64(48)) & _U64(0xFF)
        descriptor[hook] = (version << _U64(16) | opcode << _U64(40))[hook]
        message = header_type == kinds.WPP_TYPE
        message |= header_type == layout.HeaderType.MESSAGE
        descriptor[message] = ((first >> _U64(32)) & _U64(0xFFFF))[message]
        return descriptor

    @cached_property
    def level(self) -> np.ndarray:
        """ETW levels."""
        return self.descriptor.view(np.uint8)[4::8].copy()

    @cached_property
    def keyword(self) -> np.ndarray:
        """ETW keywords; 0 for kinds that have none."""
        whole = kinds.IS_DESCRIBED_BY_DESCRIPTOR.take(self.records.header_type)
        keyword = np.zeros(len(self), _U64)
        if whole.all():
            keyword = self.words.take(self.first_word + 6)
        else:
            keyword[whole] = self.words[self.first_word[whole] + 6]
        return keyword

    # --- what the events are ---

    @cached_property
    def classes(self) -> Classes:
        """Which records are alike in kind, provider, name and level."""
        from otel_etw.tables.classes import classes_of

        return classes_of(self)

    @cached_property
    def places(self) -> Places:
        """Where traits, metadata and payload of event records are."""
        return _places(self)


def unix_nano(clock: Clock, raw: np.ndarray) -> np.ndarray:
    """:meth:`.Clock.unix_nano` of many raw times, kept within 64 bits."""
    exact = clock.denominator <= _MOST_EXACT and clock.numerator <= 10**7
    if exact and len(raw):
        lowest, highest = int(raw.min()), int(raw.max())
        ends = [clock.unix_nano(lowest), clock.unix_nano(highest)]
        exact = all(abs(end) <= _I64_MAX for end in ends) and abs(clock.first_raw) < 1 << 61
        exact = exact and abs(lowest) < 1 << 61 and abs(highest) < 1 << 61
    if not exact:
        times = [min(max(clock.unix_nano(one), -_I64_MAX - 1), _I64_MAX) for one in raw.tolist()]
        return np.array(times, np.int64)
    since = raw - clock.first_raw
    if clock.numerator == clock.denominator:
        ticks = since
    else:
        whole, rest = np.divmod(since, clock.denominator)
        ticks = whole * clock.numerator + rest * clock.numerator // clock.denominator
    return (ticks + (clock.start_filetime - _UNIX_EPOCH_TICKS)) * 100


def _places(batch: EventBatch) -> Places:
    records = batch.records
    count = len(batch)
    is_event = kinds.IS_EVENT.take(records.header_type)
    form = np.full(count, -1, np.int32)
    payload = records.position + kinds.FIXED_BYTES.take(records.header_type)
    related = np.zeros(count, np.int64)
    stack = np.zeros(count, np.uint8)
    is_odd = ~kinds.IS_SIMPLE.take(records.header_type)
    first = batch.words.take(batch.first_word)
    # Kernel records whose version word announces counters.
    if not is_event.all():
        is_odd |= kinds.IS_HOOK.take(records.header_type) & ((first & _U64(0x8700)) != 0)
    has_items = is_event & ((first >> _U64(32)) & _U64(layout.EventHeaderFlag.EXTENDED_INFO)).astype(bool)
    if not has_items.any():
        is_odd |= is_event & _is_tracelogging(batch)
        return Places(form, payload, related, stack, is_odd)
    rows = np.flatnonzero(has_items)
    found = _items(batch, rows)
    payload[rows] = found.end
    if found.is_unusual:
        related[rows] = found.related
        stack[rows] = found.stack
        is_odd[rows] |= found.is_odd
    described = (found.describing_end > 0) & ~found.is_odd
    if len(rows) < count or not described.all():
        # An event of this channel without metadata may have it in front of its payload.
        without = is_event.copy()
        without[rows[described]] = False
        is_odd |= without & _is_tracelogging(batch)
        start, end = found.describing_start[described], found.describing_end[described]
        rows = rows[described]
    else:
        start, end = found.describing_start, found.describing_end
    form[rows] = assign(
        batch.forms,
        batch.chunk.data,
        records.header_type.take(rows),
        records.position.take(rows),
        start,
        end,
    )
    return Places(form, payload, related, stack, is_odd)


def _is_tracelogging(batch: EventBatch) -> np.ndarray:
    return ((batch.descriptor >> _U64(24)) & _U64(0xFF)) == CHANNEL_TRACELOGGING


@dataclass(frozen=True)
class _Items:
    end: np.ndarray
    describing_start: np.ndarray
    describing_end: np.ndarray
    """0 where no item holds metadata."""
    related: np.ndarray
    stack: np.ndarray
    is_odd: np.ndarray
    is_unusual: bool = True
    """Whether there is anything but traits and metadata."""


_KIND_AND_LINK = _U64(0x1FFFF0000)
_TRAITS_THEN_MORE = _U64(ExtendedType.PROVIDER_TRAITS << 16 | 1 << 32)
_LAST_METADATA = _U64(ExtendedType.EVENT_SCHEMA_TL << 16)


def _items(batch: EventBatch, rows: np.ndarray) -> _Items:
    """The chains of extended items of those records. Nearly all are traits and then metadata, and no more."""
    records = batch.records
    position = records.position.take(rows)
    record_end = position + records.size.take(rows)
    at = position + kinds.FIXED_BYTES.take(records.header_type.take(rows))
    first, first_bytes, first_fits = _item(batch, at, record_end)
    second, second_bytes, second_fits = _item(batch, at + first_bytes, record_end)
    usual = (first & _KIND_AND_LINK) == _TRAITS_THEN_MORE
    usual &= (second & _KIND_AND_LINK) == _LAST_METADATA
    usual &= first_fits & second_fits
    end = at + first_bytes + second_bytes
    nothing = np.zeros(len(rows), np.int64)
    if usual.all():
        return _Items(end, at, end, nothing, nothing, nothing.astype(bool), is_unusual=False)
    other = _chains(batch, rows[~usual])
    items = _Items(end, at, end.copy(), nothing, nothing.astype(np.uint8), nothing.astype(bool))
    for name in ("end", "describing_start", "describing_end", "related", "stack", "is_odd"):
        getattr(items, name)[~usual] = getattr(other, name)
    return items


def _item(
    batch: EventBatch, at: np.ndarray, record_end: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The header of the item at each place, its whole size, and whether both are possible."""
    word = batch.words.take(np.minimum(at >> 3, len(batch.words) - 1))
    halves = word.view("<u2").reshape(-1, 4)
    size = halves[:, 0].astype(np.int64)
    fits = (at + size <= record_end) & (size >= halves[:, 3].astype(np.int64) + 8)
    fits &= size & 7 == 0
    return word, size, fits


def _chains(batch: EventBatch, rows: np.ndarray) -> _Items:
    """Any chains, item after item; long, damaged and mixed ones are odd."""
    records = batch.records
    position = records.position[rows]
    record_end = position + records.size[rows]
    at = position + kinds.FIXED_BYTES[records.header_type[rows]]
    count = len(rows)
    start, end, related, seen = (np.zeros(count, np.int64) for _ in range(4))
    stack = np.zeros(count, np.uint8)
    is_odd = np.zeros(count, bool)
    going = np.ones(count, bool)
    for _ in range(_MOST_ITEMS):
        word, size, fits = _item(batch, at, record_end)
        kind = ((word >> _U64(16)) & _U64(0xFFFF)).astype(np.int64)
        is_odd |= going & ~fits
        going &= fits
        describes = going & ((kind == ExtendedType.PROVIDER_TRAITS) | (kind == ExtendedType.EVENT_SCHEMA_TL))
        # Of each kind the first counts, and both stand together; anything else is looked at one by one.
        bit = np.where(kind == ExtendedType.EVENT_SCHEMA_TL, 1, 2)
        is_odd |= describes & ((seen & bit != 0) | ((end != 0) & (end != at)))
        seen[describes] |= bit[describes]
        begins = describes & (end == 0)
        start[begins] = at[begins]
        end[describes] = (at + size)[describes]
        is_related = going & (kind == ExtendedType.RELATED_ACTIVITY_ID)
        is_odd |= is_related & (((word >> _U64(48)) != 16) | (related != 0))
        related[is_related] = at[is_related] + 8
        is_stack = (kind == ExtendedType.STACK_TRACE32) | (kind == ExtendedType.STACK_TRACE64)
        stack |= (going & is_stack).view(np.uint8)
        at = np.where(going, at + size, at)
        going &= ((word >> _U64(32)) & _U64(layout.LINKAGE_MORE)).astype(bool)
        if not going.any():
            break
    is_odd |= going
    is_odd |= seen == 2  # traits alone: no form says whose they are
    end[seen & 1 == 0] = 0
    return _Items(at, start, end, related, stack, is_odd)
