"""Contents that are no file, put into one: unnamed, on disk, gone when it is closed, and of bounded size."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterable

from otel_etw.errors import TraceFileError

DEFAULT_LIMIT_BYTES = 64 * 1024**3
"""Some hundred times what is usual: a bomb must not fill every disk."""
_MARGIN_BYTES = 256 * 1024**2
"""Of the disk that are left to others."""
_LASTING = "/var/tmp"  # noqa: S108 - the file has no name there


def spooled(pieces: Iterable[bytes], label: str, limit_bytes: int | None = None) -> int:
    """An open descriptor of a file of all ``pieces``, to be read from its start. The caller closes it.

    At most ``limit_bytes``: by default 64 GiB, or what the disk can spare if that is less.
    Raises :class:`.TraceFileError` beyond that, ``OSError`` where the disk refuses.
    """
    directory = _directory()
    most, why = _limit(directory, limit_bytes)
    with tempfile.TemporaryFile(prefix="otel-etw-", dir=directory, buffering=0) as file:
        made = 0
        for piece in pieces:
            made += len(piece)
            if made > most:
                expected = f"expected at most {most} bytes when unpacked ({why})"
                raise TraceFileError(f"{expected}, found more", where=label)
            _write(file.fileno(), piece, label)
        return os.dup(file.fileno())


def _write(fd: int, piece: bytes, label: str) -> None:
    rest = memoryview(piece)
    while rest:
        try:
            rest = rest[os.write(fd, rest) :]
        except OSError as error:
            if error.errno == errno.ENOSPC and error.filename is None:
                error.filename = label
            raise


def _limit(directory: str, limit_bytes: int | None) -> tuple[int, str]:
    most, why = DEFAULT_LIMIT_BYTES, "the limit"
    if limit_bytes is not None:
        most = limit_bytes
    free = max(0, shutil.disk_usage(directory).free - _MARGIN_BYTES)
    return (free, f"what is free in {directory}") if free < most else (most, why)


def _directory() -> str:
    """Where temporary files go: as the environment says, or else where they are on disk and not in memory."""
    if not any(os.environ.get(name) for name in ("TMPDIR", "TEMP", "TMP")) and os.access(_LASTING, os.W_OK):
        return _LASTING
    return tempfile.gettempdir()
