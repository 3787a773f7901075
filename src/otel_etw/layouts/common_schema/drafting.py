"""Fitting an event into its room: one draft of it, and shorter ones if that is too large.

Nearly every event is its first draft.  One that does not fit is drafted again by a :class:`Plan` that cuts
the longest values to a common length, found from the lengths of all of them.  What is in a draft, log record
or span, is the business of the function that writes it (:mod:`.encode_log`, :mod:`.encode_span`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from otel_etw.errors import EncodeError
from otel_etw.layouts.common_schema.names import CSVER, CSVER_VALUE, MORE, TRUNCATED
from otel_etw.layouts.common_schema.record import ResourceFacts
from otel_etw.layouts.common_schema.wire_values import wire_value
from otel_etw.layouts.encoded import EncodedEvent
from otel_etw.layouts.json_text import json_pairs, json_string, json_text
from otel_etw.layouts.plain_text import clean_name, cut_utf8, text_of, utf8
from otel_etw.tracelogging.encode import EventBuilder
from otel_etw.tracelogging.types import EventDescriptor, OutType

MAX_STRUCT_MEMBERS = 127
MAX_COUNTED_BYTES = 65535
DEFAULT_MAX_EVENT_BYTES = 65360
"""64 KiB less the event's header, the traits and a margin, as the Geneva and Rust metric exporters allow."""

Member = tuple[str, object]
"""An attribute on its way into PartC: key and value."""

_SHORT_NAME_BYTES = 255
# What the mark costs beside its text: name, NUL, in-type, out-type, and the count in the payload.
_MARK_BYTES = len(TRUNCATED) + 5
# A cut may take a place in PartC for the mark, which moves another member into the surplus and changes
# its length; the numbers settle at the second or third draft.
_DRAFTS_PER_KEY_RULE = 4


def fitted_event(
    descriptor: EventDescriptor,
    event_name: str,
    write: Callable[[Draft], None],
    *,
    max_event_bytes: int,
    mark_utf8: bool,
    kind: str,
) -> EncodedEvent:
    """The event that ``write`` makes of a draft, with metadata and payload of at most ``max_event_bytes``.

    ``write`` is called once per draft and adds all fields behind ``__csver__``.  Raises
    :class:`EncodeError`, which calls the event ``kind``, if no draft fits.
    """
    for longest_key in (None, _SHORT_NAME_BYTES, -1):
        plan: Plan | None = Plan(longest_key)
        for _ in range(_DRAFTS_PER_KEY_RULE):
            if plan is None:
                break
            draft = Draft(event_name, plan, mark_utf8=mark_utf8)
            write(draft)
            try:
                metadata, payload = draft.builder.metadata(), draft.builder.payload()
            except EncodeError:  # the metadata alone is too large: values have nothing to give
                break
            total_bytes = len(metadata) + len(payload)
            if total_bytes <= max_event_bytes and draft.says_what_it_cut():
                return EncodedEvent(descriptor, metadata, payload, plan.mark)
            plan = draft.shorter_plan(max_event_bytes - total_bytes)
    raise EncodeError(f"a {kind} does not fit into {max_event_bytes} bytes, however short its values are cut")


class _Counted(NamedTuple):
    """A counted value of an event: its field's name and its length before any cut."""

    name: str
    length_bytes: int


@dataclass(frozen=True)
class Plan:
    """How to write a draft.

    Attributes whose key has more than ``longest_key`` bytes (``None``: no limit) go into the surplus member.
    ``cap_bytes`` is the most a counted value may have, ``mark`` what the event says was cut.
    """

    longest_key: int | None = None
    cap_bytes: int = MAX_COUNTED_BYTES
    mark: Mapping[str, int] = field(default_factory=dict)


