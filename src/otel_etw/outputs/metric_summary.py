"""What the data points of a trace say about each metric, gathered point by point in bounded memory.

A *metric* is told apart by resource, scope, name, unit, kind and temporality; a *series* of it by its
attributes (with their types: ``1``, ``1.0`` and ``true`` are different values). Memory grows with the
number of series, not with the number of points. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from otel_etw.layouts.items import MetricPoint
from otel_etw.outputs.histograms import ExplicitHistogram, ExponentialHistogram
from otel_etw.tables.json_values import json_value

QUANTILES = (0.5, 0.9, 0.99)
MAX_STARTS = 64
"""So many starts of one cumulative series are told apart; of more, the oldest are added up for good."""

_HISTOGRAMS = ("histogram", "exponential_histogram")
_ACCUMULATING = ("sum", *_HISTOGRAMS)
_NO_RECORDED_VALUE = 1
"""Data point flag: the series has ended, the point has no value (``metrics.proto``, ``DataPointFlags``)."""


class MetricKey(NamedTuple):
    """What makes two points belong to the same metric; ``resource`` and ``scope_attributes`` as JSON text."""

    service_name: str | None
    service_instance_id: str | None
    resource: str
    scope_name: str
    scope_version: str
    scope_attributes: str
    name: str
    unit: str
    kind: str
    temporality: str | None
    is_monotonic: bool | None


@dataclass
class Series:
    """One set of attributes of one metric.

    ``last`` is the latest point that has a value. Points of delta sums and histograms add up. A
    cumulative one counts from its start time on and starts again with its process: ``runs`` has the latest
    point of each start, and what all of them counted adds up.
    """

    attributes: Mapping[str, Any]
    last: MetricPoint
    points: int = 0
    total: int | float = 0
    """Of delta points, and of starts that are no longer in ``runs``."""
    lowest: int | float | None = None
    highest: int | float | None = None
    runs: dict[int, MetricPoint] = field(default_factory=dict)
    _merged: ExplicitHistogram | ExponentialHistogram | None = None
    _has_value: bool = False

    def add(self, point: MetricPoint) -> None:
        """Take in one more point of this series, in any order of time."""
        self.points += 1
        if point.flags & _NO_RECORDED_VALUE:
            return
        if not self._has_value or point.time_unix_nano >= self.last.time_unix_nano:
            self.last = point
        self._has_value = True
        if point.value is not None:
            self.lowest = point.value if self.lowest is None else min(self.lowest, point.value)
            self.highest = point.value if self.highest is None else max(self.highest, point.value)
        if point.temporality == "delta":
            self._add_up(point)
        elif point.kind in _ACCUMULATING:
            self._add_to_run(point)

    @property
    def value(self) -> int | float | None:
        """What the series amounts to: the total of deltas and of counters that only grow, else the latest."""
        last = self.last
        if not self._has_value:
            return None
        if last.kind != "sum" or last.value is None:
            return last.value
        if last.temporality == "delta":
            return self.total
        if last.is_monotonic:
            return self.total + sum(run.value or 0 for run in self.runs.values())
        return sum(run.value or 0 for run in self._running())

    @property
    def histogram(self) -> ExplicitHistogram | ExponentialHistogram | None:
        """All points merged, of cumulative ones the latest of each start; ``None`` if there are none."""
        if not self.runs or self.last.kind not in _HISTOGRAMS:
            return self._merged
        merged = _empty_histogram(self.last)
        if self._merged is not None:
            merged = deepcopy(self._merged)
        for run in self.runs.values():
            merged.add(run)
        return merged

    def _add_up(self, point: MetricPoint) -> None:
        if point.value is not None:
            self.total += point.value
        elif point.kind in _HISTOGRAMS:
            if self._merged is None:
                self._merged = _empty_histogram(point)
            self._merged.add(point)

    def _add_to_run(self, point: MetricPoint) -> None:
        start = point.start_time_unix_nano or 0
        known = self.runs.get(start)
        if known is None or point.time_unix_nano >= known.time_unix_nano:
            self.runs[start] = point
        if len(self.runs) > MAX_STARTS:
            self._add_up(self.runs.pop(min(self.runs)))

    def _running(self) -> Iterable[MetricPoint]:
        """Of several processes that share a series those that still ran when the last one started."""
        latest = max(self.runs)
        return [run for run in self.runs.values() if run is self.runs[latest] or run.time_unix_nano >= latest]


@dataclass
class Metric:
    """One metric and its series, in order of first appearance."""

    key: MetricKey
    description: str
    resource: Mapping[str, Any]
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
            metric = self._metrics[key] = Metric(key, point.description, point.resource)
        identity = _series_identity(point)
        series = metric.series.get(identity)
        if series is None:
            series = metric.series[identity] = Series(point.attributes, point)
        series.add(point)

    def __iter__(self) -> Iterator[Metric]:
        def order(metric: Metric) -> tuple[str, ...]:
            key = metric.key
            return (
                key.service_name or "",
                key.service_instance_id or "",
                key.resource,
                key.name,
                *map(str, key),
            )

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
        _identity(point.resource),
        point.scope_name,
        point.scope_version,
        _identity(point.scope_attributes),
        point.metric_name,
        point.unit,
        point.kind,
        point.temporality,
        point.is_monotonic,
    )


def _series_identity(point: MetricPoint) -> object:
    """Attributes in any order; of histograms also the bounds, without which points do not add up."""
    return _identity(point.attributes), tuple(point.explicit_bounds)


def _identity(attributes: Mapping[str, Any]) -> str:
    return json.dumps(json_value(attributes), sort_keys=True) if attributes else ""
