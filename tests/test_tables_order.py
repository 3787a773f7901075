"""Rows in exact time order over any files and buffers: ``decode`` is a stable sort of their events."""

from __future__ import annotations

import os
import random
import struct
import threading
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from etl_files import START_FILETIME, T0, buffer, event_record, trace_file, tracelogging_record
from otel_etw import EtlSession
from otel_etw.loading import load
from otel_etw.tables.decoding import decode
from session_events import write_number

SETTINGS = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
EPOCH_FILETIME = 116_444_736_000_000_000

Numbered = tuple[int, int]
"""Raw time in ticks after the start, and the number in the event's payload."""


def write_file(path: Path, buffers: Sequence[Sequence[Numbered]], *, compressed: bool = False) -> None:
    """A file with one buffer for each of ``buffers``."""
    parts = [
        buffer(
            [event_record(T0 + raw, struct.pack("<I", number)) for raw, number in events],
            compressed=compressed,
            processor=index % 3,
            sequence=index + 1,
        )
        for index, events in enumerate(buffers)
    ]
    path.write_bytes(trace_file(*parts))


def unix_nano(raw: int) -> int:
    """The time of an event, raw ticks of 100 ns after the start."""
    return (START_FILETIME + raw - EPOCH_FILETIME) * 100


def numbers(batches: Sequence[pa.RecordBatch]) -> list[Numbered]:
    """(Time in Unix nanoseconds, number) of each event in the order of the rows; trace headers left out."""
    found = []
    for batch in batches:
        times = batch.column("time").cast(pa.int64()).to_pylist()
        kinds, payloads = batch.column("kind").to_pylist(), batch.column("payload").to_pylist()
        for time, kind, payload in zip(times, kinds, payloads, strict=True):
            if kind == "event_header64":
                found.append((time, struct.unpack("<I", payload)[0]))
    return found


def decoded(paths: Sequence[Path], **options: object) -> list[Numbered]:
    with decode(paths, tables=("events",), **options) as decoding:  # type: ignore[arg-type]
        found = numbers([tables["events"] for tables in decoding])
        assert not decoding.report
    return found


def stably_sorted(files: Sequence[Sequence[Sequence[Numbered]]]) -> list[Numbered]:
    """What has to come out: by time; of one time file by file, and in a file as stored."""
    stored = [(unix_nano(raw), number) for buffers in files for events in buffers for raw, number in events]
    return sorted(stored, key=lambda event: event[0])


_times = st.one_of(st.integers(0, 30), st.integers(-50, 5000))
_files = st.lists(st.lists(st.lists(_times, min_size=1, max_size=12), max_size=6), min_size=1, max_size=4)


@SETTINGS
@given(_files, st.booleans(), st.sampled_from([1, 400, 2_000, 1 << 24]), st.booleans())
def test_any_spread_of_events_comes_in_time_order(
    tmp_path: Path, files: list[list[list[int]]], rising: bool, batch_bytes: int, compressed: bool
) -> None:
    """Over files and buffers, in batches of any size; within a buffer times rise, or step back behind the
    first record, which is the earliest of its buffer.
    """
    number = iter(range(10**6))

    def times_of(raws: list[int]) -> list[int]:
        return sorted(raws) if rising else [min(raws), *raws]

    stored = [[[(raw, next(number)) for raw in times_of(raws)] for raws in buffers] for buffers in files]
    paths = [tmp_path / f"{index}.etl" for index in range(len(stored))]
    for path, buffers in zip(paths, stored, strict=True):
        write_file(path, buffers, compressed=compressed)
    assert decoded(paths, batch_bytes=batch_bytes) == stably_sorted(stored)
    in_file_order = [
        (unix_nano(raw), event) for buffers in stored for events in buffers for raw, event in events
    ]
    assert decoded(paths, order="file", batch_bytes=batch_bytes) == in_file_order


