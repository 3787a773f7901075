"""Items as rows, one at a time: what each column of each table holds. The plain reference. Pure.

The quick decoders of this room make the same columns for many events at once; a property test holds them
equal to this module.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from otel_etw.layouts.items import Buckets, ExemplarItem, LinkItem, LogItem, MetricPoint, SpanItem
from otel_etw.tables.items import Item
from otel_etw.tables.json_values import encodable, json_text, json_value
from otel_etw.tracelogging.decode import FieldValue

if TYPE_CHECKING:
    from otel_etw.etl.event import Event

Row = dict[str, Any]
"""Column name -> value; times are Unix nanoseconds, JSON columns text, GUIDs text."""

_I64 = (-(1 << 63), (1 << 63) - 1)
_U64 = (0, (1 << 64) - 1)
_I32 = (-(1 << 31), (1 << 31) - 1)
_U32 = (0, (1 << 32) - 1)


def log_row(item: Item, log: LogItem) -> Row:
    """A row of ``logs``."""
    body, body_type = body_text(log.body)
    return {
        "time": _time(log.time_unix_nano),
        "observed_time": _time(item.event.timestamp_ns),
        "severity_number": _within(log.severity_number, _I32),
        "severity_text": _text(log.severity_text),
        "body": body,
        "body_type": body_type,
        "event_name": _text(log.event_name),
        "event_id": _within(log.event_id, _I64),
        "trace_id": _text(log.trace_id),
        "span_id": _text(log.span_id),
        "attributes": json_text(log.attributes),
        "scope_name": _text(log.scope_name),
        **_service(log),
        "truncated": _json_unless_empty(log.truncated),
        "etw_event": _text(item.event.name),
        **_tail(item),
    }


def span_row(item: Item, span: SpanItem) -> Row:
    """A row of ``spans``."""
    end = _time(span.end_time_unix_nano)
    return {
        "time": end,
        "start_time": _time(span.start_time_unix_nano),
        "end_time": end,
        "duration_ns": _duration(_time(span.start_time_unix_nano), end),
        "name": _text(span.name),
        "kind": _text(span.kind),
        "trace_id": _text(span.trace_id),
        "span_id": _text(span.span_id),
        "parent_span_id": _text(span.parent_span_id),
        "status": _text(span.status),
        "status_message": _text(span.status_message),
        "success": span.success,
        "trace_state": _text(span.trace_state),
        "trace_flags": _within(span.trace_flags, _U32),
        "parent_is_remote": span.parent_is_remote,
        "attributes": json_text(span.attributes),
        "links": json_text([_link(link) for link in span.links]) if span.links else None,
        "dropped_attributes": _within(span.dropped_attributes, _I64),
        "dropped_events": _within(span.dropped_events, _I64),
        "dropped_links": _within(span.dropped_links, _I64),
        "scope_name": _text(span.scope_name),
        "scope_version": _text(span.scope_version),
        "scope_schema_url": _text(span.scope_schema_url),
        "scope_attributes": _json_unless_empty(span.scope_attributes),
        **_service(span),
        "truncated": _json_unless_empty(span.truncated),
        "etw_event": _text(item.event.name),
        **_tail(item),
    }


def point_row(item: Item, point: MetricPoint) -> Row:
    """A row of ``metric_points``."""
    value = point.value
    is_integer = isinstance(value, int)
    return {
        "time": _time(point.time_unix_nano),
        "start_time": None if point.start_time_unix_nano is None else _time(point.start_time_unix_nano),
        "metric_name": _text(point.metric_name),
        "description": _text(point.description) or None,
        "unit": _text(point.unit) or None,
        "kind": point.kind,
        "temporality": point.temporality,
        "is_monotonic": point.is_monotonic,
        "value": None if value is None else float(value),
        "int_value": _within(value, _I64) if is_integer else None,
        "count": _within(point.count, _U64),
        "sum": point.sum,
        "min": point.min,
        "max": point.max,
        "explicit_bounds": _list(point.explicit_bounds),
        "bucket_counts": _list(point.bucket_counts),
        "scale": _within(point.scale, _I32),
        "zero_count": _within(point.zero_count, _U64),
        "zero_threshold": point.zero_threshold,
        **_buckets("positive", point.positive),
        **_buckets("negative", point.negative),
        "quantiles": json_text(point.quantiles) if point.quantiles else None,
        "exemplars": json_text([_exemplar(one) for one in point.exemplars]) if point.exemplars else None,
        "attributes": json_text(point.attributes),
        "flags": _within(point.flags, _U32),
        "scope_name": _text(point.scope_name) or None,
        "scope_version": _text(point.scope_version) or None,
        "scope_schema_url": _text(point.scope_schema_url) or None,
        "scope_attributes": _json_unless_empty(point.scope_attributes),
        "resource": json_text(point.resource),
        "resource_schema_url": _text(point.resource_schema_url) or None,
        **_service(point),
        **_tail(item),
    }


def event_row(item: Item) -> Row:
    """A row of ``events``; the item tells the signal."""
    event = item.event
    descriptor = event.descriptor
    values = event.values
    described = event.is_described
    rest = event.trailing if described else event.payload
    return {
        "time": _time(event.timestamp_ns),
        "event_name": _text(event.name),
        "signal": item.signal,
        "kind": event.record_kind,
        "id": descriptor.id,
        "version": descriptor.version,
        "channel": descriptor.channel,
        "opcode": descriptor.opcode,
        "task": descriptor.task,
        "processor": event.processor,
        "activity_id": _id(event.activity_id),
        "related_activity_id": _id(event.related_activity_id),
        "fields": fields_text(values) if described else None,
        "payload": bytes(rest) or None,
        "stack": list(event.stack) or None,
        "buffer": event.buffer,
        "offset": event.offset,
        **_tail(item),
    }


ROWS: dict[type, Callable[[Item, Any], Row]] = {
    LogItem: log_row,
    SpanItem: span_row,
    MetricPoint: point_row,
}
"""By the type of an item's content."""


