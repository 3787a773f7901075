"""EventSource manifests: read, put together from pieces, and payloads decoded by them."""

from __future__ import annotations

import random
import struct
import time
import tracemalloc
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from manifest_events import PROVIDER, PROVIDER_NAME, TEMPLATES, manifest_xml, pieces, utf16
from otel_etw.errors import DecodeError
from otel_etw.layouts.eventsource import (
    EventTemplate,
    Manifests,
    TemplateField,
    decode,
    parse_manifest,
    template_field,
)
from otel_etw.layouts.eventsource.manifest import MAX_MANIFEST_BYTES
from otel_etw.layouts.eventsource.template import IN_TYPES
from otel_etw.tracelogging.decode import to_dict
from otel_etw.tracelogging.values import FileTime

OTHER = UUID("99999999-2222-3333-4444-555555555555")


def manifests_of(*payloads: bytes) -> Manifests:
    manifests = Manifests()
    for payload in payloads:
        manifests.add(PROVIDER, payload)
    return manifests


def template(event_id: int, version: int = 0) -> EventTemplate:
    found = manifests_of(*pieces(manifest_xml())).find(PROVIDER, event_id, version)
    assert found is not None
    return found


# ------------------------------------------------ manifests


def test_events_have_their_names() -> None:
    """Task and opcode, the task alone where the opcode says nothing, the symbol where there is no task."""
    manifest = parse_manifest(manifest_xml())
    assert manifest.provider_name == PROVIDER_NAME
    assert {key: event.name for key, event in manifest.events.items()} == {
        (1, 0): "Work/Start",
        (1, 2): "Work/Start",
        (2, 0): "Failed",
        (3, 0): "OnlySymbol",
        (4, 0): "Sent",
        (5, 0): "Rundown/DCStart",
    }


def test_the_rest_of_what_is_known_of_an_event() -> None:
    """Level, keywords, message and fields, by their names."""
    failed = template(2)
    assert (failed.level, failed.keywords, failed.opcode) == ("Error", ("Disk", "Net"), None)
    assert failed.message == "It <failed> at %1 & so on"
    assert failed.fields == ()
    assert [each.field.name for each in template(1, 2).fields] == ["Name", "Count"]
    assert (template(3).task, template(3).opcode) == (None, "Own")


def test_an_event_is_found_in_its_own_version_only() -> None:
    """Another version has other fields; neither is there an event that no manifest names."""
    manifests = manifests_of(*pieces(manifest_xml()))
    assert manifests.find(PROVIDER, 1, 1) is None
    assert manifests.find(PROVIDER, 77, 0) is None
    assert manifests.find(OTHER, 1, 0) is None
    assert manifests.provider_name(OTHER) is None
    assert manifests.provider_name(PROVIDER.bytes_le) == PROVIDER_NAME
    assert manifests.provider_ids == (PROVIDER.bytes_le,)


def test_pieces_in_any_order_repeated_or_missing() -> None:
    """The manifest is there with the last of its pieces, whichever that is."""
    parts = pieces(manifest_xml(), 300)
    assert len(parts) > 4
    shuffled = parts * 2
    random.Random(3).shuffle(shuffled)
    manifests = Manifests()
    news = [manifests.add(PROVIDER, payload) for payload in shuffled]
    assert news.count(True) == 1
    assert manifests.provider_name(PROVIDER) == PROVIDER_NAME
    assert not manifests_of(*parts[1:])
    assert not manifests_of(*parts[:-1], *parts[:-1])


def test_pieces_of_several_writers_do_not_mix() -> None:
    """Two processes send two versions of a manifest at the same time; both become known."""
    one = pieces(manifest_xml(), 900)
    other = pieces(manifest_xml(events='<event value="9" version="0" task="Nine"/>'), 900)
    manifests = Manifests()
    for first, second in zip(one, [*other, *other[:1] * len(one)], strict=False):
        manifests.add(PROVIDER, first, source=1)
        manifests.add(PROVIDER, second, source=2)
    assert manifests.find(PROVIDER, 1, 0) is not None
    nine = manifests.find(PROVIDER, 9, 0)
    assert nine is not None
    assert nine.name == "Nine"


