"""Where the parts of a record are: extended items, traits, metadata, payload. Pure.

TraceLogging metadata normally travels in extended items 11 and 12.  On systems whose kernel does not
separate it, the same two blobs are the first bytes of the user data: then only an exact fit tells.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import NamedTuple

from otel_etw.errors import DecodeError
from otel_etw.etl import layout
from otel_etw.etl.context import Schema
from otel_etw.etl.layout import EventHeaderFlag, ExtendedType
from otel_etw.etl.walking import RecordKind, RecordShape, extended_items, message_parts
from otel_etw.tracelogging.provider_id import decode_traits
from otel_etw.tracelogging.types import CHANNEL_TRACELOGGING

_U16 = Struct("<H")
_MIN_BLOB_BYTES = 4
_CHANNEL_OFFSET = layout.DESCRIPTOR_OFFSET + 3
_PEBS_INDEX_BIT = 0x8000
_COUNTERS_MASK = 0x0700


class UserData(NamedTuple):
    """The parts of one record; ``guid_at`` and ``ids_at`` are those of a WPP record (0: absent)."""

    extended: tuple[tuple[int, bytes], ...]
    traits: bytes | None
    metadata: bytes | None
    payload_at: int
    problems: tuple[str, ...] = ()
    guid_at: int = 0
    ids_at: int = 0


SchemaOf = Callable[[bytes], Schema]
"""Decodes metadata: :meth:`.TraceContext.schema`."""


def split_record(record: bytes, shape: RecordShape, schema_of: SchemaOf) -> UserData:
    """The parts of a record that :func:`.walking.walk` accepted: its fixed header is there."""
    kind = shape.kind
    if kind is RecordKind.EVENT or kind is RecordKind.ERROR:
        return _split_event(record, shape, schema_of)
    if kind is RecordKind.MESSAGE:
        return _split_message(record, shape)
    if kind is RecordKind.INSTANCE:
        ids = record[layout.EVENT_TRACE_HEADER.size : shape.fixed_bytes]
        return UserData(((ExtendedType.INSTANCE_INFO, ids),), None, None, shape.fixed_bytes)
    if kind is RecordKind.CLASSIC:
        return UserData((), None, None, shape.fixed_bytes)
    return _split_kernel_record(record, shape)


def _split_event(record: bytes, shape: RecordShape, schema_of: SchemaOf) -> UserData:
    payload_at = shape.fixed_bytes
    items: tuple[tuple[int, bytes], ...] = ()
    problems: tuple[str, ...] = ()
    (flags,) = _U16.unpack_from(record, 4)
    if flags & EventHeaderFlag.EXTENDED_INFO:
        items, payload_at, problem = extended_items(record, payload_at)
        problems = () if problem is None else (problem,)
    traits = metadata = None
    for item_type, data in items:
        if item_type == ExtendedType.EVENT_SCHEMA_TL and metadata is None:
            metadata = data
        elif item_type == ExtendedType.PROVIDER_TRAITS and traits is None:
            traits = data
    if metadata is None and record[_CHANNEL_OFFSET] == CHANNEL_TRACELOGGING and not problems:
        found = _metadata_in_front(record, payload_at, schema_of)
        if found is not None:
            traits, metadata, payload_at = found
    return UserData(items, traits, metadata, payload_at, problems)


def _metadata_in_front(record: bytes, start: int, schema_of: SchemaOf) -> tuple[bytes, bytes, int] | None:
    """Traits, metadata and where the payload starts, if user data from ``start`` on begins with both."""
    traits = _sized_blob(record, start)
    metadata = _sized_blob(record, start + len(traits)) if traits else b""
    if not metadata:
        return None
    try:
        provider_name = decode_traits(traits).name
    except DecodeError:
        return None
    schema = schema_of(metadata)
    if not provider_name or not schema.metadata.name or schema.problems:
        return None
    return traits, metadata, start + len(traits) + len(metadata)


def _sized_blob(record: bytes, start: int) -> bytes:
    """The blob at ``start`` whose first u16 is its size; empty if there cannot be one."""
    if start + _MIN_BLOB_BYTES > len(record):
        return b""
    (size,) = _U16.unpack_from(record, start)
    return record[start : start + size] if _MIN_BLOB_BYTES <= size <= len(record) - start else b""


def _split_message(record: bytes, shape: RecordShape) -> UserData:
    (flags,) = _U16.unpack_from(record, 6)
    parts = message_parts(flags & 0xFF)
    if parts.end > len(record):
        why = f"message flags {flags:#x} ask for {parts.end} bytes, the record has {len(record)}"
        return UserData((), None, None, shape.fixed_bytes, (why,))
    return UserData((), None, None, parts.end, (), parts.guid, parts.ids)


def _split_kernel_record(record: bytes, shape: RecordShape) -> UserData:
    """The version word of system and perfinfo records announces counters after the fixed header."""
    (version,) = _U16.unpack_from(record, 0)
    pos = shape.fixed_bytes
    if not version & (_PEBS_INDEX_BIT | _COUNTERS_MASK):
        return UserData((), None, None, pos)
    items: list[tuple[int, bytes]] = []
    for item_type, size in (
        (ExtendedType.PEBS_INDEX, 8 if version & _PEBS_INDEX_BIT else 0),
        (ExtendedType.PMC_COUNTERS, (version & _COUNTERS_MASK) >> 8 << 3),
    ):
        if pos + size > len(record):
            why = f"version {version:#06x} announces {pos + size} bytes, the record has {len(record)}"
            return UserData(tuple(items), None, None, pos, (why,))
        if size:
            items.append((item_type, record[pos : pos + size]))
        pos += size
    return UserData(tuple(items), None, None, pos)
