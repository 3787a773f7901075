"""How a buffer of a circular file loses its old events and gets a new one, a readable buffer at every moment.

A reader in use fails on a buffer without records, and none bears half a record, so nothing can be taken away
or overwritten while it is seen.  But a record can change its kind: its first eight bytes have kind and Size
and are one store, and ``ThreadId``, ``ProcessId`` and time are at the same places in an ``EVENT_HEADER`` and
in the compact record of the kernel.  So events are turned into a *blank*, a compact record of a kind that
means nothing and whose body is not looked at, and later a blank into the new event:

    events                | event | event | event |        every line is one store later, or several that
    hide_events           | blank                 |        each leave a chain of blanks; oldest events first
    make_small            | blank |  blank        |        the second is written into the body of the first
                          | blank |                        FilledBytes, SavedOffset
    clear                 | blank | 0xFF ...               SequenceNumber says "changing" from here on
    make_room             | blank | blank   |              written behind, then FilledBytes, SavedOffset
                          | blank           |
    store_event           | event           |              its first eight bytes last; SequenceNumber

Between any two stores the process may die: what is left has the newest events, each complete.  And an
exception may come: the next event begins again with whatever is there, which is why the walk knows blanks.
One who copies a buffer at the same time may get halves of two states; our reader finds that out by the
SequenceNumber, before and after.
"""

from __future__ import annotations

import errno
import struct

from otel_etw.etl import layout, records
from otel_etw.etl.layout import BUFFER_HEADER_BYTES, HeaderType, align8
from otel_etw.etl.mapping import Window

_unpack_u32 = struct.Struct("<I").unpack
_unpack_u64 = struct.Struct("<Q").unpack
_record_start = struct.Struct("<HBBH").unpack_from

_FIRST = BUFFER_HEADER_BYTES
_SECOND = _FIRST + records.BLANK_BYTES


def recycle(
    window: Window, buffer_size_bytes: int, record: bytes, raw_time: int, sequence_number: int
) -> None:
    """Make the buffer in ``window``, which has records, one that has ``record`` (padded to 8) only.

    Raises OSError if a store is refused, or if what is there is not what a session has written.
    """
    hide_events(window)
    make_small(window)
    clear(window, buffer_size_bytes, raw_time)
    make_room(window, len(record))
    store_event(window, record, sequence_number)


def hide_events(window: Window) -> None:
    """Turn the records into as few blanks as can be, from the oldest on."""
    (filled,) = _unpack_u32(window.load(layout.FILLED_BYTES_OFFSET, 4))
    data = window.load(_FIRST, filled - _FIRST)
    start = 0
    while start < len(data):
        end = _last_boundary(data, start)
        _make_blank(window, _FIRST + start, end - start)
        start = end


def make_small(window: Window) -> None:
    """Of a chain of blanks leave the smallest one there is."""
    size, ids_and_time = _size_at(window.load(_FIRST, 8), 0), window.load(_FIRST + 8, 16)
    if size > records.BLANK_BYTES:
        window.store(_SECOND, records.blank(size - records.BLANK_BYTES) + ids_and_time)
        _make_blank(window, _FIRST, records.BLANK_BYTES)
    _fill(window, _SECOND)


def clear(window: Window, buffer_size_bytes: int, raw_time: int) -> None:
    """What is behind the blank, where nobody looks, becomes filler again."""
    window.store_u64(layout.SEQUENCE_NUMBER_OFFSET, layout.CHANGING_SEQUENCE_NUMBER)
    window.store_u64(layout.TIMESTAMP_OFFSET, raw_time)
    window.store(_SECOND, layout.FILLER_BYTE * (buffer_size_bytes - _SECOND))


def make_room(window: Window, record_bytes: int) -> None:
    """Make the blank as large as the record that comes in its place."""
    ids_and_time = window.load(_FIRST + 8, 16)
    window.store(_SECOND, records.blank(record_bytes - records.BLANK_BYTES) + ids_and_time)
    _fill(window, _FIRST + record_bytes)
    _make_blank(window, _FIRST, record_bytes)


def store_event(window: Window, record: bytes, sequence_number: int) -> None:
    """Put the event into the body of the blank, then turn that into it."""
    window.store(_FIRST + 8, record[8:])
    window.store_u64(_FIRST, _unpack_u64(record[:8])[0])
    window.store_u64(layout.SEQUENCE_NUMBER_OFFSET, sequence_number)


def _make_blank(window: Window, offset: int, span_bytes: int) -> None:
    window.store_u64(offset, _unpack_u64(records.blank(span_bytes))[0])


def _fill(window: Window, filled: int) -> None:
    window.store_u32(layout.FILLED_BYTES_OFFSET, filled)
    window.store_u32(layout.SAVED_OFFSET_OFFSET, filled)


def _last_boundary(data: bytes, start: int) -> int:
    """Where the last record ends that a blank from ``start`` on can cover."""
    if len(data) - start <= records.LARGEST_BLANK_BYTES:
        return len(data)
    end = start
    while (following := end + _size_at(data, end)) - start <= records.LARGEST_BLANK_BYTES:
        end = following
    return end


def _size_at(data: bytes, offset: int) -> int:
    """Padded bytes of the event or blank there."""
    event_size, kind, marker, blank_size = _record_start(data, offset)
    size = event_size if kind == HeaderType.EVENT_HEADER64 else blank_size
    if marker != layout.MARKER_TRACE or size < records.BLANK_BYTES:
        raise OSError(errno.EIO, "the trace file was changed by somebody else")
    return align8(size)
