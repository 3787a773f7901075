"""Spans as events beyond the golden vectors: extended members, too large spans, and what a decoder meets."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_etw.errors import DecodeError, EncodeError
from otel_etw.layouts.common_schema import (
    LinkFields,
    LogFields,
    ResourceFacts,
    SpanFields,
    decode_log,
    decode_span,
    encode_log,
    encode_span,
)
from otel_etw.layouts.encoded import EncodedEvent
from otel_etw.layouts.items import LinkItem, SpanItem
from otel_etw.tracelogging.decode import FieldValue, decode_payload
from otel_etw.tracelogging.encode import encode_payload
from otel_etw.tracelogging.metadata import EventMetadata, Field, decode_metadata, encode_metadata
from otel_etw.tracelogging.types import InType, OutType
from otel_etw.tracelogging.values import FileTime
from vector_records import values_of

START = 1773232496100000000
END = 1773232496350123400
TRACE_ID = 0x0AF7651916CD43DD8448EB211C80319C
SPAN_ID = 0x00F067AA0BA902B7

PLAIN = SpanFields("work", TRACE_ID, SPAN_ID, START, END)
FULL = replace(
    PLAIN,
    parent_span_id=1,
    kind=2,
    status_is_ok=True,
    attributes={"db.namespace": "shop", "n": 1},
    links=[
        LinkFields(TRACE_ID, 2),
        LinkFields(3, 4, {"why": "retry", "n": [1, 2.5]}, "vendor=x", 7),
        LinkFields(5, 6, trace_state="a=1"),
    ],
    trace_state="a=1,b=2",
    trace_flags=1,
    parent_is_remote=True,
    dropped_attributes=1,
    dropped_events=2,
    dropped_links=3,
    scope_name="shop.orders",
    scope_version="1.2",
    scope_schema_url="https://opentelemetry.io/schemas/1.40.0",
    scope_attributes={"team": "a", "tier": 2},
)
# What the reference's event has no field for.
EXTENDED = (
    *(
        "trace_state",
        "trace_flags",
        "parent_is_remote",
        "dropped_attributes",
        "dropped_events",
        "dropped_links",
    ),
    *("scope_name", "scope_version", "scope_schema_url", "scope_attributes"),
)


def decoded(event: EncodedEvent) -> SpanItem:
    values = values_of(event.metadata, event.payload)
    assert decode_log(values, -1) is None
    item = decode_span(values, -1)
    assert item is not None
    return item


def part(event: EncodedEvent, name: str) -> dict[str, FieldValue]:
    found: Any = {value.name: value.value for value in values_of(event.metadata, event.payload)}
    return {member.name: member for member in found.get(name, ())}


def item_of(span: SpanFields, *, extended: bool) -> SpanItem:
    """The span as a decoder should find it."""
    facts = {name: getattr(span, name) or None for name in EXTENDED} if extended else {}
    facts["scope_attributes"] = dict(span.scope_attributes) if extended else {}
    is_known_extended = any((facts.get("trace_flags"), facts.get("trace_state"), facts["scope_attributes"]))
    ok = "ok" if extended and span.status_is_ok else "unset" if is_known_extended else None
    links = [
        LinkItem(
            f"{link.trace_id:032x}",
            f"{link.span_id:016x}",
            link.attributes if extended else {},
            (link.trace_state or None) if extended else None,
            (link.dropped_attributes or None) if extended else None,
        )
        for link in span.links
    ]
    return SpanItem(
        name=span.name,
        start_time_unix_nano=span.start_time_unix_nano,
        end_time_unix_nano=span.end_time_unix_nano,
        trace_id=f"{span.trace_id:032x}" if span.trace_id else None,
        span_id=f"{span.span_id:016x}" if span.span_id else None,
        parent_span_id=f"{span.parent_span_id:016x}" if span.parent_span_id else None,
        kind=("internal", "server", "client", "producer", "consumer")[span.kind],
        success=not span.is_error,
        status="error" if span.is_error else ok,
        status_message=(span.status_description or None) if span.is_error else None,
        links=links or (),
        attributes=span.attributes,
        **facts,
    )


@pytest.mark.parametrize("extended", [False, True])
@pytest.mark.parametrize("span", [PLAIN, FULL], ids=["plain", "full"])
def test_a_span_comes_back(span: SpanFields, extended: bool) -> None:
    """Every fact that is written is read, and a fact that is not written is not known."""
    item = decoded(encode_span(span, extended=extended))
    assert item == item_of(span, extended=extended)
    assert item.duration_ns == 250_123_400


def test_a_plain_event_has_none_of_the_extended_members() -> None:
    """Without ``extended`` a span with everything gives the reference's bytes."""
    bare = replace(
        FULL,
        status_is_ok=False,
        links=[LinkFields(link.trace_id, link.span_id) for link in FULL.links],
        **{name: getattr(PLAIN, name) for name in EXTENDED},
    )
    assert encode_span(FULL) == encode_span(bare) == encode_span(bare, extended=True)


