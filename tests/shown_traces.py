"""A trace file with a bit of everything, for the tests of what is shown: logs, metrics, other events.

Spans are apart, since most tests count rows.

Log records and spans carry fixed times (``LOG_TIME`` and what comes after it); plain events have the time of
writing.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.trace import NonRecordingSpan, SpanContext, set_span_in_context

from otel_etw.cli.group import cli
from otel_etw.layouts.common_schema import encode_span
from otel_etw.layouts.common_schema.record import LinkFields, ResourceFacts, SpanFields
from otel_etw.layouts.items import LinkItem, SpanItem
from otel_etw.logs import EtwLogRecordProcessor
from otel_etw.metrics import EtwMetricExporter
from otel_etw.sessions.embedded import EtlSession
from otel_etw.tracelogging.encode import EventBuilder
from otel_etw.tracelogging.types import EventDescriptor

LOG_TIME = 1_773_232_496_789_000_000
"""2026-03-11T12:34:56.789Z."""
TRACE_ID = 0x4BF92F3577B34DA6A3CE929D0E0E4736
SPAN_ID = 0x00F067AA0BA902B7
LOG_PROVIDER = "Test_Shop"
EVENT_PROVIDER = "Test_Other"

KINDS = ("internal", "server", "client", "producer", "consumer")

EVIL = "\x1b[31mred\x1b[0m\x07\nINFO fake row\x9b2J\u202e\x7f"
"""What a terminal must not get to see as it is."""


def write_trace(path: Path) -> Path:
    """Six log records, two metrics of two points each, three plain events."""
    with EtlSession(path) as session:
        write_logs(session)
        write_metrics(session)
        write_events(session)
    return path


def write_logs(session: EtlSession) -> None:
    resource = Resource({"service.name": "shop", "service.instance.id": "shop-1"})
    provider = LoggerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_log_record_processor(EtwLogRecordProcessor(LOG_PROVIDER, session=session))
    logger = provider.get_logger("test")
    span = SpanContext(TRACE_ID, SPAN_ID, is_remote=False)
    context = set_span_in_context(NonRecordingSpan(span))
    rows: list[tuple[SeverityNumber, Any, dict[str, Any], str | None]] = [
        (SeverityNumber.DEBUG, "cache warmed", {"entries": 12}, None),
        (SeverityNumber.INFO, "order placed", {"order.id": 7, "note": "two words"}, "order.placed"),
        (SeverityNumber.WARN2, "stock is low", {"item": "teapot", "left": 2}, None),
        (SeverityNumber.ERROR, EVIL, {EVIL: EVIL, "list": [1, {"a": EVIL}]}, None),
        (SeverityNumber.FATAL, {"reason": "disk", "free": 0}, {"exception.stacktrace": "one\n  two\n"}, None),
        (SeverityNumber.INFO, "done", {}, None),
    ]
    for second, (severity, body, attributes, name) in enumerate(rows):
        logger.emit(
            LogRecord(
                timestamp=LOG_TIME + second * 10**9, severity_number=severity, body=body,
                attributes=attributes, event_name=name, context=context,
            )
        )  # fmt: skip
    provider.shutdown()


def write_metrics(session: EtlSession) -> None:
    reader = PeriodicExportingMetricReader(EtwMetricExporter(session=session), export_interval_millis=1e9)
    resource = Resource({"service.name": "shop"})
    provider = MeterProvider([reader], resource=resource, shutdown_on_exit=False)
    meter = provider.get_meter("test")
    orders = meter.create_counter("shop.orders", "{order}", "Orders placed")
    duration = meter.create_histogram("shop.duration", "ms", explicit_bucket_boundaries_advisory=[1, 2, 4, 8])
    for round_number in (1, 2):
        orders.add(round_number, {"payment": "card"})
        duration.record(3 * round_number)
        provider.force_flush()
    provider.shutdown()


def write_events(session: EtlSession) -> None:
    provider = session.register(EVENT_PROVIDER)
    for number, level in enumerate((5, 3, 0)):
        builder = EventBuilder(("Started", "Working", "Stopped")[number])
        builder.add_i64("number", number)
        builder.add_str8("text", b"some text")
        with builder.struct("inner"):
            builder.add_bool32("flag", True)
        descriptor = EventDescriptor(level=level, keyword=2)
        provider.write(descriptor, builder.metadata(), builder.payload())
    provider.close()


def span(
    name: str, number: int, above: int | None, start_ms: float, length_ms: float, **facts: Any
) -> SpanItem:
    """A span of the trace ``TRACE_ID``, ``start_ms`` after ``LOG_TIME``; ids are small numbers."""
    start = LOG_TIME + round(start_ms * 1e6)
    return SpanItem(
        name, start, start + round(length_ms * 1e6),
        **{
            "trace_id": f"{TRACE_ID:032x}",
            "span_id": f"{number:016x}",
            "parent_span_id": None if above is None else f"{above:016x}",
            "service_name": "shop",
            **facts,
        },
    )  # fmt: skip


def checkout() -> list[SpanItem]:
    """A request that failed to be paid, in the order in which its spans ended."""
    declined = {"success": False, "status": "error", "status_message": "card declined"}
    bank = {"url.full": "https://bank.example/charges", "http.request.method": "POST"}
    order = {"http.route": "/checkout", "http.response.status_code": 402}
    cart = LinkItem("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", {"why": "cart"})
    return [
        span("cache get", 2, 1, 0.5, 0.25, kind="internal", attributes={"cache.hit": True}),
        span("resolve", 4, 3, 3, 20, status="ok"),
        span("POST /charges", 3, 1, 2, 98, kind="client", attributes=bank, **declined),
        span("INSERT orders", 5, 1, 103, 12, kind="client", service_name="orders"),
        span("POST /checkout", 1, None, 0, 124, kind="server", attributes=order, links=[cart]),
    ]


def write_spans(session: EtlSession, spans: Iterable[SpanItem], *, level: int = 5) -> None:
    """Write ``spans`` as events of ``LOG_PROVIDER``, in their order."""
    provider = session.register(LOG_PROVIDER)
    for item in spans:
        links = [
            LinkFields(int(link.trace_id, 16), int(link.span_id, 16), link.attributes) for link in item.links
        ]
        fields = SpanFields(
            item.name,
            int(item.trace_id or "0", 16),
            int(item.span_id or "0", 16),
            item.start_time_unix_nano,
            item.end_time_unix_nano,
            int(item.parent_span_id or "0", 16),
            KINDS.index(item.kind or "internal"),
            item.status == "error",
            item.status == "ok",
            item.status_message,
            item.attributes,
            links,
        )
        event = encode_span(fields, ResourceFacts(role=item.service_name), level=level, extended=True)
        provider.write(event.descriptor, event.metadata, event.payload)
    provider.close()


def invoke(*arguments: object, **options: Any) -> Result:
    """``otel-etw`` with ``arguments`` inside this process, errors as click shows them."""
    return CliRunner().invoke(cli, [str(argument) for argument in arguments], **options)


def rows(*arguments: object) -> list[str]:
    """The rows of ``view`` without the head line."""
    result = invoke("view", *arguments)
    assert result.exit_code == 0, result.output
    return result.stdout.splitlines()[1:]


def run_command(*arguments: object, env: dict[str, str] | None = None, **options: Any) -> Any:
    """``otel-etw`` as a process of its own, its output captured if ``options`` do not say otherwise."""
    options = {"capture_output": True, "encoding": "utf-8", "timeout": 60, **options}
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8", **(env or {})}
    for name in ("NO_COLOR", "FORCE_COLOR"):
        if not env or name not in env:
            environment.pop(name, None)
    return subprocess.run(command_line(*arguments), env=environment, check=False, **options)


def command_line(*arguments: object) -> list[str]:
    """How this interpreter runs ``otel-etw``."""
    code = "from otel_etw.cli import main; main()"
    return [sys.executable, "-c", code, *map(str, arguments)]
