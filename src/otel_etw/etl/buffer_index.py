"""Where the buffers of a file are and when each starts, without reading them.

A file of equal buffers is looked through with one small positioned read per buffer: its header and the
start of its first record, a thousand at a time. The same goes for buffers that follow each other by their
sizes, as in compressed files, where the first record's bytes are decompressed alone.  Only what nothing is
wrong with goes this way.  Everything else is left to :class:`.BufferWalk`, one buffer at a time, and a
buffer whose first record does not say the time at a fixed place is read and walked: the result is always
what those two give.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from struct import Struct
from typing import final

from otel_etw.errors import DecodeError
from otel_etw.etl import layout
from otel_etw.etl.buffers import Buffer, BufferWalk, most_plain_bytes, processor_of, read_records
from otel_etw.etl.damage import DamageKind, DamageReport
from otel_etw.etl.layout import BUFFER_HEADER_BYTES, BufferFlag
from otel_etw.etl.source import Source
from otel_etw.etl.walking import SHAPES, RecordKind, message_time, walk
from otel_etw.etl.xpress import decompress_prefix, prefix_stored_bytes

_RECORD_BYTES = 40
"""Of a first record: enough for the time of every kind, in a message behind sequence number, GUID or id."""
_READ_BYTES = BUFFER_HEADER_BYTES + _RECORD_BYTES
_READ_COMPRESSED_BYTES = BUFFER_HEADER_BYTES + prefix_stored_bytes(_RECORD_BYTES)

_AT_ONCE = 1024
_FIRST_PART = 64
"""Buffers in the first part of :func:`index_parts`: for who wants but a few events."""

_HEADER_FIELDS = "II8xqq8xHH4xIHH16x"
_RECORD_FIELDS = "HHHBBqq16x"
_HEADER = Struct("<" + _HEADER_FIELDS)
_RECORD = Struct("<" + _RECORD_FIELDS)
_BOTH = Struct("<" + _HEADER_FIELDS + _RECORD_FIELDS)
"""Of the header BufferSize, SavedOffset, TimeStamp, SequenceNumber, ProcessorIndex, LoggerId, FilledBytes,
BufferFlag and BufferType. Of the record three u16, two bytes, and the i64 at 8 and 16."""
_KIND = Struct("<HH")
_MESSAGE = layout.MARKER_TRACE << 8 | layout.HeaderType.MESSAGE
_LEAST_RECORD_BYTES = 8
_COMPRESSED = int(BufferFlag.COMPRESSED)
_SIZE, _FILLED, _FLAGS, _HEADER_COLUMNS = 0, 6, 7, 9


def _time_rules() -> dict[int, tuple[int, bool, bool, bool]]:
    """Third and fourth byte of a record -> least size, whether Size stands at 4 (not 0), whether the time
    does at 8 (not 16), and whether it may be a blank."""
    rules = {}
    for header_type, shape in SHAPES.items():
        if shape.time_offset:
            is_compact = shape.kind is RecordKind.COMPACT
            rule = shape.fixed_bytes, bool(shape.size_offset), shape.time_offset == 8, is_compact
            rules[layout.MARKER_TRACE << 8 | header_type] = rule
    return rules


_TIME_RULES = _time_rules()


@final
class BufferIndex:
    """The buffers of a file in file order, as columns: some 70 bytes for each buffer.

    ``array`` columns, so that ``numpy.frombuffer(column, column.typecode)`` is a view of one. What they mean
    is said at :class:`.Buffer`.
    """

    def __init__(self, damage: DamageReport) -> None:
        self.damage = damage
        """What was wrong with headers and sizes; what is inside of buffers shows when they are read."""
        self.number = array("q")
        """:attr:`.Buffer.index`: its place among all headers of the file, damaged ones included."""
        self.file_offset = array("q")
        self.size_bytes = array("I")
        self.available_bytes = array("I")
        self.filled_bytes = array("I")
        self.saved_offset = array("I")
        self.timestamp = array("q")
        self.sequence_number = array("q")
        self.processor = array("H")
        self.logger_id = array("H")
        self.flags = array("H")
        self.buffer_type = array("H")
        self.first_raw = array("q")
        """Raw time of the first record, which is the least one unless times in the buffer decrease, as they
        do in damaged files only. Of a buffer without records, and where the first one has no time, that of
        the trace's start."""

    def __len__(self) -> int:
        return len(self.first_raw)

    def __iter__(self) -> Iterator[Buffer]:
        return map(self.buffer, range(len(self)))

    def buffer(self, position: int) -> Buffer:
        """The buffer at a position of the columns."""
        return Buffer(
            self.number[position],
            self.file_offset[position],
            self.size_bytes[position],
            self.available_bytes[position],
            self.filled_bytes[position],
            self.saved_offset[position],
            self.timestamp[position],
            self.sequence_number[position],
            self.processor[position],
            self.logger_id[position],
            self.flags[position],
            self.buffer_type[position],
        )

    def by_first_time(self) -> list[int]:
        """The positions by :attr:`first_raw`; those of the same time as they stand in the file."""
        return sorted(range(len(self)), key=self.first_raw.__getitem__)

    def extend(self, other: BufferIndex) -> None:
        """Put the buffers of ``other`` behind these."""
        for name, column in vars(self).items():
            if name != "damage":
                column.extend(getattr(other, name))

    def add(self, buffer: Buffer, first_raw: int) -> None:
        """Put one buffer behind the others."""
        self.number.append(buffer.index)
        self.file_offset.append(buffer.file_offset)
        self.size_bytes.append(buffer.size_bytes)
        self.available_bytes.append(buffer.available_bytes)
        self.filled_bytes.append(buffer.filled_bytes)
        self.saved_offset.append(buffer.saved_offset)
        self.timestamp.append(buffer.timestamp)
        self.sequence_number.append(buffer.sequence_number)
        self.processor.append(buffer.processor)
        self.logger_id.append(buffer.logger_id)
        self.flags.append(buffer.flags)
        self.buffer_type.append(buffer.buffer_type)
        self.first_raw.append(first_raw)