def test_the_extended_members() -> None:
    """They stand behind the attributes, in a fixed order, under OpenTelemetry's names where there are any."""
    members = part(encode_span(FULL, extended=True), "PartC")
    assert {name: member.value for name, member in members.items()} == {
        "n": 1,
        "otel.status_code": "OK",
        "otel_etw.trace_state": "a=1,b=2",
        "otel_etw.trace_flags": 1,
        "otel_etw.parent_is_remote": True,
        "otel.dropped_attributes_count": 1,
        "otel.dropped_events_count": 2,
        "otel.dropped_links_count": 3,
        "otel.scope.name": "shop.orders",
        "otel.scope.version": "1.2",
        "otel.scope.schema_url": "https://opentelemetry.io/schemas/1.40.0",
        "otel_etw.scope_attributes": '{"team":"a","tier":2}',
        "otel_etw.links": '[{"attributes":{"n":[1,2.5],"why":"retry"},"dropped_attributes_count":7,"index":1,'
        '"trace_state":"vendor=x"},{"index":2,"trace_state":"a=1"}]',
    }
    assert members["otel_etw.links"].field.out_type == OutType.JSON


def test_an_error_is_told_by_success_alone() -> None:
    """A failed span never says OK, and its description is there if it has one."""
    failed = replace(PLAIN, is_error=True, status_is_ok=True, status_description="boom")
    item = decoded(encode_span(failed, extended=True))
    assert (item.success, item.status, item.status_message) == (False, "error", "boom")
    for description in (None, ""):
        event = encode_span(replace(failed, status_description=description))
        assert "statusMessage" not in part(event, "PartB")
    assert "statusMessage" not in part(encode_span(replace(PLAIN, status_description="fine")), "PartB")


def test_marked_as_utf8() -> None:
    """With ``mark_utf8`` every 8-bit text says that it is UTF-8 (or JSON); the payload stays the same."""
    span = replace(FULL, attributes={"k": "é", "list": ["é"], "db.namespace": "é"})
    facts = ResourceFacts("svc", "1", (("env", "é"),))
    for plain, marked in (
        (encode_span(span, facts, extended=True), encode_span(span, facts, extended=True, mark_utf8=True)),
        (
            encode_log(LogFields(START, 9, "é", "é", "é", 1, 2, {"k": "é", "l": ["é"]}), facts),
            encode_log(
                LogFields(START, 9, "é", "é", "é", 1, 2, {"k": "é", "l": ["é"]}), facts, mark_utf8=True
            ),
        ),
    ):
        assert plain.payload == marked.payload
        before, after = out_types(plain), out_types(marked)
        assert set(before.values()) >= {OutType.DEFAULT, OutType.JSON}
        assert after == {name: out or OutType.UTF8 for name, out in before.items()}


def out_types(event: EncodedEvent) -> dict[str, int]:
    found: dict[str, int] = {}

    def walk(fields: tuple[Field, ...], path: str) -> None:
        for entry in fields:
            if entry.in_type == InType.STR8:
                found[f"{path}{entry.name}"] = entry.out_type
            walk(entry.members, f"{path}{entry.name}.")

    walk(decode_metadata(event.metadata).fields, "")
    return found


# --------------------------------------------------------------------------- whose attribute is it?