def test_what_was_known_first_stays() -> None:
    """A second manifest adds events and versions; it does not change what events were decoded by."""
    manifests = manifests_of(*pieces(manifest_xml()))
    changed = manifest_xml(events='<event value="1" version="0" task="Else"/><event value="7" task="New"/>')
    assert manifests.add(PROVIDER, pieces(changed)[0]) is True
    assert manifests.add(PROVIDER, pieces(changed)[0]) is False
    kept, new = manifests.find(PROVIDER, 1, 0), manifests.find(PROVIDER, 7, 0)
    assert kept is not None
    assert new is not None
    assert (kept.name, new.name) == ("Work/Start", "New")


def test_a_manifest_seen_before_costs_next_to_nothing() -> None:
    """Every process sends its own, at every start and stop of a session."""
    xml = manifest_xml(events='<event value="1" version="0" task="T"/>' * 4000)
    (payload, *_) = pieces(xml, len(xml))
    manifests = manifests_of(payload)
    started = time.perf_counter()
    for _ in range(200):
        manifests.add(PROVIDER, payload)
    assert time.perf_counter() - started < 0.5
    assert manifests.find(PROVIDER, 1, 0) is not None


def test_the_manifest_event_itself_is_described() -> None:
    """Its head by fields; the XML is what is left over."""
    (payload, *_) = pieces(manifest_xml())
    found = template(0xFFFE, 1)
    assert found.name == "ManifestData"
    decoded = decode(found, payload)
    assert to_dict(decoded.values) == {
        "Format": 1, "MajorVersion": 1, "MinorVersion": 0, "Magic": 0x5B, "TotalChunks": 1, "ChunkNumber": 0,
    }  # fmt: skip
    assert decoded.trailing == manifest_xml()


# ------------------------------------------------ hostile manifests


@pytest.mark.parametrize(
    "before",
    [
        '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>',
        '<!DOCTYPE x SYSTEM "file:///etc/passwd">',
        '<!DOCTYPE x [<!ENTITY % e SYSTEM "http://localhost/">%e;]>',
        "<!DOCTYPE x>",
    ],
)
def test_no_document_type(before: str) -> None:
    """With none there are no entities, inner or outer, and nothing is expanded or opened."""
    with pytest.raises(DecodeError, match="document type"):
        parse_manifest(manifest_xml(before=before))


@pytest.mark.parametrize(
    ("xml", "why"),
    [
        (b"", "no element found"),
        (b"<provider name='x'>", "expected XML"),
        (b"<a/>", "a provider with a name"),
        (b"<provider/>", "a provider with a name"),
        (b"<provider name='x'>&unknown;</provider>", "undefined entity"),
        (b"<provider name='\xff'/>", "not well-formed"),
        (b"<a>" * 40, "within one another"),
        (b"<a name='" + b"x" * MAX_MANIFEST_BYTES, "at most"),
        (b'<?xml version="1.0" encoding="utf-7"?><a/>', "a provider with a name"),
        (b"<template>" + b"<data/>" * 600, "fields in an event"),
    ],
)
def test_what_is_no_manifest_says_why(xml: bytes, why: str) -> None:
    """Ours is the only exception; of a whole trace it is one of the problems."""
    with pytest.raises(DecodeError, match=why):
        parse_manifest(xml)
    manifests = manifests_of(struct.pack("<BBBBHH", 1, 1, 0, 0x5B, 1, 0) + xml)
    assert not manifests
    assert len(manifests.problems) == 1


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"\1\1\0\x5b\1\0\0",
        b"\2\1\0\x5b\1\0\0\0",
        b"\1\1\0\x5c\1\0\0\0",
        b"\1\1\0\x5b\0\0\0\0",
        b"\1\1\0\x5b\1\0\1\0",
    ],
)
def test_what_is_no_piece_is_refused(head: bytes) -> None:
    """Another format, another magic number, a number past the last one."""
    manifests = manifests_of(head)
    assert not manifests
    assert len(manifests.problems) == 1


def test_claims_of_many_pieces_cost_nothing() -> None:
    """Memory is taken for bytes that came, of all providers together up to a bound; so are problems."""
    manifests = Manifests()
    tracemalloc.start()
    try:
        for number in range(3000):
            provider = UUID(int=number)
            body = bytes(20_000)
            manifests.add(provider, struct.pack("<BBBBHH", 1, 1, 0, 0x5B, 0xFFFF, number) + body)
            manifests.add(provider, struct.pack("<BBBBHH", 1, 1, 0, 0x5B, 1, 0) + body)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 24 * 1024 * 1024
    assert len(manifests.problems) <= 100


