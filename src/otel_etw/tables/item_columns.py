"""Log records and spans of the Common Schema as columns, for the events whose shape says all about them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from otel_etw.layouts.common_schema import names
from otel_etw.layouts.common_schema.parts import id_in
from otel_etw.tables.batch import EventBatch
from otel_etw.tables.json_columns import Events, JsonColumn
from otel_etw.tables.schema import LOGS, SCHEMAS, SPANS, TIME_TYPE
from otel_etw.tables.tail_columns import file_column, id_columns, names_column, record_batch, times_column
from otel_etw.tables.texts import as_text
from otel_etw.tables.times import parse_times
from otel_etw.tables.values import gathered, numbers

Column: TypeAlias = "pa.Array | Callable[[], pa.Array]"
"""A column, or what makes it."""
_EARLIEST, _LATEST = -(1 << 63), (1 << 63) - 1


@dataclass(frozen=True)
class Candidates:
    """Events of a batch (``rows``) that may be items; ``events`` has one for each."""

    batch: EventBatch
    rows: np.ndarray
    events: Events


@dataclass(frozen=True)
class Made:
    """Rows of a table, the batch's rows they come from, and those of them whose text was no UTF-8."""

    table: pa.RecordBatch
    rows: np.ndarray
    odd_text: frozenset[int]


def type_names(candidates: Candidates) -> tuple[np.ndarray, np.ndarray]:
    """Which of the candidates say that they are a log record, and which a span."""
    everything = np.arange(len(candidates.rows))
    answers = []
    for name, of_spans in ((b"Log", False), (b"Span", True)):
        fields = _Fields(candidates, everything, of_spans=of_spans)
        start, length, there = fields.places("_typeName")
        if there.any():
            letters = gathered(candidates.events.data, np.where(there, start, 0), "<u4")
            letters &= np.uint32((1 << 8 * len(name)) - 1)
            there &= (length == len(name)) & (letters == int.from_bytes(name, "little"))
        answers.append(there)
    return answers[0], answers[1]


Later = Callable[[], Made]
"""Makes the rows; by Arrow for the most part, and so to be done by a thread while others go on."""


def logs(candidates: Candidates, which: np.ndarray) -> Later:
    """The rows of ``logs`` of those candidates: what numpy can do is done now."""
    fields = _Fields(candidates, which, of_spans=False)
    batch, rows = candidates.batch, candidates.rows.take(which)
    observed = batch.time_ns.take(rows)
    columns: dict[str, Column] = {
        "time": times_column(fields.time("time", observed), TIME_TYPE),
        "observed_time": times_column(observed, TIME_TYPE),
        "severity_number": fields.number("severityNumber", pa.int32()),
        "severity_text": lambda: fields.text("severityText"),
        "body": lambda: fields.text("body"),
        "body_type": fields.there("body", "string"),
        "event_name": lambda: fields.text("name"),
        "event_id": fields.number("eventId", pa.int64()),
        **fields.common(),
    }
    return partial(fields.made, LOGS, columns)


def spans(candidates: Candidates, which: np.ndarray) -> Later:
    """The rows of ``spans`` of those candidates, in the same way."""
    fields = _Fields(candidates, which, of_spans=True)
    batch, rows = candidates.batch, candidates.rows.take(which)
    end = fields.time("time", batch.time_ns.take(rows))
    start = fields.time("startTime", end)
    success = fields.number("success", pa.bool_())
    failed = pc.fill_null(pc.invert(success), False).to_numpy(zero_copy_only=False)
    columns: dict[str, Column] = {
        "time": times_column(end, TIME_TYPE),
        "start_time": times_column(start, TIME_TYPE),
        "end_time": times_column(end, TIME_TYPE),
        "duration_ns": _durations(start, end),
        "name": lambda: pc.fill_null(fields.text("name"), ""),
        "kind": fields.span_kind(),
        "parent_span_id": lambda: fields.id("parentId"),
        "status": names_column(failed.astype(np.int32), [None, "error"]),
        "status_message": lambda: fields.text("statusMessage"),
        "success": success,
        **fields.common(),
    }
    return partial(fields.made, SPANS, columns)


def _durations(start: np.ndarray, end: np.ndarray) -> pa.Array:
    """Null as in the plain rows: at times that 64 bits cannot say, or too far apart."""
    duration = end - start
    unknown = ((end ^ start) & (end ^ duration)) < 0
    for time in (start, end):
        unknown |= (time == _EARLIEST) | (time == _LATEST)
    return pa.array(duration, pa.int64(), mask=unknown)


