"""The buffer that a trace file's events go to: it lives in the file and grows there, record by record."""

from __future__ import annotations

import mmap
from typing import final

from otel_etw.etl import layout
from otel_etw.etl.layout import BUFFER_HEADER_BYTES, BufferFlag
from otel_etw.etl.mapping import MappedWindow, Window

FILLED_WORD = layout.FILLED_BYTES_OFFSET // 4
SAVED_WORD = layout.SAVED_OFFSET_OFFSET // 4
"""Places of FilledBytes and SavedOffset in a buffer seen as 32-bit words."""


@final
class NewestBuffer:
    """A buffer that readers see, with room behind its records.

    A record is stored first, then FilledBytes, then SavedOffset, so that it is visible only when it is
    complete.  :meth:`append` does that; a session's lane (:mod:`otel_etw.sessions.lane`) does the same by
    itself, in the same order, through ``map`` and ``words``.
    """

    __slots__ = (
        "end",
        "filled",
        "last_raw_time",
        "map",
        "origin",
        "process_id",
        "time_offset",
        "window",
        "words",
    )

    filled: int
    """Where the next record goes: what FilledBytes is, or will be after an interrupted append."""
    end: int
    """Where the room ends; 0 once no record may be added."""
    last_raw_time: int
    """Of the last record: times do not fall within a buffer."""
    time_offset: int
    """Raw time of the file's clock less the 100 ns since 1970."""
    map: mmap.mmap | None
    words: memoryview | None
    """The buffer's bytes in memory, from ``origin`` on, and the same as 32-bit words from 0 on; if mapped."""

    def __init__(
        self, window: Window, size_bytes: int, filled: int, raw_time: int, time_offset: int, process_id: int
    ) -> None:
        self.window = window
        self.filled = filled
        self.last_raw_time = raw_time
        self.time_offset = time_offset
        self.process_id = process_id
        self.map = self.words = None
        self.origin = 0
        if isinstance(window, MappedWindow):
            self.map, self.words, self.origin = window.map, window.words, window.origin
        self.end = size_bytes

    def append(self, record: bytes, raw_time: int) -> None:
        """Put a record (padded to 8) behind the others; there must be room for it."""
        before = self.filled
        filled = before + len(record)
        self.window.store(before, record)
        # From here on a further append goes behind this record, even if an exception comes now.
        self.last_raw_time = raw_time
        self.filled = filled
        try:
            self.show()
        except OSError as error:
            if error.errno is not None:  # the system's, not one of a signal handler
                self.filled = before
            raise

    def show(self) -> None:
        """Let readers see all records, in case an exception came before the last append did."""
        self.window.store_u32(layout.FILLED_BYTES_OFFSET, self.filled)
        self.window.store_u32(layout.SAVED_OFFSET_OFFSET, self.filled)

    def seal(self, *, last: bool) -> None:
        """Complete the buffer and let go of it; no record is added to it afterwards."""
        if not self.end:
            return
        self.end = 0
        window = self.window
        try:
            self.show()
            window.store_u64(layout.TIMESTAMP_OFFSET, self.last_raw_time)
            if last:
                flags = BufferFlag.FLUSH_MARKER | BufferFlag.PROCESSOR_INDEX
                window.store(layout.BUFFER_FLAG_OFFSET, int(flags).to_bytes(2, "little"))
        finally:
            self.close()

    def close(self) -> None:
        """Let go of the file as it is."""
        self.end = 0
        self.map = self.words = None
        self.window.close()


class ClosedWindow:
    """Stands where there is no window; what is stored into it is an error like on any closed file."""

    def load(self, offset: int, length: int) -> bytes:
        """A ValueError."""
        raise ValueError("the trace file is closed")

    def store(self, offset: int, data: bytes) -> None:
        """A ValueError."""
        raise ValueError("the trace file is closed")

    def store_u32(self, offset: int, value: int) -> None:
        """A ValueError."""
        raise ValueError("the trace file is closed")

    def store_u64(self, offset: int, value: int) -> None:
        """A ValueError."""
        raise ValueError("the trace file is closed")

    def sync(self) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing to do."""


NO_BUFFER = NewestBuffer(ClosedWindow(), 0, BUFFER_HEADER_BYTES, 0, 0, 0)
"""Where no buffer is: without room."""
