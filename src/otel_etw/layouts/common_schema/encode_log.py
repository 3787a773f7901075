"""The plain encoder of log records: spec/otel-on-etw.md section 3.1, field by field."""

from __future__ import annotations

from otel_etw.layouts.common_schema.drafting import DEFAULT_MAX_EVENT_BYTES, Draft, Member, fitted_event
from otel_etw.layouts.common_schema.record import SEVERITY_DEBUG, LogFields, ResourceFacts, severity_level
from otel_etw.layouts.common_schema.wire_values import integer_content
from otel_etw.layouts.encoded import EncodedEvent
from otel_etw.layouts.plain_text import text_of
from otel_etw.layouts.times import time_text
from otel_etw.tracelogging.types import EventDescriptor

_NO_FACTS = ResourceFacts()


def encode_log(
    record: LogFields,
    facts: ResourceFacts | None = None,
    *,
    event_name: str = "Log",
    keyword: int = 1,
    max_event_bytes: int = DEFAULT_MAX_EVENT_BYTES,
    mark_utf8: bool = False,
) -> EncodedEvent:
    """The event of a log record, with metadata and payload of at most ``max_event_bytes`` together.

    ``event_name`` is the ETW event's name; NUL in it becomes U+FFFD.  ``mark_utf8`` gives the out-type UTF-8
    to text that otherwise has none.  Raises :class:`EncodeError` only if ``max_event_bytes`` has no room for
    an event at all (below a few hundred bytes).
    """
    resource = facts or _NO_FACTS
    return fitted_event(
        EventDescriptor(level=severity_level(record.severity_number), keyword=keyword),
        event_name,
        lambda draft: _write(draft, record, resource),
        max_event_bytes=max_event_bytes,
        mark_utf8=mark_utf8,
        kind="log record",
    )


def _write(draft: Draft, record: LogFields, resource: ResourceFacts) -> None:
    with draft.builder.struct("PartA"):
        if record.trace_id or record.span_id:
            draft.write_trace_context(record.trace_id, record.span_id)
        draft.write_cloud(resource)
        draft.add_fixed_text("time", time_text(record.time_unix_nano).encode("ascii"))
    event_id, members = _split_event_id(record, resource)
    draft.write_part_c(members)
    _write_part_b(draft, record, event_id)


def _write_part_b(draft: Draft, record: LogFields, event_id: int | None) -> None:
    severity = record.severity_number
    if severity is None or severity < 1:
        severity = SEVERITY_DEBUG
    with draft.builder.struct("PartB"):
        draft.add_fixed_text("_typeName", b"Log")
        if record.body is not None:
            draft.add("body", record.body)
        draft.builder.add_i16("severityNumber", min(severity, 0x7FFF))
        draft.add_optional_text("severityText", record.severity_text)
        if event_id is not None:
            draft.builder.add_i64("eventId", event_id)
        draft.add_optional_text("name", record.event_name)


def _split_event_id(record: LogFields, resource: ResourceFacts) -> tuple[int | None, list[Member]]:
    """The record's integer ``event_id``, and all members of PartC in order: resource first, then record."""
    event_id = None
    members: list[Member] = list(resource.chosen)
    for key, value in record.attributes.items():
        number = integer_content(value) if key == "event_id" else None
        if number is None:
            members.append((text_of(key), value))
        else:
            event_id = number
    return event_id, members
