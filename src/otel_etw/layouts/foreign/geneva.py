"""The .NET Geneva exporter's logs and spans in MessagePack: flat fields with ``env_`` names (section 4.2).

The well-known attributes of spans stand under names of their own (``httpMethod``), as in Common Schema, and
get those that the semantic conventions have for them today.
"""

from __future__ import annotations

from typing import Any

from otel_etw.layouts.common_schema import names
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

_ENVELOPE = {
    *("env_name", "env_ver", "env_time", "env_dt_traceId", "env_dt_spanId"),
    *("env_cloud_role", "env_cloud_roleInstance"),
}
_OF_LOGS = _ENVELOPE | {"severityText", "severityNumber", "name", "body", "eventId"}
_OF_SPANS = _ENVELOPE | {"name", "kind", "startTime", "success", "parentId", "traceState", "statusMessage"}


def item_of_fields(fields: Fields, fallback_time_unix_nano: int) -> LogItem | SpanItem:
    """The log record or span that flat fields are; spans are those with a start time."""
    own, properties = split_properties(fields)
    own_time = time_of(own, "env_time")
    time = fallback_time_unix_nano if own_time is None else own_time
    start = time_of(own, "startTime")
    return _log(own, properties, time) if start is None else _span(own, properties, start, time)


def _log(fields: Fields, properties: Fields, time_unix_nano: int) -> LogItem:
    return LogItem(
        time_unix_nano=time_unix_nano,
        severity_number=integer_of(fields, "severityNumber"),
        severity_text=text_of(fields, "severityText"),
        body=attribute(fields.get("body")),
        event_name=text_of(fields, "name"),
        event_id=integer_of(fields, "eventId"),
        attributes=_attributes(fields, _OF_LOGS, properties),
        **_shared(fields),
    )


def _span(fields: Fields, properties: Fields, start_time_unix_nano: int, end_time_unix_nano: int) -> SpanItem:
    links = links_of(fields.get("links"))
    success = fields.get("success")
    proper = _OF_SPANS if links is None else _OF_SPANS | {"links"}
    well_known = {names.ATTRIBUTE_OF.get(name, name): value for name, value in fields.items()}
    return SpanItem(
        name=text_of(fields, "name") or "",
        start_time_unix_nano=start_time_unix_nano,
        end_time_unix_nano=end_time_unix_nano,
        parent_span_id=id_of(fields, "parentId"),
        kind=names.span_kind(integer_of(fields, "kind")),
        success=success if isinstance(success, bool) else None,
        status="error" if success is False else None,
        status_message=text_of(fields, "statusMessage"),
        links=links or (),
        attributes=_attributes(well_known, proper, properties),
        trace_state=text_of(fields, "traceState") or None,
        **_shared(fields),
    )


def _shared(fields: Fields) -> dict[str, Any]:
    return {
        "trace_id": id_of(fields, "env_dt_traceId"),
        "span_id": id_of(fields, "env_dt_spanId"),
        "service_name": text_of(fields, "env_cloud_role"),
        "service_instance_id": text_of(fields, "env_cloud_roleInstance"),
    }


def _attributes(fields: Fields, proper: set[str], properties: Fields) -> dict[str, Any]:
    attributes = {name: attribute(value) for name, value in properties.items()}
    for name, value in fields.items():
        if name not in proper:
            known_name = names.EXCEPTION_ATTRIBUTES.get(name.removeprefix("env_"), name)
            attributes[known_name] = attribute(value)
    return attributes
