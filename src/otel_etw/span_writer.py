"""Ended spans onto ETW, and their events as log records beside them.

A span takes the quick way if its shape has an encoder (:mod:`otel_etw.layouts.common_schema.span_shapes`),
and the plain way otherwise, as log records do (:mod:`otel_etw.log_writer`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from threading import get_ident

from opentelemetry.sdk.trace import Event, ReadableSpan

from otel_etw import environment
from otel_etw.emitter import Emitter, Outcome, Session, Stats, reporting_threads
from otel_etw.layouts.common_schema import ResourceFacts, encode_span, severity_level
from otel_etw.layouts.common_schema.activity import activity_id as activity_id_of
from otel_etw.layouts.common_schema.shape_code import OTHER_SHAPE, TO_BE_CUT, Emit
from otel_etw.layouts.common_schema.span_shapes import SpanShape, span_encoder
from otel_etw.layouts.encoded import EncodedEvent
from otel_etw.layouts.plain_text import text_of
from otel_etw.log_writer import LogWriter
from otel_etw.options import WriterOptions, event_name_option, flag_option, level_option, name_of_event
from otel_etw.resource_facts import FactsCache
from otel_etw.shape_cache import ShapeCache
from otel_etw.span_fields import Ids, event_fields, ids_of, quick_fields, span_fields

SpanLevel = int | Callable[[ReadableSpan], int]
SpanEventName = str | Callable[[ReadableSpan], str]

_DEFAULT_LEVEL = 5
_DEFAULT_EVENT_NAME = "Span"
_LEVELS = range(1, 6)

_INFO = (9, "INFO")
_ERROR = (17, "ERROR")
_EXCEPTION = "exception"


class SpanWriter:
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
        self._shapes = ShapeCache(SpanShape, self._emit_for)
        self._table = self._shapes.table(ResourceFacts())

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
            event_name = name_of_event(self._event_name, span, _DEFAULT_EVENT_NAME)
        except Exception as error:  # noqa: BLE001 - a span that is none
            return emitter.drop("not encodable", f"expected an ended span: {text_of(error)}")
        events_lost = self._with_events and self._write_events(span, ids, facts)
        outcome = self._write_quickly(span, ids, facts, level, event_name)
        if outcome is None:
            outcome = emitter.emit(level, keyword, self._encode, span, ids, facts, level, event_name)
        return Outcome.DROPPED if events_lost else outcome

    def _write_quickly(
        self, span: ReadableSpan, ids: Ids, facts: ResourceFacts, level: int, event_name: str
    ) -> Outcome | None:
        """Write the span by the encoder of its shape; ``None`` if it has none, or is not of its shape."""
        if self._extended or (reporting_threads and get_ident() in reporting_threads):
            return None
        status = OTHER_SHAPE
        try:
            fields = quick_fields(span)
            if fields is None:
                return None
            table = self._table
            if table.facts is not facts:
                self._table = table = self._shapes.table(facts)
            name, kind, is_error, end, start, parent, values = fields
            keys = (event_name, level, kind, is_error, parent != 0, tuple(values))
            emit = table.latest.get(keys)
            if emit is not None:
                status = emit(end, start, *ids, parent, name, values)
            if status == OTHER_SHAPE:
                emit = self._shapes.encoder(table, keys, name, values)
                if emit is not None:
                    status = emit(end, start, *ids, parent, name, values)
            return self.emitter.account(status) if status > TO_BE_CUT else None
        except Exception:  # noqa: BLE001 - a span that is not of its shape after all, or of none
            # If it is written, it was a signal handler of the application's that raised.
            return Outcome.WRITTEN if status == 0 else None

    def _emit_for(self, shape: SpanShape, facts: ResourceFacts) -> Emit | None:
        """The quick way for a shape; ``None`` if it has none, or there is nothing to write to."""
        provider = self.emitter.provider
        options = self._options
        encoder = span_encoder(
            shape,
            facts,
            keyword=options.keyword,
            mark_utf8=options.mark_utf8,
            activity=options.activity_id,
        )
        if provider is None or encoder is None:
            return None
        write = provider.prepare(encoder.descriptor, encoder.metadata)
        return encoder.bind(write, provider.is_enabled, provider.max_event_bytes)

    def _encode(
        self, span: ReadableSpan, ids: Ids, facts: ResourceFacts, level: int, event_name: str
    ) -> EncodedEvent:
        options = self._options
        event = encode_span(
            span_fields(span, ids, extended=self._extended),
            facts,
            event_name=event_name,
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
        self._shapes.clear()
