"""The bytes a session writes, field by field: trace header, buffer header, event records, windows."""

from __future__ import annotations

import mmap
import struct
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_etw.etl import layout, records
from otel_etw.etl.layout import align8
from otel_etw.etl.mapping import MappedWindow, PositionedWindow, filesystem_type_in, map_span
from otel_etw.tracelogging.types import EventDescriptor

GUIDS = st.binary(min_size=16, max_size=16)
DESCRIPTORS = st.builds(
    EventDescriptor,
    id=st.integers(0, 0xFFFF),
    version=st.integers(0, 0xFF),
    channel=st.integers(0, 0xFF),
    level=st.integers(0, 0xFF),
    opcode=st.integers(0, 0xFF),
    task=st.integers(0, 0xFFFF),
    keyword=st.integers(0, 2**64 - 1),
)


def header_of(buffer_size_bytes: int = 65536, **changes: object) -> bytes:
    arguments: dict[str, object] = {
        "session_name": "my session",
        "file_name": "/tmp/app.etl",
        "start_filetime": 133_000_000_000_000_000,
        "process_id": 4711,
        "thread_id": 4712,
    }
    return records.header_buffer(buffer_size_bytes, **{**arguments, **changes})  # type: ignore[arg-type]


@given(
    raw_time=st.integers(1, 2**63 - 1),
    thread_id=st.integers(0, 2**32 - 1),
    process_id=st.integers(0, 2**32 - 1),
    provider=GUIDS,
    descriptor=DESCRIPTORS,
    traits=st.binary(max_size=100),
    metadata=st.none() | st.binary(max_size=300),
    payload=st.binary(max_size=300),
    activity=st.none() | GUIDS,
    related=st.none() | GUIDS,
)
def test_every_part_of_an_event_is_found_again_at_its_offset(
    raw_time: int,
    thread_id: int,
    process_id: int,
    provider: bytes,
    descriptor: EventDescriptor,
    traits: bytes,
    metadata: bytes | None,
    payload: bytes,
    activity: bytes | None,
    related: bytes | None,
) -> None:
    items = b"" if metadata is None else records.schema_items(traits, metadata)
    if related is not None:
        items = records.related_item(related, more=bool(items)) + items
    record = records.event_record(
        raw_time, thread_id, process_id, provider, descriptor, items, payload, activity
    )

    fields = layout.EVENT_HEADER.unpack_from(record)
    size = fields[0]
    assert size == records.event_size(traits, metadata, payload, related)
    assert len(record) == align8(size)
    assert not any(record[size:])
    flags = 1 if metadata is not None or related is not None else 0
    assert fields[1:9] == (0x13, 0xC0, flags, 0, thread_id, process_id, raw_time, provider)
    assert EventDescriptor._make(fields[9:16]) == descriptor
    assert fields[16:] == (0, 0, activity or bytes(16))

    position = layout.EVENT_HEADER.size
    found = []
    more = flags
    while more:
        item_size, kind, more, data_size = layout.EXTENDED_ITEM.unpack_from(record, position)
        assert item_size % 8 == 0
        found.append((kind, record[position + 8 : position + 8 + data_size]))
        position += item_size
    expected = [] if related is None else [(1, related)]
    if metadata is not None:
        expected += [(12, traits), (11, metadata)]
    assert found == expected
    assert record[position:size] == payload


@given(
    buffer_kib=st.integers(4, 128), traits=st.binary(min_size=3, max_size=200), schema=st.integers(0, 3000)
)
def test_the_largest_event_fits_whatever_it_is_split_into(
    buffer_kib: int, traits: bytes, schema: int
) -> None:
    room = records.largest_event(buffer_kib * 1024, traits)
    metadata, payload = bytes(min(schema, room)), bytes(room - min(schema, room))
    size = records.event_size(traits, metadata, payload)
    assert size <= layout.MAX_RECORD_BYTES
    assert layout.BUFFER_HEADER_BYTES + align8(size) <= buffer_kib * 1024


def test_activity_ids_must_be_guids() -> None:
    with pytest.raises(ValueError, match="16 bytes, not 3"):
        records.event_record(1, 1, 1, bytes(16), EventDescriptor(), b"", b"", b"abc")
    with pytest.raises(ValueError, match="16 bytes, not 3"):
        records.related_item(b"abc", more=False)


def test_a_descriptor_out_of_range_is_refused() -> None:
    with pytest.raises(struct.error):
        records.event_record(1, 1, 1, bytes(16), EventDescriptor(level=256), b"", b"")


