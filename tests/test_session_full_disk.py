"""No space, no folder: a status and a count for each event, one log line, and writing resumes."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from otel_etw.etl.reader import open_etl
from otel_etw.providers.base import WriteStatus
from otel_etw.sessions.embedded import EtlSession
from session_events import numbers_in, our_numbers, run_child, write_number


def test_a_file_that_cannot_be_created_leaves_a_session_that_counts(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    with caplog.at_level(logging.DEBUG, "otel_etw"):
        session = EtlSession(tmp_path / "file" / "app.etl")
        provider = session.register("TestProvider")
        assert isinstance(session.error, OSError)
        assert session.error.errno in (errno.ENOTDIR, errno.ENOENT)
        assert provider.problem is not None
        assert "app.etl" in provider.problem
        assert not provider.is_enabled(1, 0)
        assert not provider.is_enabled_any()
        for number in range(3):
            assert write_number(provider, number) == WriteStatus.INVALID_HANDLE
        assert session.events_lost == 3
        session.flush()
        session.close()
        session.close()
        assert session.closed
    assert len(caplog.records) == 1
    assert "app.etl" in caplog.text


LIMITED = """
import logging, resource, signal, sys, time
from session_events import *
from otel_etw.sessions import embedded, series
logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="LOG %(message)s")
def limit(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
if sys.argv[2] == "positioned":
    series.can_map = lambda path: False
"""


@pytest.fixture(params=["mapped", "positioned"])
def way(request: pytest.FixtureRequest) -> str:
    pytest.importorskip("resource", reason="file sizes cannot be limited on this system")
    return str(request.param)


def test_a_full_disk_loses_events_until_there_is_space_again(tmp_path: Path, way: str) -> None:
    out = run_child(
        LIMITED
        + """
session = embedded.EtlSession(sys.argv[1], buffer_size=4096)
provider = session.register("TestProvider")
limit(4 * 4096 + 1000)
statuses = [write_number(provider, number, 3000) for number in range(10)]
assert statuses == [0] * 3 + [112] * 7, statuses
assert session.events_lost == 7 and session.error.errno in (27, 28)
assert provider.problem and provider.is_enabled(4, 1), "it still wants events, and counts them"
assert write_number(provider, 10, 100) == 0, "there is room for it in the newest buffer"
assert open_etl(session.path).header.events_lost == 7
assert our_numbers(session.path) == [0, 1, 2, 10]
limit(resource.RLIM_INFINITY)
assert write_number(provider, 11, 3000) == 112, "space is not asked for at every event"
time.sleep(0.12)
assert write_number(provider, 12, 3000) == 0
assert session.error is None and provider.problem is None
session.close()
""",
        tmp_path / "a.etl",
        way,
    )
    assert out.count("LOG") == 2, out
    assert "events are lost and counted" in out
    assert "again; 8 events were lost" in out
    assert numbers_in(tmp_path / "a.etl") == [0, 1, 2, 10, 12]
    with open_etl(tmp_path / "a.etl") as trace:
        assert trace.header.events_lost == 8
        assert list(trace)
        assert not trace.damage


def test_space_is_asked_for_again_at_most_ten_times_a_second(tmp_path: Path, way: str) -> None:
    run_child(
        LIMITED
        + """
from otel_etw.etl import writer
asked = []
write_at = writer.write_at
writer.write_at = lambda *arguments: (asked.append(1), write_at(*arguments))[1]
session = embedded.EtlSession(sys.argv[1], buffer_size=4096)
provider = session.register("TestProvider")
limit(4096 + 100)
asked.clear()
end = time.monotonic() + 0.55
count = 0
while time.monotonic() < end:
    assert write_number(provider, count, 3000) == 112
    count += 1
assert 2 <= len(asked) <= 6 and count > 100, (len(asked), count)
assert session.events_lost == count
session.close()
assert our_numbers(sys.argv[1]) == []
""",
        tmp_path / "a.etl",
        way,
    )


def test_a_disk_that_is_full_from_the_start_says_so(tmp_path: Path, way: str) -> None:
    out = run_child(
        LIMITED
        + """
limit(1000)
session = embedded.EtlSession(sys.argv[1])
provider = session.register("TestProvider")
assert session.error.errno == 27
assert not provider.is_enabled_any()
assert write_number(provider, 1) == 112
session.close()
""",
        tmp_path / "a.etl",
        way,
    )
    assert out.count("LOG") == 1
    assert not list(tmp_path.iterdir()), "no half header is left"


def test_rolling_on_a_full_disk_keeps_the_older_files(tmp_path: Path, way: str) -> None:
    run_child(
        LIMITED
        + """
session = embedded.EtlSession(
    sys.argv[1], buffer_size=4096, mode="rolling", max_file_size=3 * 4096
)
provider = session.register("TestProvider")
for number in range(6):
    assert write_number(provider, number, 3000) == 0
limit(1000)
for _ in range(4):
    assert write_number(provider, 6, 3000) == 112
    time.sleep(0.11)
limit(resource.RLIM_INFINITY)
assert write_number(provider, 7, 3000) == 0
assert session.path == sys.argv[1]
session.close()
""",
        tmp_path / "a.etl",
        way,
    )
    assert [our_numbers(tmp_path / f"a.etl{end}") for end in (".3", ".2", ".1", "")] == [
        [0, 1],
        [2, 3],
        [4, 5],
        [7],
    ]
    with open_etl(tmp_path / "a.etl") as trace:
        assert trace.header.events_lost == 4


def test_a_forked_child_on_a_full_disk_asks_again(tmp_path: Path, way: str) -> None:
    run_child(
        LIMITED
        + """
import os
session = embedded.EtlSession(sys.argv[1], buffer_size=4096)
provider = session.register("TestProvider")
if os.fork() == 0:
    limit(1000)
    assert [write_number(provider, n) for n in range(3)] == [112] * 3
    limit(resource.RLIM_INFINITY)
    time.sleep(0.11)
    assert write_number(provider, 3) == 0
    session.close()
    assert our_numbers(session.path) == [3]
    os._exit(0)
assert os.wait()[1] == 0
""",
        tmp_path / "a.etl",
        way,
    )


GROWING = """
session = EtlSession(os.path.join(sys.argv[1], "a.etl"), buffer_size=8192, **options)
provider = session.register("TestProvider")
def found():
    names = sorted((n for n in os.listdir(sys.argv[1]) if n.startswith("a.etl.")), reverse=True)
    return [n for name in [*names, "a.etl"] for n in our_numbers(os.path.join(sys.argv[1], name))]
kept, number = [], 0
while True:
    status = write_number(provider, number, 500)
    if status:
        break
    kept.append(number)
    number += 1
assert status == 112 and session.error.errno == 28, (status, session.error)
assert found() == kept
os.unlink(ballast)
time.sleep(0.12)
for number in range(1000, 1020):
    assert write_number(provider, number, 500) == 0
session.close()
assert found() == kept + list(range(1000, 1020))
"""

CIRCULAR = """
from test_session_circular import assert_newest
session = EtlSession(
    os.path.join(sys.argv[1], "a.etl"), buffer_size=8192, mode="circular", max_file_size="224 KiB"
)
provider = session.register("TestProvider")
for number in range(2000):
    assert write_number(provider, number, 500) == 0
small = os.path.getsize(session.path)
assert small < 160 * 1024 and session.error is None
assert_newest(session.path, 1999)
os.unlink(ballast)
time.sleep(0.12)
for number in range(2000, 4000):
    assert write_number(provider, number, 500) == 0
session.close()
assert os.path.getsize(session.path) == 224 * 1024
assert_newest(session.path, 3999)
assert open_etl(session.path).header.events_lost == 0
"""


@pytest.mark.parametrize("mode", ["sequential", "rolling", "circular"])
def test_a_small_filesystem_that_fills_up_and_is_cleared(tmp_path: Path, mode: str) -> None:
    unshare = shutil.which("unshare")
    mount = f"mount -t tmpfs -o size=256k none {tmp_path}"
    if unshare is None or subprocess.run([unshare, "-rm", "sh", "-c", mount], capture_output=True).returncode:
        pytest.skip("no filesystem of its own can be mounted here")
    options = {"mode": "rolling", "max_file_size": 5 * 8192, "max_files": 9} if mode == "rolling" else {}
    script = f"""
import os, sys, time
from session_events import *
from otel_etw.sessions.embedded import EtlSession
ballast = os.path.join(sys.argv[1], "ballast")
open(ballast, "wb").write(bytes(100_000))
options = {options}
"""
    script += CIRCULAR if mode == "circular" else GROWING
    if mode == "sequential":
        script += "assert open_etl(session.path).header.events_lost == 1\n"
    result = subprocess.run(
        [
            unshare,
            "-rm",
            "sh",
            "-c",
            f'{mount} && exec "$@"',
            "sh",
            sys.executable,
            "-c",
            script,
            str(tmp_path),
        ],
        env={"PYTHONPATH": os.pathsep.join(sys.path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stderr.decode()
