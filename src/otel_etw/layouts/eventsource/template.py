"""What a manifest says of one event, and reading a payload by it.

Types and sizes are those of self-describing events, whose decoder does the work.  What these have no words
for, and manifests do, is a field whose length or number of elements stands in an earlier field: byte arrays,
which come after their size.  A template is cut into runs of fields at such places.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from otel_etw.errors import DecodeError
from otel_etw.tracelogging.decode import DecodedPayload, FieldValue, decode_payload
from otel_etw.tracelogging.metadata import ArrayKind, Field
from otel_etw.tracelogging.text import from_8bit, from_utf16
from otel_etw.tracelogging.types import InType, OutType

IN_TYPES: dict[str, InType] = {
    "win:UnicodeString": InType.CSTR16,
    "win:AnsiString": InType.CSTR8,
    "win:Int8": InType.INT8,
    "win:UInt8": InType.UINT8,
    "win:Int16": InType.INT16,
    "win:UInt16": InType.UINT16,
    "win:Int32": InType.INT32,
    "win:UInt32": InType.UINT32,
    "win:Int64": InType.INT64,
    "win:UInt64": InType.UINT64,
    "win:Float": InType.FLOAT,
    "win:Double": InType.DOUBLE,
    "win:Boolean": InType.BOOL32,
    "win:Binary": InType.BINARY,
    "win:GUID": InType.GUID,
    "win:Pointer": InType.POINTER,
    "win:FILETIME": InType.FILETIME,
    "win:SYSTEMTIME": InType.SYSTEMTIME,
    "win:SID": InType.SID,
    "win:HexInt32": InType.HEX32,
    "win:HexInt64": InType.HEX64,
    "win:CountedUnicodeString": InType.STR16,
    "win:CountedAnsiString": InType.STR8,
    "win:CountedBinary": InType.BINARYC,
}
"""The names of in-types in manifests."""

OUT_TYPES: dict[str, OutType] = {
    "xs:boolean": OutType.BOOLEAN,
    "win:HexInt8": OutType.HEX,
    "win:HexInt16": OutType.HEX,
    "win:HexInt32": OutType.HEX,
    "win:HexInt64": OutType.HEX,
    "win:Pid": OutType.PID,
    "win:Tid": OutType.TID,
    "win:IPv4": OutType.IPV4,
    "win:Port": OutType.PORT,
    "win:Json": OutType.JSON,
    "win:Xml": OutType.XML,
}
"""Those of out-types that change what is read, or how it is shown; any other is none."""

# Types whose ``length`` says how long they are, in units of so many bytes; without one they end themselves.
_UNIT_BYTES = {InType.BINARY: 1, InType.CSTR8: 1, InType.CSTR16: 2}
_MAX_FIXED_COUNT = 0xFFFF


@dataclass(frozen=True, slots=True)
class TemplateField:
    """One ``data`` element. ``length`` and ``count`` are a number or the name of an earlier field."""

    field: Field
    type_name: str
    length: int | str | None = None
    count: int | str | None = None

    @property
    def is_plain(self) -> bool:
        """Whether the decoder of self-describing events reads it."""
        return (
            self.length is None
            and self.count is None
            and self.type_name in IN_TYPES
            and self.field.in_type != InType.BINARY
        )


@dataclass(frozen=True, slots=True)
class EventTemplate:
    """One event of a provider, by id and version; names are ``None`` where the manifest has none."""

    provider_name: str
    event_id: int
    version: int
    name: str | None
    """``Task/Opcode``; ``Task`` alone where the opcode is *info*; the event's symbol where it has no task."""
    task: str | None = None
    opcode: str | None = None
    level: str | None = None
    keywords: tuple[str, ...] = ()
    message: str | None = None
    """Text for people, with %1 and so on for the fields."""
    fields: tuple[TemplateField, ...] = ()


def template_field(
    name: str, type_name: str, out_type: str = "", length: str | None = None, count: str | None = None
) -> TemplateField:
    """A field from the attributes of its ``data`` element."""
    in_type = IN_TYPES.get(type_name, InType.NULL)
    field = Field(name, in_type, OUT_TYPES.get(out_type, OutType.DEFAULT))
    return TemplateField(field, type_name, _number_or_name(length), _number_or_name(count))


