"""``decode``: trace files to Arrow record batches of the four tables, in time order, in bounded memory."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from copy import copy
from dataclasses import replace
from types import TracebackType
from typing import final

from otel_etw.etl.inputs import expand, open_input
from otel_etw.etl.reader import Trace
from otel_etw.tables.batch import EventBatch
from otel_etw.tables.batch_decoding import BatchDecoder, OneBatch, Tables, Wanted
from otel_etw.tables.batches import BATCH_BYTES, event_batches
from otel_etw.tables.reading import Reading
from otel_etw.tables.report import FileReport, Report
from otel_etw.tables.schema import TABLES
from otel_etw.tables.selection import Selection

_MOST_THREADS = 2
"""More would wait more than work: of the interpreter's own share of the work one thread does it at a time."""


def decode(
    paths: Sequence[str | os.PathLike[str]],
    *,
    tables: Collection[str] = TABLES,
    selection: Selection | None = None,
    order: str = "time",
    jobs: int = 1,
    events_as_logs: bool = False,
    other_events_only: bool = False,
    batch_bytes: int = BATCH_BYTES,
) -> Decoding:
    """Open ``paths`` (files, directories, globs, archives, ``-``) for decoding the ``tables`` named.

    ``order`` is ``"time"`` (over all files) or ``"file"`` (each as stored). ``events_as_logs`` makes a log
    record of every event that holds nothing of OpenTelemetry, by OpenTelemetry's ETW mapping;
    ``other_events_only`` leaves out of ``events`` what is a row of another table. ``batch_bytes`` of raw
    records are held and decoded at a time. With several ``jobs`` as many processes work on it (where a file
    was unpacked to memory that they cannot open, one does); as everywhere in Python, a script that asks for
    them needs ``if __name__ == "__main__":``. Raises what opening the files raises, and ``ValueError`` for
    wrong arguments.
    """
    unknown = set(tables) - set(TABLES)
    if unknown:
        raise ValueError(f"expected tables out of {', '.join(TABLES)}, found {', '.join(sorted(unknown))}")
    if order not in ("time", "file"):
        raise ValueError(f'expected "time" or "file" as order, found {order!r}')
    if jobs < 1:
        raise ValueError(f"expected at least one job, found {jobs}")
    wanted = Wanted(tuple(dict.fromkeys(tables)), events_as_logs, other_events_only)
    return Decoding(paths, wanted, selection or Selection(), order, jobs, batch_bytes)


def usable_cores() -> int:
    """The processors that this process may use."""
    # Only Linux says which ones.
    allowed: Callable[[int], set[int]] | None = getattr(os, "sched_getaffinity", None)
    return len(allowed(0)) if allowed is not None else os.cpu_count() or 1


def decoded_ahead(batches: Iterator[EventBatch], decoder: BatchDecoder, threads: int) -> Iterator[Tables]:
    """The tables of ``batches`` in their order, made by so many threads while this one reads on.

    What numpy does is done here, in many short steps; what is left to the threads are Arrow's few long ones,
    during which others can work. Each of ``batches`` has to be valid until so many more have been asked for.
    """
    if threads < 2:
        yield from map(decoder.decode, batches)
        return
    waiting: deque[tuple[OneBatch, Future[Tables]]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="otel-etw-decode") as pool:
        for batch in batches:
            one = decoder.prepared(batch)
            waiting.append((one, pool.submit(one.tables)))
            if len(waiting) == threads:
                yield _told(*waiting.popleft())
        while waiting:
            yield _told(*waiting.popleft())


def _told(one: OneBatch, made: Future[Tables]) -> Tables:
    tables = made.result()
    one.tell()
    return tables


@final
class Decoding:
    """Trace files being decoded; made by :func:`decode`. Closes them at the end of ``with``, or of itself.

    Iterating gives, batch after batch, a record batch for each table wanted (of no rows, maybe).
    """

    report: Report
    """Of the iteration that was started last, complete once that has ended."""
    notes: list[str]
    """What of directories and archives was passed over, in words."""

    def __init__(
        self,
        paths: Sequence[str | os.PathLike[str]],
        wanted: Wanted,
        selection: Selection,
        order: str,
        jobs: int,
        batch_bytes: int,
    ) -> None:
        self._wanted = wanted
        self._selection = selection
        self._order = order
        self._jobs = jobs
        self._batch_bytes = batch_bytes
        self._stack = ExitStack()
        self.notes = []
        self.traces: list[Trace] = []
        try:
            for one in expand(paths, self.notes):
                self.traces.append(self._stack.enter_context(open_input(one)))
        except BaseException:
            self._stack.close()
            raise
        self._start()

    def __enter__(self) -> Decoding:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the files back. Idempotent."""
        self._stack.close()

    def of_tables(self, tables: Collection[str]) -> Decoding:
        """A decoding of other ``tables`` from the same open files, which this one still closes."""
        other = copy(self)
        other._wanted = replace(self._wanted, tables=tuple(dict.fromkeys(tables)))
        other._stack = ExitStack()
        other._start()
        return other

    @property
    def fraction(self) -> float:
        """How much of the files has been decoded, 0 to 1."""
        return self._reading.fraction

    def __iter__(self) -> Iterator[Tables]:
        self._start()
        if self._jobs > 1 and all(trace.file_path for trace in self.traces):
            yield from self._by_processes()
            return
        threads = _MOST_THREADS if usable_cores() > 1 else 1
        self._reading.memories = threads + 1
        batches = event_batches(
            self.traces, order=self._order, reading=self._reading, batch_bytes=self._batch_bytes
        )
        for made in decoded_ahead(batches, BatchDecoder(self._wanted), threads):
            if not self._selection.is_everything:
                made = {table: self._selection.rows(rows) for table, rows in made.items()}
            yield made

    def _by_processes(self) -> Iterator[Tables]:
        from otel_etw.tables.parallel import decode_in_processes

        return decode_in_processes(
            self.traces,
            self._reading,
            self._wanted,
            self._selection,
            order=self._order,
            jobs=self._jobs,
            batch_bytes=self._batch_bytes,
        )

    def _start(self) -> None:
        self._reading = Reading(self.traces)
        self.report = Report(
            [
                FileReport(trace.path, report, trace.header.events_lost, trace.header.buffers_lost)
                for trace, report in zip(self.traces, self._reading.reports, strict=True)
            ]
        )


__all__ = ["BATCH_BYTES", "Decoding", "Tables", "decode"]
