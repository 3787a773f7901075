"""The columns that all tables share, and small tools to make columns of few distinct values."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa

from otel_etw.tables.batch import EventBatch
from otel_etw.tables.schema import NAME_TYPE

_UNKNOWN_ID = 0xFFFFFFFF


def names_column(indices: np.ndarray, names: Sequence[str | None]) -> pa.DictionaryArray:
    """A column that says of each row which of the ``names`` it has; rows of ``None`` are null."""
    distinct: dict[str, int] = {}
    number = np.array(
        [-1 if name is None else distinct.setdefault(name, len(distinct)) for name in names], np.int32
    )
    index = number.take(indices) if len(number) else np.empty(0, np.int32)
    array = pa.array(index, pa.int32(), mask=index < 0) if (index < 0).any() else pa.array(index, pa.int32())
    return pa.DictionaryArray.from_arrays(array, pa.array(list(distinct), pa.string()))


def file_column(batch: EventBatch, rows: np.ndarray) -> pa.DictionaryArray:
    """The file of each row."""
    return names_column(batch.file.take(rows), [trace.path for trace in batch.traces])


def id_columns(batch: EventBatch, rows: np.ndarray) -> dict[str, pa.Array]:
    """Process and thread of each row."""
    thread, process = batch.ids
    return {"process_id": _known(process.take(rows)), "thread_id": _known(thread.take(rows))}


def _known(ids: np.ndarray) -> pa.Array:
    unknown = ids == _UNKNOWN_ID
    return pa.array(ids, pa.uint32(), mask=unknown) if unknown.any() else pa.array(ids, pa.uint32())


def nulls(count: int, kind: pa.DataType) -> pa.Array:
    """A column without a value."""
    if pa.types.is_dictionary(kind):
        return pa.DictionaryArray.from_arrays(pa.nulls(count, pa.int32()), pa.array([], pa.string()))
    return pa.nulls(count, kind)


def record_batch(schema: pa.Schema, count: int, columns: dict[str, pa.Array]) -> pa.RecordBatch:
    """The batch of ``columns``; those of the schema that are not there are null."""
    arrays = [
        _typed(columns[field.name], field.type) if field.name in columns else nulls(count, field.type)
        for field in schema
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _typed(array: pa.Array, kind: pa.DataType) -> pa.Array:
    return array if array.type == kind else array.cast(kind)


def times_column(times: np.ndarray, kind: pa.DataType) -> pa.Array:
    """Unix nanoseconds as a column of times."""
    return pa.array(times, pa.int64()).view(kind)


Names = Callable[[np.ndarray], pa.Array]
assert NAME_TYPE.index_type == pa.int32()  # noqa: S101
