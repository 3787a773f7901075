"""Positioned reads of one file: the only place of the reader that touches the operating system.

Plain reads, no mapping: a file that shrinks while it is mapped kills the reader with SIGBUS.
"""

from __future__ import annotations

import os
import stat
import sys
import threading
import time
from collections.abc import Callable, Sequence

from otel_etw.errors import TraceFileError

_SCAN_BYTES = 1 << 20
# Windows has none: there a lock keeps the two calls of one read together.
_PREAD: Callable[[int, int, int], bytes] | None = getattr(os, "pread", None)
_PREADV: Callable[[int, list[memoryview], int], int] | None = getattr(os, "preadv", None)
_SLOW_READ_SECONDS = 20e-6
"""Ten times what a small read takes whose bytes are in memory: beyond it, they come from a disk."""
_MOST_AT_ONCE_BYTES = 1 << 30
"""Systems read some 2 GiB in one call, and a little less on some."""


class Source:
    """A regular file open for reading. Any thread may read; closing is idempotent, also by the collector."""

    def __init__(self, path: str) -> None:
        """Raises ``OSError``, or :class:`TraceFileError` for a pipe, device or socket."""
        self._fd = -1
        self._lock = threading.Lock()
        self._is_slow = False
        mode = os.stat(path).st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise TraceFileError("not a trace file: expected a regular file")
        self._fd = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0))

    @classmethod
    def of_descriptor(cls, fd: int) -> Source:
        """The regular file open as ``fd``, which belongs to the source from then on."""
        source = cls.__new__(cls)
        source._fd = fd
        source._lock = threading.Lock()
        source._is_slow = False
        return source

    def fileno(self) -> int:
        """The open descriptor."""
        return self._open_fd()

    def shared_path(self) -> str | None:
        """A path by which processes of the same user find the file, even one without a name, while it is
        open here; ``None`` where the system has none."""
        path = f"/proc/{os.getpid()}/fd/{self._open_fd()}"
        return path if os.path.exists(path) else None

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

    def read_many(self, offsets: Sequence[int], size_bytes: int) -> list[bytes]:
        """Up to ``size_bytes`` bytes (some hundred) at each of ``offsets``, fewer where the file ends."""
        fd = self._open_fd()
        if _PREAD is None:
            return [self.read(offset, size_bytes) for offset in offsets]
        if self._is_slow:
            _announce(fd, offsets, size_bytes)
        started = time.perf_counter()
        found = [_PREAD(fd, size_bytes, offset) for offset in offsets]
        self._is_slow |= time.perf_counter() - started > len(found) * _SLOW_READ_SECONDS
        return found

    def read_into(self, offset: int, target: memoryview | bytearray) -> int:
        """Fill ``target`` (writable, contiguous) with the bytes at ``offset``.

        Returns how many there were, fewer than it holds only at the end of the file. Any thread may call.
        """
        rest = memoryview(target).cast("B")
        filled = 0
        while rest:
            part = self._read_some_into(offset + filled, rest[:_MOST_AT_ONCE_BYTES])
            if not part:
                break
            filled += part
            rest = rest[part:]
        return filled

    def _read_some_into(self, offset: int, target: memoryview) -> int:
        if _PREADV is not None:
            return _PREADV(self._open_fd(), [target], offset)
        data = self._read_some(offset, len(target))
        target[: len(data)] = data
        return len(data)

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


def _announce(fd: int, offsets: Sequence[int], size_bytes: int) -> None:
    """Let the system fetch all of it side by side, where it takes such hints."""
    if sys.platform == "linux":
        for offset in offsets:
            os.posix_fadvise(fd, offset, size_bytes, os.POSIX_FADV_WILLNEED)
