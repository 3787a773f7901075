"""The four tables kept in a DuckDB database file, which is of use without this package."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from otel_etw.errors import ExportError
from otel_etw.outputs.export.staging import Staging
from otel_etw.outputs.sql_types import to_duckdb, to_duckdb_schema
from otel_etw.tables.schema import COLUMNS, SCHEMAS

_ROW_GROUP = 122_880
"""Rows that DuckDB stores together; so many at a time go to the file at once instead of waiting in memory."""
_SETTINGS: dict[str, Any] = {
    "memory_limit": "512MB",  # of blocks on their way to the file; DuckDB would take most of what there is
    "storage_compatibility_version": "v1.0.0",  # newer ways of storing would lock older DuckDBs out
}


def save_tables(
    steps: Iterable[Mapping[str, pa.RecordBatch]], path: Path, *, overwrite: bool = False
) -> dict[str, int]:
    """Write the rows of ``steps`` to a new database at ``path``; answers how many each table has.

    Times are ``TIMESTAMP_NS`` in UTC, every column has a comment that says what it holds. The file is there
    when all of it is written, or not at all. Raises :class:`ExportError` if ``path`` is taken, or DuckDB
    cannot write.
    """
    with Staging(overwrite=overwrite) as staging:
        staging.check_free(path)
        hidden = staging.file(path)
        hidden.unlink()  # DuckDB makes its files itself
        spill = tempfile.mkdtemp(prefix="otel-etw-sql-")
        try:
            rows = _write(steps, hidden, spill)
        except duckdb.Error as error:
            raise ExportError(f"{path}: {' '.join(str(error).split())}") from None
        finally:
            hidden.with_name(hidden.name + ".wal").unlink(missing_ok=True)
            shutil.rmtree(spill, ignore_errors=True)
        staging.commit()
    return rows


def _write(steps: Iterable[Mapping[str, pa.RecordBatch]], path: Path, spill: str) -> dict[str, int]:
    rows = dict.fromkeys(SCHEMAS, 0)
    connection = duckdb.connect(str(path), config=_SETTINGS | {"temp_directory": spill})
    try:
        connection.execute("BEGIN")
        waiting = {table: _Waiting(connection, table) for table in SCHEMAS}
        for step in steps:
            for table, batch in step.items():
                rows[table] += batch.num_rows
                waiting[table].add(batch)
        for rest in waiting.values():
            rest.insert()
        connection.execute("COMMIT")
    finally:
        connection.close()
    return rows


class _Waiting:
    """Rows of one table on their way into the database, where it makes the table for them.

    DuckDB knows this object, and scans what it holds at the time: it would keep every single batch that it
    was made known, until the end of the transaction.
    """

    def __init__(self, connection: Any, table: str) -> None:
        self._connection = connection
        self._table = table
        self._schema = to_duckdb_schema(SCHEMAS[table])
        self._batches: list[pa.RecordBatch] = []
        self._rows = 0
        connection.register(f"new_{table}", self)
        connection.execute(f'CREATE TABLE main."{table}" AS FROM new_{table}')
        for column in COLUMNS[table]:
            doc = column.doc.replace("'", "''")
            connection.execute(f"""COMMENT ON COLUMN main."{table}"."{column.name}" IS '{doc}'""")

    def __arrow_c_schema__(self) -> object:
        return self._schema.__arrow_c_schema__()

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        reader = pa.RecordBatchReader.from_batches(self._schema, self._batches)
        return reader.__arrow_c_stream__(requested_schema)

    def add(self, batch: pa.RecordBatch) -> None:
        """Have ``batch`` inserted, together with others."""
        self._batches.append(to_duckdb(batch))
        self._rows += batch.num_rows
        if self._rows >= _ROW_GROUP:
            self.insert()

    def insert(self) -> None:
        """Insert what waits."""
        self._connection.execute(f'INSERT INTO main."{self._table}" FROM new_{self._table}')
        self._batches, self._rows = [], 0
