"""Histograms: merged points are the histogram of all measurements, estimates are within a bucket."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_etw.layouts.items import Buckets, MetricPoint
from otel_etw.outputs.histograms import (
    MAX_BUCKETS,
    Bin,
    bucket_edge,
    explicit_of,
    exponential_of,
    picture_of,
    quantile_of,
)

measurements = st.floats(-1e6, 1e6).filter(lambda value: value == 0 or abs(value) > 1e-6)
QUANTILES = (0.0, 0.01, 0.25, 0.5, 0.9, 0.99, 1.0)


def explicit_point(values: Sequence[float], bounds: Sequence[float], *, extremes: bool = True) -> MetricPoint:
    counts = [0] * (len(bounds) + 1)
    for value in values:
        counts[bisect_left(bounds, value)] += 1
    return MetricPoint(
        0, "m", "histogram", temporality="delta", count=len(values), sum=math.fsum(values),
        min=min(values) if values and extremes else None, max=max(values) if values and extremes else None,
        explicit_bounds=tuple(bounds), bucket_counts=tuple(counts),
    )  # fmt: skip


def bucket_index(value: float, scale: int) -> int:
    """The index whose bucket (edge(i), edge(i + 1)] holds ``value``, by the very edges under test."""
    index = math.ceil(math.log2(value) * 2.0**scale) - 1
    while value > bucket_edge(scale, index + 1):
        index += 1
    while value <= bucket_edge(scale, index):
        index -= 1
    return index


def buckets_of(values: Sequence[float], scale: int) -> Buckets:
    indexes = [bucket_index(value, scale) for value in values]
    if not indexes:
        return Buckets(0, ())
    low = min(indexes)
    return Buckets(low, tuple(indexes.count(i) for i in range(low, max(indexes) + 1)))


def exponential_point(values: Sequence[float], scale: int, zero_threshold: float = 0.0) -> MetricPoint:
    return MetricPoint(
        0, "m", "exponential_histogram", temporality="delta", count=len(values), sum=math.fsum(values),
        min=min(values, default=None), max=max(values, default=None), scale=scale,
        zero_count=sum(abs(value) <= zero_threshold for value in values), zero_threshold=zero_threshold,
        positive=buckets_of([v for v in values if v > zero_threshold], scale),
        negative=buckets_of([-v for v in values if v < -zero_threshold], scale),
    )  # fmt: skip


def true_value_at(values: Sequence[float], q: float) -> float:
    """The measurement of rank ``q * n``, counted from 1."""
    return sorted(values)[max(math.ceil(q * len(values)) - 1, 0)]


bounds_lists = st.lists(st.floats(-1e6, 1e6), max_size=8, unique=True).map(sorted)


@given(st.lists(st.lists(measurements, max_size=12), max_size=6), bounds_lists)
def test_merged_explicit_points_are_the_histogram_of_everything(
    parts: list[list[float]], bounds: list[float]
) -> None:
    """Counts, count, sum, min and max of the merge are those of all measurements taken at once."""
    everything = [value for part in parts for value in part]
    merged = explicit_of(explicit_point(part, bounds) for part in parts)
    direct = explicit_point(everything, bounds)
    assert merged.count == len(everything)
    if everything:
        assert tuple(merged.counts) == direct.bucket_counts
        assert (merged.min, merged.max) == (direct.min, direct.max)
        assert merged.sum == pytest.approx(direct.sum, abs=1e-3)


@given(
    st.lists(measurements, min_size=1, max_size=40), bounds_lists, st.booleans(), st.sampled_from(QUANTILES)
)
def test_explicit_quantiles_are_off_by_one_bucket_at_most(
    values: list[float], bounds: list[float], extremes: bool, q: float
) -> None:
    """The estimate lies in the bucket of the true value, and between minimum and maximum where known."""
    histogram = explicit_of([explicit_point(values, bounds, extremes=extremes)])
    estimate = histogram.quantile(q)
    if not extremes and not bounds:
        assert estimate is None  # nothing is known but the count
        return
    assert estimate is not None
    if extremes:
        assert min(values) <= estimate <= max(values)
    truth = true_value_at(values, q)
    index = bisect_left(bounds, truth)
    low = bounds[index - 1] if index else -math.inf
    high = bounds[index] if index < len(bounds) else math.inf
    assert low <= estimate <= high or (not extremes and estimate in (0.0, *bounds))


scales = st.integers(-4, 6)


@settings(deadline=None)
@given(st.lists(st.tuples(st.lists(measurements, max_size=12), scales), min_size=1, max_size=5))
def test_merged_exponential_points_are_the_histogram_of_everything(
    parts: list[tuple[list[float], int]],
) -> None:
    """Points of different scales add up exactly, at the coarsest scale among them."""
    everything = [value for part, _ in parts for value in part]
    parts_used = [(part, scale) for part, scale in parts if part]
    merged = exponential_of(exponential_point(part, scale) for part, scale in parts_used)
    assert merged.count == len(everything)
    if not everything:
        return
    scale = min(scale for _, scale in parts_used)
    direct = exponential_of([exponential_point(everything, scale)])
    assert merged.scale == scale
    assert merged.positive == direct.positive
    assert merged.negative == direct.negative
    assert merged.zero_count == direct.zero_count
    assert (merged.min, merged.max) == (direct.min, direct.max)


@settings(deadline=None)
@given(st.lists(measurements, min_size=1, max_size=40), scales, st.sampled_from(QUANTILES))
def test_exponential_quantiles_are_off_by_one_bucket_at_most(
    values: list[float], scale: int, q: float
) -> None:
    """The estimate lies in the true value's bucket: off by a factor of the base at most."""
    histogram = exponential_of([exponential_point(values, scale)])
    estimate = histogram.quantile(q)
    assert estimate is not None
    assert min(values) <= estimate <= max(values)
    truth = true_value_at(values, q)
    if truth == 0:
        assert estimate == 0
        return
    index = bucket_index(abs(truth), scale)
    low, high = bucket_edge(scale, index), bucket_edge(scale, index + 1)
    assert low * (1 - 1e-9) <= estimate * math.copysign(1, truth) <= high * (1 + 1e-9)


