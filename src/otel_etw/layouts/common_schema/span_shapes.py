"""Ended spans of one shape, by a function generated for that shape; see :mod:`.log_shapes` for how and why.

A span's shape is its event's name and level, its kind, whether it failed and has a parent, and the keys and
types of its attributes; what is left per span is its name, two times, the ids and the attribute values::

    emit(end_unix_nano, start_unix_nano, trace_id, span_id, parent_span_id, name, values)

Spans with links or the description of a failure, and extended events, are left to the plain encoder
(:mod:`.encode_span`), to which a hypothesis test holds this one equal.
"""

from __future__ import annotations

from typing import NamedTuple

from otel_etw.errors import EncodeError
from otel_etw.layouts.common_schema.activity import ActivityId
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
    joined,
    lines,
    text_bytes,
    type_check,
)
from otel_etw.layouts.times import time_text
from otel_etw.tracelogging.types import EventDescriptor


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


_Values = list[tuple[str, ValueKind]]
"""Variables of the function, and what they hold."""


def span_encoder(
    shape: SpanShape,
    facts: ResourceFacts,
    *,
    keyword: int = 1,
    mark_utf8: bool = False,
    activity: ActivityId | None = None,
) -> ShapeEncoder | None:
    """The encoder for a shape; ``None`` if it is one for the plain encoder (lists, foreign types, ...)."""
    kinds = {key: KINDS[kind] for key, kind in zip(shape.keys, shape.kinds, strict=True) if kind in KINDS}
    usual = len(kinds) == len(shape.kinds) and all(type(key) is str for key in shape.keys)
    if not usual or shape.name_kind is not str or len(facts.chosen) + len(kinds) > MAX_MEMBERS:
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
        attributes={key: kind.sample for key, kind in kinds.items()},
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
    variables = {key: (f"v{index}", kind) for index, (key, kind) in enumerate(kinds.items())}
    others = [variable for key, variable in variables.items() if key not in WELL_KNOWN]
    well_known = [variables[key] for key in WELL_KNOWN if key in variables]
    constants = _constants(event.payload, shape, facts, others, well_known)
    load = [f"{name} = values[{key!a}]" for key, (name, _) in variables.items()]
    source = _source(shape, load, others, well_known, event.descriptor, activity)
    return ShapeEncoder(event.descriptor, event.metadata, source, constants)


_VERSION_BYTES = 2
_TIME_BYTES = len(counted(time_text(0).encode()))
_TYPE_NAME = counted(b"Span")
_EMPTY_NAME_BYTES = len(counted(b""))
_KIND_BYTES = 1
_PARENT_BYTES = len(counted(bytes(16)))
_SUCCESS_BYTES = 1


def _constants(
    payload: bytes, shape: SpanShape, facts: ResourceFacts, others: _Values, well_known: _Values
) -> dict[str, bytes]:
    """The bytes of a sample's payload between its values.

    ``version | end time | ids | cloud | chosen, attributes | "Span" | name | kind | start time | parent id |
    well-known attributes | success``: only the chosen resource attributes have no length known beforehand.
    """
    after_ids = _VERSION_BYTES + _TIME_BYTES + IDS_BYTES
    after_cloud = after_ids + text_bytes(facts.role) + text_bytes(facts.role_instance)
    before_success = len(payload) - _SUCCESS_BYTES
    after_start = before_success - _sample_bytes(well_known) - (_PARENT_BYTES if shape.has_parent else 0)
    before_start = after_start - _TIME_BYTES
    before_kind = before_start - _KIND_BYTES
    before_name = before_kind - _EMPTY_NAME_BYTES
    before_type_name = before_name - len(_TYPE_NAME)
    return {
        "VERSION": payload[:_VERSION_BYTES],
        "CLOUD": payload[after_ids:after_cloud],
        "CHOSEN": payload[after_cloud : before_type_name - _sample_bytes(others)],
        "TYPE_NAME": payload[before_type_name:before_name],
        "KIND": payload[before_kind:before_start],
        "SUCCESS": payload[before_success:],
    }


def _sample_bytes(values: _Values) -> int:
    return sum(kind.sample_bytes for _, kind in values)


def _source(
    shape: SpanShape,
    load: list[str],
    others: _Values,
    well_known: _Values,
    descriptor: EventDescriptor,
    activity: ActivityId | None,
) -> str:
    name = ("name", KINDS[str])
    values = [name, *others, *well_known]
    pieces = [
        *("VERSION", "end", "IDS % (trace_id & U128, span_id & U64)", "CLOUD", "CHOSEN"),
        *_pieces(others),
        "TYPE_NAME",
        *_pieces([name]),
        *("KIND", "start", "PARENT % (parent_span_id & U64)" if shape.has_parent else ""),
        *_pieces(well_known),
        "SUCCESS",
    ]
    return _FUNCTION.format(
        level=descriptor.level,
        keyword=descriptor.keyword,
        load=lines(load),
        types=type_check(values),
        convert=lines([kind.convert.format(variable) for variable, kind in values if kind.convert]),
        joined=joined(pieces),
        activity="None" if activity is None else f"activity_id({activity!r}, trace_id, span_id)",
    )


def _pieces(values: _Values) -> list[str]:
    return [kind.pieces.format(variable) for variable, kind in values]


_FUNCTION = """\
def emit(end_unix_nano, start_unix_nano, trace_id, span_id, parent_span_id, name, values):
    if not is_enabled({level}, {keyword}):
        return NOT_WANTED
    {load}
    if not ({types}):
        return OTHER_SHAPE
    second, fraction = divmod(end_unix_nano, 1000000000)
    at = last_time.at
    if second == at[0] and fraction % 1000:
        end = b"%b%09dZ" % (at[1], fraction)
    else:
        end = time_bytes(end_unix_nano)
    second, fraction = divmod(start_unix_nano, 1000000000)
    at = last_time.at
    if second == at[0] and fraction % 1000:
        start = b"%b%09dZ" % (at[1], fraction)
    else:
        start = time_bytes(start_unix_nano)
    {convert}
{joined}
    if len(payload) > ROOM:
        return TO_BE_CUT
    return write(payload, {activity})
"""
