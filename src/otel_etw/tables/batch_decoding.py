"""One batch of records to rows of the tables: whole columns where that is possible, one by one where not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from otel_etw.etl.damage import DamageKind
from otel_etw.etl.layout import BUFFER_HEADER_BYTES
from otel_etw.tables import kinds
from otel_etw.tables.batch import EventBatch
from otel_etw.tables.builders import batch_of_rows, empty_batch
from otel_etw.tables.event_columns import SIGNAL_NUMBERS, Described, event_rows
from otel_etw.tables.field_places import FieldPlaces, locate
from otel_etw.tables.forms import Forms
from otel_etw.tables.item_columns import Candidates, Later, Made, logs, spans, type_names
from otel_etw.tables.items import Item, items_of, log_of_event
from otel_etw.tables.json_columns import Events
from otel_etw.tables.plain_rows import ROWS, Row, event_row
from otel_etw.tables.plans import Plan, plan_of
from otel_etw.tables.schema import EVENTS, LOGS, METRIC_POINTS, SPANS
from otel_etw.tables.shape_sets import ShapeSets
from otel_etw.tables.texts import Texts
from otel_etw.tracelogging.provider_id import METRICS_PROVIDER_ID

Tables = dict[str, pa.RecordBatch]

TABLE_OF_SIGNAL = {"logs": LOGS, "spans": SPANS, "metrics": METRIC_POINTS, "events": EVENTS}
_METRICS_GUID = np.frombuffer(METRICS_PROVIDER_ID.bytes_le, "<u8")
_MESSAGEPACK = 100 | 1 << 16
"""Id and version of events that may hold MessagePack."""
_MOST_LEAVES = 200_000
"""Of all plans that are kept. A leaf takes half a kilobyte, and two bytes of a hostile file."""


@dataclass(frozen=True)
class Wanted:
    """What to make of the records."""

    tables: tuple[str, ...]
    events_as_logs: bool = False
    other_events_only: bool = False


@dataclass
class _Parts:
    """What has been made for one table: batches, and of each row of them the row of the event batch."""

    batches: list[pa.RecordBatch] = field(default_factory=list)
    rows: list[np.ndarray] = field(default_factory=list)

    def add(self, batch: pa.RecordBatch, rows: np.ndarray) -> None:
        if batch.num_rows:
            self.batches.append(batch)
            self.rows.append(rows)


class BatchDecoder:
    """Decodes batch after batch; remembers what is to be done with the events of each form."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._forms: Forms | None = None
        self._plans: list[Plan] = []
        self._leaves = 0
        self._sets = ShapeSets()

    def decode(self, batch: EventBatch) -> Tables:
        """The rows of all tables wanted, in the order of delivery; problems go into the batch's reports."""
        one = self.prepared(batch)
        made = one.tables()
        one.tell()
        return made

    def prepared(self, batch: EventBatch) -> OneBatch:
        """The decoding of one batch, begun; one thread does that for batch after batch."""
        return OneBatch(batch, self._wanted, self._plans_of(batch), self._sets)

    def _plans_of(self, batch: EventBatch) -> Sequence[Plan]:
        batch.places  # noqa: B018 - this is where new forms are met
        if batch.forms is not self._forms:
            self._forms, self._plans, self._sets = batch.forms, [], ShapeSets()
            self._leaves = 0
        context = batch.traces[0].context
        for description in batch.forms.descriptions[len(self._plans) :]:
            plan = plan_of(description, context)
            self._leaves += len(plan.leaves or ())
            self._plans.append(plan if self._leaves <= _MOST_LEAVES else plan.for_plain_way())
        return self._plans


