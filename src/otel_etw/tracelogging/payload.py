"""A tree of values to payload bytes: the inverse of :func:`.decode.decode_payload`, for every type.

Values are what decoding gives (the table in :mod:`.decode`), each alone or as a
:class:`.FieldValue`.  What decoding had to interpret is written in its canonical form: text as
UTF-8, a bool as 0 or 1.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from ipaddress import IPv6Address

from otel_etw.errors import EncodeError
from otel_etw.tracelogging.decode import FieldValue
from otel_etw.tracelogging.metadata import ArrayKind, Field
from otel_etw.tracelogging.scalars import Scalar, scalar
from otel_etw.tracelogging.text import utf8, utf16
from otel_etw.tracelogging.types import InType, OutType
from otel_etw.tracelogging.values import sid_bytes

_U16 = struct.Struct("<H")
_MAX_U16 = 0xFFFF


def encode_payload(fields: Sequence[Field], values: Sequence[object], pointer_size: int = 8) -> bytes:
    """The payload with ``values`` for ``fields``, one each in the same order.

    A struct's value is such a sequence for its members, an array's a sequence of elements.
    Raises ``EncodeError``, which names the field, for a value of the wrong type or out of range, a string
    with a NUL in a NUL-terminated field, anything counted longer than 65535, or an in-type without encoding.
    """
    payload = bytearray()
    _encode_members(payload, fields, values, pointer_size, "")
    return bytes(payload)


def _encode_members(
    payload: bytearray, fields: Sequence[Field], values: object, pointer_size: int, parent: str
) -> None:
    items = _sequence(values, parent[:-1])
    if len(items) != len(fields):
        raise _fault(f"expected {len(fields)} values, found {len(items)}", parent[:-1])
    for field, item in zip(fields, items, strict=True):
        value = item.value if isinstance(item, FieldValue) else item
        path = parent + field.name
        if field.array is ArrayKind.SCALAR:
            _encode_element(payload, field, value, pointer_size, path)
        elif field.array is ArrayKind.CUSTOM:
            payload += _counted(_bytes(value, path), path)
        else:
            _encode_array(payload, field, value, pointer_size, path)


def _encode_array(payload: bytearray, field: Field, value: object, pointer_size: int, path: str) -> None:
    elements = _sequence(value, path)
    if field.array is ArrayKind.FIXED and len(elements) != field.count:
        raise _fault(f"expected {field.count} elements, found {len(elements)}", path)
    if len(elements) > _MAX_U16:
        raise _fault(f"an array has at most {_MAX_U16} elements, found {len(elements)}", path)
    if field.array is ArrayKind.VARIABLE:
        payload += _U16.pack(len(elements))
    for index, element in enumerate(elements):
        _encode_element(payload, field, element, pointer_size, f"{path}[{index}]")


def _encode_element(payload: bytearray, field: Field, value: object, pointer_size: int, path: str) -> None:
    kind = scalar(field.in_type, field.out_type, pointer_size)
    if kind is not None:
        payload += _scalar(kind, value, path)
    elif field.in_type == InType.STRUCT:
        _encode_members(payload, field.members, value, pointer_size, path + ".")
    else:
        write = _WRITERS.get(field.in_type)
        if write is None:
            raise _fault(f"in-type {int(field.in_type)} has no known encoding", path)
        payload += write(field, value, path)


def _scalar(kind: Scalar, value: object, path: str) -> bytes:
    try:
        raw = value if kind.to_raw is None else kind.to_raw(value)
        return kind.packer.pack(raw)
    except (struct.error, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise _fault(f"{value!r:.60} does not fit: {error}", path) from None


def _sequence(value: object, path: str) -> Sequence[object]:
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes, bytearray)):
        return value
    raise _fault(f"expected a sequence, found {value!r:.60}", path)


def _null(field: Field, value: object, path: str) -> bytes:
    if value is not None:
        raise _fault(f"expected None, found {value!r:.60}", path)
    return b""


def _bytes(value: object, path: str) -> bytes:
    if not isinstance(value, (bytes, bytearray, memoryview)):
        raise _fault(f"expected bytes, found {value!r:.60}", path)
    return bytes(value)


def _text(value: object, path: str) -> str:
    if not isinstance(value, str):
        raise _fault(f"expected text, found {value!r:.60}", path)
    return value


def _counted(data: bytes, path: str) -> bytes:
    if len(data) > _MAX_U16:
        raise _fault(f"expected at most {_MAX_U16} bytes, found {len(data)}", path)
    return _U16.pack(len(data)) + data


def _counted_8bit(field: Field, value: object, path: str) -> bytes:
    return _counted(utf8(_text(value, path)), path)


def _counted_utf16(field: Field, value: object, path: str) -> bytes:
    return _counted(utf16(_text(value, path)), path)


def _terminated_8bit(field: Field, value: object, path: str) -> bytes:
    return utf8(_without_nul(value, path)) + b"\0"


def _terminated_utf16(field: Field, value: object, path: str) -> bytes:
    return utf16(_without_nul(value, path)) + b"\0\0"


def _without_nul(value: object, path: str) -> str:
    text = _text(value, path)
    if "\0" in text:
        raise _fault(f"a NUL-terminated string must not contain NUL, found {text!r:.60}", path)
    return text


def _binary(field: Field, value: object, path: str) -> bytes:
    if field.out_type == OutType.IPV6 and isinstance(value, IPv6Address):
        value = value.packed
    return _counted(_bytes(value, path), path)


def _sid(field: Field, value: object, path: str) -> bytes:
    text = _text(value, path)
    try:
        return sid_bytes(text)
    except EncodeError as error:
        raise _fault(str(error), path) from None


def _fault(problem: str, path: str) -> EncodeError:
    return EncodeError(f"{problem} - field {path!r}" if path else problem)


_WRITERS: dict[int, Callable[[Field, object, str], bytes]] = {
    InType.NULL: _null,
    InType.CSTR16: _terminated_utf16,
    InType.CSTR8: _terminated_8bit,
    InType.BINARY: _binary,
    InType.SID: _sid,
    InType.STR16: _counted_utf16,
    InType.STR8: _counted_8bit,
    InType.BINARYC: _binary,
}
