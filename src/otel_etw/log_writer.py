"""Log records onto ETW, whatever they come from: the SDK's records, a stdlib record, the events of a span.

A record takes the quick way if its shape has an encoder (:mod:`otel_etw.layouts.common_schema.log_shapes`),
and the plain way otherwise: the first ones of a shape, values of unusual types, what has to be cut.
"""

from __future__ import annotations

from dataclasses import replace
from threading import get_ident

from otel_etw.emitter import Emitter, Outcome, Session, reporting_threads
from otel_etw.layouts.common_schema import LogFields, ResourceFacts, encode_log, severity_level
from otel_etw.layouts.common_schema.activity import activity_id
from otel_etw.layouts.common_schema.log_shapes import LogShape, log_encoder
from otel_etw.layouts.common_schema.shape_code import OTHER_SHAPE, TO_BE_CUT, Emit
from otel_etw.layouts.encoded import EncodedEvent
from otel_etw.options import WriterOptions
from otel_etw.providers.base import WriteStatus
from otel_etw.shape_cache import ShapeCache

_SUCCESS = int(WriteStatus.SUCCESS)
_WRITTEN = Outcome.WRITTEN  # a member of an enumeration is a look-up in Python code, each time


class LogWriter:
    """Writes log records to one provider. Any thread may use it; nothing raises after construction.

    ``emitter`` is given where another writer has one for the same provider already.
    """

    def __init__(
        self, options: WriterOptions, session: Session | None = None, *, emitter: Emitter | None = None
    ) -> None:
        self._options = options
        self.emitter = emitter or Emitter(
            options.provider_name,
            options.provider_id,
            session,
            group=options.provider_group,
            drop_oversize=options.drop_oversize,
        )
        self._written = self.emitter.written
        self._shapes = ShapeCache(LogShape, self._emit_for)
        self.table = self._shapes.table(ResourceFacts())

    def wants(self, severity_number: int | None) -> bool:
        """Whether a record of this severity can be written now; if not, it is counted for what it is."""
        return self.emitter.refusal(severity_level(severity_number), self._options.keyword) is None

    def is_enabled(self, severity_number: int | None) -> bool:
        """The same without counting; of unknown severity, whether any record would be written."""
        if not severity_number:
            return self.emitter.is_enabled_any()
        return self.emitter.is_enabled(severity_level(severity_number), self._options.keyword)

    def write_fields(
        self,
        time_unix_nano: int,
        severity_number: int | None,
        severity_text: str | None,
        body: object,
        event_name: str | None,
        trace_id: int,
        span_id: int,
        attributes: dict[str, object],
        facts: ResourceFacts,
        etw_event_name: str = "Log",
    ) -> Outcome:
        """Write one record if a session wants it; see :class:`LogFields` for most arguments.

        ``attributes`` is a plain dict that nobody changes meanwhile; ``facts`` come from one
        :class:`~otel_etw.resource_facts.FactsCache`.
        """
        if not (reporting_threads and get_ident() in reporting_threads):
            status = OTHER_SHAPE
            try:
                table = self.table
                if table.facts is not facts:
                    self.table = table = self._shapes.table(facts)
                keys = (
                    etw_event_name,
                    severity_number,
                    severity_text,
                    event_name,
                    bool(trace_id or span_id),
                    tuple(attributes),
                )
                emit = table.latest.get(keys)
                if emit is not None:
                    status = emit(time_unix_nano, trace_id, span_id, body, attributes)
                if status == OTHER_SHAPE:
                    emit = self._shapes.encoder(table, keys, body, attributes)
                    if emit is not None:
                        status = emit(time_unix_nano, trace_id, span_id, body, attributes)
                if status == _SUCCESS:
                    next(self._written)
                    return _WRITTEN
                if status > TO_BE_CUT:
                    return self.emitter.account(status)
            except Exception:  # noqa: BLE001 - a record that is not of its shape after all, or of none
                if status == _SUCCESS:  # it was a signal handler of the application's that raised
                    return _WRITTEN
        ids = _id(trace_id), _id(span_id)
        fields = LogFields(time_unix_nano, severity_number, severity_text, body, event_name, *ids, attributes)
        return self.write_plain(fields, facts, etw_event_name)

    def write_plain(self, record: LogFields, facts: ResourceFacts, etw_event_name: str = "Log") -> Outcome:
        """The same by the plain encoder, which takes any record."""
        level = severity_level(record.severity_number)
        return self.emitter.emit(level, self._options.keyword, self._encode, record, facts, etw_event_name)

    def _encode(self, record: LogFields, facts: ResourceFacts, etw_event_name: str) -> EncodedEvent:
        event = encode_log(
            record,
            facts,
            event_name=etw_event_name,
            keyword=self._options.keyword,
            max_event_bytes=self.emitter.max_event_bytes,
            mark_utf8=self._options.mark_utf8,
        )
        activity = activity_id(self._options.activity_id, record.trace_id, record.span_id)
        return event if activity is None else replace(event, activity_id=activity)

    def _emit_for(self, shape: LogShape, facts: ResourceFacts) -> Emit | None:
        """The quick way for a shape; ``None`` if it has none, or there is nothing to write to."""
        provider = self.emitter.provider
        options = self._options
        encoder = log_encoder(
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

    def shutdown(self) -> None:
        """Give up the provider and the session. Idempotent; what comes later is dropped and counted."""
        self.emitter.shutdown()
        self._shapes.clear()


def _id(value: object) -> int:
    """A trace or span id; one that is no integer is none."""
    return value if isinstance(value, int) else 0
