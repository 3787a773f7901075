"""What the tables are, as lines for people: ``--schema`` and the prompt's ``.schema``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pyarrow as pa

from otel_etw.outputs.pieces import Pieces
from otel_etw.tables.schema import COLUMNS, JSON_TYPE, TABLES, TIME_TYPE

_MEANINGS = {
    "logs": "log records",
    "spans": "spans, at the time of their end",
    "metric_points": "data points of metrics, one row each",
    "events": "every ETW event, those that make rows of the other tables too",
}


def schema_lines(tables: Iterable[str] = TABLES) -> Iterator[tuple[Pieces, int]]:
    """Lines, and how far in each continues if it has to be wrapped."""
    for number, table in enumerate(tables):
        if number:
            yield [], 0
        columns = COLUMNS[table]
        names = max(len(column.name) for column in columns)
        types = max(len(sql_type(column.type)) for column in columns)
        yield [(table, "bold"), (f"  {_MEANINGS[table]}", "dim")], 2
        for column in columns:
            kind = sql_type(column.type)
            yield (
                [
                    ("  ", ""),
                    (f"{column.name:<{names}}", ""),
                    (f"  {kind:<{types}}  ", "blue"),
                    (column.doc, "dim"),
                ],
                names + types + 6,
            )


def sql_type(kind: pa.DataType) -> str:
    """The name that DuckDB has for the type of a column."""
    if kind == TIME_TYPE:
        return "TIMESTAMP_NS"
    if kind == JSON_TYPE:
        return "JSON"
    if pa.types.is_list(kind):
        return f"{sql_type(kind.value_type)}[]"
    if pa.types.is_dictionary(kind):
        return sql_type(kind.value_type)
    return _NAMES[kind]


_NAMES = {
    pa.string(): "VARCHAR",
    pa.binary(): "BLOB",
    pa.bool_(): "BOOLEAN",
    pa.uint8(): "UTINYINT",
    pa.uint16(): "USMALLINT",
    pa.uint32(): "UINTEGER",
    pa.uint64(): "UBIGINT",
    pa.int32(): "INTEGER",
    pa.int64(): "BIGINT",
    pa.float64(): "DOUBLE",
}
