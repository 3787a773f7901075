"""``Event``: one record of a trace file, whatever its kind, decoded only as far as it is asked.

An event owns a copy of its record and nothing else of the file: it stays valid when the iteration has
moved on and when the file is closed.  Decoding never raises; what was wrong is in ``problems``.
"""

from __future__ import annotations

from functools import lru_cache
from struct import Struct
from uuid import UUID

from otel_etw.errors import DecodeError
from otel_etw.etl import layout
from otel_etw.etl.context import TraceContext
from otel_etw.etl.kernel_names import CLASSIC_NAMES, CLASSIC_PROVIDERS, HOOK_NAMES, KERNEL_GROUPS
from otel_etw.etl.layout import ExtendedType, MessageFlag
from otel_etw.etl.user_data import UserData, split_record
from otel_etw.etl.walking import RecordKind, RecordShape
from otel_etw.layouts.eventsource import EventTemplate
from otel_etw.layouts.eventsource import decode as decode_by_template
from otel_etw.tracelogging.decode import DecodedPayload, FieldValue, decode_payload, to_dict
from otel_etw.tracelogging.provider_id import decode_traits
from otel_etw.tracelogging.types import EventDescriptor

_UNKNOWN_ID = 0xFFFFFFFF
_IDS = Struct("<II")
_U16 = Struct("<H")

_HOOK_KINDS = frozenset({RecordKind.SYSTEM, RecordKind.COMPACT, RecordKind.PERFINFO})
_CLASSIC_KINDS = frozenset({RecordKind.CLASSIC, RecordKind.INSTANCE})
_EVENT_KINDS = frozenset({RecordKind.EVENT, RecordKind.ERROR})
_PROVIDER = slice(0x18, 0x28)


