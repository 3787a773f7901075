"""Events as a listener gets them, put together again as the records that a trace file has for them."""

from __future__ import annotations

import struct
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl_files import metadata_blob, traits_blob
from live_parts import CLASSIC, FLAGS_32, FLAGS_64, MESSAGE, header, parts_of
from otel_etw.etl import records
from otel_etw.etl.damage import DamageKind
from otel_etw.etl.event import Event
from otel_etw.etl.live_records import (
    LOST_BUFFER,
    LOST_EVENT,
    LOST_NOTICE_PROVIDER,
    live_context,
    live_event,
    live_record,
    lost_notice,
)
from otel_etw.etl.reader import open_etl
from otel_etw.etl.walking import walk
from otel_etw.tracelogging.types import EventDescriptor
from shared_files import corpus

TIME = 133_000_000_000_000_000
ACTIVITY = bytes(range(100, 116))
RELATED = bytes(range(200, 216))


def event_of(head: bytes, items: list[tuple[int, bytes]] | None = None, data: bytes = b"") -> Event:
    return live_event(head, items or [], data, 0x0305, 9, live_context())


def fail(kind: DamageKind, pos: int, why: str) -> None:
    raise AssertionError(f"{kind} at {pos}: {why}")


@given(
    payload=st.binary(max_size=300),
    traits=st.binary(min_size=4, max_size=40),
    metadata=st.binary(min_size=4, max_size=60),
    related=st.none() | st.just(RELATED),
    is_described=st.booleans(),
)
def test_a_record_is_byte_for_byte_the_one_a_session_would_write(
    payload: bytes, traits: bytes, metadata: bytes, related: bytes | None, is_described: bool
) -> None:
    """Header, extended items and user data make the bytes that ``etl.records`` makes of the same event."""
    descriptor = EventDescriptor(1, 2, 11, 4, 5, 6, 7)
    items: list[tuple[int, bytes]] = [] if related is None else [(1, related)]
    chain = b"" if related is None else records.related_item(related, more=is_described)
    if is_described:
        items += [(12, traits), (11, metadata)]
        chain += records.schema_items(traits, metadata)
    head = header(
        descriptor=struct.pack("<HBBBBHQ", *descriptor), activity=ACTIVITY, cpu=0, thread=7, process=8
    )
    expected = records.event_record(
        TIME, 7, 8, bytes(range(16)), descriptor, chain, payload, activity_id=ACTIVITY
    )
    made = live_record(head, items, payload)
    assert made.ljust(len(expected), b"\0") == expected
    assert len(expected) - len(made) < 8


@pytest.mark.parametrize(
    "name",
    [
        "SelfDescribingSingleEvent.etl",
        "WindowsUpdate.20251008.140245.443.8.etl",
        "net.4.5.2.x86.etl",
        "primitive-types.etl",
        "waasmedic.20251005_113019_195.etl",
    ],
)
def test_records_of_real_files_survive_being_taken_apart(name: str) -> None:
    """Taking records of Windows' own files apart as ``ProcessTrace`` does and back gives the same bytes."""
    seen = 0
    with open_etl(corpus(name)) as trace:
        for event in trace:
            if event.kind not in ("event", "classic", "instance") or seen == 3000:
                continue
            made = event_of(*parts_of(event))
            # Times in files are those of the recorder's clock, and padding between items is anything.
            assert made.record[:4] == event.record[:4]
            assert made.record[0x18:0x50] == event.record[0x18:0x50]
            assert made.timestamp_filetime == event.timestamp_filetime
            assert (made.kind, made.record_kind, made.pointer_size) == (
                event.kind,
                event.record_kind,
                event.pointer_size,
            )
            assert (made.extended, made.payload, made.descriptor) == (
                event.extended,
                event.payload,
                event.descriptor,
            )
            assert (made.process_id, made.thread_id) == (event.process_id, event.thread_id)
            seen += 1
    assert seen > 0


