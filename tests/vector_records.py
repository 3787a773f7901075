"""The golden vectors' way of writing values and records, as Python values and SDK objects."""

from __future__ import annotations

from typing import Any

from otel_etw.tracelogging.decode import FieldValue, decode_payload
from otel_etw.tracelogging.metadata import decode_metadata


def value_of(typed: dict[str, Any] | None) -> Any:
    """The Python value of ``{"type": ..., "value": ...}``."""
    if typed is None:
        return None
    kind, value = typed["type"], typed["value"]
    if kind == "double":
        return float(value)
    if kind == "bytes":
        return bytes.fromhex(value)
    if kind == "list":
        return [value_of(item) for item in value]
    if kind == "map":
        return attributes_of(value)
    if isinstance(value, dict):
        return value["repeat"] * value["times"]
    return value


def attributes_of(pairs: list[dict[str, Any]]) -> dict[str, Any]:
    """The mapping of a list of ``{"key": ..., "type": ..., "value": ...}``."""
    return {pair["key"]: value_of(pair) for pair in pairs}


def id_of(text: str | None) -> int | None:
    return None if text is None else int(text, 16)


def values_of(metadata: bytes, payload: bytes) -> tuple[FieldValue, ...]:
    """The decoded values of an event; nothing may be left over."""
    decoded = decode_payload(decode_metadata(metadata).fields, payload)
    assert decoded.problem is None
    assert not decoded.trailing
    return decoded.values
