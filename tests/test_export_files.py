"""What exports write, read back by others: csv, json, pyarrow, DuckDB, Polars."""

from __future__ import annotations

import csv
import io
import json
import math
import sys
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from export_tables import LOG_ROWS, NASTY, POINT_ROWS, ROWS, SPAN_ROWS, T0, batches, steps
from otel_etw.errors import ExportError
from otel_etw.outputs.export.csv_lines import csv_header, csv_lines
from otel_etw.outputs.export.driver import Summary, Target, export
from otel_etw.outputs.export.formats import CSV, FORMATS, JSONL, PARQUET, Format, format_of
from otel_etw.outputs.export.json_lines import json_lines
from otel_etw.outputs.export.standard_output import StandardOutput
from otel_etw.outputs.numbers import iso_time
from otel_etw.tables.builders import batch_of_rows
from otel_etw.tables.schema import LOGS, SCHEMAS, TABLES


def exported(directory: Path, format_: Format, **options: Any) -> Summary:
    return export(steps(), Target(format_, directory, is_directory=True, **options), TABLES)


def json_objects(path: Path) -> list[dict[str, Any]]:
    text = path.read_text(encoding="utf-8")
    assert text.endswith("\n")
    return [json.loads(line) for line in text.removesuffix("\n").split("\n")]


@pytest.mark.parametrize("table", TABLES)
def test_parquet_holds_the_tables_as_they_are(tmp_path: Path, table: str) -> None:
    """pyarrow reads back the rows of all steps, with the schema of the reference page."""
    exported(tmp_path, PARQUET)
    read = pq.read_table(tmp_path / f"{table}.parquet")
    assert read.schema.equals(SCHEMAS[table], check_metadata=False)
    assert read.to_pylist() == pa.Table.from_batches([batches()[table]]).to_pylist()
    assert {field.metadata[b"doc"] for field in read.schema}


def test_parquet_has_compressed_row_groups_and_dictionaries_where_values_repeat(tmp_path: Path) -> None:
    """zstd throughout; names are kept once, ids are not tried as a dictionary."""
    exported(tmp_path, PARQUET)
    group = pq.ParquetFile(tmp_path / "logs.parquet").metadata.row_group(0)
    columns = {group.column(i).path_in_schema: group.column(i) for i in range(group.num_columns)}
    assert {column.compression for column in columns.values()} == {"ZSTD"}
    assert columns["provider"].has_dictionary_page
    assert not columns["trace_id"].has_dictionary_page
    assert group.num_rows == len(LOG_ROWS)


