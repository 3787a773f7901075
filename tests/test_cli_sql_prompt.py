"""The prompt of ``otel-etw sql``, at a terminal made of pipes."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prompt_toolkit.application import create_app_session
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

from otel_etw.cli.sql_completion import SqlCompleter
from otel_etw.cli.sql_history import History, state_directory
from otel_etw.cli.sql_output import Shape
from otel_etw.cli.sql_prompt import Prompt
from otel_etw.cli.sql_text import is_complete
from otel_etw.loading import Loaded, load
from otel_etw.outputs.sql import Database
from otel_etw.tables.schema import COLUMNS
from shown_traces import write_trace


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_trace(tmp_path_factory.mktemp("prompt") / "shown.etl")


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of the test's own for the history."""
    for name in ("XDG_STATE_HOME", "LOCALAPPDATA", "HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    return tmp_path


@contextmanager
def terminal(keys: str) -> Iterator[None]:
    with create_pipe_input() as pipe, create_app_session(input=pipe, output=DummyOutput()):
        pipe.send_text(keys)
        yield


def typed(trace: Path, keys: str, capsys: pytest.CaptureFixture[str]) -> tuple[list[str], list[str], Loaded]:
    """What the prompt writes to stdout and stderr when somebody types ``keys`` and then Ctrl-D."""
    loaded = load(trace)
    with terminal(keys + "\x04"):
        Prompt(loaded, Shape()).run()
    said = capsys.readouterr()
    return said.out.splitlines()[1:], said.err.splitlines(), loaded


def test_a_query_goes_on_until_its_semicolon(trace: Path, capsys: Any) -> None:
    """Over several lines; the result, its rows and the time it took are shown."""
    lines, errors, _ = typed(trace, "select count(*) as n\rfrom logs\r;\r", capsys)
    assert lines[:3] == ["n", "6", "(1 row)"]
    assert lines[3].endswith("s")
    assert errors == []


def test_tables_are_decoded_when_they_are_needed_and_kept(trace: Path, capsys: Any) -> None:
    """``.tables`` tells; the second query decodes nothing."""
    lines, _, loaded = typed(
        trace, ".tables\rselect count(*) from logs;\rfrom logs select 1 limit 1;\r.tables\r", capsys
    )
    assert [line.split("  ")[-1].strip() for line in lines[:4]] == ["not decoded yet"] * 4
    assert [line.split("  ")[-1].strip() for line in lines[-4:]] == [
        "6 rows",
        "0 rows",
        "4 rows",
        "not decoded yet",
    ]
    assert loaded.rows_kept("logs") == 6
    assert loaded.rows_kept("events") is None


def test_commands(trace: Path, capsys: Any) -> None:
    """The schema of all tables or one, modes, help, and what is said of others."""
    lines, errors, _ = typed(
        trace, ".schema spans\r.help\r.mode csv\rselect 1 as a;\r.mode nix\r.nix\r.schema nix\r", capsys
    )
    text = "\n".join(lines)
    assert "duration_ns" in text
    assert "observed_time" not in text
    assert ".mode table|wide|csv" in text
    assert lines[-3:-1] == ["a", "1"]
    assert [line.split(": ")[1].split(" ")[0] for line in errors] == ["expected", "no", "no"]


def test_rows_and_modes_stay_set(trace: Path, capsys: Any) -> None:
    """``.rows`` and ``.mode wide`` hold for the queries that follow, and the notes name them."""
    lines, errors, _ = typed(
        trace, ".rows 2\rfrom range(9);\r.rows x\r.rows 0\rfrom range(9);\r.mode wide\rfrom logs;\r", capsys
    )
    assert "(9 rows; the first 2 shown (.rows 0))" in lines
    assert "(9 rows)" in lines
    assert "(6 rows)" in lines
    assert len(errors) == 1


def test_errors_do_not_end_the_prompt(trace: Path, capsys: Any) -> None:
    """One line each; what was created before stays."""
    lines, errors, _ = typed(
        trace, "create view v as from logs;\rfrom w;\rselect count(*) as n from v;\r", capsys
    )
    assert errors == [errors[0]]
    assert "Table with name w does not exist" in errors[0]
    assert lines[1:3] == ["n", "6"]


@pytest.mark.parametrize("command", [".quit\r", ".exit\r", ""])
def test_there_are_ways_out(command: str, trace: Path, capsys: Any) -> None:
    """By command, and by Ctrl-D."""
    lines, errors, _ = typed(trace, command, capsys)
    assert (lines, errors) == ([], [])


def test_ctrl_c_drops_the_line(trace: Path, capsys: Any) -> None:
    """What was typed is gone, the prompt is not."""
    lines, errors, _ = typed(trace, "select nonsense\x03select 1 as a;\r", capsys)
    assert lines[:2] == ["a", "1"]
    assert errors == []


def test_the_history_is_kept_for_the_user_alone(trace: Path, capsys: Any) -> None:
    """In the platform's place for such files, and found by the next prompt."""
    typed(trace, "select 1;\rselect\r2;\r", capsys)
    path = state_directory() / "sql_history"
    assert list(History().load_history_strings()) == ["select\n2;", "select 1;"]
    if sys.platform != "win32":
        assert path.stat().st_mode & 0o077 == 0
        assert path.parent.stat().st_mode & 0o077 == 0


def test_a_history_that_cannot_be_kept_costs_nothing(trace: Path, state: Path, capsys: Any) -> None:
    """A file where the directory should be: queries are answered all the same."""
    if sys.platform == "win32":
        place = state / "otel-etw"
    else:
        place = state_directory()
        place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text("in the way", encoding="utf-8")
    lines, errors, _ = typed(trace, "select 1 as a;\rselect 2 as b;\r", capsys)
    assert "a" in lines
    assert "b" in lines
    assert errors == []
    assert os.path.isfile(place)


def completions(text: str, *, asked: bool = True) -> list[str]:
    with Database(lambda name, check: []) as database:
        completer = SqlCompleter(database, [".schema", ".mode"])
        event = CompleteEvent(completion_requested=asked)
        return [completion.text for completion in completer.get_completions(Document(text), event)]


def test_names_and_words_are_completed() -> None:
    """Tables and columns first, columns of a table after its dot, keywords and functions, commands."""
    assert completions("from lo")[0] == "logs"
    assert completions("select sev")[:2] == ["severity_number", "severity_text"]
    assert completions("select spans.par") == ["spans.parent_span_id", "spans.parent_is_remote"]
    assert "SELECT" in completions("sel")
    assert "time_bucket" in completions("select time_b")
    assert completions(".sc") == [".schema"]
    assert completions(".schema sp") == ["spans"]
    assert completions("select 'lo") == []
    assert completions("", asked=False) == []
    assert set(completions("select metric_points.")) == {
        f"metric_points.{column.name}" for column in COLUMNS["metric_points"]
    }


@given(st.text())
def test_any_text_can_be_completed(text: str) -> None:
    """Whatever stands before the cursor, completion is a list of names and no error."""
    completer = SqlCompleter.__new__(SqlCompleter)
    completer._commands, completer._names, completer._words = (
        (".help",),
        [("logs", "table")],
        [("SELECT", "")],
    )
    assert all(completer.get_completions(Document(text), CompleteEvent(completion_requested=True))) in (
        True,
        False,
    )


@pytest.mark.parametrize(
    ("text", "complete"),
    [
        ("", True),
        ("  \n", True),
        (".help", True),
        ("select 1", False),
        ("select 1;", True),
        ("select 1; -- done", True),
        ("select 1; /* done */ ", True),
        ("select ';", False),
        ("select ';';", True),
        ("select 'it''s;", False),
        ('select ";', False),
        ("select $$;", False),
        ("select $a$;$$;$a$;", True),
        ("select 1 -- ;", False),
        ("select 1 /* ;", False),
        ("select 1; select 2", False),
    ],
)
def test_where_a_query_ends(text: str, complete: bool) -> None:
    """A semicolon ends it, unless it stands in a text, a name or a comment."""
    assert is_complete(text) is complete


@given(st.text("'\"$-/*;\n a"))
def test_any_text_is_complete_or_not(text: str) -> None:
    """Scanning ends, and a text that has no semicolon is never complete."""
    if is_complete(text):
        assert not text.strip() or text.strip().startswith(".") or ";" in text
