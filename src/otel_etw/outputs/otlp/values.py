"""The text of JSON columns, and ids and times of rows, as what OTLP messages hold. Nothing here raises.

Types come back as :mod:`otel_etw.tables.json_values` wrote them: an object whose one member is ``$bytes`` is
bytes, a number with a fraction or an exponent is a double, any other number an integer.

One thing the convention cannot tell: ``"NaN"`` and ``"Infinity"`` among attributes may have been a double or
the text, and are taken for the text.  Where only a number can stand (a body of type ``double``, quantiles,
exemplars) they are numbers.
"""

from __future__ import annotations

import json
from base64 import b64decode
from typing import Any

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from otel_etw.layouts.otlp_metrics.values import key_value
from otel_etw.tables.json_values import BYTES_KEY

_TRACE_ID_BYTES = 16
_SPAN_ID_BYTES = 8
_MOST_NANOSECONDS = (1 << 64) - 1


def attributes_of(text: str | None) -> list[KeyValue]:
    """The members of a JSON column's object; none if it is null."""
    if not text or text == "{}":
        return []
    members = parsed(text)
    return key_values_of(members)


def key_values_of(members: object) -> list[KeyValue]:
    """A map out of a JSON column as attributes; none if it is no map."""
    return [_pair(key, value) for key, value in members.items()] if isinstance(members, dict) else []


def parsed(text: str | None) -> Any:
    """The value of a JSON column, bytes restored; ``None`` for null, and the text itself if it is no JSON."""
    if text is None:
        return None
    try:
        return json.loads(text, object_hook=_restored) if BYTES_KEY in text else json.loads(text)
    except (ValueError, RecursionError):
        return text


def any_value(value: object) -> AnyValue:
    """One value of any type."""
    return key_value("", value).value


def body_value(text: str | None, kind: str | None) -> AnyValue | None:
    """The columns ``body`` and ``body_type`` as a log record's body; ``None`` if it has none."""
    if text is None:
        return None
    if kind in _BODIES:
        try:
            return any_value(_BODIES[kind](text))
        except ValueError:
            pass  # it is not what its type says: then it is a text
    return AnyValue(string_value=text)


def trace_id(text: str | None) -> bytes:
    """The 16 bytes of an id; empty if there is none, or what stands there is none."""
    return _id(text, _TRACE_ID_BYTES)


def span_id(text: str | None) -> bytes:
    """The 8 bytes of an id; empty if there is none, or what stands there is none."""
    return _id(text, _SPAN_ID_BYTES)


def nanoseconds(unix_nano: int | None) -> int:
    """A time as OTLP has it: 0 is no time, and nothing is before 1970."""
    return min(max(unix_nano or 0, 0), _MOST_NANOSECONDS)


def within(value: int | None, bits: int) -> int:
    """An unsigned number of that many bits; 0 if there is none, or it does not fit."""
    return value if value is not None and 0 <= value < 1 << bits else 0


def double(value: object) -> float:
    """A number of a JSON column where only a number can stand, ``"NaN"`` and its kin too; else 0."""
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return 0.0


def _pair(key: str, value: Any) -> KeyValue:
    """One attribute; the most frequent kinds of values at once."""
    field = _SCALARS.get(type(value))
    if field is not None:
        try:
            return KeyValue(key=key, value=AnyValue(**{field: value}))
        except ValueError:
            pass  # more than 64 bits, or text that has no encoding: these have stand-ins
    return key_value(key, value)


_SCALARS: dict[type, Any] = {
    str: "string_value",
    bool: "bool_value",
    int: "int_value",
    float: "double_value",
}


def _id(text: str | None, length_bytes: int) -> bytes:
    # Receivers refuse a whole message for one id of a wrong length.
    if not text or len(text) != 2 * length_bytes:
        return b""
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""


def _restored(members: dict[str, Any]) -> Any:
    if len(members) == 1 and isinstance(members.get(BYTES_KEY), str):
        try:
            return b64decode(members[BYTES_KEY], validate=True)
        except ValueError:
            pass  # a map that only looks like it
    return members


_BODIES: dict[str | None, Any] = {
    "int": int,
    "double": float,
    "bool": lambda text: text == "true",
    "bytes": lambda text: b64decode(text, validate=True),
    "json": parsed,
}