def test_duckdb_and_polars_read_the_parquet(tmp_path: Path) -> None:
    """JSON columns are JSON in DuckDB, times are nanoseconds in both."""
    exported(tmp_path, PARQUET)
    logs = tmp_path / "logs.parquet"
    found = duckdb.sql(
        f"SELECT attributes->>'user' AS u, attributes->'map'->'x'->>'y' AS y, epoch_ns(time) AS t "
        f"FROM '{logs.as_posix()}' WHERE event_id = 42"
    ).fetchall()
    # Times with a zone are microseconds before DuckDB 2.0.
    step_ns = 1 if int(duckdb.__version__.partition(".")[0]) >= 2 else 1000
    assert found == [("ann", "-1", T0 // step_ns * step_ns)]
    pl = pytest.importorskip("polars")
    frame = pl.read_parquet(logs)
    assert frame["time"].dt.timestamp("ns").to_list() == [row["time"] for row in LOG_ROWS]
    assert frame["body"].to_list() == [row["body"] for row in LOG_ROWS]


@pytest.mark.parametrize("table", TABLES)
def test_csv_is_read_back_cell_by_cell(tmp_path: Path, table: str) -> None:
    """The standard library finds a header and every row; numbers, lists and JSON are their text."""
    exported(tmp_path, CSV)
    with (tmp_path / f"{table}.csv").open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file, strict=True)
    assert header == SCHEMAS[table].names
    assert len(rows) == len(ROWS[table])
    for cells, row in zip(rows, ROWS[table], strict=True):
        for name, cell in zip(header, cells, strict=True):
            assert_cell(name, cell, row.get(name))


def assert_cell(name: str, cell: str, value: Any) -> None:
    if value is None:
        assert cell == "", name
    elif name.endswith("time"):
        assert cell == iso_time(value)
    elif isinstance(value, bool):
        assert cell == str(value).lower()
    elif isinstance(value, float):
        assert float(cell) == value
    elif isinstance(value, list):
        assert json.loads(cell) == value
    elif isinstance(value, bytes):
        assert cell == "AP8="
    else:
        assert cell == str(value)


def test_csv_lines_end_as_rfc_4180_has_it_and_null_is_not_empty_text(tmp_path: Path) -> None:
    """CR LF after every record; a null is nothing, an empty text two quotes."""
    exported(tmp_path, CSV)
    data = (tmp_path / "logs.csv").read_bytes()
    outside_quotes = b"".join(data.split(b'"')[::2])
    assert outside_quotes.count(b"\n") == outside_quotes.count(b"\r\n") == len(LOG_ROWS) + 1
    empty_body = next(line for line in data.split(b"\r\n") if line.startswith(b"2026-03-11T12:34:58"))
    assert b',,,"",string,' in empty_body
    pl = pytest.importorskip("polars")
    frame = pl.read_csv(tmp_path / "logs.csv")
    assert frame["body"].to_list()[0] == NASTY


def test_duckdb_reads_the_csv(tmp_path: Path) -> None:
    """Sniffing finds the same rows and times."""
    exported(tmp_path, CSV)
    path = (tmp_path / "spans.csv").as_posix()
    assert duckdb.sql(f"SELECT name, duration_ns FROM read_csv('{path}') ORDER BY time").fetchall() == [
        ("GET /cart", 500),
        ("plain", None),
    ]


@pytest.mark.parametrize("table", TABLES)
def test_json_lines_have_what_is_there_and_json_columns_as_json(tmp_path: Path, table: str) -> None:
    """One object for each row; nulls are left out; JSON columns and lists are values, not text."""
    exported(tmp_path, JSONL)
    objects = json_objects(tmp_path / f"{table}.jsonl")
    json_columns = {field.name for field in SCHEMAS[table] if str(field.type) == "extension<arrow.json>"}
    for found, row in zip(objects, ROWS[table], strict=True):
        expected = {}
        for name, value in row.items():
            if value is not None:
                if name.endswith("time"):
                    value = iso_time(value)
                elif isinstance(value, bytes):
                    value = "AP8="
                expected[name] = json.loads(value) if name in json_columns else value
        assert found == expected


def test_json_lines_are_safe_to_show_and_say_the_same(tmp_path: Path) -> None:
    """No control or direction character stands there raw; parsed, all of them are back."""
    exported(tmp_path, JSONL)
    raw = (tmp_path / "logs.jsonl").read_text(encoding="utf-8")
    assert not {"\x1b", "\u202e", "\x7f", "\x01", "\t", "\r"} & set(raw)
    assert json.loads(raw.split("\n")[0])["body"] == NASTY


def test_one_file_of_json_lines_takes_all_tables_by_time(tmp_path: Path) -> None:
    """Each line says its table; the rows of a step stand in the order of their times."""
    path = tmp_path / "all.jsonl"
    summary = export([batches()], Target(JSONL, path), TABLES)
    lines = json_objects(path)
    assert [line["time"] for line in lines] == sorted(line["time"] for line in lines)
    for table in TABLES:
        found = [line["time"] for line in lines if line["table"] == table]
        assert found == [iso_time(row["time"]) for row in ROWS[table]]
    assert summary.rows == {table: len(rows) for table, rows in ROWS.items()}
    assert summary.size_bytes == path.stat().st_size


def test_large_steps_are_mixed_in_slices_without_losing_the_order(tmp_path: Path) -> None:
    """Twenty thousand rows of two tables come out by time, each once."""
    logs = batch_of_rows(LOGS, [{"time": T0 + 2 * i, "body": str(i)} for i in range(10_000)])
    spans = batch_of_rows("spans", [{"time": T0 + 2 * i + 1, "name": str(i)} for i in range(10_000)])
    path = tmp_path / "all.jsonl"
    export([{LOGS: logs, "spans": spans}], Target(JSONL, path), (LOGS, "spans"))
    lines = json_objects(path)
    assert [line["time"] for line in lines] == [iso_time(T0 + i) for i in range(20_000)]
    assert [line.get("body", line.get("name")) for line in lines] == [str(i // 2) for i in range(20_000)]


# The standard library's reader takes no NUL before Python 3.11.
UNREADABLE = "" if sys.version_info >= (3, 11) else "\0"
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters=UNREADABLE), max_size=12)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.none() | TEXT, st.none() | TEXT, st.none() | st.floats()), min_size=1, max_size=8)
)
def test_any_text_and_number_survives_csv_and_json_lines(
    rows: list[tuple[str | None, str | None, float | None]],
) -> None:
    """Whatever stands in plain, dictionary and number columns comes back."""
    batch = batch_of_rows(
        "metric_points",
        [
            {"time": T0, "metric_name": name, "provider": provider, "value": value}
            for name, provider, value in rows
        ],
    )
    lines = bytes(json_lines(batch)).decode().split("\n")[:-1]
    text = (csv_header(batch.schema) + bytes(csv_lines(batch))).decode()
    cells = list(csv.DictReader(_keep_line_ends(text)))
    assert len(lines) == len(cells) == len(rows)
    for line, cell, (name, provider, value) in zip(lines, cells, rows, strict=True):
        found = json.loads(line)
        assert (found.get("metric_name"), found.get("provider")) == (name, provider)
        assert (cell["metric_name"], cell["provider"]) == (name or "", provider or "")
        assert_number(found.get("value"), value)
        assert_number(cell["value"] or None, value)


