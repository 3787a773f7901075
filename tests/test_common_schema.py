"""Log records as events beyond the golden vectors: Python's own values, too large events, older layouts."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from decimal import Decimal
from enum import IntEnum
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_etw.errors import EncodeError
from otel_etw.layouts.common_schema import (
    LogFields,
    ResourceFacts,
    decode_log,
    encode_log,
    resource_facts,
    severity_level,
)
from otel_etw.layouts.encoded import EncodedEvent
from otel_etw.layouts.items import LogItem
from otel_etw.tracelogging.decode import FieldValue
from otel_etw.tracelogging.encode import EventBuilder, encode_payload
from otel_etw.tracelogging.metadata import EventMetadata, Field, decode_metadata, encode_metadata
from otel_etw.tracelogging.types import InType, OutType
from otel_etw.tracelogging.values import FileTime
from vector_records import values_of

NOW = 1773232496789000000


def decoded(event: EncodedEvent) -> LogItem:
    item = decode_log(values_of(event.metadata, event.payload), -1)
    assert item is not None
    return item


def members(event: EncodedEvent, part: str = "PartC") -> dict[str, FieldValue]:
    found: Any = {value.name: value.value for value in values_of(event.metadata, event.payload)}
    return {member.name: member for member in found.get(part, ())}


def attribute(value: object) -> FieldValue:
    return members(encode_log(LogFields(NOW, attributes={"k": value})))["k"]


class Number(IntEnum):
    SEVEN = 7


class Failing:
    def __str__(self) -> str:
        raise RuntimeError("no text")


class Text(str):
    def __str__(self) -> str:
        raise RuntimeError("no text")

    def encode(self, *arguments: Any) -> bytes:
        raise RuntimeError("no bytes")


@pytest.mark.parametrize(
    ("value", "in_type", "out_type", "found"),
    [
        (2**63 - 1, InType.INT64, 0, 2**63 - 1),
        (2**63, InType.STR8, 0, "9223372036854775808"),
        (-(2**63) - 1, InType.STR8, 0, "-9223372036854775809"),
        pytest.param(10**5000, InType.STR8, 0, hex(10**5000), id="too-many-digits"),
        (Number.SEVEN, InType.INT64, 0, 7),
        (None, InType.STR8, 0, ""),
        (b"\0\xff", InType.BINARY, 0, b"\0\xff"),
        (bytearray(b"ab"), InType.BINARY, 0, b"ab"),
        ("a\0b", InType.STR8, 0, "a\0b"),
        pytest.param("a\ud83db", InType.STR8, 0, "a\ufffdb", id="surrogate"),
        pytest.param(Text("plain"), InType.STR8, 0, "plain", id="failing-text"),
        ([1, [2, [3, {"k": b"ab"}]]], InType.STR8, OutType.JSON, '[1,[2,[3,{"k":"YWI="}]]]'),
        ({}, InType.STR8, OutType.JSON, "{}"),
        ((), InType.STR8, OutType.JSON, "[]"),
        (Decimal("1.50"), InType.STR8, 0, "1.50"),
        (datetime(2026, 3, 11, tzinfo=timezone.utc), InType.STR8, 0, "2026-03-11 00:00:00+00:00"),
        (Failing(), InType.STR8, 0, "Failing"),
        (object, InType.STR8, 0, "<class 'object'>"),
    ],
)
def test_values_of_python(value: object, in_type: int, out_type: int, found: object) -> None:
    """Every Python value has its stated field, and none raises."""
    member = attribute(value)
    assert (member.field.in_type, member.field.out_type, member.value) == (in_type, out_type, found)


@pytest.mark.parametrize("value", [True, "20", 20.0, None, 2**63, [20]])
def test_an_event_id_that_is_no_integer_stays_an_attribute(value: Any) -> None:
    """Only a 64-bit integer, which a bool is not, becomes PartB's eventId."""
    event = encode_log(LogFields(NOW, attributes={"event_id": value}))
    assert "eventId" not in members(event, "PartB")
    assert "event_id" in members(event)


