"""What was not delivered of the files that were read: damage by kind and place, recorders' losses. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from otel_etw.etl.damage import NO_DAMAGE, DamageKind, DamageReport


@dataclass
class FileReport:
    """One trace file. ``damage`` has the places, those of single events too; true if there is damage.

    ``events_lost`` and ``buffers_lost`` are what the recorder says it could not keep: nothing that a reader
    could have damaged or mended, and so no damage.
    """

    path: str
    damage: DamageReport = field(default_factory=DamageReport)
    events_lost: int = 0
    buffers_lost: int = 0

    def __bool__(self) -> bool:
        return bool(self.damage)

    def facts(self) -> Iterator[str]:
        """What is to be said of the file, in words; nothing of a complete one."""
        if self.damage.unfinished:
            yield f"unfinished: {self.damage.unfinished}"
        if self.events_lost or self.buffers_lost:
            lost = f"{_counted(self.events_lost, 'event')}, {_counted(self.buffers_lost, 'buffer')}"
            yield f"the recorder lost {lost}"
        counts = self.damage.counts
        damaged = [f"{count:,} {kind}" for kind, count in counts.items() if kind not in NO_DAMAGE]
        if damaged:
            first = next((entry for entry in self.damage.entries if entry.kind not in NO_DAMAGE), None)
            where = "" if first is None else f" (first at {first.offset:#x})"
            yield f"damage: {', '.join(damaged)}{where}"
        if counts.get(DamageKind.TEXT):
            yield f"{_counted(counts[DamageKind.TEXT], 'text')} not UTF-8, read as code page 1252"


@dataclass
class Report:
    """All files of one reading, in their order; true if one of them is damaged."""

    files: list[FileReport] = field(default_factory=list)

    def __bool__(self) -> bool:
        return any(self.files)

    def __iter__(self) -> Iterator[FileReport]:
        return iter(self.files)

    def __len__(self) -> int:
        return len(self.files)

    @property
    def events_lost(self) -> int:
        """Events that the recorders of all files could not keep."""
        return sum(file.events_lost for file in self.files)

    @property
    def buffers_lost(self) -> int:
        """Buffers that the recorders of all files could not keep."""
        return sum(file.buffers_lost for file in self.files)

    @property
    def counts(self) -> dict[DamageKind, int]:
        """Damage of all files by kind."""
        counts: dict[DamageKind, int] = {}
        for file in self.files:
            for kind, count in file.damage.counts.items():
                counts[kind] = counts.get(kind, 0) + count
        return counts

    def lines(self) -> list[str]:
        """One line for each file of which not everything is there."""
        return [f"{file.path}: {'; '.join(facts)}" for file in self.files if (facts := list(file.facts()))]


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
