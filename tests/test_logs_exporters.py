"""How the log processor and exporter behave as guests in an application."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider, ReadableLogRecord, ReadWriteLogRecord
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, LogRecordExportResult
from opentelemetry.sdk.resources import Resource

from memory_provider import MemorySession
from otel_etw import (
    EtlSession,
    EtwLogRecordExporter,
    EtwLogRecordProcessor,
    EtwMetricExporter,
    emitter,
    open_etl,
)
from otel_etw.emitter import Stats
from otel_etw.errors import EncodeError
from otel_etw.layouts.common_schema import decode_log
from otel_etw.tracelogging.metadata import decode_metadata
from otel_etw.tracelogging.provider_id import provider_id
from session_events import run_child

SUCCESS, FAILURE = LogRecordExportResult.SUCCESS, LogRecordExportResult.FAILURE


def record(body: Any = "hello", number: int | None = 9, **more: Any) -> ReadWriteLogRecord:
    severity = None if number is None else SeverityNumber(number)
    return ReadWriteLogRecord(
        LogRecord(timestamp=1, body=body, severity_number=severity, **more), Resource({})
    )


def readable(body: Any = "hello") -> ReadableLogRecord:
    return ReadableLogRecord(record(body).log_record, Resource({}))


def event_names(session: MemorySession) -> list[str]:
    return [decode_metadata(event.metadata).name for event in session.events]


# --------------------------------------------------------------------------- arguments


@pytest.mark.parametrize("kind", [EtwLogRecordProcessor, EtwLogRecordExporter])
@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"provider_name": ""}, EncodeError),
        ({"provider_name": b"Bytes"}, TypeError),
        ({"provider_name": 5}, TypeError),
        ({"provider_name": "My-Provider"}, EncodeError),
        ({"provider_name": "x" * 234}, EncodeError),
        ({"provider_name": "é"}, EncodeError),
        ({"provider_name": "a.b", "etw_only_name": True}, EncodeError),
        ({"event_name": ""}, EncodeError),
        ({"event_name": "a\0b"}, EncodeError),
        ({"event_name": 5}, TypeError),
        ({"keyword": -1}, EncodeError),
        ({"keyword": 2**64}, EncodeError),
        ({"keyword": True}, TypeError),
        ({"resource_attributes": "service.name"}, TypeError),
    ],
)
def test_invalid_arguments_in_code_raise(kind: Any, arguments: Any, error: type[Exception]) -> None:
    """What the programmer got wrong is said at once, as a ``ValueError`` or ``TypeError``."""
    assert issubclass(EncodeError, ValueError)
    with pytest.raises(error):
        kind(**arguments, session=MemorySession())


@pytest.mark.parametrize("session", ["app.etl", EtlSession])
@pytest.mark.parametrize("kind", [EtwLogRecordProcessor, EtwLogRecordExporter, EtwMetricExporter])
def test_what_is_no_session_is_refused(kind: Any, session: Any) -> None:
    """A file name in place of a session must not end as one log line and no trace."""
    with pytest.raises(TypeError, match="session must be"):
        kind(session=session)


def test_the_environment_names_the_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a name in code the variable's counts, and an empty one is none."""
    session = MemorySession()
    for name in ("My_Service", ""):
        monkeypatch.setenv("OTEL_EXPORTER_ETW_PROVIDER_NAME", name)
        EtwLogRecordProcessor(session=session).on_emit(record())
    EtwLogRecordProcessor("Named_in_code", session=session).on_emit(record())
    names = [event.provider.name for event in session.events]
    assert names == ["My_Service", "OpenTelemetry_Python", "Named_in_code"]
    assert session.events[0].provider.id == provider_id("My_Service")


