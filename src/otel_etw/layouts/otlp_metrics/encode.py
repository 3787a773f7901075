"""One data point, one request: what repeats is serialized once per batch and spliced around each point.

A protobuf message inside another is its bytes behind a field tag and a length, so resource, scope and
metric need no second serialization for the next point.  Tags are built from the field numbers of the
``.proto`` files, by way of the generated classes.

The points may be any objects with the attributes of the SDK's data points; the kind shows in them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from google.protobuf.message import Message
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.metrics.v1 import metrics_pb2 as pb
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from otel_etw.layouts.common_schema.names import TRUNCATED
from otel_etw.layouts.json_text import json_text
from otel_etw.layouts.otlp_metrics.values import key_value, key_values
from otel_etw.layouts.plain_text import text_of
from otel_etw.tracelogging.metadata import EventMetadata, encode_metadata
from otel_etw.tracelogging.types import EventDescriptor, Level

MAX_REQUEST_BYTES = 65360
"""Largest request that the Rust and .NET exporters send: 64 KiB less the event's header and a margin."""

DESCRIPTOR = EventDescriptor(id=81, level=Level.INFORMATIONAL, keyword=1)
METADATA = encode_metadata(EventMetadata("otlp_metrics", ()))
"""The event is named but describes no fields; all of its payload is the request."""

_UINT64_MAX = 2**64 - 1
_INT64 = range(-(2**63), 2**63)


@dataclass(frozen=True)
class EncodedPoint:
    """One data point's request, or why there is none.

    ``payload`` is ``None`` for a point that cannot go out; ``problem`` then says why (``"too large"``,
    ``"not encodable"``).  ``truncated`` maps what was left out (an attribute's key, ``"exemplars"``) to the
    bytes it would have taken.
    """

    metric_name: str
    payload: bytes | None
    truncated: Mapping[str, int] = field(default_factory=dict)
    problem: str | None = None


def encode_points(
    resource_metrics: Iterable[Any], max_bytes: int = MAX_REQUEST_BYTES
) -> Iterator[EncodedPoint]:
    """One request of at most ``max_bytes`` for every data point, in the order scopes, metrics, points.

    A point too large loses its exemplars, then attributes, the longest first; one that has lost attributes is
    marked by an attribute ``otel_etw.truncated`` (JSON text: key -> bytes) if that still fits.  An odd
    point raises nothing; a resource or scope that is none may.
    """
    limit = min(max_bytes, MAX_REQUEST_BYTES)
    for of_resource in resource_metrics:
        schema_url = _schema_url(of_resource)
        resource = Resource(attributes=key_values(of_resource.resource.attributes))
        outer = [
            _Layer(b"", _number(ExportMetricsServiceRequest, "resource_metrics"), b""),
            _layer(pb.ResourceMetrics(resource=resource), "scope_metrics", schema_url),
        ]
        for of_scope in of_resource.scope_metrics:
            scope = _layer(pb.ScopeMetrics(scope=_scope(of_scope.scope)), "metrics", schema_url)
            for metric in of_scope.metrics:
                yield from _encode_metric(metric, [*outer, scope], limit)


class _Layer(NamedTuple):
    """A message around another one: its fields before it, the inner one's field number, its fields after."""

    before: bytes
    field_number: int
    after: bytes


def _wrap(data: bytes, layers: Sequence[_Layer]) -> bytes:
    for before, field_number, after in reversed(layers):
        data = b"%b%b%b" % (before, _delimited(field_number, data), after)
    return data


def _delimited(field_number: int, data: bytes) -> bytes:
    """A length-delimited protobuf field: tag and length as varints, then the bytes."""
    return _varint(field_number << 3 | 2) + _varint(len(data)) + data


def _varint(number: int) -> bytes:
    if number < 0x80:
        return bytes((number,))
    groups = bytearray()
    while number >= 0x80:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    groups.append(number)
    return bytes(groups)


def _number(message: type[Message], field_name: str) -> int:
    number: int = message.DESCRIPTOR.fields_by_name[field_name].number
    return number


def _layer(message: Message, inner_field: str, schema_url: str) -> _Layer:
    kind = type(message)
    after = _delimited(_number(kind, "schema_url"), schema_url.encode()) if schema_url else b""
    return _Layer(message.SerializeToString(), _number(kind, inner_field), after)


