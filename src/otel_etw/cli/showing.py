"""Items on their way to the screen: selected, counted, as a table with a summary of metrics or as JSON lines.

``view`` and ``demo`` both show through here.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import IO, NamedTuple, Protocol

from otel_etw.cli.ordering import by_own_time
from otel_etw.cli.reading import Traces
from otel_etw.cli.selection import Selection
from otel_etw.layouts.items import MetricPoint
from otel_etw.outputs.items import Item, items_of
from otel_etw.outputs.jsonl import item_line
from otel_etw.outputs.metric_lines import summary_lines
from otel_etw.outputs.metric_summary import MetricSummary
from otel_etw.outputs.rows import row_of
from otel_etw.outputs.terminal import RowTable, Screen, can_encode

_SUMMARY_INDENT = 4


@dataclass(frozen=True)
class ShowOptions:
    """How items are shown; ``limit`` and ``tail`` count rows, of which there is one per line of output."""

    format: str = "table"
    points: bool = False
    wide: bool = False
    local: bool = False
    file_order: bool = False
    limit: int | None = None
    tail: int | None = None


class Output(Protocol):
    """Where items end up."""

    def takes_row(self, item: Item) -> bool:
        """Whether ``item`` becomes a row; if not, it is taken into account at once."""

    def row(self, item: Item) -> None:
        """Show one row."""

    def close(self, *, stopped: bool) -> None:
        """Show what waits for the end; ``stopped`` if there may be more in the files."""


def selected_items(traces: Traces, selection: Selection, *, file_order: bool = False) -> Iterator[Item]:
    """The items of all files that ``selection`` wants, by time; counts the problems of those."""
    items = _wanted_items(traces, selection, file_order)
    return items if file_order else by_own_time(items)


def _wanted_items(traces: Traces, selection: Selection, file_order: bool) -> Iterator[Item]:
    for label, event in traces.events(file_order=file_order):
        if not selection.wants_event(event):
            continue
        for item in items_of(event, label):
            if selection.wants_item(item):
                traces.problems[label] += bool(item.problems)
                yield item


class Shown(NamedTuple):
    """How many items were shown, as rows or in a summary; ``stopped`` if ``--limit`` ended the reading."""

    items: int
    stopped: bool


def show(
    items: Iterable[Item], output: Output, options: ShowOptions, *, before_output: Callable[[], None]
) -> Shown:
    """Pass ``items`` on as ``options`` has it, and close the output.

    ``before_output`` is called before anything is written, and maybe again.
    """
    kept: deque[Item] = deque(maxlen=min(options.tail or 0, sys.maxsize))
    rows = summed_up = 0
    stopped = False
    for item in items:
        if not output.takes_row(item):
            summed_up += 1
            continue
        if options.tail is not None:
            kept.append(item)
            continue
        if rows == 0:
            before_output()
        output.row(item)
        rows += 1
        if rows == options.limit:
            stopped = True
            break
    before_output()
    for item in kept:
        output.row(item)
    output.close(stopped=stopped)
    return Shown(rows + len(kept) + summed_up, stopped)


class TableOutput:
    """Rows in columns, then the metrics as a summary (unless each data point is to be a row)."""

    def __init__(self, stream: IO[str], options: ShowOptions) -> None:
        self.screen = Screen(stream)
        self.summary = MetricSummary()
        self._options = options
        self._table = RowTable(self.screen, wide=options.wide, local=options.local)

    def takes_row(self, item: Item) -> bool:
        """All but metric points, which go into the summary."""
        if self._options.points or not isinstance(item.content, MetricPoint):
            return True
        self.summary.add(item.content)
        return False

    def row(self, item: Item) -> None:
        """Show one row."""
        self._table.add(row_of(item, wide=self._options.wide))

    def close(self, *, stopped: bool) -> None:
        """Show rows that still wait, and the summary."""
        self._table.close()
        if not len(self.summary):
            return
        if self._table.rows:
            self.screen.line()
        screen = self.screen
        for spans in summary_lines(
            self.summary, unicode=screen.unicode, wide=self._options.wide, width=screen.width
        ):
            screen.wrapped(spans, _SUMMARY_INDENT)
        if stopped:
            self.screen.line()
            self.screen.line(("metrics only up to where --limit stopped reading", "dim"))


class JsonLinesOutput:
    """Every item a line of JSON, metric points too."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._ascii_only = not can_encode("\u00e9\u4e2d\U0001f600", stream)

    def takes_row(self, item: Item) -> bool:
        """All of them."""
        return True

    def row(self, item: Item) -> None:
        """Write one line."""
        self._stream.write(item_line(item, ascii_only=self._ascii_only) + "\n")

    def close(self, *, stopped: bool) -> None:
        """Nothing waits here."""


def output_for(stream: IO[str], options: ShowOptions) -> Output:
    """The output for ``options.format``."""
    return JsonLinesOutput(stream) if options.format == "jsonl" else TableOutput(stream, options)
