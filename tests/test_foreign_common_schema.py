"""Common Schema and OTLP of others: Geneva's spans and exceptions, older Rust logs, padded protobuf."""

from __future__ import annotations

import struct
from pathlib import Path

from etl_files import T0, event_record, traits_blob
from foreign_events import events_of
from otel_etw.layouts.items import Buckets, LinkItem, LogItem, MetricPoint, SpanItem
from otel_etw.tables.items import Item, items_of
from otel_etw.tracelogging.provider_id import METRICS_PROVIDER_ID
from otel_etw.tracelogging.types import InType, OutType
from otel_etw.tracelogging.values import FileTime

TIME = 1_773_232_496_789_012_300
FILETIME = int(FileTime.from_unix_nano(TIME))
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "00f067aa0ba902b7"

STR8, STR16 = InType.STR8, InType.STR16


def item_of(tmp_path: Path, name: str, *fields: tuple[object, ...]) -> Item:
    """The one item of an event of these fields: (name, in-type, value bytes) or (name, [members])."""
    described, payload = b"", b""
    for field in _flat(fields):
        described += field[0]
        payload += field[1]
    body = b"\0" + name.encode() + b"\0" + described
    items = [(12, traits_blob("Other")), (11, struct.pack("<H", 2 + len(body)) + body)]
    (event,) = events_of(tmp_path, event_record(T0, payload, channel=11, items=items))
    (item,) = items_of(event)
    assert item.problems == ()
    return item


def _flat(fields: tuple[object, ...]) -> list[tuple[bytes, bytes]]:
    flat = []
    for field in fields:
        name, kind, *value = field  # type: ignore[misc]
        if isinstance(kind, list):
            flat.append((name.encode() + bytes([0, 0x98, len(kind)]), b""))
            flat += _flat(tuple(kind))
        else:
            flat.append((name.encode() + b"\0" + bytes(kind), value[0]))
    return flat


def text8(name: str, value: str) -> tuple[object, ...]:
    data = value.encode()
    return name, (STR8,), struct.pack("<H", len(data)) + data


def text16(name: str, value: str) -> tuple[object, ...]:
    data = value.encode("utf-16-le")
    return name, (STR16,), struct.pack("<H", len(data)) + data


def filetime(name: str, value: int = FILETIME) -> tuple[object, ...]:
    return name, (InType.FILETIME,), struct.pack("<q", value)


def small(name: str, value: int, *out: int) -> tuple[object, ...]:
    return name, (InType.UINT8 | (0x80 if out else 0), *out), bytes([value])


CSVER = ("__csver__", (InType.UINT16 | 0x80, OutType.HEX), b"\0\4")


def test_a_span_of_geneva(tmp_path: Path) -> None:
    """Times as FILETIME, flat ids, links as one JSON object that repeats its keys."""
    ids = [(TRACE, "1" * 16), ("F" * 32, "2" * 16)]
    links = ",".join(f'"toTraceId":"{trace_id}","toSpanId":"{span_id}"' for trace_id, span_id in ids)
    item = item_of(
        tmp_path, "Span", CSVER,
        ("PartA", [filetime("time", FILETIME + 15_000), text16("ext_dt_traceId", TRACE),
                   text16("ext_dt_spanId", SPAN), text8("ext_cloud_role", "shop"), text8("iKey", "k")]),
        ("PartB", [text16("_typeName", "Span"), text8("name", "GET"), small("kind", 1), filetime("startTime"),
                   text16("parentId", "1" * 16), text8("traceState", "a=b"), text8("links", f"{{{links}}}"),
                   text8("httpMethod", "GET"), text8("statusMessage", "no"), small("success", 0, 3)]),
        ("PartC", [text8("x", "y"), text8("env_properties", '{"z":[1]}')]),
    )  # fmt: skip
    assert item.content == SpanItem(
        "GET", TIME, TIME + 1_500_000, trace_id=TRACE, span_id=SPAN, parent_span_id="1" * 16, kind="server",
        success=False, status="error", status_message="no", trace_state="a=b", service_name="shop",
        links=[LinkItem(TRACE, "1" * 16), LinkItem("f" * 32, "2" * 16)],
        attributes={"iKey": "k", "x": "y", "z": [1], "http.request.method": "GET"},
    )  # fmt: skip


def test_an_exception_in_a_log_of_geneva(tmp_path: Path) -> None:
    """Stands in PartA and becomes the attributes that OpenTelemetry has for it."""
    item = item_of(
        tmp_path, "MyCategory", CSVER,
        ("PartA", [filetime("time"), text8("ext_ex_type", "System.Exception"), text8("ext_ex_msg", "oh"),
                   text8("ext_ex_stack", "at x"), text8("ext_app_id", "a")]),
        ("PartB", [text16("_typeName", "Log"), text16("severityText", "Error"), small("severityNumber", 17)]),
    )  # fmt: skip
    assert item.content == LogItem(
        TIME, severity_number=17, severity_text="Error",
        attributes={
            "exception.type": "System.Exception", "exception.message": "oh", "exception.stacktrace": "at x",
            "ext_app_id": "a",
        },
    )  # fmt: skip


