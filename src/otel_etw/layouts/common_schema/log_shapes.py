"""Log records of one shape, by a function generated for that shape: the application's hot path.

Records come in few shapes: the same statement logs the same attribute keys with values of the same types, the
same severity and the same event name.  All that a shape fixes is made once by the plain encoder
(:mod:`.encode_log`) from a sample: the event metadata, and the bytes between the values.  What is left per
record is the time, the ids, the body and the attribute values, which a function written for the shape joins
with those bytes::

    def emit(time_unix_nano, trace_id, span_id, body, values):
        if not is_enabled(4, 1): return -1                      # nobody wants it: nothing is encoded
        ...                                                     # time: the text of the second is known
        v0 = values['user']; v1 = values['count']
        if not (v0.__class__ is body.__class__ is str and v1.__class__ is int): return -3
        v0 = v0.encode(); v1 = pack_i64(v1); body = body.encode()
        payload = join((C0, time, C1, LENGTHS[len(v0)], v0, v1, C2, LENGTHS[len(body)], body, C3))
        if len(payload) > ROOM: return -2                       # must be cut
        return write(payload, None)

Where all values are text, and all of that text is short and ASCII, characters and bytes are the same; then
one f-string is put together and encoded as a whole, which is quicker.

The function never guesses.  It looks at the types itself, so that whoever calls it may find it by the keys
alone, which costs less than a look at every type beforehand.  A value that is not what its type promised
(text with a lone surrogate, an integer beyond 64 bits) makes it raise, and the caller encodes the record the
plain way.  A hypothesis test holds both ways equal, byte for byte.
"""

from __future__ import annotations

from collections.abc import Mapping
from textwrap import indent
from typing import NamedTuple

from otel_etw.errors import EncodeError
from otel_etw.layouts.common_schema.activity import ActivityId
from otel_etw.layouts.common_schema.encode_log import encode_log
from otel_etw.layouts.common_schema.record import LogFields, ResourceFacts
from otel_etw.layouts.common_schema.shape_code import (
    IDS_BYTES,
    KINDS,
    MAX_CONSTANT_BYTES,
    MAX_MEMBERS,
    ShapeEncoder,
    ValueKind,
    counted,
    joined,
    lines,
    text_bytes,
    type_check,
)
from otel_etw.layouts.times import time_text
from otel_etw.tracelogging.types import EventDescriptor

_NO_BODY = ValueKind("NoneType", None, 0, "", "")


class LogShape(NamedTuple):
    """What the records of one shape have in common. ``kinds`` are the exact types of the attribute values."""

    etw_event_name: str
    severity_number: int | None
    severity_text: str | None
    event_name: str | None
    has_context: bool
    keys: tuple[str, ...]
    body_kind: type
    kinds: tuple[type, ...]


def log_encoder(
    shape: LogShape,
    facts: ResourceFacts,
    *,
    keyword: int = 1,
    mark_utf8: bool = False,
    activity: ActivityId | None = None,
) -> ShapeEncoder | None:
    """The encoder for a shape; ``None`` if it is one for the plain encoder (lists, foreign types, ...)."""
    values = [KINDS.get(kind) for kind in shape.kinds]
    body = _NO_BODY if shape.body_kind is type(None) else KINDS.get(shape.body_kind)
    if body is None or None in values or not _is_usual(shape, facts):
        return None
    kinds = [value for value in values if value is not None]
    sample = LogFields(
        time_unix_nano=0,
        severity_number=shape.severity_number,
        severity_text=shape.severity_text,
        body=body.sample,
        event_name=shape.event_name,
        trace_id=int(shape.has_context),
        span_id=int(shape.has_context),
        attributes={key: kind.sample for key, kind in zip(shape.keys, kinds, strict=True)},
    )
    try:
        event = encode_log(
            sample,
            facts,
            event_name=shape.etw_event_name,
            keyword=keyword,
            max_event_bytes=MAX_CONSTANT_BYTES,
            mark_utf8=mark_utf8,
        )
    except EncodeError:
        return None
    if event.truncated:
        return None
    constants = _constants(event.payload, shape, facts, kinds, body)
    source = _source(shape, kinds, body, event.descriptor, activity, constants)
    return ShapeEncoder(event.descriptor, event.metadata, source, constants)


def _is_usual(shape: LogShape, facts: ResourceFacts) -> bool:
    texts = (shape.severity_text, shape.event_name)
    return (
        len(facts.chosen) + len(shape.keys) <= MAX_MEMBERS
        and all(text is None or type(text) is str for text in texts)
        and all(type(key) is str for key in shape.keys)
        and ("event_id", int) not in zip(shape.keys, shape.kinds, strict=True)
    )


