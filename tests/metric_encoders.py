"""Both ways of encoding data points side by side, and what the SDK makes day by day."""

from __future__ import annotations

import math
import struct
from typing import Any

from opentelemetry.sdk.metrics import Exemplar
from opentelemetry.sdk.metrics.export import (
    Buckets,
    ExponentialHistogram,
    ExponentialHistogramDataPoint,
    Gauge,
    Histogram,
    HistogramDataPoint,
    MetricsData,
)

import metric_points as make
from otel_etw.layouts.otlp_metrics import MAX_REQUEST_BYTES, EncodedPoint, PointEncoder, encode_points

OTHER_NAN = struct.unpack("<d", b"\1\0\0\0\0\0\xf8\x7f")[0]
ALIKE = [1, True, 1.0, "1", "True", 0, False, 0.0, -0.0, "0", "", math.nan, -math.nan, OTHER_NAN]

Result = tuple[bytes | None, dict[str, int], str | None]


def plain(data: MetricsData, max_bytes: int = MAX_REQUEST_BYTES) -> list[Result]:
    return [_result(point) for point in encode_points(data.resource_metrics, max_bytes)]


def quick(encoder: PointEncoder, data: MetricsData, max_bytes: int = MAX_REQUEST_BYTES) -> list[Result]:
    return [_result(found) for found in encoder.encode(data.resource_metrics, max_bytes)]


def _result(found: bytes | EncodedPoint) -> Result:
    if isinstance(found, bytes):
        return found, {}, None
    return found.payload, dict(found.truncated), found.problem


def requests(encoder: PointEncoder, *metrics: Any) -> list[bytes]:
    """The requests of points that must all be usual ones, made without the plain way."""
    found = list(encoder.encode(make.metrics_data(*metrics).resource_metrics))
    assert all(isinstance(request, bytes) for request in found)
    return [request for request in found if isinstance(request, bytes)]


def usual_metrics() -> list[Any]:
    """What the SDK makes day by day: all of it has to go the quick way."""
    texts = {"http.route": "/cart", "server.address": "höst"}
    mixed = {"code": 200, "cached": True, "ratio": 0.5, "zero": -0.0}
    seen = [
        Exemplar({"user": "ann"}, 2.5, make.TIME_NS, span_id=1, trace_id=2),
        Exemplar({}, 3, make.TIME_NS, span_id=None, trace_id=None),
    ]
    common: dict[str, Any] = {"start_time_unix_nano": make.START_NS, "time_unix_nano": make.TIME_NS}
    bounds = (0.0, 5.0, 10.0)
    histograms = [
        HistogramDataPoint(texts, count=9, sum=1.5, bucket_counts=(1, 2, 300, 2**40), explicit_bounds=bounds,
                           min=1.0, max=2.0, exemplars=seen, **common),
        HistogramDataPoint({}, count=9, sum=7, bucket_counts=(1,), explicit_bounds=(),
                           min=math.inf, max=-math.inf, **common),
        HistogramDataPoint({}, count=9, sum=7, bucket_counts=(), explicit_bounds=(1.0,),
                           min=1, max=2, **common),
    ]  # fmt: skip
    exponentials = [
        ExponentialHistogramDataPoint(mixed, count=9, sum=1.5, scale=scale, zero_count=zero_count,
                                      positive=Buckets(offset, counts), negative=Buckets(0, [0]), flags=0,
                                      min=1.0, max=2.0, exemplars=seen, **common)
        for scale, zero_count, offset, counts in [
            (20, 0, 25, [1] * 160), (0, 3, 0, []), (-10, 1, -70000, [127, 128, 255, 256, 16384, 2**63])
        ]
    ]  # fmt: skip
    no_start = {**common, "start_time_unix_nano": None}
    return [
        make.sums(make.number(1, texts, seen), make.number(-(2**63), mixed), make.number(math.nan)),
        make.metric(Gauge([make.number(2.5, texts, **no_start), make.number(2**63 - 1, **no_start)])),
        make.metric(Histogram(histograms, make.DELTA)),
        make.metric(ExponentialHistogram(exponentials, make.CUMULATIVE)),
    ]
