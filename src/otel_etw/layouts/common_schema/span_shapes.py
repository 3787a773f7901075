"""Ended spans of one shape, by a function generated for that shape; see :mod:`.shapes` for how and why.

A span's shape is its event's name and level, its kind, whether it failed and has a parent, and the keys and types
of its attributes; what is left per span is the name, two times, the ids and the attribute values.  Links,
descriptions of failures and extended events are left to the plain encoder (:mod:`.encode_span`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from otel_etw.errors import EncodeError
from otel_etw.layouts.common_schema.activity import ActivityId, activity_id
from otel_etw.layouts.common_schema.encode_span import encode_span
from otel_etw.layouts.common_schema.names import WELL_KNOWN
from otel_etw.layouts.common_schema.record import ResourceFacts, SpanFields
from otel_etw.layouts.common_schema.shape_code import (
    IDS_BYTES,
    KINDS,
    MAX_CONSTANT_BYTES,
    MAX_MEMBERS,
    ShapeEncoder,
    ValueKind,
    counted,
    function_source,
    text_bytes,
)
from otel_etw.layouts.times import time_text

SpanEmit = Callable[[int, int, int, int, int, object, Mapping[str, object]], int]
"""``(end and start in Unix nanoseconds, trace, span and parent id, name, values) -> status``; see ``Emit``."""


class SpanShape(NamedTuple):
    """What the spans of one shape have in common. ``kinds`` are the exact types of the attribute values."""

    etw_event_name: str
    level: int
    kind: int
    is_error: bool
    has_parent: bool
    keys: tuple[str, ...]
    name_kind: type
    kinds: tuple[type, ...]


_VERSION_BYTES = 2
_TIME_BYTES = len(counted(time_text(0).encode()))
_TYPE_NAME = counted(b"Span")
_KIND_BYTES = 1
_PARENT_BYTES = len(counted(bytes(16)))
_SUCCESS_BYTES = 1


def span_encoder(
    shape: SpanShape,
    facts: ResourceFacts,
    *,
    keyword: int = 1,
    mark_utf8: bool = False,
    activity: ActivityId | None = None,
) -> ShapeEncoder | None:
    """The encoder for a shape; ``None`` if it is one for the plain encoder."""
    kinds = [KINDS.get(kind) for kind in shape.kinds]
    values = {key: kind for key, kind in zip(shape.keys, kinds, strict=True) if kind is not None}
    usual = len(values) == len(kinds) and all(type(key) is str for key in shape.keys)
    if not usual or shape.name_kind is not str or len(facts.chosen) + len(values) > MAX_MEMBERS:
        return None
    sample = SpanFields(
        name="",
        trace_id=1,
        span_id=1,
        start_time_unix_nano=0,
        end_time_unix_nano=0,
        parent_span_id=int(shape.has_parent),
        kind=shape.kind,
        is_error=shape.is_error,
        attributes={key: kind.sample for key, kind in values.items()},
    )
    try:
        event = encode_span(
            sample,
            facts,
            event_name=shape.etw_event_name,
            keyword=keyword,
            level=shape.level,
            max_event_bytes=MAX_CONSTANT_BYTES,
            mark_utf8=mark_utf8,
        )
    except EncodeError:
        return None
    if event.truncated:
        return None
    others = [(key, kind) for key, kind in values.items() if key not in WELL_KNOWN]
    well_known = [(key, values[key]) for key in WELL_KNOWN if key in values]
    constants = _constants(event.payload, shape, facts, [kind for _, kind in others])
    source = _source(shape, others, well_known, event.descriptor.level, keyword, activity)
    return ShapeEncoder(event.descriptor, event.metadata, source, {**constants, "activity_id": activity_id})


def _constants(
    payload: bytes, shape: SpanShape, facts: ResourceFacts, others: list[ValueKind]
) -> dict[str, bytes]:
    """The bytes of a sample's payload between its values.

    ``version | end time | ids | cloud | chosen, attributes | "Span" | name | kind | start time | parent id |
    well-known attributes | success``: only the chosen resource attributes have no length known beforehand.
    """
    after_ids = _VERSION_BYTES + _TIME_BYTES + IDS_BYTES
    after_cloud = after_ids + text_bytes(facts.role) + text_bytes(facts.role_instance)
    type_name = payload.index(_TYPE_NAME, after_cloud)
    raise NotImplementedError
