"""Encoding of log records: one draft of the event, and shorter ones if that is too large.

Nearly every event is its first draft.  One that does not fit is drafted again by a :class:`_Plan` that cuts
the longest values to a common length, found from the lengths of all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from otel_etw.errors import EncodeError
from otel_etw.layouts.common_schema.names import CSVER, CSVER_VALUE, MORE, TRUNCATED
from otel_etw.layouts.common_schema.record import SEVERITY_DEBUG, LogFields, ResourceFacts, severity_level
from otel_etw.layouts.encoded import EncodedEvent
from otel_etw.layouts.json_text import json_pairs, json_string, json_text
from otel_etw.layouts.plain_text import clean_name, cut_utf8, integer_text, text_of, utf8
from otel_etw.layouts.times import time_text
from otel_etw.tracelogging.encode import EventBuilder
from otel_etw.tracelogging.types import EventDescriptor, OutType

MAX_STRUCT_MEMBERS = 127
MAX_COUNTED_BYTES = 65535
DEFAULT_MAX_EVENT_BYTES = 65360
"""64 KiB less the event's header, the traits and a margin, as the Geneva and Rust metric exporters allow."""

_INT64 = range(-(2**63), 2**63)
_SHORT_NAME_BYTES = 255
# What the mark costs beside its text: name, NUL, in-type, out-type, and the count in the payload.
_MARK_BYTES = len(TRUNCATED) + 5
# A cut may take a place in PartC for the mark, which moves another member into the surplus and changes
# its length; the numbers settle at the second or third draft.
_DRAFTS_PER_KEY_RULE = 4

_Member = tuple[str, object]


def encode_log(
    record: LogFields,
    facts: ResourceFacts | None = None,
    *,
    event_name: str = "Log",
    keyword: int = 1,
    max_event_bytes: int = DEFAULT_MAX_EVENT_BYTES,
) -> EncodedEvent:
    """The event of a log record, with metadata and payload of at most ``max_event_bytes`` together.

    ``event_name`` is the ETW event's name; NUL in it becomes U+FFFD.  Raises :class:`EncodeError` only if
    ``max_event_bytes`` has no room for an event at all (below a few hundred bytes).
    """
    descriptor = EventDescriptor(level=severity_level(record.severity_number), keyword=keyword)
    resource = ResourceFacts() if facts is None else facts
    for longest_key in (None, _SHORT_NAME_BYTES, -1):
        plan: _Plan | None = _Plan(longest_key)
        for _ in range(_DRAFTS_PER_KEY_RULE):
            if plan is None:
                break
            draft = _Draft(event_name, plan, record, resource)
            try:
                metadata, payload = draft.builder.metadata(), draft.builder.payload()
            except EncodeError:  # the metadata alone is too large: values have nothing to give
                break
            total_bytes = len(metadata) + len(payload)
            if total_bytes <= max_event_bytes and draft.says_what_it_cut():
                return EncodedEvent(descriptor, metadata, payload, plan.mark)
            plan = draft.shorter_plan(max_event_bytes - total_bytes)
    raise EncodeError(
        f"a log record does not fit into {max_event_bytes} bytes, however short its values are cut"
    )


class _Counted(NamedTuple):
    """A counted value of an event: its field's name and its length before any cut."""

    name: str
    length_bytes: int


@dataclass(frozen=True)
class _Plan:
    """How to write a draft.

    Attributes whose key has more than ``longest_key`` bytes (``None``: no limit) go into the surplus member.
    ``cap_bytes`` is the most a counted value may have, ``mark`` what the event says was cut.
    """

    longest_key: int | None = None
    cap_bytes: int = MAX_COUNTED_BYTES
    mark: Mapping[str, int] = field(default_factory=dict)


