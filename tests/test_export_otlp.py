"""OTLP made of tables: what the SDK's own encoder makes of the same data, in the forms of the file format."""

from __future__ import annotations

import base64
import json
import math
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogsData
from opentelemetry.proto.metrics.v1.metrics_pb2 import MetricsData
from opentelemetry.proto.trace.v1.trace_pb2 import Span, TracesData
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import Exemplar
from opentelemetry.sdk.metrics.export import (
    Buckets,
    ExponentialHistogram,
    ExponentialHistogramDataPoint,
    Gauge,
    Histogram,
    HistogramDataPoint,
)
from opentelemetry.sdk.metrics.export import MetricsData as SdkMetricsData
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    TraceState,
    set_span_in_context,
)

import metric_points
from export_tables import LOG_ROWS, NASTY, POINT_ROWS, SPAN_ID, T0, TRACE_ID, batches, steps
from otel_etw.logs import EtwLogRecordProcessor
from otel_etw.metrics import EtwMetricExporter
from otel_etw.outputs.export.driver import Target, export
from otel_etw.outputs.export.formats import FORMATS, OTLP_TABLES
from otel_etw.outputs.export.otlp_records import MOST_RECORD_BYTES, otlp_json_lines, otlp_proto_records
from otel_etw.outputs.otlp import logs_data, metrics_data, traces_data
from otel_etw.outputs.otlp.json_form import json_object
from otel_etw.outputs.otlp.values import any_value, body_value, parsed
from otel_etw.sessions.embedded import EtlSession
from otel_etw.spans import EtwSpanProcessor
from otel_etw.tables.builders import batch_of_rows
from otel_etw.tables.json_values import json_text
from otel_etw.tables.schema import LOGS, METRIC_POINTS, SCHEMAS, SPANS
from shown_traces import invoke

MESSAGES: dict[str, tuple[str, type[Message]]] = {
    LOGS: ("logs", LogsData),
    SPANS: ("traces", TracesData),
    METRIC_POINTS: ("metrics", MetricsData),
}
RESOURCE = Resource({"service.name": "shop", "service.instance.id": "shop-1"})
ATTRIBUTES: dict[str, Any] = {
    "text": NASTY,
    "whole": 7,
    "largest": 2**63 - 1,
    "double": 1.0,
    "tiny": 1e-300,
    "flag": True,
    "list": [1, 2, 3],
    "texts": ["a", "NaN"],
}


def framed(path: Path, kind: type[Message]) -> list[Any]:
    """The messages of a file of the Collector's format."""
    data, messages = path.read_bytes(), []
    while data:
        (length,) = struct.unpack(">I", data[:4])
        assert len(data) >= 4 + length
        messages.append(kind.FromString(data[4 : 4 + length]))
        data = data[4 + length :]
    return messages


def otlp_of(trace: Path, directory: Path, table: str) -> Any:
    """All of one signal in ``trace`` as one message, by the command line."""
    result = invoke("export", trace, "-o", directory, "--format", "otlp-proto", "--tables", table)
    assert result.exit_code == 0, result.output
    name, kind = MESSAGES[table]
    whole = kind()
    for message in framed(directory / f"{name}.otlp.binpb", kind):
        whole.MergeFrom(message)
    return whole


def by_key(attributes: Any) -> None:
    """Attributes in one order: events have theirs in other places."""
    attributes.sort(key=lambda pair: pair.key)


# --------------------------------------------------------------------------- the same as the SDK's encoder


