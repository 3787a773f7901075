"""Arrow types on their way into DuckDB and back: times keep their nanoseconds, JSON stays JSON."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from otel_etw.tables.schema import JSON_TYPE, TIME_TYPE

_NAIVE = pa.timestamp("ns")


def to_duckdb_schema(schema: pa.Schema) -> pa.Schema:
    """``schema`` with nanosecond times without their zone, which is UTC."""
    return pa.schema([_field(field, _NAIVE if field.type == TIME_TYPE else field.type) for field in schema])


def to_duckdb(batch: pa.RecordBatch) -> pa.RecordBatch:
    """``batch`` in the types of :func:`to_duckdb_schema`; nothing is copied."""
    columns = [column.view(_NAIVE) if column.type == TIME_TYPE else column for column in batch.columns]
    return pa.RecordBatch.from_arrays(columns, schema=to_duckdb_schema(batch.schema))


def result_schema(schema: pa.Schema, duckdb_types: Sequence[str]) -> pa.Schema:
    """The schema of a result: nanosecond times are UTC, texts that DuckDB knows to be JSON are JSON."""
    return pa.schema(
        [_field(field, _result_type(field.type, of)) for field, of in zip(schema, duckdb_types, strict=True)]
    )


def from_duckdb(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """``batch`` in the types of :func:`result_schema`; nothing is copied."""
    columns = [_as_type(column, field.type) for column, field in zip(batch.columns, schema, strict=True)]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _result_type(kind: pa.DataType, duckdb_type: str) -> pa.DataType:
    if kind == _NAIVE:
        return TIME_TYPE
    return JSON_TYPE if duckdb_type == "JSON" and kind == pa.string() else kind


def _as_type(column: pa.Array, kind: pa.DataType) -> pa.Array:
    if column.type == kind:
        return column
    return pa.ExtensionArray.from_storage(kind, column) if kind == JSON_TYPE else column.view(kind)


def _field(field: pa.Field, kind: pa.DataType) -> pa.Field:
    return pa.field(field.name, kind, field.nullable)
