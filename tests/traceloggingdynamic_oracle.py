"""Microsoft's ``traceloggingdynamic`` as a second opinion on metadata and payload.

Known differences from what this project writes, so left out of comparisons:

* It loads a Windows library at import; :func:`load` lends it a stand-in where there is none. Only the
  builder is used, never the provider.
* Growing its data buffer copies the metadata buffer over the payload: it is given its full size first.
* ``add_uint8`` packs signed numbers: values over 127 are handed over as negative ones of the same byte.
* It takes structs of 1 to 127 members, no arrays of structs, no fixed arrays, no custom fields, no
  in-type 0 or 16, no array of in-type 14, at most 128 fields (arrays and in-type 14 count twice) and
  32 KiB of metadata.
* A NUL in a NUL-terminated string ends it there; ours refuses the value.
* A lone surrogate raises; ours becomes U+FFFD.
* A name is bytes, not text, and a NUL in it is an assertion.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import patch

from otel_etw.tracelogging.metadata import ArrayKind, EventMetadata, Field
from otel_etw.tracelogging.types import InType


class _StandInLibrary:
    """Has every function, as an object that remembers its result and argument types and is never called."""

    def __init__(self, *args: object, **options: object) -> None:
        self.functions: dict[str, SimpleNamespace] = {}

    def __getattr__(self, name: str) -> SimpleNamespace:
        return self.functions.setdefault(name, SimpleNamespace())


@cache
def load() -> ModuleType:
    """The module, imported with a stand-in for ``ctypes.WinDLL`` where that does not exist."""
    if hasattr(ctypes, "WinDLL"):
        return import_module("traceloggingdynamic")
    with patch.object(ctypes, "WinDLL", _StandInLibrary, create=True):
        return import_module("traceloggingdynamic")


class OracleBuilder:
    """Microsoft's ``EventBuilder`` with access to the bytes it made; ``builder`` is the object itself."""

    def __init__(self, name: str, tag: int = 0) -> None:
        self.builder = load().EventBuilder(initial_meta_len=32768, initial_data_len=65536)
        self.builder.reset(name.encode(), tag=tag)

    def metadata(self) -> bytes:
        """The metadata; its size field is filled in here, as ``Provider.write`` would."""
        self.builder.check_state()
        size_bytes = self.builder._meta_pos
        return size_bytes.to_bytes(2, "little") + bytes(self.builder._meta)[2:size_bytes]

    def payload(self) -> bytes:
        self.builder.check_state()
        return bytes(self.builder._data)[: self.builder._data_pos]


_METHODS: dict[int, str] = {
    InType.CSTR16: "add_zstr16",
    InType.CSTR8: "add_zstr8",
    InType.INT8: "add_int8",
    InType.UINT8: "add_uint8",
    InType.INT16: "add_int16",
    InType.UINT16: "add_uint16",
    InType.INT32: "add_int32",
    InType.UINT32: "add_uint32",
    InType.INT64: "add_int64",
    InType.UINT64: "add_uint64",
    InType.FLOAT: "add_float32",
    InType.DOUBLE: "add_float64",
    InType.BOOL32: "add_bool32",
    InType.BINARY: "add_binary_bytes",
    InType.GUID: "add_guid",
    InType.FILETIME: "add_filetime_int64",
    InType.SYSTEMTIME: "add_systemtime_bytes",
    InType.SID: "add_sid_bytes",
    InType.HEX32: "add_hexint32",
    InType.HEX64: "add_hexint64",
    InType.STR16: "add_str16",
    InType.STR8: "add_str8",
    InType.BINARYC: "add_cbinary_bytes",
}


def sid_to_bytes(text: str) -> bytes:
    """A SID for the oracle, which takes bytes; written apart from the project's own."""
    _, revision, authority, *rest = text.split("-")
    head = bytes((int(revision), len(rest))) + int(authority, 0).to_bytes(6, "big")
    return head + b"".join(int(part).to_bytes(4, "little") for part in rest)


def _oracle_value(in_type: int, value: Any) -> object:
    if in_type == InType.UINT8 and value > 127:
        return value - 256
    if in_type == InType.SYSTEMTIME:
        return struct.pack("<8H", *value)
    if in_type == InType.SID:
        return sid_to_bytes(value)
    return value


def add_to_builder(builder: Any, field: Field, value: Any) -> None:
    """One field with its value, given to Microsoft's builder."""
    name = field.name.encode()
    if field.in_type == InType.STRUCT:
        builder.add_struct(name, len(field.members), field.tag)
        for member, member_value in zip(field.members, value, strict=True):
            add_to_builder(builder, member, member_value)
    elif field.array is ArrayKind.VARIABLE:
        elements = [_oracle_value(field.in_type, element) for element in value]
        getattr(builder, _METHODS[field.in_type] + "_seq")(name, elements, field.out_type, field.tag)
    else:
        getattr(builder, _METHODS[field.in_type])(
            name, _oracle_value(field.in_type, value), field.out_type, field.tag
        )


def oracle_event(metadata: EventMetadata, values: Sequence[object]) -> tuple[bytes, bytes]:
    """Metadata and payload of the event as Microsoft's builder makes them."""
    oracle = OracleBuilder(metadata.name, metadata.tag)
    for field, value in zip(metadata.fields, values, strict=True):
        add_to_builder(oracle.builder, field, value)
    return oracle.metadata(), oracle.payload()
