"""Rows of ``logs`` as an OTLP ``LogsData``.

What the events carry of a record is there: times (the observed one is that of reaching ETW), severity, body
in its own type, event name, ids, attributes, ``service.name`` and ``service.instance.id``.  An event id goes
back to be the attribute ``event_id`` it was.  Events carry neither scope nor trace flags of log records.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, LogsData, ResourceLogs, ScopeLogs

from otel_etw.layouts.otlp_metrics.values import key_value
from otel_etw.outputs.otlp.columns import rows_of
from otel_etw.outputs.otlp.grouping import SERVICE_COLUMNS, Groups, ScopeKey, service_resource
from otel_etw.outputs.otlp.values import attributes_of, body_value, nanoseconds, span_id, trace_id, within

_EVENT_ID = "event_id"
_NO_SCOPE = ScopeKey()
_COLUMNS = (
    *SERVICE_COLUMNS,
    "time",
    "observed_time",
    "severity_number",
    "severity_text",
    "body",
    "body_type",
    "event_name",
    "event_id",
    "trace_id",
    "span_id",
    "attributes",
)


def logs_data(batch: pa.RecordBatch) -> LogsData:
    """All rows of ``batch``, gathered by resource, else in their order."""
    data = LogsData()

    def add_resource(service: Any) -> ResourceLogs:
        return data.resource_logs.add(resource=service_resource(service))

    def add_scope(of_resource: ResourceLogs, _: ScopeKey) -> ScopeLogs:
        return of_resource.scope_logs.add()

    groups = Groups(add_resource, add_scope)
    for name, instance_id, *facts in rows_of(batch, _COLUMNS):
        groups.of((name, instance_id), _NO_SCOPE).log_records.append(_log_record(*facts))
    return data


def _log_record(
    time: int,
    observed_time: int | None,
    severity_number: int | None,
    severity_text: str | None,
    body: str | None,
    body_type: str | None,
    event_name: str | None,
    event_id: int | None,
    trace: str | None,
    span: str | None,
    attributes: str | None,
) -> LogRecord:
    pairs = attributes_of(attributes)
    if event_id is not None:
        pairs.append(key_value(_EVENT_ID, event_id))
    return LogRecord(
        time_unix_nano=nanoseconds(time),
        observed_time_unix_nano=nanoseconds(observed_time),
        severity_number=within(severity_number, 31),  # type: ignore[arg-type]
        severity_text=severity_text or "",
        body=body_value(body, body_type),
        event_name=event_name or "",
        attributes=pairs,
        trace_id=trace_id(trace),
        span_id=span_id(span),
    )
