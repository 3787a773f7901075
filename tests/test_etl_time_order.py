"""``in_time_order`` is exactly the sorted file, whatever the buffers look like, with bounded memory."""

from __future__ import annotations

import random
import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from etl_files import T0, buffer, event_record, message_record, trace_file
from otel_etw.etl import source, time_order
from otel_etw.etl.reader import open_etl

SETTINGS = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def check_sorted(path: Path, content: bytes) -> int:
    path.write_bytes(content)
    with open_etl(path) as trace:
        in_file = [(event.timestamp_raw, event.buffer, event.offset, event.record) for event in trace]
        in_time = [
            (event.timestamp_raw, event.buffer, event.offset, event.record) for event in trace.in_time_order()
        ]
    assert in_time == sorted(in_file)
    return len(in_time)


def processors_file(buffers: int, per_buffer: int, *, compressed: bool = False, seed: int = 1) -> bytes:
    """Four processors that log at the same time, each into buffers of its own, flushed as they fill."""
    dice = random.Random(seed)
    pending: dict[int, list[bytes]] = {processor: [] for processor in range(4)}
    done = []
    raw = T0
    while len(done) < buffers:
        raw += dice.choice([0, 0, 1, 5])
        processor = dice.randrange(4)
        pending[processor].append(event_record(raw, struct.pack("<I", raw % 1000)))
        if len(pending[processor]) == per_buffer:
            done.append(buffer(pending[processor], processor=processor, compressed=compressed))
            pending[processor] = []
    return trace_file(*done)


@pytest.mark.parametrize("compressed", [False, True])
def test_interleaved_processors_are_merged(tmp_path: Path, compressed: bool) -> None:
    content = processors_file(60, 20, compressed=compressed)
    assert check_sorted(tmp_path / "p.etl", content) == 1 + 60 * 20


def test_buffers_of_a_circular_file_come_in_any_order(tmp_path: Path) -> None:
    parts = [buffer([event_record(T0 + 10 * n + k) for k in range(8)]) for n in range(30)]
    random.Random(3).shuffle(parts)
    assert check_sorted(tmp_path / "c.etl", trace_file(*parts)) == 1 + 240


def test_events_of_the_same_time_come_in_file_order(tmp_path: Path) -> None:
    parts = [buffer([event_record(T0 + 5, bytes([n, k])) for k in range(5)]) for n in range(6)]
    path = tmp_path / "t.etl"
    check_sorted(path, trace_file(*parts))
    with open_etl(path) as trace:
        found = [tuple(event.payload) for event in trace.in_time_order() if event.kind == "event"]
    assert found == [(n, k) for n in range(6) for k in range(5)]


@SETTINGS
@given(
    st.lists(
        st.lists(
            st.one_of(st.integers(T0 - 20, T0 + 20), st.sampled_from([-(2**63), 2**63 - 1, None])), max_size=8
        ),
        max_size=8,
    ),
    st.booleans(),
)
def test_any_times_in_any_buffers_are_sorted_exactly(
    tmp_path: Path, buffers: list[list[int | None]], compressed: bool
) -> None:
    """Times within a buffer may step back here, and ``None`` is a record without a time."""
    parts = [
        buffer(
            [message_record(1) if raw is None else event_record(raw) for raw in raws], compressed=compressed
        )
        for raws in buffers
    ]
    check_sorted(tmp_path / "any.etl", trace_file(*parts))


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("cache_bytes", [0, 5_000, 20_000])
def test_a_cache_too_small_for_all_open_buffers_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache_bytes: int, compressed: bool
) -> None:
    """All buffers cover the same time, some with times that step back: the worst for a merge."""
    monkeypatch.setattr(time_order, "_CACHE_BYTES", cache_bytes)
    dice = random.Random(9)
    parts = []
    for number in range(12):
        raws = [T0 + dice.randrange(1000) for _ in range(15)]
        if number % 3:
            raws.sort()
        parts.append(buffer([event_record(raw, bytes(20)) for raw in raws], compressed=compressed))
    assert check_sorted(tmp_path / "small.etl", trace_file(*parts)) == 1 + 12 * 15


@pytest.mark.parametrize("has_pread", [True, False])
def test_iterations_may_overlap_also_where_reads_need_a_seek(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_pread: bool
) -> None:
    if not has_pread:
        monkeypatch.setattr(source, "_PREAD", None)
    path = tmp_path / "two.etl"
    path.write_bytes(processors_file(10, 10))
    with open_etl(path) as trace:
        one, other = iter(trace), trace.in_time_order()
        pairs = list(zip(one, other, strict=True))
        assert sorted(a.record for a, _ in pairs) == sorted(b.record for _, b in pairs)