def test_log_records_are_what_the_sdk_encodes_as_far_as_events_carry_them(tmp_path: Path) -> None:
    """Through a session, a file and the command line: equal to the SDK's own OTLP but for scope and flags."""
    kept = InMemoryLogRecordExporter()
    provider = LoggerProvider(RESOURCE, shutdown_on_exit=False)
    trace = tmp_path / "logs.etl"
    with EtlSession(trace) as session:
        provider.add_log_record_processor(EtwLogRecordProcessor("Test_Shop", session=session))
        provider.add_log_record_processor(SimpleLogRecordProcessor(kept))
        logger = provider.get_logger("")
        bodies = [NASTY, "", 7, -0.5, True, b"\x00\xff", ["a", 1, 2.0], {"free": 0, "reason": "disk"}]
        for index, body in enumerate(bodies):
            logger.emit(
                LogRecord(
                    timestamp=T0 + index,
                    context=set_span_in_context(
                        NonRecordingSpan(SpanContext(int(TRACE_ID, 16), int(SPAN_ID, 16), False))
                    ),
                    severity_number=SeverityNumber.WARN2,
                    severity_text="careful",
                    body=body,
                    attributes={**ATTRIBUTES, "raw": b"\x01\x02", "event_id": 7, "map": {"a": {"b": [1.5]}}},
                    event_name="shop.event",
                )
            )
        provider.shutdown()
    expected = LogsData(resource_logs=encode_logs(kept.get_finished_logs()).resource_logs)
    found = otlp_of(trace, tmp_path / "out", LOGS)
    for data in (expected, found):
        for scope in (scope for of in data.resource_logs for scope in of.scope_logs):
            scope.ClearField("scope")
            for record in scope.log_records:
                record.ClearField("flags")
                record.ClearField("observed_time_unix_nano")
                by_key(record.attributes)
    assert found == expected
    assert len(found.resource_logs[0].scope_logs[0].log_records) == len(bodies)


def test_spans_are_what_the_sdk_encodes_as_far_as_events_carry_them(tmp_path: Path) -> None:
    """Kinds, status, links, scope, trace state and dropped counts go through an extended event and back."""
    kept = InMemorySpanExporter()
    provider = TracerProvider(ALWAYS_ON, RESOURCE, shutdown_on_exit=False)
    trace = tmp_path / "spans.etl"
    with EtlSession(trace) as session:
        provider.add_span_processor(EtwSpanProcessor("Test_Shop", session=session, extended=True))
        provider.add_span_processor(SimpleSpanProcessor(kept))
        tracer = provider.get_tracer("scope", "1.2", "https://example.test/schema", {"build": 7})
        remote = SpanContext(
            int(TRACE_ID, 16), int(SPAN_ID, 16), True, TraceFlags(1), TraceState([("a", "1"), ("b", "2")])
        )
        links = [Link(remote, {"n": 2, "why": "retry"}), Link(remote)]
        for number, kind in enumerate(SpanKind):
            span = tracer.start_span(
                f"work {number}", set_span_in_context(NonRecordingSpan(remote)), kind, ATTRIBUTES, links, T0
            )
            span.set_attribute("http.request.method", "GET")
            span.set_status(
                *((StatusCode.OK,), (StatusCode.ERROR, "declined"), (StatusCode.UNSET,))[number % 3]
            )
            span.end(T0 + 500 + number)
    expected = TracesData(resource_spans=encode_spans(kept.get_finished_spans()).resource_spans)
    found = otlp_of(trace, tmp_path / "out", SPANS)
    assert len(found.resource_spans[0].scope_spans[0].spans) == len(SpanKind)
    for data in (expected, found):
        for span in data.resource_spans[0].scope_spans[0].spans:
            by_key(span.attributes)
            span.flags &= 0x300  # the SDK's encoder leaves the W3C flags out
            for link in span.links:
                link.ClearField("flags")  # events do not have them
                link.ClearField("trace_state")  # the SDK's encoder does not
    assert found == expected


