"""How the span processor and exporter behave as guests in an application."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, Decision, Sampler, SamplingResult, StaticSampler
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, Status, StatusCode, TraceFlags, Tracer, TraceState

from memory_provider import MemorySession
from otel_etw import EtlSession, open_etl
from otel_etw.errors import EncodeError
from otel_etw.layouts.common_schema import decode_log, decode_span
from otel_etw.layouts.items import LinkItem, LogItem, SpanItem
from otel_etw.spans import EtwSpanExporter, EtwSpanProcessor
from otel_etw.tracelogging.metadata import decode_metadata
from vector_records import values_of

SUCCESS, FAILURE = SpanExportResult.SUCCESS, SpanExportResult.FAILURE
CONTEXT = SpanContext(0xA1, 0xB2, False, TraceFlags(1), TraceState([("vendor", "x")]))


def readable(name: str = "work", context: Any = CONTEXT, **more: Any) -> ReadableSpan:
    facts = {"start_time": 1, "end_time": 2, "resource": Resource({}), **more}
    return ReadableSpan(name, context, **facts)


def items(session: MemorySession) -> list[SpanItem | LogItem]:
    """All events, which must be spans and their events, decoded."""
    found = []
    for event in session.events:
        values = values_of(event.metadata, event.payload)
        item = decode_span(values, -1) or decode_log(values, -1)
        assert item is not None
        found.append(item)
    return found


def spans(session: MemorySession) -> list[SpanItem]:
    return [item for item in items(session) if isinstance(item, SpanItem)]


def logs(session: MemorySession) -> list[LogItem]:
    return [item for item in items(session) if isinstance(item, LogItem)]


def tracer(processor: Any, sampler: Sampler | None = None) -> Tracer:
    provider = TracerProvider(sampler, Resource({"service.name": "svc"}), shutdown_on_exit=False)
    provider.add_span_processor(processor)
    return provider.get_tracer("shop.orders", "1.2", "https://schema.test/1", {"team": "a"})


# --------------------------------------------------------------------------- arguments


@pytest.mark.parametrize("kind", [EtwSpanProcessor, EtwSpanExporter])
@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"provider_name": ""}, EncodeError),
        ({"provider_name": "My-Provider"}, EncodeError),
        ({"event_name": ""}, EncodeError),
        ({"event_name": 5}, TypeError),
        ({"keyword": -1}, EncodeError),
        ({"level": 0}, EncodeError),
        ({"level": 6}, EncodeError),
        ({"level": "5"}, TypeError),
        ({"level": True}, TypeError),
        ({"span_events": "no"}, TypeError),
        ({"extended": 1}, TypeError),
        ({"resource_attributes": "service.name"}, TypeError),
        ({"activity_id": "both"}, EncodeError),
        ({"session": "app.etl"}, TypeError),
        ({"meter_provider": "global"}, TypeError),
    ],
)
def test_invalid_arguments_in_code_raise(kind: Any, arguments: Any, error: type[Exception]) -> None:
    """What the programmer got wrong is said at once, as a ``ValueError`` or ``TypeError``."""
    with pytest.raises(error):
        kind(**{"session": MemorySession(), **arguments})


def test_the_environment_stands_in_for_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each option of spans has its variable, and an argument in code goes before it."""
    session = MemorySession()
    for name, value in {
        "PROVIDER_NAME": "My_Service",
        "SPAN_EVENT_NAME": "Mine",
        "SPAN_LEVEL": "3",
        "SPAN_EVENTS": "false",
        "EXTENDED": "true",
        "RECORD_ONLY": "true",
        "ACTIVITY_ID": "span",
    }.items():
        monkeypatch.setenv(f"OTEL_EXPORTER_ETW_{name}", value)
    by_environment = EtwSpanProcessor(session=session)
    by_argument = EtwSpanProcessor(
        "Named",
        session=session,
        event_name="Yours",
        level=4,
        span_events=True,
        extended=False,
        record_only=False,
        activity_id="none",
    )
    record_only = SpanContext(1, 2, False, TraceFlags(0), TraceState([("a", "1")]))
    for processor in (by_environment, by_argument):
        for context in (CONTEXT, record_only):
            span = traced_span(context)
            processor.on_end(span)
    seen = [
        (
            event.provider.name,
            decode_metadata(event.metadata).name,
            event.descriptor.level,
            event.activity_id is not None,
            isinstance(item, SpanItem) and item.trace_state is not None,
        )
        for event, item in zip(session.events, items(session), strict=True)
    ]
    assert seen == [
        *[("My_Service", "Mine", 3, True, True)] * 2,
        ("Named", "Log", 4, False, False),
        ("Named", "Yours", 4, False, False),
    ]


