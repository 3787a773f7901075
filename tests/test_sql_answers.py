"""SQL says of a trace what its events say when they are asked one by one, without tables."""

from __future__ import annotations

import json
import math
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider

from otel_etw import EtlSession, EtwLogRecordProcessor, EtwMetricExporter, EtwSpanProcessor, load, open_etl
from otel_etw.layouts.items import LogItem, MetricPoint, SpanItem
from otel_etw.loading import Loaded
from otel_etw.tables.items import Item, items_of
from shared_files import corpus
from wine import is_wine

CORPUS = (
    "SelfDescribingSingleEvent.etl",
    "primitive-types.etl",
    "waasmedic.20251005_113019_195.etl",
    "WindowsUpdate.20251008.140245.443.8.etl",
)


def plain_items(path: Path) -> Iterator[Item]:
    """The first item of every event, and the further points of a metrics event, one event at a time."""
    with open_etl(path) as trace:
        for event in trace.in_time_order():
            yield from items_of(event, str(path))


def ask(loaded: Loaded, query: str) -> list[tuple[Any, ...]]:
    """The rows of the answer; times as nanoseconds."""
    table = loaded.sql(query)
    columns = [
        column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column for column in table.columns
    ]
    return list(zip(*(column.to_pylist() for column in columns), strict=True))


@pytest.mark.parametrize("name", CORPUS)
def test_events_of_real_files_are_counted_alike(name: str) -> None:
    """Events by provider, id, level, keyword and process, their first and last times, and their order."""
    path = corpus(name)
    with open_etl(path) as trace:
        events = list(trace.in_time_order())
    loaded = load(path)
    expected = Counter(
        (
            str(event.provider_id),
            event.descriptor.id,
            event.descriptor.level,
            event.descriptor.keyword,
            event.process_id,
        )
        for event in events
        if event.kind == "event"
    )
    found = ask(
        loaded,
        """
        SELECT provider_id, id, level, keyword, process_id, count(*) FROM events
        WHERE kind LIKE 'event_header%' GROUP BY ALL
        """,
    )
    assert {row[:-1]: row[-1] for row in found} == expected
    times = [event.timestamp_ns for event in events]
    assert ask(loaded, "SELECT count(*), min(time), max(time) FROM events") == [
        (len(times), min(times), max(times))
    ]
    assert [row[0] for row in ask(loaded, "SELECT time FROM events")] == sorted(times)


@pytest.mark.parametrize("name", CORPUS)
def test_fields_of_real_files_are_what_the_events_have(name: str) -> None:
    """Names of events and of their fields, and every integer and text in them."""
    path = corpus(name)
    loaded = load(path)
    with open_etl(path) as trace:
        described = [
            event for event in trace.in_time_order() if event.kind == "event" and event.fields is not None
        ]
    rows = ask(loaded, "SELECT event_name, json_keys(fields), fields FROM events WHERE fields IS NOT NULL")
    assert len(rows) == len(described) > 0
    for event, (event_name, keys, text) in zip(described, rows, strict=True):
        assert event_name == event.name
        assert event.fields is not None
        assert set(keys) == set(event.fields)
        for field, value in event.fields.items():
            if isinstance(value, str) or type(value) is int:
                assert json.loads(text)[field] == value


# What an attribute's value may be, and the text that SQL's ->> has for it.
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=True)
    | texts
    | st.binary(max_size=6)
)
keys = st.text(st.sampled_from("abc.- é"), min_size=1, max_size=5)
"""DuckDB takes ``$`` and ``/`` at the start of a key for a path."""
attributes = st.dictionaries(keys, scalars | st.lists(st.integers(0, 9), max_size=3), max_size=4)


@st.composite
def stories(draw: st.DrawFn) -> list[tuple[str, Any]]:
    """What a service logs, spans and counts, in turns."""
    step = st.one_of(
        st.tuples(
            st.just("log"),
            st.tuples(
                st.sampled_from(list(SeverityNumber)), scalars | st.lists(texts, max_size=2), attributes
            ),
        ),
        st.tuples(st.just("span"), st.tuples(texts, attributes)),
        st.tuples(st.just("count"), st.integers(0, 2**40)),
    )
    return draw(st.lists(step, min_size=1, max_size=8))


