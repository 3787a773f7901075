"""``otel-etw sql``: arguments, formats, files, saving, and how it ends."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet
import pytest

from otel_etw.cli.group import cli
from otel_etw.cli.running import run
from otel_etw.etl.reader import open_etl
from otel_etw.loading import load
from otel_etw.outputs import sql_file
from otel_etw.tables.schema import COLUMNS, SCHEMAS, TABLES
from shown_traces import EVIL, LOG_PROVIDER, command_line, invoke, write_trace


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_trace(tmp_path_factory.mktemp("sql") / "shown.etl")


@pytest.fixture(scope="module")
def damaged(trace: Path) -> Path:
    path = trace.with_name("damaged.etl")
    data = bytearray(trace.read_bytes())
    with open_etl(trace) as whole:
        event = list(whole)[5]
        offset = event.buffer * whole.header.buffer_size_bytes + event.offset
    data[offset : offset + 2] = b"\xff\xff"
    path.write_bytes(data)
    return path


COUNT = "SELECT count(*) AS n FROM logs"


def answer(*arguments: object, **options: Any) -> str:
    result = invoke("sql", *arguments, **options)
    assert result.exit_code == 0, result.output
    return result.stdout


def failure(code: int, *arguments: object, typed: str = "") -> str:
    """The one line on stderr with which the command ends."""
    with pytest.MonkeyPatch.context() as patch, redirect_stderr(io.StringIO()) as errors:
        patch.setattr("sys.stdin", io.StringIO(typed))
        assert run(cli, ["sql", *map(str, arguments)]) == code, errors.getvalue()
    (line,) = errors.getvalue().splitlines()
    assert line.startswith("otel-etw: ")
    return line


def refused(*arguments: object, typed: str = "") -> str:
    return failure(2, *arguments, typed=typed)


def test_the_last_argument_is_the_query(trace: Path) -> None:
    """After any number of files; numbers stand right, text left, rows are counted."""
    assert answer(trace, COUNT).splitlines() == ["n", "6", "(1 row)"]
    second = trace.with_name("second.etl")
    second.write_bytes(trace.read_bytes())
    assert answer(trace, second, COUNT).splitlines()[1] == "12"
    assert answer(trace.with_name("s*.etl"), COUNT).splitlines()[1] == "12"
    query = "SELECT event_name AS name, count(*) AS many FROM logs GROUP BY ALL ORDER BY many"
    assert answer(trace, query).splitlines() == [
        "name          many",
        "order.placed     1",
        "null             5",
        "(2 rows)",
    ]


def test_a_query_comes_in_other_ways_too(trace: Path, tmp_path: Path) -> None:
    """As an option, in a file, on standard input."""
    file = tmp_path / "query.sql"
    file.write_text(COUNT, encoding="utf-8-sig")
    expected = answer(trace, COUNT)
    assert answer("-q", COUNT, trace) == expected
    assert answer(trace, "--query-file", file) == expected
    assert answer(trace, input=COUNT) == expected


def test_what_cannot_be_meant_is_said(trace: Path, tmp_path: Path) -> None:
    """Usage errors are one line and exit code 2."""
    assert "no trace file is given" in refused(COUNT)
    assert "no trace file is given" in refused()
    assert "exclude each other" in refused(trace, "-q", COUNT, "--query-file", "x.sql")
    assert "no query is given" in refused(trace, typed="")
    assert "the query is empty" in refused(trace, "")
    assert "the query is empty" in refused(trace, "-q", " ")
    assert "standard input is the trace" in refused("-", typed="")
    assert "parquet needs a file" in refused(trace, COUNT, "--format", "parquet")
    assert "--since" in refused(trace, COUNT, "--since", "soon")
    assert "--level" in refused(trace, COUNT, "--level", "loud")


def test_errors_are_one_line(trace: Path, tmp_path: Path) -> None:
    """A wrong query, a missing file, a file that is no trace, a query that wants out: exit code 1."""
    other = tmp_path / "other.etl"
    other.write_bytes(b"nothing of a trace" * 100)
    for arguments, said in (
        ((trace, "SELECT bdy FROM logs"), 'Candidate bindings: "body"'),
        ((trace, "FROM log"), "Did you mean"),
        ((tmp_path / "missing.etl", COUNT), "missing.etl"),
        ((trace, "missing.etl"), "missing.etl"),
        ((other, COUNT), "other.etl"),
        ((trace, f"FROM read_text('{other.as_posix()}')"), "disabled by configuration"),
        ((trace, COUNT, "-o", tmp_path / "nowhere.csv" / "x.csv"), "nowhere.csv"),
    ):
        if "nowhere" in said:
            (tmp_path / "nowhere.csv").write_text("", encoding="utf-8")
        assert said in failure(1, *arguments, typed="SELECT 1")


def test_formats_for_programs(trace: Path) -> None:
    """CSV, JSON, JSON lines and Markdown; JSON columns are objects in JSON; all rows, whatever --max-rows."""
    query = "SELECT time, body, attributes FROM logs ORDER BY time"
    rows = [
        json.loads(line) for line in answer(trace, query, "--format", "jsonl", "--max-rows", 1).splitlines()
    ]
    assert len(rows) == 6
    assert rows[1] == {
        "time": "2026-03-11T12:34:57.789000000Z",
        "body": "order placed",
        "attributes": {"order.id": 7, "note": "two words"},
    }
    assert json.loads(answer(trace, query, "--format", "json")) == rows
    table = list(csv.DictReader(io.StringIO(answer(trace, query, "--format", "csv"))))
    assert [row["body"] for row in table] == [
        row["body"] if isinstance(row["body"], str) else json.dumps(row["body"]) for row in rows
    ]
    assert answer(trace, COUNT, "--format", "markdown") == "| n |\n| ---: |\n| 6 |\n"


def test_tables_are_limited_and_can_be_wide(trace: Path) -> None:
    """--max-rows limits what is shown, not what is counted; 0 is for all."""
    query = "FROM range(200)"
    assert len(answer(trace, query).splitlines()) == 52
    assert "200 rows; the first 7 shown" in answer(trace, query, "--max-rows", 7)
    assert len(answer(trace, query, "--max-rows", 0).splitlines()) == 202
    assert "columns shown" not in answer(trace, "FROM logs", "--wide")


def test_hostile_text_does_not_reach_the_terminal(trace: Path) -> None:
    """Neither in cells, nor in names of columns, nor in errors."""
    assert "\x1b" not in answer(trace, f'SELECT body AS "{EVIL}", attributes FROM logs')
    assert "\x1b" not in failure(1, trace, f'SELECT "{EVIL}" FROM logs')


def test_output_files_are_complete_and_not_overwritten(trace: Path, tmp_path: Path) -> None:
    """The extension tells the format; what exists stays; a failing query leaves nothing."""
    path = tmp_path / "logs.parquet"
    assert "6 rows" in invoke("sql", trace, "FROM logs", "-o", path).stderr
    assert pyarrow.parquet.read_table(path).num_rows == 6
    assert "exists; --overwrite" in failure(1, trace, COUNT, "-o", path)
    answer(trace, COUNT, "-o", path, "--overwrite")
    assert pyarrow.parquet.read_table(path).column("n").to_pylist() == [6]
    for name in ("a.csv", "a.json", "a.jsonl", "a.md", "a.txt"):
        answer(trace, COUNT, "-o", tmp_path / name)
    assert json.loads((tmp_path / "a.json").read_text("utf-8")) == [{"n": 6}]
    assert (tmp_path / "a.txt").read_text("utf-8") == "n\n6\n(1 row)\n"
    before = sorted(os.listdir(tmp_path))
    late = "SELECT CASE WHEN range > 900000 THEN error('late') END FROM range(1000000)"
    assert "late" in failure(1, trace, late, "-o", tmp_path / "b.csv")
    assert sorted(os.listdir(tmp_path)) == before


def test_a_saved_database_is_of_use_without_this_package(trace: Path, tmp_path: Path) -> None:
    """All four tables, JSON as JSON, times with their nanoseconds, comments that say what columns hold."""
    path = tmp_path / "shown.duckdb"
    result = invoke("sql", trace, "--save", path)
    assert result.exit_code == 0, result.output
    assert "6 logs, 0 spans, 4 metric_points" in result.stderr
    with duckdb.connect(str(path), read_only=True) as database:
        counts = {name: database.execute(f"SELECT count(*) FROM {name}").fetchall()[0][0] for name in TABLES}
        assert counts["logs"] == 6
        assert counts["events"] == int(answer(trace, "SELECT count(*) FROM events").splitlines()[1])
        query = "SELECT attributes->>'note', epoch_ns(time) FROM logs ORDER BY time"
        assert database.execute(query).fetchall()[1] == ("two words", 1_773_232_497_789_000_000)
        comments = dict(
            database.execute(
                "SELECT column_name, comment FROM duckdb_columns() WHERE table_name = 'spans'"
            ).fetchall()
        )
        assert comments == {column.name: column.doc for column in COLUMNS["spans"]}
    assert os.listdir(tmp_path) == ["shown.duckdb"]
    assert "--overwrite" in failure(1, trace, "--save", path)
    assert answer(trace, COUNT, "--save", path, "--overwrite").splitlines()[1] == "6"


def test_rows_that_are_inserted_in_several_goes_are_all_there(
    trace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However few rows are put into the file at a time, it has those of the trace, in their order."""
    monkeypatch.setattr(sql_file, "_ROW_GROUP", 2)
    path = tmp_path / "shown.duckdb"
    logs = load(trace).logs
    steps = ({"logs": logs.slice(row, 1).to_batches()[0]} for row in range(logs.num_rows))
    assert sql_file.save_tables(steps, path) == {"logs": 6, "spans": 0, "metric_points": 0, "events": 0}
    with duckdb.connect(str(path), read_only=True) as database:
        assert database.execute("SELECT body FROM logs").fetchall() == [
            (body,) for body in logs["body"].to_pylist()
        ]


