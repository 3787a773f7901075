"""Metrics of the OpenTelemetry SDK into an ``.etl`` file, one event per data point.

python examples/metrics_to_etl.py metrics.etl && otel-etw view metrics.etl
"""

import sys

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource

from otel_etw import EtlSession, EtwMetricExporter


def main(path: str) -> None:
    with EtlSession(path) as session:
        exporter = EtwMetricExporter(session=session)
        provider = MeterProvider(
            resource=Resource.create({"service.name": "orders"}),
            metric_readers=[PeriodicExportingMetricReader(exporter)],
        )
        meter = provider.get_meter("orders")
        orders = meter.create_counter("orders.accepted", unit="{order}", description="Orders taken")
        latency = meter.create_histogram("orders.duration", unit="ms")
        for milliseconds in (3, 5, 8, 21, 34):
            orders.add(1, {"region": "north"})
            latency.record(milliseconds, {"region": "north"})

        provider.shutdown()
        print(f"{exporter.stats.written} data points in {session.path}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "metrics.etl")
