"""``otel-etw view``: every option has its effect, and both formats say the same."""

from __future__ import annotations

import gzip
import json
import os
import random
import re
import time
import unicodedata
import zipfile
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgpack
import pytest

from etl_files import (
    START_FILETIME,
    T0,
    buffer,
    classic_record,
    event_record,
    message_record,
    perfinfo_record,
    system_record,
    trace_file,
    tracelogging_record,
    traits_blob,
)
from otel_etw.cli.ordering import by_own_time
from otel_etw.cli.reading import Traces
from otel_etw.cli.selection import Selection
from otel_etw.cli.showing import ShowOptions, selected_entries
from otel_etw.errors import OtelEtwError
from otel_etw.etl.reader import open_etl
from otel_etw.etl.source import Source
from otel_etw.layouts.common_schema import encode_log
from otel_etw.layouts.common_schema.record import LogFields
from otel_etw.outputs.jsonl import item_line
from otel_etw.outputs.span_traces import Entry
from otel_etw.tables.arguments import parse_level, parse_time
from otel_etw.tables.items import Item, items_of
from otel_etw.tracelogging.provider_id import provider_id
from otel_etw.tracelogging.types import LEVEL_NUMBERS
from otel_etw.tracelogging.values import UNIX_EPOCH_FILETIME
from shared_files import corpus
from shown_traces import EVENT_PROVIDER, EVIL, LOG_PROVIDER, LOG_TIME, invoke, rows, run_command, write_trace


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_trace(tmp_path_factory.mktemp("view") / "shown.etl")


def documents(*arguments: object) -> list[dict[str, Any]]:
    result = invoke("view", *arguments, "--format", "jsonl")
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def bodies(*arguments: object) -> list[str]:
    """What was shown, in short: bodies of log records, names of events and metrics."""
    return [
        str(document.get("body") or document.get("metric_name") or document["etw"]["event"])
        for document in documents(*arguments)
    ]


ALL_BODIES = [
    "cache warmed", "order placed", "stock is low", EVIL, "{'free': 0, 'reason': 'disk'}", "done",
    "shop.orders", "shop.duration", "shop.orders", "shop.duration", "Started", "Working", "Stopped",
]  # fmt: skip


def test_everything_is_shown_in_time_order(trace: Path) -> None:
    """Log records and events are rows, metrics a summary below."""
    result = invoke("view", trace)
    assert result.exit_code == 0
    assert result.stderr == ""
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["TIME", "(UTC)", "LEVEL", "SOURCE", "TRACE", "TEXT"]
    assert lines[1] == "2026-03-11 12:34:56.789  DEBUG   shop        4bf92f35  cache warmed  entries=12"
    assert lines[2].endswith('order.placed order placed  order.id=7  note="two words"')
    assert 'Started  number=0  text="some text"  inner={"flag":true}' in result.stdout
    assert "Metrics  2 metrics, 2 series, 4 data points" in lines
    assert "        2    9   4.5    3     4   5.6  5.96    6  2 ██ 8" in [line.rstrip() for line in lines]
    assert bodies(trace) == ALL_BODIES


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        (["--signal", "logs"], ALL_BODIES[:6]),
        (["--signal", "metrics"], ALL_BODIES[6:10]),
        (["--signal", "events"], ALL_BODIES[10:]),
        (["--signal", "events", "--signal", "metrics"], ALL_BODIES[6:]),
        (["--provider", LOG_PROVIDER], ALL_BODIES[:6]),
        (["--provider", LOG_PROVIDER.lower()], ALL_BODIES[:6]),
        (["--provider", "Test_*"], ALL_BODIES[:6] + ALL_BODIES[10:]),
        (["--provider", str(provider_id(EVENT_PROVIDER))], ALL_BODIES[10:]),
        (["--provider", "{EDC24920-E004-40F6-A8E1-0E6E48F39D84}"], ALL_BODIES[6:10]),
        (["--provider", EVENT_PROVIDER, "--provider", LOG_PROVIDER], ALL_BODIES[:6] + ALL_BODIES[10:]),
        (["--event", "Work*"], ["Working"]),
        (["--event", "?ork*", "--event", "stopped"], ["Working", "Stopped"]),
        (["--event", "order.placed"], ["order placed"]),
        (["--event", "Log"], ALL_BODIES[:6]),
        (["--level", "error"], [*ALL_BODIES[3:5], "Stopped"]),
        (["--level", "3"], [*ALL_BODIES[2:5], "Working", "Stopped"]),
        (["--level", "info"], [*ALL_BODIES[1:10], "Working", "Stopped"]),
        (["--until", "2026-03-11T12:34:58.789"], ALL_BODIES[:2]),
        (["--since", "2026-03-11T12:35:00.789Z", "--until", "2026-03-12"], ALL_BODIES[4:6]),
        (["--since", "2026-03-11T13:35:01.789+01:00", "--signal", "logs"], ["done"]),
        (["--since", "1h"], ALL_BODIES[6:]),
        (["--until", "1h"], ALL_BODIES[:6]),
        (["--grep", "stock|wor.ing"], ["stock is low"]),
        (["--grep", "(?i)wor.ing"], ["Working"]),
        (["--grep", "note=.two words"], ["order placed"]),
        (["--grep", "exception.stacktrace"], [ALL_BODIES[4]]),
        (["--grep", "payment=card"], ["shop.orders", "shop.orders"]),
        (["--grep", "3577b34da6a3ce929d0e"], ALL_BODIES[:6]),
        (["--limit", "2"], ALL_BODIES[:2]),
        (["--tail", "2"], ALL_BODIES[-2:]),
        (["--tail", "100"], ALL_BODIES),
        (["--level", "error", "--grep", "flag", "--limit", "5"], ["Stopped"]),
    ],
)
def test_selecting_options_select(trace: Path, options: list[str], wanted: list[str]) -> None:
    """Several values of an option widen the selection, several options narrow it."""
    assert bodies(trace, *options) == wanted


