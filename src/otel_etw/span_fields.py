"""What an ended span of the SDK is to the encoders: plain values, whatever the span holds.

A fact that a span has not, or has of the wrong type, is an unset one; attributes that are no mapping and
links that are none raise, and the caller drops and counts the span.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.trace import Link, SpanContext, StatusCode

from otel_etw.layouts.common_schema import LinkFields, SpanFields
from otel_etw.layouts.common_schema.names import DROPPED_ATTRIBUTES
from otel_etw.layouts.plain_text import text_of

# The container of a span's attributes has a dict inside, which is quicker to read.
_SDK_ATTRIBUTES = BoundedAttributes if isinstance(getattr(BoundedAttributes(), "_dict", None), dict) else None

Ids = tuple[int, int]
"""Trace id and span id; 0 is none."""


def ids_of(context: SpanContext | None) -> Ids:
    """The ids of a span context."""
    return _integer(getattr(context, "trace_id", 0)), _integer(getattr(context, "span_id", 0))


def span_fields(span: ReadableSpan, ids: Ids, *, extended: bool) -> SpanFields:
    """The fields of a span; those that only extended events have are filled in for ``extended``."""
    status = span.status
    code = getattr(status, "status_code", None)
    end_time = end_time_of(span)
    start_time: object = span.start_time
    return SpanFields(
        name=span.name,
        trace_id=ids[0],
        span_id=ids[1],
        start_time_unix_nano=int(start_time) if isinstance(start_time, int) else end_time,
        end_time_unix_nano=end_time,
        parent_span_id=_integer(getattr(span.parent, "span_id", 0)),
        kind=_integer(getattr(span.kind, "value", 0)),
        is_error=code is StatusCode.ERROR,
        status_is_ok=code is StatusCode.OK,
        status_description=getattr(status, "description", None),
        attributes=span.attributes or {},
        links=[_link_fields(link, extended) for link in span.links],
        **(_extended_fields(span) if extended else {}),
    )


QuickFields = tuple[str, int, bool, int, int, int, dict[str, object]]
"""Name, kind, whether it failed, end and start in Unix nanoseconds, parent's id or 0, attributes."""


def quick_fields(span: ReadableSpan) -> QuickFields | None:
    """The same facts of a usual span, without links; ``None`` if it has more to say, or odd ones."""
    status = span.status
    is_error = status.status_code is StatusCode.ERROR
    end, start, parent = span.end_time, span.start_time, span.parent
    if span.links or (is_error and status.description) or type(end) is not int or type(start) is not int:
        return None
    inner = getattr(span, "_attributes", None)
    values: dict[str, Any] = inner._dict if type(inner) is _SDK_ATTRIBUTES else dict(span.attributes or {})
    parent_id = 0 if parent is None else _integer(parent.span_id)
    return span.name, _integer(span.kind.value), is_error, end, start, parent_id, values


def end_time_of(span: ReadableSpan) -> int:
    """When the span ended, in Unix nanoseconds; now if it does not say."""
    end_time: object = span.end_time
    return int(end_time) if isinstance(end_time, int) else time.time_ns()


def event_fields(event: Event, span: ReadableSpan, *, extended: bool) -> tuple[int, str, dict[str, object]]:
    """Time (the span's end if it has none), name and attributes of a span's event."""
    name: object = event.name
    moment: object = event.timestamp
    time_unix_nano = int(moment) if isinstance(moment, int) else end_time_of(span)
    attributes: dict[str, object] = dict(event.attributes or {})
    if extended:
        dropped = _dropped_attributes(event)
        if dropped:
            attributes.setdefault(DROPPED_ATTRIBUTES, dropped)
    return time_unix_nano, name if isinstance(name, str) else text_of(name), attributes


def _link_fields(link: Link, extended: bool) -> LinkFields:
    trace_id, span_id = ids_of(link.context)
    if not extended:
        return LinkFields(trace_id, span_id)
    attributes = link.attributes or {}
    return LinkFields(trace_id, span_id, attributes, _trace_state(link.context), _dropped_attributes(link))


def _extended_fields(span: ReadableSpan) -> dict[str, Any]:
    context, parent, scope = span.context, span.parent, span.instrumentation_scope
    attributes = getattr(scope, "attributes", None)
    return {
        "trace_state": _trace_state(context),
        "trace_flags": _integer(getattr(context, "trace_flags", 0)),
        "parent_is_remote": bool(getattr(parent, "is_remote", False)),
        "dropped_attributes": _integer(span.dropped_attributes),
        "dropped_events": _integer(span.dropped_events),
        "dropped_links": _integer(span.dropped_links),
        "scope_name": text_of(getattr(scope, "name", None) or ""),
        "scope_version": text_of(getattr(scope, "version", None) or ""),
        "scope_schema_url": text_of(getattr(scope, "schema_url", None) or ""),
        "scope_attributes": dict(attributes) if isinstance(attributes, Mapping) else {},
    }


def _dropped_attributes(item: Link | Event) -> int:
    return _integer(getattr(item, "dropped_attributes", 0))


def _trace_state(context: SpanContext | None) -> str:
    """The text of the W3C header; empty if there is none."""
    state = getattr(context, "trace_state", None)
    return text_of(state.to_header()) if state else ""


def _integer(value: object) -> int:
    return int(value) if isinstance(value, int) else 0
