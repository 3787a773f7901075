"""Events of EventSource providers in trace files: named and decoded by the manifests among them."""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import Any

import pytest

from etl_files import T0, buffer, event_record, trace_file, tracelogging_record
from manifest_events import PROVIDER, PROVIDER_NAME, manifest_records, utf16
from otel_etw.etl.event import Event
from otel_etw.etl.reader import open_etl
from otel_etw.outputs.jsonl import item_document
from otel_etw.outputs.rows import row_of
from otel_etw.outputs.trace_info import event_label
from otel_etw.tables.items import Item, items_of, log_of_event
from shared_files import corpus

EVENT = event_record(T0 + 5, utf16("one") + b"\7\0\0\0", provider=PROVIDER, event_id=1, version=2, opcode=1)
UNKNOWN = event_record(T0 + 6, b"raw", provider=PROVIDER, event_id=50)
FOREIGN = event_record(T0 + 7, b"raw", event_id=1, version=2)


def write(path: Path, *buffers: list[bytes], compressed: bool = False) -> Path:
    made = [buffer(records, 16384, sequence=n, compressed=compressed) for n, records in enumerate(buffers, 1)]
    path.write_bytes(trace_file(*made, size=16384, **({"mode": 0x04000001} if compressed else {})))
    return path


def text_of(event: Event) -> str:
    (item,) = items_of(event)
    row = row_of(item)
    return f"{row.source}: {''.join(text for text, _ in row.text).strip()}"


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("newer", [False, True])
def test_events_are_named_by_the_manifest(tmp_path: Path, compressed: bool, newer: bool) -> None:
    """In time order also those before it; what the manifest does not know has its provider's name."""
    late = list(manifest_records(T0 + 100, newer=newer))
    path = write(tmp_path / "a.etl", [EVENT, UNKNOWN, FOREIGN], late, compressed=compressed)
    with open_etl(path) as trace:
        event, unknown, foreign, *manifest = [e for e in trace.in_time_order() if e.kind == "event"]
    assert (event.provider_name, event.name) == (PROVIDER_NAME, "Work/Start")
    assert event.fields == {"Name": "one", "Count": 7}
    assert (event.is_described, event.trailing, event.problems) == (True, b"", ())
    assert (unknown.provider_name, unknown.name, unknown.fields) == (PROVIDER_NAME, None, {})
    assert (unknown.is_described, unknown.payload) == (False, b"raw")
    assert (foreign.provider_name, foreign.name, foreign.template) == (None, None, None)
    assert {each.name for each in manifest} == {"ManifestData"}
    assert "Work/Start" in repr(event)


def test_file_order_knows_what_has_come(tmp_path: Path) -> None:
    """Manifests of the buffer and of those before it; asked to, the whole file's."""
    path = write(tmp_path / "a.etl", [EVENT], [*manifest_records(), EVENT])
    with open_etl(path) as trace:
        names = [event.name for event in trace if event.descriptor.id == 1]
    assert names == [None, "Work/Start"]
    with open_etl(path) as trace:
        trace.gather_manifests()
        assert [event.name for event in trace if event.descriptor.id == 1] == ["Work/Start"] * 2


def test_an_event_asked_before_its_manifest_came(tmp_path: Path) -> None:
    """Has its fields as soon as they are known."""
    path = write(tmp_path / "a.etl", [EVENT], list(manifest_records()))
    with open_etl(path) as trace:
        event = next(event for event in trace if event.kind == "event")
        assert event.fields == {}
        trace.gather_manifests()
        assert event.fields == {"Name": "one", "Count": 7}


def test_damage_shows(tmp_path: Path) -> None:
    """A payload that is too short: what could be read, the rest, and why."""
    cut = event_record(T0 + 5, utf16("one") + b"\7\0", provider=PROVIDER, event_id=1, version=2)
    with open_etl(write(tmp_path / "a.etl", [*manifest_records(), cut])) as trace:
        event = [event for event in trace if event.kind == "event"][-1]
    assert event.fields == {"Name": "one"}
    assert event.trailing == b"\7\0"
    (problem,) = event.problems
    assert "'Count'" in problem
    assert "2 are left" in problem


