"""The plain encoder of spans: spec/otel-on-etw.md section 3.2, field by field, and the extended members."""

from __future__ import annotations

from otel_etw.layouts.common_schema import names
from otel_etw.layouts.common_schema.drafting import DEFAULT_MAX_EVENT_BYTES, Draft, Member, fitted_event
from otel_etw.layouts.common_schema.record import LinkFields, ResourceFacts, SpanFields
from otel_etw.layouts.encoded import EncodedEvent
from otel_etw.layouts.plain_text import text_of
from otel_etw.layouts.times import time_text
from otel_etw.tracelogging.types import EventDescriptor, OutType

_NO_FACTS = ResourceFacts()


def encode_span(
    span: SpanFields,
    facts: ResourceFacts | None = None,
    *,
    event_name: str = "Span",
    keyword: int = 1,
    level: int = 5,
    extended: bool = False,
    max_event_bytes: int = DEFAULT_MAX_EVENT_BYTES,
    mark_utf8: bool = False,
) -> EncodedEvent:
    """The event of an ended span, with metadata and payload of at most ``max_event_bytes`` together.

    ``extended`` adds to PartC what the reference's event has no field for; the rest is as for
    :func:`~otel_etw.layouts.common_schema.encode_log`.
    """
    resource = facts or _NO_FACTS
    return fitted_event(
        EventDescriptor(level=level, keyword=keyword),
        event_name,
        lambda draft: _write(draft, span, resource, extended),
        max_event_bytes=max_event_bytes,
        mark_utf8=mark_utf8,
        kind="span",
    )


def _write(draft: Draft, span: SpanFields, resource: ResourceFacts, extended: bool) -> None:
    with draft.builder.struct("PartA"):
        draft.add_fixed_text("time", time_text(span.end_time_unix_nano).encode("ascii"))
        draft.write_trace_context(span.trace_id, span.span_id)
        draft.write_cloud(resource)
    well_known, others = _split_well_known(span)
    draft.write_part_c([*resource.chosen, *others], _extended_facts(span) if extended else ())
    _write_part_b(draft, span, well_known)


def _write_part_b(draft: Draft, span: SpanFields, well_known: dict[str, object]) -> None:
    builder = draft.builder
    with builder.struct("PartB"):
        draft.add_fixed_text("_typeName", b"Span")
        draft.add_text("name", text_of(span.name), OutType.UTF8)
        builder.add_u8("kind", span.kind if 0 <= span.kind <= 0xFF else 0)
        draft.add_fixed_text("startTime", time_text(span.start_time_unix_nano).encode("ascii"))
        if span.parent_span_id:
            builder.add_str8("parentId", b"%016x" % (span.parent_span_id & (2**64 - 1)), OutType.UTF8)
        if span.links:
            draft.add_json("links", "[]", [_link_text(link) for link in span.links], OutType.UTF8)
        if span.is_error and span.status_description:
            draft.add_text("statusMessage", text_of(span.status_description), OutType.UTF8)
        for key, name in names.WELL_KNOWN.items():
            if key in well_known:
                draft.add(name, well_known[key])
        builder.add_u8("success", 0 if span.is_error else 1, OutType.BOOLEAN)


def _link_text(link: LinkFields) -> str:
    span_id, trace_id = link.span_id & (2**64 - 1), link.trace_id & (2**128 - 1)
    return f'{{"toSpanId":"{span_id:016x}","toTraceId":"{trace_id:032x}"}}'


def _split_well_known(span: SpanFields) -> tuple[dict[str, object], list[Member]]:
    """The attributes that have a field in PartB, and the others in their order."""
    well_known: dict[str, object] = {}
    others: list[Member] = []
    for key, value in span.attributes.items():
        text = text_of(key)
        if text in names.WELL_KNOWN and text not in well_known:
            well_known[text] = value
        else:
            others.append((text, value))
    return well_known, others


def _extended_facts(span: SpanFields) -> list[Member]:
    """What of the span has no field in the reference's event; nothing for what says nothing."""
    facts: list[Member] = [
        (names.STATUS_CODE, "OK" if span.status_is_ok and not span.is_error else ""),
        (names.TRACE_STATE, span.trace_state),
        (names.TRACE_FLAGS, int(span.trace_flags)),
        (names.PARENT_IS_REMOTE, span.parent_is_remote),
        (names.DROPPED_ATTRIBUTES, span.dropped_attributes),
        (names.DROPPED_EVENTS, span.dropped_events),
        (names.DROPPED_LINKS, span.dropped_links),
        (names.SCOPE_NAME, span.scope_name),
        (names.SCOPE_VERSION, span.scope_version),
        (names.SCOPE_SCHEMA_URL, span.scope_schema_url),
        (names.SCOPE_ATTRIBUTES, span.scope_attributes),
        (
            names.LINKS,
            [fact for fact in map(_link_fact, range(len(span.links)), span.links) if len(fact) > 1],
        ),
    ]
    return [fact for fact in facts if fact[1]]


def _link_fact(index: int, link: LinkFields) -> dict[str, object]:
    """A link's index and what of it is not in PartB."""
    fact: dict[str, object] = {"index": index}
    if link.attributes:
        fact["attributes"] = link.attributes
    if link.dropped_attributes:
        fact["dropped_attributes_count"] = link.dropped_attributes
    if link.trace_state:
        fact["trace_state"] = link.trace_state
    return fact
