"""OpenTelemetry C++: events of flat fields beside ``_name``, the event's own name (section 4.1).

=====================  ==========================================================================
``severityNumber``     a log record
``StartTime``          a span, as a whole, at its end
neither                a span event (``AddEvent``), written when it happened
opcode 1 or 2          a marker that a span starts or ends, which is reported as a whole: no item
=====================  ==========================================================================

A span event becomes a log record with an event name, in the context of its span: that is what OpenTelemetry
itself has in place of span events, and the event comes before its span, so that nothing could be added to it.

``Kind`` says *server* of every span and is not believed.  Booleans are numbers in the MessagePack form.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from otel_etw.layouts.common_schema.parts import value_in
from otel_etw.layouts.foreign.fields import (
    Fields,
    attribute,
    id_of,
    integer_of,
    links_of,
    split_properties,
    text_of,
    time_of,
)
from otel_etw.layouts.items import LogItem, SpanItem
from otel_etw.tracelogging.decode import FieldValue
from otel_etw.tracelogging.types import InType, Opcode

EVENT_NAME = "_name"

_COMMON = {EVENT_NAME, "_time", "OpCode", "TraceId", "SpanId"}
_OF_LOGS = _COMMON | {"Name", "Timestamp", "severityText", "severityNumber", "body"}
_OF_SPANS = _COMMON | {
    *("Name", "ParentId", "StartTime", "Duration", "Kind", "StatusCode", "StatusMessage", "Success"),
}
_NO_SEVERITY_TEXT = "INVALID"
_STATUSES = {0: "unset", 1: "ok", 2: "error"}
_SUCCESS = {"True": True, "False": False}


def decode_cpp(
    values: Iterable[FieldValue], fallback_time_unix_nano: int, opcode: int = 0
) -> LogItem | SpanItem | None:
    """The log record or span in a self-describing event's values; ``None`` if they hold none.

    ``fallback_time_unix_nano`` (the event header's time) is the time of what has none of its own;
    ``opcode`` is the event's.
    """
    fields = {}
    for value in values:
        if value.field.in_type == InType.STRUCT:  # this producer writes none
            return None
        fields[value.name] = value_in(value)
    return item_of_fields(fields, fallback_time_unix_nano, opcode)


def item_of_fields(fields: Fields, fallback_time_unix_nano: int, opcode: int) -> LogItem | SpanItem | None:
    """The log record or span that flat fields are, from either encoding."""
    if opcode in (Opcode.START, Opcode.STOP) or text_of(fields, EVENT_NAME) is None:
        return None
    own, properties = split_properties(fields)
    if integer_of(own, "severityNumber") is not None:
        return _log(own, properties, fallback_time_unix_nano)
    start = time_of(own, "StartTime")
    if start is not None:
        return _span(own, properties, start)
    if "SpanId" in own and "TraceId" in own:
        return _span_event(own, properties, fallback_time_unix_nano)
    return None


def _log(fields: Fields, properties: Fields, fallback_time_unix_nano: int) -> LogItem:
    text = text_of(fields, "severityText")
    return LogItem(
        time_unix_nano=_first_time(fields, ("Timestamp", "_time"), fallback_time_unix_nano),
        severity_number=integer_of(fields, "severityNumber") or None,
        severity_text=None if text == _NO_SEVERITY_TEXT else text,
        body=fields.get("body"),
        trace_id=id_of(fields, "TraceId"),
        span_id=id_of(fields, "SpanId"),
        scope_name=text_of(fields, "Name"),
        attributes=_attributes(fields, _OF_LOGS, properties),
    )


def _span(fields: Fields, properties: Fields, start_time_unix_nano: int) -> SpanItem:
    links = links_of(fields.get("Links", properties.get("Links")))
    status = integer_of(fields, "StatusCode")
    return SpanItem(
        name=text_of(fields, "Name") or "",
        start_time_unix_nano=start_time_unix_nano,
        end_time_unix_nano=start_time_unix_nano + (integer_of(fields, "Duration") or 0),
        trace_id=id_of(fields, "TraceId"),
        span_id=id_of(fields, "SpanId"),
        parent_span_id=id_of(fields, "ParentId"),
        success=_SUCCESS.get(str(fields.get("Success"))),
        status=None if status is None else _STATUSES.get(status),
        status_message=text_of(fields, "StatusMessage") or None,
        links=links or (),
        attributes=_attributes(fields, _OF_SPANS, properties, without=() if links is None else ("Links",)),
    )


def _span_event(fields: Fields, properties: Fields, fallback_time_unix_nano: int) -> LogItem:
    return LogItem(
        time_unix_nano=_first_time(fields, ("_time",), fallback_time_unix_nano),
        event_name=text_of(fields, EVENT_NAME),
        trace_id=id_of(fields, "TraceId"),
        span_id=id_of(fields, "SpanId"),
        attributes=_attributes(fields, _COMMON, properties),
    )


def _first_time(fields: Fields, names: Iterable[str], fallback_time_unix_nano: int) -> int:
    times = (time_of(fields, name) for name in names)
    return next((time for time in times if time is not None), fallback_time_unix_nano)


def _attributes(
    fields: Fields, proper: set[str], properties: Fields, without: Collection[str] = ()
) -> dict[str, Any]:
    """The fields that are none of the event's ``proper`` ones, and the ``properties``, but ``without``."""
    attributes = {name: attribute(value) for name, value in properties.items()}
    attributes.update((name, attribute(value)) for name, value in fields.items() if name not in proper)
    for name in without:
        attributes.pop(name, None)
    return attributes