def test_how_they_are_shown(tmp_path: Path) -> None:
    """In rows, in JSON, and in counts."""
    with open_etl(write(tmp_path / "a.etl", [*manifest_records(), EVENT, UNKNOWN])) as trace:
        manifest, *_, event, unknown = [event for event in trace if event.kind == "event"]
    assert text_of(event) == f"{PROVIDER_NAME}: Work/Start  Name=one  Count=7"
    assert text_of(unknown) == f"{PROVIDER_NAME}: event 50  3 bytes 0x726177"
    assert text_of(manifest).startswith(f"{PROVIDER_NAME}: ManifestData  Format=1")
    document = item_document(Item(event))
    assert document["fields"] == {"Name": "one", "Count": 7}
    assert (document["etw"]["event"], document["etw"]["provider"]) == ("Work/Start", PROVIDER_NAME)
    assert "payload" not in document
    assert "trailing" not in document
    assert (event_label(event), event_label(unknown)) == ("Work/Start", "event 50 v0")
    assert log_of_event(event).attributes["Count"] == 7


def test_self_describing_events_are_not_touched(tmp_path: Path) -> None:
    """A provider may do both; such an event is what it says of itself, also with the number of another."""
    with open_etl(write(tmp_path / "a.etl", [*manifest_records(), tracelogging_record(T0)])) as trace:
        event = [event for event in trace if event.kind == "event"][-1]
    assert (event.template, event.name, event.provider_name) == (None, "Made", "MadeProvider")
    assert event.fields == {"n": 42}


# ------------------------------------------------ a real trace

MAPS: dict[str, Any] = {"Verbose": 5, "Informational": 4, "True": True, "False": False}
PROVIDERS = {
    "PerfView",
    "System.Threading.Tasks.TplEventSource",
    "System.Diagnostics.Eventing.FrameworkEventSource",
}


def _baseline() -> list[tuple[float, str, dict[str, str]]]:
    """Time, provider/event and fields of the listed events of these providers, as PerfView shows them."""
    listed = []
    for line in corpus("net.4.5.2.x86.baseline.txt").read_text(encoding="utf-8-sig").splitlines():
        match = re.match(r"EVENT ([\d,.]+): (\S+) PID=.*?DataLen=\d+; (.*)", line)
        if match and match[2].partition("/")[0] in PROVIDERS:
            pairs = (pair.partition("=") for pair in match[3].split("; ") if "=" in pair)
            fields = {name.strip(): value for name, _, value in pairs}
            listed.append((float(match[1].replace(",", "")), match[2], fields))
    return listed


def test_a_real_trace_as_perfview_lists_it() -> None:
    """All listed events of the three providers with manifests: same names, same fields, same values."""
    with open_etl(corpus("net.4.5.2.x86.etl")) as trace:
        events = [event for event in trace.in_time_order() if event.provider_name in PROVIDERS]
        start_ns = trace.header.start_time_unix_nano
    assert not any(event.problems for event in events)
    assert all(event.is_described for event in events)
    by_name: dict[str, list[Event]] = {}
    for event in events:
        by_name.setdefault(f"{event.provider_name}/{event.name}", []).append(event)
    listed = _baseline()
    assert len(listed) > 40
    for at_ms, name, fields in listed:
        close = [e for e in by_name[name] if abs((e.timestamp_ns - start_ns) / 1e6 - at_ms) < 0.002]
        assert any(_is_as_listed(event.fields, fields) for event in close), (at_ms, name, fields, close)


def _is_as_listed(found: dict[str, object], listed: dict[str, str]) -> bool:
    names = set(listed) - {"PayloadLength"}  # of manifests: the listing's own
    return names == set(found) and all(_same(found[name], listed[name]) for name in names)


def _same(value: object, shown: str) -> bool:
    if shown.endswith("...") or "|" in shown:  # cut, or names of bits
        return isinstance(value, int) or str(value).startswith(shown[:-3])
    if shown in MAPS:
        return value == MAPS[shown]
    if isinstance(value, int):
        return value == int(shown.replace(",", ""), 16 if shown.startswith("0x") else 10)
    return str(value).strip() == shown.strip()


def test_a_real_trace_by_counts() -> None:
    """All 121 records of the three providers, by name, as PerfView counts them."""
    with open_etl(corpus("net.4.5.2.x86.etl")) as trace:
        names = [f"{e.provider_name}/{e.name}" for e in trace.in_time_order() if e.provider_name in PROVIDERS]
    text = corpus("net.4.5.2.x86.baseline.txt").read_text(encoding="utf-8-sig")
    counts = dict(re.findall(r"^COUNT (\S+):(\d+)\s*$", text, re.MULTILINE))
    wanted = {name: int(count) for name, count in counts.items() if name.partition("/")[0] in PROVIDERS}
    assert len(wanted) > 15
    assert {name: names.count(name) for name in set(names)} == wanted
    assert len(names) == 108 + 8 + 7


def test_packing_of_the_file_made_here() -> None:
    """What these tests rely on: the count of the second field is the little-endian 7."""
    assert EVENT.endswith(struct.pack("<i", 7))
