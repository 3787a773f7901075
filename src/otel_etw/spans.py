"""Spans of the OpenTelemetry SDK onto ETW, and the events of spans as log records beside them.

:class:`EtwSpanProcessor` is the recommended path: it writes each span when it ends, on the thread that
ended it.  :class:`EtwSpanExporter` is for batch processors and for ``OTEL_TRACES_EXPORTER=etw``, where the
SDK chooses the processor; the thread and time in the header of the ETW event are then those of the batch,
while the span's own times are in the event as always.

*Span events.*  The reference's span event has no room for the events of a span (exceptions, annotations).
Each becomes a log event of the Common Schema, right before that of its span and to the same provider: with
the ids of the span, the name, time and attributes of the span event, no body, and severity INFO, or ERROR if
its name is ``exception``.  A viewer that knows nothing of this shows log records that belong to the span.

What the events look like, and where they differ from those of the Rust exporter, says
:mod:`otel_etw.layouts.common_schema`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal
from uuid import UUID

from opentelemetry.sdk.trace import Event, ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from otel_etw import environment
from otel_etw.emitter import Emitter, Outcome, Session, Stats
from otel_etw.layouts.common_schema import ResourceFacts, encode_span, severity_level
from otel_etw.layouts.common_schema.activity import activity_id as activity_id_of
from otel_etw.layouts.encoded import EncodedEvent
from otel_etw.layouts.plain_text import text_of
from otel_etw.log_writer import LogWriter
from otel_etw.observation import check_meter_provider, observe_exporter, observe_processor
from otel_etw.options import (
    WriterOptions,
    event_name_option,
    flag_option,
    level_option,
    name_of_event,
    writer_options,
)
from otel_etw.resource_facts import FactsCache
from otel_etw.span_fields import Ids, event_fields, ids_of, span_fields

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider

SpanLevel = int | Callable[[ReadableSpan], int]
SpanEventName = str | Callable[[ReadableSpan], str]

_DEFAULT_LEVEL = 5
_DEFAULT_EVENT_NAME = "Span"
_LEVELS = range(1, 6)

_INFO = (9, "INFO")
_ERROR = (17, "ERROR")
_EXCEPTION = "exception"


class _SpanWriter:
    """What processor and exporter have in common: ended spans in, events out."""

    def __init__(
        self,
        options: WriterOptions,
        session: Session | None,
        event_name: SpanEventName | None,
        level: SpanLevel | None,
        span_events: bool | None,
        extended: bool | None,
    ) -> None:
        self._options = options
        self._event_name = event_name_option(event_name, environment.span_event_name)
        self._level = level_option(level, environment.span_level)
        self._with_events = flag_option("span_events", span_events, environment.span_events)
        self._extended = flag_option("extended", extended, environment.extended)
        self._facts = FactsCache(options.resource_attributes)
        self.emitter = Emitter(
            options.provider_name,
            options.provider_id,
            session,
            group=options.provider_group,
            drop_oversize=options.drop_oversize,
        )
        # What is published of spans must not count their events, so these have an account of their own.
        self._events = LogWriter(options, emitter=self.emitter.sibling())

    @property
    def stats(self) -> Stats:
        """What has become of spans and span events."""
        spans, events = self.emitter.stats, self._events.emitter.stats
        return Stats(
            spans.written + events.written,
            spans.skipped + events.skipped,
            spans.truncated + events.truncated,
            dict(Counter(spans.dropped) + Counter(events.dropped)),
        )

    def write(self, span: ReadableSpan) -> Outcome:
        """Write one span and its events as far as sessions want them; dropped if any was. Never raises."""
        emitter, keyword = self.emitter, self._options.keyword
        provider = emitter.provider
        if provider is not None and provider.idle:
            next(emitter.skipped)
            return Outcome.SKIPPED
        if not emitter.is_enabled_any():
            refusal = emitter.refusal(_DEFAULT_LEVEL, keyword)
            if refusal is not None:
                if refusal is Outcome.DROPPED:
                    self._lose_events(span)
                return refusal
        try:
            ids, facts = ids_of(span.context), self._facts.facts(span.resource)
            level = self._level_of(span)
        except Exception as error:  # noqa: BLE001 - a span that is none
            return emitter.drop("not encodable", f"expected an ended span: {text_of(error)}")
        events_lost = self._with_events and self._write_events(span, ids, facts)
        outcome = emitter.emit(level, keyword, self._encode, span, ids, facts, level)
        return Outcome.DROPPED if events_lost else outcome

    def _encode(self, span: ReadableSpan, ids: Ids, facts: ResourceFacts, level: int) -> EncodedEvent:
        options = self._options
        event = encode_span(
            span_fields(span, ids, extended=self._extended),
            facts,
            event_name=name_of_event(self._event_name, span, _DEFAULT_EVENT_NAME),
            keyword=options.keyword,
            level=level,
            extended=self._extended,
            max_event_bytes=self.emitter.max_event_bytes,
            mark_utf8=options.mark_utf8,
        )
        activity = activity_id_of(options.activity_id, *ids)
        return event if activity is None else replace(event, activity_id=activity)

    def _write_events(self, span: ReadableSpan, ids: Ids, facts: ResourceFacts) -> bool:
        """Write the events of a span; whether one was lost."""
        try:
            outcomes = [self._write_event(event, span, ids, facts) for event in span.events]
        except Exception as error:  # noqa: BLE001 - events that cannot even be had
            outcomes = [self._drop_event(error)]
        return Outcome.DROPPED in outcomes

    def _write_event(self, event: Event, span: ReadableSpan, ids: Ids, facts: ResourceFacts) -> Outcome:
        try:
            number, text = _ERROR if event.name == _EXCEPTION else _INFO
            refusal = self._events.emitter.refusal(severity_level(number), self._options.keyword)
            if refusal is not None:
                return refusal
            time_unix_nano, name, attributes = event_fields(event, span, extended=self._extended)
            return self._events.write_fields(
                time_unix_nano, number, text, None, name, *ids, attributes, facts
            )
        except Exception as error:  # noqa: BLE001 - whatever the application's own objects raise
            return self._drop_event(error)

    def _drop_event(self, error: Exception) -> Outcome:
        message = f"an event of a span could not be encoded and was dropped: {text_of(error)}"
        return self._events.emitter.drop("not encodable", message)

    def _lose_events(self, span: ReadableSpan) -> None:
        """Count the events of a span that has no session to go to."""
        try:
            count = len(span.events) if self._with_events else 0
            if count:
                self._events.emitter.refusal(_DEFAULT_LEVEL, self._options.keyword, count)
        except Exception as error:  # noqa: BLE001 - events that cannot even be had
            self._drop_event(error)

    def _level_of(self, span: ReadableSpan) -> int:
        if isinstance(self._level, int):
            return self._level
        try:
            level = self._level(span)
            known = isinstance(level, int) and not isinstance(level, bool) and level in _LEVELS
            return int(level) if known else _DEFAULT_LEVEL
        except Exception:  # noqa: BLE001 - a callback of the application's
            return _DEFAULT_LEVEL

    def shutdown(self) -> None:
        """Leave the session. Idempotent."""
        self.emitter.shutdown()
        self._events.shutdown()


class EtwSpanProcessor(SpanProcessor):
    """Writes each span as one ETW event when it ends, and its events as log events right before it.

    :param provider_name: ASCII letters, digits and ``_``, at most 233; with ``etw_only_name`` also ``-``,
        which Linux user_events would not take.  By default ``OpenTelemetry_Python``.
    :param session: where events go; closed by whoever made it.  ``None``: the session shared by the process.
    :param resource_attributes: keys of resource attributes that every event repeats.  ``service.name`` and
        ``service.instance.id`` have places of their own and are always there.
    :param event_name: name of the ETW events of spans, or a function of the SDK's ``ReadableSpan``;
        ``"Span"`` where that raises or gives no name.  Span events are always named ``"Log"``.
    :param keyword: 64-bit mask that sessions select by; 0 passes every selection.
    :param level: 1 (critical) to 5 (verbose, the default), or a function of the ``ReadableSpan``, so that for
        instance failed spans can be 2; 5 where that raises or gives anything else.
    :param span_events: whether the events of a span are written.  Theirs is level 4, of exceptions 2.
    :param extended: whether further members say what the reference's layout does not: trace state and flags,
        links' attributes, dropped counts, scope.
    :param record_only: whether spans are written that are recorded but not sampled.
    :param activity_id: ``"trace"`` or ``"span"``: the id that fills the events' ActivityId.
    :param provider_group: GUID of a group that the provider says it belongs to.
    :param mark_utf8: whether text is marked as UTF-8, for Windows viewers; changes the reference's bytes.
    :param oversize: ``"truncate"`` or ``"drop"``: what becomes of a span too large for an event.
    :param meter_provider: where metrics about this processor go, if the SDK's are enabled.

    What is not given comes from the environment (:mod:`otel_etw.environment`).  Raises
    :class:`~otel_etw.errors.EncodeError` (a ``ValueError``) or ``TypeError`` for an invalid argument; nothing
    else, here or later.  A span that no session wants costs no encoding.
    """

    def __init__(
        self,
        provider_name: str | None = None,
        *,
        session: Session | None = None,
        etw_only_name: bool | None = None,
        resource_attributes: Collection[str] | None = None,
        event_name: SpanEventName | None = None,
        keyword: int | None = None,
        level: SpanLevel | None = None,
        span_events: bool | None = None,
        extended: bool | None = None,
        record_only: bool | None = None,
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
        self._record_only = flag_option("record_only", record_only, environment.record_only)
        self._writer = _SpanWriter(options, session, event_name, level, span_events, extended)
        self._observation = observe_processor("span", self._writer.emitter, meter_provider)

    @property
    def stats(self) -> Stats:
        """What has become of the spans so far, and of their events, which count as items of their own.

        Spans that are not sampled are in none of the counts, nor are events that came while nobody listened.
        """
        return self._writer.stats

    def on_end(self, span: ReadableSpan) -> None:
        """Write the span if it is sampled and a session wants it."""
        try:
            context = span.context
            wanted = self._record_only or (context is not None and context.trace_flags.sampled)
        except Exception:  # noqa: BLE001 - a span that is none; the writer counts it
            wanted = True
        if wanted:
            self._writer.write(span)

    def shutdown(self) -> None:
        """Leave the session. Idempotent; later spans are dropped and counted."""
        self._observation.close()
        self._writer.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Always true: a span is in its session's file (or the kernel) when ``on_end`` returns."""
        return True