@pytest.mark.parametrize("extended", [False, True])
def test_attributes_of_an_application_that_bear_our_names(extended: bool) -> None:
    """What cannot be the encoder's own (type, place, order, repetition) stays an attribute."""
    attributes = {
        "otel.status_code": "ERROR",
        "otel.scope.name": "mine",
        "otel_etw.links": "none",
        "otel_etw.trace_flags": "01",
        "otel.dropped_links_count": True,
        "last": 1,
    }
    span = replace(FULL, attributes=attributes)
    assert decoded(encode_span(span, extended=extended)) == item_of(span, extended=extended)


def test_the_last_attribute_bears_a_name_that_follows_too() -> None:
    """An attribute of a name that the encoder writes right behind it is told apart from that."""
    span = replace(FULL, attributes={"otel.status_code": "OK"})
    item = decoded(encode_span(span, extended=True))
    assert (item.attributes, item.status) == ({"otel.status_code": "OK"}, "ok")


# --------------------------------------------------------------------------- names, types, sizes


def test_three_hundred_attributes_and_every_extended_member() -> None:
    """Of more than 127 members the surplus goes into one JSON member, the extended ones stay members."""
    attributes = {f"k{number:03d}": number for number in range(300)}
    span = replace(FULL, attributes=attributes)
    event = encode_span(span, extended=True)
    values = values_of(event.metadata, event.payload)
    assert [value.name for value in values] == ["__csver__", "PartA", "PartC", "PartB"]
    members = list(part(event, "PartC"))
    assert len(members) == 127
    assert members[-2:] == ["otel_etw.links", "otel_etw.more"]
    assert decoded(event) == item_of(span, extended=True)


class Failing:
    def __str__(self) -> str:
        raise RuntimeError("no text")


def test_names_and_values_that_would_break_the_event() -> None:
    """NUL and lone surrogates in keys and names become U+FFFD; odd values have their stated stand-ins."""
    attributes: Any = {"a\0b": 1, "c\ud800": 2**70, 3: Failing(), "url.full": ["x"], "rpc.system.name": None}
    span = replace(PLAIN, name="a\ud800\0", attributes=attributes, kind=300)
    event = encode_span(span, event_name="Span\0")
    item = decoded(event)
    assert decode_metadata(event.metadata).name == "Span\ufffd"
    assert item.name == "a\ufffd\0"
    assert item.kind == "internal"
    assert item.attributes == {
        "a\ufffdb": 1,
        "c\ufffd": str(2**70),
        "3": "Failing",
        "url.full": ["x"],
        "rpc.system.name": "",
    }


def test_a_well_known_attribute_of_the_resource_does_not_hide_the_spans() -> None:
    """A chosen resource attribute stays in PartC; of the two values the span's own counts."""
    facts = ResourceFacts(chosen=(("url.full", "resource"), ("rpc.system.name", "resource")))
    event = encode_span(replace(PLAIN, attributes={"url.full": "span"}), facts)
    assert part(event, "PartC")["url.full"].value == "resource"
    assert decoded(event).attributes == {"url.full": "span", "rpc.system.name": "resource"}


def test_the_longest_values_are_cut_and_links_stay_json() -> None:
    """A span of megabytes keeps the beginnings; links and extended lists lose whole items from their end."""
    span = replace(
        FULL,
        name="n" * 100_000,
        attributes={"url.full": "é" * 100_000, "short": "kept", "bytes": b"x" * 100_000},
        links=[LinkFields(1, number + 1, {"k": "v" * 50}) for number in range(2000)],
        scope_attributes={f"k{number:04d}": "v" * 50 for number in range(2000)},
    )
    event = encode_span(span, extended=True)
    item = decoded(event)
    assert 65360 - 1000 <= len(event.metadata) + len(event.payload) <= 65360
    expected = {"name", "httpUrl", "bytes", "links", "otel_etw.links", "otel_etw.scope_attributes"}
    assert set(item.truncated) == set(event.truncated) == expected
    assert item.truncated["httpUrl"] == 200_000
    assert item.attributes["short"] == "kept"
    assert set(item.attributes["url.full"]) == {"é"}
    assert 50 < len(item.links) < 2000
    assert [link.span_id for link in item.links] == [
        f"{number + 1:016x}" for number in range(len(item.links))
    ]
    assert item.links[0].attributes == {"k": "v" * 50}
    assert 50 < len(item.scope_attributes) < 2000
    assert item.scope_name == "shop.orders"


