"""Run in an environment that holds the built wheel and its core dependencies, and nothing else.

Exports a log record, a span and a metric to a file, logs through the handler, reads all of it back, and
checks that the command line says what to install. Exits with an assertion if something needs more than the
core.
"""

from __future__ import annotations

import importlib.util
import logging
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

for tool in ("click", "rich", "numpy", "pyarrow", "duckdb", "pytest"):
    assert importlib.util.find_spec(tool) is None, (
        f"{tool} is installed: this environment is not the core alone"
    )

from opentelemetry._logs import SeverityNumber  # noqa: E402 - only after the check above
from opentelemetry.sdk._logs import LoggerProvider  # noqa: E402
from opentelemetry.sdk.metrics import MeterProvider  # noqa: E402
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader  # noqa: E402
from opentelemetry.sdk.trace import TracerProvider  # noqa: E402

import otel_etw  # noqa: E402

assert "site-packages" in otel_etw.__file__, "the wheel is to be tested, not the sources"
assert Path(otel_etw.__file__).with_name("py.typed").exists()

with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "smoke.etl"
    with otel_etw.EtlSession(path) as session:
        logs = LoggerProvider()
        logs.add_log_record_processor(otel_etw.EtwLogRecordProcessor(session=session))
        logs.get_logger("smoke").emit(body="hello", severity_number=SeverityNumber.INFO)
        logs.shutdown()
        spans = TracerProvider()
        spans.add_span_processor(otel_etw.EtwSpanProcessor(session=session))
        spans.get_tracer("smoke").start_span("smoking").end()
        spans.shutdown()
        handler = otel_etw.EtwHandler(session=session)
        handler.handle(logging.makeLogRecord({"msg": "hello again", "levelno": 20, "levelname": "INFO"}))
        handler.close()
        reader = PeriodicExportingMetricReader(otel_etw.EtwMetricExporter(session=session))
        meters = MeterProvider(metric_readers=[reader])
        meters.get_meter("smoke").create_counter("smoked").add(1)
        meters.shutdown()
    with otel_etw.open_etl(path) as trace:
        names = [event.name for event in trace if event.kind.startswith("event")]
    assert names == ["Log", "Span", "Log", "otlp_metrics"], names

command = Path(sysconfig.get_path("scripts")) / "otel-etw"
run = subprocess.run([command, "view", "x.etl"], capture_output=True, text=True, check=False)
assert run.returncode == 1, run
assert "otel-etw[tools]" in run.stderr, run.stderr
assert len(run.stderr.strip().splitlines()) == 1, run.stderr
sys.stdout.write("the core works alone\n")
