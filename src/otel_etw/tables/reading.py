"""``Reading``: what one pass over trace files shares, and how buffers become a batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np

from otel_etw.etl.buffers import Buffer, is_settled, may_be_overwritten
from otel_etw.etl.damage import DamageReport
from otel_etw.etl.event import Event
from otel_etw.etl.layout import BUFFER_HEADER_BYTES, MAX_BUFFER_BYTES
from otel_etw.etl.manifest_events import gather_manifests
from otel_etw.etl.reader import Trace
from otel_etw.etl.walking import Data
from otel_etw.layouts.eventsource import MANIFEST_EVENT_ID
from otel_etw.tables import kinds
from otel_etw.tables.batch import EventBatch
from otel_etw.tables.chunks import Chunk
from otel_etw.tables.forms import Forms
from otel_etw.tables.record_walk import walk_all
from otel_etw.tracelogging.types import CHANNEL_TRACELOGGING

_KEPT_BYTES = 64 * 1024 * 1024
"""Of buffers that had to be decompressed before their turn."""
_MOST_DESCRIBING_BYTES = 2 * 1024 * 1024
"""Of metadata in the forms that are known: what is made of it takes a hundred times as much."""


@dataclass
class Reading:
    """What one pass over some traces shares: reports per file, forms met, progress, memory used again."""

    traces: Sequence[Trace]
    reports: list[DamageReport] = field(default_factory=list)
    forms: Forms = field(default_factory=Forms)
    total_buffers: int = 0
    done_buffers: int = 0
    looks_ahead: bool = True
    """Whether a file with events that do not describe themselves is looked through for manifests that do."""
    memories: int = 1
    """How many batches are valid at a time."""
    _memory: list[np.ndarray | None] = field(default_factory=list)
    _next_memory: int = 0
    _looked_through: set[int] = field(default_factory=set)
    _plain: dict[tuple[int, int], bytes] = field(default_factory=dict)
    _plain_bytes: int = 0
    _forms_counted: int = 0
    _describing_bytes: int = 0

    def __post_init__(self) -> None:
        if not self.reports:
            self.reports = [trace.new_report() for trace in self.traces]

    @property
    def fraction(self) -> float:
        """How much has been delivered, 0 to 1."""
        return min(1.0, self.done_buffers / self.total_buffers) if self.total_buffers else 0.0

    def chunk(self, room_bytes: int) -> Chunk:
        """An empty chunk, in the memory of an earlier one."""
        return Chunk(room_bytes, self._memory[self._next_memory] if self._memory else None)

    def batch(self, chunk: Chunk) -> EventBatch:
        """All records of ``chunk``."""
        if not self._memory:
            self._memory = [None] * self.memories
        self._memory[self._next_memory] = chunk.data
        self._next_memory = (self._next_memory + 1) % self.memories
        lanes = chunk.lanes()
        first_raw = [trace.header.first_timestamp_raw for trace in self.traces]
        records = walk_all(chunk, lanes, first_raw)
        self._renew_forms()
        batch = EventBatch(chunk, lanes, records, self.traces, self.forms)
        self._meet_manifests(batch)
        return batch

    def _renew_forms(self) -> None:
        """Forget the forms if there are more, or larger ones, than real files have."""
        new = self.forms.descriptions[self._forms_counted :]
        self._forms_counted += len(new)
        self._describing_bytes += sum(len(description.metadata or b"") for description in new)
        if self.forms.is_full or self._describing_bytes > _MOST_DESCRIBING_BYTES:
            self.forms = Forms()
            self._forms_counted = self._describing_bytes = 0

    def take_back(self) -> None:
        """The last batch goes to nobody: its memory is the next one's, so that those before it stay valid."""
        self._next_memory = (self._next_memory - 1) % self.memories

    def read(self, number: int, buffer: Buffer, report: DamageReport) -> Data:
        """The records of a buffer of that file, maybe decompressed before."""
        known = self._plain.pop((number, buffer.index), None)
        if known is not None:
            self._plain_bytes -= len(known)
            return known
        return self.traces[number].read_buffer(buffer, report)

    def _meet_manifests(self, batch: EventBatch) -> None:
        """Let each trace know the manifests in ``batch``, and where of use, those elsewhere in it."""
        undescribed = _undescribed(batch)
        if not undescribed.any():
            return
        for event, number in manifest_events(batch):
            gather_manifests(event.record, self.traces[number].context)
        if self.looks_ahead:
            for number in np.unique(batch.file[undescribed]).tolist():
                if number not in self._looked_through:
                    self._looked_through.add(number)
                    self._look_through(number)

    def _look_through(self, number: int) -> None:
        trace = self.traces[number]
        for buffer, data in trace.read_buffers(trace.index(), DamageReport()):
            gather_manifests(data, trace.context)
            if buffer.is_compressed and self._plain_bytes < _KEPT_BYTES and len(data):
                self._plain[number, buffer.index] = bytes(data)
                self._plain_bytes += len(data)


def manifest_events(batch: EventBatch) -> Iterator[tuple[Event, int]]:
    """The events of ``batch`` that are pieces of EventSource manifests, each with the number of its file."""
    is_piece = _undescribed(batch) & (batch.descriptor & np.uint64(0xFFFF) == MANIFEST_EVENT_ID)
    for row in np.flatnonzero(is_piece).tolist():
        yield batch.event(row), int(batch.file[row])


def _undescribed(batch: EventBatch) -> np.ndarray:
    channel = (batch.descriptor >> np.uint64(24)) & np.uint64(0xFF)
    return kinds.IS_EVENT[batch.records.header_type] & (channel != CHANNEL_TRACELOGGING)


def room_bytes(buffer: Buffer) -> int:
    """How much the records of a buffer may take; what a damaged header says is bounded when it is read."""
    stated = buffer.filled_bytes if buffer.is_compressed else min(buffer.filled_bytes, buffer.available_bytes)
    return min(max(stated, BUFFER_HEADER_BYTES), MAX_BUFFER_BYTES) + 8


def add_runs(
    reading: Reading, chunk: Chunk, buffers: Iterable[tuple[int, Buffer]], reports: Sequence[DamageReport]
) -> None:
    """Read ``buffers`` (each with the number of its file) into ``chunk``, neighbours at once."""
    for number, of_file in groupby(buffers, key=lambda one: one[0]):
        trace, report = reading.traces[number], reports[number]
        may_change = may_be_overwritten(trace.header)
        for run in _adjacent(buffer for _, buffer in of_file):
            if may_change or run[0].is_compressed or not is_settled(run[0]) or run[0].file_offset % 8:
                for buffer in run:
                    chunk.add(number, buffer, reading.read(number, buffer, report), report)
            else:
                chunk.add_run(number, trace, run, report)


def _adjacent(buffers: Iterable[Buffer]) -> Iterator[list[Buffer]]:
    """Runs of plain, settled buffers that stand side by side; any other buffer alone."""
    run: list[Buffer] = []
    for buffer in buffers:
        plain = not buffer.is_compressed and is_settled(buffer) and buffer.size_bytes % 8 == 0
        joins = plain and run and run[-1].file_offset + run[-1].size_bytes == buffer.file_offset
        if run and not joins:
            yield run
            run = []
        run.append(buffer)
        if not plain:
            yield run
            run = []
    if run:
        yield run
