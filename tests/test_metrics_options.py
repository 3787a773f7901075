"""The metric exporter's arguments, what the session answers, and what the application may do to it."""

from __future__ import annotations

import threading
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from opentelemetry.sdk.metrics import Exemplar, MeterProvider
from opentelemetry.sdk.metrics.export import (
    Gauge,
    InMemoryMetricReader,
    MetricExportResult,
    PeriodicExportingMetricReader,
)

import metric_points as make
from memory_provider import MemoryProvider, MemorySession
from otel_etw import EtlSession, EtwMetricExporter, open_etl
from otel_etw.errors import EncodeError
from otel_etw.layouts.otlp_metrics import decode_points, encode_points
from otel_etw.providers.base import WriteStatus
from otel_etw.tracelogging.provider_id import METRICS_PROVIDER_NAME, encode_traits

GROUP = UUID("12345678-1234-5678-1234-567812345678")


class _Registered(MemorySession):
    """Remembers what was registered."""

    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        self.providers: list[MemoryProvider] = []

    def register(self, name: str, provider_id: UUID, *, group: UUID | None = None) -> MemoryProvider:
        provider = super().register(name, provider_id, group=group)
        self.providers.append(provider)
        return provider


@pytest.mark.parametrize("group", [GROUP, str(GROUP)])
def test_a_provider_group_is_a_trait(group: UUID | str) -> None:
    """Given as a GUID or as text."""
    session = _Registered()
    EtwMetricExporter(session=session, provider_group=group)
    (provider,) = session.providers
    assert provider.traits == encode_traits(METRICS_PROVIDER_NAME, GROUP)


