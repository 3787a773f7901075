"""The golden vectors at ``EventWriteTransfer``: through the public exporters, whose default is the kernel."""

from __future__ import annotations

import ctypes
import sys
from importlib import import_module
from types import ModuleType
from typing import Any
from uuid import UUID

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.sdk.metrics.export import MetricExportResult

import test_logs_vectors as logs
import test_metrics_vectors as metrics
import test_spans_vectors as spans
from etw_double import EtwDouble, WrittenEvent
from memory_provider import MemorySession
from otel_etw import EtwLogRecordProcessor, EtwMetricExporter
from otel_etw.providers.kernel import KernelProvider
from otel_etw.sessions.kernel import KernelSession
from otel_etw.tracelogging.decode import FieldValue, decode_payload
from otel_etw.tracelogging.metadata import Field, decode_metadata
from otel_etw.tracelogging.types import EventDescriptor, InType
from shared_files import cases
from traceloggingdynamic_oracle import add_to_builder

pytestmark = pytest.mark.usefixtures("_no_file")


@pytest.fixture
def _no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OTEL_EXPORTER_ETW_FILE", raising=False)


def check_event(event: WrittenEvent, expected: dict[str, Any]) -> None:
    assert str(event.provider_id) == expected["provider_guid"]
    assert event.descriptor.hex() == expected["event_descriptor"]["bytes"]
    assert [(kind, data.hex()) for kind, data in event.entries] == [
        (2, expected["provider_traits"]),
        (1, expected["event_metadata"]),
        (0, expected["payload"]),
    ]
    assert (event.activity_id, event.related_id) == (None, None)
    assert event.enabled


@pytest.mark.parametrize("case", logs.targets())
@pytest.mark.parametrize("synchronous", [True, False], ids=["processor", "exporter"])
def test_logs(etw_double: EtwDouble, case: dict[str, Any], synchronous: bool) -> None:
    """A record through the real SDK: provider, descriptor, traits and all bytes are the reference's."""
    expected = case["expected"]
    etw_double.enable(UUID(expected["provider_guid"]))
    providers = [logs.emit(case, None, synchronous) for _ in range(4)]
    assert etw_double.provider_count() == 1
    events = etw_double.written()
    assert {etw_double.traits(event.handle).hex() for event in events} == {expected["provider_traits"]}
    for provider in providers:
        provider.shutdown()
    assert etw_double.provider_count() == 0
    assert len(events) == 4
    for event in events:
        check_event(event, expected)


@pytest.mark.parametrize("case", logs.targets())
def test_logs_by_the_prepared_way(etw_double: EtwDouble, case: dict[str, Any]) -> None:
    """The same record again and again has the same bytes once its shape has an encoder of its own."""
    expected, options = case["expected"], case["options"]
    etw_double.enable(UUID(expected["provider_guid"]))
    processor = EtwLogRecordProcessor(
        options["provider_name"],
        etw_only_name=options["provider_name_mode"] == "etw_only",
        resource_attributes=options["resource_attributes"],
        event_name=options.get("etw_event_name", "Log"),
    )
    logs.emit_to(processor, case, times=6)
    processor.shutdown()
    events = etw_double.written()
    assert len(events) == 6
    for event in events:
        check_event(event, expected)


@pytest.mark.parametrize("case", spans.targets())
@pytest.mark.parametrize("synchronous", [True, False], ids=["processor", "exporter"])
def test_spans(etw_double: EtwDouble, case: dict[str, Any], synchronous: bool) -> None:
    """A span that the real SDK makes and ends."""
    expected = case["expected"]
    etw_double.enable(UUID(expected["provider_guid"]))
    provider = spans.record(case, None, synchronous)
    (event,) = etw_double.written()
    assert etw_double.traits(event.handle).hex() == expected["provider_traits"]
    provider.shutdown()
    assert etw_double.provider_count() == 0
    check_event(event, expected)


@pytest.mark.parametrize("case", cases("metrics"))
def test_metrics(etw_double: EtwDouble, case: dict[str, Any]) -> None:
    """One event per point; payloads are the exporter's own bytes, and the reference's as messages."""
    expected = case["expected"]
    etw_double.enable(UUID(expected["provider_guid"]))
    session = MemorySession()
    EtwMetricExporter(session=session).export(metrics.sdk_metrics(case["input"]))
    exporter = EtwMetricExporter()
    assert exporter.export(metrics.sdk_metrics(case["input"])) is MetricExportResult.SUCCESS
    exporter.shutdown()
    events = etw_double.written()
    assert len(events) == len(expected["events"])
    for event, own, wanted in zip(events, session.events, expected["events"], strict=True):
        check_event(event, {**expected, "payload": own.payload.hex()})
        assert len(own.payload) == wanted["size"]
        if "payload" in wanted:
            reference = ExportMetricsServiceRequest.FromString(bytes.fromhex(wanted["payload"]))
            assert ExportMetricsServiceRequest.FromString(event.entries[2][1]) == reference


