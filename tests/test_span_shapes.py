"""The generated encoders of spans against the plain one: the same bytes for every span."""

from __future__ import annotations

from typing import Any, Literal

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from memory_provider import MemorySession
from otel_etw import EtwSpanProcessor
from otel_etw.layouts.common_schema import ResourceFacts, SpanFields, encode_span
from otel_etw.layouts.common_schema.activity import activity_id
from otel_etw.layouts.common_schema.names import WELL_KNOWN
from otel_etw.layouts.common_schema.span_shapes import SpanShape, span_encoder

TEXTS = st.text(max_size=20) | st.sampled_from(["", "plain", "é", "\ud800", "a\0b", "x" * 3000])
VALUES = st.one_of(
    TEXTS,
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
    st.booleans(),
    st.binary(max_size=20),
    st.none(),
)
KEYS = st.sampled_from(["a", "é", "a\0b", "", "\\", "'", "{0}", *WELL_KNOWN])
TIMES = st.sampled_from([0, 999, 10**9, 1773232496_350123401, 1773232496_350000000]) | st.integers(0, 2**63)
FACTS = [
    ResourceFacts(),
    ResourceFacts("svc é", None),
    ResourceFacts("svc", "instance-1", (("a", 1), ("deploy.env", "prod"), ("list", ""))),
]


@st.composite
def spans(draw: st.DrawFn) -> SpanFields:
    return SpanFields(
        name=draw(TEXTS),
        trace_id=draw(st.sampled_from([0, 1, 2**128 - 1, 2**200])),
        span_id=draw(st.sampled_from([0, 7, 2**64 - 1, 2**99])),
        start_time_unix_nano=draw(TIMES),
        end_time_unix_nano=draw(TIMES),
        parent_span_id=draw(st.sampled_from([0, 9, 2**64 - 1, 2**70])),
        kind=draw(st.sampled_from([0, 1, 2, 3, 4, 300, -1])),
        is_error=draw(st.booleans()),
        attributes=draw(st.dictionaries(KEYS, VALUES, max_size=8)),
    )


@given(
    span=spans(),
    facts=st.sampled_from(FACTS),
    event_name=st.sampled_from(["Span", "MySpan é"]),
    mark_utf8=st.booleans(),
    kind=st.sampled_from([None, "trace", "span"]),
    level=st.integers(1, 5),
)
def test_every_span_has_the_same_bytes_both_ways(
    span: SpanFields,
    facts: ResourceFacts,
    event_name: str,
    mark_utf8: bool,
    kind: Literal["trace", "span"] | None,
    level: int,
) -> None:
    """What the function of a shape writes is what the plain encoder makes of the span; or it refuses."""
    shape = SpanShape(
        event_name,
        level,
        span.kind,
        span.is_error,
        bool(span.parent_span_id),
        tuple(span.attributes),
        type(span.name),
        tuple(map(type, span.attributes.values())),
    )
    encoder = span_encoder(shape, facts, keyword=6, mark_utf8=mark_utf8, activity=kind)
    assert encoder is not None
    written: list[tuple[bytes, bytes | None]] = []

    def write(payload: bytes, activity: bytes | None) -> int:
        written.append((payload, activity))
        return 0

    emit = encoder.bind(write, lambda level, keyword: True, 60_000)
    plain = encode_span(
        span,
        facts,
        event_name=event_name,
        keyword=6,
        level=level,
        max_event_bytes=60_000,
        mark_utf8=mark_utf8,
    )
    values = dict(span.attributes)
    ids = (span.trace_id, span.span_id, span.parent_span_id)
    try:
        status = emit(span.end_time_unix_nano, span.start_time_unix_nano, *ids, span.name, values)
    except UnicodeEncodeError:  # a lone surrogate, which the plain encoder replaces
        return
    assert status == 0
    assert (encoder.descriptor, encoder.metadata) == (plain.descriptor, plain.metadata)
    assert written == [(plain.payload, activity_id(kind, span.trace_id, span.span_id))]


def ended(provider: TracerProvider, **arguments: Any) -> ReadableSpan:
    status = arguments.pop("status", None)
    name = arguments.pop("name", "GET /")
    span = provider.get_tracer("t").start_span(name, **arguments)
    if status is not None:
        span.set_status(status)
    span.end(end_time=1773232496_350123401)
    assert isinstance(span, ReadableSpan)
    return span


def test_usual_spans_take_the_quick_way() -> None:
    """From its third sight on, a shape is written through a prepared write; and reads back as it was."""
    session = MemorySession()
    provider = TracerProvider(resource=Resource({"service.name": "shop"}), shutdown_on_exit=False)
    provider.add_span_processor(EtwSpanProcessor(session=session))
    for number in range(6):
        ended(
            provider,
            kind=SpanKind.SERVER,
            attributes={"http.request.method": "GET", "n": number, "f": 0.5, "ok": True},
        )
    assert [event.prepared for event in session.events] == [False] * 2 + [True] * 4
    assert len({event.metadata for event in session.events}) == 1


def test_spans_with_more_to_say_take_the_plain_way() -> None:
    """Links, the description of a failure, and lists are not for the generated encoders, and lose nothing."""
    session = MemorySession()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(EtwSpanProcessor(session=session))
    link = Link(SpanContext(1, 2, is_remote=False, trace_flags=TraceFlags(1)))
    for _ in range(5):
        ended(provider, links=[link])
        ended(provider, status=Status(StatusCode.ERROR, "no luck"))
        ended(provider, attributes={"list": [1, 2]})
    assert not any(event.prepared for event in session.events)
    payloads = b"".join(event.payload for event in session.events)
    assert payloads.count(b"toSpanId") == payloads.count(b"no luck") == payloads.count(b"[1,2]") == 5


def test_values_of_other_types_under_the_same_keys() -> None:
    """Types that change from span to span are followed: 1, 1.0, True and "1" stay what they are."""
    quick, plain = MemorySession(), MemorySession()
    for session, rounds in ((quick, 5), (plain, 1)):
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(EtwSpanProcessor(session=session))
        for _ in range(rounds):
            for value in (1, 1.0, True, "1"):
                ended(provider, attributes={"v": value}, start_time=5)
    assert [event.metadata for event in quick.events] == [event.metadata for event in plain.events] * 5
    assert sum(event.prepared for event in quick.events) == 12
    sizes = [len(event.payload) for event in quick.events]
    assert sizes == [len(event.payload) for event in plain.events] * 5


def test_after_shutdown_spans_are_dropped_and_counted() -> None:
    """Encoders do not outlive their provider."""
    session = MemorySession()
    processor = EtwSpanProcessor(session=session)
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(processor)
    for _ in range(5):
        ended(provider)
    processor.shutdown()
    ended(provider)
    assert processor.stats.written == 5
    assert processor.stats.dropped == {"shut down": 1}
