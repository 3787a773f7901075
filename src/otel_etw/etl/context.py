"""What the events of one trace share: clock, pointer size, metadata already decoded, manifests. Pure."""

from __future__ import annotations

from typing import NamedTuple

from otel_etw.errors import DecodeError
from otel_etw.etl.clock import Clock
from otel_etw.layouts.eventsource import Manifests
from otel_etw.tracelogging.metadata import EventMetadata, decode_metadata

_MAX_CACHED_BYTES = 256 * 1024
"""Decoded metadata takes some fifty times its bytes; a hostile file must not fill memory with it."""


class Schema(NamedTuple):
    """Decoded metadata, and what was wrong with it."""

    metadata: EventMetadata
    problems: tuple[str, ...]


class TraceContext:
    """Shared by all events of a trace; a program has few shapes of events, so decoding them is cached."""

    def __init__(self, clock: Clock, pointer_size: int) -> None:
        self.clock = clock
        self.pointer_size = 4 if pointer_size == 4 else 8
        self.manifests = Manifests()
        """Of the trace's .NET EventSource providers: as many as somebody has met, or gathered."""
        self._schemas: dict[bytes, Schema] = {}
        self._cached_bytes = 0

    def schema(self, blob: bytes) -> Schema:
        """The decoded metadata ``blob``; of a damaged one, what could be read."""
        known = self._schemas.get(blob)
        if known is not None:
            return known
        schema = _decode(blob)
        if self._cached_bytes + len(blob) > _MAX_CACHED_BYTES:
            self._schemas.clear()
            self._cached_bytes = 0
        self._schemas[blob] = schema
        self._cached_bytes += len(blob)
        return schema


def _decode(blob: bytes) -> Schema:
    try:
        metadata = decode_metadata(blob)
    except DecodeError as error:
        partial = getattr(error, "partial", None)
        metadata = partial if isinstance(partial, EventMetadata) else EventMetadata("")
        return Schema(metadata, (str(error), *metadata.notes))
    return Schema(metadata, metadata.notes)
