"""``open_etl``: a trace file's header, its events in file order or in time order, and what was wrong.

Reading streams: one buffer in memory at a time in file order, those that overlap in time in time
order.  The file may be growing; each iteration delivers what was there when it started.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from types import TracebackType
from typing import final

from otel_etw.errors import TraceFileError
from otel_etw.etl.buffers import Buffer, BufferWalk, read_records
from otel_etw.etl.context import TraceContext
from otel_etw.etl.damage import DamageKind, DamageReport
from otel_etw.etl.event import Event
from otel_etw.etl.layout import BUFFER_HEADER_BYTES, BufferType
from otel_etw.etl.source import Source
from otel_etw.etl.time_order import BufferCache, BufferIndex, Merge
from otel_etw.etl.trace_header import HEADER_READ_BYTES, TraceHeader, parse_trace_header
from otel_etw.etl.walking import OnSkip, walk

_TYPES_WITHOUT_EVENTS = frozenset(
    {BufferType.REFERENCE_TIME, BufferType.EMPTY_MARKER, BufferType.DEBUGGER_INFO}
)


def open_etl(path: str | os.PathLike[str]) -> Trace:
    """Open a trace file.

    ``with`` closes it at a known time; without, it closes when the last reference goes.
    Raises :class:`.TraceFileError` if it is no trace file (the message says what was expected and
    found), ``OSError`` if it cannot be read at all.
    """
    name = os.fspath(path)
    try:
        source = Source(name)
        size_bytes = source.size()
        header = parse_trace_header(source.read(0, min(size_bytes, HEADER_READ_BYTES)))
    except TraceFileError as error:
        raise TraceFileError(error.problem, offset=error.offset, where=name) from None
    return Trace(name, source, size_bytes, header)


@final
class Trace:
    """An open trace file. Several iterations at a time are fine; each has its own damage report.

    Made by :func:`open_etl`.
    """

    path: str
    header: TraceHeader
    size_bytes: int
    """Size of the file when it was opened or last iterated."""
    damage: DamageReport
    """Of the iteration that was started last, complete once that has ended."""
    buffers_read: int
    """Buffers of the iteration that was started last, up to now; header buffer included."""
    compressed_buffers_read: int
    decompressed_bytes: int
    """Valid bytes of those buffers, their headers included."""

    def __init__(self, path: str, source: Source, size_bytes: int, header: TraceHeader) -> None:
        self.path = path
        self.header = header
        self.size_bytes = size_bytes
        self._source = source
        self._context = TraceContext(header.clock, header.pointer_size)
        self._start_iteration()

    def __enter__(self) -> Trace:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Trace {self.path!r}, session {self.header.session_name!r}>"

    def close(self) -> None:
        """Give the file back; events already delivered stay valid. Idempotent."""
        self._source.close()

    def __iter__(self) -> Iterator[Event]:
        """All records in file order: in time order within a buffer, not between buffers."""
        report = self._start_iteration()
        for buffer in self._walk_buffers(report):
            data = self._read(buffer, report)
            for pos, size, shape, raw in walk(
                data, self.header.first_timestamp_raw, _skipper(buffer, report)
            ):
                record = bytes(data[pos : pos + size])
                offset = pos + BUFFER_HEADER_BYTES
                yield Event(record, shape, raw, buffer.processor, buffer.index, offset, self._context)

    def in_time_order(self) -> Iterator[Event]:
        """All records by raw time, those of the same time by their place in the file.

        Reads the file once before the first event, and its buffers a second time while they are
        merged; the damage report is complete when the first event comes.
        """
        report = self._start_iteration()
        first_raw = self.header.first_timestamp_raw
        index, cache = BufferIndex(), BufferCache()
        for buffer in self._walk_buffers(report):
            data = self._read(buffer, report)
            added = index.add(buffer, data, walk(data, first_raw, _skipper(buffer, report)))
            if added and cache.has_room(len(data)):
                cache.put(len(index) - 1, buffer, data)
        unreadable_now = DamageReport()
        load = partial(read_records, self._source, report=unreadable_now)
        for buffer, data, (pos, size, shape, raw) in Merge(index, cache, load, first_raw):
            record = bytes(data[pos : pos + size])
            offset = pos + BUFFER_HEADER_BYTES
            yield Event(record, shape, raw, buffer.processor, buffer.index, offset, self._context)

    def buffers(self) -> Iterator[Buffer]:
        """The buffers' headers in file order, without looking at their records."""
        return iter(BufferWalk(self._source, self.header, self._source.size(), DamageReport()))

    def _start_iteration(self) -> DamageReport:
        self.buffers_read = self.compressed_buffers_read = self.decompressed_bytes = 0
        self.damage = DamageReport()
        if not self.header.end_time_filetime:
            self.damage.unfinished = "the header has no end time: the recording was not closed"
        return self.damage

    def _walk_buffers(self, report: DamageReport) -> Iterator[Buffer]:
        self.size_bytes = self._source.size()
        return iter(BufferWalk(self._source, self.header, self.size_bytes, report))

    def _read(self, buffer: Buffer, report: DamageReport) -> bytes | bytearray:
        data = read_records(self._source, buffer, report)
        if report is self.damage:
            self.buffers_read += 1
            self.compressed_buffers_read += buffer.is_compressed
            self.decompressed_bytes += BUFFER_HEADER_BYTES + len(data)
        return data


def _skipper(buffer: Buffer, report: DamageReport) -> OnSkip:
    """What a walk over the records of ``buffer`` reports, with its place in the file."""

    def on_skip(kind: DamageKind, pos: int, why: str) -> None:
        if kind is DamageKind.RECORD:
            if buffer.buffer_type in _TYPES_WITHOUT_EVENTS:
                return
            if buffer.available_bytes < min(buffer.size_bytes, buffer.filled_bytes):
                return  # the cut record at the end of a truncated file, which is reported as that
        pos += BUFFER_HEADER_BYTES
        if buffer.is_compressed:
            report.add(kind, buffer.file_offset, buffer.index, f"{why}, at {pos:#x} when decompressed")
        else:
            report.add(kind, buffer.file_offset + pos, buffer.index, why)

    return on_skip