class Draft:
    """One attempt at an event: fields written by a plan, and the lengths of what was written.

    ``text_out`` is the out-type of text that section 3 has at 0 (UTF-8 if ``mark_utf8`` asks for it).
    Numbers and other fields of fixed size go straight to ``builder``.
    """

    def __init__(self, event_name: str, plan: Plan, *, mark_utf8: bool = False) -> None:
        name = clean_name(event_name)
        if plan.longest_key is not None:
            name = cut_utf8(name.encode(), _SHORT_NAME_BYTES).decode()
        self.builder = EventBuilder(name)
        self.text_out: int = OutType.UTF8 if mark_utf8 else OutType.DEFAULT
        self._plan = plan
        self._counted: list[_Counted] = []
        self._flexible_bytes = 0
        """What the event has for counted values and the mark; the rest cannot be made shorter."""
        self.builder.add_u16(CSVER, CSVER_VALUE, OutType.UNSIGNED)

    def says_what_it_cut(self) -> bool:
        """Whether the mark names exactly the values that the plan's cap has cut."""
        return self._plan.mark == _cut_lengths(self._counted, self._plan.cap_bytes)

    def shorter_plan(self, spare_bytes: int) -> Plan | None:
        """A plan for the same fields in the room they have now plus ``spare_bytes`` (negative: less)."""
        cap = _fitting_cap(self._counted, self._flexible_bytes + spare_bytes)
        if cap is None:
            return None
        return Plan(self._plan.longest_key, cap, _cut_lengths(self._counted, cap))

    # ----------------------------------------------------------------- structs that logs and spans share

    def write_trace_context(self, trace_id: int | None, span_id: int | None) -> None:
        """PartA's ``ext_dt``."""
        with self.builder.struct("ext_dt"):
            self.add_fixed_text("traceId", b"%032x" % ((trace_id or 0) & (2**128 - 1)))
            self.add_fixed_text("spanId", b"%016x" % ((span_id or 0) & (2**64 - 1)))

    def write_cloud(self, facts: ResourceFacts) -> None:
        """PartA's ``ext_cloud``, if role or instance is known."""
        if facts.role is not None or facts.role_instance is not None:
            with self.builder.struct("ext_cloud"):
                self.add_optional_text("role", facts.role)
                self.add_optional_text("roleInstance", facts.role_instance)

    def write_part_c(self, members: list[Member], facts: Sequence[Member] = ()) -> None:
        """PartC: ``members`` as far as there is room, ``facts`` (a few, always written), mark and surplus."""
        direct, surplus = self._divide(members, MAX_STRUCT_MEMBERS - len(facts) - bool(self._plan.mark))
        if not direct and not surplus and not facts and not self._plan.mark:
            return
        with self.builder.struct("PartC"):
            for key, value in direct:
                self.add(clean_name(key), value)
            for name, value in facts:
                self._add_fact(name, value)
            if self._plan.mark:
                self._write_mark()
            if surplus:
                self.add_json(MORE, "{}", json_pairs(surplus), OutType.JSON)

    def _divide(self, members: list[Member], places: int) -> tuple[list[Member], list[Member]]:
        """The attributes that become members of PartC, and those that go into its last one."""
        longest_key = self._plan.longest_key
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

    def _add_fact(self, name: str, value: object) -> None:
        """A member of our own: lists and maps stay JSON when they are cut."""
        if isinstance(value, list):
            self.add_json(name, "[]", [json_text(item) for item in value], OutType.JSON)
        elif isinstance(value, Mapping):
            pairs = [(text_of(key), item) for key, item in value.items()]
            self.add_json(name, "{}", json_pairs(pairs), OutType.JSON)
        else:
            self.add(name, value)

    # ----------------------------------------------------------------- fields

    def add(self, name: str, value: object) -> None:
        """Add a field of the type that section 3 has for ``value``."""
        content, out_type = wire_value(value)
        if isinstance(content, str):
            self.add_text(name, content, out_type)
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

    def add_optional_text(self, name: str, text: str | None) -> None:
        """Add a text field if there is a text."""
        if text is not None:
            self.add_text(name, text_of(text))

    def add_text(self, name: str, text: str, out_type: int = OutType.DEFAULT) -> None:
        """Add a text field, cut to the plan's cap at the end of a character."""
        data = utf8(text)
        kept = cut_utf8(data, self._plan.cap_bytes)
        self._count(name, len(data), len(kept))
        if len(kept) < len(data) and out_type == OutType.JSON:
            out_type = OutType.DEFAULT  # half a JSON text is none, and does not claim to be one
        self.builder.add_str8(name, kept, out_type or self.text_out)

    def add_fixed_text(self, name: str, data: bytes) -> None:
        """Add a short text that is never cut."""
        self.builder.add_str8(name, data, self.text_out)

    def add_json(self, name: str, brackets: str, pieces: Sequence[str], out_type: int) -> None:
        """Add a JSON list or object; one that must be shorter loses whole ``pieces`` from its end."""
        encoded = [utf8(piece) for piece in pieces]
        length_bytes = max(sum(len(piece) + 1 for piece in encoded) + 1, len(brackets))
        kept, kept_bytes = len(encoded), length_bytes
        while kept and kept_bytes > self._plan.cap_bytes:
            kept -= 1
            kept_bytes -= len(encoded[kept]) + 1
        data = b"%b%b%b" % (brackets[0].encode(), b",".join(encoded[:kept]), brackets[1].encode())
        self._count(name, length_bytes, len(data))
        self.builder.add_str8(name, data, out_type)

    def _count(self, name: str, length_bytes: int, kept_bytes: int) -> None:
        self._counted.append(_Counted(name, length_bytes))
        self._flexible_bytes += kept_bytes


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