def _number_or_name(text: str | None) -> int | str | None:
    # A bounded number of digits: Python converts more of them only slowly, or not at all.
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 10 else text


def decode(template: EventTemplate, payload: bytes, pointer_size: int = 8) -> DecodedPayload:
    """The values of an event's fields; ``pointer_size`` is the event's, 4 or 8. Never raises.

    After a problem there are the values before it, and ``trailing`` has the bytes from there on.
    """
    reading = _Reading(payload, pointer_size)
    fields = template.fields
    start = 0
    while start < len(fields) and reading.problem is None:
        end = start
        while end < len(fields) and fields[end].is_plain:
            end += 1
        if end > start:
            reading.run([each.field for each in fields[start:end]])
        else:
            reading.odd(fields[start])
            end += 1
        start = end
    return DecodedPayload(tuple(reading.values), reading.rest, reading.problem)


class _Bytes(NamedTuple):
    """A field's bytes; ``None`` if they are not all there."""

    data: bytes | None
    why: str = ""


class _Reading:
    """One way through a payload: the values so far, and the bytes behind them."""

    def __init__(self, payload: bytes, pointer_size: int) -> None:
        self.values: list[FieldValue] = []
        self.rest = bytes(payload)
        self.problem: DecodeError | None = None
        self._size_bytes = len(payload)
        self._pointer_size = pointer_size

    def run(self, fields: Sequence[Field]) -> None:
        """Fields that the decoder of self-describing events reads."""
        offset = self._size_bytes - len(self.rest)
        decoded = decode_payload(fields, self.rest, self._pointer_size)
        self.values += decoded.values
        self.rest = decoded.trailing
        fault = decoded.problem
        if fault is not None:
            self._stop(fault.problem, fault.field, offset + (fault.offset or 0))

    def odd(self, each: TemplateField) -> None:
        """A field of a length or number that is said elsewhere, or of a type that nobody knows."""
        field = each.field
        if each.type_name not in IN_TYPES:
            self._stop(f"expected a type that is known, found {each.type_name!r}", field.name)
        elif each.count is not None:
            self._array(each, each.count)
        elif field.in_type in _UNIT_BYTES:
            self._sized(each)
        else:
            self.run([field])

    def _array(self, each: TemplateField, reference: int | str) -> None:
        count = self._resolved(reference)
        if count is None or not 0 <= count <= _MAX_FIXED_COUNT:
            self._stop(f"expected a number of elements in {reference!r}, found {count}", each.field.name)
        elif each.field.in_type == InType.BINARY:
            self._stop("arrays of byte arrays are not known", each.field.name)
        else:
            self.run([replace(each.field, array=ArrayKind.FIXED, count=count)])

    def _sized(self, each: TemplateField) -> None:
        field = each.field
        taken = self._take(each)
        if taken.data is None:
            self._stop(taken.why, field.name)
            return
        value: object = taken.data
        if field.in_type == InType.CSTR16:
            value = from_utf16(taken.data).rstrip("\0")
        elif field.in_type == InType.CSTR8:
            value = from_8bit(taken.data).rstrip("\0")
        self.values.append(FieldValue(field.name, value, field))

    def _take(self, each: TemplateField) -> _Bytes:
        if each.length is None:
            return _Bytes(None, "expected a length beside the type win:Binary, found none")
        units = self._resolved(each.length)
        if units is None or units < 0:
            return _Bytes(None, f"expected a length in {each.length!r}, found {units}")
        size_bytes = units * _UNIT_BYTES[InType(each.field.in_type)]
        if size_bytes > len(self.rest):
            return _Bytes(None, f"the length says {size_bytes} bytes, {len(self.rest)} are left")
        data, self.rest = self.rest[:size_bytes], self.rest[size_bytes:]
        return _Bytes(data)

    def _resolved(self, reference: int | str) -> int | None:
        """The number, or the value of the field of that name which was read last."""
        if isinstance(reference, int):
            return reference
        found = next((each.value for each in reversed(self.values) if each.name == reference), None)
        return found if isinstance(found, int) else None

    def _stop(self, why: str, field: str | None, offset: int | None = None) -> None:
        at = self._size_bytes - len(self.rest) if offset is None else offset
        self.problem = DecodeError(why, offset=at, field=field, where="payload")
