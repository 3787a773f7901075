"""Every record kind, both header widths, extended items and both places of TraceLogging metadata."""

from __future__ import annotations

import struct
from pathlib import Path
from uuid import UUID

import pytest

from etl_files import (
    ACTIVITY,
    PROVIDER,
    START_FILETIME,
    T0,
    buffer,
    classic_record,
    compact_record,
    event_record,
    message_record,
    metadata_blob,
    perfinfo_record,
    system_record,
    trace_file,
    tracelogging_record,
    traits_blob,
)
from otel_etw import errors
from otel_etw.etl.damage import DamageKind
from otel_etw.etl.event import Event
from otel_etw.etl.layout import ClockType, LogFileMode
from otel_etw.etl.reader import open_etl
from otel_etw.etl.walking import RecordKind

OTHER = UUID("00010203-0405-0607-0809-0a0b0c0d0e0f")


def read_records(tmp_path: Path, *records: bytes, bits: int = 64) -> list[Event]:
    """The events of a file with these records, all delivered without damage; the header record left out."""
    path = tmp_path / "made.etl"
    path.write_bytes(trace_file(buffer(records, 65536, processor=3), bits=bits))
    with open_etl(path) as trace:
        events = list(trace)
        assert not trace.damage
        assert trace.damage.counts == {}
    return events[1:]


def read_one(tmp_path: Path, record: bytes, bits: int = 64) -> Event:
    (event,) = read_records(tmp_path, record, bits=bits)
    assert event.record == record
    assert event.processor == 3
    assert (event.buffer, event.offset) == (1, 0x48)
    return event


@pytest.mark.parametrize(
    ("record", "name", "kind", "pointer_size"),
    [
        (system_record(T0 + 5, 0x0301, b"data", bits=32), "system32", "system", 4),
        (system_record(T0 + 5, 0x0301, b"data"), "system64", "system", 8),
        (compact_record(T0 + 5, 0x0301, b"data", bits=32), "compact32", "compact", 4),
        (compact_record(T0 + 5, 0x0301, b"data"), "compact64", "compact", 8),
        (perfinfo_record(T0 + 5, 0x0F2E, b"data", bits=32), "perfinfo32", "perfinfo", 4),
        (perfinfo_record(T0 + 5, 0x0F2E, b"data"), "perfinfo64", "perfinfo", 8),
        (classic_record(T0 + 5, 7, b"data", bits=32), "full_header32", "classic", 4),
        (classic_record(T0 + 5, 7, b"data"), "full_header64", "classic", 8),
        (classic_record(T0 + 5, 7, b"data", bits=32, instance=(1, 2, OTHER)), "instance32", "instance", 4),
        (classic_record(T0 + 5, 7, b"data", instance=(1, 2, OTHER)), "instance64", "instance", 8),
        (event_record(T0 + 5, b"data", header_type=0x12), "event_header32", "event", 4),
        (event_record(T0 + 5, b"data"), "event_header64", "event", 8),
        (event_record(T0 + 5, b"data", header_type=0x0D), "error", "error", 8),
        (message_record(9, b"data", raw=T0 + 5), "wpp", "message", 8),
        (message_record(9, b"data", raw=T0 + 5, marker=0xC0, header_type=0x0F), "message", "message", 8),
    ],
)
@pytest.mark.parametrize("bits", [64, 32])
def test_every_record_kind_is_delivered_with_its_time_and_data(
    tmp_path: Path, record: bytes, name: str, kind: str, pointer_size: int, bits: int
) -> None:
    event = read_one(tmp_path, record, bits)
    assert event.record_kind == name
    assert event.kind == RecordKind(kind)
    if kind not in ("error", "message"):
        assert event.pointer_size == pointer_size
    else:
        assert event.pointer_size == bits // 8
    assert event.payload == b"data"
    assert event.timestamp_raw == T0 + 5
    assert event.timestamp_filetime == START_FILETIME + 5
    assert event.timestamp_ns == (START_FILETIME + 5 - 116_444_736_000_000_000) * 100
    assert event.fields == {}
    assert event.values == ()
    assert event.problems == ()
    assert event.trailing == b""
    assert kind in repr(event) or name in repr(event)


