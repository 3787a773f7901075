"""The attributes of a standard library log record, as the SDK would have them.

What ``opentelemetry-instrumentation-logging`` takes from a record (``extra`` without the names reserved by
:mod:`logging`, code and exception attributes, the event name out of them) and what the SDK's log record then
keeps of it (its limits and its cleaning).  Both follow their newest versions known here, 0.66b2 and 1.45.2.

Most records have a few attributes that are text or numbers and need no cleaning: those are taken out in one
pass.  All others go through the SDK's own ``BoundedAttributes``, so that odd values come out as they do
there, whichever version is installed.
"""

from __future__ import annotations

import inspect
import logging
import traceback
from collections.abc import Mapping
from typing import Any, NamedTuple

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk._logs import LogRecordLimits

from otel_etw.layouts.plain_text import text_of

_logger = logging.getLogger("otel_etw")

# What logging itself puts into a record: names that are no attributes.
_RESERVED = frozenset(
    (
        "args",
        "asctime",
        "created",
        "exc_info",
        "exc_text",
        "filename",
        "funcName",
        "getMessage",
        "levelname",
        "levelno",
        "lineno",
        "message",
        "module",
        "msecs",
        "msg",
        "name",
        "pathname",
        "process",
        "processName",
        "relativeCreated",
        "stack_info",
        "taskName",
        "thread",
        "threadName",
    )
)

# The names that every record of this Python starts with, in order; what follows them is `extra`.
_FIRST_NAMES = list(vars(logging.LogRecord("", logging.NOTSET, "", 0, "", (), None)))
_FIRST_COUNT = len(_FIRST_NAMES)

# Exact types whose values the SDK's cleaning leaves alone (text only up to the length limit), and of names.
_PLAIN_TYPES = frozenset((str, int, float, bool))
_TEXT = frozenset((str,))

# Names of the semantic conventions.
_EVENT_NAME = "otel.event.name"
_OLD_EVENT_NAME = "event.name"
_CODE_FILE_PATH = "code.file.path"
_CODE_FUNCTION_NAME = "code.function.name"
_CODE_LINE_NUMBER = "code.line.number"
_EXCEPTION_TYPE = "exception.type"
_EXCEPTION_MESSAGE = "exception.message"
_EXCEPTION_STACKTRACE = "exception.stacktrace"

_NOT_PLAIN_NAMES = _RESERVED | {_EVENT_NAME, _OLD_EVENT_NAME, ""}

_DEFAULT_MAX_COUNT = 128

# Older SDKs clean by other rules unless told so; in newer ones the argument is about to go.
_EXTENDED: dict[str, Any] = (
    {"extended_attributes": True}
    if "extended_attributes" in inspect.signature(BoundedAttributes).parameters
    else {}
)


class AttributeLimits(NamedTuple):
    """Most attributes of a record, and most characters of a text in them; ``None``: no limit."""

    max_count: int | None = _DEFAULT_MAX_COUNT
    max_text_chars: int | None = None

    @classmethod
    def from_environment(cls) -> AttributeLimits:
        """What the SDK's ``LogRecordLimits`` reads: ``OTEL_ATTRIBUTE_*``, ``OTEL_LOGRECORD_ATTRIBUTE_*``.

        A value that it refuses is logged, and its defaults used: an application must start without it too.
        """
        try:
            limits = LogRecordLimits()
        except ValueError as error:
            _logger.warning("attribute limits: %s; using the defaults", error)
            return cls()
        # Older SDKs know only the limits of all signals.
        return cls(
            getattr(limits, "max_log_record_attributes", limits.max_attributes),
            getattr(limits, "max_log_record_attribute_length", limits.max_attribute_length),
        )


