"""Against the ETW kernel of a real Windows: what the exporters write is what its sessions record and its own
tools read. Skipped elsewhere, and without ``OTEL_ETW_REAL_ETW=1``, as it needs an administrator's rights.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import pytest

from otel_etw import open_etl, provider_id
from otel_etw.etl.event import Event
from otel_etw.layouts.items import LogItem, MetricPoint, SpanItem
from otel_etw.outputs.recording import SESSION_NAME, recording_tools
from otel_etw.tables.items import items_of
from otel_etw.tracelogging.metadata import ArrayKind, Field, decode_metadata
from otel_etw.tracelogging.provider_id import METRICS_PROVIDER_ID
from otel_etw.tracelogging.provider_names import named_provider
from otel_etw.tracelogging.types import InType, Level, OutType
from real_windows import (
    TEXT,
    export_logs,
    export_metrics,
    export_spans,
    logman_session,
    recording,
    registered,
    run,
    run_line,
    unique_name,
    wait_for,
    why_not_real,
)
from shown_traces import command_line
from tdh import SELF_DESCRIBING, STRUCTURE, TdhEvent, TdhField, read_with_tdh

_REASON = why_not_real()
pytestmark = pytest.mark.skipif(_REASON is not None, reason=_REASON or "")

LOGS, SPANS, POINTS = 5, 2, 3
TOLERANCE_FILETIME = 10
"""One microsecond: Windows and this package may round ticks of the performance counter differently."""

SCHEMA_ITEM = 11
"""``EVENT_HEADER_EXT_TYPE_EVENT_SCHEMA_TL``"""

# ``TDH_OUTTYPE`` of out-types that a self-describing event's encoding numbers otherwise.
TDH_OUT_TYPES = {OutType.UTF8: 35, OutType.JSON: 34, OutType.BOOLEAN: 13, OutType.DATETIME_UTC: 38}


class Recorded(NamedTuple):
    """One run of a service, recorded by ``otel-etw record`` and by ``logman``."""

    ours: Path
    witness: Path
    provider: str
    output: str
    began_ns: int
    ended_ns: int

    @property
    def provider_ids(self) -> set[UUID]:
        return {provider_id(self.provider), METRICS_PROVIDER_ID}


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    folder = tmp_path_factory.mktemp("recorded")
    name, witness = unique_name("OtelEtwTest"), unique_name("otel_etw_witness")
    tools = recording_tools([named_provider(name), named_provider("metrics")])
    (logman,) = [tool for tool in tools if tool.name == "logman"]
    *starting, stopping = [line.replace(SESSION_NAME, witness) for line in logman.lines]
    ours = folder / "ours.etl"
    for line in starting:
        run_line(line, folder)
    try:
        with recording(ours, name, "metrics", name=unique_name("otel-etw-test")) as output:
            began_ns = time.time_ns()
            assert (export_logs(name), export_spans(name), export_metrics()) == (LOGS, SPANS, POINTS)
            ended_ns = time.time_ns()
    finally:
        run_line(stopping, folder)
    return Recorded(ours, folder / f"{witness}.etl", name, "".join(output), began_ns, ended_ns)


def events_of(path: Path, provider_ids: set[UUID]) -> list[Event]:
    """Of these providers and this process, in time order; the file is whole and nothing of it was lost."""
    with open_etl(path) as trace:
        events = [event for event in trace.in_time_order() if event.provider_id in provider_ids]
        assert not trace.damage, trace.damage
        assert trace.damage.unfinished is None
        assert (trace.header.events_lost, trace.header.buffers_lost) == (0, 0)
    return [event for event in events if event.process_id == os.getpid()]


def test_what_was_exported_is_in_the_recorded_file(recorded: Recorded) -> None:
    """Logs, spans and metrics come back with their content, this process's ids and the time of the run."""
    events = events_of(recorded.ours, recorded.provider_ids)
    contents = [item.content for event in events for item in items_of(event)]
    logs = [content for content in contents if isinstance(content, LogItem)]
    spans = [content for content in contents if isinstance(content, SpanItem)]
    points = [content for content in contents if isinstance(content, MetricPoint)]
    assert (len(logs), len(spans), len(points)) == (LOGS, SPANS, POINTS)
    assert len(events) == LOGS + SPANS + POINTS
    assert [log.body for log in logs][:2] == [f"DEBUG {TEXT}", f"INFO {TEXT}"]
    assert logs[0].attributes["count"] == 2**40
    assert logs[-1].body == f"by the handler: {TEXT}"
    assert [(span.name, span.success) for span in spans] == [("pay", False), ("request", True)]
    assert spans[0].parent_span_id == spans[1].span_id
    assert {point.metric_name for point in points} == {"cups", "brewing", "temperature"}
    slack_ns = 1_000_000_000
    for event in events:
        assert event.problems == ()
        assert recorded.began_ns - slack_ns <= event.timestamp_ns <= recorded.ended_ns + slack_ns
    of_logs = [event for event in events if event.provider_name == recorded.provider][:LOGS]
    assert {event.thread_id for event in of_logs} == {threading.get_native_id()}


