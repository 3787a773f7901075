"""Making an event: :class:`EventBuilder`, field by field, on the application's hot path.

Each ``add_*`` appends to two growing buffers, the metadata and the payload, and nothing else;
there are no field objects.  The general encoder for any type is :func:`encode_payload`
(from :mod:`.payload`).
"""

from __future__ import annotations

import struct
from functools import lru_cache
from types import TracebackType

from otel_etw.errors import EncodeError
from otel_etw.tracelogging.metadata import MAX_STRUCT_MEMBERS, encode_event_tag, encode_name, finish_metadata
from otel_etw.tracelogging.payload import encode_payload
from otel_etw.tracelogging.types import InType

__all__ = ["MAX_COUNTED_BYTES", "EventBuilder", "encode_payload"]

MAX_COUNTED_BYTES = 0xFFFF
"""Longest counted value (string or bytes): its byte count is a u16."""

_U8 = struct.Struct("<B").pack
_I16 = struct.Struct("<h").pack
_U16 = struct.Struct("<H").pack
_I64 = struct.Struct("<q").pack
_F64 = struct.Struct("<d").pack
_FALSE = b"\0\0\0\0"
_TRUE = b"\1\0\0\0"

# Looking a member up in an enumeration costs more than the rest of an entry: do it once.
_IN_U8, _IN_I16, _IN_U16, _IN_I64 = InType.UINT8, InType.INT16, InType.UINT16, InType.INT64
_IN_F64, _IN_BOOL32, _IN_STR8, _IN_BINARY = InType.DOUBLE, InType.BOOL32, InType.STR8, InType.BINARY

_STRUCT_ENTRY = bytes((0, InType.STRUCT | 0x80, 0))


@lru_cache(maxsize=256)
def _entry(in_type: int, out: int) -> bytes:
    """What follows a field's name in the metadata: its NUL, the in-type and, unless 0, the out-type."""
    if not 0 <= out <= 0x7F:
        raise EncodeError(f"an out-type must be 0 to 127, found {out}")
    return bytes((0, in_type | 0x80, out)) if out else bytes((0, in_type))


