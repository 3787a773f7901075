"""The metric exporter with the real SDK, and its encoder with what no golden vector has."""

from __future__ import annotations

import json
import logging
import math
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk.metrics import (
    Counter,
    Exemplar,
    Histogram,
    MeterProvider,
    ObservableCounter,
    ObservableUpDownCounter,
    UpDownCounter,
)
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    MetricExportResult,
    MetricsData,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.metrics.view import (
    ExplicitBucketHistogramAggregation,
    ExponentialBucketHistogramAggregation,
    View,
)
from opentelemetry.sdk.resources import Resource

from memory_provider import MemorySession
from otel_etw import EtlSession, EtwMetricExporter, open_etl
from otel_etw.errors import DecodeError
from otel_etw.layouts.items import MetricPoint
from otel_etw.layouts.otlp_metrics import MAX_REQUEST_BYTES, EncodedPoint, decode_points, encode_points

DELTA, CUMULATIVE = AggregationTemporality.DELTA, AggregationTemporality.CUMULATIVE


def number_point(value: Any = 1, attributes: Any = None, exemplars: Any = (), **more: Any) -> Any:
    facts = {"start_time_unix_nano": 1, "time_unix_nano": 2, "attributes": attributes or {}, **more}
    return SimpleNamespace(value=value, exemplars=exemplars, **facts)


def one_metric(*points: Any, name: str = "m", resource: Any = None, scope: Any = None) -> Any:
    """Metrics data of one gauge; encoders take anything with the SDK's attributes."""
    metric = SimpleNamespace(
        name=name, description=None, unit=None, data=SimpleNamespace(data_points=list(points))
    )
    of_scope = SimpleNamespace(scope=scope, metrics=[metric], schema_url="")
    of_resource = SimpleNamespace(
        resource=resource or Resource({"service.name": "svc"}), scope_metrics=[of_scope], schema_url=""
    )
    return SimpleNamespace(resource_metrics=[of_resource])


def encoded(*points: Any, max_bytes: int = MAX_REQUEST_BYTES, **more: Any) -> list[EncodedPoint]:
    return list(encode_points(one_metric(*points, **more).resource_metrics, max_bytes))


def round_trip(point: Any, **more: Any) -> MetricPoint:
    (found,) = encoded(point, **more)
    assert found.payload is not None
    (decoded,) = decode_points(found.payload)
    return decoded


def test_every_instrument_of_the_sdk() -> None:
    """All kinds of instruments arrive with their temporality, and delta counters start anew."""
    session = MemorySession()
    exporter = EtwMetricExporter(session=session)
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=math.inf)
    view = View(instrument_name="exp", aggregation=ExponentialBucketHistogramAggregation())
    provider = MeterProvider(
        [reader], Resource({"service.name": "svc"}), shutdown_on_exit=False, views=[view]
    )
    meter = provider.get_meter("scope", "1.0", attributes={"of": "scope"})

    def observed(options: CallbackOptions) -> list[Observation]:
        return [Observation(7, {"k": "o"})]

    counter = meter.create_counter("counter", "By", "what it counts")
    up_down = meter.create_up_down_counter("up_down")
    meter.create_gauge("gauge").set(2.5)
    meter.create_histogram("histogram").record(3, {"k": "h"})
    meter.create_histogram("exp").record(3)
    meter.create_observable_counter("o_counter", [observed])
    meter.create_observable_up_down_counter("o_up_down", [observed])
    meter.create_observable_gauge("o_gauge", [observed])
    for _ in range(2):
        counter.add(5)
        up_down.add(5)
        provider.force_flush()
    points: dict[str, list[MetricPoint]] = {}
    for event in session.events:
        (point,) = decode_points(event.payload)
        points.setdefault(point.metric_name, []).append(point)
    assert {name: (found[0].kind, found[0].temporality) for name, found in points.items()} == {
        "counter": ("sum", "delta"),
        "up_down": ("sum", "cumulative"),
        "gauge": ("gauge", None),
        "histogram": ("histogram", "delta"),
        "exp": ("exponential_histogram", "delta"),
        "o_counter": ("sum", "delta"),
        "o_up_down": ("sum", "cumulative"),
        "o_gauge": ("gauge", None),
    }
    assert [point.value for point in points["counter"]] == [5, 5]
    assert [point.value for point in points["up_down"]] == [5, 10]
    assert [point.value for point in points["o_counter"]] == [7, 0]
    assert (points["counter"][0].unit, points["counter"][0].description) == ("By", "what it counts")
    assert points["histogram"][0].attributes == {"k": "h"}
    assert (points["exp"][0].count, points["exp"][0].min, points["exp"][0].max) == (1, 3.0, 3.0)
    assert points["gauge"][0].scope_attributes == {"of": "scope"}
    assert points["gauge"][0].service_name == "svc"
    assert exporter.stats.written == len(session.events)
    provider.shutdown()
    assert session.holders == 0


