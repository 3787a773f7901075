"""Sessions of the ETW kernel: what Windows is asked for, and what is made of its answers. With the double."""

from __future__ import annotations

import ctypes
import re
from pathlib import Path
from uuid import UUID

import pytest

from etw_double import EtwDouble
from otel_etw.errors import SessionError
from otel_etw.sessions import control
from otel_etw.sessions.control import SessionSettings
from otel_etw.sessions.recording import Recording, RecordingSettings
from otel_etw.sessions.requests import ALL_KEYWORDS, ProviderRequest, parse_request
from otel_etw.windows.structures import EventTraceProperties

SHOP = parse_request("Test_Shop")
OTHER = parse_request("Test_Other:warning:0x10")
STACK_TRACE = 4
NOT_RUNNING = 4201


def properties(double: EtwDouble, name: str) -> EventTraceProperties:
    """What ``StartTraceW`` was given."""
    return EventTraceProperties.from_buffer_copy(double.properties(name))


def wide_text(data: bytes, offset: int) -> str:
    """The UTF-16 text with NUL at ``offset``."""
    return data[offset:].decode("utf-16-le").partition("\0")[0]


def requests_of(double: EtwDouble, name: str) -> list[tuple[UUID, int, int, int, int, int]]:
    return [
        (call.provider_id, call.code, call.level, call.any_mask, call.all_mask, call.property)
        for call in double.enables(name)
    ]


def test_a_session_is_started_with_all_its_settings(etw_double: EtwDouble, tmp_path: Path) -> None:
    """Each arrives in its field; the clock is the performance counter, names stand behind the structure."""
    path = str(tmp_path / "grün 日本.etl")
    settings = SessionSettings(control.MODE_CIRCULAR, path, 512, 8, 16, 3, 100)
    handle = control.start("otel-etw-täst", settings)
    given = properties(etw_double, "otel-etw-täst")
    data = etw_double.properties("otel-etw-täst")
    assert given.Wnode.BufferSize == len(data)
    assert (given.Wnode.Flags, given.Wnode.ClientContext) == (0x20000, 1)
    assert (given.BufferSize, given.MinimumBuffers, given.MaximumBuffers) == (512, 8, 16)
    assert (given.LogFileMode, given.FlushTimer, given.MaximumFileSize) == (2, 3, 100)
    assert wide_text(data, given.LogFileNameOffset) == path
    facts = control.query(handle)
    assert (facts.name, facts.file, facts.handle, facts.mode_text) == (
        "otel-etw-täst",
        path,
        handle,
        "circular",
    )
    assert (facts.buffer_size_kb, facts.min_buffers, facts.max_buffers) == (512, 8, 16)
    assert (facts.flush_timer_s, facts.max_file_size_mb) == (3, 100)
    assert control.query("otel-etw-täst") == facts
    assert control.stop(handle).name == "otel-etw-täst"
    assert etw_double.session_names() == []


def test_a_real_time_session_has_no_file(etw_double: EtwDouble) -> None:
    """Its file's name has no place at all, as Windows wants it."""
    handle = control.start("otel-etw-live-1", SessionSettings())
    given = properties(etw_double, "otel-etw-live-1")
    assert (given.LogFileMode, given.LogFileNameOffset) == (0x100, 0)
    assert control.flush(handle).file is None
    assert control.stop("otel-etw-live-1").mode_text == "real-time"


def test_providers_are_enabled_and_disabled(etw_double: EtwDouble) -> None:
    """With level, mask and, where asked for, stacks; without waiting for the providers."""
    handle = control.start("s", SessionSettings())
    control.enable(handle, SHOP)
    control.enable(handle, OTHER, stacks=True)
    control.disable(handle, SHOP)
    assert requests_of(etw_double, "s") == [
        (SHOP.id, 1, 5, ALL_KEYWORDS, 0, 0),
        (OTHER.id, 1, 3, 0x10, 0, STACK_TRACE),
        (SHOP.id, 0, 0, 0, 0, 0),
    ]
    assert {call.timeout_ms for call in etw_double.enables("s")} == {0}


