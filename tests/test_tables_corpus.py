"""Every published fact about the real trace files, which Windows recorded, through the tables of ``load``.

The facts of the four small files are those of the format description (section 8), kept as data in
``test_etl_corpus``; those of the large file come from ``ground-truth.json`` and PerfView's listings.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from collections import Counter
from datetime import datetime, timedelta, timezone
from functools import cache
from typing import Any

import pyarrow as pa
import pytest

from otel_etw.loading import Loaded, load
from otel_etw.tables.schema import JSON_TYPE, SCHEMAS, TABLES
from shared_files import corpus
from test_etl_corpus import (
    BUFFER_FACTS,
    EVENT_FACTS,
    HEADER_FACTS,
    MEDIC,
    NET,
    PLANETS,
    PRIMITIVE,
    SINGLE,
    SMALL,
    UPDATE,
    listed,
)

GROUPS = {
    0x00: "68fdd900-4a3e-11d1-84f4-0000f80464e3",
    0x01: "3d6fa8d4-fe05-11d0-9dda-00c04fd7ba7c",
    0x02: "3d6fa8d3-fe05-11d0-9dda-00c04fd7ba7c",
    0x03: "3d6fa8d0-fe05-11d0-9dda-00c04fd7ba7c",
    0x04: "90cbdc39-4a3e-11d1-84f4-0000f80464e3",
    0x05: "3d6fa8d1-fe05-11d0-9dda-00c04fd7ba7c",
    0x06: "9a280ac0-c8e0-11d1-84e2-00c04fb998a2",
    0x08: "bf3a50c5-a9c9-4988-a005-2df0b7c80f80",
    0x0B: "01853a65-418f-4f36-aefc-dc0f1d2fd235",
    0x0F: "ce1dbfb4-137e-4da6-87b0-3f59aa102cbc",
    0x14: "2cb15d1d-5fc1-11d2-abe1-00a0c911f518",
    0x18: "def2fe46-7bd6-4b80-bd94-f57fe20d0ce3",
}
"""Group of a kernel record's hook -> GUID that stands for it, as the description (section 6) has them."""

Rows = list[dict[str, Any]]

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_UNIX_EPOCH_FILETIME = 116_444_736_000_000_000