def test_rows_are_counted_as_they_are_shown(trace: Path) -> None:
    """In the table metric points are no rows, unless they are asked for; a summary cut short says so."""
    assert len(rows(trace, "--signal", "metrics", "--points")) == 4
    shown = rows(trace, "--points", "--tail", "4")
    assert [line.split()[4] for line in shown] == ["shop.duration", "Started", "Working", "Stopped"]
    result = invoke("view", trace, "--tail", "1")
    assert result.stdout.splitlines()[1].split()[4] == "Stopped"
    assert "Metrics  2 metrics, 2 series, 4 data points" in result.stdout
    cut = invoke("view", trace, "--limit", "7")
    assert "metrics only up to where --limit stopped reading" in cut.stdout
    assert "Metrics" not in invoke("view", trace, "--limit", "6").stdout
    for option in ("--limit", "--tail"):
        assert rows(trace, "--points", option, 10**30) == rows(trace, "--points")


def test_points_show_what_they_say(trace: Path) -> None:
    """Value or count, sum, minimum and maximum, with unit, kind and attributes."""
    shown = [line.split("  ", 1)[1].strip() for line in rows(trace, "--points", "--signal", "metrics")]
    assert shown[0] == "METRIC  shop    shop.orders 1 {order}  delta sum  payment=card"
    assert shown[1] == "METRIC  shop    shop.duration count 1 sum 3 min 3 max 3 ms  delta histogram"


def test_wide_rows_have_everything(trace: Path) -> None:
    """Full trace and span ids, times to 100 ns, provider, process and thread."""
    (row,) = rows(trace, "--wide", "--limit", "1")
    assert row.startswith("2026-03-11 12:34:56.7890000  DEBUG")
    assert "4bf92f3577b34da6a3ce929d0e0e4736/00f067aa0ba902b7" in row
    assert f"provider={LOG_PROVIDER} pid={os.getpid()} tid=" in row
    assert row.endswith("keyword=0x1")


