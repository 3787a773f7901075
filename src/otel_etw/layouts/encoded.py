"""What every encoder of this package hands to an emitter: one event, ready to be written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from otel_etw.tracelogging.types import EventDescriptor

NOT_WANTED = -1
"""What a generated encoder answers beside Windows' codes: no session wants this event."""


@dataclass(frozen=True)
class EncodedEvent:
    """One event's descriptor, metadata and payload.

    ``truncated`` maps the name of each field that was cut to fit to the length in bytes it had before;
    ``activity_id`` is 16 bytes in GUID memory order, or ``None`` to leave it to the system.
    """

    descriptor: EventDescriptor
    metadata: bytes
    payload: bytes
    truncated: Mapping[str, int] = field(default_factory=dict)
    activity_id: bytes | None = None
