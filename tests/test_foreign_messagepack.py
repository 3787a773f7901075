"""MessagePack payloads of Geneva and C++: what they mean, and what hostile ones cost."""

from __future__ import annotations

import subprocess
import sys
import time
import tracemalloc
from pathlib import Path
from typing import Any

import msgpack
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from etl_files import T0, event_record
from foreign_events import events_of
from otel_etw.errors import DecodeError
from otel_etw.layouts.foreign.messagepack import decode_messagepack, starts_message, unpack
from otel_etw.layouts.items import LinkItem, LogItem, SpanItem
from otel_etw.layouts.json_text import MAX_PARSED_DEPTH
from otel_etw.tables.items import SignalFinder, items_of
from otel_etw.tracelogging.values import FileTime

SECONDS, NANOSECONDS = 1_773_232_496, 789_012_300
TIME = SECONDS * 1_000_000_000 + NANOSECONDS
GENEVA_TIME = msgpack.Timestamp(SECONDS, NANOSECONDS)
CPP_TIME = msgpack.ExtType(
    0, (SECONDS // 100 | (SECONDS % 100 * 10_000_000 + NANOSECONDS // 100) << 34).to_bytes(8, "little")
)
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "00f067aa0ba902b7"


def geneva(fields: dict[Any, Any], *more: list[Any]) -> bytes:
    message = ["Log", [[GENEVA_TIME, fields], *more], {"TimeFormat": "DateTime"}]
    return bytes(msgpack.packb(message, datetime=True))


def cpp(fields: dict[Any, Any], name: str = "Log") -> bytes:
    return bytes(msgpack.packb([name, [[CPP_TIME, fields]]]))


def the_item(payload: bytes, opcode: int = 0) -> LogItem | SpanItem:
    (item,) = decode_messagepack(payload, -1, opcode)
    return item


def test_a_geneva_span_has_all_it_says() -> None:
    """Ids, kind, times, links, service, and the well-known attributes under today's names."""
    span = the_item(geneva({
        "env_name": "Span", "env_ver": "4.0", "env_time": msgpack.Timestamp(SECONDS + 1, 0),
        "env_dt_traceId": TRACE.upper(), "env_dt_spanId": SPAN, "env_cloud_role": "shop",
        "env_cloud_roleInstance": "shop-1", "env_iKey": "k",
        "name": "GET /", "kind": 2, "startTime": GENEVA_TIME, "success": False, "parentId": "1" * 16,
        "traceState": "a=b", "links": [{"toTraceId": TRACE, "toSpanId": "2" * 16}], "statusMessage": "boom",
        "httpMethod": "GET", "httpStatusCode": 500, "when": GENEVA_TIME,
        "env_properties": {"x": [1, {"y": GENEVA_TIME}], "z": b"\xff"},
    }))  # fmt: skip
    text = FileTime.from_unix_nano(TIME).isoformat()
    assert span == SpanItem(
        "GET /", TIME, (SECONDS + 1) * 1_000_000_000, trace_id=TRACE, span_id=SPAN, parent_span_id="1" * 16,
        kind="client", success=False, status="error", status_message="boom", trace_state="a=b",
        links=(LinkItem(TRACE, "2" * 16),), service_name="shop", service_instance_id="shop-1",
        attributes={
            "x": [1, {"y": text}], "z": b"\xff", "env_iKey": "k", "http.request.method": "GET",
            "http.response.status_code": 500, "when": text,
        },
    )  # fmt: skip


def test_a_geneva_log_keeps_its_exception() -> None:
    """Under OpenTelemetry's own names; its time is that of the message where it has no other."""
    fields = {"env_ex_type": "E", "env_ex_msg": "m", "env_ex_stack": "s", "severityNumber": 17, "body": [1]}
    log = the_item(geneva(fields))
    exception = {"exception.type": "E", "exception.message": "m", "exception.stacktrace": "s"}
    assert log == LogItem(TIME, severity_number=17, body=[1], attributes=exception)


def test_several_records_of_one_message_are_several_items() -> None:
    """The protocol allows for it, though neither producer does it today."""
    items = decode_messagepack(geneva({"body": "a"}, [GENEVA_TIME, {"body": "b"}], [None, {"body": "c"}]), -1)
    assert [(item.body, item.time_unix_nano) for item in items if isinstance(item, LogItem)] == [
        ("a", TIME), ("b", TIME), ("c", -1),
    ]  # fmt: skip


def test_the_length_that_one_release_wrote_is_passed_over(tmp_path: Path) -> None:
    """Geneva 1.17.0: four bytes in front, which have to be right."""
    payload = geneva({"body": "hi"})
    prefixed = len(payload).to_bytes(4, "little") + payload
    records = [
        event_record(T0, data, event_id=100, version=1) for data in (payload, prefixed, b"\0" + prefixed)
    ]
    found = [items_of(event)[0] for event in events_of(tmp_path, *records)]
    assert [item.signal for item in found] == ["logs", "logs", "events"]
    assert found[0].content == found[1].content
    assert found[2].problems == ()


def test_cpp_messages_are_as_cpp_events() -> None:
    """The message's name is the event's, its time that of what has no other, markers are no items."""
    ids = {"TraceId": TRACE, "SpanId": SPAN, "OpCode": 0}
    span_event = the_item(cpp({**ids, "n": 1}, name="miss"))
    assert span_event == LogItem(TIME, event_name="miss", trace_id=TRACE, span_id=SPAN, attributes={"n": 1})
    span = the_item(
        cpp({**ids, "StartTime": "2026-03-11T12:34:56Z", "Duration": 5, "Success": "True"}, "Span")
    )
    assert isinstance(span, SpanItem)
    assert (span.duration_ns, span.success, span.attributes) == (5, True, {})
    assert decode_messagepack(cpp(ids, "work"), -1, opcode=1) == []


def test_text_that_is_no_utf8_is_read_as_windows_does() -> None:
    """Alone; keys and values alike; keys that are no text become some."""
    message = bytes(msgpack.packb(["Log", [[0, {b"caf\xe9": b"\x81\xe9"}]], {}], use_bin_type=False))
    log = the_item(message)
    assert log.attributes == {"café": "\x81é"}
    assert unpack(bytes(msgpack.packb({1: "a", b"b": "c", None: 1.5}))) == {"1": "a", "b": "c", "None": 1.5}


def test_what_is_no_message_says_what_it_is() -> None:
    """Wrong shapes, trailing bytes, keys that cannot be keys, times that are none."""
    for value, wanted in [
        (["Log", [], {}], "list of 0"),
        (["Log"], "list of 1"),
        ([1, [[0, {}]]], "int"),
        (["Log", [[0, 1]]], "list of 2"),
        ("Log", "str"),
    ]:
        with pytest.raises(DecodeError, match=wanted):
            decode_messagepack(bytes(msgpack.packb(value)), -1)
    for data in (
        b"\x81\x90\x01",
        b"\x92\xa1",
        b"\xc1",
        b"",
        b"\x01\x02",
        b"\xc7\x03\xff\0\0\0",
        b"\xd7\xff" + b"\xff" * 8,
    ):
        with pytest.raises(DecodeError, match="MessagePack payload"):
            unpack(data)


def test_a_broken_message_is_an_event_that_says_so(tmp_path: Path) -> None:
    """One that does not even begin like a message is an event of somebody else's, and no fault."""
    records = [
        event_record(T0, data, event_id=100, version=1)
        for data in (b"\x93\xa3Log", b"\x93\x01", b"", b"text")
    ]
    events = events_of(tmp_path, *records)
    items = [items_of(event)[0] for event in events]
    assert {item.signal for item in items} == {"events"}
    assert ["MessagePack" in " ".join(item.problems) for item in items] == [True, False, False, False]
    finder = SignalFinder()
    assert {finder.signal_of(event) for event in events} == {"events"}


def test_nesting_is_bounded() -> None:
    """As JSON's is: whoever gets the value follows it with a recursion of its own."""
    for deep in (MAX_PARSED_DEPTH + 1, 1000, 60_000):
        with pytest.raises(DecodeError):
            unpack(b"\x91" * deep + b"\x00")
    assert unpack(b"\x91" * 100 + b"\x00")


@pytest.mark.parametrize("header", [b"\xdd\x00\x00\xff\x00", b"\xdc\xff\x00", b"\xdf\x00\x00\xff\x00\x00"])
def test_headers_that_promise_much_cost_little(header: bytes) -> None:
    """Room for elements is made ahead of them: so a thousand arrays of 65,280 would take half a gigabyte."""
    payload = (header * 1000).ljust(65_280, b"\x00")
    tracemalloc.start()
    started = time.perf_counter()
    try:
        with pytest.raises(DecodeError):
            unpack(payload)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 32 * 1024 * 1024
    assert time.perf_counter() - started < 5


@given(st.binary(max_size=120))
@example(b"\x92\xa3Log\x91\x92\xd7\x00" + b"\xff" * 8 + b"\x80")
@example(b"\x93\xa3Log\x91\x92\xc7\x0c\xff" + b"\x00" * 4 + b"\x7f" + b"\xff" * 7 + b"\x80\x80")
def test_any_bytes_give_items_or_our_error(data: bytes) -> None:
    """Whatever the payload of an event of that id holds."""
    starts_message(data)
    try:
        items = decode_messagepack(data, 0)
    except DecodeError:
        return
    assert all(isinstance(item, (LogItem, SpanItem)) for item in items)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.binary() | st.text()
    | st.builds(msgpack.ExtType, st.integers(0, 127), st.binary(max_size=12))
    | st.builds(msgpack.Timestamp, st.integers(-(2**63), 2**63 - 1), st.integers(0, 999_999_999)),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text() | st.integers(-9, 9), inner, max_size=4)
    ),
    max_leaves=12,
)  # fmt: skip
NAMES = st.sampled_from([
    "env_time", "startTime", "kind", "success", "links", "env_properties", "severityNumber", "eventId",
    "name",
    "env_dt_traceId", "StartTime", "Duration", "Links", "TraceId", "SpanId", "Timestamp", "StatusCode",
])  # fmt: skip