def test_options_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables apply where an argument was not given."""
    monkeypatch.setenv("OTEL_EXPORTER_ETW_PROVIDER_GROUP", str(GROUP))
    monkeypatch.setenv("OTEL_EXPORTER_ETW_OVERSIZE", "drop")
    session = _Registered(max_event_bytes=1000)
    data = make.metrics_data(make.sums(make.number(1, {"k": "x" * 2000})))
    exporter = EtwMetricExporter(session=session)
    assert exporter.export(data) is MetricExportResult.FAILURE
    assert exporter.stats.dropped == {"too large": 1}
    other = EtwMetricExporter(session=session, provider_group="none", oversize="truncate")
    assert other.export(data) is MetricExportResult.SUCCESS
    assert [provider.traits for provider in session.providers] == [
        encode_traits(METRICS_PROVIDER_NAME, GROUP),
        encode_traits(METRICS_PROVIDER_NAME),
    ]


@pytest.mark.parametrize(
    ("argument", "error"),
    [
        ({"oversize": "split"}, EncodeError),
        ({"oversize": 1}, TypeError),
        ({"provider_group": "group"}, EncodeError),
        ({"meter_provider": "global"}, TypeError),
        ({"session": "app.etl"}, TypeError),
    ],
)
def test_invalid_arguments(argument: dict[str, Any], error: type[Exception]) -> None:
    """Whoever writes one learns which it is."""
    with pytest.raises(error, match=next(iter(argument))):
        EtwMetricExporter(**{"session": MemorySession(), **argument})


def test_oversize_drop() -> None:
    """A point that would have to be cut is dropped and counted, the others are written."""
    session = MemorySession(max_event_bytes=1000)
    exporter = EtwMetricExporter(session=session, oversize="drop")
    exemplars = [Exemplar({"k": "x" * 100}, 1, make.TIME_NS) for _ in range(20)]
    points = [
        make.number(1),
        make.number(2, {"k": "x" * 2000}),
        make.number(3, {}, exemplars),
        make.number(4),
    ]
    assert exporter.export(make.metrics_data(make.sums(*points))) is MetricExportResult.FAILURE
    assert [decode_points(event.payload)[0].value for event in session.events] == [1, 4]
    assert exporter.stats.dropped == {"too large": 2}
    assert (exporter.stats.written, exporter.stats.truncated) == (2, 0)


@pytest.mark.parametrize("status", [WriteStatus.MORE_DATA, WriteStatus.NOT_ENOUGH_MEMORY, 1234])
def test_what_a_session_refuses_is_counted_and_not_offered_again(status: int) -> None:
    """Another session may have taken the event: there is one write for each point."""
    session = MemorySession()
    exporter = EtwMetricExporter(session=session)
    session.status = status
    data = make.metrics_data(make.sums(make.number(1), make.number(2)))
    assert exporter.export(data) is MetricExportResult.FAILURE
    assert exporter.stats.dropped == {f"status {int(status)}": 2}
    assert session.writes == 2
    session.status = WriteStatus.SUCCESS
    assert exporter.export(data) is MetricExportResult.SUCCESS
    assert len(session.events) == exporter.stats.written == 2


def test_a_provider_that_raises() -> None:
    """One that breaks its promise costs the points, not the application."""

    class Broken(MemoryProvider):
        def prepare(self, descriptor: Any, metadata: bytes) -> Any:
            def write(payload: bytes, activity_id: bytes | None) -> int:
                raise OSError("broken")

            return write

    class Session(MemorySession):
        def register(self, name: str, provider_id: UUID, *, group: UUID | None = None) -> MemoryProvider:
            return Broken(self, name, provider_id, group)

    exporter = EtwMetricExporter(session=Session())
    data = make.metrics_data(make.sums(make.number(1), make.number(2)))
    assert exporter.export(data) is MetricExportResult.FAILURE
    assert exporter.stats.dropped == {"write failed": 2}


# --------------------------------------------------------------------------- self-observation


def measured(reader: InMemoryMetricReader) -> dict[str, list[tuple[Any, dict[str, Any]]]]:
    data = reader.get_metrics_data()
    assert data is not None
    return {
        metric.name: [
            (point.value if hasattr(point, "value") else point.count, dict(point.attributes))
            for point in metric.data.data_points
        ]
        for of_resource in data.resource_metrics
        for of_scope in of_resource.scope_metrics
        for metric in of_scope.metrics
    }


def test_metrics_about_the_exporter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exported points, by error type where they were lost, and one duration for each export."""
    monkeypatch.setenv("OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED", "true")
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    exporter = EtwMetricExporter(session=MemorySession(), meter_provider=provider)
    exporter.export(make.metrics_data(make.sums(make.number(1), make.number("x"), make.number(2))))
    exporter.shutdown()
    exporter.export(make.metrics_data(make.sums(make.number(1))))
    found = measured(reader)
    exported = found["otel.sdk.exporter.metric_data_point.exported"]
    assert {facts.get("error.type"): value for value, facts in exported}[None] == 2
    assert {facts["otel.component.type"] for _, facts in exported} == {"etw_metric_exporter"}
    assert "not_encodable" in {facts.get("error.type") for _, facts in exported}
    assert [value for value, _ in found["otel.sdk.exporter.metric_data_point.inflight"]] == [0]
    assert sum(value for value, _ in found["otel.sdk.exporter.operation.duration"]) == 2
    provider.shutdown()


def test_an_exporter_that_exports_the_metrics_about_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """The provider that it is observed through may be the one that it serves."""
    monkeypatch.setenv("OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED", "true")
    session = MemorySession()
    exporter = EtwMetricExporter(session=session)
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=float("inf"))
    provider = MeterProvider([reader], shutdown_on_exit=False)
    observed = EtwMetricExporter(session=session, meter_provider=provider)
    observed.export(make.metrics_data(make.sums(make.number(1))))
    provider.force_flush()
    provider.shutdown()
    names = {decode_points(event.payload)[0].metric_name for event in session.events}
    assert "otel.sdk.exporter.metric_data_point.exported" in names


# --------------------------------------------------------------------------- whatever the application does


class Hostile:
    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no comparison")

    def __hash__(self) -> int:
        raise RuntimeError("no hash")


class HostilePoint:
    def __getattr__(self, name: str) -> Any:
        raise RuntimeError("no attribute")


def _deep(levels: int, make_container: Any) -> Any:
    value: Any = ()
    for _ in range(levels):
        value = make_container(value)
    return value


def _cycle() -> list[Any]:
    cycle: list[Any] = []
    cycle.append(cycle)
    return cycle


def _type_name(value: object) -> str:
    return type(value).__name__


