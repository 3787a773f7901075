"""The options that logs, spans and the handler have in common: each of them, everywhere, into a real file."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from opentelemetry._logs import LogRecord
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from otel_etw import (
    EtlSession,
    EtwHandler,
    EtwLogRecordExporter,
    EtwLogRecordProcessor,
    EtwSpanExporter,
    EtwSpanProcessor,
    open_etl,
)
from otel_etw.emitter import Stats
from otel_etw.etl.event import Event
from otel_etw.etl.layout import ExtendedType
from otel_etw.layouts.common_schema import decode_log, decode_span
from otel_etw.layouts.items import LogItem, SpanItem
from otel_etw.tracelogging.metadata import decode_metadata
from otel_etw.tracelogging.provider_id import decode_traits
from otel_etw.tracelogging.types import OutType

RESOURCE = Resource({"service.name": "shop", "deployment.environment.name": "test"})
GROUP = UUID("edc24920-e004-40f6-a8e1-0e6e48f39d84")
LARGE = "x" * 100_000
REPEATS = 5
"""Enough for the quick way to be taken, too, where there is one."""


def log_provider(processor: Any, large: bool) -> None:
    provider = LoggerProvider(resource=RESOURCE, shutdown_on_exit=False)
    provider.add_log_record_processor(processor)
    with in_a_span():
        for _ in range(REPEATS):
            attributes = {"text": LARGE if large else "short"}
            provider.get_logger("app").emit(LogRecord(body="hello", attributes=attributes))
    provider.shutdown()


def tracer_provider(processor: Any, large: bool) -> None:
    provider = TracerProvider(resource=RESOURCE, shutdown_on_exit=False)
    provider.add_span_processor(processor)
    for _ in range(REPEATS):
        attributes = {"text": LARGE if large else "short"}
        provider.get_tracer("app").start_span("work", attributes=attributes).end()
    provider.shutdown()


def in_a_span() -> Any:
    return TracerProvider(shutdown_on_exit=False).get_tracer("app").start_as_current_span("around")


def by_log_processor(large: bool, **options: Any) -> Stats:
    processor = EtwLogRecordProcessor(**options)
    log_provider(processor, large)
    return processor.stats


def by_log_exporter(large: bool, **options: Any) -> Stats:
    exporter = EtwLogRecordExporter(**options)
    log_provider(SimpleLogRecordProcessor(exporter), large)
    return exporter.stats


def by_span_processor(large: bool, **options: Any) -> Stats:
    processor = EtwSpanProcessor(**options)
    tracer_provider(processor, large)
    return processor.stats


def by_span_exporter(large: bool, **options: Any) -> Stats:
    exporter = EtwSpanExporter(**options)
    tracer_provider(SimpleSpanProcessor(exporter), large)
    return exporter.stats


def by_handler(large: bool, **options: Any) -> Stats:
    handler = EtwHandler(resource=RESOURCE, **options)
    logger = logging.Logger("app")
    logger.addHandler(handler)
    with in_a_span():
        for _ in range(REPEATS):
            logger.info("hello", extra={"text": LARGE if large else "short"})
    handler.close()
    return handler.stats


WRITERS = [by_log_processor, by_log_exporter, by_span_processor, by_span_exporter, by_handler]


def item_in(event: Event) -> LogItem | SpanItem:
    item = decode_log(event.values, 0) or decode_span(event.values, 0)
    assert item is not None
    return item


def text_out_types(event: Event) -> set[int]:
    """Out-types of the fields that hold the reference's unmarked text."""

    def found(fields: Any) -> Iterator[int]:
        for member in fields:
            if member.name in ("time", "role", "_typeName", "text", "body"):
                yield member.out_type
            yield from found(member.members)

    assert event.metadata is not None
    return set(found(decode_metadata(event.metadata).fields))


def group_of(event: Event) -> UUID | None:
    traits = event.extended_item(ExtendedType.PROVIDER_TRAITS)
    assert traits is not None
    return decode_traits(traits).group


def span_id_guid(event: Event) -> UUID:
    return UUID(bytes_le=bytes.fromhex(item_in(event).span_id or "") + bytes(8))


