"""One table as a tree of Parquet files, Hive style: ``date=2026-03-11/service=checkout/part-00000.parquet``.

Values are percent-encoded in UTF-8, all but letters, digits and ``_.-~``, as pyarrow, DuckDB and Polars read
them; null and empty are ``__HIVE_DEFAULT_PARTITION__``.  So whatever a trace calls a service stays one
directory name: ``../..`` is ``service=..%2F..``.

Rows wait in memory, by partition, until all together take :data:`WAITING_BYTES`; then the partitions with
most of them are written.  At most :data:`MOST_OPEN` files are open: the one that was written to least
recently is closed for another, and its partition goes on in a further part.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import final
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from otel_etw.errors import ExportError
from otel_etw.outputs.export.parquet_file import ParquetFile

WAITING_BYTES = 32 << 20
MOST_OPEN = 32
MOST_PARTITIONS = 10_000
"""A column with more different values than this is no way to sort files."""

NULL_PARTITION = "__HIVE_DEFAULT_PARTITION__"
_MOST_VALUE_BYTES = 200  # file systems end names at 255
_HASH_DIGITS = 16


@final
class PartitionedTable:
    """Writes batches of one schema below ``directory``, by the columns that ``keys`` stand for."""

    def __init__(self, directory: Path, schema: pa.Schema, keys: Sequence[str]) -> None:
        self._directory = directory
        self._schema = schema
        self._keys = tuple(keys)
        self._waiting: dict[str, list[pa.RecordBatch]] = {}
        self._bytes: dict[str, int] = {}
        self._open: OrderedDict[str, ParquetFile] = OrderedDict()
        self._known: set[str] = set()
        self._parts = 0

    def write(self, batch: pa.RecordBatch) -> None:
        """Add the rows of ``batch``."""
        for place, rows in self._split(batch):
            self._know(place)
            self._waiting.setdefault(place, []).append(rows)
            self._bytes[place] = self._bytes.get(place, 0) + rows.nbytes
        if sum(self._bytes.values()) > WAITING_BYTES:
            self._write_largest()

    def close(self) -> None:
        """Write what waits, and complete all files."""
        for place in list(self._waiting):
            self._write_waiting(place)
        while self._open:
            self._open.popitem()[1].close()

    def abandon(self) -> None:
        """Give all files back, complete or not."""
        for file in self._open.values():
            file.abandon()

    def _split(self, batch: pa.RecordBatch) -> list[tuple[str, pa.RecordBatch]]:
        """(directory below ours, its rows in their order) for all partitions that occur."""
        codes = np.zeros(batch.num_rows, np.int64)
        names = [""]
        for key in self._keys:
            values = _VALUES[key](batch).dictionary_encode("encode")
            texts = [partition_name(key, value) for value in values.dictionary.to_pylist()]
            codes = codes * len(texts) + values.indices.to_numpy(zero_copy_only=False)
            used, codes = np.unique(codes, return_inverse=True)
            names = [f"{names[code // len(texts)]}{texts[code % len(texts)]}/" for code in used.tolist()]
        if len(names) == 1:
            return [(names[0], batch)]
        order = np.argsort(codes, kind="stable")
        bounds = np.searchsorted(codes[order], np.arange(len(names) + 1)).tolist()
        # Rows are copied out: a slice of few would keep the whole batch in memory for as long as they wait.
        return [
            (name, batch.take(pa.array(order[first:last])))
            for name, first, last in zip(names, bounds[:-1], bounds[1:], strict=True)
        ]

    def _know(self, place: str) -> None:
        self._known.add(place)
        if len(self._known) > MOST_PARTITIONS:
            raise ExportError(
                f"more than {MOST_PARTITIONS:,} partitions by {','.join(self._keys)}: "
                "choose a column with fewer values"
            )

    def _write_largest(self) -> None:
        for place in sorted(self._bytes, key=lambda place: -self._bytes[place]):
            if sum(self._bytes.values()) <= WAITING_BYTES // 2:
                break
            self._write_waiting(place)

    def _write_waiting(self, place: str) -> None:
        file = self._file(place)
        for batch in self._waiting.pop(place):
            file.write(batch)
        file.flush()
        del self._bytes[place]

    def _file(self, place: str) -> ParquetFile:
        if place in self._open:
            self._open.move_to_end(place)
            return self._open[place]
        if len(self._open) >= MOST_OPEN:
            self._open.popitem(last=False)[1].close()
        directory = self._directory / place
        directory.mkdir(parents=True, exist_ok=True)
        # Numbered over all partitions: no two names meet where the file system takes A and a for the same.
        file = self._open[place] = ParquetFile(directory / f"part-{self._parts:05}.parquet", self._schema)
        self._parts += 1
        return file


def partition_name(key: str, value: str | None) -> str:
    """``key=value`` as a directory name; of a value that is too long for one, its start and a hash."""
    text = quote(value, safe="") if value else NULL_PARTITION
    if len(text) > _MOST_VALUE_BYTES:
        digest = hashlib.sha256((value or "").encode()).hexdigest()[:_HASH_DIGITS]
        text = f"{text[: _MOST_VALUE_BYTES - _HASH_DIGITS].rsplit('%', 1)[0]}~{digest}"
    if text.endswith("."):  # Windows drops it
        text = f"{text[:-1]}%2E"
    return f"{key}={text}"


def _dates(batch: pa.RecordBatch) -> pa.Array:
    naive = batch.column("time").cast(pa.int64()).cast(pa.timestamp("ns"))
    return pc.floor_temporal(naive, unit="day").cast(pa.date32()).cast(pa.string())


def _column(name: str) -> Callable[[pa.RecordBatch], pa.Array]:
    def values(batch: pa.RecordBatch) -> pa.Array:
        if name not in batch.schema.names:
            return pa.nulls(batch.num_rows, pa.string())
        return batch.column(name).cast(pa.string())

    return values


_VALUES: dict[str, Callable[[pa.RecordBatch], pa.Array]] = {
    "date": _dates,
    "service": _column("service_name"),
    "provider": _column("provider"),
}

KEYS = tuple(_VALUES)
"""What a table can be partitioned by: the UTC day of ``time``, ``service_name``, ``provider``."""