@pytest.mark.parametrize("bits", [64, 32])
def test_both_header_widths_give_every_fact(tmp_path: Path, bits: int) -> None:
    path = tmp_path / "header.etl"
    content = trace_file(
        bits=bits,
        mode=0x10002003,
        events_lost=7,
        buffers_lost=3,
        bias=-330,
        max_file_size=20,
        cpu_mhz=3592,
        perf_freq=24_000_000,
        session="Täst",
        log_file="X",
        buffers_written=12,
    )
    path.write_bytes(content)
    with open_etl(str(path)) as trace:
        header = trace.header
        assert trace.path == str(path)
        assert trace.size_bytes == len(content) == 4096
    assert header.header_bits == bits
    assert header.pointer_size == bits // 8
    assert header.buffer_size_bytes == 4096
    assert (header.os_version, header.layout_version, header.build) == ((10, 0), (1, 5), 19045)
    assert (header.processors, header.cpu_mhz, header.perf_freq_hz) == (4, 3592, 24_000_000)
    assert header.clock_type is ClockType.QPC
    assert header.timer_resolution_100ns == 156250
    assert (header.events_lost, header.buffers_lost, header.buffers_written) == (7, 3, 12)
    assert header.start_buffers == 1
    assert header.time_zone_bias_minutes == -330
    assert (header.session_name, header.log_file_name) == ("Täst", "X")
    assert header.first_timestamp_raw == T0
    assert header.start_time_filetime == START_FILETIME
    assert header.boot_time_filetime == START_FILETIME - 1000
    assert header.end_time_filetime == START_FILETIME + 600_000_000
    assert header.end_time_unix_nano == header.start_time_unix_nano + 60_000_000_000
    assert header.boot_time_unix_nano == header.start_time_unix_nano - 100_000
    assert LogFileMode.CIRCULAR in header.log_file_mode
    assert LogFileMode.NO_PER_PROCESSOR_BUFFERING in header.log_file_mode
    assert header.max_file_size_bytes == 20 * 1024
    assert (header.process_id, header.thread_id) == (100, 200)


def test_version_1_of_the_header_record_is_accepted(tmp_path: Path) -> None:
    path = tmp_path / "old.etl"
    path.write_bytes(trace_file(version=1, clock_type=77))
    assert open_etl(path).header.clock_type == 77