class OneBatch:
    """The decoding of one batch.

    What numpy does is done when this is made; :meth:`tables` is Arrow's work for the most part, and for any
    thread; :meth:`tell` is for the one that may touch the reports.
    """

    def __init__(self, batch: EventBatch, wanted: Wanted, plans: Sequence[Plan], sets: ShapeSets) -> None:
        self._batch = batch
        self._wanted = wanted
        self._plans = plans
        self._sets = sets
        self._parts = {table: _Parts() for table in wanted.tables}
        self._signals = np.zeros(len(batch), np.int8)
        self._notes: list[tuple[int, DamageKind, str]] = []
        self._later: list[tuple[str, Later]] = []
        self._candidates: Candidates | None = None
        self._plain_rows, described = self._sorted_out()
        if len(described):
            self._candidates, unfit = self._located(described)
            self._plain_rows = np.union1d(self._plain_rows, unfit)
            self._plain_rows = np.union1d(self._plain_rows, self._items(self._candidates))

    def tables(self) -> Tables:
        """All rows."""
        for table, later in self._later:
            self._add(table, later())
        self._plain(self._plain_rows)
        if EVENTS in self._parts:
            self._events(self._plain_rows, self._candidates)
        return {table: self._joined(table) for table in self._wanted.tables}

    # --- which way each event goes ---

    def _sorted_out(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows for the plain decoder, and rows whose fields can be followed in whole columns."""
        batch, places = self._batch, self._batch.places
        form = places.form
        plain = places.is_odd.copy()
        has_form = (form >= 0) & ~plain
        followed = np.array(
            [plan.leaves is not None and bool(plan.leaves) for plan in self._plans] + [False], bool
        )
        plain |= has_form & ~followed.take(form)
        is_event = kinds.IS_EVENT.take(batch.records.header_type)
        undescribed = is_event & (form < 0)
        number = batch.descriptor & np.uint64(0xFFFFFF)
        plain |= undescribed & (number == _MESSAGEPACK)
        guid = batch.words[np.where(is_event, batch.first_word + 3, 0)]
        guid_end = batch.words[np.where(is_event, batch.first_word + 4, 0)]
        is_metric = is_event & (guid == _METRICS_GUID[0]) & (guid_end == _METRICS_GUID[1])
        plain |= is_metric
        plain |= self._by_manifest(undescribed)
        if self._wanted.events_as_logs:
            plain[:] = True
        return np.flatnonzero(plain), np.flatnonzero(has_form & ~plain)

    def _by_manifest(self, undescribed: np.ndarray) -> np.ndarray:
        """Events without a description of their own that a manifest in the file describes."""
        batch = self._batch
        if EVENTS not in self._parts or not any(trace.context.manifests for trace in batch.traces):
            return np.zeros(len(batch), bool)
        classes = batch.classes
        has_template = [
            bool(undescribed[row]) and batch.event(row).template is not None
            for row in classes.first_row.tolist()
        ]
        return np.array(has_template, bool)[classes.number]

    def _located(self, rows: np.ndarray) -> tuple[Candidates, np.ndarray]:
        """The fields of the events ``rows``; and which of them are not what their description says."""
        batch = self._batch
        form = batch.places.form.take(rows)
        there = np.bincount(form)
        present = np.flatnonzero(there)
        shape = (np.cumsum(there > 0) - 1).take(form)
        shapes = self._sets.of(batch.forms, present, self._plans)
        start = batch.places.payload_start.take(rows)
        end = batch.records.position.take(rows) + batch.records.size.take(rows)
        places = locate(batch.chunk.data, start, end, shape, shapes)
        fits = places.fits
        if not fits.all():
            unfit = rows[~fits]
            places = FieldPlaces(places.start[:, fits], places.length[:, fits], fits[fits])
            rows, shape = rows[fits], shape[fits]
        else:
            unfit = rows[:0]
        events = Events(batch.chunk.data, places, Texts(batch.chunk, places), shape, shapes)
        return Candidates(batch, rows, events), unfit

    def _items(self, candidates: Candidates) -> np.ndarray:
        """Begin log records and spans; the rows of events that may be items, but not for whole columns."""
        is_log, is_span = type_names(candidates)
        rows = candidates.rows
        self._signals[rows[is_log]] = SIGNAL_NUMBERS["logs"]
        self._signals[rows[is_span]] = SIGNAL_NUMBERS["spans"]
        for table, mask, make in ((LOGS, is_log, logs), (SPANS, is_span, spans)):
            if table in self._parts and mask.any():
                self._later.append((table, make(candidates, np.flatnonzero(mask))))
        may_be = candidates.events.shapes.may_be_signal[candidates.events.shape]
        return rows[may_be & ~is_log & ~is_span]

    def _add(self, table: str, made: Made) -> None:
        self._parts[table].add(made.table, made.rows)
        for row in made.odd_text:
            self._note(row, DamageKind.TEXT, f"text in table {table} is not UTF-8")

    # --- one by one ---

    def _plain(self, plain: np.ndarray) -> None:
        found: dict[str, tuple[list[Row], list[int]]] = {table: ([], []) for table in self._parts}
        for row in plain.tolist():
            event = self._batch.event(row)
            items = items_of(event, self._batch.path(row))
            first = items[0]
            if self._wanted.events_as_logs and first.content is None and event.kind == "event":
                items = [Item(event, log_of_event(event), first.problems, first.file)]
            self._signals[row] = SIGNAL_NUMBERS[items[0].signal]
            if first.problems:
                self._note(row, DamageKind.EVENT, "; ".join(first.problems))
            for item in items:
                table = TABLE_OF_SIGNAL[item.signal]
                if table != EVENTS and table in found:
                    found[table][0].append(ROWS[type(item.content)](item, item.content))
                    found[table][1].append(row)
            if EVENTS in found and not (self._wanted.other_events_only and items[0].signal != "events"):
                found[EVENTS][0].append(event_row(first))
                found[EVENTS][1].append(row)
        for table, (made, rows) in found.items():
            if made:
                self._parts[table].add(batch_of_rows(table, made), np.array(rows, np.int64))

    # --- everything as events ---

    def _events(self, plain: np.ndarray, candidates: Candidates | None) -> None:
        there = np.ones(len(self._batch), bool)
        there[plain] = False
        if self._wanted.other_events_only:
            there &= self._signals == 0
        rows = np.flatnonzero(there)
        if not len(rows):
            return
        described = None
        if candidates is not None:
            described = Described(candidates.rows, candidates.events)
        table, odd = event_rows(self._batch, rows, self._signals[rows], described)
        self._parts[EVENTS].add(table, rows)
        for row in odd:
            self._note(row, DamageKind.TEXT, "text in table events is not UTF-8")

    # --- the end ---

    def _note(self, row: int, kind: DamageKind, why: str) -> None:
        self._notes.append((row, kind, why))

    def tell(self) -> None:
        """Let the reports of the batch know what was wrong with single events."""
        for row, kind, why in self._notes:
            self._tell(row, kind, why)

    def _tell(self, row: int, kind: DamageKind, why: str) -> None:
        records, lanes = self._batch.records, self._batch.lanes
        lane = int(records.lane[row])
        buffer = lanes.buffers[lane]
        offset = int(records.position[row] - lanes.start[lane]) + BUFFER_HEADER_BYTES
        if buffer.is_compressed:
            lanes.reports[lane].add(
                kind, buffer.file_offset, buffer.index, f"{why}, at {offset:#x} when decompressed"
            )
        else:
            lanes.reports[lane].add(kind, buffer.file_offset + offset, buffer.index, why)

    def _joined(self, table: str) -> pa.RecordBatch:
        parts = self._parts[table]
        if not parts.batches:
            return empty_batch(table)
        if len(parts.batches) == 1:
            joined, rows = parts.batches[0], parts.rows[0]
        else:
            made = pa.Table.from_batches(parts.batches).combine_chunks().to_batches()
            joined, rows = made[0], np.concatenate(parts.rows)
        rank = rows
        if self._batch.order is not None:
            ranks = np.empty(len(self._batch), np.int64)
            ranks[self._batch.order] = np.arange(len(self._batch))
            rank = ranks[rows]
        if (rank[1:] >= rank[:-1]).all():
            return joined
        return joined.take(pa.array(np.argsort(rank, kind="stable")))