def test_an_invalid_environment_is_logged_and_the_default_used(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A bad value in the environment is no reason to fail."""
    monkeypatch.setenv("OTEL_EXPORTER_ETW_PROVIDER_NAME", "My-Service")
    session = MemorySession()
    EtwLogRecordExporter(session=session).export([readable()])
    assert session.events[0].provider.name == "OpenTelemetry_Python"
    (line,) = caplog.records
    assert (line.name, line.levelname) == ("otel_etw", "WARNING")
    assert "OTEL_EXPORTER_ETW_PROVIDER_NAME" in line.getMessage()
    assert "My-Service" in line.getMessage()


# --------------------------------------------------------------------------- what is written


def raising(sdk_record: Any) -> str:
    raise RuntimeError("no name")


@pytest.mark.parametrize(
    ("event_name", "found"),
    [
        ("Mine", "Mine"),
        (lambda sdk_record: sdk_record.log_record.body.upper(), "HELLO"),
        (lambda sdk_record: "", "Log"),
        (lambda sdk_record: None, "Log"),
        (lambda sdk_record: b"bytes", "Log"),
        (lambda sdk_record: "a\0b", "a\ufffdb"),
        (raising, "Log"),
    ],
)
def test_event_names(event_name: Any, found: str) -> None:
    """A fixed name, or one per record; a callback that fails or gives none means ``Log``."""
    session = MemorySession()
    processor = EtwLogRecordProcessor("P", session=session, event_name=event_name)
    processor.on_emit(record())
    EtwLogRecordExporter("P", session=session, event_name=event_name).export([readable()])
    assert event_names(session) == [found, found]


def test_keyword() -> None:
    """The keyword given is that of every event."""
    session = MemorySession()
    EtwLogRecordProcessor("P", session=session, keyword=0x8000_0000_0000_0002).on_emit(record())
    assert session.events[0].descriptor.keyword == 0x8000_0000_0000_0002


def test_resources_of_the_same_identity_are_told_apart() -> None:
    """Facts of a resource that is gone never stand for another one that took its place in memory."""
    session = MemorySession()
    processor = EtwLogRecordProcessor("P", session=session, resource_attributes=["n"])
    for number in range(50):
        processor.on_emit(
            ReadWriteLogRecord(LogRecord(body="x"), Resource({"service.name": f"s{number}", "n": number}))
        )
    assert [item.service_name for item in session.logs()] == [f"s{number}" for number in range(50)]
    assert [item.attributes for item in session.logs()] == [{"n": number} for number in range(50)]


def test_a_record_without_resource_or_times() -> None:
    """No resource, and times that are none: now is written."""
    session = MemorySession()
    odd: Any = LogRecord(body="x")
    odd.timestamp = odd.observed_timestamp = None
    odd.severity_number = None
    before = time.time_ns()
    EtwLogRecordProcessor("P", session=session).on_emit(ReadWriteLogRecord(odd, None))
    (item,) = session.logs()
    assert before <= item.time_unix_nano <= time.time_ns()
    assert item.service_name is None


# --------------------------------------------------------------------------- who listens


def test_enabled_follows_the_session() -> None:
    """``enabled()`` is the session's state for the severity; of unknown severity any level counts."""
    session = MemorySession(level=3)
    processor = EtwLogRecordProcessor("P", session=session)
    answers = {number: processor.enabled(severity_number=SeverityNumber(number)) for number in range(25)}
    assert [number for number, answer in answers.items() if answer] == [0, *range(13, 25)]
    assert processor.enabled()
    assert processor.enabled(severity_number=None, event_name="x")
    session.level = None
    assert not processor.enabled()
    assert not processor.enabled(severity_number=SeverityNumber.FATAL)


def test_nobody_listening_costs_no_encoding() -> None:
    """A record that no session wants is a success; it is counted and its body never looked at."""

    class Untouchable:
        def __str__(self) -> str:
            raise AssertionError("encoded")

    session = MemorySession(level=2)
    processor = EtwLogRecordProcessor("P", session=session, event_name=raising)
    exporter = EtwLogRecordExporter("P", session=session, event_name=raising)
    processor.on_emit(record(Untouchable()))
    assert exporter.export([readable(Untouchable())] * 3) is SUCCESS
    assert (processor.stats.skipped, exporter.stats.skipped) == (1, 3)
    assert processor.stats.lost == exporter.stats.lost == 0


# --------------------------------------------------------------------------- trouble


class Hostile:
    def __init__(self, raising: type[BaseException]) -> None:
        self.raising = raising

    def __str__(self) -> str:
        raise self.raising("hostile")

    __repr__ = __str__


def test_hostile_values_raise_nothing_and_all_are_counted() -> None:
    """Whatever stands in a record, it is written in some form or counted."""
    cycle: dict[str, Any] = {}
    cycle["self"] = cycle
    bodies = [
        Hostile(RuntimeError),
        Hostile(RecursionError),
        [Hostile(OSError)],
        cycle,
        "x" * 10_000_000,
        b"\0" * 10_000_000,
        ["\ud800"] * 1000,
        "\0",
        {Hostile(ValueError): 1},
        {f"key {number}": "v" * 100 for number in range(20_000)},
        10**10_000,
        float("nan"),
    ]
    session = MemorySession()
    processor = EtwLogRecordProcessor("P", session=session)
    exporter = EtwLogRecordExporter("P", session=session)
    for body in bodies:
        processor.on_emit(record(body))
    assert exporter.export([readable(body) for body in bodies]) is SUCCESS
    assert processor.stats.written == exporter.stats.written == len(bodies)
    assert len(session.logs()) == 2 * len(bodies)
    assert processor.stats.truncated >= 3


@pytest.mark.parametrize("field", ["timestamp", "severity_number", "severity_text", "trace_id", "span_id"])
@pytest.mark.parametrize("value", ["text", 1.5, b"bytes", [1], object(), Hostile(OSError)])
def test_a_fact_of_the_wrong_type_is_an_unset_one(field: str, value: Any) -> None:
    """It costs the record nothing else; a severity text becomes text."""
    session = MemorySession()
    processor = EtwLogRecordProcessor("P", session=session)
    for _ in range(5):
        wrong = record(attributes={"k": "v"})
        setattr(wrong.log_record, field, value)
        processor.on_emit(wrong)
    assert (processor.stats.written, processor.stats.lost) == (5, 0)
    for item in session.logs():
        assert (item.body, item.attributes) == ("hello", {"k": "v"})
        assert (item.trace_id, item.span_id) == (None, None)


def test_a_record_that_is_none() -> None:
    """Objects that are no log records are counted, not raised about."""
    processor = EtwLogRecordProcessor("P", session=MemorySession())
    nonsense: Any = object()
    processor.on_emit(nonsense)
    processor.on_emit(ReadWriteLogRecord(LogRecord(body="x")))
    assert (processor.stats.dropped, processor.stats.written) == ({"not encodable": 1}, 1)


def test_a_provider_without_room_counts(caplog: pytest.LogCaptureFixture) -> None:
    """Records that fit no event of the session are dropped, counted, and logged once."""
    exporter = EtwLogRecordExporter("P", session=MemorySession(max_event_bytes=50))
    assert exporter.export([readable(), readable()]) is FAILURE
    assert exporter.stats.dropped == {"not encodable": 2}
    assert len(caplog.records) == 1


@pytest.mark.parametrize(("status", "said"), [(8, "NOT_ENOUGH_MEMORY"), (234, "MORE_DATA"), (5, "status 5")])
def test_refused_writes_are_counted_by_status(
    status: int, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    """What the system answers is the reason, and its first time is logged."""
    session = MemorySession()
    session.status = status
    exporter = EtwLogRecordExporter("P", session=session)
    assert exporter.export([readable(), readable()]) is FAILURE
    assert exporter.stats.dropped == {f"status {status}": 2}
    (line,) = caplog.records
    assert said in line.getMessage()
    session.status = 0
    assert exporter.export([readable()]) is SUCCESS
    assert (exporter.stats.written, exporter.stats.lost) == (1, 2)


def test_a_session_without_a_file_counts() -> None:
    """With nowhere to write to, every record is dropped and counted, and nothing else happens."""
    session = MemorySession()
    session.problem = "cannot create the file"
    processor = EtwLogRecordProcessor("P", session=session)
    processor.on_emit(record())
    assert processor.stats.dropped == {"no session": 1}
    assert not processor.enabled()


def test_after_shutdown(caplog: pytest.LogCaptureFixture) -> None:
    """Shutdown is idempotent and releases the hold; what comes after fails, with one warning each."""
    session = MemorySession()
    exporter = EtwLogRecordExporter("P", session=session)
    processor = EtwLogRecordProcessor("P", session=session)
    assert session.holders == 2
    for _ in range(2):
        exporter.shutdown()
        processor.shutdown()
    assert session.holders == 0
    for _ in range(3):
        assert exporter.export([readable()]) is FAILURE
        processor.on_emit(record())
    assert [line.name for line in caplog.records] == ["otel_etw", "otel_etw"]
    assert exporter.stats.dropped == processor.stats.dropped == {"shut down": 3}
    assert exporter.export([]) is FAILURE
    assert not processor.enabled()
    assert exporter.force_flush()
    assert processor.force_flush()


def test_a_session_closed_first(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    """Records after the session's own end are counted and logged once."""
    session = EtlSession(tmp_path / "closed.etl")
    exporter = EtwLogRecordExporter("P", session=session)
    session.close()
    assert exporter.export([readable(), readable()]) is FAILURE
    assert exporter.stats.dropped == {"no session": 2}
    assert ["session is closed" in line.getMessage() for line in caplog.records] == [True]


def test_a_session_that_refuses_to_register(caplog: pytest.LogCaptureFixture) -> None:
    """Trouble while opening leaves an exporter that counts, and one line."""

    class Broken(MemorySession):
        def register(self, name: str, provider_id: Any, *, group: Any = None) -> Any:
            raise OSError("no handle")

    processor = EtwLogRecordProcessor("P", session=Broken())
    processor.on_emit(record())
    processor.shutdown()
    assert processor.stats.dropped == {"no session": 1}
    assert ["no handle" in line.getMessage() for line in caplog.records] == [True]


class Turning(MemorySession):
    """A session to which something happens while an event is on its way there."""

    happens: Callable[[], object] = staticmethod(lambda: None)
    answer = 0

    @property
    def status(self) -> int:
        self.happens()
        return self.answer

    @status.setter
    def status(self, status: int) -> None:
        self.answer = status


@pytest.mark.parametrize("warm", [0, 5])
def test_a_shutdown_while_a_record_is_on_its_way(warm: int) -> None:
    """The record that finds its provider gone counts as one that came after the shutdown."""
    session = Turning()
    processor = EtwLogRecordProcessor("P", session=session)
    for _ in range(warm):
        processor.on_emit(record())
    session.happens = processor.shutdown
    session.status = 6
    processor.on_emit(record())
    assert (processor.stats.written, processor.stats.dropped) == (warm, {"shut down": 1})


def test_what_the_session_has_said_is_not_said_again(caplog: pytest.LogCaptureFixture) -> None:
    """A session that fails under a record logs why; the exporter only counts."""
    session = Turning()
    processor = EtwLogRecordProcessor("P", session=session)
    session.happens = lambda: setattr(session, "problem", "the disk is gone")
    session.status = 112
    processor.on_emit(record())
    assert processor.stats.dropped == {"status 112": 1}
    assert not caplog.records


def test_a_cut_record_that_is_refused_counts_as_lost_alone() -> None:
    """``truncated`` is a part of what was written."""
    session = MemorySession()
    session.status = 8
    processor = EtwLogRecordProcessor("P", session=session)
    processor.on_emit(record("x" * 100_000))
    assert processor.stats == Stats(dropped={"status 8": 1})


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
def test_a_forked_child_hears_all_its_threads() -> None:
    """A thread that was logging our line when the process forked is not in the child; its number may be."""
    run_child("""
import os
from otel_etw.emitter import reporting_threads
reporting_threads.add(1)
child = os.fork()
if child == 0:
    os._exit(bool(reporting_threads))
assert os.waitpid(child, 0)[1] == 0
""")


# --------------------------------------------------------------------------- re-entrancy


class Forwarding(logging.Handler):
    """Logging that goes straight back to the processor, as an application's root handler may."""

    def __init__(self, processor: EtwLogRecordProcessor) -> None:
        super().__init__()
        self.processor = processor

    def emit(self, line: logging.LogRecord) -> None:
        self.processor.on_emit(record(line.getMessage()))


def forwarding(processor: EtwLogRecordProcessor) -> Callable[[], None]:
    handler = Forwarding(processor)
    logging.getLogger("otel_etw").addHandler(handler)
    return lambda: logging.getLogger("otel_etw").removeHandler(handler)


def test_our_own_line_does_not_come_back() -> None:
    """A line about a failed write is not itself written, which would fail again; it is counted."""
    session = MemorySession()
    session.status = 8
    processor = EtwLogRecordProcessor("P", session=session)
    undo = forwarding(processor)
    try:
        for _ in range(3):
            processor.on_emit(record())
    finally:
        undo()
    assert processor.stats.dropped == {"status 8": 3, "re-entrant": 1}


class Interrupted(set[int]):
    """Where a signal handler comes at the worst moment."""

    def add(self, thread: int) -> None:
        super().add(thread)
        raise KeyboardInterrupt


def test_an_interrupt_while_a_line_is_logged_does_not_silence_the_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It reaches the application; the records after it are written."""
    reporting = Interrupted()
    monkeypatch.setattr(emitter, "reporting_threads", reporting)
    session = MemorySession()
    session.status = 8
    processor = EtwLogRecordProcessor("P", session=session)
    with pytest.raises(KeyboardInterrupt):
        processor.on_emit(record())
    assert not reporting
    session.status = 0
    processor.on_emit(record())
    assert (processor.stats.written, processor.stats.dropped) == (1, {"status 8": 1})


def test_an_object_that_logs_itself_ends() -> None:
    """A text that is made by logging, without end, costs a few records and no more."""
    session = MemorySession()
    processor = EtwLogRecordProcessor("P", session=session)

    class Chatty:
        def __str__(self) -> str:
            processor.on_emit(record([Chatty(), Chatty()]))
            return "chatty"

    processor.on_emit(record([Chatty(), Chatty()]))
    stats = processor.stats
    assert stats.written == len(session.logs()) == 1 + 2 + 4
    assert stats.dropped == {"re-entrant": 8}


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs a timer signal")
def test_records_of_a_signal_handler(tmp_path: Path) -> None:
    """A handler that logs every millisecond, amid anything, never deadlocks and loses nothing uncounted."""
    emitted = 0
    with EtlSession(tmp_path / "signals.etl") as session:
        processor = EtwLogRecordProcessor("P", session=session)

        def handler(*arguments: object) -> None:
            nonlocal emitted
            emitted += 1
            processor.on_emit(record("from the handler"))

        previous = signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
        try:
            until = time.monotonic() + 1.5
            own = 0
            while time.monotonic() < until:
                own += 1
                processor.on_emit(record("from the loop", attributes={"n": own}))
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, previous)
        stats = processor.stats
    assert emitted > 20
    assert stats.written + stats.lost == own + emitted
    with open_etl(tmp_path / "signals.etl") as trace:
        found = sum(event.name == "Log" for event in trace)
    assert found == stats.written


# --------------------------------------------------------------------------- real sessions


def test_threads_share_a_file(tmp_path: Path) -> None:
    """Records of several threads, processors and exporters all arrive in one file, none twice."""
    with EtlSession(tmp_path / "shared.etl") as session:
        processors = [EtwLogRecordProcessor(f"P{number}", session=session) for number in range(2)]
        exporter = EtwLogRecordExporter("Batch", session=session)
        provider = LoggerProvider(Resource({"service.name": "svc"}), shutdown_on_exit=False)
        for processor in processors:
            provider.add_log_record_processor(processor)
        provider.add_log_record_processor(BatchLogRecordProcessor(exporter))
        logger = provider.get_logger("threads")

        def work(thread: int) -> None:
            for number in range(100):
                logger.emit(LogRecord(body="x", attributes={"thread": thread, "number": number}))

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        provider.shutdown()
        assert [one.stats.written for one in processors] == [400, 400]
        assert exporter.stats.written == 400
        assert not session.closed
    found: dict[str, set[tuple[int, int]]] = {}
    with open_etl(tmp_path / "shared.etl") as trace:
        for event in trace:
            item = decode_log(event.values, event.timestamp_ns)
            if item is not None:
                key = (item.attributes["thread"], item.attributes["number"])
                assert key not in found.setdefault(str(event.provider_name), set())
                found[str(event.provider_name)].add(key)
    assert {name: len(keys) for name, keys in found.items()} == {"P0": 400, "P1": 400, "Batch": 400}


def test_levels_and_keywords_of_a_real_session(tmp_path: Path) -> None:
    """A session at level 3 with a keyword mask gets warnings of that keyword, and ``enabled()`` says so."""
    with EtlSession(tmp_path / "level.etl", level=3, keyword=0x10) as session:
        wanted = EtwLogRecordProcessor("P", session=session, keyword=0x10)
        other = EtwLogRecordProcessor("P", session=session, keyword=0x20)
        assert wanted.enabled(severity_number=SeverityNumber.WARN)
        assert not wanted.enabled(severity_number=SeverityNumber.INFO)
        assert not other.enabled(severity_number=SeverityNumber.FATAL)
        for number in (9, 13):
            wanted.on_emit(record("wanted", number))
            other.on_emit(record("other", number))
        assert (wanted.stats.written, wanted.stats.skipped, other.stats.skipped) == (1, 1, 2)
    with open_etl(tmp_path / "level.etl") as trace:
        assert [event.descriptor.level for event in trace if event.name == "Log"] == [3]


def test_a_folder_that_cannot_be_written(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A session without its file is said once, and both signals' exporters count what they drop."""
    session = EtlSession(tmp_path / "missing" / "app.etl")
    exporter = EtwLogRecordExporter("P", session=session)
    for _ in range(5):
        assert exporter.export([readable()]) is FAILURE
    assert exporter.stats.dropped == {"no session": 5}
    assert len([line for line in caplog.records if line.levelno >= logging.WARNING]) == 1
