"""``EtlSession``: a trace session inside this process, writing a real ``.etl`` file on any system.

One session serves any number of providers and threads.  Strategy:

* An event is stored straight into the file's newest buffer (:mod:`otel_etw.etl.writer`), so what
  was written survives ``kill -9``; there is no thread and nothing to flush for that.
* One thread stores at a time.  A thread that comes in again while it is inside (a signal handler,
  ``__del__``, a log line) leaves its event in a queue, which it empties on its way out
  (:mod:`otel_etw.sessions.turns`).
* What the system refuses is answered with a status, counted, and logged once, never raised.
* A forked child forgets the parent's file and makes its own at its first event.
"""

from __future__ import annotations

import atexit
import errno
import logging
import os
import time
import weakref
from collections import deque
from contextlib import suppress
from threading import RLock
from types import TracebackType
from typing import final
from uuid import UUID

from otel_etw.etl import records
from otel_etw.etl.writer import TraceFile
from otel_etw.providers.base import PreparedWrite, WriteStatus
from otel_etw.providers.embedded import EmbeddedProvider
from otel_etw.sessions import identity
from otel_etw.sessions.filters import Providers, SessionFilters
from otel_etw.sessions.lane import Lane, Source, prepared_write
from otel_etw.sessions.options import SessionOptions
from otel_etw.sessions.series import FileSeries
from otel_etw.sessions.settings import FileMode
from otel_etw.sessions.turns import Turns
from otel_etw.tracelogging.provider_id import encode_traits
from otel_etw.tracelogging.provider_id import provider_id as provider_id_of
from otel_etw.tracelogging.types import EventDescriptor

_logger = logging.getLogger("otel_etw")

_RETRY_AFTER_S = 0.1
"""Space (or a file) that was refused is asked for again this much later, not for every event."""

