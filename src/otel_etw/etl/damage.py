"""What a reader could not deliver of a file: counted by kind, with the first places and reasons."""

from __future__ import annotations

from array import array
from collections import Counter
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

MAX_ENTRIES = 100
"""All damage is counted, but only so much of each kind described: a hostile file could fill memory."""
MAX_OFFSETS = 100_000
"""So many places of each kind are known by their offsets at least."""
_MAX_OFFSET = (1 << 63) - 1


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
    ARCHIVE = "archive"
    """A damaged or cut ``.gz``, ``.zst`` or ``.zip``. What could be unpacked of the trace was read; the
    place is where the rest of it is missing, in the unpacked file."""
    OVERWRITTEN = "overwritten"
    """A buffer of a circular file that its writer used again while it was being read: its events are gone, as
    a little later they would have been anyway. No damage as such."""
    EVENT = "event"
    """An event whose fields could not all be decoded. The fields from the fault on are missing."""
    TEXT = "text"
    """Text that is not UTF-8 and was read as code page 1252 or Latin-1. No damage as such."""

    def __str__(self) -> str:
        return self.value


NO_DAMAGE = frozenset({DamageKind.UNKNOWN_RECORD, DamageKind.OVERWRITTEN, DamageKind.TEXT})
"""What is counted and described without anything being lost."""

NO_BUFFER = -1
"""The ``buffer`` of an entry that belongs to none."""


class DamageEntry(NamedTuple):
    """One place. ``offset`` is in the (unpacked) file; inside a compressed buffer it is that of the buffer.

    ``buffer`` counts the headers of the file, or is :data:`NO_BUFFER`.
    """

    kind: DamageKind
    offset: int
    buffer: int
    why: str


@dataclass
class DamageReport:
    """Filled while a trace is iterated, complete when the iteration has ended. True if there is damage.

    What :data:`NO_DAMAGE` lists is counted but makes no damage.  Neither does a file that is still being
    written, or whose writer was killed: ``unfinished`` says so, in words, or is ``None``.
    """

    counts: dict[DamageKind, int] = field(default_factory=dict)
    entries: list[DamageEntry] = field(default_factory=list)
    """The first :data:`MAX_ENTRIES` of each kind, in the order found."""
    offsets: dict[DamageKind, array[int]] = field(default_factory=dict, repr=False)
    """Kind -> the offsets of the first :data:`MAX_OFFSETS` places, in the order found."""
    unfinished: str | None = None

    def add(self, kind: DamageKind, offset: int, buffer: int, why: str) -> None:
        """Count one place, and keep it if there is room."""
        count = self.counts[kind] = self.counts.get(kind, 0) + 1
        if count <= MAX_ENTRIES:
            self.entries.append(DamageEntry(kind, offset, buffer, why))
        if count <= MAX_OFFSETS:
            self._offsets_of(kind).append(min(offset, _MAX_OFFSET))

    def merge(self, other: DamageReport) -> None:
        """Count what ``other`` has, too: another part of the same file."""
        described = Counter(entry.kind for entry in self.entries)
        for entry in other.entries:
            if described[entry.kind] < MAX_ENTRIES:
                described[entry.kind] += 1
                self.entries.append(entry)
        for kind, count in other.counts.items():
            self.counts[kind] = self.counts.get(kind, 0) + count
            known = self._offsets_of(kind)
            known.extend(other.offsets.get(kind, ())[: MAX_OFFSETS - len(known)])
        self.unfinished = self.unfinished or other.unfinished

    def _offsets_of(self, kind: DamageKind) -> array[int]:
        offsets = self.offsets.get(kind)
        if offsets is None:
            offsets = self.offsets[kind] = array("q")
        return offsets

    @property
    def unknown_records(self) -> int:
        """How many records of unknown kinds were skipped."""
        return self.counts.get(DamageKind.UNKNOWN_RECORD, 0)

    def __bool__(self) -> bool:
        return any(kind not in NO_DAMAGE for kind in self.counts)
