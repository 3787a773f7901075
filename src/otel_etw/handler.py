"""Standard library log records onto ETW, without an SDK log record on the way.

:class:`EtwHandler` writes the event that the handler of ``opentelemetry-instrumentation-logging`` with an
:class:`~otel_etw.EtwLogRecordProcessor` behind it would write, byte for byte.

*A guest in logging.*  Nothing of a record is looked at, let alone formatted, unless a session wants it.  What
the application's own objects raise costs what they stand for, not the record.  Writing needs no lock of the
handler's, so it has none: threads do not queue here, and a fork or a signal handler finds nothing held.

*Re-entrancy.*  A record that is logged while another is being handled on the same thread (by an argument's
``__str__``, the SDK's cleaning, a signal handler, ourselves) is dropped and counted.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Literal
from uuid import UUID

from opentelemetry.context import get_current
from opentelemetry.metrics import MeterProvider
from opentelemetry.sdk.environment_variables import OTEL_SDK_DISABLED
from opentelemetry.sdk.resources import Resource
from opentelemetry.trace import get_current_span

from otel_etw import environment
from otel_etw.emitter import NO_PROVIDER, Session, Stats
from otel_etw.handler_attributes import AttributeLimits, AttributeRules
from otel_etw.handler_resource import CurrentResource
from otel_etw.layouts.common_schema import severity_level
from otel_etw.layouts.plain_text import text_of
from otel_etw.log_writer import LogWriter
from otel_etw.observation import observe_handler
from otel_etw.options import event_name_option, flag_option, name_of_event, writer_options
from otel_etw.resource_facts import FactsCache

RecordEventName = str | Callable[[logging.LogRecord], str]

_DEFAULT_EVENT_NAME = "Log"

_logger = logging.getLogger("otel_etw")

# OpenTelemetry's severity number (1 to 24; 0 is none) of a level of logging.  There are four numbers where
# logging has ten levels: the last one stands for the rest.
_SEVERITY_NUMBERS = {level: level // 10 * 4 + 1 + min(level % 10, 3) for level in range(10, 54)}
_SEVERITY_UNSPECIFIED = 0
_SEVERITY_FATAL4 = 24

# The ETW level of each severity number.
_LEVELS = tuple(severity_level(number) for number in range(_SEVERITY_FATAL4 + 1))

# OpenTelemetry's short names for two levels of logging.
_SEVERITY_TEXTS = {"WARNING": "WARN", "CRITICAL": "FATAL"}


class _ThreadState(threading.local):
    is_handling = False


class EtwHandler(logging.Handler):
    """Writes each record of the standard library's :mod:`logging` as one ETW event, at once.

    :param provider_name: ASCII letters, digits and ``_``, at most 233; with ``etw_only_name`` also ``-``.
    :param level: lowest level of :mod:`logging` that is handled, as number or name.
    :param session: where events go; closed by whoever made it.  ``None``: whatever listens on Windows,
        and elsewhere one shared by the process, which writes a file.
    :param resource_attributes: keys of resource attributes that every event repeats.  ``service.name`` and
        ``service.instance.id`` have places of their own and are always there.
    :param event_name: name of the ETW events, or a function of the :class:`logging.LogRecord`; ``"Log"``
        where that raises or gives no name.
    :param keyword: 64-bit mask that sessions select by; 0 passes every selection.
    :param activity_id: ``"trace"`` or ``"span"``, the active span's id that becomes the events' ActivityId.
    :param provider_group: the group that the provider says it belongs to.
    :param mark_utf8: mark 8-bit strings as UTF-8.
    :param oversize: ``"truncate"`` or ``"drop"``, what becomes of a record too large for an event.
    :param meter_provider: where self-observability metrics go; ``None``: the global one.
    :param log_code_attributes: add file, function and line of the logging call.
    :param structured_body: a mapping or list that is logged without arguments stays one, as JSON, instead of
        becoming its ``str()``.  A formatter, if one is set, comes first.
    :param resource: what the records are of.  ``None``: the resource of the global logger provider once one
        is set, else ``Resource.create()``.

    ``None`` stands for "not given": the environment variable (``OTEL_EXPORTER_ETW_*``), then the default.

    Attributes are cleaned and limited as the SDK does it, by the ``OTEL_ATTRIBUTE_*`` and
    ``OTEL_LOGRECORD_ATTRIBUTE_*`` variables at the time of construction; with ``OTEL_SDK_DISABLED=true``
    nothing is written.

    Raises :class:`~otel_etw.errors.EncodeError` (a ``ValueError``), ``ValueError`` or ``TypeError`` for an
    invalid argument; nothing else, here or later.
    """

    def __init__(
        self,
        provider_name: str | None = None,
        *,
        level: int | str = logging.NOTSET,
        session: Session | None = None,
        etw_only_name: bool | None = None,
        resource_attributes: Collection[str] | None = None,
        event_name: RecordEventName | None = None,
        keyword: int | None = None,
        activity_id: Literal["trace", "span", "none"] | None = None,
        provider_group: UUID | str | None = None,
        mark_utf8: bool | None = None,
        oversize: Literal["truncate", "drop"] | None = None,
        meter_provider: MeterProvider | None = None,
        log_code_attributes: bool | None = None,
        structured_body: bool | None = None,
        resource: Resource | None = None,
    ) -> None:
        if resource is not None and not isinstance(resource, Resource):
            raise TypeError(f"resource must be the SDK's Resource, not {type(resource).__name__}")
        options = writer_options(
            provider_name=provider_name,
            etw_only_name=etw_only_name,
            resource_attributes=resource_attributes,
            keyword=keyword,
            activity_id=activity_id,
            provider_group=provider_group,
            mark_utf8=mark_utf8,
            oversize=oversize,
        )
        self._event_name = event_name_option(event_name, environment.log_event_name)
        self._fixed_event_name = self._event_name if isinstance(self._event_name, str) else None
        self._rules = AttributeRules(
            AttributeLimits.from_environment(),
            code_attributes=flag_option(
                "log_code_attributes", log_code_attributes, environment.code_attributes
            ),
        )
        self._take = self._rules.take
        self._structured_body = flag_option("structured_body", structured_body, environment.structured_body)
        self._resource = CurrentResource(resource)
        self._facts = FactsCache(options.resource_attributes).facts
        self._is_disabled = os.environ.get(OTEL_SDK_DISABLED, "").strip().lower() == "true"
        self._thread = _ThreadState()
        self._writer = LogWriter(options, session)
        provider = self._writer.emitter.provider
        self._provider = provider or NO_PROVIDER
        self._skipped = self._writer.emitter.skipped
        self._overflowed = self._writer.emitter.overflowed
        self._is_enabled = _is_never_enabled if provider is None else provider.is_enabled
        self._keyword = options.keyword
        try:
            self._observation = observe_handler(self._writer.emitter, meter_provider)
            super().__init__(level)  # after all else: from here on logging.shutdown() closes this handler
        except BaseException:
            self._writer.shutdown()
            raise

    @property
    def stats(self) -> Stats:
        """What has become of the records so far."""
        return self._writer.emitter.stats

    def createLock(self) -> None:  # noqa: N802 - logging's name
        """Have no lock: :meth:`handle` takes none, and ``acquire`` and ``release`` do nothing then."""
        self.lock = None

    def handle(self, record: logging.LogRecord) -> Any:
        """Write the record if the handler's filters let it pass; the answer is theirs."""
        passed: Any = True
        if self.filters:
            passed = self.filter(record)
            if isinstance(passed, logging.LogRecord):  # possible since Python 3.12
                record = passed
        if passed:
            self.emit(record)
        return passed

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record if a session wants it. Never raises."""
        if self._is_disabled:
            return
        if self._provider.idle:
            next(self._skipped)
            return
        thread = self._thread
        try:
            severity_number = _SEVERITY_NUMBERS.get(record.levelno)
            if severity_number is None:
                severity_number = _unusual_severity_number(record.levelno)
            is_enabled = self._is_enabled(_LEVELS[severity_number], self._keyword)
            if not is_enabled and not self._writer.wants(severity_number):
                return
            if thread.is_handling:
                self._writer.emitter.drop("re-entrant")
                return
            try:
                thread.is_handling = True
                problem = self._write(record, severity_number)
            finally:
                thread.is_handling = False
            if problem is not None:
                kind = type(problem).__name__
                message = f"a log record was written in part: {kind}: {text_of(problem)}"
                self._writer.emitter.report_once("in part", message)
        except Exception as error:  # noqa: BLE001 - what is no log record at all, or a stack that is full
            try:
                self._drop(error)
            except RecursionError:
                next(self._overflowed)

    def flush(self) -> None:
        """Do nothing: a record is in its session's file (or the kernel) when :meth:`emit` returns."""

    def close(self) -> None:
        """Leave the session. Idempotent; later records are dropped and counted."""
        self._provider, self._is_enabled = NO_PROVIDER, _is_never_enabled
        self._writer.shutdown()
        self._observation.close()
        super().close()

    def _write(self, record: logging.LogRecord, severity_number: int) -> Exception | None:
        """Write the record; what has kept a part of it from being written, if anything has."""
        problem = None
        try:
            # In the order of the model: a formatter may change what is read after it.
            time_unix_nano = int(record.created * 1e9)
            body = self._body(record) if self._structured_body or self.formatter else record.getMessage()
            attributes, event_name = self._take(record)
            severity_text = _SEVERITY_TEXTS.get(record.levelname, record.levelname)
            trace_id, span_id = _active_span_ids()
        except Exception as error:  # noqa: BLE001 - whatever the application's own objects raise
            problem = error
            time_unix_nano, body, severity_text, trace_id, span_id = self._salvage(record)
            attributes, event_name = self._rules.salvage(record)
        self._writer.write_fields(
            time_unix_nano,
            severity_number,
            severity_text,
            body,
            event_name,
            trace_id,
            span_id,
            attributes,
            self._facts(self._resource.get()),
            self._fixed_event_name or name_of_event(self._event_name, record, _DEFAULT_EVENT_NAME),
        )
        return problem

    def _body(self, record: logging.LogRecord) -> object:
        if self.formatter:
            return self.format(record)
        if self._structured_body and not record.args and _is_structured(record.msg):
            return record.msg
        return record.getMessage()

    def _salvage(self, record: logging.LogRecord) -> tuple[int, object, str, int, int]:
        """Time, body, severity text and span ids of a record some of whose objects raise."""
        body = self._salvaged_body(record)
        try:
            time_unix_nano = int(record.created * 1e9)
        except Exception:  # noqa: BLE001 - no number, or not a number
            time_unix_nano = time.time_ns()
        try:
            trace_id, span_id = _active_span_ids()
        except Exception:  # noqa: BLE001 - a span that is not the SDK's
            trace_id, span_id = 0, 0
        severity_text = text_of(record.levelname)
        severity_text = _SEVERITY_TEXTS.get(severity_text, severity_text)
        return time_unix_nano, body, severity_text, trace_id, span_id

    def _salvaged_body(self, record: logging.LogRecord) -> object:
        """Without the formatter, or without arguments that do not fit or cannot be made text."""
        for make_body in (self._body, logging.LogRecord.getMessage):
            try:
                return make_body(record)
            except Exception:  # noqa: BLE001, S112 - then the next
                continue
        return text_of(record.msg)

    def _drop(self, error: Exception) -> None:
        message = f"a log record could not be written and was dropped: {text_of(error)}"
        self._writer.emitter.drop("not encodable", message)


def _is_never_enabled(level: int, keyword: int) -> bool:
    """Stands where there is no provider; :meth:`LogWriter.wants` then says why not, and counts."""
    return False


def _unusual_severity_number(level: int) -> int:
    """The severity number of a level that is not in the table."""
    if level < logging.DEBUG:
        return _SEVERITY_UNSPECIFIED
    return _SEVERITY_NUMBERS.get(int(level), _SEVERITY_FATAL4)


def _active_span_ids() -> tuple[int, int]:
    context = get_current()
    if not context:
        return 0, 0
    span_context = get_current_span(context).get_span_context()
    return span_context.trace_id, span_context.span_id


def _is_structured(message: object) -> bool:
    return isinstance(message, (Mapping, Sequence)) and not isinstance(
        message, (str, bytes, bytearray, memoryview)
    )
