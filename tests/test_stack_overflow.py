"""A stack so full that not even the loss can be handled: nothing is raised, and the loss is counted."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.trace import TracerProvider

from memory_provider import MemorySession
from otel_etw import EtwHandler, EtwLogRecordProcessor, EtwSpanProcessor
from otel_etw.emitter import Emitter
from otel_etw.log_writer import LogWriter


def overflow(*arguments: Any, **options: Any) -> Any:
    raise RecursionError("maximum recursion depth exceeded")


@pytest.fixture(autouse=True)
def _no_stack_left(monkeypatch: pytest.MonkeyPatch) -> None:
    for owner, names in ((LogWriter, ("write_fields",)), (Emitter, ("drop", "emit", "refusal"))):
        for name in names:
            monkeypatch.setattr(owner, name, overflow)


def test_a_log_record() -> None:
    processor = EtwLogRecordProcessor(session=MemorySession())
    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(processor)
    provider.get_logger("deep").emit(body="down here")
    assert processor.stats.dropped == {"stack overflow": 1}


def test_a_span() -> None:
    processor = EtwSpanProcessor(session=MemorySession())
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(processor)
    provider.get_tracer("deep").start_span("down here").end()
    assert processor.stats.dropped == {"stack overflow": 1}


def test_a_record_of_the_standard_library() -> None:
    handler = EtwHandler(session=MemorySession())
    handler.handle(logging.makeLogRecord({"msg": "down here", "levelno": 20, "levelname": "INFO"}))
    assert handler.stats.dropped == {"stack overflow": 1}
    handler.close()
