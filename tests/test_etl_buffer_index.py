"""Finding buffers quickly gives exactly what walking and reading them gives, for any file."""

from __future__ import annotations

import pickle
import random
import struct
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from etl_files import (
    PROVIDER,
    T0,
    buffer,
    classic_record,
    compact_record,
    event_record,
    header_buffer,
    message_record,
    metadata_blob,
    perfinfo_record,
    system_record,
    trace_file,
    tracelogging_record,
)
from otel_etw.errors import TraceFileError
from otel_etw.etl import buffer_index, damage, source
from otel_etw.etl.buffers import BufferWalk, read_records
from otel_etw.etl.damage import DamageKind, DamageReport
from otel_etw.etl.reader import Trace, open_etl
from otel_etw.etl.source import Source
from otel_etw.etl.walking import walk
from otel_etw.sessions.embedded import EtlSession
from otel_etw.tracelogging.types import EventDescriptor
from shared_files import corpus

SETTINGS = settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
CORPUS = [
    "SelfDescribingSingleEvent.etl",
    "WindowsUpdate.20251008.140245.443.8.etl",
    "net.4.5.2.x86.etl",
    "primitive-types.etl",
    "waasmedic.20251005_113019_195.etl",
]
COMPRESSED = 0x04000000


def ignore(kind: DamageKind, pos: int, why: str) -> None:
    pass


def check_index(trace: Trace) -> int:
    """The index of ``trace`` against a walk over its buffers, each read for its first record; how many."""
    report = trace.new_report()
    buffers = list(BufferWalk(trace.source, trace.header, trace.source.size(), report))
    index = trace.index()
    assert list(index) == buffers
    assert index.damage == report
    start = trace.header.first_timestamp_raw
    for position, found in enumerate(buffers):
        first = next(walk(read_records(trace.source, found, DamageReport()), start, ignore), None)
        if first is not None:
            assert index.first_raw[position] == first.raw, found
        elif not found.is_compressed and found.filled_bytes < 0x48 + 8:
            assert index.first_raw[position] == start
    parts = list(trace.index_parts(DamageReport()))
    assert [one for part in parts for one in part] == buffers
    return len(buffers)


def check(path: Path, content: bytes) -> int:
    path.write_bytes(content)
    with open_etl(path) as trace:
        return check_index(trace)


def check_reading(trace: Trace) -> None:
    """Buffers read side by side, one by one, and in any order are the same."""
    together, alone = DamageReport(), DamageReport()
    buffers = list(trace.index())
    found = [(one, bytes(data)) for one, data in trace.read_buffers(buffers, together)]
    assert found == [(one, bytes(trace.read_buffer(one, alone))) for one in buffers]
    assert together == alone
    mixed = list(buffers)
    random.Random(1).shuffle(mixed)
    again = {one: bytes(data) for one, data in trace.read_buffers(mixed, DamageReport())}
    assert again == dict(found)


def events(count: int, first: int = 0) -> list[bytes]:
    return [tracelogging_record(T0 + first + n, payload=struct.pack("<I", n)) for n in range(count)]


FIRST_RECORDS = {
    "event": event_record(T0 + 5),
    "event of a 32-bit process": event_record(T0 + 5, header_type=0x12),
    "system": system_record(T0 + 5, 0x0101, b"x"),
    "compact": compact_record(T0 + 5, 0x0101, b"x"),
    "compact, 32-bit": compact_record(T0 + 5, 0x0101, bits=32),
    "perfinfo": perfinfo_record(T0 + 5, 0x0F2E, b"xyz"),
    "classic": classic_record(T0 + 5, 1),
    "message with a time": message_record(1, b"abc", raw=T0 + 5, sequence=3, component=4),
    "message with everything": message_record(1, raw=T0 + 5, sequence=3, guid=PROVIDER, ids=(1, 2)),
    "message without a time": message_record(1, b"abc"),
    "message that lies about its parts": message_record(1, b"", flags=0x0B),
    "message of the other kind": message_record(1, raw=T0 + 5, marker=0xC0, header_type=0x0F),
    "blank": compact_record(T0 + 4, 0x0C00, bytes(40)),
    "unknown": struct.pack("<HBBI", 16, 0x60, 0xC0, 0) + bytes(8),
    "wnode": struct.pack("<I", 24) + bytes(20),
    "filler": b"\xff" * 8,
    "impossible size": event_record(T0 + 5)[:0x50].replace(b"\x50\x00\x13", b"\x10\x00\x13"),
    "longer than its buffer": b"\xff\x7f\x13\xc0" + bytes(76),
    "nothing": b"",
}


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("name", FIRST_RECORDS)
def test_the_time_of_any_first_record_is_that_of_the_walk(
    tmp_path: Path, name: str, compressed: bool
) -> None:
    first = FIRST_RECORDS[name]
    records = [first, event_record(T0 + 9), event_record(T0 + 10)] if first else []
    content = trace_file(
        buffer(events(3, 20)),
        buffer(records, compressed=compressed),
        buffer(events(3, 40)),
        mode=COMPRESSED if compressed else 1,
    )
    assert check(tmp_path / "first.etl", content) == 4


