"""Data points to events: a whole export, against the SDK's OTLP encoder given one point at a time.

One point at a time, because every point is an event of its own: the layout demands it.  Both sides have the
same points of one SDK collection: 10 metrics with 200 points of three attributes.  Ours is a whole
``EtwMetricExporter.export`` with warm caches, its last call a function that does nothing, since theirs writes
nothing either; theirs is ``encode_metrics`` on messages prepared beforehand, one point in each, and does not
even serialize them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    InMemoryMetricReader,
    Metric,
    MetricsData,
    ResourceMetrics,
    ScopeMetrics,
)
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource

from benchmarks.do_nothing import NowhereSession
from benchmarks.measuring import best_ns, check
from benchmarks.table import Row, micro
from otel_etw import EtwMetricExporter

METRICS = 10
POINTS = 200
_EXPORTS = 10
ROUTES = ("/cart", "/checkout", "/product/{id}", "/login", "/search")
METHODS = ("GET", "POST", "PUT", "DELETE")


def rows(rounds: int) -> Iterator[Row]:
    """Counters, which the bar is about, and both kinds of histograms."""
    for kind in ("counter", "histogram", "exponential"):
        data = collected(kind)
        singles = one_by_one(data)
        exporter = EtwMetricExporter(session=NowhereSession())
        spent = best_ns(
            {"ours": _export_loop(exporter, data), "peer": _encode_loop(singles)},
            times=_EXPORTS * len(singles),
            rounds=rounds,
        )
        check(exporter.stats)
        yield Row(
            f"{METRICS * POINTS:,} points in {METRICS} metrics, {_WORDS[kind]}",
            f"{micro(spent['ours'])} a point",
            f"{micro(spent['peer'])} `encode_metrics`, one point at a time",
            spent["peer"] / spent["ours"],
            at_least=25 if kind == "counter" else None,
            digits=1,
        )


_WORDS = {"counter": "counters", "histogram": "histograms", "exponential": "exponential histograms"}


def _export_loop(exporter: EtwMetricExporter, data: MetricsData) -> Callable[[int], None]:
    def loop(times: int) -> None:
        for _ in range(times // (METRICS * POINTS)):
            exporter.export(data)

    return loop


def _encode_loop(singles: list[MetricsData]) -> Callable[[int], None]:
    def loop(times: int) -> None:
        for _ in range(times // len(singles)):
            for single in singles:
                encode_metrics(single)

    return loop


def collected(kind: str) -> MetricsData:
    """``METRICS`` x ``POINTS`` points with three attributes each, as the SDK collects them."""
    reader = InMemoryMetricReader()
    resource = Resource.create({"service.name": "shop", "service.version": "1.2.3"})
    views = [View(instrument_name="exponential*", aggregation=ExponentialBucketHistogramAggregation())]
    provider = MeterProvider([reader], resource, views=views, shutdown_on_exit=False)
    meter = provider.get_meter("shop.instrumentation", "1.0")
    for number in range(METRICS):
        name = f"{kind}.requests.{number}"
        if kind == "counter":
            record: Callable[..., None] = meter.create_counter(name, "1", "Requests served").add
        else:
            record = meter.create_histogram(name, "ms", "Duration of requests").record
        for point in range(POINTS):
            attributes = {
                "http.route": ROUTES[point % 5],
                "http.request.method": METHODS[point // 5 % 4],
                "server.address": f"host-{point // 20}",
            }
            values = (
                [point + 1] if kind == "counter" else [float(value + point) for value in range(3, 3000, 200)]
            )
            for value in values:
                record(value, attributes)
    data = reader.get_metrics_data()
    provider.shutdown()
    if data is None:
        raise SystemExit("the SDK collected nothing")
    return data


def one_by_one(data: MetricsData) -> list[MetricsData]:
    """The same points, each in a collection of its own."""
    return [
        MetricsData(
            [
                ResourceMetrics(
                    of_resource.resource,
                    [
                        ScopeMetrics(
                            of_scope.scope,
                            [
                                Metric(
                                    metric.name,
                                    metric.description,
                                    metric.unit,
                                    _with_point(metric.data, point),
                                )
                            ],
                            of_scope.schema_url,
                        )
                    ],
                    of_resource.schema_url,
                )
            ]
        )
        for of_resource in data.resource_metrics
        for of_scope in of_resource.scope_metrics
        for metric in of_scope.metrics
        for point in metric.data.data_points
    ]


def _with_point(data: Any, point: Any) -> Any:
    return type(data)(**{**vars(data), "data_points": [point]})
