"""JSON objects as columns: every object a row of texts, half of them constants, taken in one pass."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from otel_etw.layouts.common_schema.parts import value_in
from otel_etw.tables.field_places import FieldPlaces
from otel_etw.tables.json_values import json_text
from otel_etw.tables.leaves import Leaf, Value, is_counted
from otel_etw.tables.plans import count_specials
from otel_etw.tables.schema import JSON_TYPE
from otel_etw.tables.shape_sets import JsonTables, ShapeSet
from otel_etw.tables.texts import MOST_SMALL, Elements, Texts, joined
from otel_etw.tables.values import digits, numbers
from otel_etw.tracelogging.decode import decode_payload
from otel_etw.tracelogging.metadata import Field
from otel_etw.tracelogging.text import from_8bit

_BLOCK_BYTES = 1 << 16


@dataclass(frozen=True)
class Events:
    """Events with fields: their data, where the fields are, and of each event its shape among ``shapes``."""

    data: np.ndarray
    places: FieldPlaces
    texts: Texts
    shape: np.ndarray
    shapes: ShapeSet


class JsonColumn:
    """The objects of the events ``rows``: what is in them when this is made, their text when asked for."""

    def __init__(self, events: Events, rows: np.ndarray, tables: JsonTables) -> None:
        self._events = events
        self._rows = rows
        self._tables = tables
        self._shape = events.shape.take(rows)
        self._elements = np.empty((len(rows), tables.width), np.int32)
        self._odd: set[int] = set()
        constants = events.texts.constants(tables.constants)
        for position in range(tables.most + 1):
            self._elements[:, 2 * position] = constants.take(tables.constant_numbers[position]).take(
                self._shape
            )
        counts = np.bincount(self._shape, minlength=len(tables.plans))
        self._plain_specials = int(counts @ tables.specials)
        first = events.texts.fields(rows)
        for position in range(tables.most):
            self._fill(position, first)

    def array(self) -> tuple[pa.Array, set[int]]:
        """The column; and which of the rows had odd text, that is such as is no UTF-8."""
        objects = self._objects()
        if objects is None:
            self._escape()
            objects = self._objects(escaped=True)
        return pa.ExtensionArray.from_storage(JSON_TYPE, objects), self._odd

    def _fill(self, position: int, first: Elements) -> None:
        """Put the values at one position of all objects in; ``first`` are the elements of first leaves."""
        events, tables = self._events, self._tables
        column = first + tables.leaf_elements[position].take(self._shape)
        if not tables.only_text[position]:
            value = tables.values[position].take(self._shape)
            column[value < 0] = events.texts.constants([b""])[0]
            made = tables.formats[position].take(self._shape)
            for number in tables.formats_at[position]:
                here = np.flatnonzero(made == number)
                leaf = tables.leaves[position].take(self._shape.take(here))
                start, _ = events.places.of(leaf, self._rows.take(here))
                column[here] = self._numbers(start, tables.format_leaves[number])
            for shape in tables.others_at[position]:
                here = np.flatnonzero(self._shape == shape)
                column[here] = self._others(position, here, shape)
        self._elements[:, 2 * position + 1] = column

    def _numbers(self, start: np.ndarray, leaf: Leaf) -> Elements:
        """The elements of numbers and truths of one format."""
        texts = self._events.texts
        values = numbers(self._events.data, start, leaf)
        if leaf.value is Value.BOOL:
            return texts.constants([b"false", b"true"])[(values != 0).view(np.int8)]
        if leaf.value is Value.FLOAT:
            self._plain_specials += 2 * int((~np.isfinite(values)).sum())
        elif len(values) > MOST_SMALL and values.min() >= 0 and values.max() < MOST_SMALL:
            return texts.small_numbers().take(values)
        return texts.added_later(lambda: digits(values), len(values))

    def _others(self, position: int, here: np.ndarray, shape: int) -> Elements:
        """The elements of values that the plain decoder makes."""
        plan = self._tables.plans[shape]
        assert plan is not None  # noqa: S101 - it has a member
        member = plan.members[position]
        field = self._events.shapes.leaves[shape][member.leaf].field
        rows = self._rows[here]
        start = self._events.places.start[member.leaf, rows].tolist()
        length = self._events.places.length[member.leaf, rows].tolist()
        made = [
            self._text_of(field, member.is_attribute, at, size, shape)
            for at, size in zip(start, length, strict=True)
        ]
        self._plain_specials += sum(map(count_specials, made))
        return self._events.texts.added(made)

    def _text_of(self, field: Field, is_attribute: bool, start: int, size: int, shape: int) -> bytes:
        """The JSON text of one value, by way of the plain decoder."""
        # What ends a text of unsaid length stands behind it.
        raw = self._events.data[start : start + size + 2].tobytes()
        payload = size.to_bytes(2, "little") + raw if is_counted(field) else raw
        value = decode_payload((field,), payload, self._events.shapes.pointer_bytes[shape]).values[0]
        return json_text(value_in(value) if is_attribute else value.value).encode()

    def _objects(self, *, escaped: bool = False) -> pa.StringArray | None:
        """All objects; ``None`` if a text has to be escaped or is no UTF-8."""
        if not len(self._rows):
            return pa.array([], pa.string())
        made = joined(self._events.texts.take(self._elements.reshape(-1)), self._tables.width)
        if not escaped and _specials_in(made) != self._plain_specials:
            return None
        try:
            return made.cast(pa.string())
        except pa.ArrowInvalid:
            if escaped:
                raise
            return None

    def _escape(self) -> None:
        """Replace the elements of texts that JSON needs escapes in, or that are no UTF-8."""
        texts = self._events.texts
        for position in range(self._tables.most):
            here = np.flatnonzero(self._tables.values[position][self._shape] == Value.TEXT)
            if not len(here):
                continue
            values = texts.take(self._elements[here, 2 * position + 1])
            wrong = _rows_to_escape(values)
            replaced = []
            for row in wrong:
                value = values[row].as_py()
                try:
                    text = value.decode()
                except UnicodeDecodeError:
                    text = from_8bit(value)
                    self._odd.add(int(here[row]))
                replaced.append(json_text(text)[1:-1].encode())
            if wrong:
                self._elements[here[wrong], 2 * position + 1] = texts.added(replaced)


def _specials_in(array: pa.BinaryArray) -> int:
    """How many bytes with a meaning in JSON strings there are: quotes, backslashes, control characters."""
    data = _bytes_of(array)
    count = 0
    for start in range(0, len(data), _BLOCK_BYTES):
        block = data[start : start + _BLOCK_BYTES]
        count += np.count_nonzero(block < 0x20) + np.count_nonzero(block == 0x22)
        count += np.count_nonzero(block == 0x5C)
    return count


def _rows_to_escape(array: pa.BinaryArray) -> list[int]:
    """The rows whose text has such a byte, or one that is not ASCII and not UTF-8."""
    data = _bytes_of(array)
    marked = (data < 0x20) | (data == 0x22) | (data == 0x5C)
    try:
        array.cast(pa.string())
    except pa.ArrowInvalid:
        marked |= data >= 0x80
    offsets = np.frombuffer(array.buffers()[1], np.int32, len(array) + 1) - np.int32(
        np.frombuffer(array.buffers()[1], np.int32, 1)[0]
    )
    rows = np.searchsorted(offsets, np.flatnonzero(marked), side="right") - 1
    return np.unique(rows).tolist()


def _bytes_of(array: pa.BinaryArray) -> np.ndarray:
    offsets = np.frombuffer(array.buffers()[1], np.int32, len(array) + 1)
    data = array.buffers()[2]
    if data is None:
        return np.empty(0, np.uint8)
    return np.frombuffer(data, np.uint8)[offsets[0] : offsets[-1]]
