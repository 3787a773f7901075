"""The quick encoder of data points gives the bytes of the plain one, with either protobuf."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
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
from metric_encoders import plain, quick, requests, usual_metrics
from otel_etw.layouts.otlp_metrics import MAX_REQUEST_BYTES, PointEncoder, decode_points
from otel_etw.layouts.otlp_metrics.wire import varint

_shared = PointEncoder()


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=300)
@given(make.any_metrics_data, st.sampled_from([MAX_REQUEST_BYTES, MAX_REQUEST_BYTES, 200, 120]))
def test_the_quick_way_gives_the_bytes_of_the_plain_way(data: MetricsData, max_bytes: int) -> None:
    """Cold, warm, and with a memory full of other data: byte for byte, and the same losses."""
    try:
        expected = plain(data, max_bytes)
    except Exception:  # a resource that is none, which the quick way does not bear either
        with pytest.raises(Exception):  # noqa: B017, PT011 - whatever it was
            quick(_shared, data, max_bytes)
        return
    own = PointEncoder()
    assert quick(own, data, max_bytes) == expected
    assert quick(own, data, max_bytes) == expected
    assert quick(_shared, data, max_bytes) == expected


def test_what_the_sdk_makes_goes_the_quick_way() -> None:
    """All kinds, with exemplars and attributes of every scalar type; and the bytes are right."""
    encoder = PointEncoder()
    for _ in range(2):
        found = requests(encoder, *usual_metrics())
        assert [(request, {}, None) for request in found] == plain(make.metrics_data(*usual_metrics()))


def exponential(**changed: Any) -> ExponentialHistogramDataPoint:
    facts = {"scale": 1, "zero_count": 0, "positive": Buckets(0, [1]), "negative": Buckets(0, [0])} | changed
    common = {"attributes": {}, "start_time_unix_nano": make.START_NS, "time_unix_nano": make.TIME_NS}
    return ExponentialHistogramDataPoint(
        **{"count": 1, "sum": 1, "flags": 0, "min": 1, "max": 1} | common | facts
    )


@pytest.mark.parametrize("limit", [127, 128, 255, 256, 1023, 1024, 2**14, 2**31, 2**32, 2**63, 2**64])
def test_both_sides_of_every_limit_of_exponential_histograms(limit: int) -> None:
    """Counts, offsets and scales where their encoding grows by a byte, or ends."""
    numbers = [sign * (limit + step) for sign in (1, -1) for step in (-1, 0, 1)]
    points = [
        *(exponential(positive=Buckets(0, [1, number])) for number in numbers),
        *(exponential(negative=Buckets(0, (number,))) for number in numbers),
        *(exponential(positive=Buckets(number, [1])) for number in numbers),
        *(exponential(scale=number) for number in numbers),
        *(exponential(zero_count=number, count=number) for number in numbers),
        *(exponential(negative=Buckets(0, [1] * number)) for number in numbers if 0 < number < 2000),
    ]
    data = make.metrics_data(make.metric(ExponentialHistogram(points, make.DELTA)))
    assert quick(PointEncoder(), data) == plain(data)


def histogram(counts: Any, bounds: Any) -> HistogramDataPoint:
    return HistogramDataPoint({}, make.START_NS, make.TIME_NS, 1, 1, counts, bounds, 1, 1)


def test_histograms_of_changing_layout_in_one_metric() -> None:
    """Bounds that are others, that are the same with other counts, and that change on the way."""
    bounds, changing = (0.0, 1.0), [1.0]

    class Changing(list[int]):
        def __iter__(self) -> Any:
            changing[0] += 1
            return super().__iter__()

    layouts = [([1, 2, 3], bounds), ([1], bounds), ([1, 2, 3], (-0.0, 1.0)), ([1, 2], bounds), ([1], ())]
    points = [histogram(counts, bounds) for counts, bounds in layouts]
    data = make.metrics_data(make.metric(Histogram(points, make.DELTA)))
    assert quick(PointEncoder(), data) == plain(data)
    points = [histogram(Changing([1, 2]), changing) for _ in range(3)]
    found = requests(PointEncoder(), make.metric(Histogram(points, make.DELTA)))
    assert [decode_points(request)[0].explicit_bounds for request in found] == [(1.0,), (2.0,), (3.0,)]


def test_points_of_several_classes_in_one_metric() -> None:
    """Each is taken for what it shows itself, whatever the first one is."""
    odd = SimpleNamespace(**{**vars(histogram([1], [])), "value": 1, "exemplars": []})
    data = make.metrics_data(make.metric(Gauge([make.number(1), odd, make.number(2)])))
    assert quick(PointEncoder(), data) == plain(data)
    assert decode_points(plain(data)[1][0] or b"")[0].kind == "histogram"


def test_one_encoder_for_several_limits() -> None:
    """What fitted an event of one provider need not fit that of another."""
    encoder = PointEncoder()
    data = make.metrics_data(make.sums(make.number(1, {"k": "x" * 300})))
    for limit in (MAX_REQUEST_BYTES, 300, MAX_REQUEST_BYTES, 10):
        assert quick(encoder, data, limit) == plain(data, limit)


def test_lengths_around_points_of_every_size() -> None:
    """Where the varints of nested lengths grow, one after the other."""
    encoder = PointEncoder()
    for size in [*range(400), *range(16_000, 16_500)]:
        data = make.metrics_data(make.sums(make.number(1, {"k": "x" * size})))
        assert quick(encoder, data) == plain(data)


@pytest.mark.parametrize("number", [0, 1, 127, 128, 16383, 16384, 2**32, 2**64 - 1])
def test_varints(number: int) -> None:
    """Seven bits to a byte, the lowest first, the top bit on all but the last."""
    data = varint(number)
    assert sum((byte & 0x7F) << 7 * index for index, byte in enumerate(data)) == number
    assert [byte >> 7 for byte in data] == [1] * (len(data) - 1) + [0]


@pytest.mark.parametrize("number", [-1, 2**64])
def test_numbers_that_are_no_varints(number: int) -> None:
    """Neither a negative number nor one beyond 64 bits passes."""
    with pytest.raises(ValueError, match="unsigned 64-bit"):
        varint(number)


_DIGEST = """
import hashlib, sys
from google.protobuf.internal import api_implementation
import metric_points as make
from metric_encoders import ALIKE, quick, usual_metrics
from otel_etw.layouts.otlp_metrics import PointEncoder
encoder = PointEncoder()
metrics = [*usual_metrics(), make.sums(*(make.number(v, {"k": [v, {"m": v}], "b": b"x"}) for v in ALIKE))]
found = [quick(encoder, make.metrics_data(*metrics)) for _ in range(2)]
assert found[0] == found[1]
print(api_implementation.Type(), hashlib.sha256(repr(found).encode()).hexdigest())
"""


def test_protobuf_in_pure_python_gives_the_same_bytes() -> None:
    """Whatever the implementation of protobuf, a request is the same."""
    here = Path(__file__).parent
    found = []
    for implementation in ({}, {"PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": "python"}):
        run = subprocess.run(
            [sys.executable, "-c", _DIGEST],
            cwd=here, env={**os.environ, **implementation}, capture_output=True, text=True, check=True,
        )  # fmt: skip
        found.append(run.stdout.split())
    assert found[1][0] == "python"
    assert found[0][1] == found[1][1]
