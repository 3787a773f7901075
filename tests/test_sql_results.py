"""Results of any type as values, as text for programs, and as a table that a terminal may get to see."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_etw.outputs.results.lines import distinct, write_lines
from otel_etw.outputs.results.parquet import write_parquet
from otel_etw.outputs.results.table import show_result
from otel_etw.outputs.results.values import values_of
from otel_etw.outputs.sql import Database
from otel_etw.outputs.terminal import Screen
from otel_etw.tables.schema import JSON_TYPE
from shown_traces import EVIL


@pytest.fixture(scope="module")
def database() -> Any:
    with Database(lambda name, check: []) as opened:
        yield opened


def table(database: Database, query: str) -> pa.Table:
    result = database.query(query)
    assert result is not None
    return result.table()


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("1::UTINYINT", 1),
        ("18446744073709551615::UBIGINT", 2**64 - 1),
        ("170141183460469231731687303715884105727::HUGEINT", 2**127 - 1),
        ("1.25::DECIMAL(5, 2)", 1.25),
        ("'nan'::DOUBLE", "NaN"),
        ("'-inf'::FLOAT", "-Infinity"),
        ("true", True),
        ("'text'", "text"),
        ("'\\xAB\\x01'::BLOB", {"$bytes": "qwE="}),
        ("""'{"a": 1}'::JSON""", '{"a": 1}'),
        ("DATE '2026-03-11'", "2026-03-11"),
        ("DATE 'infinity'", "<value out of range: 2147483647>"),
        ("TIME '12:34:56.5'", "12:34:56.500000"),
        ("TIMESTAMP '2026-03-11 12:34:56.5'", "2026-03-11T12:34:56.500000000"),
        ("TIMESTAMP_S '2026-03-11'", "2026-03-11T00:00:00.000000000"),
        ("TIMESTAMP_MS '1969-12-31 23:59:59.999'", "1969-12-31T23:59:59.999000000"),
        ("TIMESTAMP_NS '2026-03-11 12:34:56.123456789'", "2026-03-11T12:34:56.123456789Z"),
        ("TIMESTAMPTZ '2026-03-11 12:34:56+02'", "2026-03-11T10:34:56.000000000Z"),
        ("[TIMESTAMP_NS '2026-03-11 12:34:56.123456789', NULL]", ["2026-03-11T12:34:56.123456789", None]),
        ("INTERVAL '14 months 2 days 3.5 seconds'", "14 months 2 days 00:00:03.5"),
        ("INTERVAL '-90 minutes'", "-01:30:00"),
        ("INTERVAL '0 days'", "00:00:00"),
        ("[1, NULL, 3]", [1, None, 3]),
        ("[[1], [], [2, 3]]", [[1], [], [2, 3]]),
        ("[]::INT[]", []),
        ("array_value(1, 2)", [1, 2]),
        ("{'a': 1, 'b': {'c': [1.5]}}", {"a": 1, "b": {"c": [1.5]}}),
        ("MAP {'k': 1, 'l': 2}", [["k", 1], ["l", 2]]),
        ("'b'::ENUM('a', 'b')", "b"),
        ("union_value(num := 2)", 2),
        ("NULL", None),
    ],
)
def test_values_of_every_type_say_everything(expression: str, value: Any, database: Database) -> None:
    """Each type of DuckDB becomes what JSON can say, and null stays null, in every part of a column."""
    column = table(
        database, f"SELECT {expression} AS x UNION ALL SELECT NULL UNION ALL SELECT {expression}"
    ).column(0)
    whole = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
    assert values_of(whole) == [value, None, value]
    assert values_of(whole.slice(2)) == [value]
    json.dumps(values_of(whole), allow_nan=False)


def written(format_name: str, rows: pa.Table) -> str:
    stream = io.BytesIO()
    assert write_lines(format_name, rows.schema, rows.to_batches(), stream) == rows.num_rows
    return stream.getvalue().decode()


ROWS = pa.table(
    {
        "text": ['a "quoted", one', "", None, "two\nlines"],
        "json": pa.ExtensionArray.from_storage(
            JSON_TYPE, pa.array(['{"k":[1,\n2]}', None, '"text"', "1.50"], pa.string())
        ),
        "number": pa.array([1.5, float("nan"), None, -0.0]),
    }
)


def test_csv_tells_null_from_nothing_and_quotes_what_needs_it() -> None:
    """Null is nothing between commas, empty text is two quotes; any reader of CSV finds the text again."""
    text = written("csv", ROWS)
    assert '\n"",,NaN\n,"""text""",\n' in text
    back = list(csv.reader(io.StringIO(text, newline="")))
    assert [row[0] for row in back] == ["text", 'a "quoted", one', "", "", "two\nlines"]


def test_json_has_the_values_of_json_columns() -> None:
    """JSON columns are values, not text, with all digits of their numbers; one object on each line."""
    lines = written("jsonl", ROWS).splitlines()
    assert [json.loads(line)["json"] for line in lines] == [{"k": [1, 2]}, None, "text", 1.5]
    assert '"json":1.50' in lines[3]
    assert json.loads(lines[1]) == {"text": "", "json": None, "number": "NaN"}
    assert json.loads(written("json", ROWS)) == [json.loads(line) for line in lines]
    assert json.loads(written("json", ROWS.slice(0, 0))) == []


def test_markdown_is_one_table_whatever_the_text() -> None:
    """Bars, stars and line breaks of the text do not become the table's."""
    rows = pa.table({"a|b": ["x|y *z*", "two\nlines", None], "n": [1, 2, 3]})
    assert written("markdown", rows).splitlines() == [
        "| a\\|b | n |",
        "| --- | ---: |",
        "| x\\|y \\*z\\* | 1 |",
        "| two\\\\nlines | 2 |",
        "|  | 3 |",
    ]


