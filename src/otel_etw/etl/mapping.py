"""How bytes get from a writer into its file: through a memory map where that is safe, else written.

A mapped store is a copy in memory, yet survives the death of the process, but the space
below it must be promised: on a full disk a store into a page without space ends the process
(SIGBUS).  Writing the bytes first is such a promise on most filesystems.  It is none where every
write goes to new blocks (copy on write) or where the space belongs to somebody else (network,
FUSE); there, and where mapping is refused, plain positioned writes do the job.
"""

from __future__ import annotations

import mmap
import os
import struct
import sys
from typing import Protocol

# Packed first, then copied in one store: a reader, or a process killed here, never sees half of it.
# ``pack_into`` would not do: it fills the place with zeros before it puts the value there.
_pack_u64 = struct.Struct("<Q").pack

_NO_PROMISE = frozenset(
    # The empty name is what is not known: APFS on macOS, often ZFS on others, both copying on write.
    {
        "",
        "btrfs",
        "zfs",
        "bcachefs",
        "nilfs2",
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "9p",
        "virtiofs",
        "ceph",
        "vboxsf",
    }
)


class Window(Protocol):
    """A stretch of a file that can be written at any offset in it. Offsets count from its start."""

    def load(self, offset: int, length: int) -> bytes:
        """What is there. Only a plain read can fail: OSError."""

    def store(self, offset: int, data: bytes) -> None:
        """Put ``data`` there. Only a plain write can fail: OSError."""

    def store_u32(self, offset: int, value: int) -> None:
        """Put four little-endian bytes there at once."""

    def store_u64(self, offset: int, value: int) -> None:
        """Put eight little-endian bytes there at once."""

    def sync(self) -> None:
        """Hand what was stored to the operating system's file cache."""

    def close(self) -> None:
        """Let go of the file. Idempotent."""


def map_span(start: int, length: int, granularity: int = mmap.ALLOCATIONGRANULARITY) -> tuple[int, int, int]:
    """Where to map so that ``[start, start + length)`` of a file is covered.

    Maps start at multiples of ``granularity`` (64 KiB on Windows, a page elsewhere), so a buffer
    that does not is reached through a map that begins before it, over its neighbours.  Answers
    the map's file offset, its length, and where in it ``start`` is.
    """
    inner = start % granularity
    return start - inner, inner + length, inner


class MappedWindow:
    """A window through a memory map of bytes that the file already has. Little-endian machines only."""

    __slots__ = ("map", "origin", "words")

    map: mmap.mmap
    origin: int
    """Where the window starts in ``map``."""
    words: memoryview
    """The window as 32-bit numbers; setting one is a single store to an aligned place."""

    def __init__(self, fd: int, start: int, length: int) -> None:
        offset, map_length, self.origin = map_span(start, length)
        self.map = mmap.mmap(fd, map_length, access=mmap.ACCESS_WRITE, offset=offset)
        self.words = memoryview(self.map)[self.origin : self.origin + length].cast("I")

    def load(self, offset: int, length: int) -> bytes:
        """Like :meth:`Window.load`."""
        at = self.origin + offset
        return self.map[at : at + length]

    def store(self, offset: int, data: bytes) -> None:
        """Like :meth:`Window.store`."""
        at = self.origin + offset
        self.map[at : at + len(data)] = data

    def store_u32(self, offset: int, value: int) -> None:
        """Like :meth:`Window.store_u32`."""
        self.words[offset >> 2] = value

    def store_u64(self, offset: int, value: int) -> None:
        """Like :meth:`Window.store_u64`."""
        at = self.origin + offset
        self.map[at : at + 8] = _pack_u64(value)

    def sync(self) -> None:
        """Only Windows keeps views apart from the file cache."""
        self.map.flush()

    def close(self) -> None:
        """Unmap; a map cannot be closed while there is a view of it."""
        self.words.release()
        self.map.close()


class PositionedWindow:
    """A window through plain writes at a position; the caller serialises them."""

    __slots__ = ("_fd", "_start")

    def __init__(self, fd: int, start: int, length: int) -> None:
        self._fd = fd
        self._start = start

    def load(self, offset: int, length: int) -> bytes:
        """Like :meth:`Window.load`."""
        return read_at(self._fd, self._start + offset, length)

    def store(self, offset: int, data: bytes) -> None:
        """Like :meth:`Window.store`."""
        write_at(self._fd, self._start + offset, data)

    def store_u32(self, offset: int, value: int) -> None:
        """Like :meth:`Window.store_u32`."""
        write_at(self._fd, self._start + offset, value.to_bytes(4, "little"))

    def store_u64(self, offset: int, value: int) -> None:
        """Like :meth:`Window.store_u64`."""
        write_at(self._fd, self._start + offset, value.to_bytes(8, "little"))

    def sync(self) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing to do: the descriptor is the caller's."""


def write_at(fd: int, offset: int, data: bytes) -> None:
    """Write all of ``data`` at ``offset``; OSError (``ENOSPC``, ``EFBIG``, ...) if not all gets there."""
    rest = memoryview(data)
    while rest:
        written = _write_some(fd, offset, rest)
        offset += written
        rest = rest[written:]


def read_at(fd: int, offset: int, length: int) -> bytes:
    """``length`` bytes at ``offset``, fewer only where the file ends; OSError if they cannot be read."""
    parts = []
    while length > 0 and (part := _read_some(fd, offset, length)):
        parts.append(part)
        offset += len(part)
        length -= len(part)
    return b"".join(parts)


if sys.platform == "win32":

    def _read_some(fd: int, offset: int, length: int) -> bytes:
        os.lseek(fd, offset, os.SEEK_SET)
        return os.read(fd, length)

    def _write_some(fd: int, offset: int, data: memoryview) -> int:
        os.lseek(fd, offset, os.SEEK_SET)
        return os.write(fd, data)

    def can_map(path: str) -> bool:
        """Whether space that was written once is promised to stores through a map of the file at ``path``."""
        return True

else:

    def _read_some(fd: int, offset: int, length: int) -> bytes:
        return os.pread(fd, length, offset)

    def _write_some(fd: int, offset: int, data: memoryview) -> int:
        return os.pwrite(fd, data, offset)

    def can_map(path: str) -> bool:
        """Whether space that was written once is promised to stores through a map of the file at ``path``."""
        if sys.byteorder != "little":
            return False
        kind = _filesystem_type(os.path.realpath(path))
        return kind not in _NO_PROMISE and not kind.startswith("fuse")


def _filesystem_type(path: str) -> str:
    """The type of the filesystem ``path`` is on, as Linux names it; empty if that cannot be found out."""
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as mounts:
            return filesystem_type_in(mounts.read(), path)
    except OSError:
        return ""


def filesystem_type_in(mountinfo: str, path: str) -> str:
    """The type of the mount that ``path`` (absolute, resolved) is on, by the text of ``mountinfo``.

    Of the mounts on a prefix of the path the longest counts, of equal ones the last: it lies on top.
    Line format: ``proc_pid_mountinfo(5)``.
    """
    longest, kind = -1, ""
    for line in mountinfo.splitlines():
        before, separator, after = line.partition(" - ")
        fields = before.split(" ")
        if not separator or len(fields) < 5:
            continue
        point = _unescape(fields[4]).rstrip("/")
        if len(point) >= longest and (path + "/").startswith(point + "/"):
            longest, kind = len(point), after.split(" ")[0]
    return kind


def _unescape(field: str) -> str:
    for escaped, plain in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        field = field.replace(escaped, plain)
    return field
