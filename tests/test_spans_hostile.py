"""Whatever a span holds: nothing of it reaches the application as an exception, and all of it is counted."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.trace import SpanContext, TraceFlags

from memory_provider import MemorySession
from otel_etw.layouts.common_schema import decode_log, decode_span
from otel_etw.spans import EtwSpanExporter, EtwSpanProcessor
from vector_records import values_of

CONTEXT = SpanContext(0xA1, 0xB2, False, TraceFlags(1))


class Raising:
    """An object that answers nothing."""

    def __init__(self, error: type[BaseException] = RuntimeError) -> None:
        self._error = error

    def __str__(self) -> str:
        raise self._error("hostile")

    __repr__ = __bool__ = __len__ = __iter__ = __hash__ = __index__ = __str__  # type: ignore[assignment]

    def __getattr__(self, name: str) -> Any:
        raise self._error(name)

    @property
    def __class__(self) -> Any:
        raise self._error("class")


CYCLE: dict[str, Any] = {}
CYCLE["self"] = CYCLE
LIST_CYCLE: list[Any] = []
LIST_CYCLE.append(LIST_CYCLE)

VALUES: list[Any] = [
    Raising(),
    Raising(RecursionError),
    [Raising(OSError)],
    CYCLE,
    LIST_CYCLE,
    "x" * 10_000_000,
    b"\0" * 10_000_000,
    ["\ud800"] * 1000,
    "\ud800\0",
    {5: 1},
    10**10_000,
    float("nan"),
    None,
    object,
]


def write(span: Any) -> tuple[MemorySession, Any]:
    """Through the processor and the exporter, extended, with levels and names that look at the span."""
    session = MemorySession()
    arguments: Any = {
        "session": session,
        "extended": True,
        "activity_id": "trace",
        "level": lambda span: span.status.status_code.value,
        "event_name": lambda span: span.name,
    }
    processor = EtwSpanProcessor("P", record_only=True, **arguments)
    exporter = EtwSpanExporter("P", **arguments)
    processor.on_end(span)
    exporter.export([span])
    assert processor.stats == exporter.stats
    return session, processor.stats


@pytest.mark.parametrize("place", ["attributes", "events", "links", "scope", "name", "description"])
def test_values_of_any_kind(place: str) -> None:
    """Each hostile value is written in some form, wherever in a span it stands."""
    for value in VALUES:
        holder = SimpleNamespace(context=CONTEXT, name="event", timestamp=5, attributes={"k": value})
        facts: dict[str, Any] = {
            "attributes": {"attributes": {"k": value, "url.full": value}},
            "events": {"events": [holder]},
            "links": {"links": [holder]},
            "scope": {"instrumentation_scope": SimpleNamespace(name=value, attributes={"k": value})},
            "name": {"name": value},
            "description": {"status": SimpleNamespace(status_code=None, description=value)},
        }[place]
        span = ReadableSpan(
            **{
                "name": "x",
                "context": CONTEXT,
                "resource": Resource({}),
                "start_time": 1,
                "end_time": 2,
                **facts,
            }
        )
        session, stats = write(span)
        check(session, stats, 2 if place == "events" else 1)
        if place in ("attributes", "events", "links"):
            assert stats.lost == 0


def check(session: MemorySession, stats: Any, items: int) -> None:
    """Every event can be read, and each item, which came twice, has been counted each time."""
    assert len(session.events) == 2 * stats.written
    assert stats.written + stats.lost == items
    for event in session.events:
        values = values_of(event.metadata, event.payload)
        assert decode_span(values, -1) is not None or decode_log(values, -1) is not None


FIELDS = [
    *("_name", "_context", "_kind", "_instrumentation_scope", "_parent", "_start_time", "_end_time"),
    *("_attributes", "_events", "_links", "_resource", "_status"),
]


@pytest.mark.parametrize("field", FIELDS)
def test_facts_of_any_type(field: str) -> None:
    """A span whose parts are not what they should be is written or counted, once."""
    for value in (None, 5, -(2**200), "text", b"bytes", [], [5], {}, object(), Raising(), Raising(KeyError)):
        span: Any = ReadableSpan("x", CONTEXT, resource=Resource({}), start_time=1, end_time=2)
        setattr(span, field, value)
        session, stats = write(span)
        assert len(session.events) == 2 * stats.written
        assert stats.written + stats.lost >= 1
        assert stats.written <= 1


def test_a_span_that_is_none() -> None:
    """Objects that are no spans are counted, not raised about."""
    nonsense: list[Any] = [None, 5, "span", object(), Raising(), ReadableSpan]
    for span in nonsense:
        session = MemorySession()
        exporter = EtwSpanExporter("P", session=session)
        processor = EtwSpanProcessor("P", session=session)
        processor.on_end(span)
        exporter.export([span])
        assert processor.stats.dropped == exporter.stats.dropped == {"not encodable": 1}
        assert session.events == []


def test_a_span_that_ends_spans_while_it_is_written() -> None:
    """An attribute whose text is made by ending another span, without end, costs a few spans and no more."""
    session = MemorySession()
    processor = EtwSpanProcessor("P", session=session)
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(processor)
    tracer = provider.get_tracer("t")

    class Chatty:
        def __str__(self) -> str:
            end_one()
            return "chatty"

    def end_one() -> None:
        processor.on_end(ReadableSpan("x", CONTEXT, resource=Resource({}), attributes={"k": Chatty()}))

    end_one()
    assert processor.stats.written == 3
    assert processor.stats.dropped == {"re-entrant": 1}
    tracer.start_span("after").end()
    assert processor.stats.written == 4


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(FIELDS), ANY), ANY, st.integers(600, 65400))
def test_any_span_is_written_or_counted(parts: dict[str, Any], value: Any, max_event_bytes: int) -> None:
    """Random things in the places of a span's parts, in sessions of any size of buffers."""
    span: Any = ReadableSpan("x", CONTEXT, resource=Resource({}), attributes={"k": value})
    for field, part in parts.items():
        setattr(span, field, part)
    session = MemorySession(max_event_bytes=max_event_bytes)
    processor = EtwSpanProcessor("P", session=session, extended=True, record_only=True)
    processor.on_end(span)
    stats = processor.stats
    assert stats.written == len(session.events)
    assert stats.written + stats.lost >= 1