def test_the_recorder_says_what_it_did(recorded: Recorded) -> None:
    """It names the providers it chose, the file, and that nothing was lost."""
    assert str(provider_id(recorded.provider)) in recorded.output
    assert str(METRICS_PROVIDER_ID) in recorded.output
    assert recorded.ours.name in recorded.output
    assert "nothing was lost" in recorded.output


def test_a_session_of_logman_records_the_same_bytes(recorded: Recorded) -> None:
    """The lines that ``otel-etw guid`` prints record each event with the same description and payload."""

    def bytes_of(path: Path) -> list[Any]:
        return [
            (
                event.provider_id,
                event.descriptor,
                event.metadata,
                event.payload,
                event.activity_id,
                event.thread_id,
            )
            for event in events_of(path, recorded.provider_ids)
        ]

    ours = bytes_of(recorded.ours)
    assert len(ours) == LOGS + SPANS + POINTS
    assert Counter(map(repr, bytes_of(recorded.witness))) == Counter(map(repr, ours))


def test_the_file_as_tables(recorded: Recorded) -> None:
    """``load`` has as many rows as were exported, of both recorders' files."""
    pytest.importorskip("pyarrow")
    from otel_etw import load

    for path in (recorded.ours, recorded.witness):
        tables = load(path, providers=recorded.provider_ids)
        assert tables.logs.num_rows == LOGS
        assert tables.spans.num_rows == SPANS
        assert tables.metric_points.num_rows == POINTS


@pytest.fixture(scope="module")
def pairs(recorded: Recorded) -> list[tuple[Event, TdhEvent]]:
    """Each event as our reader and as Windows has it."""
    ours = events_of(recorded.ours, recorded.provider_ids)
    found = read_with_tdh(recorded.ours, recorded.provider_ids)
    theirs = [event for event in found if event.process_id == os.getpid()]
    assert len(ours) == len(theirs) == LOGS + SPANS + POINTS
    return list(zip(ours, theirs, strict=True))


def test_windows_reads_the_same_events(pairs: list[tuple[Event, TdhEvent]]) -> None:
    """Header, payload, extended items and time of each event are what ``ProcessTrace`` delivers."""
    for ours, theirs in pairs:
        assert (ours.provider_id, ours.descriptor) == (theirs.provider_id, theirs.descriptor)
        assert (ours.process_id, ours.thread_id) == (theirs.process_id, theirs.thread_id)
        assert (ours.activity_id or UUID(int=0)) == theirs.activity_id
        assert ours.payload == theirs.user_data
        assert SCHEMA_ITEM in theirs.extended_types
        assert set(theirs.extended_types) <= {item_type for item_type, _ in ours.extended}
        assert abs(ours.timestamp_filetime - theirs.timestamp_filetime) <= TOLERANCE_FILETIME


def test_tdh_finds_the_names_and_types_that_were_written(pairs: list[tuple[Event, TdhEvent]]) -> None:
    """Windows takes the events for self-describing, and reads provider, event, fields and types from them."""
    for ours, theirs in pairs:
        assert ours.metadata is not None
        metadata = decode_metadata(ours.metadata)
        assert theirs.decoding_source == SELF_DESCRIBING
        assert theirs.provider_name == ours.provider_name
        assert theirs.event_name == metadata.name == ours.name
        assert_same_fields(metadata.fields, theirs.fields, metadata.name)


def assert_same_fields(ours: tuple[Field, ...], theirs: tuple[TdhField, ...], where: str) -> None:
    assert [field.name for field in ours] == [field.name for field in theirs], where
    for field, found in zip(ours, theirs, strict=True):
        path = f"{where}.{field.name}"
        expected_type = STRUCTURE if field.in_type == InType.STRUCT else field.in_type
        assert found.in_type == expected_type, path
        assert found.is_array == (field.array is not ArrayKind.SCALAR), path
        if field.out_type in TDH_OUT_TYPES and field.in_type != InType.STRUCT:
            assert found.out_type == TDH_OUT_TYPES[OutType(field.out_type)], path
        assert_same_fields(field.members, found.members, path)