def test_the_local_zone_is_for_showing_and_for_reading(trace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``--local`` moves both what is shown and what a time without a zone means."""
    if not hasattr(time, "tzset"):
        pytest.skip("this system does not let a process choose its zone")
    monkeypatch.setenv("TZ", "XXX-05:30")
    time.tzset()
    try:
        assert rows(trace, "--limit", "1", "--local")[0].startswith("2026-03-11 18:04:56.789")
        assert rows(trace, "--limit", "1", "--utc")[0].startswith("2026-03-11 12:34:56.789")
        assert bodies(trace, "--local", "--until", "2026-03-11 18:04:58") == ALL_BODIES[:2]
    finally:
        monkeypatch.undo()
        time.tzset()


def test_jsonl_and_table_have_the_same_content(trace: Path) -> None:
    """Item by item: time, level, source, and all values."""
    shown = [line for line in rows(trace, "--points", "--wide") if line[:1].isdigit()]
    items = documents(trace)
    assert len(shown) == len(items)
    for line, item in zip(shown, items, strict=True):
        assert item["time"][:23].replace("T", " ") == line[:23]
        assert f"pid={item['etw']['process_id']}" in line
        assert item.get("service_name", item["etw"]["provider"]) == line[37:].split()[0]
        for key, value in {**item.get("attributes", {}), **item.get("fields", {})}.items():
            if isinstance(value, int) and key.isprintable():
                assert f"{key}={json.dumps(value)}" in line
    log = items[0]
    assert log["signal"] == "logs"
    assert log["time_unix_nano"] == LOG_TIME
    assert log["attributes"] == {"entries": 12}
    assert log["severity_number"] == 5
    assert (log["trace_id"], log["span_id"]) == ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7")
    assert log["etw"]["provider"] == LOG_PROVIDER
    histogram = items[7]
    assert histogram["bucket_counts"] == [0, 0, 1, 0, 0]
    assert histogram["explicit_bounds"] == [1, 2, 4, 8]
    assert histogram["resource"] == {"service.name": "shop"}
    assert items[10]["fields"] == {"number": 0, "text": "some text", "inner": {"flag": True}}


def test_nothing_of_a_trace_reaches_the_output_as_a_control(trace: Path) -> None:
    """Neither escapes, nor line breaks that look like rows, nor reversed text, in any format."""
    for options in ([], ["--wide", "--points"], ["--format", "jsonl"], ["--all-records"]):
        text = invoke("view", trace, *options).stdout
        assert all(line.isprintable() for line in text.splitlines()), options
        assert not any(line.startswith("INFO fake row") for line in text.splitlines())
        assert "fake row" in text
    assert documents(trace)[3]["body"] == EVIL


def test_text_of_several_lines_stands_below_its_row(trace: Path) -> None:
    """Indented and marked, so that it cannot be taken for a row."""
    lines = [line.rstrip() for line in rows(trace, "--signal", "logs")]
    at = next(number for number, line in enumerate(lines) if "FATAL" in line)
    below = [line.strip() for line in lines[at + 1 : at + 4]]
    assert below == ["│ exception.stacktrace:", "│ one", "│   two"]


def test_files_are_merged_by_time(tmp_path: Path) -> None:
    """Across files, whatever their order on the command line; ``--file-order`` keeps that order."""
    for name, raws in (("a", (10, 40)), ("b", (20, 30))):
        records = [tracelogging_record(T0 + raw, f"{name}{raw}") for raw in raws]
        (tmp_path / f"{name}.etl").write_bytes(trace_file(buffer(records)))
    files = [tmp_path / "b.etl", tmp_path / "a.etl"]
    by_time = documents(*files)
    assert [item["etw"]["event"] for item in by_time] == ["a10", "b20", "b30", "a40"]
    assert by_time[0]["file"] == str(files[1])
    assert bodies(*files, "--file-order") == ["b20", "b30", "a10", "a40"]


def log_record(reached_etw_ns: int, made_ns: int, body: str) -> bytes:
    """A log record that was made ``made_ns`` after ``LOG_TIME`` and reached ETW at another time."""
    event = encode_log(LogFields(LOG_TIME + made_ns, 9, body=body))
    raw = T0 + (LOG_TIME + reached_etw_ns) // 100 + UNIX_EPOCH_FILETIME - START_FILETIME
    items = [(12, traits_blob("P")), (11, event.metadata)]
    return event_record(raw, event.payload, channel=11, items=items)


def test_records_of_batches_are_sorted_by_their_own_time(tmp_path: Path) -> None:
    """Two processes hand over seconds of records at a time, in turns; rows come by the times they show."""
    second = 10**9
    for name, handed_over in (("a", 5 * second), ("b", 7 * second)):
        records = [log_record(handed_over + n, n * second + (name == "b"), f"{name}{n}") for n in range(5)]
        (tmp_path / f"{name}.etl").write_bytes(trace_file(buffer(records)))
    files = [tmp_path / "a.etl", tmp_path / "b.etl"]
    assert bodies(*files) == [f"{name}{n}" for n in range(5) for name in "ab"]
    assert bodies(*files, "--limit", 3) == ["a0", "b0", "a1"]
    assert bodies(*files, "--tail", 2) == ["a4", "b4"]
    assert bodies(*files, "--file-order")[:5] == [f"a{n}" for n in range(5)]


def test_what_is_held_back_for_its_order_is_bounded(tmp_path: Path) -> None:
    """By time and by memory: no item is lost, and few wait at a time."""
    path = tmp_path / "x.etl"
    records = [log_record(n, 10**15 - n, f"{n:04}" + "x" * 2000) for n in range(600)]
    path.write_bytes(trace_file(*(buffer(records[n : n + 20], 65536) for n in range(0, 600, 20))))
    with Traces([str(path)]) as traces:
        taken = 0

        def events() -> Iterator[Entry]:
            nonlocal taken
            for item in selected_entries(traces, Selection(), ShowOptions(file_order=True)):
                taken += 1
                yield item

        items = by_own_time(events())
        next(items)
        assert taken * 2000 < 1_000_000
        assert len(list(items)) == len(records) - 1


def test_file_order_is_the_order_of_buffers(tmp_path: Path) -> None:
    """Buffers of several processors are merged, unless they are wanted as stored."""
    path = tmp_path / "x.etl"
    late = buffer([tracelogging_record(T0 + 50, "late")])
    early = buffer([tracelogging_record(T0 + 5, "early")], sequence=2)
    path.write_bytes(trace_file(late, early))
    assert bodies(path) == ["early", "late"]
    assert bodies(path, "--file-order") == ["late", "early"]


def test_events_without_description_show_their_numbers_and_bytes(tmp_path: Path) -> None:
    """Manifest events: id, task, opcode, the first bytes; all bytes in JSON."""
    path = tmp_path / "x.etl"
    record = event_record(T0, bytes(range(20)), event_id=144, version=1, opcode=7, task=3)
    path.write_bytes(trace_file(buffer([record])))
    (row,) = rows(path)
    assert row.endswith("event 144  opcode=7  task=3  20 bytes 0x000102030405060708090a0b0c0d0e0f...")
    (item,) = documents(path)
    assert item["payload"] == {"$bytes": b64encode(bytes(range(20))).decode()}
    assert (item["etw"]["id"], item["etw"]["version"]) == (144, 1)


def test_kernel_records_are_shown_on_request(tmp_path: Path) -> None:
    """They are counted otherwise; the recorder's own records are in every file and not worth a word."""
    path = tmp_path / "x.etl"
    path.write_bytes(trace_file(buffer([system_record(T0, 0x0301), tracelogging_record(T0, "mine")])))
    result = invoke("view", path)
    assert "mine" in result.stdout
    assert "Process" not in result.stdout
    assert result.stderr.startswith("otel-etw: 1 record of the kernel")
    shown = rows(path, "--all-records")
    assert [line.split()[3] for line in shown] == ["EventTrace", "Process", "MadeProvider"]


def test_what_is_missing_is_said_in_one_line(tmp_path: Path) -> None:
    """Damage, lost events, an unfinished file and payloads that do not decode, per file on stderr."""
    path = tmp_path / "x.etl"
    short = tracelogging_record(T0, payload=b"\1\2")
    bad = b"\x10\0\x13\xc0".ljust(0x50, b"\0")
    path.write_bytes(trace_file(buffer([short, bad]), end_filetime=0, events_lost=41))
    result = invoke("view", path)
    assert result.exit_code == 0
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"otel-etw: {path}: unfinished: ")
    assert "the recorder lost 41 events, 0 buffers" in line
    assert "damage: 1 record, 1 event (first at 0x10d0)" in line
    (row,) = rows(path)
    assert "expected" in row  # the reason is in the row