def _keep_line_ends(text: str) -> list[str]:
    """The whole text as one piece for the csv reader, whose own lines end at more than CR LF."""
    return [piece + "\n" for piece in text.split("\n")[:-1]]


def assert_number(found: Any, value: float | None) -> None:
    if value is None:
        assert found is None
    elif math.isnan(value):
        assert found == "NaN"
    else:
        assert float(found) == value


def test_tables_without_rows_leave_no_file_in_a_directory(tmp_path: Path) -> None:
    """Only what has rows is written, and the summary names the others."""
    summary = export([{LOGS: batches()[LOGS]}], Target(CSV, tmp_path / "out", is_directory=True), TABLES)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["logs.csv"]
    assert summary.without_rows == ["spans", "metric_points", "events"]


def test_a_file_for_one_table_is_there_though_it_has_no_rows(tmp_path: Path) -> None:
    """Who asked for spans gets a file that says there are none."""
    for format_ in (PARQUET, CSV, JSONL):
        path = tmp_path / f"spans{format_.extension}"
        export([], Target(format_, path), ("spans",))
    assert pq.read_table(tmp_path / "spans.parquet").num_rows == 0
    assert (tmp_path / "spans.csv").read_bytes() == csv_header(SCHEMAS["spans"])
    assert (tmp_path / "spans.jsonl").read_bytes() == b""


@pytest.mark.parametrize("format_", [PARQUET, CSV, FORMATS["otlp-proto"]])
def test_a_file_of_one_table_refuses_rows_of_a_second(tmp_path: Path, format_: Format) -> None:
    """The error names both tables and the way out; nothing is left behind."""
    path = tmp_path / f"all{format_.extension}"
    with pytest.raises(ExportError, match=r"rows of logs and of spans.*--tables"):
        export(steps(), Target(format_, path), TABLES[:3])
    assert list(tmp_path.iterdir()) == []


def test_row_groups_end_at_their_row_and_byte_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small batches share a row group, up to the limits."""
    monkeypatch.setattr("otel_etw.outputs.export.parquet_file.GROUP_ROWS", 10)
    rows = [{"time": T0 + i, "body": str(i)} for i in range(24)]
    parts = [{LOGS: batch_of_rows(LOGS, rows[i : i + 4])} for i in range(0, 24, 4)]
    export(parts, Target(PARQUET, tmp_path / "logs.parquet"), (LOGS,))
    metadata = pq.ParquetFile(tmp_path / "logs.parquet").metadata
    assert [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)] == [12, 12]


def test_the_format_is_told_by_the_longest_extension() -> None:
    """OTLP's JSON lines are told from JSON lines, whatever the case of letters."""
    assert {name: format_of(name) for name in ("a.parquet", "a.CSV", "a.jsonl", "a.ndjson")} == {
        "a.parquet": PARQUET,
        "a.CSV": CSV,
        "a.jsonl": JSONL,
        "a.ndjson": JSONL,
    }
    assert format_of("x/spans.otlp.jsonl") is FORMATS["otlp-json"]
    assert format_of("spans.binpb") is FORMATS["otlp-proto"]
    assert format_of("out") is None


def test_all_five_kinds_of_points_and_spans_are_among_the_rows() -> None:
    """The rows of these tests are what they are meant to be."""
    kinds = {row["kind"] for row in POINT_ROWS}
    assert kinds == {"gauge", "sum", "histogram", "exponential_histogram", "summary"}
    assert len(SPAN_ROWS) == 2


class Terminal(io.StringIO):
    """A stream that says it is one."""

    def isatty(self) -> bool:
        """Yes."""
        return True


def test_on_a_terminal_everything_is_made_safe_to_show() -> None:
    """Text that a trace holds moves no cursor; line ends are what they are."""
    terminal = Terminal()
    output = StandardOutput(terminal)
    output.write(csv_lines(batches()[LOGS].slice(0, 1)))
    shown = terminal.getvalue()
    assert "\x1b" not in shown
    assert "\\x1b[31m \\u202e \\x7f \\x01 " in shown
    assert shown.endswith("\r\n")
