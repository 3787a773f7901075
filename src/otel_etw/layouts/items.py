"""What the decoders of all layouts produce: OpenTelemetry's own data, as plain frozen values.

The attribute names are the column names of the tables (see ``docs/architecture.md``).
Times are Unix nanoseconds.  ``attributes`` and ``resource`` map keys to ``str``, ``int``,
``float``, ``bool``, ``bytes``, ``None``, ``list`` and ``dict``; of a key that occurs twice the
last value counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class LogItem:
    """One log record found in an event. ``None`` means that the event does not carry the fact."""

    time_unix_nano: int
    severity_number: int | None = None
    """OpenTelemetry's 1 to 24, higher is worse."""
    severity_text: str | None = None
    body: Any = None
    event_name: str | None = None
    """The record's own event name, not the ETW event's."""
    event_id: int | None = None
    trace_id: str | None = None
    """32 lower-case hex digits."""
    span_id: str | None = None
    """16 lower-case hex digits."""
    service_name: str | None = None
    service_instance_id: str | None = None
    scope_name: str | None = None
    """The logger's name, where the event has it."""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    truncated: Mapping[str, int] = field(default_factory=dict)
    """Field name to its length in bytes before the exporter cut it."""


@dataclass(frozen=True)
class LinkItem:
    """Another span that a span refers to. ``None`` and empty mean that the event does not carry the fact."""

    trace_id: str
    """32 lower-case hex digits."""
    span_id: str
    """16 lower-case hex digits."""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    trace_state: str | None = None
    dropped_attributes: int | None = None


@dataclass(frozen=True)
class SpanItem:
    """One ended span found in an event. ``None`` means that the event does not carry the fact."""

    name: str
    start_time_unix_nano: int
    """Where the event has no readable start time, the end."""
    end_time_unix_nano: int
    trace_id: str | None = None
    """32 lower-case hex digits."""
    span_id: str | None = None
    """16 lower-case hex digits."""
    parent_span_id: str | None = None
    """16 lower-case hex digits; ``None`` for a root span."""
    kind: str | None = None
    """``"internal"``, ``"server"``, ``"client"``, ``"producer"`` or ``"consumer"``; or a number."""
    success: bool | None = None
    """False if the span's status is error."""
    status: str | None = None
    """``"unset"``, ``"ok"``, ``"error"``, or ``None`` where the event does not tell unset from ok."""
    status_message: str | None = None
    links: Sequence[LinkItem] = ()
    attributes: Mapping[str, Any] = field(default_factory=dict)
    """Under OpenTelemetry's own keys, also where the event has names of its own for them."""
    trace_state: str | None = None
    """As the W3C header has it: ``key=value,key=value``."""
    trace_flags: int | None = None
    parent_is_remote: bool | None = None
    dropped_attributes: int | None = None
    dropped_events: int | None = None
    dropped_links: int | None = None
    scope_name: str | None = None
    scope_version: str | None = None
    scope_attributes: Mapping[str, Any] = field(default_factory=dict)
    scope_schema_url: str | None = None
    service_name: str | None = None
    service_instance_id: str | None = None
    truncated: Mapping[str, int] = field(default_factory=dict)
    """Field name to its length in bytes before the exporter cut it."""

    @property
    def duration_ns(self) -> int:
        """From start to end; negative if the clock was set back in between."""
        return self.end_time_unix_nano - self.start_time_unix_nano


@dataclass(frozen=True)
class Buckets:
    """One side of an exponential histogram: ``counts[i]`` is for bucket index ``offset + i``."""

    offset: int
    counts: Sequence[int]


@dataclass(frozen=True)
class ExemplarItem:
    """A sample measurement kept beside an aggregated point."""

    time_unix_nano: int
    value: int | float
    trace_id: str | None = None
    span_id: str | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class MetricPoint:
    """One data point of any of the five kinds, with the metric, scope and resource it belongs to.

    ``kind`` is ``"gauge"``, ``"sum"``, ``"histogram"``, ``"exponential_histogram"`` or ``"summary"``.
    Gauges and sums have ``value``; the others ``count`` and ``sum``.
    """

    time_unix_nano: int
    metric_name: str
    kind: str
    start_time_unix_nano: int | None = None
    description: str = ""
    unit: str = ""
    temporality: str | None = None
    """``"delta"``, ``"cumulative"`` or ``None`` where the kind has none."""
    is_monotonic: bool | None = None
    value: int | float | None = None
    count: int | None = None
    sum: float | None = None
    min: float | None = None
    max: float | None = None
    explicit_bounds: Sequence[float] = ()
    """n bounds for n + 1 ``bucket_counts``."""
    bucket_counts: Sequence[int] = ()
    scale: int | None = None
    zero_count: int | None = None
    zero_threshold: float | None = None
    positive: Buckets | None = None
    negative: Buckets | None = None
    quantiles: Sequence[tuple[float, float]] = ()
    """(quantile 0..1, value) pairs of a summary."""
    exemplars: Sequence[ExemplarItem] = ()
    attributes: Mapping[str, Any] = field(default_factory=dict)
    flags: int = 0
    scope_name: str = ""
    scope_version: str = ""
    scope_schema_url: str = ""
    scope_attributes: Mapping[str, Any] = field(default_factory=dict)
    resource: Mapping[str, Any] = field(default_factory=dict)
    resource_schema_url: str = ""
    service_name: str | None = None
    service_instance_id: str | None = None
