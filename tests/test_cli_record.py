"""``otel-etw record``, whole: what Windows is asked for, what people are told, how it stops."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import pytest
from click.testing import CliRunner, Result

from etw_double import BOOTSTRAP, EtwDouble
from otel_etw.cli.group import cli
from otel_etw.sessions.embedded import EtlSession
from otel_etw.sessions.requests import ALL_KEYWORDS
from otel_etw.tracelogging.encode import EventBuilder
from otel_etw.tracelogging.provider_id import METRICS_PROVIDER_ID, provider_id
from otel_etw.tracelogging.types import EventDescriptor
from otel_etw.windows.structures import EventTraceProperties

NAME = "otel-etw-record"
SHOP = provider_id("Test_Shop")
DNS = UUID("1c95126e-7eea-49a9-a3fe-a378b03ddb4d")
SHORT = ("--duration", "0.05")


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def record(path: Path, *arguments: object) -> str:
    """The output of a recording of ``Test_Shop`` that ends well."""
    result = invoke("record", "-p", "Test_Shop", "-o", path, *SHORT, *arguments)
    assert result.exit_code == 0, result.output
    return str(result.output)


@contextmanager
def meanwhile(double: EtwDouble, act: Callable[[], None]) -> Iterator[None]:
    """Do ``act`` in another thread as soon as a session runs."""
    failures: list[BaseException] = []

    def wait_and_act() -> None:
        try:
            end = time.monotonic() + 20
            while not double.enables(NAME):
                assert time.monotonic() < end, "no session was started"
                time.sleep(0.01)
            act()
        except BaseException as failure:
            failures.append(failure)

    thread = threading.Thread(target=wait_and_act)
    thread.start()
    yield
    thread.join()
    assert failures == []


def write_file(path: Path, events: int) -> None:
    """A trace of ``events`` events in place of the double's empty file."""
    path.unlink(missing_ok=True)
    with EtlSession(path) as session:
        provider = session.register("Test_Shop")
        for _ in range(events):
            builder = EventBuilder("Happened")
            provider.write(EventDescriptor(level=4), builder.metadata(), builder.payload())
        provider.close()


def properties(double: EtwDouble, name: str = NAME) -> EventTraceProperties:
    return EventTraceProperties.from_buffer_copy(double.properties(name))


def enabled(double: EtwDouble) -> list[tuple[UUID, int, int]]:
    return [(call.provider_id, call.level, call.any_mask) for call in double.enables(NAME)]


def test_what_was_chosen_is_said_and_what_to_do_next(etw_double: EtwDouble, tmp_path: Path) -> None:
    """Providers with GUIDs and reasons, file, mode, how to stop; then size, losses, the next command."""
    path = tmp_path / "app.etl"
    etw_double.add_registered_provider("Microsoft-Windows-DNS-Client", DNS)
    with meanwhile(etw_double, lambda: write_file(path, 3)):
        output = record(
            path, "-p", "metrics", "-p", "microsoft-windows-dns-client:info:0x10", "--duration", "1"
        )
    lines = output.splitlines()
    assert lines[0] == f"recording to {path} (sequential; buffers of 256 KiB)"
    assert lines[1].startswith(
        f"  {SHOP}  Test_Shop  (GUID hashed from the name; up to level 5 (verbose), all"
    )
    assert lines[2].startswith(
        f"  {METRICS_PROVIDER_ID}  NativeMetricsExtension_Provider  (the provider of all"
    )
    assert lines[3] == (
        f"  {DNS}  Microsoft-Windows-DNS-Client  (registered on this machine; "
        "up to level 4 (informational), keywords 0x10)"
    )
    assert lines[4] == "session 'otel-etw-record' runs: for 1 s, or until Ctrl-C"
    assert re.fullmatch(rf"recorded {re.escape(str(path))}: \d+ KiB, 1(\.\d+)? s", lines[5])
    assert lines[6] == "nothing was lost"
    assert lines[7].startswith("next: otel-etw view ")
    assert enabled(etw_double) == [
        (SHOP, 5, ALL_KEYWORDS), (METRICS_PROVIDER_ID, 5, ALL_KEYWORDS), (DNS, 4, 0x10)
    ]  # fmt: skip
    assert etw_double.session_names() == []


