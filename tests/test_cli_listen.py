"""``otel-etw listen``: what comes, in both formats, what was lost, and how it ends."""

from __future__ import annotations

import _thread
import json
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
from click.testing import Result

from etw_double import BOOTSTRAP, EtwDouble
from live_parts import parts_of
from otel_etw.cli import listen as listen_module
from otel_etw.etl.event import Event
from otel_etw.etl.reader import open_etl
from otel_etw.sessions.control import OWN_PREFIX
from otel_etw.sessions.embedded import EtlSession
from otel_etw.tracelogging.provider_id import METRICS_PROVIDER_ID
from otel_etw.windows.libraries import is_windows
from shown_traces import (
    EVENT_PROVIDER,
    LOG_PROVIDER,
    checkout,
    invoke,
    write_events,
    write_logs,
    write_metrics,
    write_spans,
)

DEADLINE_S = 60.0
OTHERS = "Somebody"
ALL = ("-p", LOG_PROVIDER, "-p", EVENT_PROVIDER, "-p", "metrics")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with log records, spans, data points and plain events."""
    path = tmp_path_factory.mktemp("recorded") / "app.etl"
    with EtlSession(path) as session:
        write_logs(session)
        write_spans(session, checkout())
        write_metrics(session)
        write_events(session)
    return path


def events_of(path: Path) -> list[Event]:
    with open_etl(path) as trace:
        return [event for event in trace if event.kind == "event"]


def lines_of_view(path: Path, *options: object) -> list[str]:
    """Skips the test where what ``view`` stands on is not installed."""
    pytest.importorskip("numpy")
    pytest.importorskip("pyarrow")
    result = invoke("view", path, "--format", "jsonl", *options)
    assert result.exit_code == 0, result.output
    return result.stdout.splitlines()


def deliver(double: EtwDouble, session: str, events: list[Event]) -> None:
    for event in events:
        double.deliver_record(session, *parts_of(event))


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.01)


def heard_session(double: EtwDouble) -> str | None:
    """The session that is listened to by now: one of ours with all its providers, or somebody else's."""
    names = double.session_names()
    if OTHERS in names:
        return OTHERS if double.calls("ProcessTrace") else None
    return next((name for name in names if name.startswith(OWN_PREFIX) and double.enables(name)), None)


@contextmanager
def beside(double: EtwDouble, act: Callable[[str], None]) -> Iterator[None]:
    """``act`` runs in a thread as soon as there is a session that is listened to."""
    failures: list[BaseException] = []

    def run() -> None:
        try:
            wait_for(lambda: heard_session(double) is not None)
            act(heard_session(double) or "")
        except BaseException as failure:
            failures.append(failure)
            _thread.interrupt_main()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        thread.join()
    assert not failures


def listen(double: EtwDouble, act: Callable[[str], None], *arguments: object, ctrl_c: bool = True) -> Result:
    """``listen`` while ``act`` does something; then comes Ctrl-C, which ends it in order."""

    def act_and_end(session: str) -> None:
        act(session)
        if ctrl_c:
            _thread.interrupt_main()

    with beside(double, act_and_end):
        return invoke("listen", *arguments)


# --- what is shown ------------------------------------------------------------------------------


def test_json_lines_are_those_of_view(etw_double: EtwDouble, recorded: Path) -> None:
    """The same events give the same lines, whether they come from a file or as they happen."""
    events = events_of(recorded)
    expected = lines_of_view(recorded)

    def act(session: str) -> None:
        deliver(etw_double, session, events)

    result = listen(etw_double, act, *ALL, "--format", "jsonl")
    assert (result.exit_code, result.exception) == (0, None)
    assert sorted(result.stdout.splitlines()) == sorted(expected)
    assert {json.loads(line)["signal"] for line in expected} == {"logs", "spans", "metrics", "events"}
    assert etw_double.session_names() == []


def test_rows_are_those_of_follow(etw_double: EtwDouble, recorded: Path) -> None:
    """Log records as rows, spans as a tree below the row of their trace, each data point a row."""
    events = events_of(recorded)
    result = listen(etw_double, lambda session: deliver(etw_double, session, events), *ALL)
    assert (result.exit_code, result.exception) == (0, None)
    for text in ("order placed", "POST /checkout", "INSERT orders", "shop.orders", "shop.duration"):
        assert text in result.stdout
    assert "\x1b" not in result.stdout


