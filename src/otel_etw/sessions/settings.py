"""What may be chosen of the session that exporters share when they were given none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

DEFAULT_BUFFER_SIZE_BYTES = 128 * 1024
"""Buffers of the shared session that is not told otherwise; the largest event there is fits."""

FileMode = Literal["sequential", "circular", "rolling"]


@dataclass(frozen=True)
class SessionSettings:
    """Arguments of the shared session, as :class:`~otel_etw.sessions.embedded.EtlSession` has them.

    ``None`` stands for the default of the shared session.  Sizes are bytes.
    """

    path: str | None = None
    mode: FileMode | None = None
    max_file_size: int | None = None
    max_files: int | None = None
    buffer_size: int | None = None
    level: int | None = None
    keyword: int | None = None
