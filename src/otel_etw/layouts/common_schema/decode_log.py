"""Decoding of Common Schema log events: today's layout, this project's additions, and older releases.

Tolerated, as spec/otel-on-etw.md section 3.4 has them from the Rust crate's releases:

* 0.1 to 0.7: ``time`` a FILETIME, ``_typeName`` ``Logs``, ``severityNumber`` a u8 that holds the ETW level;
* 0.8 to 0.10: ``role`` and ``roleInstance`` directly in PartA; 0.8: times that end in ``+00:00``.

The .NET Geneva exporter's self-describing logs share the schema, with flat names in PartA, and are read too.
"""

from __future__ import annotations

from otel_etw.layouts.common_schema.names import SEVERITY_OF_LEVEL
from otel_etw.layouts.common_schema.parts import (
    attributes_of,
    find_parts,
    id_in,
    integer_in,
    part_a_attributes,
    part_a_facts,
    part_a_time,
    take_mark,
    text_in,
    value_in,
)
from otel_etw.layouts.items import LogItem
from otel_etw.tracelogging.decode import FieldValue
from otel_etw.tracelogging.types import InType

_TYPE_NAMES = ("Log", "Logs")


def decode_log(values: tuple[FieldValue, ...], fallback_time_unix_nano: int) -> LogItem | None:
    """The log record in an event's values; ``None`` if they are not those of a Common Schema log.

    ``fallback_time_unix_nano`` (the event header's time) stands in where the event has no readable time.
    """
    parts = find_parts(values)
    if parts is None or parts.type_name not in _TYPE_NAMES:
        return None
    part_b = parts.part_b
    attributes = part_a_attributes(parts.part_a)
    attributes.update(attributes_of(parts.part_c))
    truncated = take_mark(attributes)
    facts = part_a_facts(parts.part_a)
    return LogItem(
        time_unix_nano=part_a_time(parts.part_a, fallback_time_unix_nano),
        severity_number=_severity(part_b.get("severityNumber"), is_level=parts.type_name == "Logs"),
        severity_text=text_in(part_b.get("severityText")),
        body=value_in(part_b["body"]) if "body" in part_b else None,
        event_name=text_in(part_b.get("name")),
        event_id=integer_in(part_b.get("eventId")),
        trace_id=id_in(facts.get("traceId")),
        span_id=id_in(facts.get("spanId")),
        service_name=facts.get("role"),
        service_instance_id=facts.get("roleInstance"),
        attributes=attributes,
        truncated=truncated,
    )


def _severity(member: FieldValue | None, is_level: bool) -> int | None:
    number = integer_in(member)
    if number is not None and is_level and member is not None and member.field.in_type == InType.UINT8:
        return SEVERITY_OF_LEVEL.get(number)
    return number
