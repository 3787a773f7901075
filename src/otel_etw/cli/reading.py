"""Trace files being read by a command: opening, merging, progress, and what to say at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, final

from otel_etw.cli.progress import Progress
from otel_etw.cli.running import warn
from otel_etw.etl.buffers import Buffer, skip_reporter
from otel_etw.etl.damage import DamageKind
from otel_etw.etl.event import Event
from otel_etw.etl.inputs import expand, open_input
from otel_etw.etl.layout import BUFFER_HEADER_BYTES
from otel_etw.etl.reader import Trace
from otel_etw.tables.report import FileReport, Report

if TYPE_CHECKING:
    from otel_etw.tables.batch import EventBatch
    from otel_etw.tables.reading import Reading

FileEvent = tuple[str, Event]
"""An event and the name of the file it comes from (empty when there is only one)."""

ChooseRows = Callable[["EventBatch"], list[int]]
"""Which rows of a batch are wanted, in the order of delivery."""


@final
class Traces:
    """Trace files, directories, globs, archives or ``-``, open until the end of ``with``.

    Raises what :func:`.expand` and :func:`.open_input` raise.
    """

    report: Report
    """Of all files; filled while :meth:`events` delivers, and as far as that was asked to."""

    def __init__(self, paths: Sequence[str]) -> None:
        self._stack = ExitStack()
        self._notes: list[str] = []
        self._reading: Reading | None = None
        self._batch: EventBatch | None = None
        self.traces: list[Trace] = []
        try:
            for one in expand(paths, self._notes):
                self.traces.append(self._stack.enter_context(open_input(one)))
        except BaseException:
            self._stack.close()
            raise
        self.report = Report(
            [
                FileReport(trace.path, trace.damage, trace.header.events_lost, trace.header.buffers_lost)
                for trace in self.traces
            ]
        )
        self.progress = Progress("reading", lambda: 0.0 if self._reading is None else self._reading.fraction)

    def __enter__(self) -> Traces:
        self._stack.enter_context(self.progress)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def events(
        self, *, file_order: bool = False, choose: ChooseRows | None = None, looks_ahead: bool = True
    ) -> Iterator[FileEvent]:
        """All records, or those of the rows that ``choose`` answers: by time across all files, or file after
        file as they are stored."""
        for batch in self.batches(file_order=file_order, looks_ahead=looks_ahead):
            labels = [trace.path if len(self.traces) > 1 else "" for trace in self.traces]
            rows = batch.rows().tolist() if choose is None else choose(batch)
            for row in rows:
                yield labels[int(batch.file[row])], batch.event(row)

    def batches(self, *, file_order: bool = False, looks_ahead: bool = True) -> Iterator[EventBatch]:
        """The same as batches, of which each is valid until the next is asked for.

        ``looks_ahead`` is for all of a file to be searched for manifests when there may be use for them.
        """
        # Imported here: it loads numpy, which neither --help nor --follow needs.
        from otel_etw.tables.batches import event_batches
        from otel_etw.tables.reading import Reading

        self._reading = Reading(self.traces, looks_ahead=looks_ahead)
        for file, report in zip(self.report.files, self._reading.reports, strict=True):
            file.damage = report
        for batch in event_batches(
            self.traces, order="file" if file_order else "time", reading=self._reading
        ):
            self._batch = batch
            yield batch

    def note_problems(self, label: str, event: Event, problems: Sequence[str]) -> None:
        """An event that was just delivered could not be decoded completely."""
        if not problems:
            return
        number = next(n for n, file in enumerate(self.report.files) if file.path == label or not label)
        report = skip_reporter(self._buffer(number, event), self.report.files[number].damage)
        report(DamageKind.EVENT, event.offset - BUFFER_HEADER_BYTES, "; ".join(problems))

    def say_what_is_missing(self) -> None:
        """On stderr, one line for each file of which not everything is there."""
        for line in (*self._notes, *self.report.lines()):
            warn(line)

    def _buffer(self, number: int, event: Event) -> Buffer:
        """The buffer of file ``number`` that the event, of the present batch, was in."""
        assert self._batch is not None  # noqa: S101 - told to the type checker
        lanes = self._batch.lanes
        return next(
            buffer
            for buffer, file in zip(lanes.buffers, lanes.file.tolist(), strict=True)
            if buffer.index == event.buffer and file == number
        )