@pytest.mark.parametrize(
    ("clock_type", "expected"), [(1, 24_000_000), (2, 10**7 * 24 // 10), (3, 24_000_000 * 10 // 2400)]
)
def test_event_times_follow_the_clock_type_of_the_file(
    tmp_path: Path, clock_type: int, expected: int
) -> None:
    path = tmp_path / "clock.etl"
    record = event_record(T0 + 24_000_000)
    path.write_bytes(trace_file(buffer([record]), clock_type=clock_type, perf_freq=10_000_000, cpu_mhz=2400))
    event = list(open_etl(path))[-1]
    assert event.timestamp_filetime == START_FILETIME + expected


def test_an_event_gives_its_descriptor_and_ids(tmp_path: Path) -> None:
    record = event_record(
        T0,
        b"raw",
        event_id=0xFFFE,
        version=1,
        channel=3,
        level=2,
        opcode=0xFE,
        task=0xFFFD,
        keyword=0xFFFFFFFFFFFFFFF1,
        process_id=4_000_000_000,
        thread_id=0xFFFFFFFF,
        activity=ACTIVITY,
        items=[(1, OTHER.bytes_le)],
    )
    event = read_one(tmp_path, record)
    assert event.descriptor == (0xFFFE, 1, 3, 2, 0xFE, 0xFFFD, 0xFFFFFFFFFFFFFFF1)
    assert event.provider_id == PROVIDER
    assert event.process_id == 4_000_000_000
    assert event.thread_id is None
    assert event.activity_id == ACTIVITY
    assert event.related_activity_id == OTHER
    assert event.provider_name is None
    assert event.name is None
    assert event.hook_id is None


def test_absent_and_zero_activity_ids_are_none(tmp_path: Path) -> None:
    plain, zero = read_records(tmp_path, event_record(T0), event_record(T0, items=[(1, bytes(16))]))
    assert plain.activity_id is plain.related_activity_id is None
    assert zero.related_activity_id is None


def test_kernel_records_are_named_by_group_and_hook(tmp_path: Path) -> None:
    sample, load, unlisted, build = read_records(
        tmp_path,
        perfinfo_record(T0, 0x0F2E),
        system_record(T0, 0x030A),
        compact_record(T0, 0xEE01),
        perfinfo_record(T0, 0x0042, b"lab\0"),
    )
    assert (sample.provider_name, sample.name, sample.hook_id) == ("PerfInfo", "SampledProfile", 0x0F2E)
    assert sample.provider_id == UUID("ce1dbfb4-137e-4da6-87b0-3f59aa102cbc")
    assert sample.process_id is sample.thread_id is sample.activity_id is None
    assert (load.provider_name, load.name) == ("Process", "ImageLoad")
    assert (load.process_id, load.thread_id) == (100, 200)
    assert load.descriptor.opcode == 0x0A
    assert (unlisted.provider_name, unlisted.provider_id, unlisted.name) == (None, None, None)
    assert unlisted.hook_id == 0xEE01
    assert (build.name, build.payload) == ("BuildLab", b"lab\0")


def test_classic_records_give_class_opcode_level_and_instance(tmp_path: Path) -> None:
    volume, instance = read_records(
        tmp_path,
        classic_record(T0, 0x22, provider=UUID("9b79ee91-b5fd-41c0-a243-4248e266e9d0"), level=3, version=2),
        classic_record(T0, 1, b"x", instance=(11, 22, OTHER)),
    )
    assert (volume.provider_name, volume.name) == ("SysConfig", "Volume")
    assert (volume.descriptor.opcode, volume.descriptor.level, volume.descriptor.version) == (0x22, 3, 2)
    assert (volume.process_id, volume.thread_id) == (100, 200)
    assert instance.provider_id == PROVIDER
    assert instance.provider_name is instance.name is None
    assert instance.extended == ((4, struct.pack("<II", 11, 22) + OTHER.bytes_le),)


def test_message_parts_are_found_in_every_combination(tmp_path: Path) -> None:
    options: list[dict[str, object]] = [
        {"sequence": 5},
        {"guid": OTHER},
        {"component": 6},
        {"raw": T0 + 8},
        {"ids": (21, 22)},
    ]
    for mask in range(32):
        chosen: dict[str, object] = {}
        for bit, option in enumerate(options):
            if mask >> bit & 1:
                chosen.update(option)
        event = read_one(tmp_path, message_record(77, b"args", **chosen))  # type: ignore[arg-type]
        assert event.payload == b"args"
        assert event.descriptor.id == 77
        assert event.provider_id == chosen.get("guid")
        assert (event.thread_id, event.process_id) == chosen.get("ids", (None, None))
        assert event.timestamp_raw == chosen.get("raw", T0)
        assert event.problems == ()


def test_message_flags_say_the_pointer_size(tmp_path: Path) -> None:
    narrow, wide = read_records(tmp_path, message_record(1, flags=0x40), message_record(1, flags=0x80))
    assert (narrow.pointer_size, wide.pointer_size) == (4, 8)


def test_a_message_that_is_shorter_than_its_flags_say_is_delivered_raw(tmp_path: Path) -> None:
    event = read_one(tmp_path, message_record(1, b"0123456789", flags=0x2B))
    assert event.payload == b"0123456789"
    assert event.provider_id is event.process_id is None
    assert "ask for 44 bytes" in event.problems[0]


def test_a_record_without_a_time_has_that_of_the_one_before(tmp_path: Path) -> None:
    first, _, last = read_records(tmp_path, message_record(1), event_record(T0 + 50), message_record(2))
    assert (first.timestamp_raw, last.timestamp_raw) == (T0, T0 + 50)


def test_counters_that_the_version_word_announces_are_extended_items(tmp_path: Path) -> None:
    counters = struct.pack("<QQQ", 5, 6, 7)
    with_both, short = read_records(
        tmp_path,
        perfinfo_record(T0, 0x0F2E, counters + b"rest", version=0x8203),
        perfinfo_record(T0, 0x0F2E, b"1234", version=0x0701),
    )
    assert with_both.extended == ((7, counters[:8]), (8, counters[8:]))
    assert with_both.payload == b"rest"
    assert with_both.descriptor.version == 3
    assert short.payload == b"1234"
    assert "announces 72 bytes" in short.problems[0]


# --- TraceLogging -----------------------------------------------------------------------------


def test_a_self_describing_event_decodes(tmp_path: Path) -> None:
    payload = "Grüße".encode() + b"\0" + struct.pack("<i", -7) + b"\xff\xff\xff\xff"
    event = read_one(
        tmp_path, tracelogging_record(T0, "Über", [("s", 2), ("i", 7), ("p", 16)], payload, header_type=0x12)
    )
    assert event.provider_name == "MadeProvider"
    assert event.name == "Über"
    assert event.fields == {"s": "Grüße", "i": -7, "p": 0xFFFFFFFF}
    assert [value.name for value in event.values] == ["s", "i", "p"]
    assert event.metadata == metadata_blob("Über", [("s", 2), ("i", 7), ("p", 16)])
    assert event.payload == payload
    assert (event.trailing, event.problems) == (b"", ())
    assert [item_type for item_type, _ in event.extended] == [12, 11]


def test_bytes_after_the_described_fields_are_trailing(tmp_path: Path) -> None:
    event = read_one(tmp_path, tracelogging_record(T0, payload=b"\x01\0\0\0rest"))
    assert event.fields == {"n": 1}
    assert event.trailing == b"rest"


def test_a_payload_that_is_too_short_leaves_a_problem_and_the_bytes(tmp_path: Path) -> None:
    event = read_one(tmp_path, tracelogging_record(T0, fields=[("a", 4), ("n", 8)], payload=b"\x01\x02\x03"))
    assert event.fields == {"a": 1}
    assert event.trailing == b"\x02\x03"
    assert "'n'" in event.problems[0]


def test_damaged_metadata_keeps_name_and_first_fields(tmp_path: Path) -> None:
    blob = metadata_blob("Cut", [("a", 4), ("b", 4)])[:-2]
    blob = struct.pack("<H", len(blob)) + blob[2:]
    event = read_one(tmp_path, event_record(T0, b"\x05\x06", channel=11, items=[(11, blob)]))
    assert event.name == "Cut"
    assert event.fields == {"a": 5}
    assert event.payload == b"\x05\x06"
    assert event.problems


def test_metadata_in_front_of_the_user_data_is_recognised(tmp_path: Path) -> None:
    metadata = metadata_blob("Old", [("n", 8)])
    data = traits_blob("OldProvider") + metadata + b"\x07\0\0\0"
    old, with_item = read_records(
        tmp_path,
        event_record(T0, data, channel=11),
        event_record(T0, data, channel=11, items=[(1, ACTIVITY.bytes_le)]),
    )
    for event in (old, with_item):
        assert event.provider_name == "OldProvider"
        assert event.name == "Old"
        assert event.metadata == metadata
        assert event.fields == {"n": 7}
        assert event.payload == b"\x07\0\0\0"
        assert event.problems == ()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x05",
        b"\x00" * 40,
        traits_blob("P"),
        traits_blob("P") + b"\xff\xff" + b"x" * 20,
        traits_blob("P") + metadata_blob("E", [("n", 8)])[:-1],
        traits_blob("P") + b"\x06\0\0E\0x",
        traits_blob("") + metadata_blob("E", []),
        traits_blob("P") + metadata_blob("", []),
        b"\x04\0ab" + metadata_blob("E", []),
    ],
)
def test_user_data_that_does_not_fit_exactly_is_raw(tmp_path: Path, data: bytes) -> None:
    event = read_one(tmp_path, event_record(T0, data, channel=11))
    assert event.metadata is None
    assert event.payload == data
    assert event.fields == {}
    assert event.problems == ()