def test_defaults_are_sane(etw_double: EtwDouble, tmp_path: Path) -> None:
    """A sequential file, buffers with room for the largest event, events written within a second."""
    record(tmp_path / "a.etl")
    given = properties(etw_double)
    assert (given.LogFileMode, given.MaximumFileSize, given.FlushTimer) == (1, 0, 1)
    assert (given.BufferSize, given.MinimumBuffers, given.MaximumBuffers) == (256, 64, 128)
    assert [call.property for call in etw_double.enables(NAME)] == [0]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--max-file-size", "100MB"], {"LogFileMode": 1, "MaximumFileSize": 100}),
        (["--max-file-size", "1.5MB"], None),
        (["--max-file-size", "1500KB"], {"MaximumFileSize": 2}),
        (["--mode", "circular"], {"LogFileMode": 2, "MaximumFileSize": 256}),
        (["--mode", "circular", "--max-file-size", "1GB"], {"LogFileMode": 2, "MaximumFileSize": 1024}),
        (["--mode", "rolling", "--max-file-size", "8MB"], {"LogFileMode": 8, "MaximumFileSize": 8}),
        (["--buffer-size", "1MB"], {"BufferSize": 1024}),
        (["--buffers", "8"], {"MinimumBuffers": 8, "MaximumBuffers": 0}),
        (["--buffers", "0:16"], {"MinimumBuffers": 0, "MaximumBuffers": 16}),
        (["--flush-timer", "0"], {"FlushTimer": 0}),
        (["--flush-timer", "30"], {"FlushTimer": 30}),
    ],
)
def test_every_option_arrives(
    etw_double: EtwDouble, tmp_path: Path, options: list[str], expected: dict[str, int] | None
) -> None:
    """In the field of the properties that Windows has for it."""
    if expected is None:
        assert invoke("record", "-p", "a", "-o", tmp_path / "a.etl", *SHORT, *options).exit_code == 2
        return
    record(tmp_path / "a.etl", *options)
    given = properties(etw_double)
    assert {name: getattr(given, name) for name in expected} == expected


def test_stacks_levels_and_keywords_arrive(etw_double: EtwDouble, tmp_path: Path) -> None:
    """Defaults for providers without their own."""
    record(
        tmp_path / "a.etl",
        "-p",
        "b:verbose:0x1",
        "-p",
        "c:1",
        "--level",
        "warning",
        "--keyword",
        "6",
        "--stacks",
    )
    assert enabled(etw_double) == [(SHOP, 3, 6), (provider_id("b"), 5, 1), (provider_id("c"), 1, 6)]
    assert [call.property for call in etw_double.enables(NAME)] == [4, 4, 4]


def test_the_session_has_the_name_it_is_given(etw_double: EtwDouble, tmp_path: Path) -> None:
    """Whatever it is."""
    assert "session 'nightly' runs" in record(tmp_path / "a.etl", "--name", "nightly")
    assert properties(etw_double, "nightly").LogFileMode == 1


@pytest.mark.parametrize("name", ["", "x" * 1100])
def test_a_name_that_windows_has_no_room_for_is_wrong_usage(
    etw_double: EtwDouble, tmp_path: Path, name: str
) -> None:
    """It is said before anything is started."""
    result = invoke("record", "-p", "Test_Shop", "-o", tmp_path / "a.etl", "--name", name)
    assert result.exit_code == 2
    assert "session name must have 1 to 1023 characters" in result.output
    assert etw_double.calls("StartTraceW") == 0


