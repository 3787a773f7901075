"""Trace and span ids as the activity id of an event, by which PerfView and WPA group events.

No reference writes the trace id there.  It is put so that the GUID's *text* reads like the trace id, which is
what a person copies from one tool into the other.  The span id is put as the C++ exporter puts it: its eight
bytes in order, then zeros (spec/otel-on-etw.md, section 4.1).
"""

from __future__ import annotations

from typing import Literal

ActivityId = Literal["trace", "span"]
"""Which id of a record or span becomes the activity id of its event."""

_NO_SPAN_HALF = bytes(8)


def activity_id(kind: ActivityId | None, trace_id: int | None, span_id: int | None) -> bytes | None:
    """16 bytes in GUID memory order; ``None`` where there is no such id. Ids are unsigned 128 and 64 bits."""
    if kind == "trace":
        if not trace_id:
            return None
        # What ``UUID(...).bytes_le`` answers, several times as quick: records of other traces take turns.
        text_order = (trace_id & (2**128 - 1)).to_bytes(16, "big")
        return text_order[3::-1] + text_order[5:3:-1] + text_order[7:5:-1] + text_order[8:]
    if kind == "span":
        return (span_id & (2**64 - 1)).to_bytes(8, "big") + _NO_SPAN_HALF if span_id else None
    return None
