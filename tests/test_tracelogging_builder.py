"""EventBuilder: the events that exporters make, field by field."""

from __future__ import annotations

import math
import struct

import pytest

from otel_etw.errors import EncodeError
from otel_etw.tracelogging.decode import decode_payload, to_dict
from otel_etw.tracelogging.encode import EventBuilder
from otel_etw.tracelogging.metadata import decode_metadata
from otel_etw.tracelogging.types import InType, OutType
from shared_files import cases


def decoded(builder: EventBuilder) -> dict[str, object]:
    metadata = decode_metadata(builder.metadata())
    payload = decode_payload(metadata.fields, builder.payload())
    assert (payload.problem, payload.trailing, metadata.notes) == (None, b"", ())
    return to_dict(payload.values)


def replay(builder: EventBuilder, steps: list[dict]) -> None:
    """Add fields as a vector lists them: a struct's members follow it."""
    while steps:
        replay_one(builder, steps)


def replay_one(builder: EventBuilder, steps: list[dict]) -> None:
    step = steps.pop(0)
    name, value, out = step["name"], step.get("value"), step.get("out", 0)
    if step["type"] == "struct":
        with builder.struct(name):
            for _ in range(step["members"]):
                replay_one(builder, steps)
    elif step["type"] == "str8":
        builder.add_str8(name, value.encode(), out)
    elif step["type"] == "f64":
        builder.add_f64(name, float(value))
    elif step["type"] == "binary":
        builder.add_binary(name, bytes.fromhex(value))
    else:
        getattr(builder, f"add_{step['type']}")(name, value, out)


# attrs_300 is left out: its struct of 300 members, counted in seven bits by the reference, cannot be built.
@pytest.mark.parametrize("case", [c for c in [*cases("logs"), *cases("traces")] if c.id != "attrs_300"])
def test_golden_events_are_made_byte_for_byte(case):
    """The calls that a vector lists give its metadata and payload."""
    expected = case["expected"]
    builder = EventBuilder(expected["event_name"])
    replay(builder, list(expected["sequence"]))
    assert builder.metadata().hex() == expected["event_metadata"]
    assert builder.payload().hex() == expected["payload"]


def test_every_kind_of_field_is_read_back():
    """One of each, in structs within structs."""
    builder = EventBuilder("E")
    builder.add_u8("u8", 255)
    builder.add_u8("flag", 1, OutType.BOOLEAN)
    with builder.struct("outer"):
        builder.add_i16("i16", -(2**15))
        with builder.struct("inner"):
            builder.add_u16("u16", 2**16 - 1, OutType.UNSIGNED)
            builder.add_i64("i64", -(2**63))
        with builder.struct("empty"):
            pass
        builder.add_f64("f64", -0.5)
    builder.add_bool32("yes", True)
    builder.add_bool32("no", False)
    builder.add_str8("text", "grün\0€".encode(), OutType.UTF8)
    builder.add_binary("data", b"\0\xff")
    assert decoded(builder) == {
        "u8": 255,
        "flag": True,
        "outer": {"i16": -(2**15), "inner": {"u16": 65535, "i64": -(2**63)}, "empty": {}, "f64": -0.5},
        "yes": True,
        "no": False,
        "text": "grün\0€",
        "data": b"\0\xff",
    }


def test_an_empty_struct_has_no_out_byte():
    """As the Rust builder writes it; what follows is not taken for a member."""
    builder = EventBuilder("E")
    with builder.struct("s"):
        pass
    builder.add_u8("a", 1)
    assert builder.metadata() == b"\x0b\x00\x00E\x00s\x00\x18a\x00\x04"