def test_undecodable_metrics_are_shown_as_events(tmp_path: Path) -> None:
    """With the reason, not silently."""
    path = tmp_path / "x.etl"
    metrics = provider_id("unused").__class__("edc24920-e004-40f6-a8e1-0e6e48f39d84")
    broken = event_record(T0, b"\xff" * 8, event_id=81, provider=metrics)
    empty = event_record(T0 + 1, b"", event_id=81, provider=metrics)
    path.write_bytes(trace_file(buffer([broken, empty])))
    items = documents(path)
    assert [item["signal"] for item in items] == ["events", "events"]
    assert all(item["problems"] for item in items)


def test_nothing_to_show_is_said(trace: Path) -> None:
    """An empty output has a reason."""
    result = invoke("view", trace, "--event", "nothing")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "otel-etw: nothing to show: no event fits\n"


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--level", "loud"], "expected critical, error, warning, info, verbose"),
        (["--level", "0"], "expected critical"),
        (["--since", "yesterday"], "expected a time such as"),
        (["--until", "2026-02-30"], "is no time"),
        (["--grep", "("], "is no regular expression"),
        (["--limit", "0"], "0 is not in the range"),
        (["--limit", "1", "--tail", "1"], "--limit and --tail exclude each other"),
        (["--signal", "smoke"], "'smoke' is not one of"),
        (["--format", "xml"], "'xml' is not one of"),
    ],
)
def test_wrong_options_are_wrong_usage(trace: Path, options: list[str], complaint: str) -> None:
    """Exit code 2 and what was expected."""
    result = invoke("view", trace, *options)
    assert result.exit_code == 2
    assert complaint in re.sub(r"\s+", " ", result.stderr)