def test_no_room_at_all() -> None:
    """A provider that takes no event that long is an error of ours, which exporters count."""
    with pytest.raises(EncodeError, match="a span does not fit into 100 bytes"):
        encode_span(PLAIN, max_event_bytes=100)


IDS = st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1)
TIMES = st.integers(-62135596800 * 10**9, 253402300799 * 10**9)
VALUES = (
    st.text() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.booleans() | st.binary()
)
JSON_VALUES = st.text() | st.integers() | st.booleans() | st.lists(st.text())
TEXTS = st.text()
COUNTS = st.integers(0, 2**63 - 1)
LINKS = st.builds(LinkFields, *IDS, st.dictionaries(TEXTS, JSON_VALUES), TEXTS, COUNTS)
KEYS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])).filter(
    lambda key: not key.startswith(("otel_etw.", "env_properties"))
)
SPANS = st.builds(
    SpanFields,
    TEXTS,
    *IDS,
    TIMES,
    TIMES,
    st.none() | IDS[1],
    st.integers(0, 4),
    st.booleans(),
    st.booleans(),
    st.none() | TEXTS,
    st.dictionaries(KEYS | st.sampled_from(["url.full", "db.namespace", "otel.scope.name"]), VALUES),
    st.lists(LINKS, max_size=3),
    TEXTS,
    st.integers(0, 255),
    st.booleans(),
    COUNTS,
    COUNTS,
    COUNTS,
    TEXTS,
    TEXTS,
    TEXTS,
    st.dictionaries(TEXTS, JSON_VALUES),
)


@given(SPANS, st.booleans())
def test_any_span_comes_back(span: SpanFields, extended: bool) -> None:
    """Round trip of everything that a span can say (extended events say which status is unset)."""
    item = decoded(encode_span(span, extended=extended))
    expected = item_of(span, extended=extended)
    if item.attributes != expected.attributes:  # an application's last attribute that reads as ours
        assert "otel.scope.name" in span.attributes
        assert item.scope_name == span.attributes["otel.scope.name"]
        return
    assert replace(item, status=None) == replace(expected, status=None)
    assert item.status == expected.status or (item.status == "unset" and expected.status is None)


@given(SPANS, TEXTS, st.integers(1800, 65400), st.booleans())
def test_any_span_fits(span: SpanFields, event_name: str, max_event_bytes: int, extended: bool) -> None:
    """An event never exceeds its room, and what it says it cut is what was cut."""
    event = encode_span(span, event_name=event_name, max_event_bytes=max_event_bytes, extended=extended)
    assert len(event.metadata) + len(event.payload) <= max_event_bytes
    item = decoded(event)
    assert item.truncated == event.truncated
    assert item.trace_id == f"{span.trace_id:032x}"
    assert span.name.startswith(item.name)


SIZES = st.integers(0, 3000)


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(SIZES, SIZES, st.sampled_from("aé\x01🎉")), max_size=140, unique_by=lambda size: size[0]
    ),
    st.integers(0, 300),
    st.sampled_from([2000, 4000, 20000, 65400]),
)
def test_keys_values_and_links_of_any_size(
    sizes: list[tuple[int, int, str]], links: int, max_event_bytes: int
) -> None:
    """Whatever the lengths, the event fits, decodes, and says what it cut."""
    attributes = {letter * key: letter * value for key, value, letter in sizes}
    span = replace(FULL, attributes=attributes, links=[LinkFields(1, 2, {"k": "v"})] * links)
    event = encode_span(span, extended=True, max_event_bytes=max_event_bytes)
    assert len(event.metadata) + len(event.payload) <= max_event_bytes
    item = decoded(event)
    assert item.truncated == event.truncated
    for key, value in item.attributes.items():
        assert attributes[key].startswith(value)
    if not item.truncated:
        assert item.attributes == attributes
        assert len(item.links) == links


# --------------------------------------------------------------------------- Geneva, and hostile events


