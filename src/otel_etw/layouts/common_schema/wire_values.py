"""The field that a Python value becomes: section 3's types, and a stated stand-in for all that have none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from otel_etw.layouts.json_text import json_text
from otel_etw.layouts.plain_text import integer_text, text_of
from otel_etw.tracelogging.types import OutType

WireContent = str | bytes | bool | int | float
"""Text, BINARY, BOOL32, INT64 or DOUBLE, in this order of types."""

_INT64 = range(-(2**63), 2**63)


def wire_value(value: object) -> tuple[WireContent, int]:
    """The content and out-type of a field for any Python object; never raises."""
    try:
        return _known_value(value)
    except Exception:  # noqa: BLE001 - an object that does not even say what it is
        return text_of(value), OutType.DEFAULT


def integer_content(value: object) -> int | None:
    """A value whose field is an INT64 (so no bool, and none beyond 64 bits) as an integer; else ``None``."""
    content, _ = wire_value(value)
    return content if isinstance(content, int) and not isinstance(content, bool) else None


def _known_value(value: object) -> tuple[WireContent, int]:
    if isinstance(value, str):
        return str.__str__(value), OutType.DEFAULT
    if value is None:
        return "", OutType.DEFAULT
    if isinstance(value, bool):
        return value, OutType.DEFAULT
    if isinstance(value, int):
        number = int(value)
        return (number if number in _INT64 else integer_text(number)), OutType.DEFAULT
    if isinstance(value, float):
        return float(value), OutType.DEFAULT
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value), OutType.DEFAULT
    if isinstance(value, (Mapping, Sequence)):
        return json_text(value), OutType.JSON
    return text_of(value), OutType.DEFAULT
