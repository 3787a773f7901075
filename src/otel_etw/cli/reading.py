"""Trace files being read by a command: opening, merging, progress, and what to say at the end."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import final

from otel_etw.cli.progress import Progress
from otel_etw.cli.running import warn
from otel_etw.etl.event import Event
from otel_etw.etl.reader import Trace, open_etl
from otel_etw.outputs.numbers import counted

FileEvent = tuple[str, Event]
"""An event and the name of the file it comes from (empty when there is only one)."""


@final
class Traces:
    """Several trace files, open until the end of ``with``. Raises what :func:`open_etl` raises."""

    def __init__(self, paths: Sequence[str]) -> None:
        self._stack = ExitStack()
        self._current: dict[int, int] = {}
        self.problems: Counter[str] = Counter()
        """File -> how many items could not be decoded completely; for whoever decodes to count in."""
        self.traces: list[Trace] = []
        try:
            for path in paths:
                self.traces.append(self._stack.enter_context(_opened(path)))
        except BaseException:
            self._stack.close()
            raise
        self.progress = Progress("reading", self._fraction)

    def __enter__(self) -> Traces:
        self._stack.enter_context(self.progress)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def events(self, *, file_order: bool = False) -> Iterator[FileEvent]:
        """All records, by time across all files, or file after file as they are stored."""
        sources = [self._labelled(number, trace, file_order) for number, trace in enumerate(self.traces)]
        if file_order or len(sources) == 1:
            return (event for source in sources for event in source)
        return heapq.merge(*sources, key=lambda labelled: labelled[1].timestamp_ns)

    def report(self) -> None:
        """On stderr, one line for each file of which not everything is there."""
        for trace in self.traces:
            facts = list(self._facts(trace))
            if facts:
                warn(f"{trace.path}: {'; '.join(facts)}")

    def _labelled(self, number: int, trace: Trace, file_order: bool) -> Iterator[FileEvent]:
        label = trace.path if len(self.traces) > 1 else ""
        events: Iterable[Event] = trace if file_order else trace.in_time_order()
        for event in events:
            self._current[number] = event.buffer
            yield label, event

    def _fraction(self) -> float:
        """Half of the work is to find all buffers, half to deliver them; both by number of buffers."""
        total = sum(max(trace.header.buffers_written, trace.buffers_read, 1) for trace in self.traces)
        return (sum(trace.buffers_read for trace in self.traces) + sum(self._current.values())) / (2 * total)

    def _facts(self, trace: Trace) -> Iterator[str]:
        damage, header = trace.damage, trace.header
        if damage.unfinished:
            yield f"unfinished: {damage.unfinished}"
        if header.events_lost or header.buffers_lost:
            lost = f"{counted(header.events_lost, 'event')}, {counted(header.buffers_lost, 'buffer')}"
            yield f"the recorder lost {lost}"
        if damage:
            places = sum(damage.counts.values()) - damage.unknown_records
            yield f"{counted(places, 'damaged place')} (otel-etw info says where)"
        problems = self.problems[trace.path if len(self.traces) > 1 else ""]
        if problems:
            yield f"{counted(problems, 'item')} not decoded completely"


def _opened(path: str) -> Trace:
    try:
        return open_etl(path)
    except OSError as error:
        if error.filename is None:  # a directory opens, and then does not read
            error.filename = path
        raise