def _schema_url(of_resource: Any) -> str:
    """The resource's schema URL, which the reference writes in place of the scope's own too."""
    return text_of(
        getattr(of_resource, "schema_url", "") or getattr(of_resource.resource, "schema_url", "") or ""
    )


def _scope(scope: Any) -> InstrumentationScope:
    if scope is None:
        return InstrumentationScope()
    return InstrumentationScope(
        name=text_of(scope.name or ""),
        version=text_of(scope.version or ""),
        attributes=key_values(scope.attributes),
    )


class _Kind(NamedTuple):
    """A kind of metric data: its field in ``Metric``, its message, its point's message, how to make one."""

    metric_field: str
    data: type[Message]
    point: type[Message]
    make: Callable[[Any], Message]


def _encode_metric(metric: Any, layers: list[_Layer], limit: int) -> Iterator[EncodedPoint]:
    name = text_of(metric.name)
    head = pb.Metric(
        name=name, description=text_of(metric.description or ""), unit=text_of(metric.unit or "")
    )
    before = head.SerializeToString()
    for point in metric.data.data_points:
        try:
            kind = _kind_of(metric.data, point)
            metric_layer = _Layer(before, _number(pb.Metric, kind.metric_field), b"")
            data_layer = _Layer(b"", _number(kind.data, "data_points"), _data_tail(metric.data, kind))
            yield _encode_point(name, point, kind, [*layers, metric_layer, data_layer], limit)
        except Exception:  # noqa: BLE001 - one odd point must not cost the others
            yield EncodedPoint(name, None, problem="not encodable")


def _kind_of(data: Any, point: Any) -> _Kind:
    if hasattr(data, "is_monotonic"):
        return _SUM
    if hasattr(point, "scale"):
        return _EXPONENTIAL
    if hasattr(point, "bucket_counts"):
        return _HISTOGRAM
    return _SUMMARY if hasattr(point, "quantile_values") else _GAUGE


def _data_tail(data: Any, kind: _Kind) -> bytes:
    """What the metric's data has beside its points: temporality and, for a sum, whether it is monotonic."""
    message = kind.data()
    if hasattr(data, "aggregation_temporality"):
        message.aggregation_temporality = int(data.aggregation_temporality)  # type: ignore[attr-defined]
    if kind is _SUM:
        message.is_monotonic = bool(data.is_monotonic)  # type: ignore[attr-defined]
    return message.SerializeToString()


def _encode_point(name: str, point: Any, kind: _Kind, layers: list[_Layer], limit: int) -> EncodedPoint:
    core = kind.make(point).SerializeToString()
    attribute_number = _number(kind.point, "attributes")
    attributes = [
        (pair.key, _delimited(attribute_number, pair.SerializeToString()))
        for pair in key_values(point.attributes)
    ]
    exemplars = b"".join(_exemplars(point, kind))
    parts = [core, *(data for _, data in attributes), exemplars]
    payload = _wrap(b"".join(parts), layers)
    if len(payload) <= limit:
        return EncodedPoint(name, payload)
    # The lengths around a shorter point may be shorter themselves; as they are they err on the safe side.
    room = limit - (len(payload) - sum(map(len, parts)))
    return _reduced(name, core, attributes, exemplars, room, attribute_number, layers)


def _reduced(
    name: str,
    core: bytes,
    attributes: list[tuple[str, bytes]],
    exemplars: bytes,
    room: int,
    attribute_number: int,
    layers: list[_Layer],
) -> EncodedPoint:
    """The point without its exemplars and as many of its longest attributes as it takes to fit ``room``."""
    truncated = {"exemplars": len(exemplars)} if exemplars else {}
    size = len(core) + sum(len(data) for _, data in attributes)
    kept = dict(enumerate(data for _, data in attributes))
    left_out: dict[str, int] = {}
    for number in sorted(kept, key=lambda number: len(kept[number]), reverse=True):
        if size <= room:
            break
        length_bytes = len(kept.pop(number))
        key = attributes[number][0]
        left_out[key] = left_out.get(key, 0) + length_bytes
        size -= length_bytes
    if size > room:
        return EncodedPoint(name, None, problem="too large")
    fields = list(kept.values())
    if left_out:
        mark = key_value(TRUNCATED, json_text(left_out)).SerializeToString()
        mark_field = _delimited(attribute_number, mark)
        if size + len(mark_field) <= room:
            fields.append(mark_field)
    return EncodedPoint(name, _wrap(b"".join((core, *fields)), layers), {**truncated, **left_out})


