"""Memory and time of ``decode`` are bounded: by ``batch_bytes``, and by the bytes that a file really has."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from etl_files import T0, buffer, event_record, header_buffer, message_record, trace_file, traits_blob
from mutation_seeds import START_NS
from otel_etw.layouts.common_schema import LogFields, encode_log
from otel_etw.loading import load
from otel_etw.tables.decoding import decode
from otel_etw.tables.schema import TABLES
from otel_etw.tracelogging.provider_id import METRICS_PROVIDER_ID
from xpress_encoder import Encoder

LONG = os.environ.get("OTEL_ETW_LONG_TESTS") == "1"
MIB = 1024 * 1024
LARGE_BYTES = (240 if LONG else 96) * MIB
SMALL_BYTES = 16 * MIB
BATCH_BYTES = 2 * MIB
BUFFER_BYTES = 65536
MAX_SECONDS = 5.0
"""For a hostile buffer of at most 64 KiB; a machine that does other things as well needs most of it."""

on_linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="RssAnon is Linux's")

READER = """
import sys, threading
import pyarrow as pa
from otel_etw.tables.decoding import decode

def anonymous_bytes():
    with open("/proc/self/status", encoding="ascii") as status:
        (line,) = [line for line in status if line.startswith("RssAnon:")]
    return int(line.split()[1]) * 1024

order, batch_bytes, *paths = sys.argv[1:]
before = anonymous_bytes()
for path in paths:
    with decode([path], order=order, batch_bytes=int(batch_bytes)) as decoding:
        peak = anonymous_bytes()
        ended = threading.Event()
        def watch():
            global peak
            while not ended.wait(0.01):
                peak = max(peak, anonymous_bytes())
        watcher = threading.Thread(target=watch)
        watcher.start()
        events = logs = most_rows = 0
        last = None
        for tables in decoding:
            events += tables["events"].num_rows
            logs += tables["logs"].num_rows
            most_rows = max(most_rows, tables["events"].num_rows)
            times = tables["events"].column("time").cast(pa.int64()).to_pylist()
            if order == "time":
                assert times == sorted(times)
                assert not times or last is None or last <= times[0]
                last = times[-1] if times else last
        ended.set()
        watcher.join()
        assert not decoding.report
        print(events, logs, most_rows, peak - before)
