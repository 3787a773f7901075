"""Damaged, cut, unfinished and growing files: what can be read is, and the rest is reported."""

from __future__ import annotations

import os
import random
import struct
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from etl_files import (
    ACTIVITY,
    T0,
    buffer,
    classic_record,
    event_record,
    header_buffer,
    message_record,
    perfinfo_record,
    system_record,
    trace_file,
    tracelogging_record,
)
from otel_etw.errors import TraceFileError
from otel_etw.etl.damage import MAX_ENTRIES, DamageKind, DamageReport
from otel_etw.etl.event import Event
from otel_etw.etl.reader import Trace, open_etl
from shared_files import SHARED, corpus
from xpress_encoder import Encoder

LONG = os.environ.get("OTEL_ETW_LONG_TESTS") == "1"
SIZE = 1024
MAX_SECONDS = 2.0
MAX_BYTES = 64 * 1024 * 1024


def records(count: int, first: int = 0) -> list[bytes]:
    return [tracelogging_record(T0 + first + n, payload=struct.pack("<I", first + n)) for n in range(count)]


def small_file(buffers: int = 6, *, end_filetime: int | None = None, mode: int = 1) -> bytes:
    """Uncompressed: ``buffers`` data buffers of 1 KiB with four events each, numbered through."""
    header = (
        header_buffer(SIZE, mode=mode)
        if end_filetime is None
        else header_buffer(SIZE, end_filetime=end_filetime)
    )
    return header + b"".join(
        buffer(records(4, 4 * n), SIZE, sequence=n + 1, processor=n % 2) for n in range(buffers)
    )


def mixed_file() -> bytes:
    """Every record kind, one compressed buffer among plain ones."""
    kinds = [
        system_record(T0 + 1, 0x0301, b"abcd"),
        perfinfo_record(T0 + 2, 0x0F2E, bytes(16), version=0x8102),
        classic_record(T0 + 3, 0x22, b"x", instance=(1, 2, ACTIVITY)),
        classic_record(T0 + 3, 0x22, b"x", bits=32),
        message_record(5, b"args", raw=T0 + 4, guid=ACTIVITY, ids=(1, 2)),
        event_record(T0 + 5, b"raw", items=[(1, ACTIVITY.bytes_le), (6, bytes(24))], header_type=0x12),
        event_record(T0 + 6, b"oops", header_type=0x0D),
        tracelogging_record(T0 + 7, "E", [("s", 1), ("b", 14), ("sid", 19)], b"a\0\0\0\x02\0xy" + bytes(8)),
    ]
    return trace_file(
        buffer(kinds, 2048), buffer(kinds + records(20, 10), compressed=True), buffer(kinds, 2048), size=2048
    )


def read(path: Path, content: bytes) -> tuple[list[Event], DamageReport]:
    path.write_bytes(content)
    with open_etl(path) as trace:
        return list(trace), trace.damage


def numbers(events: list[Event]) -> list[int]:
    return [int(str(event.fields["n"])) for event in events if event.kind == "event"]