def test_metadata_in_front_needs_channel_11(tmp_path: Path) -> None:
    data = traits_blob("P") + metadata_blob("E", [])
    event = read_one(tmp_path, event_record(T0, data, channel=0))
    assert event.metadata is None
    assert event.payload == data


# --- extended items ---------------------------------------------------------------------------


def test_all_items_are_kept_in_order_known_or_not(tmp_path: Path) -> None:
    items = [
        (item_type, bytes([item_type]) * (item_type * 3)) for item_type in range(1, 30) if item_type != 11
    ]
    event = read_one(tmp_path, event_record(T0, b"tail", items=items))
    assert event.extended == tuple(items)
    assert event.extended_item(18) == b"\x12" * 54
    assert event.extended_item(99) is None
    assert event.payload == b"tail"


def test_stacks_of_both_widths_give_addresses(tmp_path: Path) -> None:
    wide = struct.pack("<QQQ", 1, 0xFFFF_8000_0000_0001, 0x7FF0)
    narrow = struct.pack("<QIII", 1, 0x1000, 0x2000, 0x3000)
    both, none = read_records(
        tmp_path, event_record(T0, items=[(6, wide), (5, narrow)]), event_record(T0, items=[(6, b"abc")])
    )
    assert both.stack == (0xFFFF_8000_0000_0001, 0x7FF0, 0x1000, 0x2000, 0x3000)
    assert none.stack == ()


