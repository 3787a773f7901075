"""Metrics of the OpenTelemetry SDK onto ETW: every data point one event of the provider that all exporters of
OpenTelemetry metrics share, ``NativeMetricsExtension_Provider`` (its GUID is assigned, not hashed).
"""

from __future__ import annotations

from typing import Any, Literal
from uuid import UUID

from opentelemetry.metrics import MeterProvider
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
from otel_etw.layouts.otlp_metrics import DESCRIPTOR, METADATA, EncodedPoint, PointEncoder
from otel_etw.layouts.plain_text import text_of
from otel_etw.observation import observe_exporter
from otel_etw.options import drop_oversize_option, provider_group_option
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

    :param session: where events go; closed by whoever made it.  ``None``: whatever listens on Windows,
        and elsewhere one shared by the process, which writes a file.
    :param provider_group: GUID of a provider group (or its text), a trait of the provider.
    :param oversize: ``"truncate"`` lets a point too large for an event lose its exemplars, then its longest
        attributes, and says so in it; ``"drop"`` drops the point.
    :param meter_provider: where the SDK's self-observability metrics go (``otel.sdk.exporter.*``), if
        ``OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED`` says so; ``None``: the global one.
    :param preferred_temporality: by instrument class, over the default: delta, and cumulative for up-down
        counters.
    :param preferred_aggregation: by instrument class, as the SDK has it.

    For ``provider_group`` and ``oversize`` ``None`` means not given: the variable ``OTEL_EXPORTER_ETW_...``
    applies, then the default.  Raises :class:`~otel_etw.errors.EncodeError` (a ``ValueError``) or
    ``TypeError`` for an invalid argument; nothing else, here or later.  A point that even without its
    attributes is too large is dropped, and the export fails.

    Remembers what points have in common, within the bounds of
    :class:`~otel_etw.layouts.otlp_metrics.PointEncoder`.  Any number of threads may export at once.
    """

    def __init__(
        self,
        *,
        session: Session | None = None,
        provider_group: UUID | str | None = None,
        oversize: Literal["truncate", "drop"] | None = None,
        meter_provider: MeterProvider | None = None,
        preferred_temporality: dict[type, AggregationTemporality] | None = None,
        preferred_aggregation: dict[type, Aggregation] | None = None,
    ) -> None:
        super().__init__(
            preferred_temporality={**_TEMPORALITY, **(preferred_temporality or {})},
            preferred_aggregation=preferred_aggregation,
        )
        self._emitter = Emitter(
            METRICS_PROVIDER_NAME,
            METRICS_PROVIDER_ID,
            session,
            group=provider_group_option(provider_group),
            drop_oversize=drop_oversize_option(oversize),
        )
        self._encoder = PointEncoder()
        self._write = self._emitter.prepared(DESCRIPTOR, METADATA)
        self._observation = observe_exporter("metric", self._emitter, meter_provider)

    @property
    def stats(self) -> Stats:
        """What has become of the data points so far."""
        return self._emitter.stats

    def export(
        self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any
    ) -> MetricExportResult:
        """Write all points; ``FAILURE`` if one was lost, while points that no session wants are not."""
        points = _count_points(metrics_data)
        with self._observation.export(points):
            outcome = self._emitter.refusal(DESCRIPTOR.level, DESCRIPTOR.keyword, points)
            if outcome is None:
                outcome = self._export(metrics_data, points)
        return MetricExportResult.FAILURE if outcome is Outcome.DROPPED else MetricExportResult.SUCCESS

    def _export(self, metrics_data: MetricsData, points: int) -> Outcome:
        """Write every point: ``DROPPED`` if any of them was."""
        write, dropped, whole = self._write, Outcome.DROPPED, Outcome.WRITTEN
        finished = 0
        try:
            room_bytes = self._emitter.max_event_bytes - len(METADATA)
            for request in self._encoder.encode(metrics_data.resource_metrics, room_bytes):
                try:
                    outcome = write(request) if isinstance(request, bytes) else self._write_odd(request)
                except Exception as error:  # noqa: BLE001 - a provider that breaks its promise
                    outcome = self._emitter.drop("write failed", f"a write failed: {text_of(error)}")
                if outcome is dropped:
                    whole = dropped
                finished += 1
        except Exception as error:  # noqa: BLE001 - nothing of this may reach the application
            # One odd resource or scope ends the batch: what comes behind it is lost with it.
            message = f"metrics could not be encoded: {text_of(error)}"
            return self._emitter.drop("not encodable", message, max(1, points - finished))
        return whole

    def _write_odd(self, point: EncodedPoint) -> Outcome:
        """Write a point that may have been cut, or count one that could not be had."""
        if point.payload is not None:
            return self._write(point.payload, None, bool(point.truncated))
        reason = point.problem or "not encodable"
        return self._emitter.drop(
            reason, f"a data point of metric {point.metric_name!r} was dropped: {reason}"
        )

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        """Leave the session. Idempotent; a later export fails."""
        self._emitter.shutdown()
        self._observation.close()

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
