"""The golden vectors of spans, both ways: through the public exporters, the encoder, and the decoder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from memory_provider import MemorySession
from otel_etw import EtlSession, open_etl
from otel_etw.emitter import Session
from otel_etw.layouts.common_schema import (
    LinkFields,
    SpanFields,
    decode_span,
    encode_span,
    resource_facts,
)
from otel_etw.layouts.items import LinkItem, SpanItem
from otel_etw.spans import EtwSpanExporter, EtwSpanProcessor
from shared_files import cases, vectors
from vector_records import attributes_of, id_of, values_of

KINDS = ("internal", "server", "client", "producer", "consumer")


class FixedIds(IdGenerator):
    """The ids of one case."""

    def __init__(self, trace_id: int, span_id: int) -> None:
        self.ids = trace_id, span_id

    def generate_trace_id(self) -> int:
        return self.ids[0]

    def generate_span_id(self) -> int:
        return self.ids[1]


def fields_of(span: dict[str, Any]) -> SpanFields:
    status = span["status"]
    return SpanFields(
        name=span["name"],
        trace_id=int(span["trace_id"], 16),
        span_id=int(span["span_id"], 16),
        start_time_unix_nano=span["start_time_ns"],
        end_time_unix_nano=span["end_time_ns"],
        parent_span_id=id_of(span["parent_span_id"]),
        kind=KINDS.index(span["kind"]),
        is_error=status["code"] == "error",
        status_is_ok=status["code"] == "ok",
        status_description=status["description"],
        attributes=attributes_of(span["attributes"]),
        links=[LinkFields(int(link["trace_id"], 16), int(link["span_id"], 16)) for link in span["links"]],
    )


def expected_item(case: dict[str, Any]) -> SpanItem:
    """The span of a case as a decoder should find it; OK and unset look the same."""
    span = case["span"]
    resource = attributes_of(case["resource"]["attributes"])
    chosen = {key: resource[key] for key in case["options"]["resource_attributes"]}
    is_error = span["status"]["code"] == "error"
    return SpanItem(
        name=span["name"],
        start_time_unix_nano=span["start_time_ns"],
        end_time_unix_nano=span["end_time_ns"],
        trace_id=span["trace_id"],
        span_id=span["span_id"],
        parent_span_id=span["parent_span_id"],
        kind=span["kind"],
        success=not is_error,
        status="error" if is_error else None,
        status_message=span["status"]["description"],
        links=[LinkItem(link["trace_id"], link["span_id"]) for link in span["links"]] or (),
        attributes={**chosen, **attributes_of(span["attributes"])},
        service_name=resource.get("service.name"),
        service_instance_id=resource.get("service.instance.id"),
    )


def check_event(event: Any, case: dict[str, Any]) -> None:
    expected = case["expected"]
    assert event.descriptor.to_bytes().hex() == expected["event_descriptor"]["bytes"]
    assert event.metadata.hex() == expected["event_metadata"]
    assert event.payload.hex() == expected["payload"]


def targets() -> list[Any]:
    """The cases whose bytes an exporter has to write."""
    found = cases("traces")
    return [case for case in found if case.values[0] is None or is_target(case.values[0])]


def is_target(case: dict[str, Any]) -> bool:
    return bool(case["conformance"] == "must_match")


@pytest.mark.parametrize("case", cases("traces"))
def test_the_encoder_writes_the_vectors_bytes(case: dict[str, Any]) -> None:
    """Descriptor, metadata and payload are the reference's, but for the case in which it loses data."""
    options = case["options"]
    facts = resource_facts(attributes_of(case["resource"]["attributes"]), options["resource_attributes"])
    event = encode_span(fields_of(case["span"]), facts, event_name=options["event_name"])
    assert event.truncated == {}
    if is_target(case):
        check_event(event, case)
    else:
        assert event.payload.hex() != case["expected"]["payload"]
        found = decode_span(values_of(event.metadata, event.payload), -1)
        assert found == expected_item(case)