def _constants(
    payload: bytes, shape: LogShape, facts: ResourceFacts, kinds: list[ValueKind], body: ValueKind
) -> dict[str, bytes]:
    """The bytes of a sample's payload between its values.

    ``version | ids | cloud | time | chosen, attributes | "Log" | body | severity, text, name``: only the
    chosen resource attributes have no length that is known beforehand, and they are what remains.
    """
    cloud_bytes = sum(text_bytes(fact) for fact in (facts.role, facts.role_instance))
    after_ids = _VERSION_BYTES + (IDS_BYTES if shape.has_context else 0)
    after_cloud = after_ids + cloud_bytes
    after_time = after_cloud + _SAMPLE_TIME_BYTES
    tail_bytes = _SEVERITY_BYTES + text_bytes(shape.severity_text) + text_bytes(shape.event_name)
    before_tail = len(payload) - tail_bytes
    before_body = before_tail - body.sample_bytes
    after_values = before_body - len(_TYPE_NAME)
    after_chosen = after_values - sum(kind.sample_bytes for kind in kinds)
    return {
        "VERSION": payload[:_VERSION_BYTES],
        "CLOUD": payload[after_ids:after_cloud],
        "CHOSEN": payload[after_time:after_chosen],
        "TYPE_NAME": payload[after_values:before_body],
        "TAIL": payload[before_tail:],
    }


_VERSION_BYTES = 2
_SEVERITY_BYTES = 2
_TYPE_NAME = counted(b"Log")
_SAMPLE_TIME_BYTES = len(counted(time_text(0).encode()))


def _source(
    shape: LogShape,
    kinds: list[ValueKind],
    body: ValueKind,
    descriptor: EventDescriptor,
    activity: ActivityId | None,
    constants: Mapping[str, bytes],
) -> str:
    values = [(f"v{index}", kind) for index, kind in enumerate(kinds)]
    pieces = ["VERSION", "CLOUD", "time", "CHOSEN"]
    load = [f"{name} = values[{key!a}]" for (name, _), key in zip(values, shape.keys, strict=True)]
    activity_of = "None"
    if shape.has_context:
        pieces.insert(1, "ids[2]")
        load += [
            f"ids = last_ids_{activity}.at",
            "if ids[0] != trace_id or ids[1] != span_id:",
            f"    ids = last_ids_{activity}.new(trace_id, span_id)",
        ]
        activity_of = "None" if activity is None else "ids[4]"
    pieces += [kind.pieces.format(name) for name, kind in values]
    pieces += ["TYPE_NAME", body.pieces.format("body"), "TAIL"]
    values.append(("body", body))
    made = _MADE_OF_BYTES.format(
        convert=lines([kind.convert.format(name) for name, kind in values if kind.convert]),
        joined=joined(pieces),
    )
    is_text = all(kind.type_name in ("str", "NoneType") for _, kind in values)
    if is_text and all(data.isascii() for data in constants.values()):
        made = _MADE_OF_TEXT.format(text=_text(pieces, constants), otherwise=indent(made, "    "))
    return _FUNCTION.format(
        level=descriptor.level,
        keyword=descriptor.keyword,
        load=lines(load),
        types=type_check(values),
        made=made,
        activity=activity_of,
    )


def _text(pieces: list[str], constants: Mapping[str, bytes]) -> str:
    """What stands between the quotes of an f-string that has the same characters as the payload has bytes."""
    parts = []
    for piece in ", ".join(filter(None, pieces)).split(", "):
        if piece in constants or piece == "EMPTY":
            data = constants.get(piece, b"\0\0").decode("latin-1")
            parts.append("".join(char if char.isalnum() else f"\\x{ord(char):02x}" for char in data))
        elif piece == "time":
            parts.append("{at[2]}{fraction:09d}Z")
        elif piece == "ids[2]":
            parts.append("{ids[3]}")
        else:
            parts.append(f"{{{piece.replace('LENGTHS', 'SHORT')}}}")
    return "".join(parts)


_FUNCTION = """\
def emit(time_unix_nano, trace_id, span_id, body, values):
    if not is_enabled({level}, {keyword}):
        return NOT_WANTED
    {load}
    if not ({types}):
        return OTHER_SHAPE
    second, fraction = divmod(time_unix_nano, 1000000000)
    at = last_time.at
{made}
    if len(payload) > ROOM:
        return TO_BE_CUT
    return write(payload, {activity})
"""

_MADE_OF_BYTES = """\
    if second == at[0] and fraction % 1000:
        time = b"%b%09dZ" % (at[1], fraction)
    else:
        time = time_bytes(time_unix_nano)
    {convert}
{joined}"""

# A length of 128 or more raises IndexError; other characters than ASCII show in the text as a whole.
_MADE_OF_TEXT = """\
    try:
        payload = f"{text}" if second == at[0] and fraction % 1000 else "\\xff"
    except IndexError:
        payload = "\\xff"
    if payload.isascii():
        payload = payload.encode()
    else:
{otherwise}
"""
