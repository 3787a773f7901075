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

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Literal
from uuid import UUID

from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from otel_etw import environment
from otel_etw.emitter import Outcome, Session, Stats
from otel_etw.observation import check_meter_provider, observe_exporter, observe_processor
from otel_etw.options import flag_option, writer_options
from otel_etw.span_writer import SpanEventName, SpanLevel, SpanWriter

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider


class EtwSpanProcessor(SpanProcessor):
    """Writes each span as one ETW event when it ends, and its events as log events right before it.

    :param provider_name: ASCII letters, digits and ``_``, at most 233; with ``etw_only_name`` also ``-``,
        which Linux user_events would not take.  By default ``OpenTelemetry_Python``.
    :param session: where events go; closed by whoever made it.  ``None``: whatever listens on Windows,
        and elsewhere one shared by the process, which writes a file.
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
        self._writer = SpanWriter(options, session, event_name, level, span_events, extended)
        self._overflowed = self._writer.emitter.overflowed
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
            try:
                self._writer.write(span)
            except RecursionError:
                next(self._overflowed)

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
        self._writer = SpanWriter(options, session, event_name, level, span_events, extended)
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
