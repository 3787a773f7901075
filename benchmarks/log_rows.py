"""Log records: our own cost, and what others charge for the same record.

"Own cost" is the difference between two loops: a LoggerProvider with our processor, and one with a processor
that does nothing.  The record has four string attributes, a body, a severity and an event name.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from opentelemetry._logs import Logger, LogRecord, SeverityNumber
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.sdk._logs import LoggerProvider, LogRecordProcessor, ReadableLogRecord, ReadWriteLogRecord
from opentelemetry.sdk.resources import Resource
from opentelemetry.trace import NonRecordingSpan, SpanContext, set_span_in_context

from benchmarks.do_nothing import DoNothingSession, as_windows
from benchmarks.measuring import best_ns, check
from benchmarks.peers import dynamic_builder
from benchmarks.table import Row, micro
from otel_etw import EtlSession, EtwLogRecordProcessor
from otel_etw.layouts.common_schema import resource_facts
from otel_etw.layouts.times import time_text
from otel_etw.sessions.kernel import KernelSession

ATTRIBUTES = {"user": "ann", "article": "green tea", "place": "Ulm", "request": "r-0017"}
RESOURCE = Resource.create({"service.name": "shop", "service.instance.id": "shop-1"})
BODY = "the order was placed"
EVENT_NAME = "order.placed"
BATCH = 512


class DoNothing(LogRecordProcessor):
    """What our cost is measured against."""

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        """Nothing."""

    def shutdown(self) -> None:
        """Nothing."""

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Nothing to do."""
        return True


def logger_with(processor: LogRecordProcessor) -> Logger:
    """A logger of the SDK whose records go to ``processor``."""
    provider = LoggerProvider(resource=RESOURCE, shutdown_on_exit=False)
    provider.add_log_record_processor(processor)
    return provider.get_logger("benchmark")


def emit_loop(logger: Logger, contexts: Sequence[Context | None] = (None,)) -> Callable[[int], None]:
    """Emits records through the SDK's API, each in the next of the contexts."""

    def loop(times: int) -> None:
        emit = logger.emit
        for context in islice(cycle(contexts), times):
            emit(
                timestamp=time.time_ns(),
                context=context,
                severity_number=SeverityNumber.INFO,
                severity_text="INFO",
                body=BODY,
                attributes=ATTRIBUTES,
                event_name=EVENT_NAME,
            )

    return loop


def span_contexts(count: int) -> list[Context | None]:
    """Contexts with as many different spans."""
    spans = [SpanContext(number << 64 | 1, number, is_remote=False) for number in range(1, count + 1)]
    return [set_span_in_context(NonRecordingSpan(span)) for span in spans]


def sdk_record() -> ReadWriteLogRecord:
    """One record as a processor gets it."""
    record = LogRecord(
        timestamp=time.time_ns(),
        observed_timestamp=time.time_ns(),
        severity_number=SeverityNumber.INFO,
        severity_text="INFO",
        body=BODY,
        attributes=ATTRIBUTES,
        event_name=EVENT_NAME,
    )
    return ReadWriteLogRecord(record, RESOURCE)


def rows(function: Any, folder: Path, rounds: int) -> Iterator[Row]:
    """All rows about log records."""
    with EtlSession(folder / "logs.etl", mode="rolling", max_file_size="64 MiB", max_files=1) as session:
        listening = EtwLogRecordProcessor("Benchmark", session=DoNothingSession(function))
        into_file = EtwLogRecordProcessor("Benchmark", session=session)
        with as_windows(folder):
            silent = EtwLogRecordProcessor("Benchmark", session=KernelSession())
        spent = best_ns(
            {
                "sdk": emit_loop(logger_with(DoNothing())),
                "ctypes": emit_loop(logger_with(listening)),
                "file": emit_loop(logger_with(into_file)),
            },
            times=5_000,
            rounds=rounds,
        )
        own, own_file = spent["ctypes"] - spent["sdk"], spent["file"] - spent["sdk"]
        sdk = f"{micro(spent['sdk'])} the SDK's emit"
        yield Row(
            "own cost of a log record, to a C `EventWriteTransfer` that does nothing",
            micro(own),
            sdk,
            own / spent["sdk"],
            at_most=0.5,
        )
        yield Row(
            "the same, into an `EtlSession`", micro(own_file), sdk, own_file / spent["sdk"], at_most=0.6
        )
        yield _within_spans(listening, rounds)
        yield from _encoders(own, rounds)
        yield from _nobody_listening(silent, listening, rounds)
        check(listening.stats, into_file.stats)


