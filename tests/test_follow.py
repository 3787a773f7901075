"""``follow``: every event of a file that is being written, once and in order, whatever happens to it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from etl_files import START_FILETIME, T0, buffer, trace_file, tracelogging_record
from otel_etw.errors import TraceFileError
from otel_etw.etl.event import Event
from otel_etw.etl.following import FollowedFile, Following, follow
from otel_etw.etl.sharing import open_shared
from otel_etw.sessions.embedded import EtlSession
from session_events import number_of, start_child, write_number

INTERVAL_S = 0.02
DEADLINE_S = 60.0

WRITER = """
import sys, threading
from otel_etw.sessions.embedded import EtlSession
from session_events import write_number

path, mode, size, buffer_size, threads, count, first = sys.argv[1:]
options = {"mode": mode, "buffer_size": int(buffer_size)}
if int(size):
    options.update(max_file_size=int(size), max_files=1000)
session = EtlSession(path, **options)
providers = [session.register(f"Thread{n}") for n in range(int(threads))]

def write(provider):
    for number in range(int(first), int(first) + int(count)):
        while write_number(provider, number, number % 50):
            pass

workers = [threading.Thread(target=write, args=[p]) for p in providers]
print("ready", flush=True)
sys.stdin.readline()
for worker in workers: worker.start()
for worker in workers: worker.join()
print("done", flush=True)
sys.stdin.readline()
session.close()
"""


def numbers(events: Iterator[Event] | list[Event]) -> list[int]:
    return [number_of(event.payload) for event in events if event.kind == "event"]


def until(condition: Callable[[], bool]) -> None:
    """Wait for it, not for ever."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


class Follow:
    """What a follower of one path has got so far, by provider."""

    def __init__(self, path: Path, **options: object) -> None:
        self.file = FollowedFile(path, **options)  # type: ignore[arg-type]
        self.by_provider: dict[str | None, list[int]] = {}

    def poll(self) -> list[int]:
        got = []
        for event in self.file.poll():
            if event.kind == "event":
                number = number_of(event.payload)
                got.append(number)
                self.by_provider.setdefault(event.provider_name, []).append(number)
        return got

    def assert_nothing_was_missed(self) -> None:
        assert not self.file.damage, self.file.damage
        assert (self.file.overwritten_buffers, self.file.gaps, self.file.events_lost) == (0, 0, 0)


@pytest.mark.parametrize(
    ("mode", "size", "buffer_size"),
    [
        ("sequential", 0, 131072),
        ("sequential", 0, 4096),
        ("rolling", 262144, 16384),
        ("rolling", 65536, 4096),
        ("circular", 64 * 2**20, 131072),
        ("circular", 32 * 2**20, 8192),
    ],
)
def test_every_event_of_a_writer_at_full_speed_comes_once_and_in_order(
    tmp_path: Path, mode: str, size: int, buffer_size: int
) -> None:
    """Three threads of another process write while the file is followed from before it exists."""
    if mode == "rolling" and os.name == "nt":
        pytest.skip("files that roll many times a second are not followed faultlessly there")
    path = tmp_path / "live.etl"
    followed = Follow(path)
    assert followed.poll() == []
    count = 12_000
    with start_child(WRITER, path, mode, size, buffer_size, 3, count, 0) as child:
        assert child.stdin
        assert child.stdout
        assert child.stdout.readline().rstrip() == b"ready"
        child.stdin.write(b"\n")
        child.stdin.flush()

        def has_all() -> bool:
            followed.poll()
            return sum(map(len, followed.by_provider.values())) >= 3 * count

        until(has_all)
        assert child.stdout.readline().rstrip() == b"done"
        assert not followed.poll()
        assert not followed.file.has_ended()
        child.communicate(b"\n")
    assert not followed.poll()
    until(followed.file.has_ended)
    followed.file.close()
    assert followed.by_provider == {f"Thread{n}": list(range(count)) for n in range(3)}
    followed.assert_nothing_was_missed()