def test_selections_are_those_of_view(trace: Path) -> None:
    """--provider, --level, --since, --until."""
    for options, count in (
        (("--level", "error"), 2),
        (("--provider", "nobody"), 0),
        (("--provider", LOG_PROVIDER.upper()), 6),
        (("--since", "2026-03-11T12:34:58"), 4),
        (("--until", "2026-03-11T12:34:58"), 2),
    ):
        assert answer(trace, COUNT, *options).splitlines()[1] == str(count), options


def test_statements_without_a_result_say_so(trace: Path) -> None:
    """And the last result of several is shown."""
    assert "no statement had a result" in invoke("sql", trace, "CREATE TABLE t (i INT)").stderr
    assert answer(trace, "SELECT 1 AS a; SELECT 2 AS b").splitlines()[0] == "b"


def test_damage_is_told_and_strict_makes_it_an_error(trace: Path, damaged: Path) -> None:
    """One line on stderr; exit code 3 with --strict, which a whole file does not get."""
    query = "SELECT count(*) FROM events"
    result = invoke("sql", damaged, query)
    assert result.exit_code == 0
    assert str(damaged) in result.stderr
    assert invoke("sql", damaged, query, "--strict").exit_code == 3
    assert invoke("sql", trace, query, "--strict").exit_code == 0