class _Draft:
    """One attempt at an event: all fields written by a plan, and the lengths of what was written."""

    def __init__(self, event_name: str, plan: _Plan, record: LogFields, resource: ResourceFacts) -> None:
        name = clean_name(event_name)
        if plan.longest_key is not None:
            name = cut_utf8(name.encode(), _SHORT_NAME_BYTES).decode()
        self.builder = EventBuilder(name)
        self._plan = plan
        self._counted: list[_Counted] = []
        self._flexible_bytes = 0
        """What the event has for counted values and the mark; the rest cannot be made shorter."""
        self.builder.add_u16(CSVER, CSVER_VALUE, OutType.UNSIGNED)
        self._write_part_a(record, resource)
        event_id, members = _split_event_id(record, resource)
        self._write_part_c(members)
        self._write_part_b(record, event_id)

    def says_what_it_cut(self) -> bool:
        """Whether the mark names exactly the values that the plan's cap has cut."""
        return self._plan.mark == _cut_lengths(self._counted, self._plan.cap_bytes)

    def shorter_plan(self, spare_bytes: int) -> _Plan | None:
        """A plan for the same fields in the room they have now plus ``spare_bytes`` (negative: less)."""
        cap = _fitting_cap(self._counted, self._flexible_bytes + spare_bytes)
        if cap is None:
            return None
        return _Plan(self._plan.longest_key, cap, _cut_lengths(self._counted, cap))

    def _write_part_a(self, record: LogFields, resource: ResourceFacts) -> None:
        builder = self.builder
        with builder.struct("PartA"):
            if record.trace_id or record.span_id:
                with builder.struct("ext_dt"):
                    builder.add_str8("traceId", b"%032x" % ((record.trace_id or 0) & (2**128 - 1)))
                    builder.add_str8("spanId", b"%016x" % ((record.span_id or 0) & (2**64 - 1)))
            if resource.role is not None or resource.role_instance is not None:
                with builder.struct("ext_cloud"):
                    self._add_optional_text("role", resource.role)
                    self._add_optional_text("roleInstance", resource.role_instance)
            builder.add_str8("time", time_text(record.time_unix_nano).encode("ascii"))

    def _write_part_c(self, members: list[_Member]) -> None:
        direct, surplus = self._divide(members)
        if not direct and not surplus and not self._plan.mark:
            return
        with self.builder.struct("PartC"):
            for key, value in direct:
                self._add(clean_name(key), value)
            if self._plan.mark:
                self._write_mark()
            if surplus:
                self._write_surplus(surplus)

    def _divide(self, members: list[_Member]) -> tuple[list[_Member], list[_Member]]:
        """The attributes that become members of PartC, and those that go into its last one."""
        longest_key = self._plan.longest_key
        places = MAX_STRUCT_MEMBERS - bool(self._plan.mark)
        direct, surplus = members, []
        if longest_key is not None:
            direct = [member for member in members if len(utf8(member[0])) <= longest_key]
            surplus = [member for member in members if len(utf8(member[0])) > longest_key]
        if len(direct) + bool(surplus) > places:
            direct, surplus = direct[: places - 1], direct[places - 1 :] + surplus
        return direct, surplus

    def _write_mark(self) -> None:
        text = utf8(json_text(self._plan.mark))
        self.builder.add_str8(TRUNCATED, text, OutType.JSON)
        self._flexible_bytes += len(text) + _MARK_BYTES

    def _write_surplus(self, surplus: list[_Member]) -> None:
        """One JSON object; if it must be shorter, whole members go from its end, so that it stays one."""
        pieces = [utf8(piece) for piece in json_pairs(surplus)]
        length_bytes = sum(len(piece) + 1 for piece in pieces) + 1
        kept, kept_bytes = len(pieces), length_bytes
        while kept and kept_bytes > self._plan.cap_bytes:
            kept -= 1
            kept_bytes -= len(pieces[kept]) + 1
        data = b"{%b}" % b",".join(pieces[:kept])
        self._count(MORE, length_bytes, len(data))
        self.builder.add_str8(MORE, data, OutType.JSON)

    def _write_part_b(self, record: LogFields, event_id: int | None) -> None:
        builder = self.builder
        severity = record.severity_number
        if severity is None or severity < 1:
            severity = SEVERITY_DEBUG
        with builder.struct("PartB"):
            builder.add_str8("_typeName", b"Log")
            if record.body is not None:
                self._add("body", record.body)
            builder.add_i16("severityNumber", min(severity, 0x7FFF))
            self._add_optional_text("severityText", record.severity_text)
            if event_id is not None:
                builder.add_i64("eventId", event_id)
            self._add_optional_text("name", record.event_name)

    def _add(self, name: str, value: object) -> None:
        """Add a field of the type that section 3 has for ``value``."""
        content, out_type = _wire_value(value)
        if isinstance(content, str):
            self._add_text(name, utf8(content), out_type)
        elif isinstance(content, bytes):
            kept = content[: self._plan.cap_bytes]
            self._count(name, len(content), len(kept))
            self.builder.add_binary(name, kept)
        elif isinstance(content, bool):
            self.builder.add_bool32(name, content)
        elif isinstance(content, int):
            self.builder.add_i64(name, content)
        else:
            self.builder.add_f64(name, content)

    def _add_optional_text(self, name: str, text: str | None) -> None:
        if text is not None:
            self._add_text(name, utf8(text_of(text)), OutType.DEFAULT)

    def _add_text(self, name: str, data: bytes, out_type: int) -> None:
        kept = cut_utf8(data, self._plan.cap_bytes)
        self._count(name, len(data), len(kept))
        # Half a JSON text is none, and does not claim to be one.
        self.builder.add_str8(name, kept, out_type if len(kept) == len(data) else OutType.DEFAULT)

    def _count(self, name: str, length_bytes: int, kept_bytes: int) -> None:
        self._counted.append(_Counted(name, length_bytes))
        self._flexible_bytes += kept_bytes


