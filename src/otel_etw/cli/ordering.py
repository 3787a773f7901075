"""Rows by the time they are shown with, which may lie before that of their event.

Events come sorted by the time at which they reached ETW. A batch processor hands records over seconds after
they were made, so those of two processes would come in alternating blocks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from heapq import heappop, heappush

from otel_etw.outputs.span_traces import Entry
from otel_etw.tables.items import EVENTS, Item

MOST_LATE_NS = 60 * 10**9
"""What reaches ETW later than this stands where it reached ETW."""

_MOST_HELD_BYTES = 512 * 1024
_MOST_HELD_ITEMS = 5_000
# Fields of any structure may take that much more memory than those of a log record.
_EVENT_WEIGHT = 8


def by_own_time(entries: Iterable[Entry]) -> Iterator[Entry]:
    """``entries``, sorted by the time of their events, by their own time; those of one time keep their order.

    Holds items back for as long as an earlier one may still come, within bounds of time and memory.
    """
    held: list[tuple[int, int, Entry]] = []
    held_bytes = 0
    for number, entry in enumerate(entries):
        heappush(held, (entry.time_unix_nano, number, entry))
        held_bytes += _weight(entry)
        complete = entry.reached_etw_unix_nano - MOST_LATE_NS
        while held and (
            held[0][0] <= complete or held_bytes > _MOST_HELD_BYTES or len(held) > _MOST_HELD_ITEMS
        ):
            first = heappop(held)[2]
            held_bytes -= _weight(first)
            yield first
    while held:
        yield heappop(held)[2]


def _weight(entry: Entry) -> int:
    is_event = isinstance(entry, Item) and entry.signal == EVENTS
    return entry.size_bytes * _EVENT_WEIGHT if is_event else entry.size_bytes