def span_event(part_b: list[tuple[Field, Any]], part_a: list[tuple[Field, Any]] | None = None) -> SpanItem:
    part_a = part_a or [(Field("time", InType.STR8), "2026-03-11T12:34:56.789Z")]
    part_b = [(Field("_typeName", InType.STR8), "Span"), *part_b]
    fields = (
        Field("__csver__", InType.UINT16),
        Field("PartA", InType.STRUCT, members=tuple(field for field, _ in part_a)),
        Field("PartB", InType.STRUCT, members=tuple(field for field, _ in part_b)),
    )
    values = (0x400, tuple(value for _, value in part_a), tuple(value for _, value in part_b))
    metadata = encode_metadata(EventMetadata("Span", fields))
    item = decode_span(values_of(metadata, encode_payload(fields, values)), -1)
    assert item is not None
    return item


def test_spans_of_geneva() -> None:
    """Flat names and FILETIMEs in PartA, UTF-16 ids, a trace state, links in one object, env_properties."""
    fields = (
        Field("__csver__", InType.UINT16, OutType.HEX),
        Field(
            "PartA",
            InType.STRUCT,
            members=(
                Field("time", InType.FILETIME),
                Field("ext_cloud_role", InType.STR8),
                Field("ext_dt_traceId", InType.STR16),
                Field("ext_dt_spanId", InType.STR16),
            ),
        ),
        Field(
            "PartB",
            InType.STRUCT,
            members=(
                Field("_typeName", InType.STR16),
                Field("name", InType.STR8),
                Field("kind", InType.UINT8),
                Field("startTime", InType.FILETIME),
                Field("parentId", InType.STR16),
                Field("traceState", InType.STR8),
                Field("links", InType.STR8),
                Field("httpMethod", InType.STR8),
                Field("httpStatusCode", InType.INT32),
                Field("statusMessage", InType.STR8),
                Field("success", InType.UINT8, OutType.BOOLEAN),
            ),
        ),
        Field(
            "PartC",
            InType.STRUCT,
            members=(Field("food", InType.STR8), Field("env_properties", InType.STR8)),
        ),
    )
    links = (
        f'{{"toTraceId":"{TRACE_ID:032X}","toSpanId":"{SPAN_ID:016x}",'
        f'"toTraceId":"{1:032x}","toSpanId":"{2:016x}"}}'
    )
    part_b = (
        "Span",
        "get",
        1,
        FileTime.from_unix_nano(START),
        f"{1:016x}",
        "a=1",
        links,
        "GET",
        500,
        "boom",
        False,
    )
    values = (
        0x400,
        (FileTime.from_unix_nano(END), "svc", f"{TRACE_ID:032x}", f"{SPAN_ID:016x}"),
        part_b,
        ("onion", '{"x":1}'),
    )
    metadata = encode_metadata(EventMetadata("Span", fields))
    item = decode_span(values_of(metadata, encode_payload(fields, values)), -1)
    assert item == SpanItem(
        name="get",
        start_time_unix_nano=START,
        end_time_unix_nano=END,
        trace_id=f"{TRACE_ID:032x}",
        span_id=f"{SPAN_ID:016x}",
        parent_span_id=f"{1:016x}",
        kind="server",
        success=False,
        status="error",
        status_message="boom",
        links=[LinkItem(f"{TRACE_ID:032x}", f"{SPAN_ID:016x}"), LinkItem(f"{1:032x}", f"{2:016x}")],
        attributes={"food": "onion", "x": 1, "http.request.method": "GET", "http.response.status_code": 500},
        trace_state="a=1",
        service_name="svc",
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[",
        "{}x",
        "5",
        '"a"',
        "[5]",
        '[{"toSpanId":"1"}]',
        '[{"toSpanId":1,"toTraceId":2}]',
        "[" * 100_000,
    ],
)
def test_links_that_are_none(text: str) -> None:
    """A text that holds no links is kept as what it is."""
    text = text[:60_000]
    item = span_event([(Field("links", InType.STR8), text)])
    assert item.links == ()
    assert item.attributes == {"links": text}


