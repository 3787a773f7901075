"""A session of the ETW kernel that writes a file: ``.etl``, for this package's reader and any other."""

from __future__ import annotations

import atexit
import os
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import NamedTuple, final

from otel_etw.errors import SessionError
from otel_etw.sessions import control
from otel_etw.sessions.control import SessionFacts, SessionSettings
from otel_etw.sessions.recording_files import RecordingFiles
from otel_etw.sessions.requests import ProviderRequest
from otel_etw.sessions.settings import FileMode
from otel_etw.windows.error_codes import ErrorCode

DEFAULT_NAME = f"{control.OWN_PREFIX}-record"
DEFAULT_FILE_SIZE_MB = 256
"""Of circular files, and of each file of a rolling recording: they cannot be without a limit."""

_FILE_MODES: dict[FileMode, int] = {
    "sequential": control.MODE_SEQUENTIAL,
    "circular": control.MODE_CIRCULAR,
    "rolling": control.MODE_NEW_FILE,
}
_GONE = (ErrorCode.WMI_INSTANCE_NOT_FOUND, ErrorCode.INVALID_HANDLE)


class RecordingSettings(NamedTuple):
    """How a recording is written.

    ``max_file_size_mb``: 0 is without a limit in a sequential file (at the limit Windows ends the session),
    256 in other modes.  ``max_files``: how many files of a rolling recording are kept, the newest (by
    :meth:`Recording.keep_newest_files`); 0 for all.  A buffer smaller than 128 KB loses the largest events;
    with 0 for their numbers Windows takes two per processor and 22 more when it needs them.
    """

    mode: FileMode = "sequential"
    max_file_size_mb: int = 0
    max_files: int = 0
    buffer_size_kb: int = 256
    min_buffers: int = 64
    max_buffers: int = 128
    flush_timer_s: int = 1
    stacks: bool = False
    overwrite: bool = False
    """Otherwise a file that is there is an error."""
    replace: bool = False
    """Stop a session of the same name first, if its name says that it is one of ours."""


@final
class Recording:
    """Records providers into a file from ``start`` (or ``with``) until ``stop``, or until the process exits.

    Nothing is left behind by a failing start: a session whose providers cannot all be enabled is stopped
    again.  A process that is killed leaves its session running; the next one is told so.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        requests: Sequence[ProviderRequest],
        settings: RecordingSettings | None = None,
        *,
        name: str = DEFAULT_NAME,
    ) -> None:
        """``ValueError`` for what no recording can have."""
        if not requests:
            raise ValueError("a recording needs at least one provider")
        settings = settings or RecordingSettings()
        if settings.mode != "sequential" and not settings.max_file_size_mb:
            settings = settings._replace(max_file_size_mb=DEFAULT_FILE_SIZE_MB)
        self.name = name
        self.settings = settings
        self.requests = tuple(requests)
        self.files = RecordingFiles(path, settings.mode)
        control.check_names(name, self.files.path)
        self.replaced: SessionFacts | None = None
        """The session that was stopped to make room for this one."""
        self.has_ended = False
        """Whether the session was found to be gone, because its file is full or somebody stopped it."""
        self._handle: int | None = None
        self._facts: SessionFacts | None = None

    def __enter__(self) -> Recording:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start the session and enable its providers. Raises :class:`.SessionError`."""
        earlier = self._earlier_files()
        self._handle = self._started()
        atexit.register(self._stop_at_exit)
        try:
            self._facts = control.query(self._handle)
            for request in self.requests:
                control.enable(self._handle, request, stacks=self.settings.stacks)
        except BaseException:
            self._stop_at_exit()
            raise
        # The first file has been begun anew; others would pass for this recording's.
        for path in earlier:
            if path != self.files.first:
                with suppress(OSError):
                    os.unlink(path)

    def facts(self) -> SessionFacts:
        """How the session is doing; once it ``has_ended``, what was last known. Raises SessionError."""
        if self._handle is None or self._facts is None:
            raise SessionError("the recording has not been started")
        if not self.has_ended:
            try:
                current = control.query(self._handle)
            except SessionError as error:
                if error.code not in _GONE:
                    raise
                self.has_ended = True
            else:
                self._take(current)
        return self._facts

    def keep_newest_files(self) -> list[str]:
        """Remove files of a rolling recording beyond ``max_files``; those that went."""
        if self.settings.mode != "rolling" or not self.settings.max_files:
            return []
        return self.files.keep_newest(self.settings.max_files)

    def stop(self) -> SessionFacts:
        """Stop the session; its file is complete then. What it lost is in the answer. Idempotent.

        Raises :class:`.SessionError`.
        """
        facts = self.facts()
        if not self.has_ended and self._handle is not None:
            try:
                self._facts = facts = control.stop(self._handle)
            except SessionError as error:
                if error.code not in _GONE:
                    raise
            self.has_ended = True
        atexit.unregister(self._stop_at_exit)
        return facts

    def _earlier_files(self) -> list[str]:
        if not os.path.isdir(self.files.folder):
            raise SessionError(f"there is no folder {self.files.folder}")
        earlier = self.files.existing()
        if earlier and not self.settings.overwrite:
            more = f" (and {len(earlier) - 1} more)" if len(earlier) > 1 else ""
            raise SessionError(f"{earlier[0]}: file exists{more}; --overwrite begins it anew")
        return earlier

    def _started(self) -> int:
        settings = SessionSettings(
            _FILE_MODES[self.settings.mode],
            self.files.path,
            self.settings.buffer_size_kb,
            self.settings.min_buffers,
            self.settings.max_buffers,
            self.settings.flush_timer_s,
            self.settings.max_file_size_mb,
        )
        try:
            return control.start(self.name, settings)
        except SessionError as error:
            if error.code != ErrorCode.ALREADY_EXISTS:
                raise
            self._make_room(error)
        return control.start(self.name, settings)

    def _make_room(self, refusal: SessionError) -> None:
        """Stop the session that has our name, if that is wanted; otherwise say what it is."""
        try:
            other = control.query(self.name)
        except SessionError:
            raise refusal from None
        where = f" and writes {other.file}" if other.file else ""
        what = f"a session {other.name!r} is running already{where}"
        if not other.is_own:
            raise SessionError(f"{what}; it is none of ours, so take another name (--name)", refusal.code)
        if not self.settings.replace:
            raise SessionError(
                f"{what}; it is that of another recording, or was left behind by one that was killed: "
                "--replace stops it first, --name gives this one another name, "
                f'and this stops it: otel-etw sessions stop "{other.name}"',
                refusal.code,
            )
        self.replaced = control.stop(other.name)

    def _take(self, current: SessionFacts) -> None:
        """Remember what is known now, unless it is of a session that took the place of ours."""
        known = self._facts
        if known is None or _identity(current) == _identity(known):
            self._facts = current
        else:
            self.has_ended = True

    def _stop_at_exit(self) -> None:
        atexit.unregister(self._stop_at_exit)
        if self._handle is not None:
            with suppress(SessionError):
                if self._facts is not None:
                    self.facts()
                if not self.has_ended:
                    control.stop(self._handle)
            self.has_ended = True


def _identity(facts: SessionFacts) -> tuple[str, int]:
    """Handles are used again, and a successor may have the name."""
    return facts.name, facts.logger_thread_id
