"""A whole ``logging`` call: our handler, against the instrumentation's with our own processor behind it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from opentelemetry.instrumentation.logging.handler import LoggingHandler
from opentelemetry.sdk._logs import LoggerProvider

from benchmarks.do_nothing import DoNothingSession
from benchmarks.log_rows import RESOURCE
from benchmarks.measuring import best_ns, check
from benchmarks.table import Row, micro
from otel_etw import EtlSession, EtwHandler, EtwLogRecordProcessor

EXTRA = {"customer": "ann", "article": "green tea", "place": "Ulm", "request": "r-0017"}


def rows(function: Any, folder: Path, rounds: int) -> Iterator[Row]:
    """To ctypes, and into a file."""
    with EtlSession(folder / "handler.etl", mode="rolling", max_file_size="64 MiB", max_files=1) as file:
        sessions: dict[str, Any] = {
            "to a C `EventWriteTransfer` that does nothing": DoNothingSession(function),
            "into an `EtlSession`": file,
        }
        for where, session in sessions.items():
            provider = LoggerProvider(resource=RESOURCE, shutdown_on_exit=False)
            processor = EtwLogRecordProcessor("Benchmark", session=session)
            provider.add_log_record_processor(processor)
            handler = EtwHandler(provider_name="Benchmark", session=session, resource=RESOURCE)
            spent = best_ns(
                {
                    "ours": call_loop(logger_with(handler)),
                    "peer": call_loop(logger_with(LoggingHandler(logger_provider=provider))),
                },
                times=3_000,
                rounds=rounds,
            )
            check(handler.stats, processor.stats)
            yield Row(
                f"`EtwHandler`, a whole `logging` call with `extra`, {where}",
                micro(spent["ours"]),
                f"{micro(spent['peer'])} opentelemetry-instrumentation-logging's handler and our processor",
                spent["ours"] / spent["peer"],
                at_most=0.6,
            )


def logger_with(handler: logging.Handler) -> logging.Logger:
    """A logger of the standard library with one handler."""
    logger = logging.Logger("benchmark", logging.INFO)
    logger.propagate = False
    logger.addHandler(handler)
    return logger


def call_loop(logger: logging.Logger) -> Callable[[int], None]:
    """Logs a message with two arguments and four extra attributes."""

    def loop(times: int) -> None:
        info = logger.info
        for _ in range(times):
            info("user %s did %s", "ann", "pay", extra=EXTRA)

    return loop
