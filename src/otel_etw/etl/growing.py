"""One trace file that somebody may still be writing: each look at it finds the records that are new since.

A growing file changes in three places: the newest buffer's FilledBytes grow, buffers come behind it, and
in a circular file the oldest buffer becomes the newest, with the next SequenceNumber.  So what was read is
remembered as (SequenceNumber, FilledBytes) per buffer: of the last one only, or of all of a circular file.

What a buffer holds is settled once its successor is seen, not before: a look first finds the buffers, and
reads the header of each again when its turn comes.  In a circular file a buffer may be given up under the
reader's hands; that shows in its header afterwards, or in the blanks that take the place of its events
(:mod:`.recycling`), and is counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from heapq import heappop, heappush
from struct import Struct
from typing import NamedTuple, final

from otel_etw.errors import TraceFileError
from otel_etw.etl import layout
from otel_etw.etl.buffer_index import Indexer
from otel_etw.etl.buffers import (
    Buffer,
    BufferWalk,
    has_possible_size,
    parse_buffer_header,
    read_records,
    skip_reporter,
)
from otel_etw.etl.context import TraceContext
from otel_etw.etl.damage import DamageKind, DamageReport
from otel_etw.etl.event import Event
from otel_etw.etl.layout import BUFFER_HEADER_BYTES, BufferFlag, LogFileMode, align8
from otel_etw.etl.manifest_events import gather_manifests
from otel_etw.etl.source import Source
from otel_etw.etl.trace_header import HEADER_READ_BYTES, TraceHeader, parse_trace_header
from otel_etw.etl.walking import SHAPES, Data, RecordKind, walk

_MOST_REPORTED = 100_000
"""Different damaged places; further ones are not looked at."""

_MOST_OPEN_BYTES = 64 * 1024 * 1024
"""Of buffers that overlap in time; beyond it events are delivered before others that are older."""

_I64 = Struct("<q")
_FIRST_BYTES = 0x18
"""Of a record: its kind and, in nearly all, its time."""
_NO_TIME = -(1 << 63)

_NUMBERS_OF_HEADER = ("end_time_filetime", "events_lost", "buffers_lost", "buffers_written")
_IDENTITY = ("start_time_filetime", "first_timestamp_raw", "process_id", "buffer_size_bytes")


class _Place(NamedTuple):
    """How far a buffer was read."""

    sequence_number: int
    end: int
    """In the plain buffer, header included: where its next new record starts."""


class _Part(NamedTuple):
    """New records of one buffer, found but not read."""

    first_raw: int
    buffer: Buffer
    start: int


@final
class GrowingFile:
    """An open file and how far it was read. Not for several threads.

    The constructor takes ``source`` over, unless it raises: :class:`.TraceFileError` if there is no trace.
    """

    header: TraceHeader
    """Its numbers are those of the last look."""
    damage: DamageReport
    """What was wrong so far."""
    overwritten_buffers: int
    """Buffers of a circular file whose events were overwritten before all of them were read."""

    def __init__(self, path: str, source: Source) -> None:
        self.path = path
        self.header = parse_trace_header(source.read(0, min(source.size(), HEADER_READ_BYTES)))
        self.source = source
        self.damage = _ReportOfMany()
        self.overwritten_buffers = 0
        self.has_ended = False
        """Whether the writer has finished the file: it has an end time, and its newest buffer is marked."""
        self._context = TraceContext(self.header.clock, self.header.pointer_size)
        self._at_end = DamageReport()
        self._tail: Buffer | None = None  # sequential: the last buffer there is
        self._places: dict[int, _Place] = {}
        self._first_raws: dict[int, int] = {}
        self._looked_at: dict[int, Buffer] = {}
        self._newest: Buffer | None = None
        self._oldest: Buffer | None = None
        self._last_sequence = 0
        self._is_dense = False

    @property
    def is_circular(self) -> bool:
        """Whether buffers are overwritten."""
        return bool(self.header.log_file_mode & LogFileMode.CIRCULAR)

    def close(self) -> None:
        """Give the file back. Idempotent."""
        self.source.close()

    def is_other_run(self) -> bool:
        """Whether the file was cut, or begun anew in place, so that nothing remembered of it holds."""
        end = self._tail.file_offset + BUFFER_HEADER_BYTES if self._tail else BUFFER_HEADER_BYTES
        size = self.source.size()
        if size < end:
            return True
        try:
            header = parse_trace_header(self.source.read(0, min(size, HEADER_READ_BYTES)))
        except TraceFileError:
            return True
        if any(getattr(header, name) != getattr(self.header, name) for name in _IDENTITY):
            return True
        self.header = replace(self.header, **{name: getattr(header, name) for name in _NUMBERS_OF_HEADER})
        return False

    def skip(self) -> None:
        """Take everything that is there now for read."""
        for part in self._look():
            buffer = self._header_now(part.buffer) or part.buffer
            self._places[buffer.index] = _Place(buffer.sequence_number, buffer.filled_bytes)

    def new_events(self, *, file_order: bool = False) -> Iterator[Event]:
        """The records that came since the last time, by time, or as stored. To be exhausted before the next.

        The order is exact within one look, as far as buffers of 64 MiB overlap in time.
        """
        parts = self._look()
        if file_order or len(parts) < 2:
            for part in parts:
                yield from self._read(part)
            return
        yield from self._merged(parts)

    def note_problems(self, event: Event, why: str) -> None:
        """An event that was just delivered could not be decoded completely."""
        report = skip_reporter(self._looked_at[event.buffer], self.damage)
        report(DamageKind.EVENT, event.offset - BUFFER_HEADER_BYTES, why)

    def final_damage(self) -> DamageReport:
        """All that was wrong, what the last look found at the end of the file included."""
        for entry in self._at_end.entries:
            self.damage.add(*entry)
        return self.damage

    # --- finding what is new --------------------------------------------------------------------

    def _look(self) -> list[_Part]:
        self._at_end = DamageReport()
        self._first_raws, self._looked_at = {}, {}
        parts = self._look_around() if self.is_circular else self._look_behind()
        newest = self._newest if self.is_circular else self._tail
        marked = newest is not None and newest.flags & BufferFlag.FLUSH_MARKER
        self.has_ended = bool(self.header.end_time_filetime and marked and not parts)
        return parts

    def _look_behind(self) -> list[_Part]:
        """A file that only grows: the last buffer known, and those after it."""
        found = list(self._walk(self._tail))
        parts = []
        for number, buffer in enumerate(found):
            is_last = number == len(found) - 1
            # What was seen before its successor may have grown in between.
            now = buffer if is_last else self._header_now(buffer) or buffer
            place = self._places.get(buffer.index)
            start = place.end if place else BUFFER_HEADER_BYTES
            filled = now.filled_bytes if now.is_compressed else min(now.filled_bytes, now.available_bytes)
            if filled > start:
                parts.append(self._part(now, start))
        if found:
            self._tail = found[-1]
            place = self._places.get(self._tail.index)
            self._places = {} if place is None else {self._tail.index: place}
        return parts

    def _look_around(self) -> list[_Part]:
        """A circular file: the newest buffer if nothing else has changed, otherwise all."""
        newest, last = self._newest, self._tail
        if newest is not None and last is not None and self._only_newest_may_have_changed(newest, last):
            now = self._newest = self._header_now(newest) or newest
            end = self._places[now.index].end
            return [self._part(now, end)] if now.filled_bytes > end else []
        found = self._settled_buffers()
        parts = []
        for buffer in found:
            place = self._places.get(buffer.index)
            is_new = place is None or place.sequence_number != buffer.sequence_number
            if is_new:
                self._note_gap(buffer.sequence_number)
                self._places.pop(buffer.index, None)
            start = BUFFER_HEADER_BYTES if place is None or is_new else place.end
            # What was the newest may have grown until its successor was begun.
            was_newest = newest is not None and buffer.index == newest.index
            if is_new or was_newest or buffer.filled_bytes > start:
                parts.append(self._part(buffer, start))
        with_events = [buffer for buffer in found if buffer.index] or found
        if with_events:
            self._oldest, self._newest = with_events[0], with_events[-1]
            self._last_sequence = max(self._last_sequence, self._newest.sequence_number)
        if newest is None:
            self._is_dense = _are_consecutive(with_events)
        return parts

    def _only_newest_may_have_changed(self, newest: Buffer, last: Buffer) -> bool:
        """Buffers are overwritten oldest first, and new ones come behind the last."""
        oldest = self._oldest or newest
        return (
            newest.index in self._places
            and self._header_now(newest) is not None
            and self._header_at(oldest).sequence_number == oldest.sequence_number
            and not self._starts_at(last.file_offset + last.size_bytes)
        )

    def _settled_buffers(self) -> list[Buffer]:
        """All buffers by SequenceNumber, none of which is to come before a later one is delivered.

        While the headers are read, one after the other, a buffer may be overwritten behind the reader's back
        and the next one before its eyes.  One that a second look does not find either is gone.
        """
        found = self._by_sequence_number()
        if not found or _are_consecutive([buffer for buffer in found if buffer.index]):
            return found
        latest = found[-1].sequence_number
        return [buffer for buffer in self._by_sequence_number() if buffer.sequence_number <= latest]

    def _by_sequence_number(self) -> list[Buffer]:
        found = list(self._walk(None))
        if found:
            self._tail = found[-1]
        changing = layout.CHANGING_SEQUENCE_NUMBER
        settled = [buffer for buffer in found if buffer.sequence_number & changing != changing]
        return sorted(settled, key=lambda buffer: buffer.sequence_number)

    def _note_gap(self, sequence_number: int) -> None:
        """Buffers are numbered as they are begun: what is left out was begun and overwritten unseen."""
        if self._is_dense and sequence_number > self._last_sequence + 1:
            self.overwritten_buffers += sequence_number - self._last_sequence - 1
        self._last_sequence = max(self._last_sequence, sequence_number)

    def _walk(self, start: Buffer | None) -> Iterator[Buffer]:
        place = (start.file_offset, start.index) if start is not None else (0, 0)
        report = DamageReport()
        buffers = BufferWalk(self.source, self.header, self.source.size(), report, place)
        for found in Indexer(self.source, buffers, self.header.first_timestamp_raw, report).parts():
            for buffer, first_raw in zip(found, found.first_raw, strict=True):
                self._first_raws[buffer.index] = first_raw
                yield buffer
        for entry in report.entries:
            # The end of a file that grows is no damage until it has stopped growing.
            report = self._at_end if entry.kind is DamageKind.TRUNCATED else self.damage
            report.add(*entry)

    def _part(self, buffer: Buffer, start: int) -> _Part:
        self._places.setdefault(buffer.index, _Place(buffer.sequence_number, start))
        self._looked_at[buffer.index] = buffer
        return _Part(self._first_raw(buffer, start), buffer, start)

    def _first_raw(self, buffer: Buffer, start: int) -> int:
        if start == BUFFER_HEADER_BYTES:
            return self._first_raws.get(buffer.index, _NO_TIME)
        record = self.source.read(buffer.file_offset + start, _FIRST_BYTES)
        if len(record) < _FIRST_BYTES:
            return _NO_TIME
        shape = SHAPES.get(record[2]) if record[3] == layout.MARKER_TRACE else None
        if shape is None or not shape.time_offset:
            return _NO_TIME
        raw: int = _I64.unpack_from(record, shape.time_offset)[0]
        return raw

    def _header_at(self, buffer: Buffer) -> Buffer:
        data = self.source.read(buffer.file_offset, BUFFER_HEADER_BYTES)
        return parse_buffer_header(data.ljust(BUFFER_HEADER_BYTES, b"\0"), buffer.index, buffer.file_offset)

    def _header_now(self, buffer: Buffer) -> Buffer | None:
        """``buffer`` as its header is now; ``None`` if it is another one or about to be."""
        now = self._header_at(buffer)
        if now.sequence_number != buffer.sequence_number or now.filled_bytes < buffer.filled_bytes:
            return None
        available = min(buffer.size_bytes, max(0, self.source.size() - buffer.file_offset))
        return replace(now, size_bytes=buffer.size_bytes, available_bytes=available)

    def _starts_at(self, offset: int) -> bool:
        if self.source.size() < offset + BUFFER_HEADER_BYTES:
            return False
        return has_possible_size(parse_buffer_header(self.source.read(offset, BUFFER_HEADER_BYTES)))

    # --- reading it -----------------------------------------------------------------------------

    def _merged(self, parts: list[_Part]) -> Iterator[Event]:
        """Parts are opened when their time comes; at the same time the one found first goes first."""
        open_events: list[tuple[int, int, Event, Iterator[Event], int]] = []
        open_bytes = 0

        def pop() -> Event:
            nonlocal open_bytes
            _, number, event, rest, size = heappop(open_events)
            following = next(rest, None)
            if following is None:
                open_bytes -= size
            else:
                heappush(open_events, (following.timestamp_raw, number, following, rest, size))
            return event

        for number, part in enumerate(sorted(parts, key=lambda part: part.first_raw)):
            while open_events and (open_events[0][0] < part.first_raw or open_bytes > _MOST_OPEN_BYTES):
                yield pop()
            events = self._read(part)
            first = next(events, None)
            if first is not None:
                open_bytes += part.buffer.filled_bytes
                heappush(open_events, (first.timestamp_raw, number, first, events, part.buffer.filled_bytes))
        while open_events:
            yield pop()

    def _read(self, part: _Part) -> Iterator[Event]:
        """The records from ``part.start`` on, up to what is there now."""
        buffer = self._header_now(part.buffer)
        if buffer is None:
            self.overwritten_buffers += 1
            return
        found = DamageReport()
        data = read_records(self.source, buffer, found, may_change=self.is_circular)
        for entry in found.entries:
            if entry.kind is not DamageKind.OVERWRITTEN:  # has a count of its own here
                self.damage.add(*entry)
        if self.is_circular and self._header_now(buffer) is None:
            self.overwritten_buffers += 1
            return
        if buffer.available_bytes < min(buffer.size_bytes, buffer.filled_bytes) and buffer.is_compressed:
            self._places.pop(buffer.index, None)
            return
        gather_manifests(data, self._context)
        yield from self._walk_records(buffer, data, part.start)

    def _walk_records(self, buffer: Buffer, data: Data, start: int) -> Iterator[Event]:
        is_cut = not buffer.is_compressed and buffer.available_bytes < buffer.filled_bytes
        end = len(data)
        report = skip_reporter(buffer, self.damage)

        def on_skip(kind: DamageKind, at: int, why: str) -> None:
            nonlocal end
            if is_cut and kind is DamageKind.RECORD:
                end = at  # it will be complete when more of the file is there
            report(kind, at, why)

        self._places[buffer.index] = _Place(buffer.sequence_number, BUFFER_HEADER_BYTES + end)
        pos = start - BUFFER_HEADER_BYTES
        has_blanks = False
        for record_pos, size, shape, raw in walk(data, self.header.first_timestamp_raw, on_skip, pos):
            has_blanks = has_blanks or (record_pos != pos and _is_blank(data, pos))
            pos = record_pos + align8(size)
            record = bytes(data[record_pos : record_pos + size])
            offset = record_pos + BUFFER_HEADER_BYTES
            yield Event(record, shape, raw, buffer.processor, buffer.index, offset, self._context)
        self.overwritten_buffers += has_blanks or _is_blank(data, pos)
        self._places[buffer.index] = _Place(buffer.sequence_number, BUFFER_HEADER_BYTES + end)


class _ReportOfMany(DamageReport):
    """The report of many looks at a file: of each place what was found there first.

    Events are delivered once, and each has a place of its own or shares that of its buffer with others.
    """

    def __init__(self) -> None:
        super().__init__()
        self._known: set[tuple[DamageKind, int]] = set()

    def add(self, kind: DamageKind, offset: int, buffer: int, why: str) -> None:
        """Count one place, if it is another one than all before."""
        if kind is DamageKind.EVENT:
            super().add(kind, offset, buffer, why)
        elif (kind, offset) not in self._known and len(self._known) < _MOST_REPORTED:
            self._known.add((kind, offset))
            super().add(kind, offset, buffer, why)


def _are_consecutive(buffers: list[Buffer]) -> bool:
    return not buffers or buffers[-1].sequence_number - buffers[0].sequence_number == len(buffers) - 1


def _is_blank(data: Data, pos: int) -> bool:
    """Whether what stands there took the place of events that are being overwritten."""
    if pos + 8 > len(data) or data[pos + 3] != layout.MARKER_TRACE or data[pos + 7] != layout.BLANK_GROUP:
        return False
    shape = SHAPES.get(data[pos + 2])
    return shape is not None and shape.kind is RecordKind.COMPACT
