"""The read half on this project's generated file: whole columns, against event by event and other readers.

Slow rivals read a file with fewer of the same events, and all times are per event.  "Headers only" is what a
reader does to give out each event's header, and nothing of its payload.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from time import perf_counter_ns
from typing import Any, NamedTuple

import pyarrow as pa

from benchmarks.table import Row, micro
from benchmarks.trace_files import EVENTS, many_shapes, three_shapes
from otel_etw.etl.decompression import decompressor
from otel_etw.etl.reader import open_etl
from otel_etw.tables.batch_decoding import Wanted
from otel_etw.tables.decoding import decode, usable_cores
from otel_etw.tables.plain_decoding import plain_tables
from otel_etw.tables.schema import EVENTS as EVENTS_TABLE
from otel_etw.tables.schema import LOGS

SHAPES = 300


class Rival(NamedTuple):
    """``read`` reads a whole file of so many events, and answers how many it found."""

    read: Callable[[], int]
    events: int


def rows(folder: Path, *, quick: bool) -> Iterator[Row]:
    """Decoding to the table ``logs``, beside everything else that reads the same file."""
    events, slow_events, rounds = (60_000, 3_000, 3) if quick else (EVENTS, 25_000, 9)
    large, small, varied = (folder / name for name in ("large.etl", "small.etl", "varied.etl"))
    three_shapes(large, events)
    three_shapes(small, slow_events)
    many_shapes(varied, events, SHAPES)
    with one_core():
        spent = best_per_event(
            {
                "ours": Rival(lambda: decode_logs(large), events),
                "varied": Rival(lambda: decode_logs(varied), events),
                "read": Rival(lambda: read_bytes(large) and events, events),
                "plain": Rival(lambda: decode_plainly(small), slow_events),
            },
            rounds,
        )
    freely = best_per_event(
        {
            "ours": Rival(lambda: decode_logs(large), events),
            "read": Rival(lambda: read_bytes(large) and events, events),
            "dissect": Rival(lambda: headers_with_dissect(small), slow_events),
            "dissect fields": Rival(lambda: fields_with_dissect(small), slow_events),
            "etl-parser": Rival(lambda: headers_with_etl_parser(small), slow_events),
        },
        rounds,
    )
    cores = f"{usable_cores()} cores"
    size_mb = large.stat().st_size / 1e6
    yield Row(
        f"{events:,} log records in 3 shapes, {size_mb:.0f} MB, to the Arrow table `logs`, one core,"
        " against the plain decoder",
        f"{micro(spent['ours'])} an event",
        f"{micro(spent['plain'])} event by event, into the same table ({slow_events:,} of them)",
        spent["plain"] / spent["ours"],
        at_least=6,
        digits=1,
    )
    for what, peer, bar in (
        ("dissect.etl giving out events, of which time and provider are asked", "dissect", 50),
        (
            "dissect.etl's records, one level below, of which the header's fields are asked",
            "dissect fields",
            None,
        ),
        ("etl-parser giving out events, of which the header is asked", "etl-parser", 150),
    ):
        yield Row(
            f"the same on {cores}, against {what}",
            f"{micro(freely['ours'])} an event",
            f"{micro(freely[peer])} ({slow_events:,} events)",
            freely[peer] / freely["ours"],
            at_least=bar,
            digits=0,
        )
    for where, times, bar in ((cores, freely, 4), ("one core", spent, None)):
        yield Row(
            f"the same on {where}, against `read()` of the file, warm",
            f"{times['ours'] * events / 1e6:.0f} ms",
            f"{times['read'] * events / 1e6:.0f} ms `read()`",
            times["ours"] / times["read"],
            at_most=bar,
        )
    yield Row(
        f"{SHAPES} shapes on one core, against 3",
        f"{micro(spent['varied'])} an event",
        f"{micro(spent['ours'])} an event",
        spent["varied"] / spent["ours"],
        at_most=2,
    )


def windows_row(trace: Path, rounds: int) -> Row:
    """A file of Windows with compressed buffers, every record of it to the table ``events``."""
    with open_etl(trace) as opened:
        records = sum(1 for _ in opened)
    spent = best_per_event(
        {
            "ours": Rival(lambda: decode_events(trace), records),
            "dissect": Rival(lambda: records_with_dissect(trace), records),
        },
        rounds,
    )
    return Row(
        f"{trace.name}, {records:,} records in compressed buffers, to the Arrow table `events`;"
        f" decompressed by {decompressor()}",
        f"{spent['ours'] * records / 1e9:.2f} s",
        f"{spent['dissect'] * records / 1e9:.2f} s dissect.etl iterating the same file",
        spent["dissect"] / spent["ours"],
        at_least=5,
        digits=1,
    )


def best_per_event(rivals: Mapping[str, Rival], rounds: int) -> dict[str, float]:
    """Nanoseconds per event, by rival; they take turns, and of each the best round counts."""
    best = dict.fromkeys(rivals, float("inf"))
    for _ in range(rounds):
        for name, rival in rivals.items():
            gc.collect()
            start = perf_counter_ns()
            found = rival.read()
            spent = perf_counter_ns() - start
            if found != rival.events:
                raise SystemExit(f"{name} found {found} events of {rival.events}")
            best[name] = min(best[name], spent / rival.events)
    return best


@contextmanager
def one_core() -> Iterator[None]:
    """Everything within runs on one core, libraries' threads included, where the system can be told so."""
    threads = pa.cpu_count()
    pa.set_cpu_count(1)
    cores = _keep_to_cores(None)
    try:
        yield
    finally:
        _keep_to_cores(cores)
        pa.set_cpu_count(threads)