def test_an_enumeration_is_an_integer_event_id() -> None:
    """Subclasses of ``int`` count as integers."""
    assert decoded(encode_log(LogFields(NOW, attributes={"event_id": Number.SEVEN}))).event_id == 7


def test_names_that_would_break_the_metadata() -> None:
    """NUL and lone surrogates in keys and event names become U+FFFD; keys that are no text become one."""
    attributes: Any = {"a\0b": 1, "c\ud800": 2, 3: "three"}
    event = encode_log(LogFields(NOW, attributes=attributes), event_name="Log\0\udfff")
    assert decode_metadata(event.metadata).name == "Log\ufffd\ufffd"
    assert decoded(event).attributes == {"a\ufffdb": 1, "c\ufffd": 2, "3": "three"}


@pytest.mark.parametrize(
    ("number", "level", "written"),
    [(None, 5, 5), (0, 5, 5), (-3, 5, 5), (1, 5, 1), (24, 1, 24), (25, 1, 25), (10**9, 1, 32767)],
)
def test_severities_outside_the_scale(number: int | None, level: int, written: int) -> None:
    """An unset severity counts as DEBUG, one beyond FATAL as FATAL."""
    event = encode_log(LogFields(NOW, severity_number=number))
    assert event.descriptor.level == severity_level(number) == level
    assert decoded(event).severity_number == written


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("shop", "shop"),
        ("", ""),
        (True, "true"),
        (5, "5"),
        (2.0, "2"),
        (2.5, "2.5"),
        (1e21, "1000000000000000000000"),
        (["a", "b"], '["a","b"]'),
        ((1, 2), "[1,2]"),
        ((True, 0.5), "[true,0.5]"),
    ],
)
def test_role_is_text(value: object, text: str) -> None:
    """Service name and instance become text as the reference's language displays them."""
    facts = resource_facts({"service.name": value, "service.instance.id": value}, {"service.name"})
    assert facts == ResourceFacts(text, text, ())
    item = decoded(encode_log(LogFields(NOW), facts))
    assert (item.service_name, item.service_instance_id) == (text, text)


RECORDS = st.builds(
    LogFields,
    st.integers(-(10**19), 10**19),
    st.none() | st.integers(1, 24),
    st.none() | st.text(),
    st.none() | st.text() | st.integers() | st.binary() | st.lists(st.text()),
    st.none() | st.text(),
    st.none() | st.integers(1, 2**128 - 1),
    st.none() | st.integers(1, 2**64 - 1),
    st.dictionaries(st.text(), st.text() | st.integers() | st.floats() | st.booleans() | st.binary()),
)


@given(RECORDS, st.text(), st.integers(700, 65400))
def test_any_record_fits_and_comes_back(record: LogFields, event_name: str, max_event_bytes: int) -> None:
    """An event never exceeds its room; one that was not cut has the record's facts."""
    event = encode_log(record, event_name=event_name, max_event_bytes=max_event_bytes)
    assert len(event.metadata) + len(event.payload) <= max_event_bytes
    item = decoded(event)
    assert item.truncated == event.truncated
    assert item.severity_number == (record.severity_number or 5)
    if record.trace_id:
        assert item.trace_id == f"{record.trace_id:032x}"
    if not event.truncated and isinstance(record.body, (list, bytes)):
        assert json.dumps(item.body, default=repr).encode(errors="replace")


SIZES = st.integers(0, 3000)


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(SIZES, SIZES, st.sampled_from("aé\x01🎉")), max_size=140, unique_by=lambda size: size[0]
    ),
    st.sampled_from([600, 4000, 20000, 65400]),
)
def test_keys_and_values_of_any_size(sizes: list[tuple[int, int, str]], max_event_bytes: int) -> None:
    """Whatever the lengths of keys and values, the event fits, decodes, and says what it cut."""
    attributes = {letter * key: letter * value for key, value, letter in sizes}
    event = encode_log(LogFields(NOW, body="kept", attributes=attributes), max_event_bytes=max_event_bytes)
    assert len(event.metadata) + len(event.payload) <= max_event_bytes
    item = decoded(event)
    assert item.truncated == event.truncated
    for key, value in item.attributes.items():
        assert attributes[key].startswith(value)
        assert value == attributes[key] or key in item.truncated
    if not item.truncated:
        assert item.attributes == attributes


