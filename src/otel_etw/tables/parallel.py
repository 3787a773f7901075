"""Decoding by several processes: slabs of time to whoever is free, their tables in order.

Two rounds.  In the first, every process looks at some of the buffers: when the records of each begin and
end, and which manifests are in them.  From that the slabs are cut.  In the second, each slab is decoded by
the one process that gets it; nothing but the slab's description goes there, and Arrow's record batches come
back.
"""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any, TypeVar

import pyarrow as pa

from otel_etw.errors import OtelEtwError, TraceFileError
from otel_etw.etl.buffers import Buffer
from otel_etw.etl.damage import DamageReport
from otel_etw.etl.reader import Trace, open_etl
from otel_etw.tables.batch_decoding import BatchDecoder, Tables, Wanted
from otel_etw.tables.reading import Reading, room_bytes
from otel_etw.tables.selection import Selection
from otel_etw.tables.slabs import Manifest, Slab, Span, batch_of, slabs_by_file, slabs_by_time, spans_of

_AHEAD = 2
"""Slabs that a process may be ahead: what is made waits in memory for its turn."""
_LOOKED_AT_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True)
class Task:
    """What all processes are told at their start."""

    files: tuple[tuple[str, str, tuple[int, int]], ...]
    """Where each file can be opened, what it is called, and which recording has to be in it."""
    wanted: Wanted
    selection: Selection
    by_time: bool


@dataclass(frozen=True)
class Decoded:
    """The tables of a slab, and what was wrong in it, by file."""

    tables: dict[str, pa.Buffer]
    reports: list[DamageReport]


def decode_in_processes(
    traces: Sequence[Trace],
    reading: Reading,
    wanted: Wanted,
    selection: Selection,
    *,
    order: str,
    jobs: int,
    batch_bytes: int,
) -> Iterator[Tables]:
    """The tables of ``traces``, slab after slab; damage goes into the reports of ``reading``.

    Each trace has to have a ``file_path``. Raises ``OSError`` or :class:`.TraceFileError` for one that has
    gone or is another by now, :class:`.OtelEtwError` for a process that was ended.
    """
    found = [
        (number, list(buffers(trace, report)))
        for number, (trace, report) in enumerate(zip(traces, reading.reports, strict=True))
    ]
    files = tuple((trace.file_path or trace.path, trace.path, _recording(trace)) for trace in traces)
    task = Task(files, wanted, selection, order == "time")
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=_start, initargs=(task,))
    try:
        looks = [
            (number, tuple(run)) for number, of_file in found for run in _runs(of_file, _LOOKED_AT_BYTES)
        ]
        reading.total_buffers = 2 * max(len(looks), 1)
        spans: list[Span] = []
        manifests: dict[int, list[Manifest]] = {}
        for (number, _), (some, pieces) in zip(looks, _in_order(pool, _look, looks, jobs), strict=True):
            spans += some
            manifests.setdefault(number, []).extend(pieces)
            reading.done_buffers += 1
        if task.by_time:
            slabs = slabs_by_time(spans, batch_bytes)
        else:
            slabs = slabs_by_file(((n, buffer) for n, of_file in found for buffer in of_file), batch_bytes)
        reading.total_buffers, reading.done_buffers = 2 * max(len(slabs), 1), len(slabs)
        for made in _in_order(pool, _decode, ((slab, manifests) for slab in slabs), jobs):
            for report, more in zip(reading.reports, made.reports, strict=True):
                report.merge(more)
            reading.done_buffers += 1
            yield {table: _read_batch(buffer) for table, buffer in made.tables.items()}
    except BrokenProcessPool as error:
        raise OtelEtwError(f"a decoding process has ended, maybe for lack of memory: {error}") from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def buffers(trace: Trace, report: DamageReport) -> Iterator[Buffer]:
    """All buffers of ``trace``; what is wrong with their headers goes into ``report``."""
    return (buffer for part in trace.index_parts(report) for buffer in part)


_Given = TypeVar("_Given")
_Made = TypeVar("_Made")


def _in_order(
    pool: ProcessPoolExecutor, call: Callable[[_Given], _Made], given: Iterable[_Given], jobs: int
) -> Iterator[_Made]:
    """The results of ``call`` in the order of what is given, some of them made ahead."""
    waiting: deque[Future[_Made]] = deque()
    for one in given:
        waiting.append(pool.submit(call, one))
        if len(waiting) >= jobs * (1 + _AHEAD):
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _runs(found: Sequence[Buffer], most_bytes: int) -> Iterator[list[Buffer]]:
    run: list[Buffer] = []
    held_bytes = 0
    for buffer in found:
        run.append(buffer)
        held_bytes += room_bytes(buffer)
        if held_bytes >= most_bytes:
            yield run
            run, held_bytes = [], 0
    if run:
        yield run


# ---------------------------------------------------------------- in the processes


class _Process:
    """What a process keeps from one call to the next."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.traces = [_opened(*file) for file in task.files]
        self.reading = Reading(self.traces, looks_ahead=False)
        self.decoder = BatchDecoder(task.wanted)
        self._has_manifests = False

    def learn(self, manifests: dict[int, list[Manifest]]) -> None:
        """Take in the manifests of all files, once."""
        if not self._has_manifests:
            self._has_manifests = True
            for number, pieces in manifests.items():
                for provider, payload, source in pieces:
                    self.traces[number].context.manifests.add(provider, payload, source=source)

    def new_reports(self) -> list[DamageReport]:
        """Empty reports for the next call."""
        self.reading.reports = [DamageReport() for _ in self.traces]
        return self.reading.reports


def _recording(trace: Trace) -> tuple[int, int]:
    """What tells one recording from another that has taken its place."""
    return trace.header.start_time_filetime, trace.header.first_timestamp_raw


def _opened(path: str, label: str, recording: tuple[int, int]) -> Trace:
    trace = open_etl(path)
    trace.path = label
    if _recording(trace) != recording:
        trace.close()
        raise TraceFileError("expected the trace that was opened, found another by now", where=label)
    return trace


_task: Task | None = None
_process: _Process | None = None


def _start(task: Task) -> None:
    global _task
    _task = task


def _started() -> _Process:
    """Opens the files in the first call, whose errors go to who waits for it, unlike those of a start."""
    global _process
    if _process is None:
        if _task is None:
            raise RuntimeError("the process was not started by the pool")
        _process = _Process(_task)
    return _process


def _look(given: tuple[int, tuple[Buffer, ...]]) -> tuple[list[Span], list[Manifest]]:
    """The spans of some buffers, and the manifests in them."""
    number, some = given
    process = _started()
    process.new_reports()
    pieces: list[Manifest] = []
    spans = spans_of(process.reading, number, some, pieces.append)
    return spans, pieces


def _decode(given: tuple[Slab, dict[int, list[Manifest]]]) -> Decoded:
    """The tables of a slab."""
    slab, manifests = given
    process = _started()
    process.learn(manifests)
    reports = process.new_reports()
    batch = batch_of(process.reading, slab, by_time=process.task.by_time)
    made: Tables = {} if batch is None else process.decoder.decode(batch)
    selection = process.task.selection
    return Decoded({table: _written(selection.rows(rows)) for table, rows in made.items()}, reports)


def _written(batch: pa.RecordBatch) -> Any:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue()


def _read_batch(buffer: pa.Buffer) -> pa.RecordBatch:
    with pa.ipc.open_stream(buffer) as reader:
        return reader.read_next_batch()
