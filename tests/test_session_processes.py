"""Forked children, several processes, one name: nobody's file is touched by anybody else."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from pathlib import Path

import pytest

from otel_etw.etl.reader import open_etl
from otel_etw.sessions.embedded import EtlSession
from otel_etw.sessions.files import FileHeldError, candidate_paths, open_new_file, publish, shift_names
from session_events import numbers_in, run_child, start_child, write_number

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")


@needs_fork
def test_a_forked_child_writes_its_own_file_and_leaves_the_parents_alone(tmp_path: Path) -> None:
    run_child(
        """
import os, sys
from session_events import *
from otel_etw.etl.reader import open_etl
from otel_etw.sessions.embedded import EtlSession
session = EtlSession(sys.argv[1])
provider = session.register("TestProvider")
write_number(provider, 1)
before = os.path.getsize(session.path)
pid = os.fork()
if pid == 0:
    try:
        own = sys.argv[1].replace("app.etl", f"app.{os.getpid()}.etl")
        assert session.path == own and not os.path.exists(own), session.path
        assert provider.is_enabled(4, 1)
        for number in range(100, 400):
            assert write_number(provider, number, 1000) == 0
        session.close()
        assert our_numbers(own) == list(range(100, 400))
        os._exit(0)
    except BaseException:
        import traceback
        traceback.print_exc()
        os._exit(1)
write_number(provider, 2)
assert os.waitpid(pid, 0)[1] == 0
write_number(provider, 3)
session.close()
assert our_numbers(sys.argv[1]) == [1, 2, 3]
""",
        tmp_path / "app.etl",
    )
    assert len(list(tmp_path.iterdir())) == 2


@needs_fork
def test_a_child_that_writes_nothing_makes_no_file_and_grandchildren_have_their_own(tmp_path: Path) -> None:
    run_child(
        """
import os, sys
from session_events import *
from otel_etw.etl.reader import open_etl
from otel_etw.sessions.embedded import EtlSession
session = EtlSession(sys.argv[1])
provider = session.register("TestProvider")
write_number(provider, 1)
if os.fork() == 0:
    if os.fork() == 0:
        write_number(provider, 3)
        session.close()
        os._exit(0)
    os._exit(os.waitstatus_to_exitcode(os.wait()[1]))
assert os.wait()[1] == 0
session.close()
""",
        tmp_path / "app.etl",
    )
    files = sorted(tmp_path.iterdir())
    assert len(files) == 2
    assert sorted(numbers_in(path) for path in files) == [[1], [3]]


@needs_fork
def test_a_child_of_a_closed_or_failed_session_stays_silent(tmp_path: Path) -> None:
    run_child(
        """
import os, sys
from session_events import *
from otel_etw.etl.reader import open_etl
from otel_etw.sessions.embedded import EtlSession
closed = EtlSession(sys.argv[1] + "/a.etl")
closed.close()
failed = EtlSession(sys.argv[1] + "/a.etl/impossible.etl")
providers = [closed.register("A"), failed.register("B")]
if os.fork() == 0:
    os._exit(0 if [write_number(p, 1) for p in providers] == [6, 6] and failed.error else 1)
assert os.wait()[1] == 0
""",
        tmp_path,
    )
    assert [path.name for path in tmp_path.iterdir()] == ["a.etl"]


@needs_fork
def test_forks_while_other_threads_write(tmp_path: Path) -> None:
    run_child(
        """
import os, sys, threading, time
from session_events import *
from otel_etw.etl.reader import open_etl
from otel_etw.sessions.embedded import EtlSession
session = EtlSession(sys.argv[1], buffer_size=4096)
provider = session.register("TestProvider")
stop = False
written = [0] * 4
def write(lane):
    while not stop:
        assert write_number(provider, lane * 10**9 + written[lane], 200) == 0
        written[lane] += 1
threads = [threading.Thread(target=write, args=(lane,)) for lane in range(4)]
[thread.start() for thread in threads]
children = []
for child in range(12):
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            for number in range(10):
                assert write_number(provider, number) == 0
            assert our_numbers(session.path) == list(range(10))
            session.close()
            status = 0
        finally:
            os._exit(status)
    children.append(pid)
    time.sleep(0.005)
