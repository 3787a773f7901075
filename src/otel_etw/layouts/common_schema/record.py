"""What log records and spans are to the encoders: plain values, no SDK types."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from otel_etw.layouts.plain_text import clean_text, double_text, text_of
from otel_etw.tracelogging.types import Level

SEVERITY_DEBUG = 5
"""What the reference writes for a record without severity."""

# Index: (severity number - 1) // 4.
_LEVELS = (
    Level.VERBOSE,  # TRACE
    Level.VERBOSE,  # DEBUG
    Level.INFORMATIONAL,
    Level.WARNING,
    Level.ERROR,
    Level.CRITICAL,
)


@dataclass(frozen=True)
class LogFields:
    """One log record.

    ``time_unix_nano`` is any integer; one that the text form cannot say becomes the nearest that it can.
    ``severity_number`` is OpenTelemetry's 1 to 24 (``None`` and 0: unset, written as DEBUG).  Trace and span
    id are unsigned 128-bit and 64-bit; the record has a trace context if one of them is not 0.  ``body``
    ``None`` is no body; empty texts, bodies and event names are written as such.  ``attributes`` keep their
    order.
    """

    time_unix_nano: int
    severity_number: int | None = None
    severity_text: str | None = None
    body: object = None
    event_name: str | None = None
    trace_id: int | None = None
    span_id: int | None = None
    attributes: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class LinkFields:
    """Another span that a span refers to; ``trace_state`` is the text of the W3C header."""

    trace_id: int
    span_id: int
    attributes: Mapping[str, object] = field(default_factory=dict)
    trace_state: str = ""
    dropped_attributes: int = 0


@dataclass(frozen=True)
class SpanFields:
    """One ended span.

    Times, ids and attributes are as in :class:`LogFields`; ``parent_span_id`` ``None`` and 0 is a root span.
    ``kind`` is 0 internal, 1 server, 2 client, 3 producer, 4 consumer.  ``status_is_ok`` says that the status
    was set to OK rather than left unset.  What stands from ``trace_state`` on is written only in an extended
    event, as are the links' attributes, trace states and dropped counts.
    """

    name: str
    trace_id: int | None
    span_id: int | None
    start_time_unix_nano: int
    end_time_unix_nano: int
    parent_span_id: int | None = None
    kind: int = 0
    is_error: bool = False
    status_is_ok: bool = False
    status_description: str | None = None
    attributes: Mapping[str, object] = field(default_factory=dict)
    links: Sequence[LinkFields] = ()
    trace_state: str = ""
    trace_flags: int = 0
    parent_is_remote: bool = False
    dropped_attributes: int = 0
    dropped_events: int = 0
    dropped_links: int = 0
    scope_name: str = ""
    scope_version: str = ""
    scope_schema_url: str = ""
    scope_attributes: Mapping[str, object] = field(default_factory=dict)


class ResourceFacts(NamedTuple):
    """What of a resource goes into every event: role and instance in PartA, chosen attributes in PartC."""

    role: str | None = None
    role_instance: str | None = None
    chosen: tuple[tuple[str, object], ...] = ()


def resource_facts(attributes: Mapping[str, object], chosen: Collection[str] = ()) -> ResourceFacts:
    """Pick the facts out of a resource's attributes; ``chosen`` keys keep the resource's order."""
    picked = [
        (key, _chosen_value(value))
        for key, value in attributes.items()
        if key in chosen and key not in ("service.name", "service.instance.id")
    ]
    return ResourceFacts(
        _optional_text(attributes.get("service.name")),
        _optional_text(attributes.get("service.instance.id")),
        tuple(picked),
    )


def severity_level(severity_number: int | None) -> int:
    """The ETW level of an OpenTelemetry severity number; unset (``None``, 0, negative) counts as DEBUG."""
    if severity_number is None or severity_number < 1:
        return Level.VERBOSE
    return _LEVELS[min((severity_number - 1) // 4, 5)]


def _chosen_value(value: object) -> object:
    """The reference writes list-valued resource attributes as empty strings, and is followed here."""
    return "" if isinstance(value, (Sequence, Mapping)) and not isinstance(value, (str, bytes)) else value


def _optional_text(value: object) -> str | None:
    return None if value is None else _fact_text(value)


def _fact_text(value: object) -> str:
    """A resource attribute as Rust displays it: ``true``, ``1``, ``2.5``, ``[1,2]``, ``["a","b"]``."""
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return double_text(value)
    if isinstance(value, (list, tuple)):
        return (
            "[" + ",".join(f'"{item}"' if isinstance(item, str) else _fact_text(item) for item in value) + "]"
        )
    return text_of(value)