def test_what_is_heard_is_said_on_stderr(etw_double: EtwDouble, recorded: Path) -> None:
    """Which GUID a name stands for and why, and how it ends; nothing of that with ``--quiet``."""
    events = events_of(recorded)[:1]
    arguments = (*ALL, "--limit", 1, "--format", "jsonl")
    result = listen(
        etw_double, lambda session: deliver(etw_double, session, events), *arguments, ctrl_c=False
    )
    assert "GUID hashed from the name" in result.stderr
    assert "fixed GUID" in result.stderr
    assert "Ctrl-C" in result.stderr
    result = listen(
        etw_double, lambda session: deliver(etw_double, session, events), *arguments, "-q", ctrl_c=False
    )
    assert result.stderr == ""
    assert len(result.stdout.splitlines()) == 1


@pytest.mark.parametrize(
    ("options", "signals"),
    [
        (("--signal", "spans"), {"spans"}),
        (("--signal", "metrics"), {"metrics"}),
        (("--level", "warning"), {"logs", "events"}),
        (("--event", "order.placed"), {"logs"}),
        (("--grep", "stock is low"), {"logs"}),
    ],
)
def test_filters_are_those_of_view(
    etw_double: EtwDouble, recorded: Path, options: tuple[str, ...], signals: set[str]
) -> None:
    """Each option leaves the rows that ``view`` leaves."""
    events = events_of(recorded)
    expected = lines_of_view(recorded, *options)
    assert {json.loads(line)["signal"] for line in expected} <= signals
    result = listen(
        etw_double,
        lambda session: deliver(etw_double, session, events),
        *ALL,
        *("--format", "jsonl", "-q", *options),
    )
    assert sorted(result.stdout.splitlines()) == sorted(expected)
    assert expected


def test_levels_and_keywords_reach_the_session(etw_double: EtwDouble) -> None:
    """What is not wanted is not collected either: ``--level`` and ``--keyword`` are the session's, too."""
    names: list[str] = []
    arguments = ("-p", "A", "-p", "B:error:0x3", "--level", "warning", "--keyword", "0x10")
    listen(etw_double, names.append, *arguments)
    wanted = [(one.level, one.any_mask) for one in etw_double.enables(names[0])]
    assert wanted == [(3, 0x10), (2, 0x3)]


def test_a_running_session_is_listened_to(etw_double: EtwDouble, recorded: Path) -> None:
    """``--session``: its events, of the providers named, and it runs on."""
    etw_double.start_session(OTHERS)
    events = events_of(recorded)
    options = ("--session", OTHERS, "-p", "Test_Oth*", "--format", "jsonl")
    result = listen(etw_double, lambda session: deliver(etw_double, session, events), *options)
    assert result.exit_code == 0
    providers = {json.loads(line)["etw"]["provider"] for line in result.stdout.splitlines()}
    assert providers == {EVENT_PROVIDER}
    assert etw_double.session_names() == [OTHERS]


def test_a_running_session_shows_providers_by_id_too(etw_double: EtwDouble, recorded: Path) -> None:
    """``metrics`` and names registered on the machine stand for GUIDs, as when a session is started."""
    etw_double.start_session(OTHERS)
    named = parts_of(next(event for event in events_of(recorded) if event.provider_name == EVENT_PROVIDER))
    etw_double.add_registered_provider("Of-A-Manifest", UUID(int=7))
    head = named[0][:0x18] + UUID(int=7).bytes_le + named[0][0x28:]
    options = ("--session", OTHERS, "-p", "metrics", "-p", "of-a-manifest", "--format", "jsonl")

    def act(session: str) -> None:
        deliver(etw_double, session, events_of(recorded))
        etw_double.deliver_record(session, head, [], b"data")

    result = listen(etw_double, act, *options)
    found = {json.loads(line)["etw"]["provider_id"] for line in result.stdout.splitlines()}
    assert found == {str(METRICS_PROVIDER_ID), str(UUID(int=7))}


def test_a_silent_session_is_said_to_be_one(etw_double: EtwDouble) -> None:
    """The hint is about that session, whose providers nobody has named here."""
    etw_double.start_session(OTHERS)
    result = invoke("listen", "--session", OTHERS, "--duration", "0.2s")
    assert f"nothing has come: nobody wrote anything that session '{OTHERS}' collects" in result.stderr


