"""Decoding payloads that are not as they should be: what is kept, what is said, and at what cost."""

from __future__ import annotations

import time
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_etw.errors import DecodeError
from otel_etw.tracelogging.decode import DecodedPayload, decode_payload, to_dict
from otel_etw.tracelogging.encode import encode_payload
from otel_etw.tracelogging.metadata import ArrayKind, Field, MetadataError, decode_metadata
from otel_etw.tracelogging.types import InType, OutType
from shared_files import vectors
from tracelogging_strategies import any_event, any_metadata, plain

FIXED, VARIABLE, CUSTOM = ArrayKind.FIXED, ArrayKind.VARIABLE, ArrayKind.CUSTOM


def u8(name: str) -> Field:
    return Field(name, InType.UINT8)


def struct_of(name: str, *members: Field, **more: object) -> Field:
    return Field(name, InType.STRUCT, members=members, **more)


DAMAGE = [
    # field, its bytes, message, offset, value kept, trailing
    (Field("a", InType.UINT32), "010203", "expected 4 bytes, 3 are left", 0, None, "010203"),
    (Field("a", InType.GUID), "01", "expected 16 bytes, 1 are left", 0, None, "01"),
    (Field("a", InType.STR8), "05", "byte count of 2 bytes, 1 are left", 0, None, "05"),
    (Field("a", InType.STR8), "05006162", "byte count says 5, 2 bytes are left", 0, None, "05006162"),
    (Field("a", InType.STR16), "ffff", "byte count says 65535, 0 bytes are left", 0, None, "ffff"),
    (Field("a", InType.BINARY), "0100", "byte count says 1, 0 bytes are left", 0, None, "0100"),
    (Field("a", InType.UINT8, array=CUSTOM), "0100", "byte count says 1", 0, None, "0100"),
    (Field("a", InType.CSTR8), "", "terminating NUL, 0 bytes are left", 0, None, ""),
    (Field("a", InType.CSTR8), "6162", "no terminating NUL and was taken to the end", 0, "ab", ""),
    (Field("a", InType.CSTR16), "61006200", "no terminating NUL and was taken", 0, "ab", ""),
    (Field("a", InType.CSTR16), "6100620000", "no terminating NUL and was taken", 0, "ab", "00"),
    (Field("a", InType.CSTR16), "61", "terminating NUL, 1 bytes are left", 0, None, "61"),
    (Field("a", InType.SID), "01", "SID of 8 bytes, 1 are left", 0, None, "01"),
    (Field("a", InType.SID), "0102000000000005", "SID of 16 bytes, 8 are left", 0, None, "0102000000000005"),
    (Field("a", 31), "0102", "in-type 31 is of unknown size", 0, None, "0102"),
    (Field("a", InType.UINT32, array=VARIABLE), "02", "element count of 2 bytes, 1 are left", 0, None, "02"),
    (
        Field("a", InType.UINT32, array=VARIABLE),
        "020001000000",
        "2 elements need at least 8 bytes, 4 are left",
        2,
        None,
        "020001000000",
    ),
    (
        Field("a", InType.UINT32, array=FIXED, count=2),
        "01",
        "need at least 8 bytes, 1 are left",
        0,
        None,
        "01",
    ),
    (
        Field("a", InType.STR8, array=VARIABLE),
        "0200 010061 0500".replace(" ", ""),
        "says 5",
        5,
        ["a"],
        "0500",
    ),
]


@pytest.mark.parametrize(("field", "data", "message", "offset", "value", "trailing"), DAMAGE)
def test_damage_is_told_and_the_rest_is_kept(field, data, message, offset, value, trailing):
    """Each fault has its message and offset; values before it are kept, bytes from it on are trailing."""
    decoded = decode_payload([u8("first"), field, u8("last")], b"\x07" + bytes.fromhex(data))
    assert isinstance(decoded.problem, DecodeError)
    assert message in decoded.problem.problem
    assert decoded.problem.where == "payload"
    assert decoded.problem.field is not None
    assert decoded.problem.field.startswith("a")
    assert decoded.problem.offset == offset + 1
    assert to_dict(decoded.values) == ({"first": 7} if value is None else {"first": 7, "a": value})
    assert decoded.trailing == bytes.fromhex(trailing)


