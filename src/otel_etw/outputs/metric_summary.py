"""What the data points of a trace say about each metric, gathered point by point in bounded memory.

A *metric* is told apart by service, scope, name, unit, kind and temporality; a *series* of it by its
attributes (with their types: ``1``, ``1.0`` and ``true`` are different values). Memory grows with the
number of series, not with the number of points. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from otel_etw.layouts.items import MetricPoint
from otel_etw.outputs.histograms import ExplicitHistogram, ExponentialHistogram
from otel_etw.outputs.text import jsonable

QUANTILES = (0.5, 0.9, 0.99)


class MetricKey(NamedTuple):
    """What makes two points belong to the same metric."""

    service_name: str | None
    service_instance_id: str | None
    scope_name: str
    scope_version: str
    name: str
    unit: str
    kind: str
    temporality: str | None
    is_monotonic: bool | None


@dataclass
class Series:
    """One set of attributes of one metric.

    ``last`` is the latest point. Of delta sums, ``total`` adds up all values; of delta histograms,
    ``histogram`` merges all points; of cumulative ones it is made of the last point.
    """

    attributes: Mapping[str, Any]
    last: MetricPoint
    points: int = 0
    total: int | float = 0
    lowest: int | float | None = None
    highest: int | float | None = None
    histogram: ExplicitHistogram | ExponentialHistogram | None = None

    def add(self, point: MetricPoint) -> None:
        """Take in one more point of this series, in any order of time."""
        self.points += 1
        newest = self.points == 1 or point.time_unix_nano >= self.last.time_unix_nano
        if newest:
            self.last = point
        if point.value is not None:
            self._add_value(point.value)
        elif point.kind in ("histogram", "exponential_histogram"):
            self._add_histogram(point, newest)

    @property
    def value(self) -> int | float | None:
        """What the series amounts to: the total of delta sums, else the latest value."""
        return self.total if self.last.temporality == "delta" and self.last.kind == "sum" else self.last.value

    def _add_value(self, value: float) -> None:
        self.total += value
        self.lowest = value if self.lowest is None else min(self.lowest, value)
        self.highest = value if self.highest is None else max(self.highest, value)

    def _add_histogram(self, point: MetricPoint, newest: bool) -> None:
        if point.temporality != "delta":
            if newest:
                self.histogram = _empty_histogram(point)
                self.histogram.add(point)
            return
        if self.histogram is None:
            self.histogram = _empty_histogram(point)
        self.histogram.add(point)


@dataclass
class Metric:
    """One metric and its series, in order of first appearance."""

    key: MetricKey
    description: str
    series: dict[object, Series] = field(default_factory=dict)

    @property
    def points(self) -> int:
        """How many data points were seen."""
        return sum(series.points for series in self.series.values())


class MetricSummary:
    """Collects points; iterating gives the metrics by service and name."""

    def __init__(self) -> None:
        self._metrics: dict[MetricKey, Metric] = {}
        self.points = 0

    def add(self, point: MetricPoint) -> None:
        """Take in one data point of any kind."""
        self.points += 1
        key = _metric_key(point)
        metric = self._metrics.get(key)
        if metric is None:
            metric = self._metrics[key] = Metric(key, point.description)
        identity = _series_identity(point)
        series = metric.series.get(identity)
        if series is None:
            series = metric.series[identity] = Series(point.attributes, point)
        series.add(point)

    def __iter__(self) -> Iterator[Metric]:
        def order(metric: Metric) -> tuple[str, ...]:
            key = metric.key
            return key.service_name or "", key.service_instance_id or "", key.name, *map(str, key)

        return iter(sorted(self._metrics.values(), key=order))

    def __len__(self) -> int:
        return len(self._metrics)

    @property
    def series(self) -> int:
        """How many series there are in all metrics."""
        return sum(len(metric.series) for metric in self._metrics.values())


def _empty_histogram(point: MetricPoint) -> ExplicitHistogram | ExponentialHistogram:
    if point.kind == "exponential_histogram":
        return ExponentialHistogram()
    return ExplicitHistogram(bounds=tuple(point.explicit_bounds))


def _metric_key(point: MetricPoint) -> MetricKey:
    return MetricKey(
        point.service_name,
        point.service_instance_id,
        point.scope_name,
        point.scope_version,
        point.metric_name,
        point.unit,
        point.kind,
        point.temporality,
        point.is_monotonic,
    )


def _series_identity(point: MetricPoint) -> object:
    """Attributes in any order; of delta histograms also the bounds, without which points do not add up."""
    attributes = json.dumps(jsonable(point.attributes), sort_keys=True)
    return (attributes, tuple(point.explicit_bounds)) if point.temporality == "delta" else attributes