def traced_span(context: SpanContext) -> ReadableSpan:
    """A span of the given ids with one event."""
    event_maker = TracerProvider(shutdown_on_exit=False).get_tracer("t").start_span("x")
    event_maker.add_event("happened")
    assert isinstance(event_maker, ReadableSpan)
    return readable(context=context, events=event_maker.events)


# --------------------------------------------------------------------------- what is written


def test_a_span_of_the_sdk_with_everything(tmp_path: Path) -> None:
    """An extended span and its events go through the SDK into a file, and nothing of them is lost."""
    with EtlSession(tmp_path / "spans.etl") as session:
        processor = EtwSpanProcessor("P", session=session, extended=True, activity_id="trace")
        provider = TracerProvider(
            resource=Resource({"service.name": "svc", "service.instance.id": "i-1"}),
            span_limits=SpanLimits(max_span_attributes=3, max_events=2, max_links=2, max_event_attributes=1),
            shutdown_on_exit=False,
        )
        provider.add_span_processor(processor)
        made = provider.get_tracer("shop.orders", "1.2", "https://schema.test/1", {"team": "a"})
        span = made.start_span(
            "checkout",
            links=[
                Link(SpanContext(n, n, True, trace_state=TraceState([("k", "v")])), {"n": n})
                for n in (1, 2, 3)
            ],
            attributes={"a": 1, "b": [1, 2], "db.namespace": "shop", "d": True},
            start_time=1_000,
        )
        span.add_event("first", {"lost": 1}, 1_100)
        span.add_event("second", {"lost": 1, "kept": 2}, 1_200)
        span.record_exception(ValueError("boom"), timestamp=1_300)
        span.set_status(Status(StatusCode.OK))
        span.end(2_000)
        stats = processor.stats
    assert (stats.written, stats.lost, stats.skipped) == (3, 0, 0)
    with open_etl(tmp_path / "spans.etl") as trace:
        events = [event for event in trace if event.kind == "event"]
    second, exception, written = events
    ids = span.get_span_context()
    assert {event.activity_id for event in events} == {UUID(int=ids.trace_id)}
    for event, name, number, text, moment in (
        (second, "second", 9, "INFO", 1_200),
        (exception, "exception", 17, "ERROR", 1_300),
    ):
        item = decode_log(event.values, -1)
        assert item is not None
        assert (event.name, item.event_name, item.time_unix_nano) == ("Log", name, moment)
        assert (item.severity_number, item.severity_text, item.body) == (number, text, None)
        assert (item.trace_id, item.span_id) == (f"{ids.trace_id:032x}", f"{ids.span_id:016x}")
        assert (item.service_name, item.service_instance_id) == ("svc", "i-1")
        assert item.attributes["otel.dropped_attributes_count"] >= 1
    links = [LinkItem(f"{n:032x}", f"{n:016x}", {"n": n}, "k=v") for n in (2, 3)]
    assert decode_span(written.values, -1) == SpanItem(
        name="checkout",
        start_time_unix_nano=1_000,
        end_time_unix_nano=2_000,
        trace_id=f"{ids.trace_id:032x}",
        span_id=f"{ids.span_id:016x}",
        kind="internal",
        success=True,
        status="ok",
        links=links,
        attributes={"b": [1, 2], "db.namespace": "shop", "d": True},
        trace_flags=int(ids.trace_flags),
        dropped_attributes=1,
        dropped_events=1,
        dropped_links=1,
        scope_name="shop.orders",
        scope_version="1.2",
        scope_attributes={"team": "a"},
        scope_schema_url="https://schema.test/1",
        service_name="svc",
        service_instance_id="i-1",
    )


