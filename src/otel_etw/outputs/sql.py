"""SQL over the four tables: DuckDB, closed to everything but them.

Each table is registered as an object that DuckDB asks for rows while a query scans it (Arrow's PyCapsule
interface).  So DuckDB itself finds out which tables a query needs, through views, macros and ``PIVOT`` alike:
what no query scans is never decoded, and a query holds no more rows than its own work takes, which DuckDB
puts aside on disk when they are too many.  What it costs: a table that one query scans twice is asked for
twice.

Times are ``TIMESTAMP_NS`` in UTC, without a zone: of DuckDB's types this one keeps nanoseconds and has all
functions (``TIMESTAMPTZ`` ends at microseconds).  In results, nanosecond times are UTC times again.

A query runs in a thread of its own, so that Ctrl-C finds Python's main thread free to stop it.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent import futures
from types import TracebackType
from typing import Any, TypeVar, final

import duckdb
import pyarrow as pa

from otel_etw.errors import QueryError
from otel_etw.outputs.sql_types import from_duckdb, result_schema, to_duckdb, to_duckdb_schema
from otel_etw.tables.schema import SCHEMAS

Source = Callable[[str, Callable[[], None]], Iterable[pa.RecordBatch]]
"""Table name, and a check -> all rows of the table, each time it is called.

A source that works for long without giving rows calls the check now and then: it raises when the query is
to stop.
"""

BATCH_ROWS = 65_536
"""Rows of a result that are made at a time."""

_POLL_S = 0.2
_WITHOUT_ROWS = (["Success"], ["Count"])
_WITH_ROWS = frozenset({"SELECT", "EXECUTE", "MULTI"})
_FUNCTIONS = r"""
    SELECT DISTINCT function_name FROM duckdb_functions()
    WHERE regexp_full_match(function_name, '[a-z]\w+') ORDER BY 1
"""
_T = TypeVar("_T")

_SETTINGS: dict[str, Any] = {
    "enable_external_access": "false",
    "allow_community_extensions": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "python_enable_replacements": "false",  # or a query could name variables of this program
}


@final
class Database:
    """The tables of ``source``, open to queries until the end of ``with``.

    Neither files nor network nor extensions nor settings can be reached from a query; tables, views and
    macros that it creates live in memory until the end.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._failure: BaseException | None = None
        self._stopping = False
        self._spill = _private_directory()
        self._worker = futures.ThreadPoolExecutor(1, thread_name_prefix="otel-etw-sql")
        self._connection = duckdb.connect(
            ":memory:", config=_SETTINGS | {"temp_directory": _below(self._spill)}
        )
        try:
            self._connection.execute("SET TimeZone = 'UTC'")
            self._connection.execute("SET enable_progress_bar = false")
            for name in SCHEMAS:
                self._connection.register(name, _Rows(self, name))
            self._connection.execute("SET lock_configuration = true")
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Database:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give back memory and disk space. Idempotent."""
        self._worker.shutdown()
        self._connection.close()
        if self._spill is not None:
            shutil.rmtree(self._spill, ignore_errors=True)

    def query(self, text: str) -> Result | None:
        """The result of the last statement of ``text`` that has one; ``None`` if none has.

        Its rows are made as they are asked for. Raises :class:`QueryError`, in one line, for whatever DuckDB
        refuses, and what the source raises. A statement that fails leaves those before it done.
        """
        return self._run(lambda: self._execute(text))

    def words(self) -> tuple[list[str], list[str]]:
        """The keywords of the language and the names of its functions, each in order."""
        queries = ("SELECT DISTINCT keyword_name FROM duckdb_keywords() ORDER BY 1", _FUNCTIONS)
        keywords, functions = (
            [row[0] for row in self._connection.execute(one).fetchall()] for one in queries
        )
        return keywords, functions

    def _execute(self, text: str) -> Result | None:
        statements = self._connection.extract_statements(text)
        found: Result | None = None
        for number, statement in enumerate(statements, 1):
            relation = self._connection.sql(statement)
            if relation is None or _has_no_rows(relation, statement):
                continue
            found = Result(self, relation)
            if number < len(statements):
                found.keep()
        return found

    def _run(self, function: Callable[[], _T]) -> _T:
        """``function`` in the worker, stopped by Ctrl-C, with its failures as this package's."""
        self._failure = None
        self._stopping = False
        work = self._worker.submit(function)
        try:
            while not futures.wait([work], _POLL_S).done:
                pass  # Windows delivers Ctrl-C only between waits
        except BaseException:
            self._stop(work)
            raise
        try:
            return work.result()
        except (duckdb.Error, pa.ArrowException, OSError, RuntimeError) as error:
            if self._failure is not None:
                raise self._failure from None
            raise QueryError(one_line(str(error))) from None

    def _stop(self, work: futures.Future[Any]) -> None:
        self._stopping = True
        while not work.done():
            self._connection.interrupt()
            futures.wait([work], _POLL_S)

    def _check(self) -> None:
        if self._stopping:
            raise KeyboardInterrupt  # half a table must not pass for one

    def _rows(self, name: str) -> Iterator[pa.RecordBatch]:
        """What DuckDB gets of a table; a failure is kept, because DuckDB makes a text of it."""
        try:
            for batch in self._source(name, self._check):
                self._check()
                yield to_duckdb(batch)
        except GeneratorExit:
            raise  # DuckDB has seen enough
        except BaseException as failure:
            self._failure = failure
            raise


