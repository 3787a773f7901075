"""One event of a trace file as what it is: a log record, a span, metric data points, or just an event.

The rules of telling producers apart (``otel-on-etw.md`` 4.3) live here, in one place:

1. the metrics provider's GUID with id 81 is a serialized OTLP metrics request, of one or more points;
2. self-describing fields that begin with ``__csver__`` are Common Schema, and hold a log record or a span;
3. all else, and whatever turns out not to be what it looked like, is an event with its own fields.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from otel_etw.errors import DecodeError
from otel_etw.layouts.common_schema import decode_log, decode_span
from otel_etw.layouts.items import LogItem, MetricPoint, SpanItem
from otel_etw.tracelogging.provider_id import METRICS_PROVIDER_ID

if TYPE_CHECKING:
    from otel_etw.etl.event import Event

LOGS = "logs"
SPANS = "spans"
METRICS = "metrics"
EVENTS = "events"
SIGNALS = (LOGS, SPANS, METRICS, EVENTS)

_OTLP_METRICS_ID = 81
_MOST_SHAPES = 1_000


@dataclass(frozen=True)
class Item:
    """One thing to show. ``content`` is ``None`` for events that carry no OpenTelemetry item.

    ``problems`` are the faults met while decoding, in words; the item then shows what could be read.
    """

    event: Event
    content: LogItem | SpanItem | MetricPoint | None = None
    problems: tuple[str, ...] = ()
    file: str = ""

    @property
    def signal(self) -> str:
        """One of :data:`SIGNALS`."""
        if isinstance(self.content, LogItem):
            return LOGS
        if isinstance(self.content, SpanItem):
            return SPANS
        return METRICS if isinstance(self.content, MetricPoint) else EVENTS

    @property
    def time_unix_nano(self) -> int:
        """When it happened: the record's or point's own time, the end of a span; maybe before the event."""
        if isinstance(self.content, SpanItem):
            return self.content.end_time_unix_nano
        return self.event.timestamp_ns if self.content is None else self.content.time_unix_nano

    @property
    def reached_etw_unix_nano(self) -> int:
        """The time of the event."""
        return self.event.timestamp_ns

    @property
    def size_bytes(self) -> int:
        """The length of the event's record."""
        return len(self.event.record)


def items_of(event: Event, file: str = "") -> list[Item]:
    """What ``event`` holds; at least one item, several for a metrics request of several points."""
    if event.provider_id == METRICS_PROVIDER_ID and event.descriptor.id == _OTLP_METRICS_ID:
        return _metric_items(event, file)
    values = event.values
    if values and values[0].name == "__csver__":
        for decode in (decode_log, decode_span):
            content = decode(values, event.timestamp_ns)
            if content is not None:
                return [Item(event, content, tuple(event.problems), file)]
    return [Item(event, None, tuple(event.problems), file)]


class SignalFinder:
    """Tells the signal of events without decoding all of them.

    Events of one shape, that is with the same metadata, are taken for what the first of them turned out to
    be that could be decoded completely.
    """

    def __init__(self) -> None:
        self._known: dict[bytes, str] = {}

    def signal_of(self, event: Event) -> str:
        """One of :data:`SIGNALS`; a metrics request counts as such unread."""
        if event.provider_id == METRICS_PROVIDER_ID and event.descriptor.id == _OTLP_METRICS_ID:
            return METRICS
        metadata = event.metadata
        if metadata is None or b"__csver__\0" not in metadata:
            return EVENTS
        known = self._known.get(metadata)
        if known is not None:
            return known
        item = items_of(event)[0]
        if not item.problems:
            if len(self._known) >= _MOST_SHAPES:
                self._known.clear()
            self._known[metadata] = item.signal
        return item.signal


def _metric_items(event: Event, file: str) -> list[Item]:
    try:
        points = _points_decoder()(event.payload)
    except DecodeError as problem:
        return [Item(event, None, (*event.problems, str(problem)), file)]
    if not points:
        return [Item(event, None, (*event.problems, "a metrics request without data points"), file)]
    return [Item(event, point, (), file) for point in points]


def _points_decoder() -> Callable[[bytes], list[MetricPoint]]:
    # Imported when the first metric is met: it loads protobuf, which a file without metrics never needs.
    from otel_etw.layouts.otlp_metrics import decode_points

    return decode_points
