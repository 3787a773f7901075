"""One data point, one request, the plain way: protobuf messages, wrapped in their layers.

This is the reference that :mod:`.encode` is held against, and what it turns to for whatever is unusual: a
point too large, a number out of range, an attribute value of a kind that is seldom seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from google.protobuf.message import Message
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.metrics.v1 import metrics_pb2 as pb
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from otel_etw.layouts.common_schema.names import TRUNCATED
from otel_etw.layouts.json_text import json_text
from otel_etw.layouts.otlp_metrics.event import MAX_REQUEST_BYTES, NOT_ENCODABLE, TOO_LARGE, EncodedPoint
from otel_etw.layouts.otlp_metrics.messages import SUM, Kind, exemplars_of, field_number, kind_of
from otel_etw.layouts.otlp_metrics.values import key_value, key_values, own_text
from otel_etw.layouts.otlp_metrics.wire import Layer, delimited, wrap


def encode_points(
    resource_metrics: Iterable[Any], max_bytes: int = MAX_REQUEST_BYTES
) -> Iterator[EncodedPoint]:
    """One request of at most ``max_bytes`` for every data point, in the order scopes, metrics, points.

    A point too large loses its exemplars, then attributes, the longest first; one that has lost attributes is
    marked by an attribute ``otel_etw.truncated`` (JSON text: key -> bytes) if that still fits.  An odd
    point raises nothing; a resource, scope or metric that is none may.
    """
    limit = min(max_bytes, MAX_REQUEST_BYTES)
    for of_resource in resource_metrics:
        for of_scope, layers in scopes_of(of_resource):
            for metric in of_scope.metrics:
                place = place_of(metric, layers)
                for point in metric.data.data_points:
                    yield encode_point(place, metric.data, point, limit)


def scopes_of(of_resource: Any) -> Iterator[tuple[Any, tuple[Layer, ...]]]:
    """Each ``ScopeMetrics`` of the SDK with the layers around its metrics: request, resource, scope."""
    schema_url = _schema_url(of_resource)
    resource = Resource(attributes=key_values(of_resource.resource.attributes))
    outer = (
        Layer(b"", field_number(ExportMetricsServiceRequest, "resource_metrics"), b""),
        _layer(pb.ResourceMetrics(resource=resource), "scope_metrics", schema_url),
    )
    for of_scope in of_resource.scope_metrics:
        yield of_scope, (*outer, _layer(pb.ScopeMetrics(scope=_scope(of_scope.scope)), "metrics", schema_url))


class MetricPlace(NamedTuple):
    """A metric's name, its fields before its data, and the layers around it."""

    name: str
    head: bytes
    layers: tuple[Layer, ...]


def place_of(metric: Any, layers: tuple[Layer, ...]) -> MetricPlace:
    """Where the points of a metric of the SDK stand."""
    name = own_text(metric.name)
    head = pb.Metric(
        name=name, description=own_text(metric.description or ""), unit=own_text(metric.unit or "")
    )
    return MetricPlace(name, head.SerializeToString(), layers)


def point_layers(place: MetricPlace, data: Any, kind: Kind) -> tuple[Layer, ...]:
    """All layers around one of the metric's points."""
    return (
        *place.layers,
        Layer(place.head, field_number(pb.Metric, kind.metric_field), b""),
        Layer(b"", field_number(kind.data, "data_points"), _data_tail(data, kind)),
    )


def encode_point(place: MetricPlace, data: Any, point: Any, limit: int) -> EncodedPoint:
    """The request of one point of ``data``, at most ``limit`` bytes; never raises."""
    try:
        return _encode_point(place, data, point, limit)
    except Exception:  # noqa: BLE001 - one odd point must not cost the others
        return EncodedPoint(place.name, None, problem=NOT_ENCODABLE)


def _layer(message: Message, inner_field: str, schema_url: str) -> Layer:
    kind = type(message)
    after = delimited(field_number(kind, "schema_url"), schema_url.encode()) if schema_url else b""
    return Layer(message.SerializeToString(), field_number(kind, inner_field), after)


def _schema_url(of_resource: Any) -> str:
    """The resource's schema URL, which the reference writes in place of the scope's own too."""
    return own_text(
        getattr(of_resource, "schema_url", "") or getattr(of_resource.resource, "schema_url", "") or ""
    )


def _scope(scope: Any) -> InstrumentationScope:
    if scope is None:
        return InstrumentationScope()
    return InstrumentationScope(
        name=own_text(scope.name or ""),
        version=own_text(scope.version or ""),
        attributes=key_values(scope.attributes),
    )


def _data_tail(data: Any, kind: Kind) -> bytes:
    """What the metric's data has beside its points: temporality and, for a sum, whether it is monotonic."""
    message = kind.data()
    if hasattr(data, "aggregation_temporality"):
        message.aggregation_temporality = int(data.aggregation_temporality)  # type: ignore[attr-defined]
    if kind is SUM:
        message.is_monotonic = bool(data.is_monotonic)  # type: ignore[attr-defined]
    return message.SerializeToString()


class _PointParts(NamedTuple):
    """A point in the pieces that it may have to do without."""

    core: bytes
    attributes: list[tuple[str, bytes]]
    exemplars: bytes

    def data(self) -> bytes:
        return b"".join((self.core, *(data for _, data in self.attributes), self.exemplars))


def _encode_point(place: MetricPlace, data: Any, point: Any, limit: int) -> EncodedPoint:
    kind = kind_of(data, point)
    layers = point_layers(place, data, kind)
    number = field_number(kind.point, "attributes")
    attributes = [
        (pair.key, delimited(number, pair.SerializeToString())) for pair in key_values(point.attributes)
    ]
    parts = _PointParts(kind.make(point).SerializeToString(), attributes, b"".join(exemplars_of(point, kind)))
    inner = parts.data()
    payload = wrap(inner, layers)
    if len(payload) <= limit:
        return EncodedPoint(place.name, payload)
    # The lengths around a shorter point may be shorter themselves; as they are they err on the safe side.
    room = limit - (len(payload) - len(inner))
    reduced, left_out = _reduced(parts, room, number)
    if reduced is None:
        return EncodedPoint(place.name, None, problem=TOO_LARGE)
    return EncodedPoint(place.name, wrap(reduced, layers), left_out)


def _reduced(parts: _PointParts, room: int, attribute_number: int) -> tuple[bytes | None, dict[str, int]]:
    """The point without its exemplars and as many of its longest attributes as it takes to fit ``room``."""
    truncated = {"exemplars": len(parts.exemplars)} if parts.exemplars else {}
    kept = dict(enumerate(data for _, data in parts.attributes))
    size = len(parts.core) + sum(map(len, kept.values()))
    left_out: dict[str, int] = {}
    for index in sorted(kept, key=lambda index: len(kept[index]), reverse=True):
        if size <= room:
            break
        length_bytes = len(kept.pop(index))
        key = parts.attributes[index][0]
        left_out[key] = left_out.get(key, 0) + length_bytes
        size -= length_bytes
    if size > room:
        return None, {}
    fields = list(kept.values())
    if left_out:
        mark = key_value(TRUNCATED, json_text(left_out)).SerializeToString()
        mark_field = delimited(attribute_number, mark)
        if size + len(mark_field) <= room:
            fields.append(mark_field)
    return b"".join((parts.core, *fields)), {**truncated, **left_out}
