"""The shared default session, and what happens to open sessions when the interpreter exits."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

import pytest

from otel_etw.etl.reader import open_etl
from session_events import numbers_in, run_child

has_file_by_default = pytest.mark.skipif(
    os.name == "nt", reason="on Windows the default is the kernel's session (test_kernel_provider.py)"
)


@has_file_by_default
def test_the_default_session_is_shared_private_and_closed_by_its_last_holder(tmp_path: Path) -> None:
    out = run_child(
        """
import logging, os, sys
from session_events import *
logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="LOG %(name)s %(levelname)s %(message)s")
from otel_etw.sessions.default import default_session
from otel_etw.sessions.settings import SessionSettings
first, second = default_session(), default_session()
assert first is second
provider = first.register("TestProvider")
write_number(provider, 1)
first.release()
assert not first.closed
write_number(provider, 2)
second.release()
assert first.closed
assert write_number(provider, 3) == 6
print(first.path)
third = default_session(SessionSettings(path="named.etl"))
assert third is not first and third.path == os.path.abspath("named.etl") and not third.closed
third.release()
""",
        cwd=tmp_path,
    )
    logged = [line for line in out.splitlines() if line.startswith("LOG")]
    assert len(logged) == 2, "announced once for each session"
    assert all(line.startswith("LOG otel_etw INFO writing ETW events to ") for line in logged)
    path = Path(next(line for line in out.splitlines() if not line.startswith("LOG"))).name
    assert re.fullmatch(r"otel-etw-\d+-\d{8}T\d{6}Z\.etl", path)
    assert numbers_in(tmp_path / path) == [1, 2]
    assert stat.S_IMODE((tmp_path / path).stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "named.etl").stat().st_mode) & 0o044


def test_a_shared_session_with_a_path_closes_with_its_last_holder(tmp_path: Path) -> None:
    """On every system, Windows included: somebody asked for a file."""
    run_child(
        """
from session_events import *
from otel_etw.sessions.default import default_session
from otel_etw.sessions.settings import SessionSettings
settings = SessionSettings(path="named.etl")
first, second = default_session(settings), default_session(settings)
assert first is second
provider = first.register("TestProvider")
first.release()
assert write_number(provider, 1) == 0
second.release()
assert first.closed and write_number(provider, 2) == 6
assert default_session(settings) is not first
""",
        cwd=tmp_path,
    )
    assert numbers_in(tmp_path / "named.etl.1") == [1]


def test_the_default_session_is_bounded(tmp_path: Path) -> None:
    run_child(
        """
from otel_etw.sessions.default import default_session
from otel_etw.sessions.settings import SessionSettings
options = default_session(SessionSettings(path="named.etl"))._options
assert options.mode == "rolling" and options.max_files * options.max_file_size_bytes == 1 << 30
""",
        cwd=tmp_path,
    )


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
def test_the_default_session_is_still_shared_in_a_child(tmp_path: Path) -> None:
    run_child(
        """
import os
from session_events import *
from otel_etw.sessions.default import default_session
session = default_session()
provider = session.register("TestProvider")
write_number(provider, 1)
if os.fork() == 0:
    assert default_session() is session
    write_number(provider, 2)
    assert str(os.getpid()) in session.path
    session.release()
    assert not session.closed
    session.release()
    assert session.closed
    assert our_numbers(session.path) == [2]
    os._exit(0)
assert os.wait()[1] == 0
assert not session.closed
write_number(provider, 3)
session.release()
assert our_numbers(session.path) == [1, 3]
""",
        cwd=tmp_path,
    )
    assert len(list(tmp_path.iterdir())) == 2


def test_a_default_session_without_a_file_is_announced_as_trouble_once(tmp_path: Path) -> None:
    out = run_child(
        """
import logging, sys
logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="LOG %(levelname)s %(message)s")
from otel_etw.sessions.default import default_session
from otel_etw.sessions.settings import SessionSettings
sessions = [default_session(SessionSettings(path="missing/folder/a.etl")) for _ in range(3)]
assert len(set(sessions)) == 1 and sessions[0].error
""",
        cwd=tmp_path,
    )
    assert out.count("LOG") == 1
    assert out.startswith("LOG WARNING cannot create")


@pytest.mark.parametrize("first", ["hook", "import"])
def test_events_written_while_the_interpreter_exits_are_kept(tmp_path: Path, first: str) -> None:
    """Exit hooks run last in, first out: the application's runs before or after ours."""
    register = "atexit.register(lambda: [write_number(provider, n, 1000) for n in range(10, 20)])\n"
    imports = "from session_events import *\nfrom otel_etw.sessions.embedded import EtlSession\n"
    run_child(
        "import atexit, sys\n"
        + (register + imports if first == "hook" else imports + register)
        + """
session = EtlSession(sys.argv[1], buffer_size=4096)
provider = session.register("TestProvider")
for number in range(10):
    write_number(provider, number, 1000)
write_number(provider, 0, 60000)
""",
        tmp_path / "a.etl",
    )
    assert numbers_in(tmp_path / "a.etl") == list(range(20))
    with open_etl(tmp_path / "a.etl") as trace:
        last = [event.timestamp_filetime for event in trace][-1]
        assert trace.header.end_time_filetime >= last
        assert trace.header.events_lost == 1
        assert trace.header.buffers_written * 4096 == (tmp_path / "a.etl").stat().st_size
        assert not trace.damage


def test_a_session_that_only_finalizers_remember_is_finished(tmp_path: Path) -> None:
    run_child(
        """
import gc, sys
from session_events import *
from otel_etw.sessions.embedded import EtlSession
def work():
    write_number(EtlSession(sys.argv[1]).register("TestProvider"), 1)
work()
gc.collect()
assert open_etl(sys.argv[1]).header.end_time_filetime
""",
        tmp_path / "a.etl",
    )
    assert numbers_in(tmp_path / "a.etl") == [1]
