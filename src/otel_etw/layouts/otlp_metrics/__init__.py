"""Metric data points as OTLP protobuf, one point per request, and back.

An event's payload is one serialized ``ExportMetricsServiceRequest`` with exactly one ResourceMetrics, one
ScopeMetrics, one Metric and one data point (spec/otel-on-etw.md, section 3.3); readers take any number.
"""

from otel_etw.layouts.otlp_metrics.decode import decode_points
from otel_etw.layouts.otlp_metrics.encode import PointEncoder
from otel_etw.layouts.otlp_metrics.event import DESCRIPTOR, MAX_REQUEST_BYTES, METADATA, EncodedPoint
from otel_etw.layouts.otlp_metrics.plain import encode_points

__all__ = [
    "DESCRIPTOR",
    "MAX_REQUEST_BYTES",
    "METADATA",
    "EncodedPoint",
    "PointEncoder",
    "decode_points",
    "encode_points",
]