def test_a_wider_zero_bucket_swallows_the_buckets_inside_it() -> None:
    """Of two thresholds the wider counts, whichever point came first."""
    fine = exponential_point([0.5, 1.5, 3.0, -0.4], 0)
    coarse = exponential_point([0.9, 3.0], 0, zero_threshold=1.0)
    for points in ([fine, coarse], [coarse, fine]):
        merged = exponential_of(points)
        assert merged.zero_threshold == 1.0
        assert merged.zero_count == 3  # 0.5, -0.4 and 0.9
        assert merged.positive == {0: 1, 1: 2}
        assert merged.negative == {}
        assert merged.count == 6


def test_facts_that_one_part_does_not_know_are_unknown() -> None:
    """A sum, minimum or maximum is never made up from some of the points."""
    known = explicit_point([1.0, 2.0], [1.5])
    merged = explicit_of([known, replace(known, sum=None, min=None, max=None)])
    assert (merged.count, merged.sum, merged.min, merged.max, merged.mean) == (4, None, None, None, None)


def test_points_without_measurements_change_nothing() -> None:
    """An empty point carries no minimum; the others' stay."""
    empty = explicit_point([], [1.5])
    merged = explicit_of([empty, explicit_point([1.0, 4.0], [1.5]), empty])
    assert (merged.count, merged.min, merged.max, merged.mean) == (2, 1.0, 4.0, 2.5)


def test_quantiles_without_buckets_come_from_minimum_and_maximum() -> None:
    """A histogram may have no bounds at all."""
    histogram = explicit_of([explicit_point([2.0, 3.0, 4.0], [])])
    assert histogram.quantile(0.5) == 3.0
    assert explicit_of([]).quantile(0.5) is None


