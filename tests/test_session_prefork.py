"""Servers that fork their workers: every event is in exactly one file, whoever wrote it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from session_events import numbers_in, our_numbers, run_child

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")

# Like gunicorn with preload: the master has the session, its providers and threads that log; workers log
# from several threads, one is replaced, and some end without any cleaning up.
MASTER = """
import os, signal, sys, threading, time
from session_events import *
from otel_etw.sessions.embedded import EtlSession
options = {"mode": sys.argv[2], "max_file_size": 2**20} if sys.argv[2] != "sequential" else {}
session = EtlSession(sys.argv[1], buffer_size=8192, **options)
provider = session.register("TestProvider")
EACH = 150
def log(base):
    for number in range(base, base + EACH):
        assert write_number(provider, number, number % 90) == 0
def in_threads(base, count):
    threads = [threading.Thread(target=log, args=(base + 10_000 * n,)) for n in range(count)]
    [thread.start() for thread in threads]
    return threads
def worker(number):
    try:
        threads = in_threads(number * 100_000, 3)
        log(number * 100_000 + 90_000)
        [thread.join() for thread in threads]
        if number % 2:
            session.close()
            os._exit(0)
        os.kill(os.getpid(), signal.SIGKILL)
    finally:
        os._exit(1)
log(10_000_000)
masters = in_threads(20_000_000, 2)
workers = []
for number in range(1, 6):
    pid = os.fork()
    if pid == 0:
        worker(number)
    workers.append(pid)
for number, pid in enumerate(workers, 1):
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == (0 if number % 2 else -signal.SIGKILL)
pid = os.fork()
if pid == 0:
    worker(7)
assert os.waitpid(pid, 0)[1] == 0
[thread.join() for thread in masters]
log(30_000_000)
assert session.events_lost == 0
session.close()
"""


@pytest.mark.parametrize("mode", ["sequential", "rolling", "circular"])
def test_a_prefork_server_has_every_event_once(tmp_path: Path, mode: str) -> None:
    run_child(MASTER, tmp_path / "app.etl", mode)
    found = {path.name: our_numbers(path) for path in tmp_path.iterdir()}
    assert len(found) == 7, "the master's and one for each worker"
    numbers = sorted(number for file in found.values() for number in file)
    assert len(numbers) == len(set(numbers)) == (4 + 6 * 4) * 150
    for name, own in found.items():
        whose = {number // 100_000 if number < 10_000_000 else "master" for number in own}
        assert whose == {"master"} if name == "app.etl" else len(whose) == 1
        for lane in {number // 10_000 for number in own}:
            in_lane = [number for number in own if number // 10_000 == lane]
            assert in_lane == list(range(lane * 10_000, lane * 10_000 + 150))


def test_hooks_that_write_around_a_fork_are_each_in_their_process_file(tmp_path: Path) -> None:
    """Those of a child that run before the session's own know nothing of its new file."""
    out = run_child(
        """
import os, sys, threading
ready = False
def hook(base):
    if ready:
        for number in range(base, base + 3):
            assert write_number(provider, number) == 0
def in_child():
    hook(1)
    thread = threading.Thread(target=hook, args=(11,))
    thread.start()
    thread.join()
for _ in range(2):
    os.register_at_fork(
        before=lambda: hook(100), after_in_parent=lambda: hook(200), after_in_child=in_child
    )
    from session_events import *
    from otel_etw.sessions.embedded import EtlSession
session = EtlSession(sys.argv[1])
provider = session.register("TestProvider")
hook_base = write_number(provider, 0)
ready = True
if os.fork() == 0:
    assert write_number(provider, 50) == 0
    session.close()
    print(session.path, flush=True)
    os._exit(0)
assert os.wait()[1] == 0
session.close()
""",
        tmp_path / "app.etl",
    )
    assert numbers_in(tmp_path / "app.etl") == [0, *[100, 101, 102] * 2, *[200, 201, 202] * 2]
    assert numbers_in(out.strip()) == [1, 2, 3, 11, 12, 13, 1, 2, 3, 11, 12, 13, 50]


def test_a_fork_while_another_thread_flushes_leaves_the_file_free(tmp_path: Path) -> None:
    """What ``flush`` works with must not stay open in a child, which would hold the file for good."""
    out = run_child(
        """
import os, sys, threading, time
from session_events import *
from otel_etw.sessions.embedded import EtlSession
inside, go = threading.Event(), threading.Event()
fsync = os.fsync
def slow(fd):
    inside.set()
    go.wait(10)
    fsync(fd)
os.fsync = slow
session = EtlSession(sys.argv[1])
write_number(session.register("TestProvider"), 1)
thread = threading.Thread(target=session.flush)
thread.start()
inside.wait(10)
if os.fork() == 0:
    if os.path.isdir("/proc/self/fd"):
        open_files = [os.readlink("/proc/self/fd/" + name) for name in os.listdir("/proc/self/fd")
                      if os.path.exists("/proc/self/fd/" + name)]
        assert sys.argv[1] not in open_files, open_files
    os._exit(0)
assert os.wait()[1] == 0
go.set()
thread.join()
session.close()
assert our_numbers(sys.argv[1]) == [1]
print("done")
""",
        tmp_path / "app.etl",
    )
    assert out.strip() == "done"
