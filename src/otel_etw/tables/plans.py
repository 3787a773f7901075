"""What is to be done with the events of each form, worked out once: leaves, JSON objects, items."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from otel_etw.errors import DecodeError
from otel_etw.etl.context import TraceContext
from otel_etw.layouts.common_schema import names
from otel_etw.tables.forms import Description
from otel_etw.tables.json_values import json_text
from otel_etw.tables.kinds import POINTER_BYTES
from otel_etw.tables.leaves import Leaf, Value, leaves_of
from otel_etw.tracelogging.metadata import Field
from otel_etw.tracelogging.provider_id import decode_traits
from otel_etw.tracelogging.types import InType, OutType

_PARTS = ("PartA", "PartB", "PartC")
_FACTS = {
    ("time",): "time",
    ("ext_dt", "traceId"): "traceId",
    ("ext_dt", "spanId"): "spanId",
    ("ext_cloud", "role"): "role",
    ("ext_cloud", "roleInstance"): "roleInstance",
    ("role",): "role",
    ("roleInstance",): "roleInstance",
}
_LOG_FIELDS = {
    "_typeName": (Value.TEXT,),
    "body": (Value.TEXT,),
    "severityNumber": (Value.SIGNED,),
    "severityText": (Value.TEXT,),
    "eventId": (Value.SIGNED,),
    "name": (Value.TEXT,),
}
_SPAN_FIELDS = {
    "_typeName": (Value.TEXT,),
    "name": (Value.TEXT,),
    "kind": (Value.UNSIGNED,),
    "startTime": (Value.TEXT,),
    "parentId": (Value.TEXT,),
    "statusMessage": (Value.TEXT,),
    "success": (Value.BOOL,),
}
_NO_ATTRIBUTES = {names.MORE, names.TRUNCATED, "env_properties"}
_EXTENDED = {
    names.STATUS_CODE,
    names.TRACE_STATE,
    names.TRACE_FLAGS,
    names.PARENT_IS_REMOTE,
    names.DROPPED_ATTRIBUTES,
    names.DROPPED_EVENTS,
    names.DROPPED_LINKS,
    names.SCOPE_NAME,
    names.SCOPE_VERSION,
    names.SCOPE_SCHEMA_URL,
    names.SCOPE_ATTRIBUTES,
    names.LINKS,
}
_SIGNAL_MARKS = (b"__csver__\0", b"_name\0")


@dataclass(frozen=True)
class Member:
    """A member of a JSON object: what stands before its value, and which leaf that is."""

    before: bytes
    leaf: int
    value: Value
    is_attribute: bool
    """Whether lists and maps in a text marked as JSON are such."""


@dataclass(frozen=True)
class JsonPlan:
    """A JSON object of leaves, and what closes it."""

    members: tuple[Member, ...]
    end: bytes

    @cached_property
    def constants(self) -> tuple[bytes, ...]:
        """What stands before each value and behind the last, the quotes of texts included."""
        quotes = [b'"' if member.value is Value.TEXT else b"" for member in self.members]
        befores = [b"", *quotes]
        texts = [*(member.before for member in self.members), self.end]
        return tuple(
            before + text + after for before, text, after in zip(befores, texts, [*quotes, b""], strict=True)
        )

    @cached_property
    def specials(self) -> int:
        """How many bytes with a meaning in JSON the constants have."""
        return sum(map(count_specials, self.constants))


@dataclass(frozen=True)
class ItemPlan:
    """A log record or a span: leaves by the names of the fields, and the attributes."""

    fields: dict[str, int]
    attributes: JsonPlan


@dataclass(frozen=True)
class Plan:
    """All of one form. ``leaves`` is ``None`` where events go to the plain decoder."""

    provider: str | None
    provider_id: str
    event_name: str | None
    leaves: tuple[Leaf, ...] | None
    fields: JsonPlan | None
    log: ItemPlan | None
    span: ItemPlan | None
    may_be_signal: bool
    is_intact: bool = field(default=True)
    """Whether traits and metadata are as they should be; else each event says what is wrong with them."""

    def for_plain_way(self) -> Plan:
        """The same with all events going to the plain decoder, which takes little memory."""
        return replace(self, leaves=None, fields=None, log=None, span=None)


def plan_of(description: Description, context: TraceContext) -> Plan:
    """The plan for the events that have ``description``."""
    provider, intact = None, True
    if description.traits is not None:
        try:
            provider = decode_traits(description.traits).name
        except DecodeError:
            intact = False
    metadata = description.metadata or b""
    schema = context.schema(metadata)
    intact = intact and not schema.problems
    pointer_bytes = int(POINTER_BYTES[description.header_type]) or context.pointer_size
    leaves = leaves_of(schema.metadata.fields, pointer_bytes) if intact else None
    numbered = _Numbered(leaves or [])
    is_common = leaves is not None and bool(leaves) and leaves[0].path == (names.CSVER,)
    return Plan(
        provider,
        str(description.provider_id),
        schema.metadata.name,
        None if leaves is None else tuple(leaves),
        None if leaves is None else _fields_plan(schema.metadata.fields, leaves),
        _item_plan(numbered, _LOG_FIELDS, {}, _NO_ATTRIBUTES) if is_common else None,
        _item_plan(numbered, _SPAN_FIELDS, names.ATTRIBUTE_OF, _NO_ATTRIBUTES | _EXTENDED)
        if is_common
        else None,
        any(mark in metadata for mark in _SIGNAL_MARKS),
        intact,
    )


class _Numbered:
    """Leaves with their numbers, by the part of the Common Schema that they are in."""

    def __init__(self, leaves: list[Leaf]) -> None:
        self.leaves = leaves
        self.parts: dict[str, list[int]] = {}
        self.is_regular = True
        previous = ""
        for number, leaf in enumerate(leaves):
            part = leaf.path[0]
            self.is_regular &= part == previous or part not in self.parts
            self.parts.setdefault(part, []).append(number)
            previous = part


def _item_plan(
    numbered: _Numbered,
    known: Mapping[str, tuple[Value, ...]],
    attribute_of: dict[str, str],
    reserved: set[str],
) -> ItemPlan | None:
    """The plan of a log record or span whose every field is known here; others are for the plain decoder."""
    leaves, parts = numbered.leaves, numbered.parts
    if not numbered.is_regular or set(parts) - {names.CSVER, *_PARTS} or "PartB" not in parts:
        return None
    fields: dict[str, int] = {}
    attributes: dict[str, int] = {}
    for number in parts.get("PartA", ()):
        name = _FACTS.get(leaves[number].path[1:])
        if name is None or name in fields or not _is_text(leaves[number]):
            return None
        fields[name] = number
    for number in parts.get("PartC", ()):
        path = leaves[number].path
        if len(path) != 2 or path[1] in attributes or path[1] in reserved:
            return None
        attributes[path[1]] = number
    for number in parts["PartB"]:
        path = leaves[number].path
        name = path[1] if len(path) == 2 else None
        if name is None or name in fields:
            return None
        if name in known:
            leaf = leaves[number]
            is_wide = leaf.value is Value.UNSIGNED and leaf.width > 4
            if leaf.value not in known[name] or leaf.field.out_type == OutType.JSON or is_wide:
                return None
            fields[name] = number
        else:
            attribute = attribute_of.get(name)
            if attribute is None or attribute in attributes:
                return None
            attributes[attribute] = number
    if "_typeName" not in fields:
        return None
    return ItemPlan(fields, _attributes_plan(attributes, leaves))


def _is_text(leaf: Leaf) -> bool:
    return leaf.value is Value.TEXT and leaf.field.in_type == InType.STR8


def _attributes_plan(attributes: dict[str, int], leaves: list[Leaf]) -> JsonPlan:
    members: list[Member] = []
    before = "{"
    for name, number in attributes.items():
        value = leaves[number].value
        if value is Value.TEXT and leaves[number].field.out_type == OutType.JSON:
            value = Value.OTHER
        members.append(Member(f"{before}{json_text(name)}:".encode(), number, value, is_attribute=True))
        before = ","
    return JsonPlan(tuple(members), b"}" if members else b"{}")


def _fields_plan(fields: tuple[Field, ...], leaves: list[Leaf]) -> JsonPlan:
    """All fields, structs as objects; constants between two values are put before the second."""
    members: list[Member] = []
    pending = ""

    def walk(level: tuple[Field, ...]) -> None:
        nonlocal pending
        pending += "{"
        for position, one in enumerate(level):
            pending += ("," if position else "") + json_text(one.name) + ":"
            if one.in_type == InType.STRUCT:
                walk(one.members)
                continue
            number = len(members)
            members.append(Member(pending.encode(), number, leaves[number].value, is_attribute=False))
            pending = ""
        pending += "}"

    walk(fields)
    return JsonPlan(tuple(members), pending.encode())


def count_specials(text: bytes) -> int:
    """How many bytes there are that mean something in JSON: quotes, backslashes, control characters."""
    return sum(sign < 0x20 or sign in (0x22, 0x5C) for sign in text)
