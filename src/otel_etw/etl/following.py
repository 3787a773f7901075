"""``follow``: the events of a trace file that is being written, each of them once, as they come.

What a path names may change: a rolling session renames its file to ``app.etl.1`` and begins another, so does
the next run of an application, and a copy may be written over it.  The open file is read to its end before
the next one is begun; files that came and were renamed in between are found by their numbers.

It polls: a mapped store tells nobody of itself, on no system.  One look at an unchanged file costs some
microseconds.
"""

from __future__ import annotations

import heapq
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import final

from otel_etw.errors import TraceFileError
from otel_etw.etl import layout
from otel_etw.etl.damage import DamageReport
from otel_etw.etl.event import Event
from otel_etw.etl.growing import GrowingFile
from otel_etw.etl.sharing import open_shared
from otel_etw.etl.source import Source

DEFAULT_INTERVAL_S = 0.25
ENDED_AFTER_S = 0.5
"""A rolling session finishes a file some moments before it begins the next."""

_MOST_NUMBERED_FILES = 100_000
_MOST_OPEN_FILES = 64
_NO_FILE = (-1, -1)
_MISSING_NAMES = 3
"""So many in a row, and there are no further files: while files are renamed one name is missing."""


def follow(
    path: str | os.PathLike[str],
    *,
    interval_s: float = DEFAULT_INTERVAL_S,
    exit_on_end: bool = False,
    new_only: bool = False,
) -> Iterator[Event]:
    """The events of the trace file at ``path``, those that are there first, then each new one as it comes.

    Waits where there is no file yet, and after the end of a recording for the next one, unless
    ``exit_on_end``. ``new_only`` leaves out what is there at the first look. Every record is delivered once:
    in the order of the file, or of time where a multi-processor recorder's buffers overlap. Looks every
    ``interval_s`` seconds. The file is closed when the iterator is.

    Raises :class:`.TraceFileError` if something else than a trace file is there at the start, ``OSError`` if
    it cannot be read.
    """
    with Following([path], new_only=new_only) as following:
        while True:
            started = time.monotonic()
            for _, event in following.poll():
                yield event
            if exit_on_end and following.has_ended():
                return
            time.sleep(max(0.0, started + interval_s - time.monotonic()))


@final
class Following:
    """Several files, each looked at by :meth:`poll`. ``say`` is told in words of what happens to files."""

    def __init__(
        self,
        paths: Iterable[str | os.PathLike[str]] = (),
        *,
        say: Callable[[str], None] = lambda text: None,
        new_only: bool = False,
        file_order: bool = False,
    ) -> None:
        self._say = say
        self._new_only = new_only
        self._file_order = file_order
        self.files: list[FollowedFile] = []
        for path in paths:
            self.add(path)

    def __enter__(self) -> Following:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(self, path: str | os.PathLike[str], *, from_start: bool = False) -> None:
        """One file more; with ``from_start`` all of it, whatever the others are followed from."""
        new_only = self._new_only and not from_start
        self.files.append(FollowedFile(path, say=self._say, new_only=new_only, file_order=self._file_order))

    def poll(self) -> Iterator[tuple[FollowedFile, Event]]:
        """What has come since the last time, merged by time; to be exhausted before the next."""
        streams = [_labelled(file) for file in self.files]
        if self._file_order or len(streams) < 2:
            return (labelled for stream in streams for labelled in stream)
        return heapq.merge(*streams, key=lambda labelled: labelled[1].timestamp_ns)

    def has_ended(self) -> bool:
        """Whether all recordings are finished, and nothing has followed them."""
        return all(file.has_ended() for file in self.files)

    def close(self) -> None:
        """Give the files back. Idempotent."""
        for file in self.files:
            file.close()


def _labelled(file: FollowedFile) -> Iterator[tuple[FollowedFile, Event]]:
    for event in file.poll():
        yield file, event