def test_preferences() -> None:
    """What is asked for goes over the default, and the rest of the default stays."""
    exporter = EtwMetricExporter(
        session=MemorySession(),
        preferred_temporality={Counter: CUMULATIVE},
        preferred_aggregation={Histogram: ExponentialBucketHistogramAggregation()},
    )
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=math.inf)
    session_points = exporter._preferred_temporality
    assert session_points is not None
    assert session_points[Counter] is CUMULATIVE
    assert session_points[ObservableCounter] is DELTA
    assert session_points[UpDownCounter] is CUMULATIVE
    assert session_points[ObservableUpDownCounter] is CUMULATIVE
    provider = MeterProvider([reader], shutdown_on_exit=False)
    provider.get_meter("m").create_histogram("h").record(1)
    provider.force_flush()
    provider.shutdown()
    assert exporter.stats.written == 1


def test_histograms_without_minimum_and_maximum() -> None:
    """What the SDK did not record is absent, not infinite."""
    session = MemorySession()
    reader = PeriodicExportingMetricReader(
        EtwMetricExporter(session=session), export_interval_millis=math.inf
    )
    views = [
        View(instrument_name="h", aggregation=ExplicitBucketHistogramAggregation([], record_min_max=False))
    ]
    provider = MeterProvider([reader], shutdown_on_exit=False, views=views)
    provider.get_meter("m").create_histogram("h").record(1)
    provider.force_flush()
    provider.shutdown()
    (point,) = decode_points(session.events[0].payload)
    assert (point.min, point.max, point.sum, point.bucket_counts) == (None, None, 1.0, (1,))


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (2**63 - 1, 2**63 - 1),
        (-(2**63), -(2**63)),
        (2**63, 2.0**63),
        (-(2**63) - 1, -(2.0**63)),
        (10**400, math.inf),
        (-(10**400), -math.inf),
        (True, 1),
        (Fraction(1, 4), 0.25),
        (-0.0, -0.0),
    ],
)
def test_values(value: Any, found: float) -> None:
    """64-bit integers stay integers, all other numbers become doubles."""
    back = round_trip(number_point(value)).value
    assert (back, type(back)) == (found, type(found))


def test_attribute_values() -> None:
    """All kinds arrive; what OTLP cannot hold becomes text."""
    deep: Any = "bottom"
    for _ in range(100):
        deep = [deep]
    cycle: list[Any] = []
    cycle.append(cycle)
    attributes = {
        "none": None,
        "bytes": b"\0\xff",
        "map": {"a": [1, {"b": 2.5}], 3: True},
        "big": 2**64,
        "bad\ud800": "\ud800",
        "object": complex(1, 2),
        "deep": deep,
        "cycle": cycle,
        "laughs": _shared(40),
    }
    found = dict(round_trip(number_point(1, attributes)).attributes)
    assert found.pop("deep").count("[") == 64
    assert found.pop("cycle") == '["(contains itself)"]'
    assert found.pop("laughs", "left out") == "left out"
    assert found.pop("otel_etw.truncated").startswith('{"laughs":')
    assert found == {
        "none": None,
        "bytes": b"\0\xff",
        "map": {"a": [1, {"b": 2.5}], "3": True},
        "big": str(2**64),
        "bad\ufffd": "\ufffd",
        "object": "(1+2j)",
    }


def _shared(levels: int) -> Any:
    value: Any = ["ha"]
    for _ in range(levels):
        value = [value, value]
    return value


def test_times_out_of_range() -> None:
    """No start time is none; times that no unsigned 64-bit number holds become the nearest one."""
    point = number_point(time_unix_nano=2**70, start_time_unix_nano=None)
    assert (round_trip(point).time_unix_nano, round_trip(point).start_time_unix_nano) == (2**64 - 1, None)
    assert round_trip(number_point(time_unix_nano=-5)).time_unix_nano == 0


def test_a_resources_schema_url_stands_for_the_scopes_too() -> None:
    """As in the reference, which loses the scope's own."""
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

    (found,) = encoded(number_point(), resource=Resource({}, "https://example.com/1"))
    assert found.payload is not None
    of_resource = ExportMetricsServiceRequest.FromString(found.payload).resource_metrics[0]
    assert of_resource.schema_url == of_resource.scope_metrics[0].schema_url == "https://example.com/1"


# --------------------------------------------------------------------------- too large


def exemplars(number: int) -> list[Exemplar]:
    return [Exemplar({"u": "x" * 100}, 1.5, 5, span_id=1, trace_id=2) for _ in range(number)]