class EtwSpanExporter(SpanExporter):
    """Writes batches of spans; arguments as for :class:`EtwSpanProcessor`.

    It writes what it is given, sampled or not: which spans that are is the business of the SDK's processors.
    """

    def __init__(
        self,
        provider_name: str | None = None,
        *,
        session: Session | None = None,
        etw_only_name: bool | None = None,
        resource_attributes: Collection[str] | None = None,
        event_name: SpanEventName | None = None,
        keyword: int | None = None,
        level: SpanLevel | None = None,
        span_events: bool | None = None,
        extended: bool | None = None,
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
        self._writer = _SpanWriter(options, session, event_name, level, span_events, extended)
        self._observation = observe_exporter("span", self._writer.emitter, meter_provider)

    @property
    def stats(self) -> Stats:
        """What has become of the spans so far, and of their events, which count as items of their own."""
        return self._writer.stats

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Write the spans; ``FAILURE`` if anything was lost, while what no session wants is not."""
        with self._observation.export(len(spans)):
            outcomes = [self._writer.write(span) for span in spans]
        lost = Outcome.DROPPED in outcomes or self._writer.emitter.is_shut_down
        return SpanExportResult.FAILURE if lost else SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Leave the session. Idempotent; a later export fails."""
        self._observation.close()
        self._writer.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Always true: spans are in their session's file (or the kernel) when ``export`` returns."""
        return True
