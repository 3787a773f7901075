"""Any event as a log record, by the mapping of OpenTelemetry's ETW receiver."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl_files import (
    ACTIVITY,
    PROVIDER,
    T0,
    buffer,
    event_record,
    message_record,
    system_record,
    trace_file,
    tracelogging_record,
)
from foreign_events import events_of
from otel_etw.etl.reader import open_etl
from otel_etw.layouts.etw_records import log_of_record
from otel_etw.layouts.items import LogItem
from otel_etw.tables.items import log_of_event
from otel_etw.tracelogging.decode import FieldValue, decode_payload
from otel_etw.tracelogging.metadata import EventMetadata, Field
from otel_etw.tracelogging.types import EventDescriptor, InType, OutType
from otel_etw.tracelogging.values import FileTime
from tracelogging_strategies import any_metadata


def test_an_event_without_a_description(tmp_path: Path) -> None:
    """Its numbers are attributes; its name is made of its id."""
    record = event_record(
        T0, b"raw", event_id=17, version=3, level=2, opcode=9, keyword=2**63 | 1, activity=ACTIVITY
    )
    (event,) = events_of(tmp_path, record)
    assert log_of_event(event) == LogItem(
        event.timestamp_ns, severity_number=17, severity_text="ERROR", event_name="etw.17",
        attributes={
            "etw.provider.id": str(PROVIDER), "etw.event.id": 17, "etw.level": 2, "etw.opcode": 9,
            "etw.version": 3, "etw.keywords": 2**63 | 1, "etw.process.id": 100, "etw.thread.id": 200,
            "etw.activity.id": str(ACTIVITY),
        },
    )  # fmt: skip


def test_a_self_describing_event(tmp_path: Path) -> None:
    """Has its own name, its provider's as the scope, and its fields."""
    (event,) = events_of(tmp_path, tracelogging_record(T0))
    log = log_of_event(event)
    assert (log.event_name, log.scope_name, log.severity_number) == ("Made", "MadeProvider", 9)
    assert log.attributes["n"] == 42
    assert "etw.activity.id" not in log.attributes


@pytest.mark.parametrize(
    ("level", "number", "text"),
    [
        (0, None, "LOG_ALWAYS"), (1, 21, "CRITICAL"), (2, 17, "ERROR"), (3, 13, "WARNING"), (4, 9, "INFO"),
        (5, 5, "VERBOSE"), (6, None, None), (255, None, None),
    ],
)  # fmt: skip
def test_severity_from_the_level(level: int, number: int | None, text: str | None) -> None:
    """Levels that are the provider's own, and level 0, say nothing of severity."""
    log = log_of_record(EventDescriptor(level=level), time_unix_nano=1)
    assert (log.severity_number, log.severity_text, log.attributes["etw.level"]) == (number, text, level)


def test_fields_of_any_type() -> None:
    """Structs are maps, JSON is parsed, Windows' types are text; no field passes for a fact of the event."""
    inner = FieldValue("n", 1, Field("n", InType.UINT8))
    values = [
        FieldValue("s", (inner, inner), Field("s", InType.STRUCT, members=(inner.field, inner.field))),
        FieldValue("list", [(inner,)], Field("list", InType.STRUCT, members=(inner.field,))),
        FieldValue("j", '{"a":[1]}', Field("j", InType.STR8, OutType.JSON)),
        FieldValue("t", FileTime(132_404_547_797_984_230), Field("t", InType.FILETIME)),
        FieldValue("id", ACTIVITY, Field("id", InType.GUID)),
        FieldValue("etw.level", 99, Field("etw.level", InType.UINT8)),
        FieldValue("etw.process.id", 99, Field("etw.process.id", InType.UINT8)),
    ]
    log = log_of_record(EventDescriptor(level=4), values, time_unix_nano=1)
    own = {key: value for key, value in log.attributes.items() if not key.startswith("etw.")}
    assert own == {
        "s": {"n": 1}, "list": [{"n": 1}], "j": {"a": [1]}, "t": "2020-07-29T00:06:19.7984230Z",
        "id": str(ACTIVITY),
    }  # fmt: skip
    assert log.attributes["etw.level"] == 4
    assert log.attributes["etw.process.id"] == 99  # the record itself does not say it


def test_records_of_other_kinds(tmp_path: Path) -> None:
    """WPP messages, and those of the kernel, whose names are known."""
    (message,) = events_of(tmp_path, message_record(17, b"x", ids=(1, 2)))
    log = log_of_event(message)
    assert (log.event_name, log.attributes["etw.thread.id"]) == ("etw.17", 1)
    file = tmp_path / "kernel.etl"
    file.write_bytes(trace_file(buffer([system_record(T0, 0x0008, b"abcd")])))
    with open_etl(file) as trace:
        kernel = log_of_event(list(trace)[-1])
    assert (kernel.event_name, kernel.scope_name) == ("RundownComplete", "EventTrace")


@given(st.data(), any_metadata, st.binary(max_size=100))
def test_any_event_is_a_log(data: st.DataObject, metadata: EventMetadata, payload: bytes) -> None:
    """Whatever its fields."""
    descriptor = EventDescriptor.from_bytes(data.draw(st.binary(min_size=16, max_size=16)))
    values = decode_payload(metadata.fields, payload).values
    log = log_of_record(descriptor, values, time_unix_nano=1)
    assert {value.name for value in values} <= set(log.attributes)