def utc(unix_nano: int) -> str:
    """ISO with the seven digits that a FILETIME has; nothing finer may be there."""
    assert unix_nano % 100 == 0
    moment = _EPOCH + timedelta(seconds=unix_nano // 10**9)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{unix_nano // 100 % 10**7:07}"


def ground_utc(unix_nano: int) -> str:
    """The way the ground truth writes a time: microseconds, then the last digit in parentheses."""
    text = utc(unix_nano)
    return f"{text[:-1]}({text[-1]})"


def rows_of(table: pa.Table) -> Rows:
    """The rows, times as Unix nanoseconds, JSON as what it says."""
    columns: dict[str, list[Any]] = {}
    for field, column in zip(table.schema, table.columns, strict=True):
        if pa.types.is_timestamp(field.type):
            columns[field.name] = column.cast(pa.int64()).to_pylist()
        elif field.type == JSON_TYPE:
            texts = column.cast(pa.string()).to_pylist()
            columns[field.name] = [text if text is None else json.loads(text) for text in texts]
        else:
            columns[field.name] = column.to_pylist()
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


@cache
def loaded(name: str) -> Loaded:
    return load(corpus(name))


@cache
def event_rows(name: str) -> Rows:
    """All rows of ``events``; nothing in these files is damaged, and nothing is OpenTelemetry's."""
    found = loaded(name)
    rows = rows_of(found.events)
    assert not found.report
    assert [table.num_rows for table in (found.logs, found.spans, found.metric_points)] == [0, 0, 0]
    assert {row["signal"] for row in rows} == {"events"}
    assert {row["file"] for row in rows} == {str(corpus(name))}
    return rows


def described(rows: Rows) -> Rows:
    """Those of ``EVENT_HEADER`` records, in the order of the file."""
    found = [row for row in rows if row["kind"].startswith("event_header")]
    return sorted(found, key=lambda row: (row["buffer"], row["offset"]))


# --- the four small files ---------------------------------------------------------------------


@pytest.mark.parametrize("name", SMALL)
def test_counts_and_places(name: str) -> None:
    rows = event_rows(name)
    facts = EVENT_FACTS[name]
    assert Counter(row["kind"] for row in rows) == facts["kinds"]
    hooked = [row for row in rows if row["kind"] in ("system64", "perfinfo64")]
    hooks = {hook: (GROUPS[hook >> 8], hook & 0xFF) for hook in facts["hooks"]}
    expected = Counter({hooks[hook]: count for hook, count in facts["hooks"].items()})
    assert Counter((row["provider_id"], row["opcode"]) for row in hooked) == expected
    records = Counter(row["buffer"] for row in rows)
    assert [records[index] for index in range(len(records))] == BUFFER_FACTS[name]["records"]
    for index, filled in enumerate(BUFFER_FACTS[name]["filled_bytes"]):
        offsets = sorted(row["offset"] for row in rows if row["buffer"] == index)
        assert offsets[0] == 72
        assert offsets[-1] < filled


@pytest.mark.parametrize("name", SMALL)
def test_described_events(name: str) -> None:
    rows = described(event_rows(name))
    facts = EVENT_FACTS[name]
    assert {(row["provider_id"], row["provider"]) for row in rows} == {facts["provider"]}
    assert Counter(row["level"] for row in rows) == facts["levels"]
    assert Counter(row["event_name"] for row in rows) == facts["names"]
    assert {row["channel"] for row in rows} == {11}
    assert {row["payload"] for row in rows} == {row["problems"] for row in rows} == {None}
    assert utc(rows[0]["time"]) == facts["first"]
    assert utc(rows[-1]["time"]) == facts["last"]


@pytest.mark.parametrize("name", SMALL)
def test_rows_are_in_time_order_and_losses_are_told(name: str) -> None:
    rows = event_rows(name)
    keys = [(row["time"], row["buffer"], row["offset"]) for row in rows]
    assert keys == sorted(keys)
    (file,) = loaded(name).report.files
    assert (file.path, file.buffers_lost) == (str(corpus(name)), 0)
    assert file.events_lost == HEADER_FACTS[name]["events_lost"]
    assert loaded(name).report.events_lost == file.events_lost
    lines = loaded(name).report.lines()
    assert len(lines) == (1 if file.events_lost else 0)
    assert all(f"{file.events_lost} events" in line for line in lines)


def test_the_single_event_in_every_detail() -> None:
    rows = event_rows(SINGLE)
    (event,) = described(rows)
    facts = {
        "processor": 1, "process_id": 111592, "thread_id": 52284, "id": 3, "version": 0, "channel": 11,
        "level": 5, "opcode": 0, "task": 0, "keyword": 0, "activity_id": None, "related_activity_id": None,
        "fields": {"a": {"b": "Hello", "c": "World!"}}, "payload": None, "stack": None,
    }  # fmt: skip
    assert {fact: event[fact] for fact in facts} == facts
    classic = Counter((row["provider_id"], row["opcode"]) for row in rows if row["kind"] == "full_header64")
    config, machine = "9b79ee91-b5fd-41c0-a243-4248e266e9d0", "ed54dff8-c409-4cf6-bf83-05e1e61a09c4"
    assert classic == {
        (config, 0x20): 1, (config, 0x21): 1, (config, 0x22): 2, (config, 0x23): 10, (config, 0x25): 1,
        (machine, 0x21): 1, (machine, 0x23): 1, (machine, 0x25): 1,
    }  # fmt: skip
    latest = rows[-1]
    assert utc(latest["time"]) == "2022-04-20T21:27:18.6377035"
    assert latest["buffer"] < event["buffer"]


def test_the_planets_in_every_detail() -> None:
    rows = described(event_rows(PRIMITIVE))
    start = min(row["time"] for row in event_rows(PRIMITIVE))
    assert len(rows) == len(PLANETS)
    for row, planet in zip(rows, PLANETS, strict=True):
        relative, name, flag, letter, i16, i32, u16, u32, i64, u64, guid, filetime, moment = planet
        assert (row["processor"], row["process_id"], row["thread_id"]) == (2, 33984, 21768)
        assert (row["time"] - start) / 1e6 == pytest.approx(relative, abs=0.00051)
        fields = row["fields"]
        # The provider declares int64_type as unsigned.
        assert list(fields.values())[:9] == [name, flag, letter, i16, i32, u16, u32, i64 + 2**64, u64]
        assert list(fields)[9:] == ["guid_type", "file_time_type", "system_time_type"]
        assert fields["guid_type"] == guid
        ticks = utc((filetime - _UNIX_EPOCH_FILETIME) * 100)
        assert fields["file_time_type"].rstrip("Z0").startswith(ticks.rstrip("0"))
        assert fields["system_time_type"].startswith(moment)


def test_the_windows_update_events() -> None:
    rows = described(event_rows(UPDATE))
    assert all(list(row["fields"]) == ["Info"] for row in rows)
    first, second, last = rows[0], rows[1], rows[-1]
    assert (first["event_name"], first["level"], first["keyword"]) == ("Agent", 4, 1)
    assert (first["process_id"], first["thread_id"]) == (11168, 10232)
    assert first["fields"]["Info"] == (
        "Reschedule the tasks in callback work item if they are waiting to execute."
    )
    assert (second["event_name"], second["level"]) == ("Agent", 3)
    assert second["fields"]["Info"] == "Unhandled work item type: callback work item."
    assert (last["event_name"], last["keyword"]) == ("Shared", 0x800)
    assert last["fields"]["Info"] == "* END * Service exit Exit code = 0x240001"


def test_the_waasmedic_events() -> None:
    rows = described(event_rows(MEDIC))
    assert all(list(row["fields"]) == ["m"] and row["keyword"] == 0 for row in rows)
    first, last = rows[0], rows[-1]
    assert (first["event_name"], first["process_id"], first["thread_id"]) == ("Info", 29468, 24484)
    assert first["fields"]["m"] == "** Service starting **"
    assert (last["event_name"], last["thread_id"]) == ("Info", 14648)
    assert last["fields"]["m"] == "** Service stopping **"
    (warning,) = [row for row in rows if row["event_name"] == "Warning"]
    assert (warning["thread_id"], utc(warning["time"])) == (25964, "2025-10-05T11:30:20.9576969")
    assert warning["fields"]["m"] == "Unexpectedly called while already impersonating the caller."
    payloads = {row["opcode"]: row["payload"] for row in event_rows(MEDIC) if row["kind"] == "perfinfo64"}
    assert payloads[0x42] == b"22621.1.amd64fre.ni_release.220506-1250\0"
    assert payloads[0x40].endswith(b"\x01\0\0\0WaaSMedicSvcImpl.pdb\0")


# --- the large file ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def truth() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(corpus("ground-truth.json").read_text(encoding="utf-8"))[NET]
    return found


@pytest.fixture(scope="module")
def net() -> Rows:
    return event_rows(NET)


def test_the_large_files_records_are_as_published(net: Rows, truth: dict[str, Any]) -> None:
    assert len(net) == truth["records_total"]
    assert Counter(row["kind"] for row in net) == truth["records_by_kind"]
    events = [row for row in net if row["kind"].startswith("event_header")]
    assert Counter(row["provider_id"] for row in events) == truth["event_header_by_provider"]
    assert Counter(str(row["level"]) for row in events) == truth["event_header_levels"]
    ids = Counter(f"{row['provider_id']}/{row['id']}/v{row['version']}" for row in events)
    top = truth["event_id_version_top"]
    assert {key: ids[key] for key in top} == top
    classic = [row for row in net if row["kind"].startswith("full_header")]
    by_opcode = Counter(f"{row['provider_id']}/opcode {row['opcode']}" for row in classic)
    assert by_opcode == truth["classic_by_guid_opcode"]
    hooked = [row for row in net if row["kind"].startswith(("system", "perfinfo"))]
    hooks = {hook: int(hook, 16) for hook in truth["system_and_perfinfo_by_hook"]}
    expected = {
        (GROUPS[number >> 8], number & 0xFF): truth["system_and_perfinfo_by_hook"][hook]
        for hook, number in hooks.items()
    }
    assert Counter((row["provider_id"], row["opcode"]) for row in hooked) == expected
    stacks = sum(row["stack"] is not None for row in events)
    related = sum(row["related_activity_id"] is not None for row in events)
    assert {"6": stacks, "1": related} == truth["ext_items_by_type"]
    records = Counter(row["buffer"] for row in net)
    first_buffers = truth["records_per_buffer"][:-1]
    assert [records[index] for index in range(len(first_buffers))] == first_buffers
    assert len(records) == truth["buffers"]


def test_the_large_files_times_are_as_published(net: Rows, truth: dict[str, Any]) -> None:
    events = [row for row in net if row["kind"].startswith("event_header")]
    assert ground_utc(described(net)[0]["time"]) == truth["first_event_header_in_file_utc"]
    assert ground_utc(events[0]["time"]) == truth["min_event_header_utc"]
    assert ground_utc(events[-1]["time"]) == truth["max_event_header_utc"]
    assert ground_utc(net[0]["time"]) == truth["start_time_utc"]
    assert ground_utc(net[-1]["time"]) == truth["max_any_record_utc"]
    (file,) = loaded(NET).report.files
    assert (file.events_lost, file.buffers_lost) == (truth["events_lost"], truth["buffers_lost"])


def test_the_large_file_is_in_time_order(net: Rows) -> None:
    keys = [(row["time"], row["buffer"], row["offset"]) for row in net]
    assert keys == sorted(keys)


def test_a_selection_leaves_the_rows_it_names(net: Rows) -> None:
    """By provider, level and time at once, against the same question asked of all rows."""
    provider = "e13c0d23-ccbc-4e12-931b-d9cc2eee27e4"
    since, until = net[0]["time"] + 2 * 10**9, net[0]["time"] + 11 * 10**9
    found = load(corpus(NET), providers=[provider.upper()], level=4, since=since, until=until).events
    wanted = [
        (row["time"], row["buffer"], row["offset"])
        for row in net
        if row["provider_id"] == provider and row["level"] <= 4 and since <= row["time"] < until
    ]
    assert len(wanted) > 100
    assert [(row["time"], row["buffer"], row["offset"]) for row in rows_of(found)] == wanted


@pytest.mark.parametrize("name", [NET, *SMALL])
def test_batches_are_the_tables(name: str) -> None:
    """``.batches()`` has the rows of the tables, and the schema that is documented."""
    for table in TABLES:
        whole = loaded(name).table(table)
        assert whole.schema.equals(SCHEMAS[table])
        assert sum(batch.num_rows for batch in loaded(name).batches(table)) == whole.num_rows


# --- listings by another reader ---------------------------------------------------------------

_IDS = re.compile(r" PID=(-?\d+); TID=(-?\d+); .*?DataLen=(\d+);(.*)")
_SLACK_NS = 600
"""Listed to three digits of a millisecond: half of the last one, and a tick for the rounding of a half."""


@pytest.mark.parametrize(
    ("name", "listing", "count"),
    [(NET, "net.4.5.2.x86.baseline.txt", 503), (PRIMITIVE, "primitive-types.baseline.txt", 6)],
)
def test_every_listed_event_is_there(name: str, listing: str, count: int) -> None:
    """Time, processor, length of the data; process and thread where both take them from the record itself.

    Of kernel events PerfView shows the process and thread that their payload is about, or -1.
    """
    rows = event_rows(name)
    start = rows[0]["time"]
    by_processor: dict[int, Rows] = {}
    for row in rows:
        by_processor.setdefault(row["processor"], []).append(row)
    times = {processor: [row["time"] for row in found] for processor, found in by_processor.items()}
    lines = listed(listing)
    assert len(lines) == count
    for ms, _, processor, line in lines:
        match = _IDS.search(line)
        assert match is not None
        process_id, thread_id, length = (int(number) for number in match.groups()[:3])
        kernel = re.search(r": (Windows Kernel|MSNT_SystemTrace|KernelTraceControl)/", line)
        wanted = start + round(ms * 1e6)
        first = bisect_left(times[processor], wanted - _SLACK_NS)
        last = bisect_left(times[processor], wanted + _SLACK_NS)
        assert any(
            (kernel or (row["process_id"], row["thread_id"]) == (process_id, thread_id))
            and (row["fields"] is not None or len(row["payload"] or b"") == length)
            for row in by_processor[processor][first:last]
        ), line


def test_listed_events_that_a_manifest_in_the_file_describes(net: Rows) -> None:
    """Provider, name and every value of the events of .NET's own sources, as PerfView lists them."""
    sources = ("System.", "PerfView/")
    found = 0
    rows = [row for row in net if row["kind"].startswith("event_header")]
    times = [row["time"] for row in rows]
    for ms, _, _, line in listed("net.4.5.2.x86.baseline.txt"):
        name = line.split(": ", 1)[1].split(" PID=")[0]
        if not name.startswith(sources) or name.endswith("/ManifestData"):
            continue
        wanted = net[0]["time"] + round(ms * 1e6)
        near = rows[bisect_left(times, wanted - _SLACK_NS) : bisect_left(times, wanted + _SLACK_NS)]
        (row,) = [row for row in near if f"{row['provider']}/{row['event_name']}" == name]
        match = _IDS.search(line)
        assert match is not None
        fields = row["fields"] or {}
        for part in match[4].split("; "):
            key, equals, text = part.strip().partition("=")
            if equals and key in fields:
                assert _is_listed_as(fields[key], text), (line, key, fields[key])
                found += 1
    assert found > 60


def _is_listed_as(value: object, text: str) -> bool:
    """PerfView cuts long text, groups digits, and names what is an enumeration to it."""
    if isinstance(value, bool):
        return text == str(value)
    if isinstance(value, int):
        number = text.replace(",", "").rstrip(";")
        if number.lower().startswith("0x"):
            return int(number, 16) == value
        return not number.lstrip("-").isdigit() or int(number) == value
    shown = str(value)
    return shown.startswith(text[:-3]) if text.endswith("...") else shown.split() == text.rstrip(";").split()