def test_losses_are_told_while_it_runs_and_when_it_stops(etw_double: EtwDouble) -> None:
    """Events, and buffers of both kinds."""
    handle = control.start("s", SessionSettings())
    etw_double.set_lost("s", events=7, log_buffers=2, realtime_buffers=1)
    for facts in (control.query(handle), control.flush("s"), control.stop(handle)):
        assert (facts.events_lost, facts.log_buffers_lost, facts.realtime_buffers_lost) == (7, 2, 1)


def test_all_sessions_are_listed(etw_double: EtwDouble) -> None:
    """By name, also those of others, and more than the 64 that Windows has by default."""
    etw_double.start_session("EventLog-Other")
    for number in range(70):
        control.start(f"otel-etw-live-{number:02}", SessionSettings())
    sessions = control.list_sessions()
    assert [facts.name for facts in sessions] == [
        "EventLog-Other", *(f"otel-etw-live-{number:02}" for number in range(70))
    ]  # fmt: skip
    assert [facts.is_own for facts in sessions[:2]] == [False, True]


@pytest.mark.parametrize(
    ("function", "code", "words"),
    [
        (
            "StartTraceW",
            5,
            'elevated prompt (administrator) or membership in the group "Performance Log Users"',
        ),
        ("StartTraceW", 1450, "no more room for sessions (64 in all by default)"),
        ("StartTraceW", 161, "another session writes that file"),
        ("StartTraceW", 112, "the disk is full"),
        ("StartTraceW", 4711, "Windows error 4711"),
        ("EnableTraceEx2", 5, "Performance Log Users"),
        ("EnableTraceEx2", 1450, "as many sessions as Windows allows (8) record this provider already"),
        ("QueryAllTracesW", 5, "Performance Log Users"),
        ("ControlTraceW", 5, "Performance Log Users"),
    ],
)
def test_refusals_are_told_in_words_and_keep_their_code(
    etw_double: EtwDouble, function: str, code: int, words: str
) -> None:
    """Whatever Windows refuses is a SessionError."""
    etw_double.fail_next(function, code)

    def run_a_session() -> None:
        control.enable(control.start("s", SessionSettings()), SHOP)
        control.list_sessions()
        control.stop("s")

    with pytest.raises(SessionError) as error:
        run_a_session()
    assert words in str(error.value)
    assert error.value.code == code


def test_what_is_not_there_is_told(etw_double: EtwDouble) -> None:
    """A session that does not run, a handle of one that has ended, a name that is taken."""
    for ask in (control.query, control.stop, control.flush):
        with pytest.raises(SessionError, match="no session of that name is running") as error:
            ask("nobody")
        assert error.value.code == NOT_RUNNING
    handle = control.start("s", SessionSettings())
    with pytest.raises(SessionError, match="a session 'S' is running already") as taken:
        control.start("S", SessionSettings())
    assert taken.value.code == 183
    control.stop(handle)
    with pytest.raises(SessionError):
        control.enable(handle, SHOP)


@pytest.mark.parametrize("name", ["", "x" * 1024, "a\0b"])
def test_names_without_room_are_refused_before_windows_sees_them(etw_double: EtwDouble, name: str) -> None:
    """1,023 characters have room."""
    with pytest.raises(ValueError, match=r"1 to 1023 characters|NUL"):
        control.start(name, SessionSettings())
    with pytest.raises(ValueError, match=r"1 to 1023 characters|NUL"):
        control.start("s", SessionSettings(control.MODE_SEQUENTIAL, name))
    with pytest.raises(ValueError, match=r"1 to 1023 characters|NUL"):
        Recording("a.etl", [SHOP], name=name)
    control.start("y" * 1023, SessionSettings())
    assert control.query("y" * 1023).name == "y" * 1023


