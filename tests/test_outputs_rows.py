"""Rows of the table, by what an item carries, and the columns they stand in."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

from etl_files import T0, buffer, event_record, message_record, trace_file, tracelogging_record
from otel_etw.etl.event import Event
from otel_etw.etl.reader import open_etl
from otel_etw.layouts.items import LogItem, MetricPoint
from otel_etw.outputs.jsonl import item_document
from otel_etw.outputs.numbers import duration_text
from otel_etw.outputs.rows import Row, level_text, row_of, severity_text
from otel_etw.outputs.terminal import RowTable, Screen
from otel_etw.tables.items import Item, items_of
from otel_etw.tracelogging.provider_id import METRICS_PROVIDER_ID
from shared_files import cases, vectors

TIME = 1_773_232_496_789_000_000


def events_of(tmp_path: Path, *records: bytes) -> list[Event]:
    path = tmp_path / "rows.etl"
    path.write_bytes(trace_file(buffer(records, 65536), size=65536))
    with open_etl(path) as trace:
        return [event for event in trace if event.kind != "system"]


@pytest.fixture
def event(tmp_path: Path) -> Event:
    (event,) = events_of(tmp_path, tracelogging_record(T0, "Log"))
    return event


def text_of(item: Item, *, wide: bool = False) -> str:
    return "".join(text for text, _ in row_of(item, wide=wide).text).strip()


@pytest.mark.parametrize(
    ("number", "text", "shown"),
    [
        (1, None, "TRACE"), (4, None, "TRACE4"), (5, "DEBUG", "DEBUG"), (9, "Information", "INFO"),
        (13, None, "WARN"), (18, None, "ERROR2"), (24, None, "FATAL4"), (None, "Notice", "Notice"),
        (0, None, "-"), (25, "odd\x1b", "odd\\x1b"), (None, None, "-"),
    ],
)  # fmt: skip
def test_severities_have_their_names(number: int | None, text: str | None, shown: str) -> None:
    """By number; the record's own text where the number says nothing."""
    assert severity_text(LogItem(0, severity_number=number, severity_text=text)) == shown


def test_every_level_has_a_word_and_severities_a_colour(event: Event) -> None:
    """Level 0 is a dash, unknown ones are numbered; ``ERROR2`` looks like ``ERROR``."""
    assert [level_text(level) for level in (0, 1, 2, 3, 4, 5, 6, 255)] == [
        "-", "CRIT", "ERROR", "WARN", "INFO", "VERB", "L6", "L255",
    ]  # fmt: skip
    styles = {n: row_of(Item(event, LogItem(0, severity_number=n))).level_style for n in range(1, 25)}
    assert styles[17] == styles[18] == styles[20] == "bold red"
    assert styles[13] == styles[16] == "yellow"
    assert len({styles[n] for n in (1, 5, 9, 13, 17, 21)}) == 6


def test_the_place_in_the_source_is_short(event: Event) -> None:
    """File and line at the end; ``--wide`` has the attributes as they are."""
    code = {"code.file.path": "C:\\app\\shop.py", "code.line.number": 7, "code.function.name": "f"}
    item = Item(event, LogItem(TIME, body="hi", attributes={**code, "a": 1}))
    assert text_of(item) == "hi  a=1  shop.py:7"
    assert "code.file.path=C:\\app\\shop.py  code.line.number=7  code.function.name=f  a=1" in text_of(
        item, wide=True
    )


def test_instances_of_one_service_are_told_apart_when_wide(event: Event) -> None:
    """The column has the service only."""
    item = Item(event, LogItem(TIME, body="hi", service_name="shop", service_instance_id="shop-1"))
    assert row_of(item).source == "shop"
    assert "instance=shop-1" in text_of(item, wide=True)
    assert "instance" not in text_of(item)


def test_cut_values_are_marked(event: Event) -> None:
    """With their length before they were cut; event ids are shown like attributes."""
    item = Item(event, LogItem(TIME, body="hi", event_id=12, truncated={"body": 70000}))
    assert text_of(item) == "hi  event_id=12  (body cut, was 70,000 bytes)"


def test_a_record_without_anything_is_a_row(event: Event) -> None:
    """No body, no severity, no service: the provider's name stands in."""
    row = row_of(Item(event, LogItem(TIME)))
    assert (row.level, row.source, row.trace) == ("-", "MadeProvider", "")
    assert "".join(text for text, _ in row.text) == ""


def test_points_of_all_kinds_have_a_row(event: Event) -> None:
    """Value, or count and what is known of the distribution."""
    gauge = MetricPoint(TIME, "level", "gauge", value=0.25, unit="1")
    summary = MetricPoint(TIME, "old", "summary", count=5, sum=9.0, unit="s")
    assert text_of(Item(event, gauge)) == "level 0.25  gauge"
    assert text_of(Item(event, summary)) == "old count 5 sum 9 s  summary"


def test_problems_are_in_the_row(event: Event) -> None:
    """Whatever could not be decoded says why, escaped."""
    assert text_of(Item(event, LogItem(TIME, body="hi"), ("bad\x1b", "worse"))) == "hi  [bad\\x1b; worse]"


def test_starts_and_stops_and_bytes_left_over_are_shown(tmp_path: Path) -> None:
    """The opcode of a self-describing event, and payload that its description does not cover."""
    left_over = tracelogging_record(T0, "Made", payload=b"\x2a\0\0\0\1\2\3")
    unnamed = tracelogging_record(T0, "", fields=())
    one_text = tracelogging_record(
        T0, "Said", fields=(("m", 1),), payload="a b\nc".encode("utf-16-le") + b"\0\0"
    )
    events = events_of(tmp_path, left_over, unnamed, one_text)
    assert text_of(Item(events[0])) == "Made  n=42  and 3 bytes that are not described"
    assert item_document(Item(events[0]))["trailing"] == b"\1\2\3"
    assert text_of(Item(events[1])).startswith('""')
    assert text_of(Item(events[2])) == "Said  a b"
    assert row_of(Item(events[2])).block == ("c",)