def test_quantiles_interpolate() -> None:
    """Linear in an explicit bucket; along the powers of the base in an exponential one."""
    assert quantile_of([Bin(0, 10, 4), Bin(10, 20, 4)], 0.5) == 10
    assert quantile_of([Bin(0, 10, 4), Bin(10, 20, 4)], 0.75) == 15
    assert quantile_of([Bin(1, 100, 2, True)], 0.5) == pytest.approx(10)
    assert quantile_of([Bin(-100, -1, 2, True)], 0.5) == pytest.approx(-10)
    assert quantile_of([Bin(0, 4, 2, True)], 0.5) == 2
    assert quantile_of([], 0.5) is None


@pytest.mark.parametrize(
    ("scale", "index", "edge"), [(0, 0, 1), (0, 3, 8), (1, 3, 2**1.5), (-1, 1, 4), (3, -8, 0.5)]
)
def test_bucket_edges(scale: int, index: int, edge: float) -> None:
    """``2 ** (index * 2**-scale)``."""
    assert bucket_edge(scale, index) == pytest.approx(edge)


@given(
    st.integers(-(2**31), 2**31 - 1), st.integers(-(2**31), 2**31 - 1),
    st.lists(st.integers(0, 2**64 - 1), max_size=30), st.floats(), st.integers(-5, 5),
)  # fmt: skip
def test_nonsense_is_survived(scale: int, offset: int, counts: list[int], extreme: float, other: int) -> None:
    """No scale, offset, count or extreme makes merging, quantiles or pictures fail."""
    nonsense = MetricPoint(
        0, "m", "exponential_histogram", count=sum(counts), sum=extreme, min=extreme, max=-extreme,
        scale=scale, zero_count=other, zero_threshold=extreme, positive=Buckets(offset, counts),
        negative=Buckets(-offset, counts),
    )  # fmt: skip
    histogram = exponential_of([nonsense, exponential_point([1.0, -2.0], 3), nonsense])
    for q in QUANTILES:
        assert histogram.quantile(q) is None or isinstance(histogram.quantile(q), float)
    assert len(histogram.picture(24).counts) <= 25
    explicit = explicit_of([
        MetricPoint(0, "m", "histogram", count=other, min=extreme, max=-extreme,
                    explicit_bounds=(extreme, 1.0), bucket_counts=counts)
    ])  # fmt: skip
    explicit.quantile(0.5)
    assert len(explicit.picture(24).counts) <= 24


def test_memory_stays_bounded_when_points_spread() -> None:
    """Points that share no bucket are joined into coarser buckets, not collected forever."""
    histogram = exponential_of(
        MetricPoint(0, "m", "exponential_histogram", count=1, scale=20, positive=Buckets(n * 1000, (1,)))
        for n in range(5000)
    )
    assert len(histogram.positive) <= MAX_BUCKETS
    assert sum(histogram.positive.values()) == 5000


def test_pictures_show_the_filled_part_in_few_columns() -> None:
    """Empty ends are cut off, inner gaps stay, and more buckets than columns are joined."""
    explicit = explicit_of([explicit_point([3, 3, 7, 30], [1, 5, 10, 20, 40, 80])])
    assert explicit.picture() == (1, 40, (2, 1, 0, 1))
    assert picture_of([Bin(i, i + 1, 1) for i in range(100)], 24) == (0, 100, (5,) * 20)
    assert picture_of([Bin(0, 1, 0)], 24).counts == ()
    many = exponential_of([exponential_point([1.5**n for n in range(60)], 5)])
    picture = many.picture(24)
    assert 6 <= len(picture.counts) <= 24
    assert sum(picture.counts) == 60
    assert picture.low <= 1
    assert picture.high >= 1.5**59


def test_a_picture_does_not_change_the_histogram() -> None:
    """Joining buckets is for the picture alone."""
    histogram = exponential_of([exponential_point([1.0, 1000.0, -5.0], 6)])
    before = replace(histogram, positive=dict(histogram.positive), negative=dict(histogram.negative))
    histogram.picture(6)
    assert histogram == before