def test_metrics_are_what_the_sdk_encodes(tmp_path: Path) -> None:
    """All kinds that the SDK has, with exemplars, resource and scope: equal but for the order of metrics."""
    exemplars = [Exemplar({"user": "ann"}, 2.5, T0, int(SPAN_ID, 16), int(TRACE_ID, 16))]
    times = {
        "start_time_unix_nano": T0 - 10**9,
        "time_unix_nano": T0,
        "attributes": {"route": "/cart", "n": 1},
    }
    number = metric_points.number
    unset = {"start_time_unix_nano": 0}  # the SDK's encoder leaves it out for gauges
    data = metric_points.metrics_data(
        metric_points.sums(number(3, {"a": "b"}, exemplars), number(-0.5), name="orders"),
        metric_points.metric(Gauge([number(2.0, **unset), number(0, **unset)]), "level", "", ""),
        metric_points.metric(
            Histogram([HistogramDataPoint(**times, count=3, sum=4.5, bucket_counts=[1, 2, 0],
                                          explicit_bounds=[1.0, 2.5], min=0.5, max=2.0, exemplars=exemplars)],
                      metric_points.CUMULATIVE), "duration"),
        metric_points.metric(
            ExponentialHistogram(
                [ExponentialHistogramDataPoint(
                    **times, count=6, sum=100.0, scale=-1, zero_count=1, positive=Buckets(-2, [1, 0, 3]),
                    negative=Buckets(0, [1]), flags=0, min=-4.0, max=64.0, exemplars=[])],
                metric_points.DELTA), "sizes"),
        resource=Resource({"service.name": "shop", "host.cpus": 8}, "https://example.test/resource"),
    )  # fmt: skip
    assert isinstance(data, SdkMetricsData)
    trace = tmp_path / "metrics.etl"
    with EtlSession(trace) as session:
        exporter = EtwMetricExporter(session=session)
        exporter.export(data)
        exporter.shutdown()
    expected = MetricsData(resource_metrics=encode_metrics(data).resource_metrics)
    found = otlp_of(trace, tmp_path / "out", METRIC_POINTS)
    for whole in (expected, found):
        for of_scope in whole.resource_metrics[0].scope_metrics:
            of_scope.ClearField("schema_url")  # events have that of the resource there
            of_scope.metrics.sort(key=lambda metric: metric.name)
    assert found == expected


# --------------------------------------------------------------------------- one row, one message


def test_points_of_all_kinds_keep_every_fact() -> None:
    """Hand-made rows with what the SDK never makes: summaries, points without a value, sums unknown."""
    data = metrics_data(batches()[METRIC_POINTS])
    first, last = data.resource_metrics
    orders, ratio, duration, sizes = first.scope_metrics[0].metrics
    assert [pair.key for pair in first.resource.attributes] == ["service.name", "host.cpus"]
    assert first.schema_url == "https://example.test/resource"
    point = orders.sum.data_points[0]
    assert (point.as_int, orders.sum.is_monotonic, orders.sum.aggregation_temporality) == (
        9007199254740993,
        True,
        1,
    )
    assert [(one.time_unix_nano, one.WhichOneof("value")) for one in point.exemplars] == [
        (T0, "as_int"),
        (5, "as_double"),
    ]
    assert math.isnan(point.exemplars[1].as_double)
    assert point.exemplars[0].trace_id.hex() == TRACE_ID
    given, missing = ratio.gauge.data_points
    assert (given.WhichOneof("value"), given.as_double) == ("as_double", 0.0)
    assert (missing.WhichOneof("value"), missing.flags) == (None, 1)
    histogram = duration.histogram.data_points[0]
    assert (histogram.HasField("min"), histogram.HasField("max")) == (True, False)
    assert (list(histogram.explicit_bounds), list(histogram.bucket_counts)) == ([1.0, 2.5], [1, 2, 0])
    exponential = sizes.exponential_histogram.data_points[0]
    assert (exponential.positive.offset, list(exponential.positive.bucket_counts)) == (-2, [1, 0, 3])
    assert (exponential.scale, exponential.zero_count, exponential.zero_threshold) == (-1, 1, 0.25)
    summary = last.scope_metrics[0].metrics[0].summary.data_points[0]
    assert [(at.quantile, str(at.value)) for at in summary.quantile_values] == [
        (0.0, "1.0"),
        (0.5, "5.5"),
        (1.0, "nan"),
    ]
    assert last.resource.attributes[0].value.string_value == "shop"


