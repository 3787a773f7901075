"""The session shared by all exporters of a process that were given none.

On Windows it stands for the kernel and whatever sessions listen there, unless somebody asked for a file;
elsewhere it is an embedded one.
"""

from __future__ import annotations

import logging
import os
import time
from threading import RLock
from typing import TYPE_CHECKING

from otel_etw.sessions.embedded import EtlSession
from otel_etw.sessions.files import PID_FIELD
from otel_etw.sessions.settings import DEFAULT_BUFFER_SIZE_BYTES, SessionSettings

if TYPE_CHECKING:
    from otel_etw.sessions.kernel import KernelSession

_logger = logging.getLogger("otel_etw")

# Nobody chose this file, so nobody may be watching it: a gigabyte in all.
_MAX_FILES = 4
_MAX_FILE_SIZE_BYTES = 256 * 1024 * 1024

_lock = RLock()
_shared: EtlSession | None = None


def default_session(settings: SessionSettings | None = None) -> EtlSession | KernelSession:
    """The shared session, with one :meth:`~EtlSession.hold` taken for the caller, who must ``release()`` it.

    On Windows that is the kernel's if the ``settings`` have no path.  An embedded session is made for its
    first holder, as ``settings`` say, and closes with its last; the next holder then gets a new one.  Without
    a path the file is ``otel-etw-<pid>-<start time>.etl`` in the working directory, for the owner only
    (0600).  If nothing else is said it rolls at 1 GiB in all.  ValueError or TypeError for settings that no
    session can have.
    """
    settings = settings or SessionSettings()
    return (None if settings.path else _kernel_session()) or _shared_file(settings)


def _kernel_session() -> KernelSession | None:
    try:
        from otel_etw.windows.libraries import is_windows
    except ImportError:  # a Python without ctypes, which there is not on Windows
        return None
    if not is_windows():
        return None
    from otel_etw.sessions.kernel import KernelSession  # makes a callback, for which others have no use

    return KernelSession()


def _shared_file(settings: SessionSettings) -> EtlSession:
    global _shared
    with _lock:
        session = _shared
        is_new = session is None or not session.hold_if_open()
        if session is None or is_new:
            _shared = session = _new_session(settings)
            session.hold()
    if is_new:
        session.log_messages()
        if session.error is None:
            _logger.info("writing ETW events to %s (embedded session)", session.path)
    return session


def _new_session(settings: SessionSettings) -> EtlSession:
    started = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    return EtlSession(
        settings.path or f"otel-etw-{PID_FIELD}-{started}.etl",
        level=settings.level or 0,
        keyword=settings.keyword or 0,
        buffer_size=DEFAULT_BUFFER_SIZE_BYTES if settings.buffer_size is None else settings.buffer_size,
        mode=settings.mode or "rolling",
        max_file_size=_MAX_FILE_SIZE_BYTES if settings.max_file_size is None else settings.max_file_size,
        max_files=_MAX_FILES if settings.max_files is None else settings.max_files,
        private=not settings.path,
        close_with_last_holder=True,
        log_later=True,
    )


def _after_fork_in_child() -> None:
    global _lock
    _lock = RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
