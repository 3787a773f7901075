"""Attribute values as OTLP ``AnyValue`` messages, and back.

Kinds are those of the SDK's own OTLP encoder.  Beyond it nothing raises: an integer past 64 bits is decimal
text, any other object its ``str()``, lone surrogates become U+FFFD, and a value that nests deeper than a
protobuf parser follows, or has more parts than an event has bytes, is JSON text as a whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList

from otel_etw.errors import EncodeError
from otel_etw.layouts.json_text import json_text
from otel_etw.layouts.plain_text import clean_text, integer_text, text_of

# Parsers stop at 100 nested messages: 8 down to a point's attribute value, 3 for each map inside it.
_MAX_DEPTH = 24
# An event has 65535 bytes and a value takes two at least.
_MAX_VALUES = 1 << 15

_INT64 = range(-(2**63), 2**63)


def key_values(attributes: Mapping[str, object] | None) -> list[KeyValue]:
    """All attributes, in order."""
    return [] if not attributes else [key_value(own_text(key), value) for key, value in attributes.items()]


def own_text(value: object) -> str:
    """A string's own characters, whatever its class says of it with ``str()``; of anything else just that."""
    return clean_text(value) if isinstance(value, str) else text_of(value)


def key_value(key: str, value: object) -> KeyValue:
    """One attribute; never raises."""
    try:
        return KeyValue(key=key, value=_any_value(value, _MAX_DEPTH, iter(range(_MAX_VALUES))))
    except Exception:  # noqa: BLE001 - too deep, too many parts, and whatever the application's object raises
        return KeyValue(key=key, value=AnyValue(string_value=json_text(value)))


def python_value(message: AnyValue) -> Any:
    """The value of an ``AnyValue``; ``None`` if it holds none, or a kind this package does not know."""
    kind = message.WhichOneof("value")
    if kind == "array_value":
        return [python_value(item) for item in message.array_value.values]
    if kind == "kvlist_value":
        return python_attributes(message.kvlist_value.values)
    return getattr(message, kind) if kind in _SCALARS else None


def python_attributes(pairs: Sequence[KeyValue]) -> dict[str, Any]:
    """Attributes by key; the last of several of one key wins."""
    return {pair.key: python_value(pair.value) for pair in pairs}


_SCALARS = ("string_value", "bool_value", "int_value", "double_value", "bytes_value")


def _any_value(value: object, levels_left: int, values_left: Iterator[int]) -> AnyValue:
    if next(values_left, None) is None:
        raise EncodeError("a value with more parts than an event has bytes")
    if value is None:
        return AnyValue()
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, str):
        return AnyValue(string_value=clean_text(value))
    if isinstance(value, int):
        number = int(value)
        return AnyValue(int_value=number) if number in _INT64 else AnyValue(string_value=integer_text(number))
    if isinstance(value, float):
        return AnyValue(double_value=value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return AnyValue(bytes_value=bytes(value))
    if isinstance(value, (Sequence, Mapping)):
        if not levels_left:
            raise EncodeError("a value nested deeper than a parser follows")
        return _container_value(value, levels_left - 1, values_left)
    return AnyValue(string_value=text_of(value))


def _container_value(
    value: Sequence[object] | Mapping[Any, object], levels_left: int, values_left: Iterator[int]
) -> AnyValue:
    if isinstance(value, Mapping):
        members = [
            KeyValue(key=own_text(key), value=_any_value(item, levels_left, values_left))
            for key, item in value.items()
        ]
        return AnyValue(kvlist_value=KeyValueList(values=members))
    items = [_any_value(item, levels_left, values_left) for item in value]
    return AnyValue(array_value=ArrayValue(values=items))
