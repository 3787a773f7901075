"""EtwHandler as a guest in the standard library's logging; what it writes is in test_handler_bytes.py."""

from __future__ import annotations

import gc
import logging
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.resources import Resource

from memory_provider import MemorySession
from otel_etw import EtlSession, EtwHandler, open_etl
from otel_etw.errors import EncodeError
from otel_etw.layouts.common_schema import decode_log
from otel_etw.tracelogging.metadata import decode_metadata

RESOURCE = Resource({"service.name": "shop", "service.instance.id": "one", "host.name": "h1"})


def handler_on(session: Any, **arguments: Any) -> EtwHandler:
    return EtwHandler(provider_name="P", session=session, **{"resource": RESOURCE, **arguments})


def logger_with(*handlers: logging.Handler) -> logging.Logger:
    """A logger outside the tree, so that only these handlers hear of it."""
    logger = logging.Logger("shop")
    for handler in handlers:
        logger.addHandler(handler)
    return logger


@pytest.fixture
def root() -> Iterator[Callable[[logging.Handler], None]]:
    """Adds handlers to the root logger, for as long as the test runs."""
    added: list[logging.Handler] = []

    def add(handler: logging.Handler) -> None:
        logging.getLogger().addHandler(handler)
        added.append(handler)

    yield add
    for handler in added:
        logging.getLogger().removeHandler(handler)
        handler.close()


class Counted:
    """Counts how often it is made text."""

    def __init__(self) -> None:
        self.times = 0

    def __str__(self) -> str:
        self.times += 1
        return "counted"

    __repr__ = __str__


class Hostile:
    def __init__(self, raising: type[BaseException] = RuntimeError) -> None:
        self.raising = raising

    def __str__(self) -> str:
        raise self.raising("hostile")

    __repr__ = __str__


CYCLE: list[Any] = []
CYCLE.append(CYCLE)
"""What no version of the SDK can clean, while some have a value of their own for what is :class:`Hostile`."""


# --------------------------------------------------------------------------- arguments


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"provider_name": "My-Provider"}, EncodeError),
        ({"level": "LOUD"}, ValueError),
        ({"level": 1.5}, TypeError),
        ({"event_name": ""}, EncodeError),
        ({"event_name": 5}, TypeError),
        ({"keyword": -1}, EncodeError),
        ({"activity_id": "both"}, EncodeError),
        ({"structured_body": "yes"}, TypeError),
        ({"log_code_attributes": 1}, TypeError),
        ({"resource": {"service.name": "shop"}}, TypeError),
        ({"meter_provider": "global"}, TypeError),
        ({"resource_attributes": "service.name"}, TypeError),
    ],
)
def test_invalid_arguments_raise_and_leave_nothing_behind(
    arguments: dict[str, Any], error: type[Exception]
) -> None:
    """Neither a hold on the session nor a half-made handler for logging.shutdown() to find."""
    session = MemorySession()
    with pytest.raises(error):
        EtwHandler(**arguments, session=session)
    assert session.holders == 0
    logging.shutdown()


def test_what_is_no_session_is_refused() -> None:
    with pytest.raises(TypeError, match="session must be"):
        EtwHandler(session="app.etl")  # type: ignore[arg-type]


def test_levels_are_numbers_or_names() -> None:
    session = MemorySession()
    for level in (logging.WARNING, "WARNING"):
        logger = logger_with(handler_on(session, level=level))
        logger.info("not heard")
        logger.warning("heard")
    assert [item.severity_text for item in session.logs()] == ["WARN", "WARN"]


def test_the_environment_counts_where_nothing_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_ETW_PROVIDER_NAME", "Named")
    monkeypatch.setenv("OTEL_EXPORTER_ETW_LOG_EVENT_NAME", "Line")
    monkeypatch.setenv("OTEL_EXPORTER_ETW_CODE_ATTRIBUTES", "true")
    monkeypatch.setenv("OTEL_EXPORTER_ETW_STRUCTURED_BODY", "true")
    session = MemorySession()
    logger_with(EtwHandler(session=session)).info({"a": 1})
    (event,), (item,) = session.events, session.logs()
    assert (event.provider.name, decode_metadata(event.metadata).name) == ("Named", "Line")
    assert item.body == {"a": 1}
    assert item.attributes["code.file.path"] == __file__
    other = MemorySession()
    logger_with(handler_on(other, event_name="Log", log_code_attributes=False, structured_body=False)).info(
        {"a": 1}
    )
    (item,) = other.logs()
    assert (item.body, item.attributes) == ("{'a': 1}", {})