def test_parents_are_named_and_remote_ones_told() -> None:
    """A child has its parent's id; that the parent is remote is an extended fact."""
    session = MemorySession()
    made = tracer(EtwSpanProcessor("P", session=session, extended=True))
    with made.start_as_current_span("parent") as parent:
        made.start_span("child").end()
    child, root = spans(session)
    assert (child.parent_span_id, root.parent_span_id) == (root.span_id, None)
    assert child.parent_is_remote is None
    EtwSpanProcessor("P", session=session, extended=True).on_end(
        readable(parent=SpanContext(1, 2, is_remote=True))
    )
    assert spans(session)[-1].parent_is_remote is True
    assert parent.get_span_context().trace_id == int(child.trace_id or "", 16)


def test_an_attribute_that_bears_the_name_of_our_own_stays() -> None:
    """The count of what an event dropped does not replace what the application says."""
    attributes = BoundedAttributes(1, {"dropped": 1, "otel.dropped_attributes_count": "mine"})
    session = MemorySession()
    processor = EtwSpanProcessor("P", session=session, extended=True)
    processor.on_end(readable(events=[Event("e", attributes, 1)]))
    (item,) = logs(session)
    assert item.attributes == {"otel.dropped_attributes_count": "mine"}


def test_without_span_events() -> None:
    """``span_events=False`` writes the span alone."""
    session = MemorySession()
    EtwSpanProcessor("P", session=session, span_events=False).on_end(traced_span(CONTEXT))
    assert [type(item) for item in items(session)] == [SpanItem]


def test_events_that_came_when_nobody_knew_are_at_the_spans_end() -> None:
    """A span event without a time has that of its span's end."""
    (happened,) = traced_span(CONTEXT).events
    happened._timestamp = None  # type: ignore[assignment]
    session = MemorySession()
    EtwSpanProcessor("P", session=session).on_end(readable(events=[happened], end_time=77))
    assert [item.time_unix_nano for item in logs(session)] == [77]


def raising(span: Any) -> Any:
    raise RuntimeError("no answer")


def failed_at_2(span: ReadableSpan) -> int:
    return 2 if span.status.status_code is StatusCode.ERROR else 4


@pytest.mark.parametrize(
    ("level", "found"),
    [
        (None, [5, 5]),
        (1, [1, 1]),
        (failed_at_2, [4, 2]),
        (raising, [5, 5]),
        *((lambda span, answer=answer: answer, [5, 5]) for answer in (None, 0, 6, -1, True, "2", 2.0, [])),
    ],
)
def test_levels(level: Any, found: list[int]) -> None:
    """One level for all spans or one per span; a callback that fails or talks nonsense means 5."""
    session = MemorySession()
    for sink in (
        EtwSpanProcessor("P", session=session, level=level).on_end,
        lambda span: EtwSpanExporter("P", session=session, level=level).export([span]),
    ):
        sink(readable())
        sink(readable(status=Status(StatusCode.ERROR)))
    assert [event.descriptor.level for event in session.events] == found * 2


@pytest.mark.parametrize(
    ("event_name", "found"),
    [
        ("Mine", "Mine"),
        (lambda span: span.name.upper(), "WORK"),
        (lambda span: "", "Span"),
        (lambda span: None, "Span"),
        (lambda span: "a\0b", "a\ufffdb"),
        (raising, "Span"),
    ],
)
def test_event_names(event_name: Any, found: str) -> None:
    """A fixed name, or one per span; a callback that fails or gives none means ``Span``."""
    session = MemorySession()
    EtwSpanProcessor("P", session=session, event_name=event_name).on_end(readable())
    assert decode_metadata(session.events[0].metadata).name == found


