"""EtwHandler writes the bytes that the SDK's way to EtwLogRecordProcessor would write."""

from __future__ import annotations

import logging
import os
import sys
from collections import UserDict
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any
from unittest import mock
from uuid import UUID

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from opentelemetry import context, trace

from logging_oracle import ORACLE_IS_NEWEST, assert_same_bytes

needs_newest = pytest.mark.skipif(
    not ORACLE_IS_NEWEST, reason="the installed opentelemetry-instrumentation-logging does not do this yet"
)


def record(
    msg: Any = "user %s did %s",
    args: Any = ("ann", "pay"),
    *,
    level: int = logging.INFO,
    extra: dict[Any, Any] | None = None,
    exc_info: Any = None,
) -> logging.LogRecord:
    return logging.getLogger("shop").makeRecord(
        "shop", level, "/srv/shop.py", 17, msg, args, exc_info, "pay", extra
    )


def raised(error: BaseException) -> Any:
    try:
        raise error
    except BaseException:
        return sys.exc_info()


@contextmanager
def span(trace_id: int, span_id: int) -> Iterator[None]:
    """An active span with these ids."""
    span_context = trace.SpanContext(trace_id, span_id, is_remote=False)
    token = context.attach(trace.set_span_in_context(trace.NonRecordingSpan(span_context)))
    try:
        yield
    finally:
        context.detach(token)


class Stringlike(str):
    """Text that is not exactly ``str``."""


class Colour:
    def __str__(self) -> str:
        return "blue"


class Nameless:
    """An object without a text of its own."""


# --------------------------------------------------------------------------- one by one


@pytest.mark.parametrize("level", [*range(8, 57), -1, 0, 1, 100, 10**6])
def test_every_level_has_the_severity_that_the_sdk_gives_it(level: int) -> None:
    if level == logging.CRITICAL and not ORACLE_IS_NEWEST:
        pytest.skip("the installed opentelemetry-instrumentation-logging calls it by another name")
    assert_same_bytes(record(level=level))


@pytest.mark.parametrize(
    "extra",
    [
        {},
        {"user": "ann", "kind": "card", "place": "Ulm", "note": "ok"},
        {"number": 7, "big": 2**70, "negative": -(2**63), "ratio": 0.1, "nan": float("nan"), "yes": True},
        {"none": None, "raw": b"\x00\xff", "array": bytearray(b"ab"), "view": memoryview(b"ab")},
        {
            "list": [1, "a", None],
            "tuple": (1.5, True),
            "nested": {"a": {"b": [1, {"c": None}]}},
            "range": range(3),
        },
        {"mapping": UserDict({"a": 1}), "keys": {1: "one", None: 2, "": 3, Colour(): 4, Nameless(): 5}},
        {"date": datetime(2026, 1, 2, tzinfo=timezone.utc), "decimal": Decimal("1.5"), "id": UUID(int=1)},
        {"set": {1}, "type": int, "odd": Nameless, "colour": Colour(), "text": Stringlike("text")},
        {"bool": True, "enum": logging.INFO, "complex": 1j, "error": ValueError("v")},
        {"": "no name"},
        {5: "not text", 0: "nor this", Colour(): 1, Stringlike("key"): 2, None: 3},
        {"nul\0inside": "value\0inside", "umlaut ä": "ä", "lone \ud800": "surrogate \udfff"},
        {"event_id": 42, "user": "ann"},
        {"event_id": "not a number", "service.name": "other"},
        {f"key{number}": number for number in range(127)},
        {f"key{number}": number for number in range(128)},
        {f"key{number}": number for number in range(200)},
        {"long": "x" * 70_000, "longer": "ä" * 70_000},
        {"taskName": "reserved", "processName": "reserved", "getMessage": "reserved"},
    ],
)
def test_extra_becomes_attributes_as_the_sdk_cleans_them(extra: dict[Any, Any]) -> None:
    made = record()
    vars(made).update(extra)  # some of these names logging would refuse in `extra`
    if "getMessage" in extra:
        del made.getMessage
    assert_same_bytes(made)


def test_a_record_that_was_not_made_by_logrecord_has_the_same_attributes() -> None:
    """Unpickled, rebuilt or trimmed records, whose names stand in another order."""

    class Early(logging.LogRecord):
        def __init__(self, *arguments: Any) -> None:
            self.early = "first"
            super().__init__(*arguments)

    trimmed = record(extra={"user": "ann"})
    del trimmed.exc_text
    trimmed.exc_text = None
    rebuilt = logging.makeLogRecord({"user": "ann", **vars(record(extra={"kind": "card"}))})
    early = Early("shop", 20, "/srv/shop.py", 17, "hello", (), None)
    early.user = "ann"
    backwards = logging.makeLogRecord({})
    everything = list(vars(record(extra={"user": "ann"})).items())
    vars(backwards).clear()
    vars(backwards).update(reversed(everything))
    assert_same_bytes(trimmed, rebuilt, early, backwards)