def test_real_files_read_as_windows_wrote_them() -> None:
    """The first rows of the corpus' files, one with a struct, one with message strings."""
    (row,) = rows(corpus("SelfDescribingSingleEvent.etl"))
    assert row == '2022-04-20 21:27:16.590  VERB    MySource  TestEvent  a={"b":"Hello","c":"World!"}'
    updates = rows(corpus("WindowsUpdate.20251008.140245.443.8.etl"))
    assert len(updates) == 80
    assert updates[1] == (
        "2025-10-08 21:03:26.940  WARN    WUTraceLogging  Agent  "
        "Unhandled work item type: callback work item."
    )
    first = documents(corpus("primitive-types.etl"))[0]
    assert first["fields"]["string_type"] == "Mercury"
    assert first["fields"]["guid_type"] == "0ad614c4-0ef4-4225-8013-f44f37cb0397"
    assert first["fields"]["system_time_type"] == "2021-09-09T14:59:35.799"


def test_a_large_real_file_is_shown_in_order() -> None:
    """All 40,498 events of providers, by time."""
    items = documents(corpus("net.4.5.2.x86.etl"))
    times = [item["time_unix_nano"] for item in items]
    assert len(items) == 39425 + 1073
    assert times == sorted(times)


@pytest.mark.parametrize("seed", range(12))
def test_damaged_files_are_shown_or_refused(trace: Path, tmp_path: Path, seed: int) -> None:
    """Whatever bytes are wrong: rows or our error, in every format, and never a control character."""
    chance = random.Random(seed)
    data = bytearray(trace.read_bytes())
    used = len(data.rstrip(b"\xff"))
    for _ in range(chance.choice((1, 5, 50))):
        data[chance.randrange(used)] = chance.choice((0, 0xFF, chance.randrange(256)))
    path = tmp_path / "damaged.etl"
    path.write_bytes(data)
    for arguments in (["view"], ["view", "--format", "jsonl"], ["view", "--points", "--wide"], ["info"]):
        result = invoke(*arguments, path)
        assert result.exit_code == 0 or isinstance(result.exception, OtelEtwError), seed
        assert not any(unicodedata.category(c) in ("Cc", "Cs") for c in result.stdout.replace("\n", "")), seed


