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
from typing import Any, Literal
from uuid import UUID

from opentelemetry._logs import SeverityNumber
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.context import Context
from opentelemetry.metrics import MeterProvider
from opentelemetry.sdk._logs import LogRecordProcessor, ReadableLogRecord, ReadWriteLogRecord
from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from otel_etw import environment
from otel_etw.emitter import NO_PROVIDER, Outcome, Session, Stats
from otel_etw.layouts.common_schema import ResourceFacts
from otel_etw.layouts.plain_text import text_of
from otel_etw.log_writer import LogWriter
from otel_etw.observation import check_meter_provider, observe_exporter, observe_processor
from otel_etw.options import event_name_option, name_of_event, writer_options
from otel_etw.resource_facts import FactsCache

SdkLogRecord = ReadableLogRecord | ReadWriteLogRecord
EventName = str | Callable[[SdkLogRecord], str]

_DEFAULT_EVENT_NAME = "Log"
_SKIPPED, _DROPPED = Outcome.SKIPPED, Outcome.DROPPED

# The container of a record's attributes has a dict inside, which is much quicker to read.
_SDK_ATTRIBUTES = BoundedAttributes if isinstance(getattr(BoundedAttributes(), "_dict", None), dict) else None


class _SdkLogs:
    """What processor and exporter have in common: the SDK's records in, events out."""

    _observe = staticmethod(observe_processor)

    def __init__(
        self,
        provider_name: str | None = None,
        *,
        session: Session | None = None,
        etw_only_name: bool | None = None,
        resource_attributes: Collection[str] | None = None,
        event_name: EventName | None = None,
        keyword: int | None = None,
        activity_id: Literal["trace", "span", "none"] | None = None,
        provider_group: UUID | str | None = None,
        mark_utf8: bool | None = None,
        oversize: Literal["truncate", "drop"] | None = None,
        meter_provider: MeterProvider | None = None,
    ) -> None:
        check_meter_provider(meter_provider)
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
        self._event_name: EventName = event_name_option(event_name, environment.log_event_name)
        self._fixed_event_name = self._event_name if isinstance(self._event_name, str) else None
        self._facts = FactsCache(options.resource_attributes)
        self._last_facts: tuple[object, ResourceFacts] = (None, self._facts.facts(None))
        self._writer = LogWriter(options, session)
        self._write_fields = self._writer.write_fields
        self._emitter = self._writer.emitter
        self._skipped = self._emitter.skipped
        self._overflowed = self._emitter.overflowed
        self._provider = self._emitter.provider or NO_PROVIDER
        self._observation = self._observe("log", self._emitter, meter_provider)

    @property
    def stats(self) -> Stats:
        """What has become of the records so far."""
        return self._emitter.stats

    def _write(self, log_record: SdkLogRecord) -> Outcome:
        """Write the record if a session wants it. Never raises."""
        if self._provider.idle:
            next(self._skipped)
            return _SKIPPED
        try:
            record = log_record.log_record
            moment = record.timestamp
            if moment.__class__ is not int:
                moment = _moment(moment, record.observed_timestamp)
            severity = record.severity_number
            # ``value`` would be a call of Python code; ``_value_`` is documented beside it.
            number = severity._value_ if severity.__class__ is SeverityNumber else _integer(severity)
            attributes: Any = record.attributes
            is_sdks = attributes.__class__ is _SDK_ATTRIBUTES
            resource, facts = self._last_facts
            if log_record.resource is not resource:
                facts = self._new_facts(log_record.resource)
            return self._write_fields(
                moment,
                number,
                record.severity_text,
                record.body,
                record.event_name,
                record.trace_id or 0,
                record.span_id or 0,
                attributes._dict if is_sdks else dict(attributes or ()),
                facts,
                self._fixed_event_name or name_of_event(self._event_name, log_record, _DEFAULT_EVENT_NAME),
            )
        except Exception as error:  # noqa: BLE001 - a record that is none
            try:
                return self._emitter.drop("not encodable", f"expected a log record: {text_of(error)}")
            except RecursionError:
                next(self._overflowed)
                return _DROPPED

    def _new_facts(self, resource: Resource | None) -> ResourceFacts:
        """The facts of a resource that is another than the last record's, which is held: it cannot change."""
        facts = self._facts.facts(resource)
        self._last_facts = (resource, facts)
        return facts

    def shutdown(self) -> None:
        """Leave the session. Idempotent; what comes later is dropped and counted, and an export fails."""
        self._provider = NO_PROVIDER
        self._writer.shutdown()
        self._observation.close()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Always true: what was written is in its session's file (or the kernel) already."""
        return True


class EtwLogRecordProcessor(_SdkLogs, LogRecordProcessor):
    """Writes each log record as one ETW event, at once.

    :param provider_name: ASCII letters, digits and ``_``, at most 233; with ``etw_only_name`` also ``-``,
        which Linux user_events would not take.
    :param session: where events go; closed by whoever made it.  ``None``: whatever listens on Windows,
        and elsewhere one shared by the process, which writes a file.
    :param resource_attributes: keys of resource attributes that every event repeats.  ``service.name`` and
        ``service.instance.id`` have places of their own and are always there.
    :param event_name: name of the ETW events, or a function of the SDK's ``ReadWriteLogRecord`` (in an
        exporter ``ReadableLogRecord``); ``"Log"`` where that raises or gives no name.
    :param keyword: 64-bit mask that sessions select by; 0 passes every selection.
    :param activity_id: ``"trace"`` or ``"span"`` puts that id into the events' ActivityId, so that PerfView
        and WPA group by it; ``"none"``.
    :param provider_group: GUID of a provider group, a trait of the provider.
    :param mark_utf8: marks text as UTF-8, for Windows viewers that would take it for code page 1252.
    :param oversize: ``"truncate"`` cuts the longest values of a record too large for one event and says so in
        it, ``"drop"`` drops the record.
    :param meter_provider: where OpenTelemetry's metrics of the SDK's own parts go, if
        ``OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED`` says so; ``None``: the global one.

    ``None`` means not given: the variable ``OTEL_EXPORTER_ETW_...`` applies, then the default
    (``docs/configuration.md``).  Raises :class:`~otel_etw.errors.EncodeError` (a ``ValueError``) or
    ``TypeError`` for an invalid argument; nothing else, here or later.  A record that no session wants costs
    no encoding.
    """

    # The very function, as one that only calls it costs a call per record. The SDK ignores the answer.
    on_emit = _SdkLogs._write  # type: ignore[assignment]

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


class EtwLogRecordExporter(_SdkLogs, LogRecordExporter):
    """Writes batches of log records, one ETW event each; arguments as for :class:`EtwLogRecordProcessor`."""

    _observe = staticmethod(observe_exporter)

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        """Write the records; ``FAILURE`` if one was lost, while one that no session wants is none."""
        with self._observation.export(len(batch)):
            outcomes = [self._write(record) for record in batch]
        lost = Outcome.DROPPED in outcomes or self._emitter.is_shut_down
        return LogRecordExportResult.FAILURE if lost else LogRecordExportResult.SUCCESS


def _integer(value: object) -> int | None:
    """An SDK enumeration or integer as a plain integer; anything else as unset."""
    value = getattr(value, "value", value)
    return value if isinstance(value, int) else None


def _moment(timestamp: object, observed_timestamp: object) -> int:
    for moment in (timestamp, observed_timestamp):
        if isinstance(moment, int):
            return moment
    return time.time_ns()