def test_the_path_leads_through_structs_and_elements():
    """The outer values stay, cut where the fault was."""
    field = struct_of("outer", u8("x"), struct_of("list", u8("y"), Field("z", InType.UINT16), array=VARIABLE))
    decoded = decode_payload([field], bytes.fromhex("01 0200 020300 04 05"))
    assert decoded.problem is not None
    assert decoded.problem.field == "outer.list"
    text = struct_of("list", u8("y"), Field("z", InType.STR8), array=VARIABLE)
    decoded = decode_payload([struct_of("outer", text)], bytes.fromhex("0200 01 010061 02 ffff"))
    assert decoded.problem is not None
    assert decoded.problem.field == "outer.list[1].z"
    assert str(decoded.problem) == (
        "the byte count says 65535, 0 bytes are left - in payload, field 'outer.list[1].z', at offset 0x7"
    )
    assert to_dict(decoded.values) == {"outer": {"list": [{"y": 1, "z": "a"}, {"y": 2}]}}
    assert decoded.trailing == b"\xff\xff"


def test_bytes_left_over_are_trailing_and_no_problem():
    """Metadata may describe less than there is, as that of metrics events does, which describes nothing."""
    assert decode_payload([u8("a")], b"\1\2\3") == DecodedPayload(
        decode_payload([u8("a")], b"\1").values, b"\2\3", None
    )
    assert decode_payload([], b"abc") == DecodedPayload((), b"abc", None)
    assert decode_payload([], b"") == DecodedPayload((), b"", None)


def test_any_kind_of_buffer_is_taken():
    """bytes, bytearray and memoryview give the same, and the result does not depend on the buffer."""
    buffer = bytearray(b"\2\0abrest")
    fields = [Field("a", InType.STR8)]
    decoded = decode_payload(fields, memoryview(buffer))
    buffer[:] = bytes(len(buffer))
    assert decoded == decode_payload(fields, b"\2\0abrest")
    assert decoded.trailing == b"rest"


def test_text_that_is_no_utf8_is_read_as_the_windows_code_page():
    """Whatever the out-type; UTF-16 that is no text has replacement characters."""
    for out_type in (0, OutType.UTF8, OutType.JSON):
        field = Field("a", InType.STR8, out_type)
        assert plain(decode_payload([field], b"\4\0gr\xfcn").values) == ("grün",)
    assert plain(decode_payload([Field("a", InType.CSTR8)], b"\x80\0").values) == ("€",)
    assert plain(decode_payload([Field("a", InType.STR16)], b"\4\0\x00\xd8a\0").values) == ("\ufffda",)
    field = Field("a", InType.UINT16, OutType.STRING)
    assert plain(decode_payload([field], b"\x00\xd8").values) == ("\ufffd",)


def test_any_number_but_zero_is_true():
    """A bool is read from whatever number a producer wrote."""
    fields = [Field("a", InType.BOOL32), Field("b", InType.UINT8, OutType.BOOLEAN)]
    assert plain(decode_payload(fields, b"\0\0\0\x80\x02").values) == (True, True)


# ---------------------------------------------------------------- cost


def test_arrays_of_elements_without_bytes_are_limited():
    """64 empty structs are taken, 65 are not, since nothing in the payload bounds their number."""
    for empty in (struct_of("s", array=VARIABLE), Field("s", InType.NULL, array=VARIABLE)):
        decoded = decode_payload([empty], b"\x40\0")
        assert decoded.problem is None
        assert len(decoded.values[0].value) == 64
        decoded = decode_payload([empty], b"\x41\0")
        assert decoded.problem is not None
        assert "65 elements without bytes" in str(decoded.problem)
        assert decoded.trailing == b"\x41\0"


def test_no_list_of_zero_length_reads_its_members():
    """The members of an array of structs without elements take nothing, however many they are."""
    deep = struct_of("s", struct_of("t", *[Field("x", InType.UINT64)] * 100), array=VARIABLE)
    decoded = decode_payload([deep, u8("last")], b"\0\0\x09")
    assert (decoded.problem, to_dict(decoded.values)) == (None, {"s": [], "last": 9})