def test_the_header_buffer_has_the_values_of_section_7_of_the_format() -> None:
    data = header_of(8192)
    assert len(data) == 8192
    filled = 0x48 + align8(0x138 + 2 * len("my session\0/tmp/app.etl\0"))
    assert layout.BUFFER_HEADER.unpack_from(data) == (
        8192, filled, filled, 0, 0, 0, 0, 0, 0, 3, filled, 0x21, 4, bytes(16),
    )  # fmt: skip
    assert set(data[filled:]) == {0xFF}
    size = 0x138 + 2 * len("my session\0/tmp/app.etl\0")
    assert layout.SYSTEM_TRACE_HEADER.unpack_from(data, 0x48) == (
        2, 2, 0xC0, size, 0, 0, 4712, 4711, records.RAW_TIME_AT_START, 0, 0,
    )  # fmt: skip
    start = 133_000_000_000_000_000
    assert layout.LOGFILE_HEADER_64.unpack_from(data, 0x68) == (
        8192, 10, 0, 1, 5, 19045, 1, 0, 156250, 0, 1, 1, 1, 8, 0, 1000, 0, 0, bytes(172),
        start - records.RAW_TIME_AT_START, 10_000_000, start, 1, 0,
    )  # fmt: skip
    names = data[0x180 : 0x48 + size].decode("utf-16-le")
    assert names == "my session\0/tmp/app.etl\0"


def test_names_of_any_length_fit_the_smallest_buffer_and_keep_the_end_of_the_path() -> None:
    data = header_of(4096, session_name="\U0001f600" * 5000, file_name="/x" * 5000 + "/end.etl")
    assert len(data) == 4096
    filled = layout.BUFFER_HEADER.unpack_from(data)[10]
    assert filled <= 4096
    session, file, _ = data[0x180:filled].decode("utf-16-le").split("\0", 2)
    assert session == "\U0001f600" * (records.LARGEST_SESSION_NAME // 2)
    assert file.endswith("/end.etl")


def test_a_path_that_is_no_text_still_makes_a_header() -> None:
    assert len(header_of(file_name="/tmp/\udcff.etl")) == 65536


def test_a_reserved_buffer_has_no_size_and_no_record() -> None:
    data = records.reserved_buffer(4096)
    assert len(data) == 4096
    assert not any(data[:72])
    assert set(data[72:]) == {0xFF}


@pytest.mark.parametrize("granularity", [4096, 16384, 65536])
@given(kib=st.integers(1, 300), index=st.integers(0, 1000))
def test_maps_start_where_the_system_allows_and_cover_the_buffer(
    granularity: int, kib: int, index: int
) -> None:
    length = kib * 1024
    offset, map_length, inner = map_span(index * length, length, granularity)
    assert offset % granularity == 0
    assert 0 <= inner < granularity
    assert offset + inner == index * length
    assert offset + map_length == (index + 1) * length  # never beyond what was reserved


def test_small_buffers_share_a_window_of_64_kib() -> None:
    assert map_span(5 * 8192, 8192, 65536) == (0, 6 * 8192, 5 * 8192)
    assert map_span(8 * 8192, 8192, 65536) == (65536, 8192, 0)


def test_both_kinds_of_window_write_the_same_bytes_into_the_same_place(tmp_path: object) -> None:
    contents = []
    for number, kind in enumerate((MappedWindow, PositionedWindow)):
        path = f"{tmp_path}/{number}"
        start = mmap.ALLOCATIONGRANULARITY + 1024
        with open(path, "w+b") as file:
            file.write(b"." * (start + 4096))
            file.flush()
            window = kind(file.fileno(), start, 4096)
            window.store(10, b"abc")
            window.store_u32(100, 0x01020304)
            window.store_u64(200, 0x0102030405060708)
            window.sync()
            window.close()
            file.seek(0)
            contents.append(file.read())
    assert contents[0] == contents[1]
    expected = bytearray(b"." * (start + 4096))
    expected[start + 10 : start + 13] = b"abc"
    expected[start + 100 : start + 104] = b"\4\3\2\1"
    expected[start + 200 : start + 208] = b"\x08\7\6\5\4\3\2\1"
    assert contents[0] == expected


MOUNTS = """\
22 1 253:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:40 / /data rw shared:2 master:1 - btrfs /dev/vdb rw
31 30 0:41 / /data/with\\040blank rw - zfs pool rw
32 22 0:42 / /mnt rw - ext4 /dev/vdc rw
33 22 0:43 / /mnt rw - fuse.sshfs host: rw
nonsense
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/app.etl", "ext4"),
        ("/data/app.etl", "btrfs"),
        ("/database/app.etl", "ext4"),
        ("/data/with blank/app.etl", "zfs"),
        ("/mnt/app.etl", "fuse.sshfs"),
    ],
)
def test_the_filesystem_of_a_path_is_that_of_the_innermost_and_last_mount(path: str, kind: str) -> None:
    assert filesystem_type_in(MOUNTS, path) == kind


def test_an_unreadable_mount_table_says_nothing() -> None:
    assert filesystem_type_in("", "/app.etl") == ""


def test_provider_ids_are_stored_in_guid_memory_order() -> None:
    guid = UUID("00112233-4455-6677-8899-aabbccddeeff")
    record = records.event_record(1, 1, 1, guid.bytes_le, EventDescriptor(), b"", b"")
    assert record[0x18:0x28].hex() == "33221100554477668899aabbccddeeff"
