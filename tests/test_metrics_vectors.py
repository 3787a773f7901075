"""The golden vectors of metrics, both ways: through the public exporter, and the decoder."""

from __future__ import annotations

import hashlib
from types import SimpleNamespace
from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
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
    MetricExportResult,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from memory_provider import MemorySession
from otel_etw import EtwMetricExporter
from otel_etw.layouts import items
from otel_etw.layouts.otlp_metrics import decode_points, encode_points
from otel_etw.tracelogging.provider_id import encode_traits
from shared_files import cases
from vector_records import attributes_of, id_of, value_of


def sdk_point(kind: str, point: dict[str, Any]) -> Any:
    common: dict[str, Any] = {
        "attributes": attributes_of(point["attributes"]),
        "start_time_unix_nano": point["start_time_ns"],
        "time_unix_nano": point["time_ns"],
        "exemplars": [
            Exemplar(
                filtered_attributes=attributes_of(exemplar["filtered_attributes"]),
                value=value_of(exemplar["value"]),
                time_unix_nano=exemplar["time_ns"],
                span_id=id_of(exemplar["span_id"]),
                trace_id=id_of(exemplar["trace_id"]),
            )
            for exemplar in point.get("exemplars", ())
        ],
    }
    if kind in ("sum", "gauge"):
        return NumberDataPoint(value=value_of(point["value"]), **common)
    same = {name: point[name] for name in ("count", "sum", "min", "max") if name in point}
    if kind == "histogram":
        return HistogramDataPoint(
            bucket_counts=point["bucket_counts"], explicit_bounds=point["explicit_bounds"], **same, **common
        )
    if kind == "summary":
        quantiles = [SimpleNamespace(quantile=at, value=value) for at, value in point["quantiles"]]
        return SimpleNamespace(quantile_values=quantiles, **same, **common)
    assert point["zero_threshold"] == 0
    return ExponentialHistogramDataPoint(
        scale=point["scale"],
        zero_count=point["zero_count"],
        positive=Buckets(**point["positive"]),
        negative=Buckets(**point["negative"]),
        flags=0,
        **same,
        **common,
    )


def sdk_data(metric: dict[str, Any]) -> Any:
    kind = metric["kind"]
    points = [sdk_point(kind, point) for point in metric["points"]]
    temporality = AggregationTemporality[metric.get("temporality", "delta").upper()]
    if kind == "sum":
        return Sum(points, temporality, metric["is_monotonic"])
    if kind == "gauge":
        return Gauge(points)
    if kind == "summary":
        return SimpleNamespace(data_points=points)
    return (Histogram if kind == "histogram" else ExponentialHistogram)(points, temporality)


def sdk_metrics(given: dict[str, Any]) -> MetricsData:
    scopes = [
        ScopeMetrics(
            InstrumentationScope(scope["name"], scope["version"], None, attributes_of(scope["attributes"])),
            [
                Metric(metric["name"], metric["description"], metric["unit"], sdk_data(metric))
                for metric in scope["metrics"]
            ],
            "",
        )
        for scope in given["scopes"]
    ]
    resource = Resource(attributes_of(given["resource"]["attributes"]), given["resource"]["schema_url"])
    return MetricsData([ResourceMetrics(resource, scopes, resource.schema_url)])


@pytest.mark.parametrize("case", cases("metrics"))
def test_the_exporter_writes_the_vectors_messages(case: dict[str, Any]) -> None:
    """One event per point, with the reference's provider, descriptor, metadata, and an equal message."""
    session = MemorySession()
    expected = case["expected"]
    result = EtwMetricExporter(session=session).export(sdk_metrics(case["input"]))
    assert result is MetricExportResult.SUCCESS
    assert len(session.events) == len(expected["events"])
    for event, wanted in zip(session.events, expected["events"], strict=True):
        assert str(event.provider.id) == expected["provider_guid"]
        assert encode_traits(event.provider.name).hex() == expected["provider_traits"]
        assert event.descriptor.to_bytes().hex() == expected["event_descriptor"]["bytes"]
        assert event.metadata.hex() == expected["event_metadata"]
        assert len(event.payload) == wanted["size"]
        if "payload" in wanted:
            payload = bytes.fromhex(wanted["payload"])
            assert ExportMetricsServiceRequest.FromString(event.payload) == (
                ExportMetricsServiceRequest.FromString(payload)
            )


