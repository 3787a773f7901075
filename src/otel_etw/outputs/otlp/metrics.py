"""Rows of ``metric_points`` as an OTLP ``MetricsData``: all five kinds, exemplars, resource and scope."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import pyarrow as pa
from opentelemetry.proto.metrics.v1 import metrics_pb2 as pb
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from otel_etw.outputs.otlp.columns import rows_of
from otel_etw.outputs.otlp.grouping import (
    SCOPE_COLUMNS,
    SERVICE_COLUMNS,
    Groups,
    ScopeKey,
    scope_message,
    service_resource,
)
from otel_etw.outputs.otlp.values import (
    attributes_of,
    double,
    key_values_of,
    nanoseconds,
    parsed,
    span_id,
    trace_id,
    within,
)

_TEMPORALITIES = {
    "delta": pb.AGGREGATION_TEMPORALITY_DELTA,
    "cumulative": pb.AGGREGATION_TEMPORALITY_CUMULATIVE,
}
_INT64 = range(-(2**63), 2**63)


class _MetricKey(NamedTuple):
    """What the points of one metric have in common; the columns of these names."""

    metric_name: str | None
    description: str | None
    unit: str | None
    kind: str | None
    temporality: str | None
    is_monotonic: bool | None


@dataclass(slots=True)
class _Point:
    """One data point; the columns of these names."""

    time: int
    start_time: int | None
    value: float | None
    int_value: int | None
    count: int | None
    sum: float | None
    min: float | None
    max: float | None
    explicit_bounds: list[float] | None
    bucket_counts: list[int] | None
    scale: int | None
    zero_count: int | None
    zero_threshold: float | None
    positive_offset: int | None
    positive_counts: list[int] | None
    negative_offset: int | None
    negative_counts: list[int] | None
    quantiles: str | None
    exemplars: str | None
    attributes: str | None
    flags: int | None


def metrics_data(batch: pa.RecordBatch) -> pb.MetricsData:
    """All rows of ``batch``, gathered by resource, scope and metric, else in their order."""
    data = pb.MetricsData()

    def add_resource(key: Any) -> pb.ResourceMetrics:
        resource, schema_url, *service = key
        return data.resource_metrics.add(resource=_resource(resource, service), schema_url=schema_url or "")

    def add_scope(of_resource: pb.ResourceMetrics, scope: ScopeKey) -> _ScopePoints:
        url = scope.schema_url or ""
        return _ScopePoints(of_resource.scope_metrics.add(scope=scope_message(scope), schema_url=url))

    groups = Groups(add_resource, add_scope)
    resources = rows_of(batch, ("resource", "resource_schema_url", *SERVICE_COLUMNS))
    scopes = rows_of(batch, SCOPE_COLUMNS)
    metrics = rows_of(batch, _MetricKey._fields)
    points = rows_of(batch, tuple(column.name for column in fields(_Point)))
    for resource, scope, metric, point in zip(resources, scopes, metrics, points, strict=True):
        groups.of(resource, ScopeKey(*scope)).add(_MetricKey(*metric), _Point(*point))
    return data


class _ScopePoints:
    """The metrics of one scope, found again for each of their points."""

    def __init__(self, of_scope: pb.ScopeMetrics) -> None:
        self._of_scope = of_scope
        self._metrics: dict[_MetricKey, Any] = {}

    def add(self, key: _MetricKey, point: _Point) -> None:
        """One more point of the metric ``key``; a kind that OTLP does not have is left out."""
        if key.kind not in _MESSAGES:
            return
        data_points = self._metrics.get(key)
        if data_points is None:
            data_points = self._metrics[key] = _add_metric(self._of_scope, key).data_points
        data_points.append(_MESSAGES[key.kind](point))


def _add_metric(of_scope: pb.ScopeMetrics, key: _MetricKey) -> Any:
    metric = of_scope.metrics.add(
        name=key.metric_name or "", description=key.description or "", unit=key.unit or ""
    )
    data: Any = getattr(metric, str(key.kind))
    data.SetInParent()
    if key.kind in ("sum", "histogram", "exponential_histogram"):
        data.aggregation_temporality = _TEMPORALITIES.get(
            key.temporality or "", pb.AGGREGATION_TEMPORALITY_UNSPECIFIED
        )
    if key.kind == "sum":
        data.is_monotonic = bool(key.is_monotonic)
    return data


def _resource(text: str | None, service: Any) -> Resource:
    return service_resource(tuple(service)) if text is None else Resource(attributes=attributes_of(text))


def _common(point: _Point) -> dict[str, Any]:
    return {
        "time_unix_nano": nanoseconds(point.time),
        "start_time_unix_nano": nanoseconds(point.start_time),
        "attributes": attributes_of(point.attributes),
        "flags": within(point.flags, 32),
    }


def _number(point: _Point) -> pb.NumberDataPoint:
    message = pb.NumberDataPoint(**_common(point), exemplars=_exemplars(point.exemplars))
    if point.int_value is not None:
        message.as_int = point.int_value
    elif point.value is not None:
        message.as_double = point.value
    return message


def _aggregates(point: _Point) -> dict[str, Any]:
    return {
        **_common(point),
        "count": within(point.count, 64),
        "sum": point.sum,
        "min": point.min,
        "max": point.max,
        "exemplars": _exemplars(point.exemplars),
    }


def _histogram(point: _Point) -> pb.HistogramDataPoint:
    return pb.HistogramDataPoint(
        **_aggregates(point),
        explicit_bounds=point.explicit_bounds or (),
        bucket_counts=point.bucket_counts or (),
    )


def _exponential(point: _Point) -> pb.ExponentialHistogramDataPoint:
    return pb.ExponentialHistogramDataPoint(
        **_aggregates(point),
        scale=point.scale or 0,
        zero_count=within(point.zero_count, 64),
        zero_threshold=point.zero_threshold or 0.0,
        positive=_buckets(point.positive_offset, point.positive_counts),
        negative=_buckets(point.negative_offset, point.negative_counts),
    )


def _summary(point: _Point) -> pb.SummaryDataPoint:
    return pb.SummaryDataPoint(
        **_common(point),
        count=within(point.count, 64),
        sum=point.sum or 0.0,
        quantile_values=[
            pb.SummaryDataPoint.ValueAtQuantile(quantile=double(quantile), value=double(value))
            for quantile, value in parsed(point.quantiles) or ()
        ],
    )


def _buckets(offset: int | None, counts: list[int] | None) -> pb.ExponentialHistogramDataPoint.Buckets | None:
    if offset is None and counts is None:
        return None
    return pb.ExponentialHistogramDataPoint.Buckets(offset=offset or 0, bucket_counts=counts or ())


def _exemplars(text: str | None) -> list[pb.Exemplar]:
    return [_exemplar(exemplar) for exemplar in parsed(text) or ()]


def _exemplar(facts: dict[str, Any]) -> pb.Exemplar:
    message = pb.Exemplar(
        time_unix_nano=nanoseconds(facts.get("time_unix_nano")),
        trace_id=trace_id(facts.get("trace_id")),
        span_id=span_id(facts.get("span_id")),
        filtered_attributes=key_values_of(facts.get("attributes")),
    )
    value = facts.get("value")
    if isinstance(value, int) and value in _INT64:
        message.as_int = value
    else:
        message.as_double = double(value)
    return message


_MESSAGES: dict[str | None, Callable[[_Point], Any]] = {
    "gauge": _number,
    "sum": _number,
    "histogram": _histogram,
    "exponential_histogram": _exponential,
    "summary": _summary,
}