HOSTILE_VALUES: list[Any] = [
    Hostile(),
    _cycle(),
    _deep(1000, lambda value: [value]),
    _deep(400_000, lambda value: (value,)),
    {"k": Hostile()},
    "x" * 10_000_000,
    b"\0" * 1_000_000,
    "\ud800\0",
    10**5000,
    [1] * 100_000,
    object(),
    float("nan"),
]


@pytest.mark.parametrize("value", HOSTILE_VALUES, ids=_type_name)
def test_hostile_values_cost_at_most_their_point(value: Any) -> None:
    """As a value, attribute, exemplar, name: nothing is raised, all counted, the others written."""
    session = MemorySession()
    exporter = EtwMetricExporter(session=session)
    good = make.number(1, {"good": "yes"})
    odd = [
        make.number(1, {"k": value}),
        make.number(1, {}, [Exemplar({"k": value}, 1, make.TIME_NS)]),
        make.number(value),
        make.number(1, value),
        make.number(1, {}, value),
        make.number(1, time_unix_nano=value),
    ]
    for _ in range(2):
        metrics = [
            make.sums(good, *odd, good),
            make.metric(Gauge([good]), "m", value, value),
            make.metric(Gauge([good]), value),
            make.metric(SimpleNamespace(data_points=[value])),
            make.sums(good),
        ]
        exporter.export(make.metrics_data(*metrics))
    stats = exporter.stats
    assert stats.written == len(session.events)
    found = Counter(decode_points(event.payload)[0].attributes.get("good") for event in session.events)
    assert found["yes"] >= 6
    assert stats.written + stats.lost == 2 * (2 + len(odd) + 4)


@pytest.mark.parametrize(
    "odd", [None, 1, "metric", Hostile(), HostilePoint(), SimpleNamespace()], ids=_type_name
)
def test_odd_points_and_metrics_cost_only_themselves(odd: Any) -> None:
    """In place of a point, of data or of a metric."""
    session = MemorySession()
    exporter = EtwMetricExporter(session=session)
    good = make.number(1)
    metrics = [make.sums(good, odd, good), make.sums(odd, good), make.metric(odd), odd, make.sums(good)]
    assert exporter.export(make.metrics_data(*metrics)) is MetricExportResult.FAILURE
    assert exporter.stats.written == len(session.events) == 4
    assert exporter.stats.lost == 4


@pytest.mark.parametrize("odd", [None, 1, Hostile(), HostilePoint()], ids=_type_name)
def test_what_is_no_metrics_data_at_all(odd: Any) -> None:
    """In place of a scope, resource or everything: an export that failed, with something counted."""
    for data in (
        odd,
        SimpleNamespace(resource_metrics=odd),
        SimpleNamespace(resource_metrics=[odd]),
        SimpleNamespace(resource_metrics=[SimpleNamespace(resource=odd, scope_metrics=odd)]),
        make.metrics_data(make.sums(make.number(1)), resource=SimpleNamespace(attributes=odd, schema_url="")),  # type: ignore[arg-type]
    ):
        exporter = EtwMetricExporter(session=MemorySession())
        exporter.export(data)
        assert exporter.stats.lost + exporter.stats.written >= 1


# --------------------------------------------------------------------------- threads


def test_several_threads_export_at_once(tmp_path: Path) -> None:
    """Eight threads with one exporter: every point is in the file, once, and with its own bytes."""
    threads_number, turns = 8, 40
    expected: Counter[bytes] = Counter()

    def data(thread: int, turn: int) -> Any:
        points = [make.number(thread * 1000 + turn, {"n": f"{n}", "t": thread}) for n in range(10)]
        return make.metrics_data(make.sums(*points, name=f"m{turn % 3}"))

    with EtlSession(tmp_path / "threads.etl") as session:
        exporter = EtwMetricExporter(session=session)
        threads = [
            threading.Thread(
                target=lambda t=thread: [exporter.export(data(t, turn)) for turn in range(turns)]
            )
            for thread in range(threads_number)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        exporter.shutdown()
    for number in range(threads_number):
        for turn in range(turns):
            expected.update(
                point.payload or b"" for point in encode_points(data(number, turn).resource_metrics)
            )
    with open_etl(tmp_path / "threads.etl") as trace:
        found = Counter(bytes(event.payload) for event in trace if event.descriptor.id == 81)
    assert found == expected
    assert exporter.stats.written == threads_number * turns * 10
