"""Which file a session writes: names for processes, older files kept aside, files of others left alone.

``app.etl`` is held (locked) by the session that writes it.  What was there before is kept as
``app.etl.1``, the one before that as ``app.etl.2`` and so on.  A session that finds ``app.etl``
held, by another process or in its own, and every forked child, writes ``app.<pid>.etl`` instead;
``{pid}`` in the name puts the process id there and in the first place.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from typing import NamedTuple

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

PID_FIELD = "{pid}"

_ATTEMPTS_PER_NAME = 10
_NAMES_PER_PROCESS = 100

# Locked on Windows, where locks are for byte ranges and keep readers out: far behind any data.
# Its low half is far too, in case the C library cuts the position to 32 bits.
_LOCK_POSITION = (1 << 40) | 0x7FFF_FFFE


_staged_files = count()


class FileHeldError(OSError):
    """The file is being written by another session; it must be left alone."""


def candidate_paths(name: str, pid: int, *, forked: bool) -> Iterator[str]:
    """The paths a session named ``name`` may write, best first; a forked child takes none without its pid."""
    if PID_FIELD in name:
        with_pid = name.replace(PID_FIELD, str(pid))
    else:
        if not forked:
            yield name
        with_pid = _insert(name, str(pid))
    yield with_pid
    for number in range(2, _NAMES_PER_PROCESS):
        yield _insert(with_pid, str(number))


def _insert(path: str, part: str) -> str:
    root, extension = os.path.splitext(path)
    return f"{root}.{part}{extension}"


class NewFile(NamedTuple):
    """An empty file that this process holds, perhaps still without its name (see :func:`publish`)."""

    fd: int
    """Closing it releases the file."""
    path: str
    staged_at: str | None
    """Where the file is until it has its name; ``None`` if it has it."""


def open_new_file(path: str, *, keep: int, private: bool) -> NewFile:
    """An empty file, held by this process, to become ``path`` when :func:`publish` is called.

    So the name appears together with the file's first bytes, and whoever finds it finds a trace.  Only on
    Windows, where an open file cannot be renamed, and at the end of a symbolic link it is made in place.

    What is there is kept as ``path.1`` with up to ``keep`` older ones.  ``private`` files are for
    their owner only (0600); others follow the umask.  Raises FileHeldError if somebody is writing
    that file, another OSError if it cannot be created.
    """
    for _ in range(_ATTEMPTS_PER_NAME):
        in_place = os.name == "nt" or (not private and os.path.islink(path))
        try:
            fd = _open(path, os.O_CREAT if in_place else 0, private=private)
        except FileNotFoundError:
            if in_place:
                raise
            return _stage(path, private=private)
        try:
            if not _hold(fd):
                raise FileHeldError(errno.EAGAIN, "held by another session", path)
            found = os.fstat(fd)
            if not stat.S_ISREG(found.st_mode):
                raise OSError(errno.EINVAL, "not a regular file", path)
            if not _is_at(found, path):  # moved aside by another process in between
                os.close(fd)
                continue
            if found.st_size == 0:
                return NewFile(fd, path, None)
            if os.name == "nt":  # a file cannot be renamed there while it is open
                os.close(fd)
                fd = -1
            shift_names(path, keep)
        except BaseException:
            if fd >= 0:
                os.close(fd)
            raise
        if fd >= 0:
            os.close(fd)
    raise FileHeldError(errno.EAGAIN, "taken by other sessions again and again", path)


def publish(new: NewFile) -> None:
    """Give a new file its name, now that there is something in it to read.

    Raises FileHeldError if somebody else has taken the name meanwhile; the file is then without one.
    """
    if new.staged_at is None:
        return
    try:
        try:
            os.link(new.staged_at, new.path)
        except FileExistsError:
            raise
        except OSError:  # no hard links on this filesystem: claim the name, then take its place
            os.close(os.open(new.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            os.rename(new.staged_at, new.path)
    except FileExistsError as error:
        raise FileHeldError(errno.EAGAIN, "taken by another session", new.path) from error
    finally:
        with suppress(OSError):
            os.unlink(new.staged_at)


def discard(new: NewFile) -> None:
    """Remove a new file that was not begun: half a header would be taken for somebody's trace."""
    with suppress(OSError):
        os.ftruncate(new.fd, 0)
    os.close(new.fd)
    with suppress(OSError):
        os.unlink(new.path if new.staged_at is None else new.staged_at)


def _stage(path: str, *, private: bool) -> NewFile:
    """A held file beside ``path``, under a name that nobody else uses and no ``*.etl`` finds."""
    while True:
        staged = os.path.join(os.path.dirname(path), f".otel-etw-{os.getpid()}-{next(_staged_files)}")
        try:
            fd = _open(staged, os.O_CREAT | os.O_EXCL, private=private)
            break
        except FileExistsError:  # left behind by a process that was killed
            continue
        except OSError as error:
            error.filename = path  # the one that was asked for
            raise
    _hold(fd)
    return NewFile(fd, path, staged)


def shift_names(path: str, keep: int) -> None:
    """Rename ``path`` to ``path.1``, that one to ``path.2`` ...; the oldest of more than ``keep`` goes."""
    try:
        if keep < 1:
            os.unlink(path)
            return
        count = 0
        while count < keep - 1 and os.path.lexists(f"{path}.{count + 1}"):
            count += 1
        for number in range(count, 0, -1):
            os.replace(f"{path}.{number}", f"{path}.{number + 1}")
        os.replace(path, f"{path}.1")
    except PermissionError as error:
        # On Windows: somebody has one of them open. Elsewhere no other name will do either.
        raise FileHeldError(error.errno, error.strerror, path) from error


def _open(path: str, create_flags: int, *, private: bool) -> int:
    flags = os.O_RDWR | create_flags | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    # A FIFO or terminal must not hold up or take over the application.
    flags |= getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_NOINHERIT", 0)
    if private:  # made under a name that others can guess: no link of theirs is followed
        flags |= getattr(os, "O_NOFOLLOW", 0)
    return os.open(path, flags, 0o600 if private else 0o666)


def _is_at(found: os.stat_result, path: str) -> bool:
    try:
        return os.path.samestat(found, os.stat(path))
    except FileNotFoundError:
        return False


if sys.platform == "win32":

    def _hold(fd: int) -> bool:
        """Take the lock that says a session writes this file; ``True`` also where there are no locks."""
        try:
            os.lseek(fd, _LOCK_POSITION, os.SEEK_SET)
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        except OSError as error:
            # C libraries differ in what they say of a held range: EACCES, EDEADLOCK, nothing at all.
            return error.errno in (errno.EINVAL, errno.ENOSYS)
        return True

else:

    def _hold(fd: int) -> bool:
        """Take the lock that says a session writes this file; ``True`` also where there are no locks."""
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            return error.errno not in (errno.EAGAIN, errno.EACCES, errno.EWOULDBLOCK)
        return True


def sync_folder_of(path: str) -> None:
    """Make the name of a new file survive a power cut too, where folders can be synced."""
    if os.name == "nt":
        return
    with suppress(OSError):
        fd = os.open(os.path.dirname(path) or ".", os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