def test_a_manifest_is_bounded_in_all_its_pieces() -> None:
    """However many there are."""
    manifests = Manifests()
    for number in range(60):
        manifests.add(PROVIDER, struct.pack("<BBBBHH", 1, 1, 0, 0x5B, 100, number) + bytes(0xFF00))
    assert any("in all its pieces" in problem for problem in manifests.problems)


def test_manifests_of_nothing_but_events_are_bounded() -> None:
    """An event and a field take far more memory than their few bytes of XML."""
    manifests = Manifests()
    fields = "<template tid='t'>" + "<data/>" * 500 + "</template>"
    tracemalloc.start()
    try:
        for number in range(40):
            events = "".join(f"<event value='{each}' template='t'/>" for each in range(9000))
            xml = f"<provider name='p'>{events}{fields if number % 2 else ''}</provider>".encode()
            manifests.add(UUID(int=number), pieces(xml, len(xml))[0])
        kept_bytes, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert any("bytes of manifests" in problem for problem in manifests.problems)
    assert kept_bytes < 32 * 1024 * 1024
    assert peak_bytes < 96 * 1024 * 1024


@given(st.binary(max_size=200))
@example(pieces(manifest_xml())[0])
def test_any_payload_is_taken_or_refused(payload: bytes) -> None:
    """Never with an exception."""
    manifests = Manifests()
    manifests.add(PROVIDER, payload)
    manifests.add(PROVIDER.bytes_le, payload[:8] + b"<provider name='x'/>" + payload[8:])


_TOKENS = st.sampled_from([
    "<event", "<data", "<template", "<provider name='p'>", "</provider>", "/>", ">", " value='1'",
    " value='0x'", " version='-1'", " tid='t'", " template='t'", " inType='win:Int32'", " inType='x'",
    " length='a'", " name='a'",
    " task='t'", " opcode='win:'", "</template>", "<string id='a' value='b'/>", " message='$(string.a)'",
    "<win:event", " value='99999999999999999999'", " count='-1'", "&#x41;", "\u00e9",
])  # fmt: skip


@given(st.lists(_TOKENS, max_size=20).map("".join))
def test_any_xml_gives_a_manifest_or_our_error(text: str) -> None:
    """Of the right words in any order."""
    try:
        manifest = parse_manifest(f"<provider name='p'>{text}</provider>".encode())
    except DecodeError:
        return
    for event in manifest.events.values():
        decode(event, b"\1\0\0\0")


# ------------------------------------------------ payloads

ALL = (
    struct.pack("<bBhHiIqQfd", -1, 255, -2, 65535, -3, 2**32 - 1, -4, 2**64 - 1, 0.5, -0.25)
    + struct.pack("<i", 1)
    + OTHER.bytes_le
    + struct.pack("<q", 132_404_547_797_984_230)
)
VALUES = {
    "i8": -1, "u8": 255, "i16": -2, "u16": 65535, "i32": -3, "u32": 2**32 - 1, "i64": -4, "u64": 2**64 - 1,
    "f": 0.5, "d": -0.25, "flag": True, "id": OTHER, "at": FileTime(132_404_547_797_984_230),
    "dataSize": 3, "data": b"abc", "n": 2, "list": [-5, 6], "text": "h\u00e9llo",
}  # fmt: skip


@pytest.mark.parametrize("pointer_size", [4, 8])
def test_every_type(pointer_size: int) -> None:
    """Pointers are of the event's size; byte arrays and lists of the size that stands before them."""
    rest = b"\3\0\0\0abc" + b"\2\0" + struct.pack("<hh", -5, 6) + utf16("h\u00e9llo")
    decoded = decode(
        template(4), ALL + (1000).to_bytes(pointer_size, "little") + rest + b"more", pointer_size
    )
    assert decoded.problem is None
    assert to_dict(decoded.values) == {**VALUES, "ptr": 1000}
    assert decoded.trailing == b"more"


def test_an_event_without_fields() -> None:
    """Leaves all bytes, and has no problem."""
    decoded = decode(template(2), b"xy")
    assert (decoded.values, decoded.trailing, decoded.problem) == ((), b"xy", None)