def test_a_session_that_does_not_run_is_said_with_a_hint(
    etw_double: EtwDouble, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where to look for those that do."""
    from otel_etw.cli.group import cli
    from otel_etw.cli.running import run

    assert run(cli, ["listen", "--session", "Nobody"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "no session of that name is running" in line
    assert "otel-etw sessions list" in line


def test_a_restart_is_said_and_survived(etw_double: EtwDouble, recorded: Path) -> None:
    """Two lines on stderr, and events of both runs."""
    etw_double.start_session(OTHERS)
    event = events_of(recorded)[:1]

    def act(session: str) -> None:
        deliver(etw_double, OTHERS, event)
        opened = etw_double.calls("ProcessTrace")
        etw_double.stop_session(OTHERS)
        etw_double.start_session(OTHERS)
        wait_for(lambda: etw_double.calls("ProcessTrace") > opened)
        deliver(etw_double, OTHERS, event)

    result = listen(etw_double, act, "--session", OTHERS, "--format", "jsonl", "--limit", 2, ctrl_c=False)
    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) == 2
    assert "waiting for it to be started again" in result.stderr
    assert "runs again" in result.stderr


# --- losses -------------------------------------------------------------------------------------


def test_losses_are_said_when_known_and_at_the_end(etw_double: EtwDouble, recorded: Path) -> None:
    """Events and buffers, once each however often they are told, on stderr."""

    def act(session: str) -> None:
        etw_double.set_lost(session, events=12, realtime_buffers=3)
        for _ in range(12):
            etw_double.deliver_lost_notice(session, 32)
        deliver(etw_double, session, events_of(recorded)[:1])
        time.sleep(1.5)

    result = listen(etw_double, act, *ALL, "--format", "jsonl")
    assert len(result.stdout.splitlines()) == 1
    said = [line for line in result.stderr.splitlines() if "lost" in line]
    assert said[-2:] == [
        "otel-etw: the session has lost 12 events, 3 buffers so far",
        "otel-etw: the session has lost 12 events, 3 buffers in all",
    ]


def test_losses_known_only_at_the_end_are_said(etw_double: EtwDouble, recorded: Path) -> None:
    """The last numbers are those that the session is stopped with."""

    def act(session: str) -> None:
        time.sleep(0.2)
        etw_double.set_lost(session, events=1)
        deliver(etw_double, session, events_of(recorded)[:1])

    result = listen(etw_double, act, *ALL, "--format", "jsonl", "--limit", 1, "-q", ctrl_c=False)
    assert "the session has lost 1 event in all" in result.stderr


def test_nothing_lost_is_nothing_said(etw_double: EtwDouble, recorded: Path) -> None:
    """No line about losses without losses."""
    events = events_of(recorded)
    result = listen(etw_double, lambda session: deliver(etw_double, session, events), *ALL)
    assert "lost" not in result.stderr


# --- how it ends --------------------------------------------------------------------------------


def test_what_is_not_shown_any_more_is_counted(
    etw_double: EtwDouble, recorded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C ends it soon, whatever waits to be shown; how much that was is said."""
    monkeypatch.setattr(listen_module, "_DRAIN_S", 0.0)
    event = next(event for event in events_of(recorded) if event.provider_name == LOG_PROVIDER)
    _, items, payload = parts_of(event)
    kinds = dict(items)

    def act(session: str) -> None:
        etw_double.emit(
            event.provider_id, event.record[0x28:0x38], kinds[12], kinds[11], payload, count=40_000
        )
        time.sleep(0.3)

    result = listen(etw_double, act, *ALL, "--format", "jsonl")
    assert result.exit_code == 0
    found = re.search(r"([0-9,]+) events or more were not shown", result.stderr)
    assert found is not None
    assert 0 < int(found[1].replace(",", "")) + len(result.stdout.splitlines()) <= 40_000


def test_ctrl_c_ends_in_order(etw_double: EtwDouble, recorded: Path) -> None:
    """What has come by then is shown, the session is gone, the exit code is 0."""

    events = events_of(recorded)
    result = listen(
        etw_double, lambda session: deliver(etw_double, session, events), *ALL, "--format", "jsonl"
    )
    assert (result.exit_code, result.exception) == (0, None)
    assert len(result.stdout.splitlines()) >= len(events_of(recorded))
    assert etw_double.session_names() == []


CHILD = """
import threading, time
from otel_etw.cli import main

def tell():
    while not double.session_names():
        time.sleep(0.01)
    print("listening", flush=True)

threading.Thread(target=tell, daemon=True).start()
import atexit
atexit.register(lambda: print("left:", double.session_names(), flush=True))
main(["listen", "-p", "Some", "--format", "jsonl"])
"""


@pytest.mark.skipif(os.name == "nt", reason="no signal for a single process there")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_the_process_in_order(etw_double: EtwDouble, number: signal.Signals) -> None:
    """A real signal to a real process: the session is stopped, no traceback, exit code 0."""
    with subprocess.Popen(
        [sys.executable, "-c", BOOTSTRAP + CHILD],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as child:  # fmt: skip
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == "listening\n"
            time.sleep(0.3)
            child.send_signal(number)
            out, err = child.communicate(timeout=DEADLINE_S)
        except BaseException:
            child.kill()
            raise
    assert child.returncode == 0, err
    assert out == "left: []\n"
    assert "Traceback" not in err


READ_CHILD = """
import threading, time
from otel_etw.cli import main
from otel_etw.tracelogging.encode import EventBuilder
from otel_etw.tracelogging.provider_id import encode_traits, provider_id
is_on = True

def write():
    while not any(double.enables(name) for name in double.session_names()):
        time.sleep(0.01)
    written = EventBuilder("Row")
    while is_on:
        double.emit(provider_id("Some"), bytes([0, 0, 0, 11, 4] + [0] * 11), encode_traits("Some"),
                    written.metadata(), written.payload(), 1)
        time.sleep(0.1)

writer = threading.Thread(target=write)
writer.start()
import atexit
atexit.register(lambda: print("left:", double.session_names(), file=sys.stderr))
try:
    main(["listen", "-p", "Some", "-q", *sys.argv[1:]])
finally:
    is_on = False
    writer.join()
"""


@pytest.mark.parametrize("format_", ["jsonl", "table"])
def test_a_pipe_gets_each_burst_and_may_close(etw_double: EtwDouble, format_: str) -> None:
    """Rows are there while it runs, without a terminal; nobody reading any more ends it, without a word."""
    with subprocess.Popen(
        [sys.executable, "-c", BOOTSTRAP + READ_CHILD, "--format", format_],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as child:  # fmt: skip
        try:
            assert child.stdout is not None
            assert child.stderr is not None
            lines = [child.stdout.readline() for _ in range(3)]
            child.stdout.close()
            assert child.wait(DEADLINE_S) == 1
            assert child.stderr.read().splitlines() == ["left: []"]
        except BaseException:
            child.kill()
            raise
    assert all("Row" in line for line in lines[1:])


def test_a_duration_ends_it(etw_double: EtwDouble) -> None:
    """After so long, with a line that says that nothing has come."""
    started = time.monotonic()
    result = invoke("listen", "-p", "Some", "--duration", "0.5s")
    assert 0.4 < time.monotonic() - started < 20
    assert (result.exit_code, result.stdout.strip()) == (0, "")
    assert "nothing has come" in result.stderr
    assert etw_double.session_names() == []


def test_a_session_stopped_by_somebody_else_is_a_failure(etw_double: EtwDouble, recorded: Path) -> None:
    """What came is shown, a line says why it ends, and the exit code is 1."""

    def act(session: str) -> None:
        deliver(etw_double, session, events_of(recorded)[:1])
        etw_double.stop_session(session)

    result = listen(etw_double, act, *ALL, "--format", "jsonl", ctrl_c=False)
    assert result.exit_code == 1
    assert len(result.stdout.splitlines()) == 1
    assert "stopped by somebody else" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("-p", "a:nonsense"),
        ("-p", "a", "--level", "loud"),
        ("-p", "a", "--grep", "("),
        ("--session", "a", "-p", "b:error"),
        ("--session", "a", "--keyword", "1"),
        ("-p", "a", "--duration", "soon"),
        ("-p", "a", "--duration", "0"),
        ("--session", ""),
        ("--session", "x" * 1024),
        ("--session", "a", "-p", ""),
    ],
)
def test_wrong_usage_is_said_before_anything_starts(
    etw_double: EtwDouble, arguments: tuple[str, ...]
) -> None:
    """Exit code 2, and no session."""
    assert invoke("listen", *arguments).exit_code == 2
    assert etw_double.calls("StartTraceW") == 0


def test_missing_rights_are_one_line(etw_double: EtwDouble, capsys: pytest.CaptureFixture[str]) -> None:
    """Exactly what is needed: an administrator, or a member of the group."""
    from otel_etw.cli.group import cli
    from otel_etw.cli.running import run

    etw_double.fail_next("StartTraceW", 5)
    assert run(cli, ["listen", "-p", "Some"]) == 1
    err = capsys.readouterr().err
    assert "administrator" in err
    assert "Performance Log Users" in err
    assert len(err.splitlines()) == 1


@pytest.mark.skipif(is_windows(), reason="there are sessions here")
def test_other_systems_are_told_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """What to use instead, and exit code 1."""
    from otel_etw.cli.group import cli
    from otel_etw.cli.running import run

    assert run(cli, ["listen", "-p", "Some"]) == 1
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1
    assert "EtlSession" in err
    assert "view --follow" in err