def test_tracerpt_shows_each_event(recorded: Recorded, tmp_path: Path) -> None:
    """Windows' own report has every event with its level and keyword, and texts of the log records."""
    report = tmp_path / "report.xml"
    run("tracerpt", "-y", "-of", "XML", str(recorded.ours), "-o", str(report), cwd=tmp_path)
    data = report.read_bytes()
    text = data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig", "replace")

    def facts(part: str) -> tuple[str, int, int] | None:
        guid = re.search(r'Guid\s*=\s*"\{([0-9A-Fa-f-]{36})\}"', part)
        level, keyword = re.search(r"<Level>(\d+)<", part), re.search(r"<Keywords>(0x[0-9A-Fa-f]+)<", part)
        process = re.search(r'ProcessID\s*=\s*"(\d+)"', part)
        if not (guid and level and keyword and process) or int(process[1]) != os.getpid():
            return None
        return guid[1].lower(), int(level[1]), int(keyword[1], 16)

    found = Counter(fact for fact in map(facts, text.split("</Event>")) if fact)
    expected = Counter(
        (str(event.provider_id), event.descriptor.level, event.descriptor.keyword)
        for event in events_of(recorded.ours, recorded.provider_ids)
    )
    assert {fact: found[fact] for fact in expected} == dict(expected)
    assert "INFO tea for two" in text
    assert "/tea" in text


def test_sessions_are_enabled_at_the_level_they_ask_for(tmp_path: Path) -> None:
    """A provider follows sessions as they come and go, and each of them records what it asked for."""
    name = unique_name("OtelEtwLevels")
    ours, theirs = tmp_path / "warnings.etl", tmp_path / "all.etl"
    with registered(name) as provider:
        assert provider.idle
        with recording(ours, f"{name}:warning", name=unique_name("otel-etw-test")):
            wait_for(lambda: provider.is_enabled(Level.WARNING, 1), "enabled for warnings")
            assert not provider.is_enabled(Level.INFORMATIONAL, 1)
            with logman_session(theirs, provider.id, Level.VERBOSE):
                wait_for(lambda: provider.is_enabled(Level.VERBOSE, 1), "enabled for everything")
                assert export_logs(name) == LOGS
            wait_for(lambda: not provider.is_enabled(Level.INFORMATIONAL, 1), "warnings again")
            assert provider.is_enabled(Level.WARNING, 1)
        wait_for(lambda: provider.idle, "nobody listens")
    assert len(events_of(theirs, {provider_id(name)})) == LOGS
    levels = [event.descriptor.level for event in events_of(ours, {provider_id(name)})]
    assert len(levels) == 3
    assert max(levels) <= Level.WARNING


def test_keywords_choose_events(tmp_path: Path) -> None:
    """A session that asks for other keywords gets no log record, whose keyword is another one."""
    name = unique_name("OtelEtwKeywords")
    path = tmp_path / "none.etl"
    with (
        registered(name) as provider,
        recording(path, f"{name}:verbose:0x8000", name=unique_name("otel-etw-test")),
    ):
        wait_for(provider.is_enabled_any, "enabled")
        assert provider.is_enabled(Level.VERBOSE, 0x8000)
        assert not provider.is_enabled(Level.CRITICAL, 1)
        export_logs(name)
    assert events_of(path, {provider_id(name)}) == []


def test_a_service_that_just_ends_is_recorded_whole(tmp_path: Path) -> None:
    """Records in the batch processor reach ETW when the interpreter exits without a shutdown."""
    name = unique_name("OtelEtwExit")
    code = (
        "import sys\n"
        "from opentelemetry._logs import SeverityNumber, set_logger_provider\n"
        "from opentelemetry.sdk._logs import LoggerProvider\n"
        "from opentelemetry.sdk._logs.export import BatchLogRecordProcessor\n"
        "from otel_etw import EtwLogRecordExporter\n"
        "provider = LoggerProvider()\n"
        "exporter = EtwLogRecordExporter(sys.argv[1])\n"
        "provider.add_log_record_processor(BatchLogRecordProcessor(exporter))\n"
        "for number in range(500):\n"
        "    provider.get_logger('x').emit(body=str(number), severity_number=SeverityNumber.INFO)\n"
    )
    path = tmp_path / "exit.etl"
    with recording(path, name, name=unique_name("otel-etw-test")):
        child = subprocess.run(
            [sys.executable, "-c", code, name], capture_output=True, timeout=60, check=False
        )
        assert (child.returncode, child.stderr) == (0, b"")
    with open_etl(path) as trace:
        events = [event for event in trace.in_time_order() if event.provider_name == name]
    assert [items_of(event)[0].content.body for event in events] == [str(number) for number in range(500)]  # type: ignore[union-attr]


