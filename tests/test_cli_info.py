"""``otel-etw info``: recorder, contents, losses and damage of trace files, for people and for programs."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl_files import (
    T0,
    buffer,
    classic_record,
    event_record,
    message_record,
    perfinfo_record,
    system_record,
    trace_file,
    tracelogging_record,
)
from otel_etw.errors import DecodeError
from otel_etw.etl.reader import open_etl
from otel_etw.layouts.otlp_metrics import decode_points
from otel_etw.layouts.otlp_metrics.counting import count_points
from otel_etw.outputs import trace_info
from otel_etw.outputs.trace_info import Inventory, TraceInfo
from otel_etw.sessions.embedded import EtlSession
from shared_files import corpus, vectors
from shown_traces import (
    EVIL,
    checkout,
    invoke,
    write_events,
    write_logs,
    write_metrics,
    write_spans,
    write_trace,
)


def document(path: Path) -> dict[str, Any]:
    result = invoke("info", path, "--json")
    assert result.exit_code == 0, result.output
    parsed: dict[str, Any] = json.loads(result.stdout)
    return parsed


def counts(info: dict[str, Any]) -> dict[tuple[str | None, str, int], int]:
    return {
        (provider["provider"], event["event"], event["level"]): event["count"]
        for provider in info["providers"]
        for event in provider["events"]
    }


def test_the_facts_of_a_windows_file() -> None:
    """Those of the format description, section 8, for WindowsUpdate."""
    info = document(corpus("WindowsUpdate.20251008.140245.443.8.etl"))
    assert info["recorder"]["os_version"] == "10.0"
    assert info["recorder"]["build"] == 22631
    assert info["recorder"]["session_name"] == "WindowsUpdate_trace_log"
    assert info["recorder"]["log_file_mode"] == "0x11002009"
    assert info["recorder"]["log_file_mode_names"] == [
        "sequential", "new file", "use kbytes for size", "use paged memory", "no per processor buffering",
    ]  # fmt: skip
    assert info["clock"] == {
        "type": "performance counter (QPC)",
        "ticks_per_second": 10_000_000,
        "cpu_mhz": 4491,
        "first_timestamp_raw": 5813516523785,
    }
    assert info["start_time"] == "2025-10-08T21:02:45.447991900Z"
    assert info["end_time"] == "2025-10-08T21:13:28.991226900Z"
    assert info["first_event_time"] == "2025-10-08T21:03:26.940371600Z"
    assert info["last_event_time"] == "2025-10-08T21:13:28.993635000Z"
    assert (info["buffers"]["count"], info["buffers"]["compressed"], info["buffers"]["size_bytes"]) == (
        7,
        0,
        4096,
    )
    assert (info["events_lost"], info["buffers_lost"]) == (41, 0)
    assert info["records"] == 82
    assert info["record_kinds"] == {"event_header64": 80, "system64": 2}
    assert info["levels"] == {"3": 3, "4": 77}
    found = counts(info)
    assert sum(n for (_, event, _), n in found.items() if event == "Agent") == 27
    assert found["WUTraceLogging", "ComApi", 4] == 22
    assert (info["damage"], info["unfinished"]) == ({"counts": {}, "entries": []}, None)


def test_a_large_compressed_file_agrees_with_its_ground_truth() -> None:
    """Kinds, levels and providers of the 168,298 records of the largest corpus file."""
    truth = json.loads(corpus("ground-truth.json").read_text("utf-8"))["net.4.5.2.x86.etl"]
    info = document(corpus("net.4.5.2.x86.etl"))
    assert info["records"] == truth["records_total"]
    assert info["record_kinds"] == truth["records_by_kind"]
    assert info["levels"] == truth["event_header_levels"]
    assert info["buffers"]["compressed"] == truth["compressed_buffers"]
    assert info["buffers"]["decompressed_bytes"] == truth["decompressed_bytes"]
    by_id = {provider["provider_id"]: provider["count"] for provider in info["providers"]}
    for identity, count in truth["event_header_by_provider"].items():
        assert by_id[identity] == count


def test_people_see_the_same(tmp_path: Path) -> None:
    """One line per fact, most frequent first."""
    path = write_trace(tmp_path / "x.etl")
    result = invoke("info", path)
    assert result.exit_code == 0
    text = result.stdout
    lines = [line.strip() for line in text.splitlines()]
    assert lines[0] == str(path)
    assert "lost        nothing" in lines
    assert "damage      none" in lines
    assert "records     14: event_header64 13, system64 1" in lines
    assert "levels      always 1, CRIT 1, ERROR 1, WARN 2, INFO 6, VERB 2" in lines
    assert any(line.startswith("6  Test_Shop  a621502c-95a2-5076-de10-e62e7fa20dfb") for line in lines)
    assert "4    INFO   otlp_metrics" in lines
    assert "1    WARN   Working" in lines


def test_long_lists_are_cut_with_a_count(tmp_path: Path) -> None:
    """``--all`` has them in full; JSON always."""
    path = tmp_path / "x.etl"
    records = [tracelogging_record(T0, f"name{number}") for number in range(20)]
    path.write_bytes(trace_file(buffer(records)))
    assert "and 8 more event names (--all lists them)" in invoke("info", path).stdout
    everything = invoke("info", path, "--all").stdout
    assert "more" not in everything
    assert everything.count("    INFO   name") == 20
    assert len(counts(document(path))) == 21


def test_damage_has_its_places(tmp_path: Path) -> None:
    """Kind, offset in the file, buffer and reason."""
    path = tmp_path / "x.etl"
    bad = b"\x10\0\x13\xc0".ljust(0x50, b"\0")
    path.write_bytes(trace_file(buffer([event_record(T0), bad]), end_filetime=0))
    info = document(path)
    (entry,) = info["damage"]["entries"]
    assert (entry["kind"], entry["buffer"], entry["offset"]) == ("record", 1, 4096 + 72 + 80)
    assert "expected a size of" in entry["why"]
    assert info["damage"]["counts"] == {"record": 1}
    assert info["end_time"] is None
    text = invoke("info", path).stdout
    assert f"{4096 + 72 + 80:#010x}  buffer 1, record: " in text
    assert "unfinished  the header has no end time" in text
    assert "not closed yet" in text


def test_events_without_names_go_by_number(tmp_path: Path) -> None:
    """Id and version of manifest events, opcode of classic ones."""
    path = tmp_path / "x.etl"
    path.write_bytes(
        trace_file(buffer([event_record(T0, event_id=144, version=1), classic_record(T0, opcode=99)]))
    )
    assert {event for _, event, _ in counts(document(path))} == {"Header", "event 144 v1", "opcode 99"}


def test_text_of_the_file_is_escaped(tmp_path: Path) -> None:
    """Session, file, provider and event names are somebody else's text."""
    path = tmp_path / "x.etl"
    record = tracelogging_record(T0, EVIL, provider_name=EVIL)
    path.write_bytes(trace_file(buffer([record]), session=EVIL, log_file=EVIL))
    for options in ([], ["--json"]):
        text = invoke("info", path, *options).stdout
        assert "fake row" in text
        assert all(line.isprintable() for line in text.splitlines())
    assert document(path)["recorder"]["session_name"] == EVIL