def _within_spans(listening: EtwLogRecordProcessor, rounds: int) -> Row:
    contexts = span_contexts(1000)
    spent = best_ns(
        {
            "sdk": emit_loop(logger_with(DoNothing()), contexts),
            "ctypes": emit_loop(logger_with(listening), contexts),
        },
        times=5_000,
        rounds=rounds,
    )
    own = spent["ctypes"] - spent["sdk"]
    return Row(
        "own cost of a log record within a span, another one each time, to the same C function",
        micro(own),
        f"{micro(spent['sdk'])} the SDK's emit",
        own / spent["sdk"],
    )


def _encoders(own: float, rounds: int) -> Iterator[Row]:
    records = [
        ReadableLogRecord(record.log_record, RESOURCE) for record in (sdk_record() for _ in range(BATCH))
    ]

    def otlp(times: int) -> None:
        for _ in range(times // BATCH or 1):
            encode_logs(records).SerializeToString()

    spent = best_ns({"otlp": otlp, "dynamic": _dynamic_loop()}, times=BATCH * 4, rounds=rounds)
    yield Row(
        f"OTLP protobuf encoding of the same records, batches of {BATCH}, against our own cost",
        micro(own),
        f"{micro(spent['otlp'])} opentelemetry-exporter-otlp-proto-common",
        spent["otlp"] / own,
        at_least=5,
        digits=1,
    )
    yield Row(
        "Microsoft's Python builder making the same event, against our own cost (which writes it, too)",
        micro(own),
        f"{micro(spent['dynamic'])} traceloggingdynamic",
        spent["dynamic"] / own,
        at_least=6,
        digits=1,
    )


def _nobody_listening(
    silent: EtwLogRecordProcessor, listening: EtwLogRecordProcessor, rounds: int
) -> Iterator[Row]:
    record = sdk_record()

    def loop_of(processor: EtwLogRecordProcessor | DoNothing) -> Callable[[int], None]:
        def loop(times: int) -> None:
            on_emit = processor.on_emit
            for _ in range(times):
                on_emit(record)

        return loop

    def empty(times: int) -> None:
        for _ in range(times):
            pass

    spent = best_ns(
        {"empty": empty, "silent": loop_of(silent), "listening": loop_of(listening)},
        times=20_000,
        rounds=rounds,
    )
    ours, theirs = spent["silent"] - spent["empty"], spent["listening"] - spent["empty"]
    yield Row(
        "nobody listening to a kernel provider: `on_emit` with its count, against it when somebody does",
        f"{ours:.0f} ns",
        micro(theirs),
        ours / theirs,
        at_most=0.05,
        digits=3,
    )
    if silent.stats.written or not silent.stats.skipped:
        raise SystemExit(f"somebody listened: {silent.stats}")


def _dynamic_loop() -> Callable[[int], None]:
    facts = resource_facts(RESOURCE.attributes)
    role, instance = (facts.role or "").encode(), (facts.role_instance or "").encode()

    def loop(times: int) -> None:
        builder = dynamic_builder()
        for _ in range(times):
            builder.reset(b"Log", 4, 1)
            builder.add_uint16(b"__csver__", 0x400, 18)
            builder.add_struct(b"PartA", 2)
            builder.add_struct(b"ext_cloud", 2)
            builder.add_str8_bytes(b"role", role)
            builder.add_str8_bytes(b"roleInstance", instance)
            builder.add_str8_bytes(b"time", time_text(time.time_ns()).encode())
            builder.add_struct(b"PartC", len(ATTRIBUTES))
            for key, value in ATTRIBUTES.items():
                builder.add_str8_bytes(key.encode(), value.encode())
            builder.add_struct(b"PartB", 5)
            builder.add_str8_bytes(b"_typeName", b"Log")
            builder.add_str8_bytes(b"body", BODY.encode())
            builder.add_int16(b"severityNumber", 9)
            builder.add_str8_bytes(b"severityText", b"INFO")
            builder.add_str8_bytes(b"name", EVENT_NAME.encode())

    return loop