@final
class FollowedFile:
    """Whatever trace file a path names: this one, and those that take its place."""

    path: str
    damage: DamageReport
    """Of the files that were read to their end; :meth:`close` adds the last one."""
    events_lost: int
    buffers_lost: int
    """What the recorders say that they have lost, of those files."""
    overwritten_buffers: int
    """Of circular files: buffers that were overwritten before all of their events were read."""
    gaps: int
    """How often files of a rolling session were probably removed before they could be read."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        say: Callable[[str], None] = lambda text: None,
        new_only: bool = False,
        file_order: bool = False,
    ) -> None:
        self.path = os.fspath(path)
        self.damage = DamageReport()
        self.events_lost = self.buffers_lost = self.overwritten_buffers = self.gaps = 0
        self._say = say
        self._skip_first = new_only
        self._file_order = file_order
        self._file: GrowingFile | None = None
        self._had_file = False
        self._said: str | None = None
        self._ended_since: float | None = None
        self._nothing_at_ns: int | None = None

    def poll(self) -> Iterator[Event]:
        """What has come since the last time. Raises as :func:`follow` does as long as there was no trace."""
        if self._file is not None and self._file.is_other_run():
            self._say(f"{self.path} has been truncated or written anew; reading it from its start")
            self._retire()
        begun = [] if self._file is not None else self._first_files()
        if begun:
            self._file = begun.pop(0)
        if self._file is None:
            return
        newer = begun or self._newer_files(self._file)
        yield from self._file.new_events(file_order=self._file_order)
        for file in newer:
            self._retire()
            self._file = file
            yield from file.new_events(file_order=self._file_order)

    def note_problems(self, event: Event, why: str) -> None:
        """An event that was just delivered could not be decoded completely."""
        if self._file is not None:
            self._file.note_problems(event, why)

    def has_ended(self) -> bool:
        """Whether the recording is finished, and no other file has followed it for a moment."""
        if self._file is None or not self._file.has_ended:
            self._ended_since = None
            return False
        now = time.monotonic()
        if self._ended_since is None:
            self._ended_since = now
        return now - self._ended_since >= ENDED_AFTER_S

    def close(self) -> None:
        """Give the file back. Idempotent."""
        self._retire()

    def _first_files(self) -> list[GrowingFile]:
        """What is at the path; if nothing was there before, all files begun since, oldest first."""
        looked_at = time.time_ns() // 100 * 100  # as exactly as a header says when its recording started
        try:
            file = _opened(self.path)
        except FileNotFoundError:
            self._nothing_at_ns = self._nothing_at_ns or looked_at
            self._wait(f"waiting for {self.path}")
            return []
        except (OSError, TraceFileError) as error:
            if not self._had_file:
                raise
            self._wait(f"waiting for another file: {error}")
            return []
        if file is None:
            self._wait(f"waiting for {self.path} to become a trace file")
            return []
        self._said = None
        self._had_file = True
        if self._skip_first:
            file.skip()
        self._skip_first = False
        nothing_at_ns, self._nothing_at_ns = self._nothing_at_ns, None
        if nothing_at_ns is None:
            return [file]
        files = _begun_since(nothing_at_ns, _files_after(self.path, _NO_FILE)[0])
        if not files:
            return [file]
        file.close()
        return files

    def _retire(self) -> None:
        file, self._file = self._file, None
        self._ended_since = None
        if file is None:
            return
        with suppress(OSError):
            file.is_other_run()  # reads the numbers of the header once more
        self.events_lost += file.header.events_lost
        self.buffers_lost += file.header.buffers_lost
        self.overwritten_buffers += file.overwritten_buffers
        self.damage.merge(file.final_damage())
        file.close()

    def _newer_files(self, file: GrowingFile) -> list[GrowingFile]:
        """The files that have come after ``file``, oldest first; empty while the path still names that."""
        ours = _identity(file)
        try:
            found = os.stat(self.path)
        except OSError:  # renamed, and the next one is still to come
            return []
        if (found.st_dev, found.st_ino) == ours:
            return []
        newer, has_found_ours = _files_after(self.path, ours)
        if has_found_ours:
            return newer
        newer = _begun_since(file.header.start_time_unix_nano + 1, newer)
        if newer and _may_miss_files(file, newer[0]):
            self.gaps += 1
        return newer

    def _wait(self, text: str) -> None:
        self._skip_first = False  # all of the file that comes will be new
        if text != self._said:
            self._said = text
            self._say(text)


def _begun_since(time_unix_nano: int, files: list[GrowingFile]) -> list[GrowingFile]:
    """Those of ``files`` whose recording started then or later; the others are closed."""
    for file in files:
        if file.header.start_time_unix_nano < time_unix_nano:
            file.close()
    return [file for file in files if file.header.start_time_unix_nano >= time_unix_nano]


def _files_after(path: str, ours: tuple[int, int]) -> tuple[list[GrowingFile], bool]:
    """``path``, ``path.1`` ... up to the file ``ours``, oldest first, and whether that is among them.

    A session may be renaming meanwhile, always to the next higher number, the oldest file first.  Who goes
    through the names upwards then meets no name where a file is on its way, and some files twice, but misses
    none; and of two files that one is older which was last met under the higher number.
    """
    found: dict[tuple[int, int], GrowingFile] = {}
    missing = number = 0
    while missing < _MISSING_NAMES and number < _MOST_NUMBERED_FILES:
        try:
            file = _opened(f"{path}.{number}" if number else path)
        except (OSError, TraceFileError):
            file = None
        number += 1
        if file is None:
            missing += 1
            continue
        missing = 0
        identity = _identity(file)
        if identity == ours:
            file.close()
            return list(reversed(found.values())), True
        known = found.pop(identity, None)
        if known is not None:
            file.close()
        found[identity] = known or file
        if len(found) > _MOST_OPEN_FILES:
            found.pop(next(iter(found))).close()  # the newest: its turn comes when these have been read
    return list(reversed(found.values())), False


def _may_miss_files(before: GrowingFile, after: GrowingFile) -> bool:
    """Whether there was time for another file between the two, going by how long the first one took."""
    before.is_other_run()
    started, ended = before.header.start_time_filetime, before.header.end_time_filetime
    return not ended or after.header.start_time_filetime - ended > (ended - started) // 2


def _opened(path: str) -> GrowingFile | None:
    """The file at ``path``; ``None`` if it has yet to become a trace.

    Raises :class:`.TraceFileError` if it will not, ``OSError`` if it cannot be read.
    """
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise TraceFileError("cannot be followed: expected a regular file", where=path)
    source = Source.of_descriptor(open_shared(path))
    try:
        return GrowingFile(path, source)
    except TraceFileError as error:
        start = source.read(0, layout.LOGFILE_HEADER_OFFSET + layout.LOGFILE_HEADER_64.size)
        source.close()
        whole = layout.LOGFILE_HEADER_OFFSET + layout.LOGFILE_HEADER_32.size
        if len(start) < whole or not any(start[: layout.BUFFER_HEADER_BYTES]):
            return None
        raise TraceFileError(error.problem, offset=error.offset, where=path) from None
    except BaseException:
        source.close()
        raise


def _identity(file: GrowingFile) -> tuple[int, int]:
    """As long as a file is open, no other one has the same."""
    found = os.fstat(file.source.fileno())
    return found.st_dev, found.st_ino
