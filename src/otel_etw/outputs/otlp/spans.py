"""Rows of ``spans`` as an OTLP ``TracesData``.

What the events carry is there; only this project's own events carry scope, links with attributes, trace
state, flags and dropped counts.  Span events are log records of their own in ETW and stay such.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from opentelemetry.proto.trace.v1.trace_pb2 import (
    ResourceSpans,
    ScopeSpans,
    Span,
    SpanFlags,
    Status,
    TracesData,
)

from otel_etw.outputs.otlp.columns import rows_of
from otel_etw.outputs.otlp.grouping import (
    SCOPE_COLUMNS,
    SERVICE_COLUMNS,
    Groups,
    ScopeKey,
    scope_message,
    service_resource,
)
from otel_etw.outputs.otlp.values import (
    attributes_of,
    key_values_of,
    nanoseconds,
    parsed,
    span_id,
    trace_id,
    within,
)

_KINDS = {
    "internal": Span.SPAN_KIND_INTERNAL,
    "server": Span.SPAN_KIND_SERVER,
    "client": Span.SPAN_KIND_CLIENT,
    "producer": Span.SPAN_KIND_PRODUCER,
    "consumer": Span.SPAN_KIND_CONSUMER,
}
_STATUSES = {"ok": Status.STATUS_CODE_OK, "error": Status.STATUS_CODE_ERROR}
_COLUMNS = (
    "trace_id",
    "span_id",
    "trace_state",
    "parent_span_id",
    "trace_flags",
    "parent_is_remote",
    "name",
    "kind",
    "start_time",
    "end_time",
    "attributes",
    "dropped_attributes",
    "dropped_events",
    "links",
    "dropped_links",
    "status",
    "status_message",
)


def traces_data(batch: pa.RecordBatch) -> TracesData:
    """All rows of ``batch``, gathered by resource and scope, else in their order."""
    data = TracesData()

    def add_resource(service: Any) -> ResourceSpans:
        return data.resource_spans.add(resource=service_resource(service))

    def add_scope(of_resource: ResourceSpans, scope: ScopeKey) -> ScopeSpans:
        return of_resource.scope_spans.add(scope=scope_message(scope), schema_url=scope.schema_url or "")

    groups = Groups(add_resource, add_scope)
    resources = rows_of(batch, SERVICE_COLUMNS)
    scopes = rows_of(batch, SCOPE_COLUMNS)
    for service, scope, facts in zip(resources, scopes, rows_of(batch, _COLUMNS), strict=True):
        groups.of(service, ScopeKey(*scope)).spans.append(_span(*facts))
    return data


def _span(
    trace: str | None,
    span: str | None,
    trace_state: str | None,
    parent_span: str | None,
    trace_flags: int | None,
    parent_is_remote: bool | None,
    name: str | None,
    kind: str | None,
    start_time: int | None,
    end_time: int | None,
    attributes: str | None,
    dropped_attributes: int | None,
    dropped_events: int | None,
    links: str | None,
    dropped_links: int | None,
    status: str | None,
    status_message: str | None,
) -> Span:
    return Span(
        trace_id=trace_id(trace),
        span_id=span_id(span),
        trace_state=trace_state or "",
        parent_span_id=span_id(parent_span),
        flags=_flags(trace_flags, parent_is_remote),
        name=name or "",
        kind=_KINDS.get(kind or "", Span.SPAN_KIND_UNSPECIFIED),
        start_time_unix_nano=nanoseconds(start_time),
        end_time_unix_nano=nanoseconds(end_time),
        attributes=attributes_of(attributes),
        dropped_attributes_count=within(dropped_attributes, 32),
        dropped_events_count=within(dropped_events, 32),
        links=_links(links),
        dropped_links_count=within(dropped_links, 32),
        status=Status(
            code=_STATUSES.get(status or "", Status.STATUS_CODE_UNSET), message=status_message or ""
        ),
    )


def _flags(trace_flags: int | None, parent_is_remote: bool | None) -> int:
    """The W3C flags in the low 8 bits; above them whether the parent is known to be remote or not."""
    flags = within(trace_flags, 32) & SpanFlags.SPAN_FLAGS_TRACE_FLAGS_MASK
    if parent_is_remote is not None:
        flags |= SpanFlags.SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK
    if parent_is_remote:
        flags |= SpanFlags.SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK
    return flags


def _links(text: str | None) -> list[Span.Link]:
    links = parsed(text)
    return [_link(link) for link in links if isinstance(link, dict)] if isinstance(links, list) else []


def _link(link: dict[str, Any]) -> Span.Link:
    return Span.Link(
        trace_id=trace_id(link.get("trace_id")),
        span_id=span_id(link.get("span_id")),
        trace_state=link.get("trace_state") or "",
        attributes=key_values_of(link.get("attributes")),
        dropped_attributes_count=within(link.get("dropped_attributes"), 32),
    )
