"""What of an event's metadata whole columns can follow: its fields without structs, and how long each is."""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple

from otel_etw.tracelogging.metadata import MAX_NESTING, ArrayKind, Field
from otel_etw.tracelogging.scalars import scalar
from otel_etw.tracelogging.types import InType, OutType

MOST_LEAVES = 160

COUNTED = -1
"""In place of a width: a u16 byte count, then so many bytes."""
ENDED_BY_NUL = -2
ENDED_BY_NUL16 = -3


class Value(IntEnum):
    """How the bytes of a field become a value."""

    TEXT = 0  # 8-bit text
    SIGNED = 1
    UNSIGNED = 2
    FLOAT = 3
    BOOL = 4  # true if not 0
    OTHER = 5  # by the plain decoder


class Leaf(NamedTuple):
    """A field that is no struct. ``width`` is its bytes, or one of the three ways of not being fixed."""

    path: tuple[str, ...]
    field: Field
    width: int
    value: Value


_TERMINATED = {InType.CSTR8: ENDED_BY_NUL, InType.CSTR16: ENDED_BY_NUL16}
_COUNTED_TYPES = {InType.STR8, InType.STR16, InType.BINARY, InType.BINARYC}
_SIGNED = {InType.INT8, InType.INT16, InType.INT32, InType.INT64}
_UNSIGNED = {
    InType.UINT8,
    InType.UINT16,
    InType.UINT32,
    InType.UINT64,
    InType.HEX32,
    InType.HEX64,
    InType.POINTER,
}
_SPECIAL = {
    (InType.UINT8, OutType.BOOLEAN): Value.BOOL,
    (InType.INT8, OutType.BOOLEAN): Value.BOOL,
    (InType.INT32, OutType.BOOLEAN): Value.BOOL,
    (InType.UINT8, OutType.STRING): Value.OTHER,
    (InType.INT8, OutType.STRING): Value.OTHER,
    (InType.UINT16, OutType.STRING): Value.OTHER,
    (InType.UINT16, OutType.PORT): Value.OTHER,
    (InType.UINT32, OutType.IPV4): Value.OTHER,
}


def leaves_of(fields: tuple[Field, ...], pointer_size: int) -> list[Leaf] | None:
    """The leaves of ``fields`` in payload order; ``None`` if they are not for whole columns.

    Those are arrays, types of unknown or odd size, and more leaves or levels than real events have.
    """
    leaves: list[Leaf] = []
    for path, field in _flattened(fields, ()):
        leaf = _leaf(path, field, pointer_size)
        if leaf is None or len(leaves) == MOST_LEAVES or len(path) > MAX_NESTING // 2:
            return None
        leaves.append(leaf)
    return leaves


def _flattened(fields: tuple[Field, ...], path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Field]]:
    for field in fields:
        inner = (*path, field.name)
        if field.in_type == InType.STRUCT and field.array is ArrayKind.SCALAR and len(inner) <= MAX_NESTING:
            yield from _flattened(field.members, inner)
        else:
            yield inner, field


def _leaf(path: tuple[str, ...], field: Field, pointer_size: int) -> Leaf | None:
    if field.array is not ArrayKind.SCALAR:
        return None
    in_type = field.in_type
    if in_type in _TERMINATED:
        value = Value.TEXT if in_type == InType.CSTR8 else Value.OTHER
        return Leaf(path, field, _TERMINATED[InType(in_type)], value)
    if in_type in _COUNTED_TYPES:
        value = Value.TEXT if in_type == InType.STR8 else Value.OTHER
        return Leaf(path, field, COUNTED, value)
    kind = scalar(in_type, field.out_type, pointer_size)
    if kind is None:
        return None
    return Leaf(path, field, kind.packer.size, _value_of(in_type, field.out_type))


def _value_of(in_type: int, out_type: int) -> Value:
    special = _SPECIAL.get((InType(in_type), OutType(out_type))) if out_type in _OUT_TYPES else None
    if special is not None:
        return special
    if in_type in _SIGNED:
        return Value.SIGNED
    if in_type in _UNSIGNED:
        return Value.UNSIGNED
    if in_type in (InType.FLOAT, InType.DOUBLE):
        return Value.FLOAT
    return Value.BOOL if in_type == InType.BOOL32 else Value.OTHER


_OUT_TYPES = frozenset(int(member) for member in OutType)


def is_counted(field: Field) -> bool:
    """Whether a byte count stands before the field's bytes."""
    return field.in_type in _COUNTED_TYPES
