"""What generated encoders are made of: values as code, times and ids as they stand in an event.

Which functions are generated, and why, says :mod:`.log_shapes`; :mod:`.span_shapes` is the same for spans.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, cast

from otel_etw.layouts.common_schema.activity import ActivityId, activity_id
from otel_etw.layouts.encoded import NOT_WANTED
from otel_etw.layouts.plain_text import text_of, utf8
from otel_etw.layouts.times import time_text
from otel_etw.tracelogging.types import EventDescriptor

TO_BE_CUT = -2
"""What an emitting function answers where the event is larger than the provider takes."""

OTHER_SHAPE = -3
"""What it answers where values are of other types; the item has another shape."""

MAX_CONSTANT_BYTES = 8192
"""Metadata and constants of a shape that is worth keeping."""

MAX_MEMBERS = 127

Write = Callable[[bytes, "bytes | None"], int]
Emit = Callable[..., int]
"""Takes the values of one item, in the order that its module says, and answers what ``write`` answered, or
why it was not called: ``NOT_WANTED``, ``TO_BE_CUT``, ``OTHER_SHAPE``.

Raises any exception where the item does not fit the shape after all; nothing has been written then.
"""


class ShapeEncoder(NamedTuple):
    """What is made once for a shape: the event's descriptor and metadata, and the source of its function."""

    descriptor: EventDescriptor
    metadata: bytes
    source: str
    constants: Mapping[str, bytes]

    def bind(self, write: Write, is_enabled: Callable[[int, int], bool], max_event_bytes: int) -> Emit:
        """The function that encodes items of this shape and gives ``write`` payload and activity id."""
        names: dict[str, object] = {
            **_NAMES,
            **self.constants,
            "write": write,
            "is_enabled": is_enabled,
            "ROOM": max_event_bytes - len(self.metadata),
        }
        exec(self.source, names)  # noqa: S102 - made of our own text and quoted keys
        return cast("Emit", names["emit"])


# --- values ---------------------------------------------------------------------------------------


class ValueKind(NamedTuple):
    """How values of one type get into the payload: what is done with variable ``{0}``, what is joined."""

    type_name: str
    sample: object
    sample_bytes: int
    convert: str
    pieces: str


_COUNTED = "LENGTHS[len({0})], {0}"

KINDS: dict[type, ValueKind] = {
    str: ValueKind("str", "", 2, "{0} = {0}.encode()", _COUNTED),
    bytes: ValueKind("bytes", b"", 2, "", _COUNTED),
    int: ValueKind("int", 0, 8, "{0} = pack_i64({0})", "{0}"),
    float: ValueKind("float", 0.0, 8, "{0} = pack_f64({0})", "{0}"),
    bool: ValueKind("bool", False, 4, "{0} = TRUE if {0} else FALSE", "{0}"),
    type(None): ValueKind("NoneType", None, 2, "", "EMPTY"),
}


# --- what the generated functions use -------------------------------------------------------------


_U64, _U128 = 2**64 - 1, 2**128 - 1
_IDS = b"\x20\0%032x\x10\0%016x"
"""Trace and span id, counted texts of 32 and 16 digits."""

_Ids = tuple[int, int, bytes, str, "bytes | None"]


class _LastTime:
    """The last second: ``at`` is (second, its counted text up to the point, the same as ``str``).

    One tuple, swapped whole: two threads never pair one second with the other's text.
    """

    __slots__ = ("at",)

    def __init__(self) -> None:
        self.set(0, counted(b"1970-01-01T00:00:00.000000001Z"))

    def set(self, second: int, time: bytes) -> None:
        start = time[:-_FRACTION_BYTES]
        self.at: tuple[int, bytes, str] = (second, start, start.decode("ascii"))


class _LastIds:
    """The last trace context, swapped whole like the time; one for each kind of activity id.

    ``at`` is (trace id, span id, PartA's bytes, the same as ``str``, activity id).
    """

    __slots__ = ("_activity", "at")

    def __init__(self, activity: ActivityId | None) -> None:
        self._activity: ActivityId | None = activity
        self.at: _Ids = (0, 0, b"", "", None)

    def new(self, trace_id: int, span_id: int) -> _Ids:
        data = _IDS % (trace_id & _U128, span_id & _U64)
        ids = (trace_id, span_id, data, data.decode("ascii"), activity_id(self._activity, trace_id, span_id))
        self.at = ids
        return ids


def counted(data: bytes) -> bytes:
    """A counted value: u16 length, bytes."""
    return struct.pack("<H", len(data)) + data


def _time_bytes(time_unix_nano: int) -> bytes:
    """PartA's ``time``; nine digits of fraction are what the generated function can do without this."""
    data = counted(time_text(time_unix_nano).encode("ascii"))
    if len(data) == _LONGEST_TIME_BYTES:
        _last_time.set(time_unix_nano // 1_000_000_000, data)
    return data


_LONGEST_TIME_BYTES = len(counted(b"1970-01-01T00:00:00.123456789Z"))
_FRACTION_BYTES = len(b"123456789Z")
IDS_BYTES = len(counted(bytes(32)) + counted(bytes(16)))
_last_time = _LastTime()

_NAMES: dict[str, object] = {
    "LENGTHS": tuple(struct.pack("<H", length) for length in range(2048)),
    "SHORT": tuple(f"{chr(length)}\0" for length in range(128)),
    "EMPTY": b"\0\0",
    "TRUE": b"\1\0\0\0",
    "FALSE": b"\0\0\0\0",
    "pack_u16": struct.Struct("<H").pack,
    "pack_i64": struct.Struct("<q").pack,
    "pack_f64": struct.Struct("<d").pack,
    "join": b"".join,
    "last_time": _last_time,
    "last_ids_None": _LastIds(None),
    "last_ids_trace": _LastIds("trace"),
    "last_ids_span": _LastIds("span"),
    "time_bytes": _time_bytes,
    "NoneType": type(None),
    "IDS": _IDS,
    "PARENT": b"\x10\0%016x",
    "U64": _U64,
    "U128": _U128,
    "activity_id": activity_id,
    "NOT_WANTED": NOT_WANTED,
    "OTHER_SHAPE": OTHER_SHAPE,
    "TO_BE_CUT": TO_BE_CUT,
}


def text_bytes(text: str | None) -> int:
    """Bytes of a counted text; none of one that is not there."""
    return 0 if text is None else len(counted(utf8(text_of(text))))


# --- code -----------------------------------------------------------------------------------------


def lines(statements: Sequence[str]) -> str:
    """Statements of a function's body."""
    return "\n    ".join(statements) or "pass"


def type_check(values: Sequence[tuple[str, ValueKind]]) -> str:
    """``v0.__class__ is body.__class__ is str and v1.__class__ is int``: one chain for each type."""
    names: dict[str, list[str]] = {}
    for name, kind in values:
        names.setdefault(kind.type_name, []).append(f"{name}.__class__")
    return " and ".join(" is ".join([*chain, type_name]) for type_name, chain in names.items())


def joined(pieces: Sequence[str]) -> str:
    """Statements that join pieces to the payload; beyond the table of lengths these are packed one by one."""
    text = ", ".join(filter(None, pieces))
    return _JOINED.format(pieces=text, long_pieces=re.sub(r"LENGTHS\[(.*?)\](?=, )", r"pack_u16(\1)", text))


_JOINED = """\
    try:
        payload = join(({pieces}))
    except IndexError:
        payload = join(({long_pieces}))
"""
