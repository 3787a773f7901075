"""Threads, signal handlers, ``__del__`` and exceptions in the middle of a write: no hang, no torn event."""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from otel_etw.etl.layout import FILLED_BYTES_OFFSET, SAVED_OFFSET_OFFSET
from otel_etw.etl.mapping import MappedWindow
from otel_etw.etl.reader import open_etl
from otel_etw.etl.writer import TraceFile
from otel_etw.providers.base import WriteStatus
from otel_etw.providers.embedded import EmbeddedProvider
from otel_etw.sessions.embedded import EtlSession
from otel_etw.sessions.turns import Turns, _Turn
from session_events import (
    DESCRIPTOR,
    number_of,
    numbers_in,
    our_numbers,
    run_child,
    write_number,
    write_plainly,
)

TraceFunction = Callable[[FrameType, str, Any], Any]

needs_timer = pytest.mark.skipif(
    not hasattr(signal, "setitimer"), reason="there are no timer signals on this system"
)


@pytest.mark.parametrize("buffer_size_bytes", [4096, 65536])
def test_eight_threads_share_a_session(tmp_path: Path, buffer_size_bytes: int) -> None:
    each = 400
    start = threading.Barrier(8)
    with EtlSession(tmp_path / "a.etl", buffer_size=buffer_size_bytes) as session:

        def write(lane: int) -> None:
            provider = session.register(f"Provider{lane % 3}")
            start.wait()
            for number in range(each):
                assert write_number(provider, lane * 1000 + number, number % 300) == 0
                if number == each // 2:
                    session.flush()

        threads = [threading.Thread(target=write, args=(lane,)) for lane in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert session.events_lost == 0
    numbers = numbers_in(tmp_path / "a.etl")
    assert len(numbers) == 8 * each
    for lane in range(8):
        own = [number for number in numbers if number // 1000 == lane]
        assert own == [lane * 1000 + number for number in range(each)]


@needs_timer
def test_a_timer_signal_every_millisecond_that_logs_while_a_write_is_in_progress(tmp_path: Path) -> None:
    out = run_child(
        """
import itertools, logging, signal, sys, threading, time
from session_events import *
from otel_etw.sessions.embedded import EtlSession
session = EtlSession(sys.argv[1], buffer_size=4096)
provider = session.register("TestProvider")
class ToSession(logging.Handler):
    def emit(self, record):
        assert write_number(provider, record.args[0], 100) == 0
logger = logging.getLogger("app")
logger.setLevel(logging.INFO)
logger.addHandler(ToSession())
other = 0
signals = itertools.count(10**9)
def on_timer(signum, frame):
    logger.info("%d", next(signals))
def in_thread():
    global other
    while time.monotonic() < end:
        logger.info("%d", 2 * 10**9 + other)
        other += 1
        time.sleep(0.0005)
signal.signal(signal.SIGALRM, on_timer)
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
end = time.monotonic() + 2.5
thread = threading.Thread(target=in_thread)
thread.start()
number = 0
slowest = 0.0
while time.monotonic() < end and number < 60_000:
    began = time.monotonic()
    assert write_number(provider, number, number % 50) == 0
    slowest = max(slowest, time.monotonic() - began)
    number += 1
while time.monotonic() < end:
    time.sleep(0.01)
thread.join()
signal.setitimer(signal.ITIMER_REAL, 0)
session.close()
assert session.events_lost == 0
signals = next(signals) - 10**9
numbers = our_numbers(sys.argv[1])
# Handlers interrupt each other, too: only their events may change places.
assert [n for n in numbers if n < 10**9] == list(range(number))
assert [n - 2 * 10**9 for n in numbers if n >= 2 * 10**9] == list(range(other))
assert sorted(n - 10**9 for n in numbers if 10**9 <= n < 2 * 10**9) == list(range(signals))
print(number, signals, other, slowest)
""",
        tmp_path / "a.etl",
    )
    number, signals, other, _ = out.split()
    assert int(number) > 100
    assert int(signals) > 20
    assert int(other) > 20


class WritesWhenCollected:
    def __init__(self, provider: EmbeddedProvider, number: int) -> None:
        self.itself = self
        self.provider, self.number = provider, number

    def __del__(self) -> None:
        write_number(self.provider, self.number)


def test_finalizers_may_write_at_any_moment(tmp_path: Path) -> None:
    threshold = gc.get_threshold()
    with EtlSession(tmp_path / "a.etl", buffer_size=4096) as session:
        provider = session.register("TestProvider")
        gc.set_threshold(3, 1, 1)
        try:
            for number in range(300):
                WritesWhenCollected(provider, 1000 + number)
                write_number(provider, number)
        finally:
            gc.set_threshold(*threshold)
        gc.collect()
    numbers = numbers_in(tmp_path / "a.etl")
    assert sorted(numbers) == [*range(300), *range(1000, 1300)]


STEPS = ("reserve", "seal_newest", "open_window", "store_first", "publish", "count_buffer", "append")


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", STEPS)
def test_an_event_written_within_a_write_follows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, after: bool
) -> None:
    original = getattr(TraceFile, step)
    nested = iter(range(1000, 2000))

    def interrupted(self: TraceFile, *arguments: object) -> object:
        if after:
            result = original(self, *arguments)
        if number < 6:
            assert write_plainly(provider, next(nested)) == 0
            session.flush()
        return result if after else original(self, *arguments)

    with EtlSession(tmp_path / "a.etl", buffer_size=4096) as session:
        provider = session.register("TestProvider")
        number = 0
        with monkeypatch.context() as patch:
            patch.setattr(TraceFile, step, interrupted)
            for number in range(8):
                assert write_plainly(provider, number, 1500) == 0
    numbers = numbers_in(tmp_path / "a.etl")
    assert [n for n in numbers if n < 1000] == list(range(8))
    assert [n for n in numbers if n >= 1000] == list(range(1000, next(nested)))
    assert len(numbers) > 8


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", STEPS)
def test_an_exception_out_of_any_step_passes_and_later_events_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, after: bool
) -> None:
    original = getattr(TraceFile, step)

    def interrupted(self: TraceFile, *arguments: object) -> object:
        if after:
            original(self, *arguments)
        raise KeyboardInterrupt

    with EtlSession(tmp_path / "a.etl", buffer_size=4096) as session:
        provider = session.register("TestProvider")
        assert write_plainly(provider, 0, 1500) == 0
        assert write_plainly(provider, 1, 1500) == 0
        with monkeypatch.context() as patch:
            patch.setattr(TraceFile, step, interrupted)
            with pytest.raises(KeyboardInterrupt):
                write_plainly(provider, 2, 100 if step == "append" else 1500)
        assert len(our_numbers(session.path)) in (2, 3)
        for number in range(3, 9):
            assert write_plainly(provider, number, 1500) == 0
    numbers = numbers_in(tmp_path / "a.etl")
    assert [number for number in numbers if number != 2] == [0, 1, 3, 4, 5, 6, 7, 8]


