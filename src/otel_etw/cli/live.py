"""Events on their way to the screen while they happen, wherever they come from.

They come in bursts: what a source has at the moment, after which there is nothing for a while. Within a
burst rows are put in order of time; after it they are shown, whatever may come later. The first burst may be
a whole file. Metric points are rows, as a summary would never be complete, and a trace is shown as soon as it
seems to be complete on the clock on the wall, too.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import takewhile
from typing import final

from otel_etw.cli.ordering import by_own_time
from otel_etw.cli.reading import FileEvent
from otel_etw.cli.selection import Selection
from otel_etw.cli.showing import NoteProblems, Output, ShowOptions, selected_items, shows_trees, span_notes
from otel_etw.layouts.items import SpanItem
from otel_etw.outputs.span_traces import Entry, OpenTraces, TracedSpan
from otel_etw.tables.items import Item

LIVE_SETTLED_NS = 10**9
LIVE_QUIET_NS = 5 * 10**9
"""How long a trace waits for further spans when somebody is watching; less than when a file is read."""


def chosen(events: Iterable[FileEvent], selection: Selection) -> Iterator[FileEvent]:
    """Those events that ``selection`` may want, looked at one by one."""
    return (labelled for labelled in events if selection.wants_event(labelled[1]))


@final
class LiveView:
    """Shows bursts of events on ``output``; ``is_full`` once ``options.limit`` rows were shown."""

    def __init__(
        self,
        output: Output,
        selection: Selection,
        options: ShowOptions,
        note_problems: NoteProblems,
        *,
        is_interrupted: Callable[[], bool] = lambda: False,
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._output = output
        self._selection = selection
        self._options = options
        self._note_problems = note_problems
        self._notes = span_notes(options)
        self._gathers = shows_trees(options)
        self._traces = OpenTraces()
        self._is_interrupted = is_interrupted
        self._clock_ns = clock_ns
        self._latest_ns = 0
        self._latest_seen_ns = 0
        self._tail = options.tail
        self.rows = 0

    @property
    def is_full(self) -> bool:
        """Whether no further row is wanted."""
        return self._options.limit is not None and self.rows >= self._options.limit

    def burst(self, events: Iterable[FileEvent]) -> None:
        """Show what has come, and traces that nothing came of for long enough."""
        items = selected_items(chosen(events, self._selection), self._selection, self._note_problems)
        entries: Iterator[Entry] = self._gathered(items) if self._gathers else items
        entries = entries if self._options.file_order else by_own_time(entries)
        if self._tail is not None:
            entries = iter(deque(entries, maxlen=min(self._tail, sys.maxsize)))
            self._tail = None
        self._show(takewhile(lambda _: not self._is_interrupted(), entries))
        self._traces.settled_ns, self._traces.quiet_ns = LIVE_SETTLED_NS, LIVE_QUIET_NS
        self._show(self._settled())
        self._output.flush()

    def close(self) -> None:
        """Show what still waits."""
        self._show(self._traces.rest())
        self._output.close(stopped=self.is_full)
        self._output.flush()

    def _show(self, entries: Iterable[Entry]) -> None:
        limit = sys.maxsize if self._options.limit is None else self._options.limit
        for entry in entries if self.rows < limit else ():
            if self._output.takes_row(entry):
                self._output.row(entry)
                self.rows += 1
                if self.rows == limit:
                    return

    def _gathered(self, items: Iterable[Item]) -> Iterator[Entry]:
        for item in items:
            self._latest_ns = max(self._latest_ns, item.reached_etw_unix_nano)
            self._latest_seen_ns = self._clock_ns()
            self._traces.pass_time(self._latest_ns)
            yield from self._traces.finished()
            if isinstance(item.content, SpanItem):
                self._traces.add(TracedSpan(item.content, self._notes(item)), item.size_bytes)
            else:
                yield item

    def _settled(self) -> Iterator[Entry]:
        """Traces that are complete by now, if the clock of the events goes on as that of this machine."""
        if self._latest_ns:
            self._traces.pass_time(self._latest_ns + self._clock_ns() - self._latest_seen_ns)
            yield from self._traces.finished()