@pytest.mark.parametrize("name", CORPUS)
def test_the_index_of_real_files_is_that_of_the_walk(name: str) -> None:
    with open_etl(corpus(name)) as trace:
        assert check_index(trace) > 1
        check_reading(trace)


@pytest.mark.parametrize("size", [1024, 4096])
@pytest.mark.parametrize("at_once", [1, 3, 1024])
def test_files_of_any_number_of_buffers_are_indexed_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int, size: int
) -> None:
    monkeypatch.setattr(buffer_index, "_AT_ONCE", at_once)
    monkeypatch.setattr(buffer_index, "_FIRST_PART", min(2, at_once))
    for count in (0, 1, 2, 3, 7, 30):
        parts = [buffer(events(3, 5 * n), size, processor=n % 4, sequence=n + 1) for n in range(count)]
        for head_size in (size, 1024):
            content = header_buffer(head_size, buffer_size=size) + b"".join(parts)
            assert check(tmp_path / "n.etl", content) == 1 + count


def test_a_compressed_file_is_indexed_by_its_first_records_alone(tmp_path: Path) -> None:
    parts = [buffer(events(9, 50 * n), compressed=True, sequence=n + 1) for n in range(40)]
    path = tmp_path / "c.etl"
    assert check(path, trace_file(*parts, mode=COMPRESSED)) == 41
    with open_etl(path) as trace:
        check_reading(trace)


def test_files_being_written_and_written_are_indexed(tmp_path: Path) -> None:
    """Also circular ones, whose buffers are read one by one, as they may change meanwhile."""
    for number, circular in enumerate((False, True)):
        path = tmp_path / f"{number}.etl"
        if circular:
            session = EtlSession(path, buffer_size=4096, mode="circular", max_file_size=40_960)
        else:
            session = EtlSession(path, buffer_size=4096)
        provider = session.register("Index_Me")
        metadata = metadata_blob("Count", [("n", 8)])
        for written in range(300):
            provider.write(EventDescriptor(level=4), metadata, struct.pack("<I", written))
            if written % 60 == 7:
                with open_etl(path) as trace:
                    check_index(trace)
                    check_reading(trace)
                    assert trace.index().damage.unfinished
        session.close()
        with open_etl(path) as trace:
            assert check_index(trace) > 5
            check_reading(trace)


def test_a_buffer_that_is_being_overwritten_is_left_out_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "circular.etl"
    changing = bytearray(buffer(events(3)))
    changing[0x18:0x20] = b"\xff" * 8
    path.write_bytes(trace_file(buffer(events(2)), bytes(changing), buffer(events(2)), mode=2))
    with open_etl(path) as trace:
        check_index(trace)
        check_reading(trace)
        assert len([event for event in trace if event.kind == "event"]) == 4
        assert trace.damage.counts == {DamageKind.OVERWRITTEN: 1}
        assert not trace.damage
        assert trace.damage.entries[0].offset == 2 * 4096


@SETTINGS
@given(st.integers(0, 2**32), st.booleans(), st.booleans())
def test_damaged_files_are_indexed_as_they_are_walked(
    tmp_path: Path, seed: int, compressed: bool, unfinished: bool
) -> None:
    dice = random.Random(seed)
    size = dice.choice([512, 1024, 2048])
    parts = [
        buffer(events(dice.randrange(4), 9 * n), size, compressed=compressed and dice.random() < 0.8)
        for n in range(dice.randrange(9))
    ]
    header = {"end_filetime": 0} if unfinished else {}
    head = header_buffer(1024, buffer_size=size, mode=COMPRESSED if compressed else 1, **header)
    content = bytearray(head + b"".join(parts))
    for _ in range(dice.randrange(4)):
        if len(content) <= 1024:
            break
        place = dice.randrange(1024, len(content))
        aligned = place - (place - 1024) % size + dice.choice([0, 1, 2, 3, 0x18, 0x30, 0x31, 0x34, 0x36])
        at = min(dice.choice([place, aligned]), len(content) - 1)
        content[at] = dice.choice([0, 1, 0x40, 0x60, 0xFF, dice.randrange(256)])
    if dice.random() < 0.3:
        del content[dice.randrange(1024, len(content) + 1) :]
    if dice.random() < 0.3:
        content += dice.choice([bytes(size), b"\xff" * size, bytes(72) + b"\xff" * (size - 72), bytes(40)])
    path = tmp_path / "damaged.etl"
    path.write_bytes(content)
    with open_etl(path) as trace:
        check_index(trace)
        check_reading(trace)


