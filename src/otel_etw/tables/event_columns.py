"""Any records as rows of ``events``, by whole columns."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa

from otel_etw.etl.layout import BUFFER_HEADER_BYTES
from otel_etw.tables import kinds
from otel_etw.tables.batch import EventBatch
from otel_etw.tables.json_columns import Events, JsonColumn
from otel_etw.tables.schema import EVENTS, JSON_TYPE, SCHEMAS, TIME_TYPE
from otel_etw.tables.tail_columns import file_column, id_columns, names_column, record_batch, times_column

_SIGNAL_NAMES = ("events", "logs", "spans", "metrics")
SIGNAL_NUMBERS = {name: number for number, name in enumerate(_SIGNAL_NAMES)}
_GUID_BYTES = 16
_DASHES = (8, 13, 18, 23)
# GUIDs are stored as u32, u16, u16 and 8 bytes; their text has the numbers' high digits first.
_TEXT_ORDER = np.array([3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15])
_HEX = np.frombuffer(b"0123456789abcdef", np.uint8)


@dataclass(frozen=True)
class Described:
    """Events with fields: which rows they are, and where their fields are."""

    rows: np.ndarray
    events: Events


def event_rows(
    batch: EventBatch, rows: np.ndarray, signals: np.ndarray, described: Described | None
) -> tuple[pa.RecordBatch, set[int]]:
    """The ``rows`` of the batch (in rising order, none of them odd) as rows of ``events``.

    ``signals`` are numbers of :data:`SIGNAL_NUMBERS`. Of ``described`` only events in ``rows`` count. Beside
    the table are the rows whose text was no UTF-8.
    """
    return _Columns(batch, rows, signals, described).table()


class _Columns:
    def __init__(
        self, batch: EventBatch, rows: np.ndarray, signals: np.ndarray, described: Described | None
    ) -> None:
        self._batch = batch
        self._rows = rows
        self._signals = signals
        self._described = described
        self._odd: set[int] = set()

    def table(self) -> tuple[pa.RecordBatch, set[int]]:
        batch, rows = self._batch, self._rows
        records, lanes = batch.records, batch.lanes
        descriptor = batch.descriptor[rows]
        parts = descriptor.view("<u2").reshape(-1, 4)
        small = descriptor.view(np.uint8).reshape(-1, 8)
        lane = records.lane[rows]
        offset = records.position[rows] - lanes.start[lane] + BUFFER_HEADER_BYTES
        buffers = lanes.buffers
        header_type = records.header_type[rows]
        provider, provider_id, event_name = self._names()
        columns: dict[str, pa.Array] = {
            "time": times_column(batch.time_ns[rows], TIME_TYPE),
            "event_name": event_name,
            "signal": names_column(self._signals, _SIGNAL_NAMES),
            "kind": names_column(header_type, kinds.KIND_NAMES),
            "id": pa.array(np.ascontiguousarray(parts[:, 0])),
            "version": pa.array(np.ascontiguousarray(small[:, 2])),
            "channel": pa.array(np.ascontiguousarray(small[:, 3])),
            "opcode": pa.array(np.ascontiguousarray(small[:, 5])),
            "task": pa.array(np.ascontiguousarray(parts[:, 3])),
            "processor": pa.array(np.array([buffer.processor for buffer in buffers], np.uint16)[lane]),
            "activity_id": self._activity(),
            "related_activity_id": self._related(),
            "fields": self._fields(),
            "payload": self._payload(),
            "buffer": pa.array(np.array([buffer.index for buffer in buffers], np.int64)[lane]),
            "offset": pa.array(offset),
            "provider": provider,
            "provider_id": provider_id,
            "level": pa.array(np.ascontiguousarray(small[:, 4])),
            "keyword": pa.array(batch.keyword[rows]),
            **id_columns(batch, rows),
            "file": file_column(batch, rows),
        }
        stack = self._stack()
        if stack is not None:
            columns["stack"] = stack
        return record_batch(SCHEMAS[EVENTS], len(rows), columns), self._odd

    # --- who and what ---

    @cached_property
    def _form(self) -> np.ndarray:
        return self._batch.places.form[self._rows]

    def _names(self) -> tuple[pa.Array, pa.Array, pa.Array]:
        """Provider, its GUID and the event's name, as one event of each class has them."""
        batch, classes = self._batch, self._batch.classes
        number = classes.number[self._rows]
        there = np.bincount(number, minlength=len(classes.rows)) > 0
        providers: list[str | None] = []
        ids: list[str | None] = []
        names: list[str | None] = []
        for row, is_there in zip(classes.first_row.tolist(), there.tolist(), strict=True):
            if not is_there:
                providers, ids, names = [*providers, None], [*ids, None], [*names, None]
                continue
            event = batch.event(row)
            guid = event.provider_id
            providers.append(event.provider_name)
            ids.append(None if guid is None else str(guid))
            names.append(event.name)
        return names_column(number, providers), names_column(number, ids), names_column(number, names)

    # --- ids ---

    def _activity(self) -> pa.Array:
        whole = kinds.IS_DESCRIBED_BY_DESCRIPTOR[self._batch.records.header_type[self._rows]]
        return self._guids(np.where(whole, self._batch.first_word[self._rows] + 8, -1))

    def _related(self) -> pa.Array:
        place = self._batch.places.related[self._rows]
        return self._guids(np.where(place > 0, place >> 3, -1))

    def _guids(self, word: np.ndarray) -> pa.Array:
        """GUIDs as text; null where there is none (-1), or all zeros."""
        words = self._batch.words
        there = np.flatnonzero(word >= 0)
        pairs = np.stack([words[word[there]], words[word[there] + 1]], axis=1)
        nonzero = pairs.any(axis=1)
        there, pairs = there[nonzero], pairs[nonzero]
        if not len(there):
            return pa.nulls(len(word), pa.string())
        texts = guid_texts(np.ascontiguousarray(pairs).view(np.uint8).reshape(-1, _GUID_BYTES))
        return _spread(texts, there, len(word))

    # --- what it carries ---

    def _fields(self) -> pa.Array:
        described = self._described
        if described is None or not len(described.rows):
            return pa.ExtensionArray.from_storage(JSON_TYPE, pa.nulls(len(self._rows), pa.string()))
        position = np.searchsorted(self._rows, described.rows)
        position = np.minimum(position, len(self._rows) - 1)
        wanted = np.flatnonzero(self._rows[position] == described.rows)
        column, odd = JsonColumn(described.events, wanted, described.events.shapes.fields).array()
        self._odd |= {int(described.rows[wanted[row]]) for row in odd}
        return pa.ExtensionArray.from_storage(
            JSON_TYPE, _spread(column.storage, position[wanted], len(self._rows))
        )

    def _payload(self) -> pa.Array:
        """The bytes of events without fields; null where there are none."""
        batch, rows = self._batch, self._rows
        start = batch.places.payload_start[rows]
        end = batch.records.position[rows] + batch.records.size[rows]
        there = (self._form < 0) & (end > start)
        if not there.any():
            return pa.nulls(len(rows), pa.binary())
        offsets = np.empty(2 * len(rows), np.int32)
        offsets[0::2], offsets[1::2] = start, end
        array = pa.Array.from_buffers(
            pa.binary(), len(offsets) - 1, [None, pa.py_buffer(offsets), pa.py_buffer(batch.chunk.data)]
        )
        return array.take(pa.array(np.arange(len(rows), dtype=np.int32) * 2, pa.int32(), mask=~there))

    def _stack(self) -> pa.Array | None:
        with_stack = np.flatnonzero(self._batch.places.stack[self._rows])
        if not len(with_stack):
            return None
        stacks: list[list[int] | None] = [None] * len(self._rows)
        for row in with_stack.tolist():
            stacks[row] = list(self._batch.event(int(self._rows[row])).stack) or None
        return pa.array(stacks, SCHEMAS[EVENTS].field("stack").type)


