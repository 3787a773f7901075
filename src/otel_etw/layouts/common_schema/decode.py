"""Decoding of Common Schema log events: today's layout, this project's additions, and older releases.

Everything is found by name, never by position.  Tolerated, as spec/otel-on-etw.md sections 3.4 and 5.1 have
them from the Rust crate's releases:

* 0.1 to 0.7: ``time`` a FILETIME, ``_typeName`` ``Logs``, ``severityNumber`` a u8 that holds the ETW level;
* 0.8 to 0.10: ``role`` and ``roleInstance`` directly in PartA; 0.8: times that end in ``+00:00``;
* a PartB inside PartC, whose count was one too large;
* members of PartC after it at top level, where there were more than 127.

The .NET Geneva exporter's self-describing logs share the schema, with flat names in PartA, and are read too.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from otel_etw.layouts.common_schema.names import CSVER, MORE, TRUNCATED
from otel_etw.layouts.items import LogItem
from otel_etw.layouts.json_text import parse_json
from otel_etw.layouts.times import parse_time_text
from otel_etw.tracelogging.decode import FieldValue
from otel_etw.tracelogging.types import InType, OutType
from otel_etw.tracelogging.values import FileTime

_Members = tuple[FieldValue, ...]

_LOG_TYPE_NAMES = ("Log", "Logs")
_SEVERITY_OF_LEVEL = {1: 21, 2: 17, 3: 13, 4: 9, 5: 5}
_PARTS = ("PartA", "PartB", "PartC")
# A JSON object that Geneva puts last in PartC, for the attributes it has no fields for.
_ENV_PROPERTIES = "env_properties"


def decode_log(values: tuple[FieldValue, ...], fallback_time_unix_nano: int) -> LogItem | None:
    """The log record in an event's values; ``None`` if they are not those of a Common Schema log.

    ``fallback_time_unix_nano`` (the event header's time) stands in where the event has no readable time.
    """
    parts = _find_parts(values)
    if parts is None:
        return None
    part_b = {member.name: member for member in parts.part_b}
    type_name = _text(part_b.get("_typeName"))
    if type_name not in _LOG_TYPE_NAMES:
        return None
    attributes = _attributes(parts.attributes)
    truncated = _take_mark(attributes)
    facts = _part_a_facts(parts.part_a)
    return LogItem(
        time_unix_nano=_time(parts.part_a, fallback_time_unix_nano),
        severity_number=_severity(part_b.get("severityNumber"), is_level=type_name == "Logs"),
        severity_text=_text(part_b.get("severityText")),
        body=_value(part_b["body"]) if "body" in part_b else None,
        event_name=_text(part_b.get("name")),
        event_id=_integer(part_b.get("eventId")),
        trace_id=_id(facts.get("traceId")),
        span_id=_id(facts.get("spanId")),
        service_name=facts.get("role"),
        service_instance_id=facts.get("roleInstance"),
        attributes=attributes,
        truncated=truncated,
    )


class _Parts(NamedTuple):
    part_a: _Members
    part_b: _Members
    attributes: list[FieldValue]


def _find_parts(values: _Members) -> _Parts | None:
    if all(value.name != CSVER for value in values):
        return None
    structs: dict[str, _Members] = {}
    strays: list[FieldValue] = []
    for value in values:
        members = _struct_members(value)
        if members is not None and value.name in _PARTS:
            structs.setdefault(value.name, members)
        elif value.name != CSVER:
            strays.append(value)
    part_c = list(structs.get("PartC", ()))
    part_b = structs.get("PartB")
    if part_b is None and part_c and part_c[-1].name == "PartB":
        part_b = _struct_members(part_c.pop())
    if part_b is None:
        return None
    return _Parts(structs.get("PartA", ()), part_b, part_c + strays)


def _part_a_facts(part_a: _Members) -> dict[str, str]:
    """Ids, role and instance, from the structs of today or the flat names of older and other producers."""
    facts: dict[str, str] = {}
    for member in part_a:
        inner = _struct_members(member)
        prefix = "" if inner is None else f"{member.name}_"
        for fact in (member,) if inner is None else inner:
            text = _text(fact)
            if text is not None:
                name = f"{prefix}{fact.name}"
                facts[name.removeprefix("ext_dt_").removeprefix("ext_cloud_")] = text
    return facts


def _time(part_a: _Members, fallback_time_unix_nano: int) -> int:
    for member in part_a:
        if member.name == "time":
            if isinstance(member.value, FileTime):
                return member.value.unix_nano
            parsed = parse_time_text(member.value) if isinstance(member.value, str) else None
            if parsed is not None:
                return parsed
    return fallback_time_unix_nano


def _severity(member: FieldValue | None, is_level: bool) -> int | None:
    number = _integer(member)
    if number is not None and is_level and member is not None and member.field.in_type == InType.UINT8:
        return _SEVERITY_OF_LEVEL.get(number)
    return number


def _attributes(members: Iterable[FieldValue]) -> dict[str, Any]:
    """Members as attributes; those kept in a JSON object (ours, Geneva's) join them."""
    attributes: dict[str, Any] = {}
    for member in members:
        value = _value(member)
        if member.name == MORE and isinstance(value, dict):
            attributes.update(value)
        elif member.name == _ENV_PROPERTIES and isinstance(member.value, str):
            attributes.update(_json_object(member))
        else:
            attributes[member.name] = value
    return attributes


def _json_object(member: FieldValue) -> dict[str, Any]:
    """The members of a JSON object in a text field; the field itself if it holds none."""
    try:
        found = parse_json(str(member.value))
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {member.name: member.value}


def _take_mark(attributes: dict[str, Any]) -> dict[str, int]:
    """Remove and give what the encoder says it cut; an attribute that only has the name stays."""
    mark = attributes.get(TRUNCATED)
    if not isinstance(mark, dict) or not all(type(length) is int for length in mark.values()):
        return {}
    del attributes[TRUNCATED]
    return mark


def _value(member: FieldValue) -> Any:
    """A field's value as an attribute value: JSON lists and maps parsed, types of Windows as text."""
    value = member.value
    if isinstance(value, str):
        return _parsed_or_text(value) if member.field.out_type == OutType.JSON else value
    members = _struct_members(member)
    if members is not None:
        return {inner.name: _value(inner) for inner in members}
    return _plain(value)


def _plain(value: object) -> Any:
    if isinstance(value, FileTime):
        return value.isoformat()
    if value is None or isinstance(value, (str, int, float, bytes)):
        return value
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, tuple) and all(isinstance(item, FieldValue) for item in value):
        return {item.name: _value(item) for item in value}
    return str(value)


def _parsed_or_text(text: str) -> Any:
    try:
        found = parse_json(text)
    except ValueError:
        return text
    return found if isinstance(found, (list, dict)) else text


def _struct_members(value: FieldValue) -> _Members | None:
    members = value.value
    return members if value.field.in_type == InType.STRUCT and isinstance(members, tuple) else None


def _text(member: FieldValue | None) -> str | None:
    return member.value if member is not None and isinstance(member.value, str) else None


def _integer(member: FieldValue | None) -> int | None:
    value = None if member is None else member.value
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _id(text: str | None) -> str | None:
    """A trace or span id in lower case; all zeros is OpenTelemetry's way to say none."""
    return text.lower() if text and text.strip("0") else None
