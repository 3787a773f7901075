"""One trace file being written, in place: at every moment what is on disk is a readable trace.

    | buffer 0: trace header | buffer 1 | ... | buffer n: the newest, growing |

The newest buffer lives in the file from its first event on and grows there, so that an event
that was appended survives the death of the process.  It is never visible while it is empty (a
reader in use fails on that), hence the order of the steps in which a buffer is started:

    reserve          72 zero bytes, the rest 0xFF, written at the end: a full disk shows here
    open_window      the map (or its substitute) over the reserved bytes
    store_first      the first record
    publish          the buffer header, BufferSize last: now readers see the buffer
    count_buffer     BuffersWritten in the trace header, which one reader goes by

and of appending: the record, then FilledBytes, then SavedOffset.  A circular file that has its size
uses its oldest buffer again instead (:mod:`.recycling`).  Between any two of these steps the process
may die, and an exception may leave the file object; the next append repeats the steps.

Nothing here locks, logs or swallows errors; the session does.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from contextlib import suppress
from typing import NamedTuple

from otel_etw.etl import layout, records
from otel_etw.etl.clock import unix_nano_to_filetime
from otel_etw.etl.layout import BUFFER_HEADER_BYTES
from otel_etw.etl.mapping import MappedWindow, PositionedWindow, Window, write_at
from otel_etw.etl.newest import NO_BUFFER, ClosedWindow, NewestBuffer
from otel_etw.etl.recycling import recycle

_BUFFER_SIZE_BYTES = 4

_COARSE_CLOCK_TICKS = 1_000_000
"""0.1 s. In a circular file a later buffer may stand before an earlier one, so only time tells the order of
their events: what a coarse clock gives the same time must not have it in both."""


class _Begun(NamedTuple):
    """Which buffers there are. All at once, as an exception may come at any moment: from then on the latest
    buffer, and the event in it, stays."""

    sequence_number: int
    buffers_written: int
    latest: int
    """Index of the latest buffer with events; 0 before the first."""


class TraceFile:
    """A new trace file on the open, empty file ``fd``, which it owns from then on.

    ``mapped=False`` asks for plain writes in place of a memory map; ``circular_buffers`` is how many
    buffers, the header's included, a circular file has in the end.  The constructor writes the first
    buffer and raises OSError if that fails; ``fd`` is then still the caller's.
    """

    def __init__(
        self,
        fd: int,
        path: str,
        *,
        buffer_size_bytes: int,
        session_name: str,
        start_filetime: int,
        process_id: int,
        thread_id: int,
        mapped: bool,
        circular_buffers: int | None = None,
    ) -> None:
        self.fd = fd
        self.path = path
        self.buffer_size_bytes = buffer_size_bytes
        self.mapped = mapped
        self._circular_buffers = circular_buffers
        self._begun = _Begun(0, 1, 0)
        self._ages: OrderedDict[int, None] = OrderedDict()
        """Of a circular file: the buffers with events, from the oldest on; perhaps without the latest."""
        self.newest: NewestBuffer = NO_BUFFER
        self._latest = NO_BUFFER  # what was the newest last, even if it is sealed
        self._process_id = process_id
        self._time_offset = unix_nano_to_filetime(0) + records.RAW_TIME_AT_START - start_filetime
        header = records.header_buffer(
            buffer_size_bytes,
            session_name=session_name,
            file_name=os.path.abspath(path),
            start_filetime=start_filetime,
            process_id=process_id,
            thread_id=thread_id,
            circular_bytes=circular_buffers and circular_buffers * buffer_size_bytes,
        )
        write_at(fd, 0, header)
        self._header = self._open_window(0)

    @property
    def sequence_number(self) -> int:
        """Of the latest buffer with events: how many were begun."""
        return self._begun.sequence_number

    @property
    def buffers_written(self) -> int:
        """How many buffers readers see, the header's included."""
        return self._begun.buffers_written

    @property
    def size_bytes(self) -> int:
        """Bytes of all buffers readers see."""
        return self.buffers_written * self.buffer_size_bytes

    @property
    def progress(self) -> tuple[int, int]:
        """Grows with every event, at the moment from which it stays in the file whatever happens."""
        return self.sequence_number, self._latest.filled

    def has_room(self, record_bytes: int) -> bool:
        """Whether a record of this padded size fits the newest buffer; if not, :meth:`start_buffer`."""
        return self.newest.filled + record_bytes <= self.newest.end

    def raw_time(self, unix_ns: int, *, same_buffer: bool) -> int:
        """Unix time as this file's raw clock counts it: positive, and never falling within a buffer."""
        raw_time = unix_ns // 100 + self._time_offset
        last = self.newest.last_raw_time
        if same_buffer and raw_time < last:
            return last
        if self._circular_buffers is not None and 0 <= last - raw_time < _COARSE_CLOCK_TICKS:
            return last + 1
        return raw_time if raw_time > 0 else 1

    def append(self, record: bytes, raw_time: int) -> None:
        """Put a record (padded to 8) behind the others of the newest buffer, which has room for it."""
        self.newest.append(record, raw_time)

    @property
    def can_recycle(self) -> bool:
        """Whether the file is circular and has a buffer that can be used again."""
        return self._circular_buffers is not None and self.sequence_number > 0

    def start_buffer(self, record: bytes, raw_time: int, *, may_grow: bool = True) -> None:
        """Make a new buffer with ``record`` (padded to 8) as its first. OSError if there is no space.

        A circular file that has its size, or that may not grow, gives up its oldest one.
        """
        is_full = self._circular_buffers is not None and self.buffers_written >= self._circular_buffers
        if self.can_recycle and (is_full or not may_grow):
            self._recycle_oldest(record, raw_time)
        else:
            self._add_buffer(record, raw_time)

    def _add_buffer(self, record: bytes, raw_time: int) -> None:
        index = self.buffers_written
        self._note_latest()
        self.reserve(index)
        self.seal_newest()
        window = self.open_window(index)
        self.store_first(window, record)
        filled = BUFFER_HEADER_BYTES + len(record)
        self.publish(window, index, filled, raw_time)
        self.count_buffer(index)
        self._begun = _Begun(self.sequence_number + 1, index + 1, index)
        self._now_newest(window, filled, raw_time)

    def _recycle_oldest(self, record: bytes, raw_time: int) -> None:
        self.seal_newest()
        self._note_latest()
        index = next(iter(self._ages))
        window = self.open_window(index)
        try:
            recycle(window, self.buffer_size_bytes, record, raw_time, self.sequence_number + 1)
        except BaseException:
            window.close()
            raise
        self._begun = _Begun(self.sequence_number + 1, self.buffers_written, index)
        self._now_newest(window, BUFFER_HEADER_BYTES + len(record), raw_time)

    def _note_latest(self) -> None:
        if self.can_recycle:
            self._ages[self._begun.latest] = None
            self._ages.move_to_end(self._begun.latest)

    # --- the steps of starting a buffer ---------------------------------------------------------

    def reserve(self, index: int) -> None:
        """Get the space of buffer ``index`` by writing it; what was got of too little is given back."""
        try:
            write_at(self.fd, index * self.buffer_size_bytes, records.reserved_buffer(self.buffer_size_bytes))
        except OSError:
            with suppress(OSError):  # refused on Windows while the file is mapped; close() does it again
                self._trim()
            raise

    def open_window(self, index: int) -> Window:
        """A window over buffer ``index``, whose bytes the file has."""
        return self._open_window(index)

    def store_first(self, window: Window, record: bytes) -> None:
        """The first record, before there is a buffer for a reader to see."""
        window.store(BUFFER_HEADER_BYTES, record)

    def publish(self, window: Window, index: int, filled: int, raw_time: int) -> None:
        """The buffer header with BufferSize, what makes it a buffer, last."""
        header = records.buffer_header(
            self.buffer_size_bytes,
            filled=filled,
            raw_time=raw_time,
            sequence_number=self.sequence_number + 1,
        )
        window.store(_BUFFER_SIZE_BYTES, header[_BUFFER_SIZE_BYTES:])
        window.store_u32(layout.BUFFER_SIZE_OFFSET, self.buffer_size_bytes)

    def count_buffer(self, index: int) -> None:
        """BuffersWritten: buffer ``index`` and all before it."""
        self._header.store_u32(layout.FILE_BUFFERS_WRITTEN_OFFSET, index + 1)

    # --- the rest of a file's life --------------------------------------------------------------

    def seal_newest(self, *, last: bool = False) -> None:
        """Complete the newest buffer, if any, and let go of it; no record is added to it afterwards."""
        newest, self.newest = self.newest, NO_BUFFER
        newest.seal(last=last)

    def update_header(self, *, end_filetime: int, events_lost: int) -> None:
        """Bring the trace header up to date while the file stays open."""
        self.update_events_lost(events_lost)
        self._header.store_u64(layout.FILE_END_TIME_OFFSET, end_filetime)

    def update_events_lost(self, events_lost: int) -> None:
        """EventsLost of the trace header, which holds 32 bits."""
        self._header.store_u32(layout.FILE_EVENTS_LOST_OFFSET, min(events_lost, 0xFFFFFFFF))

    def sync_views(self) -> None:
        """On Windows what a map holds reaches the file cache only by request; elsewhere they are one."""
        if os.name == "nt":
            self.newest.window.sync()
            self._header.sync()

    def finish(self, *, end_filetime: int, events_lost: int) -> None:
        """Complete the file and close it. It is closed even if OSError is raised."""
        try:
            self.seal_newest(last=True)
            self.update_header(end_filetime=end_filetime, events_lost=events_lost)
        finally:
            self._header.close()
            try:
                self._trim()
            finally:
                os.close(self.fd)

    def abandon(self) -> None:
        """Let go of a file that belongs to another process (the parent), without touching its bytes."""
        newest, self.newest = self.newest, NO_BUFFER
        for window in (newest, self._header):
            with suppress(BufferError, OSError):
                window.close()
        self._header = ClosedWindow()
        with suppress(OSError):
            os.close(self.fd)
        self.fd = -1

    def _now_newest(self, window: Window, filled: int, raw_time: int) -> None:
        self.newest = self._latest = NewestBuffer(
            window, self.buffer_size_bytes, filled, raw_time, self._time_offset, self._process_id
        )

    def _open_window(self, index: int) -> Window:
        start = index * self.buffer_size_bytes
        if self.mapped:
            try:
                return MappedWindow(self.fd, start, self.buffer_size_bytes)
            except OSError:
                self.mapped = False  # not on this file, then
        return PositionedWindow(self.fd, start, self.buffer_size_bytes)

    def _trim(self) -> None:
        if os.fstat(self.fd).st_size > self.size_bytes:
            os.ftruncate(self.fd, self.size_bytes)