def test_exemplars_go_first() -> None:
    """A point too large loses its exemplars, and if that is enough nothing else, and gets no mark."""
    (found,) = encoded(number_point(1, {"k": "v"}, exemplars(1000)))
    assert found.payload is not None
    (point,) = decode_points(found.payload)
    assert (point.exemplars, point.attributes) == ((), {"k": "v"})
    assert list(found.truncated) == ["exemplars"]


def test_then_attributes_the_longest_first() -> None:
    """Attributes are left out whole, the longest first, and the point says which."""
    attributes = {"a": "x" * 30_000, "b": "x" * 40_000, "c": "x" * 10, "d": "x" * 36_000}
    (found,) = encoded(number_point(1, attributes, exemplars(1)))
    assert found.payload is not None
    (point,) = decode_points(found.payload)
    assert json.loads(point.attributes["otel_etw.truncated"]) == {"b": 40_015, "d": 36_015}
    assert {key: point.attributes[key] for key in ("a", "c")} == {"a": "x" * 30_000, "c": "x" * 10}
    assert list(found.truncated) == ["exemplars", "b", "d"]


def test_a_point_that_stays_too_large_is_dropped_and_the_others_go_out() -> None:
    """The export fails, the loss is counted and logged, and every other point is written."""
    session = MemorySession()
    exporter = EtwMetricExporter(session=session)
    data = one_metric(number_point(1), number_point(2), number_point(3))
    data.resource_metrics[0].scope_metrics[0].metrics[0].data.data_points[1] = SimpleNamespace(
        **{**vars(number_point()), "count": 1, "sum": 1, "min": 1, "max": 1},
        bucket_counts=[1] * 10_000,
        explicit_bounds=[1.0] * 9_999,
    )
    assert exporter.export(data) is MetricExportResult.FAILURE
    assert [decode_points(event.payload)[0].value for event in session.events] == [1, 3]
    assert exporter.stats.dropped == {"too large": 1}
    assert (exporter.stats.written, exporter.stats.lost) == (2, 1)


def test_a_reduced_point_is_written_and_counted() -> None:
    """A point that lost attributes is a success that shows in the statistics."""
    session = MemorySession(max_event_bytes=1000)
    exporter = EtwMetricExporter(session=session)
    data = one_metric(number_point(1, {"long": "x" * 2000, "short": "y"}))
    assert exporter.export(data) is MetricExportResult.SUCCESS
    assert (exporter.stats.written, exporter.stats.truncated, exporter.stats.lost) == (1, 1, 0)
    (event,) = session.events
    assert decode_points(event.payload)[0].attributes["short"] == "y"


@given(
    st.dictionaries(st.text(max_size=20), st.text(max_size=300), max_size=30),
    st.integers(0, 20),
    st.integers(0, 3000),
)
def test_every_size(attributes: dict[str, str], number: int, max_bytes: int) -> None:
    """Whatever the sizes, a request keeps the limit, or there is none."""
    (found,) = encoded(number_point(1, attributes, exemplars(number)), max_bytes=max_bytes)
    if found.payload is None:
        assert found.problem == "too large"
        assert max_bytes < 100
    else:
        assert len(found.payload) <= max_bytes
        (point,) = decode_points(found.payload)
        kept = {key: value for key, value in point.attributes.items() if key != "otel_etw.truncated"}
        assert kept.items() <= attributes.items()
        assert set(found.truncated) - {"exemplars"} >= attributes.keys() - kept.keys()


# --------------------------------------------------------------------------- manners


def test_an_odd_point_costs_only_itself() -> None:
    """A value that is no number, a metric that is none: counted, and the others are written."""
    session = MemorySession()
    exporter = EtwMetricExporter(session=session)
    assert exporter.export(one_metric(number_point("x"), number_point(2))) is MetricExportResult.FAILURE
    assert exporter.stats.dropped == {"not encodable": 1}
    assert exporter.stats.written == 1
    nonsense: Any = SimpleNamespace(resource_metrics=[None])
    assert exporter.export(nonsense) is MetricExportResult.FAILURE


def test_an_odd_scope_costs_what_comes_behind_it_and_all_of_that_is_counted() -> None:
    """Every point of a batch is accounted for, also when something in it is not what the SDK makes."""
    session = MemorySession()
    exporter = EtwMetricExporter(session=session)
    good = one_metric(number_point(), number_point()).resource_metrics[0]
    odd = one_metric(
        *(number_point() for _ in range(3)), scope=SimpleNamespace(name="no version")
    ).resource_metrics[0]
    behind = one_metric(number_point()).resource_metrics[0]
    data = SimpleNamespace(resource_metrics=[good, odd, behind])
    assert exporter.export(data) is MetricExportResult.FAILURE  # type: ignore[arg-type]
    assert exporter.stats.written == 2
    assert exporter.stats.dropped == {"not encodable": 4}
    assert exporter.export(None) is MetricExportResult.FAILURE  # type: ignore[arg-type]
    assert exporter.stats.dropped == {"not encodable": 5}