"""


def write_logs(path: Path, size_bytes: int, *, shapes: int = 1) -> int:
    """Log records of two processors in buffers that overlap in time; how many."""
    encoded = [
        encode_log(LogFields(START_NS, body="b" * 60, attributes={f"key{shape}": "value", "n": shape}))
        for shape in range(shapes)
    ]
    traits = traits_blob("Bounds")
    items = [[(12, traits), (11, event.metadata)] for event in encoded]
    count = 0
    with path.open("wb") as file:
        file.write(header_buffer(BUFFER_BYTES))
        number = 0
        while file.tell() < size_bytes:
            records = []
            room = BUFFER_BYTES - 72
            while True:
                shape = count % shapes
                record = event_record(
                    T0 + number // 2 * 10_000 + len(records) * 10, encoded[shape].payload,
                    channel=11, items=items[shape],
                )  # fmt: skip
                room -= (len(record) + 7) & ~7
                if room < 0:
                    break
                records.append(record)
                count += 1
            file.write(buffer(records, BUFFER_BYTES, processor=number % 2))
            number += 1
    return count


def measure(paths: Sequence[Path], order: str) -> list[list[int]]:
    """Of each file, decoded one after another in one process: events, logs, most rows of a batch, and by how
    much anonymous memory had grown at its peak since the process began to decode the first one."""
    done = subprocess.run(
        [sys.executable, "-c", READER, order, str(BATCH_BYTES), *map(str, paths)],
        capture_output=True,
        text=True,
        env={**os.environ, "ARROW_DEFAULT_MEMORY_POOL": "system"},
    )
    assert done.returncode == 0, done.stderr
    return [list(map(int, line.split())) for line in done.stdout.splitlines()]


@on_linux
@pytest.mark.parametrize("order", ["file", "time"])
def test_memory_goes_by_the_size_of_batches_not_of_the_file(tmp_path: Path, order: str) -> None:
    """Several times the file takes a fraction more, once libraries and pools are there."""
    small, large = tmp_path / "small.etl", tmp_path / "large.etl"
    counts = [write_logs(small, SMALL_BYTES), write_logs(large, LARGE_BYTES)]
    found = measure([small, large], order)
    assert [(events, logs) for events, logs, _, _ in found] == [(count + 1, count) for count in counts]
    assert all(rows < 4 * BATCH_BYTES // 300 for _, _, rows, _ in found)
    small_peak, large_peak = (peak for _, _, _, peak in found)
    assert large_peak < 200 * MIB
    assert large_peak - small_peak < (LARGE_BYTES - SMALL_BYTES) // 2


@on_linux
def test_ever_new_shapes_take_no_ever_growing_memory(tmp_path: Path) -> None:
    """What is remembered of shapes is bounded: 6,000 of them in one file."""
    few, many = tmp_path / "few.etl", tmp_path / "many.etl"
    few_count = write_logs(few, 4 * MIB, shapes=10)
    many_count = write_logs(many, 4 * MIB, shapes=6_000)
    found = measure([few, many], "file")
    assert [(events, logs) for events, logs, _, _ in found] == [
        (count + 1, count) for count in (few_count, many_count)
    ]
    few_peak, many_peak = (peak for _, _, _, peak in found)
    assert many_peak - few_peak < 150 * MIB


def test_batches_of_one_byte_are_batches_all_the_same(tmp_path: Path) -> None:
    """However small ``batch_bytes`` is, all rows come, and some in each batch."""
    path = tmp_path / "logs.etl"
    count = write_logs(path, 3 * BUFFER_BYTES)
    with decode([path], batch_bytes=1) as decoding:
        rows = [tables["logs"].num_rows for tables in decoding]
    assert sum(rows) == count
    assert len(rows) > 1


# --- hostile events ---------------------------------------------------------------------------


def _described(metadata: bytes, payload: bytes) -> bytes:
    blob = struct.pack("<H", 2 + len(metadata)) + metadata
    return event_record(T0 + 1, payload, channel=11, items=[(12, traits_blob("Hostile")), (11, blob)])


def _deep_structs() -> bytes:
    """Structs in structs in structs, more than any program nests."""
    return _described(b"\0Deep\0" + b"s\0\x98\x01" * 200 + b"n\0\x08", bytes(4))


def _struct_arrays() -> bytes:
    """Arrays of 65535 structs with arrays of 65535 structs of nothing that takes a byte."""
    level = b"s\0\xb8\x01\xff\xff"
    return _described(b"\0Bomb\0" + level * 6 + b"e\0\x20\0\0", b"\xff" * 64)


def _empty_elements() -> bytes:
    """65535 elements, each a struct without members."""
    return _described(b"\0Empty\0" + b"s\0\xd8\0", b"\xff\xff") * 100


def _counted_to_the_end() -> bytes:
    """A count of 65535 in front of a few bytes, for every type that can be an array."""
    return b"".join(
        _padded(_described(b"\0Count\0a\0" + bytes([0x40 | kind]), b"\xff\xff" + bytes(40)))
        for kind in range(1, 26)
    )


def _many_fields() -> bytes:
    """As many fields as metadata has room for, all of one name."""
    return _described(b"\0Wide\0" + b"f\0\x04" * 9000, bytes(9000))


def _deep_json() -> bytes:
    """An attribute that is a list in a list in a list."""
    event = encode_log(LogFields(START_NS, attributes={"deep": "x" * 8000}))
    deep = event.payload.replace(b"x" * 8000, b"[" * 8000)
    return event_record(T0 + 1, deep, channel=11, items=[(12, traits_blob("Deep")), (11, event.metadata)])


def _deep_messagepack() -> bytes:
    """Arrays in arrays, and an array that claims four billion elements."""
    deep = event_record(T0 + 1, b"\x92\xa3Log" + b"\x91" * 20_000, event_id=100, version=1)
    wide = event_record(T0 + 1, b"\x92\xa3Log\xdd\xff\xff\xff\xff" * 500, event_id=100, version=1)
    return _padded(deep) + wide


def _deep_metrics() -> bytes:
    """A metrics request whose attribute is a list in a list in a list."""
    value = b""
    for _ in range(3000):
        value = (
            b"\x2a"
            + _varint(len(value) + 1 + len(_varint(len(value))))
            + b"\x0a"
            + _varint(len(value))
            + value
        )
    point = _field(7, b"\x0a\x01k" + _field(2, value))
    request = _field(1, _field(2, _field(2, b"\x0a\x01m" + _field(5, _field(1, point)))))
    return event_record(T0 + 1, request, provider=METRICS_PROVIDER_ID, event_id=81)


def _field(number: int, data: bytes) -> bytes:
    return bytes([number << 3 | 2]) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])


def _smallest_records() -> bytes:
    """As many records as a buffer can have: nothing but headers of eight bytes."""
    return message_record(1) * 7000


def _manifest_with_entities() -> bytes:
    """A manifest in which entities of entities would grow to gigabytes."""
    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 12))
    xml = (
        f'<!DOCTYPE m [<!ENTITY e0 "ha">{entities}]><instrumentationManifest>&e11;</instrumentationManifest>'
    )
    body = struct.pack("<BBBBHH", 1, 1, 0, 0x5B, 1, 0) + xml.encode()
    return event_record(
        T0 + 1, body, event_id=0xFFFE, version=1, opcode=0xFE, task=0xFFFE, keyword=2**64 - 1
    )  # fmt: skip


def _padded(record: bytes) -> bytes:
    return record + bytes(-len(record) % 8)


@pytest.mark.parametrize(
    "make",
    [
        _deep_structs, _struct_arrays, _empty_elements, _counted_to_the_end, _many_fields, _deep_json,
        _deep_messagepack, _deep_metrics, _smallest_records, _manifest_with_entities,
    ],
)  # fmt: skip
def test_hostile_events_take_bounded_time_and_room(tmp_path: Path, make: Callable[[], bytes]) -> None:
    """They make rows all the same, and these are not much larger than the file."""
    path = tmp_path / "hostile.etl"
    records = _padded(make())
    path.write_bytes(trace_file(buffer([records], 262_144), size=262_144))
    start = time.process_time()
    loaded = load(path)
    tables = [loaded.table(table) for table in TABLES]
    assert time.process_time() - start < MAX_SECONDS
    assert loaded.events.num_rows >= 2
    assert sum(table.nbytes for table in tables) < 40 * len(records) + MIB


def test_a_compressed_buffer_cannot_grow_without_bound(tmp_path: Path) -> None:
    """A few hundred bytes that claim, and would make, 16 MiB and more."""
    encoder = Encoder()
    encoder.literal(0)
    encoder.match(1, 2**31)
    stream = encoder.finish()
    for filled in (0x0100_0000, 0x0100_0048, 0x7FFF_FFFF, 0xFFFF_FFFF):
        whole = bytearray(buffer([bytes(16)], compressed=True, filled=filled))[:72] + stream
        struct.pack_into("<I", whole, 0, len(whole))
        path = tmp_path / "bomb.etl"
        path.write_bytes(header_buffer(4096) + bytes(whole) * 50)
        start = time.process_time()
        loaded = load(path)
        assert loaded.events.num_rows == 1
        assert loaded.report
        assert time.process_time() - start < MAX_SECONDS
