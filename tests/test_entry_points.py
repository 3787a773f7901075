"""``OTEL_LOGS_EXPORTER=etw`` and its like: no code, no shutdown call, fresh processes, one file."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import pytest

from otel_etw import EtwLogRecordExporter, EtwMetricExporter, EtwSpanExporter, open_etl
from otel_etw.etl.event import Event
from otel_etw.etl.layout import ExtendedType
from otel_etw.layouts.common_schema import decode_log, decode_span
from otel_etw.layouts.items import LogItem, MetricPoint, SpanItem
from otel_etw.layouts.otlp_metrics import decode_points
from otel_etw.tracelogging.metadata import decode_metadata
from otel_etw.tracelogging.provider_id import decode_traits
from otel_etw.tracelogging.types import OutType

EMIT = """
from opentelemetry._logs import LogRecord, SeverityNumber, get_logger
from opentelemetry.metrics import get_meter
from opentelemetry.trace import get_tracer
with get_tracer("app").start_as_current_span("work", attributes={"order": 7}) as span:
    span.add_event("halfway")
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
from opentelemetry.trace import set_tracer_provider
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
logs, traces = LoggerProvider(), TracerProvider()
set_logger_provider(logs)
set_tracer_provider(traces)
assert "otel_etw" not in sys.modules
from otel_etw import EtwLogRecordExporter, EtwMetricExporter, EtwSpanExporter
set_meter_provider(MeterProvider([PeriodicExportingMetricReader(EtwMetricExporter())]))
logs.add_log_record_processor(BatchLogRecordProcessor(EtwLogRecordExporter()))
traces.add_span_processor(BatchSpanProcessor(EtwSpanExporter()))
"""


def run(code: str, folder: Path, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run ``code`` in ``folder`` with the exporters chosen by the environment."""
    (folder / "app.py").write_text(code, encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    environment |= {
        "OTEL_LOGS_EXPORTER": "etw",
        "OTEL_METRICS_EXPORTER": "etw",
        "OTEL_TRACES_EXPORTER": "etw",
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


class Found(NamedTuple):
    """What a file holds: items, each with its event."""

    logs: list[tuple[LogItem, Event]]
    spans: list[tuple[SpanItem, Event]]
    points: list[tuple[MetricPoint, Event]]

    @property
    def log(self) -> LogItem:
        """The record that :data:`EMIT` makes itself, not as the event of a span."""
        ((item, _),) = [found for found in self.logs if found[0].body is not None]
        return item


def read(path: Path) -> Found:
    found = Found([], [], [])
    with open_etl(path) as trace:
        for event in trace:
            log, span = (decode(event.values, event.timestamp_ns) for decode in (decode_log, decode_span))
            if log is not None:
                found.logs.append((log, event))
            elif span is not None:
                found.spans.append((span, event))
            elif event.name == "otlp_metrics":
                found.points.extend((point, event) for point in decode_points(event.payload))
        assert not trace.damage
    return found


def providers(found: Found) -> set[str | None]:
    return {event.provider_name for items in found for _, event in items}


def check(path: Path, provider_name: str = "OpenTelemetry_Python") -> Found:
    """All three signals are there, once, and of one service."""
    found = read(path)
    assert (found.log.body, found.log.attributes, found.log.service_name) == ("hello", {"n": 1}, "shop")
    ((span, _),) = found.spans
    assert (span.name, span.attributes, span.service_name) == ("work", {"order": 7}, "shop")
    assert (found.log.trace_id, found.log.span_id) == (span.trace_id, span.span_id)
    assert [(log.event_name, log.span_id) for log, _ in found.logs if log.body is None] == [
        ("halfway", span.span_id)
    ]
    # SDK 1.40 counts spans without being asked to.
    assert [
        (point.metric_name, point.value, point.temporality)
        for point, _ in found.points
        if not point.metric_name.startswith("otel.sdk.span.")
    ] == [("orders", 3, "delta")]
    assert providers(found) == {provider_name, "NativeMetricsExtension_Provider"}
    return found


def test_entry_points_name_the_exporters() -> None:
    """Each of the three groups has ``etw``."""
    loaded = []
    for signal in ("logs", "traces", "metrics"):
        (point,) = entry_points(group=f"opentelemetry_{signal}_exporter", name="etw")
        loaded.append(point.load())
    assert loaded == [EtwLogRecordExporter, EtwSpanExporter, EtwMetricExporter]


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


@pytest.mark.skipif(os.name == "nt", reason="on Windows the default is no file (test_kernel_provider.py)")
def test_the_default_file(tmp_path: Path) -> None:
    """With no variable the file is in the working directory, named after the process, its owner's only."""
    done = run(CONFIGURATOR + "import os\nprint(os.getpid())" + EMIT, tmp_path, OTEL_EXPORTER_ETW_FILE="")
    assert done.returncode == 0, done.stderr
    (path,) = tmp_path.glob("*.etl")
    assert path.name.startswith(f"otel-etw-{done.stdout.strip()}-")
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


# --------------------------------------------------------------------------- every option, from end to end

OPTIONS = {
    "PROVIDER_NAME": "My-Shop",
    "ETW_ONLY_NAME": "true",
    "PROVIDER_GROUP": "01234567-89ab-cdef-0123-456789abcdef",
    "RESOURCE_ATTRIBUTES": "deployment.environment.name,not.there",
    "KEYWORD": "0x30",
    "ACTIVITY_ID": "trace",
    "MARK_UTF8": "true",
    "LOG_EVENT_NAME": "Entry",
    "SPAN_EVENT_NAME": "Request",
    "SPAN_LEVEL": "4",
    "EXTENDED": "true",
    "FILE": "shop-{pid}.etl",
    "FILE_MODE": "sequential",
    "BUFFER_SIZE": "64 KiB",
    "MAX_FILE_SIZE": "1 MiB",
    "MAX_FILES": "1",
    "FILE_LEVEL": "4",
    "FILE_KEYWORD": "0x10",
}


def variables_of(options: dict[str, str]) -> dict[str, str]:
    return {f"OTEL_EXPORTER_ETW_{suffix}": text for suffix, text in options.items()}


def out_types(event: Event) -> set[int]:
    """Out-types of the fields that hold a log's or span's text."""

    def names(fields: tuple[Any, ...]) -> Iterator[int]:
        for field in fields:
            if field.name in ("name", "body", "env_name", "eventName"):
                yield field.out_type
            yield from names(field.members)

    assert event.metadata is not None
    return set(names(decode_metadata(event.metadata).fields))


def test_every_option_by_its_variable(tmp_path: Path) -> None:
    """What arguments can say, variables can."""
    code = CONFIGURATOR + "import os\nprint(os.getpid())" + EMIT
    done = run(
        code,
        tmp_path,
        OTEL_RESOURCE_ATTRIBUTES="deployment.environment.name=test",
        **variables_of(OPTIONS),
    )
    assert done.returncode == 0, done.stderr
    (path,) = tmp_path.glob("*.etl")
    assert path.name == f"shop-{done.stdout.strip()}.etl"
    found = read(path)
    assert found.log.attributes == {"n": 1, "deployment.environment.name": "test"}
    ((span, span_event),) = found.spans
    assert span.attributes == {"order": 7, "deployment.environment.name": "test"}
    assert span.scope_name == "app"
    assert span.trace_flags in (1, 3), "sampled; newer SDKs add that the id is random"
    assert (span_event.name, span_event.descriptor.level) == ("Request", 4)
    assert span.trace_id is not None
    for _, event in (*found.logs, *found.spans):
        assert event.provider_name == "My-Shop"
        assert event.descriptor.keyword == 0x30
        assert event.activity_id == UUID(hex=span.trace_id)
        assert out_types(event) == {OutType.UTF8}
        traits = event.extended_item(ExtendedType.PROVIDER_TRAITS)
        assert traits is not None
        assert decode_traits(traits).group == UUID(OPTIONS["PROVIDER_GROUP"])
    assert {event.name for log, event in found.logs if log.body == "hello"} == {"Entry"}
    # Metrics have one keyword, which is none of those the file takes.
    assert not found.points
    with open_etl(path) as trace:
        assert trace.header.buffer_size_bytes == 65536


@pytest.mark.parametrize("oversize", ["truncate", "drop"])
def test_items_too_large_for_an_event(oversize: str, tmp_path: Path) -> None:
    """They are cut, or they are not there; the others are."""
    body = EMIT.replace('body="hello"', 'body="hello" * 100_000')
    done = run(
        CONFIGURATOR + EMIT + body,
        tmp_path,
        OTEL_EXPORTER_ETW_FILE="app.etl",
        OTEL_EXPORTER_ETW_OVERSIZE=oversize,
        OTEL_EXPORTER_ETW_SPAN_EVENTS="false",
    )
    assert done.returncode == 0, done.stderr
    logs = [log for log, _ in read(tmp_path / "app.etl").logs]
    assert [(log.body == "hello", bool(log.truncated)) for log in logs] == [
        (True, False),
        *([(False, True)] if oversize == "truncate" else []),
    ]


ROLLING = """
from opentelemetry._logs import LogRecord, get_logger
for number in range(3000):
    get_logger("app").emit(LogRecord(body="x" * 1000, attributes={"number": number}))
"""


@pytest.mark.parametrize(
    ("mode", "files"), [("rolling", ["app.etl", "app.etl.1", "app.etl.2"]), ("circular", ["app.etl"])]
)
def test_the_file_modes(mode: str, files: list[str], tmp_path: Path) -> None:
    """As large and as many as the variables say, and the newest events are there."""
    done = run(
        CONFIGURATOR + ROLLING,
        tmp_path,
        OTEL_BLRP_MAX_QUEUE_SIZE="4096",
        **variables_of(
            {
                "FILE": "app.etl",
                "FILE_MODE": mode,
                "MAX_FILE_SIZE": "512 KiB",
                "MAX_FILES": "3",
                "BUFFER_SIZE": "64KB",
            }
        ),
    )
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in tmp_path.glob("*.etl*")) == files
    assert all((tmp_path / name).stat().st_size <= 512 << 10 for name in files)
    numbers = [log.attributes["number"] for name in files for log, _ in read(tmp_path / name).logs]
    assert max(numbers) == 2999
    assert 100 < len(numbers) < 3000


PROCESSORS = """
import logging, logging.config
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from otel_etw import EtwSpanProcessor
class RecordOnly(Sampler):
    def should_sample(self, *arguments, **options):
        return SamplingResult(Decision.RECORD_ONLY)
    def get_description(self):
        return "records everything, samples nothing"
traces = TracerProvider(sampler=RecordOnly())
traces.add_span_processor(EtwSpanProcessor())
traces.get_tracer("app").start_span("recorded").end()
logging.config.dictConfig({
    "version": 1,
    "handlers": {"etw": {"class": "otel_etw.EtwHandler"}},
    "root": {"handlers": ["etw"], "level": "INFO"},
})
def place():
    logging.getLogger("app").info({"order": [1, 2]})
place()
"""


@pytest.mark.parametrize("text", ["true", "false"])
def test_options_of_handler_and_span_processor(text: str, tmp_path: Path) -> None:
    """What no entry point makes reads the same variables."""
    options = {"FILE": "app.etl", "RECORD_ONLY": text, "CODE_ATTRIBUTES": text, "STRUCTURED_BODY": text}
    done = run(PROCESSORS, tmp_path, **variables_of(options))
    assert (done.returncode, done.stderr) == (0, "")
    found = read(tmp_path / "app.etl")
    ((log, _),) = [item for item in found.logs if item[0].attributes.get("code.function.name") != "configure"]
    assert [span.name for span, _ in found.spans] == (["recorded"] if text == "true" else [])
    if text == "true":
        assert log.body == {"order": [1, 2]}
        assert log.attributes["code.function.name"] == "place"
    else:
        assert log.body == "{'order': [1, 2]}"
        assert "code.function.name" not in log.attributes


def test_invalid_values_are_one_line_each(tmp_path: Path) -> None:
    """Three exporters read them; the application runs, with the defaults."""
    invalid = dict.fromkeys(OPTIONS, "!") | {"OVERSIZE": "!", "SPAN_EVENTS": "!"}
    free = {"FILE", "RESOURCE_ATTRIBUTES", "LOG_EVENT_NAME", "SPAN_EVENT_NAME"}
    for suffix in free:
        del invalid[suffix]
    done = run(CONFIGURATOR + EMIT, tmp_path, OTEL_EXPORTER_ETW_FILE="app.etl", **variables_of(invalid))
    assert done.returncode == 0
    lines = done.stderr.splitlines()
    assert sorted(line.partition(" ")[0] for line in lines) == sorted(variables_of(invalid))
    check(tmp_path / "app.etl")


def test_metrics_about_the_exporters(tmp_path: Path) -> None:
    """With the SDK's switch on, all three exporters are in the metrics that one of them writes."""
    done = run(
        CONFIGURATOR + EMIT,
        tmp_path,
        OTEL_EXPORTER_ETW_FILE="app.etl",
        OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED="true",
    )
    assert (done.returncode, done.stderr) == (0, "")
    found = read(tmp_path / "app.etl")
    assert len(found.spans) == 1
    components = {
        (point.metric_name, point.attributes["otel.component.name"])
        for point, _ in found.points
        if point.scope_name.startswith("otel_etw")
    }
    assert components >= {
        ("otel.sdk.exporter.log.exported", "etw_log_exporter/0"),
        ("otel.sdk.exporter.span.exported", "etw_span_exporter/0"),
        ("otel.sdk.exporter.metric_data_point.exported", "etw_metric_exporter/0"),
    }
