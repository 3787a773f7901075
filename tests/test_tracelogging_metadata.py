"""The event metadata blob: golden bytes, limits, and what damage leaves of it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_etw.errors import DecodeError, EncodeError
from otel_etw.tracelogging.metadata import (
    ArrayKind,
    EventMetadata,
    Field,
    MetadataError,
    count_fields,
    decode_metadata,
    encode_metadata,
)
from otel_etw.tracelogging.types import InType, OutType
from shared_files import vectors
from tracelogging_strategies import any_metadata


def blob_of(*entries: bytes, name: bytes = b"E", tag: bytes = b"\0") -> bytes:
    body = tag + name + b"\0" + b"".join(entries)
    return (2 + len(body)).to_bytes(2, "little") + body


def u8(name: str) -> Field:
    return Field(name, InType.UINT8)


def struct_of(name: str, *members: Field, **more: object) -> Field:
    return Field(name, InType.STRUCT, members=members, **more)


def golden_events(name: str):
    for case in vectors(name)["cases"]:
        event = case.get("expected") or case["event"]
        if event["event_metadata"]:
            yield case, event, bytes.fromhex(event["event_metadata"])


@pytest.mark.parametrize("file", ["logs", "traces", "foreign"])
def test_golden_metadata_is_decoded_and_encoded_to_the_same_bytes(file):
    """Names, number of fields and bytes of every event of the vectors, whoever made it."""
    found = 0
    for case, event, blob in golden_events(file):
        metadata = decode_metadata(blob)
        assert metadata.notes == (), case["name"]
        assert encode_metadata(metadata) == blob, case["name"]
        if "field_count" in event:
            assert count_fields(metadata.fields) == event["field_count"], case["name"]
        if "event_name" in event:
            assert metadata.name == event["event_name"], case["name"]
        found += 1
    assert found >= 5


def test_golden_fields_have_the_types_of_the_stated_sequence():
    """Each log event's flattened fields are the builder calls that the vectors list."""
    in_types = {
        "u16": InType.UINT16, "str8": InType.STR8, "struct": InType.STRUCT, "i16": InType.INT16,
        "i64": InType.INT64, "f64": InType.DOUBLE, "bool32": InType.BOOL32, "u8": InType.UINT8,
        "binary": InType.BINARY,
    }  # fmt: skip

    def flat(fields):
        for field in fields:
            yield field
            yield from flat(field.members)

    for case, event, blob in golden_events("logs"):
        fields = list(flat(decode_metadata(blob).fields))
        assert [(field.name, field.in_type) for field in fields] == [
            (step["name"], in_types[step["type"]]) for step in event["sequence"]
        ], case["name"]


def test_the_miscounted_struct_of_the_reference_takes_the_next_field():
    """PartC counts two members and has one, so it swallows PartB, and nothing is lost."""
    (case,) = (case for case in vectors("logs")["cases"] if case["name"] == "event_id_string")
    fields = decode_metadata(bytes.fromhex(case["expected"]["event_metadata"])).fields
    assert [field.name for field in fields] == ["__csver__", "PartA", "PartC"]
    assert [member.name for member in fields[2].members] == ["user", "PartB"]