@pytest.mark.parametrize(
    ("kind", "span_id_bytes"),
    [
        ("trace", UUID(int=0xA1).bytes_le),
        ("span", bytes.fromhex("00000000000000b20000000000000000")),
        (None, None),
    ],
)
def test_activity_ids(kind: Any, span_id_bytes: bytes | None) -> None:
    """Trace or span id fill the ActivityId of a span's event and of its span events."""
    session = MemorySession()
    EtwSpanProcessor("P", session=session, activity_id=kind).on_end(traced_span(CONTEXT))
    assert [event.activity_id for event in session.events] == [span_id_bytes, span_id_bytes]


def test_options_reach_the_events() -> None:
    """Keyword, provider group, UTF-8 marks and chosen resource attributes are on spans and span events."""
    session = MemorySession()
    group = UUID("11111111-2222-3333-4444-555555555555")
    processor = EtwSpanProcessor(
        "P",
        session=session,
        keyword=0x40,
        provider_group=group,
        mark_utf8=True,
        resource_attributes=["env"],
    )
    span = traced_span(CONTEXT)
    span._resource = Resource({"env": "prod"})
    processor.on_end(span)
    for event, item in zip(session.events, items(session), strict=True):
        assert event.descriptor.keyword == 0x40
        assert group.bytes_le in event.provider.traits
        assert b"env\0\x97\x23" in event.metadata
        assert item.attributes["env"] == "prod"


# --------------------------------------------------------------------------- sampling, and who listens


class RecordOnly(Sampler):
    """Records every span and samples none."""

    def should_sample(self, *arguments: Any, **more: Any) -> SamplingResult:
        return SamplingResult(Decision.RECORD_ONLY)

    def get_description(self) -> str:
        return "RecordOnly"


@pytest.mark.parametrize("record_only", [False, True])
def test_spans_that_are_recorded_but_not_sampled(record_only: bool) -> None:
    """They are skipped and in no count, unless ``record_only`` asks for them; dropped ones never come."""
    session = MemorySession()
    processor = EtwSpanProcessor("P", session=session, record_only=record_only)
    tracer(processor, RecordOnly()).start_span("recorded").end()
    tracer(processor, ALWAYS_OFF).start_span("dropped").end()
    tracer(processor, StaticSampler(Decision.RECORD_AND_SAMPLE)).start_span("sampled").end()
    expected = ["recorded", "sampled"] if record_only else ["sampled"]
    assert [item.name for item in spans(session)] == expected
    assert processor.stats.written == len(expected)
    assert processor.stats.skipped == 0


def test_an_exporter_writes_what_it_is_given() -> None:
    """Whether to export spans that are not sampled is the business of the SDK's processor."""
    session = MemorySession()
    unsampled = SpanContext(1, 2, False, TraceFlags(0))
    assert EtwSpanExporter("P", session=session).export([readable(context=unsampled)]) is SUCCESS
    assert len(spans(session)) == 1


class Untouchable(ReadableSpan):
    """A span of which nothing may be looked at but its context."""

    def __init__(self) -> None:
        super().__init__("x", CONTEXT)

    def _fail(self) -> Any:
        raise AssertionError("looked at")

    attributes = events = links = name = resource = status = property(_fail)  # type: ignore[assignment]


def test_nobody_listening_costs_nothing() -> None:
    """A span that no session wants is a success; it is counted and not looked at."""
    session = MemorySession(level=None)
    processor = EtwSpanProcessor("P", session=session, level=raising, event_name=raising)
    exporter = EtwSpanExporter("P", session=session, level=raising, event_name=raising)
    processor.on_end(Untouchable())
    assert exporter.export([Untouchable()] * 3) is SUCCESS
    assert (processor.stats.skipped, exporter.stats.skipped) == (1, 3)
    assert processor.stats.lost == exporter.stats.lost == 0