def tell(path: Path, story: list[tuple[str, Any]]) -> None:
    """Write ``story`` with the SDK and this package's processors."""
    resource = Resource({"service.name": "told", "service.instance.id": "told-1"})
    with EtlSession(path) as session:
        logs = LoggerProvider(resource=resource, shutdown_on_exit=False)
        logs.add_log_record_processor(EtwLogRecordProcessor("Test_Logs", session=session))
        spans = TracerProvider(resource=resource, shutdown_on_exit=False)
        spans.add_span_processor(EtwSpanProcessor("Test_Spans", session=session))
        reader = PeriodicExportingMetricReader(EtwMetricExporter(session=session), export_interval_millis=1e9)
        metrics = MeterProvider([reader], resource=resource, shutdown_on_exit=False)
        counter = metrics.get_meter("test").create_counter("told.count")
        for kind, what in story:
            if kind == "log":
                severity, body, given_attributes = what
                logs.get_logger("test").emit(
                    LogRecord(timestamp=1, severity_number=severity, body=body, attributes=given_attributes)
                )
            elif kind == "span":
                name, given_attributes = what
                with spans.get_tracer("test").start_as_current_span(name) as span:
                    for key, value in given_attributes.items():
                        if value is not None:
                            span.set_attribute(key, value)
            else:
                counter.add(what)
                metrics.force_flush()
        for provider in (logs, spans, metrics):
            provider.shutdown()


def text_agrees(text: str | None, value: object) -> bool:
    """Whether ``->>`` may say ``text`` of ``value``."""
    if value is None:
        return text is None
    if text is None:
        return False
    if isinstance(value, str):
        return text == value
    if isinstance(value, bool):
        return text == str(value).lower()
    if isinstance(value, float) and not math.isfinite(value):
        return text == {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[str(value)]
    if isinstance(value, (int, float)):
        return type(value)(text) == value
    return isinstance(json.loads(text), (dict, list))


@settings(max_examples=10 if is_wine() else 40, deadline=None)  # DuckDB starts slowly there
@given(stories())
def test_what_a_service_wrote_is_answered_alike(story: list[tuple[str, Any]]) -> None:
    """Log records, spans, points: how many, their values, and every attribute by ``->>``."""
    # Windows does not remove the file while ``loaded`` has it open.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as directory:
        path = Path(directory, "told.etl")
        tell(path, story)
        items = list(plain_items(path))
        loaded = load(path)
        logs = [item.content for item in items if isinstance(item.content, LogItem)]
        spans = [item.content for item in items if isinstance(item.content, SpanItem)]
        points = [item.content for item in items if isinstance(item.content, MetricPoint)]
        assert ask(loaded, "SELECT severity_number, count(*) FROM logs GROUP BY 1 ORDER BY 1") == sorted(
            Counter(log.severity_number for log in logs).items()
        )
        assert ask(loaded, "SELECT name, duration_ns, end_time, service_name FROM spans") == [
            (span.name, span.duration_ns, span.end_time_unix_nano, "told")
            for span in sorted(spans, key=lambda span: span.end_time_unix_nano)
        ]
        assert ask(loaded, "SELECT count(*), coalesce(sum(int_value), 0)::BIGINT FROM metric_points") == [
            (len(points), sum(point.value for point in points if point.value is not None))
        ]
        for table, contents in (("logs", logs), ("spans", spans)):
            found = ask(loaded, f"SELECT attributes, {', '.join(_questions(contents)) or '1'} FROM {table}")
            expected = [[content.attributes.get(key) for key in _keys(contents)] for content in contents]
            for (_, *answers), values in zip(found, expected, strict=True):
                assert all(map(text_agrees, answers, values)) or not values


def _keys(contents: list[Any]) -> list[str]:
    return sorted({key for content in contents for key in content.attributes})


def _questions(contents: list[Any]) -> list[str]:
    return [f"attributes->>'{key}' AS a{number}" for number, key in enumerate(_keys(contents))]
