"""One export: from the steps of decoding to files that are complete, and what there is to say of them."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, cast

from otel_etw.errors import ExportError
from otel_etw.outputs.export.formats import PARQUET, Format
from otel_etw.outputs.export.sinks import (
    EncodedFile,
    Files,
    MixedLines,
    OneTable,
    Partitions,
    Sink,
    Step,
    open_file,
    writer_for,
)
from otel_etw.outputs.export.staging import Staging
from otel_etw.outputs.export.standard_output import StandardOutput


@dataclass(frozen=True)
class Target:
    """Where an export goes. Without ``path`` it is standard output."""

    format: Format
    path: Path | None = None
    is_directory: bool = False
    partition_by: tuple[str, ...] = ()
    in_time_order: bool = True
    """Whether lines of several tables in one file stand by time; else table after table in each step."""

    def places(self, tables: Iterable[str]) -> list[Path]:
        """The names that rows of ``tables`` may stand under afterwards."""
        if self.path is None:
            return []
        if not self.is_directory:
            return [self.path]
        if self.partition_by:
            return [self.path / table for table in tables]
        return [self.path / self.format.file_name(table) for table in tables]


@dataclass
class Summary:
    """What an export wrote: rows by table, bytes of all files."""

    rows: dict[str, int] = field(default_factory=dict)
    size_bytes: int = 0

    @property
    def without_rows(self) -> list[str]:
        """The tables that were asked for and have none."""
        return [table for table, rows in self.rows.items() if not rows]


def check_target(target: Target, tables: Sequence[str], *, overwrite: bool) -> None:
    """Raise :class:`ExportError` at once for what could only fail at the end."""
    staging = Staging(overwrite=overwrite)
    if target.path is not None and target.is_directory and target.path.exists() and not target.path.is_dir():
        raise ExportError(f"{target.path} is a file, and its name does not say {target.format.name}")
    for place in target.places(tables):
        staging.check_free(place, ours=PARQUET.extension if target.partition_by else "")


def export(
    steps: Iterable[Step], target: Target, tables: Sequence[str], *, overwrite: bool = False
) -> Summary:
    """Write the rows of ``tables`` in ``steps`` to ``target``; all of it is there afterwards, or nothing.

    Raises :class:`ExportError` if the target is taken, or rows do not fit in it, and ``OSError``.
    """
    check_target(target, tables, overwrite=overwrite)
    summary = Summary(dict.fromkeys(tables, 0))
    with Staging(overwrite=overwrite) as staging:
        sink = _sink(target, tables, staging)
        try:
            _write(steps, sink, summary.rows)
        except BaseException:
            sink.abandon()
            raise
        summary.size_bytes = staging.size_bytes()
        if target.is_directory:
            for place in target.places(summary.without_rows):
                staging.stale(place)
        staging.commit()
    return summary


def _write(steps: Iterable[Step], sink: Sink, rows: dict[str, int]) -> None:
    """All rows of the tables in ``rows``, counted there."""
    for step in steps:
        wanted = {table: step[table] for table in rows if table in step}
        for table, batch in wanted.items():
            rows[table] += batch.num_rows
        sink.write(wanted)
    if isinstance(sink, OneTable) and len(rows) == 1:
        sink.open(next(iter(rows)))
    sink.close()


def _sink(target: Target, tables: Sequence[str], staging: Staging) -> Sink:
    if target.path is None:
        return _stream_sink(target, tables)
    if target.partition_by:
        return Partitions(target.path, target.partition_by, staging)
    if target.is_directory:
        return Files(target.path, target.format, staging)
    path = target.path
    if target.format.mixes_tables and len(tables) > 1:
        return MixedLines(open_file(staging.file(path)), target.format, target.in_time_order)
    return OneTable(lambda table: writer_for(staging.file(path), table, target.format))


def _stream_sink(target: Target, tables: Sequence[str]) -> Sink:
    stream = cast(BinaryIO, StandardOutput(sys.stdout))
    if target.format.mixes_tables and len(tables) > 1:
        return MixedLines(stream, target.format, target.in_time_order)
    return OneTable(lambda table: EncodedFile(stream, table, target.format))