def test_an_event_says_what_its_parts_say() -> None:
    """Time, ids, descriptor, name, provider and fields come out as they went in."""
    metadata = metadata_blob("Ping", [("count", 8)])
    event = event_of(
        header(activity=ACTIVITY), [(1, RELATED), (12, traits_blob("Me")), (11, metadata)], b"\x2a\0\0\0"
    )
    assert (event.name, event.provider_name, event.fields) == ("Ping", "Me", {"count": 42})
    assert event.timestamp_filetime == TIME
    assert (event.thread_id, event.process_id) == (11, 22)
    assert event.descriptor == EventDescriptor(1, 2, 3, 4, 5, 6, 7)
    assert event.activity_id == UUID(bytes_le=ACTIVITY)
    assert event.related_activity_id == UUID(bytes_le=RELATED)
    assert (event.buffer, event.offset) == (0, 9)
    assert event.problems == ()


@pytest.mark.parametrize(("flags", "processor"), [(FLAGS_64, 0x05), (FLAGS_64 | 0x200, 0x0305)])
def test_the_processor_is_a_byte_unless_flags_say_otherwise(flags: int, processor: int) -> None:
    """``ProcessorIndex`` shares its place with the older ``ProcessorNumber``."""
    assert event_of(header(flags=flags)).processor == processor


@pytest.mark.parametrize(("flags", "size"), [(FLAGS_64, 8), (FLAGS_32, 4), (0, 8)])
def test_the_pointer_size_is_that_of_the_flags(flags: int, size: int) -> None:
    """Payloads of 32-bit processes have small pointers."""
    assert event_of(header(flags=flags)).pointer_size == size


@pytest.mark.parametrize("instance", [[], [(4, bytes(range(24)))]])
@pytest.mark.parametrize("flags", [FLAGS_64, FLAGS_32])
def test_events_of_the_classic_interface_have_classic_headers(
    flags: int, instance: list[tuple[int, bytes]]
) -> None:
    """Class GUID, opcode, level and version stay; instance ids make an instance record."""
    event = event_of(header(flags=flags | CLASSIC), instance, b"data")
    assert (
        event.record_kind == f"{'instance' if instance else 'full_header'}{32 if flags == FLAGS_32 else 64}"
    )
    assert event.provider_id == UUID(bytes_le=bytes(range(16)))
    assert event.descriptor == EventDescriptor(version=2, channel=0, level=4, opcode=5)
    assert (event.payload, list(event.extended)) == (b"data", instance)
    (found,) = walk(event.record.ljust(-(-len(event.record) // 8) * 8, b"\0"), 0, fail)
    assert (found.size, found.shape.kind, found.raw) == (len(event.record), event.kind, TIME)


@pytest.mark.parametrize("flags", [FLAGS_64, FLAGS_32])
def test_messages_of_wpp_stay_messages(flags: int) -> None:
    """GUID, message number, time and ids are where a WPP record has them."""
    event = event_of(header(flags=flags | MESSAGE), [], b"arguments")
    assert (event.kind, event.record_kind) == ("message", "wpp")
    assert event.provider_id == UUID(bytes_le=bytes(range(16)))
    assert (event.descriptor.id, event.payload) == (1, b"arguments")
    assert (event.thread_id, event.process_id) == (11, 22)
    assert (event.timestamp_filetime, event.pointer_size) == (TIME, 4 if flags == FLAGS_32 else 8)


def test_an_event_that_no_file_could_hold_is_whole() -> None:
    """Items and data together may have more than 64 KiB; Size then is what fits, nothing is cut."""
    event = event_of(header(), [(12, traits_blob("Me")), (11, metadata_blob("Big", []))], bytes(65_500))
    assert len(event.payload) == 65_500
    assert event.name == "Big"


@given(
    head=st.binary(min_size=80, max_size=80),
    items=st.lists(st.tuples(st.integers(0, 0xFFFF), st.binary(max_size=70)), max_size=5),
    data=st.binary(max_size=100),
)
def test_any_parts_make_an_event(head: bytes, items: list[tuple[int, bytes]], data: bytes) -> None:
    """Whatever is delivered, nothing raises, and the user data is at the end of the record."""
    event = event_of(head, items, data)
    assert event.record.endswith(data)
    assert repr(event)
    assert event.problems is not None
    assert isinstance(event.fields, dict)


def test_notices_of_losses_are_told_from_events() -> None:
    """Only events of ``RT_LostEvent`` are; their opcode says of what."""
    assert lost_notice(header()) is None
    for opcode in (LOST_EVENT, LOST_BUFFER):
        descriptor = struct.pack("<HBBBBHQ", 0, 2, 0, 0, opcode, 0, 0)
        assert lost_notice(header(provider=LOST_NOTICE_PROVIDER, descriptor=descriptor)) == opcode
