"""The golden vectors of logs, both ways: through the public exporters, the encoder, and the decoder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider, LogRecordProcessor
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

from memory_provider import MemorySession
from otel_etw import EtlSession, EtwLogRecordExporter, EtwLogRecordProcessor, open_etl
from otel_etw.emitter import Session
from otel_etw.layouts.common_schema import LogFields, decode_log, encode_log, resource_facts
from otel_etw.layouts.items import LogItem
from shared_files import cases, vectors
from vector_records import attributes_of, id_of, value_of, values_of

# The SDK drops attributes with an empty key: this case goes through the encoder alone.
SDK_CANNOT = {"empty_strings"}
KEPT_BY_US = {
    # What the reference loses in its reference_quirk cases and this project keeps.
    "attr_lists_maps_json": {"nested": [[3], 42, {"k": 1}], "bytes_in_list": ["YWI="]},
    "attr_lists_maps_no_json": {"ints": [1], "map": {"a": 1}},
    "event_id_string": {"event_id": "E20"},
}


def fields_of(record: dict[str, Any]) -> LogFields:
    time_ns = record["timestamp_ns"]
    return LogFields(
        time_unix_nano=record["observed_timestamp_ns"] if time_ns is None else time_ns,
        severity_number=record["severity_number"],
        severity_text=record["severity_text"],
        body=value_of(record["body"]),
        event_name=record["event_name"],
        trace_id=id_of(record["trace_id"]),
        span_id=id_of(record["span_id"]),
        attributes=attributes_of(record["attributes"]),
    )


def sdk_record(record: dict[str, Any]) -> LogRecord:
    number = record["severity_number"]
    context = None
    if record["trace_id"] is not None:
        ids = SpanContext(int(record["trace_id"], 16), int(record["span_id"], 16), False, TraceFlags(0))
        context = set_span_in_context(NonRecordingSpan(ids))
    return LogRecord(
        timestamp=record["timestamp_ns"],
        observed_timestamp=record["observed_timestamp_ns"],
        context=context,
        severity_number=None if number is None else SeverityNumber(number),
        severity_text=record["severity_text"],
        body=value_of(record["body"]),
        attributes=attributes_of(record["attributes"]),
        event_name=record["event_name"],
    )


def expected_item(case: dict[str, Any]) -> LogItem:
    """The record of a case as a decoder should find it (what the case's quirk loses is not expected)."""
    record = case["record"]
    resource = attributes_of(case["resource"]["attributes"])
    chosen = {key: resource[key] for key in case["options"]["resource_attributes"]}
    attributes = {**chosen, **attributes_of(record["attributes"])}
    event_id = attributes.pop("event_id", None)
    time_ns = record["timestamp_ns"]
    return LogItem(
        time_unix_nano=record["observed_timestamp_ns"] if time_ns is None else time_ns,
        severity_number=record["severity_number"] or 5,
        severity_text=record["severity_text"],
        body=value_of(record["body"]),
        event_name=record["event_name"],
        event_id=event_id if isinstance(event_id, int) else None,
        trace_id=record["trace_id"],
        span_id=record["span_id"],
        service_name=resource.get("service.name"),
        service_instance_id=resource.get("service.instance.id"),
        attributes=attributes,
    )


def check_event(event: Any, case: dict[str, Any]) -> None:
    expected = case["expected"]
    assert event.descriptor.to_bytes().hex() == expected["event_descriptor"]["bytes"]
    assert event.metadata.hex() == expected["event_metadata"]
    assert event.payload.hex() == expected["payload"]


@pytest.mark.parametrize("case", cases("logs"))
def test_the_encoder_writes_the_vectors_bytes(case: dict[str, Any]) -> None:
    """Descriptor, metadata and payload are the reference's, but for the cases in which it loses data."""
    options = case["options"]
    facts = resource_facts(attributes_of(case["resource"]["attributes"]), options["resource_attributes"])
    event_name = options.get("etw_event_name", "Log")
    event = encode_log(fields_of(case["record"]), facts, event_name=event_name)
    assert event.truncated == {}
    if case["conformance"] == "reference_quirk":
        assert event.payload.hex() != case["expected"]["payload"]
    else:
        check_event(event, case)


def targets() -> list[Any]:
    """The cases whose bytes an exporter has to write."""
    found = cases("logs")
    return [case for case in found if case.values[0] is None or is_target(case.values[0])]


def is_target(case: dict[str, Any]) -> bool:
    return case["conformance"] != "reference_quirk" and case["name"] not in SDK_CANNOT


def emit(case: dict[str, Any], session: Session | None, synchronous: bool) -> LoggerProvider:
    """Send a case's record through the SDK; the caller may shut down what did it."""
    options = case["options"]
    arguments: dict[str, Any] = {
        "session": session,
        "etw_only_name": options["provider_name_mode"] == "etw_only",
        "resource_attributes": options["resource_attributes"],
        "event_name": options.get("etw_event_name", "Log"),
    }
    name = options["provider_name"]
    processor = (
        EtwLogRecordProcessor(name, **arguments)
        if synchronous
        else SimpleLogRecordProcessor(EtwLogRecordExporter(name, **arguments))
    )
    return emit_to(processor, case)


def emit_to(processor: LogRecordProcessor, case: dict[str, Any], times: int = 1) -> LoggerProvider:
    """The same through the processor given."""
    provider = LoggerProvider(
        resource=Resource(attributes_of(case["resource"]["attributes"])), shutdown_on_exit=False
    )
    provider.add_log_record_processor(processor)
    for _ in range(times):
        provider.get_logger("scope", "1.0").emit(sdk_record(case["record"]))
    return provider


@pytest.mark.parametrize("case", targets())
@pytest.mark.parametrize("synchronous", [True, False], ids=["processor", "exporter"])
def test_the_public_exporters_write_the_vectors_bytes(case: dict[str, Any], synchronous: bool) -> None:
    """A record that goes through the real SDK gives the reference's provider, traits and bytes."""
    session = MemorySession()
    emit(case, session, synchronous)
    (event,) = session.events
    check_event(event, case)
    assert str(event.provider.id) == case["expected"]["provider_guid"]
    assert event.provider.traits.hex() == case["expected"]["provider_traits"]


def test_the_vectors_bytes_reach_a_file_and_come_back(tmp_path: Path) -> None:
    """All cases in one trace file, through the SDK: provider, descriptor and bytes are read as written."""
    wanted = [case for case in vectors("logs")["cases"] if is_target(case)]
    with EtlSession(tmp_path / "vectors.etl") as session:
        for case in wanted:
            emit(case, session, synchronous=True)
    with open_etl(tmp_path / "vectors.etl") as trace:
        events = [event for event in trace if event.kind == "event"]
    assert len(events) == len(wanted)
    for event, case in zip(events, wanted, strict=True):
        check_event(event, case)
        assert str(event.provider_id) == case["expected"]["provider_guid"]
        assert event.provider_name == case["options"]["provider_name"]
        assert event.name == case["expected"]["event_name"]
        assert decode_log(event.values, -1) == expected_item(case) or case["name"] == "resource_chosen_types"


@pytest.mark.parametrize("case", cases("logs"))
def test_the_decoder_finds_the_record_in_the_vectors_bytes(case: dict[str, Any]) -> None:
    """All cases, the reference's degraded and miscounted ones included, decode to their record."""
    expected = case["expected"]
    values = values_of(bytes.fromhex(expected["event_metadata"]), bytes.fromhex(expected["payload"]))
    found = decode_log(values, -1)
    wanted = expected_item(case)
    assert found is not None
    if case["name"] == "attr_lists_maps_json":
        sentence = "Value truncated as nested lists/maps are not supported."
        lost = {"nested": [sentence, 42, sentence], "bytes_in_list": ["`AnyValue::Bytes` are not supported."]}
        assert found.attributes == {**wanted.attributes, **lost, "nonfinite": [None, None]}
    elif case["name"] == "attr_lists_maps_no_json":
        assert found.attributes == {"ints": "", "map": ""}
    elif case["name"] == "resource_chosen_types":
        assert found.attributes == {**wanted.attributes, "l": ""}
    else:
        assert found == wanted


@pytest.mark.parametrize("name", KEPT_BY_US)
def test_what_the_reference_loses_is_kept(name: str) -> None:
    """The records of the quirk cases come back whole from this project's own bytes."""
    (case,) = (case for case in vectors("logs")["cases"] if case["name"] == name)
    event = encode_log(fields_of(case["record"]))
    found = decode_log(values_of(event.metadata, event.payload), -1)
    assert found is not None
    wanted = attributes_of(case["record"]["attributes"])
    if "nonfinite" in wanted:
        wanted["nonfinite"] = [None, None]
    assert found.attributes == {**wanted, **KEPT_BY_US[name]}


def test_three_hundred_attributes_are_kept() -> None:
    """Of more than 127 members the surplus goes into one JSON member, and all come back."""
    attributes = {f"k{number:03d}": number for number in range(300)}
    event = encode_log(LogFields(0, attributes=attributes))
    values = values_of(event.metadata, event.payload)
    assert [value.name for value in values] == ["__csver__", "PartA", "PartC", "PartB"]
    members: Any = values[2].value
    assert len(members) == 127
    assert members[-1].name == "otel_etw.more"
    assert members[-1].field.out_type == 12
    found = decode_log(values, -1)
    assert found is not None
    assert found.attributes == attributes


@pytest.mark.parametrize("case", cases("foreign"))
def test_other_and_older_producers(case: dict[str, Any]) -> None:
    """Older Rust releases and Geneva's self-describing logs are logs; all else is none of this layout."""
    event, wanted = case["event"], case["decoded"]
    metadata = bytes.fromhex(event["event_metadata"])
    values = values_of(metadata, bytes.fromhex(event["payload"])) if metadata else ()
    found = decode_log(values, -1)
    if case["producer"] not in ("rust_logs_old", "geneva_tld"):
        assert found is None
        return
    assert found == LogItem(
        time_unix_nano=wanted["time_unix_nano"],
        severity_number=wanted["severity_number"],
        severity_text=wanted.get("severity_text"),
        body=wanted["body"],
        event_name=wanted.get("name"),
        event_id=wanted.get("event_id"),
        trace_id=wanted.get("trace_id"),
        span_id=wanted.get("span_id"),
        service_name=wanted.get("service_name"),
        service_instance_id=wanted.get("service_instance_id"),
        attributes=attributes_of(wanted["attributes"]),
    )


@pytest.mark.parametrize("case", cases("traces"))
def test_spans_are_no_logs(case: dict[str, Any]) -> None:
    """Spans share the schema; ``_typeName`` tells them apart."""
    expected = case["expected"]
    values = values_of(bytes.fromhex(expected["event_metadata"]), bytes.fromhex(expected["payload"]))
    assert decode_log(values, -1) is None