def _exemplars(point: Any, kind: _Kind) -> Iterator[bytes]:
    exemplars = getattr(point, "exemplars", None) or ()
    for exemplar in exemplars:
        message = pb.Exemplar(
            time_unix_nano=_uint64(exemplar.time_unix_nano),
            filtered_attributes=key_values(exemplar.filtered_attributes),
            span_id=_id_bytes(exemplar.span_id, 8),
            trace_id=_id_bytes(exemplar.trace_id, 16),
        )
        _set_value(message, exemplar.value)
        yield _delimited(_number(kind.point, "exemplars"), message.SerializeToString())


def _id_bytes(number: int | None, size_bytes: int) -> bytes:
    return number.to_bytes(size_bytes, "big") if number else b""


def _set_value(message: pb.NumberDataPoint | pb.Exemplar, value: Any) -> None:
    if isinstance(value, int) and int(value) in _INT64:
        message.as_int = int(value)
    else:
        message.as_double = _double(value)


def _double(value: Any) -> float:
    """A number as a double; an integer beyond its range becomes infinite."""
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


def _uint64(number: int | None) -> int:
    return min(max(int(number or 0), 0), _UINT64_MAX)


def _number_point(point: Any) -> Message:
    message = pb.NumberDataPoint(
        start_time_unix_nano=_uint64(point.start_time_unix_nano), time_unix_nano=_uint64(point.time_unix_nano)
    )
    _set_value(message, point.value)
    return message


def _histogram_point(point: Any) -> Message:
    message = pb.HistogramDataPoint(
        start_time_unix_nano=_uint64(point.start_time_unix_nano),
        time_unix_nano=_uint64(point.time_unix_nano),
        count=_uint64(point.count),
        bucket_counts=[_uint64(count) for count in point.bucket_counts],
        explicit_bounds=[_double(bound) for bound in point.explicit_bounds],
    )
    _set_aggregates(message, point)
    return message


def _exponential_point(point: Any) -> Message:
    message = pb.ExponentialHistogramDataPoint(
        start_time_unix_nano=_uint64(point.start_time_unix_nano),
        time_unix_nano=_uint64(point.time_unix_nano),
        count=_uint64(point.count),
        scale=point.scale,
        zero_count=_uint64(point.zero_count),
        zero_threshold=_double(getattr(point, "zero_threshold", 0.0)),
        positive=_buckets(point.positive),
        negative=_buckets(point.negative),
        flags=getattr(point, "flags", 0) or 0,
    )
    _set_aggregates(message, point)
    return message


def _buckets(buckets: Any) -> pb.ExponentialHistogramDataPoint.Buckets:
    counts = [_uint64(count) for count in buckets.bucket_counts]
    return pb.ExponentialHistogramDataPoint.Buckets(offset=buckets.offset, bucket_counts=counts)


def _set_aggregates(message: pb.HistogramDataPoint | pb.ExponentialHistogramDataPoint, point: Any) -> None:
    """Sum, and minimum and maximum if recorded: if not, the SDK has infinities the wrong way round."""
    if point.sum is not None:
        message.sum = _double(point.sum)
    if point.min is not None and point.max is not None and point.min <= point.max:
        message.min = _double(point.min)
        message.max = _double(point.max)


def _summary_point(point: Any) -> Message:
    quantiles = [
        pb.SummaryDataPoint.ValueAtQuantile(quantile=_double(at.quantile), value=_double(at.value))
        for at in point.quantile_values
    ]
    return pb.SummaryDataPoint(
        start_time_unix_nano=_uint64(point.start_time_unix_nano),
        time_unix_nano=_uint64(point.time_unix_nano),
        count=_uint64(point.count),
        sum=_double(point.sum),
        quantile_values=quantiles,
    )


_GAUGE = _Kind("gauge", pb.Gauge, pb.NumberDataPoint, _number_point)
_SUM = _Kind("sum", pb.Sum, pb.NumberDataPoint, _number_point)
_HISTOGRAM = _Kind("histogram", pb.Histogram, pb.HistogramDataPoint, _histogram_point)
_EXPONENTIAL = _Kind(
    "exponential_histogram", pb.ExponentialHistogram, pb.ExponentialHistogramDataPoint, _exponential_point
)
_SUMMARY = _Kind("summary", pb.Summary, pb.SummaryDataPoint, _summary_point)
