"""What a reader could not deliver of a file: counted by kind, with the first places and reasons."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

MAX_ENTRIES = 100
"""Damage is counted without limit but described only so often: a hostile file could fill memory."""


class DamageKind(str, Enum):
    """What kind of trouble, and what it cost."""

    BUFFER_HEADER = "buffer header"
    """A buffer header that cannot be right. The buffer, or part of it, was passed over."""
    COMPRESSED_BUFFER = "compressed buffer"
    """A buffer that does not decompress. All its events are missing."""
    RECORD = "record"
    """A record with an impossible size. It and the rest of its buffer are missing."""
    TRUNCATED = "truncated"
    """The file ends inside a buffer. The events after that point are missing."""
    UNKNOWN_RECORD = "unknown record"
    """A record of a kind that is not known, skipped by its size. No damage as such."""

    def __str__(self) -> str:
        return self.value


class DamageEntry(NamedTuple):
    """One place. ``offset`` is in the file; inside a compressed buffer it is that of the buffer."""

    kind: DamageKind
    offset: int
    buffer: int
    why: str


@dataclass
class DamageReport:
    """Filled while a trace is iterated, complete when the iteration has ended. True if there is damage.

    Unknown records alone are counted but make no damage.  Neither does a file that is still being
    written, or whose writer was killed: ``unfinished`` says so, in words, or is ``None``.
    """

    counts: dict[DamageKind, int] = field(default_factory=dict)
    entries: list[DamageEntry] = field(default_factory=list)
    """The first :data:`MAX_ENTRIES`, in the order found."""
    unfinished: str | None = None

    def add(self, kind: DamageKind, offset: int, buffer: int, why: str) -> None:
        """Count one place, and keep it if there is room."""
        self.counts[kind] = self.counts.get(kind, 0) + 1
        if len(self.entries) < MAX_ENTRIES:
            self.entries.append(DamageEntry(kind, offset, buffer, why))

    @property
    def unknown_records(self) -> int:
        """How many records of unknown kinds were skipped."""
        return self.counts.get(DamageKind.UNKNOWN_RECORD, 0)

    def __bool__(self) -> bool:
        return any(kind is not DamageKind.UNKNOWN_RECORD for kind in self.counts)
