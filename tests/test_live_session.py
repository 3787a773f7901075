"""``LiveSession``: events of a session of its own or of another's, losses, ends, restarts."""

from __future__ import annotations

import _thread
import gc
import os
import struct
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any
from uuid import UUID

import pytest

import otel_etw
from etl_files import event_record
from etw_double import BOOTSTRAP, EtwDouble
from live_parts import header, items_and_data, parts_of
from manifest_events import PROVIDER as DOTNET_ID
from manifest_events import PROVIDER_NAME as DOTNET_NAME
from manifest_events import manifest_records, utf16
from otel_etw import LiveSession
from otel_etw.errors import SessionError
from otel_etw.etl.event import Event
from otel_etw.etl.layout import ExtendedType
from otel_etw.etl.reader import open_etl
from otel_etw.layouts.items import LogItem
from otel_etw.sessions import control
from otel_etw.sessions.embedded import EtlSession
from otel_etw.sessions.kernel import KernelSession
from otel_etw.sessions.requests import ALL_KEYWORDS, ProviderRequest
from otel_etw.tables.items import items_of
from otel_etw.tracelogging.provider_id import METRICS_PROVIDER_ID, encode_traits, provider_id
from otel_etw.windows.libraries import is_windows
from otel_etw.windows.processes import process_runs
from session_events import METADATA, NAME, payload_of

DEADLINE_S = 60.0
OTHERS = "Somebody"
DESCRIPTOR = struct.pack("<HBBBBHQ", 0, 0, 11, 4, 0, 0, 1)
PROVIDER = "Test_Live"
PROVIDER_ID = provider_id(PROVIDER)
GUID = UUID("00010203-0405-0607-0809-0a0b0c0d0e0f")


def emit(double: EtwDouble, count: int = 1) -> None:
    """Numbered events, from 0 on, of ``PROVIDER``."""
    traits = encode_traits(PROVIDER)
    double.emit(PROVIDER_ID, DESCRIPTOR, traits, METADATA, payload_of(0), count, counter_at=0)


def numbers(events: list[Event]) -> list[int]:
    assert all(event.name == NAME and event.provider_name == PROVIDER for event in events)
    return [struct.unpack_from("<q", event.payload)[0] for event in events]


def read(live: LiveSession, count: int) -> list[Event]:
    found: list[Event] = []
    deadline = time.monotonic() + DEADLINE_S
    while len(found) < count and not live.has_ended:
        assert time.monotonic() < deadline, f"{len(found)} of {count}"
        found += live.poll(0.2)
    return found


