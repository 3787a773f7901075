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

and of appending: the record, then FilledBytes, then SavedOffset.  Between any two of these the
process may die, and an exception may leave the file object; the next append repeats the steps.

Nothing here locks, logs or swallows errors; the session does.
"""

from __future__ import annotations

import os
from contextlib import suppress

from otel_etw.etl import layout, records
from otel_etw.etl.clock import unix_nano_to_filetime
from otel_etw.etl.layout import BUFFER_HEADER_BYTES, BufferFlag
from otel_etw.etl.mapping import MappedWindow, PositionedWindow, Window, write_at

_BUFFER_SIZE_BYTES = 4


class TraceFile:
    """A new trace file on the open, empty file ``fd``, which it owns from then on.

    ``mapped=False`` asks for plain writes in place of a memory map.  The constructor writes the first
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
    ) -> None:
        self.fd = fd
        self.path = path
        self.buffer_size_bytes = buffer_size_bytes
        self.mapped = mapped
        self.buffers_written = 1
        self._time_offset = records.RAW_TIME_AT_START - start_filetime
        self._last_raw_time = 0
        self._filled = buffer_size_bytes  # no newest buffer yet: nothing fits
        self._newest: Window = _ClosedWindow()
        header = records.header_buffer(
            buffer_size_bytes,
            session_name=session_name,
            file_name=os.path.abspath(path),
            start_filetime=start_filetime,
            process_id=process_id,
            thread_id=thread_id,
        )
        write_at(fd, 0, header)
        self._header = self._open_window(0)

    @property
    def size_bytes(self) -> int:
        """Bytes of all buffers readers see."""
        return self.buffers_written * self.buffer_size_bytes

    def has_room(self, record_bytes: int) -> bool:
        """Whether a record of this padded size fits the newest buffer; if not, :meth:`start_buffer`."""
        return self._filled + record_bytes <= self.buffer_size_bytes

    def raw_time(self, unix_ns: int, *, same_buffer: bool) -> int:
        """Unix time as this file's raw clock counts it: positive, and never falling within a buffer."""
        raw_time = unix_nano_to_filetime(unix_ns) + self._time_offset
        if same_buffer and raw_time < self._last_raw_time:
            return self._last_raw_time
        return raw_time if raw_time > 0 else 1

    def append(self, record: bytes, raw_time: int) -> None:
        """Put a record (padded to 8) behind the others of the newest buffer, which has room for it."""
        before = self._filled
        filled = before + len(record)
        self._newest.store(before, record)
        # From here on a further append goes behind this record, even if an exception comes now.
        self._filled = filled
        self._last_raw_time = raw_time
        try:
            self._newest.store_u32(layout.FILLED_BYTES_OFFSET, filled)
            self._newest.store_u32(layout.SAVED_OFFSET_OFFSET, filled)
        except OSError:
            self._filled = before
            raise

    def start_buffer(self, record: bytes, raw_time: int) -> None:
        """Make a new buffer with ``record`` (padded to 8) as its first. OSError if there is no space."""
        index = self.buffers_written
        self.reserve(index)
        self.seal_newest()
        window = self.open_window(index)
        self.store_first(window, record)
        self.publish(window, index, BUFFER_HEADER_BYTES + len(record), raw_time)
        self.count_buffer(index)
        self._newest = window
        self._last_raw_time = raw_time
        self._filled = BUFFER_HEADER_BYTES + len(record)
        self.buffers_written = index + 1

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
            self.buffer_size_bytes, filled=filled, raw_time=raw_time, sequence_number=index
        )
        window.store(_BUFFER_SIZE_BYTES, header[_BUFFER_SIZE_BYTES:])
        window.store_u32(layout.BUFFER_SIZE_OFFSET, self.buffer_size_bytes)

    def count_buffer(self, index: int) -> None:
        """BuffersWritten: buffer ``index`` and all before it."""
        self._header.store_u32(layout.FILE_BUFFERS_WRITTEN_OFFSET, index + 1)

    # --- the rest of a file's life --------------------------------------------------------------

    def seal_newest(self, *, last: bool = False) -> None:
        """Complete the newest buffer, if any, and let go of it; no record is added to it afterwards."""
        window, self._newest = self._newest, _ClosedWindow()
        filled, self._filled = self._filled, self.buffer_size_bytes
        if isinstance(window, _ClosedWindow):
            return
        try:
            # Again, as an exception may have come between the two in the last append.
            window.store_u32(layout.FILLED_BYTES_OFFSET, filled)
            window.store_u32(layout.SAVED_OFFSET_OFFSET, filled)
            window.store_u64(layout.TIMESTAMP_OFFSET, self._last_raw_time)
            if last:
                flags = BufferFlag.FLUSH_MARKER | BufferFlag.PROCESSOR_INDEX
                window.store(layout.BUFFER_FLAG_OFFSET, int(flags).to_bytes(2, "little"))
        finally:
            window.close()

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
            self._newest.sync()
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
        for window in (self._newest, self._header):
            with suppress(BufferError, OSError):
                window.close()
        self._newest = self._header = _ClosedWindow()
        self._filled = self.buffer_size_bytes
        with suppress(OSError):
            os.close(self.fd)
        self.fd = -1

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


class _ClosedWindow:
    """Stands where there is no window; what is stored into it is an error like on any closed file."""

    def store(self, offset: int, data: bytes) -> None:
        raise ValueError("the trace file is closed")

    def store_u32(self, offset: int, value: int) -> None:
        raise ValueError("the trace file is closed")

    def store_u64(self, offset: int, value: int) -> None:
        raise ValueError("the trace file is closed")

    def sync(self) -> None:
        pass

    def close(self) -> None:
        pass