@needs_newest
@pytest.mark.parametrize(
    "extra",
    [
        {"otel.event.name": "paid"},
        {"event.name": "paid", "a": 1},
        {"a": 1, "otel.event.name": "new", "event.name": "old", "b": 2},
        {"otel.event.name": None, "event.name": "old"},
        {"otel.event.name": "", "event.name": "old"},
        {"otel.event.name": 5},
        {"otel.event.name": ["a", "list"]},
        {"otel.event.name": Colour()},
        {"event.name": "x" * 70_000},
    ],
)
def test_event_names_are_promoted(extra: dict[str, Any]) -> None:
    events = assert_same_bytes(record(extra=extra))
    assert b"event.name\0" not in events[0].metadata


@pytest.mark.parametrize(
    ("msg", "args"),
    [
        ("100% sure", ()),
        ("user %s did %s", ("ann", "pay")),
        ("user %(user)s", ({"user": "ann"},)),
    ],
)
def test_arguments_are_formatted_as_logging_does(msg: str, args: Any) -> None:
    assert_same_bytes(record(msg, args))


@needs_newest
@pytest.mark.parametrize(
    "msg",
    [5, None, {"a": 1}, ["list"], b"bytes", Colour(), ValueError("v"), "lone \ud800"],
    ids=lambda msg: type(msg).__name__,
)
def test_a_message_of_any_type_becomes_its_text(msg: Any) -> None:
    assert_same_bytes(record(msg, ()))


class Tinted(logging.Formatter):
    """Changes the record while it formats, as formatters with colours do."""

    def format(self, record: logging.LogRecord) -> str:
        record.levelname = f"<{record.levelname}>"
        record.tinted = True
        return super().format(record)


class Structured(logging.Formatter):
    """Answers with something that is no text, as formatters for JSON handlers do."""

    def format(self, record: logging.LogRecord) -> Any:
        return {"message": record.getMessage(), "level": record.levelno}


@pytest.mark.parametrize(
    "formatter",
    [
        logging.Formatter("%(asctime)s %(levelname)s %(message)s"),
        logging.Formatter("{message} {user}", style="{", defaults={"user": "nobody"}),
        pytest.param(Tinted("%(levelname)s %(message)s"), marks=needs_newest),
        Structured(),
    ],
)
def test_a_formatter_makes_the_body(formatter: logging.Formatter) -> None:
    assert_same_bytes(
        record(extra={"user": "ann"}),
        record("failed", (), exc_info=raised(KeyError("k"))),
        formatter=formatter,
    )


class Wordless(Exception):
    """Has no arguments."""


@pytest.mark.parametrize(
    "exc_info",
    [
        raised(ValueError("too much", 5)),
        raised(Wordless()),
        raised(KeyError(("a", 1))),
        raised(OSError(2, "no such file", "a.txt")),
        (None, None, None),
        (ValueError, None, None),
        (ValueError, ValueError("never raised"), None),
        (),
    ],
)
@pytest.mark.parametrize("log_code_attributes", [False, True])
def test_exceptions_become_attributes(exc_info: Any, log_code_attributes: bool) -> None:
    extra = {"exception.type": "mine", "code.line.number": "mine", "last": 1}
    assert_same_bytes(
        record(exc_info=exc_info),
        record(exc_info=exc_info, extra=extra),
        log_code_attributes=log_code_attributes,
    )


def test_a_chained_exception_has_its_whole_trace() -> None:
    try:
        try:
            raise ValueError("first")
        except ValueError as error:
            raise RuntimeError("second") from error
    except RuntimeError:
        events = assert_same_bytes(record(exc_info=sys.exc_info()))
    assert b"direct cause" in events[0].payload


def test_code_attributes_are_added_where_asked_for() -> None:
    odd = record(extra={"code.function.name": "mine"})
    odd.pathname = None  # type: ignore[assignment]
    odd.lineno = "17"  # type: ignore[assignment]
    events = assert_same_bytes(record(), odd, log_code_attributes=True)
    assert b"/srv/shop.py" in events[0].payload


@pytest.mark.parametrize("activity_id", [None, "trace", "span"])
def test_the_active_spans_ids_are_written(activity_id: Any) -> None:
    for ids in [(0, 0), (1, 2), (2**128 - 1, 2**64 - 1)]:
        with span(*ids):
            assert_same_bytes(record(), activity_id=activity_id)
    token = context.attach(context.set_value("something else", 1))
    assert_same_bytes(record(), activity_id=activity_id)
    context.detach(token)


def test_arguments_of_both_mean_the_same() -> None:
    assert_same_bytes(
        record(extra={"user": "ann"}),
        keyword=0x80,
        mark_utf8=True,
        resource_attributes=["host.name"],
    )