def expected_points(given: dict[str, Any]) -> list[items.MetricPoint]:
    resource = attributes_of(given["resource"]["attributes"])
    return [
        items.MetricPoint(
            metric_name=metric["name"],
            kind=metric["kind"],
            description=metric["description"],
            unit=metric["unit"],
            temporality=metric.get("temporality"),
            is_monotonic=metric.get("is_monotonic"),
            scope_name=scope["name"],
            scope_version=scope["version"] or "",
            scope_attributes=attributes_of(scope["attributes"]),
            resource=resource,
            service_name=resource["service.name"],
            **point_facts(point),
        )
        for scope in given["scopes"]
        for metric in scope["metrics"]
        for point in metric["points"]
    ]


def point_facts(point: dict[str, Any]) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "attributes": attributes_of(point["attributes"]),
        "time_unix_nano": point["time_ns"],
        "start_time_unix_nano": point["start_time_ns"],
        "exemplars": tuple(
            items.ExemplarItem(
                exemplar["time_ns"],
                value_of(exemplar["value"]),
                exemplar["trace_id"],
                exemplar["span_id"],
                attributes_of(exemplar["filtered_attributes"]),
            )
            for exemplar in point.get("exemplars", ())
        ),
    }
    same = ("count", "sum", "min", "max", "scale", "zero_count", "zero_threshold")
    facts |= {name: point[name] for name in same if name in point}
    facts |= {name: tuple(point[name]) for name in ("bucket_counts", "explicit_bounds") if name in point}
    for side in {"positive", "negative"} & point.keys():
        facts[side] = items.Buckets(point[side]["offset"], tuple(point[side]["bucket_counts"]))
    if "value" in point:
        facts["value"] = value_of(point["value"])
    if "quantiles" in point:
        facts["quantiles"] = tuple(map(tuple, point["quantiles"]))
    return facts


@pytest.mark.parametrize("case", cases("metrics"))
def test_the_decoder_finds_the_points_in_the_vectors_bytes(case: dict[str, Any]) -> None:
    """All kinds of points, the summary that no SDK makes included, decode to the input."""
    given, events = case["input"], case["expected"]["events"]
    if "payload" in events[0]:
        payloads = [bytes.fromhex(event["payload"]) for event in events]
    else:
        payloads = [point.payload or b"" for point in encode_points(sdk_metrics(given).resource_metrics)]
    for payload, event in zip(payloads, events, strict=True):
        assert len(payload) == event["size"]
    found = [point for payload in payloads for point in decode_points(payload)]
    assert found == expected_points(given)
    assert [type(point.value) for point in found] == [type(point.value) for point in expected_points(given)]


@pytest.mark.parametrize("case", cases("metrics"))
def test_vector_payloads_are_what_their_hashes_say(case: dict[str, Any]) -> None:
    """The bytes that the other tests compare with are those the vectors were made from."""
    for event in case["expected"]["events"]:
        if "payload" in event:
            assert hashlib.sha256(bytes.fromhex(event["payload"])).hexdigest() == event["sha256"]


@pytest.mark.parametrize("case", cases("metrics"))
def test_several_points_in_one_request(case: dict[str, Any]) -> None:
    """Old releases put many points into one request: concatenated requests are one, and all are found."""
    events = case["expected"]["events"]
    if any("payload" not in event for event in events):
        events = []
    payload = b"".join(bytes.fromhex(event["payload"]) for event in events) * 2
    assert decode_points(payload) == (expected_points(case["input"]) * 2 if events else [])
