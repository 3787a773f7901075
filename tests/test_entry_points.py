"""``OTEL_LOGS_EXPORTER=etw OTEL_METRICS_EXPORTER=etw``: no code, no shutdown call, fresh processes."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from otel_etw import EtwLogRecordExporter, EtwMetricExporter, open_etl
from otel_etw.layouts.common_schema import decode_log
from otel_etw.layouts.items import LogItem, MetricPoint
from otel_etw.layouts.otlp_metrics import decode_points

EMIT = """
from opentelemetry._logs import LogRecord, SeverityNumber, get_logger
from opentelemetry.metrics import get_meter
get_logger("app").emit(LogRecord(body="hello", severity_number=SeverityNumber.INFO, attributes={"n": 1}))
get_meter("app").create_counter("orders").add(3, {"k": "v"})
"""

CONFIGURATOR = """
import sys
from opentelemetry.sdk._configuration import _OTelSDKConfigurator
assert "otel_etw" not in sys.modules
_OTelSDKConfigurator().configure()
"""

# Providers, and with them the SDK's own exit hooks, exist before this package is imported.
PROVIDERS_FIRST = """
import sys
from opentelemetry._logs import set_logger_provider
from opentelemetry.metrics import set_meter_provider
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
logs = LoggerProvider()
set_logger_provider(logs)
assert "otel_etw" not in sys.modules
from otel_etw import EtwLogRecordExporter, EtwMetricExporter
set_meter_provider(MeterProvider([PeriodicExportingMetricReader(EtwMetricExporter())]))
logs.add_log_record_processor(BatchLogRecordProcessor(EtwLogRecordExporter()))
"""


def run(code: str, folder: Path, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run ``code`` in ``folder`` with the exporters chosen by the environment."""
    (folder / "app.py").write_text(code, encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    environment |= {
        "OTEL_LOGS_EXPORTER": "etw",
        "OTEL_METRICS_EXPORTER": "etw",
        "OTEL_TRACES_EXPORTER": "none",
        "OTEL_SERVICE_NAME": "shop",
        **variables,
    }
    return subprocess.run(
        [*(command or (sys.executable,)), "app.py"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def read(path: Path) -> tuple[list[LogItem], list[MetricPoint], set[str]]:
    """The logs and points of a file, and the names of their providers."""
    logs, points, providers = [], [], set()
    with open_etl(path) as trace:
        for event in trace:
            item = decode_log(event.values, event.timestamp_ns)
            if item is not None:
                logs.append(item)
            elif event.name == "otlp_metrics":
                points += decode_points(event.payload)
            else:
                continue
            providers.add(str(event.provider_name))
        assert not trace.damage
    return logs, points, providers


def check(path: Path, provider_name: str = "OpenTelemetry_Python") -> None:
    logs, points, providers = read(path)
    assert [(item.body, item.attributes, item.service_name) for item in logs] == [("hello", {"n": 1}, "shop")]
    assert [(point.metric_name, point.value, point.temporality) for point in points] == [
        ("orders", 3, "delta")
    ]
    assert providers == {provider_name, "NativeMetricsExtension_Provider"}


def test_entry_points_name_the_exporters() -> None:
    """Both groups have ``etw``."""
    (logs,) = entry_points(group="opentelemetry_logs_exporter", name="etw")
    (metrics,) = entry_points(group="opentelemetry_metrics_exporter", name="etw")
    assert (logs.load(), metrics.load()) == (EtwLogRecordExporter, EtwMetricExporter)


@pytest.mark.parametrize("start", [CONFIGURATOR, PROVIDERS_FIRST], ids=["configurator", "providers first"])
def test_without_code_and_without_shutdown(start: str, tmp_path: Path) -> None:
    """One exporter per signal share the file of the environment, complete when the process has ended."""
    done = run(
        start + EMIT, tmp_path, OTEL_EXPORTER_ETW_FILE="app.etl", OTEL_EXPORTER_ETW_PROVIDER_NAME="My_App"
    )
    assert (done.returncode, done.stderr) == (0, "")
    check(tmp_path / "app.etl", "My_App")


def test_opentelemetry_instrument(tmp_path: Path) -> None:
    """The same under the launcher that needs no code at all.

    The launcher asks an entry point for the configurator; the package that usually brings one (the distro)
    pins one SDK version exactly, so the test installs an entry point of its own for the same class.
    """
    installed = tmp_path / "site" / "configurator-1.dist-info"
    installed.mkdir(parents=True)
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: configurator\nVersion: 1\n", "utf-8")
    (installed / "entry_points.txt").write_text(
        "[opentelemetry_configurator]\nsdk = opentelemetry.sdk._configuration:_OTelSDKConfigurator\n", "utf-8"
    )
    done = run(
        EMIT,
        tmp_path,
        *(sys.executable, "-c", "from opentelemetry.instrumentation.auto_instrumentation import run; run()"),
        sys.executable,
        OTEL_EXPORTER_ETW_FILE="app.etl",
        OTEL_PYTHON_CONFIGURATOR="sdk",
        PYTHONPATH=str(installed.parent),
    )
    assert done.returncode == 0, done.stderr
    check(tmp_path / "app.etl")


def test_the_default_file(tmp_path: Path) -> None:
    """With no variable the file is in the working directory, named after the process, its owner's only."""
    done = run(CONFIGURATOR + "import os\nprint(os.getpid())" + EMIT, tmp_path, OTEL_EXPORTER_ETW_FILE="")
    assert done.returncode == 0, done.stderr
    (path,) = tmp_path.glob("*.etl")
    assert path.name.startswith(f"otel-etw-{done.stdout.strip()}-")
    if os.name == "posix":
        assert path.stat().st_mode & 0o777 == 0o600
    check(path)


def test_an_invalid_name_is_logged_and_the_default_used(tmp_path: Path) -> None:
    """The application does not notice, whoever reads its log does."""
    done = run(
        CONFIGURATOR + EMIT,
        tmp_path,
        OTEL_EXPORTER_ETW_FILE="app.etl",
        OTEL_EXPORTER_ETW_PROVIDER_NAME="not valid!",
    )
    assert done.returncode == 0
    assert done.stderr.count("OTEL_EXPORTER_ETW_PROVIDER_NAME") == 1
    check(tmp_path / "app.etl")


def test_a_file_that_cannot_be_made(tmp_path: Path) -> None:
    """The application runs to its end; one line says that there will be no file."""
    done = run(CONFIGURATOR + EMIT + "print('done')", tmp_path, OTEL_EXPORTER_ETW_FILE="missing/app.etl")
    assert (done.returncode, done.stdout) == (0, "done\n")
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert "missing" in done.stderr
    assert not list(tmp_path.glob("**/*.etl"))
