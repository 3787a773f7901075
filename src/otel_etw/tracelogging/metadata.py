"""The event metadata blob: an event's name and the tree of its fields, to and from bytes.

::

    u16 size of the blob, this field included | event tag, 1 to 4 bytes | event name, UTF-8, NUL
    then for each field, in order:
        name, UTF-8, NUL
        u8  in-type (low 5 bits) | array kind (0x20, 0x40, 0x60) | 0x80: an out byte follows
        u8  out-type, for a struct its number of members (low 7 bits) | 0x80: a tag follows
        tag, 1 to 4 bytes
        u16 element count            only for array kind 0x20
        u16 size, so many bytes      only for array kind 0x60

The entries are flat: a struct's members are the logical fields that come next, where a nested
struct with all its members counts as one.  Tags are 28 bits, seven to a byte, most significant
first, 0x80 set on all bytes but the last.

Encoding gives the bytes that the Rust builder gives: no out byte where it would be zero (a
struct without members included), an event tag in one, two or four bytes, a field tag always in four.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from otel_etw.errors import DecodeError, EncodeError
from otel_etw.tracelogging.text import from_8bit, utf8
from otel_etw.tracelogging.types import InType, OutType

MAX_METADATA_BYTES = 0xFFFF
MAX_STRUCT_MEMBERS = 127
MAX_NESTING = 32
"""Structs within structs that are followed; real events have two levels, and decoding recurses."""

_TYPE_MASK = 0x1F
_ARRAY_MASK = 0x60
_MORE = 0x80
_VALUE_MASK = 0x7F
_MAX_TAG_BYTES = 4
_U16 = struct.Struct("<H")

_IN_TYPES: dict[int, int] = {member.value: member for member in InType}
_OUT_TYPES: dict[int, int] = {member.value: member for member in OutType}


class ArrayKind(IntEnum):
    """How many values a field has: bits 0x60 of the in-type byte."""

    SCALAR = 0
    FIXED = 0x20  # as many as the metadata says
    VARIABLE = 0x40  # as many as a u16 before the values says
    CUSTOM = 0x60  # u16 byte count and bytes that only the provider can read


_ARRAY_KINDS = {kind.value: kind for kind in ArrayKind}


@dataclass(frozen=True, slots=True)
class Field:
    """One field of an event, with its members if it is a struct."""

    name: str
    in_type: int
    """An :class:`InType`, or a plain number where it is none."""
    out_type: int = 0
    """An :class:`OutType`, or a plain number where it is none; 0 for a struct."""
    tag: int = 0
    """28 bits with a meaning only to the provider."""
    array: ArrayKind = ArrayKind.SCALAR
    count: int = 0
    """Number of elements of a FIXED array, u16."""
    members: tuple[Field, ...] = ()
    custom: bytes = b""
    """What the metadata of a CUSTOM field says about it."""


@dataclass(frozen=True, slots=True)
class EventMetadata:
    """What an event describes of itself; ``notes`` are oddities met while decoding that did no harm."""

    name: str
    fields: tuple[Field, ...] = ()
    tag: int = 0
    notes: tuple[str, ...] = field(default=(), compare=False)


class MetadataError(DecodeError):
    """Metadata that cannot be read to its end; ``partial`` has the event's name and fields up to there."""

    def __init__(self, problem: str, *, offset: int, path: str | None, partial: EventMetadata) -> None:
        super().__init__(problem, offset=offset, field=path, where="event metadata")
        self.partial = partial


# ---------------------------------------------------------------- encoding


def encode_name(name: str, what: str = "a field") -> bytes:
    """A name as UTF-8 without its NUL; ``EncodeError`` if it contains one, which would end it early."""
    encoded = utf8(name)
    if 0 in encoded:
        raise EncodeError(f"{what} name must not contain NUL, found {name!r}")
    return encoded


def encode_event_tag(tag: int) -> bytes:
    """An event tag in one, two or four bytes, as the builders of Microsoft do; 28 bits or ``EncodeError``."""
    if tag == 0:
        return b"\0"
    groups = encode_field_tag(tag)
    if tag & 0x1FFFFF == 0:
        return bytes((groups[0] & _VALUE_MASK,))
    if tag & 0x3FFF == 0:
        return bytes((groups[0], groups[1] & _VALUE_MASK))
    return groups


def encode_field_tag(tag: int) -> bytes:
    """A field tag, which the builders always write in four bytes; 28 bits or ``EncodeError``."""
    if not 0 <= tag < 1 << 28:
        raise EncodeError(f"a tag must fit in 28 bits, found {tag:#x}")
    return bytes((tag >> 21 | _MORE, tag >> 14 & 0x7F | _MORE, tag >> 7 & 0x7F | _MORE, tag & 0x7F))


