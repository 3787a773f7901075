"""Circular files: of a fixed size, with the newest events, for every reader at every moment."""

from __future__ import annotations

import errno
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from otel_etw.etl import mapping, records, recycling
from otel_etw.etl.layout import LogFileMode
from otel_etw.etl.mapping import MappedWindow, PositionedWindow
from otel_etw.etl.reader import open_etl
from otel_etw.etl.writer import TraceFile
from otel_etw.providers.embedded import EmbeddedProvider
from otel_etw.sessions import series
from otel_etw.sessions.embedded import EtlSession
from session_events import (
    DESCRIPTOR,
    number_of,
    numbers_by_reader,
    payload_of,
    run_child,
    start_child,
    write_number,
)

SIZE = 4096


@pytest.fixture(params=["mapped", "positioned"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(series, "can_map", lambda path: request.param == "mapped")
    return str(request.param)


def numbers_in_time_order(path: str | os.PathLike[str]) -> list[int]:
    with open_etl(path) as trace:
        found = list(trace.in_time_order())
        assert not trace.damage, trace.damage
    events = [event for event in found if event.kind == "event"]
    assert len(events) == len(found) - 1, "the header's record, and no blank"
    assert all(not event.problems for event in events)
    return [number_of(event.payload) for event in events]


def assert_newest(path: str | os.PathLike[str], written: int, *, at_most: int | None = None) -> list[int]:
    """Every reader finds the last events up to ``written`` (or ``at_most``) without a gap; which."""
    for name, numbers in numbers_by_reader(path).items():
        last = max(numbers)
        assert written <= last <= (written if at_most is None else at_most), name
        assert sorted(numbers) == list(range(min(numbers), last + 1)), name
    numbers = numbers_in_time_order(path)
    assert numbers == sorted(numbers)
    return numbers


@pytest.mark.parametrize("buffer_size", [4096, 5120, 131072])
@pytest.mark.parametrize("buffers", [2, 6])
def test_a_circular_file_keeps_its_size_and_the_newest_events(
    tmp_path: Path, way: str, buffer_size: int, buffers: int
) -> None:
    path = tmp_path / "a.etl"
    size = buffers * buffer_size + 100
    with EtlSession(path, mode="circular", buffer_size=buffer_size, max_file_size=size) as session:
        provider = session.register("TestProvider")
        for number in range(400):
            assert write_number(provider, number, number * 37 % (buffer_size // 5)) == 0
        assert session.events_lost == 0, "what was overwritten was not lost"
        kept = assert_newest(path, 399)
    assert kept[0] > 0
    assert path.stat().st_size == buffers * buffer_size
    assert assert_newest(path, 399) == kept
    with open_etl(path) as trace:
        assert trace.header.log_file_mode == LogFileMode.CIRCULAR
        assert trace.header.max_file_size * 2**20 >= size
        assert trace.header.buffers_written == buffers
        assert trace.header.events_lost == 0


@pytest.mark.parametrize("padding", [0, 200, 1500, 3800])
def test_every_reader_finds_the_newest_events_after_every_store(
    tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch, padding: int
) -> None:
    """What a reader sees, and what a kill leaves, between any two stores; two rounds of the file."""
    path = tmp_path / "a.etl"
    stores = 0
    kind = MappedWindow if way == "mapped" else PositionedWindow

    def look_before(name: str) -> None:
        original = getattr(kind, name)

        def store(self: Any, offset: int, value: Any) -> None:
            nonlocal stores
            stores += 1
            if stores % step == 0:
                assert_newest(path, number - 1, at_most=number)
            original(self, offset, value)

        monkeypatch.setattr(kind, name, store)

    with EtlSession(path, mode="circular", buffer_size=SIZE, max_file_size=3 * SIZE) as session:
        provider = session.register("TestProvider")
        number = 0
        while number * (300 + padding) < 3 * SIZE:
            number += 1
            assert provider_write(provider, number, padding) == 0
        step = 1 if padding else 5
        for name in ("store", "store_u32", "store_u64"):
            look_before(name)
        end = number + (8 if padding else 40)
        while number < end:
            number += 1
            assert provider_write(provider, number, padding) == 0
            assert_newest(path, number)
    assert stores > 20


def provider_write(provider: EmbeddedProvider, number: int, padding: int) -> int:
    return write_number(provider, number, (padding + number * 13 % 50) if padding < 3800 else padding)


RECYCLING = ("hide_events", "make_small", "clear", "make_room", "store_event")


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", RECYCLING)
def test_an_exception_out_of_any_step_passes_and_later_events_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str, step: str, after: bool
) -> None:
    original = getattr(recycling, step)

    def interrupted(*arguments: Any) -> None:
        if after:
            original(*arguments)
        raise KeyboardInterrupt

    path = tmp_path / "a.etl"
    with EtlSession(path, mode="circular", buffer_size=SIZE, max_file_size=4 * SIZE) as session:
        provider = session.register("TestProvider")
        number = 0
        for number in range(13):
            assert write_number(provider, number, 1000) == 0
        with monkeypatch.context() as patch:
            patch.setattr(recycling, step, interrupted)

            def fill() -> None:
                nonlocal number
                while True:
                    number += 1
                    write_number(provider, number, 1000)

            with pytest.raises(KeyboardInterrupt):
                fill()
        found = {name: set(numbers) for name, numbers in numbers_by_reader(path).items()}
        for name, numbers in found.items():
            assert numbers | {number} == set(range(min(numbers), number + 1)), name
        for later in range(number + 1, number + 20):
            assert write_number(provider, later, 1000) == 0
            if later > number + 12:
                assert_newest(path, later)


def test_an_exception_at_any_line_of_recycling_passes_and_later_events_are_kept(tmp_path: Path) -> None:

    path = tmp_path / "a.etl"
    codes = {
        value.__code__
        for value in [*vars(recycling).values(), *vars(TraceFile).values()]
        if hasattr(value, "__code__")
    }
    interrupted = 0
    with EtlSession(path, mode="circular", buffer_size=SIZE, max_file_size=4 * SIZE) as session:
        provider = session.register("TestProvider")
        number = lines = 0
        for stop in range(1, 140):
            lines = 0

            def trace(frame: Any, event: str, argument: Any, stop: int = stop) -> Any:
                nonlocal lines
                if frame.f_code in codes and event == "line":
                    lines += 1
                    if lines == stop:
                        sys.settrace(None)
                        raise KeyboardInterrupt
                return trace

            before = sys.gettrace()
            for _ in range(3):
                number += 2
                sys.settrace(trace)
                try:
                    write_number(provider, number, 1800)
                except KeyboardInterrupt:
                    interrupted += 1
                finally:
                    sys.settrace(before)
            for _ in range(10):
                number += 1
                assert write_number(provider, number, 700) == 0
            found = numbers_in_time_order(path)
            assert found[-10:] == list(range(number - 9, number + 1))
            assert found == sorted(set(found))
            if stop % 10 == 0:
                for numbers in numbers_by_reader(path).values():
                    assert sorted(numbers) == found
    assert interrupted > 60
    assert path.stat().st_size == 4 * SIZE


def test_blanks_cover_any_buffer(tmp_path: Path) -> None:
    """Of the largest buffers and records: a blank has 64 KiB at most."""
    path = tmp_path / "a.etl"
    with EtlSession(path, mode="circular", buffer_size="256 KiB", max_file_size="768 KiB") as session:
        provider = session.register("TestProvider")
        largest = provider.max_event_bytes - 60
        for number in range(60):
            size = largest if number % 3 == 0 else [10, 30_000, 62_000, 65_000][number % 4]
            assert write_number(provider, number, size) == 0
            if number > 8:
                assert_newest(path, number)


def test_a_record_of_64_kib_takes_the_place_of_small_ones(tmp_path: Path) -> None:
    """Sizes of records that pad to 65536 do not fit a Size field."""
    with open(tmp_path / "a", "w+b") as file:
        for payload_bytes in range(65535 - 80 - 9, 65535 - 80 + 1):
            file.truncate(0)
            file.truncate(131072)
            record = records.event_record(9, 1, 2, bytes(16), DESCRIPTOR, b"", bytes(payload_bytes))
            small = records.event_record(5, 1, 2, bytes(16), DESCRIPTOR, b"", b"12345678")
            count = (131072 - 72) // len(small)
            header = records.buffer_header(
                131072, filled=72 + count * len(small), raw_time=1, sequence_number=1
            )
            mapping.write_at(file.fileno(), 0, header + small * count)
            window = PositionedWindow(file.fileno(), 0, 131072)
            recycling.recycle(window, 131072, record, 9, 2)
            assert window.load(72, len(record)) == record
            assert int.from_bytes(window.load(0x30, 4), "little") == 72 + len(record)


def test_a_file_others_have_changed_is_an_error_and_no_endless_loop(tmp_path: Path, way: str) -> None:
    path = tmp_path / "a.etl"
    with EtlSession(path, mode="circular", buffer_size="256 KiB", max_file_size="512 KiB") as session:
        provider = session.register("TestProvider")
        for number in range(4):
            assert write_number(provider, number, 60_000) == 0
        with path.open("r+b") as file:
            file.seek(2**18 + 72)
            file.write(bytes(1000))
        assert write_number(provider, 9, 60_000) != 0
        assert session.error is not None
        assert session.error.errno == errno.EIO


def test_a_restarted_process_keeps_the_older_file(tmp_path: Path) -> None:
    path = tmp_path / "a.etl"
    for start in (0, 1000, 2000):
        with EtlSession(path, mode="circular", buffer_size=SIZE, max_file_size=3 * SIZE) as session:
            provider = session.register("TestProvider")
            for number in range(start, start + 30):
                assert write_number(provider, number, 500) == 0
    assert_newest(path, 2029)
    assert_newest(tmp_path / "a.etl.1", 1029)
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
def test_a_forked_child_has_a_circular_file_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "a.etl"
    with EtlSession(path, mode="circular", buffer_size=SIZE, max_file_size=3 * SIZE) as session:
        provider = session.register("TestProvider")
        for number in range(50):
            assert write_number(provider, number, 500) == 0
        child = os.fork()
        if child == 0:
            try:
                for number in range(1000, 1050):
                    assert write_number(provider, number, 500) == 0
                assert session.path != str(path)
                assert assert_newest(session.path, 1049)[0] > 1000
                os._exit(0)
            finally:
                os._exit(1)
        for number in range(50, 80):
            assert write_number(provider, number, 500) == 0
        assert os.waitpid(child, 0)[1] == 0
    assert_newest(path, 79)


def test_a_coarse_clock_does_not_mix_buffers_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.etl"
    now = time.time_ns()
    with (
        monkeypatch.context() as patch,
        EtlSession(path, mode="circular", buffer_size=SIZE, max_file_size=4 * SIZE) as session,
    ):
        patch.setattr(time, "time_ns", lambda: now)
        provider = session.register("TestProvider")
        for number in range(60):
            assert write_number(provider, number, 700) == 0
            assert_newest(path, number)


WRITER = """
import sys
from session_events import *
from otel_etw.sessions.embedded import EtlSession
session = EtlSession(sys.argv[1], mode="circular", buffer_size=65536, max_file_size=4 * 65536)
provider = session.register("TestProvider")
print("ready", flush=True)
number = 0
while True:
    write_number(provider, number, number % 3000)
    number += 1
"""


def test_what_is_read_while_buffers_are_overwritten_is_genuine(tmp_path: Path) -> None:
    """A copy of a buffer may have halves of two states; none of that is delivered."""
    path = tmp_path / "a.etl"
    last = rounds = 0
    with start_child(WRITER, path) as child:
        try:
            assert child.stdout is not None
            child.stdout.readline()
            end = time.monotonic() + 1.5
            while time.monotonic() < end or (rounds < 20 and time.monotonic() < end + 20):
                with open_etl(path) as trace:
                    events = [event for event in trace.in_time_order() if event.kind == "event"]
                    assert not trace.damage, trace.damage
                numbers = [number_of(event.payload) for event in events]
                assert numbers == sorted(set(numbers))
                for event, number in zip(events, numbers, strict=True):
                    assert event.payload == payload_of(number, number % 3000)
                    assert event.record[8:16] == events[0].record[8:16] or len(events) == 1
                last = max([last, *numbers])
                rounds += 1
        finally:
            child.kill()
    assert last > 100


FULL = """
import resource, sys, time
from session_events import *
from otel_etw.sessions import embedded
from test_session_circular import assert_newest
from otel_etw.etl import writer
asked = []
write_at = writer.write_at
writer.write_at = lambda *arguments: (asked.append(1), write_at(*arguments))[1]
def limit(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
session = embedded.EtlSession(sys.argv[1], mode="circular", buffer_size=4096, max_file_size=6 * 4096)
provider = session.register("TestProvider")
limit(4096 + 100)
assert write_number(provider, 0, 3000) == 112, "there is nothing to overwrite yet"
limit(3 * 4096 + 100)
time.sleep(0.11)
asked.clear()
end = time.monotonic() + 0.4
number = 100
while time.monotonic() < end:
    assert write_number(provider, number, 3000) == 0
    number += 1
assert number > 200 and len(asked) <= 8, (number, len(asked))
assert session.events_lost == 1 and session.error is None
assert_newest(session.path, number - 1)
limit(resource.RLIM_INFINITY)
time.sleep(0.11)
for number in range(number, number + 20):
    assert write_number(provider, number, 3000) == 0
session.close()
assert len(assert_newest(session.path, number)) == 5
assert open_etl(session.path).header.events_lost == 1
"""


def test_without_space_for_its_size_it_makes_do_with_what_it_has(tmp_path: Path) -> None:
    pytest.importorskip("resource", reason="file sizes cannot be limited on this system")
    run_child(FULL, tmp_path / "a.etl")
    assert (tmp_path / "a.etl").stat().st_size == 6 * SIZE