def test_the_longest_value_is_cut_at_a_character() -> None:
    """A body of 10 MB keeps its beginning, whole characters, and its short neighbours keep everything."""
    record = LogFields(NOW, body="é" * 5_000_000, attributes={"user": "ann"})
    event = encode_log(record)
    item = decoded(event)
    assert item.truncated == {"body": 10_000_000}
    assert set(item.body) == {"é"}
    assert 65360 - 4 <= len(event.metadata) + len(event.payload) <= 65360
    assert item.attributes == {"user": "ann"}


def test_a_value_longer_than_a_count_is_cut_though_the_event_has_room() -> None:
    """The byte count of a value is 16 bits wide, whatever the provider takes."""
    item = decoded(encode_log(LogFields(NOW, body=b"x" * 70_000), max_event_bytes=200_000))
    assert len(item.body) == 65535
    assert item.truncated == {"body": 70_000}


def test_half_a_json_text_does_not_claim_to_be_one() -> None:
    """A list that was cut is plain text, so that no reader fails on it."""
    event = encode_log(LogFields(NOW, attributes={"list": ["x" * 100] * 1000}))
    member = members(event)["list"]
    assert member.field.out_type == 0
    assert str(member.value).startswith('["xxx')
    assert decoded(event).truncated == {"list": 103_001}


def test_equally_long_values_are_cut_alike() -> None:
    """Several long values share the room, and each is in the mark with the length it had."""
    attributes = {f"k{number}": "x" * 20_000 for number in range(10)}
    item = decoded(encode_log(LogFields(NOW, attributes=attributes)))
    assert item.truncated == dict.fromkeys(attributes, 20_000)
    assert len({len(value) for value in item.attributes.values()}) == 1


def test_thousands_of_long_keys() -> None:
    """If the keys alone are too large, members move into the surplus, which loses whole ones from its end."""
    attributes = {f"{number:04d}{'k' * 996}": number for number in range(5000)}
    item = decoded(encode_log(LogFields(NOW, body="kept", attributes=attributes)))
    assert item.body == "kept"
    assert len(item.attributes) > 50
    assert item.attributes.items() <= attributes.items()
    assert item.truncated == {
        "otel_etw.more": 5000 * 1003 + sum(len(str(number)) + 1 for number in range(5000)) + 1
    }


def test_no_room_at_all() -> None:
    """A provider that takes no event that long is an error of ours, which exporters count."""
    with pytest.raises(EncodeError, match="does not fit into 100 bytes"):
        encode_log(LogFields(NOW, body="x"), max_event_bytes=100)


def test_a_users_attribute_of_a_reserved_name_is_an_attribute() -> None:
    """Only what the encoder itself writes under its reserved names is taken as such."""
    attributes = {"otel_etw.truncated": "no", "otel_etw.more": "either"}
    assert decoded(encode_log(LogFields(NOW, attributes=attributes))).attributes == attributes


# --------------------------------------------------------------------------- older releases


def old_event(fields: tuple[Field, ...], values: tuple[Any, ...]) -> LogItem | None:
    metadata = encode_metadata(EventMetadata("Log", fields))
    return decode_log(values_of(metadata, encode_payload(fields, values)), -1)


@pytest.mark.parametrize(("level", "severity"), [(1, 21), (2, 17), (3, 13), (4, 9), (5, 5), (0, None)])
def test_releases_up_to_0_7(level: int, severity: int | None) -> None:
    """A FILETIME in PartA, ``Logs``, a u8 with the ETW level, bytes of type 25."""
    fields = (
        Field("__csver__", InType.UINT16, OutType.HEX),
        Field("PartA", InType.STRUCT, members=(Field("time", InType.FILETIME),)),
        Field("PartC", InType.STRUCT, members=(Field("raw", InType.BINARYC), Field("ok", InType.BOOL32))),
        Field(
            "PartB",
            InType.STRUCT,
            members=(
                Field("_typeName", InType.STR8),
                Field("body", InType.BINARYC),
                Field("severityNumber", InType.UINT8),
                Field("severityText", InType.STR8),
                Field("name", InType.STR8),
            ),
        ),
    )
    values = (
        0x0401,
        (FileTime.from_unix_nano(NOW),),
        (b"\1\2", True),
        ("Logs", b"\3", level, "INFO", "event-name"),
    )
    assert old_event(fields, values) == LogItem(
        time_unix_nano=NOW,
        severity_number=severity,
        severity_text="INFO",
        body=b"\3",
        event_name="event-name",
        attributes={"raw": b"\1\2", "ok": True},
    )