def test_user_data_that_looks_like_items_is_left_alone(tmp_path: Path) -> None:
    data = struct.pack("<HHHH", 16, 3, 0, 4) + b"abcd" + bytes(4)
    event = read_one(tmp_path, event_record(T0, data))
    assert event.extended == ()
    assert event.payload == data


@pytest.mark.parametrize(
    ("chain", "kept", "payload"),
    [
        pytest.param(
            struct.pack("<HHHH", 12, 3, 0, 4) + b"abcd" + bytes(4) + b"U", 1, b"U", id="unaligned size"
        ),
        pytest.param(struct.pack("<HHHH", 0, 3, 0, 4) + b"abcd" + bytes(4) + b"U", 1, b"U", id="size 0"),
        pytest.param(struct.pack("<HHHH", 24, 3, 0, 4) + b"abcd", 0, None, id="item beyond the record"),
        pytest.param(struct.pack("<HHHH", 16, 3, 0, 0xFFF0) + b"abcdefgh", 0, None, id="data beyond"),
        pytest.param(struct.pack("<HHHH", 16, 3, 1, 4) + b"abcd" + bytes(4), 1, b"", id="another promised"),
        pytest.param(b"abc", 0, None, id="no room for an item"),
        pytest.param(
            struct.pack("<HHHH", 8, 3, 1, 0) * 80, 64, struct.pack("<HHHH", 8, 3, 1, 0) * 16, id="80 items"
        ),
    ],
)
def test_damaged_items_end_the_chain_and_keep_the_event(
    tmp_path: Path, chain: bytes, kept: int, payload: bytes | None
) -> None:
    event = read_one(tmp_path, event_record(T0, chain, flags=1))
    assert len(event.extended) == kept
    assert event.payload == (chain if payload is None else payload)
    repaired = payload == b"U"
    assert bool(event.problems) is not repaired


# --- records that are skipped -----------------------------------------------------------------


@pytest.mark.parametrize(
    "unknown",
    [
        pytest.param(struct.pack("<HBB", 20, 0x0C, 0xC0) + bytes(16), id="timed"),
        pytest.param(struct.pack("<HBB", 20, 0x0E, 0xC0) + bytes(16), id="wnode type"),
        pytest.param(struct.pack("<HBB", 24, 0x77, 0xC0) + bytes(20), id="unknown type"),
        pytest.param(struct.pack("<HBB", 24, 0, 0xB0) + bytes(20), id="ulong and time"),
        pytest.param(struct.pack("<HBB", 8, 0, 0xA0) + bytes(4), id="unknown marker"),
        pytest.param(struct.pack("<I", 24) + bytes(20), id="old wnode"),
    ],
)
def test_unknown_records_are_skipped_by_size_and_counted(tmp_path: Path, unknown: bytes) -> None:
    path = tmp_path / "unknown.etl"
    path.write_bytes(trace_file(buffer([event_record(T0, b"1"), unknown, event_record(T0, b"2")])))
    with open_etl(path) as trace:
        assert [event.payload for event in trace][1:] == [b"1", b"2"]
        assert trace.damage.unknown_records == 1
        assert trace.damage.counts == {DamageKind.UNKNOWN_RECORD: 1}
        assert not trace.damage
        (entry,) = trace.damage.entries
    assert entry.buffer == 1
    assert entry.offset == 4096 + 0x48 + 0x58


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(struct.pack("<HBB", 0x4F, 0x13, 0xC0) + bytes(76), id="below the fixed part"),
        pytest.param(struct.pack("<HBB", 0xFFFF, 0x13, 0xC0) + bytes(76), id="beyond the buffer"),
        pytest.param(struct.pack("<HBBHH", 2, 0x02, 0xC0, 0, 0) + bytes(24), id="system record of size 0"),
        pytest.param(struct.pack("<HBB", 4, 0x77, 0xC0) + bytes(20), id="unknown with size 4"),
        pytest.param(bytes(32), id="zeros"),
        pytest.param(struct.pack("<I", 0x7FFFFFFF) + bytes(28), id="huge wnode"),
    ],
)
def test_an_impossible_size_costs_the_rest_of_its_buffer_only(tmp_path: Path, bad: bytes) -> None:
    path = tmp_path / "bad.etl"
    path.write_bytes(
        trace_file(
            buffer([event_record(T0, b"1"), bad, event_record(T0, b"lost")]), buffer([event_record(T0, b"2")])
        )
    )
    with open_etl(path) as trace:
        assert [event.payload for event in trace][1:] == [b"1", b"2"]
        assert trace.damage
        assert trace.damage.counts == {DamageKind.RECORD: 1}
        (entry,) = trace.damage.entries
    assert (entry.buffer, entry.offset) == (1, 4096 + 0x48 + 0x58)
    assert "expected" in entry.why
    assert "found" in entry.why