@given(st.lists(st.text(max_size=3), max_size=8))
def test_names_become_distinct_and_stay_themselves_where_they_can(names: list[str]) -> None:
    """No two are equal afterwards, and the first of each stays as it is."""
    made = distinct(names)
    assert len(set(made)) == len(names)
    assert all(new.startswith(old) for new, old in zip(made, names, strict=True))
    assert made == names or len(set(names)) < len(names)


@pytest.mark.parametrize("format_name", ["json", "jsonl", "markdown"])
def test_hostile_text_is_escaped(format_name: str) -> None:
    """Names and values that a terminal would act on arrive as escapes."""
    text = written(format_name, pa.table({EVIL: [EVIL]}))
    assert all(character.isprintable() or character == "\n" for character in text)


def test_parquet_keeps_types_and_takes_any_result(database: Database, tmp_path: Path) -> None:
    """Columns of equal names get numbers; what Parquet has no form for becomes text."""
    query = """
        SELECT TIMESTAMP_NS '2026-03-11 12:34:56.123456789' AS t, 1 AS a, 2 AS a, '{"k":1}'::JSON AS j,
               INTERVAL 3 DAY AS i, [INTERVAL 1 DAY] AS li, {'x': [1]} AS s, MAP {'k': 1} AS m, NULL AS n
    """
    rows = table(database, query)
    path = tmp_path / "result.parquet"
    assert write_parquet(path, rows.schema, rows.to_batches()) == 1
    back = pa.parquet.read_table(path)
    assert back.schema.names == ["t", "a", "a_1", "j", "i", "li", "s", "m", "n"]
    assert back.column("t").cast(pa.int64()).to_pylist() == [1_773_232_496_123_456_789]
    assert back.column("a_1").to_pylist() == [2]
    assert back.column("i").to_pylist() == ["3 days"]
    assert back.column("s").to_pylist() == [{"x": [1]}]


def shown(rows: pa.Table, width: int | None, *, max_rows: int | None = None, wide: bool = False) -> list[str]:
    """What ``show_result`` writes to a terminal of ``width`` cells, or elsewhere."""
    stream = io.StringIO()
    screen = Screen(stream)
    screen.width = width
    screen.unicode = True
    assert show_result(screen, rows.schema, rows.to_batches(), max_rows=max_rows, wide=wide) == rows.num_rows
    return stream.getvalue().splitlines()