def body_text(body: object) -> tuple[str | None, str | None]:
    """The columns ``body`` and ``body_type`` of a body of any type."""
    if body is None:
        return None, None
    if isinstance(body, str):
        return encodable(body), "string"
    value = json_value(body)
    if isinstance(body, (bytes, bytearray)):
        return next(iter(value.values())), "bytes"
    if isinstance(value, str):  # NaN and its kin, or a type that has only a text form
        return encodable(value), "double" if isinstance(body, float) else "string"
    kind = {bool: "bool", int: "int", float: "double"}.get(type(value), "json")
    return json_text(body), kind


def fields_text(values: Sequence[FieldValue]) -> str:
    """Decoded fields as a JSON object, those of equal names too; structs are objects."""
    members = (f"{json_text(value.name)}:{_field_text(value.value)}" for value in values)
    return "{" + ",".join(members) + "}"


def _field_text(value: object) -> str:
    if isinstance(value, tuple) and all(isinstance(member, FieldValue) for member in value):
        return fields_text(value)
    if isinstance(value, list):
        return "[" + ",".join(map(_field_text, value)) + "]"
    return json_text(value)


def _tail(item: Item) -> Row:
    event: Event = item.event
    descriptor = event.descriptor
    return {
        "provider": _text(event.provider_name),
        "provider_id": _id(event.provider_id),
        "level": descriptor.level,
        "keyword": descriptor.keyword,
        "process_id": event.process_id,
        "thread_id": event.thread_id,
        "file": item.file,
        "problems": encodable("; ".join(item.problems)) or None,
    }


def _service(item: LogItem | SpanItem | MetricPoint) -> Row:
    return {
        "service_name": _text(item.service_name),
        "service_instance_id": _text(item.service_instance_id),
    }


def _link(link: LinkItem) -> dict[str, Any]:
    facts: dict[str, Any] = {"trace_id": link.trace_id, "span_id": link.span_id}
    if link.attributes:
        facts["attributes"] = link.attributes
    if link.trace_state is not None:
        facts["trace_state"] = link.trace_state
    if link.dropped_attributes is not None:
        facts["dropped_attributes"] = link.dropped_attributes
    return facts


def _exemplar(exemplar: ExemplarItem) -> dict[str, Any]:
    facts: dict[str, Any] = {"time_unix_nano": exemplar.time_unix_nano, "value": exemplar.value}
    if exemplar.trace_id:
        facts["trace_id"] = exemplar.trace_id
    if exemplar.span_id:
        facts["span_id"] = exemplar.span_id
    if exemplar.attributes:
        facts["attributes"] = exemplar.attributes
    return facts


def _buckets(side: str, buckets: Buckets | None) -> Row:
    return {
        f"{side}_offset": None if buckets is None else _within(buckets.offset, _I32),
        f"{side}_counts": None if buckets is None else list(buckets.counts),
    }


def _time(unix_nano: int) -> int:
    """Times that 64 bits of nanoseconds cannot say (before 1677, after 2262) become the nearest that can."""
    return min(max(unix_nano, _I64[0]), _I64[1])


def _duration(start: int, end: int) -> int | None:
    """Null if one of the times is only the nearest that 64 bits can say, or they are too far apart."""
    return None if {start, end} & set(_I64) else _within(end - start, _I64)


def _within(value: float | None, bounds: tuple[int, int]) -> int | None:
    return int(value) if value is not None and bounds[0] <= value <= bounds[1] else None


def _text(text: str | None) -> str | None:
    return text if text is None or text.isascii() else encodable(text)


def _id(guid: object) -> str | None:
    return None if guid is None else str(guid)


def _list(values: Sequence[Any]) -> list[Any] | None:
    return list(values) or None


def _json_unless_empty(members: Mapping[str, Any]) -> str | None:
    return json_text(members) if members else None