def _keep_to_cores(cores: set[int] | None) -> set[int]:
    """Keep to ``cores``, or to one of those there are; return those that were allowed before."""
    if sys.platform == "linux":
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {max(before)} if cores is None else cores)
        return before
    else:  # noqa: RET505 - the type checker knows this form alone
        return set()


# --- the rivals -------------------------------------------------------------------------------


def decode_logs(path: Path) -> int:
    """The table ``logs`` in time order."""
    with decode([path], tables=(LOGS,)) as decoding:
        return sum(tables[LOGS].num_rows for tables in decoding)


def decode_events(path: Path) -> int:
    """The table ``events`` in time order."""
    with decode([path], tables=(EVENTS_TABLE,)) as decoding:
        return sum(tables[EVENTS_TABLE].num_rows for tables in decoding)


def records_with_dissect(path: Path) -> int:
    """Every record."""
    with path.open("rb") as file:
        return sum(1 for _ in import_module("dissect.etl").ETL(file))


def decode_plainly(path: Path) -> int:
    """The same table from one event after the other."""
    with open_etl(path) as trace:
        return sum(tables[LOGS].num_rows for tables in plain_tables([trace], Wanted((LOGS,))))


def read_bytes(path: Path) -> int:
    """Nothing but the bytes."""
    with path.open("rb") as file:
        return len(file.read())


def headers_with_dissect(path: Path) -> int:
    """``dissect.etl`` giving out each event, of which time and provider are asked."""
    reader = import_module("dissect.etl").ETL
    event_header = import_module("dissect.etl.headers.event").EventHeader
    count = 0
    with path.open("rb") as file:
        for record in reader(file):
            if isinstance(record.header, event_header):
                event = record.event
                event.ts()
                event.provider_id()
                count += 1
    return count


def fields_with_dissect(path: Path) -> int:
    """``dissect.etl`` one level below its events: the fields of each record's header."""
    reader = import_module("dissect.etl").ETL
    event_header = import_module("dissect.etl.headers.event").EventHeader
    count = 0
    with path.open("rb") as file:
        for record in reader(file):
            header = record.header
            if isinstance(header, event_header):
                _ = header.timestamp, header.provider_id, header.thread_id, header.process_id
                _ = header.descriptor.id, header.descriptor.level, header.descriptor.keywords
                count += 1
    return count


class _Counter:
    """An observer of etl-parser."""

    events = 0

    def on_event_record(self, event: Any) -> None:
        event.source.event_header  # noqa: B018 - parsed when it is asked for, if at all
        self.events += 1

    def on_trace_record(self, event: Any) -> None:
        """Not counted."""

    on_perfinfo_trace = on_win_trace = on_system_trace = on_trace_record


def headers_with_etl_parser(path: Path) -> int:
    """``etl-parser`` giving out each event."""
    counter = _Counter()
    import_module("etl.etl").build_from_stream(path.read_bytes()).parse(counter)
    return counter.events