@pytest.mark.parametrize("text", ["[]", "{}"])
def test_links_of_the_reference_without_json(text: str) -> None:
    """The reference without its JSON feature writes an empty list."""
    item = span_event([(Field("links", InType.STR8), text)])
    assert (item.links, item.attributes) == ((), {})


def test_fields_of_part_b_that_nobody_knows() -> None:
    """They become attributes of their own name; a kind out of range is its number."""
    item = span_event(
        [
            (Field("kind", InType.UINT8), 9),
            (Field("novelty", InType.STR8), "x"),
            (Field("traceState", InType.INT32), 5),
        ]
    )
    assert item.attributes == {"novelty": "x", "traceState": 5}
    assert item.kind == "9"
    assert (item.name, item.success, item.status) == ("", None, None)


def test_times_that_are_not_readable() -> None:
    """The event's own time stands in for the end, and the end for the start."""
    item = span_event([(Field("startTime", InType.STR8), "soon")])
    assert item.start_time_unix_nano == item.end_time_unix_nano == 1773232496789000000
    item = span_event([(Field("startTime", InType.STR8), "soon")], [(Field("time", InType.STR8), "later")])
    assert item.start_time_unix_nano == item.end_time_unix_nano == -1


NAMES = st.sampled_from(
    [
        *("PartA", "PartB", "PartC", "time", "_typeName", "name", "kind", "startTime", "links", "success"),
        *("traceState", "httpUrl", "otel_etw.links", "otel_etw.more", "otel_etw.truncated", "env_properties"),
        *("otel.status_code", "otel_etw.scope_attributes", "otel_etw.trace_flags"),
    ]
)
LEAVES = st.tuples(st.sampled_from(list(InType)), st.sampled_from([0, 3, 12, 35]))


@given(
    st.lists(st.tuples(NAMES, LEAVES), max_size=6),
    st.lists(st.tuples(NAMES, LEAVES), max_size=6),
    st.binary(max_size=300) | st.text('[]{}"0123456789,:tSTpanraceIdo', max_size=100).map(str.encode),
)
def test_any_event_that_says_it_is_a_span(part_c: Any, part_b: Any, payload: bytes) -> None:
    """Fields of the right names and any types, with any payload, give a span or ``None``."""

    def members(shapes: Any) -> tuple[Field, ...]:
        return tuple(
            Field(name, kind, out) for name, (kind, out) in shapes if kind not in (InType.STRUCT, InType.NULL)
        )

    fields = (
        Field("__csver__", InType.UINT16),
        Field("PartC", InType.STRUCT, members=members(part_c)),
        Field("PartB", InType.STRUCT, members=(Field("_typeName", InType.STR8), *members(part_b))),
    )
    head = b"\0\4"
    decoded_payload = decode_payload(fields, head + payload)
    item = decode_span(decoded_payload.values, 5)
    assert item is None or (isinstance(item, SpanItem) and json.dumps(item.name) is not None)


@given(st.binary(max_size=400), st.binary(max_size=400))
def test_any_bytes_give_a_span_or_our_error(metadata: bytes, payload: bytes) -> None:
    """Decoding of whatever bytes ends in values or :class:`DecodeError`."""
    try:
        values = decode_payload(decode_metadata(metadata).fields, payload).values
    except DecodeError:
        return
    assert decode_span(values, 0) is None or isinstance(decode_span(values, 0), SpanItem)


@settings(max_examples=300)
@given(st.data())
def test_damage_in_a_span_costs_no_more_than_the_span(data: st.DataObject) -> None:
    """One wrong byte, or an end too early, anywhere in metadata or payload."""
    event = encode_span(FULL, ResourceFacts("svc", "1"), extended=True)
    blobs = [bytearray(event.metadata), bytearray(event.payload)]
    which = data.draw(st.integers(0, 1))
    place = data.draw(st.integers(0, len(blobs[which]) - 1))
    if data.draw(st.booleans()):
        del blobs[which][place:]
    else:
        blobs[which][place] = data.draw(st.integers(0, 255))
    try:
        values = decode_payload(decode_metadata(bytes(blobs[0])).fields, bytes(blobs[1])).values
    except DecodeError:
        return
    assert decode_span(values, 0) is None or isinstance(decode_span(values, 0), SpanItem)