NOW = 1_800_000_000 * 10**9


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-03-11T12:34:56.789Z", LOG_TIME),
        ("2026-03-11 12:34:56.789", LOG_TIME),
        ("2026-03-11t13:34:56,789000000+0100", LOG_TIME),
        ("2026-03-11T04:34:56.789-08:00", LOG_TIME),
        ("2026-03-11T12:34", LOG_TIME - 56_789_000_000),
        ("2026-03-11", (LOG_TIME - 789_000_000) // 10**9 * 10**9 - (12 * 3600 + 34 * 60 + 56) * 10**9),
        ("1970-01-01T00:00:00.000000001Z", 1),
        ("1969-12-31T23:59:59.999999999Z", -1),
        ("90s", NOW - 90 * 10**9),
        ("10m", NOW - 600 * 10**9),
        ("1.5h ago", NOW - 5400 * 10**9),
        ("2D", NOW - 172800 * 10**9),
        ("1w", NOW - 604800 * 10**9),
    ],
)
def test_times_as_typed(text: str, expected: int) -> None:
    """ISO 8601 with or without zone, to the nanosecond, or counted back from now."""
    assert parse_time(text, now_unix_nano=NOW) == expected


@pytest.mark.parametrize(
    "text",
    ["", "noon", "2026-13-01", "2026-01-01T25:00", "10", "10y", "2026-01-01Z0", "-1h", "9" * 400 + "d"],
)
def test_times_that_are_none(text: str) -> None:
    """The message says what would do."""
    with pytest.raises(ValueError, match=r"expected a time such as|is no time"):
        parse_time(text, now_unix_nano=NOW)


def test_levels_as_typed() -> None:
    """ETW's names, the usual short ones, and numbers."""
    assert {parse_level(name.upper()) for name in LEVEL_NUMBERS} == {1, 2, 3, 4, 5}
    assert parse_level("17") == 17
    for wrong in ("0", "256", "-1", "", "٣"):
        with pytest.raises(ValueError, match="expected critical"):
            parse_level(wrong)


SELECTIONS: list[dict[str, Any]] = [
    {},
    {"all_records": True},
    {"level": 3},
    {"all_records": True, "level": 2},
    {"providers": ("Made*",)},
    {"providers": ("12345678-9abc-def0-1122-334455667788", "Test_*")},
    {"signals": frozenset({"events"})},
    {"signals": frozenset({"metrics"})},
    {"signals": frozenset({"logs", "spans"}), "level": 4},
    {"since_unix_nano": LOG_TIME + 2 * 10**9},
    {"until_unix_nano": (START_FILETIME - UNIX_EPOCH_FILETIME) * 100 + 700, "all_records": True},
]


def items_by_rows(path: Path, selection: Selection) -> list[str]:
    """What is chosen as whole columns, and then one by one."""
    with Traces([str(path)]) as traces:
        entries = selected_entries(traces, selection, ShowOptions(format="jsonl", file_order=True))
        return [item_line(entry) for entry in entries if isinstance(entry, Item)]


def items_one_by_one(path: Path, selection: Selection) -> list[str]:
    with open_etl(path) as trace:
        events = [event for event in trace if selection.wants_event(event)]
        items = [item for event in events for item in items_of(event) if selection.wants_item(item)]
        return [item_line(item) for item in items]


@pytest.mark.parametrize("options", SELECTIONS)
def test_choosing_whole_columns_chooses_the_same_events(
    tmp_path: Path, trace: Path, options: dict[str, Any]
) -> None:
    """In the same order, with as many hidden ones, whatever kinds of records and damage there are."""
    records = [
        event_record(T0, event_id=144, version=1, level=2),
        event_record(T0 + 2, bytes(9), event_id=100, version=1),
        tracelogging_record(T0 + 3, "a", level=1),
        tracelogging_record(T0 + 4, "a", payload=b"\1"),
        tracelogging_record(T0 + 6, "a", provider_name="Other"),
        tracelogging_record(T0 + 7, "a", items=[(1, bytes(16))], provider_name="Test_It"),
        tracelogging_record(T0 + 8, "Log", [("__csver__", 4)], b"\0\4"),
        system_record(T0 + 9, 0x0301),
        perfinfo_record(T0 + 10, 0x0F2E),
        classic_record(T0 + 11, 99),
        message_record(7, b"x"),
        event_record(T0 + 12, header_type=0x0D),
    ]
    odd = tmp_path / "odd.etl"
    bad = b"\x10\0\x13\xc0".ljust(80, b"\0")
    odd.write_bytes(trace_file(buffer(records, 8192), buffer([*records[3:6], bad]), buffer(records[:2])))
    for path in (odd, trace):
        plain, columns = Selection(**options), Selection(**options)
        assert items_by_rows(path, columns) == items_one_by_one(path, plain)
        assert columns.hidden_records == plain.hidden_records


