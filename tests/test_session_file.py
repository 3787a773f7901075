"""What a session writes is read back, event for event and in order, by three readers."""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path
from uuid import UUID

import pytest

from independent_readers import READERS, SeenEvent
from otel_etw.etl import layout
from otel_etw.etl.reader import open_etl
from otel_etw.providers.base import Provider, WriteStatus
from otel_etw.sessions import series
from otel_etw.sessions.embedded import EtlSession
from otel_etw.tracelogging.encode import EventBuilder
from otel_etw.tracelogging.types import EventDescriptor
from session_events import DESCRIPTOR, number_of, numbers_in, our_numbers, write_number

BUFFER_SIZES = [4096, 5120, 8192, 65536, 131072]


@pytest.fixture(params=["mapped", "positioned"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How stores get into the file; positioned writes are what a copy-on-write filesystem gets."""
    monkeypatch.setattr(series, "can_map", lambda path: request.param == "mapped")
    return str(request.param)


@pytest.mark.parametrize("buffer_size_bytes", BUFFER_SIZES)
def test_events_of_every_size_come_back_in_order(tmp_path: Path, buffer_size_bytes: int, way: str) -> None:
    with EtlSession(tmp_path / "a.etl", buffer_size=buffer_size_bytes) as session:
        provider = session.register("TestProvider")
        largest = provider.max_event_bytes - 200
        for number in range(300):
            assert write_number(provider, number, number * 37 % min(largest, 4000)) == 0
        assert numbers_in(session.path) == list(range(300)), "while the file is being written"
    assert numbers_in(tmp_path / "a.etl") == list(range(300))
    size = os.path.getsize(tmp_path / "a.etl")
    assert size % buffer_size_bytes == 0
    with open_etl(tmp_path / "a.etl") as trace:
        assert list(trace)
        assert trace.header.buffers_written == size // buffer_size_bytes
        assert trace.damage.unfinished is None


def test_both_ways_of_writing_make_the_same_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    contents = []
    for mapped in (True, False):
        clock = iter(range(10**18, 10**18 + 10**12, 12_345))
        with monkeypatch.context() as patch:
            patch.setattr(series, "can_map", lambda path, mapped=mapped: mapped)
            patch.setattr(time, "time_ns", lambda clock=clock: next(clock))
            with EtlSession(tmp_path / "same.etl", buffer_size=4096) as session:
                provider = session.register("TestProvider")
                for number in range(200):
                    write_number(provider, number, number)
        contents.append((tmp_path / "same.etl").read_bytes())
    assert contents[0] == contents[1]


def test_every_fact_of_an_event_reaches_every_reader(tmp_path: Path) -> None:
    builder = EventBuilder("Answer")
    builder.add_u16("value", 42)
    builder.add_str8("text", b"hello")
    activity, related = bytes(range(16)), bytes(range(16, 32))
    group = UUID("4f50731a-89cf-4782-b3e0-dce8c90476ba")
    before = time.time_ns()
    with EtlSession(tmp_path / "a.etl", session_name="s") as session:
        provider = session.register("MyProvider", group=group)
        descriptor = EventDescriptor(0, 1, 11, 2, 1, 7, 0x8000_0000_0000_0001)
        assert provider.write(descriptor, builder.metadata(), builder.payload(), activity, related) == 0
        raw = EventDescriptor(81, 0, 0, 4, 0, 0, 0)
        assert provider.write(raw, None, b"raw bytes") == 0
        assert provider.write(raw, None, b"with a relation", None, related) == 0
    with open_etl(tmp_path / "a.etl") as trace:
        first, second, third = (event for event in trace if event.kind == "event")
        assert trace.header.session_name == "s"
        assert trace.header.log_file_name == str(tmp_path / "a.etl")
        assert trace.header.process_id == os.getpid()
    assert first.provider_id == provider.id
    assert first.provider_name == "MyProvider"
    assert (first.name, first.fields) == ("Answer", {"value": 42, "text": "hello"})
    assert first.descriptor == descriptor
    assert (first.process_id, first.pointer_size) == (os.getpid(), 8)
    assert first.activity_id == UUID(bytes_le=activity)
    assert first.related_activity_id == UUID(bytes_le=related)
    assert first.extended[1:] == ((12, provider.traits), (11, builder.metadata()))
    assert before - 100 <= first.timestamp_ns <= time.time_ns()
    assert (second.descriptor, second.metadata, second.payload) == (raw, None, b"raw bytes")
    assert second.extended == ()
    assert (third.payload, third.related_activity_id) == (b"with a relation", UUID(bytes_le=related))
    ours = [
        SeenEvent(
            event.provider_id,
            event.descriptor.id,
            event.descriptor.level,
            event.name if event.metadata else None,
            event.timestamp_raw,
            event.thread_id,
            event.process_id,
            event.payload,
        )
        for event in (first, second, third)
    ]
    for name, read in READERS.items():
        assert read(tmp_path / "a.etl") == ours, name


def test_a_provider_is_what_the_exporters_expect(tmp_path: Path) -> None:
    with EtlSession(tmp_path / "a.etl") as session:
        provider: Provider = session.register("MyProvider", UUID(int=5))
        assert (provider.name, provider.id, provider.problem) == ("MyProvider", UUID(int=5), None)
        assert provider.is_enabled_any()
        provider.flush()
        provider.close()
        provider.close()
        assert not provider.is_enabled_any()
        assert not provider.is_enabled(1, 0)
        assert provider.write(DESCRIPTOR, None, b"") == WriteStatus.INVALID_HANDLE
        assert provider.problem == "the provider is closed"
        assert not session.closed


def test_a_session_without_events_is_a_readable_file(tmp_path: Path) -> None:
    EtlSession(tmp_path / "a.etl").close()
    assert numbers_in(tmp_path / "a.etl") == []


def test_the_last_buffer_of_a_closed_file_alone_is_marked_as_such(tmp_path: Path) -> None:
    with EtlSession(tmp_path / "a.etl", buffer_size=4096) as session:
        provider = session.register("TestProvider")
        for number in range(5):
            write_number(provider, number, 3000)
    data = (tmp_path / "a.etl").read_bytes()
    headers = [layout.BUFFER_HEADER.unpack_from(data, start) for start in range(0, len(data), 4096)]
    assert [header[11] for header in headers] == [0x21, 0x20, 0x20, 0x20, 0x20, 0x21]
    assert [header[5] for header in headers] == list(range(6))
    for start, header in enumerate(headers[1:], 1):
        filled = header[10]
        assert header[1] == filled
        assert set(data[start * 4096 + filled : (start + 1) * 4096]) == {0xFF}
        last_raw_time = layout.EVENT_HEADER.unpack_from(data, start * 4096 + 72)[7]
        assert header[4] == last_raw_time


def test_the_header_is_complete_after_close_and_close_is_idempotent(tmp_path: Path) -> None:
    session = EtlSession(tmp_path / "a.etl")
    provider = session.register("TestProvider")
    write_number(provider, 1)
    with open_etl(session.path) as trace:
        assert trace.header.end_time_filetime == 0
        assert trace.header.buffers_written == 2
        assert sum(1 for _ in trace) == 2
        assert trace.damage.unfinished
    session.close()
    session.close()
    assert session.closed
    assert write_number(provider, 2) == WriteStatus.INVALID_HANDLE
    assert provider.problem is not None
    assert not provider.is_enabled(1, 0)
    session.flush()
    with open_etl(session.path) as trace:
        assert trace.header.end_time_filetime >= trace.header.start_time_filetime
    assert our_numbers(session.path) == [1]


@pytest.mark.parametrize(
    ("session", "event", "enabled"),
    [
        ((0, 0), (5, 1), True),
        ((3, 0), (3, 1), True),
        ((3, 0), (4, 1), False),
        ((3, 0), (0, 1), True),
        ((0, 6), (5, 2), True),
        ((0, 6), (5, 1), False),
        ((0, 6), (5, 0), True),
        ((3, 6), (4, 2), False),
        ((255, 2**64 - 1), (255, 1 << 63), True),
    ],
)
def test_level_and_keyword_filter_as_a_session_of_windows_does(
    tmp_path: Path, session: tuple[int, int], event: tuple[int, int], enabled: bool
) -> None:
    with EtlSession(tmp_path / "a.etl", level=session[0], keyword=session[1]) as etl:
        provider = etl.register("TestProvider")
        assert provider.is_enabled(*event) is enabled
        assert provider.is_enabled_any()
        assert provider.write(EventDescriptor(level=event[0], keyword=event[1]), None, b"") == 0
    with open_etl(tmp_path / "a.etl") as trace:
        assert sum(event.kind == "event" for event in trace) == enabled
        assert trace.header.events_lost == 0


@pytest.mark.parametrize("buffer_size_bytes", [4096, 65536, 131072])
def test_events_too_large_are_refused_with_their_reason_and_counted(
    tmp_path: Path, buffer_size_bytes: int
) -> None:
    with EtlSession(tmp_path / "a.etl", buffer_size=buffer_size_bytes) as session:
        provider = session.register("TestProvider")
        room = min(65535, buffer_size_bytes - 72) - 80
        assert provider.write(DESCRIPTOR, None, bytes(room)) == WriteStatus.SUCCESS
        expected = WriteStatus.MORE_DATA if room + 81 <= 65535 else WriteStatus.ARITHMETIC_OVERFLOW
        assert provider.write(DESCRIPTOR, None, bytes(room + 1)) == expected
        assert provider.write(DESCRIPTOR, None, bytes(65535 - 79)) == WriteStatus.ARITHMETIC_OVERFLOW
        assert provider.write(DESCRIPTOR, bytes(70000), b"") == WriteStatus.ARITHMETIC_OVERFLOW
        assert session.events_lost == 3
    with open_etl(tmp_path / "a.etl") as trace:
        assert [len(event.payload) for event in trace if event.kind == "event"] == [room]
        assert trace.header.events_lost == 3


def test_a_malformed_call_is_answered_and_counted_never_raised(tmp_path: Path) -> None:
    with EtlSession(tmp_path / "a.etl") as session:
        provider = session.register("TestProvider")
        for arguments in (
            (EventDescriptor(level=4, id=70000), None, b""),
            (DESCRIPTOR, None, "text"),
            (DESCRIPTOR, None, None),
            (DESCRIPTOR, 5, b""),
            (DESCRIPTOR, None, b"", b"short"),
            (DESCRIPTOR, None, b"", None, b"short"),
        ):
            assert provider.write(*arguments) == WriteStatus.INVALID_PARAMETER  # type: ignore[arg-type]
        assert session.events_lost == 6
        assert write_number(provider, 7) == 0
    assert numbers_in(tmp_path / "a.etl") == [7]


def test_a_provider_that_makes_ever_new_shapes_stays_small(tmp_path: Path) -> None:
    with EtlSession(tmp_path / "a.etl") as session:
        provider = session.register("TestProvider")
        for number in range(1000):
            provider.write(DESCRIPTOR, EventBuilder(f"Event{number}").metadata(), b"")
        assert len(provider._items) <= 256
    with open_etl(tmp_path / "a.etl") as trace:
        names = [event.name for event in trace if event.kind == "event"]
    assert names == [f"Event{number}" for number in range(1000)]


def test_a_clock_that_steps_back_never_makes_time_fall_within_a_buffer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hour_ns = 3600 * 10**9
    start = time.time_ns()
    times = [start, start + 5000, start - hour_ns, start - 100 * hour_ns, start + hour_ns, start - hour_ns]
    with EtlSession(tmp_path / "a.etl", buffer_size=4096) as session:
        provider = session.register("TestProvider")
        for padding in (0, 3000):
            for number, now in enumerate(times):
                monkeypatch.setattr(time, "time_ns", lambda now=now: now)
                assert write_number(provider, number, padding) == 0
        monkeypatch.undo()
    with open_etl(tmp_path / "a.etl") as trace:
        events = [event for event in trace if event.kind == "event"]
    assert [number_of(event.payload) for event in events] == [*range(6), *range(6)]
    assert all(event.timestamp_raw > 0 for event in events)
    by_buffer: dict[int, list[int]] = {}
    for event in events:
        by_buffer.setdefault(event.buffer, []).append(event.timestamp_raw)
    assert all(raw_times == sorted(raw_times) for raw_times in by_buffer.values())
    assert len(by_buffer) > 5
    assert events[8].timestamp_ns // 100 == (start - hour_ns) // 100, "a new buffer takes the clock as it is"
    numbers_in(tmp_path / "a.etl")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"path": ""}, ValueError),
        ({"path": "a\0b"}, ValueError),
        ({"path": 5}, TypeError),
        ({"level": -1}, ValueError),
        ({"level": 256}, ValueError),
        ({"level": "4"}, TypeError),
        ({"level": True}, TypeError),
        ({"keyword": 2**64}, ValueError),
        ({"buffer_size": 2048}, ValueError),
        ({"buffer_size": 65537}, ValueError),
        ({"buffer_size": 2**25}, ValueError),
        ({"mode": "circular"}, ValueError),
        ({"mode": "rolling"}, ValueError),
        ({"max_file_size": 65536}, ValueError),
        ({"max_files": 0}, ValueError),
        ({"session_name": ""}, ValueError),
        ({"session_name": "a\0"}, ValueError),
        ({"session_name": None}, TypeError),
    ],
)
def test_invalid_arguments_are_the_callers_fault_and_leave_no_file(
    tmp_path: Path, arguments: dict[str, object], error: type[Exception]
) -> None:
    with pytest.raises(error):
        EtlSession(**{"path": tmp_path / "a.etl", **arguments})  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def test_a_users_file_follows_the_umask(tmp_path: Path) -> None:
    mask = os.umask(0o027)
    try:
        EtlSession(tmp_path / "a.etl").close()
    finally:
        os.umask(mask)
    if os.name != "nt":
        assert stat.S_IMODE((tmp_path / "a.etl").stat().st_mode) == 0o640


def test_a_session_nobody_has_any_more_lets_go_of_its_file(tmp_path: Path) -> None:
    session = EtlSession(tmp_path / "a.etl")
    write_number(session.register("TestProvider"), 1)
    session.__del__()
    second = EtlSession(tmp_path / "a.etl")
    assert second.path == str(tmp_path / "a.etl")
    second.close()
    assert numbers_in(tmp_path / "a.etl.1") == [1]


def test_flush_and_repr_and_holders(tmp_path: Path) -> None:
    session = EtlSession(tmp_path / "a.etl")
    session.hold()
    write_number(session.register("TestProvider"), 1)
    session.flush()
    session.release()
    session.release()
    assert not session.closed, "the user's session closes only by close()"
    assert repr(session).endswith("open>")
    session.close()
    assert repr(session).endswith("closed>")
