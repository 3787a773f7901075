"""``otel-etw sessions``: which run, what they lost, and stopping them. With the double."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from etw_double import EtwDouble
from otel_etw.cli.group import cli


def sessions(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["sessions", *arguments])


@pytest.fixture
def three(etw_double: EtwDouble, tmp_path: Path) -> EtwDouble:
    """One session of another program, two of ours, one of which has a file and losses."""
    etw_double.start_session("EventLog-System")
    etw_double.start_session("otel-etw-live-77")
    etw_double.start_session("otel-etw-record", mode=1, buffer_size_kb=256, file=str(tmp_path / "app.etl"))
    etw_double.set_lost("otel-etw-record", events=1200, log_buffers=1)
    return etw_double


def test_all_are_listed_and_ours_are_marked(three: EtwDouble, tmp_path: Path) -> None:
    """Name, mode, buffers, losses, file; and how to stop one."""
    result = sessions("list")
    assert result.exit_code == 0
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines[0] == ["name", "mode", "buffers", "lost", "file"]
    assert lines[1][:2] == ["EventLog-System", "real-time"]
    assert lines[2][:3] == ["*", "otel-etw-live-77", "real-time"]
    assert lines[3][:3] == ["*", "otel-etw-record", "sequential"]
    assert " ".join(lines[3][3:]) == f"2 x 256 KiB 1,200 events, 1 buffer {tmp_path / 'app.etl'}"
    assert result.stdout.splitlines()[-1].endswith("to stop one: otel-etw sessions stop otel-etw-live-77")


def test_only_ours_are_listed_where_asked_for(three: EtwDouble) -> None:
    """The line that says there is none is for people only."""
    assert "EventLog-System" not in sessions("list", "--own").stdout
    three.stop_session("otel-etw-live-77")
    three.stop_session("otel-etw-record")
    assert sessions("list", "--own").stdout == "no session runs that otel-etw started\n"
    assert sessions("list", "--own", "--format", "jsonl").stdout == ""


def test_programs_get_a_line_of_json_for_each(three: EtwDouble, tmp_path: Path) -> None:
    """With every number that there is."""
    documents = [json.loads(line) for line in sessions("list", "--format", "jsonl").stdout.splitlines()]
    assert [document["own"] for document in documents] == [False, True, True]
    last = documents[-1]
    assert (last["name"], last["mode"], last["file"]) == (
        "otel-etw-record",
        "sequential",
        str(tmp_path / "app.etl"),
    )
    assert (last["events_lost"], last["log_buffers_lost"], last["buffer_size_kb"]) == (1200, 1, 256)


def test_ours_are_stopped_with_a_word_on_what_they_lost(three: EtwDouble, tmp_path: Path) -> None:
    """Several at once; the letters' case is of no matter."""
    result = sessions("stop", "otel-etw-LIVE-77", "otel-etw-record")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "stopped otel-etw-live-77, which lost nothing",
        f"stopped otel-etw-record, which lost 1,200 events, 1 buffer; its file: {tmp_path / 'app.etl'}",
    ]
    assert three.session_names() == ["EventLog-System"]


def run_process(*arguments: str) -> subprocess.CompletedProcess[str]:
    code = f"from otel_etw.cli import main; main({['sessions', *arguments]!r})"
    return subprocess.run(
        [sys.executable, "-c", code],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_those_of_others_are_stopped_only_by_force(three: EtwDouble) -> None:
    """Others named beside them are stopped all the same; the exit code tells."""
    result = CliRunner().invoke(
        cli, ["sessions", "stop", "EventLog-System", "nobody", "otel-etw-record"], standalone_mode=False
    )
    assert result.return_value == 1
    first, second = result.stderr.splitlines()
    assert "was not started by otel-etw" in first
    assert "--force" in first
    assert "no session of that name is running" in second
    assert three.session_names() == ["otel-etw-live-77", "EventLog-System"]
    assert sessions("stop", "--force", "EventLog-System").exit_code == 0
    assert three.session_names() == ["otel-etw-live-77"]


def test_a_name_with_escapes_does_no_harm(etw_double: EtwDouble) -> None:
    """Whoever may start a session chooses its name."""
    etw_double.start_session("otel-etw-\x1b[31m\n")
    for result in (
        sessions("list"),
        sessions("list", "--format", "jsonl"),
        sessions("stop", "otel-etw-\x1b[31m\n"),
    ):
        assert result.exit_code == 0
        assert all(line.isprintable() for line in result.stdout.splitlines())


def test_without_rights_it_is_said_what_is_needed(etw_double: EtwDouble) -> None:
    """Windows' 5."""
    etw_double.fail_next("QueryAllTracesW", 5)
    assert "Performance Log Users" in str(sessions("list").exception)


@pytest.mark.skipif(sys.platform == "win32", reason="this is Windows")
@pytest.mark.parametrize("arguments", [("list",), ("stop", "a")])
def test_without_windows_one_line_says_so(arguments: tuple[str, ...]) -> None:
    """Exit code 1."""
    done = run_process(*arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1
    assert "Windows" in done.stderr