class Event:
    """One record. Attributes that do not apply to its kind are ``None``, empty or 0.

    ``timestamp_raw`` is in ticks of the trace's clock; a record without a time of its own has that of
    the record before it.  ``buffer`` is the index of its buffer in the file, ``offset`` the place of the
    record in the (decompressed) buffer, ``processor`` that of the buffer.
    """

    __slots__ = (
        "_context",
        "_payload",
        "_record",
        "_shape",
        "_user_data",
        "buffer",
        "offset",
        "processor",
        "timestamp_raw",
    )

    def __init__(
        self,
        record: bytes,
        shape: RecordShape,
        timestamp_raw: int,
        processor: int,
        buffer: int,
        offset: int,
        context: TraceContext,
    ) -> None:
        self._record = record
        self._shape = shape
        self.timestamp_raw = timestamp_raw
        self.processor = processor
        self.buffer = buffer
        self.offset = offset
        self._context = context
        self._user_data: UserData | None = None
        self._payload: DecodedPayload | None = None

    def __repr__(self) -> str:
        name = self.name or f"id {self.descriptor.id}"
        provider = self.provider_name or self.provider_id
        return f"<Event {self.record_kind} {provider} {name} at {self.timestamp_ns} ns>"

    # --- when and where ---

    @property
    def timestamp_filetime(self) -> int:
        """UTC in steps of 100 ns since 1601-01-01."""
        return self._context.clock.filetime(self.timestamp_raw)

    @property
    def timestamp_ns(self) -> int:
        """UTC in nanoseconds since 1970-01-01 (a multiple of 100)."""
        return self._context.clock.unix_nano(self.timestamp_raw)

    @property
    def process_id(self) -> int | None:
        """``None`` where the record does not say."""
        return self._ids()[1]

    @property
    def thread_id(self) -> int | None:
        """``None`` where the record does not say."""
        return self._ids()[0]

    def _ids(self) -> tuple[int | None, int | None]:
        offset = 8
        if self.kind is RecordKind.PERFINFO:
            return None, None
        if self.kind is RecordKind.MESSAGE:
            offset = self._parts().ids_at
            if not offset:
                return None, None
        thread, process = _IDS.unpack_from(self._record, offset)
        return (
            None if thread == _UNKNOWN_ID else thread,
            None if process == _UNKNOWN_ID else process,
        )

    # --- what it is ---

    @property
    def kind(self) -> RecordKind:
        """The family of the record; ``RecordKind.EVENT`` for manifest, TraceLogging and raw events."""
        return self._shape.kind

    @property
    def record_kind(self) -> str:
        """The record's form with its pointer size: ``"event_header64"``, ``"perfinfo32"``, ``"wpp"`` ..."""
        return self._shape.name

    @property
    def record(self) -> bytes:
        """The whole record as stored, header included."""
        return self._record

    @property
    def pointer_size(self) -> int:
        """4 or 8: of pointers in the payload. Differs between the events of one file."""
        size = self._shape.pointer_size
        if self.kind is RecordKind.MESSAGE:
            (flags,) = _U16.unpack_from(self._record, 6)
            size = 4 if flags & MessageFlag.POINTER32 else 8 if flags & MessageFlag.POINTER64 else 0
        return size or self._context.pointer_size

    @property
    def descriptor(self) -> EventDescriptor:
        """Id, version, channel, level, opcode, task, keyword. Kernel and classic records have only some."""
        record = self._record
        kind = self.kind
        if kind in _EVENT_KINDS:
            return EventDescriptor.from_bytes(record, layout.DESCRIPTOR_OFFSET)
        if kind in _CLASSIC_KINDS:
            return EventDescriptor(version=record[6], channel=0, level=record[5], opcode=record[4])
        if kind is RecordKind.MESSAGE:
            (number,) = _U16.unpack_from(record, 4)
            return EventDescriptor(id=number, channel=0, level=0)
        return EventDescriptor(version=record[0], channel=0, level=0, opcode=record[6])

    @property
    def hook_id(self) -> int | None:
        """Group << 8 | type of a kernel record."""
        return self._record[7] << 8 | self._record[6] if self.kind in _HOOK_KINDS else None

    @property
    def provider_id(self) -> UUID | None:
        """The provider's GUID; of kernel records that of their group, of classic ones the event class."""
        if self.kind in _HOOK_KINDS:
            group = KERNEL_GROUPS.get(self._record[7])
            return group[1] if group else None
        offset = self._parts().guid_at if self.kind is RecordKind.MESSAGE else 0x18
        return _guid(self._record[offset : offset + 16]) if offset else None

    @property
    def provider_name(self) -> str | None:
        """From the event's traits or a manifest in the trace, or the public name of a kernel provider."""
        if self.kind in _HOOK_KINDS:
            group = KERNEL_GROUPS.get(self._record[7])
            return group[0] if group else None
        if self.kind is RecordKind.EVENT:
            traits = self._parts().traits
            if traits is not None:
                return _traits_name(traits)[0]
            manifests = self._context.manifests
            return manifests.provider_name(self._record[_PROVIDER]) if manifests else None
        return CLASSIC_PROVIDERS.get(self.provider_id) if self.provider_id else None

    @property
    def name(self) -> str | None:
        """The event's own name, that of a manifest in the trace, or the public one of a kernel record."""
        hook = self.hook_id
        if hook is not None:
            return HOOK_NAMES.get(hook)
        if self.kind in _CLASSIC_KINDS and self.provider_id:
            return CLASSIC_NAMES.get((self.provider_id, self._record[4]))
        metadata = self.metadata
        if metadata is not None:
            return self._context.schema(metadata).metadata.name
        template = self.template
        return None if template is None else template.name

    @property
    def activity_id(self) -> UUID | None:
        """``None`` where zero or absent."""
        if self.kind not in _EVENT_KINDS:
            return None
        return _guid_or_none(self._record[0x40:0x50])

    @property
    def related_activity_id(self) -> UUID | None:
        """``None`` where zero or absent."""
        item = self.extended_item(ExtendedType.RELATED_ACTIVITY_ID)
        return _guid_or_none(item) if item is not None else None

    # --- what it carries ---

    @property
    def extended(self) -> tuple[tuple[int, bytes], ...]:
        """Extended items as (type, data), see :class:`.layout.ExtendedType`, in the order stored.

        Instance ids and hardware counters of older record kinds are given as the items that
        later ones have for them.
        """
        return self._parts().extended

    def extended_item(self, item_type: int) -> bytes | None:
        """The data of the first extended item of that type."""
        return next((data for found, data in self._parts().extended if found == item_type), None)

    @property
    def stack(self) -> tuple[int, ...]:
        """Return addresses of the attached stacks, innermost first; empty without one."""
        addresses: list[int] = []
        for item_type, data in self._parts().extended:
            width = _STACK_ADDRESS_BYTES.get(item_type)
            if width is not None:
                ends = range(8 + width, len(data) + 1, width)
                addresses += [int.from_bytes(data[end - width : end], "little") for end in ends]
        return tuple(addresses)

    @property
    def metadata(self) -> bytes | None:
        """The TraceLogging metadata blob; ``None`` for an event that does not describe itself."""
        return self._parts().metadata

    @property
    def template(self) -> EventTemplate | None:
        """What a .NET EventSource manifest in the trace says of the event, if one is known that does.

        Manifests become known as a trace is read (:meth:`.Trace.gather_manifests`).
        """
        manifests = self._context.manifests
        if not manifests or self.kind is not RecordKind.EVENT or self._parts().metadata is not None:
            return None
        descriptor = self.descriptor
        return manifests.find(self._record[_PROVIDER], descriptor.id, descriptor.version)

    @property
    def is_described(self) -> bool:
        """Whether fields are known, maybe none: the event describes itself, or a manifest describes it."""
        return self.metadata is not None or self.template is not None

    @property
    def payload(self) -> bytes:
        """The event's data: field values of a described event, raw bytes of any other."""
        return self._record[self._parts().payload_at :]

    @property
    def values(self) -> tuple[FieldValue, ...]:
        """The decoded fields in order, each with its description; empty if nothing describes them."""
        return self._decoded().values

    @property
    def fields(self) -> dict[str, object]:
        """The decoded fields by name, structs as dicts; the last of duplicate names wins."""
        return to_dict(self._decoded().values)

    @property
    def trailing(self) -> bytes:
        """Payload bytes that the description does not account for; empty without one."""
        return self._decoded().trailing

    @property
    def problems(self) -> tuple[str, ...]:
        """What could not be decoded, in words; decodes everything."""
        parts = self._parts()
        found = list(parts.problems)
        if parts.traits is not None:
            found += _traits_name(parts.traits)[1]
        if parts.metadata is not None:
            found += self._context.schema(parts.metadata).problems
        problem = self._decoded().problem
        if problem is not None:
            found.append(str(problem))
        return tuple(found)

    def _parts(self) -> UserData:
        if self._user_data is None:
            self._user_data = split_record(self._record, self._shape, self._context.schema)
        return self._user_data

    def _decoded(self) -> DecodedPayload:
        if self._payload is None:
            metadata = self._parts().metadata
            if metadata is not None:
                fields = self._context.schema(metadata).metadata.fields
                self._payload = decode_payload(fields, self.payload, self.pointer_size)
            else:
                template = self.template
                if template is None:  # not kept: the manifest may yet come
                    return _NOTHING_DECODED
                self._payload = decode_by_template(template, self.payload, self.pointer_size)
        return self._payload


_NOTHING_DECODED = DecodedPayload((), b"", None)
_STACK_ADDRESS_BYTES = {int(ExtendedType.STACK_TRACE32): 4, int(ExtendedType.STACK_TRACE64): 8}


@lru_cache(maxsize=1024)
def _guid(data: bytes) -> UUID:
    return UUID(bytes_le=data)


def _guid_or_none(data: bytes) -> UUID | None:
    return _guid(data) if len(data) == 16 and any(data) else None


@lru_cache(maxsize=64)
def _traits_name(blob: bytes) -> tuple[str | None, tuple[str, ...]]:
    """The provider's name and what was wrong with the traits."""
    try:
        return decode_traits(blob).name, ()
    except DecodeError as error:
        return None, (str(error),)
