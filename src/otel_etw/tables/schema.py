"""The four tables, written down once: columns, Arrow types, and what each column says.

``docs/tables.md`` is made from this module.  Columns hold null where an event does not carry the fact; only
``time`` is never null.  Open-ended parts are JSON text (Arrow's ``arrow.json``), by the convention of
:mod:`otel_etw.tables.json_values`.
"""

from __future__ import annotations

from typing import NamedTuple

import pyarrow as pa

LOGS = "logs"
SPANS = "spans"
METRIC_POINTS = "metric_points"
EVENTS = "events"
TABLES = (LOGS, SPANS, METRIC_POINTS, EVENTS)

TIME_TYPE = pa.timestamp("ns", "UTC")
JSON_TYPE = pa.json_(pa.string())
NAME_TYPE = pa.dictionary(pa.int32(), pa.string())
"""Text that few distinct values share: it takes four bytes a row."""


class Column(NamedTuple):
    """One column of a table; ``doc`` is what the reference page says of it."""

    name: str
    type: pa.DataType
    doc: str


_TIME = TIME_TYPE
_TEXT = pa.string()
_JSON = JSON_TYPE
_NAME = NAME_TYPE
_DOUBLE = pa.float64()
_COUNTS = pa.list_(pa.uint64())

_TAIL = (
    Column("provider", _NAME, "name of the ETW provider, where the event or the file says it"),
    Column("provider_id", _NAME, "GUID of the provider, lower case"),
    Column(
        "level", pa.uint8(), "ETW level: 1 critical, 2 error, 3 warning, 4 information, 5 verbose, 0 always"
    ),
    Column("keyword", pa.uint64(), "ETW keyword, a bit mask"),
    Column("process_id", pa.uint32(), "process that wrote the event"),
    Column("thread_id", pa.uint32(), "thread that wrote the event (a batch processor's, if there was one)"),
    Column("file", _NAME, "trace file the row comes from"),
    Column("problems", _TEXT, "what could not be decoded, in words; null if nothing"),
)
_SERVICE = (
    Column("service_name", _TEXT, "resource attribute `service.name`"),
    Column("service_instance_id", _TEXT, "resource attribute `service.instance.id`"),
)
_CUT = Column("truncated", _JSON, "what the exporter cut: field name to its length in bytes before")
_ETW_EVENT = Column("etw_event", _NAME, "name of the ETW event")
_SCOPE = (
    Column("scope_name", _TEXT, "name of the instrumentation scope"),
    Column("scope_version", _TEXT, "version of the instrumentation scope"),
    Column("scope_schema_url", _TEXT, "schema URL of the instrumentation scope"),
    Column("scope_attributes", _JSON, "attributes of the instrumentation scope"),
)

