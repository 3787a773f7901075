"""Any ETW event as a log record, by the mapping that OpenTelemetry's own ETW receiver documents.

The mapping is not normative.  The body is empty; the event's name is the record's event name; attributes are

=====================  ================================================================================
``etw.provider.id``    the provider's GUID, lower case with hyphens
``etw.event.id``       number
``etw.level``          number, 0 to 255: the severity is made of it and has fewer steps
``etw.opcode``         number
``etw.version``        number
``etw.keywords``       number, 64 bits without sign
``etw.process.id``     number, where the record says it
``etw.thread.id``      number, where the record says it
``etw.activity.id``    GUID, where there is one
the event's fields     under their own names; structs are maps; Windows' own types are text
=====================  ================================================================================

A field does not replace one of the attributes above.  The provider's name, which the mapping has no place
for, is the scope's.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from otel_etw.layouts.common_schema.names import SEVERITY_OF_LEVEL
from otel_etw.layouts.common_schema.parts import value_in
from otel_etw.layouts.items import LogItem
from otel_etw.tracelogging.decode import FieldValue
from otel_etw.tracelogging.types import EventDescriptor

_LEVEL_NAMES = ("LOG_ALWAYS", "CRITICAL", "ERROR", "WARNING", "INFO", "VERBOSE")


def log_of_record(
    descriptor: EventDescriptor,
    values: Iterable[FieldValue] = (),
    *,
    time_unix_nano: int,
    name: str | None = None,
    provider_id: str | None = None,
    provider_name: str | None = None,
    process_id: int | None = None,
    thread_id: int | None = None,
    activity_id: str | None = None,
) -> LogItem:
    """The log record that an event of these facts and field values is; GUIDs are text."""
    facts: dict[str, Any] = {
        "etw.provider.id": provider_id,
        "etw.event.id": descriptor.id,
        "etw.level": descriptor.level,
        "etw.opcode": descriptor.opcode,
        "etw.version": descriptor.version,
        "etw.keywords": descriptor.keyword,
        "etw.process.id": process_id,
        "etw.thread.id": thread_id,
        "etw.activity.id": activity_id,
    }
    facts = {key: fact for key, fact in facts.items() if fact is not None}
    fields = {value.name: value_in(value) for value in values if value.name not in facts}
    level = descriptor.level
    return LogItem(
        time_unix_nano=time_unix_nano,
        severity_number=SEVERITY_OF_LEVEL.get(level),
        severity_text=_LEVEL_NAMES[level] if level < len(_LEVEL_NAMES) else None,
        event_name=name or f"etw.{descriptor.id}",
        scope_name=provider_name,
        attributes={**facts, **fields},
    )
