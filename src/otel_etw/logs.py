"""Log records of the OpenTelemetry SDK onto ETW.

:class:`EtwLogRecordProcessor` is the recommended path: it writes each record at once, on the thread that
logged it, so the event's own header carries the right thread and time.  :class:`EtwLogRecordExporter` is for
batch processors and for ``OTEL_LOGS_EXPORTER=etw``, where the SDK chooses the processor; the header's thread
and time are then those of the batch, while the record's own time is in the event as always.

What an event looks like, and where it differs from that of the Rust exporter, says
:mod:`otel_etw.layouts.common_schema`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence

from opentelemetry._logs import SeverityNumber
from opentelemetry.context import Context
from opentelemetry.sdk._logs import LogRecordProcessor, ReadableLogRecord, ReadWriteLogRecord
from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from otel_etw import environment
from otel_etw.emitter import Emitter, Outcome, Session, Stats
from otel_etw.errors import EncodeError
from otel_etw.layouts.common_schema import (
    LogFields,
    ResourceFacts,
    encode_log,
    resource_facts,
    severity_level,
)
from otel_etw.layouts.encoded import EncodedEvent
from otel_etw.layouts.plain_text import text_of
from otel_etw.tracelogging.provider_id import check_provider_name, provider_id

SdkLogRecord = ReadableLogRecord | ReadWriteLogRecord
EventName = str | Callable[[SdkLogRecord], str]

_DEFAULT_EVENT_NAME = "Log"


class _LogWriter:
    """What processor and exporter have in common: SDK records in, events out."""

    def __init__(
        self,
        provider_name: str | None,
        session: Session | None,
        etw_only_name: bool,
        resource_attributes: Collection[str],
        event_name: EventName,
        keyword: int,
    ) -> None:
        _check_arguments(provider_name, resource_attributes, event_name, keyword)
        if provider_name is None:
            provider_name = environment.provider_name(etw_only=etw_only_name)
        else:
            check_provider_name(provider_name, etw_only=etw_only_name)
        self._resource_attributes = frozenset(resource_attributes)
        self._event_name = event_name
        self._keyword = keyword
        # The last resource seen and its facts, one tuple swapped whole. Holding the resource keeps its
        # identity from being taken over by another one.
        self._last_facts: tuple[Resource | None, ResourceFacts] = (None, ResourceFacts())
        self.emitter = Emitter(provider_name, provider_id(provider_name), session)

    def write(self, record: SdkLogRecord) -> Outcome:
        """Write one record if a session wants it. Never raises."""
        try:
            level = severity_level(_integer(record.log_record.severity_number))
        except Exception as error:  # noqa: BLE001 - a record that is none
            return self.emitter.drop("not encodable", f"expected a log record: {text_of(error)}")
        return self.emitter.emit(level, self._keyword, self._encode, record)

    def is_enabled(self, severity_number: int | None) -> bool:
        """Whether a record of this severity would be written; of unknown severity, whether any would."""
        if not severity_number:
            return self.emitter.is_enabled_any()
        return self.emitter.is_enabled(severity_level(severity_number), self._keyword)

    def _encode(self, record: SdkLogRecord) -> EncodedEvent:
        log_record = record.log_record
        fields = LogFields(
            time_unix_nano=_time(log_record.timestamp, log_record.observed_timestamp),
            severity_number=_integer(log_record.severity_number),
            severity_text=log_record.severity_text,
            body=log_record.body,
            event_name=log_record.event_name,
            trace_id=_integer(log_record.trace_id),
            span_id=_integer(log_record.span_id),
            attributes=log_record.attributes or {},
        )
        return encode_log(
            fields,
            self._facts(record.resource),
            event_name=self._event_name_of(record),
            keyword=self._keyword,
            max_event_bytes=self.emitter.max_event_bytes,
        )

    def _facts(self, resource: Resource | None) -> ResourceFacts:
        known, facts = self._last_facts
        if resource is not known:
            facts = ResourceFacts()
            if resource is not None:
                facts = resource_facts(resource.attributes, self._resource_attributes)
            self._last_facts = (resource, facts)
        return facts

    def _event_name_of(self, record: SdkLogRecord) -> str:
        if isinstance(self._event_name, str):
            return self._event_name
        try:
            name = self._event_name(record)
        except Exception:  # noqa: BLE001 - a callback of the application's
            return _DEFAULT_EVENT_NAME
        return name if isinstance(name, str) and name else _DEFAULT_EVENT_NAME


class EtwLogRecordProcessor(LogRecordProcessor):
    """Writes each log record as one ETW event, at once.

    :param provider_name: ASCII letters, digits and ``_``, at most 233; with ``etw_only_name`` also ``-``,
        which Linux user_events would not take.  ``None``: ``OTEL_EXPORTER_ETW_PROVIDER_NAME`` or
        ``OpenTelemetry_Python``.
    :param session: where events go; closed by whoever made it.  ``None``: the session shared by the process.
    :param resource_attributes: keys of resource attributes that every event repeats.  ``service.name`` and
        ``service.instance.id`` have places of their own and are always there.
    :param event_name: name of the ETW events, or a function of the SDK's ``ReadWriteLogRecord`` (in an
        exporter ``ReadableLogRecord``); ``"Log"`` where that raises or gives no name.
    :param keyword: 64-bit mask that sessions select by; 0 passes every selection.

    Raises :class:`~otel_etw.errors.EncodeError` (a ``ValueError``) or ``TypeError`` for an invalid argument;
    nothing else, here or later.  A record that no session wants costs no encoding.
    """

    def __init__(
        self,
        provider_name: str | None = None,
        *,
        session: Session | None = None,
        etw_only_name: bool = False,
        resource_attributes: Collection[str] = (),
        event_name: EventName = _DEFAULT_EVENT_NAME,
        keyword: int = 1,
    ) -> None:
        self._writer = _LogWriter(
            provider_name, session, etw_only_name, resource_attributes, event_name, keyword
        )

    @property
    def stats(self) -> Stats:
        """What has become of the records so far."""
        return self._writer.emitter.stats

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        """Write the record if a session wants it."""
        self._writer.write(log_record)

    def enabled(
        self,
        *,
        context: Context | None = None,
        instrumentation_scope: InstrumentationScope | None = None,
        severity_number: SeverityNumber | None = None,
        event_name: str | None = None,
    ) -> bool:
        """Whether a session wants records of this severity; if it is unknown, of any."""
        return self._writer.is_enabled(_integer(severity_number))

    def shutdown(self) -> None:
        """Leave the session. Idempotent; later records are dropped and counted."""
        self._writer.emitter.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Always true: a record is in its session's file (or the kernel) when ``on_emit`` returns."""
        return True


