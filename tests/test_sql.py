"""DuckDB over the tables: what queries see, what they cannot reach, how they fail and are stopped."""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from otel_etw.errors import OtelEtwError, QueryError
from otel_etw.outputs.sql import Database, one_line, run_query
from otel_etw.tables.schema import JSON_TYPE, SCHEMAS, TIME_TYPE

TIME = 1_773_230_400_123_456_700
"""2026-03-11T12:00:00.1234567Z."""


def batch_of(table: str, **columns: list[object]) -> pa.RecordBatch:
    """Rows of a table, null in every column that is not given."""
    schema = SCHEMAS[table]
    rows = len(next(iter(columns.values())))
    given = {"time": [TIME] * rows, **columns}
    return pa.RecordBatch.from_arrays(
        [array_of(given.get(field.name, [None] * rows), field.type) for field in schema], schema=schema
    )


def array_of(values: list[object], kind: pa.DataType) -> pa.Array:
    if kind == JSON_TYPE:
        return pa.ExtensionArray.from_storage(kind, pa.array(values, pa.string()))
    if pa.types.is_dictionary(kind):
        return pa.array(values, kind.value_type).dictionary_encode().cast(kind)
    return pa.array(values, kind)


class Tables:
    """A source that counts what is asked of it."""

    def __init__(self, **tables: list[pa.RecordBatch]) -> None:
        self.tables = tables
        self.begun: list[str] = []
        self.delivered = 0

    def __call__(self, name: str, check: Callable[[], None]) -> Iterator[pa.RecordBatch]:
        self.begun.append(name)
        for batch in self.tables.get(name, []):
            self.delivered += 1
            yield batch


LOGS = batch_of(
    "logs",
    time=[TIME, TIME + 1, TIME + 2],
    body=["one", None, "three"],
    severity_number=[9, 13, 17],
    provider=["A", "B", "A"],
    keyword=[2**64 - 1, 0, None],
    attributes=['{"user":"ann","n":1,"deep":{"a":[1,2]}}', "{}", '{"user":null,"x":"\\u0000y","a.b":true}'],
)
SPANS = batch_of("spans", name=["a", "b"], duration_ns=[5, 7])


def ask(query: str, **tables: list[pa.RecordBatch]) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = run_query(
        Tables(**(tables or {"logs": [LOGS], "spans": [SPANS]})), query
    ).to_pylist()
    return rows


def answer(database: Database, query: str) -> list[dict[str, object]]:
    result = database.query(query)
    assert result is not None
    rows: list[dict[str, object]] = result.table().to_pylist()
    return rows


def test_json_columns_answer_for_their_members() -> None:
    """``->>`` gives a member as text, null where there is none; names with dots are names; NUL is kept."""
    query = """
        SELECT attributes->>'user' AS u, attributes->>'n' AS n, attributes->>'a.b' AS ab,
               attributes->>'x' AS x, attributes->'deep'->>'a' AS a FROM logs
    """
    assert ask(query) == [
        {"u": "ann", "n": "1", "ab": None, "x": None, "a": "[1,2]"},
        {"u": None, "n": None, "ab": None, "x": None, "a": None},
        {"u": None, "n": None, "ab": "true", "x": "\0y", "a": None},
    ]
    assert run_query(Tables(logs=[LOGS]), "SELECT attributes FROM logs").schema.field(0).type == JSON_TYPE


def test_times_keep_their_nanoseconds_there_and_back() -> None:
    """Nanoseconds survive comparison, arithmetic of DuckDB and the result, whose times are UTC."""
    result = run_query(
        Tables(logs=[LOGS]), f"SELECT time, max(time) OVER () AS last FROM logs WHERE epoch_ns(time) > {TIME}"
    )
    assert result.schema.types == [TIME_TYPE, TIME_TYPE]
    assert result.column("time").cast(pa.int64()).to_pylist() == [TIME + 1, TIME + 2]
    assert result.column("last").cast(pa.int64()).to_pylist() == [TIME + 2] * 2
    assert ask("SELECT count(*) AS n FROM logs WHERE time = '2026-03-11 12:00:00.123456701'") == [{"n": 1}]
    assert ask("SELECT hour(time) AS h, time::DATE::VARCHAR AS d FROM logs LIMIT 1") == [
        {"h": 12, "d": "2026-03-11"}
    ]
    assert ask("SELECT count(*) AS n FROM logs WHERE time > now()::TIMESTAMP - INTERVAL 1 MINUTE") == [
        {"n": 0}
    ]
    assert ask(
        "SELECT time_bucket(INTERVAL '1 minute', time)::VARCHAR AS m, count(*) AS n FROM logs GROUP BY 1"
    ) == [{"m": "2026-03-11 12:00:00", "n": 3}]


