"""Hand-made rows of the four tables, with every awkward value, for the tests of exports."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from otel_etw.tables.builders import batch_of_rows
from otel_etw.tables.schema import EVENTS, LOGS, METRIC_POINTS, SPANS

T0 = 1_773_232_496_789_000_001
"""2026-03-11T12:34:56.789000001Z."""
TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN_ID = "00f067aa0ba902b7"
NASTY = 'comma, "quotes", back\\slash\r\nnew line\ttab \x1b[31m \u202e \x7f \x01 \u00e9\u4e2d\U0001f600'
"""Text that every text format has to take care of."""

_TAIL: dict[str, Any] = {
    "provider": "Test_Shop",
    "provider_id": "fa79a38c-349e-555b-d67a-ca6ce440d416",
    "level": 4,
    "keyword": 0xFFFF_0000_0000_0001,
    "process_id": 4321,
    "thread_id": 77,
    "file": "a.etl",
}

LOG_ROWS: list[dict[str, Any]] = [
    {
        **_TAIL,
        "time": T0,
        "observed_time": T0 + 5,
        "severity_number": 9,
        "severity_text": "INFO",
        "body": NASTY,
        "body_type": "string",
        "event_name": "shop.opened",
        "event_id": 42,
        "trace_id": TRACE_ID,
        "span_id": SPAN_ID,
        "attributes": '{"user":"ann","n":7,"ratio":1.0,"big":9223372036854775807,"ok":true,"none":null,'
        '"raw":{"$bytes":"AAEC/w=="},"list":["a",1,2.5,[true]],"map":{"x":{"y":-1}},"nan":"NaN"}',
        "service_name": "shop",
        "service_instance_id": "shop-1",
        "etw_event": "Log",
    },
    {**_TAIL, "time": T0 + 10**9, "body": "1.0", "body_type": "double", "attributes": "{}"},
    {**_TAIL, "time": T0 + 2 * 10**9, "body": "", "body_type": "string", "service_name": "shop"},
    {
        **_TAIL,
        "time": T0 + 3 * 10**9,
        "body": '{"a":[1,{"b":"c"}]}',
        "body_type": "json",
        "problems": "cut, short",
    },
    {**_TAIL, "time": T0 + 4 * 10**9, "body": "AAEC/w==", "body_type": "bytes", "service_name": "shop"},
    {**_TAIL, "time": T0 + 86_400 * 10**9, "body": "NaN", "body_type": "double", "service_name": "../.."},
    {**_TAIL, "time": T0 + 86_401 * 10**9, "body": "-12", "body_type": "int", "service_name": "a/b c=%é."},
    {
        **_TAIL,
        "time": T0 + 86_402 * 10**9,
        "body": "true",
        "body_type": "bool",
        "level": 2,
        "service_name": "x" * 400,
    },
]

SPAN_ROWS: list[dict[str, Any]] = [
    {
        **_TAIL,
        "time": T0 + 500,
        "start_time": T0,
        "end_time": T0 + 500,
        "duration_ns": 500,
        "name": "GET /cart",
        "kind": "server",
        "trace_id": TRACE_ID,
        "span_id": SPAN_ID,
        "parent_span_id": "b9c7c989f97918e1",
        "status": "error",
        "status_message": "declined",
        "success": False,
        "trace_state": "a=1,b=2",
        "trace_flags": 1,
        "parent_is_remote": True,
        "attributes": '{"http.route":"/cart"}',
        "links": f'[{{"trace_id":"{TRACE_ID}","span_id":"{SPAN_ID}","attributes":{{"why":"retry"}},'
        '"trace_state":"k=v","dropped_attributes":3}]',
        "dropped_attributes": 1,
        "dropped_events": 2,
        "dropped_links": 3,
        "scope_name": "shop",
        "scope_version": "1.0",
        "scope_schema_url": "https://example.test/schema",
        "scope_attributes": '{"build":7}',
        "service_name": "shop",
        "service_instance_id": "shop-1",
        "etw_event": "Span",
    },
    {**_TAIL, "time": T0 + 700, "start_time": T0, "end_time": T0 + 700, "name": "plain", "kind": "17"},
]

_METRIC: dict[str, Any] = {
    **_TAIL,
    "start_time": T0 - 10**9,
    "attributes": '{"route":"/cart"}',
    "flags": 0,
    "scope_name": "meter",
    "scope_version": "2.0",
    "resource": '{"service.name":"shop","host.cpus":8}',
    "resource_schema_url": "https://example.test/resource",
    "service_name": "shop",
}

POINT_ROWS: list[dict[str, Any]] = [
    {
        **_METRIC,
        "time": T0,
        "metric_name": "orders",
        "description": "Orders placed",
        "unit": "{order}",
        "kind": "sum",
        "temporality": "delta",
        "is_monotonic": True,
        "value": 9007199254740993.0,
        "int_value": 9007199254740993,
        "exemplars": f'[{{"time_unix_nano":{T0},"value":3,"trace_id":"{TRACE_ID}","span_id":"{SPAN_ID}",'
        '"attributes":{"user":"ann"}},{"time_unix_nano":5,"value":"NaN"}]',
    },
    {**_METRIC, "time": T0 + 1, "metric_name": "ratio", "kind": "gauge", "value": 0.0},
    {**_METRIC, "time": T0 + 2, "metric_name": "ratio", "kind": "gauge", "flags": 1},
    {
        **_METRIC,
        "time": T0 + 3,
        "metric_name": "duration",
        "unit": "s",
        "kind": "histogram",
        "temporality": "cumulative",
        "count": 3,
        "sum": 4.5,
        "min": 0.5,
        "explicit_bounds": [1.0, 2.5],
        "bucket_counts": [1, 2, 0],
    },
    {
        **_METRIC,
        "time": T0 + 4,
        "metric_name": "sizes",
        "kind": "exponential_histogram",
        "temporality": "delta",
        "count": 6,
        "sum": 100.0,
        "min": -4.0,
        "max": 64.0,
        "scale": -1,
        "zero_count": 1,
        "zero_threshold": 0.25,
        "positive_offset": -2,
        "positive_counts": [1, 0, 3],
        "negative_offset": 0,
        "negative_counts": [1],
    },
    {
        **_METRIC,
        "time": T0 + 5,
        "metric_name": "old",
        "kind": "summary",
        "count": 10,
        "sum": 55.0,
        "quantiles": '[[0.0,1.0],[0.5,5.5],[1.0,"NaN"]]',
        "resource": None,
    },
]

EVENT_ROWS: list[dict[str, Any]] = [
    {
        **_TAIL,
        "time": T0 + 2,
        "event_name": "Paid",
        "signal": "events",
        "kind": "event_header64",
        "id": 0,
        "version": 1,
        "channel": 11,
        "opcode": 0,
        "task": 0,
        "processor": 3,
        "activity_id": "0c50bc0c-e27d-4b4d-8e1f-dc2c1a4b0f9a",
        "fields": '{"amount":12.5,"name":"a","name":"b"}',
        "payload": b"\x00\xff",
        "stack": [1, 0xFFFF_F800_0000_0000],
        "buffer": 1,
        "offset": 72,
    }
]

ROWS = {LOGS: LOG_ROWS, SPANS: SPAN_ROWS, METRIC_POINTS: POINT_ROWS, EVENTS: EVENT_ROWS}


def batches() -> dict[str, pa.RecordBatch]:
    """All rows, as one step of decoding."""
    return {table: batch_of_rows(table, rows) for table, rows in ROWS.items()}


def steps() -> list[dict[str, pa.RecordBatch]]:
    """All rows, as steps of decoding of one row of each table, so that dictionaries differ between them."""
    longest = max(map(len, ROWS.values()))
    return [
        {table: batch_of_rows(table, rows[index : index + 1]) for table, rows in ROWS.items()}
        for index in range(longest)
    ]