@needs_timer
def test_exceptions_from_a_signal_handler_at_random_moments(tmp_path: Path) -> None:
    out = run_child(
        """
import random, signal, sys, time
from session_events import *
from otel_etw.sessions.embedded import EtlSession
session = EtlSession(sys.argv[1], buffer_size=4096)
provider = session.register("TestProvider")
class Alarm(BaseException):
    pass
def on_timer(signum, frame):
    raise Alarm
signal.signal(signal.SIGALRM, on_timer)
done, number, alarms = [], 0, 0
end = time.monotonic() + 1.5
while time.monotonic() < end:
    try:
        signal.setitimer(signal.ITIMER_REAL, random.uniform(0.0001, 0.002))
        while True:
            number += 1
            if write_number(provider, number, 50) == 0:
                done.append(number)
    except Alarm:
        alarms += 1
signal.setitimer(signal.ITIMER_REAL, 0)
began = time.monotonic()
import threading
thread = threading.Thread(target=lambda: done.append(write_number(provider, 10**9) or 10**9))
thread.start()
thread.join()
assert time.monotonic() - began < 5
session.close()
numbers = our_numbers(sys.argv[1])
assert numbers == sorted(set(numbers)), "none twice, none out of order"
missing = set(done) - set(numbers)
assert not missing, missing
print(alarms, len(done))
""",
        tmp_path / "a.etl",
    )
    assert int(out.split()[0]) > 20