def test_events_are_wanted_at_their_own_level() -> None:
    """Of a span that no session wants an exception may be wanted; each is counted for itself."""
    session = MemorySession(level=2)
    processor = EtwSpanProcessor("P", session=session)
    made = tracer(processor).start_span("x")
    made.add_event("annotation")
    made.record_exception(ValueError("boom"))
    made.end()
    (item,) = items(session)
    assert isinstance(item, LogItem)
    assert item.event_name == "exception"
    assert item.attributes["exception.message"] == "boom"
    assert (processor.stats.written, processor.stats.skipped) == (1, 2)


# --------------------------------------------------------------------------- trouble


def test_a_provider_without_room_counts(caplog: pytest.LogCaptureFixture) -> None:
    """Spans that fit no event of the session are dropped, counted, and logged once."""
    exporter = EtwSpanExporter("P", session=MemorySession(max_event_bytes=50))
    assert exporter.export([readable(), readable()]) is FAILURE
    assert exporter.stats.dropped == {"not encodable": 2}
    assert len(caplog.records) == 1


def test_large_spans_are_cut_or_dropped() -> None:
    """What is too large is cut and counted, or with ``oversize="drop"`` counted and dropped."""
    session = MemorySession()
    large = readable(attributes={"k": "v" * 100_000})
    cutting = EtwSpanExporter("P", session=session)
    assert cutting.export([large]) is SUCCESS
    assert (cutting.stats.written, cutting.stats.truncated) == (1, 1)
    assert spans(session)[0].truncated == {"k": 100_000}
    dropping = EtwSpanExporter("P", session=session, oversize="drop")
    assert dropping.export([large, readable()]) is FAILURE
    assert (dropping.stats.written, dropping.stats.dropped) == (1, {"too large": 1})