def test_filler_inside_the_filled_part_ends_the_buffer_quietly(tmp_path: Path) -> None:
    path = tmp_path / "filler.etl"
    path.write_bytes(trace_file(buffer([event_record(T0), b"\xff" * 64])))
    with open_etl(path) as trace:
        assert len(list(trace)) == 2
        assert trace.damage.counts == {}


@pytest.mark.parametrize("buffer_type", [3, 6, 7])
def test_buffers_of_types_without_events_make_no_damage(tmp_path: Path, buffer_type: int) -> None:
    path = tmp_path / "types.etl"
    path.write_bytes(trace_file(buffer([bytes(64)], buffer_type=buffer_type), buffer([event_record(T0)])))
    with open_etl(path) as trace:
        assert len(list(trace)) == 2
        assert not trace.damage


def test_events_stay_valid_after_the_file_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "kept.etl"
    path.write_bytes(trace_file(*(buffer([tracelogging_record(T0 + n)]) for n in range(5))))
    with open_etl(path) as trace:
        events = list(trace)[1:]
    path.unlink()
    assert [event.fields for event in events] == [{"n": 42}] * 5
    assert all(len(event.record) < 200 for event in events)
    with pytest.raises(ValueError, match="closed"):
        list(trace)


def test_the_processor_is_the_buffers_u16_or_u8(tmp_path: Path) -> None:
    path = tmp_path / "cpu.etl"
    records = [event_record(T0)]
    path.write_bytes(
        trace_file(
            buffer(records, processor=0x1FF, flags=0x20),
            buffer(records, processor=0xF801, flags=0x20),
            buffer(records, processor=0x0107, flags=0),
        )
    )
    assert [event.processor for event in open_etl(path)][1:] == [0x1FF, 0x001, 0x07]


def test_a_missing_file_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        open_etl(tmp_path / "absent.etl")
    with pytest.raises((IsADirectoryError, PermissionError)):
        open_etl(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"", "expected at least 104 bytes, found 0", id="empty"),
        pytest.param(b"text " * 100, "expected a buffer size of 72", id="text"),
        pytest.param(b"\0" * 4096, "found 0", id="zeros"),
        pytest.param(
            trace_file()[:300], "expected a trace header of 384 bytes, found a file of 300", id="cut"
        ),
        pytest.param(buffer([event_record(T0)]), "expected buffer type 4, found 0", id="no header buffer"),
        pytest.param(
            buffer([event_record(T0)], buffer_type=4),
            "expected a trace header record",
            id="wrong first record",
        ),
        pytest.param(
            buffer([system_record(T0, 0x0301, bytes(400))], buffer_type=4),
            "hook id 0x0000, found 0x0301",
            id="hook",
        ),
    ],
)
def test_what_is_no_trace_says_what_was_expected_and_names_the_file(
    tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "not-a-trace.etl"
    path.write_bytes(content)
    with pytest.raises(errors.TraceFileError, match=message) as caught:
        open_etl(path)
    assert str(path) in str(caught.value)