def test_an_entry_is_written_as_the_description_draws_it():
    """Out byte only if needed, a struct's count in it, none for an empty struct, tags in four bytes."""
    assert encode_metadata(EventMetadata("E")) == blob_of()
    entries = {
        Field("a", InType.STR8): b"a\0\x17",
        Field("a", InType.STR8, OutType.UTF8): b"a\0\x97\x23",
        Field("a", InType.UINT16, OutType.UNSIGNED): b"a\0\x86\x12",
        Field("", InType.UINT8): b"\0\x04",
        Field("a", InType.UINT8, 0, 1): b"a\0\x84\x80\x80\x80\x80\x01",
        Field("a", InType.UINT8, 3, 0xFE00000): b"a\0\x84\x83\xff\x80\x80\x00",
        Field("a", InType.UINT8, array=ArrayKind.VARIABLE): b"a\0\x44",
        Field("a", InType.UINT8, array=ArrayKind.FIXED, count=258): b"a\0\x24\x02\x01",
        Field("a", InType.UINT8, 4, 1, ArrayKind.FIXED, 2): b"a\0\xa4\x84\x80\x80\x80\x01\x02\x00",
        Field("a", InType.NULL, array=ArrayKind.CUSTOM, custom=b"xyz"): b"a\0\x60\x03\x00xyz",
        Field("a", InType.STRUCT, 5, array=ArrayKind.CUSTOM): b"a\0\xf8\x05\x00\x00",
        struct_of("s"): b"s\0\x18",
        struct_of("s", tag=1): b"s\0\x98\x80\x80\x80\x80\x01",
        struct_of("s", u8("a"), u8("b"), u8("c")): b"s\0\x98\x03" + b"a\0\x04b\0\x04c\0\x04",
        struct_of("s", u8("a"), array=ArrayKind.VARIABLE): b"s\0\xd8\x01" + b"a\0\x04",
        struct_of("s", u8("a"), array=ArrayKind.FIXED, count=2): b"s\0\xb8\x01\x02\x00" + b"a\0\x04",
        struct_of("s", struct_of("t", u8("a")), u8("b")): b"s\0\x98\x02" + b"t\0\x98\x01a\0\x04" + b"b\0\x04",
    }
    for field, entry in entries.items():
        metadata = EventMetadata("E", (field, u8("last")))
        blob = blob_of(entry, b"last\0\x04")
        assert encode_metadata(metadata) == blob
        assert decode_metadata(blob) == metadata


@pytest.mark.parametrize(
    ("tag", "encoded"),
    [
        (0, "00"),
        (0x200000, "01"),
        (0xFE00000, "7f"),
        (0x4000, "8001"),
        (0xFFFC000, "ff7f"),
        (1, "80808001"),
        (0x3FFF, "8080ff7f"),
        (0x80, "80808100"),
        (0xFFFFFFF, "ffffff7f"),
    ],
)
def test_event_tags_take_one_two_or_four_bytes(tag, encoded):
    """Left-aligned groups of seven bits, on both sides of each width."""
    blob = blob_of(tag=bytes.fromhex(encoded))
    assert encode_metadata(EventMetadata("E", (), tag)) == blob
    assert decode_metadata(blob) == EventMetadata("E", (), tag)


def test_a_tag_in_three_bytes_is_read():
    """The Rust macros stop after three bytes where the last seven bits are clear."""
    assert decode_metadata(blob_of(tag=b"\x80\x81\x02")).tag == 0x4100


def test_other_ways_to_write_the_same_are_read():
    """The C++ builder's `98 00` for an empty struct, and an out byte of 0."""
    assert decode_metadata(blob_of(b"s\0\x98\x00", b"a\0\x84\x00")).fields == (struct_of("s"), u8("a"))


def test_unknown_types_stay_numbers():
    """In-types 26 to 31 and out-types without a name survive the way through."""
    fields = tuple(Field("a", in_type, 90) for in_type in range(26, 32))
    metadata = decode_metadata(encode_metadata(EventMetadata("E", fields)))
    assert metadata.fields == fields
    assert type(metadata.fields[0].in_type) is int
    assert type(metadata.fields[0].out_type) is int


def test_known_types_are_enum_members():
    """A decoded field prints by the names of its types."""
    (field,) = decode_metadata(blob_of(b"a\0\x97\x23")).fields
    assert field.in_type is InType.STR8
    assert field.out_type is OutType.UTF8
    assert field.array is ArrayKind.SCALAR