def test_rolling_files_are_named_and_thinned_out(etw_double: EtwDouble, tmp_path: Path) -> None:
    """The number's place is put in and said; older files go as new ones come."""

    def write_more() -> None:
        for number in (1, 2, 3):
            write_file(tmp_path / f"app.{number}.etl", 1)

    options = ("--mode", "rolling", "--max-file-size", "4MB", "--max-files", "2", "--duration", "0.5")
    with meanwhile(etw_double, write_more):
        output = record(tmp_path / "app.etl", *options)
    assert (
        f"recording to {tmp_path / 'app.%d.etl'} (rolling: a new file every 4 MiB, the newest 2 kept"
        in output
    )
    assert " in 2 files, " in output
    assert "app.*.etl" in output.splitlines()[-1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["app.2.etl", "app.3.etl"]


def test_losses_are_told_at_once_and_at_the_end(etw_double: EtwDouble, tmp_path: Path) -> None:
    """On stderr, with what to do about it."""
    with meanwhile(etw_double, lambda: etw_double.set_lost(NAME, events=1200, log_buffers=1)):
        result = invoke("record", "-q", "-p", "Test_Shop", "-o", tmp_path / "a.etl", "--duration", "1.3")
    assert result.exit_code == 0
    assert result.stdout == ""
    first, last = result.stderr.splitlines()
    assert first == "otel-etw: the session loses events (1,200 events and 1 buffer so far)"
    assert last.startswith("otel-etw: lost 1,200 events and 1 buffer: larger or more buffers help")


def test_an_empty_recording_is_pointed_out(etw_double: EtwDouble, tmp_path: Path) -> None:
    """Most often a name is wrong, or the application does not run."""
    path = tmp_path / "app.etl"
    with meanwhile(etw_double, lambda: write_file(path, 0)):
        result = invoke("record", "-p", "Test_Shop", "-o", path, "--duration", "1")
    assert "no event was recorded: was the application running" in result.stderr


def test_a_full_file_ends_the_recording(etw_double: EtwDouble, tmp_path: Path) -> None:
    """Windows ends the session then; here before its first buffer, which is as large as the file."""
    options = ("--max-file-size", "1MB", "--buffer-size", "1MB", "--duration", "60")
    with meanwhile(etw_double, lambda: etw_double.stop_session(NAME)):
        output = record(tmp_path / "a.etl", *options)
    assert "the file has reached its size, so the session has ended" in output


def test_a_session_that_somebody_else_stops_ends_the_recording(etw_double: EtwDouble, tmp_path: Path) -> None:
    """Which is no error."""
    started = time.monotonic()
    with meanwhile(etw_double, lambda: etw_double.stop_session(NAME)):
        result = invoke("record", "-p", "Test_Shop", "-o", tmp_path / "a.etl", "--duration", "60")
    assert time.monotonic() - started < 30
    assert result.exit_code == 0
    assert "the session 'otel-etw-record' was ended by somebody else" in result.stderr


@pytest.mark.parametrize(
    ("function", "code", "words"),
    [
        ("StartTraceW", 5, 'administrator) or membership in the group "Performance Log Users"'),
        ("StartTraceW", 1450, "no more room for sessions"),
        ("EnableTraceEx2", 1450, "as many sessions as Windows allows (8) record this provider already"),
        ("EnableTraceEx2", 5, "recording provider Test_Shop"),
        ("ControlTraceW", 5, "Performance Log Users"),
    ],
)
def test_refusals_are_one_line_and_leave_nothing_behind(
    etw_double: EtwDouble, tmp_path: Path, function: str, code: int, words: str
) -> None:
    """Exit code 1, and no session."""
    etw_double.fail_next(function, code)
    result = run_child(
        f"double.fail_next({function!r}, {code})", "-p", "Test_Shop", "-o", tmp_path / "a.etl", *SHORT
    )
    assert result.returncode == 1, result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith("otel-etw: ")
    assert words in result.stderr
    assert result.stdout == "sessions: []\n"


def test_a_stale_session_is_found_and_replaced(etw_double: EtwDouble, tmp_path: Path) -> None:
    """183 from Windows is told with what runs and what to do; ``--replace`` does it."""
    etw_double.start_session(NAME, mode=1, file=str(tmp_path / "old.etl"))
    result = invoke("record", "-p", "a", "-o", tmp_path / "new.etl", *SHORT)
    assert result.exit_code == 1
    assert "left behind by one that was killed" in str(result.exception)
    output = record(tmp_path / "new.etl", "--replace")
    assert f"stopped the earlier session 'otel-etw-record' of {tmp_path / 'old.etl'}" in output


def test_small_buffers_are_warned_about(etw_double: EtwDouble, tmp_path: Path) -> None:
    """The largest events would be lost."""
    assert "have no room for the largest events" in record(tmp_path / "a.etl", "--buffer-size", "64KB")
    assert "no room" not in record(tmp_path / "b.etl", "--buffer-size", "128KB")


def test_names_are_hashed_where_registered_ones_cannot_be_listed(
    etw_double: EtwDouble, tmp_path: Path
) -> None:
    """With a line that says so."""
    etw_double.fail_next("TdhEnumerateProviders", 5, -1)
    output = record(tmp_path / "a.etl")
    assert "names were hashed" in output
    assert enabled(etw_double) == [(SHOP, 5, ALL_KEYWORDS)]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-o", "x.etl"], "say which providers with -p NAME"),
        (["-p", "a"], "Missing option '-o'"),
        (["-p", "a:loud", "-o", "x.etl"], "expected a level"),
        (["-p", "a:0x10:5", "-o", "x.etl"], "the level comes before the keywords"),
        (["-p", "a", "-p", "A:3", "-o", "x.etl"], "twice"),
        (["-p", "a", "-o", "x.etl", "--level", "loud"], "--level"),
        (["-p", "a", "-o", "x.etl", "--keyword", "much"], "--keyword"),
        (["-p", "a", "-o", "x.etl", "--buffer-size", "256"], '"256KB"'),
        (["-p", "a", "-o", "x.etl", "--buffer-size", "32MB"], "4KB to 16MB"),
        (["-p", "a", "-o", "x.etl", "--buffers", "9:3"], "64:128"),
        (["-p", "a", "-o", "x.etl", "--max-file-size", "100"], '"100MB"'),
        (["-p", "a", "-o", "x.etl", "--max-files", "3"], "--mode rolling"),
        (["-p", "a", "-o", "x.etl", "--duration", "soon"], "90s, 5m or 2h"),
        (["-p", "a", "-o", "100%.etl", "--mode", "rolling"], "no '%'"),
    ],
)
def test_wrong_usage_says_what_was_expected(etw_double: EtwDouble, arguments: list[str], words: str) -> None:
    """Before anything is started."""
    result = invoke("record", *arguments)
    assert result.exit_code == 2
    assert words in result.stderr
    assert etw_double.calls("StartTraceW") == 0