def test_without_windows_it_is_said_what_to_use_instead(monkeypatch: pytest.MonkeyPatch) -> None:
    """In one line."""
    monkeypatch.delattr(ctypes, "WinDLL", raising=False)
    for call in (control.list_sessions, lambda: control.start("s", SessionSettings())):
        with pytest.raises(SessionError, match=r"Windows.*EtlSession.*view --follow FILE"):
            call()


def recording(
    path: Path, *requests: ProviderRequest, name: str = "otel-etw-record", **settings: object
) -> Recording:
    return Recording(path, requests or (SHOP,), RecordingSettings(**settings), name=name)  # type: ignore[arg-type]


def test_a_recording_runs_from_start_to_stop(etw_double: EtwDouble, tmp_path: Path) -> None:
    """Session and providers are there within the block, and nothing is left after it."""
    with recording(tmp_path / "a.etl", SHOP, OTHER, stacks=True) as running:
        assert etw_double.session_names() == ["otel-etw-record"]
        assert running.facts().file == str(tmp_path / "a.etl")
        etw_double.set_lost("otel-etw-record", events=3)
    assert etw_double.session_names() == []
    assert running.facts().events_lost == running.stop().events_lost == 3
    assert [call[0] for call in requests_of(etw_double, "otel-etw-record")] == [SHOP.id, OTHER.id]


def test_a_recording_that_cannot_enable_a_provider_leaves_no_session(
    etw_double: EtwDouble, tmp_path: Path
) -> None:
    """The first provider was enabled already."""
    etw_double.fail_next("EnableTraceEx2", 1450)
    with pytest.raises(SessionError, match=r"\(8\)"):
        recording(tmp_path / "a.etl", SHOP, OTHER).start()
    assert etw_double.session_names() == []


