"""Items on their way to the screen: selected, counted, as a table with a summary of metrics or as JSON lines.

In the table the spans of a trace are one row with a tree below it, which stands at the time when the last of
them ended, so that the log records of a request come right before its tree and nothing waits for the end of a
large file. ``outputs.span_traces`` says when a trace is taken for complete and how many spans wait for that.

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
from otel_etw.outputs.pieces import Pieces
from otel_etw.outputs.rows import notes_of, row_of
from otel_etw.outputs.span_lines import row_and_tree
from otel_etw.outputs.span_traces import Entry, by_trace
from otel_etw.outputs.terminal import RowTable, Screen, can_encode

_SUMMARY_INDENT = 4


@dataclass(frozen=True)
class ShowOptions:
    """How items are shown; ``limit`` and ``tail`` count rows, of which there is one per line of output."""

    format: str = "table"
    points: bool = False
    spans: bool = False
    wide: bool = False
    local: bool = False
    file_order: bool = False
    limit: int | None = None
    tail: int | None = None


class Output(Protocol):
    """Where items end up."""

    def takes_row(self, entry: Entry) -> bool:
        """Whether ``entry`` becomes a row; if not, it is taken into account at once."""

    def row(self, entry: Entry) -> None:
        """Show one row."""

    def close(self, *, stopped: bool) -> None:
        """Show what waits for the end; ``stopped`` if there may be more in the files."""


def selected_entries(traces: Traces, selection: Selection, options: ShowOptions) -> Iterator[Entry]:
    """What ``selection`` wants of all files, by time, spans as ``options`` has them; counts problems."""
    entries: Iterator[Entry] = _wanted_items(traces, selection, options.file_order)
    if options.format == "table" and not options.spans:
        entries = by_trace(_wanted_items(traces, selection, options.file_order), _span_notes(options))
    return entries if options.file_order else by_own_time(entries)


def _span_notes(options: ShowOptions) -> Callable[[Item], Pieces]:
    return lambda item: notes_of(item, wide=options.wide)


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
    entries: Iterable[Entry], output: Output, options: ShowOptions, *, before_output: Callable[[], None]
) -> Shown:
    """Pass ``entries`` on as ``options`` has it, and close the output.

    ``before_output`` is called before anything is written, and maybe again.
    """
    kept: deque[Entry] = deque(maxlen=min(options.tail or 0, sys.maxsize))
    rows = summed_up = 0
    stopped = False
    for entry in entries:
        if not output.takes_row(entry):
            summed_up += 1
            continue
        if options.tail is not None:
            kept.append(entry)
            continue
        if rows == 0:
            before_output()
        output.row(entry)
        rows += 1
        if rows == options.limit:
            stopped = True
            break
    before_output()
    for entry in kept:
        output.row(entry)
    output.close(stopped=stopped)
    return Shown(rows + len(kept) + summed_up, stopped)


class TableOutput:
    """Rows in columns, with trees, then the metrics as a summary (unless each data point is to be a row)."""

    def __init__(self, stream: IO[str], options: ShowOptions) -> None:
        self.screen = Screen(stream)
        self.summary = MetricSummary()
        self._options = options
        self._table = RowTable(self.screen, wide=options.wide, local=options.local)

    def takes_row(self, entry: Entry) -> bool:
        """All but metric points, which go into the summary."""
        point = entry.content if isinstance(entry, Item) else None
        if self._options.points or not isinstance(point, MetricPoint):
            return True
        self.summary.add(point)
        return False

    def row(self, entry: Entry) -> None:
        """Show one row, of a trace with its tree."""
        show_entry(entry, self._table, wide=self._options.wide)

    def close(self, *, stopped: bool) -> None:
        """Show rows that still wait, and the summary."""
        self._table.close()
        if not len(self.summary):
            return
        if self._table.rows:
            self.screen.line()
        screen = self.screen
        for pieces in summary_lines(
            self.summary, unicode=screen.unicode, wide=self._options.wide, width=screen.width
        ):
            screen.wrapped(pieces, _SUMMARY_INDENT)
        if stopped:
            self.screen.line()
            self.screen.line(("metrics only up to where --limit stopped reading", "dim"))


class JsonLinesOutput:
    """Every item a line of JSON, metric points too."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._ascii_only = not can_encode("\u00e9\u4e2d\U0001f600", stream)

    def takes_row(self, entry: Entry) -> bool:
        """All of them."""
        return True

    def row(self, entry: Entry) -> None:
        """Write one line for an item; spans are gathered by trace for people only."""
        if isinstance(entry, Item):
            self._stream.write(item_line(entry, ascii_only=self._ascii_only) + "\n")

    def close(self, *, stopped: bool) -> None:
        """Nothing waits here."""


def show_entry(entry: Entry, table: RowTable, *, wide: bool) -> None:
    """One row of ``table``, with the tree of a trace below it."""
    if isinstance(entry, Item):
        table.add(row_of(entry, wide=wide))
    else:
        table.add(*row_and_tree(entry, wide=wide), spans=len(entry.members))


def output_for(stream: IO[str], options: ShowOptions) -> Output:
    """The output for ``options.format``."""
    return JsonLinesOutput(stream) if options.format == "jsonl" else TableOutput(stream, options)