def test_what_an_exception_left_behind_holds_nobody_up() -> None:
    """Busy threads must not wait a second each for one that has gone without unlocking."""
    stored: list[int] = []
    turns: Turns[int] = Turns(
        lambda unix_ns, item: stored.append(item) or 0, lambda: None, lambda: len(stored)
    )
    turns.place[None] = _Turn(threading.get_ident())

    def write(lane: int) -> None:
        for number in range(100):
            assert turns.take(lane * 100 + number) == 0

    threads = [threading.Thread(target=write, args=(lane,)) for lane in range(4)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert time.monotonic() - began < 60, "400 waits of a second each take minutes"
    assert sorted(stored) == list(range(400))


def test_a_mark_an_exception_left_behind_keeps_nobody_out() -> None:
    stored: list[int] = []
    turns: Turns[int] = Turns(
        lambda unix_ns, item: stored.append(item) or 0, lambda: None, lambda: len(stored)
    )
    turns._marks[threading.get_ident()] = _Turn(threading.get_ident())
    assert turns.take(1) == 0
    assert stored == [1]


class Interruption:
    """Trace function that raises once, before an instruction of the session's own code."""

    def __init__(self, kind: type[BaseException], instruction: int) -> None:
        self.kind, self.instruction = kind, instruction
        self.passed = 0
        self.raised = False

    def __call__(self, frame: FrameType, event: str, argument: Any) -> Any:
        path = frame.f_code.co_filename.replace("\\", "/")
        if "otel_etw/sessions/" not in path and "otel_etw/etl/" not in path:
            return None
        if frame.f_code.co_name == "_filesystem_type":  # a file left open there is a warning, and no more
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if event == "opcode":
            self.passed += 1
            if self.passed == self.instruction:
                sys.settrace(None)
                self.raised = True
                raise self.kind
        return self


@pytest.mark.parametrize("kind", [KeyboardInterrupt, RuntimeError, TimeoutError])
@pytest.mark.parametrize("mode", ["sequential", "rolling", "circular"])
def test_an_exception_while_the_queue_is_emptied_costs_no_event_of_others(
    tmp_path: Path, mode: str, kind: type[BaseException]
) -> None:
    """Their owners were told that they are safe: stored once, wherever the exception comes."""
    options = {} if mode == "sequential" else {"mode": mode, "max_file_size": 3 * 4096, "max_files": 9999}
    kept: list[int] = []
    interrupted, instruction, missed = 0, 1, 0
    with EtlSession(tmp_path / "a.etl", buffer_size=4096, **options) as session:
        provider = session.register("TestProvider")
        while missed < 2:
            first = 10 * instruction
            interruption = Interruption(kind, instruction)

            def leave_items(first: int = first, trace: TraceFunction = interruption) -> None:
                for number in (first, first + 1, first + 2):
                    assert write_plainly(provider, number, 1300) == 0
                sys.settrace(trace)

            before = sys.gettrace()
            try:
                session._turns.exclusively(leave_items)
            except kind:
                pass
            finally:
                sys.settrace(before)
            assert write_plainly(provider, first + 3) == 0
            kept += range(first, first + 4)
            interrupted += interruption.raised
            missed += not interruption.raised
            instruction += STRIDE
        assert session.events_lost == 0
    numbers = []
    for path in sorted(tmp_path.glob("a*"), key=lambda path: path.stat().st_mtime_ns):
        if sys.platform == "win32" and not path.stat().st_size:
            continue  # made in place there: an exception in that instant leaves the name
        with open_etl(path) as trace_file:
            events = [event for event in trace_file.in_time_order() if event.kind == "event"]
        numbers += [number_of(event.payload) for event in events]
    if mode == "circular":
        kept = kept[-len(numbers) :]
    assert numbers == kept
    assert interrupted > 400 // STRIDE


STRIDE = 1 if os.environ.get("OTEL_ETW_LONG_TESTS") else 7 if sys.platform == "win32" else 2
"""Every instruction, or every second one; fewer where renaming hundreds of files takes its time."""


def test_a_thread_that_writes_without_a_pause_keeps_nobody_waiting(tmp_path: Path) -> None:
    """It is nearly always inside when others come to run: it stores their items, which are then safe."""
    ready, done = threading.Event(), threading.Event()
    with EtlSession(tmp_path / "a.etl") as session:
        provider = session.register("TestProvider")
        turns = session._turns

        def hog() -> None:
            place = turns.place
            mark = turns._marks[threading.get_ident()] = _Turn(threading.get_ident())
            place[None] = mark  # and whenever anybody looks, it is there
            ready.set()
            while not turns.queue and not done.is_set():
                time.sleep(0.001)
            turns._catch_up()
            done.wait(10)
            del place[None], turns._marks[threading.get_ident()]

        thread = threading.Thread(target=hog)
        thread.start()
        assert ready.wait(10)
        held_up = turns._is_held_up
        turns._is_held_up = lambda: False  # type: ignore[method-assign]
        try:
            assert write_plainly(provider, 1) == 0
            assert our_numbers(session.path) == [1], "answered when it is in the file"
            assert turns.place.get(None) is not None, "by the one who is inside"
        finally:
            turns._is_held_up = held_up  # type: ignore[method-assign]
            done.set()
            thread.join()


INTERRUPTED_AND_OTHERS = """
import signal, sys, threading, time
from session_events import *
from otel_etw.sessions.embedded import EtlSession
session = EtlSession(sys.argv[1], buffer_size=4096)
provider = session.register("TestProvider")
class Alarm(BaseException):
    pass
armed = False
def on_timer(signum, frame):
    global armed
    if armed:
        armed = False  # here: on a busy machine the next one would come into the handler below
        raise Alarm
signal.signal(signal.SIGALRM, on_timer)
end = time.monotonic() + 0.8
done, slowest = [], [0.0]
def write(lane):
    number = lane * 10**6
    while time.monotonic() < end:
        began = time.monotonic()
        if write_number(provider, number) == 0:
            done.append(number)
        slowest[0] = max(slowest[0], time.monotonic() - began)
        number += 1
        time.sleep(0.0005)
threads = [threading.Thread(target=write, args=(lane,)) for lane in (1, 2, 3)]
for thread in threads:
    thread.start()
number = 0
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.0007)
while time.monotonic() < end:
    number += 1
    try:
        armed = True
        if write_number(provider, number) == 0:
            done.append(number)
        armed = False
    except Alarm:
        armed = False
signal.setitimer(signal.ITIMER_REAL, 0)
for thread in threads:
    thread.join()
session.close()
numbers = our_numbers(sys.argv[1])
assert len(numbers) == len(set(numbers))
missing = set(done) - set(numbers)
assert not missing, missing
print(slowest[0])
"""


@needs_timer
def test_exceptions_in_one_thread_do_not_slow_the_others(tmp_path: Path) -> None:
    """A machine may stop for a while: the best of three runs counts, while one that waits does so in each."""
    slowest_s = 9.0
    for attempt in range(3):
        slowest_s = min(slowest_s, float(run_child(INTERRUPTED_AND_OTHERS, tmp_path / f"{attempt}.etl")))
        if slowest_s < 0.8:
            break
    assert slowest_s < 0.8


@pytest.mark.parametrize("field", [FILLED_BYTES_OFFSET, SAVED_OFFSET_OFFSET])
def test_readers_agree_about_a_record_whose_writing_was_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, field: int
) -> None:
    """An exception before one of the fields that say how full the newest buffer is; then no more room."""
    original = MappedWindow.store_u32

    def interrupted(self: MappedWindow, offset: int, value: int) -> None:
        if offset == field:
            raise KeyboardInterrupt
        original(self, offset, value)

    with EtlSession(tmp_path / "a.etl", buffer_size=4096) as session:
        provider = session.register("TestProvider")
        assert write_plainly(provider, 0, 1500) == 0
        with monkeypatch.context() as patch:
            patch.setattr(MappedWindow, "store_u32", interrupted)
            with pytest.raises(KeyboardInterrupt):
                write_plainly(provider, 1, 1500)
        assert write_plainly(provider, 2, 1500) == 0
    assert numbers_in(tmp_path / "a.etl") == [0, 1, 2]


