"""Data points and exemplars as protobuf messages: the plain way, which takes any number for what it is worth.

The points may be any objects with the attributes of the SDK's data points; the kind shows in them.
Attributes and exemplars are not part of a point's message here: whoever puts a request together adds their
bytes, and leaves them out where there is no room.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from google.protobuf.message import Message
from opentelemetry.proto.metrics.v1 import metrics_pb2 as pb

from otel_etw.layouts.otlp_metrics.values import key_values
from otel_etw.layouts.otlp_metrics.wire import delimited

_UINT64_MAX = 2**64 - 1
_INT64 = range(-(2**63), 2**63)


class Kind(NamedTuple):
    """A kind of metric data: its field in ``Metric``, its message, its point's message, how to make one."""

    metric_field: str
    data: type[Message]
    point: type[Message]
    make: Callable[[Any], Message]


def kind_of(data: Any, point: Any) -> Kind:
    """The kind of a metric's data, of which ``point`` is one."""
    if hasattr(data, "is_monotonic"):
        return SUM
    if hasattr(point, "scale"):
        return EXPONENTIAL
    if hasattr(point, "bucket_counts"):
        return HISTOGRAM
    return SUMMARY if hasattr(point, "quantile_values") else GAUGE


def field_number(message: type[Message], field_name: str) -> int:
    """A field's number, from the ``.proto`` file by way of the generated class."""
    number: int = message.DESCRIPTOR.fields_by_name[field_name].number
    return number


def exemplars_of(point: Any, kind: Kind) -> Iterator[bytes]:
    """The point's exemplars, each as one field of the point."""
    for exemplar in getattr(point, "exemplars", None) or ():
        message = pb.Exemplar(
            time_unix_nano=_uint64(exemplar.time_unix_nano),
            filtered_attributes=key_values(exemplar.filtered_attributes),
            span_id=_id_bytes(exemplar.span_id, 8),
            trace_id=_id_bytes(exemplar.trace_id, 16),
        )
        _set_value(message, exemplar.value)
        yield delimited(field_number(kind.point, "exemplars"), message.SerializeToString())


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


GAUGE = Kind("gauge", pb.Gauge, pb.NumberDataPoint, _number_point)
SUM = Kind("sum", pb.Sum, pb.NumberDataPoint, _number_point)
HISTOGRAM = Kind("histogram", pb.Histogram, pb.HistogramDataPoint, _histogram_point)
EXPONENTIAL = Kind(
    "exponential_histogram", pb.ExponentialHistogram, pb.ExponentialHistogramDataPoint, _exponential_point
)
SUMMARY = Kind("summary", pb.Summary, pb.SummaryDataPoint, _summary_point)