def record(case: dict[str, Any], session: Session | None, synchronous: bool) -> TracerProvider:
    """Make a case's span with the SDK's tracer and end it; the caller may shut down what did it."""
    options, span = case["options"], case["span"]
    arguments: dict[str, Any] = {
        "session": session,
        "resource_attributes": options["resource_attributes"],
        "event_name": options["event_name"],
    }
    name = options["provider_name"]
    ids = FixedIds(int(span["trace_id"], 16), int(span["span_id"], 16))
    provider = TracerProvider(
        resource=Resource(attributes_of(case["resource"]["attributes"])),
        id_generator=ids,
        shutdown_on_exit=False,
    )
    provider.add_span_processor(
        EtwSpanProcessor(name, **arguments)
        if synchronous
        else SimpleSpanProcessor(EtwSpanExporter(name, **arguments))
    )
    context = None
    if span["parent_span_id"]:
        parent = SpanContext(ids.ids[0], int(span["parent_span_id"], 16), True, TraceFlags(1))
        context = set_span_in_context(NonRecordingSpan(parent))
    made = provider.get_tracer("scope", "1.0").start_span(
        span["name"],
        context,
        SpanKind[span["kind"].upper()],
        attributes_of(span["attributes"]),
        [
            Link(SpanContext(int(link["trace_id"], 16), int(link["span_id"], 16), True))
            for link in span["links"]
        ],
        span["start_time_ns"],
    )
    made.set_status(Status(StatusCode[span["status"]["code"].upper()], span["status"]["description"]))
    made.end(span["end_time_ns"])
    return provider


@pytest.mark.parametrize("case", targets())
@pytest.mark.parametrize("synchronous", [True, False], ids=["processor", "exporter"])
def test_the_public_exporters_write_the_vectors_bytes(case: dict[str, Any], synchronous: bool) -> None:
    """A span that goes through the real SDK gives the reference's provider, traits and bytes."""
    session = MemorySession()
    record(case, session, synchronous)
    (event,) = session.events
    check_event(event, case)
    assert str(event.provider.id) == case["expected"]["provider_guid"]
    assert event.provider.traits.hex() == case["expected"]["provider_traits"]


def test_the_vectors_bytes_reach_a_file_and_come_back(tmp_path: Path) -> None:
    """All cases in one trace file, through the SDK: provider, descriptor and bytes are read as written."""
    wanted = [case for case in vectors("traces")["cases"] if is_target(case)]
    with EtlSession(tmp_path / "vectors.etl") as session:
        for case in wanted:
            record(case, session, synchronous=True)
    with open_etl(tmp_path / "vectors.etl") as trace:
        events = [event for event in trace if event.kind == "event"]
    assert len(events) == len(wanted)
    for event, case in zip(events, wanted, strict=True):
        check_event(event, case)
        assert str(event.provider_id) == case["expected"]["provider_guid"]
        assert event.provider_name == case["options"]["provider_name"]
        assert event.name == case["expected"]["event_name"]
        assert decode_span(event.values, -1) == expected_item(case)


@pytest.mark.parametrize("case", cases("traces"))
def test_the_decoder_finds_the_span_in_the_vectors_bytes(case: dict[str, Any]) -> None:
    """All cases, the reference's degraded one included, decode to their span."""
    expected = case["expected"]
    values = values_of(bytes.fromhex(expected["event_metadata"]), bytes.fromhex(expected["payload"]))
    found = decode_span(values, -1)
    wanted = expected_item(case)
    if is_target(case):
        assert found == wanted
    else:  # lists are emptied without the reference's JSON feature
        assert found is not None
        assert found.attributes == {"ai": "", "url.full": ""}


@pytest.mark.parametrize("case", [*cases("logs"), *cases("foreign")])
def test_logs_are_no_spans(case: dict[str, Any]) -> None:
    """Logs share the schema; ``_typeName`` tells them apart, and other producers' events are none of it."""
    event = case.get("event") or case["expected"]
    metadata = bytes.fromhex(event["event_metadata"])
    values = values_of(metadata, bytes.fromhex(event["payload"])) if metadata else ()
    assert decode_span(values, -1) is None