def test_span_facts_have_their_places() -> None:
    """Flags say remote or not and keep the W3C byte; a kind and a status not known are unspecified."""
    full, bare = (
        of_scope.spans[0]
        for of_resource in traces_data(batches()[SPANS]).resource_spans
        for of_scope in of_resource.scope_spans
    )
    assert full.flags == 0x301
    assert (full.kind, full.status.code, full.status.message) == (Span.SPAN_KIND_SERVER, 2, "declined")
    assert (full.dropped_attributes_count, full.dropped_events_count, full.dropped_links_count) == (1, 2, 3)
    assert (full.links[0].trace_state, full.links[0].dropped_attributes_count) == ("k=v", 3)
    assert (bare.flags, bare.kind, bare.status.code, bare.trace_id) == (0, Span.SPAN_KIND_UNSPECIFIED, 0, b"")


def test_rows_are_gathered_by_resource_and_scope() -> None:
    """One resource is said once for all its rows, which keep their order."""
    data = logs_data(batches()[LOGS])
    services = [[pair.value.string_value for pair in of.resource.attributes] for of in data.resource_logs]
    assert services[:3] == [["shop", "shop-1"], [], ["shop"]]
    assert sum(len(of.scope_logs[0].log_records) for of in data.resource_logs) == len(LOG_ROWS)
    assert [record.body.string_value for record in data.resource_logs[2].scope_logs[0].log_records] == [
        "",
        "",
    ]


@pytest.mark.parametrize(
    ("text", "kind", "expected"),
    [
        (None, None, None),
        ("", "string", AnyValue(string_value="")),
        ("7", "string", AnyValue(string_value="7")),
        ("7", "int", AnyValue(int_value=7)),
        ("18446744073709551615", "int", AnyValue(string_value="18446744073709551615")),
        ("1.0", "double", AnyValue(double_value=1.0)),
        ("-Infinity", "double", AnyValue(double_value=-math.inf)),
        ("false", "bool", AnyValue(bool_value=False)),
        ("AAH/", "bytes", AnyValue(bytes_value=b"\x00\x01\xff")),
        ("not base64!", "bytes", AnyValue(string_value="not base64!")),
        ("{", "json", AnyValue(string_value="{")),
        ("x", None, AnyValue(string_value="x")),
    ],
)
def test_a_body_has_the_type_that_its_column_says(text: str | None, kind: str | None, expected: Any) -> None:
    """And what is not of that type is a text."""
    assert body_value(text, kind) == expected


@pytest.mark.parametrize("bad", ["", "zz" * 16, TRACE_ID[:-1], TRACE_ID + "00", "\u0661" * 32])
def test_an_id_that_is_none_is_left_out(bad: str) -> None:
    """Receivers refuse a whole message for an id of a wrong length."""
    row = {**LOG_ROWS[0], "trace_id": bad, "span_id": bad}
    record = logs_data(batch_of_rows(LOGS, [row])).resource_logs[0].scope_logs[0].log_records[0]
    assert (record.trace_id, record.span_id) == (b"", b"")


def test_times_and_counts_out_of_range_do_not_stop_an_export() -> None:
    """Before 1970 is no time in OTLP; a count that is negative or too large is none."""
    row = {
        "time": -5,
        "start_time": -(2**62),
        "end_time": 2**62,
        "dropped_links": -1,
        "dropped_events": 2**40,
    }
    span = traces_data(batch_of_rows(SPANS, [row])).resource_spans[0].scope_spans[0].spans[0]
    assert (span.start_time_unix_nano, span.end_time_unix_nano) == (0, 2**62)
    assert (span.dropped_links_count, span.dropped_events_count) == (0, 0)


values = st.recursive(
    st.one_of(
        st.text(max_size=8),
        st.integers(-(2**63), 2**63 - 1),
        st.floats(allow_nan=False, allow_infinity=False),
        st.booleans(),
        st.none(),
        st.binary(max_size=6),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.text(max_size=5).filter(lambda key: key != "$bytes"), inner),
    ),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(values)
