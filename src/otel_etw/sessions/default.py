"""The session shared by all exporters of a process that were given none."""

from __future__ import annotations

import logging
import os
import sys
import time
from threading import RLock

from otel_etw.sessions.embedded import EtlSession
from otel_etw.sessions.files import PID_FIELD

_logger = logging.getLogger("otel_etw")

# Nobody chose this file, so nobody may be watching it: a gigabyte in all.
_MAX_FILES = 4
_MAX_FILE_SIZE_BYTES = 256 * 1024 * 1024

_lock = RLock()
_shared: EtlSession | None = None


def default_session(path: str | None = None) -> EtlSession:
    """The shared session, with one :meth:`~EtlSession.hold` taken for the caller, who must ``release()`` it.

    It is made for its first holder and closes with its last; the next holder then gets a new one.
    ``path`` counts for the one who makes it; without it the file is
    ``otel-etw-<pid>-<start time>.etl`` in the working directory, for the owner only (0600).
    Either rolls at 1 GiB in all.
    """
    global _shared
    with _lock:
        session = _shared
        is_new = session is None or not session.hold_if_open()
        if session is None or is_new:
            _shared = session = _new_session(path)
            session.hold()
    if is_new:
        session.log_messages()
        if session.error is None:
            _announce(session)
    return session


def _new_session(path: str | None) -> EtlSession:
    started = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    return EtlSession(
        path or f"otel-etw-{PID_FIELD}-{started}.etl",
        mode="rolling",
        max_file_size_bytes=_MAX_FILE_SIZE_BYTES,
        max_files=_MAX_FILES,
        private=not path,
        close_with_last_holder=True,
        log_later=True,
    )


def _announce(session: EtlSession) -> None:
    if sys.platform == "win32":
        _logger.info(
            "writing ETW events to %s: the embedded session is used, as there is no kernel provider yet",
            session.path,
        )
    else:
        _logger.info("writing ETW events to %s (embedded session)", session.path)


def _after_fork_in_child() -> None:
    global _lock
    _lock = RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
