"""Records of many buffers and files in time order, opening each buffer when its turn comes.

Nothing but the time of each buffer's first record is known beforehand.  Buffers are opened in the order of
those times, as many at once as make a batch; of their records those go out that lie before the first record
of the next buffer.  A buffer of which some are left is opened again when they are due; its bytes stay in a
cache of bounded size until then.  So the order is exact for every file whose buffers start with their
earliest record, as recorders write them, and no more is held than a batch and the cache, whatever the file.
Records of one time stand by file and buffer.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from heapq import heapify, heappop, heappush
from typing import NamedTuple

import numpy as np

from otel_etw.etl.buffer_index import BufferIndex
from otel_etw.etl.damage import DamageReport
from otel_etw.etl.reader import Trace
from otel_etw.tables.batch import EventBatch, unix_nano
from otel_etw.tables.reading import Reading, add_runs, room_bytes

_CACHE_BYTES = 64 * 1024 * 1024

Place = tuple[int, int]
"""Number of a file, position of a buffer in its index."""


class Limit(NamedTuple):
    """What lies before a record: earlier times, and at its time the buffers of earlier places."""

    time: int
    place: Place


class Waiting(NamedTuple):
    """A buffer to be opened when ``time`` comes. What lies before ``after`` was delivered."""

    time: int
    place: Place
    after: Limit | None


def in_time_order(reading: Reading, sizes: Iterator[int]) -> Iterator[EventBatch]:
    """All records of all traces of ``reading`` by time."""
    indexes = [_indexed(trace, report) for trace, report in zip(reading.traces, reading.reports, strict=True)]
    reading.total_buffers = sum(map(len, indexes))
    waiting = _all_waiting(reading.traces, indexes)
    cache = _Cache()
    while waiting:
        chosen, size_bytes = _choose(waiting, indexes, next(sizes))
        limit = Limit(waiting[0].time, waiting[0].place) if waiting else None
        batch = _opened(reading, cache, indexes, chosen, size_bytes)
        key = key_of(batch)
        due = _due(batch, key, chosen, limit)
        left = _left(batch, key, due, limit, chosen)
        for lane, entry in left:
            heappush(waiting, entry)
            start, end = int(batch.lanes.start[lane]), int(batch.lanes.end[lane])
            cache.put(entry.place, batch.chunk.data[start:end].tobytes())
        reading.done_buffers += len(chosen) - len(left)
        if due is not None:
            batch = batch.selected(due == _DUE)
            key = key[due == _DUE]
        if len(batch):
            yield ordered(batch, key)
        else:
            reading.take_back()


def _indexed(trace: Trace, report: DamageReport) -> BufferIndex:
    index = BufferIndex(report)
    for part in trace.index_parts(report):
        index.extend(part)
    return index


def _all_waiting(traces: Sequence[Trace], indexes: Sequence[BufferIndex]) -> list[Waiting]:
    waiting: list[Waiting] = []
    for number, (trace, index) in enumerate(zip(traces, indexes, strict=True)):
        raw = np.frombuffer(index.first_raw, np.int64) if len(index) else np.empty(0, np.int64)
        times = raw if len(traces) == 1 else unix_nano(trace.header.clock, raw)
        waiting += [Waiting(time, (number, at), None) for at, time in enumerate(times.tolist())]
    heapify(waiting)
    return waiting


def _choose(
    waiting: list[Waiting], indexes: Sequence[BufferIndex], most_bytes: int
) -> tuple[list[Waiting], int]:
    """The buffers of the next batch in the order of their places, and the room they take."""
    chosen: list[Waiting] = []
    size_bytes = 0
    while waiting and (not chosen or size_bytes < most_bytes):
        one = heappop(waiting)
        chosen.append(one)
        number, position = one.place
        size_bytes += room_bytes(indexes[number].buffer(position))
    chosen.sort(key=lambda one: one.place)
    return chosen, size_bytes


def _opened(
    reading: Reading,
    cache: _Cache,
    indexes: Sequence[BufferIndex],
    chosen: Sequence[Waiting],
    size_bytes: int,
) -> EventBatch:
    """The records of the ``chosen`` buffers; damage is told when a buffer is opened for the first time."""
    chunk = reading.chunk(size_bytes)
    unheard = [DamageReport() for _ in reading.traces]
    run: list[Waiting] = []

    def read_run() -> None:
        buffers = ((one.place[0], indexes[one.place[0]].buffer(one.place[1])) for one in run)
        add_runs(reading, chunk, buffers, reading.reports)
        run.clear()

    for one in chosen:
        if one.after is None:
            run.append(one)
            continue
        read_run()
        number, position = one.place
        buffer = indexes[number].buffer(position)
        data = cache.take(one.place)
        if data is None:
            data = bytes(reading.traces[number].read_buffer(buffer, unheard[number]))
        chunk.add(number, buffer, data, reading.reports[number], unheard[number])
    read_run()
    return reading.batch(chunk)


def key_of(batch: EventBatch) -> np.ndarray:
    """What records are put in order by: the clock of the one trace, or the time that several share."""
    return batch.records.raw if len(batch.traces) == 1 else batch.time_ns


_DUE, _DELIVERED, _LATER = np.uint8(0), np.uint8(1), np.uint8(2)


def _due(
    batch: EventBatch, key: np.ndarray, chosen: Sequence[Waiting], limit: Limit | None
) -> np.ndarray | None:
    """Of each record whether it is due, was delivered, or has to wait; ``None`` if all are due."""
    lane = batch.records.lane
    later = np.zeros(len(key), bool)
    if limit is not None:
        is_behind = np.array([one.place > limit.place for one in chosen], bool)
        later = (key > limit.time) | ((key == limit.time) & is_behind[lane])
    again = [number for number, one in enumerate(chosen) if one.after is not None]
    if not again and not later.any():
        return None
    due = np.where(later, _LATER, _DUE)
    bounds = np.searchsorted(lane, np.arange(len(chosen) + 1))
    for number in again:
        place, after = chosen[number].place, chosen[number].after
        assert after is not None  # noqa: S101 - told to the type checker
        rows = slice(bounds[number], bounds[number + 1])
        at_limit = (key[rows] == after.time) & (place < after.place)
        due[rows][(key[rows] < after.time) | at_limit] = _DELIVERED
    return due


def _left(
    batch: EventBatch,
    key: np.ndarray,
    due: np.ndarray | None,
    limit: Limit | None,
    chosen: Sequence[Waiting],
) -> list[tuple[int, Waiting]]:
    """The buffers with records that have to wait, each with when it is to be opened again."""
    if due is None or limit is None:
        return []
    rows = np.flatnonzero(due == _LATER)
    first: dict[int, int] = {}
    for lane, time in zip(batch.records.lane[rows].tolist(), key[rows].tolist(), strict=True):
        first[lane] = min(first.get(lane, time), time)
    return [(lane, Waiting(time, chosen[lane].place, limit)) for lane, time in first.items()]


def ordered(batch: EventBatch, key: np.ndarray) -> EventBatch:
    """``batch`` with its order of delivery."""
    if (key[1:] >= key[:-1]).all():
        return batch
    if len(batch.traces) == 1:
        order = np.argsort(key, kind="stable")
    else:
        order = np.lexsort((batch.records.raw, batch.file, key))
    return batch.ordered(order)


class _Cache:
    """Bytes of buffers that will be opened again; the oldest go first."""

    def __init__(self) -> None:
        self._entries: OrderedDict[Place, bytes] = OrderedDict()
        self._held_bytes = 0

    def put(self, place: Place, data: bytes) -> None:
        """Keep ``data`` for as long as there is room."""
        self._entries[place] = data
        self._held_bytes += len(data)
        while self._held_bytes > _CACHE_BYTES:
            self._held_bytes -= len(self._entries.popitem(last=False)[1])

    def take(self, place: Place) -> bytes | None:
        """What was put, if it is still there."""
        data = self._entries.pop(place, None)
        self._held_bytes -= 0 if data is None else len(data)
        return data
