"""The plain way to the tables, one event at a time: what the quick way is held equal to, and against."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence

from otel_etw.etl.buffers import Buffer, skip_reporter
from otel_etw.etl.damage import DamageKind
from otel_etw.etl.event import Event
from otel_etw.etl.layout import BUFFER_HEADER_BYTES
from otel_etw.etl.reader import Trace
from otel_etw.tables.batch_decoding import TABLE_OF_SIGNAL, Tables, Wanted
from otel_etw.tables.builders import batch_of_rows
from otel_etw.tables.items import Item, items_of, log_of_event
from otel_etw.tables.plain_rows import ROWS, Row, event_row
from otel_etw.tables.schema import EVENTS

_EVENTS_AT_ONCE = 10_000


def plain_tables(traces: Sequence[Trace], wanted: Wanted, *, order: str = "time") -> Iterator[Tables]:
    """The tables of all events of ``traces``, some thousand events at a time.

    Events that could not be decoded go into ``trace.damage``.
    """
    rows: dict[str, list[Row]] = {table: [] for table in wanted.tables}
    buffers: dict[str, dict[int, Buffer]] = {}
    for count, (trace, event) in enumerate(_events(traces, order), 1):
        first = _add(rows, wanted, trace, event)
        if first.problems:
            known = buffers.setdefault(trace.path, {})
            if event.buffer not in known:
                known.update((buffer.index, buffer) for buffer in trace.buffers())
            report = skip_reporter(known[event.buffer], trace.damage)
            report(DamageKind.EVENT, event.offset - BUFFER_HEADER_BYTES, "; ".join(first.problems))
        if count % _EVENTS_AT_ONCE == 0:
            yield {table: batch_of_rows(table, found) for table, found in rows.items()}
            rows = {table: [] for table in wanted.tables}
    yield {table: batch_of_rows(table, found) for table, found in rows.items()}


def _events(traces: Sequence[Trace], order: str) -> Iterator[tuple[Trace, Event]]:
    sources = [_labelled(trace, order) for trace in traces]
    if order == "file":
        return (labelled for source in sources for labelled in source)
    return heapq.merge(*sources, key=lambda labelled: labelled[1].timestamp_ns)


def _labelled(trace: Trace, order: str) -> Iterator[tuple[Trace, Event]]:
    if order == "file":
        trace.gather_manifests()  # in time order it is done on the way
    for event in trace if order == "file" else trace.in_time_order():
        yield trace, event


def _add(rows: dict[str, list[Row]], wanted: Wanted, trace: Trace, event: Event) -> Item:
    """Make the rows of ``event``; its first item."""
    items = items_of(event, trace.path)
    first = items[0]
    if wanted.events_as_logs and first.content is None and event.kind == "event":
        items = [Item(event, log_of_event(event), first.problems, first.file)]
    for item in items:
        table = TABLE_OF_SIGNAL[item.signal]
        if table != EVENTS and table in rows:
            rows[table].append(ROWS[type(item.content)](item, item.content))
    if EVENTS in rows and not (wanted.other_events_only and items[0].signal != "events"):
        rows[EVENTS].append(event_row(first))
    return first