def test_the_first_row_of_a_large_file_needs_little_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few buffers, and in time order the starts of all others: a small part of 32 MiB."""
    path = tmp_path / "large.etl"
    with path.open("wb") as file:
        file.write(trace_file(size=65536))
        for number in range(512):
            records = [event_record(T0 + number * 20 + n, bytes(3000)) for n in range(20)]
            file.write(buffer(records, 65536, sequence=number + 1))
    read_bytes = 0
    read_into, read, read_many = Source.read_into, Source.read, Source.read_many

    def counted(given: Any) -> Any:
        nonlocal read_bytes
        if isinstance(given, int):
            read_bytes += given
        else:
            read_bytes += sum(map(len, given)) if isinstance(given, list) else len(given)
        return given

    monkeypatch.setattr(Source, "read", lambda *a: counted(read(*a)))
    monkeypatch.setattr(Source, "read_many", lambda *a: counted(read_many(*a)))
    monkeypatch.setattr(Source, "read_into", lambda *a: counted(read_into(*a)))
    assert len(rows(path, "--limit", 1)) == 1
    in_time_order, read_bytes = read_bytes, 0
    assert len(rows(path, "--limit", 1, "--file-order")) == 1
    assert 0 < read_bytes < 2**20
    assert read_bytes < in_time_order < 4 * 2**20


def test_traces_are_taken_wherever_they_are(tmp_path: Path, trace: Path) -> None:
    """In a directory, by a glob, compressed, in an archive, from standard input: always the same rows."""
    folder = tmp_path / "traces" / "older"
    folder.mkdir(parents=True)
    (folder / "a.etl.gz").write_bytes(gzip.compress(trace.read_bytes()))
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.write(trace, "inside/b.etl")
        archive.writestr("readme.txt", "no trace")
    wanted = rows(trace)
    for place in (tmp_path / "traces", tmp_path / "traces/**/*.gz", folder / "a.etl.gz"):
        assert rows(place) == wanted
        assert len(document_lines(place)) == 1
    for place in (tmp_path / "b.zip", f"{tmp_path / 'b.zip'}!inside/b.etl"):
        assert rows(place) == wanted
        assert document_lines(place)[0]["tables"]["logs"] == 6
    with trace.open("rb") as file:
        shown = run_command("view", "-", stdin=file)
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.splitlines()[1:] == wanted
    assert len(bodies(tmp_path)) == 2 * len(ALL_BODIES)


def document_lines(place: object) -> list[dict[str, Any]]:
    result = invoke("info", place, "--json")
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_damage_of_an_archive_is_said(tmp_path: Path, trace: Path) -> None:
    """What could be unpacked is shown; the place is that in the archive."""
    path = tmp_path / "cut.etl.gz"
    path.write_bytes(gzip.compress(trace.read_bytes())[:-20])
    result = invoke("view", path, "--strict")
    assert result.exit_code == 3
    assert "1 archive" in result.stderr
    assert "archive" in invoke("info", path).stdout


def test_what_other_producers_write_is_shown_as_what_it_is(tmp_path: Path) -> None:
    """A log record in MessagePack has a row like any other."""
    path = tmp_path / "x.etl"
    fields = {
        "env_name": "Log",
        "env_time": "2026-03-11T12:34:56Z",
        "body": "from afar",
        "severityNumber": 17,
    }
    payload = msgpack.packb(["Log", [[1_773_232_496, fields]], {"TimeFormat": "DateTime"}])
    path.write_bytes(trace_file(buffer([event_record(T0, payload, event_id=100, version=1)])))
    (item,) = documents(path)
    assert (item["signal"], item["body"], item["severity_number"]) == ("logs", "from afar", 17)
    (row,) = rows(path)
    assert "ERROR" in row
    assert "from afar" in row