HOSTILE = {
    "nested arrays of empty structs": (
        b"".join(b"\0\xb8\x01\x40\x00" for _ in range(31)) + b"\0\x38\x40\x00",
        b"",
    ),
    "nested fixed arrays of huge count": (
        b"".join(b"\0\xb8\x01\xff\xff" for _ in range(31)) + b"\0\x24\xff\xff",
        bytes(60_000),
    ),
    "many members without bytes for each byte": (
        b"\0\xd8\x02\0\x04" + b"\0\x98\x7f" + b"".join(b"\0\x98\x7f" + b"\0\x00" * 127 for _ in range(127)),
        b"\xff\xff" + bytes(65_535),
    ),
    "struct around struct around each byte": (
        b"\0\xd8\x01" + b"\0\x98\x01" * 30 + b"\0\x04",
        b"\xff\xff" + bytes(65_535),
    ),
    "huge struct skipped in each element": (
        b"\0\xd8\x01" + b"\0\xd8\x7f" + b"".join(b"\0\x98\x7f" + b"\0\x00" * 127 for _ in range(127)),
        b"\xff\x7f" + bytes(65_534),
    ),
    "counts that nothing follows": (b"\0\x49" * 30_000, b"\xff\xff"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_descriptions_cost_little(name):
    """Small metadata that describes enormous events: bounded time and memory, and a result."""
    entries, payload = HOSTILE[name]
    body = b"\0E\0" + entries
    blob = (2 + len(body)).to_bytes(2, "little") + body
    started = time.process_time()
    try:
        fields = decode_metadata(blob).fields
    except MetadataError as error:
        fields = error.partial.fields
    decoded = decode_payload(fields, payload)
    assert time.process_time() - started < 2
    assert isinstance(decoded, DecodedPayload)
    tracemalloc.start()
    try:
        decode_payload(fields, payload)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 48 << 20


def test_fields_nested_deeper_than_metadata_can_say_stop():
    """Fields made by hand may nest deeper than the 32 structs that are followed: a problem, no recursion."""
    field = u8("inmost")
    for _ in range(40):
        field = struct_of("s", field)
    decoded = decode_payload([u8("first"), field], b"\1\2")
    assert decoded.problem is not None
    assert "more than 32 deep" in str(decoded.problem)
    assert (decoded.values[0].value, decoded.trailing) == (1, b"\2")


def test_large_honest_arrays_are_decoded():
    """The budget against hostile events leaves room for the densest honest ones."""
    field = struct_of("s", u8("x"), array=VARIABLE)
    decoded = decode_payload([field], b"\xff\xff" + bytes(65_535))
    assert decoded.problem is None
    assert len(decoded.values[0].value) == 65_535


# ---------------------------------------------------------------- any bytes


def is_well_formed(decoded: DecodedPayload, payload: bytes) -> None:
    assert isinstance(decoded, DecodedPayload)
    assert payload.endswith(decoded.trailing)
    if decoded.problem is not None:
        assert 0 <= decoded.problem.offset <= len(payload)
        assert decoded.problem.field is not None
    to_dict(decoded.values)


@settings(max_examples=150)
@given(any_metadata, st.binary(max_size=80), st.sampled_from([4, 8]))
def test_any_bytes_are_decoded_without_raising(metadata, payload, pointer_size):
    """Whatever the fields and the bytes, there is a result."""
    is_well_formed(decode_payload(metadata.fields, payload, pointer_size), payload)


@settings(max_examples=80)
@given(any_event, st.data())
def test_a_truncated_payload_keeps_the_values_before_the_cut(event, data):
    """Cut anywhere, the complete values before the cut are those of the whole."""
    metadata, values = event
    payload = encode_payload(metadata.fields, values)
    size_bytes = data.draw(st.integers(0, len(payload)))
    decoded = decode_payload(metadata.fields, payload[:size_bytes])
    is_well_formed(decoded, payload[:size_bytes])
    complete = decoded.values[:-1] if decoded.problem is not None else decoded.values
    assert plain(complete) == values[: len(complete)]


def test_every_one_byte_damage_to_a_real_event_is_decoded():
    """Each byte of a real payload and of its metadata, each replaced by eight others, is decoded."""
    (case,) = (case for case in vectors("logs")["cases"] if case["name"] == "attr_types")
    blob = bytes.fromhex(case["expected"]["event_metadata"])
    payload = bytes.fromhex(case["expected"]["payload"])
    fields = decode_metadata(blob).fields
    for bit in range(8):
        for offset in range(len(payload)):
            damaged = payload[:offset] + bytes((payload[offset] ^ 1 << bit,)) + payload[offset + 1 :]
            is_well_formed(decode_payload(fields, damaged), damaged)
        for offset in range(len(blob)):
            try:
                damaged_fields = decode_metadata(
                    blob[:offset] + bytes((blob[offset] ^ 1 << bit,)) + blob[offset + 1 :]
                ).fields
            except MetadataError as error:
                damaged_fields = error.partial.fields
            is_well_formed(decode_payload(damaged_fields, payload), payload)