@pytest.mark.parametrize(("status", "said"), [(8, "NOT_ENOUGH_MEMORY"), (234, "MORE_DATA"), (5, "status 5")])
def test_refused_writes_are_counted_by_status(
    status: int, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    """What the system answers is the reason, for spans and their events, and its first time is logged."""
    session = MemorySession()
    session.status = status
    exporter = EtwSpanExporter("P", session=session)
    assert exporter.export([traced_span(CONTEXT)]) is FAILURE
    assert exporter.stats.dropped == {f"status {status}": 2}
    (line,) = caplog.records
    assert said in line.getMessage()
    session.status = 0
    assert exporter.export([readable()]) is SUCCESS


def test_a_lost_event_of_a_written_span_is_a_failure() -> None:
    """An export that lost a span event says so."""
    exporter = EtwSpanExporter("P", session=MemorySession())
    assert exporter.export([readable(events=[object()])]) is FAILURE
    assert (exporter.stats.written, exporter.stats.dropped) == (1, {"not encodable": 1})


def test_after_shutdown(caplog: pytest.LogCaptureFixture) -> None:
    """Shutdown is idempotent and releases the hold; what comes after fails, with one warning each."""
    session = MemorySession()
    exporter = EtwSpanExporter("P", session=session)
    processor = EtwSpanProcessor("P", session=session)
    assert session.holders == 2
    for _ in range(2):
        exporter.shutdown()
        processor.shutdown()
    assert session.holders == 0
    for _ in range(3):
        assert exporter.export([traced_span(CONTEXT)]) is FAILURE
        processor.on_end(traced_span(CONTEXT))
    assert [line.name for line in caplog.records] == ["otel_etw", "otel_etw"]
    assert exporter.stats.dropped == processor.stats.dropped == {"shut down": 6}
    assert exporter.export([]) is FAILURE
    assert exporter.force_flush()
    assert processor.force_flush()


def test_a_session_closed_first(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    """Spans after the session's own end are counted, with their events, and logged once."""
    session = EtlSession(tmp_path / "closed.etl")
    exporter = EtwSpanExporter("P", session=session)
    session.close()
    assert exporter.export([traced_span(CONTEXT), readable()]) is FAILURE
    assert exporter.stats.dropped == {"no session": 3}
    assert ["session is closed" in line.getMessage() for line in caplog.records] == [True]


class Forwarding(logging.Handler):
    """Logging that makes spans itself, as an instrumented handler may."""

    def __init__(self, work: Callable[[], object]) -> None:
        super().__init__()
        self.work = work

    def emit(self, line: logging.LogRecord) -> None:
        self.work()


def test_our_own_line_does_not_come_back() -> None:
    """A span made while a failed write is being logged is dropped and counted, and nothing goes round."""
    session = MemorySession()
    session.status = 8
    processor = EtwSpanProcessor("P", session=session)
    handler = Forwarding(lambda: processor.on_end(readable()))
    logging.getLogger("otel_etw").addHandler(handler)
    try:
        processor.on_end(readable())
    finally:
        logging.getLogger("otel_etw").removeHandler(handler)
    assert processor.stats.dropped == {"status 8": 1, "re-entrant": 1}


# --------------------------------------------------------------------------- real sessions


def test_threads_share_a_file(tmp_path: Path) -> None:
    """Spans and events of several threads, a processor and a batch exporter all arrive, none twice."""
    with EtlSession(tmp_path / "shared.etl") as session:
        processor = EtwSpanProcessor("P", session=session)
        exporter = EtwSpanExporter("Batch", session=session)
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(processor)
        provider.add_span_processor(BatchSpanProcessor(exporter))
        made = provider.get_tracer("threads")

        def work(thread: int) -> None:
            for number in range(100):
                span = made.start_span(f"{thread}/{number}")
                span.add_event("event")
                span.end()

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        provider.shutdown()
        assert processor.stats.written == exporter.stats.written == 800
    found: dict[str, list[str]] = {}
    with open_etl(tmp_path / "shared.etl") as trace:
        for event in trace:
            item = decode_span(event.values, event.timestamp_ns) if event.name == "Span" else None
            if item is not None:
                found.setdefault(str(event.provider_name), []).append(item.name)
    wanted = sorted(f"{thread}/{number}" for thread in range(4) for number in range(100))
    assert {name: sorted(names) for name, names in found.items()} == {"P": wanted, "Batch": wanted}


def test_metrics_count_spans_and_not_their_events(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the SDK's self-observability on, what is published of spans is spans."""
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader

    monkeypatch.setenv("OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED", "true")
    reader = InMemoryMetricReader()
    meters = MeterProvider([reader], shutdown_on_exit=False)
    session = MemorySession()
    processor = EtwSpanProcessor("P", session=session, meter_provider=meters)
    exporter = EtwSpanExporter("P", session=session, meter_provider=meters)
    processor.on_end(traced_span(CONTEXT))
    exporter.export([traced_span(CONTEXT), readable()])
    data: Any = reader.get_metrics_data()
    values = {
        metric.name: [getattr(point, "value", None) for point in metric.data.data_points]
        for of_resource in data.resource_metrics
        for of_scope in of_resource.scope_metrics
        for metric in of_scope.metrics
    }
    assert values["otel.sdk.processor.span.processed"] == [1]
    assert values["otel.sdk.exporter.span.exported"] == [2]
    assert values["otel.sdk.exporter.span.inflight"] == [0]
    assert "otel.sdk.exporter.operation.duration" in values
    meters.shutdown()


def test_a_resource_that_changes_after_a_fork() -> None:
    """Facts follow the span's own resource, by content."""
    session = MemorySession()
    processor = EtwSpanProcessor("P", session=session)
    for number in range(20):
        processor.on_end(readable(resource=Resource({"service.instance.id": f"i-{number}"})))
    assert [item.service_instance_id for item in spans(session)] == [f"i-{number}" for number in range(20)]


def test_a_span_without_times_or_scope() -> None:
    """An end that is missing is now, and a start that is missing is the end."""
    session = MemorySession()
    before = time.time_ns()
    EtwSpanProcessor("P", session=session, extended=True).on_end(
        readable(start_time=None, end_time=None, instrumentation_scope=InstrumentationScope("s"))
    )
    (item,) = spans(session)
    assert before <= item.end_time_unix_nano <= time.time_ns()
    assert item.duration_ns == 0
    assert (item.scope_name, item.scope_version, item.scope_schema_url) == ("s", None, None)