@pytest.mark.parametrize(
    ("method", "lowest", "highest"),
    [
        ("add_u8", 0, 2**8 - 1),
        ("add_u16", 0, 2**16 - 1),
        ("add_i16", -(2**15), 2**15 - 1),
        ("add_i64", -(2**63), 2**63 - 1),
    ],
)
def test_integers_on_both_sides_of_their_limits(method, lowest, highest):
    """The limits are taken; one beyond raises EncodeError with the field's name and adds nothing."""
    builder = EventBuilder("E")
    for value in (lowest, highest):
        getattr(builder, method)("a", value)
        assert decoded(builder) == {"a": value}
    before = builder.metadata(), builder.payload()
    for value in (lowest - 1, highest + 1, 10**400, 1.5, None):
        with pytest.raises(EncodeError, match="field 'a'"):
            getattr(builder, method)("a", value)
    assert (builder.metadata(), builder.payload()) == before


def test_floats_of_every_kind():
    """Infinities, NaN and the smallest number are written as they are; what is no float is refused."""
    for value in (math.inf, -math.inf, 5e-324, -0.0):
        builder = EventBuilder("E")
        builder.add_f64("a", value)
        assert builder.payload() == struct.pack("<d", value)
    builder.add_f64("nan", math.nan)
    assert math.isnan(decoded(builder)["nan"])
    for wrong in (10**400, "1"):
        with pytest.raises(EncodeError, match="expected a float"):
            builder.add_f64("a", wrong)


@pytest.mark.parametrize("method", ["add_str8", "add_binary"])
def test_counted_values_hold_65535_bytes(method):
    """The limit is taken, one byte more is refused: the caller decides where to cut."""
    builder = EventBuilder("E")
    getattr(builder, method)("a", b"x" * 65535)
    assert builder.payload() == b"\xff\xff" + b"x" * 65535
    with pytest.raises(EncodeError, match="at most 65535 bytes, found 65536 - field 'b'"):
        getattr(builder, method)("b", b"x" * 65536)
    assert len(builder.payload()) == 65537


def add_struct_of_128(builder: EventBuilder, failure: Exception | None = None) -> None:
    with builder.struct("s"):
        for _ in range(128):
            builder.add_u8("a", 1)
        if failure is not None:
            raise failure


def test_structs_hold_127_members():
    """127 are counted right, 128 raise at the end of the block, and a failing block keeps its own error."""
    builder = EventBuilder("E")
    with builder.struct("s"):
        for _ in range(127):
            builder.add_u8("a", 1)
    (field,) = decode_metadata(builder.metadata()).fields
    assert (field.in_type, len(field.members)) == (InType.STRUCT, 127)
    with pytest.raises(EncodeError, match="at most 127 members, found 128 - field 's'"):
        add_struct_of_128(builder)
    with pytest.raises(KeyError):
        add_struct_of_128(builder, KeyError())


def test_names_are_checked():
    """A NUL in a name would corrupt every entry after it: refused, and nothing is added."""
    builder = EventBuilder("E")
    before = builder.metadata()
    with pytest.raises(EncodeError, match="must not contain NUL"):
        builder.add_u8("a\0b", 1)
    with pytest.raises(EncodeError, match="must not contain NUL"), builder.struct("a\0b"):
        pass
    with pytest.raises(EncodeError, match="event name must not contain NUL"):
        EventBuilder("a\0b")
    with pytest.raises(EncodeError, match="0 to 127"):
        builder.add_u8("a", 1, 128)
    assert (builder.metadata(), builder.payload()) == (before, b"")
    builder.add_u8("\ud800é", 1)
    assert decoded(builder) == {"\ufffdé": 1}


def test_metadata_of_65535_bytes_is_the_limit():
    """One byte more raises EncodeError, when the metadata is asked for."""
    builder = EventBuilder("E")
    builder.add_u8("n" * (65535 - 5 - 2), 1)
    assert len(builder.metadata()) == 65535
    builder = EventBuilder("E")
    builder.add_u8("n" * (65535 - 5 - 1), 1)
    with pytest.raises(EncodeError, match="must not exceed 65535 bytes, found 65536"):
        builder.metadata()


def test_metadata_is_complete_only_outside_structs():
    """Asking inside a struct, whose members are not counted yet, is refused."""
    builder = EventBuilder("E")
    with builder.struct("s"):
        builder.add_u8("a", 1)
        with pytest.raises(EncodeError, match="after the last struct"):
            builder.metadata()
    assert builder.metadata() == builder.metadata()
