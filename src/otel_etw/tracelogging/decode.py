"""Payload bytes to values, led by the fields that the event's metadata describes.

Whatever the bytes, :func:`decode_payload` returns: values up to the first fault, the
fault itself, and the bytes from there on.  Its work is bounded by the bytes it was given:
an element count is believed only if so many elements can still be there, and values that
take no bytes at all (empty structs) are counted against a budget.

=================================== =================================================
field                               Python value
=================================== =================================================
integers, POINTER, HEX32, HEX64     ``int``
FLOAT, DOUBLE                       ``float``
BOOL32; (U)INT8, INT32 + BOOLEAN    ``bool``
(U)INT8, UINT16 + STRING            ``str`` of one character
UINT16 + PORT                       ``int`` in host order
UINT32 + IPV4                       ``ipaddress.IPv4Address``
BINARY of 16 bytes + IPV6           ``ipaddress.IPv6Address``
BINARY, BINARYC, any custom field   ``bytes``
strings                             ``str``, JSON and XML included
GUID, FILETIME, SYSTEMTIME          ``uuid.UUID``, :class:`.FileTime`, :class:`.SystemTime`
SID                                 ``str``, "S-1-5-18"
STRUCT                              ``tuple`` of :class:`FieldValue`
NULL                                ``None``
arrays of any of these              ``list``
=================================== =================================================
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import NamedTuple, cast

from otel_etw.errors import DecodeError
from otel_etw.tracelogging.metadata import MAX_NESTING, ArrayKind, Field, count_fields, has_members
from otel_etw.tracelogging.scalars import scalar
from otel_etw.tracelogging.text import from_8bit, from_utf16
from otel_etw.tracelogging.types import InType, OutType
from otel_etw.tracelogging.values import SID_HEADER_BYTES, sid_size, sid_text

MAX_ZERO_SIZE_ELEMENTS = 64
"""Longest array of elements without bytes, such as empty structs; nothing in the payload bounds those."""

_SPARE_VALUES = 4096
_TOO_MANY_BYTES = 1 << 32
_U16 = struct.Struct("<H")
# Looking a member up in an enumeration is slow enough to matter once for each value.
_SCALAR, _CUSTOM, _STRUCT = ArrayKind.SCALAR, ArrayKind.CUSTOM, InType.STRUCT


class FieldValue(NamedTuple):
    """A field with its value; see the module's table for the types."""

    name: str
    value: object
    field: Field


@dataclass(frozen=True, slots=True)
class DecodedPayload:
    """What a payload held.

    ``trailing`` are the bytes that were not decoded: those after a ``problem``, or left over without one.
    """

    values: tuple[FieldValue, ...]
    trailing: bytes
    problem: DecodeError | None


def decode_payload(
    fields: Sequence[Field], payload: bytes | bytearray | memoryview, pointer_size: int = 8
) -> DecodedPayload:
    """The values of ``fields`` in ``payload``; ``pointer_size`` is the event's, 4 or 8.

    Never raises, whatever the payload.  After a problem, structs and arrays hold the members
    and elements that came before it.
    """
    walk = _Walk(bytes(payload), pointer_size, count_fields(fields))
    values = walk.members(fields, 0)
    problem = None
    if walk.fault is not None:
        problem = DecodeError(walk.fault, offset=walk.fault_offset, field=walk.path(), where="payload")
    return DecodedPayload(values, walk.data[walk.offset :], problem)


def to_dict(values: Sequence[FieldValue]) -> dict[str, object]:
    """Values by name, structs as dicts, arrays as lists; the last of several fields of one name wins."""
    return {value.name: _plain(value) for value in values}


def _plain(value: FieldValue) -> object:
    if not has_members(value.field):
        return value.value
    if value.field.array is ArrayKind.SCALAR:
        return to_dict(cast("tuple[FieldValue, ...]", value.value))
    return [to_dict(element) for element in cast("list[tuple[FieldValue, ...]]", value.value)]


class _Nothing:
    """The type of "no value could be decoded", which None (the value of NULL) cannot say."""


_NOTHING = _Nothing()