def test_several_files_follow_one_another(tmp_path: Path) -> None:
    """An empty line between them; in JSON one line each."""
    paths = [tmp_path / "a.etl", tmp_path / "b.etl"]
    for path in paths:
        path.write_bytes(trace_file(buffer([event_record(T0)])))
    text = invoke("info", *paths).stdout
    assert f"\n\n{paths[1]}\n" in text
    lines = invoke("info", *paths, "--json").stdout.splitlines()
    assert [json.loads(line)["file"] for line in lines] == [str(path) for path in paths]


def test_counting_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names beyond the limit are counted together, so that no file can fill memory."""
    monkeypatch.setattr(trace_info, "MAX_DIFFERENT", 5)
    path = tmp_path / "x.etl"
    path.write_bytes(trace_file(buffer([tracelogging_record(T0, f"name{n}") for n in range(20)])))
    inventory = Inventory()
    with open_etl(path) as trace:
        for event in trace:
            inventory.add(event)
    assert len(inventory.events) == 6
    assert inventory.events[None] == 16
    assert inventory.records == 21
    assert document(path)["not_listed"] == 16


def plainly_counted(path: Path) -> Inventory:
    """The same counts from one event at a time."""
    inventory = Inventory()
    with open_etl(path) as trace:
        trace.gather_manifests()
        for event in trace:
            inventory.add(event)
    return inventory


def assert_counts_agree(path: Path) -> None:
    with open_etl(path) as trace:
        info = TraceInfo(trace)
        info.read()
    with open_etl(path) as trace:
        assert list(trace)
        assert info.damage.counts == trace.damage.counts
        assert (info.buffers, info.compressed_buffers) == (trace.buffers_read, trace.compressed_buffers_read)
        assert info.decompressed_bytes == trace.decompressed_bytes
    ours, plain = vars(info.inventory), vars(plainly_counted(path))
    for name in plain:
        if not name.startswith("_"):
            assert ours[name] == plain[name], name
    assert list(info.inventory.events) == list(plainly_counted(path).events)


@pytest.mark.parametrize(
    "name",
    [
        "SelfDescribingSingleEvent.etl",
        "WindowsUpdate.20251008.140245.443.8.etl",
        "primitive-types.etl",
        "waasmedic.20251005_113019_195.etl",
    ],
)
def test_counting_alike_records_together_counts_what_each_of_them_says(name: str) -> None:
    """In whole columns as one by one."""
    assert_counts_agree(corpus(name))


def test_counts_of_own_and_of_odd_files_agree(tmp_path: Path) -> None:
    """All signals; every record kind, damage, events with the same metadata that are not the same."""
    with EtlSession(tmp_path / "own.etl", buffer_size=65536) as session:
        write_logs(session)
        write_metrics(session)
        write_events(session)
        write_spans(session, checkout())
        write_logs(session)
    assert_counts_agree(tmp_path / "own.etl")
    records = [
        event_record(T0, event_id=144, version=1),
        event_record(T0 + 1, event_id=144, version=1, level=2),
        event_record(T0 + 2, event_id=100, version=1, data=b"\x93\xa1a\xc0\xc0"),
        tracelogging_record(T0 + 3, "a"),
        tracelogging_record(T0 + 4, "a", payload=b"\1"),
        tracelogging_record(T0 + 5, "a", level=1),
        tracelogging_record(T0 + 6, "a", provider_name="Other"),
        tracelogging_record(T0 + 7, "a", items=[(1, bytes(16))]),
        tracelogging_record(T0 + 8, "Log", [("__csver__", 4)], b"\0\4"),
        system_record(T0 + 9, 0x0301),
        perfinfo_record(T0 + 10, 0x0F2E),
        classic_record(T0 + 11, 99),
        message_record(7, b"x"),
        event_record(T0 + 12, header_type=0x0D),
    ]
    odd = tmp_path / "odd.etl"
    odd.write_bytes(
        trace_file(buffer(records, 8192), buffer([*records[:3], b"\x10\0\x13\xc0".ljust(80, b"\0")]))
    )
    assert_counts_agree(odd)


def test_the_rows_of_the_tables_are_counted(tmp_path: Path) -> None:
    """Data points, not requests; a record of any kind is an event."""
    path = write_trace(tmp_path / "x.etl")
    assert document(path)["tables"] == {"logs": 6, "spans": 0, "metric_points": 4, "events": 14}
    assert "tables      logs 6, spans 0, metric_points 4, events 14" in invoke("info", path).stdout


@given(st.binary(max_size=60))
def test_counting_points_of_any_bytes_gives_a_number_or_our_error(data: bytes) -> None:
    """Whatever lengths and field numbers they pretend to have."""
    with suppress(DecodeError):
        assert count_points(data) >= 0


def test_points_are_counted_as_they_are_decoded() -> None:
    """All point kinds, and several points in one request."""
    requests = [
        bytes.fromhex(event["payload"])
        for case in vectors("metrics")["cases"]
        for event in case["expected"].get("events", [case["expected"]])
        if "payload" in event
    ]
    assert len(requests) > 3
    for request in [*requests, b"".join(requests)]:
        assert count_points(request) == len(decode_points(request)) > 0