class _Fields:
    """Columns of the fields that a log record or span has by name."""

    def __init__(self, candidates: Candidates, which: np.ndarray, *, of_spans: bool) -> None:
        self._candidates = candidates
        self._which = which
        self._rows = candidates.rows.take(which)
        self._shape = candidates.events.shape.take(which)
        self._shapes = candidates.events.shapes
        self._of_spans = of_spans
        self._odd: set[int] = set()

    def _leaf(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """The leaf of that name of each row, and whether there is one."""
        of_row = self._shapes.slot(of_spans=self._of_spans, name=name).take(self._shape)
        return np.maximum(of_row, 0), of_row >= 0

    def places(self, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Where the field is, how long, and whether it is there."""
        leaf, there = self._leaf(name)
        places = self._candidates.events.places
        return *places.of(leaf, self._which), there

    def text(self, name: str) -> pa.StringArray:
        """A field of text."""
        leaf, there = self._leaf(name)
        if not there.any():
            return pa.nulls(len(leaf), pa.string())
        texts = self._candidates.events.texts
        taken = texts.take(texts.fields(self._which, leaf), None if there.all() else there)
        array, odd = as_text(taken)
        self._odd.update(odd)
        return array

    def id(self, name: str) -> pa.StringArray:
        """A trace or span id: lower case, null if all zeros."""
        start, length, there = self.places(name)
        rows = np.flatnonzero(there & (length > 0))
        if not len(rows):
            return pa.nulls(len(start), pa.string())
        size = int(length[rows[0]])
        if size % 8 == 0 and (length[rows] == size).all():
            signs = gathered(self._candidates.events.data, start[rows], f"V{size}").view(np.uint8)
            is_digit = (signs >= _DIGIT_0) & (signs <= _DIGIT_9)
            if (is_digit | ((signs >= _LETTER_A) & (signs <= _LETTER_F))).all():
                is_zero = (signs.view(np.uint64).reshape(len(rows), size // 8) == _ZEROS).all(axis=1)
                return _fixed_texts(signs.reshape(len(rows), size)[~is_zero], rows[~is_zero], len(start))
        texts = self.text(name).to_pylist()
        return pa.array([id_in(text) for text in texts], pa.string())

    def time(self, name: str, fallback: np.ndarray) -> np.ndarray:
        """A time as text, or ``fallback``."""
        start, length, there = self.places(name)
        return parse_times(self._candidates.events.data, start, np.where(there, length, 0), fallback)

    def number(self, name: str, kind: pa.DataType) -> pa.Array:
        """A number or truth, of whatever size it has in each shape."""
        start, _, there = self.places(name)
        found = np.zeros(len(start), np.int64)
        events = self._candidates.events
        of_shape, formats = self._shapes.number_formats(of_spans=self._of_spans, name=name)
        format_of = of_shape.take(self._shape)
        for number, leaf in enumerate(formats):
            here = format_of == number
            found[here] = numbers(events.data, start[here], leaf)
        if kind == pa.bool_():
            return pa.array(found != 0, mask=None if there.all() else ~there)
        if kind == pa.int32():
            there &= (found >= -(1 << 31)) & (found < 1 << 31)
        return (
            pa.array(found, kind) if there.all() else pa.array(np.where(there, found, 0), kind, mask=~there)
        )

    def span_kind(self) -> pa.DictionaryArray:
        """The word for the number of a span's kind."""
        _, there = self._leaf("kind")
        numbers_found = pc.fill_null(self.number("kind", pa.int64()), -1).to_numpy()
        distinct, inverse = np.unique(np.where(there, numbers_found, -1), return_inverse=True)
        return names_column(
            inverse, [None if number < 0 else names.span_kind(number) for number in distinct.tolist()]
        )

    def there(self, name: str, word: str) -> pa.DictionaryArray:
        """A word where the field is there."""
        _, there = self._leaf(name)
        return names_column((~there).astype(np.int32), [word, None])

    def common(self) -> dict[str, Column]:
        """What logs and spans have in common."""
        candidates, rows = self._candidates, self._rows
        batch, plans = candidates.batch, self._shapes.plans
        tables = self._shapes.span_attributes if self._of_spans else self._shapes.log_attributes
        attributes = JsonColumn(candidates.events, self._which, tables)
        return {
            "trace_id": lambda: self.id("traceId"),
            "span_id": lambda: self.id("spanId"),
            "attributes": lambda: self._json(attributes),
            "service_name": lambda: self.text("role"),
            "service_instance_id": lambda: self.text("roleInstance"),
            "etw_event": names_column(self._shape, [plan.event_name for plan in plans]),
            "provider": names_column(self._shape, [plan.provider for plan in plans]),
            "provider_id": names_column(self._shape, [plan.provider_id for plan in plans]),
            "level": pa.array(batch.level.take(rows)),
            "keyword": pa.array(batch.keyword.take(rows)),
            **id_columns(batch, rows),
            "file": file_column(batch, rows),
        }

    def _json(self, column: JsonColumn) -> pa.Array:
        array, odd = column.array()
        self._odd |= odd
        return array

    def made(self, table: str, columns: dict[str, Column]) -> Made:
        """The rows of ``table``, with the columns that are still to be made."""
        arrays = {name: column() if callable(column) else column for name, column in columns.items()}
        batch = record_batch(SCHEMAS[table], len(self._rows), arrays)
        return Made(batch, self._rows, frozenset(int(self._rows[row]) for row in self._odd))


_DIGIT_0, _DIGIT_9, _LETTER_A, _LETTER_F = np.frombuffer(b"09af", np.uint8)
_ZEROS = np.frombuffer(b"0" * 8, np.uint64)[0]


def _fixed_texts(signs: np.ndarray, rows: np.ndarray, count: int) -> pa.StringArray:
    """ASCII texts of one length, of which those in ``rows`` of ``count`` are there, as a column."""
    lengths = np.zeros(count + 1, np.int32)
    lengths[rows + 1] = signs.shape[1]
    there = np.zeros(count, bool)
    there[rows] = True
    offsets = np.cumsum(lengths, dtype=np.int32)
    valid = None if len(rows) == count else pa.array(there).buffers()[1]
    return pa.Array.from_buffers(
        pa.string(), count, [valid, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(signs))]
    )