def test_attribute_limits_that_the_sdk_refuses_are_logged_and_not_used(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_ATTRIBUTE_COUNT_LIMIT", "many")
    session = MemorySession()
    logger_with(handler_on(session)).info("x", extra={f"key{number}": number for number in range(130)})
    assert [
        "OTEL_ATTRIBUTE_COUNT_LIMIT" in line.getMessage()
        for line in caplog.records
        if line.name == "otel_etw"
    ] == [True]
    assert len(session.logs()[0].attributes) == 128


def test_a_disabled_sdk_writes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the SDK's loggers, which do nothing then."""
    monkeypatch.setenv("OTEL_SDK_DISABLED", "True")
    session = MemorySession()
    counted = Counted()
    logger_with(handler_on(session)).error("%s", counted)
    assert (session.events, counted.times) == ([], 0)


@pytest.mark.parametrize(
    ("event_name", "found"),
    [
        ("Mine", "Mine"),
        (lambda record: record.name.upper(), "SHOP"),
        (lambda record: "", "Log"),
        (lambda record: 5, "Log"),
        (lambda record: record.missing, "Log"),
    ],
)
def test_event_names(event_name: Any, found: str) -> None:
    """A name, or a function of the record, which may fail."""
    session = MemorySession()
    logger_with(handler_on(session, event_name=event_name)).info("x")
    assert [decode_metadata(event.metadata).name for event in session.events] == [found]


def test_the_activity_id_is_the_active_spans() -> None:
    session = MemorySession()
    logger = logger_with(handler_on(session, activity_id="span"))
    span = trace.NonRecordingSpan(trace.SpanContext(1, 0x0102030405060708, is_remote=False))
    with trace.use_span(span):
        logger.info("inside")
    logger.info("outside")
    assert [event.activity_id for event in session.events] == [bytes(range(1, 9)) + bytes(8), None]


# --------------------------------------------------------------------------- bodies


@pytest.mark.parametrize(
    ("msg", "body"),
    [
        ({"a": 1, "b": [1, None]}, {"a": 1, "b": [1, None]}),
        (["a", {"b": 2.5}], ["a", {"b": 2.5}]),
        (("a",), ["a"]),
        ({}, {}),
        ("text", "text"),
        (b"bytes", "b'bytes'"),
        (5, "5"),
        (None, "None"),
    ],
)
def test_structured_bodies_stay_structured(msg: Any, body: Any) -> None:
    """Mappings and lists are JSON in the event; all else is text as always."""
    session = MemorySession()
    logger_with(handler_on(session, structured_body=True)).info(msg)
    assert session.logs()[0].body == body


def test_a_structured_body_needs_a_message_alone() -> None:
    """Arguments make a text of it, and so does a formatter."""
    session = MemorySession()
    handler = handler_on(session, structured_body=True)
    logger = logger_with(handler)
    logger.info("%(a)s", {"a": 1})
    handler.setFormatter(logging.Formatter("<%(message)s>"))
    logger.info({"a": 1})
    assert [item.body for item in session.logs()] == ["1", "<{'a': 1}>"]


# --------------------------------------------------------------------------- nobody listens


@pytest.mark.parametrize("level", [None, 3])
def test_nothing_is_formatted_when_nobody_listens(level: int | None) -> None:
    """Neither arguments nor attributes nor a formatter are touched; the record is counted as skipped."""

    class Never(logging.Formatter):
        def format(self, record: logging.LogRecord) -> str:
            raise AssertionError("formatted")

    session = MemorySession(level)
    handler = handler_on(session)
    handler.setFormatter(Never())
    counted = Counted()
    logger_with(handler).info("%s", counted, extra={"counted": counted})
    assert (counted.times, handler.stats.skipped, handler.stats.lost) == (0, 1, 0)
    session.level = 255
    handler.setFormatter(None)
    logger_with(handler).info("%s", counted)
    assert (counted.times, handler.stats.written) == (1, 1)


# --------------------------------------------------------------------------- trouble


def test_hostile_records_raise_nothing_and_all_are_written(capfd: pytest.CaptureFixture[str]) -> None:
    """What cannot be made text has a stand-in; logging prints no traceback of ours."""
    extras: list[dict[Any, Any]] = [
        {"lone \ud800": "\udfff", "nul\0": "\0", "": "empty"},
        {"long": "x" * 10_000_000},
        {"cycle": CYCLE, "map": {"self": CYCLE}},
        {"hostile": Hostile(), "inside": [{"deep": Hostile(OSError)}], "key": {Hostile(): 1}},
        {Hostile(): 1, 5: Hostile(RecursionError)},
        {f"key {number}": "v" * 100 for number in range(20_000)},
        {"otel.event.name": Hostile(), "digits": 10**10_000},
        {"event.name": ["not", "hashable"]},
    ]
    session = MemorySession()
    handler = handler_on(session, log_code_attributes=True)
    logger = logger_with(handler)
    for extra in extras:
        logger.warning("hostile extra", extra=extra)
    for msg, args in [
        ("%d", ("text",)),
        ("%s", (Hostile(),)),
        ("%s %s", ("one",)),
        ("x" * 10_000_000, ()),
        (Hostile(), ()),
        ("%(name)s", (5,)),
        ("\ud800", ()),
    ]:
        logger.warning(msg, *args)
    assert handler.stats.written == len(extras) + 7
    assert not handler.stats.dropped
    items = session.logs()
    assert len(items) == len(extras) + 7
    assert items[len(extras)].body == "%d"
    assert capfd.readouterr().err == ""


def test_one_hostile_value_costs_only_itself() -> None:
    """All else of the record is what it would be without; the SDK's limits hold too."""
    session = MemorySession()
    logger = logger_with(handler_on(session, log_code_attributes=True))
    try:
        raise ValueError(Hostile())
    except ValueError:
        logger.exception("failed %s", "badly", extra={"user": "ann", "bad": CYCLE, "list": [1]})
    (item,) = session.logs()
    assert item.body == "failed badly"
    assert item.attributes["exception.type"] == "ValueError"
    assert item.attributes["exception.message"] == "Hostile"
    assert "ValueError: <exception str() failed>" in item.attributes["exception.stacktrace"]
    expected = {
        "user": "ann",
        "bad": ["(contains itself)"],
        "list": [1],
        "code.function.name": item.attributes["code.function.name"],
    }
    assert {key: item.attributes[key] for key in expected} == expected


def test_limits_hold_for_hostile_records(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_ATTRIBUTE_COUNT_LIMIT", "2")
    monkeypatch.setenv("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "3")
    session = MemorySession()
    extra = {"first": 1, "bad": CYCLE, "last": "abcdef"}
    logger_with(handler_on(session)).info("x", extra=extra)
    assert session.logs()[0].attributes == {"bad": ["(contains itself)"], "last": "abc"}


@pytest.mark.parametrize(
    "exc_info", [True, (1, 2), ("kind", "error", "trace"), (int, Hostile(), None), "text"]
)
def test_exception_information_that_is_none(exc_info: Any) -> None:
    session = MemorySession()
    handler = handler_on(session)
    record = logging.makeLogRecord({"msg": "odd", "levelno": 20, "exc_info": exc_info, "user": "ann"})
    handler.handle(record)
    assert session.logs()[0].attributes["user"] == "ann"


class BrokenSpan(trace.NonRecordingSpan):
    def get_span_context(self) -> trace.SpanContext:
        raise RuntimeError("no context")


def test_times_and_spans_that_are_none() -> None:
    """A record has the time at which it is written then, and no ids."""
    session = MemorySession()
    handler = handler_on(session)
    before = time.time_ns()
    handler.handle(logging.makeLogRecord({"msg": "odd", "levelno": 20, "created": float("nan")}))
    with trace.use_span(BrokenSpan(trace.INVALID_SPAN_CONTEXT)):
        logger_with(handler).info("%s", "broken")
    odd, broken = session.logs()
    assert before <= odd.time_unix_nano <= time.time_ns()
    assert (broken.body, broken.trace_id) == ("broken", None)


def test_a_failing_formatter_costs_only_its_text() -> None:
    class Broken(logging.Formatter):
        def format(self, record: logging.LogRecord) -> str:
            raise KeyError("no such field")

    session = MemorySession()
    handler = handler_on(session)
    handler.setFormatter(Broken())
    logger_with(handler).info("user %s", "ann", extra={"a": 1})
    (item,) = session.logs()
    assert (item.body, item.attributes) == ("user ann", {"a": 1})


def test_what_was_written_in_part_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    handler = handler_on(MemorySession())
    logger = logger_with(handler)
    for _ in range(3):
        logger.info("%d", "text")
    (line,) = [line for line in caplog.records if line.name == "otel_etw"]
    assert "TypeError" in line.getMessage()
    assert handler.stats.written == 3


@pytest.mark.parametrize("nonsense", [object(), None, logging.makeLogRecord({"levelno": "INFO"})])
def test_what_is_no_record_is_counted(nonsense: Any) -> None:
    handler = handler_on(MemorySession())
    handler.handle(nonsense)
    assert handler.stats.dropped == {"not encodable": 1}


def test_a_full_stack_costs_the_record_only() -> None:
    """Logging at the bottom of a recursion raises nothing; the handler works again afterwards."""
    session = MemorySession()
    handler = handler_on(session)
    deepest = 0

    def dive(depth: int) -> None:
        nonlocal deepest
        deepest = depth
        handler.handle(
            logging.makeLogRecord({"msg": "%s", "args": ("deep",), "levelno": 20, "levelname": "INFO"})
        )
        dive(depth + 1)

    with pytest.raises(RecursionError):
        dive(1)
    before = handler.stats.written
    logger_with(handler).info("after")
    assert session.logs()[-1].body == "after"
    assert handler.stats.written == before + 1
    assert before <= deepest


def test_an_interrupt_reaches_the_application_and_the_handler_goes_on() -> None:
    """KeyboardInterrupt and its like are not ours to keep."""
    session = MemorySession()
    logger = logger_with(handler_on(session))
    with pytest.raises(KeyboardInterrupt):
        logger.info("%s", Hostile(KeyboardInterrupt))
    logger.info("after")
    assert [item.body for item in session.logs()] == ["after"]


@pytest.mark.parametrize(("status", "reason"), [(8, "status 8"), (234, "status 234")])
def test_refused_writes_are_counted(status: int, reason: str) -> None:
    session = MemorySession()
    session.status = status
    handler = handler_on(session)
    for _ in range(5):
        logger_with(handler).info("x")
    assert handler.stats.dropped == {reason: 5}


def test_records_that_fit_no_event() -> None:
    """Cut by default, dropped where that is asked for; both are counted."""
    for oversize, stats in [("truncate", (4, 4, {})), ("drop", (0, 0, {"too large": 4}))]:
        handler = handler_on(MemorySession(max_event_bytes=2000), oversize=oversize)
        for _ in range(4):
            logger_with(handler).info("x" * 5000)
        assert (handler.stats.written, handler.stats.truncated, handler.stats.dropped) == stats


# --------------------------------------------------------------------------- re-entrancy


def test_a_record_made_while_handling_one_is_dropped_and_counted() -> None:
    session = MemorySession()
    handler = handler_on(session)
    logger = logger_with(handler)

    class Chatty:
        def __str__(self) -> str:
            logger.info("inside %s", self)
            return "outside"

    logger.info("%s", Chatty())
    logger.info("plain", extra={"chatty": Chatty()})
    assert [item.body for item in session.logs()] == ["outside", "plain"]
    assert (handler.stats.written, handler.stats.dropped) == (2, {"re-entrant": 2})


def test_the_sdks_warnings_about_a_record_do_not_come_back(root: Callable[[logging.Handler], None]) -> None:
    """Cleaning an attribute logs a warning, which reaches the same handler at the root."""
    session = MemorySession()
    handler = handler_on(session)
    root(handler)
    log = logging.getLogger("shop")
    log.warning("odd", extra={"": 1})
    assert [item.body for item in session.logs()] == ["odd"]
    assert handler.stats.dropped == {"re-entrant": 1}


def test_our_own_lines_do_not_loop(
    root: Callable[[logging.Handler], None], caplog: pytest.LogCaptureFixture
) -> None:
    """What we say about a record is said once, to other handlers, and never through this one."""
    session = MemorySession()
    handler = handler_on(session)
    root(handler)
    log = logging.getLogger("shop")
    for _ in range(3):
        log.warning("odd", extra={"bad": CYCLE})
    assert [item.body for item in session.logs()] == ["odd"] * 3
    assert [line.name for line in caplog.records].count("otel_etw") == 1
    nested = handler.stats.lost  # the SDK's own warnings
    session.status = 8
    for _ in range(3):
        log.warning("refused")
    assert handler.stats.dropped["status 8"] == 3
    assert handler.stats.lost == nested + 3 + 1  # and our line about it


def test_two_handlers_hear_each_others_nested_records() -> None:
    """Each is closed only to what it is handling itself, and the exchange ends."""
    one, two = MemorySession(), MemorySession()
    logger = logger_with(handler_on(one), handler_on(two))

    class Chatty:
        def __str__(self) -> str:
            logger.info("inside")
            return "outside"

    logger.info("%s", Chatty())
    assert [item.body for item in one.logs()] == ["outside", "inside"]
    assert [item.body for item in two.logs()] == ["inside", "outside"]


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="there are no interval timers on this system")
def test_a_signal_handler_may_log_at_any_time() -> None:
    """A record of a signal handler is written or counted; nothing waits for ever."""
    session = MemorySession()
    handler = handler_on(session)
    logger = logger_with(handler)
    signals = 0

    def on_alarm(*_: object) -> None:
        nonlocal signals
        signals += 1
        logger.warning("signal")

    before = signal.signal(signal.SIGALRM, on_alarm)
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    lines = 0
    try:
        while signals < 100 and lines < 10_000_000:
            logger.info("user %s", "ann", extra={"list": [1]})
            lines += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    stats = handler.stats
    assert set(stats.dropped) <= {"re-entrant"}
    assert stats.written + stats.lost == lines + signals


# --------------------------------------------------------------------------- threads


def test_a_thread_that_is_held_up_holds_up_no_other() -> None:
    """The handler has no lock: while one thread formats, another logs."""
    session = MemorySession()
    logger = logger_with(handler_on(session))
    entered, leave = threading.Event(), threading.Event()

    class Slow:
        def __str__(self) -> str:
            entered.set()
            leave.wait(30)
            return "slow"

    slow = threading.Thread(target=logger.info, args=("%s", Slow()))
    slow.start()
    assert entered.wait(30)
    logger.info("meanwhile")
    assert [item.body for item in session.logs()] == ["meanwhile"]
    leave.set()
    slow.join(30)
    assert [item.body for item in session.logs()] == ["meanwhile", "slow"]


def test_eight_threads_write_all_their_records_in_order(tmp_path: Path) -> None:
    threads, records = 8, 1500
    with EtlSession(tmp_path / "threads.etl") as session:
        handler = handler_on(session)
        logger = logger_with(handler)
        start = threading.Barrier(threads)

        def work(thread: int) -> None:
            start.wait(30)
            for number in range(records):
                logger.info(
                    "record %d",
                    number,
                    extra={"worker": thread, "odd": [number] if number % 7 == 0 else number},
                )

        workers = [threading.Thread(target=work, args=(thread,)) for thread in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        handler.close()
    assert handler.stats.written == threads * records
    found: dict[Any, list[Any]] = {}
    with open_etl(tmp_path / "threads.etl") as etl:
        for event in etl:
            item = decode_log(event.values, -1) if event.kind == "event" else None
            if item is not None:
                found.setdefault(item.attributes["worker"], []).append(item.body)
    assert found == {thread: [f"record {number}" for number in range(records)] for thread in range(threads)}


# --------------------------------------------------------------------------- the machinery of logging


def test_logging_finds_no_lock_where_it_looks_for_one() -> None:
    """acquire() and release() do nothing, nor is there anything to mend after a fork."""
    handler = handler_on(MemorySession())
    handler.acquire()
    handler.acquire()
    handler.release()
    handler.handle(logging.makeLogRecord({"msg": "x", "levelno": 20, "levelname": "INFO"}))
    assert handler.lock is None
    assert handler.stats.written == 1


def test_filters_of_the_handler_apply() -> None:
    """They refuse records, add to them, and since Python 3.12 put others in their place."""
    session = MemorySession()
    handler = handler_on(session)

    def annotate(record: logging.LogRecord) -> bool:
        record.user = "ann"
        return record.getMessage() != "refused"

    handler.addFilter(annotate)
    logger = logger_with(handler)
    logger.info("refused")
    logger.info("passed")
    assert [(item.body, item.attributes) for item in session.logs()] == [("passed", {"user": "ann"})]
    if sys.version_info >= (3, 12):
        other = logging.makeLogRecord({"msg": "other", "levelno": 20, "levelname": "INFO"})
        handler.addFilter(lambda record: other)
        logger.info("replaced")
        assert session.logs()[-1].body == "other"
    record = logging.makeLogRecord({"msg": "refused", "levelno": 20})
    assert not handler.handle(record)


def test_close_is_idempotent_and_final(caplog: pytest.LogCaptureFixture) -> None:
    session = MemorySession()
    handler = handler_on(session)
    logger = logger_with(handler)
    logger.info("x")
    handler.flush()
    assert session.holders == 1
    for _ in range(3):
        handler.close()
    assert session.holders == 0
    for _ in range(3):
        logger.info("too late")
    assert (handler.stats.written, handler.stats.dropped) == (1, {"shut down": 3})
    assert len(caplog.records) == 1


def test_logging_shutdown_closes_handlers() -> None:
    session = MemorySession()
    handler = handler_on(session)
    logging.shutdown()
    assert session.holders == 0
    logger_with(handler).info("too late")
    assert handler.stats.dropped == {"shut down": 1}


def processed(reader: InMemoryMetricReader) -> dict[object, object]:
    """Records processed by handlers, by type of error."""
    data = reader.get_metrics_data()
    assert data is not None
    return {
        (point.attributes or {}).get("error.type"): point.value  # type: ignore[union-attr]
        for resource_metrics in data.resource_metrics
        for scope_metrics in resource_metrics.scope_metrics
        for metric in scope_metrics.metrics
        for point in metric.data.data_points
        if metric.name == "otel.sdk.processor.log.processed"
        and (point.attributes or {})["otel.component.type"] == "etw_log_handler"
    }


def test_self_observation(monkeypatch: pytest.MonkeyPatch) -> None:
    """What became of the records is published as the SDK's processors publish it."""
    monkeypatch.setenv("OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED", "true")
    reader = InMemoryMetricReader()
    meter_provider = MeterProvider([reader])
    handler = handler_on(MemorySession(), meter_provider=meter_provider)
    logger = logger_with(handler)
    logger.info("one")
    logger.info("two")
    assert processed(reader) == {None: 2}
    logger.info("three")
    handler.close()
    del handler, logger  # whose counts stay readable
    gc.collect()
    assert processed(reader) == {None: 3}
    meter_provider.shutdown()


def test_chosen_resource_attributes_are_written() -> None:
    session = MemorySession()
    handler = handler_on(session, resource_attributes=["host.name"])
    logger_with(handler).info("x")
    (item,) = session.logs()
    assert (item.service_name, item.service_instance_id) == ("shop", "one")
    assert item.attributes == {"host.name": "h1"}
