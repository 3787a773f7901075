"""Items on their way to the screen: selected, counted, as a table with a summary of metrics or as JSON lines.

In the table the spans of a trace are one row with a tree below it, which stands at the time when the last of
them ended, so that the log records of a request come right before its tree and nothing waits for the end of a
large file. ``outputs.span_traces`` says when a trace is taken for complete and how many spans wait for that.

``view`` and ``demo`` both show through here; ``cli.live`` is for events that are still to come.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, NamedTuple, Protocol

from otel_etw.cli.ordering import by_own_time
from otel_etw.cli.reading import FileEvent, Traces
from otel_etw.cli.selection import Selection
from otel_etw.layouts.items import MetricPoint
from otel_etw.outputs.jsonl import item_line
from otel_etw.outputs.metric_lines import summary_lines
from otel_etw.outputs.metric_summary import MetricSummary
from otel_etw.outputs.pieces import Pieces
from otel_etw.outputs.rows import notes_of, row_of
from otel_etw.outputs.span_lines import row_and_tree
from otel_etw.outputs.span_traces import Entry, by_trace
from otel_etw.outputs.terminal import RowTable, Screen, can_encode
from otel_etw.tables.items import Item, items_of

if TYPE_CHECKING:
    from otel_etw.etl.event import Event

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

    def flush(self) -> None:
        """Let what was shown be seen now, though more may come."""

    def close(self, *, stopped: bool) -> None:
        """Show what waits for the end; ``stopped`` if there may be more in the files."""


NoteProblems = Callable[[str, "Event", "Sequence[str]"], None]
"""Told the file's name, the event, and what of it could not be decoded."""


def selected_entries(traces: Traces, selection: Selection, options: ShowOptions) -> Iterator[Entry]:
    """What ``selection`` wants of all files, by time, spans as ``options`` has them; counts problems."""
    # Who wants but a few rows does not wait for the whole file to be searched.
    looks_ahead = options.limit is None
    events = traces.events(file_order=options.file_order, choose=selection.rows, looks_ahead=looks_ahead)
    items = selected_items(events, selection, traces.note_problems)
    entries = by_trace(items, span_notes(options)) if shows_trees(options) else items
    return entries if options.file_order else by_own_time(entries)


def shows_trees(options: ShowOptions) -> bool:
    """Whether the spans of a trace are one row."""
    return options.format == "table" and not options.spans


def span_notes(options: ShowOptions) -> Callable[[Item], Pieces]:
    """What is kept of a span's event."""
    return lambda item: notes_of(item, wide=options.wide)


def selected_items(
    events: Iterable[FileEvent], selection: Selection, note_problems: NoteProblems
) -> Iterator[Item]:
    """The items wanted of ``events``, of which those are left out already that need not be decoded for it."""
    for label, event in events:
        for item in items_of(event, label):
            if selection.wants_item(item):
                note_problems(label, event, item.problems)
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
        self._stream = stream
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

    def flush(self) -> None:
        """Show rows that wait for others to fit their columns to."""
        self._table.flush()
        self._stream.flush()

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

    def __init__(self, stream: IO[str], *, flush_lines: bool = False) -> None:
        self._stream = stream
        self._flush_lines = flush_lines
        self._ascii_only = not can_encode("\u00e9\u4e2d\U0001f600", stream)

    def takes_row(self, entry: Entry) -> bool:
        """All of them."""
        return True

    def row(self, entry: Entry) -> None:
        """Write one line for an item; spans are gathered by trace for people only."""
        if isinstance(entry, Item):
            self._stream.write(item_line(entry, ascii_only=self._ascii_only) + "\n")
            if self._flush_lines:
                self._stream.flush()

    def flush(self) -> None:
        """Pass on what is still in memory."""
        self._stream.flush()

    def close(self, *, stopped: bool) -> None:
        """Nothing waits here."""


def show_entry(entry: Entry, table: RowTable, *, wide: bool) -> None:
    """One row of ``table``, with the tree of a trace below it."""
    if isinstance(entry, Item):
        table.add(row_of(entry, wide=wide))
    else:
        table.add(*row_and_tree(entry, wide=wide), spans=len(entry.members))


def output_for(stream: IO[str], options: ShowOptions, *, live: bool = False) -> Output:
    """The output for ``options.format``; ``live`` passes on each line of JSON at once."""
    if options.format == "jsonl":
        return JsonLinesOutput(stream, flush_lines=live)
    return TableOutput(stream, options)