def test_attribute_values_come_back_from_json_columns_with_their_types(value: Any) -> None:
    """Text, whole numbers, doubles, flags, bytes, lists and maps, at any depth; 1.0 stays a double."""
    assert any_value(parsed(json_text(value))) == any_value(value)


TEXT = (
    st.none()
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
    | st.sampled_from([TRACE_ID, "{", "[]"])
)
INTEGERS = st.none() | st.integers(-(2**63), 2**63 - 1)


@settings(max_examples=150, deadline=None)
@given(st.data(), st.sampled_from([LOGS, SPANS]))
def test_any_row_has_an_otlp_form(data: st.DataObject, table: str) -> None:
    """Whatever stands in columns of text and numbers, both forms can be made, and one row is one item."""
    row: dict[str, Any] = {"time": data.draw(INTEGERS) or 0}
    for field in SCHEMAS[table]:
        if pa.types.is_int64(field.type) or pa.types.is_timestamp(field.type):
            row.setdefault(field.name, data.draw(INTEGERS))
        elif field.name not in ("links", "scope_attributes") and not pa.types.is_integer(field.type):
            row[field.name] = None if pa.types.is_boolean(field.type) else data.draw(TEXT)
    batch = batch_of_rows(table, [row])
    (line,) = otlp_json_lines(table, batch)
    (record,) = otlp_proto_records(table, batch)
    message = MESSAGES[table][1].FromString(record[4:])
    back = ParseDict(with_base64_ids(json.loads(line)), MESSAGES[table][1]())
    assert back.SerializeToString(deterministic=True) == message.SerializeToString(deterministic=True)


def test_nan_among_attributes_is_taken_for_the_text_that_it_is_written_as() -> None:
    """The convention of JSON columns has one spelling for both; only a text is sure to survive."""
    assert any_value(parsed(json_text(math.nan))) == AnyValue(string_value="NaN")


def test_a_map_that_only_looks_like_bytes_stays_a_map() -> None:
    """``$bytes`` with something else than base64, or beside other members, is the application's."""
    assert parsed('{"$bytes":"!"}') == {"$bytes": "!"}
    assert parsed('{"$bytes":"AA==","x":1}') == {"$bytes": "AA==", "x": 1}
    assert parsed('{"a":{"$bytes":"AA=="}}') == {"a": b"\x00"}


# --------------------------------------------------------------------------- JSON and files


def with_base64_ids(document: Any) -> Any:
    """OTLP's JSON as Protobuf's: ids in base64."""
    if isinstance(document, list):
        return [with_base64_ids(one) for one in document]
    if not isinstance(document, dict):
        return document
    return {
        name: base64.b64encode(bytes.fromhex(value)).decode()
        if name in ("traceId", "spanId", "parentSpanId") and isinstance(value, str)
        else with_base64_ids(value)
        for name, value in document.items()
    }


@pytest.mark.parametrize("table", OTLP_TABLES)
def test_json_says_the_same_as_protobuf(table: str) -> None:
    """Parsed by protobuf's own JSON parser, ids aside, every line is the message it was made of."""
    batch = batches()[table]
    message = {LOGS: logs_data, SPANS: traces_data, METRIC_POINTS: metrics_data}[table](batch)
    (line,) = otlp_json_lines(table, batch)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    back = ParseDict(with_base64_ids(json.loads(line)), MESSAGES[table][1]())
    assert back.SerializeToString(deterministic=True) == message.SerializeToString(deterministic=True)