def test_numbers_and_names_come_out_as_they_went_in() -> None:
    """Unsigned 64-bit numbers, nulls and text that rows share keep their values over several batches."""
    many = [
        batch_of("logs", provider=[f"P{number}", None, "P"], keyword=[number, None, 2**64 - 1])
        for number in range(50)
    ]
    result = run_query(Tables(logs=many), "SELECT provider, keyword FROM logs")
    assert result.column("provider").to_pylist() == [
        name for number in range(50) for name in (f"P{number}", None, "P")
    ]
    assert result.column("keyword").to_pylist() == [
        keyword for number in range(50) for keyword in (number, None, 2**64 - 1)
    ]


@pytest.mark.parametrize(
    ("query", "scanned"),
    [
        ("SELECT 1", set()),
        ("DESCRIBE logs", set()),
        ("FROM logs LIMIT 0", set()),
        ("SELECT 'logs', \"name\" FROM spans", {"spans"}),
        ("SELECT count(*) FROM logs, (SELECT * FROM spans)", {"logs", "spans"}),
        ("WITH logs AS (SELECT 1 AS x) FROM logs", set()),
        ("CREATE VIEW v AS FROM spans; SELECT count(*) FROM v", {"spans"}),
        ("CREATE MACRO m() AS TABLE FROM spans; FROM m()", {"spans"}),
        ("PIVOT logs ON provider USING count(*)", {"logs"}),
        ("SUMMARIZE spans", {"spans"}),
        ("FROM query_table('spans')", {"spans"}),
        ("SELECT body FROM logs WHERE EXISTS (FROM spans WHERE name = body)", {"logs", "spans"}),
        ("PREPARE p AS SELECT count(*) FROM spans; EXECUTE p", {"spans"}),
    ],
)
def test_only_tables_that_are_scanned_are_decoded(query: str, scanned: set[str]) -> None:
    """Whatever way a query names its tables, those and no others are asked for rows."""
    source = Tables(logs=[LOGS], spans=[SPANS])
    run_query(source, query)
    assert set(source.begun) == scanned


def test_a_limit_ends_the_decoding() -> None:
    """A query that has its rows asks for no more batches than were under way."""
    source = Tables(logs=[batch_of("logs", body=["x"] * 5000) for _ in range(400)])
    assert run_query(source, "FROM logs LIMIT 3").num_rows == 3
    assert 1 <= source.delivered < 200


def test_rows_stand_in_the_order_of_the_table() -> None:
    """Without ORDER BY, LIMIT gives the first rows, and a scan all of them in order."""
    batches = [
        batch_of("logs", event_id=list(range(start, start + 3000))) for start in range(0, 90_000, 3000)
    ]
    assert ask("SELECT event_id AS n FROM logs LIMIT 2", logs=batches) == [{"n": 0}, {"n": 1}]
    found = run_query(Tables(logs=batches), "SELECT event_id FROM logs").column(0).to_pylist()
    assert found == list(range(90_000))


@pytest.mark.parametrize(
    "query",
    [
        "FROM read_csv('{file}')",
        "FROM read_text('{file}')",
        "FROM '{file}'",
        "FROM glob('{directory}/*')",
        "COPY logs TO '{directory}/out.csv'",
        "COPY (SELECT 1) TO '{directory}/out.parquet'",
        "EXPORT DATABASE '{directory}/out'",
        "ATTACH '{directory}/out.duckdb'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "LOAD '{file}'",
        "SET enable_external_access = true",
        "RESET enable_external_access",
        "SET lock_configuration = false",
        "SET threads = 1",
        "SET temp_directory = '{directory}'",
        "FROM read_parquet('https://example.invalid/x.parquet')",
        "FROM batch_of",
        "FROM LOGS_OF_THE_TEST",
        "FROM sniff_csv('{file}')",
        "FROM read_blob('{file}')",
        "FROM read_json_auto('{file}')",
    ],
)
def test_queries_reach_nothing_but_the_tables(query: str, tmp_path: Path) -> None:
    """No file, no network, no extension, no setting, no variable of the program: one line says so."""
    LOGS_OF_THE_TEST = LOGS  # noqa: F841 - DuckDB looks for such variables unless told not to
    secret = tmp_path / "secret.csv"
    secret.write_text("secret\n1\n", encoding="utf-8")
    with pytest.raises(QueryError) as refused:
        ask(query.format(file=secret, directory=tmp_path))
    assert "\n" not in str(refused.value)
    assert os.listdir(tmp_path) == ["secret.csv"]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        (
            "SELECT bdy FROM logs",
            'Binder Error: Referenced column "bdy" not found in FROM clause! Candidate bindings: "body"',
        ),
        ("FROM lgs", 'Catalog Error: Table with name lgs does not exist! Did you mean "logs"?'),
        ("SELEC 1", 'Parser Error: syntax error at or near "SELEC"'),
        ("SELECT 1\nFROM logs\nGROUP BYE 1", "(line 3)"),
        ("SELECT 'x'::INT", "Could not convert string 'x' to INT32"),
        ("SELECT error('said by the query')", "said by the query"),
        ("SELECT CASE WHEN range > 900000 THEN error('late') END FROM range(1000000)", "late"),
    ],
)
def test_errors_are_one_line_with_the_hint(query: str, said: str) -> None:
    """A query that cannot be answered says why, and what may have been meant, on one line."""
    with pytest.raises(QueryError) as refused:
        ask(query)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
    assert isinstance(refused.value, OtelEtwError)


