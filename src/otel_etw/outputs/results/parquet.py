"""A result as a Parquet file."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from otel_etw.outputs.export.parquet_file import ParquetFile
from otel_etw.outputs.results.lines import Batches, distinct
from otel_etw.outputs.results.values import values_of


def write_parquet(path: Path, schema: pa.Schema, batches: Batches) -> int:
    """Write ``batches`` to ``path``; answers the number of rows.

    Columns of equal names get numbers; of types that Parquet has no form for, text.
    """
    names = distinct(schema.names)
    kinds = [field.type if _has_form(field.type) else pa.string() for field in schema]
    stored = pa.schema(list(zip(names, kinds, strict=True)))
    file = ParquetFile(path, stored)
    rows = 0
    for batch in batches:
        columns = [_stored(column, kind) for column, kind in zip(batch.columns, kinds, strict=True)]
        file.write(pa.RecordBatch.from_arrays(columns, schema=stored))
        rows += batch.num_rows
    file.close()
    return rows


def _has_form(kind: pa.DataType) -> bool:
    """Whether Parquet can store the type, and all types inside of it."""
    inner = [kind.field(number).type for number in range(kind.num_fields)]
    return not (pa.types.is_interval(kind) or pa.types.is_union(kind)) and all(map(_has_form, inner))


def _stored(column: pa.Array, kind: pa.DataType) -> pa.Array:
    if column.type == kind:
        return column
    return pa.array([None if value is None else str(value) for value in values_of(column)], pa.string())
