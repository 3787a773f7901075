"""One data point, one request, the quick way: all that repeats is remembered, and only numbers are written.

A request is ``head + point + attributes + exemplars + tail``.  Head and tail are the layers around the point
(request, resource, scope, metric, data).  The lengths in the head depend on the point's size and on nothing
else, so a metric's heads are kept by size.  Attribute sets come from :mod:`.attributes`, the point's numbers
from :mod:`.packed`.  Whatever is unusual goes through :mod:`.plain`, whose bytes all this has to equal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import is_dataclass
from itertools import chain, repeat
from typing import Any, NamedTuple

from otel_etw.layouts.otlp_metrics import messages
from otel_etw.layouts.otlp_metrics.attributes import INCOMPARABLE, AttributeMemory, AttributeSet
from otel_etw.layouts.otlp_metrics.event import MAX_REQUEST_BYTES, NOT_ENCODABLE, EncodedPoint
from otel_etw.layouts.otlp_metrics.packed import (
    PointWriter,
    UnusualPointError,
    exemplar_fields,
    exponential_writer,
    histogram_writer,
    number_writer,
)
from otel_etw.layouts.otlp_metrics.plain import (
    MetricPlace,
    encode_point,
    place_of,
    point_layers,
    scopes_of,
)
from otel_etw.layouts.otlp_metrics.wire import Layer, envelope
from otel_etw.layouts.plain_text import text_of

MAX_METRICS = 1024
MAX_METRIC_BYTES = 1 << 15
MAX_ORDERED = 1 << 11

_NAME_TYPES = frozenset({str, type(None)})


class _Written(NamedTuple):
    """How a kind of points is written, and the field numbers of what is added to each."""

    make_writer: Callable[[], PointWriter]
    attributes: int
    exemplars: int


_WRITTEN = {
    messages.GAUGE.metric_field: _Written(number_writer, 7, 5),
    messages.SUM.metric_field: _Written(number_writer, 7, 5),
    messages.HISTOGRAM.metric_field: _Written(histogram_writer, 9, 8),
    messages.EXPONENTIAL.metric_field: _Written(exponential_writer, 1, 11),
}

_UNKNOWN = AttributeSet(INCOMPARABLE, None, b"")


class _MetricMemory(dict[int, bytes]):
    """What stands before a point of some metric, by the point's size, and what stands after it.

    ``sets`` are the attribute sets of its last points in their order, which is most likely also that of the
    next: comparing is quicker than looking up.
    """

    def __init__(self, place: MetricPlace, layers: tuple[Layer, ...], limit: int) -> None:
        super().__init__()
        self.place = place
        self.tail = envelope(layers, 0)[1]
        self.sets: Sequence[AttributeSet] = ()
        self._layers = layers
        self._limit = limit

    def __missing__(self, size_bytes: int) -> bytes:
        head = envelope(self._layers, size_bytes)[0]
        if len(head) + size_bytes + len(self.tail) > self._limit:
            raise UnusualPointError("too large")
        if (len(self) + 1) * len(head) > MAX_METRIC_BYTES:
            self.clear()
        self[size_bytes] = head
        return head


class PointEncoder:
    """Encodes data points, and remembers by content what their requests have in common.

    Remembered are :data:`MAX_METRICS` metrics, each with heads of :data:`MAX_METRIC_BYTES` in all (or one
    larger) and the order of :data:`MAX_ORDERED` points, and the sets of an :class:`.AttributeMemory`.  What
    is outdated is forgotten.  Any number of threads may encode at once.
    """

    def __init__(self) -> None:
        self.attributes = AttributeMemory()
        self._metrics: dict[object, _MetricMemory] = {}

    def encode(
        self, resource_metrics: Iterable[Any], max_bytes: int = MAX_REQUEST_BYTES
    ) -> Iterator[bytes | EncodedPoint]:
        """What :func:`.plain.encode_points` gives, for every data point in its order.

        The usual request comes as its bytes alone, an :class:`EncodedPoint` stands for any other: one that
        had to be cut, cannot be had, or was made of an unusual point.
        """
        return chain.from_iterable(self._encode(resource_metrics, min(max_bytes, MAX_REQUEST_BYTES)))

    def _encode(
        self, resource_metrics: Iterable[Any], limit: int
    ) -> Iterator[Iterator[bytes | EncodedPoint]]:
        for of_resource in resource_metrics:
            for of_scope, layers in scopes_of(of_resource):
                for metric in of_scope.metrics:
                    yield self._points(metric, layers, limit)

    def _points(self, metric: Any, layers: tuple[Layer, ...], limit: int) -> Iterator[bytes | EncodedPoint]:
        """One request for each of the metric's points."""
        try:
            points = [*metric.data.data_points]
            if not points:
                return iter(())
            # Instances of a dataclass have the same fields, so the first point tells the kind of all like it.
            if not is_dataclass(points[0]):
                raise UnusualPointError("no data point of the SDK")
            kind = messages.kind_of(metric.data, points[0])
            written = _WRITTEN[kind.metric_field]
            memory = self._memory(metric, kind, layers, limit)
        except Exception:  # noqa: BLE001 - a kind that is not written here, or whatever an odd object raises
            return _plainly(metric, layers, limit)
        return self._usual_points(metric.data, points, written, memory, limit)

    def _usual_points(
        self, data: Any, points: list[Any], written: _Written, memory: _MetricMemory, limit: int
    ) -> Iterator[bytes | EncodedPoint]:
        make_writer, attribute_number, exemplar_number = written
        point_bytes, point_class = make_writer(), points[0].__class__
        look_up, attribute_fields = self.attributes.look_up, self.attributes.fields
        tail, reordered = memory.tail, False
        for point, (parts, types, fields) in zip(points, chain(memory.sets, repeat(_UNKNOWN)), strict=False):
            request: bytes | EncodedPoint
            try:
                if point.__class__ is not point_class:
                    raise UnusualPointError("a point of another class")
                core = point_bytes(point)
                attributes = point.attributes
                values = attributes.values()
                if (*attributes, *values) != parts or (types and (*map(type, values),) != types):
                    found = look_up(attribute_number, attributes)
                    fields = found.fields
                    reordered = reordered or found.parts is not INCOMPARABLE
                exemplars = point.exemplars
                if exemplars:
                    fields += exemplar_fields(exemplar_number, exemplars, attribute_fields)
                request = b"".join((memory[len(core) + len(fields)], core, fields, tail))
            except Exception:  # noqa: BLE001 - the plain way finds out what it is worth
                request = encode_point(memory.place, data, point, limit)
            yield request
        if reordered and len(points) <= MAX_ORDERED:
            memory.sets = [self._set_of(attribute_number, point) for point in points]

    def _set_of(self, attribute_number: int, point: Any) -> AttributeSet:
        try:
            return self.attributes.look_up(attribute_number, point.attributes)
        except Exception:  # noqa: BLE001 - an odd point
            return _UNKNOWN

    def _memory(
        self, metric: Any, kind: messages.Kind, layers: tuple[Layer, ...], limit: int
    ) -> _MetricMemory:
        """What is known of the metric, with all that its requests have beside their points as the key."""
        if self.attributes.is_outdated:
            self.attributes, self._metrics = AttributeMemory(), {}
        data = metric.data
        names = (metric.name, metric.description, metric.unit)
        temporality = int(getattr(data, "aggregation_temporality", 0))
        monotonic = bool(getattr(data, "is_monotonic", False))
        key = (limit, layers, kind.metric_field, names, temporality, monotonic)
        lasting = _NAME_TYPES.issuperset(map(type, names))
        memory = self._metrics.get(key) if lasting else None
        if memory is None:
            place = place_of(metric, layers)
            memory = _MetricMemory(place, point_layers(place, data, kind), limit)
            if lasting:
                if len(self._metrics) >= MAX_METRICS:
                    self._metrics.clear()
                self._metrics[key] = memory
        return memory


def _plainly(metric: Any, layers: tuple[Layer, ...], limit: int) -> Iterator[EncodedPoint]:
    """The metric's points as messages; if there is no having even its name or its points, they are lost."""
    number = 1
    try:
        points = [*metric.data.data_points]
        number = len(points)
        place = place_of(metric, layers)
    except Exception:  # noqa: BLE001 - one odd metric must not cost the others
        for _ in range(number):
            yield EncodedPoint(text_of(metric), None, problem=NOT_ENCODABLE)
        return
    for point in points:
        yield encode_point(place, metric.data, point, limit)
