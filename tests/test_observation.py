"""Self-observability: the metrics that the SDK's semantic conventions want of exporters and processors."""

from __future__ import annotations

import gc
import logging
import re
import subprocess
import sys
import weakref
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pytest
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.semconv._incubating.metrics import otel_metrics

from memory_provider import MemorySession
from otel_etw import (
    EtwHandler,
    EtwLogRecordExporter,
    EtwLogRecordProcessor,
    EtwMetricExporter,
    EtwSpanExporter,
    EtwSpanProcessor,
    observation,
    open_etl,
    variables,
)
from otel_etw.emitter import Stats
from otel_etw.layouts.otlp_metrics import decode_points
from otel_etw.observation import observe_exporter, observe_handler, observe_processor

SWITCH = "OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED"


class Point(NamedTuple):
    value: float
    error_type: str | None
    component: str
    component_type: str


class Source:
    """What an emitter is to an observation."""

    def __init__(self, written: int = 0, **dropped: int) -> None:
        self.stats = Stats(
            written=written, dropped={name.replace("_", " "): n for name, n in dropped.items()}
        )


@pytest.fixture(autouse=True)
def _enabled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SWITCH, "true")
    monkeypatch.setattr(observation, "_failures_logged", set())
    monkeypatch.setattr(variables, "_complained", {})


@pytest.fixture
def reader() -> InMemoryMetricReader:
    return InMemoryMetricReader()


@pytest.fixture
def meter_provider(reader: InMemoryMetricReader) -> Iterator[MeterProvider]:
    provider = MeterProvider([reader], shutdown_on_exit=False)
    yield provider
    provider.shutdown()


def metrics_of(reader: InMemoryMetricReader) -> list[tuple[str, Any]]:
    """Scope name and metric, of everything that our own meters have."""
    data = reader.get_metrics_data()
    return [
        (scope.scope.name, metric)
        for resource in (data.resource_metrics if data else ())
        for scope in resource.scope_metrics
        if scope.scope.name.startswith("otel_etw")
        for metric in scope.metrics
    ]


def points_of(reader: InMemoryMetricReader) -> dict[str, list[Point]]:
    """Metric -> its points. Each may have only the attributes of the conventions."""
    found: dict[str, list[Point]] = {}
    for _, metric in metrics_of(reader):
        for point in metric.data.data_points:
            attributes = dict(point.attributes)
            found.setdefault(metric.name, []).append(
                Point(
                    point.count if hasattr(point, "count") else point.value,
                    attributes.pop("error.type", None),
                    attributes.pop("otel.component.name"),
                    attributes.pop("otel.component.type"),
                )
            )
            assert not attributes
    return found


def counts_of(reader: InMemoryMetricReader, name: str) -> dict[str | None, float]:
    """Error type -> count, of the only component that has the metric."""
    points = points_of(reader)[name]
    assert len({point.component for point in points}) == 1
    assert len({point.error_type for point in points}) == len(points)
    return {point.error_type: point.value for point in points}


# --------------------------------------------------------------------------- what is published

Made = Mapping[str, tuple[str, str]]


def by_the_conventions(names: list[str]) -> Made:
    """Name -> unit and description, as the SDK's package of semantic conventions makes these metrics."""
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    meter = provider.get_meter("otel_etw")
    for name in names:
        instrument = getattr(otel_metrics, f"create_{name.replace('.', '_')}")(meter)
        (instrument.record if hasattr(instrument, "record") else instrument.add)(0)
    return described(reader)


def described(reader: InMemoryMetricReader) -> Made:
    return {metric.name: (metric.unit, metric.description) for _, metric in metrics_of(reader)}


