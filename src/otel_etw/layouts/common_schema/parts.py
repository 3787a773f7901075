"""Finding parts A, B and C in the values of an event, and what logs and spans have in common in them.

Everything is found by name, never by position.  Tolerated are a PartB inside PartC, whose count was one too
large, and members of PartC after it at top level, where there were more than 127 (section 5.1).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from otel_etw.layouts.common_schema import names
from otel_etw.layouts.common_schema.names import CSVER, MORE, TRUNCATED
from otel_etw.layouts.json_text import parse_json
from otel_etw.layouts.times import parse_time_text
from otel_etw.tracelogging.decode import FieldValue
from otel_etw.tracelogging.types import InType, OutType
from otel_etw.tracelogging.values import FileTime, SystemTime

Members = tuple[FieldValue, ...]

_PARTS = ("PartA", "PartB", "PartC")
# A JSON object that Geneva puts last in PartC, for the attributes it has no fields for.
_ENV_PROPERTIES = "env_properties"
_PART_A_FACTS = {
    *("time", "ext_dt_traceId", "ext_dt_spanId", "ext_cloud_role", "ext_cloud_roleInstance"),
    *("role", "roleInstance"),
}


class Parts(NamedTuple):
    """The parts of an event: PartC's members with those that stand behind it; PartB by name."""

    part_a: Members
    part_b: dict[str, FieldValue]
    part_c: list[FieldValue]

    @property
    def type_name(self) -> str | None:
        """What PartB calls the event: ``Log``, ``Span``, ..."""
        return text_in(self.part_b.get("_typeName"))


def find_parts(values: Members) -> Parts | None:
    """The parts of a Common Schema event; ``None`` if the values are not those of one."""
    if all(value.name != CSVER for value in values):
        return None
    structs: dict[str, Members] = {}
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
    return Parts(structs.get("PartA", ()), {member.name: member for member in part_b}, part_c + strays)


def part_a_facts(part_a: Members) -> dict[str, str]:
    """``traceId``, ``spanId``, ``role``, ``roleInstance`` as far as known.

    They stand in the structs of today or under the flat names of older and other producers.
    """
    facts: dict[str, str] = {}
    for name, fact in _flat_part_a(part_a):
        text = text_in(fact)
        if text is not None:
            facts[name.removeprefix("ext_dt_").removeprefix("ext_cloud_")] = text
    return facts


def part_a_attributes(part_a: Members) -> dict[str, Any]:
    """What PartA has beside time, ids and service, as attributes.

    The .NET Geneva exporter has an exception there (section 4.2), which OpenTelemetry has names for, and
    what its configuration adds (``iKey``, ``ext_app_id``), which keeps its names.
    """
    return {
        names.EXCEPTION_ATTRIBUTES.get(name.removeprefix("ext_"), name): value_in(member)
        for name, member in _flat_part_a(part_a)
        if name not in _PART_A_FACTS
    }


def _flat_part_a(part_a: Members) -> Iterator[tuple[str, FieldValue]]:
    """PartA's members, those of its structs under flat names."""
    for member in part_a:
        inner = _struct_members(member)
        if inner is None:
            yield member.name, member
        else:
            for fact in inner:
                yield f"{member.name}_{fact.name}", fact


def part_a_time(part_a: Members, fallback_time_unix_nano: int) -> int:
    """PartA's ``time`` in Unix nanoseconds, or the fallback."""
    times = (time_in(member) for member in part_a if member.name == "time")
    return next((time for time in times if time is not None), fallback_time_unix_nano)


def attributes_of(members: Iterable[FieldValue]) -> dict[str, Any]:
    """Members as attributes; those kept in a JSON object (ours, Geneva's) join them."""
    attributes: dict[str, Any] = {}
    for member in members:
        value = value_in(member)
        if member.name == MORE and isinstance(value, dict):
            attributes.update(value)
        elif member.name == _ENV_PROPERTIES and isinstance(member.value, str):
            attributes.update(_json_object(member))
        else:
            attributes[member.name] = value
    return attributes


def take_mark(attributes: dict[str, Any]) -> dict[str, int]:
    """Remove and give what the encoder says it cut; an attribute that only has the name stays."""
    mark = attributes.get(TRUNCATED)
    if not isinstance(mark, dict) or not all(type(length) is int for length in mark.values()):
        return {}
    del attributes[TRUNCATED]
    return mark


def value_in(member: FieldValue) -> Any:
    """A field's value as an attribute value: JSON lists and maps parsed, types of Windows as text."""
    value = member.value
    if isinstance(value, str):
        return _parsed_or_text(value) if member.field.out_type == OutType.JSON else value
    members = _struct_members(member)
    if members is not None:
        return {inner.name: value_in(inner) for inner in members}
    return _plain(value)


def text_in(member: FieldValue | None) -> str | None:
    """The text of a field, ``None`` if it holds none."""
    return member.value if member is not None and isinstance(member.value, str) else None


def integer_in(member: FieldValue | None) -> int | None:
    """The integer of a field, ``None`` if it holds none."""
    value = None if member is None else member.value
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def time_in(member: FieldValue | None) -> int | None:
    """The Unix nanoseconds of a FILETIME or of a time as text."""
    value = None if member is None else member.value
    if isinstance(value, FileTime):
        return value.unix_nano
    return parse_time_text(value) if isinstance(value, str) else None


def id_in(text: str | None) -> str | None:
    """A trace or span id in lower case; all zeros is OpenTelemetry's way to say none."""
    return text.lower() if text and text.strip("0") else None


def _struct_members(value: FieldValue) -> Members | None:
    members = value.value
    return members if value.field.in_type == InType.STRUCT and isinstance(members, tuple) else None


def _json_object(member: FieldValue) -> dict[str, Any]:
    """The members of a JSON object in a text field; the field itself if it holds none."""
    try:
        found = parse_json(str(member.value))
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {member.name: member.value}


def _parsed_or_text(text: str) -> Any:
    try:
        found = parse_json(text)
    except ValueError:
        return text
    return found if isinstance(found, (list, dict)) else text


def _plain(value: object) -> Any:
    if isinstance(value, (FileTime, SystemTime)):
        return value.isoformat()
    if value is None or isinstance(value, (str, int, float, bytes)):
        return value
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, tuple) and all(isinstance(item, FieldValue) for item in value):
        return {item.name: value_in(item) for item in value}
    return str(value)