def finish_metadata(blob: bytearray) -> bytes:
    """Put the size of ``blob`` into its first two bytes; ``EncodeError`` where that does not fit."""
    if len(blob) > MAX_METADATA_BYTES:
        raise EncodeError(f"event metadata must not exceed {MAX_METADATA_BYTES} bytes, found {len(blob)}")
    _U16.pack_into(blob, 0, len(blob))
    return bytes(blob)


def encode_metadata(metadata: EventMetadata) -> bytes:
    """The metadata blob of an event; ``EncodeError`` names the field that has no encoding."""
    blob = bytearray(2)
    blob += encode_event_tag(metadata.tag)
    blob += encode_name(metadata.name, "an event")
    blob.append(0)
    for member in metadata.fields:
        _encode_field(blob, member, "", 0)
    return finish_metadata(blob)


def _encode_field(blob: bytearray, field: Field, parent: str, depth: int) -> None:
    path = f"{parent}{field.name}"
    try:
        blob += _field_entry(field)
    except EncodeError as error:
        raise EncodeError(f"{error} - field {path!r}") from None
    if field.members and depth >= MAX_NESTING:
        raise EncodeError(f"structs nest at most {MAX_NESTING} deep - field {path!r}")
    for member in field.members:
        _encode_field(blob, member, f"{path}.", depth + 1)


def _field_entry(field: Field) -> bytes:
    entry = bytearray(encode_name(field.name))
    in_byte = _in_byte(field)
    out_byte = _out_byte(field)
    entry.append(0)
    if out_byte or field.tag:
        entry.append(in_byte | _MORE)
        entry.append(out_byte | (_MORE if field.tag else 0))
        if field.tag:
            entry += encode_field_tag(field.tag)
    else:
        entry.append(in_byte)
    if field.array is ArrayKind.FIXED:
        entry += _u16(field.count, "the count of a fixed array")
    elif field.array is ArrayKind.CUSTOM:
        entry += _u16(len(field.custom), "the size of a custom description") + field.custom
    return bytes(entry)


def _in_byte(field: Field) -> int:
    if not 0 <= field.in_type <= _TYPE_MASK:
        raise EncodeError(f"an in-type must be 0 to 31, found {field.in_type}")
    return field.in_type | field.array


def _out_byte(field: Field) -> int:
    if has_members(field):
        if len(field.members) > MAX_STRUCT_MEMBERS:
            raise EncodeError(
                f"a struct has at most {MAX_STRUCT_MEMBERS} members, found {len(field.members)}"
            )
        return len(field.members)
    if field.members:
        raise EncodeError("only a struct has members")
    if not 0 <= field.out_type <= _VALUE_MASK:
        raise EncodeError(f"an out-type must be 0 to 127, found {field.out_type}")
    return field.out_type


def has_members(field: Field) -> bool:
    """Whether the next logical fields belong to this one: a struct, unless the provider encodes it itself."""
    return field.in_type == InType.STRUCT and field.array is not ArrayKind.CUSTOM


def _u16(value: int, what: str) -> bytes:
    if not 0 <= value <= 0xFFFF:
        raise EncodeError(f"{what} must be 0 to 65535, found {value}")
    return _U16.pack(value)


# ---------------------------------------------------------------- decoding


def decode_metadata(data: bytes | bytearray | memoryview) -> EventMetadata:
    """Read a metadata blob.

    Raises :class:`MetadataError` (a ``DecodeError``) where an entry does not fit, with what was
    read so far.  A struct that counts more members than there are fields takes those there
    are; that, and bytes after the blob's own size, are only noted.
    """
    scan = _Scan(bytes(data[: MAX_METADATA_BYTES + 1]))
    try:
        scan.read_all()
    except _MalformedError as fault:
        raise MetadataError(
            fault.problem, offset=fault.offset, path=scan.path(), partial=scan.result()
        ) from None
    return scan.result()


class _MalformedError(Exception):
    def __init__(self, problem: str, offset: int) -> None:
        self.problem = problem
        self.offset = offset


@dataclass(slots=True)
class _OpenStruct:
    """A struct whose members are being read."""

    field: Field
    missing: int
    members: list[Field]


