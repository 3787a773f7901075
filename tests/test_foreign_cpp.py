"""OpenTelemetry C++'s flat fields: logs, spans, span events and markers, from made-up events."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl_files import T0, event_record, traits_blob
from foreign_events import events_of
from otel_etw.etl.event import Event
from otel_etw.layouts.foreign.cpp import decode_cpp, item_of_fields
from otel_etw.layouts.items import LinkItem, LogItem, SpanItem
from otel_etw.tables.items import SignalFinder, items_of
from otel_etw.tracelogging.decode import decode_payload
from otel_etw.tracelogging.metadata import EventMetadata, Field
from otel_etw.tracelogging.types import InType
from tracelogging_strategies import any_metadata

TIME = 1_773_232_496_789_012_300
TIME_TEXT = "2026-03-11T12:34:56.789012300Z"
TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "00f067aa0ba902b7"
WELL_KNOWN = [
    *("_name", "StartTime", "Duration", "severityNumber", "Links", "env_properties", "TraceId", "SpanId"),
    *("Timestamp", "Success", "StatusCode", "body"),
]
IDS = {"TraceId": TRACE, "SpanId": SPAN}


def cpp_event(tmp_path: Path, fields: dict[str, object], name: str = "Log", opcode: int = 0) -> Event:
    """An event as the exporter writes it: fields sorted, text as NUL-terminated UTF-8."""
    described, payload = b"", b""
    for key, value in sorted({**fields, "_name": name}.items()):
        described += key.encode() + b"\0"
        if isinstance(value, bool):
            described, payload = described + b"\x84\x03", payload + bytes([value])
        elif isinstance(value, int):
            described, payload = described + b"\x09", payload + struct.pack("<q", value)
        else:
            described, payload = described + b"\x82\x23", payload + str(value).encode() + b"\0"
    body = b"\x08" + name.encode() + b"\0" + described
    metadata = struct.pack("<H", 2 + len(body)) + body
    items = [(12, traits_blob("Cpp")), (11, metadata)]
    record = event_record(T0, payload, channel=11, level=0, opcode=opcode, items=items)
    (event,) = events_of(tmp_path, record)
    return event


def test_a_log_without_severity_and_span_says_so(tmp_path: Path) -> None:
    """Severity 0 with the text INVALID, and ids of zeros, are how the exporter writes what there is not."""
    fields = {
        "severityNumber": 0,
        "severityText": "INVALID",
        "Timestamp": TIME_TEXT,
        "Name": "lib",
        "body": "",
    }
    ids = {"TraceId": "0" * 32, "SpanId": "0" * 16}
    (item,) = items_of(cpp_event(tmp_path, {**fields, **ids, "_time": TIME_TEXT}))
    assert item.content == LogItem(TIME, body="", scope_name="lib")
    assert item.problems == ()


def test_a_log_has_its_time_from_the_event_where_it_has_none(tmp_path: Path) -> None:
    """A mapped event name is no event name of the record."""
    event = cpp_event(tmp_path, {"severityNumber": 9, "severityText": "INFO", "ok": True}, name="Mapped")
    (item,) = items_of(event)
    assert item.content == LogItem(
        event.timestamp_ns, severity_number=9, severity_text="INFO", attributes={"ok": True}
    )


def test_attributes_in_one_field_join_the_others(tmp_path: Path) -> None:
    """Built with environment properties, the exporter keeps them, and links, in a JSON object."""
    properties = '{"a":1,"b":"x","Links":"[{\\"toSpanId\\":\\"11\\",\\"toTraceId\\":\\"FF\\"}]"}'
    fields = {
        "StartTime": TIME_TEXT, "Duration": 1500, "Name": "GET", "Kind": 1, "StatusCode": 0,
        "Success": "True", "StatusMessage": "", "env_properties": properties, **IDS,
    }  # fmt: skip
    (item,) = items_of(cpp_event(tmp_path, fields, name="Span"))
    assert item.content == SpanItem(
        "GET", TIME, TIME + 1500, trace_id=TRACE, span_id=SPAN, success=True, status="unset",
        links=(LinkItem("ff", "11"),), attributes={"a": 1, "b": "x"},
    )  # fmt: skip


def test_properties_that_are_no_object_stay_an_attribute(tmp_path: Path) -> None:
    """As do links that are no links: nothing an event says is lost."""
    fields = {"StartTime": TIME_TEXT, "Links": "none", "env_properties": "[1]", **IDS}
    (item,) = items_of(cpp_event(tmp_path, fields, name="Span"))
    assert isinstance(item.content, SpanItem)
    assert item.content.attributes == {"Links": "none", "env_properties": "[1]"}
    assert item.content.end_time_unix_nano == item.content.start_time_unix_nano == TIME


def test_a_span_event_is_a_log_in_its_span(tmp_path: Path) -> None:
    """With its own event name and attributes, at the time of the ETW event."""
    event = cpp_event(tmp_path, {**IDS, "n": 3, "Name": "mine"}, name="cache miss")
    (item,) = items_of(event)
    assert item.content == LogItem(
        event.timestamp_ns,
        event_name="cache miss",
        trace_id=TRACE,
        span_id=SPAN,
        attributes={"Name": "mine", "n": 3},
    )


@pytest.mark.parametrize("opcode", [1, 2])
def test_markers_of_spans_are_events(opcode: int, tmp_path: Path) -> None:
    """Start and stop repeat a span; span events with the very same fields are still told from them."""
    finder = SignalFinder()
    marker = cpp_event(tmp_path, IDS, name="work", opcode=opcode)
    span_event = cpp_event(tmp_path, IDS, name="work")
    assert [finder.signal_of(event) for event in (span_event, marker, span_event)] == [
        "logs",
        "events",
        "logs",
    ]
    (item,) = items_of(marker)
    assert item.content is None
    assert item.problems == ()


def test_other_events_with_such_a_field_are_events(tmp_path: Path) -> None:
    """A field called _name alone makes no log; neither do fields that are structs."""
    assert items_of(cpp_event(tmp_path, {"severity": 1}))[0].content is None
    struct_field = Field("inner", InType.STRUCT, members=(Field("n", InType.UINT8),))
    decoded = decode_payload((Field("_name", InType.CSTR8), struct_field), b"Log\0\1")
    assert decoded.problem is None
    assert decode_cpp(decoded.values, 0) is None
    assert item_of_fields({"_name": 5, "severityNumber": 1}, 0, 0) is None


@given(fields=st.dictionaries(
    st.sampled_from(WELL_KNOWN),
    st.none() | st.text(max_size=30) | st.integers() | st.booleans() | st.floats() | st.binary(max_size=9),
))  # fmt: skip
def test_any_values_give_an_item_or_none(fields: dict[str, object]) -> None:
    """Whatever types the well-known fields have."""
    found = item_of_fields({"_name": "Log", **fields}, TIME, 0)
    assert found is None or isinstance(found, (LogItem, SpanItem))


@given(data=st.binary(max_size=200), metadata=any_metadata, names=st.permutations(WELL_KNOWN))
def test_any_payload_gives_an_item_or_none(data: bytes, metadata: EventMetadata, names: list[str]) -> None:
    """Also of events whose fields are of other types, or that are cut."""
    fields = [replace(field, name=name) for field, name in zip(metadata.fields, names, strict=False)]
    values = decode_payload(fields, data).values
    found = decode_cpp(values, TIME)
    assert found is None or isinstance(found, (LogItem, SpanItem))
