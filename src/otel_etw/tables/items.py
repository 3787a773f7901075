"""One event of a trace file as what it is: a log record, a span, metric data points, or just an event.

The rules of telling producers apart (``otel-on-etw.md`` 4.3) live here, in one place:

1. the metrics provider's GUID with id 81 is a serialized OTLP metrics request, of one or more points, and
   with id 70 Geneva's own form of one point;
2. self-describing fields that begin with ``__csver__`` are Common Schema, and hold a log record or a span;
3. self-describing fields with one named ``_name`` are those of OpenTelemetry C++;
4. id 100, version 1, without a description is MessagePack, Geneva's or C++'s;
5. all else, and whatever turns out not to be what it looked like, is an event with its own fields.

Numbers and bytes are looked at before anything is decoded, since this runs for every event.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from otel_etw.errors import DecodeError
from otel_etw.layouts.common_schema import decode_log, decode_span
from otel_etw.layouts.etw_records import log_of_record
from otel_etw.layouts.foreign import messagepack, tlv
from otel_etw.layouts.foreign.cpp import decode_cpp
from otel_etw.layouts.items import LogItem, MetricPoint, SpanItem
from otel_etw.tracelogging.provider_id import METRICS_PROVIDER_ID
from otel_etw.tracelogging.types import Opcode

if TYPE_CHECKING:
    from otel_etw.etl.event import Event

LOGS = "logs"
SPANS = "spans"
METRICS = "metrics"
EVENTS = "events"
SIGNALS = (LOGS, SPANS, METRICS, EVENTS)

OTLP_METRICS_ID = 81
"""Of the metrics provider's event that holds a serialized OTLP request."""
_CSVER = b"__csver__\0"
_CPP_NAME = b"_name\0"
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
    if event.provider_id == METRICS_PROVIDER_ID and event.descriptor.id in _POINT_DECODERS:
        return _metric_items(event, file)
    metadata = event.metadata
    content: LogItem | SpanItem | None = None
    if metadata is None:
        if _looks_like_messagepack(event):
            return _messagepack_items(event, file)
    elif _CSVER in metadata:
        values = event.values
        if values and values[0].name == "__csver__":
            content = decode_log(values, event.timestamp_ns) or decode_span(values, event.timestamp_ns)
    elif _CPP_NAME in metadata:
        content = decode_cpp(event.values, event.timestamp_ns, event.descriptor.opcode)
    return [Item(event, content, event.problems, file)]


def possible_signals(event: Event) -> tuple[str, ...]:
    """What ``event`` may turn out to be, the same for all events of its provider, descriptor and metadata."""
    if event.provider_id == METRICS_PROVIDER_ID and event.descriptor.id in _POINT_DECODERS:
        return METRICS, EVENTS
    metadata = event.metadata
    if metadata is None:
        descriptor = event.descriptor
        is_unlike = descriptor.id != messagepack.EVENT_ID or descriptor.version != messagepack.EVENT_VERSION
        return (EVENTS,) if is_unlike else SIGNALS
    return (LOGS, SPANS, EVENTS) if _CSVER in metadata or _CPP_NAME in metadata else (EVENTS,)


def log_of_event(event: Event) -> LogItem:
    """Any event as a log record: :mod:`otel_etw.layouts.etw_records` says how."""
    return log_of_record(
        event.descriptor,
        event.values,
        time_unix_nano=event.timestamp_ns,
        name=event.name,
        provider_id=_text(event.provider_id),
        provider_name=event.provider_name,
        process_id=event.process_id,
        thread_id=event.thread_id,
        activity_id=_text(event.activity_id),
    )


class SignalFinder:
    """Tells the signal of events without decoding all of them.

    Events of one shape, that is with the same metadata, are taken for what the first of them turned out to
    be that could be decoded completely.
    """

    def __init__(self) -> None:
        self._known: dict[bytes, str] = {}

    def settled(self, event: Event) -> str | None:
        """The signal of all events with provider, descriptor and metadata of ``event``; ``None`` if that is
        not known yet, or differs among them."""
        possible = possible_signals(event)
        if possible[0] in (METRICS, EVENTS):
            return possible[0]
        metadata = event.metadata
        if metadata is None or (_CSVER not in metadata and event.descriptor.opcode != Opcode.INFO):
            return None
        return self._known.get(metadata)

    def signal_of(self, event: Event) -> str:
        """One of :data:`SIGNALS`; a metrics request counts as such unread."""
        if event.provider_id == METRICS_PROVIDER_ID and event.descriptor.id in _POINT_DECODERS:
            return METRICS
        metadata = event.metadata
        if metadata is None:
            return items_of(event)[0].signal if _looks_like_messagepack(event) else EVENTS
        is_marker = False
        if _CSVER not in metadata:
            if _CPP_NAME not in metadata:
                return EVENTS
            # A marker of a span may have the very fields that a span event has.
            is_marker = event.descriptor.opcode != Opcode.INFO
        known = None if is_marker else self._known.get(metadata)
        if known is not None:
            return known
        item = items_of(event)[0]
        if not item.problems and not is_marker:
            if len(self._known) >= _MOST_SHAPES:
                self._known.clear()
            self._known[metadata] = item.signal
        return item.signal


def _metric_items(event: Event, file: str) -> list[Item]:
    try:
        points = _POINT_DECODERS[event.descriptor.id](event.payload)
    except DecodeError as problem:
        return [Item(event, None, (*event.problems, str(problem)), file)]
    if not points:
        return [Item(event, None, (*event.problems, "a metrics request without data points"), file)]
    return [Item(event, point, (), file) for point in points]


def _otlp_points(payload: bytes) -> list[MetricPoint]:
    # Imported when the first metric is met: it loads protobuf, which a file without metrics never needs.
    from otel_etw.layouts.otlp_metrics import decode_points

    return decode_points(payload)


def _tlv_points(payload: bytes) -> list[MetricPoint]:
    return [tlv.decode_tlv(payload)]


_POINT_DECODERS: dict[int, Callable[[bytes], list[MetricPoint]]] = {
    OTLP_METRICS_ID: _otlp_points,
    tlv.EVENT_ID: _tlv_points,
}
"""By the id of the metrics provider's event."""


def _looks_like_messagepack(event: Event) -> bool:
    descriptor = event.descriptor
    return (
        descriptor.id == messagepack.EVENT_ID
        and descriptor.version == messagepack.EVENT_VERSION
        and messagepack.starts_message(event.payload)
    )


def _messagepack_items(event: Event, file: str) -> list[Item]:
    try:
        contents = messagepack.decode_messagepack(event.payload, event.timestamp_ns, event.descriptor.opcode)
    except DecodeError as problem:
        return [Item(event, None, (*event.problems, str(problem)), file)]
    # What a manifest of the provider makes of these bytes does not matter, nor that it did not succeed.
    return [Item(event, content, (), file) for content in contents] or [Item(event, None, (), file)]


def _text(value: UUID | None) -> str | None:
    return None if value is None else str(value)