def test_nobody_listening_costs_no_encoding() -> None:
    """Points that no session wants are counted, not encoded, and are a success."""
    exporter = EtwMetricExporter(session=MemorySession(level=3))

    class Untouchable:
        """Any access beyond the number of points would show."""

        def __len__(self) -> int:
            return 3

    data: Any = one_metric()
    data.resource_metrics[0].scope_metrics[0].metrics[0].data.data_points = Untouchable()
    assert exporter.export(data) is MetricExportResult.SUCCESS
    assert (exporter.stats.skipped, exporter.stats.lost) == (3, 0)


def test_after_shutdown(caplog: pytest.LogCaptureFixture) -> None:
    """Shutdown can be repeated; an export after it fails, with one warning in all."""
    session = MemorySession()
    exporter = EtwMetricExporter(session=session)
    assert session.holders == 1
    exporter.shutdown()
    exporter.shutdown(timeout_millis=5)
    assert session.holders == 0
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert exporter.export(one_metric(number_point())) is MetricExportResult.FAILURE
    assert [record.name for record in caplog.records] == ["otel_etw"]
    assert exporter.stats.dropped == {"shut down": 3}
    assert exporter.force_flush()


def test_an_empty_export() -> None:
    """No points are a success and nothing else."""
    exporter = EtwMetricExporter(session=MemorySession())
    assert exporter.export(MetricsData([])) is MetricExportResult.SUCCESS
    assert exporter.stats.written == exporter.stats.skipped == 0


# --------------------------------------------------------------------------- any bytes


@given(st.binary(max_size=300))
def test_any_bytes_give_points_or_our_error(payload: bytes) -> None:
    """Hostile payloads raise this project's error and nothing else."""
    try:
        points = decode_points(payload)
    except DecodeError:
        return
    assert all(isinstance(point, MetricPoint) for point in points)


@given(st.data())
def test_damaged_requests_give_points_or_our_error(data: st.DataObject) -> None:
    """A valid request with a few bytes changed, or cut short, raises this project's error or gives points."""
    attributes = {"map": {"a": [1, "x", b"y", None, 2.5, True]}}
    (found,) = encoded(number_point(1.5, attributes, exemplars(2)))
    payload = bytearray(found.payload or b"")
    for _ in range(data.draw(st.integers(1, 3))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    try:
        decode_points(payload[: data.draw(st.integers(0, len(payload)))])
    except DecodeError:
        pass


def test_bottomless_nesting_is_refused() -> None:
    """A request of ten thousand nested values is our error, not a crash."""
    value = b"\x0a\x01x"
    for _ in range(10_000):
        value = (
            b"\x2a" + _length(value) + b"\x0a" + _length(value, 0) + value if len(value) < 60_000 else value
        )
    request = value
    for _ in range(8):
        request = b"\x0a" + _length(request, 0) + request
    try:
        decode_points(request)
    except DecodeError:
        pass


def _length(data: bytes, extra: int = 2) -> bytes:
    number = len(data) + extra
    groups = []
    while number >= 0x80:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*groups, number])


def test_protobuf_in_pure_python() -> None:
    """The vectors hold with protobuf's other implementation too."""
    here = os.path.dirname(__file__)
    environment = {**os.environ, "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": "python", "PYTEST_ADDOPTS": ""}
    code = (
        "from google.protobuf.internal import api_implementation as used\n"
        "assert used.Type() == 'python'\n"
        "import sys, pytest\n"
        "sys.exit(pytest.main(['-q', '-p', 'no:cacheprovider', '-n0', 'test_metrics_vectors.py']))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=here, env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_the_largest_request_goes_through_a_default_session(tmp_path: Path) -> None:
    """A request of exactly 65360 bytes, which the reference still sends, fits a session by default."""
    (whole,) = encoded(number_point(1, {"k": ""}))
    room = MAX_REQUEST_BYTES - len(whole.payload or b"")
    # The lengths around a long text take a few bytes more than those around none.
    sizes = {}
    for size in range(room - 40, room + 1):
        (found,) = encoded(number_point(1, {"k": "x" * size}))
        if not found.truncated:
            sizes[len(found.payload or b"")] = size
    with EtlSession(tmp_path / "large.etl") as session:
        exporter = EtwMetricExporter(session=session)
        data = one_metric(number_point(1, {"k": "x" * sizes[MAX_REQUEST_BYTES]}))
        assert exporter.export(data) is MetricExportResult.SUCCESS
        assert exporter.stats.truncated == 0
    with open_etl(tmp_path / "large.etl") as trace:
        assert MAX_REQUEST_BYTES in {len(event.payload) for event in trace}