assert all(os.waitpid(pid, 0)[1] == 0 for pid in children)
stop = True
[thread.join() for thread in threads]
session.close()
numbers = our_numbers(sys.argv[1])
for lane in range(4):
    own = [number % 10**9 for number in numbers if number // 10**9 == lane]
    assert own == list(range(written[lane])), lane
assert len(numbers) == sum(written)
""",
        tmp_path / "app.etl",
    )
    assert len(list(tmp_path.iterdir())) == 13


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_multiprocessing_workers_write_files_of_their_own(tmp_path: Path, method: str) -> None:
    (tmp_path / "worker.py").write_text(
        """
import multiprocessing, sys
from session_events import *
from otel_etw.etl.reader import open_etl
from otel_etw.sessions.embedded import EtlSession
def session():
    return EtlSession(sys.argv[1], session_name="s")
def work(number):
    write_number(provider, number)
    return the_session.path
if __name__ == "__main__" or sys.argv[2] != "fork":
    the_session = session()
    provider = the_session.register("TestProvider")
if __name__ == "__main__":
    write_number(provider, -1)
    with multiprocessing.get_context(sys.argv[2]).Pool(2) as pool:
        paths = set(pool.map(work, range(20), chunksize=1))
    assert the_session.path == sys.argv[1] and sys.argv[1] not in paths, paths
    assert sorted(n for path in paths for n in our_numbers(path)) == list(range(20))
    the_session.close()
    assert our_numbers(sys.argv[1]) == [-1]
"""
    )
    run_child(
        "import subprocess, sys; sys.exit(subprocess.call([sys.executable, *sys.argv[1:]]))",
        tmp_path / "worker.py",
        tmp_path / "app.etl",
        method,
    )


def test_a_file_that_another_process_writes_is_left_alone(tmp_path: Path) -> None:
    script = """
import sys
from session_events import *
from otel_etw.etl.reader import open_etl
from otel_etw.sessions.embedded import EtlSession
session = EtlSession(sys.argv[1])
provider = session.register("TestProvider")
write_number(provider, 1)
print("ready", flush=True)
sys.stdin.read()
write_number(provider, 2)
session.close()
"""
    path = tmp_path / "app.etl"
    with start_child(script, path) as child:
        assert child.stdout
        assert child.stdin
        assert child.stdout.readline().strip() == b"ready"
        with EtlSession(path) as session:
            assert session.path == str(tmp_path / f"app.{os.getpid()}.etl")
            write_number(session.register("TestProvider"), 3)
        assert numbers_in(path) == [1]
        child.stdin.close()
        assert child.wait(10) == 0
    assert numbers_in(path) == [1, 2]
    assert numbers_in(session.path) == [3]


@needs_fork
def test_a_child_that_lives_on_does_not_hold_its_parents_file(tmp_path: Path) -> None:
    script = """
import os, sys
from session_events import *
from otel_etw.etl.reader import open_etl
from otel_etw.sessions.embedded import EtlSession
session = EtlSession(sys.argv[1])
write_number(session.register("TestProvider"), 1)
if os.fork() == 0:
    print("ready", flush=True)
    sys.stdin.read()
    os._exit(0)
os._exit(0)
"""
    path = tmp_path / "app.etl"
    with start_child(script, path) as child:
        assert child.stdout
        assert child.stdin
        assert child.stdout.readline().strip() == b"ready"
        assert child.wait(10) == 0
        with EtlSession(path) as session:
            assert session.path == str(path)
        child.stdin.close()
    assert numbers_in(tmp_path / "app.etl.1") == [1]


def test_sessions_of_one_process_get_files_of_their_own(tmp_path: Path) -> None:
    sessions = [EtlSession(tmp_path / "app.etl") for _ in range(4)]
    pid = os.getpid()
    names = ["app.etl", f"app.{pid}.etl", f"app.{pid}.2.etl", f"app.{pid}.3.etl"]
    assert [Path(session.path).name for session in sessions] == names
    for number, session in enumerate(sessions):
        write_number(session.register("TestProvider"), number)
        session.close()
    assert [numbers_in(tmp_path / name) for name in names] == [[0], [1], [2], [3]]


def test_the_process_id_goes_where_the_name_says(tmp_path: Path) -> None:
    with EtlSession(tmp_path / "x-{pid}-y.etl") as session:
        assert session.path == str(tmp_path / f"x-{os.getpid()}-y.etl")
    assert list(candidate_paths("x-{pid}.etl", 5, forked=True))[:2] == ["x-5.etl", "x-5.2.etl"]
    assert list(candidate_paths("x.etl", 5, forked=False))[:3] == ["x.etl", "x.5.etl", "x.5.2.etl"]
    assert next(candidate_paths("x.etl", 5, forked=True)) == "x.5.etl"
    assert next(candidate_paths("dir.d/x", 5, forked=True)) == "dir.d/x.5"


def test_what_was_there_is_kept_aside(tmp_path: Path) -> None:
    path = tmp_path / "app.etl"
    for number in range(3):
        with EtlSession(path) as session:
            write_number(session.register("TestProvider"), number)
    assert numbers_in(path) == [2]
    assert numbers_in(f"{path}.1") == [1]
    assert len(list(tmp_path.iterdir())) == 2


def test_more_is_kept_aside_on_demand_and_nothing_with_one_file(tmp_path: Path) -> None:
    for number in range(6):
        with EtlSession(tmp_path / "many.etl", max_files=4) as session:
            write_number(session.register("TestProvider"), number)
        with EtlSession(tmp_path / "one.etl", max_files=1) as session:
            write_number(session.register("TestProvider"), number)
    assert [numbers_in(tmp_path / f"many.etl{end}") for end in ("", ".1", ".2", ".3")] == [[5], [4], [3], [2]]
    assert len(list(tmp_path.iterdir())) == 5


def test_any_file_of_the_users_is_kept_not_only_traces(tmp_path: Path) -> None:
    (tmp_path / "app.etl").write_text("dear diary")
    EtlSession(tmp_path / "app.etl").close()
    assert (tmp_path / "app.etl.1").read_text() == "dear diary"


def test_shifting_stops_at_the_first_gap(tmp_path: Path) -> None:
    for name in ("a", "a.1", "a.3"):
        (tmp_path / name).write_text(name)
    shift_names(str(tmp_path / "a"), 9)
    contents = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert contents == {"a.1": "a", "a.2": "a.1", "a.3": "a.3"}


def test_what_is_no_regular_file_is_not_written(tmp_path: Path) -> None:
    assert isinstance(EtlSession(tmp_path).error, OSError)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "fifo")
        assert isinstance(EtlSession(tmp_path / "fifo").error, OSError)
    if os.name == "posix":
        assert isinstance(EtlSession("/dev/null").error, OSError)
    assert tmp_path.is_dir()


def test_a_private_file_follows_no_link(tmp_path: Path) -> None:
    if not hasattr(os, "O_NOFOLLOW"):
        pytest.skip("there is no O_NOFOLLOW on this system")
    (tmp_path / "victim").write_text("")
    os.symlink(tmp_path / "victim", tmp_path / "app.etl")
    session = EtlSession(tmp_path / "app.etl", private=True)
    assert session.error is not None
    assert (tmp_path / "victim").read_text() == ""


def test_only_one_of_many_at_once_gets_the_name(tmp_path: Path) -> None:
    got: list[int] = []
    held: list[FileHeldError] = []
    start = threading.Barrier(8)

    def take() -> None:
        start.wait()
        try:
            new = open_new_file(str(tmp_path / "app.etl"), keep=1, private=False)
            publish(new)
            got.append(new.fd)
        except FileHeldError as error:
            held.append(error)

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(got), len(held)) == (1, 7)
    assert [file.name for file in tmp_path.iterdir()] == ["app.etl"]
    os.close(got[0])


@pytest.mark.skipif(os.name == "nt", reason="an open file cannot be renamed there")
def test_a_name_never_stands_for_less_than_a_trace(tmp_path: Path) -> None:
    """Whoever finds a file of a session, rolling ones included, can open it at once."""
    path = tmp_path / "app.etl"
    stop = threading.Event()
    opened = 0

    def write() -> None:
        while not stop.is_set():
            options = {"mode": "rolling", "max_file_size": 2 * 4096, "max_files": 2}
            with EtlSession(path, buffer_size=4096, **options) as session:
                provider = session.register("TestProvider")
                for number in range(20):
                    write_number(provider, number, 2000)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        until = time.monotonic() + 1.5
        while time.monotonic() < until or (opened < 20 and time.monotonic() < until + 20):
            try:
                with open_etl(path) as trace:
                    assert trace.header.session_name == "otel-etw"
                opened += 1
            except FileNotFoundError:
                pass  # between two files there is none
    finally:
        stop.set()
        thread.join()
    assert opened >= 20


@pytest.mark.skipif(os.name == "nt", reason="symbolic links need rights there")
def test_a_link_to_a_file_that_is_not_there_yet_is_followed(tmp_path: Path) -> None:
    """A name that is a symbolic link puts the trace where the link says."""
    os.symlink(tmp_path / "elsewhere.etl", tmp_path / "app.etl")
    with EtlSession(tmp_path / "app.etl") as session:
        assert session.path == str(tmp_path / "app.etl")
    assert (tmp_path / "elsewhere.etl").stat().st_size > 0


def test_a_missing_folder_is_named_as_it_was_given(tmp_path: Path) -> None:
    """The error of a session names the file that was asked for."""
    error = EtlSession(tmp_path / "no" / "app.etl").error
    assert error is not None
    assert error.filename == str(tmp_path / "no" / "app.etl")


def test_a_rolling_session_keeps_its_bounds_and_the_newest_events(tmp_path: Path) -> None:
    path = tmp_path / "app.etl"
    with EtlSession(path, mode="rolling", buffer_size=4096, max_file_size=5 * 4096, max_files=3) as session:
        provider = session.register("TestProvider")
        for number in range(50):
            assert write_number(provider, number, 2000) == 0
            sizes = [file.stat().st_size for file in tmp_path.iterdir()]
            assert len(sizes) <= 3
            assert all(size <= 5 * 4096 for size in sizes)
        assert session.path == str(path)
        assert session.events_lost == 0
    # Four buffers with events of one each.
    parts = [numbers_in(f"{path}{end}") for end in (".2", ".1", "")]
    assert [len(part) for part in parts] == [4, 4, 2]
    assert [number for part in parts for number in part] == list(range(40, 50))
    assert len(list(tmp_path.iterdir())) == 3


def test_losses_are_told_by_the_file_they_happened_in(tmp_path: Path) -> None:
    from otel_etw.etl.reader import open_etl

    path = tmp_path / "app.etl"
    with EtlSession(path, mode="rolling", buffer_size=4096, max_file_size=8192) as session:
        provider = session.register("TestProvider")
        write_number(provider, 1, 3000)
        for _ in range(2):
            write_number(provider, 0, 5000)
        write_number(provider, 2, 3000)
        write_number(provider, 0, 5000)
        assert session.events_lost == 3
    for name, lost in ((f"{path}.1", 2), (str(path), 1)):
        with open_etl(name) as trace:
            assert trace.header.events_lost == lost


def test_a_sequential_session_with_a_limit_stops_there_and_counts(tmp_path: Path) -> None:
    with EtlSession(tmp_path / "a.etl", buffer_size=4096, max_file_size=3 * 4096) as session:
        provider = session.register("TestProvider")
        statuses = [write_number(provider, number, 3000) for number in range(5)]
        assert statuses == [0, 0, 112, 112, 112]
        assert write_number(provider, 5, 10) == 0, "what fits the last buffer still goes there"
        assert session.events_lost == 3
    assert numbers_in(tmp_path / "a.etl") == [0, 1, 5]


def test_a_change_of_folder_moves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon changes to the root: later files of a rolling session stay where the first one was."""
    (tmp_path / "first").mkdir()
    (tmp_path / "then").mkdir()
    monkeypatch.chdir(tmp_path / "first")
    with EtlSession("a.etl", mode="rolling", max_file_size=8192, max_files=9, buffer_size=4096) as session:
        provider = session.register("TestProvider")
        monkeypatch.chdir(tmp_path / "then")
        for number in range(3):
            assert write_number(provider, number, 3000) == 0
        assert session.path == str(tmp_path / "first" / "a.etl")
    assert sorted(path.name for path in (tmp_path / "first").iterdir()) == ["a.etl", "a.etl.1", "a.etl.2"]
    assert not list((tmp_path / "then").iterdir())