@SETTINGS
@given(st.binary(max_size=6000), st.sampled_from([1, COMPRESSED]))
def test_any_bytes_after_the_header_are_indexed(tmp_path: Path, rest: bytes, mode: int) -> None:
    check(tmp_path / "any.etl", header_buffer(1024, buffer_size=512, mode=mode) + rest)


@pytest.mark.parametrize("name", ["primitive-types.etl", "waasmedic.20251005_113019_195.etl"])
def test_cut_and_broken_real_files_are_indexed(tmp_path: Path, name: str) -> None:
    content = corpus(name).read_bytes()
    path = tmp_path / "cut.etl"
    dice = random.Random(7)
    for _ in range(25):
        broken = bytearray(content[: dice.randrange(len(content))])
        for _ in range(dice.randrange(3)):
            if broken:
                broken[dice.randrange(len(broken))] = dice.randrange(256)
        path.write_bytes(broken)
        try:
            with open_etl(path) as trace:
                check_index(trace)
        except TraceFileError:
            continue


@pytest.mark.parametrize("has_pread", [True, False])
def test_indexing_reads_but_the_start_of_each_buffer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_pread: bool
) -> None:
    if not has_pread:
        monkeypatch.setattr(source, "_PREAD", None)
        monkeypatch.setattr(source, "_PREADV", None)
    has_pread = source._PREAD is not None  # Windows has none
    path = tmp_path / "large.etl"
    one = buffer(events(3), 65536)
    path.write_bytes(header_buffer(65536) + one * 50)
    read_bytes = 0
    read, read_many = Source.read, Source.read_many

    def counted_read(self: Source, offset: int, size_bytes: int) -> bytes:
        nonlocal read_bytes
        read_bytes += size_bytes
        return read(self, offset, size_bytes)

    def counted_read_many(self: Source, offsets: range, size_bytes: int) -> list[bytes]:
        nonlocal read_bytes
        read_bytes += len(offsets) * size_bytes if has_pread else 0
        return read_many(self, offsets, size_bytes)

    with open_etl(path) as trace:
        monkeypatch.setattr(Source, "read", counted_read)
        monkeypatch.setattr(Source, "read_many", counted_read_many)
        assert len(trace.index()) == 51
    assert read_bytes <= 51 * 120


@pytest.mark.parametrize("has_preadv", [True, False])
def test_reading_into_a_buffer_of_the_callers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_preadv: bool
) -> None:
    if not has_preadv:
        monkeypatch.setattr(source, "_PREADV", None)
    path = tmp_path / "bytes"
    content = bytes(range(256)) * 100
    path.write_bytes(content)
    opened = Source(str(path))
    target = bytearray(1000)
    assert opened.read_into(77, target) == 1000
    assert target == content[77:1077]
    assert opened.read_into(len(content) - 10, memoryview(target)[:20]) == 10
    assert target[:10] == content[-10:]
    assert opened.read_into(len(content) + 5, target) == 0
    opened.close()
    with pytest.raises(ValueError, match="closed"):
        opened.read_into(0, target)


def test_buffers_are_read_by_several_threads_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "threads.etl"
    path.write_bytes(trace_file(*(buffer(events(5, 7 * n), compressed=n % 2 == 0) for n in range(30))))
    with open_etl(path) as trace:
        buffers = list(trace.index())
        expected = [bytes(trace.read_buffer(one, DamageReport())) for one in buffers]
        found: dict[int, bytes] = {}

        def read(start: int) -> None:
            report = DamageReport()
            for place in range(start, len(buffers), 3):
                found[place] = bytes(trace.read_buffer(buffers[place], report))

        threads = [threading.Thread(target=read, args=(start,)) for start in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [found[place] for place in range(len(buffers))] == expected


def test_reports_of_the_parts_of_a_file_make_that_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(damage, "MAX_ENTRIES", 4)
    monkeypatch.setattr(damage, "MAX_OFFSETS", 9)
    whole, parts = DamageReport(), [DamageReport() for _ in range(3)]
    for number in range(30):
        kind = DamageKind.RECORD if number % 3 else DamageKind.EVENT
        for report in (whole, parts[number // 10]):
            report.add(kind, number, number // 10, f"number {number}")
    merged = DamageReport()
    for part in parts:
        merged.merge(part)
    assert merged == whole
    assert whole.counts == {DamageKind.EVENT: 10, DamageKind.RECORD: 20}
    assert [entry.offset for entry in whole.entries] == [0, 1, 2, 3, 4, 5, 6, 9]
    assert list(whole.offsets[DamageKind.EVENT]) == [0, 3, 6, 9, 12, 15, 18, 21, 24]
    assert pickle.loads(pickle.dumps(whole)) == whole
