"""Threads that write one session, and the memory that ever new shapes take."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Barrier, Thread

from benchmarks.log_rows import sdk_record
from benchmarks.measuring import check
from benchmarks.table import Row
from otel_etw import EtlSession, EtwLogRecordProcessor

THREADS = 8
EVENTS = 80_000


def thread_rows(folder: Path, rounds: int) -> Iterator[Row]:
    """Throughput of eight threads, against one."""
    with EtlSession(folder / "threads.etl", mode="rolling", max_file_size="64 MiB", max_files=1) as session:
        processor = EtwLogRecordProcessor("Benchmark", session=session)
        runs = [
            (_per_second(processor, THREADS, EVENTS), _per_second(processor, 1, EVENTS))
            for _ in range(max(3, rounds // 2))
        ]
        check(processor.stats)
    # How the system shares its processors between threads differs from run to run: the middle one counts.
    many, single = sorted(runs, key=lambda run: run[0] / run[1])[len(runs) // 2]
    yield Row(
        f"{THREADS} threads writing one session, against one thread, the median of {len(runs)} runs",
        f"{many:,.0f} events/s",
        f"{single:,.0f} events/s one thread",
        many / single,
        at_least=0.8,
    )


def _per_second(processor: EtwLogRecordProcessor, threads: int, events: int) -> float:
    barrier = Barrier(threads + 1)

    def run() -> None:
        record = sdk_record()
        on_emit = processor.on_emit
        barrier.wait()
        for _ in range(events // threads):
            on_emit(record)
        barrier.wait()

    running = [Thread(target=run) for _ in range(threads)]
    for thread in running:
        thread.start()
    barrier.wait()
    start = time.perf_counter()
    barrier.wait()
    spent = time.perf_counter() - start
    for thread in running:
        thread.join()
    return events / spent


_MEMORY = """
import gc, os, sys
from benchmarks.do_nothing import DoNothingSession
from otel_etw.layouts.common_schema import ResourceFacts
from otel_etw.log_writer import LogWriter
from otel_etw.options import writer_options
events, shapes = int(sys.argv[1]), int(sys.argv[2])
writer = LogWriter(writer_options(), DoNothingSession(lambda *call: 0))
facts = ResourceFacts("shop", "shop-1")
def resident():
    with open("/proc/self/statm") as sizes:
        return int(sizes.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
def write(number):
    attributes = {f"key{number // 100 % shapes}": "value"}
    writer.write_fields(number, 9, "INFO", "hello", "e", 0, 0, attributes, facts)
for number in range(1000): write(0)
before = most = resident()
for number in range(events):
    write(number)
    if number % 5000 == 0:
        most = max(most, resident())
assert writer.emitter.stats.written == events + 1000
print(max(most, resident()) - before)
"""


def memory_row(events: int) -> Row:
    """What ever new shapes add to the memory of a process of their own."""
    shapes, bound_mb = 10_000, 16
    run = subprocess.run(  # noqa: S603 - this interpreter
        [sys.executable, "-c", _MEMORY, str(events), str(shapes)], capture_output=True, text=True, check=True
    )
    grown_mb = int(run.stdout) / 2**20
    return Row(
        f"memory that {events:,} events of {shapes:,} different shapes add, in MB, against the stated bound",
        f"{grown_mb:.1f} MB",
        f"{bound_mb} MB the bound",
        grown_mb / bound_mb,
        at_most=1,
    )