def test_a_file_that_is_there_is_kept(etw_double: EtwDouble, tmp_path: Path) -> None:
    """``--overwrite`` begins it anew."""
    (tmp_path / "a.etl").write_bytes(b"old")
    result = invoke("record", "-p", "a", "-o", tmp_path / "a.etl", *SHORT)
    assert result.exit_code == 1
    assert "--overwrite" in str(result.exception)
    assert (tmp_path / "a.etl").read_bytes() == b"old"
    record(tmp_path / "a.etl", "--overwrite")


CHILD = (
    BOOTSTRAP
    + """
from otel_etw.cli import main
{before}
try:
    main({arguments!r})
finally:
    print("sessions:", double.session_names())
"""
)


def child(before: str, arguments: tuple[object, ...]) -> subprocess.Popen[str]:
    code = CHILD.format(before=before, arguments=["record", *map(str, arguments)])
    return subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
    )


def run_child(before: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    process = child(before, arguments)
    stdout, stderr = process.communicate(timeout=60)
    return subprocess.CompletedProcess([], process.returncode, stdout, stderr)


def read_until(process: subprocess.Popen[str], words: str) -> str:
    """The lines of stdout up to the one with ``words``."""
    lines = ""
    assert process.stdout is not None
    while words not in lines:
        line = process.stdout.readline()
        assert line, f"ended after {lines!r}"
        lines += line
    return lines


def test_a_duration_ends_a_process(etw_double: EtwDouble, tmp_path: Path) -> None:
    """Cleanly: the session is gone."""
    result = run_child("", "-p", "Test_Shop", "-o", tmp_path / "a.etl", "--duration", "0.2s")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.splitlines()[-1] == "sessions: []"


@pytest.mark.skipif(
    sys.platform == "win32", reason="Windows delivers Ctrl-C to a whole console, not to a process"
)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_a_process_cleanly(etw_double: EtwDouble, tmp_path: Path, number: signal.Signals) -> None:
    """With everything that is said at the end, exit code 0, and the session gone."""
    process = child("", ("-p", "Test_Shop", "-o", tmp_path / "a.etl"))
    read_until(process, "Ctrl-C stops it")
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=30)
    assert (process.returncode, stderr) == (0, "")
    assert "nothing was lost" in stdout
    assert stdout.splitlines()[-1] == "sessions: []"


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGBREAK"])
def test_signals_from_within_end_a_process_cleanly(etw_double: EtwDouble, tmp_path: Path, name: str) -> None:
    """The same where no other process can send one."""
    if not hasattr(signal, name):
        pytest.skip(f"{name} is of another system")
    before = f"""
import signal, threading, time
def interrupt():
    while not double.enables({NAME!r}):
        time.sleep(0.01)
    time.sleep(0.1)
    signal.raise_signal(signal.{name})
threading.Thread(target=interrupt).start()
"""
    result = run_child(before, "-p", "Test_Shop", "-o", tmp_path / "a.etl")
    assert (result.returncode, result.stderr) == (0, "")
    assert "nothing was lost" in result.stdout
    assert result.stdout.splitlines()[-1] == "sessions: []"


def test_a_process_that_ends_otherwise_stops_its_session(etw_double: EtwDouble, tmp_path: Path) -> None:
    """Whoever leaves a recording open in Python: the exit of the interpreter stops it."""
    code = (
        BOOTSTRAP
        + f"""
import atexit
atexit.register(lambda: print("sessions:", double.session_names()))
from otel_etw.sessions.recording import Recording
from otel_etw.sessions.requests import parse_request
Recording({str(tmp_path / "a.etl")!r}, [parse_request("a")]).start()
print("sessions:", double.session_names())
"""
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.splitlines() == ["sessions: ['otel-etw-record']", "sessions: []"]


def test_without_windows_one_line_says_what_to_use() -> None:
    """Exit code 1."""
    if sys.platform == "win32":
        pytest.skip("this is Windows")
    code = f"from otel_etw.cli import main; main({['record', '-p', 'a', '-o', 'a.etl']!r})"
    done = subprocess.run(
        [sys.executable, "-c", code],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert re.search(r"Windows.*EtlSession.*otel-etw view --follow FILE", done.stderr)