@given(st.dictionaries(NAMES | st.text(max_size=5), VALUES, max_size=6), st.booleans(), VALUES)
def test_any_fields_give_an_item(fields: dict[str, Any], is_geneva: bool, when: Any) -> None:
    """Whatever types the well-known ones have: a message of the right shape never fails."""
    message: list[Any] = ["Log", [[when, fields]]]
    if is_geneva:
        message.append({})
    items = decode_messagepack(bytes(msgpack.packb(message)), 0)
    assert len(items) == 1 if is_geneva else len(items) <= 1


@pytest.mark.parametrize("command", ["view", "info"])
def test_without_the_library_the_command_says_what_to_install(tmp_path: Path, command: str) -> None:
    """It is no damage of the file: what to install is the one line on stderr, and the exit code is 1."""
    path = tmp_path / "made.etl"
    events_of(tmp_path, event_record(T0, geneva({"body": "hi"}), event_id=100, version=1))
    code = "import sys; sys.modules['msgpack'] = None; from otel_etw.cli import main; main()"
    run = subprocess.run(
        [sys.executable, "-c", code, command, str(path)], capture_output=True, text=True, check=False
    )
    (line,) = run.stderr.splitlines()
    assert line.startswith("otel-etw: a MessagePack payload needs the module 'msgpack'")
    assert 'pip install "otel-etw[tools]"' in line
    assert run.returncode == 1


def test_attributes_kept_in_one_field_are_nothing_else() -> None:
    """A property called like a field of the event makes no span, no severity and no body."""
    properties = {"startTime": GENEVA_TIME, "severityNumber": 21, "body": "b", "name": "n"}
    text = FileTime.from_unix_nano(TIME).isoformat()
    log = the_item(geneva({"severityText": "t", "env_properties": properties}))
    assert log == LogItem(TIME, severity_text="t", attributes={**properties, "startTime": text})
    span_event = the_item(cpp({"TraceId": TRACE, "SpanId": SPAN, "env_properties": '{"severityNumber":1}'}))
    assert isinstance(span_event, LogItem)
    assert (span_event.severity_number, span_event.attributes) == (None, {"severityNumber": 1})