@settings(max_examples=150)
@given(any_metadata)
def test_any_event_round_trips(metadata):
    """Trees of all types, arrays, structs and tags are read back as written, and note nothing."""
    decoded = decode_metadata(encode_metadata(metadata))
    assert decoded == metadata
    assert decoded.notes == ()


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        (EventMetadata("a\0b"), "an event name must not contain NUL"),
        (EventMetadata("E", (u8("a\0b"),)), r"a field name must not contain NUL, found 'a\\x00b'"),
        (EventMetadata("E", (), 1 << 28), "28 bits"),
        (EventMetadata("E", (), -1), "28 bits"),
        (EventMetadata("E", (Field("a", 4, tag=1 << 28),)), "28 bits.*field 'a'"),
        (EventMetadata("E", (Field("a", 32),)), "0 to 31, found 32"),
        (EventMetadata("E", (Field("a", -1),)), "0 to 31"),
        (EventMetadata("E", (Field("a", 4, 128),)), "0 to 127, found 128"),
        (EventMetadata("E", (Field("a", 4, array=ArrayKind.FIXED, count=65536),)), "0 to 65535"),
        (EventMetadata("E", (Field("a", 4, members=(u8("b"),)),)), "only a struct has members"),
        (
            EventMetadata("E", (struct_of("s", struct_of("t", *[u8("a")] * 128)),)),
            "at most 127 members, found 128 - field 's.t'",
        ),
    ],
)
def test_what_has_no_encoding_is_refused(metadata, message):
    """EncodeError says what was found, and in which field."""
    with pytest.raises(EncodeError, match=message):
        encode_metadata(metadata)


def test_structs_of_127_members_and_blobs_of_65535_bytes_are_the_limit():
    """The largest values fit, one more does not."""
    largest = EventMetadata("E", (struct_of("s", *[u8("a")] * 127),))
    assert decode_metadata(encode_metadata(largest)) == largest
    room = 65535 - len(blob_of(b"\0\x04"))
    assert len(encode_metadata(EventMetadata("E", (u8("n" * room),)))) == 65535
    with pytest.raises(EncodeError, match="must not exceed 65535 bytes, found 65536"):
        encode_metadata(EventMetadata("E", (u8("n" * (room + 1)),)))


def test_structs_nest_32_deep_and_no_deeper():
    """Both directions stop at the same depth, and decoding keeps what it had."""

    def nested(depth):
        field = u8("inmost")
        for _ in range(depth):
            field = struct_of("s", field)
        return EventMetadata("E", (u8("a"), field))

    assert decode_metadata(encode_metadata(nested(32))) == nested(32)
    with pytest.raises(EncodeError, match="at most 32 deep"):
        encode_metadata(nested(33))
    with pytest.raises(MetadataError, match="more than 32 deep") as raised:
        decode_metadata(blob_of(b"a\0\x04", b"s\0\x98\x01" * 5000))
    assert raised.value.partial.fields[0] == u8("a")
    assert count_fields(raised.value.partial.fields) == 1 + 32


def test_lone_surrogates_in_names_become_replacement_characters():
    """Names that are no Unicode are written with U+FFFD in place of what they lack."""
    metadata = decode_metadata(encode_metadata(EventMetadata("a\ud800", (u8("\udfffb"),))))
    assert (metadata.name, metadata.fields[0].name) == ("a\ufffd", "\ufffdb")


# ---------------------------------------------------------------- damage


@pytest.mark.parametrize(
    ("blob", "message", "offset", "path"),
    [
        (b"", "needs 2 bytes, 0 are left", 0, None),
        (b"\x02\x00", "tag byte is missing", 2, None),
        (b"\x08\x00\x80\x80\x80\x80E\0", "more than 4 bytes", 2, None),
        (b"\x04\x00\x00E", "event name has no terminating NUL", 3, None),
        (b"\x00\x00\x00E\0", "event name has no terminating NUL", 3, None),
        (blob_of(b"abc"), "field name has no terminating NUL", 5, None),
        (blob_of(b"a\0"), "in-type is missing", 7, "a"),
        (blob_of(b"a\0\x84"), "out-type is missing", 8, "a"),
        (blob_of(b"a\0\x84\x80"), "tag byte is missing", 9, "a"),
        (blob_of(b"a\0\x24\x01"), "count of a fixed array needs 2 bytes, 1 are left", 8, "a"),
        (blob_of(b"a\0\x60\x05\x00ab"), "claims 5 bytes, 2 are left", 8, "a"),
        (blob_of(b"s\0\x98\x02a\0\x04b\0"), "in-type is missing", 14, "s.b"),
        (b"\xff\x00" + blob_of(b"a\0\x04")[2:], "claims 255 bytes, 8 are there", 0, None),
    ],
)
def test_damage_is_told_with_place_and_path(blob, message, offset, path):
    """Each kind of fault says what was expected, at which byte, in which field."""
    with pytest.raises(MetadataError, match=message) as raised:
        decode_metadata(blob)
    assert isinstance(raised.value, DecodeError)
    assert (raised.value.offset, raised.value.field) == (offset, path)
    assert raised.value.where == "event metadata"