class _Rows:
    """A table as DuckDB takes it: every scan begins anew."""

    def __init__(self, database: Database, name: str) -> None:
        self._database = database
        self._name = name
        self._schema = to_duckdb_schema(SCHEMAS[name])

    def __arrow_c_schema__(self) -> object:
        return self._schema.__arrow_c_schema__()

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        # A generator: nothing is decoded until the first rows are fetched.
        batches = self._database._rows(self._name)
        return pa.RecordBatchReader.from_batches(self._schema, batches).__arrow_c_stream__(requested_schema)


@final
class Result:
    """The rows of one statement, once, as they come; of use until its database's next query."""

    def __init__(self, database: Database, relation: Any) -> None:
        self._database = database
        self._reader = relation.to_arrow_reader(BATCH_ROWS)
        self.schema: pa.Schema = result_schema(self._reader.schema, [str(kind) for kind in relation.types])
        """Column names may repeat, as they may in SQL."""

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        while True:
            batch = self._database._run(self._next)
            if batch is None:
                return
            if batch.num_rows:
                yield from_duckdb(batch, self.schema)

    def table(self) -> pa.Table:
        """All rows (that were not taken yet)."""
        return pa.Table.from_batches(list(self), self.schema)

    def keep(self) -> None:
        """Take the rows now, because statements follow that may change what they come from."""
        batches = list(self._reader)
        self._reader = pa.RecordBatchReader.from_batches(self._reader.schema, batches)

    def _next(self) -> pa.RecordBatch | None:
        try:
            return self._reader.read_next_batch()
        except StopIteration:
            return None


def one_line(message: str) -> str:
    """What DuckDB says, with its hint, without the picture of the query; of several lines, which."""
    text = re.split(r"\n+(?:Stack Trace|This error signals)", message)[0]
    place = re.search(r"\n\s*LINE (\d+): ", text)
    words = " ".join(text[: place.start() if place else None].split())
    return f"{words} (line {place[1]})" if place and place[1] != "1" else words


def run_query(source: Source, text: str) -> pa.Table:
    """The result of ``text`` as a table, which has neither columns nor rows if no statement has a result."""
    with Database(source) as database:
        result = database.query(text)
        return pa.table({}) if result is None else result.table()


def _has_no_rows(relation: Any, statement: Any) -> bool:
    """DuckDB answers what only does something with a count, or with one column without rows."""
    return relation.columns in _WITHOUT_ROWS and statement.type.name not in _WITH_ROWS


def _private_directory() -> str | None:
    """Where DuckDB may put rows aside; nobody else may read them. ``None`` where there is no such place."""
    try:
        return tempfile.mkdtemp(prefix="otel-etw-sql-")
    except OSError:
        return None


def _below(directory: str | None) -> str:
    return "" if directory is None else os.path.join(directory, "spill")
