"""Metrics of the OpenTelemetry SDK onto ETW: every data point one event of the provider that all exporters of
OpenTelemetry metrics share, ``NativeMetricsExtension_Provider`` (its GUID is assigned, not hashed).
"""

from __future__ import annotations

from typing import Any

from opentelemetry.sdk.metrics import (
    Counter,
    Histogram,
    ObservableCounter,
    ObservableGauge,
    ObservableUpDownCounter,
    UpDownCounter,
    _Gauge,
)
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    MetricExporter,
    MetricExportResult,
    MetricsData,
)
from opentelemetry.sdk.metrics.view import Aggregation

from otel_etw.emitter import Emitter, Outcome, Session, Stats
from otel_etw.layouts.encoded import EncodedEvent
from otel_etw.layouts.otlp_metrics import DESCRIPTOR, METADATA, EncodedPoint, encode_points
from otel_etw.layouts.plain_text import text_of
from otel_etw.tracelogging.provider_id import METRICS_PROVIDER_ID, METRICS_PROVIDER_NAME

_DELTA = AggregationTemporality.DELTA
_CUMULATIVE = AggregationTemporality.CUMULATIVE

# As the Rust exporter prefers them (spec/otel-on-etw.md, section 3.3).
_TEMPORALITY: dict[type, AggregationTemporality] = {
    Counter: _DELTA,
    UpDownCounter: _CUMULATIVE,
    Histogram: _DELTA,
    _Gauge: _DELTA,
    ObservableCounter: _DELTA,
    ObservableUpDownCounter: _CUMULATIVE,
    ObservableGauge: _DELTA,
}


class EtwMetricExporter(MetricExporter):
    """Writes every data point as one ETW event that holds an OTLP request.

    :param session: where events go; closed by whoever made it.  ``None``: the session shared by the process.
    :param preferred_temporality: by instrument class, over the default: delta, and cumulative for up-down
        counters.
    :param preferred_aggregation: by instrument class, as the SDK has it.

    Raises nothing after construction.  A point too large for an event loses its exemplars, then its longest
    attributes; one that still is too large is dropped, and the export fails.
    """

    def __init__(
        self,
        *,
        session: Session | None = None,
        preferred_temporality: dict[type, AggregationTemporality] | None = None,
        preferred_aggregation: dict[type, Aggregation] | None = None,
    ) -> None:
        super().__init__(
            preferred_temporality={**_TEMPORALITY, **(preferred_temporality or {})},
            preferred_aggregation=preferred_aggregation,
        )
        self._emitter = Emitter(METRICS_PROVIDER_NAME, METRICS_PROVIDER_ID, session)

    @property
    def stats(self) -> Stats:
        """What has become of the data points so far."""
        return self._emitter.stats

    def export(
        self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any
    ) -> MetricExportResult:
        """Write all points; ``FAILURE`` if one was lost, while points that no session wants are not."""
        outcomes: list[Outcome] = []
        try:
            self._export(metrics_data, outcomes)
        except Exception as error:  # noqa: BLE001 - nothing of this may reach the application
            # One odd resource or scope ends the batch: what comes behind it is lost with it.
            lost = max(1, _count_points(metrics_data) - len(outcomes))
            message = f"metrics could not be encoded: {text_of(error)}"
            outcomes.append(self._emitter.drop("not encodable", message, lost))
        return MetricExportResult.FAILURE if Outcome.DROPPED in outcomes else MetricExportResult.SUCCESS

    def _export(self, metrics_data: MetricsData, outcomes: list[Outcome]) -> None:
        refusal = self._emitter.refusal(DESCRIPTOR.level, DESCRIPTOR.keyword, _count_points(metrics_data))
        if refusal is not None:
            outcomes.append(refusal)
            return
        room_bytes = self._emitter.max_event_bytes - len(METADATA)
        for point in encode_points(metrics_data.resource_metrics, room_bytes):
            outcomes.append(self._write(point))  # noqa: PERF401 - kept up to date in case the next one raises

    def _write(self, point: EncodedPoint) -> Outcome:
        if point.payload is None:
            reason = point.problem or "not encodable"
            return self._emitter.drop(
                reason, f"a data point of metric {point.metric_name!r} was dropped: {reason}"
            )
        return self._emitter.write(EncodedEvent(DESCRIPTOR, METADATA, point.payload, point.truncated))

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        """Leave the session. Idempotent; a later export fails."""
        self._emitter.shutdown()

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Always true: points are in their session's file (or the kernel) when ``export`` returns."""
        return True


def _count_points(metrics_data: MetricsData) -> int:
    try:
        return sum(
            len(metric.data.data_points)
            for of_resource in metrics_data.resource_metrics
            for of_scope in of_resource.scope_metrics
            for metric in of_scope.metrics
        )
    except Exception:  # noqa: BLE001 - what is no metrics data still counts as something
        return 1
