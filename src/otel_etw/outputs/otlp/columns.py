"""A record batch as rows of plain values, the form in which messages are made of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa


def rows_of(batch: pa.RecordBatch, names: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    """The values of the columns ``names``, row by row: times as Unix nanoseconds, JSON as its text."""
    return zip(*(_values(batch.column(name)) for name in names), strict=True)


def _values(column: pa.Array) -> list[Any]:
    if isinstance(column, pa.ExtensionArray):
        column = column.storage
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.int64())
    values: list[Any] = column.to_pylist()
    return values