def test_a_relative_path_is_made_absolute(
    etw_double: EtwDouble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel knows no current folder."""
    monkeypatch.chdir(tmp_path)
    with recording(Path("a.etl")) as running:
        assert running.facts().file == str(tmp_path / "a.etl")


@pytest.mark.parametrize(
    ("mode", "number", "size_mb"), [("sequential", 1, 0), ("circular", 2, 256), ("rolling", 8, 256)]
)
def test_modes_and_their_default_sizes(
    etw_double: EtwDouble, tmp_path: Path, mode: str, number: int, size_mb: int
) -> None:
    """Those that cannot be without a size have one."""
    with recording(tmp_path / "a.etl", mode=mode):
        given = properties(etw_double, "otel-etw-record")
        assert (given.LogFileMode, given.MaximumFileSize) == (number, size_mb)


def test_rolling_files_have_numbers(etw_double: EtwDouble, tmp_path: Path) -> None:
    """The number goes before the suffix if nothing says where; only the newest are kept."""
    with recording(tmp_path / "a.etl", mode="rolling", max_files=2) as running:
        assert running.facts().file == str(tmp_path / "a.%d.etl")
        for number in (2, 3, 9, 10, 11):
            (tmp_path / f"a.{number}.etl").write_bytes(b"")
        (tmp_path / "a.x.etl").write_bytes(b"")
        running.keep_newest_files()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.10.etl", "a.11.etl", "a.x.etl"]
    assert recording(tmp_path / "b%d.etl", mode="rolling").files.path == str(tmp_path / "b%d.etl")
    with pytest.raises(ValueError, match="no '%' beside one '%d'"):
        recording(tmp_path / "100%.etl", mode="rolling")
    (tmp_path / "in%d").mkdir()
    with pytest.raises(ValueError, match="not in a folder"):
        recording(tmp_path / "in%d" / "a.etl", mode="rolling")
    with recording(tmp_path / "in%d" / "a.etl") as running:
        assert running.files.existing() == [str(tmp_path / "in%d" / "a.etl")]


def test_files_that_are_there_are_kept_unless_told_otherwise(etw_double: EtwDouble, tmp_path: Path) -> None:
    """Of a series all go, since they would pass for the new recording's."""
    (tmp_path / "a.etl").write_bytes(b"old")
    with pytest.raises(SessionError, match="file exists; --overwrite begins it anew"):
        recording(tmp_path / "a.etl").start()
    assert (tmp_path / "a.etl").read_bytes() == b"old"
    recording(tmp_path / "a.etl", overwrite=True).start()
    control.stop("otel-etw-record")
    for number in (1, 2, 30):
        (tmp_path / f"b.{number}.etl").write_bytes(b"old")
    with pytest.raises(SessionError, match=r"b\.1\.etl: file exists \(and 2 more\)"):
        recording(tmp_path / "b.etl", mode="rolling").start()
    with recording(tmp_path / "b.etl", mode="rolling", overwrite=True):
        assert sorted(path.name for path in tmp_path.glob("b*")) == ["b.1.etl"]


def test_a_refused_start_costs_no_earlier_file(etw_double: EtwDouble, tmp_path: Path) -> None:
    """Files go only once the session runs."""
    for number in (1, 2):
        (tmp_path / f"b.{number}.etl").write_bytes(b"old")
    etw_double.fail_next("StartTraceW", 5)
    with pytest.raises(SessionError, match="Performance Log Users"):
        recording(tmp_path / "b.etl", mode="rolling", overwrite=True).start()
    assert [path.read_bytes() for path in tmp_path.glob("b*")] == [b"old", b"old"]


def test_a_folder_must_be_there(etw_double: EtwDouble, tmp_path: Path) -> None:
    """Windows would say no more than a number."""
    with pytest.raises(SessionError, match="there is no folder"):
        recording(tmp_path / "none" / "a.etl").start()
    with pytest.raises(ValueError, match="found the folder"):
        recording(tmp_path)
    with pytest.raises(ValueError, match="at least one provider"):
        Recording(tmp_path / "a.etl", ())


def test_a_stale_session_of_ours_is_found_and_replaced_when_told(
    etw_double: EtwDouble, tmp_path: Path
) -> None:
    """What runs, what it writes, and three ways on are in the message."""
    recording(tmp_path / "old.etl").start()
    with pytest.raises(SessionError) as error:
        recording(tmp_path / "new.etl").start()
    for words in (
        "old.etl",
        "left behind",
        "--replace",
        "--name",
        'otel-etw sessions stop "otel-etw-record"',
    ):
        assert words in str(error.value)
    with recording(tmp_path / "new.etl", replace=True) as running:
        assert running.replaced is not None
        assert running.replaced.file == str(tmp_path / "old.etl")
        assert etw_double.session_names() == ["otel-etw-record"]
        assert running.facts().file == str(tmp_path / "new.etl")


def test_sessions_of_others_are_never_replaced(etw_double: EtwDouble, tmp_path: Path) -> None:
    """Their names do not begin with ours."""
    etw_double.start_session("EventLog-Other")
    with pytest.raises(SessionError, match="none of ours"):
        recording(tmp_path / "a.etl", name="EventLog-Other", replace=True).start()
    assert etw_double.session_names() == ["EventLog-Other"]


def test_a_session_that_ended_by_itself_is_noticed(etw_double: EtwDouble, tmp_path: Path) -> None:
    """What was last known of it stays, and stopping it is no error."""
    with recording(tmp_path / "a.etl") as running:
        etw_double.set_lost("otel-etw-record", events=5)
        assert running.facts().events_lost == 5
        etw_double.stop_session("otel-etw-record")
        assert running.facts().events_lost == 5
        assert running.has_ended
    assert running.stop().events_lost == 5


def test_settings_that_windows_refuses_are_told(etw_double: EtwDouble, tmp_path: Path) -> None:
    """A start that fails for its file does so with the file's name."""
    second = recording(tmp_path / "a.etl", name="otel-etw-2", overwrite=True)
    with recording(tmp_path / "a.etl", name="otel-etw-1"), pytest.raises(SessionError) as error:
        second.start()
    assert re.search(r"a\.etl.*another session writes that file", str(error.value))
