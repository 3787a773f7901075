"""Records that are alike, by number: what holds of one record of a class is worked out once, for all of them.

Two records are of one class if they are equal in everything that their kind, provider, name and level come
from: header type, event descriptor, and the form of their describing items or else the GUID; of kernel
records the hook.  What has unusual parts is in a class of its own, and looked at by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import NamedTuple

import numpy as np

from otel_etw.etl.event import Event
from otel_etw.etl.walking import RecordKind
from otel_etw.tables import kinds
from otel_etw.tables.batch import EventBatch

_U64 = np.uint64
_MIX = np.random.default_rng().integers(1 << 63, size=5, dtype=np.uint64) | _U64(1)


class Classes(NamedTuple):
    """The classes of a batch's records, numbered in the order in which they come."""

    number: np.ndarray
    """Of each record."""
    first_row: np.ndarray
    """Of each class, the row of its first record."""
    rows: np.ndarray
    """Of each class, how many records it has."""


def classes_of(batch: EventBatch) -> Classes:
    """The classes of all records of ``batch``; at least one record."""
    columns = _columns(batch)
    mixed = np.zeros(len(batch), _U64)
    for column, odd in zip(columns, _MIX, strict=True):
        mixed = (mixed ^ (mixed >> _U64(29))) * odd + column * odd
    _, first, number = np.unique(mixed, return_index=True, return_inverse=True)
    same = np.logical_and.reduce([column == column[first][number] for column in columns])
    is_alone = batch.places.is_odd & ~kinds.IS_HOOK[batch.records.header_type] | ~same
    if is_alone.any():
        alone = np.flatnonzero(is_alone)
        number[alone] = len(first) + np.arange(len(alone))
        _, first, number = np.unique(number, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    number = rank[number]
    return Classes(number, first[order], np.bincount(number, minlength=len(order)))


class Alike:
    """The records of one class, in the order of their places; events are made when they are asked for."""

    def __init__(self, batch: EventBatch, rows: np.ndarray) -> None:
        self._batch = batch
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Event]:
        return map(self._batch.event, self._rows.tolist())


def all_alike(batch: EventBatch) -> Iterator[Alike]:
    """The records of ``batch`` class by class, in the order in which the classes come."""
    if not len(batch):
        return
    classes = classes_of(batch)
    by_class = np.argsort(classes.number, kind="stable")
    end = 0
    for count in classes.rows.tolist():
        start, end = end, end + count
        yield Alike(batch, by_class[start:end])


def is_of_kind(batch: EventBatch, wanted: Collection[RecordKind]) -> np.ndarray:
    """Of each record whether it is of one of these families."""
    table = np.zeros(256, bool)
    for header_type, shape in kinds.RECORD_SHAPES.items():
        table[header_type] = shape.kind in wanted
    found: np.ndarray = table[batch.records.header_type]
    return found


def chosen_rows(
    batch: EventBatch,
    wants: Callable[[Event, int], bool],
    has_own_time: Callable[[Event], bool],
    since_unix_nano: int | None,
    until_unix_nano: int | None,
) -> list[int]:
    """The rows, in the order of delivery, of the classes that ``wants`` says yes to, given one event and how
    many there are.

    Of those without a time of their own only rows from ``since_unix_nano`` on and before ``until_unix_nano``.
    """
    if not len(batch):
        return []
    classes = classes_of(batch)
    wanted = np.zeros(len(classes.rows), bool)
    by_event_time = np.zeros(len(classes.rows), bool)
    is_bounded = since_unix_nano is not None or until_unix_nano is not None
    for number, (row, alike) in enumerate(
        zip(classes.first_row.tolist(), classes.rows.tolist(), strict=True)
    ):
        event = batch.event(row)
        wanted[number] = wants(event, alike)
        by_event_time[number] = is_bounded and wanted[number] and not has_own_time(event)
    mask = wanted[classes.number]
    if by_event_time.any():
        outside = np.zeros(len(batch), bool)
        if since_unix_nano is not None:
            outside |= batch.time_ns < since_unix_nano
        if until_unix_nano is not None:
            outside |= batch.time_ns >= until_unix_nano
        mask &= ~(outside & by_event_time[classes.number])
    rows = batch.rows()
    chosen: list[int] = rows[mask[rows]].tolist()
    return chosen


def _columns(batch: EventBatch) -> list[np.ndarray]:
    header_type = batch.records.header_type
    descriptor = batch.descriptor
    form = batch.places.form
    low, high = (np.zeros(len(batch), _U64) for _ in range(2))
    guid_word = kinds.GUID_WORD[header_type]
    rows = np.flatnonzero((form < 0) & (guid_word >= 0))
    low[rows] = batch.words[batch.first_word[rows] + guid_word[rows]]
    high[rows] = batch.words[batch.first_word[rows] + guid_word[rows] + 1]
    hooks = np.flatnonzero(kinds.IS_HOOK[header_type])
    low[hooks] = batch.words[batch.first_word[hooks]] >> _U64(48)
    return [
        header_type.astype(_U64) | batch.file.astype(_U64) << _U64(8),
        (form + 1).astype(_U64),
        descriptor,
        low,
        high,
    ]
