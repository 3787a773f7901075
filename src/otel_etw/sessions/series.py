"""The files a session writes in one process, one after the other, and what each has lost."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import chain

from otel_etw.etl.clock import unix_nano_to_filetime
from otel_etw.etl.mapping import can_map
from otel_etw.etl.writer import TraceFile
from otel_etw.sessions import identity
from otel_etw.sessions.files import (
    FileHeldError,
    candidate_paths,
    discard,
    open_new_file,
    publish,
    sync_folder_of,
)
from otel_etw.sessions.options import SessionOptions


class FileSeries:
    """Opens, rolls over and finishes files. Neither locks nor logs: the session calls it in turns.

    ``unfinished(path, error)`` is told of a file that was closed but could not be completed.
    """

    file: TraceFile | None
    """The one being written; ``None`` before the first, after the last, and while none can be had."""
    path: str
    """Of that file; before there is one, where it will be."""

    def __init__(
        self, options: SessionOptions, *, forked: bool, unfinished: Callable[[str, Exception], None]
    ) -> None:
        self._options = options
        self._pid = os.getpid()
        self._forked = forked
        self._unfinished = unfinished
        self._has_path = False
        self._lost_in_file = 0
        self._name_is_synced = False
        self._files_opened = 0
        self._progress_before: tuple[int, ...] = ()
        self._syncing: set[int] = set()
        self.file = None
        self.path = next(candidate_paths(options.path, self._pid, forked=forked))

    def file_with_space(self) -> TraceFile:
        """The file that may take one more buffer, a new one if need be; OSError if none is to be had."""
        file, largest = self.file, self._options.max_file_size_bytes
        if file is None:
            return self.open()
        if (
            self._options.mode == "circular"
            or largest is None
            or file.size_bytes + self._options.buffer_size_bytes <= largest
        ):
            return file
        if self._options.mode == "sequential":
            raise OSError(errno.EFBIG, f"the file has reached its {largest} bytes")
        self.finish()
        return self.open()

    def open(self) -> TraceFile:
        """Begin the next file: where the last one was, or at the first of the session's free names."""
        held: OSError | None = None
        own = (self.path,) if self._has_path else ()
        for path in chain(own, self._candidates()):
            try:
                file = self._begin(path)
            except FileHeldError as error:
                held = error
                continue
            self.path = path
            self._files_opened += 1
            self.file = file
            self._has_path = True
            return file
        raise held or OSError(errno.EAGAIN, "no file name left")

    def progress(self) -> tuple[int, ...]:
        """Differs whenever an event has been stored since; by nothing else."""
        if self.file is not None and self.file.sequence_number:
            return (self._files_opened, *self.file.progress)
        return self._progress_before

    def finish(self) -> None:
        """Complete and close the file, if there is one; what is lost from now on is told by the next."""
        self._progress_before = self.progress()
        file, self.file = self.file, None
        if file is None:
            return
        try:
            file.finish(end_filetime=unix_nano_to_filetime(time.time_ns()), events_lost=self._lost_in_file)
        except (OSError, ValueError) as error:
            self._unfinished(file.path, error)
        self._lost_in_file = 0
        self._name_is_synced = False

    def count_lost(self) -> None:
        """One event more that is in no file."""
        self._lost_in_file += 1
        if self.file is not None:
            with suppress(OSError, ValueError):
                self.file.update_events_lost(self._lost_in_file)

    def update_header(self) -> None:
        """Make the header say what a finished file's would, and go on."""
        if self.file is not None:
            with suppress(OSError, ValueError):
                self.file.update_header(
                    end_filetime=unix_nano_to_filetime(time.time_ns()), events_lost=self._lost_in_file
                )

    def begin_sync(self) -> int | None:
        """A descriptor for ``fsync``, which the caller does outside its turn; it may take long."""
        if self.file is None:
            return None
        try:
            self.file.sync_views()
            fd = os.dup(self.file.fd)
        except OSError:
            return None
        self._syncing.add(fd)
        return fd

    def end_sync(self, fd: int) -> None:
        """Give back what :meth:`begin_sync` gave."""
        if fd in self._syncing:
            self._syncing.discard(fd)
            with suppress(OSError):
                os.close(fd)

    def sync_name(self) -> None:
        """Once for each file: make its name survive a power cut, too."""
        if not self._name_is_synced:
            self._name_is_synced = True
            sync_folder_of(self.path)

    def abandon(self) -> None:
        """In a forked child: let go of the parent's file without touching its bytes."""
        file, self.file = self.file, None
        if file is not None:
            file.abandon()
        for fd in list(self._syncing):  # would keep the parent's file locked for as long as the child lives
            self.end_sync(fd)

    def _candidates(self) -> Iterator[str]:
        return candidate_paths(self._options.path, self._pid, forked=self._forked)

    def _begin(self, path: str) -> TraceFile:
        new = open_new_file(path, keep=self._options.max_files - 1, private=self._options.private)
        try:
            file = TraceFile(
                new.fd,
                path,
                buffer_size_bytes=self._options.buffer_size_bytes,
                session_name=self._options.session_name,
                start_filetime=unix_nano_to_filetime(time.time_ns()),
                process_id=self._pid & identity.U32,
                thread_id=identity.thread_ids.id,
                mapped=can_map(new.staged_at or path),
                circular_buffers=self._options.circular_buffers,
            )
        except BaseException:
            discard(new)
            raise
        try:
            publish(new)
        except BaseException:
            file.abandon()
            raise
        return file
