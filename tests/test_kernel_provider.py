"""The kernel's provider: registering, what is wanted, writing, and what becomes of refusals."""

from __future__ import annotations

import ctypes
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor

from etw_double import EtwDouble
from otel_etw import EtlSession, EtwHandler, EtwLogRecordExporter, EtwLogRecordProcessor, EtwMetricExporter
from otel_etw.etl.layout import MAX_RECORD_BYTES
from otel_etw.providers.base import WriteStatus
from otel_etw.providers.kernel import KernelProvider
from otel_etw.sessions.default import default_session
from otel_etw.sessions.kernel import KernelSession
from otel_etw.sessions.settings import SessionSettings
from otel_etw.tracelogging.provider_id import METRICS_PROVIDER_ID, encode_traits, provider_id
from otel_etw.tracelogging.types import EventDescriptor
from otel_etw.windows.error_codes import WindowsCallError

NAME = "KernelTest"
ID = provider_id(NAME)
DESCRIPTOR = EventDescriptor(level=4, keyword=1)
METADATA = b"\x05\0\0E\0"
ACTIVITY, RELATED = bytes(range(16)), bytes(range(16, 32))


@pytest.fixture
def provider(etw_double: EtwDouble) -> Iterator[KernelProvider]:
    provider = KernelSession().register(NAME)
    yield provider
    provider.close()
    assert etw_double.provider_count() == 0


def emit_one(processor: Any, body: str = "hello", severity: SeverityNumber = SeverityNumber.INFO) -> None:
    loggers = LoggerProvider(shutdown_on_exit=False)
    loggers.add_log_record_processor(processor)
    loggers.get_logger("kernel").emit(LogRecord(timestamp=1, severity_number=severity, body=body))


# --- registering ----------------------------------------------------------------------------------


def test_a_provider_is_registered_with_its_traits(provider: KernelProvider, etw_double: EtwDouble) -> None:
    """Name, hashed id and traits are those of the name; nobody listens, so it is idle and all is well."""
    assert (provider.name, provider.id, provider.traits) == (NAME, ID, encode_traits(NAME))
    assert etw_double.traits(provider._handle.value) == encode_traits(NAME)
    assert etw_double.callbacks_without == 0
    assert provider.idle is True
    assert provider.problem is None
    assert not provider.is_enabled(1, 1)
    assert not provider.is_enabled_any()
    provider.flush()


def test_providers_of_one_name_share_a_registration(etw_double: EtwDouble) -> None:
    """The last one to close unregisters; whoever comes later registers again."""
    first, second = KernelSession().register(NAME), KernelSession().register(NAME)
    assert etw_double.register_calls == 1
    first.close()
    first.close()
    assert (etw_double.provider_count(), etw_double.unregister_calls) == (1, 0)
    second.close()
    assert (etw_double.provider_count(), etw_double.unregister_calls) == (0, 1)
    third = KernelSession().register(NAME)
    assert (etw_double.provider_count(), etw_double.register_calls) == (1, 2)
    third.close()


def test_another_group_id_or_case_is_another_registration(etw_double: EtwDouble) -> None:
    """Traits belong to a registration, so those with others have one of their own; case is theirs alone."""
    group = UUID(int=7)
    providers = [
        KernelSession().register(NAME),
        KernelSession().register(NAME, group=group),
        KernelSession().register(NAME, METRICS_PROVIDER_ID),
        KernelSession().register(NAME.lower()),
    ]
    assert etw_double.provider_count() == 4
    assert (providers[3].id, etw_double.traits(providers[3]._handle.value)) == (
        ID,
        encode_traits(NAME.lower()),
    )
    assert etw_double.traits(providers[1]._handle.value) == encode_traits(NAME, group)
    for provider in providers:
        provider.close()
    assert etw_double.provider_count() == 0


def test_a_closed_provider_takes_nothing(etw_double: EtwDouble) -> None:
    """Its writes are refused, prepared ones too, although another provider keeps the registration."""
    etw_double.enable(ID)
    closed, other = KernelSession().register(NAME), KernelSession().register(NAME)
    prepared = closed.prepare(DESCRIPTOR, METADATA)
    assert prepared(b"before", None) == 0
    closed.close()
    assert closed.write(DESCRIPTOR, METADATA, b"after") == WriteStatus.INVALID_HANDLE
    assert prepared(b"after", None) == WriteStatus.INVALID_HANDLE
    assert closed.prepare(DESCRIPTOR, METADATA)(b"after", None) == WriteStatus.INVALID_HANDLE
    assert not closed.is_enabled(1, 0)
    assert not closed.is_enabled_any()
    assert closed.idle is False
    assert closed.problem is not None
    assert other.write(DESCRIPTOR, METADATA, b"other") == 0
    assert other.problem is None
    assert [event.entries[-1][1] for event in etw_double.written()] == [b"before", b"other"]
    other.close()


