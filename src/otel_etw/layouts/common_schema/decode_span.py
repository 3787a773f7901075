"""Decoding of Common Schema span events: the Rust crate's, this project's extended ones, and Geneva's.

The .NET Geneva exporter's self-describing spans (section 4.2) have flat names in PartA, times as FILETIME, a
``traceState`` in PartB, and as ``links`` one JSON object with the keys repeated per link.

*Whose attribute is it?*  The members that an extended event has of its own stand behind its attributes, in
one order, each once.  They are taken from the end of PartC for as long as names, types and order are as the
encoder writes them; whatever else bears such a name is an attribute of the application.
"""

from __future__ import annotations

from typing import Any

from otel_etw.layouts.common_schema import names
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
    time_in,
    value_in,
)
from otel_etw.layouts.items import LinkItem, SpanItem
from otel_etw.layouts.link_text import link_ids
from otel_etw.tracelogging.decode import FieldValue

_TYPE_NAME = "Span"

# Fields of PartB that are no attributes.
_PROPER = {"_typeName", "name", "kind", "startTime", "parentId", "statusMessage", "success"}

# What an extended event may have, in its order, and the type of each.
_FACT_TYPES: dict[str, type] = {
    names.STATUS_CODE: str,
    names.TRACE_STATE: str,
    names.TRACE_FLAGS: int,
    names.PARENT_IS_REMOTE: bool,
    names.DROPPED_ATTRIBUTES: int,
    names.DROPPED_EVENTS: int,
    names.DROPPED_LINKS: int,
    names.SCOPE_NAME: str,
    names.SCOPE_VERSION: str,
    names.SCOPE_SCHEMA_URL: str,
    names.SCOPE_ATTRIBUTES: dict,
    names.LINKS: list,
}
_FACT_RANK = {name: rank for rank, name in enumerate(_FACT_TYPES)}


def decode_span(values: tuple[FieldValue, ...], fallback_time_unix_nano: int) -> SpanItem | None:
    """The span in an event's values; ``None`` if they are not those of a Common Schema span.

    ``fallback_time_unix_nano`` (the event header's time) stands in for an end time that is not readable,
    and the end time for such a start time.
    """
    parts = find_parts(values)
    if parts is None or parts.type_name != _TYPE_NAME:
        return None
    part_b = parts.part_b
    members, extended = _split_extended(parts.part_c)
    attributes = part_a_attributes(parts.part_a)
    attributes.update(attributes_of(members))
    truncated = take_mark(attributes)
    links = _links(part_b.get("links"), extended.get(names.LINKS, []))
    attributes.update(_part_b_attributes(part_b, without_links=links is not None))
    facts = part_a_facts(parts.part_a)
    end_time = part_a_time(parts.part_a, fallback_time_unix_nano)
    start_time = time_in(part_b.get("startTime"))
    success = _success(part_b.get("success"))
    return SpanItem(
        name=text_in(part_b.get("name")) or "",
        start_time_unix_nano=end_time if start_time is None else start_time,
        end_time_unix_nano=end_time,
        trace_id=id_in(facts.get("traceId")),
        span_id=id_in(facts.get("spanId")),
        parent_span_id=id_in(text_in(part_b.get("parentId"))),
        kind=names.span_kind(integer_in(part_b.get("kind"))),
        success=success,
        status=_status(success, extended),
        status_message=text_in(part_b.get("statusMessage")),
        links=links or (),
        attributes=attributes,
        trace_state=extended.get(names.TRACE_STATE) or text_in(part_b.get("traceState")) or None,
        trace_flags=extended.get(names.TRACE_FLAGS),
        parent_is_remote=extended.get(names.PARENT_IS_REMOTE),
        dropped_attributes=extended.get(names.DROPPED_ATTRIBUTES),
        dropped_events=extended.get(names.DROPPED_EVENTS),
        dropped_links=extended.get(names.DROPPED_LINKS),
        scope_name=extended.get(names.SCOPE_NAME),
        scope_version=extended.get(names.SCOPE_VERSION),
        scope_attributes=extended.get(names.SCOPE_ATTRIBUTES, {}),
        scope_schema_url=extended.get(names.SCOPE_SCHEMA_URL),
        service_name=facts.get("role"),
        service_instance_id=facts.get("roleInstance"),
        truncated=truncated,
    )


def _split_extended(part_c: list[FieldValue]) -> tuple[list[FieldValue], dict[str, Any]]:
    """PartC's other members, and the facts of an extended event by name."""
    end = len(part_c)
    while end and part_c[end - 1].name in (names.MORE, names.TRUNCATED):
        end -= 1
    start = end
    facts: dict[str, Any] = {}
    rank = len(_FACT_RANK)
    while start:
        name, value = part_c[start - 1].name, value_in(part_c[start - 1])
        if not _is_fact(name, value) or _FACT_RANK[name] >= rank:
            break
        rank = _FACT_RANK[name]
        facts[name] = value
        start -= 1
    return part_c[:start] + part_c[end:], facts


def _is_fact(name: str, value: object) -> bool:
    if type(value) is not _FACT_TYPES.get(name):
        return False
    if name == names.STATUS_CODE:
        return value == "OK"
    if name == names.LINKS:
        return isinstance(value, list) and all(_is_link_fact(fact) for fact in value)
    return True


def _is_link_fact(fact: object) -> bool:
    return (
        isinstance(fact, dict)
        and type(fact.get("index")) is int
        and isinstance(fact.get("attributes", {}), dict)
        and isinstance(fact.get("trace_state", ""), str)
        and type(fact.get("dropped_attributes_count", 0)) is int
    )


def _part_b_attributes(part_b: dict[str, FieldValue], *, without_links: bool) -> dict[str, Any]:
    """The attributes among PartB's fields, under OpenTelemetry's keys; an unknown field keeps its name."""
    others = {"links"} if without_links else set()
    if text_in(part_b.get("traceState")) is not None:
        others.add("traceState")
    return {
        names.ATTRIBUTE_OF.get(name, name): value_in(member)
        for name, member in part_b.items()
        if name not in _PROPER and name not in others
    }


def _links(member: FieldValue | None, facts: list[dict[str, Any]]) -> list[LinkItem] | None:
    """The links in PartB with what an extended event says of them; ``None`` if the field holds no links."""
    if member is None:
        return []
    ids = link_ids(text_in(member))
    if ids is None:
        return None
    fact_of = {fact["index"]: fact for fact in facts}
    links = []
    for index, (trace_id, span_id) in enumerate(ids):
        fact = fact_of.get(index, {})
        links.append(
            LinkItem(
                trace_id,
                span_id,
                fact.get("attributes", {}),
                fact.get("trace_state"),
                fact.get("dropped_attributes_count"),
            )
        )
    return links


def _success(member: FieldValue | None) -> bool | None:
    value = None if member is None else member.value
    return bool(value) if isinstance(value, int) else None


def _status(success: bool | None, extended: dict[str, Any]) -> str | None:
    if success is None:
        return None
    if not success:
        return "error"
    if names.STATUS_CODE in extended:
        return "ok"
    # Only an event that is surely extended would have said OK.
    return "unset" if any(name.startswith("otel_etw.") for name in extended) else None