# --- Microsoft's module, writing to the same functions --------------------------------------------
# Data points are not among it: their payload has no field that its builder could be given.


@pytest.fixture
def dynamic(etw_double: EtwDouble, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """``traceloggingdynamic``, imported anew: it takes its functions from ``ctypes.WinDLL`` at import."""
    monkeypatch.delitem(sys.modules, "traceloggingdynamic", raising=False)
    assert ctypes.WinDLL == etw_double.opener  # type: ignore[attr-defined]
    return import_module("traceloggingdynamic")


def plain(values: tuple[FieldValue, ...]) -> list[Any]:
    """Decoded values as the builder wants them."""
    return [
        plain(value.value) if value.field.in_type == InType.STRUCT else value.value  # type: ignore[arg-type]
        for value in values
    ]


def written_by_both(
    dynamic: ModuleType, double: EtwDouble, ours: KernelProvider, event: WrittenEvent
) -> None:
    """Write what an event holds with Microsoft's builder and provider, and compare what ETW got."""
    metadata_bytes, payload = event.entries[1][1], event.entries[2][1]
    metadata = decode_metadata(metadata_bytes)
    descriptor = EventDescriptor.from_bytes(event.descriptor)
    # Its buffers have their sizes from the start: as they grow it loses data.
    builder = dynamic.EventBuilder(initial_meta_len=32768, initial_data_len=65536)
    builder.reset(
        metadata.name.encode(), descriptor.level, descriptor.keyword, metadata.tag,
        id=descriptor.id, version=descriptor.version,
    )  # fmt: skip
    values = plain(decode_payload(metadata.fields, payload).values)
    for field, value in zip(metadata.fields, values, strict=True):
        add_to_builder(builder, field, value)
    theirs = dynamic.Provider(ours.name.encode(), ours.id, throw_on_error=True)
    activity = UUID(int=5)
    assert theirs.is_enabled(descriptor.level, descriptor.keyword) == ours.is_enabled(
        descriptor.level, descriptor.keyword
    )
    double.forget_written()
    assert theirs.write(builder, activity) == 0
    assert ours.write(descriptor, metadata_bytes, payload, activity.bytes_le) == 0
    first, second = double.written()
    assert double.traits(first.handle) == double.traits(second.handle) == ours.traits
    assert first.handle != second.handle
    assert first._replace(handle=0, entries=[]) == second._replace(handle=0, entries=[])
    assert first.entries == second.entries == event.entries
    theirs.close()


def within_its_fields() -> list[Any]:
    """The cases of logs with at most 128 fields, which is all that the module takes."""

    def count(fields: tuple[Field, ...]) -> int:
        return sum(1 + count(field.members) for field in fields)

    def fits(case: dict[str, Any] | None) -> bool:
        return (
            case is None
            or count(decode_metadata(bytes.fromhex(case["expected"]["event_metadata"])).fields) <= 128
        )

    return [case for case in logs.targets() if fits(case.values[0])]


@pytest.mark.parametrize("case", within_its_fields())
def test_microsofts_module_writes_the_same_log(
    etw_double: EtwDouble, dynamic: ModuleType, case: dict[str, Any]
) -> None:
    """Its provider gives ETW the same traits, descriptor, ids and bytes as ours for the same fields."""
    etw_double.enable(UUID(case["expected"]["provider_guid"]))
    logs.emit(case, None, synchronous=True).shutdown()
    (event,) = etw_double.written()
    ours = KernelSession().register(case["options"]["provider_name"])
    written_by_both(dynamic, etw_double, ours, event)
    ours.close()
    assert etw_double.provider_count() == 0


@pytest.mark.parametrize("case", spans.targets())
def test_microsofts_module_writes_the_same_span(
    etw_double: EtwDouble, dynamic: ModuleType, case: dict[str, Any]
) -> None:
    """The same for spans."""
    etw_double.enable(UUID(case["expected"]["provider_guid"]))
    spans.record(case, None, synchronous=True).shutdown()
    (event,) = etw_double.written()
    ours = KernelSession().register(case["options"]["provider_name"])
    written_by_both(dynamic, etw_double, ours, event)
    ours.close()
