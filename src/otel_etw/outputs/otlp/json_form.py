"""OTLP messages as OTLP's JSON, on one line.

OTLP's JSON is that of Protobuf with some differences (OTLP specification, "JSON Protobuf Encoding"): names
in lowerCamelCase only, trace and span ids as hexadecimal digits instead of base64, enums as integers.  As in
Protobuf's, 64-bit integers are strings, other bytes base64, NaN and infinities strings, and fields that have
their default value are left out.
"""

from __future__ import annotations

import json
import math
from base64 import b64encode
from collections.abc import Callable
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from otel_etw.outputs.text import escaped_json

_IDS = frozenset({"trace_id", "span_id", "parent_span_id"})
_NON_FINITE = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
_dumps = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False).encode


def json_line(message: Message) -> bytes:
    """``message`` in UTF-8, with a line feed at the end; what a terminal would act on is escaped."""
    return escaped_json(_dumps(json_object(message))).encode() + b"\n"


def json_object(message: Message) -> dict[str, Any]:
    """``message`` as what ``json.dumps`` takes."""
    if type(message) is KeyValue:
        return {"key": message.key, "value": _any_value(message.value)}
    members: dict[str, Any] = {}
    for field, value in message.ListFields():
        known = _FIELDS.get(field.full_name)
        if known is None:
            known = _FIELDS[field.full_name] = (field.json_name, _writer(field))
        name, write = known
        members[name] = value if write is None else write(value)
    return members


def _any_value(message: AnyValue) -> dict[str, Any]:
    """An attribute's value: there are more of them than of all other messages."""
    kind = message.WhichOneof("value")
    if kind == "string_value":
        return {"stringValue": message.string_value}
    if kind == "int_value":
        return {"intValue": str(message.int_value)}
    return json_object(message)


_FIELDS: dict[str, tuple[str, Callable[[Any], Any] | None]] = {}
"""Full name of a field -> its name in JSON, and what makes JSON of its value (``None``: nothing to do)."""


def _writer(field: FieldDescriptor) -> Callable[[Any], Any] | None:
    write = _single_writer(field)
    if not _is_repeated(field):
        return write
    return list if write is None else lambda values: [write(value) for value in values]


def _single_writer(field: FieldDescriptor) -> Callable[[Any], Any] | None:
    if field.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE:
        return json_object
    if field.cpp_type in (FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64):
        return str
    if field.cpp_type in (FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT):
        return _number
    if field.type == FieldDescriptor.TYPE_BYTES:
        return _hexadecimal if field.name in _IDS else _base64
    return None


def _is_repeated(field: FieldDescriptor) -> bool:
    # Newer releases of protobuf have the property, and warn of what was there before.
    if hasattr(field, "is_repeated"):
        return bool(field.is_repeated)
    return bool(field.label == FieldDescriptor.LABEL_REPEATED)  # type: ignore[attr-defined]


def _number(value: float) -> Any:
    return value if math.isfinite(value) else _NON_FINITE[str(value)]


def _hexadecimal(value: bytes) -> str:
    return value.hex()


def _base64(value: bytes) -> str:
    return b64encode(value).decode("ascii")