def test_the_first_rust_releases(tmp_path: Path) -> None:
    """0.1 to 0.7: a level in the place of the severity, FILETIME, bytes of the newer type; order A, C, B."""
    item = item_of(
        tmp_path, "my-event", ("__csver__", (InType.UINT16 | 0x80, OutType.HEX), b"\1\4"),
        ("PartA", [filetime("time")]),
        ("PartC", [("data", (InType.BINARYC,), b"\2\0\1\2")]),
        ("PartB", [text8("_typeName", "Logs"), text8("body", "hi"), small("severityNumber", 3),
                   text8("severityText", "WARN"), text8("name", "my")]),
    )  # fmt: skip
    assert item.content == LogItem(
        TIME,
        severity_number=13,
        severity_text="WARN",
        body="hi",
        event_name="my",
        attributes={"data": b"\1\2"},
    )


def test_release_0_8_of_the_rust_logs(tmp_path: Path) -> None:
    """Its times end in an offset; role and instance stand directly in PartA."""
    item = item_of(
        tmp_path, "Log", CSVER,
        ("PartA", [text8("role", "svc"), text8("roleInstance", "i"),
                   text8("time", "2026-03-11T14:34:56.789012300+02:00")]),
        ("PartB", [text8("_typeName", "Log"), ("severityNumber", (InType.INT16,), b"\x11\0")]),
    )  # fmt: skip
    assert item.content == LogItem(TIME, severity_number=17, service_name="svc", service_instance_id="i")


def _field(number: int, data: bytes) -> bytes:
    """A length-delimited field whose length is padded to four bytes, as Geneva writes it."""
    size = len(data)
    padded = bytes([size & 0x7F | 0x80, size >> 7 & 0x7F | 0x80, size >> 14 & 0x7F | 0x80, size >> 21 & 0x7F])
    return bytes([number << 3 | 2]) + padded + data


def _fixed(number: int, value: int) -> bytes:
    return bytes([number << 3 | 1]) + struct.pack("<Q", value)


def test_padded_and_unpacked_protobuf(tmp_path: Path) -> None:
    """Geneva's serializer reserves room for lengths and writes numbers one by one: any parser reads it."""
    doubles = b"".join(bytes([7 << 3 | 1]) + struct.pack("<d", bound) for bound in (0.5, 5.0))
    counts = b"".join(_fixed(6, count) for count in (1, 2, 3))
    attribute = _field(9, _field(1, b"k") + _field(2, _field(1, b"v")))
    point = attribute + _fixed(3, TIME) + _fixed(4, 6) + b"\x29" + struct.pack("<d", 9.5) + counts + doubles
    histogram = _field(1, point) + b"\x10\x01"
    scope = _field(1, _field(1, b"meter"))
    metric = _field(2, _field(1, b"latency") + _field(9, histogram))
    request = _field(1, _field(2, scope + metric))
    (event,) = events_of(tmp_path, event_record(T0, request, provider=METRICS_PROVIDER_ID, event_id=81))
    (item,) = items_of(event)
    assert item.problems == ()
    assert item.content == MetricPoint(
        TIME, "latency", "histogram", temporality="delta", count=6, sum=9.5, explicit_bounds=(0.5, 5.0),
        bucket_counts=(1, 2, 3), attributes={"k": "v"}, scope_name="meter",
    )  # fmt: skip


def test_an_exponential_histogram_of_one_side(tmp_path: Path) -> None:
    """Geneva leaves the negative side out; schema URLs of resource and scope are kept where there are any."""
    positive = _field(8, b"\x08\x02" + b"\x10\x01\x10\x03")
    point = _fixed(3, TIME) + _fixed(4, 4) + b"\x30\x02" + positive
    metric = _field(2, _field(1, b"e") + _field(10, _field(1, point) + b"\x10\x02"))
    request = _field(1, _field(2, metric + _field(3, b"scope:url")) + _field(3, b"resource:url"))
    (event,) = events_of(tmp_path, event_record(T0, request, provider=METRICS_PROVIDER_ID, event_id=81))
    (item,) = items_of(event)
    point_found = item.content
    assert isinstance(point_found, MetricPoint)
    assert (point_found.positive, point_found.negative) == (Buckets(1, (1, 3)), None)
    assert (point_found.scope_schema_url, point_found.resource_schema_url) == ("scope:url", "resource:url")