def guid_texts(stored: np.ndarray) -> pa.StringArray:
    """GUIDs as they are stored, 16 bytes in each row, as text."""
    count = len(stored)
    ordered = stored[:, _TEXT_ORDER]
    signs = np.empty((count, 36), np.uint8)
    signs[:, list(_DASHES)] = ord("-")
    digits = np.empty((count, 32), np.uint8)
    digits[:, 0::2] = _HEX[ordered >> 4]
    digits[:, 1::2] = _HEX[ordered & 15]
    places = [place for place in range(36) if place not in _DASHES]
    signs[:, places] = digits
    offsets = np.arange(0, 36 * count + 1, 36, dtype=np.int32)
    return pa.Array.from_buffers(
        pa.string(), count, [None, pa.py_buffer(offsets), pa.py_buffer(signs.reshape(-1))]
    )


def _spread(array: pa.Array, positions: np.ndarray, count: int) -> pa.Array:
    """``array`` with its elements at ``positions`` of ``count``, null between them."""
    if len(positions) == count:
        return array
    index = np.zeros(count, np.int32)
    empty = np.ones(count, bool)
    index[positions] = np.arange(len(positions))
    empty[positions] = False
    if not len(array):
        return pa.nulls(count, array.type)
    return array.take(pa.array(index, pa.int32(), mask=empty))
