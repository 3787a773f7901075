"""Prepared writes: the same events as plain ones, and safe at every single instruction."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from otel_etw.etl.reader import open_etl
from otel_etw.providers.base import WriteStatus
from otel_etw.sessions.embedded import EtlSession
from otel_etw.sessions.turns import LANES
from otel_etw.tracelogging.types import EventDescriptor
from session_events import (
    DESCRIPTOR,
    METADATA,
    numbers_in,
    our_numbers,
    payload_of,
    prepared,
    write_number,
    write_plainly,
)

ACTIVITY = bytes(range(16))


def test_a_prepared_write_makes_the_records_a_plain_one_makes(tmp_path: Path) -> None:
    descriptor = EventDescriptor(id=3, version=1, channel=11, level=4, opcode=2, task=7, keyword=1 << 40)
    with EtlSession(tmp_path / "a.etl") as session:
        provider = session.register("TestProvider")
        write = provider.prepare(descriptor, METADATA)
        for padding in range(20):
            for activity in (None, ACTIVITY):
                payload = payload_of(padding, padding)
                assert provider.write(descriptor, METADATA, payload, activity) == 0
                assert write(payload, activity) == 0
    with open_etl(tmp_path / "a.etl") as trace:
        events = [event for event in trace if event.kind == "event"]
    assert len(events) == 80
    for plain, fast in zip(events[::2], events[1::2], strict=True):
        assert fast.record[:16] == plain.record[:16]
        assert fast.record[24:] == plain.record[24:]
        assert plain.timestamp_ns <= fast.timestamp_ns
    numbers_in(tmp_path / "a.etl")


def test_it_stays_out_of_the_turns_while_nothing_is_unusual(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with EtlSession(tmp_path / "a.etl") as session:
        provider = session.register("TestProvider")
        write_plainly(provider, 0)
        monkeypatch.setattr(session._turns, "take", lambda item: pytest.fail("the long way"))
        for number in range(1, 100):
            assert prepared(provider)(payload_of(number), ACTIVITY if number % 3 else None) == 0
    assert numbers_in(tmp_path / "a.etl") == list(range(100))


@pytest.mark.parametrize("payload", [None, 5, "text", [1], memoryview(bytes(8)).cast("I"), bytes(70_000)])
@pytest.mark.parametrize("activity", [None, ACTIVITY])
def test_odd_payloads_cost_themselves_only(tmp_path: Path, payload: Any, activity: bytes | None) -> None:
    with EtlSession(tmp_path / "a.etl") as session:
        provider = session.register("TestProvider")
        write_number(provider, 0)
        expected = provider.write(DESCRIPTOR, METADATA, payload, activity)
        lost = session.events_lost
        assert prepared(provider)(payload, activity) == expected
        assert session.events_lost == 2 * lost
        write_number(provider, 1)
    with open_etl(tmp_path / "a.etl") as trace:
        assert len([event for event in trace if event.kind == "event"]) == 4 - 2 * lost
        assert not trace.damage


@pytest.mark.parametrize("activity", [b"", bytes(15), bytes(17), "x" * 16, 5])
def test_odd_activity_ids_cost_their_event_only(tmp_path: Path, activity: Any) -> None:
    with EtlSession(tmp_path / "a.etl") as session:
        provider = session.register("TestProvider")
        for number in range(3):
            write_number(provider, number)
            assert prepared(provider)(payload_of(9), activity) == WriteStatus.INVALID_PARAMETER
        assert session.events_lost == 3
    assert numbers_in(tmp_path / "a.etl") == [0, 1, 2]


def test_closing_provider_or_session_ends_prepared_writes(tmp_path: Path) -> None:
    with EtlSession(tmp_path / "a.etl") as session:
        first, second = session.register("TestProvider"), session.register("TestProvider")
        write_number(first, 0)
        assert prepared(first)(payload_of(1), None) == 0
        assert prepared(second)(payload_of(2), None) == 0
        first.close()
        assert prepared(first)(payload_of(3), None) == WriteStatus.INVALID_HANDLE
        assert prepared(second)(payload_of(4), None) == 0
    assert prepared(second)(payload_of(5), None) == WriteStatus.INVALID_HANDLE
    assert numbers_in(tmp_path / "a.etl") == [0, 1, 2, 4]


def test_a_prepared_write_the_session_does_not_want_is_no_loss(tmp_path: Path) -> None:
    with EtlSession(tmp_path / "a.etl", level=3) as session:
        provider = session.register("TestProvider")
        assert prepared(provider)(payload_of(1), None) == 0
        assert session.events_lost == 0
    assert numbers_in(tmp_path / "a.etl") == []


def test_time_that_goes_back_does_not_fall_within_a_buffer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = time.time_ns()
    clock = iter([start + step * 10**9 for step in (5, 6, 2, 3, 7, 1, 8, 0)])
    with EtlSession(tmp_path / "a.etl") as session:
        provider = session.register("TestProvider")
        with monkeypatch.context() as patch:
            patch.setattr(time, "time_ns", lambda: next(clock))
            for number in range(8):
                assert write_number(provider, number) == 0
    with open_etl(tmp_path / "a.etl") as trace:
        times = [(event.timestamp_ns - start) / 10**9 for event in trace if event.kind == "event"]
    assert [round(seconds - times[0]) for seconds in times] == [0, 1, 1, 1, 2, 2, 3, 3]


def at_instruction(number: int, action: Callable[[], None]) -> Callable[[FrameType, str, Any], Any]:
    """A trace function that calls ``action`` before the instruction ``number`` of a lane."""
    passed = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal passed
        if frame.f_code not in LANES:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            passed += 1
            if passed == number:
                sys.settrace(None)
                action()
        return trace

    return trace


def traced(trace: Callable[[FrameType, str, Any], Any], write: Callable[[], int]) -> int:
    before = sys.gettrace()
    sys.settrace(trace)
    try:
        return write()
    finally:
        sys.settrace(before)


INSTRUCTIONS = 400
"""More than a lane has: the rounds that interrupt nothing say that all were tried."""


def test_an_exception_at_any_instruction_passes_and_holds_nobody_up(tmp_path: Path) -> None:
    interrupted = 0
    acknowledged = []

    def interrupt() -> None:
        raise KeyboardInterrupt

    began = time.monotonic()
    with EtlSession(tmp_path / "a.etl", buffer_size=8192) as session:
        provider = session.register("TestProvider")
        write = prepared(provider)
        for number in range(INSTRUCTIONS):
            write_plainly(provider, 10_000 + number)
            try:
                traced(at_instruction(number + 1, interrupt), lambda n=number: write(payload_of(n), None))
                acknowledged.append(number)
            except KeyboardInterrupt:
                interrupted += 1
            assert write(payload_of(20_000 + number), None) == 0
        other = threading.Thread(
            target=lambda: acknowledged.append(write(payload_of(30_000), None) or 30_000)
        )
        other.start()
        other.join()
        assert session.events_lost == 0
    numbers = numbers_in(tmp_path / "a.etl")
    assert 100 < interrupted < INSTRUCTIONS - 1, "every instruction was tried"
    assert len(numbers) == len(set(numbers))
    assert [n for n in numbers if 10_000 <= n < 20_000] == list(range(10_000, 10_000 + INSTRUCTIONS))
    assert [n for n in numbers if 20_000 <= n < 30_000] == list(range(20_000, 20_000 + INSTRUCTIONS))
    assert set(acknowledged) <= set(numbers)
    assert time.monotonic() - began < 30


@pytest.mark.parametrize("kind", [RuntimeError, TimeoutError])
def test_an_ordinary_exception_at_any_instruction_leaves_each_event_once(
    tmp_path: Path, kind: type[Exception]
) -> None:
    """As the handler of an alarm raises it: caught, but no duplicate and no leftover comes of it."""
    raised = 0

    def interrupt() -> None:
        nonlocal raised
        raised += 1
        raise kind("time is up")

    written = []
    with EtlSession(tmp_path / "a.etl", buffer_size=8192) as session:
        provider = session.register("TestProvider")
        write = prepared(provider)
        write_plainly(provider, 10_000)
        for number in range(INSTRUCTIONS):
            call = at_instruction(number + 1, interrupt)
            try:
                assert traced(call, lambda n=number: write(payload_of(n), None)) == 0
            except kind:  # before the lane is entered, or after it is left
                continue
            finally:
                assert not session._turns.queue
            written.append(number)
            assert number in our_numbers(tmp_path / "a.etl")
        assert session.events_lost == 0
    numbers = numbers_in(tmp_path / "a.etl")
    assert len(numbers) == len(set(numbers))
    assert set(written) <= set(numbers)
    assert 100 < raised < INSTRUCTIONS - 1


def test_an_event_written_at_any_instruction_is_kept(tmp_path: Path) -> None:
    """As a signal handler or a finalizer may: it stands before or behind the one it interrupted."""
    nested = []
    with EtlSession(tmp_path / "a.etl", buffer_size=8192) as session:
        provider = session.register("TestProvider")
        write = prepared(provider)

        def come_in_again() -> None:
            for way in (lambda n: write(payload_of(n), None), lambda n: write_plainly(provider, n)):
                number = 10_000 + len(nested)
                nested.append(number)
                assert way(number) == 0
            assert not session.flush()  # type: ignore[func-returns-value]

        for number in range(INSTRUCTIONS):
            call = at_instruction(number + 1, come_in_again)
            assert traced(call, lambda n=number: write(payload_of(n), None)) == 0
            assert not session._turns.queue
        assert session.events_lost == 0
    numbers = numbers_in(tmp_path / "a.etl")
    assert [n for n in numbers if n < 10_000] == list(range(INSTRUCTIONS))
    assert [n for n in numbers if n >= 10_000] == nested
    assert 100 < len(nested) // 2 < INSTRUCTIONS - 1


def test_a_session_closed_at_any_instruction_finishes_its_file(tmp_path: Path) -> None:
    closed = 0
    for number in range(1, INSTRUCTIONS, 7):
        session = EtlSession(tmp_path / "a.etl", buffer_size=8192, max_files=1)
        provider = session.register("TestProvider")
        write_plainly(provider, 0)
        call = at_instruction(number, session.close)
        status = traced(call, lambda p=provider: prepared(p)(payload_of(1), None))
        closed += session.closed
        session.close()
        assert our_numbers(tmp_path / "a.etl") == ([0, 1] if status == 0 else [0])
        assert status in (0, WriteStatus.INVALID_HANDLE)
    assert 10 < closed < INSTRUCTIONS // 7


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
def test_a_fork_at_any_instruction_leaves_each_process_its_file(tmp_path: Path) -> None:
    """A signal handler forks within a write: either process goes on with it, in its own file."""
    forked = 0
    for number in range(1, INSTRUCTIONS, 11):
        path = tmp_path / f"{number}.etl"
        children: list[int] = []
        session = EtlSession(path, buffer_size=8192)
        provider = session.register("TestProvider")
        write_plainly(provider, 0)
        call = at_instruction(number, lambda made=children: made.append(os.fork()))
        status = traced(call, lambda p=provider: prepared(p)(payload_of(1), None))
        if children == [0]:
            try:
                assert status == 0
                assert prepared(provider)(payload_of(2), None) == 0
                if session.path != str(path):
                    session.close()
                    assert our_numbers(session.path) in ([1, 2], [2])
                os._exit(0)
            finally:
                os._exit(1)
        assert status == 0
        session.close()
        for child in children:
            forked += 1
            assert os.waitpid(child, 0)[1] == 0
        assert our_numbers(path) == [0, 1]
    assert 8 < forked < INSTRUCTIONS // 11


def test_one_who_was_left_in_the_place_holds_nobody_up(tmp_path: Path) -> None:
    with EtlSession(tmp_path / "a.etl") as session:
        provider = session.register("TestProvider")
        write_number(provider, 0)
        session._turns.place[None] = {}
        began = time.monotonic()
        threads = [
            threading.Thread(
                target=lambda lane=lane: [write_number(provider, lane * 100 + n) for n in range(50)]
            )
            for lane in range(1, 5)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert time.monotonic() - began < 30, "200 waits of a second each take minutes"
        assert session.events_lost == 0
    assert len(set(numbers_in(tmp_path / "a.etl"))) == 201


def test_eight_threads_in_the_lane_lose_nothing_and_keep_their_order(tmp_path: Path) -> None:
    """The full number with OTEL_ETW_LONG_TESTS=1; short switch intervals make threads meet inside."""
    each = 100_000 if os.environ.get("OTEL_ETW_LONG_TESTS") else 4_000
    interval = sys.getswitchinterval()
    sys.setswitchinterval(0.00005)
    try:
        with EtlSession(tmp_path / "a.etl") as session:
            provider = session.register("TestProvider")
            write = prepared(provider)

            def work(lane: int) -> None:
                for number in range(lane * 10**6, lane * 10**6 + each):
                    assert write(payload_of(number, number % 60), None) == 0

            threads = [threading.Thread(target=work, args=(lane,)) for lane in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert session.events_lost == 0
    finally:
        sys.setswitchinterval(interval)
    numbers = our_numbers(tmp_path / "a.etl")
    assert len(numbers) == 8 * each
    for lane in range(8):
        assert [n for n in numbers if n // 10**6 == lane] == list(range(lane * 10**6, lane * 10**6 + each))