@pytest.mark.parametrize("cut", range(0, 120, 7))
def test_a_cut_payload_keeps_what_comes_before(cut: int) -> None:
    """With the field and the place in words, and the rest as it is."""
    whole = ALL + bytes(8) + b"\3\0\0\0abc" + b"\2\0" + struct.pack("<hh", -5, 6) + utf16("hello")
    decoded = decode(template(4), whole[:cut])
    if cut >= len(whole):
        assert decoded.problem is None
        return
    assert decoded.problem is not None
    assert decoded.problem.field is not None
    assert decoded.problem.offset is not None
    assert decoded.problem.offset <= cut
    assert whole[:cut].endswith(decoded.trailing)
    for value in decoded.values[:-1]:
        assert VALUES.get(value.name, 0) == value.value


def one(*fields: TemplateField) -> EventTemplate:
    return EventTemplate("p", 1, 0, "e", fields=fields)


@pytest.mark.parametrize(
    ("fields", "payload", "value"),
    [
        ([("s", "win:UnicodeString", "", "3")], "abc".encode("utf-16-le"), "abc"),
        ([("n", "win:UInt8"), ("s", "win:AnsiString", "", "n")], b"\4a\xe9\0\0", "a\u00e9"),
        ([("s", "win:AnsiString")], b"abc\0", "abc"),
        ([("b", "win:Binary", "", "2")], b"\1\2", b"\1\2"),
        ([("l", "win:UInt16", "", None, "2")], b"\1\0\2\0", [1, 2]),
        ([("l", "win:UnicodeString", "", None, "2")], utf16("a") + utf16("b"), ["a", "b"]),
        ([("f", "win:UInt8", "xs:boolean")], b"\1", True),
    ],
)
def test_other_forms(fields: list[tuple[str, ...]], payload: bytes, value: object) -> None:
    """Lengths and counts as numbers, in characters for text; NULs that fill up a text are none of it."""
    decoded = decode(one(*(template_field(*each) for each in fields)), payload)
    assert decoded.problem is None
    assert decoded.values[-1].value == value
    assert decoded.trailing == b""


@pytest.mark.parametrize(
    ("fields", "payload", "why"),
    [
        ([("x", "win:Odd")], b"\1", "type that is known, found 'win:Odd'"),
        ([("b", "win:Binary")], b"\1", "a length beside"),
        ([("b", "win:Binary", "", "none")], b"\1", "a length in 'none', found None"),
        ([("n", "win:Int8"), ("b", "win:Binary", "", "n")], b"\xff\1", "found -1"),
        ([("n", "win:Int8"), ("b", "win:Binary", "", "n")], b"\5\1", "says 5 bytes, 1 are left"),
        ([("n", "win:Int32"), ("l", "win:Int8", "", None, "n")], b"\xff\xff\xff\x7f", "number of elements"),
        ([("n", "win:UInt16"), ("l", "win:Int8", "", None, "n")], b"\xff\xff\1", "65535 elements need"),
        ([("b", "win:Binary", "", "1", "2")], b"\1\2", "arrays of byte arrays"),
    ],
)
def test_a_field_that_cannot_be_read_says_why(
    fields: list[tuple[str, ...]], payload: bytes, why: str
) -> None:
    """And the values before it are there."""
    decoded = decode(one(*(template_field(*each) for each in fields)), payload)
    assert decoded.problem is not None
    assert why in str(decoded.problem)
    assert len(decoded.values) == len(fields) - 1


FIELDS = st.builds(
    template_field,
    st.sampled_from("abc"),
    st.sampled_from([*IN_TYPES, "win:Odd", ""]),
    st.just(""),
    st.none() | st.sampled_from(["a", "b", "0", "2", "9999999999", ""]),
    st.none() | st.none() | st.sampled_from(["a", "c", "0", "3", "70000"]),
)


@given(st.lists(FIELDS, max_size=8), st.binary(max_size=120), st.sampled_from([4, 8]))
def test_any_payload_by_any_template(fields: list[TemplateField], payload: bytes, pointer_size: int) -> None:
    """Values, a rest, and a problem if there is one; nothing is read twice or invented."""
    decoded = decode(one(*fields), payload, pointer_size)
    assert payload.endswith(decoded.trailing)
    assert len(decoded.values) <= len(fields)
    assert decoded.problem is not None or len(decoded.values) == len(fields)


def test_templates_of_the_tests_are_in_use() -> None:
    """Each template above belongs to an event."""
    assert TEMPLATES.count("<template ") == 3