class _Scan:
    """One pass over the blob; structs stay open on a stack until their members are complete."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.end = len(data)
        self.offset = 0
        self.event_name = ""
        self.tag = 0
        self.fields: list[Field] = []
        self.open: list[_OpenStruct] = []
        self.current: str | None = None
        self.notes: list[str] = []

    def read_all(self) -> None:
        size_bytes = self.take_u16("the size of the blob")
        self.tag = self.take_tag()
        self.end = min(self.end, max(size_bytes, self.offset))
        self.event_name = self.take_name("the event name")
        if size_bytes < len(self.data):
            self.notes.append(f"{len(self.data) - size_bytes} bytes follow the {size_bytes} of the metadata")
        while self.offset < self.end:
            self.take_field()
        if size_bytes > len(self.data):
            raise _MalformedError(f"the blob claims {size_bytes} bytes, {len(self.data)} are there", 0)

    def take_field(self) -> None:
        start = self.offset
        self.current = None
        self.current = name = self.take_name("a field name")
        in_byte = self.take_u8("the in-type")
        out_byte = self.take_u8("the out-type") if in_byte & _MORE else 0
        tag = self.take_tag() if out_byte & _MORE else 0
        array = _ARRAY_KINDS[in_byte & _ARRAY_MASK]
        count = self.take_u16("the count of a fixed array") if array is ArrayKind.FIXED else 0
        custom = self.take_custom() if array is ArrayKind.CUSTOM else b""
        in_type = in_byte & _TYPE_MASK
        out_value = out_byte & _VALUE_MASK
        in_type = _IN_TYPES.get(in_type, in_type)
        if in_type == InType.STRUCT and array is not ArrayKind.CUSTOM:
            self.open_struct(Field(name, in_type, 0, tag, array, count), out_value, start)
        else:
            self.add(
                Field(name, in_type, _OUT_TYPES.get(out_value, out_value), tag, array, count, (), custom)
            )
        self.current = None

    def open_struct(self, field: Field, members: int, start: int) -> None:
        if members == 0:
            self.add(field)
        elif len(self.open) >= MAX_NESTING:
            raise _MalformedError(f"structs nest more than {MAX_NESTING} deep", start)
        else:
            self.open.append(_OpenStruct(field, members, []))

    def add(self, field: Field) -> None:
        """Give a complete field to the innermost open struct, closing those that it completes."""
        while self.open:
            parent = self.open[-1]
            parent.members.append(field)
            parent.missing -= 1
            if parent.missing:
                return
            self.open.pop()
            field = _with_members(parent)
        self.fields.append(field)

    def result(self) -> EventMetadata:
        """What was read; structs still open are closed with the members they have."""
        fields = list(self.fields)
        notes = list(self.notes)
        inner: list[Field] = []
        for parent in reversed(self.open):
            # An outer struct misses the inner one only because that was never completed.
            missing = parent.missing - len(inner)
            if missing:
                total = len(parent.members) + parent.missing
                notes.append(
                    f"struct {parent.field.name!r} counts {total} members, "
                    f"{total - missing} fields are left to take"
                )
            parent.members += inner
            inner = [_with_members(parent)]
        self.open = []
        return EventMetadata(self.event_name, tuple(fields + inner), self.tag, tuple(notes))

    def path(self) -> str | None:
        """Dotted path of the field being read, or of the struct in which reading stopped."""
        names = [parent.field.name for parent in self.open]
        if self.current is not None:
            names.append(self.current)
        return ".".join(names) if names else None

    def take_u8(self, what: str) -> int:
        if self.offset >= self.end:
            raise _MalformedError(f"{what} is missing, the metadata ends", self.offset)
        self.offset += 1
        return self.data[self.offset - 1]

    def take_u16(self, what: str) -> int:
        if self.end - self.offset < 2:
            raise _MalformedError(f"{what} needs 2 bytes, {self.end - self.offset} are left", self.offset)
        (value,) = _U16.unpack_from(self.data, self.offset)
        self.offset += 2
        return int(value)

    def take_name(self, what: str) -> str:
        nul = self.data.find(b"\0", self.offset, self.end)
        if nul < 0:
            raise _MalformedError(f"{what} has no terminating NUL", self.offset)
        raw = self.data[self.offset : nul]
        self.offset = nul + 1
        return from_8bit(raw)

    def take_tag(self) -> int:
        start = self.offset
        tag = 0
        for shift in (21, 14, 7, 0):
            group = self.take_u8("a tag byte")
            tag |= (group & _VALUE_MASK) << shift
            if not group & _MORE:
                return tag
        raise _MalformedError(f"a tag has more than {_MAX_TAG_BYTES} bytes", start)

    def take_custom(self) -> bytes:
        size_bytes = self.take_u16("the size of a custom description")
        left = self.end - self.offset
        if size_bytes > left:
            raise _MalformedError(
                f"a custom description claims {size_bytes} bytes, {left} are left", self.offset - 2
            )
        self.offset += size_bytes
        return self.data[self.offset - size_bytes : self.offset]


def _with_members(parent: _OpenStruct) -> Field:
    field = parent.field
    return Field(field.name, field.in_type, 0, field.tag, field.array, field.count, tuple(parent.members))


def count_fields(fields: Sequence[Field]) -> int:
    """Fields of the whole tree, structs and their members included."""
    return sum(1 + count_fields(member.members) for member in fields)
