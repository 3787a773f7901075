"""Metrics data made of the SDK's own classes, sane and otherwise, for the tests of metrics."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from hypothesis import strategies as st
from opentelemetry.sdk.metrics import Exemplar
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Buckets,
    ExponentialHistogram,
    ExponentialHistogramDataPoint,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

DELTA, CUMULATIVE = AggregationTemporality.DELTA, AggregationTemporality.CUMULATIVE
START_NS, TIME_NS = 1_773_232_436_000_000_000, 1_773_232_496_000_000_000
KINDS = ("sum", "gauge", "histogram", "exponential", "summary")


def number(value: Any = 1, attributes: Any = None, exemplars: Any = (), **times: Any) -> NumberDataPoint:
    facts = {"start_time_unix_nano": START_NS, "time_unix_nano": TIME_NS, **times}
    return NumberDataPoint(
        {} if attributes is None else attributes, value=value, exemplars=exemplars, **facts
    )


def metric(data: Any, name: Any = "m", description: Any = "about m", unit: Any = "1") -> Metric:
    return Metric(name, description, unit, data)


def sums(*points: Any, name: Any = "m") -> Metric:
    return metric(Sum(points, DELTA, True), name)


def metrics_data(*metrics: Any, resource: Resource | None = None, scope: Any = None) -> MetricsData:
    resource = resource or Resource({"service.name": "svc", "host.cpus": 4})
    scope = scope or InstrumentationScope("scope", "1.2", "", {"of": "scope"})
    return MetricsData([ResourceMetrics(resource, [ScopeMetrics(scope, metrics, "")], resource.schema_url)])


# --------------------------------------------------------------------------- anything

texts = st.text(st.characters(exclude_categories=()), max_size=12)
integers = st.one_of(
    st.integers(-3, 300),
    st.integers(-(2**70), 2**70),
    st.sampled_from([2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 2**64 - 1, 2**64, 10**400]),
)
# Few values of each type that equal one another, so that memories have a chance to mix them up.
alike: st.SearchStrategy[Any] = st.sampled_from(
    [0, 1, False, True, 0.0, -0.0, 1.0, "", "0", "1", "True", "1.0", "nan", float("nan"), -float("nan")]
)
numbers = st.one_of(integers, st.floats(), alike, st.none())
scalars: st.SearchStrategy[Any] = st.one_of(
    alike, texts, integers, st.floats(), st.none(), st.binary(max_size=5)
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(texts, inner, max_size=3),
    ),
    max_leaves=6,
)
keys: st.SearchStrategy[Any] = st.one_of(st.sampled_from(["a", "b", "repr", "nan"]), texts, alike)
attributes = st.one_of(
    st.dictionaries(st.sampled_from(["a", "b", "c"]), alike, max_size=3),
    st.dictionaries(keys, st.one_of(alike, texts), max_size=4),
    st.dictionaries(keys, values, max_size=4),
    st.just(None),
)
times = st.one_of(st.just(TIME_NS), st.integers(-2, 2**65), st.none(), st.booleans())
counts = st.one_of(st.integers(1, 50), integers)
bucket_counts = st.one_of(st.lists(st.integers(0, 127), max_size=20), st.lists(counts, max_size=20)).flatmap(
    lambda found: st.sampled_from([found, tuple(found)])
)
exemplars = st.lists(
    st.builds(
        Exemplar,
        filtered_attributes=attributes,
        value=numbers,
        time_unix_nano=times,
        span_id=st.one_of(st.none(), st.integers(-1, 2**64)),
        trace_id=st.one_of(st.none(), st.integers(0, 2**128)),
    ),
    max_size=2,
)
common: dict[str, Any] = {
    "attributes": attributes,
    "start_time_unix_nano": times,
    "time_unix_nano": times,
    "exemplars": st.one_of(st.just([]), exemplars),
}
aggregates: dict[str, Any] = {"count": counts, "sum": numbers, "min": numbers, "max": numbers}

# What is never far from what the SDK makes, so that no oddity hides another one.
sane_numbers = st.one_of(st.integers(-(2**63), 2**63 - 1), st.floats(), st.integers(-5, 5))
sane_counts = st.one_of(
    st.lists(st.integers(0, 127), max_size=20),
    st.lists(st.integers(0, 255), max_size=20),
    st.lists(st.integers(0, 1100), max_size=20),
    st.lists(st.integers(-1, 2**64), max_size=5),
)
sane_common: dict[str, Any] = {
    "attributes": st.dictionaries(st.sampled_from(["a", "b", "c"]), alike, max_size=3),
    "start_time_unix_nano": st.sampled_from([START_NS, START_NS, None, 0]),
    "time_unix_nano": st.just(TIME_NS),
    "exemplars": st.just([]),
}
sane_aggregates: dict[str, Any] = {
    "count": st.integers(0, 100), "sum": sane_numbers, "min": sane_numbers, "max": sane_numbers,
}  # fmt: skip
bounds = st.sampled_from([(0.0, 1.0), (-0.0, 1.0), (0, 1), (), (2.5,)])
sane_buckets = st.builds(Buckets, offset=st.integers(-200, 200), bucket_counts=sane_counts)
sane_points = {
    Sum: st.builds(NumberDataPoint, value=sane_numbers, **sane_common),
    Histogram: st.builds(
        HistogramDataPoint,
        bucket_counts=sane_counts,
        explicit_bounds=bounds,
        **sane_aggregates,
        **sane_common,
    ),
    ExponentialHistogram: st.builds(
        ExponentialHistogramDataPoint,
        scale=st.integers(-10, 20),
        zero_count=st.integers(0, 5),
        positive=sane_buckets,
        negative=sane_buckets,
        flags=st.just(0),
        **sane_aggregates,
        **sane_common,
    ),
}

number_points = st.builds(NumberDataPoint, value=numbers, **common)
histogram_points = st.builds(
    HistogramDataPoint,
    bucket_counts=bucket_counts,
    explicit_bounds=st.lists(st.floats(), max_size=20).map(tuple),
    **aggregates,
    **common,
)
buckets = st.builds(
    Buckets, offset=st.one_of(st.integers(-40, 40), st.integers(-(2**32), 2**32)), bucket_counts=bucket_counts
)
exponential_points = st.builds(
    ExponentialHistogramDataPoint,
    scale=st.one_of(st.integers(-10, 20), st.integers(-(2**32), 2**32)),
    zero_count=counts,
    positive=buckets,
    negative=buckets,
    flags=st.sampled_from([0, 0, 1, 2**32]),
    **aggregates,
    **common,
)
summary_points = st.builds(
    SimpleNamespace,
    quantile_values=st.lists(st.builds(SimpleNamespace, quantile=st.floats(), value=st.floats()), max_size=3),
    **aggregates,
    **common,
)
temporalities = st.sampled_from([DELTA, CUMULATIVE])
data = st.one_of(
    st.builds(Sum, st.lists(number_points, max_size=4), temporalities, st.booleans()),
    st.builds(Gauge, st.lists(number_points, max_size=4)),
    st.builds(Histogram, st.lists(histogram_points, max_size=4), temporalities),
    st.builds(ExponentialHistogram, st.lists(exponential_points, max_size=4), temporalities),
    st.builds(SimpleNamespace, data_points=st.lists(summary_points, max_size=3)),
    st.builds(Gauge, st.lists(sane_points[Sum], max_size=4)),
    st.builds(Histogram, st.lists(sane_points[Histogram], max_size=4), temporalities),
    st.builds(ExponentialHistogram, st.lists(sane_points[ExponentialHistogram], max_size=4), temporalities),
    # Nonsense: points of several kinds in one metric.
    st.builds(Gauge, st.lists(st.one_of(number_points, histogram_points, exponential_points), max_size=4)),
)
names = st.one_of(st.sampled_from(["m", "n"]), texts, st.none(), alike)
any_metrics_data = st.builds(
    lambda metrics, attributes, schema_url: metrics_data(
        *metrics,
        resource=SimpleNamespace(attributes=attributes, schema_url=schema_url),  # type: ignore[arg-type]
    ),
    st.lists(st.builds(Metric, names, names, names, data), max_size=3),
    attributes,
    st.sampled_from(["", "https://example.com/1"]),
)