@final
class Indexer:
    """One pass over the buffers that ``walk`` finds in ``source``; ``start_raw`` is the trace's start."""

    def __init__(self, source: Source, walk: BufferWalk, start_raw: int, damage: DamageReport) -> None:
        self._source = source
        self._walk = walk
        self._start_raw = start_raw
        self._damage = damage
        self._hoped = _FIRST_PART

    def parts(self) -> Iterator[BufferIndex]:
        """The index piece by piece, each as soon as its buffers are found, a small one first."""
        walk = self._walk
        while not walk.has_ended:
            part = BufferIndex(self._damage)
            if not (self._add_equal(part) if walk.usual_bytes else self._add_following(part)):
                buffer = walk.advance()
                if buffer is not None:
                    part.add(buffer, self._time_when_read(buffer))
            if len(part):
                yield part

    def _add_equal(self, part: BufferIndex) -> bool:
        """Add buffers of the usual size with nothing odd about them; whether there were any."""
        walk, size = self._walk, self._walk.usual_bytes
        offsets = range(walk.offset, walk.end - size + 1, size)[: self._hoped]
        if size < _READ_BYTES or not offsets:
            return False
        heads = b"".join(self._source.read_many(offsets, _READ_BYTES))
        whole = memoryview(heads)[: len(heads) // _READ_BYTES * _READ_BYTES]
        columns = list(zip(*_BOTH.iter_unpack(whole), strict=True))
        count = _equal_at_start(columns[_SIZE], columns[_FLAGS], size) if columns else 0
        # To have been wrong about a file costs no more than to take its buffers one by one.
        self._hoped = min(_AT_ONCE, count * 4) if count == len(offsets) else max(1, count)
        if count:
            columns = [column[:count] for column in columns]
            self._add(part, offsets[:count], columns, columns[_SIZE], partial(_record_of, heads))
        return count > 0

    def _add_following(self, part: BufferIndex) -> bool:
        """Add buffers that follow each other by their sizes; whether there were any."""
        offset, end = self._walk.offset, self._walk.end
        offsets: list[int] = []
        rows: list[tuple[int, ...]] = []
        limits: list[int] = []
        records: list[bytes | bytearray] = []
        while len(rows) < self._hoped:
            head = self._source.read(offset, min(_READ_COMPRESSED_BYTES, max(0, end - offset)))
            if len(head) < BUFFER_HEADER_BYTES:
                break
            header = _HEADER.unpack_from(head)
            size = header[_SIZE]
            if not BUFFER_HEADER_BYTES <= size <= min(layout.MAX_BUFFER_BYTES_IN_FILE, end - offset):
                break
            limit = size
            record: bytes | bytearray = head[BUFFER_HEADER_BYTES:_READ_BYTES]
            if header[_FLAGS] & _COMPRESSED:
                limit = most_plain_bytes(size - BUFFER_HEADER_BYTES) + BUFFER_HEADER_BYTES
                record = _start_of_contents(head[:size], min(header[_FILLED], limit))
            record = record.ljust(_RECORD_BYTES, b"\0")
            offsets.append(offset)
            rows.append(header + _RECORD.unpack(record))
            limits.append(limit)
            records.append(record)
            offset += size
        self._hoped = min(_AT_ONCE, max(1, len(rows)) * 4)
        if rows:
            self._add(part, offsets, list(zip(*rows, strict=True)), limits, records.__getitem__)
        return bool(rows)

    def _add(
        self,
        part: BufferIndex,
        offsets: Sequence[int],
        columns: list[tuple[int, ...]],
        limits: Sequence[int],
        record_of: Callable[[int], bytes | bytearray],
    ) -> None:
        """Add whole buffers. Of each there are its offset, a row of ``columns``, the most plain bytes that
        it may state, and the start of its first record."""
        sizes, saved, stamps, sequences, contexts, loggers, filled, flags, kinds = columns[:_HEADER_COLUMNS]
        part.number.extend(range(self._walk.index, self._walk.index + len(sizes)))
        part.file_offset.extend(offsets)
        part.size_bytes.extend(sizes)
        part.available_bytes.extend(sizes)
        part.filled_bytes.extend(filled)
        part.saved_offset.extend(saved)
        part.timestamp.extend(stamps)
        part.sequence_number.extend(sequences)
        part.processor.extend(map(processor_of, contexts, flags))
        part.logger_id.extend(loggers)
        part.flags.extend(flags)
        part.buffer_type.extend(kinds)
        rows = zip(*columns[_HEADER_COLUMNS:], filled, limits, strict=True)
        for place, raw in enumerate(_times(rows)):
            if raw is None:
                raw = self._time_of_other(part.buffer(place), record_of(place), limits[place])
            part.first_raw.append(raw)
        self._walk.index += len(sizes)
        self._walk.offset = offsets[-1] + sizes[-1]

    def _time_of_other(self, buffer: Buffer, record: bytes | bytearray, limit: int) -> int:
        """The time of a first record that is a message, or that has to be looked for."""
        room = buffer.filled_bytes - BUFFER_HEADER_BYTES
        if 0 <= room < _LEAST_RECORD_BYTES:
            return self._start_raw
        size, kind = _KIND.unpack_from(record)
        is_message = kind == _MESSAGE or kind >> 8 == layout.MARKER_MESSAGE
        if is_message and layout.MESSAGE_HEADER.size <= size <= room <= limit - BUFFER_HEADER_BYTES:
            return message_time(record, 0, size, self._start_raw)
        return self._time_when_read(buffer)

    def _time_when_read(self, buffer: Buffer) -> int:
        data = read_records(self._source, buffer, DamageReport())
        first = next(walk(data, self._start_raw, _ignore), None)
        return self._start_raw if first is None else first.raw


def _equal_at_start(sizes: Sequence[int], flags: Sequence[int], size: int) -> int:
    """How many buffers, from the first on, have the ``size`` and are not compressed."""
    if sizes.count(size) == len(sizes) and not any(flag & _COMPRESSED for flag in set(flags)):
        return len(sizes)
    pairs = zip(sizes, flags, strict=True)
    return next(n for n, (found, flag) in enumerate(pairs) if found != size or flag & _COMPRESSED)


def _record_of(heads: bytes, place: int) -> bytes:
    start = place * _READ_BYTES
    return heads[start + BUFFER_HEADER_BYTES : start + _READ_BYTES]


def _start_of_contents(head: bytes, filled_bytes: int) -> bytes | bytearray:
    """The first plain bytes of a compressed buffer; none if it does not decompress."""
    wanted = max(0, min(filled_bytes - BUFFER_HEADER_BYTES, _RECORD_BYTES))
    try:
        return decompress_prefix(head[BUFFER_HEADER_BYTES:], wanted)
    except DecodeError:
        return b""


def _times(rows: Iterable[tuple[int, ...]]) -> list[int | None]:
    """The time of each first record; ``None`` where it is not at a fixed place of an intact event."""
    times: list[int | None] = []
    for low, kind, size, _, group, at_8, at_16, filled, limit in rows:
        rule = _TIME_RULES.get(kind)
        raw = None
        if rule is not None and filled <= limit:
            least, is_size_at_4, is_time_at_8, may_be_blank = rule
            if least <= (size if is_size_at_4 else low) <= filled - BUFFER_HEADER_BYTES:
                raw = at_8 if is_time_at_8 else at_16
                if may_be_blank and group == layout.BLANK_GROUP:
                    raw = None
        times.append(raw)
    return times


def _ignore(kind: DamageKind, pos: int, why: str) -> None:
    """Damage is reported when a buffer is read for its records."""