@pytest.mark.parametrize(
    ("signal", "items"), [("log", "log"), ("span", "span"), ("metric", "metric_data_point")]
)
def test_metrics_of_an_exporter(
    signal: Any, items: str, meter_provider: MeterProvider, reader: InMemoryMetricReader
) -> None:
    """Names, units and descriptions are those of the semantic conventions; so are the kinds."""
    source = Source(written=3)
    observed = observe_exporter(signal, source, meter_provider)
    with observed.export(2):
        inflight = points_of(reader)[f"otel.sdk.exporter.{items}.inflight"]
        assert [point.value for point in inflight] == [2]
    found = metrics_of(reader)
    assert described(reader) == by_the_conventions(
        [
            f"otel.sdk.exporter.{items}.exported",
            f"otel.sdk.exporter.{items}.inflight",
            "otel.sdk.exporter.operation.duration",
        ]
    )
    data = {metric.name.rpartition(".")[2]: metric.data for _, metric in found}
    assert data["exported"].is_monotonic
    assert not data["inflight"].is_monotonic
    points = points_of(reader)
    (exported,) = points[f"otel.sdk.exporter.{items}.exported"]
    assert (exported.value, exported.error_type) == (3, None)
    assert exported.component_type == f"etw_{signal}_exporter"
    assert exported.component.startswith(f"etw_{signal}_exporter/")
    assert [point.value for point in points[f"otel.sdk.exporter.{items}.inflight"]] == [0]
    assert [point[:2] for point in points["otel.sdk.exporter.operation.duration"]] == [(1, None)]
    assert 0 <= data["duration"].data_points[0].sum < 10


@pytest.mark.parametrize(
    ("observe", "component_type", "items"),
    [
        (lambda *a: observe_processor("log", *a), "etw_log_processor", "log"),
        (lambda *a: observe_processor("span", *a), "etw_span_processor", "span"),
        (observe_handler, "etw_log_handler", "log"),
    ],
)
def test_metrics_of_a_processor(
    observe: Any, component_type: str, items: str, meter_provider: MeterProvider, reader: InMemoryMetricReader
) -> None:
    """One counter; a handler is its own processor."""
    source = Source(written=2, no_session=5)
    observed = observe(source, meter_provider)
    name = f"otel.sdk.processor.{items}.processed"
    assert described(reader) == by_the_conventions([name])
    assert counts_of(reader, name) == {None: 2, "no_session": 5}
    assert {point.component_type for point in points_of(reader)[name]} == {component_type}
    with observed.export(1):
        pass
    assert set(points_of(reader)) == {name}


def test_error_types(meter_provider: MeterProvider, reader: InMemoryMetricReader) -> None:
    """Each reason is one word; the conventions have their own for what comes after shutdown."""
    source = Source()
    source.stats = Stats(
        written=1,
        skipped=100,
        truncated=1,
        dropped={"status 8": 2, "too large": 3, "re-entrant": 4, "re entrant": 5, "shut down": 6},
    )
    observe_exporter("log", source, meter_provider)
    assert counts_of(reader, "otel.sdk.exporter.log.exported") == {
        None: 1,
        "status_8": 2,
        "too_large": 3,
        "re_entrant": 9,
        "already_shutdown": 6,
    }


def test_the_duration_says_why_an_export_failed(
    meter_provider: MeterProvider, reader: InMemoryMetricReader
) -> None:
    """One observation for each export, with the most frequent reason where something was lost."""
    source = Source(written=1, status_8=7)
    observed = observe_exporter("span", source, meter_provider)
    with observed.export(3):
        source.stats = Stats(written=4, dropped={"status 8": 7})
    for _ in range(2):
        with observed.export(5):
            dropped = source.stats.dropped
            source.stats = Stats(
                written=4, dropped={"status 8": dropped["status 8"] + 1, "a": dropped.get("a", 0) + 2}
            )
    points = points_of(reader)["otel.sdk.exporter.operation.duration"]
    assert {point.error_type: point.value for point in points} == {None: 1, "a": 2}


def test_an_export_that_raises_is_over_all_the_same(
    meter_provider: MeterProvider, reader: InMemoryMetricReader
) -> None:
    """The exception goes on, and nothing stays in flight."""
    source = Source()
    observed = observe_exporter("log", source, meter_provider)
    with pytest.raises(KeyboardInterrupt), observed.export(3):
        raise KeyboardInterrupt
    points = points_of(reader)
    assert [point.value for point in points["otel.sdk.exporter.log.inflight"]] == [0]
    assert [point.value for point in points["otel.sdk.exporter.operation.duration"]] == [1]


def test_counters_only_grow(meter_provider: MeterProvider, reader: InMemoryMetricReader) -> None:
    """Whoever collects sees what has happened since, in the same series."""
    source = Source()
    observe_processor("log", source, meter_provider)
    for written in (0, 5, 5, 12):
        source.stats = Stats(written=written)
        assert counts_of(reader, "otel.sdk.processor.log.processed") == {None: written}