def test_json_has_the_forms_that_otlp_asks_for() -> None:
    """Lower-camel names, hexadecimal ids, 64-bit integers as text, enums as numbers, bytes in base64."""
    (line,) = otlp_json_lines(SPANS, batches()[SPANS].slice(0, 1))
    span = json.loads(line)["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
    assert (span["traceId"], span["spanId"], span["kind"], span["status"]["code"]) == (
        TRACE_ID,
        SPAN_ID,
        2,
        2,
    )
    assert span["startTimeUnixNano"] == str(T0)
    (line,) = otlp_json_lines(LOGS, batches()[LOGS].slice(0, 1))
    record = json.loads(line)["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0]
    attributes = {pair["key"]: pair["value"] for pair in record["attributes"]}
    assert attributes["big"] == {"intValue": "9223372036854775807"}
    assert attributes["ratio"] == {"doubleValue": 1.0}
    assert b'"doubleValue":1.0' in line
    assert attributes["raw"] == {"bytesValue": "AAEC/w=="}
    assert attributes["event_id"] == {"intValue": "42"}
    assert not {"\x1b", "\u202e"} & set(line.decode())


def test_json_of_numbers_that_json_has_not() -> None:
    """NaN and infinities are texts, as in Protobuf's JSON."""
    (line,) = otlp_json_lines(
        METRIC_POINTS, batch_of_rows(METRIC_POINTS, [{**POINT_ROWS[1], "value": math.nan}])
    )
    assert b'"asDouble":"NaN"' in line


def test_a_directory_gets_a_file_for_each_signal(tmp_path: Path) -> None:
    """Each file has one kind of message, as the file format asks."""
    export(steps(), Target(FORMATS["otlp-json"], tmp_path, is_directory=True), OTLP_TABLES)
    tops = {
        path.name: {key for line in path.read_text("utf-8").splitlines() for key in json.loads(line)}
        for path in tmp_path.iterdir()
    }
    assert tops == {
        "logs.otlp.jsonl": {"resourceLogs"},
        "traces.otlp.jsonl": {"resourceSpans"},
        "metrics.otlp.jsonl": {"resourceMetrics"},
    }


def test_framed_messages_are_all_there(tmp_path: Path) -> None:
    """Each is preceded by its length in four bytes, big endian, to the last byte of the file."""
    export(steps(), Target(FORMATS["otlp-proto"], tmp_path, is_directory=True), OTLP_TABLES)
    messages = framed(tmp_path / "logs.otlp.binpb", LogsData)
    bodies = [message.resource_logs[0].scope_logs[0].log_records[0].body for message in messages]
    assert len(bodies) == len(LOG_ROWS)
    assert bodies[0].string_value == NASTY


def large_logs(rows: int, body_bytes: int) -> Any:
    return batch_of_rows(LOGS, [{"time": T0 + i, "body": f"{i}" + "x" * body_bytes} for i in range(rows)])


@pytest.mark.parametrize(("rows", "body_bytes"), [(40, 60_000), (3, 2_000_000), (2_000, 10)])
def test_no_record_of_several_rows_is_longer_than_a_collector_reads(rows: int, body_bytes: int) -> None:
    """Lines stay below 1 MiB while they can; order and number of rows are kept."""

    def counts(lines: Iterator[bytes]) -> list[int]:
        found = []
        for line in lines:
            records = json.loads(line)["resourceLogs"][0]["scopeLogs"][0]["logRecords"]
            assert len(line) <= MOST_RECORD_BYTES or len(records) == 1
            found += [int(record["timeUnixNano"]) - T0 for record in records]
        return found

    batch = large_logs(rows, body_bytes)
    assert counts(otlp_json_lines(LOGS, batch)) == list(range(rows))
    framed_records = list(otlp_proto_records(LOGS, batch))
    assert all(len(record) <= max(MOST_RECORD_BYTES, body_bytes + 100) for record in framed_records)


def test_the_quick_form_of_attributes_is_the_general_one() -> None:
    """Attributes, the most frequent messages, are written by a shorter way to the same JSON."""
    kinds = [AnyValue(), *map(any_value, ("a", 1, -1.5, True, b"\xff", [1, "b"], {"k": None}))]
    by_hand = [{}, {"stringValue": "a"}, {"intValue": "1"}, {"doubleValue": -1.5}, {"boolValue": True}]
    by_hand += [{"bytesValue": "/w=="}]
    by_hand += [{"arrayValue": {"values": [{"intValue": "1"}, {"stringValue": "b"}]}}]
    by_hand += [{"kvlistValue": {"values": [{"key": "k", "value": {}}]}}]
    assert [json_object(value) for value in kinds] == by_hand