# --- buffer headers ---------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 71, 0x0200_0000, 0xFFFF_FFFF, 512, 1023, 1025, 2048, 4096, 1 << 20])
@pytest.mark.parametrize("damaged", [0, 1, 3, 6])
def test_a_wrong_size_in_an_uncompressed_file_costs_at_most_its_buffer(
    tmp_path: Path, size: int, damaged: int
) -> None:
    content = bytearray(small_file())
    struct.pack_into("<I", content, damaged * SIZE, size)
    path = tmp_path / "size.etl"
    if damaged == 0 and not 72 <= size <= 0x0101_0000:
        with pytest.raises(TraceFileError, match=f"found {size}"):
            read(path, bytes(content))
        return
    events, damage = read(path, bytes(content))
    possible = 72 <= size <= 0x0101_0000
    others = [n for n in range(24) if possible or n // 4 != damaged - 1]
    assert numbers(events) == others
    assert damage
    assert damage.entries[0].kind is DamageKind.BUFFER_HEADER
    assert damage.entries[0].buffer == damaged
    assert damage.entries[0].offset == damaged * SIZE
    assert str(size) in damage.entries[0].why


def test_buffers_of_different_sizes_are_followed(tmp_path: Path) -> None:
    """The first buffer may be smaller than the header says, and others may differ too."""
    content = header_buffer(512, buffer_size=65536, session="s", log_file="f")
    content += buffer(records(4), 1024) + buffer(records(4, 4), 2048) + buffer(records(4, 8), 1024)
    events, damage = read(tmp_path / "sizes.etl", content)
    assert numbers(events) == list(range(12))
    assert not damage


def test_a_smaller_header_buffer_is_not_taken_for_the_usual_size(tmp_path: Path) -> None:
    """The second buffer's header cannot be right: the step is the configured size."""
    parts = [bytearray(buffer(records(4, 4 * n), SIZE)) for n in range(3)]
    parts[0][:4] = bytes(4)
    content = header_buffer(512, buffer_size=SIZE, session="s", log_file="f") + b"".join(parts)
    events, damage = read(tmp_path / "first.etl", content)
    assert numbers(events) == list(range(4, 12))
    assert damage.counts == {DamageKind.BUFFER_HEADER: 1}


def test_an_impossible_size_in_a_compressed_file_ends_it(tmp_path: Path) -> None:
    parts = [buffer(records(4, 4 * n), compressed=True) for n in range(3)]
    parts[1] = b"\x05\0\0\0" + parts[1][4:]
    events, damage = read(tmp_path / "c.etl", trace_file(*parts, mode=0x04000001))
    assert numbers(events) == [0, 1, 2, 3]
    assert damage.counts == {DamageKind.BUFFER_HEADER: 1}
    assert "the rest of the file is lost" in damage.entries[0].why


@pytest.mark.parametrize(
    ("filled", "saved", "expected"),
    [
        (0, None, []),
        (71, 72 + 4 * 136, [0, 1, 2, 3]),
        (5000, 72 + 2 * 136, [0, 1]),
        (0xFFFFFFFF, None, [0, 1, 2, 3]),
    ],
)
def test_impossible_filled_bytes_fall_back_to_the_saved_offset(
    tmp_path: Path, filled: int, saved: int | None, expected: list[int]
) -> None:
    assert len(records(1)[0]) == 132  # with the gap to the next one 136
    one = buffer(records(4), SIZE, filled=filled, saved=filled if saved is None else saved)
    events, damage = read(tmp_path / "f.etl", header_buffer(SIZE) + one + buffer(records(1, 9), SIZE))
    assert numbers(events) == [*expected, 9]
    assert damage.counts == {DamageKind.BUFFER_HEADER: 1}


def test_filled_bytes_decide_and_not_the_saved_offset(tmp_path: Path) -> None:
    content = header_buffer(SIZE) + buffer(records(4), SIZE, saved=72 + 136)
    events, damage = read(tmp_path / "s.etl", content)
    assert numbers(events) == [0, 1, 2, 3]
    assert not damage


# --- compressed buffers -----------------------------------------------------------------------


def test_a_compressed_buffer_that_does_not_decompress_costs_itself_only(tmp_path: Path) -> None:
    parts = [bytearray(buffer(records(8, 8 * n), compressed=True)) for n in range(3)]
    parts[1][72:76] = b"\xff\xff\xff\xff"
    content = trace_file(*map(bytes, parts), mode=0x04000001)
    events, damage = read(tmp_path / "c.etl", content)
    assert numbers(events) == [*range(8), *range(16, 24)]
    assert damage.counts == {DamageKind.COMPRESSED_BUFFER: 1}
    assert damage.entries[0].buffer == 2
    assert damage.entries[0].offset == 4096 + len(parts[0])


def test_a_cut_compressed_buffer_is_dropped(tmp_path: Path) -> None:
    content = trace_file(buffer(records(8), compressed=True), buffer(records(8, 8), compressed=True))
    events, damage = read(tmp_path / "c.etl", content[:-1])
    assert numbers(events) == list(range(8))
    assert damage.counts == {DamageKind.TRUNCATED: 1}


@pytest.mark.parametrize("filled", [0, 71, 0x0100_0049, 0xFFFF_FFFF, 1 << 23])
def test_an_absurd_uncompressed_length_is_refused_before_anything_is_made(
    tmp_path: Path, filled: int
) -> None:
    content = trace_file(
        buffer(records(8), compressed=True, filled=filled), buffer(records(1, 9), compressed=True)
    )
    path = tmp_path / "c.etl"
    path.write_bytes(content)
    with open_etl(path) as trace:
        tracemalloc.start()
        try:
            assert numbers(list(trace)) == [9]
            assert tracemalloc.get_traced_memory()[1] < 200_000
        finally:
            tracemalloc.stop()
        assert trace.damage.counts == {DamageKind.COMPRESSED_BUFFER: 1}


def test_damage_inside_a_compressed_buffer_is_placed_at_the_buffer(tmp_path: Path) -> None:
    content = trace_file(buffer([*records(2), bytes(24)], compressed=True))
    _, damage = read(tmp_path / "c.etl", content)
    (entry,) = damage.entries
    assert (entry.kind, entry.offset, entry.buffer) == (DamageKind.RECORD, 4096, 1)
    assert "at 0x158 when decompressed" in entry.why


@pytest.mark.parametrize(
    "repeated",
    [
        pytest.param(b"\0", id="zeros"),
        pytest.param(perfinfo_record(T0, 0x0F2E), id="smallest records"),
        pytest.param(struct.pack("<HBB", 8, 0x77, 0xC0) + bytes(4), id="unknown records"),
    ],
)
def test_a_megabyte_that_expands_a_thousandfold_is_read_within_the_limits(
    tmp_path: Path, repeated: bytes
) -> None:
    """Buffers of some eighty bytes that each claim 64 KiB."""
    encoder = Encoder()
    for byte in repeated:
        encoder.literal(byte)
    encoder.match(len(repeated), 65536 - 72 - len(repeated))
    stream = encoder.finish()
    one = (
        struct.pack("<IIIiqqQHHIIHH16x", 72 + len(stream), 0, 0, 0, 0, 1, 0, 0, 0, 3, 65536, 0x60, 0) + stream
    )
    count = 1_000_000 // len(one)
    path = tmp_path / "bomb.etl"
    path.write_bytes(trace_file(mode=0x04000001) + one * count)
    for in_time_order in (False, True):
        started = time.process_time()
        with open_etl(path) as trace:
            events = trace.in_time_order() if in_time_order else trace
            assert len([event.record for event in events]) == 1
        assert time.process_time() - started < MAX_SECONDS
        assert sum(trace.damage.counts.values()) == count


def test_a_buffer_that_compresses_very_well_is_read(tmp_path: Path) -> None:
    """The same large event again and again, only its time moving: more than thirty to one."""
    payload = random.Random(1).randbytes(40) * 60
    one = buffer([event_record(T0 + n, payload) for n in range(26)], compressed=True)
    assert len(one) < 2000
    events, damage = read(tmp_path / "well.etl", trace_file(one))
    assert [event.timestamp_raw for event in events[1:]] == [T0 + n for n in range(26)]
    assert not damage


# --- truncated, unfinished and growing --------------------------------------------------------


@pytest.mark.parametrize("cut", [1, 40, 72, 100, 72 + 136, 72 + 137, 500, 1000, 1023])
def test_a_cut_file_gives_its_complete_records_and_says_so(tmp_path: Path, cut: int) -> None:
    events, damage = read(tmp_path / "cut.etl", small_file()[: 3 * SIZE + cut])
    complete = min(4, max(0, cut - 72 + 4) // 136)
    assert numbers(events) == list(range(8 + complete))
    assert damage.counts == {DamageKind.TRUNCATED: 1}
    (entry,) = damage.entries
    assert (entry.buffer, entry.offset) == (3, 3 * SIZE)
    assert damage.unfinished is None


@pytest.mark.parametrize(
    "tail",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(bytes(SIZE), id="zeros"),
        pytest.param(b"\xff" * SIZE, id="filler"),
        pytest.param(bytes(72) + b"\xff" * (SIZE - 72), id="72 zeros and filler"),
        pytest.param(bytes(73), id="few zeros"),
        pytest.param(bytes(72) + b"\xff" * 5, id="part of the filler"),
        pytest.param(bytes(3_000_000), id="megabytes of zeros"),
        pytest.param(b"\xff" * 3_000_000, id="megabytes of filler"),
    ],
)
@pytest.mark.parametrize("closed", [False, True])
def test_a_reserved_region_at_the_end_is_unfinished_and_no_damage(
    tmp_path: Path, tail: bytes, closed: bool
) -> None:
    content = small_file(end_filetime=None if closed else 0) + tail
    events, damage = read(tmp_path / "unfinished.etl", content)
    assert numbers(events) == list(range(24))
    assert not damage
    assert damage.counts == {}
    assert (damage.unfinished is not None) is (bool(tail) or not closed)


@pytest.mark.parametrize("header_bytes", [0, 8, 72])
def test_a_last_buffer_whose_size_is_not_stored_yet_is_unfinished(tmp_path: Path, header_bytes: int) -> None:
    """A writer stores the record, then the rest of the header, and the size last."""
    last = bytearray(buffer(records(1, 99), SIZE))
    last[header_bytes:72] = bytes(72 - header_bytes)
    last[:4] = bytes(4)
    events, damage = read(tmp_path / "starting.etl", small_file(end_filetime=0) + last)
    assert numbers(events) == list(range(24))
    assert not damage
    assert "reserved" in str(damage.unfinished)
    _, damage = read(tmp_path / "closed.etl", small_file() + last)
    assert damage.counts == {DamageKind.BUFFER_HEADER: 1}


def test_a_few_blank_bytes_are_reserved_only_while_the_file_is_open(tmp_path: Path) -> None:
    _, open_damage = read(tmp_path / "open.etl", small_file(end_filetime=0) + bytes(50))
    assert not open_damage
    assert "reserved" in str(open_damage.unfinished)
    _, closed_damage = read(tmp_path / "closed.etl", small_file() + bytes(50))
    assert closed_damage.counts == {DamageKind.TRUNCATED: 1}


def test_a_blank_region_that_is_not_at_the_end_is_damage(tmp_path: Path) -> None:
    content = bytearray(small_file())
    content[2 * SIZE : 3 * SIZE] = bytes(SIZE)
    events, damage = read(tmp_path / "hole.etl", bytes(content))
    assert numbers(events) == [n for n in range(24) if n // 4 != 1]
    assert damage.counts == {DamageKind.BUFFER_HEADER: 1}
    assert damage.unfinished is None


def test_buffers_beyond_buffers_written_are_read(tmp_path: Path) -> None:
    content = header_buffer(SIZE, end_filetime=0, buffers_written=1) + small_file()[SIZE:]
    events, damage = read(tmp_path / "behind.etl", content)
    assert numbers(events) == list(range(24))
    assert not damage
    assert "no end time" in str(damage.unfinished)


def test_an_unfinished_last_buffer_whose_records_are_all_there_is_no_damage(tmp_path: Path) -> None:
    events, damage = read(tmp_path / "short.etl", small_file(end_filetime=0)[:-100])
    assert numbers(events) == list(range(24))
    assert not damage
    assert "buffer 6 is still being written" in str(damage.unfinished)


def test_a_file_that_grows_while_it_is_read_gives_what_was_there_at_the_start(tmp_path: Path) -> None:
    content = small_file(end_filetime=0)
    path = tmp_path / "grows.etl"
    path.write_bytes(content[: 4 * SIZE + 300])
    with open_etl(path) as trace:
        events = iter(trace)
        begun = [next(events) for _ in range(6)]
        path.write_bytes(content)
        found = begun + list(events)
        assert numbers(found) == list(range(13))
        assert not trace.damage
        assert trace.damage.unfinished
        assert numbers(list(trace)) == list(range(24))
        assert not trace.damage
        assert trace.size_bytes == len(content)


def test_a_buffer_that_fills_between_two_iterations_shows_more_events(tmp_path: Path) -> None:
    path = tmp_path / "fills.etl"
    header = header_buffer(SIZE, end_filetime=0)
    path.write_bytes(header + buffer(records(1), SIZE))
    with open_etl(path) as trace:
        assert numbers(list(trace)) == [0]
        path.write_bytes(header + buffer(records(3), SIZE))
        assert numbers(list(trace)) == [0, 1, 2]
        assert numbers(list(trace.in_time_order())) == [0, 1, 2]


def test_a_file_that_shrinks_while_it_is_read_ends_the_iteration(tmp_path: Path) -> None:
    path = tmp_path / "shrinks.etl"
    path.write_bytes(small_file())
    with open_etl(path) as trace:
        events = iter(trace)
        begun = [next(events) for _ in range(3)]
        os.truncate(path, 2 * SIZE + 300)
        assert numbers(begun + list(events)) == [0, 1, 2, 3, 4]
        assert trace.damage


def test_the_report_counts_all_and_keeps_the_first_hundred(tmp_path: Path) -> None:
    content = header_buffer(SIZE) + buffer([bytes(16)], SIZE) * 150
    _, damage = read(tmp_path / "many.etl", content)
    assert damage.counts == {DamageKind.RECORD: 150}
    assert len(damage.entries) == MAX_ENTRIES
    assert [entry.buffer for entry in damage.entries] == list(range(1, 101))


def test_each_iteration_has_its_own_report(tmp_path: Path) -> None:
    path = tmp_path / "twice.etl"
    path.write_bytes(header_buffer(SIZE) + buffer([bytes(16)], SIZE))
    with open_etl(path) as trace:
        list(trace)
        first = trace.damage
        list(trace.in_time_order())
        assert trace.damage is not first
        assert trace.damage.counts == first.counts == {DamageKind.RECORD: 1}


# --- any bytes, any damage --------------------------------------------------------------------


def use_everything(trace: Trace) -> int:
    """Iterate in both orders, decode all there is to decode, and check what holds for any file."""
    keys = []
    for event in trace:
        keys.append((event.timestamp_raw, event.buffer, event.offset))
        _ = (event.timestamp_ns, event.timestamp_filetime, event.provider_id, event.provider_name, event.name)
        _ = (event.descriptor, event.process_id, event.thread_id, event.pointer_size, event.hook_id)
        _ = (event.activity_id, event.related_activity_id, event.stack, event.metadata, event.trailing)
        assert isinstance(event.fields, dict)
        assert all(isinstance(problem, str) for problem in event.problems)
        assert len(event.payload) + 8 <= len(event.record)
        repr(event)
    damage = trace.damage
    assert sum(damage.counts.values()) >= len(damage.entries)
    assert all(0 <= entry.offset <= trace.size_bytes and entry.why for entry in damage.entries)
    sorted_keys = [(e.timestamp_raw, e.buffer, e.offset) for e in trace.in_time_order()]
    assert sorted_keys == sorted(keys)
    assert trace.damage.counts == damage.counts
    return len(keys)


def check_limits(path: Path, content: bytes, *, traced: bool) -> int | None:
    """Events of the file, or ``None`` if it is refused; fails beyond the limits of time and memory."""
    path.write_bytes(content)
    if traced:
        tracemalloc.start()
    started = time.process_time()
    try:
        try:
            with open_etl(path) as trace:
                count = use_everything(trace)
        except TraceFileError:
            return None
        # Tracing makes everything several times slower.
        assert traced or time.process_time() - started < MAX_SECONDS
        if traced:
            assert tracemalloc.get_traced_memory()[1] < MAX_BYTES + 4 * len(content)
        return count
    finally:
        if traced:
            tracemalloc.stop()


RECORDS = st.one_of(
    st.binary(max_size=120),
    st.builds(
        event_record,
        st.integers(T0 - 1000, T0 + 1000),
        st.binary(max_size=40),
        channel=st.sampled_from([0, 11]),
        items=st.lists(st.tuples(st.integers(0, 20), st.binary(max_size=40)), max_size=4),
        header_type=st.sampled_from([0x0D, 0x12, 0x13]),
    ),
    st.builds(message_record, st.integers(0, 0xFFFF), st.binary(max_size=30), flags=st.integers(0, 0xFFFF)),
    st.builds(
        perfinfo_record,
        st.integers(-(2**63), 2**63 - 1),
        st.integers(0, 0xFFFF),
        st.binary(max_size=30),
        version=st.integers(0, 0xFFFF),
    ),
)
BUFFERS = st.builds(
    buffer,
    st.lists(RECORDS, max_size=5),
    st.just(2048),
    processor=st.integers(0, 0xFFFF),
    flags=st.sampled_from([0, 0x20, 0x20, 0x21, 0x60]),
    buffer_type=st.sampled_from([0, 0, 0, 3, 4, 7, 99]),
    filled=st.sampled_from([None, None, None, 0, 80, 200, 0x7FFFFFFF]),
    compressed=st.booleans(),
)
RELAXED = settings(
    max_examples=2000 if LONG else 100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@RELAXED
@given(st.binary(max_size=2000))
@example(trace_file()[:400])
def test_any_bytes_are_refused_or_read(tmp_path: Path, content: bytes) -> None:
    check_limits(tmp_path / "any.etl", content, traced=False)


@RELAXED
@given(st.lists(st.one_of(BUFFERS, st.binary(max_size=300)), max_size=5), st.sampled_from([64, 32]))
def test_a_good_header_and_any_buffers_give_events_and_a_report(
    tmp_path: Path, buffers: list[bytes], bits: int
) -> None:
    content = trace_file(*buffers, size=2048, bits=bits)
    count = check_limits(tmp_path / "any.etl", content, traced=False)
    assert count is not None
    assert count >= 1


VALID_NAMES = ["small", "mixed", "primitive-types.etl", "SelfDescribingSingleEvent.etl"]


def valid_file(name: str) -> bytes:
    made = {"small": small_file, "mixed": mixed_file}
    return made[name]() if name in made else corpus(name).read_bytes()


def mutations(content: bytes, seed: int) -> Iterator[tuple[int, int]]:
    """(position, new byte): everything in a long run, else a sample with the structures well covered."""
    if LONG:
        yield from ((at, content[at] ^ flip) for at in range(len(content)) for flip in (0x01, 0x80, 0xFF))
        return
    dice = random.Random(seed)
    for number in range(160):
        at = dice.randrange(min(len(content), 0x400) if number % 2 else len(content))
        yield at, dice.choice([0, 0xFF, content[at] ^ 1 << dice.randrange(8)])


@pytest.mark.parametrize("name", VALID_NAMES)
def test_any_one_byte_damage_gives_events_and_a_report_or_our_error(tmp_path: Path, name: str) -> None:
    content = valid_file(name)
    for number, (at, value) in enumerate(mutations(content, seed=len(name))):
        damaged = content[:at] + bytes([value]) + content[at + 1 :]
        check_limits(tmp_path / "damaged.etl", damaged, traced=number % 20 == 0)


@pytest.mark.parametrize("name", VALID_NAMES)
def test_any_truncation_gives_a_beginning_of_the_events_or_our_error(tmp_path: Path, name: str) -> None:
    content = valid_file(name)
    path = tmp_path / "cut.etl"
    whole = [event.record for event in read(path, content)[0]]
    dice = random.Random(len(name))
    cuts = range(len(content)) if LONG else sorted(dice.sample(range(len(content)), 120))
    for cut in cuts:
        try:
            events, _ = read(path, content[:cut])
        except TraceFileError:
            assert cut < 0x180
            continue
        assert [event.record for event in events] == whole[: len(events)]
        if cut % 10 == 0:
            check_limits(path, content[:cut], traced=False)


def test_damage_to_one_buffer_leaves_the_events_of_all_others(tmp_path: Path) -> None:
    content = small_file()
    path = tmp_path / "one.etl"
    whole, _ = read(path, content)
    dice = random.Random(5)
    positions = (
        range(len(content))
        if LONG
        else dice.sample(range(len(content)), 400)
        + [k * SIZE + at for k in range(1, 7) for at in range(0x38)]
    )
    for at in positions:
        damaged = bytearray(content)
        damaged[at] ^= dice.choice([1 << dice.randrange(8), 0xFF])
        try:
            events, _ = read(path, bytes(damaged))
        except TraceFileError:
            assert at < 0x68
            continue
        hit = at // SIZE
        wanted = [event.record for event in whole if event.buffer != hit]
        assert [event.record for event in events if event.buffer != hit] == wanted, f"byte {at:#x}"


@pytest.mark.skipif(not (SHARED / "corpus").exists(), reason="corpus not found")
def test_one_byte_damage_to_a_large_compressed_file_costs_at_most_one_buffer(tmp_path: Path) -> None:
    """A sample of single damages inside compressed data; all events of the other buffers are there."""
    content = corpus("net.4.5.2.x86.etl").read_bytes()[:400_000]
    path = tmp_path / "net.etl"
    whole, _ = read(path, content)
    with open_etl(path) as trace:
        places = list(trace.buffers())
    dice = random.Random(11)
    for place in dice.sample(places[1:-1], 6):
        at = place.file_offset + 72 + dice.randrange(place.size_bytes - 72)
        damaged = bytearray(content)
        damaged[at] ^= 0xFF
        events, _ = read(path, bytes(damaged))
        others = [event.record for event in events if event.buffer != place.index]
        assert others == [event.record for event in whole if event.buffer != place.index]