_COLUMNS: dict[str, tuple[Column, ...]] = {
    LOGS: (
        Column("time", _TIME, "time of the log record"),
        Column("observed_time", _TIME, "time at which it reached ETW"),
        Column(
            "severity_number", pa.int32(), "1 to 24, higher is worse: 9 INFO, 13 WARN, 17 ERROR, 21 FATAL"
        ),
        Column("severity_text", _TEXT, "severity as the application's logging library names it"),
        Column("body", _TEXT, "body as text; lists and maps as JSON"),
        Column("body_type", _NAME, "`string`, `int`, `double`, `bool`, `bytes` (base64 in `body`) or `json`"),
        Column("event_name", _TEXT, "the log record's own event name"),
        Column("event_id", pa.int64(), "attribute `event_id` of the record, where it was an integer"),
        Column("trace_id", _TEXT, "32 lower-case hexadecimal digits"),
        Column("span_id", _TEXT, "16 lower-case hexadecimal digits"),
        Column(
            "attributes", _JSON, "attributes of the record, and resource attributes chosen at the exporter"
        ),
        Column("scope_name", _TEXT, "name of the instrumentation scope or logger, where the event says it"),
        *_SERVICE,
        _CUT,
        _ETW_EVENT,
        *_TAIL,
    ),
    SPANS: (
        Column("time", _TIME, "end of the span, as `end_time`"),
        Column("start_time", _TIME, "start of the span"),
        Column("end_time", _TIME, "end of the span"),
        Column(
            "duration_ns", pa.int64(), "from start to end in nanoseconds; negative if the clock was set back"
        ),
        Column("name", _TEXT, "name of the span"),
        Column("kind", _NAME, "`internal`, `server`, `client`, `producer` or `consumer`"),
        Column("trace_id", _TEXT, "32 lower-case hexadecimal digits"),
        Column("span_id", _TEXT, "16 lower-case hexadecimal digits"),
        Column("parent_span_id", _TEXT, "span id of the parent; null for a root span"),
        Column("status", _NAME, "`unset`, `ok` or `error`; null where the event does not tell unset from ok"),
        Column("status_message", _TEXT, "description of the status"),
        Column("success", pa.bool_(), "false if the status is error"),
        Column("trace_state", _TEXT, "as the W3C header has it"),
        Column("trace_flags", pa.uint32(), "W3C trace flags"),
        Column("parent_is_remote", pa.bool_(), "whether the parent is in another process"),
        Column("attributes", _JSON, "attributes, under OpenTelemetry's own keys"),
        Column("links", _JSON, "links: list of objects with `trace_id`, `span_id` and what else is known"),
        Column("dropped_attributes", pa.int64(), "how many attributes the SDK dropped"),
        Column("dropped_events", pa.int64(), "how many span events the SDK dropped"),
        Column("dropped_links", pa.int64(), "how many links the SDK dropped"),
        *_SCOPE,
        *_SERVICE,
        _CUT,
        _ETW_EVENT,
        *_TAIL,
    ),
    METRIC_POINTS: (
        Column("time", _TIME, "time of the data point"),
        Column("start_time", _TIME, "start of the interval it covers"),
        Column("metric_name", _TEXT, "name of the metric"),
        Column("description", _TEXT, "description of the metric"),
        Column("unit", _TEXT, "unit of the metric"),
        Column("kind", _NAME, "`gauge`, `sum`, `histogram`, `exponential_histogram` or `summary`"),
        Column("temporality", _NAME, "`delta` or `cumulative`; null where the kind has none"),
        Column("is_monotonic", pa.bool_(), "of sums: whether the value only rises"),
        Column("value", _DOUBLE, "value of a gauge or sum, integers too"),
        Column("int_value", pa.int64(), "the same in full, where it is an integer"),
        Column("count", pa.uint64(), "of histograms and summaries: how many measurements"),
        Column("sum", _DOUBLE, "their sum"),
        Column("min", _DOUBLE, "the least of them"),
        Column("max", _DOUBLE, "the greatest of them"),
        Column("explicit_bounds", pa.list_(_DOUBLE), "n bounds for n + 1 `bucket_counts`"),
        Column("bucket_counts", _COUNTS, "measurements per bucket"),
        Column("scale", pa.int32(), "scale of an exponential histogram: its base is 2 ** (2 ** -scale)"),
        Column("zero_count", pa.uint64(), "measurements around zero"),
        Column("zero_threshold", _DOUBLE, "what counts as zero"),
        Column("positive_offset", pa.int32(), "bucket index of the first of `positive_counts`"),
        Column("positive_counts", _COUNTS, "measurements per positive bucket"),
        Column("negative_offset", pa.int32(), "bucket index of the first of `negative_counts`"),
        Column("negative_counts", _COUNTS, "measurements per negative bucket"),
        Column("quantiles", _JSON, "of summaries: list of [quantile, value]"),
        Column("exemplars", _JSON, "list of objects with `time_unix_nano`, `value`, ids and attributes"),
        Column("attributes", _JSON, "attributes of the data point"),
        Column("flags", pa.uint32(), "flags of the data point: 1 means that no value was recorded"),
        *_SCOPE,
        Column("resource", _JSON, "attributes of the resource"),
        Column("resource_schema_url", _TEXT, "schema URL of the resource"),
        *_SERVICE,
        *_TAIL,
    ),
    EVENTS: (
        Column("time", _TIME, "time of the event"),
        Column("event_name", _NAME, "name of the event, where it or the file says it"),
        Column("signal", _NAME, "what the event holds: `logs`, `spans`, `metrics`, or `events` for neither"),
        Column("kind", _NAME, "form of the record: `event_header64`, `perfinfo64`, `system32` ..."),
        Column("id", pa.uint16(), "id of the event (0 for TraceLogging)"),
        Column("version", pa.uint8(), "version of the event"),
        Column("channel", pa.uint8(), "11 for TraceLogging"),
        Column("opcode", pa.uint8(), "1 start, 2 stop, or the provider's own"),
        Column("task", pa.uint16(), "task of the event"),
        Column("processor", pa.uint16(), "processor it was written on"),
        Column("activity_id", _TEXT, "GUID of the activity; null if zero"),
        Column("related_activity_id", _TEXT, "GUID of the related activity"),
        Column("fields", _JSON, "fields of an event that is described; of equal names all are there"),
        Column(
            "payload", pa.binary(), "bytes that no field accounts for; all of them for an undescribed event"
        ),
        Column("stack", _COUNTS, "return addresses, innermost first"),
        Column("buffer", pa.int64(), "index of the buffer in the file"),
        Column("offset", pa.int64(), "place of the record in the decompressed buffer, in bytes"),
        *_TAIL,
    ),
}

COLUMNS: dict[str, tuple[Column, ...]] = _COLUMNS
"""Table name -> its columns in order."""


def _schema(columns: tuple[Column, ...]) -> pa.Schema:
    return pa.schema(
        [
            pa.field(name, kind, nullable=name != "time", metadata={b"doc": doc.encode()})
            for name, kind, doc in columns
        ]
    )


SCHEMAS: dict[str, pa.Schema] = {name: _schema(columns) for name, columns in COLUMNS.items()}
"""Table name -> Arrow schema; each field's metadata has ``doc``."""