def test_a_registration_that_is_refused_costs_one_line(
    etw_double: EtwDouble, caplog: pytest.LogCaptureFixture
) -> None:
    """The application goes on, its items are counted as lost, and there is one line about it."""
    etw_double.enable(ID)
    etw_double.fail_next("EventRegister", 1450, times=-1)
    with pytest.raises(WindowsCallError, match=f"(?i){ID}.*NO_SYSTEM_RESOURCES"):
        KernelSession().register(NAME)
    with caplog.at_level(logging.DEBUG, logger="otel_etw"):
        processor = EtwLogRecordProcessor(NAME)
        for _ in range(5):
            emit_one(processor)
        processor.shutdown()
    assert processor.stats.dropped == {"no session": 5}
    (line,) = caplog.records
    assert line.levelname == "WARNING"
    assert "NO_SYSTEM_RESOURCES" in line.getMessage()
    etw_double.fail_next("EventRegister", 0, times=0)
    later = EtwLogRecordProcessor(NAME)
    emit_one(later)
    assert later.stats.written == 1
    later.shutdown()


def test_traits_are_a_courtesy(etw_double: EtwDouble) -> None:
    """Where they cannot be set the provider works: each event has them anyway."""
    etw_double.enable(ID)
    etw_double.fail_next("EventSetInformation", 87)
    provider = KernelSession().register(NAME)
    assert etw_double.traits(provider._handle.value) == b""
    assert provider.write(DESCRIPTOR, METADATA, b"p") == 0
    (event,) = etw_double.written()
    assert event.entries[0] == (2, encode_traits(NAME))
    provider.close()


def test_windows_7_has_no_traits(etw_double: EtwDouble, monkeypatch: pytest.MonkeyPatch) -> None:
    """``EventSetInformation`` came after Windows 7; without it a provider is registered and writes."""

    class Older:
        def __init__(self, library: Any) -> None:
            self.library = library

        def __getitem__(self, name: str) -> Any:
            if name == "EventSetInformation":
                raise AttributeError(name)
            return self.library[name]

    monkeypatch.setattr(ctypes, "WinDLL", lambda *given, **named: Older(etw_double.opener(*given, **named)))
    etw_double.enable(ID)
    provider = KernelSession().register(NAME)
    assert etw_double.calls("EventSetInformation") == 0
    assert provider.write(DESCRIPTOR, METADATA, b"p") == 0
    provider.close()


