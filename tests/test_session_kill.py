"""``kill -9`` at any moment: every acknowledged event is in the file, and every reader opens it.

A child acknowledges an event by storing its number into a mapped file once ``write`` has returned.
"""

from __future__ import annotations

import mmap
import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from session_events import numbers_by_reader, start_child

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no SIGKILL on this system")

KILLS = 200 if os.environ.get("OTEL_ETW_LONG_TESTS") else 30

# Forks one writer for each line on its standard input and answers with the writer's process id, so
# that only the first has to import anything.
WRITERS = """
BUFFERS, MAX_FILES = 4, 3
import mmap, os, random, signal, sys
from session_events import write_number
from otel_etw.etl import mapping, newest, writer
from otel_etw.sessions import embedded, series

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def die_around(owner, name, number, after, halfway=False):
    step, calls = getattr(owner, name), [0]
    def wrapped(self, *arguments):
        calls[0] += 1
        if calls[0] == number and not after:
            if halfway:
                size = self.buffer_size_bytes
                data = writer.records.reserved_buffer(size)[: size // 2 + 100]
                mapping.write_at(self.fd, arguments[0] * size, data)
            die()
        result = step(self, *arguments)
        if calls[0] == number:
            die()
        return result
    setattr(owner, name, wrapped)

def die_at_store(number):
    stores = [0]
    for kind in (mapping.MappedWindow, mapping.PositionedWindow):
        for name in ("store", "store_u32", "store_u64"):
            def wrapped(self, offset, value, store=getattr(kind, name)):
                stores[0] += 1
                if stores[0] == number:
                    die()
                store(self, offset, value)
            setattr(kind, name, wrapped)
    class Counted:
        "What the lane stores into."
        def __init__(self, target):
            self.target = target
        def __setitem__(self, key, value):
            stores[0] += 1
            if stores[0] == number:
                die()
            self.target[key] = value
    def made(self, *arguments, make=newest.NewestBuffer.__init__):
        make(self, *arguments)
        if self.words is not None:
            self.map, self.words = Counted(self.map), Counted(self.words)
    newest.NewestBuffer.__init__ = made

def write_for_ever(path, buffer_size_bytes, mapped, padding, mode, death):
    if not mapped:
        series.can_map = lambda path: False
    with open(path + ".acknowledged", "w+b") as file:
        file.truncate(8)
        acknowledged = memoryview(mmap.mmap(file.fileno(), 8)).cast("q")
    if death[:1] == ("store",):
        die_at_store(int(death[1]))
    elif death:
        name, number, moment = death
        die_around(writer.TraceFile, name, int(number), moment == "after", moment == "halfway")
    sizes = random.Random(buffer_size_bytes)
    options = {} if mode == "sequential" else {"mode": mode, "max_file_size": BUFFERS * buffer_size_bytes}
    session = embedded.EtlSession(path, buffer_size=buffer_size_bytes, max_files=MAX_FILES, **options)
    provider = session.register("TestProvider")
    number = 0
    while True:
        if write_number(provider, number, sizes.randrange(padding)) != 0:
            os._exit(1)
        number += 1
        acknowledged[0] = number

for line in sys.stdin:
    path, buffer_size_bytes, mapped, padding, mode, *death = line.rstrip("\\n").split("\\t")
    pid = os.fork()
    if pid == 0:
        try:
            write_for_ever(path, int(buffer_size_bytes), mapped == "1", int(padding), mode, tuple(death))
        finally:
            os._exit(2)
    print(pid, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


class Writers:
    """Starts writers and waits for their death."""

    def __init__(self, child: subprocess.Popen[bytes]) -> None:
        assert child.stdin
        assert child.stdout
        self._stdin, self._stdout = child.stdin, child.stdout

    def start(
        self,
        path: Path,
        *,
        buffer_size_bytes: int,
        mapped: bool,
        padding: int,
        death: str = "",
        mode: str = "sequential",
    ) -> int:
        fields = [str(path), str(buffer_size_bytes), str(int(mapped)), str(padding), mode, *death.split()]
        self._stdin.write("\t".join(fields).encode() + b"\n")
        self._stdin.flush()
        return int(self._stdout.readline())

    def assert_killed(self) -> None:
        assert int(self._stdout.readline()) == -signal.SIGKILL


@pytest.fixture(scope="module")
def writers() -> Iterator[Writers]:
    with start_child(WRITERS) as child:
        yield Writers(child)
        assert child.stdin
        child.stdin.close()
        assert child.wait(10) == 0


def acknowledged(path: Path) -> int:
    return int.from_bytes(Path(f"{path}.acknowledged").read_bytes(), "little")


def assert_all_is_there(path: Path) -> int:
    """All acknowledged events and at most the one after them, by every reader; how many."""
    count = acknowledged(path)
    for name, numbers in numbers_by_reader(path).items():
        assert numbers in (list(range(count)), list(range(count + 1))), name
    return count


def assert_newest_are_there(path: Path) -> int:
    """Of a circular or rolling file: the newest acknowledged events without a gap, by every reader."""
    count = acknowledged(path)
    by_reader: dict[str, list[int]] = {}
    # Killed between renaming the older files and naming the new one there is no file of that name.
    for file in (path.with_name(f"{path.name}.2"), path.with_name(f"{path.name}.1"), path):
        if file.exists():
            for name, numbers in numbers_by_reader(file).items():
                by_reader[name] = by_reader.get(name, []) + sorted(numbers)
    for name, numbers in by_reader.items():
        first = numbers[0] if numbers else count
        assert numbers in (list(range(first, count)), list(range(first, count + 1))), name
    return count


@pytest.mark.parametrize("mode", ["circular", "rolling"])
def test_killed_at_random_moments_of_circular_and_rolling_files(
    tmp_path: Path, writers: Writers, mode: str
) -> None:
    generator = random.Random()
    total = 0
    for kill in range(KILLS):
        path = tmp_path / f"{kill}.etl"
        padding = generator.choice([20, 1500, 3500])
        size = generator.choice([4096, 5120])
        pid = writers.start(path, buffer_size_bytes=size, mapped=kill % 4 != 0, padding=padding, mode=mode)
        while not (os.path.exists(f"{path}.acknowledged") and path.exists()):
            time.sleep(0.0002)
        time.sleep(generator.uniform(0.001, 0.008))
        os.kill(pid, signal.SIGKILL)
        writers.assert_killed()
        total += assert_newest_are_there(path)
    assert total > KILLS


@pytest.mark.parametrize("mode", ["circular", "rolling"])
@pytest.mark.parametrize("mapped", [True, False], ids=["mapped", "positioned"])
def test_killed_before_each_single_store_of_circular_and_rolling_files(
    tmp_path: Path, writers: Writers, mode: str, mapped: bool
) -> None:
    for number in range(60, 130, 1 if os.environ.get("OTEL_ETW_LONG_TESTS") else 2):
        path = tmp_path / f"{number}.etl"
        death = f"store {number}"
        writers.start(path, buffer_size_bytes=4096, mapped=mapped, padding=1500, death=death, mode=mode)
        writers.assert_killed()
        assert assert_newest_are_there(path) > 5


def test_killed_at_random_moments(tmp_path: Path, writers: Writers) -> None:
    generator = random.Random()
    total = 0
    for kill in range(KILLS):
        path = tmp_path / f"{kill}.etl"
        buffer_size_bytes = generator.choice([4096, 4096, 5120, 65536])
        padding = generator.choice([20, 3500])
        pid = writers.start(path, buffer_size_bytes=buffer_size_bytes, mapped=kill % 4 != 0, padding=padding)
        while not (os.path.exists(f"{path}.acknowledged") and path.exists() and path.stat().st_size):
            time.sleep(0.0002)
        time.sleep(generator.uniform(0, 0.006))
        os.kill(pid, signal.SIGKILL)
        writers.assert_killed()
        if path.stat().st_size >= buffer_size_bytes:  # else it died before the session was made
            total += assert_all_is_there(path)
    assert total > KILLS


STEPS = ("reserve", "seal_newest", "open_window", "store_first", "publish", "count_buffer")


@pytest.mark.parametrize("mapped", [True, False], ids=["mapped", "positioned"])
@pytest.mark.parametrize("buffer_number", [1, 3])
@pytest.mark.parametrize("step", STEPS)
def test_killed_after_each_step_of_starting_a_buffer(
    tmp_path: Path, writers: Writers, step: str, buffer_number: int, mapped: bool
) -> None:
    path = tmp_path / "a.etl"
    death = f"{step} {buffer_number} after"
    writers.start(path, buffer_size_bytes=4096, mapped=mapped, padding=300, death=death)
    writers.assert_killed()
    assert_all_is_there(path)


def test_killed_before_a_buffer_is_started(tmp_path: Path, writers: Writers) -> None:
    path = tmp_path / "a.etl"
    writers.start(path, buffer_size_bytes=4096, mapped=True, padding=300, death="reserve 1 before")
    writers.assert_killed()
    assert assert_all_is_there(path) == 0


@pytest.mark.parametrize("buffer_number", [1, 2])
def test_killed_in_the_middle_of_reserving_space(
    tmp_path: Path, writers: Writers, buffer_number: int
) -> None:
    path = tmp_path / "a.etl"
    death = f"reserve {buffer_number} halfway"
    writers.start(path, buffer_size_bytes=4096, mapped=True, padding=300, death=death)
    writers.assert_killed()
    assert path.stat().st_size % 4096
    assert_all_is_there(path)


@pytest.mark.parametrize("mapped", [True, False], ids=["mapped", "positioned"])
def test_killed_before_each_single_store(tmp_path: Path, writers: Writers, mapped: bool) -> None:
    for number in range(1, 40):
        path = tmp_path / f"{number}.etl"
        writers.start(path, buffer_size_bytes=4096, mapped=mapped, padding=1500, death=f"store {number}")
        writers.assert_killed()
        assert_all_is_there(path)


STORES = """
import sys
from otel_etw.etl.mapping import MappedWindow
with open(sys.argv[1], "r+b") as file:
    window = MappedWindow(file.fileno(), 0, 4096)
    print("storing", flush=True)
    while True:
        for filled in (0x01010101, 0x02020202):
            window.store_u32(48, filled)
            window.store_u64(64, filled << 32 | filled)
"""


def test_a_number_changes_in_one_step_for_other_processes(tmp_path: Path) -> None:
    """What a kill leaves is what another process may see: the number before or after, nothing between."""
    path = tmp_path / "window"
    path.write_bytes(b"\1" * 4096)
    seen = set()
    with start_child(STORES, path) as child, path.open("r+b") as file:
        assert child.stdout is not None
        child.stdout.readline()
        with mmap.mmap(file.fileno(), 4096, access=mmap.ACCESS_READ) as window:
            end = time.monotonic() + 0.5
            while time.monotonic() < end or len(seen) < 4:
                seen.update({window[48:52], window[64:72]})
        child.kill()
    assert seen == {byte * size for byte in (b"\1", b"\2") for size in (4, 8)}