# Option, its value as argument, as variable, what then holds of every event, what holds without.
Check = Callable[[Event], bool]
CASES: list[tuple[str, Any, str, Check, Check]] = [
    (
        "provider_name",
        "MyShop",
        "MyShop",
        lambda event: event.provider_name == "MyShop",
        lambda event: event.provider_name == "OpenTelemetry_Python",
    ),
    ("event_name", "Mine", "Mine", lambda event: event.name == "Mine", lambda event: event.name != "Mine"),
    (
        "keyword",
        0x30,
        "0x30",
        lambda event: event.descriptor.keyword == 0x30,
        lambda event: event.descriptor.keyword == 1,
    ),
    (
        "resource_attributes",
        ["deployment.environment.name"],
        "deployment.environment.name",
        lambda event: item_in(event).attributes.get("deployment.environment.name") == "test",
        lambda event: set(item_in(event).attributes) == {"text"},
    ),
    (
        "activity_id",
        "trace",
        "trace",
        lambda event: event.activity_id == UUID(item_in(event).trace_id),
        lambda event: event.activity_id is None,
    ),
    (
        "activity_id",
        "span",
        "span",
        lambda event: event.activity_id == span_id_guid(event),
        lambda event: event.activity_id is None,
    ),
    (
        "provider_group",
        GROUP,
        str(GROUP),
        lambda event: group_of(event) == GROUP,
        lambda event: group_of(event) is None,
    ),
    (
        "mark_utf8",
        True,
        "true",
        lambda event: text_out_types(event) == {OutType.UTF8},
        lambda event: text_out_types(event) == {OutType.DEFAULT},
    ),
]


def events_of(path: Path) -> list[Event]:
    with open_etl(path) as trace:
        events = [event for event in trace if event.kind == "event"]
        assert not trace.damage
    return events


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize(
    ("option", "value", "text", "holds", "holds_without"),
    CASES,
    ids=[f"{case[0]}={case[2]}" for case in CASES],
)
def test_an_option_reaches_every_event(
    write: Callable[..., Stats],
    option: str,
    value: object,
    text: str,
    holds: Check,
    holds_without: Check,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As argument and as variable; without either its default holds."""

    def written(name: str, **options: object) -> list[Event]:
        with EtlSession(tmp_path / name) as session:
            stats = write(False, session=session, **options)
        assert stats == Stats(written=REPEATS)
        events = events_of(tmp_path / name)
        assert len(events) == REPEATS
        return events

    assert all(map(holds, written("argument.etl", **{option: value})))
    assert all(map(holds_without, written("default.etl")))
    signal = "SPAN_" if "span" in write.__name__ else "LOG_"
    variable = f"{signal if option == 'event_name' else ''}{option}".upper()
    monkeypatch.setenv(f"OTEL_EXPORTER_ETW_{variable}", text)
    assert all(map(holds, written("variable.etl")))


@pytest.mark.parametrize("write", WRITERS)
def test_oversize(write: Callable[..., Stats], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is too large is cut, which the event says, or dropped; the argument goes over the variable."""

    def written(name: str, **options: object) -> tuple[Stats, list[Event]]:
        with EtlSession(tmp_path / name) as session:
            stats = write(True, session=session, **options)
        return stats, events_of(tmp_path / name)

    stats, events = written("default.etl")
    assert stats == Stats(written=REPEATS, truncated=REPEATS)
    assert [item_in(event).truncated for event in events] == [{"text": len(LARGE)}] * REPEATS
    nothing: tuple[Stats, list[Event]] = (Stats(dropped={"too large": REPEATS}), [])
    assert written("argument.etl", oversize="drop") == nothing
    monkeypatch.setenv("OTEL_EXPORTER_ETW_OVERSIZE", "drop")
    assert written("variable.etl") == nothing
    assert written("over.etl", oversize="truncate")[0] == stats


@pytest.mark.parametrize("write", WRITERS)
def test_a_name_for_etw_only(write: Callable[..., Stats], tmp_path: Path) -> None:
    """A hyphen in the provider's name needs leave, and then is there."""
    with EtlSession(tmp_path / "app.etl") as session:
        with pytest.raises(ValueError, match="My-Shop"):
            write(False, session=session, provider_name="My-Shop")
        write(False, session=session, provider_name="My-Shop", etw_only_name=True)
    assert {event.provider_name for event in events_of(tmp_path / "app.etl")} == {"My-Shop"}
