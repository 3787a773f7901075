"""The arguments of a session, checked."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import NamedTuple

from otel_etw.etl.layout import MAX_BUFFER_BYTES
from otel_etw.sessions.settings import FileMode
from otel_etw.sessions.sizes import size_in_bytes

SMALLEST_BUFFER_BYTES = 4096
"""The trace header with the longest names fits."""

_BUFFER_GRANULARITY_BYTES = 1024
_DEFAULT_MAX_FILES: dict[FileMode, int] = {"sequential": 2, "circular": 2, "rolling": 4}


class SessionOptions(NamedTuple):
    """What a session was asked for; see :class:`~otel_etw.sessions.embedded.EtlSession`."""

    path: str
    buffer_size_bytes: int
    mode: FileMode
    max_file_size_bytes: int | None
    max_files: int
    session_name: str
    private: bool

    @property
    def circular_buffers(self) -> int | None:
        """How many buffers a circular file has, that of the header included; ``None`` in other modes."""
        if self.mode != "circular" or self.max_file_size_bytes is None:
            return None
        return self.max_file_size_bytes // self.buffer_size_bytes

    @classmethod
    def checked(
        cls,
        path: str | os.PathLike[str],
        buffer_size: int | str,
        mode: FileMode,
        max_file_size: int | str | None,
        max_files: int | None,
        session_name: str,
        private: bool,
    ) -> SessionOptions:
        """Raise ValueError or TypeError for what makes no sense, with the value in the message."""
        name = os.fsdecode(path)
        if not name or "\0" in name:
            raise ValueError(f"path must be a file name, not {name!r}")
        buffer_size_bytes = _size("buffer_size", buffer_size)
        _integer("buffer_size", buffer_size_bytes, SMALLEST_BUFFER_BYTES, MAX_BUFFER_BYTES)
        if buffer_size_bytes % _BUFFER_GRANULARITY_BYTES:
            raise ValueError(f"buffer_size must be a multiple of 1024, not {buffer_size_bytes}")
        if mode not in _DEFAULT_MAX_FILES:
            raise ValueError(f'mode must be "sequential", "circular" or "rolling", not {mode!r}')
        max_file_size_bytes = None if max_file_size is None else _size("max_file_size", max_file_size)
        if max_file_size_bytes is not None:
            # A header buffer and one with events.
            _integer("max_file_size", max_file_size_bytes, 2 * buffer_size_bytes, 1 << 62)
        elif mode != "sequential":
            raise ValueError(f'mode "{mode}" needs max_file_size')
        if max_files is None:
            max_files = _DEFAULT_MAX_FILES[mode]
        _integer("max_files", max_files, 1, 1_000_000)
        if not isinstance(session_name, str):
            raise TypeError(f"session_name must be a str, not {type(session_name).__name__}")
        if not session_name or "\0" in session_name:
            raise ValueError(f"session_name must be text without NUL, not {session_name!r}")
        # The application may change its folder (a daemon does) before the next file is made.
        with suppress(OSError):  # its folder is gone already
            name = os.path.abspath(name)
        return cls(name, buffer_size_bytes, mode, max_file_size_bytes, max_files, session_name, private)


def _integer(what: str, value: int, smallest: int, largest: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{what} must be an int, not {type(value).__name__}")
    if not smallest <= value <= largest:
        raise ValueError(f"{what} must be {smallest} to {largest}, not {value}")


def _size(what: str, value: int | str) -> int:
    try:
        return size_in_bytes(value)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{what}: {error}") from None
