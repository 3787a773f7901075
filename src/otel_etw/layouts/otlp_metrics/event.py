"""What every metric event has: its descriptor, its metadata, its bounds, and what becomes of a data point."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from otel_etw.tracelogging.metadata import EventMetadata, encode_metadata
from otel_etw.tracelogging.types import EventDescriptor, Level

MAX_REQUEST_BYTES = 65360
"""Largest request that the Rust and .NET exporters send: 64 KiB less the event's header and a margin."""

DESCRIPTOR = EventDescriptor(id=81, level=Level.INFORMATIONAL, keyword=1)
METADATA = encode_metadata(EventMetadata("otlp_metrics", ()))
"""The event is named but describes no fields; all of its payload is the request."""

TOO_LARGE = "too large"
NOT_ENCODABLE = "not encodable"


@dataclass(frozen=True)
class EncodedPoint:
    """One data point's request, or why there is none.

    ``payload`` is ``None`` for a point that cannot go out; ``problem`` then says why (``"too large"``,
    ``"not encodable"``).  ``truncated`` maps what was left out (an attribute's key, ``"exemplars"``) to the
    bytes it would have taken.
    """

    metric_name: str
    payload: bytes | None
    truncated: Mapping[str, int] = field(default_factory=dict)
    problem: str | None = None