def test_the_schema_is_shown_without_a_file() -> None:
    """Every column with the type that DuckDB gives it, and its meaning."""
    text = answer("--schema")
    for table in TABLES:
        described = {
            line.split()[0]: line.split()[1]
            for line in text.split(table + "  ", 1)[1].splitlines()[1:]
            if line
        }
        for column in COLUMNS[table]:
            assert column.doc in text
            assert column.name in described


def test_types_of_the_schema_are_those_of_the_database(trace: Path) -> None:
    """DESCRIBE says the same as --schema."""
    from otel_etw.cli.sql_schema import sql_type

    for table in TABLES:
        lines = answer(trace, f"DESCRIBE {table}", "--format", "jsonl").splitlines()
        described = {row["column_name"]: row["column_type"] for row in map(json.loads, lines)}
        assert described == {field.name: sql_type(field.type) for field in SCHEMAS[table]}


@pytest.mark.skipif(sys.platform == "win32", reason="a console's Ctrl-C cannot be sent to one child alone")
def test_ctrl_c_ends_a_query(trace: Path) -> None:
    """Exit code 130, and nothing on stderr."""
    query = "SELECT sum(a.range * b.range) FROM range(10000000) a, range(100000) b"
    child = subprocess.Popen(
        command_line("sql", trace, query), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        time.sleep(3)
        child.send_signal(signal.SIGINT)
        output, errors = child.communicate(timeout=60)
    finally:
        child.kill()
    assert (child.returncode, output, errors.strip()) == (130, "", "")


def test_a_closed_pipe_is_quiet(trace: Path) -> None:
    """A reader that has seen enough costs no traceback."""
    child = subprocess.Popen(
        command_line("sql", trace, "FROM range(3000000)", "--format", "csv"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert child.stdout is not None
    assert child.stderr is not None
    child.stdout.readline()
    child.stdout.close()
    with child.stderr as errors:
        assert errors.read() == b""
    assert child.wait(timeout=30) == 1


def test_a_query_is_asked_without_loading_the_prompt(trace: Path) -> None:
    """prompt_toolkit is for people at a terminal."""
    code = f"""
import sys
from otel_etw.cli.group import cli
cli.main(["sql", {str(trace)!r}, "SELECT 1"], standalone_mode=False)
sys.exit("prompt_toolkit" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=False).returncode == 0