def test_nobody_waits_for_ever_for_a_thread_that_waits_for_him(tmp_path: Path) -> None:
    """A handler inside a write waits for a logging lock whose owner is about to write."""
    logging_lock = threading.Lock()
    inside, owned = threading.Event(), threading.Event()
    with EtlSession(tmp_path / "a.etl") as session:
        provider = session.register("TestProvider")

        class Payload(bytes):
            def __len__(self) -> int:
                if session._turns.inside and not inside.is_set():
                    inside.set()
                    owned.wait(5)
                    with logging_lock:
                        pass
                return super().__len__()

        def other() -> None:
            inside.wait(5)
            with logging_lock:
                owned.set()
                assert write_number(provider, 2) == WriteStatus.SUCCESS

        thread = threading.Thread(target=other)
        thread.start()
        began = time.monotonic()
        assert provider.write(DESCRIPTOR, None, Payload(b"\1" + bytes(7))) == 0
        thread.join(5)
        assert time.monotonic() - began < 4
        assert inside.is_set()
        assert owned.is_set()
    with open_etl(tmp_path / "a.etl") as trace:
        assert [event.payload[0] for event in trace if event.kind == "event"] == [1, 2]


def test_too_many_events_within_one_write_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = TraceFile.append
    statuses = []

    def interrupted(self: TraceFile, *arguments: object) -> None:
        if not statuses:
            statuses.extend(write_plainly(provider, 100 + number) for number in range(1500))
        original(self, *arguments)  # type: ignore[arg-type]

    with EtlSession(tmp_path / "a.etl") as session:
        provider = session.register("TestProvider")
        write_plainly(provider, 0)
        monkeypatch.setattr(TraceFile, "append", interrupted)
        write_plainly(provider, 1)
        assert statuses == [0] * 1024 + [WriteStatus.NOT_ENOUGH_MEMORY] * (1500 - 1024)
        assert session.events_lost == 1500 - 1024
    assert our_numbers(tmp_path / "a.etl") == [0, 1, *range(100, 1124)]


