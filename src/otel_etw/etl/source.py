"""Positioned reads of one file: the only place of the reader that touches the operating system.

Plain reads, no mapping: a file that shrinks while it is mapped kills the reader with SIGBUS.
"""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable

from otel_etw.errors import TraceFileError

_SCAN_BYTES = 1 << 20
# Windows has none: there a lock keeps the two calls of one read together.
_PREAD: Callable[[int, int, int], bytes] | None = getattr(os, "pread", None)


class Source:
    """A regular file open for reading. Any thread may read; closing is idempotent, also by the collector."""

    def __init__(self, path: str) -> None:
        """Raises ``OSError``, or :class:`TraceFileError` for a pipe, device or socket."""
        self._fd = -1
        self._lock = threading.Lock()
        mode = os.stat(path).st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise TraceFileError("not a trace file: expected a regular file")
        self._fd = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0))

    def size(self) -> int:
        """Bytes of the file now."""
        return os.fstat(self._open_fd()).st_size

    def read(self, offset: int, size_bytes: int) -> bytes:
        """Up to ``size_bytes`` bytes at ``offset``; fewer only at the end of the file.

        The caller has checked ``size_bytes`` against the file's size.
        """
        parts = []
        while size_bytes > 0:
            part = self._read_some(offset, size_bytes)
            if not part:
                break
            parts.append(part)
            offset += len(part)
            size_bytes -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _read_some(self, offset: int, size_bytes: int) -> bytes:
        fd = self._open_fd()
        if _PREAD is not None:
            return _PREAD(fd, size_bytes, offset)
        with self._lock:
            os.lseek(fd, offset, os.SEEK_SET)
            return os.read(fd, size_bytes)

    def start_of_tail(self, end: int, byte: bytes) -> int:
        """Where the run of ``byte`` that ends at ``end`` starts; ``end`` if there is none."""
        while end > 0:
            start = max(0, end - _SCAN_BYTES)
            chunk = self.read(start, end - start)
            kept = len(chunk.rstrip(byte))
            if kept or not chunk:
                return start + kept
            end = start
        return end

    def close(self) -> None:
        """Give the file back."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __del__(self) -> None:
        self.close()

    def _open_fd(self) -> int:
        if self._fd < 0:
            raise ValueError("the trace is closed")
        return self._fd