class EtwLogRecordExporter(LogRecordExporter):
    """Writes batches of log records, one ETW event each; arguments as for :class:`EtwLogRecordProcessor`."""

    def __init__(
        self,
        provider_name: str | None = None,
        *,
        session: Session | None = None,
        etw_only_name: bool = False,
        resource_attributes: Collection[str] = (),
        event_name: EventName = _DEFAULT_EVENT_NAME,
        keyword: int = 1,
    ) -> None:
        self._writer = _LogWriter(
            provider_name, session, etw_only_name, resource_attributes, event_name, keyword
        )

    @property
    def stats(self) -> Stats:
        """What has become of the records so far."""
        return self._writer.emitter.stats

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        """Write the records; ``FAILURE`` if one was lost, while one that no session wants is none."""
        outcomes = [self._writer.write(record) for record in batch]
        lost = Outcome.DROPPED in outcomes or self._writer.emitter.is_shut_down
        return LogRecordExportResult.FAILURE if lost else LogRecordExportResult.SUCCESS

    def shutdown(self) -> None:
        """Leave the session. Idempotent; a later export fails."""
        self._writer.emitter.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Always true: records are in their session's file (or the kernel) when ``export`` returns."""
        return True


def _check_arguments(
    provider_name: object, resource_attributes: object, event_name: object, keyword: object
) -> None:
    if provider_name is not None and not isinstance(provider_name, str):
        raise TypeError(f"provider_name must be text, not {type(provider_name).__name__}")
    if isinstance(resource_attributes, str):
        raise TypeError(
            f"resource_attributes must be a collection of keys, not the text {resource_attributes!r}"
        )
    if not isinstance(event_name, str) and not callable(event_name):
        raise TypeError(f"event_name must be text or a function, not {type(event_name).__name__}")
    if isinstance(event_name, str) and (not event_name or "\0" in event_name):
        raise EncodeError(f"event_name must not be empty or contain NUL, found {event_name!r}")
    if not isinstance(keyword, int) or isinstance(keyword, bool):
        raise TypeError(f"keyword must be an integer, not {type(keyword).__name__}")
    if not 0 <= keyword < 2**64:
        raise EncodeError(f"keyword must be an unsigned 64-bit mask, found {keyword}")


def _integer(value: object) -> int | None:
    """An SDK enumeration or integer as a plain integer; anything else as unset."""
    value = getattr(value, "value", value)
    return value if isinstance(value, int) else None


def _time(timestamp: object, observed_timestamp: object) -> int:
    for moment in (timestamp, observed_timestamp):
        if isinstance(moment, int):
            return moment
    return time.time_ns()