@pytest.mark.parametrize("compressed", [False, True])
def test_processors_and_files_that_overlap_all_the_time(tmp_path: Path, compressed: bool) -> None:
    """Three recordings of the same minute with four processors each, many events at the same tick."""
    dice = random.Random(11)
    stored = []
    for first in (0, 10_000, 20_000):
        pending: dict[int, list[Numbered]] = {processor: [] for processor in range(4)}
        buffers = []
        raw = 0
        for number in range(2_000):
            raw += dice.choice((0, 0, 1, 7))
            events = pending[dice.randrange(4)]
            events.append((raw, first + number))
            if len(events) == 30:
                buffers.append(list(events))
                events.clear()
        stored.append([*buffers, *(events for events in pending.values() if events)])
    paths = [tmp_path / f"{index}.etl" for index in range(3)]
    for path, buffers in zip(paths, stored, strict=True):
        write_file(path, buffers, compressed=compressed)
    expected = stably_sorted(stored)
    for batch_bytes in (5_000, 100_000, 1 << 24):
        assert decoded(paths, batch_bytes=batch_bytes) == expected
    assert decoded(paths[::-1]) == stably_sorted(stored[::-1])


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one processor: nothing runs beside it")
def test_several_processes_give_the_same_rows_in_the_same_order(tmp_path: Path) -> None:
    dice = random.Random(12)
    stored = [
        [[(dice.randrange(n, 5000) if k else n, 1000 * n + k) for k in range(25)] for n in range(40)]
        for _ in range(2)
    ]
    paths = [tmp_path / f"{index}.etl" for index in range(2)]
    for path, buffers in zip(paths, stored, strict=True):
        write_file(path, buffers, compressed=True)
    assert decoded(paths, jobs=2, batch_bytes=20_000) == stably_sorted(stored)


def test_files_that_sessions_write_at_the_same_time(tmp_path: Path) -> None:
    """Two sessions, four threads each: the tables have every event once, times never fall."""
    paths = [tmp_path / "one.etl", tmp_path / "two.etl"]
    sessions = [EtlSession(path, buffer_size=4096) for path in paths]

    def write(session: EtlSession, first: int) -> None:
        provider = session.register("Orders")
        for number in range(first, first + 300):
            write_number(provider, number)

    threads = [
        threading.Thread(target=write, args=(session, 10_000 * index + 1_000 * thread))
        for index, session in enumerate(sessions)
        for thread in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for session in sessions:
        session.close()
    loaded = load(*paths, providers=["Orders"])
    times = loaded.events.column("time").cast(pa.int64()).to_pylist()
    assert times == sorted(times)
    assert loaded.events.num_rows == 2400
    fields = loaded.events.column("fields").cast(pa.string()).to_pylist()
    assert len(set(fields)) == 2400
    assert set(loaded.events.column("file").to_pylist()) == set(map(str, paths))


def test_each_tables_rows_are_in_the_order_of_their_events(tmp_path: Path) -> None:
    """Events of different providers and shapes that alternate keep their order in the table they share."""
    records = [
        tracelogging_record(
            T0 + number, f"Shape{number % 7}", [(f"n{number % 7}", 8)], struct.pack("<I", number)
        )
        for number in range(200)
    ]
    parts = [buffer(records[start : start + 20]) for start in range(0, 200, 20)]
    path = tmp_path / "shapes.etl"
    path.write_bytes(trace_file(*parts[::-1]))
    names = [name for name in load(path).events.column("event_name").to_pylist() if name != "Header"]
    assert names == [f"Shape{number % 7}" for number in range(200)]


def test_losses_of_the_recorder_are_told_per_file(tmp_path: Path) -> None:
    """What the file's header says was lost is in the report, and is no damage."""
    paths = [tmp_path / "lost.etl", tmp_path / "whole.etl"]
    paths[0].write_bytes(trace_file(buffer([event_record(T0 + 1)]), events_lost=41, buffers_lost=2))
    paths[1].write_bytes(trace_file(buffer([event_record(T0 + 2)])))
    report = load(*paths).report
    assert [(file.events_lost, file.buffers_lost) for file in report.files] == [(41, 2), (0, 0)]
    assert not report
    (line,) = report.lines()
    assert str(paths[0]) in line
    assert "41 events" in line