@pytest.mark.parametrize("time", ["2026-03-11T12:34:56.789+00:00", "2026-03-11T12:34:56.789Z"])
def test_releases_0_8_to_0_10(time: str) -> None:
    """Role and instance directly in PartA, times with an offset, bytes of type 25."""
    part_a = ("role", "roleInstance", "time")
    fields = (
        Field("__csver__", InType.UINT16, OutType.UNSIGNED),
        Field("PartA", InType.STRUCT, members=tuple(Field(name, InType.STR8) for name in part_a)),
        Field(
            "PartB",
            InType.STRUCT,
            members=(
                Field("_typeName", InType.STR8),
                Field("body", InType.BINARYC),
                Field("severityNumber", InType.INT16),
            ),
        ),
    )
    item = old_event(fields, (0x400, ("shop", "i-1", time), ("Log", b"x", 17)))
    assert item == LogItem(NOW, 17, body=b"x", service_name="shop", service_instance_id="i-1")


def test_an_unreadable_time_gives_the_events_own() -> None:
    """What stands where the time should be does not cost the record."""
    fields = (
        Field("__csver__", InType.UINT16),
        Field("PartB", InType.STRUCT, members=(Field("_typeName", InType.STR8),)),
        Field("PartA", InType.STRUCT, members=(Field("time", InType.STR8),)),
    )
    assert old_event(fields, (0x400, ("Log",), ("yesterday",))) == LogItem(time_unix_nano=-1)


def test_invalid_json_stays_text() -> None:
    """A text that only claims to be JSON, or holds a bare scalar, is kept as it is."""
    builder = EventBuilder("Log")
    builder.add_u16("__csver__", 0x400)
    with builder.struct("PartC"):
        builder.add_str8("cut", b'["x', OutType.JSON)
        builder.add_str8("scalar", b"5", OutType.JSON)
        builder.add_str8("otel_etw.more", b'{"a":', OutType.JSON)
        builder.add_str8("otel_etw.truncated", b'{"a":"long"}', OutType.JSON)
    with builder.struct("PartB"):
        builder.add_str8("_typeName", b"Log")
    item = decode_log(values_of(builder.metadata(), builder.payload()), -1)
    assert item is not None
    assert item.attributes == {
        "cut": '["x',
        "scalar": "5",
        "otel_etw.more": '{"a":',
        "otel_etw.truncated": {"a": "long"},
    }
    assert item.truncated == {}


@given(
    st.recursive(
        st.tuples(st.sampled_from(list(InType)), st.sampled_from([0, 3, 12, 35])),
        lambda inner: st.lists(
            st.tuples(st.sampled_from(["PartA", "PartB", "time", "_typeName", "body"]), inner)
        ),
        max_leaves=12,
    ),
    st.binary(max_size=200),
)
def test_any_event_with_the_schemas_names(shape: Any, payload: bytes) -> None:
    """Fields of the right names and any types, with any payload, give a record or ``None``."""
    from otel_etw.tracelogging.decode import decode_payload

    def field(name: str, content: Any) -> Field:
        if isinstance(content, list):
            inner = tuple(field(*member) for member in content)
            return Field(name, InType.STRUCT, members=inner)
        return (
            Field(name, content[0], content[1]) if content[0] != InType.STRUCT else Field(name, InType.STRUCT)
        )

    names = ("__csver__", "PartA", "PartC", "PartB")
    fields = tuple(field(name, shape) for name in names)
    found = decode_log(decode_payload(fields, payload).values, -1)
    assert found is None or isinstance(found, LogItem)
