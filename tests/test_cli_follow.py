"""``otel-etw view --follow``: what is there, then what comes, in both formats, until it is told to end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from etl_files import T0, buffer, trace_file, tracelogging_record
from otel_etw.cli.live import LIVE_QUIET_NS, LIVE_SETTLED_NS, LiveView
from otel_etw.cli.selection import Selection
from otel_etw.cli.showing import ShowOptions, output_for
from otel_etw.etl.following import FollowedFile
from otel_etw.sessions.embedded import EtlSession
from session_events import write_number
from shown_traces import (
    checkout,
    command_line,
    invoke,
    write_events,
    write_logs,
    write_metrics,
    write_spans,
)

DEADLINE_S = 60.0


class Viewer:
    """``otel-etw view`` in a process of its own, its output read as it comes."""

    def __init__(self, folder: Path, *arguments: object) -> None:
        self.out, self.err = folder / "out.txt", folder / "err.txt"
        command = command_line("view", *arguments, "--interval", "0.02")
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = subprocess.Popen(command, stdout=out, stderr=err)

    def lines(self) -> list[str]:
        return self.out.read_text(encoding="utf-8").splitlines()

    def errors(self) -> str:
        return self.err.read_text(encoding="utf-8")

    def wait_for(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < deadline, (self.lines(), self.errors())
            assert self.process.poll() is None, self.errors()
            time.sleep(0.02)

    def interrupt(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(DEADLINE_S)


@contextmanager
def viewing(folder: Path, *arguments: object) -> Iterator[Viewer]:
    viewer = Viewer(folder, *arguments)
    try:
        yield viewer
    finally:
        viewer.process.kill()
        viewer.process.wait()


def numbers(lines: list[str]) -> list[int]:
    return [json.loads(line)["fields"]["number"] for line in lines]


needs_signals = pytest.mark.skipif(os.name == "nt", reason="no Ctrl-C for a single process there")


@needs_signals
def test_it_waits_for_the_file_and_ends_with_ctrl_c(tmp_path: Path) -> None:
    """One line says that it waits; each line of JSON is there as soon as its event is."""
    path = tmp_path / "live.etl"
    with viewing(tmp_path, path, "-f", "--format", "jsonl") as viewer:
        viewer.wait_for(lambda: "waiting for" in viewer.errors())
        with EtlSession(path) as session:
            provider = session.register("Live")
            for number in range(5):
                write_number(provider, number)
                viewer.wait_for(lambda number=number: len(viewer.lines()) == number + 1)  # type: ignore[misc]
        assert viewer.interrupt() == 0
        assert numbers(viewer.lines()) == list(range(5))
        assert viewer.errors() == f"otel-etw: waiting for {path}\n"


@needs_signals
def test_rows_of_the_table_do_not_wait(tmp_path: Path) -> None:
    """For a hundred others to fit their columns to, or for the end; trees that wait come at the end."""
    path = tmp_path / "live.etl"
    with EtlSession(path) as session:
        provider = session.register("Live")
        write_number(provider, 1)
        with viewing(tmp_path, path, "--follow") as viewer:
            viewer.wait_for(lambda: len(viewer.lines()) == 2)
            write_number(provider, 2)
            viewer.wait_for(lambda: len(viewer.lines()) == 3)
            assert viewer.interrupt() == 0
            head, *rows = viewer.lines()
            assert head.startswith("TIME (UTC)")
            assert ["number=1" in rows[0], "number=2" in rows[1]] == [True, True]
            assert viewer.errors() == ""


def followed(*arguments: object) -> list[int]:
    result = invoke("view", "--follow", "--exit-on-end", "--format", "jsonl", *arguments)
    assert result.exit_code == 0, result.output
    return numbers(result.stdout.splitlines())


@pytest.fixture
def rolled(tmp_path: Path) -> Path:
    path = tmp_path / "live.etl"
    with EtlSession(path, buffer_size=4096) as session:
        provider = session.register("Live")
        for number in range(100):
            write_number(provider, number, 100)
    return path


def test_options_choose_and_bound_rows(rolled: Path) -> None:
    """As without ``--follow``; ``--tail`` is for what is there at the start."""
    assert followed(rolled) == list(range(100))
    assert followed(rolled, "--tail", 7) == list(range(93, 100))
    assert followed(rolled, "--tail", 0) == []
    assert followed(rolled, "--limit", 7) == list(range(7))
    assert followed(rolled, "--grep", "number=.5") == list(range(15, 100, 10))
    assert followed(rolled, "--provider", "Other*") == []
    assert followed(rolled, "--file-order", "--level", "error") == []


def test_a_directory_is_followed_with_all_its_files(tmp_path: Path, rolled: Path) -> None:
    """Merged by time; names say which."""
    with EtlSession(tmp_path / "other.etl") as session:
        write_number(session.register("Other"), 1000)
    assert followed(tmp_path) == [*range(100), 1000]
    result = invoke("view", "--follow", "--exit-on-end", "--format", "jsonl", tmp_path / "*.etl")
    assert {json.loads(line)["file"] for line in result.stdout.splitlines()} == {
        str(rolled),
        str(tmp_path / "other.etl"),
    }


def test_wrong_usage_is_said(rolled: Path) -> None:
    """Standard input cannot be followed, and ends are for following only."""
    for arguments in (["-", "--follow"], [rolled, "--exit-on-end"]):
        result = invoke("view", *arguments)
        assert result.exit_code == 2
        assert "--follow" in result.stderr


def test_damage_makes_a_strict_exit_code(tmp_path: Path) -> None:
    """After all of the output, and with its line."""
    path = tmp_path / "x.etl"
    bad = b"\x10\0\x13\xc0".ljust(0x50, b"\0")
    data = buffer([tracelogging_record(T0, "fine"), bad], flags=0x21)
    path.write_bytes(trace_file(data))
    for command in (["view", "--follow", "--exit-on-end"], ["view"], ["info"]):
        result = invoke(*command, path, "--strict")
        assert result.exit_code == 3, result.output
        assert "fine" in result.stdout
        if command[0] == "view":
            assert "damage: 1 record" in result.stderr
        assert invoke(*command, path).exit_code == 0
    path.write_bytes(trace_file(buffer([tracelogging_record(T0, "fine")], flags=0x21)))
    for command in (["view", "--follow", "--exit-on-end"], ["view"], ["info"]):
        assert invoke(*command, path, "--strict").exit_code == 0


@pytest.mark.parametrize("follow", [(), ("--follow", "--exit-on-end")])
@pytest.mark.parametrize("compressed", [False, True])
def test_an_event_that_cannot_be_decoded_is_said_with_its_place_in_its_file(
    tmp_path: Path, follow: tuple[str, ...], compressed: bool
) -> None:
    """Of several files and buffers, each its own; in a compressed buffer that of the buffer."""
    bad, later_bad = (tracelogging_record(T0 + after, "bad", [("number", 8)], b"\0") for after in (5, 9))
    fine, later_fine = (tracelogging_record(T0 + after, "fine") for after in (0, 9))
    for name, first in (("a.etl", [bad, bad]), ("b.etl", [fine, bad])):
        buffers = [buffer(first, compressed=compressed)]
        buffers.append(buffer([later_fine, later_bad], flags=0x21, compressed=compressed))
        (tmp_path / name).write_bytes(trace_file(*buffers))
    result = invoke("view", *follow, tmp_path / "a.etl", tmp_path / "b.etl")
    assert result.exit_code == 0, result.output
    at_b = 0x1000 if compressed else 0x1000 + 72 + (len(fine) + 7 & -8)
    at_a = 0x1000 if compressed else 0x1000 + 72
    assert f"a.etl: damage: 3 event (first at {at_a:#x})" in result.stderr
    assert f"b.etl: damage: 2 event (first at {at_b:#x})" in result.stderr


class Clock:
    now_ns = 0

    def __call__(self) -> int:
        return self.now_ns


def shown_live(
    bursts: list[Callable[[EtlSession], None] | int], path: Path, **options: Any
) -> list[list[str]]:
    """What is shown after each of ``bursts``, which write events or let so many nanoseconds pass."""
    screen, clock = StringIO(), Clock()
    how = ShowOptions(**options)
    view = LiveView(output_for(screen, how, live=True), Selection(), how, lambda *_: None, clock_ns=clock)
    shown, seen = [], 0
    with EtlSession(path) as session, closing(FollowedFile(path)) as file:
        for burst in bursts:
            if isinstance(burst, int):
                clock.now_ns += burst
            else:
                burst(session)
            view.burst(("", event) for event in file.poll())
            lines = screen.getvalue().splitlines()
            shown.append(lines[seen:])
            seen = len(lines)
    view.close()
    return [*shown, screen.getvalue().splitlines()[seen:]]


def test_a_trace_is_shown_when_it_seems_complete_on_the_wall_clock(tmp_path: Path) -> None:
    """A second after its last span; without its root after five; at once as rows with ``--spans``."""
    whole, orphan = checkout(), replace(checkout()[2], trace_id="0af7651916cd43dd8448eb211c80319c")
    bursts: list[Callable[[EtlSession], None] | int] = [
        lambda session: write_spans(session, whole),
        LIVE_SETTLED_NS - 1,
        1,
        lambda session: write_spans(session, [orphan]),
        LIVE_QUIET_NS - 1,
        LIVE_SETTLED_NS + 1,  # this test's clock is as much ahead of the events'
    ]
    first, waiting, tree, orphan_comes, still, late, rest = shown_live(bursts, tmp_path / "a.etl")
    assert (first, waiting, orphan_comes, still, rest) == ([], [], [], [], [])
    assert len(tree) == 1 + len(whole)
    assert "POST /checkout" in tree[1]
    assert len(late) == 1
    assert "not here" in late[0]
    plain = shown_live(bursts, tmp_path / "b.etl", spans=True)
    assert [len(lines) for lines in plain] == [1 + len(whole), 0, 0, 1, 0, 0, 0]


def test_spans_that_still_wait_are_shown_at_the_end(tmp_path: Path) -> None:
    """Nothing is kept back when following ends."""
    *before, rest = shown_live([lambda session: write_spans(session, checkout())], tmp_path / "a.etl")
    assert before == [[]]
    assert len(rest) == 1 + len(checkout())


def test_rows_of_one_burst_stand_by_their_own_time(tmp_path: Path) -> None:
    """As far as they came together; metric points are rows among them."""
    bursts: list[Callable[[EtlSession], None] | int] = [write_metrics, write_logs, write_events]
    metrics, logs, events, rest = shown_live(bursts, tmp_path / "a.etl", points=True)
    assert sum("METRIC" in line for line in metrics) == 4
    assert "cache warmed" in logs[0]
    assert len(events) == 3
    assert rest == []
