"""Events of other and older producers, as the golden vectors state them, through the reader and the rules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from foreign_events import events_of, record_of_case
from otel_etw.layouts.items import LogItem, SpanItem
from otel_etw.outputs.jsonl import item_line
from otel_etw.outputs.rows import row_of
from otel_etw.tables.items import SignalFinder, items_of
from shared_files import cases
from vector_records import attributes_of

SIGNALS = {"log": "logs", "span": "spans", "none": "events"}


@pytest.mark.parametrize("case", cases("foreign"))
def test_a_case_decodes_as_stated(case: dict[str, Any], tmp_path: Path) -> None:
    """Every fact that is stated, no attribute that is not, and no problem."""
    (event,) = events_of(tmp_path, record_of_case(case))
    (item,) = items_of(event)
    wanted = case["decoded"]
    assert item.problems == ()
    assert item.signal == SIGNALS[wanted["signal"]]
    if isinstance(item.content, LogItem):
        _check_log(item.content, wanted)
    elif isinstance(item.content, SpanItem):
        _check_span(item.content, wanted)


def _check_log(log: LogItem, wanted: dict[str, Any]) -> None:
    scope = "OpenTelemetry-ETW-TLD" if "event_id" not in wanted and "service_name" not in wanted else None
    assert log == LogItem(
        time_unix_nano=wanted["time_unix_nano"],
        severity_number=wanted["severity_number"],
        severity_text=wanted.get("severity_text"),
        body=wanted["body"],
        event_name=wanted.get("name"),
        event_id=wanted.get("event_id"),
        trace_id=wanted.get("trace_id"),
        span_id=wanted.get("span_id"),
        service_name=wanted.get("service_name"),
        service_instance_id=wanted.get("service_instance_id"),
        scope_name=scope,
        attributes=attributes_of(wanted["attributes"]),
    )


def _check_span(span: SpanItem, wanted: dict[str, Any]) -> None:
    for name in ("name", "trace_id", "span_id", "parent_span_id", "status", "status_message"):
        assert getattr(span, name) == wanted[name], name
    assert span.start_time_unix_nano == wanted["start_time_unix_nano"]
    assert span.end_time_unix_nano == wanted["end_time_unix_nano"]
    assert span.kind is None  # said of every span, and therefore not believed
    assert span.success is (wanted["status"] != "error")
    assert [{"trace_id": link.trace_id, "span_id": link.span_id} for link in span.links] == wanted["links"]
    assert span.attributes == attributes_of(wanted["attributes"])


@pytest.mark.parametrize("case", cases("foreign"))
def test_a_case_is_shown(case: dict[str, Any], tmp_path: Path) -> None:
    """As a row and as a line of JSON; and counted for what it is, more than once."""
    events = events_of(tmp_path, record_of_case(case), record_of_case(case))
    finder = SignalFinder()
    wanted = SIGNALS[case["decoded"]["signal"]]
    for event in events:
        assert finder.signal_of(event) == wanted
        (item,) = items_of(event)
        assert row_of(item).text
        assert f'"signal":"{wanted}"' in item_line(item)