def wait_until(live: LiveSession, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        assert live.poll(0.02) == []


# --- a session of our own -----------------------------------------------------------------------


def test_a_session_is_started_heard_and_removed(etw_double: EtwDouble) -> None:
    """Providers are enabled as asked for, their events come, and nothing stays behind."""
    given = ProviderRequest("third", GUID, "given", 2, 0x30)
    with LiveSession([PROVIDER, f"{{{GUID}}}:warning:0x10", given, "metrics"], level=4) as live:
        assert live.is_own
        assert live.name == etw_double.session_names()[0]
        assert live.name.startswith(f"otel-etw-live-{os.getpid()}")
        emit(etw_double, 3)
        assert numbers(read(live, 3)) == [0, 1, 2]
        assert live.requests[0].name == PROVIDER
    assert etw_double.session_names() == []
    enabled = [
        (one.provider_id, one.code, one.level, one.any_mask, one.property)
        for one in etw_double.enables(live.name)
    ]
    assert enabled == [
        (PROVIDER_ID, 1, 4, ALL_KEYWORDS, 0),
        (GUID, 1, 3, 0x10, 0),
        (GUID, 1, 2, 0x30, 0),
        (METRICS_PROVIDER_ID, 1, 4, ALL_KEYWORDS, 0),
    ]


def test_call_stacks_come_with_the_events(etw_double: EtwDouble) -> None:
    """Where they are asked for, as an extended item."""
    with LiveSession([PROVIDER], stacks=True) as live:
        emit(etw_double)
        (event,) = read(live, 1)
        assert ExtendedType.STACK_TRACE64 in [kind for kind, _ in event.extended]
        assert numbers([event]) == [0]


def test_names_are_looked_up_among_registered_providers(etw_double: EtwDouble) -> None:
    """A registered name has the GUID it is registered with; an asterisk hashes it all the same."""
    etw_double.add_registered_provider(PROVIDER, GUID)
    with LiveSession([PROVIDER.lower(), f"*{PROVIDER}"]) as live:
        assert [(one.id, one.origin) for one in live.requests] == [
            (GUID, "registered"),
            (PROVIDER_ID, "hashed"),
        ]


def test_iteration_ends_when_another_thread_closes(etw_double: EtwDouble) -> None:
    """``for event in live`` gives what comes until ``close``, and then ends without an error."""
    with LiveSession([PROVIDER]) as live:
        found = []
        emit(etw_double, 5)
        for event in live:
            found.append(event)
            if len(found) == 5:
                threading.Timer(0.1, live.close).start()
        assert numbers(found) == [0, 1, 2, 3, 4]
        assert live.has_ended
        assert live.ended_because is None
        assert live.poll(1.0) == []
        live.close()
    assert etw_double.session_names() == []


def test_closing_inside_the_loop_ends_it(etw_double: EtwDouble) -> None:
    """The event at hand is the last, though more were there."""
    with LiveSession([PROVIDER]) as live:
        emit(etw_double, 50)
        found = []
        for event in live:
            found.append(event)
            if len(found) == 7:
                live.close()
        assert numbers(found) == list(range(7))


def test_finishing_with_a_busy_session_ends(etw_double: EtwDouble) -> None:
    """Somebody else's session goes on and on; listening to it ends a moment after ``finish``."""
    etw_double.start_session(OTHERS)
    etw_double.enable_in(OTHERS, PROVIDER_ID)
    is_over = threading.Event()

    def write() -> None:
        while not is_over.is_set():
            emit(etw_double, 10)
            time.sleep(0.002)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        with LiveSession(session=OTHERS) as live:
            read(live, 10)
            live.finish()
            rest = list(live)
            assert rest
            assert live.ended_because is None
    finally:
        is_over.set()
        writer.join()


def test_finish_gives_what_was_collected_and_ends(etw_double: EtwDouble) -> None:
    """After it nothing new comes, and nothing that was there is missing."""
    with LiveSession([PROVIDER]) as live:
        emit(etw_double, 2000)
        live.finish()
        emit(etw_double, 5)
        assert numbers(list(live)) == list(range(2000))
        assert live.ended_because is None
    assert etw_double.session_names() == []


def test_two_in_one_process_have_sessions_of_their_own(etw_double: EtwDouble) -> None:
    """Both hear everything; closing one leaves the other."""
    with LiveSession([PROVIDER]) as one, LiveSession([PROVIDER]) as two:
        assert one.name != two.name
        emit(etw_double)
        assert numbers(read(one, 1)) == numbers(read(two, 1)) == [0]
        one.close()
        emit(etw_double)
        assert numbers(read(two, 1)) == [0]


def test_our_session_stopped_by_somebody_else(etw_double: EtwDouble) -> None:
    """What came before is given out, then the iteration ends and says why."""
    said: list[str] = []
    with LiveSession([PROVIDER], say=said.append) as live:
        emit(etw_double, 3)
        etw_double.stop_session(live.name)
        assert numbers(list(live)) == [0, 1, 2]
        assert live.ended_because is not None
        assert "stopped by somebody else" in live.ended_because
        assert said == [live.ended_because]


def test_a_forgotten_session_is_stopped(etw_double: EtwDouble) -> None:
    """One that nobody has any more is ended by the garbage collector."""
    live = LiveSession([PROVIDER])
    assert etw_double.session_names() == [live.name]
    del live
    gc.collect()
    assert etw_double.session_names() == []


def test_sessions_are_stopped_by_name(etw_double: EtwDouble, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows gives the handle of a session that somebody else has stopped to the next one."""
    stop, stopped = control.stop, []

    def note(session: str | int) -> control.SessionFacts:
        stopped.append(session)
        return stop(session)

    monkeypatch.setattr(control, "stop", note)
    with LiveSession([PROVIDER]) as live:
        pass
    assert stopped == [live.name]


def test_ctrl_c_while_the_session_starts_leaves_none(etw_double: EtwDouble) -> None:
    """It is obeyed when Windows has answered, and by then there is a session that nobody has got yet."""
    etw_double.set_delay_ms("StartTraceW", 400)
    timer = threading.Timer(0.1, _thread.interrupt_main)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        LiveSession([PROVIDER])
    timer.join()
    assert etw_double.calls("StartTraceW") == 1
    assert etw_double.session_names() == []


class Tripwire:
    """Closes a session when a thread that is traced comes to the ``line``-th line of what is under test."""

    def __init__(self, line: int) -> None:
        self.left = line
        self.live: LiveSession | None = None

    def __call__(self, frame: FrameType, event: str, argument: Any) -> Any:
        name = os.path.basename(frame.f_code.co_filename)
        if self.live is None or name not in ("consumer.py", "live.py", "threading.py"):
            return None
        if event == "line" and self.left > 0:
            self.left -= 1
            if self.left == 0:
                self.live.close()
        return self


@pytest.mark.parametrize(("is_reader", "lines"), [(True, range(1, 160, 5)), (False, range(1, 34))])
def test_closing_is_safe_at_any_point(etw_double: EtwDouble, is_reader: bool, lines: range) -> None:
    """Signal handlers and finalizers run between any two lines of a thread, of the one that reads and of the
    one that receives; closing there neither waits for ever nor leaves a session."""
    reached: list[int] = []

    def read_or_be_received(line: int) -> None:
        tripwire = Tripwire(line)
        if not is_reader:
            threading.settrace(tripwire)
        live = LiveSession([PROVIDER], queue_bytes=1000)
        threading.settrace(None)  # type: ignore[arg-type]
        tripwire.live = live
        if is_reader:
            sys.settrace(tripwire)
        emit(etw_double, 30)
        if is_reader:
            for _ in live:
                pass
        while not live.has_ended:
            time.sleep(0.001)
        sys.settrace(None)
        tripwire.live = None
        reached.append(line)

    def run() -> None:
        for line in lines:
            read_or_be_received(line)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(DEADLINE_S)
    assert reached == list(lines)
    assert etw_double.session_names() == []


CHILD = """
import threading
from otel_etw import LiveSession
live = LiveSession(["Test_Live"])
print(*double.session_names(), flush=True)
threading.Thread(target=lambda: double.emit(live.requests[0].id, bytes([0, 0, 0, 11, 4] + [0] * 11), b"", b"",
                                            b"data", 50_000), daemon=True).start()
live.poll(1)
import atexit
atexit._run_exitfuncs()
print(*double.session_names(), "ended")
"""


def test_the_session_does_not_outlive_the_process(etw_double: EtwDouble) -> None:
    """At the interpreter's exit a session that nobody closed is stopped, though events come all the time."""
    child = subprocess.run(
        [sys.executable, "-c", BOOTSTRAP + CHILD],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (child.returncode, child.stderr) == (0, "")
    started, ended = child.stdout.splitlines()
    assert started.startswith("otel-etw-live-")
    assert ended == "ended"


EXIT_CHILD = """
import threading, time
from otel_etw import LiveSession

def flood():
    while True:
        double.emit(live.requests[0].id, bytes([0, 0, 0, 11, 4] + [0] * 11), b"", b"", b"data", 1000)
        time.sleep(0.001)

live = LiveSession(["Test_Live"], queue_bytes=100_000)
threading.Thread(target=flood, daemon=True).start()
"""
EXITS = {
    "in a callback": "live._running.session = None; live._finalizer.detach(); live.poll(5); sys.exit(7)",
    "while it waits for room": "time.sleep(0.2); sys.exit(7)",
    "closed": "live.poll(5); live.close(); sys.exit(7)",
    "while a thread reads": "threading.Thread(target=list, args=(live,), daemon=True).start(); sys.exit(7)",
}


@pytest.mark.parametrize("how", EXITS)
def test_the_interpreter_ends_while_events_come(etw_double: EtwDouble, how: str) -> None:
    """Without a crash or a word, also where ``ProcessTrace`` is not ended before the interpreter is."""
    child = subprocess.run(
        [sys.executable, "-c", BOOTSTRAP + EXIT_CHILD + EXITS[how]],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert (child.returncode, child.stdout, child.stderr) == (7, "", "")


def test_leftovers_of_ended_processes_are_stopped(etw_double: EtwDouble) -> None:
    """Sessions of listeners that were killed are stopped and named; those of running processes are not."""
    ended = subprocess.Popen([sys.executable, "-c", ""], stdin=subprocess.DEVNULL)
    ended.wait()
    said: list[str] = []
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        stale, running = f"otel-etw-live-{ended.pid}", f"otel-etw-live-{other.pid}-77"
        for name in (stale, running, "otel-etw-live-x", OTHERS):
            etw_double.start_session(name)
        with LiveSession([PROVIDER], say=said.append) as live:
            left = [live.name, running, "otel-etw-live-x", OTHERS]
            assert sorted(etw_double.session_names()) == sorted(left)
        other.communicate(b"\n")
    assert len(said) == 1
    assert stale in said[0]


def test_a_leftover_that_another_listener_has_stopped_is_nothing_to_say(etw_double: EtwDouble) -> None:
    """Two that start at once see the same leftovers."""
    ended = subprocess.Popen([sys.executable, "-c", ""], stdin=subprocess.DEVNULL)
    ended.wait()
    etw_double.start_session(f"otel-etw-live-{ended.pid}")
    etw_double.fail_next("ControlTraceW", 4201)
    said: list[str] = []
    with LiveSession([PROVIDER], say=said.append):
        assert etw_double.calls("ControlTraceW") == 1
    assert said == []


def test_a_number_that_no_process_can_have_is_not_looked_up(etw_double: EtwDouble) -> None:
    """Its low 32 bits might be somebody's."""
    assert process_runs(2**32 + 4) in (None, False)
    assert process_runs(9_999_999_999) in (None, False)


def test_a_name_that_is_taken_is_an_error(etw_double: EtwDouble) -> None:
    """Only sessions that nobody can own any more are replaced."""
    etw_double.start_session(OTHERS)
    with pytest.raises(SessionError, match="running already"):
        LiveSession([PROVIDER], name=OTHERS)
    assert etw_double.session_names() == [OTHERS]


@pytest.mark.parametrize("function", ["StartTraceW", "OpenTraceW", "EnableTraceEx2"])
def test_a_refusal_says_which_rights_are_missing_and_leaves_nothing(
    etw_double: EtwDouble, function: str
) -> None:
    """Whatever step Windows refuses, the message says what to do and the session is gone again."""
    etw_double.fail_next(function, 5)
    with pytest.raises(SessionError, match="Performance Log Users"):
        LiveSession([PROVIDER])
    assert etw_double.session_names() == []


def test_a_refusal_while_receiving_is_an_error_of_the_reader(etw_double: EtwDouble) -> None:
    """``ProcessTrace`` runs in another thread; who reads hears what it was refused for."""
    etw_double.fail_next("ProcessTrace", 5)
    with LiveSession([PROVIDER]) as live, pytest.raises(SessionError, match="Performance Log Users"):
        list(live)
    assert etw_double.session_names() == []


@pytest.mark.parametrize(
    ("arguments", "keywords"),
    [
        ((), {}),
        (([],), {}),
        ((["a"],), {"session": "b"}),
        (("a",), {}),
        ((GUID,), {}),
        ((["a:nonsense"],), {}),
        ((), {"session": ""}),
        ((), {"session": "x" * 1024}),
        ((["a"],), {"name": "x" * 1024}),
        ((["a"],), {"name": ""}),
    ],
)
def test_arguments_that_make_no_sense_are_refused(
    etw_double: EtwDouble, arguments: tuple[object, ...], keywords: dict[str, object]
) -> None:
    """Before anything is started."""
    with pytest.raises((ValueError, TypeError)):
        LiveSession(*arguments, **keywords)  # type: ignore[arg-type]
    assert etw_double.calls("StartTraceW") == 0


@pytest.mark.skipif(is_windows(), reason="there are sessions here")
@pytest.mark.parametrize("arguments", [{"providers": [PROVIDER]}, {"session": "x"}])
def test_other_systems_are_told_what_to_use_instead(arguments: dict[str, object]) -> None:
    """One line that names ``EtlSession`` and ``view --follow``."""
    with pytest.raises(SessionError, match=r"Windows.*EtlSession.*view --follow"):
        LiveSession(**arguments)  # type: ignore[arg-type]


def test_the_public_name_is_this_class() -> None:
    """``from otel_etw import LiveSession`` is the documented way."""
    assert otel_etw.LiveSession is LiveSession


# --- losses -------------------------------------------------------------------------------------


def test_a_loss_told_in_three_ways_is_counted_once(etw_double: EtwDouble) -> None:
    """Counters, buffers and notices speak of the same; notices are no events."""
    with LiveSession([PROVIDER]) as live:
        etw_double.set_lost(live.name, events=5, realtime_buffers=2)
        for opcode in [32] * 5 + [33] * 2:
            etw_double.deliver_lost_notice(live.name, opcode)
        emit(etw_double)
        assert numbers(read(live, 1)) == [0]
        wait_until(live, lambda: live.buffers_lost == 2)
        assert (live.events_lost, live.buffers_lost, live.file_buffers_lost) == (5, 2, 0)


def test_each_way_alone_is_heard(etw_double: EtwDouble) -> None:
    """Notices without counters, counters without notices; the last are those of the stop."""
    with LiveSession([PROVIDER]) as live:
        for opcode in (32, 32, 33, 34):
            etw_double.deliver_lost_notice(live.name, opcode)
        wait_until(live, lambda: (live.events_lost, live.buffers_lost) == (2, 2))
        etw_double.set_lost(live.name, events=3)
        wait_until(live, lambda: live.events_lost == 3)
        etw_double.set_lost(live.name, events=9, log_buffers=4, realtime_buffers=7)
    assert (live.events_lost, live.buffers_lost, live.file_buffers_lost) == (9, 7, 4)


def test_losses_before_listening_are_not_ours(etw_double: EtwDouble) -> None:
    """Of somebody else's session only what is lost from now on counts; after a restart all of it."""
    etw_double.start_session(OTHERS)
    etw_double.set_lost(OTHERS, events=100, realtime_buffers=10)
    with LiveSession(session=OTHERS, say=lambda text: None) as live:
        etw_double.set_lost(OTHERS, events=103, realtime_buffers=11)
        wait_until(live, lambda: (live.events_lost, live.buffers_lost) == (3, 1))
        etw_double.stop_session(OTHERS)
        etw_double.start_session(OTHERS)
        etw_double.set_lost(OTHERS, events=2)
        wait_until(live, lambda: (live.events_lost, live.buffers_lost) == (5, 1))


def test_what_finds_no_room_is_counted(etw_double: EtwDouble) -> None:
    """Events that nobody reads are dropped beyond the queue's size; received and dropped are all."""
    with LiveSession([PROVIDER], queue_bytes=100_000) as live:
        emit(etw_double, 2000)
        deadline = time.monotonic() + DEADLINE_S
        while live.received + live.dropped < 2000:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert live.dropped > 1000
        assert numbers(read(live, live.received)) == list(range(live.received))
        emit(etw_double, 3)
        assert numbers(read(live, 3)) == [0, 1, 2]


# --- somebody else's session --------------------------------------------------------------------


def test_a_session_that_runs_is_listened_to_and_left(etw_double: EtwDouble) -> None:
    """Its events come; it is neither changed nor stopped."""
    etw_double.start_session(OTHERS)
    etw_double.enable_in(OTHERS, PROVIDER_ID)
    with LiveSession(session=OTHERS) as live:
        assert not live.is_own
        emit(etw_double, 3)
        assert numbers(read(live, 3)) == [0, 1, 2]
        live.finish()
        assert list(live) == []
    assert etw_double.session_names() == [OTHERS]
    assert len(etw_double.enables(OTHERS)) == 1


def test_a_restarted_session_is_heard_again(etw_double: EtwDouble) -> None:
    """It is said that it ended and that it is back; events of both runs come, each once."""
    said: list[str] = []
    etw_double.start_session(OTHERS)
    etw_double.enable_in(OTHERS, PROVIDER_ID)
    with LiveSession(session=OTHERS, say=said.append) as live:
        for run in range(3):
            emit(etw_double, 2)
            if run == 2:
                break
            etw_double.stop_session(OTHERS)
            assert numbers(read(live, 2)) == [0, 1]
            wait_until(live, lambda: len(said) == 2 * run + 1)  # noqa: B023 - called right here
            etw_double.start_session(OTHERS)
            etw_double.enable_in(OTHERS, PROVIDER_ID)
            wait_until(live, lambda: len(said) == 2 * run + 2)  # noqa: B023
        assert numbers(read(live, 2)) == [0, 1]
        assert live.received == 6
    assert ["ended" in text for text in said] == [True, False, True, False]
    assert ["runs again" in text for text in said] == [False, True, False, True]


def test_a_session_that_goes_away_again_and_again_is_not_asked_without_pause(etw_double: EtwDouble) -> None:
    """Where receiving ends at once each time, it is begun anew (and said) some times in a second at most."""
    said: list[str] = []
    etw_double.start_session(OTHERS)
    etw_double.fail_next("ProcessTrace", 4201, times=-1)
    with LiveSession(session=OTHERS, say=said.append) as live:
        assert live.poll(1.2) == []
    assert 2 <= len(said) <= 7
    assert etw_double.calls("OpenTraceW") <= 4


def test_listening_anew_to_the_same_session_counts_losses_on(etw_double: EtwDouble) -> None:
    """Receiving may end while the session goes on: what it had lost before is still not ours."""
    etw_double.start_session(OTHERS)
    etw_double.set_lost(OTHERS, events=100)
    etw_double.fail_next("ProcessTrace", 0)
    with LiveSession(session=OTHERS, say=lambda text: None) as live:
        wait_until(live, lambda: etw_double.calls("ProcessTrace") == 2)
        etw_double.set_lost(OTHERS, events=103)
        wait_until(live, lambda: live.events_lost == 3)
        live.poll(1.2)
        assert live.events_lost == 3


def test_a_session_that_comes_back_without_delivery_is_an_error(
    etw_double: EtwDouble, tmp_path: Path
) -> None:
    """Started again as one that only writes a file: it is said, instead of waiting for ever."""
    etw_double.start_session(OTHERS)
    with LiveSession(session=OTHERS, say=lambda text: None) as live:
        etw_double.stop_session(OTHERS)
        etw_double.start_session(OTHERS, mode=1, file=str(tmp_path / "app.etl"))
        with pytest.raises(SessionError, match="view --follow"):
            list(live)
        assert live.has_ended


def test_what_is_left_unread_is_known(etw_double: EtwDouble) -> None:
    """Events that have come and were not given out, until they are."""
    with LiveSession([PROVIDER]) as live:
        emit(etw_double, 700)
        first = live.poll(DEADLINE_S)
        deadline = time.monotonic() + DEADLINE_S
        while live.received < 700:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert live.unread == 700 - len(first) > 0
        read(live, 700 - len(first))
        assert live.unread == 0


def test_waiting_for_a_restart_can_be_ended(etw_double: EtwDouble) -> None:
    """From another thread, while there is no session."""
    etw_double.start_session(OTHERS)
    with LiveSession(session=OTHERS, say=lambda text: None) as live:
        etw_double.stop_session(OTHERS)
        closer = threading.Timer(0.3, live.close)
        closer.start()
        assert list(live) == []
        closer.join()
        assert live.has_ended


def test_a_session_that_does_not_run_is_an_error(etw_double: EtwDouble) -> None:
    """At the start; the message says so."""
    with pytest.raises(SessionError, match="no session of that name"):
        LiveSession(session="Nobody")


def test_a_session_that_only_writes_a_file_is_an_error(etw_double: EtwDouble, tmp_path: Path) -> None:
    """The message says where its events can be had."""
    path = str(tmp_path / "app.etl")
    etw_double.start_session(OTHERS, mode=1, file=path)
    with pytest.raises(SessionError, match="view --follow") as caught:
        LiveSession(session=OTHERS)
    assert path in str(caught.value)


# --- what comes ---------------------------------------------------------------------------------


def test_manifests_of_eventsource_name_what_follows(etw_double: EtwDouble) -> None:
    """A manifest among the events is taken in, and describes the provider's events from then on."""
    etw_double.start_session(OTHERS)
    started = event_record(0, utf16("disk"), provider=DOTNET_ID, event_id=1, version=0)
    records = [*manifest_records(), started]
    with LiveSession(session=OTHERS) as live:
        for record in records:
            etw_double.deliver_record(OTHERS, header()[:0x18] + record[0x18:0x50], *items_and_data(record))
        event = read(live, len(records))[-1]
        assert (event.provider_name, event.name) == (DOTNET_NAME, "Work/Start")
        assert event.fields == {"Name": "disk"}


def mixed_events(tmp_path: Path) -> list[Event]:
    """A log record, a span and a data point as the exporters write them."""
    from shown_traces import checkout, write_logs, write_metrics, write_spans

    with EtlSession(tmp_path / "mixed.etl") as session:
        write_logs(session)
        write_spans(session, checkout())
        write_metrics(session)
    with open_etl(tmp_path / "mixed.etl") as trace:
        found = sorted(
            (event for event in trace if event.kind == "event"), key=lambda event: -len(event.record)
        )
    smallest = {items_of(event)[0].signal: event for event in found}
    return [smallest[signal] for signal in ("logs", "spans", "metrics")]


def test_what_the_exporters_write_to_the_kernel_is_heard(etw_double: EtwDouble) -> None:
    """From the SDK through the kernel's provider and a session to items, with the ids of this process."""
    from shown_traces import write_logs, write_metrics

    with LiveSession(["Test_Shop", "metrics"]) as live:
        write_logs(KernelSession())
        write_metrics(KernelSession())
        events = read(live, 10)
        items = [item for event in events for item in items_of(event)]
    assert Counter(item.signal for item in items) == {"logs": 6, "metrics": 4}
    bodies = [item.content.body for item in items if isinstance(item.content, LogItem)]
    assert bodies[1:3] == ["order placed", "stock is low"]
    assert {event.process_id for event in events} == {os.getpid()}
    assert all(0 <= time.time_ns() - event.timestamp_ns < 60 * 10**9 for event in events)


def test_100_000_events_come_through_and_none_is_lost(etw_double: EtwDouble, tmp_path: Path) -> None:
    """Log records, spans and data points, written as fast as C can, are all received, decoded and right."""
    events = mixed_events(tmp_path)
    rounds, at_a_time = 50, {"logs": 400, "spans": 200, "metrics": 1401}
    expected = {items_of(event)[0].signal: repr(items_of(event)[0].content) for event in events}

    def write() -> None:
        for _ in range(rounds):
            for event, count in zip(events, at_a_time.values(), strict=True):
                _, items, payload = parts_of(event)
                kinds = dict(items)
                etw_double.emit(
                    event.provider_id, event.record[0x28:0x38], kinds[12], kinds[11], payload, count
                )  # fmt: skip

    written = rounds * sum(at_a_time.values())
    with LiveSession(["Test_Shop", "metrics"], queue_bytes=1 << 28) as live:
        writer = threading.Thread(target=write)
        writer.start()
        seen: Counter[str] = Counter()
        deadline = time.monotonic() + 4 * DEADLINE_S
        while seen.total() < written:
            assert time.monotonic() < deadline, (seen, live.received, live.dropped)
            for event in live.poll(0.5):
                (item,) = items_of(event)
                assert not item.problems
                if seen[item.signal] % 500 == 0:
                    assert repr(item.content) == expected[item.signal]
                seen[item.signal] += 1
        writer.join()
        assert (live.dropped, live.events_lost, live.buffers_lost) == (0, 0, 0)
    assert live.received == written > 100_000
    assert seen == {signal: rounds * count for signal, count in at_a_time.items()}