class EventBuilder:
    """Metadata and payload of one event, in the encoding of the Rust builder.

    Names are text; one with a NUL raises ``EncodeError``, as does a value out of range.  After such an
    error the field is not in the event and the builder can go on.  ``out`` is an out-type::

        builder = EventBuilder("Log")
        builder.add_u16("__csver__", 0x400, OutType.UNSIGNED)
        with builder.struct("PartB"):
            builder.add_str8("_typeName", b"Log")
        write(builder.metadata(), builder.payload())
    """

    __slots__ = ("_counts", "_metadata", "_payload")

    def __init__(self, name: str, tag: int = 0) -> None:
        self._metadata = bytearray(b"\0\0")
        self._metadata += encode_event_tag(tag)
        self._metadata += encode_name(name, "an event")
        self._metadata.append(0)
        self._payload = bytearray()
        self._counts = [0]

    def add_u8(self, name: str, value: int, out: int = 0) -> None:
        """UINT8; 0 to 255."""
        try:
            data = _U8(value)
        except struct.error:
            raise _out_of_range(name, value, "0 to 255") from None
        self._add(name, _entry(_IN_U8, out), data)

    def add_i16(self, name: str, value: int, out: int = 0) -> None:
        """INT16; -2**15 to 2**15-1."""
        try:
            data = _I16(value)
        except struct.error:
            raise _out_of_range(name, value, "a 16-bit signed integer") from None
        self._add(name, _entry(_IN_I16, out), data)

    def add_u16(self, name: str, value: int, out: int = 0) -> None:
        """UINT16; 0 to 65535."""
        try:
            data = _U16(value)
        except struct.error:
            raise _out_of_range(name, value, "0 to 65535") from None
        self._add(name, _entry(_IN_U16, out), data)

    def add_i64(self, name: str, value: int, out: int = 0) -> None:
        """INT64; -2**63 to 2**63-1."""
        try:
            data = _I64(value)
        except struct.error:
            raise _out_of_range(name, value, "a 64-bit signed integer") from None
        self._add(name, _entry(_IN_I64, out), data)

    def add_f64(self, name: str, value: float, out: int = 0) -> None:
        """DOUBLE; any float, infinities and NaN included."""
        try:
            data = _F64(value)
        except (struct.error, OverflowError):
            raise _out_of_range(name, value, "a float") from None
        self._add(name, _entry(_IN_F64, out), data)

    def add_bool32(self, name: str, value: bool, out: int = 0) -> None:
        """BOOL32; 4 bytes, 0 or 1."""
        self._add(name, _entry(_IN_BOOL32, out), _TRUE if value else _FALSE)

    def add_str8(self, name: str, utf8_bytes: bytes, out: int = 0) -> None:
        """Counted 8-bit text, at most 65535 bytes: the caller cuts, and decides where."""
        self._add(name, _entry(_IN_STR8, out), _counted(name, utf8_bytes))

    def add_binary(self, name: str, data: bytes) -> None:
        """Counted bytes of the old in-type 14, at most 65535."""
        self._add(name, _entry(_IN_BINARY, 0), _counted(name, data))

    def struct(self, name: str) -> _StructScope:
        """``with builder.struct(name):`` makes a struct of the fields added inside, at most 127.

        Their number is counted here; more raise ``EncodeError`` at the end of the block.
        """
        return _StructScope(self, name)

    def metadata(self) -> bytes:
        """The metadata blob so far, at most 65535 bytes or ``EncodeError``; not inside an open struct."""
        if len(self._counts) != 1:
            raise EncodeError("the metadata is complete only after the last struct has ended")
        return finish_metadata(self._metadata)

    def payload(self) -> bytes:
        """The field values so far."""
        return bytes(self._payload)

    def _add(self, name: str, entry: bytes, data: bytes) -> None:
        try:
            encoded = name.encode()
        except UnicodeEncodeError:
            encoded = encode_name(name)
        if 0 in encoded:
            raise EncodeError(f"a field name must not contain NUL, found {name!r}")
        self._metadata += encoded + entry
        self._payload += data
        self._counts[-1] += 1

    def _open_struct(self, name: str) -> int:
        """Start a struct; gives where in the metadata its number of members goes."""
        self._add(name, _STRUCT_ENTRY, b"")
        self._counts.append(0)
        return len(self._metadata) - 1

    def _close_struct(self, count_offset: int) -> int:
        """End the innermost struct; gives the number of its members."""
        count = self._counts.pop()
        if count == 0:
            # As the Rust builder has it: no out byte at all. Nothing follows it yet.
            del self._metadata[count_offset]
            self._metadata[count_offset - 1] = InType.STRUCT
        else:
            self._metadata[count_offset] = min(count, MAX_STRUCT_MEMBERS)
        return count


class _StructScope:
    """The block of a ``with builder.struct(name)``."""

    __slots__ = ("_builder", "_count_offset", "_name")

    def __init__(self, builder: EventBuilder, name: str) -> None:
        self._builder = builder
        self._name = name

    def __enter__(self) -> None:
        self._count_offset = self._builder._open_struct(self._name)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        count = self._builder._close_struct(self._count_offset)
        if count > MAX_STRUCT_MEMBERS and error is None:
            raise EncodeError(
                f"a struct has at most {MAX_STRUCT_MEMBERS} members, found {count} - field {self._name!r}"
            )


def _counted(name: str, data: bytes) -> bytes:
    if len(data) > MAX_COUNTED_BYTES:
        raise EncodeError(f"expected at most {MAX_COUNTED_BYTES} bytes, found {len(data)} - field {name!r}")
    return _U16(len(data)) + data


def _out_of_range(name: str, value: object, expected: str) -> EncodeError:
    return EncodeError(f"expected {expected}, found {value!r:.60} - field {name!r}")