def test_messages_of_the_database_lose_their_picture() -> None:
    """Neither the query's picture nor a stack trace is part of the line."""
    assert one_line("Binder Error: no\ngood!\n\nLINE 1: SELECT x\n          ^") == "Binder Error: no good!"
    assert one_line("INTERNAL Error: bad\n\nStack Trace:\n\n/lib/x.so(y)") == "INTERNAL Error: bad"


def test_of_several_statements_the_last_result_counts() -> None:
    """Statements without a result may follow; what they change does not change the result."""
    assert ask("SELECT 1 AS a; SELECT 2 AS b") == [{"b": 2}]
    assert ask(
        "CREATE TABLE t AS FROM spans; SELECT sum(duration_ns)::INT AS s FROM t; DELETE FROM t; DROP TABLE t"
    ) == [{"s": 12}]
    assert ask("CREATE TABLE t (i INT); INSERT INTO t VALUES (3) RETURNING i") == [{"i": 3}]
    assert run_query(Tables(), "CREATE TABLE t (i INT); INSERT INTO t VALUES (1)").num_columns == 0
    assert run_query(Tables(), " -- nothing").num_columns == 0


def test_a_session_remembers_what_it_created() -> None:
    """Views, tables and macros of one query are there for the next, in memory."""
    with Database(Tables(spans=[SPANS])) as database:
        assert database.query("CREATE VIEW long AS FROM spans WHERE duration_ns > 5") is None
        assert answer(database, "SELECT name FROM long") == [{"name": "b"}]
        with pytest.raises(QueryError):
            database.query("SELECT nix FROM long")
        assert answer(database, "SELECT count(*) AS n FROM long") == [{"n": 1}]


def test_what_the_source_raises_is_raised() -> None:
    """A file that disappears while DuckDB reads is an OSError with its name, not a text of DuckDB's."""

    def source(name: str, check: object) -> Iterable[pa.RecordBatch]:
        yield LOGS
        raise FileNotFoundError(2, "No such file", "gone.etl")

    with pytest.raises(FileNotFoundError, match="gone") as raised:
        run_query(source, "SELECT count(*) FROM logs")
    assert raised.value.filename == "gone.etl"


def test_nothing_stays_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The directory where DuckDB may put rows aside is gone after the query, whatever came of it."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    ask("SELECT count(*) FROM logs")
    with pytest.raises(QueryError):
        ask("nonsense")
    assert os.listdir(tmp_path) == []


def test_without_a_place_for_it_nothing_is_put_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no temporary directory can be made, queries run in memory."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    assert ask("SELECT count(*) AS n FROM logs") == [{"n": 3}]


def test_more_than_fits_into_memory_goes_to_disk() -> None:
    """A result is streamed: a long one is never in memory as a whole."""
    resource = pytest.importorskip("resource")
    with Database(Tables()) as database:
        result = database.query("SELECT i, repeat('x', 50) || i AS text FROM range(3000000) t(i)")
        assert result is not None
        batches = iter(result)
        rows = next(batches).num_rows
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        rows += sum(batch.num_rows for batch in batches)
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert rows == 3_000_000
    assert grown * (1 if sys.platform == "darwin" else 1024) < 150e6


@pytest.mark.skipif(sys.platform == "win32", reason="signals of the test itself do not reach a process so")
@pytest.mark.parametrize("where", ["the database", "the source", "a source that finds nothing"])
def test_ctrl_c_stops_a_query_and_leaves_the_session_of_use(where: str) -> None:
    """KeyboardInterrupt comes at once, whoever is at work, and the next query is answered."""

    def endless(name: str, check: Callable[[], None]) -> Iterator[pa.RecordBatch]:
        while name != "logs":
            time.sleep(0.01)
            check()
            if name == "spans":
                yield SPANS
        yield LOGS

    query = {
        "the database": "SELECT sum(a.range * b.range) FROM range(10000000) a, range(100000) b",
        "the source": "SELECT count(*) FROM spans",
        "a source that finds nothing": "SELECT count(*) FROM metric_points",
    }[where]
    with Database(endless) as database:
        timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
        started = time.monotonic()
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            answer(database, query)
        assert time.monotonic() - started < 10
        timer.join()
        assert answer(database, "SELECT count(*) AS n FROM logs") == [{"n": 3}]


def test_words_of_the_language_are_known() -> None:
    """Keywords and functions come from DuckDB itself."""
    with Database(Tables()) as database:
        keywords, functions = database.words()
    assert {"select", "from", "qualify"} <= set(keywords)
    assert {"time_bucket", "median", "json_extract"} <= set(functions)
    assert all(re.fullmatch(r"[a-z]\w+", name) for name in functions)