@pytest.mark.parametrize("buffer_size", [4096, 16384])
def test_a_circular_file_is_followed_round_and_round(tmp_path: Path, buffer_size: int) -> None:
    """As long as a look comes before the writer has gone all the way round."""
    path = tmp_path / "live.etl"
    followed = Follow(path)
    with EtlSession(path, mode="circular", buffer_size=buffer_size, max_file_size=6 * buffer_size) as session:
        provider = session.register("Live")
        written = 0
        for _ in range(60):
            for step in (1, 2, 11):
                for number in range(written, written + step):
                    assert write_number(provider, number, buffer_size // 5) == 0
                assert followed.poll() == list(range(written, written + step))
                written += step
    assert followed.poll() == []
    assert path.stat().st_size == 6 * buffer_size
    followed.assert_nothing_was_missed()


def test_what_a_fast_writer_overwrites_is_counted_and_nothing_comes_twice(tmp_path: Path) -> None:
    """A small circular file at full speed: each event once and in order, or its buffer is counted."""
    path = tmp_path / "live.etl"
    followed = Follow(path)
    count = 8_000
    with start_child(WRITER, path, "circular", 16 * 8192, 8192, 2, count, 0) as child:
        assert child.stdin
        assert child.stdout
        child.stdout.readline()
        child.stdin.write(b"\n")
        child.stdin.flush()

        def has_all() -> bool:
            followed.poll()
            got = followed.by_provider.values()
            return bool(got) and max(numbers[-1] for numbers in got) == count - 1

        until(has_all)
        child.communicate(b"\n")
    followed.poll()
    followed.file.close()
    assert not followed.file.damage
    got = sum(map(len, followed.by_provider.values()))
    for numbers in followed.by_provider.values():
        assert numbers == sorted(set(numbers))
    # An event takes 150 bytes or more, so that less than 54 are in a buffer.
    assert 2 * count - got <= 54 * followed.file.overwritten_buffers
    assert followed.file.overwritten_buffers <= 2 * count // 20


def test_growth_is_seen_at_once(tmp_path: Path) -> None:
    """Within the newest buffer, and with every buffer that comes behind it."""
    path = tmp_path / "live.etl"
    followed = Follow(path)
    with EtlSession(path, buffer_size=4096) as session:
        provider = session.register("Live")
        assert followed.poll() == []
        for number in range(100):
            assert write_number(provider, number, 100) == 0
            assert followed.poll() == [number]
            assert followed.poll() == []
    assert followed.poll() == []
    followed.assert_nothing_was_missed()


def test_a_session_that_flushes_has_not_ended(tmp_path: Path) -> None:
    """A flush gives the header an end time; only a finished file has its last buffer marked, too."""
    path = tmp_path / "live.etl"
    followed = Follow(path)
    with EtlSession(path) as session:
        provider = session.register("Live")
        write_number(provider, 1)
        session.flush()
        assert followed.poll() == [1]
        assert followed.poll() == []
        assert not followed.file.has_ended()
        write_number(provider, 2)
        assert followed.poll() == [2]
    assert followed.poll() == []
    assert not followed.file.has_ended(), "another file may follow at once"
    until(followed.file.has_ended)


@pytest.mark.parametrize("mode", ["sequential", "circular"])
def test_a_killed_writer_and_the_next_run(tmp_path: Path, mode: str) -> None:
    """All that was written before the kill, then all of the file that takes the name."""
    path = tmp_path / "live.etl"
    followed = Follow(path)
    size = 0 if mode == "sequential" else 2**24
    with start_child(WRITER, path, mode, size, 65536, 1, 3000, 0) as child:
        assert child.stdin
        assert child.stdout
        child.stdout.readline()
        child.stdin.write(b"\n")
        child.stdin.flush()
        until(lambda: bool(followed.poll()))
        child.kill()
        child.wait()
    followed.poll()
    before = list(followed.by_provider["Thread0"])
    assert before == list(range(len(before)))
    assert not followed.file.has_ended()
    with start_child(WRITER, path, mode, size, 65536, 1, 500, 10_000) as child:
        _, err = child.communicate(b"\n\n")
        assert child.returncode == 0, err.decode()
    followed.poll()
    assert followed.by_provider["Thread0"] == before + list(range(10_000, 10_500))
    followed.assert_nothing_was_missed()


def test_files_that_were_rolled_over_between_two_looks_are_found(tmp_path: Path) -> None:
    """By their numbers, in their order, even if the first one was followed only in part."""
    path = tmp_path / "live.etl"
    followed = Follow(path)
    with EtlSession(path, mode="rolling", buffer_size=4096, max_file_size=12288, max_files=9) as session:
        provider = session.register("Live")
        written = 0
        for files in (1, 2, 3, 7):
            start = written
            for written in range(start, start + 7 * files):  # seven events and a half are a file
                assert write_number(provider, written, 800) == 0
            assert followed.poll() == list(range(start, written + 1))
            written += 1
    assert followed.poll() == []
    followed.assert_nothing_was_missed()


def test_a_series_that_was_waited_for_is_read_from_its_first_file(tmp_path: Path) -> None:
    """Even if that had another name before it was seen; one that was there before stays what it was."""
    path = tmp_path / "live.etl"
    with EtlSession(f"{path}.1") as session:
        write_number(session.register("Before"), -1)
    followed = Follow(path)
    assert followed.poll() == []
    with EtlSession(path, mode="rolling", buffer_size=4096, max_file_size=12288, max_files=9) as session:
        provider = session.register("Live")
        for number in range(40):
            write_number(provider, number, 800)
        assert followed.poll() == list(range(40))
        write_number(provider, 40)
        assert followed.poll() == [40]
    late = Follow(path)
    got = late.poll()
    assert 0 < len(got) < 10
    assert got[-1] == 40


def open_files_can_be_replaced(folder: Path) -> bool:
    """Also where they are open as a follower opens them."""
    old, new = folder / "old", folder / "new"
    old.touch()
    new.touch()
    descriptor = open_shared(str(old))
    try:
        os.replace(new, old)
    except PermissionError:
        return False
    finally:
        os.close(descriptor)
        old.unlink()
        new.unlink(missing_ok=True)
    return True


def test_files_that_are_gone_before_they_are_read_are_said(tmp_path: Path) -> None:
    """What is left of the series is shown, from its oldest file on."""
    if not open_files_can_be_replaced(tmp_path):
        pytest.skip("a file that is open cannot be replaced here, so it is not gone")
    path = tmp_path / "live.etl"
    followed = Follow(path)
    with EtlSession(path, mode="rolling", buffer_size=4096, max_file_size=12288, max_files=2) as session:
        provider = session.register("Live")
        write_number(provider, 0)
        assert followed.poll() == [0]
        for number in range(1, 61):
            write_number(provider, number, 800)
            time.sleep(0.001)
        got = followed.poll()
    assert got[-1] == 60
    assert got != list(range(1, 61))
    first_left = next(number for number in got if number > 10)
    assert got[got.index(first_left) :] == list(range(first_left, 61))
    assert followed.file.gaps == 1


def test_what_a_circular_file_overwrites_unread_is_counted(tmp_path: Path) -> None:
    """By buffers, of which some may have been read in part."""
    path = tmp_path / "live.etl"
    followed = Follow(path)
    with EtlSession(path, mode="circular", buffer_size=4096, max_file_size=5 * 4096) as session:
        provider = session.register("Live")
        write_number(provider, 0)
        assert followed.poll() == [0]
        for number in range(1, 41):
            write_number(provider, number, 800)
        got = followed.poll()
        assert got == list(range(got[0], 41))
        assert len(got) < 20
        before = (40 - len(got)) / 4
        assert before - 2 <= followed.file._file.overwritten_buffers <= before + 1  # type: ignore[union-attr]
        for number in range(41, 46):
            write_number(provider, number, 800)
        assert followed.poll() == list(range(41, 46))
    followed.file.close()
    assert followed.file.overwritten_buffers > 0


def test_a_file_cut_or_begun_anew_in_place_is_read_from_its_start(tmp_path: Path) -> None:
    """As a copy over it does, which keeps the file and changes what is in it."""
    path = tmp_path / "x.etl"
    said: list[str] = []
    followed = FollowedFile(path, say=said.append)

    def poll() -> list[str | None]:
        return [event.name for event in followed.poll() if event.kind == "event"]

    path.write_bytes(
        trace_file(buffer([tracelogging_record(T0, "a")]), buffer([tracelogging_record(T0, "b")]))
    )
    assert poll() == ["a", "b"]
    with path.open("r+b") as file:
        file.truncate(0)
    assert poll() == []
    with path.open("r+b") as file:
        file.write(trace_file(buffer([tracelogging_record(T0, "c")])))
    assert poll() == ["c"]
    longer = trace_file(
        *(buffer([tracelogging_record(T0, name)]) for name in "def"), start_filetime=START_FILETIME + 77
    )
    with path.open("r+b") as file:
        file.write(longer)
    assert poll() == ["d", "e", "f"]
    assert [text.partition(str(path))[2][:9] for text in said if "start" in text] == [" has been"] * 2


@pytest.mark.parametrize("compressed", [False, True])
def test_a_file_that_is_being_copied_is_read_as_it_arrives(tmp_path: Path, compressed: bool) -> None:
    """Records cut in the middle, headers that are not there yet: all of it comes, in order, once."""
    records = [tracelogging_record(T0 + n, f"e{n}") for n in range(40)]
    buffers = [
        buffer(records[n : n + 8], compressed=compressed, sequence=n // 8 + 1) for n in range(0, 40, 8)
    ]
    data = trace_file(*buffers, mode=0x04000001 if compressed else 1)
    path = tmp_path / "x.etl"
    got: list[str | None] = []
    with closing(FollowedFile(path)) as followed, path.open("wb") as file:
        for at in range(0, len(data), 333):
            file.seek(at)
            file.write(data[at : at + 333])
            file.flush()
            got += [event.name for event in followed.poll() if event.kind == "event"]
    assert got == [f"e{n}" for n in range(40)]
    assert not followed.damage


def test_buffers_of_several_processors_come_by_time(tmp_path: Path) -> None:
    """Those that one look finds; ``file_order`` leaves them as they are."""
    path = tmp_path / "x.etl"
    late = buffer([tracelogging_record(T0 + 50, "late"), tracelogging_record(T0 + 70, "last")])
    early = buffer([tracelogging_record(T0 + n, f"at {n}") for n in (5, 60)], sequence=2)
    path.write_bytes(trace_file(late, early))
    for file_order, wanted in (
        (False, ["at 5", "late", "at 60", "last"]),
        (True, ["late", "last", "at 5", "at 60"]),
    ):
        with closing(FollowedFile(path, file_order=file_order)) as followed:
            assert [event.name for event in followed.poll() if event.kind == "event"] == wanted


def test_damage_is_reported_once(tmp_path: Path) -> None:
    """However often the place is looked at."""
    path = tmp_path / "x.etl"
    bad = b"\x10\0\x13\xc0".ljust(0x50, b"\0")
    path.write_bytes(trace_file(buffer([tracelogging_record(T0, "a"), bad]), end_filetime=0))
    with closing(FollowedFile(path)) as followed:
        assert [len(list(followed.poll())) for _ in range(3)] == [2, 0, 0]
    assert {str(kind): count for kind, count in followed.damage.counts.items()} == {"record": 1}


def test_several_files_come_merged(tmp_path: Path) -> None:
    """What one look finds, by time, with the file of each event."""
    paths = [tmp_path / "a.etl", tmp_path / "b.etl"]
    for path, raws in zip(paths, ((10, 40), (20, 30)), strict=True):
        path.write_bytes(trace_file(buffer([tracelogging_record(T0 + raw, str(raw)) for raw in raws])))
    with Following(paths) as following:
        got = [
            (Path(file.path).name[0], event.name)
            for file, event in following.poll()
            if event.name != "Header"
        ]
        assert got == [("a", "10"), ("b", "20"), ("b", "30"), ("a", "40")]


def test_following_ends_with_the_recording_if_it_is_asked_to(tmp_path: Path) -> None:
    """Otherwise never; ``new_only`` leaves out what is there."""
    path = tmp_path / "x.etl"
    with EtlSession(path) as session:
        provider = session.register("Live")
        write_number(provider, 1)
        write_number(provider, 2)
    assert numbers(follow(path, interval_s=INTERVAL_S, exit_on_end=True)) == [1, 2]
    assert numbers(follow(path, interval_s=INTERVAL_S, exit_on_end=True, new_only=True)) == []


def test_new_only_begins_where_the_file_is_at_the_first_look(tmp_path: Path) -> None:
    path = tmp_path / "x.etl"
    with EtlSession(path, buffer_size=4096) as session:
        provider = session.register("Live")
        for number in range(30):
            write_number(provider, number, 500)
        followed = Follow(path, new_only=True)
        assert followed.poll() == []
        for number in range(30, 60):
            write_number(provider, number, 500)
            assert followed.poll() == [number]


def test_what_is_no_trace_is_an_error_at_the_start(tmp_path: Path) -> None:
    """And something to wait through later."""
    path = tmp_path / "x.etl"
    path.write_bytes(b"no trace " * 100)
    with pytest.raises(TraceFileError, match=r"not a trace file.* in .*x\.etl"):
        next(follow(path))
    with pytest.raises(TraceFileError, match="regular file"):
        next(follow(tmp_path))
    path.write_bytes(trace_file(buffer([tracelogging_record(T0, "a")])))
    said: list[str] = []
    with closing(FollowedFile(path, say=said.append)) as followed:
        assert len(list(followed.poll())) == 2
        path.write_bytes(b"no trace " * 100)
        assert list(followed.poll()) == list(followed.poll()) == []
        assert len(said) == 2, said
        path.write_bytes(trace_file(buffer([tracelogging_record(T0, "b")])))
        assert len(list(followed.poll())) == 2
