"""Text columns out of the bytes of records, without a step per value.

A column of Arrow text is one run of bytes and the offsets in it. The places of all fields of all events, one
after the other, are such offsets into the records themselves: the fields are every second element of an array
that only has to be declared. From it Arrow takes whatever elements a column consists of, in one copying pass.
Texts that stand in no record (constants, numbers in digits) are put behind the records and follow as further
elements, so that a JSON object, too, is nothing but a row of elements taken one after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from otel_etw.tables.chunks import Chunk
from otel_etw.tables.field_places import FieldPlaces
from otel_etw.tracelogging.text import from_8bit

MOST_SMALL = 600
_SMALL = [b"%d" % number for number in range(MOST_SMALL)]
_SMALL_BLOB = b"".join(_SMALL)
_SMALL_LENGTHS = np.array([len(text) for text in _SMALL], np.int32)

Elements = np.ndarray
"""int32 numbers of elements."""


class _Added(NamedTuple):
    """Texts, one after the other, and how long each is."""

    blob: bytes
    lengths: np.ndarray


def _made(array: pa.StringArray) -> _Added:
    """The texts of an array without nulls."""
    offsets = np.frombuffer(array.buffers()[1], np.int32, len(array) + 1, array.offset * 4)
    data = array.buffers()[2]
    blob = b"" if data is None else memoryview(data)[offsets[0] : offsets[-1]].tobytes()
    return _Added(blob, np.diff(offsets))


class Texts:
    """The fields of events (``places`` in the data of ``chunk``) and added texts, as elements."""

    def __init__(self, chunk: Chunk, places: FieldPlaces) -> None:
        self._chunk = chunk
        self._leaves, count = places.start.shape
        offsets = np.empty((count, self._leaves, 2), np.int32)
        offsets[:, :, 0] = places.start.T
        np.add(places.start.T, places.length.T, out=offsets[:, :, 1])
        self._offsets = offsets.reshape(-1)
        self._first_added = len(self._offsets)
        self._added: list[_Added | Callable[[], pa.StringArray]] = []
        self._added_count = 0
        self._constants: dict[bytes, int] = {}
        self._small: Elements | None = None
        self._array: pa.Array | None = None

    def fields(self, events: np.ndarray, leaves: np.ndarray | int = 0) -> Elements:
        """The elements of fields: of each event one leaf. That of leaf n is 2 n behind that of leaf 0."""
        return ((events * self._leaves + leaves) * 2).astype(np.int32)

    def constants(self, texts: Sequence[bytes]) -> Elements:
        """The elements of texts that are added once, however often they are asked for."""
        missing = [text for text in dict.fromkeys(texts) if text not in self._constants]
        if missing:
            self._constants.update(zip(missing, self.added(missing).tolist(), strict=True))
        return np.array([self._constants[text] for text in texts], np.int32)

    def small_numbers(self) -> Elements:
        """The elements of the digits of small numbers, such as come again and again: HTTP status codes."""
        if self._small is None:
            self._small = self._add(_SMALL_BLOB, _SMALL_LENGTHS)
        return self._small

    def added(self, texts: Iterable[bytes]) -> Elements:
        """The elements of texts that are added."""
        texts = list(texts)
        return self._add(b"".join(texts), np.array([len(text) for text in texts], np.int32))

    def added_later(self, make: Callable[[], pa.StringArray], count: int) -> Elements:
        """The elements of so many texts without nulls, which are not made before something is taken."""
        self._added.append(make)
        return self._numbered(count)

    def _add(self, blob: bytes, lengths: np.ndarray) -> Elements:
        self._added.append(_Added(blob, lengths.astype(np.int32)))
        return self._numbered(len(lengths))

    def _numbered(self, count: int) -> Elements:
        first = self._first_added + self._added_count
        self._added_count += count
        self._array = None
        return np.arange(first, first + count, dtype=np.int32)

    def take(self, elements: Elements, there: np.ndarray | None = None) -> pa.BinaryArray:
        """The elements as one array, null where ``there`` is false."""
        if self._array is None:
            self._array = self._declared()
        mask = None if there is None else ~there
        return self._array.take(pa.array(elements, pa.int32(), mask=mask))

    def _declared(self) -> pa.BinaryArray:
        added = [one if isinstance(one, _Added) else _made(one()) for one in self._added]
        self._added[:] = added
        blob = b"".join(one.blob for one in added)
        start = self._chunk.used_bytes
        data = self._chunk.data
        if start + len(blob) > len(data):
            data = np.concatenate([data[:start], np.empty(len(blob), np.uint8)])
        data[start : start + len(blob)] = np.frombuffer(blob, np.uint8)
        lengths = np.concatenate([np.zeros(1, np.int32), *(one.lengths for one in added)])
        offsets = np.concatenate([self._offsets, np.cumsum(lengths, dtype=np.int32) + np.int32(start)])
        return pa.Array.from_buffers(
            pa.binary(), len(offsets) - 1, [None, pa.py_buffer(offsets), pa.py_buffer(data)]
        )


def as_text(array: pa.BinaryArray) -> tuple[pa.StringArray, list[int]]:
    """8-bit text as Arrow text, and the rows that were no UTF-8, read by :func:`.text.from_8bit`."""
    try:
        return array.cast(pa.string()), []
    except pa.ArrowInvalid:
        pass
    texts: list[str | None] = []
    wrong: list[int] = []
    for row, value in enumerate(array.to_pylist()):
        try:
            texts.append(None if value is None else value.decode())
        except UnicodeDecodeError:
            texts.append(from_8bit(value))
            wrong.append(row)
    return pa.array(texts, pa.string()), wrong


def joined(array: pa.BinaryArray, pieces: int) -> pa.BinaryArray:
    """Every so many elements of ``array`` (without nulls) as one; nothing is copied."""
    count = len(array) // pieces
    offsets = np.frombuffer(array.buffers()[1], np.int32, len(array) + 1)[::pieces].copy()
    return pa.Array.from_buffers(pa.binary(), count, [None, pa.py_buffer(offsets), array.buffers()[2]])
