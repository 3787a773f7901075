"""The way a record takes without EtwHandler, whose bytes EtwHandler has to write.

That is the handler of opentelemetry-instrumentation-logging, the SDK, and EtwLogRecordProcessor.

Versions of that package differ.  EtwHandler follows the newest; where an older one is installed, it is known
to differ in this (all found in 0.61b0), and records that show it are left out of comparisons:

* ``otel.event.name`` and ``event.name`` stay attributes;
* ``CRITICAL`` stays the severity's text;
* a ``msg`` that is no text becomes the body as it is;
* attributes are taken before a formatter runs, not after.
"""

from __future__ import annotations

import copy
import logging
import warnings
from typing import Any

from opentelemetry.instrumentation.logging import handler as handler_module
from opentelemetry.instrumentation.logging.handler import LoggingHandler
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.resources import Resource

from memory_provider import MemorySession, WrittenEvent
from otel_etw import EtwHandler, EtwLogRecordProcessor

ORACLE_IS_NEWEST = hasattr(handler_module, "otel_attributes")
"""Whether the installed package knows event names, and with them all else that EtwHandler follows."""

RESOURCE = Resource({"service.name": "shop", "service.instance.id": "one", "host.name": "h1"})
_WRITER_ARGUMENTS = ("keyword", "activity_id", "mark_utf8", "resource_attributes")


def same_record(record: logging.LogRecord) -> logging.LogRecord:
    """A copy that formatters and the like may change without changing the other."""
    return copy.copy(record)


def events_both_ways(
    *records: logging.LogRecord,
    formatter: logging.Formatter | None = None,
    log_code_attributes: bool = False,
    **writer: Any,
) -> tuple[list[WrittenEvent], list[WrittenEvent]]:
    """What the oracle writes of the records, and what EtwHandler does. Limits are the environment's."""
    assert set(writer) <= set(_WRITER_ARGUMENTS)
    theirs, ours = MemorySession(), MemorySession()
    provider = LoggerProvider(resource=RESOURCE, shutdown_on_exit=False)
    provider.add_log_record_processor(EtwLogRecordProcessor("Same", session=theirs, **writer))
    their_handler = LoggingHandler(logger_provider=provider, log_code_attributes=log_code_attributes)
    our_handler = EtwHandler(
        "Same",
        session=ours,
        resource=RESOURCE,
        log_code_attributes=log_code_attributes,
        **writer,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the SDK warns when it drops attributes
        for handler in (their_handler, our_handler):
            handler.setFormatter(formatter)
            for record in records:
                handler.handle(same_record(record))
            handler.close()
    assert not our_handler.stats.dropped
    return theirs.events, ours.events


def assert_same_bytes(*records: logging.LogRecord, **arguments: Any) -> list[WrittenEvent]:
    """Both ways write one event per record, the same; the events."""
    theirs, ours = events_both_ways(*records, **arguments)
    assert len(ours) == len(theirs) == len(records)
    for our_event, their_event in zip(ours, theirs, strict=True):
        assert our_event.descriptor == their_event.descriptor
        assert our_event.metadata == their_event.metadata
        assert our_event.payload == their_event.payload
        assert our_event.activity_id == their_event.activity_id
        assert our_event.provider.traits == their_event.provider.traits
    return ours
