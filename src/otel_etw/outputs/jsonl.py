"""Items as JSON lines: one object per line, for ``jq``, notebooks and log shippers.

Every line has ``signal``, ``time`` (ISO 8601, UTC, nanoseconds), ``time_unix_nano`` and ``etw`` (what ETW
says of the event: provider, descriptor, process ...). Beside them stand the attributes of
:class:`~otel_etw.layouts.items.LogItem`, :class:`~otel_etw.layouts.items.SpanItem` or
:class:`~otel_etw.layouts.items.MetricPoint` under their own names (a span's ``time`` is its end, and it has
``duration_ns`` too), or ``fields`` for a plain event (and ``payload``, as far as it was not
decoded). What an event does not carry is left out. Values follow :mod:`otel_etw.tables.json_values`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

from otel_etw.layouts.items import SpanItem
from otel_etw.outputs.numbers import iso_time
from otel_etw.outputs.text import json_line
from otel_etw.tables.items import Item

if TYPE_CHECKING:
    from otel_etw.etl.event import Event


def item_line(item: Item, *, ascii_only: bool = False) -> str:
    """``item`` as one line of JSON, without a line end."""
    return json_line(item_document(item), ascii_only=ascii_only)


def item_document(item: Item) -> dict[str, Any]:
    """``item`` as the object that :func:`item_line` writes."""
    document: dict[str, Any] = {
        "signal": item.signal,
        "time": iso_time(item.time_unix_nano),
        "time_unix_nano": item.time_unix_nano,
    }
    document.update(_event_part(item.event) if item.content is None else _members(item.content))
    if isinstance(item.content, SpanItem):
        document["duration_ns"] = item.content.duration_ns
    document["etw"] = _etw_part(item.event)
    if item.file:
        document["file"] = item.file
    if item.problems:
        document["problems"] = list(item.problems)
    return document


def _event_part(event: Event) -> dict[str, Any]:
    part: dict[str, Any] = {"fields": event.fields}
    is_described = event.is_described
    rest = event.trailing if is_described else event.payload
    if rest:
        part["trailing" if is_described else "payload"] = bytes(rest)
    return part


def _members(value: Any) -> dict[str, Any]:
    """The attributes of a decoded item that say something, nested items included."""
    members = ((member.name, getattr(value, member.name)) for member in fields(value))
    return {name: _plain(member) for name, member in members if _says_something(member)}


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return _members(value)
    if isinstance(value, (list, tuple)):
        return [_plain(element) for element in value]
    return value


def _says_something(value: object) -> bool:
    return value is not None and not (isinstance(value, (Mapping, Sequence)) and len(value) == 0)


def _etw_part(event: Event) -> dict[str, Any]:
    descriptor = event.descriptor
    part: dict[str, Any] = {
        "time": iso_time(event.timestamp_ns),
        "provider": event.provider_name,
        "provider_id": event.provider_id,
        "event": event.name,
        "kind": event.kind,
        "id": descriptor.id,
        "version": descriptor.version,
        "channel": descriptor.channel,
        "level": descriptor.level,
        "opcode": descriptor.opcode,
        "task": descriptor.task,
        "keyword": f"{descriptor.keyword:#x}",
        "process_id": event.process_id,
        "thread_id": event.thread_id,
        "processor": event.processor,
        "activity_id": event.activity_id,
        "related_activity_id": event.related_activity_id,
    }
    return {name: value for name, value in part.items() if value is not None}