def test_many_threads_lose_nothing(tmp_path: Path) -> None:
    """20,000 records of 8 threads are all in the file, each once."""
    from opentelemetry._logs import SeverityNumber
    from opentelemetry.sdk._logs import LoggerProvider

    from otel_etw import EtwLogRecordProcessor

    name, path = unique_name("OtelEtwThreads"), tmp_path / "threads.etl"
    with recording(path, name, name=unique_name("otel-etw-test"), options=("--buffer-size", "1MB")):
        provider = LoggerProvider()
        processor = EtwLogRecordProcessor(name)
        provider.add_log_record_processor(processor)
        logger = provider.get_logger("threads")

        def emit(thread: int) -> None:
            for number in range(2500):
                logger.emit(body=f"{thread}.{number}", severity_number=SeverityNumber.INFO)

        threads = [threading.Thread(target=emit, args=(thread,)) for thread in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (processor.stats.written, processor.stats.dropped) == (20_000, {})
        provider.shutdown()
    bodies = Counter(
        getattr(items_of(event)[0].content, "body", None) for event in events_of(path, {provider_id(name)})
    )
    assert bodies == Counter(f"{thread}.{number}" for thread in range(8) for number in range(2500))


def test_live_events_are_those_of_the_file(tmp_path: Path) -> None:
    """``LiveSession`` delivers, while they are written, the events that a recording has in its file."""
    from otel_etw import LiveSession

    name, path = unique_name("OtelEtwLive"), tmp_path / "live.etl"
    seen: list[Event] = []
    with (
        recording(path, name, "metrics", name=unique_name("otel-etw-test")),
        LiveSession(providers=[name, "metrics"]) as live,
    ):
        expected = export_logs(name) + export_spans(name) + export_metrics()

        def complete() -> bool:
            seen.extend(event for event in live.poll(0.2) if event.process_id == os.getpid())
            return len(seen) >= expected

        wait_for(complete, "all events live")
        assert (live.events_lost, live.buffers_lost, live.dropped) == (0, 0, 0)

    def content(event: Event) -> str:
        return repr(
            (event.provider_id, event.descriptor, event.name, event.fields, event.payload, event.activity_id)
        )

    recorded = events_of(path, {provider_id(name), METRICS_PROVIDER_ID})
    assert sorted(map(content, seen)) == sorted(map(content, recorded))


def test_listen_prints_what_is_written() -> None:
    """``otel-etw listen`` shows log records as lines of JSON, and its session is gone afterwards."""
    name = unique_name("OtelEtwListen")
    command = command_line("listen", "-p", name, "--format", "jsonl", "--duration", "8s")
    with registered(name) as provider:
        listener = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        wait_for(provider.is_enabled_any, "the listener's session")
        assert export_logs(name) == LOGS
        out, err = listener.communicate(timeout=60)
        assert listener.returncode == 0, err
        wait_for(lambda: provider.idle, "the session is removed")
    lines = [json.loads(line) for line in out.decode("utf-8").splitlines()]
    assert [line["body"] for line in lines][:2] == [f"DEBUG {TEXT}", f"INFO {TEXT}"]
    assert len(lines) == LOGS


def test_sessions_are_listed_and_stopped(tmp_path: Path) -> None:
    """``otel-etw sessions`` lists a session of another tool, leaves it alone, and stops it when told so."""
    with registered(unique_name("OtelEtwSessions")) as provider:
        name = unique_name("otel_etw_logman")
        path = tmp_path / "other.etl"
        run(
            "logman",
            "create",
            "trace",
            name,
            "-p",
            f"{{{provider.id}}}",
            "0xFF",
            "5",
            "-o",
            str(path),
            "-ets",
        )
        try:
            listed = run(*command_line("sessions", "list", "--format", "jsonl"))
            assert name in [json.loads(line)["name"] for line in listed.splitlines()]
        finally:
            run(*command_line("sessions", "stop", "--force", name))
        listed = run(*command_line("sessions", "list", "--format", "jsonl"))
        assert name not in [json.loads(line)["name"] for line in listed.splitlines()]
