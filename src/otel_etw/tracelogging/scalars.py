"""Field types of fixed size: one table, from which both the encoder and the decoder work.

A :class:`Scalar` says how many bytes a value has and how they become a Python value, which
depends on the in-type and, for a few combinations, on the out-type.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import lru_cache
from ipaddress import IPv4Address
from typing import Any, NamedTuple
from uuid import UUID

from otel_etw.tracelogging.types import InType, OutType
from otel_etw.tracelogging.values import FileTime, SystemTime


class Scalar(NamedTuple):
    """One value as :mod:`struct` sees it, and the steps from there to the Python value and back, if any.

    ``to_raw`` may raise ``TypeError``, ``ValueError``, ``AttributeError`` or ``OverflowError``.
    """

    packer: struct.Struct
    to_python: Callable[[Any], object] | None = None
    to_raw: Callable[[Any], object] | None = None


def _is_true(raw: int) -> bool:
    return raw != 0


def _truth(value: object) -> int:
    if value is True or value is False:
        return int(value)
    raise TypeError("expected a bool")


def _swap16(value: int) -> int:
    return (value & 0xFF) << 8 | value >> 8


def _swap16_checked(value: int) -> int:
    if not 0 <= value <= 0xFFFF:
        raise ValueError("expected a port of 0 to 65535")
    return _swap16(value)


def _character8(raw: int) -> str:
    return chr(raw & 0xFF)


def _character16(raw: int) -> str:
    return "\ufffd" if 0xD800 <= raw <= 0xDFFF else chr(raw)


def _signed_character(value: str) -> int:
    code = ord(value)
    return code - 256 if 128 <= code <= 255 else code


def _guid(raw: bytes) -> UUID:
    return UUID(bytes_le=raw)


def _guid_bytes(value: UUID) -> bytes:
    return value.bytes_le


def _ipv4_bytes(value: IPv4Address) -> bytes:
    if not isinstance(value, IPv4Address):
        raise TypeError("expected an ipaddress.IPv4Address")
    return value.packed


def _systemtime_bytes(value: SystemTime) -> bytes:
    return SystemTime._make(value).to_bytes()


_CODES: dict[int, str] = {
    InType.INT8: "b",
    InType.UINT8: "B",
    InType.INT16: "h",
    InType.UINT16: "H",
    InType.INT32: "i",
    InType.UINT32: "I",
    InType.INT64: "q",
    InType.UINT64: "Q",
    InType.FLOAT: "f",
    InType.DOUBLE: "d",
    InType.BOOL32: "i",
    InType.GUID: "16s",
    InType.FILETIME: "q",
    InType.SYSTEMTIME: "16s",
    InType.HEX32: "I",
    InType.HEX64: "Q",
}

_Converters = tuple[Callable[[Any], object], Callable[[Any], object]]

_BY_IN_TYPE: dict[int, _Converters] = {
    InType.BOOL32: (_is_true, _truth),
    InType.GUID: (_guid, _guid_bytes),
    InType.FILETIME: (FileTime, int),
    InType.SYSTEMTIME: (SystemTime.from_bytes, _systemtime_bytes),
}

_BY_BOTH: dict[tuple[int, int], _Converters] = {
    (InType.UINT8, OutType.BOOLEAN): (_is_true, _truth),
    (InType.INT8, OutType.BOOLEAN): (_is_true, _truth),
    (InType.INT32, OutType.BOOLEAN): (_is_true, _truth),
    (InType.UINT8, OutType.STRING): (_character8, ord),
    (InType.INT8, OutType.STRING): (_character8, _signed_character),
    (InType.UINT16, OutType.STRING): (_character16, ord),
    (InType.UINT16, OutType.PORT): (_swap16, _swap16_checked),
    (InType.UINT32, OutType.IPV4): (IPv4Address, _ipv4_bytes),
}


@lru_cache(maxsize=1024)
def scalar(in_type: int, out_type: int, pointer_size: int) -> Scalar | None:
    """How to read and write one value of this type; None if it has no fixed size (or is none at all)."""
    if in_type == InType.POINTER:
        code: str | None = "I" if pointer_size == 4 else "Q"
    elif in_type == InType.UINT32 and out_type == OutType.IPV4:
        code = "4s"
    else:
        code = _CODES.get(in_type)
    if code is None:
        return None
    to_python, to_raw = _BY_BOTH.get((in_type, out_type)) or _BY_IN_TYPE.get(in_type) or (None, None)
    return Scalar(struct.Struct("<" + code), to_python, to_raw)