class _Walk:
    """One way through a payload. After a fault, every level stops and gives what it has."""

    def __init__(self, data: bytes, pointer_size: int, field_count: int) -> None:
        self.data = data
        self.end = len(data)
        self.offset = 0
        self.pointer_size = pointer_size
        self.fault: str | None = None
        self.fault_offset = 0
        self.fault_path: list[str] = []
        # An honest value has a field of its own or, in an array of structs, at least a byte, which
        # with its struct makes two; the rest is for empty structs in arrays.
        self.values_left = field_count + 2 * len(data) + _SPARE_VALUES
        self.smallest_sizes: dict[int, int] = {}

    def members(self, fields: Sequence[Field], depth: int) -> tuple[FieldValue, ...]:
        values = []
        for field in fields:
            value = self.value(field, depth)
            if value is not _NOTHING:
                values.append(FieldValue(field.name, value, field))
            if self.fault is not None:
                self.fault_path.append(field.name)
                break
        return tuple(values)

    def value(self, field: Field, depth: int) -> object:
        self.values_left -= 1
        if self.values_left < 0:
            return self.stop("more values without bytes than any event has")
        if field.array is _SCALAR:
            return self.element(field, depth)
        if field.array is _CUSTOM:
            return self.counted()
        return self.array(field, depth)

    def element(self, field: Field, depth: int) -> object:
        kind = scalar(field.in_type, field.out_type, self.pointer_size)
        if kind is not None:
            packer = kind.packer
            if self.end - self.offset < packer.size:
                return self.stop(f"expected {packer.size} bytes, {self.end - self.offset} are left")
            (raw,) = packer.unpack_from(self.data, self.offset)
            self.offset += packer.size
            return raw if kind.to_python is None else kind.to_python(raw)
        if field.in_type == _STRUCT:
            if depth >= MAX_NESTING:
                return self.stop(f"structs nest more than {MAX_NESTING} deep")
            return self.members(field.members, depth + 1)
        read = _READERS.get(field.in_type)
        if read is None:
            return self.stop(f"in-type {int(field.in_type)} is of unknown size")
        return read(self, field)

    def array(self, field: Field, depth: int) -> object:
        start = self.offset
        count = field.count
        if field.array is ArrayKind.VARIABLE:
            if self.end - start < 2:
                return self.stop(f"expected an element count of 2 bytes, {self.end - start} are left")
            (count,) = _U16.unpack_from(self.data, start)
            self.offset += 2
        if count and not self.array_fits(field, count):
            self.offset = start
            return _NOTHING
        kind = scalar(field.in_type, field.out_type, self.pointer_size)
        if kind is not None:
            first = self.offset
            self.offset += count * kind.packer.size
            elements = [raw for (raw,) in kind.packer.iter_unpack(self.data[first : self.offset])]
            return elements if kind.to_python is None else list(map(kind.to_python, elements))
        return self.elements(field, count, depth)

    def elements(self, field: Field, count: int, depth: int) -> list[object]:
        elements = []
        is_struct = field.in_type == _STRUCT and depth < MAX_NESTING
        for index in range(count):
            self.values_left -= 1
            value = self.members(field.members, depth + 1) if is_struct else self.element(field, depth)
            if value is not _NOTHING:
                elements.append(value)
            if self.fault is not None:
                self.fault_path.append(f"[{index}]")
                break
        return elements

    def array_fits(self, field: Field, count: int) -> bool:
        """Whether ``count`` elements can be there; checked before anything is made for them."""
        smallest = self.smallest_size(field)
        left = self.end - self.offset
        if smallest == 0 and count > MAX_ZERO_SIZE_ELEMENTS:
            self.stop(f"{count} elements without bytes, at most {MAX_ZERO_SIZE_ELEMENTS} are taken")
        elif smallest * count > left:
            self.stop(f"{count} elements need at least {smallest * count} bytes, {left} are left")
        return self.fault is None

    def smallest_size(self, field: Field) -> int:
        """The fewest bytes that one element of ``field`` can take."""
        kind = scalar(field.in_type, field.out_type, self.pointer_size)
        if kind is not None:
            return kind.packer.size
        if field.in_type != InType.STRUCT:
            return _SMALLEST_SIZES.get(field.in_type, 0)
        known = self.smallest_sizes.get(id(field))
        if known is None:
            known = min(sum(map(self.smallest_field_size, field.members)), _TOO_MANY_BYTES)
            self.smallest_sizes[id(field)] = known
        return known

    def smallest_field_size(self, field: Field) -> int:
        if field.array is ArrayKind.SCALAR:
            return self.smallest_size(field)
        if field.array is ArrayKind.FIXED:
            return field.count * self.smallest_size(field)
        return _U16.size

    def stop(self, fault: str) -> _Nothing:
        """Note the fault at the present offset; every loop ends after it."""
        self.fault = fault
        self.fault_offset = self.offset
        return _NOTHING

    def path(self) -> str:
        """Where the fault is: ``outer.list[3].name``; the levels noted their parts innermost first."""
        path = ""
        for part in reversed(self.fault_path):
            path += part if part.startswith("[") or not path else f".{part}"
        return path

    # ------------------------------------------------ types of variable size

    def null(self, field: Field) -> None:
        return None

    def counted(self, field: Field | None = None) -> bytes | _Nothing:
        """A u16 byte count and so many bytes."""
        left = self.end - self.offset
        if left < 2:
            return self.stop(f"expected a byte count of 2 bytes, {left} are left")
        (size_bytes,) = _U16.unpack_from(self.data, self.offset)
        if size_bytes > left - 2:
            return self.stop(f"the byte count says {size_bytes}, {left - 2} bytes are left")
        start = self.offset + 2
        self.offset = start + size_bytes
        return self.data[start : self.offset]

    def binary(self, field: Field) -> object:
        data = self.counted()
        if field.out_type == OutType.IPV6 and isinstance(data, bytes) and len(data) == 16:
            return IPv6Address(data)
        return data

    def counted_8bit(self, field: Field) -> str | _Nothing:
        data = self.counted()
        return from_8bit(data) if isinstance(data, bytes) else data

    def counted_utf16(self, field: Field) -> str | _Nothing:
        data = self.counted()
        return from_utf16(data) if isinstance(data, bytes) else data

    def terminated_8bit(self, field: Field) -> str | _Nothing:
        start = self.offset
        end = self.data.find(b"\0", start)
        return from_8bit(self.terminated(start, end, 1)) if end >= 0 else self.unterminated(1)

    def terminated_utf16(self, field: Field) -> str | _Nothing:
        start = self.offset
        end = self.data.find(b"\0\0", start)
        # A zero unit starts at an even distance: "00 61 | 00 00 62 ..." has a pair of zeros across two units.
        while end >= 0 and (end - start) % 2:
            end = self.data.find(b"\0\0", end + 1)
        return from_utf16(self.terminated(start, end, 2)) if end >= 0 else self.unterminated(2)

    def terminated(self, start: int, end: int, terminator_bytes: int) -> bytes:
        self.offset = end + terminator_bytes
        return self.data[start:end]

    def unterminated(self, unit_bytes: int) -> str | _Nothing:
        """A string that the data ends instead of a NUL: seen of faulty providers, and taken to the end."""
        left = self.end - self.offset
        if left < unit_bytes:
            return self.stop(f"expected a string with a terminating NUL, {left} bytes are left")
        self.stop("the string has no terminating NUL and was taken to the end")
        start = self.offset
        self.offset = self.end - left % unit_bytes
        data = self.data[start : self.offset]
        return from_8bit(data) if unit_bytes == 1 else from_utf16(data)

    def sid(self, field: Field) -> str | _Nothing:
        left = self.end - self.offset
        size_bytes = sid_size(self.data, self.offset) if left >= 2 else SID_HEADER_BYTES
        if left < size_bytes:
            return self.stop(f"expected a SID of {size_bytes} bytes, {left} are left")
        start = self.offset
        self.offset = start + size_bytes
        return sid_text(self.data[start : self.offset])


_READERS: dict[int, Callable[[_Walk, Field], object]] = {
    InType.NULL: _Walk.null,
    InType.CSTR16: _Walk.terminated_utf16,
    InType.CSTR8: _Walk.terminated_8bit,
    InType.BINARY: _Walk.binary,
    InType.SID: _Walk.sid,
    InType.STR16: _Walk.counted_utf16,
    InType.STR8: _Walk.counted_8bit,
    InType.BINARYC: _Walk.binary,
}

_SMALLEST_SIZES: dict[int, int] = {
    InType.CSTR16: 2,
    InType.CSTR8: 1,
    InType.BINARY: 2,
    InType.SID: SID_HEADER_BYTES,
    InType.STR16: 2,
    InType.STR8: 2,
    InType.BINARYC: 2,
}
