"""Payload bytes and values: golden events, every type both ways, and values that have no encoding."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_etw.errors import EncodeError
from otel_etw.tracelogging.decode import decode_payload, to_dict
from otel_etw.tracelogging.encode import encode_payload
from otel_etw.tracelogging.metadata import ArrayKind, Field, decode_metadata
from otel_etw.tracelogging.types import InType, OutType
from otel_etw.tracelogging.values import FileTime, SystemTime
from shared_files import vectors
from tracelogging_strategies import any_event, plain

GUID = UUID("00112233-4455-6677-8899-aabbccddeeff")
FIXED, VARIABLE, CUSTOM = ArrayKind.FIXED, ArrayKind.VARIABLE, ArrayKind.CUSTOM


def struct_of(name: str, *members: Field, **more: object) -> Field:
    return Field(name, InType.STRUCT, members=members, **more)


@pytest.mark.parametrize("file", ["logs", "traces", "foreign"])
def test_golden_payloads_are_decoded_completely_and_encoded_back(file):
    """No problem, nothing left over, and the same bytes from the decoded values."""
    found = 0
    for case in vectors(file)["cases"]:
        event = case.get("expected") or case["event"]
        if not event["event_metadata"]:
            continue
        fields = decode_metadata(bytes.fromhex(event["event_metadata"])).fields
        payload = bytes.fromhex(event["payload"])
        decoded = decode_payload(fields, payload)
        assert decoded.problem is None, case["name"]
        assert decoded.trailing == b"", case["name"]
        assert encode_payload(fields, decoded.values) == payload, case["name"]
        found += 1
    assert found >= 5


def test_golden_values_are_those_of_the_stated_sequence():
    """Every leaf of every log and span event has the value that the vectors list for it."""

    def leaves(values):
        for value in values:
            if value.field.in_type == InType.STRUCT:
                yield from leaves(value.value)
            else:
                yield value

    for file in ("logs", "traces"):
        for case in vectors(file)["cases"]:
            expected = case["expected"]
            fields = decode_metadata(bytes.fromhex(expected["event_metadata"])).fields
            values = list(leaves(decode_payload(fields, bytes.fromhex(expected["payload"])).values))
            steps = [step for step in expected["sequence"] if step["type"] != "struct"]
            assert [value.name for value in values] == [step["name"] for step in steps], case["name"]
            for value, step in zip(values, steps, strict=True):
                assert repr(value.value) == repr(stated_value(step)), (case["name"], step["name"])


def stated_value(step):
    if step["type"] == "binary":
        return bytes.fromhex(step["value"])
    if step["type"] == "f64":
        return float(step["value"])
    if step["type"] == "u8" and step.get("out") == OutType.BOOLEAN:
        return bool(step["value"])
    return bool(step["value"]) if step["type"] == "bool32" else step["value"]


CASES = [
    (InType.NULL, 0, None, ""),
    (InType.CSTR16, 0, "aé", "6100e9000000"),
    (InType.CSTR16, 0, "Āa", "000161000000"),  # 00 01 61 00 | 00 00: zeros of two units are no terminator
    (InType.CSTR8, 0, "aé", "61c3a900"),
    (InType.INT8, 0, -128, "80"),
    (InType.UINT8, 0, 255, "ff"),
    (InType.INT16, 0, -2, "feff"),
    (InType.UINT16, 0, 0x1234, "3412"),
    (InType.INT32, 0, -2, "feffffff"),
    (InType.UINT32, 0, 2**32 - 1, "ffffffff"),
    (InType.INT64, 0, -(2**63), "0000000000000080"),
    (InType.UINT64, 0, 2**64 - 1, "ffffffffffffffff"),
    (InType.FLOAT, 0, 0.5, "0000003f"),
    (InType.DOUBLE, 0, -0.5, "000000000000e0bf"),
    (InType.BOOL32, 0, True, "01000000"),
    (InType.BOOL32, OutType.BOOLEAN, False, "00000000"),
    (InType.BINARY, 0, b"\0\xff", "020000ff"),
    (InType.GUID, 0, GUID, "33221100554477668899aabbccddeeff"),
    (InType.POINTER, 0, 0xFEDC, "dcfe000000000000"),
    (InType.FILETIME, 0, FileTime(116_444_736_000_000_000), "00803ed5deb19d01"),
    (InType.SYSTEMTIME, 0, SystemTime(2026, 3, 3, 11, 12, 34, 56, 789), "ea07030003000b000c00220038001503"),
    (InType.SID, 0, "S-1-5-32-544", "01020000000000052000000020020000"),
    (InType.HEX32, 0, 0xDEADBEEF, "efbeadde"),
    (InType.HEX64, 0, 1, "0100000000000000"),
    (InType.STR16, 0, "a\0€", "060061000000ac20"),
    (InType.STR8, 0, "a\0€", "05006100e282ac"),
    (InType.STR8, OutType.JSON, "[1]", "03005b315d"),
    (InType.BINARYC, 0, b"", "0000"),
    (InType.UINT8, OutType.BOOLEAN, True, "01"),
    (InType.INT8, OutType.BOOLEAN, False, "00"),
    (InType.INT32, OutType.BOOLEAN, True, "01000000"),
    (InType.UINT8, OutType.STRING, "é", "e9"),
    (InType.INT8, OutType.STRING, "é", "e9"),
    (InType.UINT16, OutType.STRING, "€", "ac20"),
    (InType.UINT16, OutType.PORT, 443, "01bb"),
    (InType.UINT32, OutType.IPV4, IPv4Address("192.168.0.1"), "c0a80001"),
    (InType.BINARY, OutType.IPV6, IPv6Address("::1"), "1000" + "00" * 15 + "01"),
    (InType.BINARYC, OutType.IPV6, IPv6Address("::1"), "1000" + "00" * 15 + "01"),
    (InType.BINARY, OutType.IPV6, b"\1\2", "02000102"),
    (InType.UINT64, OutType.DATETIME, 1, "0100000000000000"),
    (InType.UINT32, 100, 1, "01000000"),
]


@pytest.mark.parametrize(("in_type", "out_type", "value", "encoded"), CASES)
def test_each_type_both_ways(in_type, out_type, value, encoded):
    """One value of each in-type, and of each out-type that changes it, alone and in arrays."""
    data = bytes.fromhex(encoded)
    for array, count, payload, expected in (
        (ArrayKind.SCALAR, 0, data, value),
        (FIXED, 2, data * 2, [value, value]),
        (VARIABLE, 0, b"\3\0" + data * 3, [value] * 3),
        (FIXED, 0, b"", []),
        (VARIABLE, 0, b"\0\0", []),
    ):
        fields = [Field("a", in_type, out_type, array=array, count=count), Field("last", InType.UINT8)]
        decoded = decode_payload(fields, payload + b"\x07")
        assert decoded.problem is None
        assert decoded.trailing == b""
        assert plain(decoded.values) == (expected, 7)
        assert type(decoded.values[0].value) is type(expected)
        assert encode_payload(fields, (expected, 7)) == payload + b"\x07"


def test_pointers_follow_the_pointer_size():
    """Four bytes in an event of a 32-bit process, eight otherwise."""
    fields = [Field("p", InType.POINTER), Field("a", InType.POINTER, array=VARIABLE)]
    values = (2**32 - 1, [1])
    assert encode_payload(fields, values, 4) == bytes.fromhex("ffffffff 0100 01000000")
    assert plain(decode_payload(fields, encode_payload(fields, values, 4), 4).values) == values
    assert encode_payload(fields, values) == bytes.fromhex("ffffffff00000000 0100 0100000000000000")
    with pytest.raises(EncodeError, match="field 'p'"):
        encode_payload(fields, (2**32, []), 4)


def test_arrays_of_structs_have_one_count_before_the_first_element():
    """Fixed and variable arrays of structs, with arrays in them."""
    point = (Field("x", InType.UINT8), Field("tags", InType.STR8, array=VARIABLE))
    fields = [
        struct_of("points", *point, array=VARIABLE),
        struct_of("pair", *point, array=FIXED, count=2),
        struct_of("none", *point, array=VARIABLE),
        Field("last", InType.UINT8),
    ]
    values = ([(1, ["a"]), (2, [])], [(3, []), (4, ["b", "c"])], [], 9)
    payload = encode_payload(fields, values)
    assert payload.hex() == "020001010001006102000003000004020001006201 0063".replace(" ", "") + "000009"
    decoded = decode_payload(fields, payload)
    assert decoded.problem is None
    assert plain(decoded.values) == values
    assert to_dict(decoded.values) == {
        "points": [{"x": 1, "tags": ["a"]}, {"x": 2, "tags": []}],
        "pair": [{"x": 3, "tags": []}, {"x": 4, "tags": ["b", "c"]}],
        "none": [],
        "last": 9,
    }


def test_custom_fields_are_counted_bytes():
    """Whatever their in-type, structs too: only the provider can read them."""
    fields = [
        Field("a", InType.UINT32, array=CUSTOM, custom=b"how"),
        Field("s", InType.STRUCT, 3, array=CUSTOM),
        Field("last", InType.UINT8),
    ]
    payload = bytes.fromhex("0300010203 0000 07")
    decoded = decode_payload(fields, payload)
    assert to_dict(decoded.values) == {"a": b"\1\2\3", "s": b"", "last": 7}
    assert encode_payload(fields, decoded.values) == payload


def test_the_last_of_several_fields_of_one_name_wins():
    """A dict has room for one; the values themselves keep both."""
    decoded = decode_payload([Field("a", InType.UINT8), Field("a", InType.UINT8)], b"\1\2")
    assert to_dict(decoded.values) == {"a": 2}
    assert plain(decoded.values) == (1, 2)


@settings(max_examples=150)
@given(any_event, st.binary(max_size=5))
def test_any_event_round_trips(event, rest):
    """Values of any tree of fields come back as given, and what follows them is trailing."""
    metadata, values = event
    payload = encode_payload(metadata.fields, values)
    decoded = decode_payload(metadata.fields, payload + rest)
    assert decoded.problem is None
    assert decoded.trailing == rest
    assert plain(decoded.values) == values
    assert encode_payload(metadata.fields, decoded.values) == payload


INTEGERS = [
    (InType.INT8, -(2**7), 2**7 - 1),
    (InType.UINT8, 0, 2**8 - 1),
    (InType.INT16, -(2**15), 2**15 - 1),
    (InType.UINT16, 0, 2**16 - 1),
    (InType.INT32, -(2**31), 2**31 - 1),
    (InType.UINT32, 0, 2**32 - 1),
    (InType.INT64, -(2**63), 2**63 - 1),
    (InType.UINT64, 0, 2**64 - 1),
    (InType.HEX32, 0, 2**32 - 1),
    (InType.HEX64, 0, 2**64 - 1),
    (InType.POINTER, 0, 2**64 - 1),
    (InType.FILETIME, -(2**63), 2**63 - 1),
]


@pytest.mark.parametrize(("in_type", "lowest", "highest"), INTEGERS)
def test_integers_on_both_sides_of_their_limits(in_type, lowest, highest):
    """The limits come back as given, one beyond is refused."""
    field = Field("a", in_type)
    for value in (lowest, highest):
        assert plain(decode_payload([field], encode_payload([field], [value])).values) == (value,)
    for value in (lowest - 1, highest + 1):
        with pytest.raises(EncodeError, match="field 'a'"):
            encode_payload([field], [value])


WRONG = [
    (Field("a", InType.NULL), 0),
    (Field("a", InType.UINT8), "1"),
    (Field("a", InType.UINT8), 1.5),
    (Field("a", InType.FLOAT), 1e39),
    (Field("a", InType.DOUBLE), "1"),
    (Field("a", InType.BOOL32), 1),
    (Field("a", InType.UINT8, OutType.BOOLEAN), 2),
    (Field("a", InType.UINT8, OutType.STRING), "ab"),
    (Field("a", InType.UINT8, OutType.STRING), "Ā"),
    (Field("a", InType.INT8, OutType.STRING), "Ā"),
    (Field("a", InType.UINT16, OutType.STRING), "\U0001f600"),
    (Field("a", InType.UINT16, OutType.PORT), 65536),
    (Field("a", InType.UINT16, OutType.PORT), -1),
    (Field("a", InType.UINT32, OutType.IPV4), 1),
    (Field("a", InType.UINT32, OutType.IPV4), IPv6Address("::1")),
    (Field("a", InType.GUID), bytes(16)),
    (Field("a", InType.GUID), "text"),
    (Field("a", InType.SYSTEMTIME), (1, 2, 3)),
    (Field("a", InType.SYSTEMTIME), (65536, 0, 0, 0, 0, 0, 0, 0)),
    (Field("a", InType.SYSTEMTIME), 5),
    (Field("a", InType.SID), "S-1"),
    (Field("a", InType.SID), b"\1\0"),
    (Field("a", InType.CSTR8), "a\0"),
    (Field("a", InType.CSTR16), "\0"),
    (Field("a", InType.CSTR8), b"a"),
    (Field("a", InType.STR8), 5),
    (Field("a", InType.STR8), "x" * 65536),
    (Field("a", InType.STR16), "x" * 32768),
    (Field("a", InType.STR16), b"ab"),
    (Field("a", InType.BINARY), "ab"),
    (Field("a", InType.BINARY), bytes(65536)),
    (Field("a", InType.BINARYC), bytes(65536)),
    (Field("a", InType.BINARY, OutType.IPV6), IPv4Address("1.2.3.4")),
    (Field("a", 26), b""),
    (Field("a", InType.UINT8, array=CUSTOM), 5),
    (Field("a", InType.UINT8, array=VARIABLE), 5),
    (Field("a", InType.UINT8, array=VARIABLE), b"ab"),
    (Field("a", InType.UINT8, array=VARIABLE), [1] * 65536),
    (Field("a", InType.UINT8, array=FIXED, count=2), [1]),
    (struct_of("a", Field("b", InType.UINT8)), 5),
    (struct_of("a", Field("b", InType.UINT8)), ()),
    (struct_of("a", Field("b", InType.UINT8)), (1, 2)),
]


@pytest.mark.parametrize(("field", "value"), WRONG)
def test_values_that_do_not_fit_are_refused(field, value):
    """A wrong type, a number or a length out of range: EncodeError that names the field, and is short."""
    with pytest.raises(EncodeError, match=r"field 'a'$") as raised:
        encode_payload([field], [value])
    assert len(str(raised.value)) < 200


def test_the_path_leads_to_the_value():
    """Through structs and elements to the member that does not fit."""
    field = struct_of("outer", struct_of("list", Field("x", InType.UINT8), array=VARIABLE))
    with pytest.raises(EncodeError, match=r"field 'outer\.list\[1\]\.x'"):
        encode_payload([field], [([(1,), (256,)],)])
    with pytest.raises(EncodeError, match=r"expected 1 values, found 2$"):
        encode_payload([field], [1, 2])


def test_counted_values_of_65535_bytes_fit():
    """The longest strings, bytes and arrays come back as given."""
    for field, value in (
        (Field("a", InType.STR8), "x" * 65535),
        (Field("a", InType.STR16), "x" * 32767),
        (Field("a", InType.BINARY), bytes(65535)),
        (Field("a", InType.UINT16, array=VARIABLE), list(range(65535))),
        (Field("a", InType.UINT8, array=CUSTOM), bytes(65535)),
    ):
        decoded = decode_payload([field], encode_payload([field], [value]))
        assert (decoded.values[0].value, decoded.trailing, decoded.problem) == (value, b"", None)


def test_numbers_are_little_endian_and_packed():
    """Values follow each other without padding."""
    fields = [Field("a", InType.UINT8), Field("b", InType.UINT64), Field("c", InType.UINT16)]
    assert encode_payload(fields, (1, 2, 3)) == struct.pack("<BQH", 1, 2, 3)
