"""Every published fact about the real trace files, which Windows recorded, against what the reader says.

The facts are data: the tables below are those of the format description (section 8), the rest comes from
``ground-truth.json`` and from the listings that PerfView made of the same files.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from collections import Counter
from datetime import datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest

from otel_etw.etl.buffers import Buffer
from otel_etw.etl.event import Event
from otel_etw.etl.layout import ClockType, LogFileMode
from otel_etw.etl.reader import open_etl
from otel_etw.etl.trace_header import TraceHeader
from otel_etw.tracelogging.values import FileTime
from shared_files import corpus

SINGLE = "SelfDescribingSingleEvent.etl"
PRIMITIVE = "primitive-types.etl"
UPDATE = "WindowsUpdate.20251008.140245.443.8.etl"
MEDIC = "waasmedic.20251005_113019_195.etl"
NET = "net.4.5.2.x86.etl"
SMALL = (SINGLE, PRIMITIVE, UPDATE, MEDIC)

HEADER_FACTS: dict[str, dict[str, Any]] = {
    SINGLE: {
        "buffer_size_bytes": 65536, "buffers_written": 3, "os_version": (10, 0), "build": 22000,
        "layout_version": (2, 0), "processors": 12, "cpu_mhz": 3192, "log_file_mode": 0x04010001,
        "max_file_size": 800, "events_lost": 0, "time_zone_bias_minutes": 480, "session_name": "Relogger",
        "log_file_name": "[multiple files]", "first_timestamp_raw": 6459791009101,
        "start_time_filetime": 132949636352722435, "boot_time_filetime": 132943176705000000,
    },
    PRIMITIVE: {
        "buffer_size_bytes": 8192, "buffers_written": 2, "os_version": (10, 0), "build": 19043,
        "layout_version": (1, 5), "processors": 8, "cpu_mhz": 2304, "log_file_mode": 0,
        "max_file_size": 0, "events_lost": 0, "time_zone_bias_minutes": -120, "session_name": "solar_system",
        "log_file_name": "C:\\primitive-types_000004.etl", "first_timestamp_raw": 2603587641205,
        "start_time_filetime": 132756731728578510, "boot_time_filetime": 132754128145000000,
    },
    UPDATE: {
        "buffer_size_bytes": 4096, "buffers_written": 7, "os_version": (10, 0), "build": 22631,
        "layout_version": (1, 5), "processors": 1, "cpu_mhz": 4491, "log_file_mode": 0x11002009,
        "max_file_size": 512, "events_lost": 41, "time_zone_bias_minutes": 480,
        "session_name": "WindowsUpdate_trace_log",
        "log_file_name": "C:\\Windows\\Logs\\WindowsUpdate\\WindowsUpdate.20251008.140245.443.8.etl",
        "first_timestamp_raw": 5813516523785,
        "start_time_filetime": 134044309654479919, "boot_time_filetime": 134038496275000000,
    },
    MEDIC: {
        "buffer_size_bytes": 8192, "buffers_written": 2, "os_version": (10, 0), "build": 22631,
        "layout_version": (1, 5), "processors": 1, "cpu_mhz": 4491, "log_file_mode": 0x11002002,
        "max_file_size": 2048, "events_lost": 0, "time_zone_bias_minutes": 480,
        "session_name": "ECCB175F-1EB2-43DA-BFB5-A8D58A40A4D7",
        "log_file_name": "C:\\Windows\\logs\\waasmedic\\waasmedic.20251005_113019_195.etl",
        "first_timestamp_raw": 2877987555240,
        "start_time_filetime": 134041374192015908, "boot_time_filetime": 134038496275000000,
    },
}  # fmt: skip

UTC_FACTS = {
    SINGLE: ("2022-04-20T21:27:15.2722435", "2022-04-20T21:27:18.6242009"),
    PRIMITIVE: ("2021-09-09T14:59:32.8578510", "2021-09-09T14:59:42.0557985"),
    UPDATE: ("2025-10-08T21:02:45.4479919", "2025-10-08T21:13:28.9912269"),
    MEDIC: ("2025-10-05T11:30:19.2015908", "2025-10-05T11:31:19.3841542"),
}
"""File -> start and end time."""

BUFFER_FACTS: dict[str, dict[str, list[int]]] = {
    SINGLE: {
        "file_offset": [0, 0x400, 0x1C09], "filled_bytes": [0x208, 0x1C00, 0xF0],
        "sequence_number": [0, 1, 2], "records": [2, 20, 1], "is_compressed": [0, 1, 1],
        "flags": [0x0001, 0x0060, 0x0061], "buffer_type": [4, 0, 0],
    },
    PRIMITIVE: {
        "file_offset": [0, 0x2000], "filled_bytes": [0x228, 0x7A0], "sequence_number": [0, 1],
        "records": [2, 5], "is_compressed": [0, 0], "flags": [0x0021, 0x0021], "buffer_type": [4, 0],
    },
    UPDATE: {
        "file_offset": [number * 0x1000 for number in range(7)],
        "filled_bytes": [0x290, 0xF78, 0xEF0, 0xF48, 0xF70, 0xF90, 0xDF0],
        "sequence_number": [0, *range(908, 914)], "records": [2, 12, 12, 13, 16, 11, 16],
        "is_compressed": [0] * 7, "buffer_type": [4, 0, 0, 0, 0, 0, 0],
    },
    MEDIC: {
        "file_offset": [0, 0x2000], "filled_bytes": [0x310, 0x1148], "sequence_number": [0, 1],
        "records": [4, 17], "is_compressed": [0, 0], "buffer_type": [4, 0],
    },
}  # fmt: skip

EVENT_FACTS: dict[str, dict[str, Any]] = {
    SINGLE: {
        "kinds": {"system64": 4, "full_header64": 18, "event_header64": 1},
        "hooks": {0x0000: 1, 0x0050: 3},
        "provider": ("a61ea624-4944-55fc-c2a8-37838829438d", "MySource"),
        "levels": {5: 1}, "names": {"TestEvent": 1}, "data_bytes": 26, "first_raw": 6459804190760,
        "first": "2022-04-20T21:27:16.5904094", "last": "2022-04-20T21:27:16.5904094",
    },
    PRIMITIVE: {
        "kinds": {"system64": 2, "event_header64": 5}, "hooks": {0x0000: 1, 0x0050: 1},
        "provider": ("d3dd3dd4-aac2-4e2a-8dd4-a8fb61b77615", "solar_system"),
        "levels": {5: 5}, "names": {"PrimitiveTypesTest": 5}, "data_bytes": 383, "first_raw": 2603617064262,
        "first": "2021-09-09T14:59:35.8001567", "last": "2021-09-09T14:59:37.4845027",
    },
    UPDATE: {
        "kinds": {"system64": 2, "event_header64": 80}, "hooks": {0x0000: 1, 0x0050: 1},
        "provider": ("0b7a6f19-47c4-454e-8c5c-e868d637e4d8", "WUTraceLogging"),
        "levels": {4: 77, 3: 3},
        "names": {
            "Agent": 27, "ComApi": 22, "Deployment": 14, "Misc": 12, "IdleTimer": 2, "Shared": 2,
            "DownloadManager": 1,
        },
        "data_bytes": 11564, "first_raw": 5813931447582,
        "first": "2025-10-08T21:03:26.9403716", "last": "2025-10-08T21:13:28.9936350",
    },
    MEDIC: {
        "kinds": {"system64": 2, "perfinfo64": 2, "event_header64": 17},
        "hooks": {0x0000: 1, 0x0050: 1, 0x0042: 1, 0x0040: 1},
        "provider": ("30d25124-a468-505c-de82-8411646eb8b5", "Microsoft.Windows.WaaSMedic.Local"),
        "levels": {4: 16, 3: 1}, "names": {"Info": 16, "Warning": 1}, "data_bytes": 1738,
        "first_raw": 2877987559860,
        "first": "2025-10-05T11:30:19.2020528", "last": "2025-10-05T11:31:19.3848833",
    },
}  # fmt: skip

PLANETS = [
    (2942.306, "Mercury", False, "M", -51, -102, 51, 102, -204, 204, "0ad614c4-0ef4-4225-8013-f44f37cb0397",
     0x01D7A58B4DFA1070, "2021-09-09T14:59:35.799"),
    (3381.259, "Venus", True, "V", -95, -190, 95, 190, -380, 380, "e04ff801-9ea3-494f-a10e-8ef833e9099f",
     0x01D7A58B4E3D33F0, "2021-09-09T14:59:36.239"),
    (3814.002, "Earth", False, "E", -65, -130, 65, 130, -260, 260, "c7a6c80e-f2a6-4220-ab98-d7c21a58f9fb",
     0x01D7A58B4E7F1EF0, "2021-09-09T14:59:36.671"),
    (4190.408, "Mars", False, "M", -29, -58, 29, 58, -116, 116, "0a922cee-67c1-4108-b39d-b132e47033c4",
     0x01D7A58B4EB8A580, "2021-09-09T14:59:37.048"),
    (4626.652, "Jupiter", True, "J", -69, -138, 69, 138, -276, 276, "bb11b97b-1110-4eb6-bc33-fd71219d322e",
     0x01D7A58B4EFB2CC0, "2021-09-09T14:59:37.484"),
]  # fmt: skip
PLANET_TYPES = [
    ("string_type", 2, 0), ("boolean_type", 4, 3), ("char_type", 4, 2), ("int16_type", 5, 0),
    ("int32_type", 7, 0), ("uint16_type", 6, 0), ("uint32_type", 8, 0), ("int64_type", 10, 0),
    ("uint64_type", 10, 0), ("guid_type", 15, 0), ("file_time_type", 17, 0), ("system_time_type", 18, 0),
]  # fmt: skip

_EPOCH = datetime(1601, 1, 1, tzinfo=timezone.utc)


def utc(filetime: int) -> str:
    """ISO with the seven digits that a FILETIME has."""
    moment = _EPOCH + timedelta(seconds=filetime // 10**7)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{filetime % 10**7:07}"


def relative_ms(event: Event, header: TraceHeader) -> float:
    return (event.timestamp_raw - header.first_timestamp_raw) * 1000 / header.perf_freq_hz


def read(name: str) -> tuple[TraceHeader, list[Buffer], list[Event]]:
    """A small file, whole; nothing in it is damaged."""
    with open_etl(corpus(name)) as trace:
        events = list(trace)
        assert not trace.damage
        assert trace.damage.counts == {}
        assert trace.damage.unfinished is None
        return trace.header, list(trace.buffers()), events


def self_describing(events: list[Event]) -> list[Event]:
    return [event for event in events if event.kind == "event"]


# --- the four small files ---------------------------------------------------------------------


@pytest.mark.parametrize("name", SMALL)
def test_header_facts(name: str) -> None:
    header, _, _ = read(name)
    found = {fact: getattr(header, fact) for fact in HEADER_FACTS[name]}
    assert found == HEADER_FACTS[name]
    assert header.clock_type is ClockType.QPC
    assert (header.pointer_size, header.perf_freq_hz, header.buffers_lost) == (8, 10_000_000, 0)
    assert (header.timer_resolution_100ns, header.start_buffers) == (156250, 1)
    assert (utc(header.start_time_filetime), utc(header.end_time_filetime)) == UTC_FACTS[name]


@pytest.mark.parametrize("name", SMALL)
def test_buffer_facts(name: str) -> None:
    _, buffers, events = read(name)
    records = Counter(event.buffer for event in events)
    for fact, expected in BUFFER_FACTS[name].items():
        if fact == "records":
            assert [records[buffer.index] for buffer in buffers] == expected
        else:
            assert [getattr(buffer, fact) for buffer in buffers] == expected
    assert buffers[-1].file_offset + buffers[-1].size_bytes == corpus(name).stat().st_size


@pytest.mark.parametrize("name", SMALL)
def test_event_facts(name: str) -> None:
    _, _, events = read(name)
    facts = EVENT_FACTS[name]
    assert Counter(event.record_kind for event in events) == facts["kinds"]
    assert Counter(event.hook_id for event in events if event.hook_id is not None) == facts["hooks"]
    described = self_describing(events)
    assert {(str(event.provider_id), event.provider_name) for event in described} == {facts["provider"]}
    assert Counter(event.descriptor.level for event in described) == facts["levels"]
    assert Counter(event.name for event in described) == facts["names"]
    assert sum(len(event.payload) for event in described) == facts["data_bytes"]
    assert all([item_type for item_type, _ in event.extended] == [12, 11] for event in described)
    assert all(event.descriptor.channel == 11 for event in described)
    assert all(event.trailing == b"" and event.problems == () for event in events)
    assert described[0].timestamp_raw == facts["first_raw"]
    assert utc(described[0].timestamp_filetime) == facts["first"]
    assert utc(described[-1].timestamp_filetime) == facts["last"]
    assert described[-1].timestamp_ns == (described[-1].timestamp_filetime - 116444736000000000) * 100


@pytest.mark.parametrize("name", SMALL)
def test_small_files_in_time_order_are_the_sorted_events(name: str) -> None:
    _, _, events = read(name)
    keys = [(event.timestamp_raw, event.buffer, event.offset) for event in events]
    with open_etl(corpus(name)) as trace:
        found = [(event.timestamp_raw, event.buffer, event.offset) for event in trace.in_time_order()]
    assert found == sorted(keys)


def test_the_single_event_in_every_detail() -> None:
    _, _, events = read(SINGLE)
    (event,) = self_describing(events)
    assert (event.processor, event.process_id, event.thread_id) == (1, 111592, 52284)
    assert event.descriptor == (3, 0, 11, 5, 0, 0, 0)
    assert len(event.record) == 162
    assert event.activity_id is None
    assert event.extended_item(12) == b"\x0b\x00MySource\x00"
    metadata = b"\x17\x00\x00TestEvent\x00a\x00\x98\x02b\x00\x01c\x00\x01"
    assert len(metadata) == 23
    assert event.metadata == event.extended_item(11) == metadata
    assert event.fields == {"a": {"b": "Hello", "c": "World!"}}


def test_the_classic_records_that_the_relogger_merged_in() -> None:
    _, _, events = read(SINGLE)
    classic = Counter(
        (str(event.provider_id), event.descriptor.opcode) for event in events if event.kind == "classic"
    )
    config, machine = "9b79ee91-b5fd-41c0-a243-4248e266e9d0", "ed54dff8-c409-4cf6-bf83-05e1e61a09c4"
    assert classic == {
        (config, 0x20): 1, (config, 0x21): 1, (config, 0x22): 2, (config, 0x23): 10, (config, 0x25): 1,
        (machine, 0x21): 1, (machine, 0x23): 1, (machine, 0x25): 1,
    }  # fmt: skip
    latest = max(events, key=lambda event: event.timestamp_raw)
    assert utc(latest.timestamp_filetime) == "2022-04-20T21:27:18.6377035"
    assert latest.kind in ("system", "classic")
    assert latest.buffer < self_describing(events)[0].buffer


def test_the_planets_in_every_detail() -> None:
    header, _, events = read(PRIMITIVE)
    described = self_describing(events)
    assert len(described) == len(PLANETS)
    for event, planet in zip(described, PLANETS, strict=True):
        relative, name, flag, letter, i16, i32, u16, u32, i64, u64, guid, filetime, moment = planet
        assert (event.processor, event.process_id, event.thread_id) == (2, 33984, 21768)
        assert event.descriptor == (0, 0, 11, 5, 0, 0, 0)
        assert relative_ms(event, header) == pytest.approx(relative, abs=0.00051)
        described_fields = [(v.name, int(v.field.in_type), int(v.field.out_type)) for v in event.values]
        assert described_fields == PLANET_TYPES
        values = [value.value for value in event.values]
        # The provider declares int64_type as unsigned.
        assert values[:9] == [name, flag, letter, i16, i32, u16, u32, i64 + 2**64, u64]
        assert str(values[9]) == guid
        assert isinstance(values[10], FileTime)
        assert values[10] == filetime
        system_time: Any = values[11]
        assert moment == (
            f"{system_time.year:04}-{system_time.month:02}-{system_time.day:02}T{system_time.hour:02}:"
            f"{system_time.minute:02}:{system_time.second:02}.{system_time.millisecond:03}"
        )
        # An absolute check of the clock: the provider took the time 0.1 to 1.2 ms before the event.
        assert 1_000 <= event.timestamp_filetime - filetime <= 12_000


def test_the_windows_update_events() -> None:
    _, _, events = read(UPDATE)
    described = self_describing(events)
    assert all([(v.name, int(v.field.in_type)) for v in event.values] == [("Info", 1)] for event in described)
    first, second, last = described[0], described[1], described[-1]
    assert (first.name, first.descriptor.level, first.descriptor.keyword) == ("Agent", 4, 1)
    assert (first.process_id, first.thread_id) == (11168, 10232)
    expected = "Reschedule the tasks in callback work item if they are waiting to execute."
    assert first.fields == {"Info": expected}
    assert (second.name, second.descriptor.level) == ("Agent", 3)
    assert second.fields == {"Info": "Unhandled work item type: callback work item."}
    assert (last.name, last.descriptor.keyword) == ("Shared", 0x800)
    assert last.fields == {"Info": "* END * Service exit Exit code = 0x240001"}


def test_the_waasmedic_events() -> None:
    _, _, events = read(MEDIC)
    described = self_describing(events)
    assert all([(v.name, int(v.field.in_type)) for v in event.values] == [("m", 1)] for event in described)
    assert all(event.descriptor.keyword == 0 for event in described)
    first, last = described[0], described[-1]
    assert (first.name, first.process_id, first.thread_id) == ("Info", 29468, 24484)
    assert first.fields == {"m": "** Service starting **"}
    assert (last.name, last.thread_id) == ("Info", 14648)
    assert last.fields == {"m": "** Service stopping **"}
    (warning,) = [event for event in described if event.name == "Warning"]
    assert (warning.thread_id, utc(warning.timestamp_filetime)) == (25964, "2025-10-05T11:30:20.9576969")
    assert warning.fields == {"m": "Unexpectedly called while already impersonating the caller."}
    by_hook = {event.hook_id: event for event in events if event.kind == "perfinfo"}
    assert by_hook[0x0042].payload == b"22621.1.amd64fre.ni_release.220506-1250\0"
    module = by_hook[0x0040]
    assert module.name == "DbgIdRSDS"
    assert UUID(bytes_le=module.payload[:16]) == UUID("30869371-f7d6-ab23-8610-af80c72ae579")
    assert module.payload[16:] == b"\x01\0\0\0WaaSMedicSvcImpl.pdb\0"


# --- the large file ---------------------------------------------------------------------------


class Summary:
    """What one iteration of the large file shows; the events themselves are not kept."""

    def __init__(self, name: str) -> None:
        self.kinds: Counter[str] = Counter()
        self.providers: Counter[str] = Counter()
        self.classic: Counter[str] = Counter()
        self.hooks: Counter[str] = Counter()
        self.items: Counter[str] = Counter()
        self.levels: Counter[str] = Counter()
        self.ids: Counter[str] = Counter()
        self.buffers: Counter[int] = Counter()
        self.event_times: list[tuple[int, int]] = []
        self.keys: list[tuple[int, int, int]] = []
        self.times_by_processor: dict[int, list[int]] = {}
        self.problems = 0
        with open_etl(corpus(name)) as trace:
            self.header = trace.header
            for event in trace:
                self.add(event)
            self.damage = trace.damage
            self.buffers_read = trace.buffers_read
            self.compressed = trace.compressed_buffers_read
            self.decompressed_bytes = trace.decompressed_bytes
            self.size_bytes = trace.size_bytes
            self.buffer_headers = list(trace.buffers())

    def add(self, event: Event) -> None:
        self.kinds[event.record_kind] += 1
        self.buffers[event.buffer] += 1
        self.keys.append((event.timestamp_raw, event.buffer, event.offset))
        self.times_by_processor.setdefault(event.processor, []).append(event.timestamp_raw)
        self.problems += len(event.problems)
        descriptor = event.descriptor
        if event.kind == "event":
            self.providers[str(event.provider_id)] += 1
            self.levels[str(descriptor.level)] += 1
            self.ids[f"{event.provider_id}/{descriptor.id}/v{descriptor.version}"] += 1
            self.items.update(str(item_type) for item_type, _ in event.extended)
            self.event_times.append((event.timestamp_raw, event.timestamp_filetime))
        elif event.kind == "classic":
            self.classic[f"{event.provider_id}/opcode {descriptor.opcode}"] += 1
        elif event.hook_id is not None:
            self.hooks[f"{event.hook_id:#06x}"] += 1


@pytest.fixture(scope="module")
def net() -> Summary:
    return Summary(NET)


@pytest.fixture(scope="module")
def truth() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(corpus("ground-truth.json").read_text(encoding="utf-8"))[NET]
    return found


def ground_utc(filetime: int) -> str:
    """The way the ground truth writes a time: microseconds, then the last digit in parentheses."""
    text = utc(filetime)
    return f"{text[:-1]}({text[-1]})"


def test_the_large_files_header_is_as_published(net: Summary, truth: dict[str, Any]) -> None:
    header = net.header
    assert net.size_bytes == truth["file_size"]
    assert header.buffer_size_bytes == truth["logfile_buffer_size"]
    assert net.buffer_headers[0].size_bytes == truth["first_buffer_size"]
    assert header.buffers_written == truth["buffers_written_field"]
    assert list(header.os_version) == truth["os_version"]
    assert list(header.layout_version) == truth["layout_version"]
    assert header.build == truth["provider_version"]
    assert header.processors == truth["processors"]
    assert header.pointer_size == truth["pointer_size"]
    assert header.log_file_mode == LogFileMode(int(truth["log_file_mode"], 16))
    assert header.max_file_size == truth["max_file_size"]
    assert (header.events_lost, header.buffers_lost) == (truth["events_lost"], truth["buffers_lost"])
    assert (header.cpu_mhz, header.perf_freq_hz) == (truth["cpu_mhz"], truth["perf_freq"])
    assert header.clock_type == truth["clock_type"]
    assert header.time_zone_bias_minutes == truth["tz_bias"]
    assert (header.session_name, header.log_file_name) == (truth["session"], truth["log_file"])
    assert header.first_timestamp_raw == truth["header_record_timestamp"]
    assert header.start_time_filetime == truth["start_time_filetime"]
    assert header.end_time_filetime == truth["end_time_filetime"]
    assert header.boot_time_filetime == truth["boot_time_filetime"]
    assert ground_utc(header.start_time_filetime) == truth["start_time_utc"]
    assert ground_utc(header.end_time_filetime) == truth["end_time_utc"]


def test_the_large_files_records_are_as_published(net: Summary, truth: dict[str, Any]) -> None:
    assert not net.damage
    assert net.damage.counts == {}
    assert net.problems == 0
    assert net.buffers_read == len(net.buffer_headers) == truth["buffers"]
    assert net.compressed == truth["compressed_buffers"]
    assert net.decompressed_bytes == truth["decompressed_bytes"]
    assert sum(net.kinds.values()) == truth["records_total"]
    assert net.kinds == truth["records_by_kind"]
    assert net.providers == truth["event_header_by_provider"]
    assert net.classic == truth["classic_by_guid_opcode"]
    assert net.hooks == truth["system_and_perfinfo_by_hook"]
    assert net.items == truth["ext_items_by_type"]
    assert net.levels == truth["event_header_levels"]
    top = truth["event_id_version_top"]
    assert {key: net.ids[key] for key in top} == top
    first_buffers = truth["records_per_buffer"][:-1]
    assert [net.buffers[index] for index in range(len(first_buffers))] == first_buffers


def test_the_large_files_times_are_as_published(net: Summary, truth: dict[str, Any]) -> None:
    first, least, most = net.event_times[0], min(net.event_times), max(net.event_times)
    assert (first[0], ground_utc(first[1])) == (
        truth["first_event_header_in_file_raw"],
        truth["first_event_header_in_file_utc"],
    )
    assert (least[0], ground_utc(least[1])) == (truth["min_event_header_raw"], truth["min_event_header_utc"])
    assert (most[0], ground_utc(most[1])) == (truth["max_event_header_raw"], truth["max_event_header_utc"])
    latest = max(net.keys)[0]
    assert (latest, ground_utc(net.header.clock.filetime(latest))) == (
        truth["max_any_record_raw"],
        truth["max_any_record_utc"],
    )


def test_the_large_file_in_time_order_is_the_sorted_events(net: Summary) -> None:
    with open_etl(corpus(NET)) as trace:
        found = [(event.timestamp_raw, event.buffer, event.offset) for event in trace.in_time_order()]
        assert not trace.damage
    assert found == sorted(net.keys)


# --- listings by another reader ---------------------------------------------------------------

_LINE = re.compile(r"EVENT ([\d,.]+): (\S+) .*?ProceNum=(\d+);")


def listed(name: str) -> list[tuple[float, str, int, str]]:
    """(ms after the start, "provider/event", processor, line) of each EVENT line."""
    lines = corpus(name).read_text(encoding="utf-8-sig").splitlines()
    found = []
    for line in lines:
        if line.startswith("EVENT "):
            match = _LINE.match(line)
            assert match is not None, line
            found.append((float(match[1].replace(",", "")), match[2], int(match[3]), line))
    return found


@pytest.mark.parametrize(
    ("listing", "count"), [("net.4.5.2.x86.baseline.txt", 503), ("primitive-types.baseline.txt", 6)]
)
def test_every_listed_time_and_processor_is_in_the_file(listing: str, count: int, net: Summary) -> None:
    lines = listed(listing)
    assert len(lines) == count
    summary = net if listing.startswith("net.") else Summary(PRIMITIVE)
    header = summary.header
    times = {processor: sorted(raws) for processor, raws in summary.times_by_processor.items()}
    for ms, _, processor, line in lines:
        # Listed to three digits: half of the last one, in ticks, and one for the rounding of a half.
        slack = header.perf_freq_hz // 2_000_000 + 1
        wanted = header.first_timestamp_raw + round(ms * header.perf_freq_hz / 1000)
        at = bisect_left(times[processor], wanted - slack)
        assert at < len(times[processor]), line
        assert times[processor][at] <= wanted + slack, line


def test_the_listed_planets_have_the_listed_values() -> None:
    header, _, events = read(PRIMITIVE)
    described = self_describing(events)
    lines = [entry for entry in listed("primitive-types.baseline.txt") if "solar_system" in entry[1]]
    assert len(lines) == len(described)
    for (ms, name, processor, line), event in zip(lines, described, strict=True):
        assert relative_ms(event, header) == pytest.approx(ms, abs=0.00051)
        assert name == f"{event.provider_name}/{event.name}"
        assert processor == event.processor
        assert f"PID={event.process_id}; TID={event.thread_id};" in line
        assert f"DataLen={len(event.payload)};" in line
        fields = dict(event.fields)
        wanted = dict(
            part.split("=", 1) for part in line.split("; ") if "=" in part and " " not in part.split("=")[0]
        )
        for key in (
            "string_type",
            "boolean_type",
            "int16_type",
            "int32_type",
            "uint16_type",
            "uint32_type",
            "uint64_type",
        ):
            assert str(fields[key]) == wanted[key]
        assert str(ord(str(fields["char_type"]))) == wanted["char_type"]
        assert str(int(str(fields["int64_type"])) - 2**64) == wanted["int64_type"]
        assert str(fields["guid_type"]).startswith(wanted["guid_type"].rstrip("."))