def test_numbers_stand_below_each_other() -> None:
    """Numbers are right aligned, text left; null is told from text by its style only on a terminal."""
    rows = pa.table({"name": ["a", "long name"], "n": [7, 12345], "x": [None, "y"]})
    assert shown(rows, None) == [
        "name           n  x",
        "a              7  null",
        "long name  12345  y",
        "(2 rows)",
    ]


def test_times_show_the_digits_they_need() -> None:
    """All times of a column have as many digits as the most precise one."""
    times = pa.array([1_773_232_496_000_000_000, 1_773_232_496_001_000_000, None], pa.timestamp("ns", "UTC"))
    assert shown(pa.table({"t": times}), None)[1:4] == [
        "2026-03-11 12:34:56.000",
        "2026-03-11 12:34:56.001",
        "null",
    ]
    assert shown(pa.table({"t": times[:1]}), None)[1] == "2026-03-11 12:34:56"


def test_wide_results_are_cut_with_a_note() -> None:
    """Long text is cut, columns without room are left out, numbers stay whole; a note says how to see all."""
    long = pa.table({"a": ["x" * 100], "b": ["y" * 30], "n": [123456789]})
    lines = shown(long, 60)
    assert all(len(line) <= 60 for line in lines)
    assert "123456789" in lines[1]
    assert "…" in lines[1]
    assert "y" * 15 in lines[1]
    assert "long values cut (--wide)" in lines[-1]
    many = pa.table({f"column{number}": ["z" * 20] for number in range(20)})
    assert "3 of 20 columns shown" in " ".join(shown(many, 60)[2:])
    assert shown(long, 60, wide=True)[1].count("x") == 100
    assert shown(long, None)[1].count("x") == 100


def test_rows_are_limited_and_counted() -> None:
    """The first rows are shown, all are counted."""
    lines = shown(pa.table({"n": list(range(12_345))}), None, max_rows=3)
    assert [line.strip() for line in lines] == [
        "n",
        "0",
        "1",
        "2",
        "(12,345 rows; the first 3 shown (--max-rows))",
    ]
    assert len(shown(pa.table({"n": list(range(100))}), None)) == 102
    assert shown(pa.table({"n": pa.array([], pa.int64())}), None) == ["n", "(0 rows)"]


@given(
    st.lists(st.tuples(st.text(), st.text() | st.none()), min_size=1, max_size=5),
    st.none() | st.integers(1, 120),
)
def test_no_text_reaches_the_screen_unescaped(cells: list[tuple[str, str | None]], width: int | None) -> None:
    """Whatever names and values hold: one line for each row, and nothing that a terminal obeys."""
    encodable = [
        tuple(None if t is None else t.encode("utf-8", "replace").decode() for t in cell) for cell in cells
    ]
    rows = pa.table({EVIL: [value for _, value in encodable], "key": [key for key, _ in encodable]})
    stream = io.StringIO()
    screen = Screen(stream)
    screen.width = width
    show_result(screen, rows.schema, rows.to_batches(), max_rows=None, wide=False)
    text = stream.getvalue()
    assert "\x1b" not in text
    assert "\u202e" not in text
    head_and_rows = text.split("\n")[: len(cells) + 1]
    assert len(head_and_rows) == len(cells) + 1


def test_megabytes_in_a_cell_are_cut_even_with_wide() -> None:
    """One cell does not make every row as long as itself."""
    lines = shown(pa.table({"a": ["x" * 5_000_000, "y"]}), None, wide=True)
    assert all(len(line) < 2000 for line in lines)
    assert "(5,000,000 characters)" in lines[1]


def test_a_plan_is_shown_as_the_picture_it_is(database: Database) -> None:
    """EXPLAIN answers several lines in one cell."""
    lines = shown(table(database, "EXPLAIN SELECT 1"), 80)
    assert len(lines) > 3
    assert not any("\\n" in line for line in lines)