def _split_event_id(record: LogFields, resource: ResourceFacts) -> tuple[int | None, list[_Member]]:
    """The record's integer ``event_id``, and all members of PartC in order: resource first, then record."""
    event_id = None
    members: list[_Member] = list(resource.chosen)
    for key, value in record.attributes.items():
        number = _event_id(value) if key == "event_id" else None
        if number is None:
            members.append((text_of(key), value))
        else:
            event_id = number
    return event_id, members


def _event_id(value: object) -> int | None:
    """A 64-bit integer that is no bool; anything else stays an attribute."""
    content, _ = _wire_value(value)
    return content if isinstance(content, int) and not isinstance(content, bool) else None


def _wire_value(value: object) -> tuple[str | bytes | bool | int | float, int]:
    """The content and out-type of a field for any Python object; never raises."""
    try:
        return _known_value(value)
    except Exception:  # noqa: BLE001 - an object that does not even say what it is
        return text_of(value), OutType.DEFAULT


def _known_value(value: object) -> tuple[str | bytes | bool | int | float, int]:
    if isinstance(value, str):
        return str.__str__(value), OutType.DEFAULT
    if value is None:
        return "", OutType.DEFAULT
    if isinstance(value, bool):
        return value, OutType.DEFAULT
    if isinstance(value, int):
        number = int(value)
        return (number if number in _INT64 else integer_text(number)), OutType.DEFAULT
    if isinstance(value, float):
        return float(value), OutType.DEFAULT
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value), OutType.DEFAULT
    if isinstance(value, (Mapping, Sequence)):
        return json_text(value), OutType.JSON
    return text_of(value), OutType.DEFAULT


def _cut_lengths(values: list[_Counted], cap_bytes: int) -> dict[str, int]:
    """Field name -> length before, of each value longer than ``cap_bytes`` (the longest of one name)."""
    cut: dict[str, int] = {}
    for name, length_bytes in values:
        if length_bytes > cap_bytes:
            cut[name] = max(length_bytes, cut.get(name, 0))
    return cut


def _fitting_cap(values: list[_Counted], room_bytes: int) -> int | None:
    """The greatest common length at which values cut to it, and the mark that says so, fit ``room_bytes``."""
    longest_first = sorted(values, key=lambda value: value.length_bytes, reverse=True)
    room_bytes -= sum(value.length_bytes for value in values) + _MARK_BYTES + len("{}") - 1
    for count, (name, length_bytes) in enumerate(longest_first, 1):
        room_bytes += length_bytes - len(f"{json_string(name)}:{length_bytes},".encode())
        cap = min(room_bytes // count, MAX_COUNTED_BYTES)
        next_bytes = longest_first[count].length_bytes if count < len(longest_first) else 0
        if cap >= next_bytes:
            return cap
    return None