def test_several_of_one_kind_are_told_apart(
    meter_provider: MeterProvider, reader: InMemoryMetricReader
) -> None:
    """Each has a name of its own in the process, and none takes another one's counts."""
    sources = [Source(written=number) for number in range(1, 6)]
    for source in sources:
        observe_exporter("log", source, meter_provider)
    points = points_of(reader)["otel.sdk.exporter.log.exported"]
    assert sorted(point.value for point in points) == [1, 2, 3, 4, 5]
    assert len({point.component for point in points}) == 5
    for point in points:
        kind, _, number = point.component.partition("/")
        assert kind == "etw_log_exporter"
        assert number.isdigit()


# --------------------------------------------------------------------------- the switch


@pytest.mark.parametrize("text", ["false", "", None, "1"])
def test_nothing_is_published_unless_the_sdk_is_to(
    text: str | None,
    meter_provider: MeterProvider,
    reader: InMemoryMetricReader,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The SDK's own variable decides, also for a meter provider that was given."""
    monkeypatch.delenv(SWITCH)
    if text is not None:
        monkeypatch.setenv(SWITCH, text)
    source = Source(written=1)
    for observed in (
        observe_exporter("log", source, meter_provider),
        observe_processor("span", source, meter_provider),
        observe_handler(source, meter_provider),
    ):
        with observed.export(1):
            pass
        observed.close()
    assert not metrics_of(reader)


@pytest.mark.parametrize("enabled", ["true", "false"])
@pytest.mark.parametrize("what", ["etw", 5, object()])
def test_what_is_no_meter_provider_is_refused(
    what: Any, enabled: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once, and not only where metrics are enabled."""
    monkeypatch.setenv(SWITCH, enabled)
    with pytest.raises(TypeError, match="meter_provider must be a MeterProvider, not "):
        observe_exporter("log", Source(), what)


GLOBAL = """
from opentelemetry.metrics import set_meter_provider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from otel_etw.emitter import Stats
from otel_etw.observation import observe_exporter
class Source:
    def __init__(self, written):
        self.stats = Stats(written=written)
sources = [Source(written) for written in range(1, 6)]
reader = InMemoryMetricReader()
provider = MeterProvider([reader])
before = [observe_exporter("log", sources[0], None), observe_exporter("log", sources[1], provider)]
with before[0].export(3):
    set_meter_provider(provider)
after = [observe_exporter("log", sources[2], None), observe_exporter("log", sources[3], provider)]
with before[0].export(3):
    pass
names, counts, durations = set(), [], 0
for resource in reader.get_metrics_data().resource_metrics:
    for scope in resource.scope_metrics:
        for metric in scope.metrics:
            for point in metric.data.data_points:
                if metric.name == "otel.sdk.exporter.log.exported":
                    names.add(point.attributes["otel.component.name"])
                    counts.append(point.value)
                elif metric.name.endswith("duration"):
                    durations += point.count
print(sorted(names), sorted(counts), durations)
"""


def test_the_global_meter_provider_may_come_later() -> None:
    """As with the SDK's configurator, which makes span exporters before there is a meter provider."""
    done = subprocess.run(
        [sys.executable, "-c", GLOBAL], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stderr == ""
    names = [f"etw_log_exporter/{number}" for number in range(4)]
    assert done.stdout == f"{names} [1, 2, 3, 4] 2\n"


def test_a_meter_provider_that_does_nothing() -> None:
    """The API's own one is enough."""
    observed = observe_exporter("log", Source(), NoOpMeterProvider())
    with observed.export(1):
        pass
    observed.close()


# --------------------------------------------------------------------------- what can go wrong


def test_counts_that_cannot_be_read(
    meter_provider: MeterProvider, reader: InMemoryMetricReader, caplog: pytest.LogCaptureFixture
) -> None:
    """The last ones stand; it is logged once, and other metrics of the provider do not suffer."""

    class Failing:
        fails = False

        @property
        def stats(self) -> Stats:
            if self.fails:
                raise RuntimeError("no counts")
            return Stats(written=4)

    source, other = Failing(), Source(written=9)
    observed = observe_exporter("log", source, meter_provider)
    observe_processor("log", other, meter_provider)
    assert counts_of(reader, "otel.sdk.exporter.log.exported") == {None: 4}
    source.fails = True
    with observed.export(1):
        pass
    observed.close()
    for _ in range(3):
        assert counts_of(reader, "otel.sdk.exporter.log.exported") == {None: 4}
        assert counts_of(reader, "otel.sdk.processor.log.processed") == {None: 9}
    (line,) = caplog.records
    assert (line.name, line.levelname) == ("otel_etw", "WARNING")
    assert "no counts" in line.getMessage()


class Refusing:
    """A meter provider, or an instrument, of which one method fails."""

    def __init__(self, method: str) -> None:
        self.method = method

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: object, **options: object) -> Refusing:
            if name == self.method:
                raise RuntimeError("not with me")
            return self

        return call


@pytest.mark.parametrize(
    "method",
    [
        "get_meter",
        "create_observable_counter",
        "create_up_down_counter",
        "create_histogram",
        "add",
        "record",
    ],
)
def test_a_meter_provider_that_fails(method: str, caplog: pytest.LogCaptureFixture) -> None:
    """It costs the metrics, and neither the exporter nor an export."""
    provider: Any = Refusing(method)
    for _ in range(2):
        observed = observe_exporter("log", Source(), provider)
        with observed.export(3):
            pass
        observed.close()
    assert len(caplog.records) == 1
    assert "not with me" in caplog.records[0].getMessage()


def test_a_broken_log_handler_is_no_reason_to_fail() -> None:
    """What would be said about metrics that fail is lost, the application is not."""

    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise RuntimeError("no")

    handler = Broken()
    provider: Any = Refusing("get_meter")
    logging.getLogger("otel_etw").addHandler(handler)
    try:
        observe_exporter("log", Source(), provider).close()
    finally:
        logging.getLogger("otel_etw").removeHandler(handler)


def test_what_is_observed_may_go(meter_provider: MeterProvider, reader: InMemoryMetricReader) -> None:
    """The meter provider keeps nothing alive; the counts of the shutdown stay."""
    source = Source(written=3)
    gone = weakref.ref(source)
    observed = observe_exporter("log", source, meter_provider)
    source.stats = Stats(written=7, dropped={"status 8": 1})
    observed.close()
    del source, observed
    gc.collect()
    assert gone() is None
    for _ in range(2):
        assert counts_of(reader, "otel.sdk.exporter.log.exported") == {None: 7, "status_8": 1}


def test_what_comes_after_shutdown_counts(
    meter_provider: MeterProvider, reader: InMemoryMetricReader
) -> None:
    """As long as the exporter is there, the items that it refuses are published."""
    source = Source(written=3)
    observed = observe_exporter("log", source, meter_provider)
    observed.close()
    source.stats = Stats(written=3, dropped={"shut down": 2})
    assert counts_of(reader, "otel.sdk.exporter.log.exported") == {None: 3, "already_shutdown": 2}


# --------------------------------------------------------------------------- the real ones


def log(provider: LoggerProvider, body: str = "hello") -> None:
    provider.get_logger("app").emit(LogRecord(body=body, severity_number=SeverityNumber.INFO))


Kind = Literal["exporter", "processor"]


@pytest.mark.parametrize("kind", ["exporter", "processor"])
@pytest.mark.parametrize("signal", ["log", "span"])
def test_exporters_and_processors(
    signal: str, kind: Kind, meter_provider: MeterProvider, reader: InMemoryMetricReader
) -> None:
    """What was written, refused, wanted by nobody, and came too late, through the SDK's own providers."""
    session = MemorySession()
    component: Any
    if signal == "log":
        logs = LoggerProvider(shutdown_on_exit=False)
        if kind == "exporter":
            component = EtwLogRecordExporter(session=session, meter_provider=meter_provider)
            logs.add_log_record_processor(SimpleLogRecordProcessor(component))
        else:
            component = EtwLogRecordProcessor(session=session, meter_provider=meter_provider)
            logs.add_log_record_processor(component)

        def emit() -> None:
            log(logs)
    else:
        traces = TracerProvider(shutdown_on_exit=False)
        if kind == "exporter":
            component = EtwSpanExporter(session=session, meter_provider=meter_provider)
            traces.add_span_processor(SimpleSpanProcessor(component))
        else:
            component = EtwSpanProcessor(session=session, meter_provider=meter_provider)
            traces.add_span_processor(component)

        def emit() -> None:
            with traces.get_tracer("app").start_as_current_span("work") as span:
                span.add_event("an event of a span is no span")

    for _ in range(3):
        emit()
    session.status = 8
    for _ in range(2):
        emit()
    session.status, session.level = 0, None
    emit()
    session.level = 255
    component.shutdown()
    emit()
    metric = "exporter.{}.exported" if kind == "exporter" else "processor.{}.processed"
    found = points_of(reader)
    points = found[f"otel.sdk.{metric.format(signal)}"]
    assert {point.component_type for point in points} == {f"etw_{signal}_{kind}"}
    assert {point.error_type: point.value for point in points} == {
        None: 3,
        "status_8": 2,
        "already_shutdown": 1,
    }
    if kind == "exporter":
        durations = found["otel.sdk.exporter.operation.duration"]
        assert {point.error_type: point.value for point in durations} == {
            None: 4,
            "status_8": 2,
            "already_shutdown": 1,
        }
        assert [point.value for point in found[f"otel.sdk.exporter.{signal}.inflight"]] == [0]


def test_handlers(meter_provider: MeterProvider, reader: InMemoryMetricReader) -> None:
    """A handler counts the records that it is given."""
    session = MemorySession()
    handler = EtwHandler(session=session, meter_provider=meter_provider)
    logger = logging.Logger("app")
    logger.addHandler(handler)
    logger.warning("one")
    session.status = 8
    logger.warning("two")
    assert counts_of(reader, "otel.sdk.processor.log.processed") == {None: 1, "status_8": 1}
    handler.close()
    gone = weakref.ref(handler)
    logger.removeHandler(handler)
    del handler
    gc.collect()
    assert gone() is None
    assert counts_of(reader, "otel.sdk.processor.log.processed") == {None: 1, "status_8": 1}


THROUGH_ITSELF = """
from opentelemetry.metrics import get_meter, set_meter_provider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from otel_etw import EtlSession, EtwMetricExporter
exporter = EtwMetricExporter(session=EtlSession("app.etl"))
provider = MeterProvider([PeriodicExportingMetricReader(exporter, export_interval_millis=float("inf"))])
set_meter_provider(provider)
get_meter("app").create_counter("orders").add(1)
before, added = 0, []
for _ in range(6):
    provider.force_flush()
    added.append(exporter.stats.written - before)
    before = exporter.stats.written
provider.shutdown()
print(added[-3:], exporter.stats.lost)
"""


def test_a_metric_exporter_observed_through_itself(tmp_path: Path) -> None:
    """Its metrics go the way of all others: nobody waits for himself, and exports do not feed each other."""
    done = subprocess.run(
        [sys.executable, "-c", THROUGH_ITSELF],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stderr == ""
    assert re.fullmatch(r"\[(\d+), \1, \1\] 0\n", done.stdout)
    with open_etl(tmp_path / "app.etl") as trace:
        points = [
            point for event in trace if event.name == "otlp_metrics" for point in decode_points(event.payload)
        ]
    exported = [
        point for point in points if point.metric_name == "otel.sdk.exporter.metric_data_point.exported"
    ]
    assert exported
    assert {point.attributes["otel.component.name"] for point in exported} == {"etw_metric_exporter/0"}
    assert {point.temporality for point in exported} == {"delta"}
    assert 0 < sum(point.value for point in exported if point.value) < len(points)


def test_exporters_are_not_kept_alive(meter_provider: MeterProvider) -> None:
    """A meter provider outlives many exporters."""
    session = MemorySession()
    makers: list[Any] = [
        EtwLogRecordExporter,
        EtwLogRecordProcessor,
        EtwSpanExporter,
        EtwSpanProcessor,
        EtwMetricExporter,
    ]
    for make in makers:
        component = make(session=session, meter_provider=meter_provider)
        component.shutdown()
        gone = weakref.ref(component)
        del component
        gc.collect()
        assert gone() is None, make
    assert session.holders == 0
