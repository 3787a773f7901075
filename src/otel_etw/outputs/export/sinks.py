"""Where the batches of an export go: a directory, one file, standard output, a tree of partitions.

A sink takes the batches of one step of decoding after the other.  Files are opened for the first rows that
are for them, so tables without rows leave none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, Protocol, final

import pyarrow as pa

from otel_etw.errors import ExportError
from otel_etw.outputs.export.csv_lines import csv_header, csv_lines
from otel_etw.outputs.export.formats import CSV, JSONL, OTLP_JSON, PARQUET, Format
from otel_etw.outputs.export.json_lines import json_lines, mixed_json_lines
from otel_etw.outputs.export.parquet_file import ParquetFile
from otel_etw.outputs.export.partitions import PartitionedTable
from otel_etw.outputs.export.staging import Staging
from otel_etw.tables.schema import SCHEMAS

Step = Mapping[str, pa.RecordBatch]
Encode = Callable[[str, pa.RecordBatch], "Iterator[bytes | memoryview]"]

SLICE_ROWS = 8192  # text of so many rows stays far below the 2 GiB of an Arrow string array
_FILE_BUFFER_BYTES = 1 << 20


class Writer(Protocol):
    """Takes batches of one table."""

    def write(self, batch: pa.RecordBatch) -> None:
        """Add the rows of ``batch``."""

    def close(self) -> None:
        """Complete the file."""

    def abandon(self) -> None:
        """Give the file back, complete or not. Never raises."""


class Sink(Protocol):
    """Takes all batches."""

    def write(self, step: Step) -> None:
        """Add the rows of one step."""

    def close(self) -> None:
        """Complete everything."""

    def abandon(self) -> None:
        """Give everything back, complete or not, so that it can be removed. Never raises."""


@final
class Files:
    """A file for each table that has rows, in one directory."""

    def __init__(self, directory: Path, format_: Format, staging: Staging) -> None:
        self._directory = directory
        self._format = format_
        self._staging = staging
        self._writers: dict[str, Writer] = {}

    def write(self, step: Step) -> None:
        """Add the rows of one step."""
        for table, batch in step.items():
            if batch.num_rows:
                if table not in self._writers:
                    hidden = self._staging.file(self._directory / self._format.file_name(table))
                    self._writers[table] = writer_for(hidden, table, self._format)
                self._writers[table].write(batch)

    def close(self) -> None:
        """Complete all files."""
        for writer in self._writers.values():
            writer.close()

    def abandon(self) -> None:
        """Give all files back."""
        for writer in self._writers.values():
            writer.abandon()


@final
class Partitions:
    """A tree of Parquet files for each table that has rows, in one directory."""

    def __init__(self, directory: Path, keys: Sequence[str], staging: Staging) -> None:
        self._directory = directory
        self._keys = keys
        self._staging = staging
        self._tables: dict[str, PartitionedTable] = {}

    def write(self, step: Step) -> None:
        """Add the rows of one step."""
        for table, batch in step.items():
            if batch.num_rows:
                if table not in self._tables:
                    hidden = self._staging.directory(self._directory / table)
                    self._tables[table] = PartitionedTable(hidden, SCHEMAS[table], self._keys)
                self._tables[table].write(batch)

    def close(self) -> None:
        """Complete all files."""
        for table in self._tables.values():
            table.close()

    def abandon(self) -> None:
        """Give all files back."""
        for table in self._tables.values():
            table.abandon()


@final
class OneTable:
    """One file, or stream, for the one table that has rows; ``open_writer`` opens it for that table."""

    def __init__(self, open_writer: Callable[[str], Writer]) -> None:
        self._open_writer = open_writer
        self._table: str | None = None
        self._writer: Writer | None = None

    def write(self, step: Step) -> None:
        """Add the rows of one step; rows of a second table are an :class:`ExportError`."""
        for table, batch in step.items():
            if batch.num_rows:
                self.open(table)
                if table != self._table:
                    raise ExportError(
                        f"there are rows of {self._table} and of {table}, and they do not fit in one file: "
                        f"choose with --tables, or name a directory"
                    )
                if self._writer is not None:
                    self._writer.write(batch)

    def open(self, table: str) -> None:
        """Open the file for ``table``, though it may have no rows."""
        if self._writer is None:
            self._table, self._writer = table, self._open_writer(table)

    def close(self) -> None:
        """Complete the file."""
        if self._writer is not None:
            self._writer.close()

    def abandon(self) -> None:
        """Give the file back."""
        if self._writer is not None:
            self._writer.abandon()


@final
class MixedLines:
    """All rows in one file, or stream: JSON lines by time, each with its ``table``, or OTLP's JSON lines."""

    def __init__(self, stream: BinaryIO, format_: Format, in_time_order: bool) -> None:
        self._stream = stream
        self._format = format_
        self._in_time_order = in_time_order

    def write(self, step: Step) -> None:
        """Add the rows of one step."""
        if self._format is JSONL:
            for lines in mixed_json_lines(step, SLICE_ROWS, in_time_order=self._in_time_order):
                self._stream.write(lines)
            return
        encode = encoder(self._format)
        for table, batch in step.items():
            for record in encode(table, batch):
                self._stream.write(record)

    def close(self) -> None:
        """Close the file."""
        self._stream.close()

    def abandon(self) -> None:
        """Close the file, whatever its buffer still holds."""
        _close_quietly(self._stream)


@final
class EncodedFile:
    """Batches of one table as bytes in a file, or stream, which it closes."""

    def __init__(self, stream: BinaryIO, table: str, format_: Format) -> None:
        self._stream = stream
        self._table = table
        self._encode = encoder(format_)
        if format_ is CSV:
            stream.write(csv_header(SCHEMAS[table]))

    def write(self, batch: pa.RecordBatch) -> None:
        """Add the rows of ``batch``."""
        for data in self._encode(self._table, batch):
            self._stream.write(data)

    def close(self) -> None:
        """Close the file."""
        self._stream.close()

    def abandon(self) -> None:
        """Close the file, whatever its buffer still holds."""
        _close_quietly(self._stream)


def writer_for(path: Path, table: str, format_: Format) -> Writer:
    """A writer of ``table`` to the file ``path``, which is there already."""
    if format_ is PARQUET:
        return ParquetFile(path, SCHEMAS[table])
    return EncodedFile(open_file(path), table, format_)


def open_file(path: Path) -> BinaryIO:
    """``path`` open for writing, with a buffer worth a system call."""
    return path.open("wb", buffering=_FILE_BUFFER_BYTES)


def _close_quietly(stream: BinaryIO) -> None:
    try:
        stream.close()
    except OSError:
        pass  # it is given up, most likely for the same reason


def encoder(format_: Format) -> Encode:
    """What makes bytes of the batches of one table."""
    if format_.is_otlp:
        # Imported here: it loads protobuf, which other formats do without.
        from otel_etw.outputs.export.otlp_records import otlp_json_lines, otlp_proto_records

        return otlp_json_lines if format_ is OTLP_JSON else otlp_proto_records
    return _csv if format_ is CSV else _json_lines


def _csv(_: str, batch: pa.RecordBatch) -> Iterator[memoryview]:
    for start in range(0, batch.num_rows, SLICE_ROWS):
        yield csv_lines(batch.slice(start, SLICE_ROWS))


def _json_lines(_: str, batch: pa.RecordBatch) -> Iterator[memoryview]:
    for start in range(0, batch.num_rows, SLICE_ROWS):
        yield json_lines(batch.slice(start, SLICE_ROWS))
