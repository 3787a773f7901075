"""Hypothesis strategies for events of any shape, and for such as Microsoft's builder can express."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from hypothesis import strategies as st

from otel_etw.tracelogging.decode import FieldValue
from otel_etw.tracelogging.metadata import ArrayKind, EventMetadata, Field, has_members
from otel_etw.tracelogging.types import InType, OutType
from otel_etw.tracelogging.values import FileTime, SystemTime

# Text that has an encoding, and the same without NUL, for names and terminated strings.
any_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
nul_free_text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
tags = st.sampled_from([0, 0, 0, 1, 0x7F, 0x80, 0x3FFF, 0x4000, 0x1FFFFF, 0x200000, 0xFE00000, 0xFFFFFFF])
u16 = st.integers(0, 0xFFFF)


def _signed(bits: int) -> st.SearchStrategy[int]:
    return st.integers(-(1 << bits - 1), (1 << bits - 1) - 1)


def _unsigned(bits: int) -> st.SearchStrategy[int]:
    return st.integers(0, (1 << bits) - 1)


def _sid(revision: int, authority: int, parts: list[int]) -> str:
    shown = str(authority) if authority < 1 << 32 else f"0x{authority:012X}"
    return "-".join(["S", str(revision), shown, *map(str, parts)])


sids = st.builds(
    _sid, _unsigned(8), st.one_of(_unsigned(4), _unsigned(48)), st.lists(_unsigned(32), max_size=5)
)

_VALUES: dict[int, st.SearchStrategy[Any]] = {
    InType.NULL: st.none(),
    InType.CSTR16: nul_free_text,
    InType.CSTR8: nul_free_text,
    InType.INT8: _signed(8),
    InType.UINT8: _unsigned(8),
    InType.INT16: _signed(16),
    InType.UINT16: _unsigned(16),
    InType.INT32: _signed(32),
    InType.UINT32: _unsigned(32),
    InType.INT64: _signed(64),
    InType.UINT64: _unsigned(64),
    InType.FLOAT: st.floats(width=32, allow_nan=False),
    InType.DOUBLE: st.floats(allow_nan=False),
    InType.BOOL32: st.booleans(),
    InType.BINARY: st.binary(max_size=20),
    InType.GUID: st.uuids(),
    InType.POINTER: _unsigned(32),
    InType.FILETIME: st.builds(FileTime, _signed(64)),
    InType.SYSTEMTIME: st.builds(SystemTime, *[u16] * 8),
    InType.SID: sids,
    InType.HEX32: _unsigned(32),
    InType.HEX64: _unsigned(64),
    InType.STR16: any_text,
    InType.STR8: any_text,
    InType.BINARYC: st.binary(max_size=20),
}

_SPECIAL_VALUES: dict[tuple[int, int], st.SearchStrategy[Any]] = {
    (InType.UINT8, OutType.BOOLEAN): st.booleans(),
    (InType.INT8, OutType.BOOLEAN): st.booleans(),
    (InType.INT32, OutType.BOOLEAN): st.booleans(),
    (InType.UINT8, OutType.STRING): st.integers(0, 255).map(chr),
    (InType.INT8, OutType.STRING): st.integers(0, 255).map(chr),
    (InType.UINT16, OutType.STRING): st.characters(exclude_categories=["Cs"], max_codepoint=0xFFFF),
    (InType.UINT16, OutType.PORT): u16,
    (InType.UINT32, OutType.IPV4): st.builds(IPv4Address, _unsigned(32)),
    (InType.BINARY, OutType.IPV6): st.builds(IPv6Address, _unsigned(128)) | st.binary(max_size=15),
    (InType.BINARYC, OutType.IPV6): st.builds(IPv6Address, _unsigned(128)) | st.binary(max_size=15),
}

_PLAIN_OUT_TYPES = [0, OutType.NO_PRINT, OutType.HEX, OutType.JSON, OutType.UNSIGNED, OutType.UTF8]


@st.composite
def _any_leaf(draw: st.DrawFn) -> Field:
    in_type = draw(st.sampled_from(sorted(_VALUES)))
    array = draw(st.sampled_from([ArrayKind.SCALAR, ArrayKind.SCALAR, *ArrayKind]))
    return Field(
        draw(nul_free_text),
        InType(in_type),
        draw(st.sampled_from([*OutType, 100, 127])),
        draw(tags),
        array,
        draw(st.integers(0, 4)) if array is ArrayKind.FIXED else 0,
        (),
        draw(st.binary(max_size=8)) if array is ArrayKind.CUSTOM else b"",
    )


@st.composite
def _portable_leaf(draw: st.DrawFn) -> Field:
    in_type = draw(st.sampled_from(sorted(set(_VALUES) - {InType.NULL, InType.POINTER})))
    arrays = [ArrayKind.SCALAR] if in_type == InType.BINARY else [ArrayKind.SCALAR, ArrayKind.VARIABLE]
    return Field(
        draw(nul_free_text),
        InType(in_type),
        draw(st.sampled_from(_PLAIN_OUT_TYPES)),
        draw(tags),
        draw(st.sampled_from(arrays)),
    )


@st.composite
def _any_struct(draw: st.DrawFn, members: st.SearchStrategy[Field]) -> Field:
    array = draw(st.sampled_from([ArrayKind.SCALAR, ArrayKind.FIXED, ArrayKind.VARIABLE]))
    return Field(
        draw(nul_free_text),
        InType.STRUCT,
        0,
        draw(tags),
        array,
        draw(st.integers(0, 3)) if array is ArrayKind.FIXED else 0,
        tuple(draw(st.lists(members, max_size=4))),
    )


@st.composite
def _portable_struct(draw: st.DrawFn, members: st.SearchStrategy[Field]) -> Field:
    chosen = tuple(draw(st.lists(members, min_size=1, max_size=4)))
    return Field(draw(nul_free_text), InType.STRUCT, tag=draw(tags), members=chosen)


any_field = st.recursive(_any_leaf(), _any_struct, max_leaves=12)
portable_field = st.recursive(_portable_leaf(), _portable_struct, max_leaves=8)


def _metadata(field: st.SearchStrategy[Field]) -> st.SearchStrategy[EventMetadata]:
    return st.builds(EventMetadata, nul_free_text, st.lists(field, max_size=5).map(tuple), tags)


any_metadata = _metadata(any_field)
portable_metadata = _metadata(portable_field)


def _element(field: Field) -> st.SearchStrategy[Any]:
    if has_members(field):
        return values_of(field.members)
    key = (field.in_type, field.out_type)
    return _SPECIAL_VALUES[key] if key in _SPECIAL_VALUES else _VALUES[field.in_type]


def _value(field: Field) -> st.SearchStrategy[Any]:
    if field.array is ArrayKind.CUSTOM:
        return st.binary(max_size=20)
    if field.array is ArrayKind.VARIABLE:
        return st.lists(_element(field), max_size=4)
    if field.array is ArrayKind.FIXED:
        return st.lists(_element(field), min_size=field.count, max_size=field.count)
    return _element(field)


def values_of(fields: Sequence[Field]) -> st.SearchStrategy[tuple[Any, ...]]:
    """Fitting values for the fields, as the encoder takes them."""
    return st.tuples(*map(_value, fields))


def _with_values(metadata: EventMetadata) -> st.SearchStrategy[tuple[EventMetadata, tuple[Any, ...]]]:
    return st.tuples(st.just(metadata), values_of(metadata.fields))


any_event = any_metadata.flatmap(_with_values)
portable_event = portable_metadata.flatmap(_with_values)


def plain(values: tuple[FieldValue, ...]) -> tuple[Any, ...]:
    """Decoded values without their fields: what the encoder had been given."""
    return tuple(_plain(value) for value in values)


def _plain(value: FieldValue) -> Any:
    if not has_members(value.field):
        return value.value
    if value.field.array is ArrayKind.SCALAR:
        return plain(value.value)  # type: ignore[arg-type]
    return [plain(element) for element in value.value]  # type: ignore[attr-defined]
