"""``ExportMetricsServiceRequest`` bytes to data points: any number of them, all five kinds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1 import metrics_pb2 as pb

from otel_etw.errors import DecodeError
from otel_etw.layouts.items import Buckets, ExemplarItem, MetricPoint
from otel_etw.layouts.otlp_metrics.values import python_attributes

_TEMPORALITIES = {1: "delta", 2: "cumulative"}


def decode_points(payload: bytes | bytearray | memoryview) -> list[MetricPoint]:
    """All data points of a serialized request, in its order; :class:`DecodeError` if it is none."""
    try:
        request = ExportMetricsServiceRequest.FromString(bytes(payload))
        return [point for of_resource in request.resource_metrics for point in _resource_points(of_resource)]
    except Exception as error:  # each protobuf implementation refuses in its own way
        raise DecodeError(f"expected an OTLP metrics request: {error}", where="payload") from error


def _resource_points(of_resource: pb.ResourceMetrics) -> Iterator[MetricPoint]:
    resource = python_attributes(of_resource.resource.attributes)
    shared = {
        "resource": resource,
        "resource_schema_url": of_resource.schema_url,
        "service_name": _text(resource.get("service.name")),
        "service_instance_id": _text(resource.get("service.instance.id")),
    }
    for of_scope in of_resource.scope_metrics:
        scope = {
            "scope_name": of_scope.scope.name,
            "scope_version": of_scope.scope.version,
            "scope_schema_url": of_scope.schema_url,
            "scope_attributes": python_attributes(of_scope.scope.attributes),
        }
        for metric in of_scope.metrics:
            yield from _metric_points(metric, {**shared, **scope})


def _metric_points(metric: pb.Metric, shared: dict[str, Any]) -> Iterator[MetricPoint]:
    kind = metric.WhichOneof("data")
    if kind is None:
        return
    data = getattr(metric, kind)
    for point in data.data_points:
        yield MetricPoint(
            time_unix_nano=point.time_unix_nano,
            start_time_unix_nano=point.start_time_unix_nano or None,
            metric_name=metric.name,
            description=metric.description,
            unit=metric.unit,
            kind=kind,
            temporality=_TEMPORALITIES.get(getattr(data, "aggregation_temporality", 0)),
            is_monotonic=data.is_monotonic if kind == "sum" else None,
            attributes=python_attributes(point.attributes),
            flags=point.flags,
            exemplars=_exemplars(getattr(point, "exemplars", ())),
            **_FACTS[kind](point),
            **shared,
        )


def _number_facts(point: pb.NumberDataPoint) -> dict[str, Any]:
    return {"value": _value(point)}


def _histogram_facts(point: pb.HistogramDataPoint) -> dict[str, Any]:
    return {
        **_aggregates(point),
        "explicit_bounds": tuple(point.explicit_bounds),
        "bucket_counts": tuple(point.bucket_counts),
    }


def _exponential_facts(point: pb.ExponentialHistogramDataPoint) -> dict[str, Any]:
    return {
        **_aggregates(point),
        "scale": point.scale,
        "zero_count": point.zero_count,
        "zero_threshold": point.zero_threshold,
        "positive": _buckets(point, "positive"),
        "negative": _buckets(point, "negative"),
    }


def _summary_facts(point: pb.SummaryDataPoint) -> dict[str, Any]:
    quantiles = tuple((at.quantile, at.value) for at in point.quantile_values)
    return {"count": point.count, "sum": point.sum, "quantiles": quantiles}


_FACTS: dict[str, Any] = {
    "gauge": _number_facts,
    "sum": _number_facts,
    "histogram": _histogram_facts,
    "exponential_histogram": _exponential_facts,
    "summary": _summary_facts,
}


def _aggregates(point: pb.HistogramDataPoint | pb.ExponentialHistogramDataPoint) -> dict[str, Any]:
    return {
        "count": point.count,
        "sum": point.sum if point.HasField("sum") else None,
        "min": point.min if point.HasField("min") else None,
        "max": point.max if point.HasField("max") else None,
    }


def _buckets(point: pb.ExponentialHistogramDataPoint, side: str) -> Buckets | None:
    if not point.HasField(side):  # type: ignore[arg-type]
        return None
    buckets = getattr(point, side)
    return Buckets(buckets.offset, tuple(buckets.bucket_counts))


def _exemplars(exemplars: Sequence[pb.Exemplar]) -> tuple[ExemplarItem, ...]:
    return tuple(
        ExemplarItem(
            time_unix_nano=exemplar.time_unix_nano,
            value=_value(exemplar) or 0,
            trace_id=exemplar.trace_id.hex() or None,
            span_id=exemplar.span_id.hex() or None,
            attributes=python_attributes(exemplar.filtered_attributes),
        )
        for exemplar in exemplars
    )


def _value(message: pb.NumberDataPoint | pb.Exemplar) -> int | float | None:
    kind = message.WhichOneof("value")
    return None if kind is None else getattr(message, kind)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
