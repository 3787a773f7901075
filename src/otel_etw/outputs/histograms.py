"""Histograms of both kinds: merging delta points, estimating quantiles, and columns for a picture. Pure.

An explicit histogram has bounds ``b[0..n-1]`` and ``n + 1`` counts; bucket ``i`` holds values in
``(b[i-1], b[i]]``. An exponential histogram of scale ``s`` holds in bucket ``i`` of its positive side the
values in ``(base**i, base**(i+1)]`` where ``base = 2 ** 2**-s``; its negative side mirrors that, and values
within ``zero_threshold`` of zero are counted apart. Going from scale ``s`` to ``s - 1`` joins the buckets
``2i`` and ``2i + 1`` into ``i``, which is how points of different scales are added up without error.
(OpenTelemetry data model, "Histogram" and "ExponentialHistogram".)

Both become a row of :class:`Bin` for quantiles and pictures, so that there is one of each. Numbers in a
trace may be nonsense: no scale, offset or count makes these functions raise or grow without limit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, TypeVar

from otel_etw.layouts.items import Buckets, MetricPoint

MAX_BUCKETS = 320
"""A merged side with more non-empty buckets than this is made coarser; SDKs send at most 160."""

PICTURE_COLUMNS = 24
_FEWEST_COLUMNS = 6  # any two sides fit in 4: the indexes -1 and 0 are never joined

_T = TypeVar("_T")


class Bin(NamedTuple):
    """``total`` measurements somewhere between ``low`` and ``high``; ``geometric`` if spread that way."""

    low: float
    high: float
    total: int
    geometric: bool = False


class Picture(NamedTuple):
    """Columns of a bar picture from ``low`` to ``high``; both ends are bucket bounds."""

    low: float
    high: float
    counts: tuple[int, ...]


@dataclass
class Histogram:
    """What is known of a set of measurements apart from its buckets. ``min`` and ``max`` may be unknown."""

    count: int = 0
    sum: float | None = None
    min: float | None = None
    max: float | None = None

    @property
    def mean(self) -> float | None:
        """The average, if there are measurements and their sum is known."""
        return self.sum / self.count if self.count and self.sum is not None else None

    def bins(self) -> list[Bin]:
        """The buckets in ascending order; without buckets, all between ``min`` and ``max`` where known."""
        if self.count and self.min is not None and self.max is not None:
            return [Bin(self.min, self.max, self.count)]
        return []

    def picture(self, columns: int = PICTURE_COLUMNS) -> Picture:
        """The buckets from the first to the last non-empty one, joined until they fit in ``columns``."""
        return picture_of(self.bins(), columns)

    def quantile(self, q: float) -> float | None:
        """An estimate of the value below which the share ``q`` (0 to 1) of the measurements lies.

        It is off by no more than the width of the bucket that holds the true value, and never
        outside ``min`` and ``max``.
        """
        return quantile_of([self._clipped(bin_) for bin_ in self.bins()], q)

    def _clipped(self, bin_: Bin) -> Bin:
        low, high = bin_.low, bin_.high
        if self.min is not None:
            low, high = max(low, self.min), max(high, self.min)
        if self.max is not None:
            low, high = min(low, self.max), min(high, self.max)
        return bin_._replace(low=low, high=high)

    def _add_totals(self, point: MetricPoint) -> None:
        first = self.count == 0
        if not point.count:
            return
        self.count += point.count
        self.sum = _both(first, self.sum, point.sum, lambda a, b: a + b)
        self.min = _both(first, self.min, point.min, min)
        self.max = _both(first, self.max, point.max, max)


@dataclass
class ExplicitHistogram(Histogram):
    """Measurements counted between given bounds."""

    bounds: tuple[float, ...] = ()
    counts: list[int] = field(default_factory=list)

    def add(self, point: MetricPoint) -> None:
        """Add a delta point that has the same bounds."""
        self._add_totals(point)
        if len(self.counts) < len(point.bucket_counts):
            self.counts += [0] * (len(point.bucket_counts) - len(self.counts))
        for index, count in enumerate(point.bucket_counts):
            self.counts[index] += count

    def bins(self) -> list[Bin]:
        """One bin per bucket; open ends stop at ``min`` and ``max``, else at the outermost bound (and 0)."""
        if not self.bounds:
            return super().bins()
        lowest = min(self.bounds[0], 0.0) if self.min is None else min(self.min, self.bounds[0])
        highest = self.bounds[-1] if self.max is None else max(self.max, self.bounds[-1])
        edges = [lowest, *self.bounds, highest]
        return [
            Bin(low, max(low, high), count)
            for low, high, count in zip(edges, edges[1:], self.counts, strict=False)
        ]


@dataclass
class ExponentialHistogram(Histogram):
    """Measurements counted in buckets whose bounds grow by a constant factor."""

    scale: int = 0
    zero_count: int = 0
    zero_threshold: float = 0.0
    positive: dict[int, int] = field(default_factory=dict)
    negative: dict[int, int] = field(default_factory=dict)

    def add(self, point: MetricPoint) -> None:
        """Add a delta point of any scale; the result has the coarser scale of the two."""
        empty = self.count == 0
        self._add_totals(point)
        scale = point.scale or 0
        if empty:
            self.scale = scale
        self._coarsen(self.scale - scale)
        self._add_side(self.positive, point.positive, scale - self.scale)
        self._add_side(self.negative, point.negative, scale - self.scale)
        self.zero_count += point.zero_count or 0
        self._widen_zero(point.zero_threshold or 0.0)
        while max(len(self.positive), len(self.negative)) > MAX_BUCKETS:
            self._coarsen(1)

    def bins(self) -> list[Bin]:
        """One bin per non-empty bucket, the zero bucket among them."""
        zero = [Bin(-self.zero_threshold, self.zero_threshold, self.zero_count)] if self.zero_count else []
        positive = list(_side_bins(sorted(self.positive.items()), self.scale))
        negative = [
            Bin(-high, -low, count, True)
            for low, high, count, _ in _side_bins(sorted(self.negative.items(), reverse=True), self.scale)
        ]
        return negative + zero + positive or super().bins()

    def picture(self, columns: int = PICTURE_COLUMNS) -> Picture:
        """As for any histogram, with the empty buckets in between, and joined by lowering the scale.

        Buckets finer than the number of measurements can fill are joined too.
        """
        coarse = replace(self)
        columns = max(min(columns, 2 * math.isqrt(max(self.count, 0))), _FEWEST_COLUMNS)
        while coarse._columns() > columns:
            coarse._coarsen(1)
        return picture_of(coarse._dense().bins(), columns)

    def _add_side(self, side: dict[int, int], buckets: Buckets | None, shift: int) -> None:
        if buckets is None:
            return
        for index, count in enumerate(buckets.counts, buckets.offset):
            if count:
                side[index >> shift] = side.get(index >> shift, 0) + count

    def _coarsen(self, steps: int) -> None:
        if steps <= 0:
            return
        self.scale -= steps
        self.positive = _shifted(self.positive, steps)
        self.negative = _shifted(self.negative, steps)

    def _columns(self) -> int:
        return sum(max(side) - min(side) + 1 for side in (self.positive, self.negative) if side)

    def _dense(self) -> ExponentialHistogram:
        return replace(self, positive=_filled(self.positive), negative=_filled(self.negative))

    def _widen_zero(self, threshold: float) -> None:
        """Take the wider zero bucket, and into it the buckets that lie wholly inside."""
        self.zero_threshold = max(self.zero_threshold, threshold)
        if self.zero_threshold <= 0:
            return
        for side in (self.positive, self.negative):
            for index in [i for i in side if bucket_edge(self.scale, i + 1) <= self.zero_threshold]:
                self.zero_count += side.pop(index)


def explicit_of(points: Iterable[MetricPoint]) -> ExplicitHistogram:
    """The sum of points that have equal bounds; empty for no points."""
    result: ExplicitHistogram | None = None
    for point in points:
        result = result or ExplicitHistogram(bounds=tuple(point.explicit_bounds))
        result.add(point)
    return result or ExplicitHistogram()


def exponential_of(points: Iterable[MetricPoint]) -> ExponentialHistogram:
    """The sum of exponential points; empty for no points."""
    result = ExponentialHistogram()
    for point in points:
        result.add(point)
    return result


def bucket_edge(scale: int, index: int) -> float:
    """Lower bound of bucket ``index``: ``2 ** (index * 2**-scale)``, 0 or infinity beyond doubles."""
    try:
        exponent = math.ldexp(index, -scale)
        return 0.0 if exponent < -1100 else 2.0**exponent
    except OverflowError:
        return math.inf if index > 0 else 0.0


def quantile_of(bins: Sequence[Bin], q: float) -> float | None:
    """The value at rank ``q * total``, interpolated inside its bin; ``None`` when the bins are empty."""
    total = sum(bin_.total for bin_ in bins)
    if total <= 0:
        return None
    rank = min(max(q, 0.0), 1.0) * total
    below = 0
    for bin_ in bins:
        if bin_.total > 0 and below + bin_.total >= rank:
            return _inside(bin_, (rank - below) / bin_.total)
        below += max(bin_.total, 0)
    return bins[-1].high


def picture_of(bins: Sequence[Bin], columns: int) -> Picture:
    """The bins from the first to the last non-empty one as at most ``columns`` columns."""
    filled = [index for index, bin_ in enumerate(bins) if bin_.total > 0]
    if not filled:
        return Picture(0.0, 0.0, ())
    shown = bins[filled[0] : filled[-1] + 1]
    step = -(-len(shown) // columns)
    counts = (sum(bin_.total for bin_ in shown[start : start + step]) for start in range(0, len(shown), step))
    return Picture(shown[0].low, shown[-1].high, tuple(counts))


def _inside(bin_: Bin, share: float) -> float:
    share = min(max(share, 0.0), 1.0)
    low, high = bin_.low, bin_.high
    if bin_.geometric and low * high > 0 and math.isfinite(low) and math.isfinite(high):
        logarithm = math.log(abs(low)) + (math.log(abs(high)) - math.log(abs(low))) * share
        return min(max(math.copysign(math.exp(logarithm), high), low), high)
    if not math.isfinite(high):
        return low
    return min(max(low + (high - low) * share, low), high) if math.isfinite(low) else high


def _side_bins(buckets: Iterable[tuple[int, int]], scale: int) -> Iterable[Bin]:
    for index, count in buckets:
        yield Bin(bucket_edge(scale, index), bucket_edge(scale, index + 1), count, True)


def _filled(side: dict[int, int]) -> dict[int, int]:
    return {index: side.get(index, 0) for index in range(min(side), max(side) + 1)} if side else {}


def _shifted(side: dict[int, int], steps: int) -> dict[int, int]:
    result: dict[int, int] = {}
    for index, count in side.items():
        result[index >> steps] = result.get(index >> steps, 0) + count
    return result


def _both(first: bool, ours: _T | None, theirs: _T | None, join: Callable[[_T, _T], _T]) -> _T | None:
    """``join`` of two facts; unknown as soon as one part did not know it."""
    if first:
        return theirs
    return None if ours is None or theirs is None else join(ours, theirs)