class AttributeRules:
    """Takes the attributes and the event name out of records.

    :param code_attributes: add the ``code.*`` attributes: file, function and line of the logging call.
    """

    def __init__(self, limits: AttributeLimits, *, code_attributes: bool = False) -> None:
        self._max_count, self._max_text_chars = limits
        self._code_attributes = code_attributes
        # With how many names a record has no attributes too many, and no text needs measuring; none at all
        # where every record has to be looked at.
        self._max_plain_names = _FIRST_COUNT + (2**31 if limits.max_count is None else limits.max_count)
        if code_attributes or limits.max_text_chars is not None:
            self._max_plain_names = -1

    def take(self, record: logging.LogRecord) -> tuple[dict[str, Any], Any]:
        """The record's attributes and event name (any object; ``None`` if it has none).

        Raises whatever the application's own objects raise; then there is :meth:`salvage`.
        """
        everything = record.__dict__
        names = list(everything)
        if names[:_FIRST_COUNT] != _FIRST_NAMES or len(names) > self._max_plain_names or record.exc_info:
            return self._take_any(record)
        attributes: dict[str, Any] = {}
        for name in names[_FIRST_COUNT:]:
            if name in _NOT_PLAIN_NAMES:
                if name in _RESERVED:
                    continue
                return self._take_any(record)
            value = everything[name]
            kind = type(value)
            if (kind is not str and kind not in _PLAIN_TYPES) or type(name) is not str:
                return self._take_any(record)
            attributes[name] = value
        return attributes, None

    def salvage(self, record: logging.LogRecord) -> tuple[dict[str, Any], Any]:
        """As :meth:`take`, for a record some of whose objects raise; the others are as they would be.

        A value that the SDK cannot clean is left to the encoder, which has a text for any object.
        """
        attributes = _extra(record)
        event_name = _take_event_name(attributes)
        if self._code_attributes:
            attributes.update(_code_attributes(record))
        try:
            attributes.update(_exception_attributes(record))
        except Exception:  # noqa: BLE001 - the exception itself, or its arguments, cannot be made text
            attributes.update(_salvaged_exception(record))
        kept: dict[str, Any] = {}
        for key, value in attributes.items():
            try:
                kept.update(self._cleaned({key: value}))
            except Exception:  # noqa: BLE001 - whatever the application's object raises
                kept[text_of(key)] = value
        surplus = 0 if self._max_count is None else max(len(kept) - self._max_count, 0)
        return dict(list(kept.items())[surplus:]), event_name

    def _take_any(self, record: logging.LogRecord) -> tuple[dict[str, Any], Any]:
        attributes = _extra(record)
        event_name = _take_event_name(attributes)
        if self._code_attributes:
            attributes.update(_code_attributes(record))
        attributes.update(_exception_attributes(record))
        is_plain = (
            "" not in attributes
            and _TEXT.issuperset(map(type, attributes))
            and _PLAIN_TYPES.issuperset(map(type, attributes.values()))
        )
        if is_plain and self._is_within_limits(attributes):
            return attributes, event_name
        return self._cleaned(attributes), event_name

    def _is_within_limits(self, attributes: dict[str, Any]) -> bool:
        if self._max_count is not None and len(attributes) > self._max_count:
            return False
        longest = self._max_text_chars
        return longest is None or not any(
            type(value) is str and len(value) > longest for value in attributes.values()
        )

    def _cleaned(self, attributes: Mapping[str, Any]) -> dict[str, Any]:
        bounded = BoundedAttributes(
            maxlen=self._max_count,
            attributes=attributes,
            immutable=False,
            max_value_len=self._max_text_chars,
            **_EXTENDED,
        )
        return dict(bounded.items())


def _extra(record: logging.LogRecord) -> dict[str, Any]:
    return {name: value for name, value in vars(record).items() if name not in _RESERVED}


def _take_event_name(attributes: dict[str, Any]) -> Any:
    """Both names go, whichever counts."""
    event_name = attributes.pop(_EVENT_NAME, None)
    old_event_name = attributes.pop(_OLD_EVENT_NAME, None)
    return old_event_name if event_name is None else event_name


def _code_attributes(record: logging.LogRecord) -> dict[str, Any]:
    return {
        _CODE_FILE_PATH: record.pathname,
        _CODE_FUNCTION_NAME: record.funcName,
        _CODE_LINE_NUMBER: record.lineno,
    }


def _exception_attributes(record: logging.LogRecord) -> dict[str, Any]:
    attributes: dict[str, Any] = {}
    if not record.exc_info:
        return attributes
    kind, error, trace = record.exc_info
    if kind is not None:
        attributes[_EXCEPTION_TYPE] = kind.__name__
    if error is not None and error.args:
        attributes[_EXCEPTION_MESSAGE] = str(error.args[0])
    if trace is not None:
        attributes[_EXCEPTION_STACKTRACE] = "".join(traceback.format_exception(kind, error, trace))
    return attributes


def _salvaged_exception(record: logging.LogRecord) -> dict[str, Any]:
    """What can be said of an exception that does not let itself be described."""
    attributes: dict[str, Any] = {}
    information = record.exc_info
    if not isinstance(information, tuple) or len(information) != 3:
        return attributes
    kind, error, trace = information
    if isinstance(kind, type):
        attributes[_EXCEPTION_TYPE] = kind.__name__
    arguments = getattr(error, "args", None)
    if isinstance(arguments, tuple) and arguments:
        attributes[_EXCEPTION_MESSAGE] = text_of(arguments[0])
    try:
        if trace is not None:
            attributes[_EXCEPTION_STACKTRACE] = "".join(traceback.format_exception(kind, error, trace))
    except Exception:  # noqa: BLE001, S110 - nor does its trace
        pass
    return attributes
