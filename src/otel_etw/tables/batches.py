"""``event_batches``: the records of trace files, batch after batch, by time or as they are stored."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from otel_etw.etl.buffers import Buffer
from otel_etw.etl.reader import Trace
from otel_etw.tables.batch import EventBatch
from otel_etw.tables.reading import Reading, add_runs, room_bytes
from otel_etw.tables.time_merge import in_time_order

BATCH_BYTES = 8 * 1024 * 1024
FIRST_BATCH_BYTES = 512 * 1024
_GROWTH = 4
_FEWEST_BYTES = 4 * 1024


def event_batches(
    traces: Sequence[Trace],
    *,
    order: str = "time",
    reading: Reading | None = None,
    first_batch_bytes: int = FIRST_BATCH_BYTES,
    batch_bytes: int = BATCH_BYTES,
) -> Iterator[EventBatch]:
    """All records, by time over all ``traces`` (``order="time"``), or file after file as stored (``"file"``).

    A batch is valid until the next one is asked for (or so many more, as ``reading.memories`` has it): its
    memory is used again. The first is small, and each may be four times as large as the one before, up to
    ``batch_bytes``.
    """
    reading = reading or Reading(traces)
    sizes = batch_sizes(first_batch_bytes, batch_bytes)
    return in_file_order(reading, sizes) if order == "file" else in_time_order(reading, sizes)


def batch_sizes(first_bytes: int, most_bytes: int) -> Iterator[int]:
    """How large each batch may be."""
    size = max(min(first_bytes, most_bytes), _FEWEST_BYTES)
    while True:
        yield size
        size = max(min(size * _GROWTH, most_bytes), _FEWEST_BYTES)


def in_file_order(reading: Reading, sizes: Iterator[int]) -> Iterator[EventBatch]:
    """File after file, as stored."""
    reading.total_buffers = sum(max(trace.header.buffers_written, 1) for trace in reading.traces)
    for number, trace in enumerate(reading.traces):
        report = reading.reports[number]
        found = (buffer for part in trace.index_parts(report) for buffer in part)
        for held in _runs(found, sizes):
            chunk = reading.chunk(sum(map(room_bytes, held)))
            add_runs(reading, chunk, ((number, buffer) for buffer in held), reading.reports)
            yield reading.batch(chunk)
            reading.done_buffers += len(held)
    reading.done_buffers = reading.total_buffers


def _runs(buffers: Iterable[Buffer], sizes: Iterator[int]) -> Iterator[list[Buffer]]:
    held: list[Buffer] = []
    held_bytes, wanted = 0, next(sizes)
    for buffer in buffers:
        held.append(buffer)
        held_bytes += room_bytes(buffer)
        if held_bytes >= wanted:
            yield held
            held, held_bytes, wanted = [], 0, next(sizes)
    if held:
        yield held