@pytest.mark.parametrize("step", STEPS)
def test_a_session_closed_within_a_write_is_closed_when_that_write_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    original = getattr(TraceFile, step)

    def interrupted(self: TraceFile, *arguments: object, **options: object) -> object:
        session.close()
        return original(self, *arguments, **options)

    session = EtlSession(tmp_path / "a.etl", buffer_size=4096)
    provider = session.register("TestProvider")
    write_plainly(provider, 0, 1500)
    write_plainly(provider, 1, 1500)
    with monkeypatch.context() as patch:
        patch.setattr(TraceFile, step, interrupted)
        assert write_plainly(provider, 2, 100 if step == "append" else 1500) == 0
    assert session.closed
    assert numbers_in(session.path) == [0, 1, 2]
    assert write_plainly(provider, 3) == WriteStatus.INVALID_HANDLE


def test_what_the_session_logs_may_come_back_as_an_event(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Our own log line, sent to the session it is about while that has no space."""

    class ToSession(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(write_number(provider, 99))

    seen: list[int] = []
    handler = ToSession()
    logger = logging.getLogger("otel_etw")
    with EtlSession(tmp_path / "a.etl", buffer_size=4096, max_file_size=8192) as session:
        provider = session.register("TestProvider")
        logger.addHandler(handler)
        try:
            assert write_number(provider, 0, 3800) == 0
            assert write_number(provider, 1, 3800) == WriteStatus.DISK_FULL
        finally:
            logger.removeHandler(handler)
        assert seen == [WriteStatus.DISK_FULL] or seen == [0]
    assert our_numbers(tmp_path / "a.etl")[0] == 0