LIMITS = [
    {"OTEL_ATTRIBUTE_COUNT_LIMIT": "3"},
    {"OTEL_ATTRIBUTE_COUNT_LIMIT": "0"},
    {"OTEL_ATTRIBUTE_COUNT_LIMIT": ""},
    {"OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": "2"},
    {"OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": "0"},
    {"OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT": "2", "OTEL_ATTRIBUTE_COUNT_LIMIT": "1"},
    {"OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT": "", "OTEL_ATTRIBUTE_COUNT_LIMIT": "1"},
    {"OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT": "3", "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": "1"},
]


@pytest.mark.parametrize("limits", LIMITS)
@pytest.mark.parametrize("log_code_attributes", [False, True])
def test_the_sdks_limits_apply(
    limits: dict[str, str], log_code_attributes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest attributes go, and the ends of texts, nested ones included."""
    for name, value in limits.items():
        monkeypatch.setenv(name, value)
    assert_same_bytes(
        *(record(extra={"text": "x" * length}) for length in range(6)),
        *(record(extra=dict.fromkeys("abcdef"[:count], 1)) for count in range(6)),
        record(extra={"one": "1" * 5}),
        record(extra={"one": "1" * 5, "two": ["22222", {"a": "33333"}], "three": Colour(), "four": 4.0}),
        record(extra={"one": "1" * 5, "two": 2}, exc_info=raised(ValueError("too long"))),
        log_code_attributes=log_code_attributes,
    )


# --------------------------------------------------------------------------- generated

texts = st.text(st.characters(), max_size=12)
scalars = st.one_of(
    texts,
    st.integers(),
    st.floats(),
    st.booleans(),
    st.none(),
    st.binary(max_size=8),
    st.sampled_from([Colour(), Nameless, Decimal("1.50"), UUID(int=7), Stringlike("s"), logging.INFO, 1j]),
)
keys = st.one_of(texts, st.sampled_from(["a", "b", "event_id", "exception.type", "code.file.path"]))
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(st.one_of(keys, st.integers(), st.none()), inner, max_size=4),
    ),
    max_leaves=6,
)
plain_values = st.one_of(texts, st.integers(-(2**64), 2**64), st.floats(), st.booleans())
extras = st.one_of(
    st.dictionaries(keys, plain_values, max_size=6),
    st.dictionaries(st.one_of(keys, st.integers(), st.booleans()), values, max_size=6),
)
event_names = st.dictionaries(st.sampled_from(["otel.event.name", "event.name"]), st.one_of(texts, scalars))
messages = st.one_of(
    st.tuples(texts, st.just(())),
    st.tuples(st.just("%s and %r"), st.tuples(scalars, scalars)),
    st.tuples(st.just("%(a)s"), st.just(({"a": 1},))),
)
exceptions = st.one_of(
    st.none(),
    st.lists(scalars, max_size=2).map(lambda arguments: raised(ValueError(*arguments))),
    st.just((None, None, None)),
)
limit_texts = st.one_of(st.just(""), st.integers(0, 5).map(str))
limits = st.dictionaries(
    st.sampled_from(
        [
            "OTEL_ATTRIBUTE_COUNT_LIMIT",
            "OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT",
            "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT",
            "OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT",
        ]
    ),
    limit_texts,
)
formatters = st.sampled_from([None, None, logging.Formatter("%(name)s: %(message)s"), Structured()])
spans = st.one_of(st.none(), st.tuples(st.integers(0, 2**128 - 1), st.integers(0, 2**64 - 1)))
levels = st.one_of(st.sampled_from([10, 20, 30, 40, 50]), st.integers(-5, 120))


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(
    message=messages,
    level=levels,
    extra=extras,
    event_name=event_names,
    exc_info=exceptions,
    limits=limits,
    formatter=formatters,
    active=spans,
    code=st.booleans(),
    times=st.integers(1, 5),
)
def test_any_record_has_the_same_bytes_both_ways(
    message: tuple[Any, Any],
    level: int,
    extra: dict[Any, Any],
    event_name: dict[str, Any],
    exc_info: Any,
    limits: dict[str, str],
    formatter: logging.Formatter | None,
    active: tuple[int, int] | None,
    code: bool,
    times: int,
) -> None:
    """Records of any level, arguments, extra, exception, formatter, span and limits; several times, so that
    generated encoders are met as well."""
    if not ORACLE_IS_NEWEST:
        assume(not event_name and level != logging.CRITICAL)
    made = record(message[0], message[1], level=level, exc_info=exc_info)
    reserved = set(vars(made)) | {"message", "asctime", "taskName", "getMessage"}
    vars(made).update({key: value for key, value in {**extra, **event_name}.items() if key not in reserved})
    with mock.patch.dict(os.environ, limits), span(*active) if active else mock.patch.dict(os.environ):
        assert_same_bytes(*[made] * times, formatter=formatter, log_code_attributes=code)
