"""``open_etl``: a trace file's header, its events in file order or in time order, and what was wrong.

Reading streams: one buffer in memory at a time in file order, those that overlap in time in time
order.  The file may be growing; each iteration delivers what was there when it started.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from types import TracebackType
from typing import final

from otel_etw.errors import TraceFileError
from otel_etw.etl.buffer_index import BufferIndex, Indexer
from otel_etw.etl.buffers import (
    Buffer,
    BufferWalk,
    is_settled,
    may_be_overwritten,
    plain_records,
    read_records,
    skip_reporter,
    stored_bytes,
)
from otel_etw.etl.context import TraceContext
from otel_etw.etl.damage import DamageEntry, DamageReport
from otel_etw.etl.event import Event
from otel_etw.etl.layout import BUFFER_HEADER_BYTES
from otel_etw.etl.manifest_events import gather_manifests
from otel_etw.etl.source import Source
from otel_etw.etl.time_order import BufferCache, Merge, ReadIndex
from otel_etw.etl.trace_header import HEADER_READ_BYTES, TraceHeader, parse_trace_header
from otel_etw.etl.walking import Data, walk

_RUN_BYTES = 4 * 1024 * 1024
"""Buffers that stand side by side are read together up to this size."""


def open_etl(path: str | os.PathLike[str]) -> Trace:
    """Open a trace file: also a compressed one (``.gz``, ``.zst``, or a ``.zip`` with one trace), a member of
    an archive (``archive.zip!member.etl``), and ``-``, standard input. Those are unpacked to disk first.

    ``with`` closes it at a known time; without, it closes when the last reference goes.
    Raises :class:`.TraceFileError` if it is no trace file (the message says what was expected and
    found), ``OSError`` if it cannot be read at all.
    """
    name = os.fspath(path)
    try:
        source = Source(name)
        size_bytes = source.size()
        start = source.read(0, min(size_bytes, HEADER_READ_BYTES))
        header = parse_trace_header(start)
    except (TraceFileError, OSError):
        # Anything but a plain file is rare, and its way in needs more modules.
        from otel_etw.etl import inputs

        return inputs.open_single(name)
    return Trace(name, source, size_bytes, header, file_path=name)


@final
class Trace:
    """An open trace file. Several iterations at a time are fine; each has its own damage report.

    Made by :func:`open_etl`.
    """

    path: str
    header: TraceHeader
    size_bytes: int
    """Size of the file when it was opened or last iterated."""
    file_path: str | None
    """Where other processes find the file while this one has it open; ``None`` if they do not."""
    found_before: tuple[DamageEntry, ...]
    """What was wrong with the archive it comes from."""
    damage: DamageReport
    """Of the iteration that was started last, complete once that has ended."""
    buffers_read: int
    """Buffers of the iteration that was started last, up to now; header buffer included."""
    compressed_buffers_read: int
    decompressed_bytes: int
    """Valid bytes of those buffers, their headers included."""

    def __init__(
        self,
        path: str,
        source: Source,
        size_bytes: int,
        header: TraceHeader,
        *,
        file_path: str | None = None,
        found_before: Sequence[DamageEntry] = (),
    ) -> None:
        self.path = path
        self.header = header
        self.size_bytes = size_bytes
        self.source = source
        self.file_path = file_path
        self.found_before = tuple(found_before)
        self.context = TraceContext(header.clock, header.pointer_size)
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
        self.source.close()

    def __iter__(self) -> Iterator[Event]:
        """All records in file order: in time order within a buffer, not between buffers."""
        report = self._start_iteration()
        for buffer in self._walk_buffers(report):
            data = self._read(buffer, report)
            for pos, size, shape, raw in walk(
                data, self.header.first_timestamp_raw, skip_reporter(buffer, report)
            ):
                record = bytes(data[pos : pos + size])
                offset = pos + BUFFER_HEADER_BYTES
                yield Event(record, shape, raw, buffer.processor, buffer.index, offset, self.context)

    def in_time_order(self) -> Iterator[Event]:
        """All records by raw time, those of the same time by their place in the file.

        Reads the file once before the first event, and its buffers a second time while they are
        merged; the damage report is complete when the first event comes.
        """
        report = self._start_iteration()
        first_raw = self.header.first_timestamp_raw
        index, cache = ReadIndex(), BufferCache()
        for buffer in self._walk_buffers(report):
            data = self._read(buffer, report)
            added = index.add(buffer, walk(data, first_raw, skip_reporter(buffer, report)))
            if added and cache.has_room(len(data)):
                cache.put(len(index) - 1, buffer, data)
        load = partial(self.read_buffer, report=DamageReport())
        for buffer, data, (pos, size, shape, raw) in Merge(index, cache, load, first_raw):
            record = bytes(data[pos : pos + size])
            offset = pos + BUFFER_HEADER_BYTES
            yield Event(record, shape, raw, buffer.processor, buffer.index, offset, self.context)

    def buffers(self) -> Iterator[Buffer]:
        """The buffers' headers in file order, without looking at their records."""
        return iter(BufferWalk(self.source, self.header, self.source.size(), DamageReport()))

    def gather_manifests(self) -> None:
        """Read the whole file for the manifests in it, so that events of EventSource providers have names.

        Iterations do so as they go: in time order before the first event, in file order buffer by buffer.
        """
        unnoted = DamageReport()
        for _, data in self.read_buffers(self.buffers(), unnoted):
            gather_manifests(data, self.context)

    def index(self) -> BufferIndex:
        """All buffers there are now, and when each starts, without reading them."""
        index = BufferIndex(self.new_report())
        for part in self.index_parts(index.damage):
            index.extend(part)
        return index

    def index_parts(self, report: DamageReport) -> Iterator[BufferIndex]:
        """The same piece by piece, in file order, a small one first; what is wrong goes into ``report``."""
        buffers = BufferWalk(self.source, self.header, self.source.size(), report)
        return Indexer(self.source, buffers, self.header.first_timestamp_raw, report).parts()

    def new_report(self) -> DamageReport:
        """A report of what is known before any buffer is looked at."""
        report = DamageReport()
        if not self.header.end_time_filetime:
            report.unfinished = "the header has no end time: the recording was not closed"
        for entry in self.found_before:
            report.add(*entry)
        return report

    def read_buffer(self, buffer: Buffer, report: DamageReport) -> Data:
        """The bytes of the records of ``buffer``, decompressed; none if that is impossible.

        Buffers may be read in any order and by several threads at a time, each with a report of its own.
        """
        return read_records(self.source, buffer, report, may_change=may_be_overwritten(self.header))

    def read_buffers(self, buffers: Iterable[Buffer], report: DamageReport) -> Iterator[tuple[Buffer, Data]]:
        """Each of ``buffers`` with what :meth:`read_buffer` gives, those side by side by one read.

        Some 4 MiB are held at a time. Plain records are views of what was read.
        """
        run: list[Buffer] = []
        for buffer in buffers:
            if run and not self._continues(run, buffer):
                yield from self._read_run(run, report)
                run = []
            run.append(buffer)
        yield from self._read_run(run, report)

    def _continues(self, run: list[Buffer], buffer: Buffer) -> bool:
        end = run[-1].file_offset + run[-1].size_bytes
        run_bytes = end - run[0].file_offset + buffer.size_bytes
        return buffer.file_offset == end and run_bytes <= _RUN_BYTES

    def _read_run(self, run: list[Buffer], report: DamageReport) -> Iterator[tuple[Buffer, Data]]:
        if len(run) < 2 or may_be_overwritten(self.header) or not all(map(is_settled, run)):
            for buffer in run:
                yield buffer, self.read_buffer(buffer, report)
            return
        start = run[0].file_offset
        data = memoryview(self.source.read(start, run[-1].file_offset + run[-1].size_bytes - start))
        for buffer in run:
            at = buffer.file_offset - start + BUFFER_HEADER_BYTES
            yield buffer, plain_records(data[at : at + stored_bytes(buffer, report)], buffer, report)

    def _start_iteration(self) -> DamageReport:
        self.buffers_read = self.compressed_buffers_read = self.decompressed_bytes = 0
        self.damage = self.new_report()
        return self.damage

    def _walk_buffers(self, report: DamageReport) -> Iterator[Buffer]:
        self.size_bytes = self.source.size()
        return iter(BufferWalk(self.source, self.header, self.size_bytes, report))

    def _read(self, buffer: Buffer, report: DamageReport) -> Data:
        data = self.read_buffer(buffer, report)
        gather_manifests(data, self.context)
        if report is self.damage:
            self.buffers_read += 1
            self.compressed_buffers_read += buffer.is_compressed
            self.decompressed_bytes += BUFFER_HEADER_BYTES + len(data)
        return data
