"""The fast way into a session, for prepared events while nothing is unusual: a whole write in one function.

The functions made here do what ``Turns.take``, ``EtlSession._store`` and ``NewestBuffer.append`` do
together.  Everything that the events of a shape share is made beforehand, the record is put together in one
go and copied once, and FilledBytes and SavedOffset are one store each.  They leave to the long way whatever
else there may be: the place is taken (by another thread, or further down the stack), somebody's item waits
in the queue, there is no room in the buffer, no memory map, no file, a closed provider, an odd argument.

What makes haste safe here:

* The place (:mod:`.turns`) is taken before the buffer is looked at; whoever seals a buffer is inside too.
* Until ``filled`` is set an exception (KeyboardInterrupt may come anywhere) leaves nothing: the next record
  is put over this one. From then on the next append makes it visible, and it is complete.  An ordinary
  exception (of an application's signal handler) is caught, and must not lead to the long way then.
* A turn that an exception has left in the place is told by the stack, which no longer has its function.
* A forked child has no buffer here, as the lane is shut before a fork; one that was forked in the middle, by
  a signal handler, finds the map closed, and goes the long way, to its own file.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from typing import Any, Protocol

from otel_etw.etl import records
from otel_etw.etl.newest import FILLED_WORD, NO_BUFFER, SAVED_WORD, NewestBuffer
from otel_etw.providers.base import PreparedWrite, WriteStatus
from otel_etw.sessions import identity
from otel_etw.sessions.turns import LANES, Place, Turns
from otel_etw.tracelogging.types import EventDescriptor

_SUCCESS = int(WriteStatus.SUCCESS)
_GUID_BYTES = 16
_PADDING = tuple(bytes(-size % 8) for size in range(8))

_pack_changing = struct.Struct("<H6sIIq").pack
"""The start of ``EVENT_HEADER``: Size, what is the same for a shape, ThreadId, ProcessId, TimeStamp."""


class Source(Protocol):
    """The provider that writes."""

    closed: bool


class Lane:
    """What a session's prepared writes go by; the session sets it."""

    __slots__ = ("buffer", "is_shut", "leave", "turns")

    turns: Turns[Any]
    """Those of this process."""
    buffer: NewestBuffer
    """Where events go; :data:`~otel_etw.etl.newest.NO_BUFFER` makes them all go the long way."""
    leave: Callable[[], None]
    """Called after a turn in which something came in that is still to be done."""

    def __init__(self, leave: Callable[[], None]) -> None:
        self.leave = leave
        self.buffer = NO_BUFFER
        self.is_shut = False

    def use(self, buffer: NewestBuffer) -> None:
        """Send events to ``buffer`` if it can be done this way."""
        self.buffer = NO_BUFFER if self.is_shut or buffer.words is None else buffer

    def shut(self) -> None:
        """Send all events the long way, until ``is_shut`` is taken back and a buffer given."""
        self.is_shut = True
        self.buffer = NO_BUFFER


def prepared_write(
    lane: Lane,
    source: Source,
    provider_id: bytes,
    descriptor: EventDescriptor,
    items: bytes,
    largest_record: int,
    write_anyhow: PreparedWrite,
) -> PreparedWrite:
    """What writes events of one shape; ``write_anyhow`` is the long way.

    ``items`` are the finished extended items, ``largest_record`` the most that ``Size`` may be.
    """
    example = records.event_record(0, 0, 0, provider_id, descriptor, items, b"")
    shared_start, middle = example[2:8], example[24:64]
    without_activity = example[24 : records.RECORD_HEADER_BYTES] + items
    fixed_bytes = records.RECORD_HEADER_BYTES + len(items)

    def write(payload: bytes, activity_id: bytes | None) -> int:
        turn: Place = {}
        turns = lane.turns
        place = turns.place
        is_written = False
        try:
            size = fixed_bytes + len(payload)
            if activity_id is None:
                shared = without_activity
            elif len(activity_id) == _GUID_BYTES:
                shared = middle + activity_id + items
            else:
                return write_anyhow(payload, activity_id)
            if size <= largest_record and place.setdefault(None, turn) is turn:
                try:
                    buffer = lane.buffer
                    start = buffer.filled
                    end = start + (size + 7 & -8)
                    if end <= buffer.end and not turns.queue and not source.closed:
                        raw_time = time.time_ns() // 100 + buffer.time_offset
                        if raw_time < buffer.last_raw_time:
                            raw_time = buffer.last_raw_time
                        origin = buffer.origin
                        buffer.map[origin + start : origin + end] = b"".join(  # type: ignore[index]
                            (
                                _pack_changing(
                                    size, shared_start, identity.thread_ids.id, buffer.process_id, raw_time
                                ),
                                shared,
                                payload,
                                _PADDING[size & 7],
                            )
                        )
                        buffer.last_raw_time = raw_time
                        buffer.filled = end
                        words = buffer.words
                        words[FILLED_WORD] = end  # type: ignore[index]
                        words[SAVED_WORD] = end  # type: ignore[index]
                        is_written = True
                except Exception:  # noqa: BLE001 - one of a signal handler may come at any moment
                    if buffer.filled == end:
                        buffer.show()
                        is_written = True
                finally:
                    del place[None]
        except Exception:  # noqa: BLE001 - an odd argument, or a file that is gone: the long way knows
            if place.get(None) is turn:
                del place[None]
        if not is_written:
            return write_anyhow(payload, activity_id)
        if turns.queue or turns.last_action is not None:
            lane.leave()
        return _SUCCESS

    LANES.add(write.__code__)
    return write
