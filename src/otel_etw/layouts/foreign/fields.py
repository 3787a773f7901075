"""Reading flat fields by name, whatever the encoding gave them as; pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from otel_etw.layouts.items import LinkItem
from otel_etw.layouts.json_text import parse_json
from otel_etw.layouts.link_text import link_ids
from otel_etw.layouts.times import parse_time_text
from otel_etw.tracelogging.values import FileTime

ENV_PROPERTIES = "env_properties"
"""Where both producers put attributes that have no field of their own."""

Fields = Mapping[str, Any]


def text_of(fields: Fields, name: str) -> str | None:
    """The text of a field, ``None`` if it holds none."""
    value = fields.get(name)
    return value if isinstance(value, str) else None


def integer_of(fields: Fields, name: str) -> int | None:
    """The integer of a field, ``None`` if it holds none."""
    value = fields.get(name)
    return value if isinstance(value, int) and not isinstance(value, (bool, FileTime)) else None


def time_of(fields: Fields, name: str) -> int | None:
    """The Unix nanoseconds of a time or of a time as text."""
    value = fields.get(name)
    if isinstance(value, FileTime):
        return value.unix_nano
    return parse_time_text(value) if isinstance(value, str) else None


def id_of(fields: Fields, name: str) -> str | None:
    """A trace or span id in lower case; all zeros is how there is none."""
    text = text_of(fields, name)
    return text.lower() if text and text.strip("0") else None


def links_of(value: object) -> tuple[LinkItem, ...] | None:
    """Links as JSON text or as maps with ``toTraceId`` and ``toSpanId``; ``None`` if it is neither."""
    if isinstance(value, str):
        ids = link_ids(value)
        return None if ids is None else tuple(LinkItem(trace_id, span_id) for trace_id, span_id in ids)
    if not isinstance(value, list):
        return None
    links = []
    for link in value:
        members = link if isinstance(link, dict) else {}
        trace_id, span_id = members.get("toTraceId"), members.get("toSpanId")
        if not isinstance(trace_id, str) or not isinstance(span_id, str):
            return None
        links.append(LinkItem(trace_id.lower(), span_id.lower()))
    return tuple(links)


def split_properties(fields: Fields) -> tuple[Fields, dict[str, Any]]:
    """An event's own fields, and the attributes kept in one of them, a map or a JSON object.

    These are never fields of the event, whatever their names.  A field that holds no object stays what it is.
    """
    inner = fields.get(ENV_PROPERTIES)
    if isinstance(inner, str):
        try:
            inner = parse_json(inner)
        except ValueError:
            inner = None
    if not isinstance(inner, dict):
        return fields, {}
    return {name: value for name, value in fields.items() if name != ENV_PROPERTIES}, inner


def attribute(value: Any) -> Any:
    """A field's value as an attribute value: times as text, also inside lists and maps."""
    if isinstance(value, FileTime):
        return value.isoformat()
    if isinstance(value, list):
        return [attribute(item) for item in value]
    if isinstance(value, dict):
        return {key: attribute(item) for key, item in value.items()}
    return value