def test_without_windows_the_session_says_so(etw_double: EtwDouble, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no ``ctypes.WinDLL`` the kernel's session has nothing to register with."""
    monkeypatch.delattr(ctypes, "WinDLL")
    with pytest.raises(WindowsCallError, match="not Windows"):
        KernelSession().register(NAME)


# --- which session it is --------------------------------------------------------------------------


def test_on_windows_the_kernel_is_the_default(
    etw_double: EtwDouble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exporters without a session register with ETW, and leave no file; with a path they write that file."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OTEL_EXPORTER_ETW_FILE", raising=False)
    assert isinstance(default_session(), KernelSession)
    exporters = [EtwLogRecordExporter(NAME), EtwMetricExporter(), EtwHandler(provider_name=NAME)]
    assert etw_double.provider_count() == 2
    for exporter in exporters:
        exporter.close() if isinstance(exporter, EtwHandler) else exporter.shutdown()
    assert etw_double.provider_count() == 0
    assert list(tmp_path.iterdir()) == []
    session = default_session(SessionSettings(path="asked.etl"))
    assert isinstance(session, EtlSession)
    session.release()
    monkeypatch.setenv("OTEL_EXPORTER_ETW_FILE", "asked too.etl")
    EtwLogRecordExporter(NAME).shutdown()
    assert {path.name for path in tmp_path.iterdir()} >= {"asked.etl", "asked too.etl"}
    assert etw_double.register_calls == 2


def test_an_embedded_session_still_works(etw_double: EtwDouble, tmp_path: Path) -> None:
    """``session=EtlSession(...)`` sends nothing to ETW."""
    with EtlSession(tmp_path / "a.etl") as session:
        processor = EtwLogRecordProcessor(NAME, session=session)
        emit_one(processor)
        assert processor.stats.written == 1
        processor.shutdown()
    assert etw_double.register_calls == 0


# --- writing --------------------------------------------------------------------------------------


def test_an_event_arrives_with_all_its_parts(provider: KernelProvider, etw_double: EtwDouble) -> None:
    """Descriptor, traits, metadata, payload and both ids, by either way of writing."""
    assert provider.write(DESCRIPTOR, METADATA, b"pay\0load", ACTIVITY, RELATED) == 0
    assert provider.write(DESCRIPTOR, METADATA, b"") == 0
    assert provider.prepare(DESCRIPTOR, METADATA)(b"prepared", ACTIVITY) == 0
    first, second, third = etw_double.written()
    shared = [(2, encode_traits(NAME)), (1, METADATA)]
    assert first.entries == [*shared, (0, b"pay\0load")]
    assert (first.provider_id, first.descriptor) == (ID, DESCRIPTOR.to_bytes())
    assert (first.activity_id, first.related_id) == (ACTIVITY, RELATED)
    assert second.entries == [*shared, (0, b"")]
    assert (second.activity_id, second.related_id) == (None, None)
    assert third.entries == [*shared, (0, b"prepared")]
    assert (third.activity_id, third.related_id) == (ACTIVITY, None)


def test_an_event_without_metadata_is_its_payload(provider: KernelProvider, etw_double: EtwDouble) -> None:
    """Such an event describes itself to nobody, so it goes without traits and metadata."""
    assert provider.write(DESCRIPTOR, None, b"payload", None, RELATED) == 0
    (event,) = etw_double.written()
    assert event.entries == [(0, b"payload")]
    assert event.related_id == RELATED


def test_malformed_calls_are_refused(provider: KernelProvider, etw_double: EtwDouble) -> None:
    """Nothing is raised, and nothing reaches ETW."""
    bad: Any = "text"
    beyond = EventDescriptor(level=4096)
    refused = WriteStatus.INVALID_PARAMETER
    assert provider.write(DESCRIPTOR, METADATA, bad) == refused
    assert provider.write(DESCRIPTOR, bad, b"") == refused
    assert provider.write(DESCRIPTOR, METADATA, b"", b"short") == refused
    assert provider.write(DESCRIPTOR, METADATA, b"", None, b"short") == refused
    assert provider.write(beyond, METADATA, b"") == refused
    assert provider.prepare(beyond, METADATA)(b"", None) == refused
    prepared = provider.prepare(DESCRIPTOR, METADATA)
    assert prepared(bad, None) == refused
    assert prepared(b"", b"short") == refused
    assert prepared(b"good", None) == 0
    assert etw_double.written_count() == 1


def test_the_largest_event_is_taken_and_the_next_one_refused(
    provider: KernelProvider, etw_double: EtwDouble
) -> None:
    """``max_event_bytes`` is within what one event can hold; past it ETW refuses, and that is handed up."""
    assert len(provider.traits) + 65_000 < provider.max_event_bytes <= MAX_RECORD_BYTES - 80
    room = provider.max_event_bytes - len(METADATA)
    assert provider.write(DESCRIPTOR, METADATA, bytes(room)) == 0
    assert provider.write(DESCRIPTOR, METADATA, bytes(65_536)) == WriteStatus.ARITHMETIC_OVERFLOW


@pytest.mark.parametrize("status", [6, 8, 87, 234, 534])
@pytest.mark.parametrize("exporter", [False, True], ids=["processor", "exporter"])
def test_refused_writes_are_counted_by_code(
    etw_double: EtwDouble, caplog: pytest.LogCaptureFixture, status: int, exporter: bool
) -> None:
    """By the plain way and by the prepared one; one line in all, and the next event is written."""
    etw_double.enable(ID)
    ours = EtwLogRecordExporter(NAME) if exporter else EtwLogRecordProcessor(NAME)
    target = SimpleLogRecordProcessor(ours) if isinstance(ours, EtwLogRecordExporter) else ours
    with caplog.at_level(logging.INFO, logger="otel_etw"):
        etw_double.fail_next("EventWriteTransfer", status, times=10)
        for _ in range(10):
            emit_one(target)
        emit_one(target)
    assert ours.stats.dropped == {f"status {status}": 10}
    assert (ours.stats.written, etw_double.written_count()) == (1, 1)
    lines = [record.getMessage() for record in caplog.records if record.name == "otel_etw"]
    assert len(lines) == 1
    assert f"Windows status {status}" in lines[0]
    ours.shutdown()


def test_shutting_down_twice_is_shutting_down_once(etw_double: EtwDouble) -> None:
    """The registration is given back once; what comes later is dropped and counted."""
    etw_double.enable(ID)
    exporter, other = EtwLogRecordExporter(NAME), EtwLogRecordExporter(NAME)
    processor = SimpleLogRecordProcessor(exporter)
    emit_one(processor)
    exporter.shutdown()
    exporter.shutdown()
    emit_one(processor)
    assert exporter.stats.written == 1
    assert exporter.stats.lost == 1
    assert etw_double.provider_count() == 1
    other.shutdown()
    other.shutdown()
    assert (etw_double.provider_count(), etw_double.unregister_calls) == (0, 1)


def test_a_new_exporter_after_the_last_shutdown_writes_again(etw_double: EtwDouble) -> None:
    """It registers anew, and is told inside of that which sessions listen."""
    etw_double.enable(ID)
    for number in range(1, 4):
        processor = EtwLogRecordProcessor(NAME)
        emit_one(processor)
        assert processor.stats.written == 1
        processor.shutdown()
        assert (etw_double.written_count(), etw_double.register_calls) == (number, number)
    assert etw_double.provider_count() == 0


def test_a_large_payload_is_let_go(provider: KernelProvider) -> None:
    """What a shape keeps between its events is small, however large they are."""
    payload = bytes(60_000)
    before = sys.getrefcount(payload)
    prepared = provider.prepare(DESCRIPTOR, METADATA)
    assert prepared(payload, None) == 0
    assert provider.write(DESCRIPTOR, METADATA, payload) == 0
    assert sys.getrefcount(payload) == before