def test_wpp_messages_are_rows(tmp_path: Path) -> None:
    """They carry no text, but their number and bytes."""
    (message,) = events_of(tmp_path, message_record(17, data=b"\1\2"))
    (item,) = items_of(message)
    assert row_of(item).level == "-"
    assert "2 bytes 0x0102" in text_of(item)


@pytest.mark.parametrize("case", cases("metrics"))
def test_metric_vectors_become_points(case: dict[str, Any], tmp_path: Path) -> None:
    """Every golden metric event is metric data points, and every point a row."""
    for wanted in case["expected"]["events"]:
        if wanted.get("dropped") or "payload" not in wanted:
            continue
        payload = bytes.fromhex(wanted["payload"])
        record = event_record(T0, payload, provider=METRICS_PROVIDER_ID, event_id=81)
        (event,) = events_of(tmp_path, record)
        items = items_of(event)
        assert {item.signal for item in items} == {"metrics"}
        for item in items:
            assert row_of(item).level == "METRIC"
            assert item_document(item)["metric_name"]


@pytest.mark.parametrize(
    ("name", "signal"),
    [("rust_logs_0_10", "logs"), ("geneva_tld_log", "logs"), ("cpp_log", "logs"), ("cpp_span", "spans")],
)
def test_other_producers_are_told_apart(name: str, signal: str, tmp_path: Path) -> None:
    """Logs and spans are that whoever wrote them."""
    (case,) = [case for case in vectors("foreign")["cases"] if case["name"] == name]
    event = case["event"]
    items = [(12, bytes.fromhex(event["provider_traits"])), (11, bytes.fromhex(event["event_metadata"]))]
    record = event_record(T0, bytes.fromhex(event["payload"]), channel=11, items=items)
    (found,) = events_of(tmp_path, record)
    (item,) = items_of(found)
    assert item.signal == signal
    assert item.problems == ()
    assert text_of(item)


@pytest.mark.parametrize("case", cases("traces"))
def test_span_vectors_become_spans(case: dict[str, Any], tmp_path: Path) -> None:
    """Every golden span event is a span, in a row with its name and duration, and in JSON with its times."""
    event, span = case["expected"], case["span"]
    items = [(12, bytes.fromhex(event["provider_traits"])), (11, bytes.fromhex(event["event_metadata"]))]
    record = event_record(T0, bytes.fromhex(event["payload"]), channel=11, items=items)
    (found,) = events_of(tmp_path, record)
    (item,) = items_of(found)
    assert item.signal == "spans"
    row = row_of(item)
    assert row.level == "SPAN"
    assert row.has_failed == (span["status"]["code"] == "error")
    duration_ns = span["end_time_ns"] - span["start_time_ns"]
    assert text_of(item).startswith(f"{span['name']}  {duration_text(duration_ns)}")
    document = item_document(item)
    assert (document["time_unix_nano"], document["duration_ns"]) == (span["end_time_ns"], duration_ns)
    assert document["span_id"] == span["span_id"]
    assert document.get("parent_span_id") == span["parent_span_id"]


class Lines(io.StringIO):
    """A stream that is no terminal, of some character set."""

    encoding = "utf-8"


def test_columns_fit_the_first_rows_and_grow() -> None:
    """Rows wait until a hundred have come; a wider source later moves the text from there on."""
    stream = Lines()
    table = RowTable(Screen(stream))
    row = Row(TIME, "INFO", "shop", "", [("text", "")])
    for _ in range(99):
        table.add(row)
    assert stream.getvalue() == ""
    table.add(replace(row, source="billing"))
    assert len(stream.getvalue().splitlines()) == 101
    table.add(replace(row, source="a-long-name", trace="4bf92f35"))
    table.close()
    lines = stream.getvalue().splitlines()
    assert lines[0] == "TIME (UTC)               LEVEL   SOURCE   TEXT"
    assert lines[1] == "2026-03-11 12:34:56.789  INFO    shop     text"
    assert lines[-1] == "2026-03-11 12:34:56.789  INFO    a-long-name  4bf92f35  text"
    assert table.rows == 101


def test_wide_characters_keep_the_columns() -> None:
    """East Asian characters take two cells."""
    stream = Lines()
    table = RowTable(Screen(stream))
    for source in ("日本", "shop"):
        table.add(Row(TIME, "INFO", source, "", [("text", "")]))
    table.close()
    assert [line.partition("INFO    ")[2] for line in stream.getvalue().splitlines()[1:]] == [
        "日本    text",
        "shop    text",
    ]


def test_nothing_is_written_for_no_rows() -> None:
    """Not even the head."""
    stream = Lines()
    RowTable(Screen(stream)).close()
    assert stream.getvalue() == ""


@pytest.mark.parametrize("wide", [False, True])
def test_any_text_for_ids_and_severities_keeps_the_columns(event: Event, wide: bool) -> None:
    """A trace says what it likes where an id is expected; a column is no wider for it than for an id."""
    stream = io.StringIO()
    table = RowTable(Screen(stream), wide=wide)
    for text in ("abc", "f" * 60_000, "\u8b66" * 60_000):
        log = LogItem(TIME, severity_text=text, body="body", trace_id=text, span_id=text, service_name="s")
        table.add(row_of(Item(event, log), wide=wide))
    table.close()
    _, plain, *long = stream.getvalue().splitlines()
    for line in long:
        assert cell_len(line.partition("body")[0]) == cell_len(plain.partition("body")[0]) < 180