def test_the_error_carries_what_was_read():
    """Fields before the fault, and a struct with the members it had by then."""
    blob = blob_of(b"a\0\x04", b"s\0\x98\x03b\0\x04c\0", tag=b"\x01")
    with pytest.raises(MetadataError) as raised:
        decode_metadata(blob)
    assert raised.value.partial == EventMetadata("E", (u8("a"), struct_of("s", u8("b"))), 0x200000)


def test_a_struct_that_counts_too_many_members_takes_what_is_there():
    """No error, but a note for the struct whose count is wrong, and none for the one around it."""
    metadata = decode_metadata(blob_of(b"s\0\x98\x01", b"t\0\x98\x05", b"a\0\x04"))
    assert metadata.fields == (struct_of("s", struct_of("t", u8("a"))),)
    assert metadata.notes == ("struct 't' counts 5 members, 1 fields are left to take",)


def test_bytes_after_the_blob_are_noted():
    """A blob is as long as it says; what follows is not read as fields."""
    metadata = decode_metadata(blob_of(b"a\0\x04") + b"b\0\x04")
    assert metadata.fields == (u8("a"),)
    assert metadata.notes == ("3 bytes follow the 8 of the metadata",)


def golden_blob() -> bytes:
    (case,) = (case for case in vectors("logs")["cases"] if case["name"] == "trace_context")
    return bytes.fromhex(case["expected"]["event_metadata"])


def decodes_or_fails_well(data: bytes) -> None:
    offset = 0
    try:
        metadata = decode_metadata(data)
    except MetadataError as error:
        metadata, offset = error.partial, error.offset
    assert 0 <= offset <= len(data)
    assert isinstance(metadata, EventMetadata)
    assert count_fields(metadata.fields) <= len(data) // 2


def test_every_one_byte_damage_to_a_real_blob_gives_fields_or_our_error():
    """Each byte replaced by each other value; nothing else is ever raised."""
    blob = golden_blob()
    for offset in range(len(blob)):
        for value in range(256):
            decodes_or_fails_well(blob[:offset] + bytes((value,)) + blob[offset + 1 :])


def test_every_truncation_of_a_real_blob_keeps_the_fields_before_it():
    """Cut anywhere, the blob is refused, and the partial result grows with what is there."""
    blob = golden_blob()
    whole = count_fields(decode_metadata(blob).fields)
    counts = []
    for size_bytes in range(len(blob)):
        with pytest.raises(MetadataError) as raised:
            decode_metadata(blob[:size_bytes])
        counts.append(count_fields(raised.value.partial.fields))
    assert counts == sorted(counts)
    assert set(counts) == set(range(whole))


@settings(max_examples=150)
@given(st.binary(max_size=120))
def test_any_bytes_are_metadata_or_our_error(data):
    """Whatever the bytes, with or without a fitting size in front."""
    decodes_or_fails_well(data)
    decodes_or_fails_well((len(data) + 2).to_bytes(2, "little") + data)


def test_the_longest_blob_of_the_shortest_fields_is_read():
    """32 thousand fields without names and types: as many as 64 KiB can hold, and quickly done."""
    entries = b"\0\x00" * ((65535 - 5) // 2)
    assert count_fields(decode_metadata(blob_of(entries)).fields) == 32765
