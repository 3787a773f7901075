"""Events of a whole file in time order, holding only the buffers that overlap in time.

Within a buffer times do not decrease, between buffers there is no order: one buffer per processor
fills at a time, and circular files wrap.  So: index all buffers by their earliest time, then merge,
opening a buffer when its turn comes.  An open buffer costs a heap entry; the bytes of open buffers are
in a cache of bounded size and are read again if they had to go.  A (damaged) buffer whose times do
decrease is sorted when it is opened, so that the order is exact for any file.
"""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from heapq import heappop, heappush, heapreplace

from otel_etw.etl.buffer_index import BufferIndex
from otel_etw.etl.buffers import Buffer
from otel_etw.etl.damage import DamageKind, DamageReport
from otel_etw.etl.walking import Data, Record, walk

_CACHE_BYTES = 32 * 1024 * 1024
_POSITION_BITS = 32
_POSITION_MASK = (1 << _POSITION_BITS) - 1

Load = Callable[[Buffer], Data]
"""Reads the records of a buffer again."""


class ReadIndex:
    """The buffers that have records, with what a look at all of their records tells."""

    def __init__(self) -> None:
        self.buffers = BufferIndex(DamageReport())
        """Here ``first_raw`` is the least time in the buffer, whatever the order."""
        self.in_order = array("B")

    def __len__(self) -> int:
        return len(self.in_order)

    def add(self, buffer: Buffer, records: Iterable[Record]) -> bool:
        """Index ``buffer``, walking all of its records; false if it has none and was left out."""
        first = last = None
        in_order = True
        for _, _, _, raw in records:
            if first is None or last is None:
                first = raw
            elif raw < last:
                in_order = False
                first = min(first, raw)
            last = raw
        if first is None:
            return False
        self.buffers.add(buffer, first)
        self.in_order.append(in_order)
        return True


class BufferCache:
    """The bytes of buffers in use, the least recently used going first; the newest always stays."""

    def __init__(self) -> None:
        self._entries: OrderedDict[int, tuple[Buffer, Data]] = OrderedDict()
        self._held_bytes = 0

    def has_room(self, size_bytes: int) -> bool:
        """Whether so many bytes fit without dropping anything."""
        return self._held_bytes + size_bytes <= _CACHE_BYTES

    def put(self, number: int, buffer: Buffer, data: Data) -> None:
        """Keep ``data``, dropping others as needed."""
        while self._entries and not self.has_room(len(data)):
            _, (_, dropped) = self._entries.popitem(last=False)
            self._held_bytes -= len(dropped)
        self._entries[number] = buffer, data
        self._held_bytes += len(data)

    def get(self, number: int) -> tuple[Buffer, Data] | None:
        """What was put, if it is still there."""
        entry = self._entries.get(number)
        if entry is not None:
            self._entries.move_to_end(number)
        return entry

    def drop(self, number: int) -> None:
        """Forget a buffer that is no longer needed."""
        entry = self._entries.pop(number, None)
        if entry is not None:
            self._held_bytes -= len(entry[1])


class Merge:
    """One pass over the indexed buffers in time order."""

    def __init__(self, index: ReadIndex, cache: BufferCache, load: Load, first_raw: int) -> None:
        self._index = index
        self._cache = cache
        self._load = load
        self._trace_first_raw = first_raw
        self._sorted: dict[int, Iterator[int]] = {}

    def __iter__(self) -> Iterator[tuple[Buffer, Data, Record]]:
        starts = self._index.buffers.first_raw
        waiting = array("q", self._index.buffers.by_first_time())
        opened = 0
        heap: list[tuple[int, int, Record]] = []
        while heap or opened < len(waiting):
            # A buffer that starts at the time of the next event comes into play too: of events
            # at the same time the one that is earlier in the file goes first.
            while opened < len(waiting) and (not heap or starts[waiting[opened]] <= heap[0][0]):
                number = waiting[opened]
                opened += 1
                record = self._first(number)
                if record is not None:
                    heappush(heap, (record.raw, number, record))
            if not heap:
                continue
            _, number, record = heap[0]
            buffer, data = self._data(number)
            yield buffer, data, record
            following = self._following(number, record)
            if following is not None:
                heapreplace(heap, (following.raw, number, following))
            else:
                heappop(heap)
                self._cache.drop(number)

    def _data(self, number: int) -> tuple[Buffer, Data]:
        entry = self._cache.get(number)
        if entry is None:
            buffer = self._index.buffers.buffer(number)
            entry = buffer, self._load(buffer)
            self._cache.put(number, *entry)
        return entry

    def _first(self, number: int) -> Record | None:
        _, data = self._data(number)
        if self._index.in_order[number]:
            return _record_at(data, 0, self._trace_first_raw)
        places = [r.raw << _POSITION_BITS | r.pos for r in walk(data, self._trace_first_raw, _ignore)]
        places.sort()
        self._sorted[number] = iter(places)
        return self._next_sorted(number, data)

    def _following(self, number: int, record: Record) -> Record | None:
        _, data = self._data(number)
        if number in self._sorted:
            return self._next_sorted(number, data)
        return _record_at(data, record.pos + (record.size + 7 & ~7), record.raw)

    def _next_sorted(self, number: int, data: Data) -> Record | None:
        place = next(self._sorted[number], None)
        if place is None:
            del self._sorted[number]
            return None
        return _record_at(data, place & _POSITION_MASK, place >> _POSITION_BITS)


def _record_at(data: Data, pos: int, raw: int) -> Record | None:
    return next(walk(data, raw, _ignore, pos), None)


def _ignore(kind: DamageKind, pos: int, why: str) -> None:
    """Damage was reported when the buffer was indexed."""
