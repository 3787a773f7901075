"""Rows to Arrow record batches, column by column."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import pyarrow as pa

from otel_etw.tables.plain_rows import Row
from otel_etw.tables.schema import JSON_TYPE, SCHEMAS


def batch_of_rows(table: str, rows: Sequence[Row]) -> pa.RecordBatch:
    """``rows`` of :mod:`.plain_rows` as a batch of ``table``; a column that a row lacks is null there."""
    schema = SCHEMAS[table]
    arrays = [_array([row.get(field.name) for row in rows], field.type) for field in schema]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


@cache
def empty_batch(table: str) -> pa.RecordBatch:
    """No rows of ``table``."""
    return batch_of_rows(table, ())


def _array(values: list[Any], kind: pa.DataType) -> pa.Array:
    if kind == JSON_TYPE:
        return pa.ExtensionArray.from_storage(JSON_TYPE, pa.array(values, pa.string()))
    if pa.types.is_dictionary(kind):
        return pa.array(values, kind.value_type).dictionary_encode().cast(kind)
    return pa.array(values, kind)