_FULL = frozenset(
    code for code in (errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", None)) if code is not None
)
_SUCCESS = int(WriteStatus.SUCCESS)
_ATTEMPTS = 2

_Event = tuple[int, bytes, EventDescriptor, bytes, bytes, "bytes | None"]
"""Thread id, provider id, descriptor, extended items, payload, activity id."""


@final
class EtlSession:
    """Collects events in ``path``, a valid trace file at every moment.

    ``level`` (0 to 255) and ``keyword`` (64-bit mask) say which events it wants, 0 meaning all; an
    event's own level 0 or keyword 0 passes.  ``providers`` has others for single providers, by name or
    GUID: ``{"MyProvider": (level, keyword)}``.

    Sizes are bytes, or text such as ``"256 MiB"``.
    ``buffer_size`` is a multiple of 1024 from 4096 to 16 MiB and bounds the event size; the default takes
    the largest event there is.

    In mode ``"sequential"`` the file grows to ``max_file_size``, if given, and takes no more events then.
    In mode ``"circular"`` it keeps that size: the oldest buffer of events is overwritten by the newest, which
    is no loss.  In mode ``"rolling"`` the file is finished before it would pass that size, kept as
    ``path.1`` (older ones as ``.2`` ...), and begun anew.  ``max_files`` counts all of them; a file found at
    ``path`` is kept in the same way (it defaults to 4 for rolling, 2 for the others).  ``path`` may
    contain ``{pid}``.

    Raises ValueError or TypeError for invalid arguments and nothing else: where the file cannot be
    created that is logged, :attr:`error` says why, and the session counts what it is given.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        level: int = 0,
        keyword: int = 0,
        providers: Providers | None = None,
        buffer_size: int | str = 131072,
        mode: FileMode = "sequential",
        max_file_size: int | str | None = None,
        max_files: int | None = None,
        session_name: str = "otel-etw",
        private: bool = False,
        close_with_last_holder: bool = False,
        log_later: bool = False,
    ) -> None:
        """``private`` makes files for the owner only (mode 0600). For a session that nobody but its
        holders knows: ``close_with_last_holder`` (see :meth:`hold`), and ``log_later`` leaves it to
        the maker, who may have a lock, to call :meth:`log_messages`."""
        self._options = SessionOptions.checked(
            path,
            buffer_size,
            mode,
            max_file_size,
            max_files,
            session_name,
            private,
        )
        self._filters = SessionFilters.checked(level, keyword, providers)
        self._close_with_last_holder = close_with_last_holder
        self._holders = 0
        self._retired = False
        self._holders_lock = RLock()
        self._closed = False
        self._failed = False
        self.is_collecting = True
        """Whether events are taken: not once it is closed, nor if it has had no file from the start."""
        self._exiting = False
        self._error: OSError | None = None
        self._lane = Lane(self._leave_lane)
        self._begin_in_this_process(forked=False)
        try:
            self._files.open()
        except OSError as error:
            self._error = error
            self._failed = True
            self.is_collecting = False
            text = "cannot create the trace file %s: %s; events are counted only"
            self._say_once("failed", logging.WARNING, text, self.path, error)
            if not log_later:
                self.log_messages()
        _sessions.add(self)

    def _begin_in_this_process(self, *, forked: bool) -> None:
        self._process_id = os.getpid() & identity.U32
        self._files = FileSeries(self._options, forked=forked, unfinished=self._say_unfinished)
        self._turns: Turns[_Event] = Turns(self._store, self._lose, self._files.progress)
        self._lane.turns = self._turns
        self._messages: deque[tuple[int, str, tuple[object, ...]]] = deque()
        self._said: set[str] = set()
        self._error = None
        self._retry_at = 0.0
        self._events_lost = 0

    # --- what it is -----------------------------------------------------------------------------

    @property
    def path(self) -> str:
        """The file this process is writing now (a forked child: will write at its first event)."""
        return self._files.path

    @property
    def error(self) -> OSError | None:
        """Why events are not written at present; ``None`` while all is well."""
        return self._error

    @property
    def problem(self) -> str | None:
        """The same in words, with the closed session as one more reason."""
        if self._closed:
            return f"the session writing {self.path} is closed"
        return None if self._error is None else f"cannot write {self.path}: {self._error}"

    @property
    def events_lost(self) -> int:
        """Events of this process that were given to the session and are in no file."""
        return self._events_lost

    @property
    def closed(self) -> bool:
        """Whether :meth:`close` has been done."""
        return self._closed

    @property
    def buffer_size_bytes(self) -> int:
        """Bytes of every buffer of the file."""
        return self._options.buffer_size_bytes

    # --- using it -------------------------------------------------------------------------------

    def register(
        self, name: str, provider_id: UUID | None = None, *, group: UUID | None = None
    ) -> EmbeddedProvider:
        """A provider whose events go to this session; EncodeError for a name that has no encoding.

        Without ``provider_id`` the id is the hash of the name. ``group`` goes into the traits.
        """
        traits = encode_traits(name, group)
        own_id = provider_id or provider_id_of(name)
        own_filter = self._filters.of(own_id)
        return EmbeddedProvider(self, name, own_id, traits, own_filter.highest_level, own_filter.keyword_mask)

    def write(
        self,
        provider_id: bytes,
        descriptor: EventDescriptor,
        items: bytes,
        payload: bytes,
        activity_id: bytes | None = None,
    ) -> int:
        """Store one event whose size was checked; providers call this. Answers a :class:`WriteStatus`."""
        if os.getpid() & identity.U32 != self._process_id:
            self._after_fork_in_child()  # somebody's hook, or a thread that it started, was faster than ours
        event = (identity.thread_ids.id, provider_id, descriptor, items, payload, activity_id)
        status = self._turns.take(event)
        if self._messages:
            self.log_messages()
        return status

    def prepare(
        self,
        source: Source,
        provider_id: bytes,
        descriptor: EventDescriptor,
        items: bytes,
        write: PreparedWrite,
    ) -> PreparedWrite:
        """A fast ``write`` for events of one shape that the session wants; providers call this."""
        largest_record = records.largest_record(self.buffer_size_bytes)
        return prepared_write(self._lane, source, provider_id, descriptor, items, largest_record, write)

    def count_lost(self) -> None:
        """Count an event that no file can hold."""
        self._turns.lose()

    def flush(self) -> None:
        """Make what was written survive a power cut too (``fsync``); may take long, never raises."""
        files = self._files
        fds: list[int | None] = []
        self._turns.exclusively(lambda: fds.append(files.begin_sync()))
        for fd in fds:
            if fd is None:
                continue
            try:
                os.fsync(fd)
                files.sync_name()
            except OSError as error:
                self._say_once("sync", logging.WARNING, "cannot flush %s: %s", self.path, error)
            finally:
                files.end_sync(fd)
        self.log_messages()

    def close(self) -> None:
        """Finish the file. Idempotent; later events answer ``INVALID_HANDLE`` and are counted."""
        if not self._closed:
            self._turns.last(self._close_now)
            self.log_messages()

    def hold(self) -> None:
        """Say that one more exporter uses this session."""
        self.hold_if_open()

    def hold_if_open(self) -> bool:
        """Like :meth:`hold`; ``False``, and no hold, if the session is closed or being closed."""
        with self._holders_lock:
            if self._retired or self._closed:
                return False
            self._holders += 1
            return True

    def release(self) -> None:
        """Take back one :meth:`hold`; a session made for its holders closes with the last of them."""
        with self._holders_lock:
            self._holders = max(0, self._holders - 1)
            self._retired |= self._close_with_last_holder and self._holders == 0
        if self._retired:
            self.close()

    def __enter__(self) -> EtlSession:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        # Nobody has it any more: without this the file stays locked for as long as the process lives.
        with suppress(Exception):
            self._close_now()

    def __repr__(self) -> str:
        state = "closed" if self._closed else f"not writing: {self._error}" if self._error else "open"
        return f"<EtlSession {self.path!r} {state}>"

    # --- inside a turn: one thread at a time, nothing is logged -----------------------------------

    def _store(self, unix_ns: int, event: _Event) -> int:
        """Store an event, once and whatever comes in between, and answer a status.

        An exception of the application's signal handlers costs nothing: it is tried again.
        """
        if self._closed or self._failed:
            self._lose()
            return self._status_of(self._error)
        before = self._files.progress()
        for _ in range(_ATTEMPTS):
            refusal: OSError | None = None
            try:
                return self._put(unix_ns, event)
            except OSError as error:
                refusal = error
            except Exception:  # noqa: BLE001, S110 - a malformed call must not fail the application
                pass
            if self._files.progress() != before:
                return _SUCCESS
            if refusal is not None and refusal.errno is not None:  # a handler's TimeoutError has none
                return self._refuse(refusal)
        self._lose()
        return WriteStatus.INVALID_PARAMETER

    def _put(self, unix_ns: int, event: _Event) -> int:
        """Store an event, starting a buffer or file where needed."""
        thread_id, provider_id, descriptor, items, payload, activity_id = event
        size = records.RECORD_HEADER_BYTES + len(items) + len(payload) + 7 & ~7
        file = self._files.file
        same_buffer = file is not None and file.has_room(size)
        if file is None or not same_buffer:
            if self._is_retry_due() or (file is not None and file.can_recycle):
                file = self._files.file_with_space()
            else:
                self._lose()
                return self._status_of(self._error)
        raw_time = file.raw_time(unix_ns, same_buffer=same_buffer)
        record = records.event_record(
            raw_time, thread_id, self._process_id, provider_id, descriptor, items, payload, activity_id
        )
        if same_buffer:
            file.append(record, raw_time)
        else:
            self._start_buffer(file, record, raw_time)
            if self._error is not None:
                self._resume()
        if self._exiting:
            self._files.update_header()
        elif self._lane.buffer is not file.newest:
            self._lane.use(file.newest)
        return _SUCCESS

    def _start_buffer(self, file: TraceFile, record: bytes, raw_time: int) -> None:
        try:
            file.start_buffer(record, raw_time, may_grow=self._is_retry_due())
        except OSError as error:
            if error.errno is None or not file.can_recycle:
                raise
            # Without space for its full size a circular file makes do with the buffers it has.
            self._retry_at = time.monotonic() + _RETRY_AFTER_S
            file.start_buffer(record, raw_time, may_grow=False)

    def _is_retry_due(self) -> bool:
        return not self._retry_at or time.monotonic() >= self._retry_at

    def _leave_lane(self) -> None:
        self._turns.finish()
        if self._messages:
            self.log_messages()

    def _close_now(self) -> None:
        if not self._closed:
            self._closed = True
            self.is_collecting = False
            self._files.finish()

    def _lose(self) -> None:
        self._events_lost += 1
        self._files.count_lost()

    def _refuse(self, error: OSError) -> int:
        """The system would not take an event."""
        self._error = error
        self._retry_at = time.monotonic() + _RETRY_AFTER_S
        self._lose()
        self._say_once(
            "refused", logging.WARNING, "cannot write %s: %s; events are lost and counted", self.path, error
        )
        return self._status_of(error)

    def _resume(self) -> None:
        self._error = None
        self._retry_at = 0.0
        self._say_once(
            "resumed", logging.INFO, "writing %s again; %d events were lost", self.path, self._events_lost
        )

    def _status_of(self, error: OSError | None) -> int:
        full = error is not None and error.errno in _FULL and not self._closed
        return WriteStatus.DISK_FULL if full else WriteStatus.INVALID_HANDLE

    # --- logging, never inside a turn -------------------------------------------------------------

    def _say_once(self, what: str, level: int, text: str, *values: object) -> None:
        if what not in self._said:
            self._said.add(what)
            self._messages.append((level, text, values))

    def _say_unfinished(self, path: str, error: Exception) -> None:
        self._say_once("unfinished", logging.WARNING, "cannot complete %s: %s", path, error)

    def log_messages(self) -> None:
        """Log what was found out where nothing may be logged."""
        while self._messages and not self._turns.inside:
            with suppress(Exception):  # another thread took it; a logging handler of theirs failed
                level, text, values = self._messages.popleft()
                _logger.log(level, text, *values)

    # --- the life of the process --------------------------------------------------------------------

    def _before_exit(self) -> None:
        """Bring the header up to date, and keep it so: others' exit hooks may still write."""
        self._exiting = True
        self._lane.shut()
        self._turns.exclusively(self._files.update_header)

    def _after_fork_in_child(self) -> None:
        if self._process_id == os.getpid() & identity.U32:
            return
        parents = self._files
        self._lane.shut()
        failed = self._error if self._failed else None
        self._holders_lock = RLock()
        self._begin_in_this_process(forked=True)
        self._error = failed
        self._lane.is_shut = self._exiting
        parents.abandon()


_sessions: weakref.WeakSet[EtlSession] = weakref.WeakSet()


def _before_exit() -> None:
    for session in list(_sessions):
        session._before_exit()


def _before_fork() -> None:
    for session in list(_sessions):
        session._lane.shut()


def _after_fork_in_parent() -> None:
    for session in list(_sessions):
        session._lane.is_shut = session._exiting


def _after_fork_in_child() -> None:
    for session in list(_sessions):
        session._after_fork_in_child()


atexit.register(_before_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )
