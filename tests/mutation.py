"""Damaged files through every way of reading: ``python tests/mutation.py --count 100000 --jobs 2``.

Each file is one number of a seed; ``--seed S --first N --count 1`` does one again.  What has to hold of every
one of them:

* nothing but this package's exceptions, and these only for a file that is no trace at all;
* a stated time and a stated growth of memory (on Linux the process has no more than that);
* as many rows of ``events`` as the plain reader finds events, and all four tables as the plain decoder makes
  them, row by row.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from mutating import Mutator
from mutation_seeds import seeds
from otel_etw.errors import OtelEtwError, TraceFileError
from otel_etw.etl.damage import DamageKind, DamageReport
from otel_etw.etl.event import Event
from otel_etw.etl.reader import open_etl
from otel_etw.loading import load
from otel_etw.tables.batch_decoding import Wanted
from otel_etw.tables.batches import event_batches
from otel_etw.tables.decoding import decode
from otel_etw.tables.plain_decoding import plain_tables
from otel_etw.tables.reading import Reading
from otel_etw.tables.report import Report
from otel_etw.tables.schema import EVENTS, JSON_TYPE, SCHEMAS, TABLES

MAX_SECONDS = 3.0
"""Of processor time, for one file of at most 80 KB read in all ways; a good one takes 0.03 s."""
MAX_GROWTH_BYTES = 384 * 1024 * 1024
"""Of address space, over what the process has after its first file."""


_ORDERS = (("file", "time"), ("file",), ("time",))
"""How the files are read in turn; the first of three in both orders, and by ``load``."""


class Hang(BaseException):
    """A file that takes too long; no ``except Exception`` on the way may keep it."""


def check(path: Path, orders: Sequence[str] = ("file", "time")) -> str:
    """Read a file in all ways; in a word what it was. AssertionError, or whatever is raised, for a fault."""
    kind = "no trace"
    for order in orders:
        try:
            expected, damage = plainly_decoded(path, order)
        except TraceFileError:
            _check_refused(path)
            continue
        is_exact = order == "file" or starts_with_earliest(path)
        found, report = decoded_tables(path, order)
        counts = report.files[0].damage.counts
        # Text that is not UTF-8 is no damage, and noted by the quick way only.
        counts.pop(DamageKind.TEXT, None)
        assert counts == damage.counts, f"{counts}, {damage.counts}"
        places, plain_places = (
            one.offsets.get(DamageKind.EVENT, ()) for one in (report.files[0].damage, damage)
        )
        assert sorted(places) == sorted(plain_places)
        for table in TABLES:
            if is_exact:
                _check_equal(f"{table} in {order} order", found[table], expected[table])
            else:
                _check_equal(table, _in_file_order(found[table]), _in_file_order(expected[table]))
        check_batches(path, order, is_exact=is_exact)
        kind = "damaged" if report else "whole"
    if kind != "no trace" and len(orders) > 1:
        loaded = load(path)
        assert loaded.events.num_rows == expected[EVENTS].num_rows
        assert loaded.logs.num_rows == expected["logs"].num_rows
    return kind


def _check_refused(path: Path) -> None:
    for read in (lambda: load(path).events, lambda: decoded_tables(path, "file")):
        try:
            read()
        except OtelEtwError:
            continue
        raise AssertionError("a file that is no trace was read")


def plainly_decoded(path: Path, order: str) -> tuple[dict[str, pa.Table], DamageReport]:
    """All four tables, event by event, and the damage."""
    with open_etl(path) as trace:
        made = list(plain_tables([trace], Wanted(TABLES), order=order))
        return {
            table: pa.Table.from_batches([part[table] for part in made]) for table in TABLES
        }, trace.damage


def decoded_tables(path: Path, order: str) -> tuple[dict[str, pa.Table], Report]:
    """The same by ``decode``, each batch validated."""
    batches: dict[str, list[pa.RecordBatch]] = {table: [] for table in TABLES}
    with decode([path], order=order) as decoding:
        for made in decoding:
            for table, batch in made.items():
                batch.validate(full=True)
                assert batch.schema.equals(SCHEMAS[table])
                batches[table].append(batch)
        report = decoding.report
    assert bool(report.lines()) >= bool(report)
    return {table: pa.Table.from_batches(found, SCHEMAS[table]) for table, found in batches.items()}, report


def starts_with_earliest(path: Path) -> bool:
    """Whether no buffer has a record earlier than its first: then the order of time has to be exact."""
    first: dict[int, int] = {}
    with open_etl(path) as trace:
        return all(
            event.timestamp_raw >= first.setdefault(event.buffer, event.timestamp_raw) for event in trace
        )


def _in_file_order(table: pa.Table) -> pa.Table:
    """Rows of any table brought into one order."""
    rows = sorted(range(table.num_rows), key=list(map(repr, table.to_pylist())).__getitem__)
    return table.take(pa.array(rows, pa.int64()))


def check_batches(path: Path, order: str, *, is_exact: bool) -> None:
    """``event_batches`` has the header columns of the plain reader's events, and the same damage.

    ``is_exact`` if they have to come in the plain reader's order.
    """
    with open_etl(path) as trace:
        plain = [_header(event) for event in (trace if order == "file" else trace.in_time_order())]
        damage = trace.damage
    with open_etl(path) as trace:
        reading = Reading([trace])
        found = []
        for batch in event_batches([trace], order=order, reading=reading):
            columns = batch.time_ns.tolist(), batch.level.tolist(), batch.keyword.tolist()
            thread_ids, process_ids = (ids.tolist() for ids in batch.ids)
            for row in batch.rows().tolist():
                header = _header(batch.event(row))
                ids = (thread_ids[row], process_ids[row])
                quick = (*(column[row] for column in columns), *ids)
                kind = batch.event(row).record_kind
                # A WPP record has its ids at a place that only the plain way looks for.
                known = 3 if kind == "wpp" else 5
                assert quick[:known] == header[:known], f"{kind}: {quick}, {header[:5]}"
                found.append(header)
    assert (found == plain) if is_exact else (sorted(found) == sorted(plain)), (
        f"other events, or in another order, {order}"
    )
    report = reading.reports[0]
    assert report.counts == damage.counts
    assert sorted(report.entries) == sorted(damage.entries)


def _header(event: Event) -> tuple[object, ...]:
    time_ns = min(max(event.timestamp_ns, -(2**63)), 2**63 - 1)
    ids = (0xFFFFFFFF if known is None else known for known in (event.thread_id, event.process_id))
    level, keyword = event.descriptor.level, event.descriptor.keyword
    return (time_ns, level, keyword, *ids, event.record, event.buffer, event.offset, event.processor)


def _check_equal(table: str, found: pa.Table, expected: pa.Table) -> None:
    if found.num_rows == expected.num_rows and _plainly(found).equals(_plainly(expected)):
        return
    for column in expected.schema.names:
        ours, plain = (_comparable(one.column(column)) for one in (found, expected))
        assert len(ours) == len(plain), f"{table}: {len(ours)} rows instead of {len(plain)}"
        for number, (one, other) in enumerate(zip(ours, plain, strict=True)):
            assert one == other, f"{table} row {number}, {column}: {one[:200]} instead of {other[:200]}"


def _comparable(column: pa.ChunkedArray) -> list[str]:
    """JSON as what it says, and of equal names all: a number may be written in two ways."""
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.int64())
    if column.type == JSON_TYPE:
        texts = column.cast(pa.string()).to_pylist()
        return [str(text and json.loads(text, object_pairs_hook=list)) for text in texts]
    return list(map(repr, column.to_pylist()))


def _plainly(table: pa.Table) -> pa.Table:
    """With text in place of dictionaries, whose entries may be numbered in any way."""
    return pa.table(
        [
            column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column
            for column in table.columns
        ],
        names=table.column_names,
    )


def run(
    seed: int, first: int, count: int, folder: Path, *, limit_memory: bool = False
) -> tuple[Counter[str], list[str]]:
    """How many files were of which kind, and the faults, in words with what repeats them.

    ``limit_memory`` is for a process of its own: it stays limited.
    """
    mutator = Mutator(seeds())
    path = folder / f"mutated-{os.getpid()}.etl"
    kinds: Counter[str] = Counter()
    faults = []
    slowest = 0.0
    for number in range(first, first + count):
        what, content = mutator.mutated(seed, number)
        path.write_bytes(content)
        start = time.process_time()
        try:
            with _alarm(10 * MAX_SECONDS):
                kinds[check(path, _ORDERS[number % len(_ORDERS)])] += 1
        except (Exception, Hang) as error:
            repeat = f"--seed {seed} --first {number} --count 1"
            faults.append(f"{repeat} ({what}): {type(error).__name__}: {str(error)[:300]}\n{_where(error)}")
        spent = time.process_time() - start
        slowest = max(slowest, spent)
        if spent > MAX_SECONDS:
            faults.append(f"--seed {seed} --first {number} --count 1 ({what}): {spent:.1f} s")
        if limit_memory and number == first:
            _limit_memory()
    path.unlink()
    print(f"seed {seed}, {first} to {first + count - 1}: {dict(kinds)}, slowest {slowest:.2f} s", flush=True)
    return kinds, faults


def _where(error: BaseException) -> str:
    return "".join(traceback.format_tb(error.__traceback__)[-4:])


@contextlib.contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    """:class:`Hang` after that long, where the system can."""
    if not hasattr(signal, "SIGALRM"):
        yield
        return

    def late(*_: object) -> None:
        raise Hang(f"no end after {seconds} s")

    signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _limit_memory() -> None:
    """From now on the process gets no more address space than the stated growth."""
    if sys.platform == "linux":
        import resource

        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        bound = pages * resource.getpagesize() + MAX_GROWTH_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (bound, bound))


def in_processes(seed: int, count: int, jobs: int) -> tuple[str, int]:
    """Output and exit code of ``jobs`` processes that share ``count`` files."""
    share = -(-count // jobs)
    running = [
        subprocess.Popen(
            [sys.executable, __file__, "--seed", str(seed), "--first", str(first), "--count", str(share)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for first in range(0, count, share)
    ]
    output = "".join(process.communicate()[0] for process in running)
    return output, max(abs(process.returncode) for process in running)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="write the file of --first there, and read nothing")
    arguments = parser.parse_args()
    if arguments.keep:
        what, content = Mutator(seeds()).mutated(arguments.seed, arguments.first)
        arguments.keep.write_bytes(content)
        print(what)
        return 0
    if arguments.jobs > 1:
        output, code = in_processes(arguments.seed, arguments.count, arguments.jobs)
        print(output)
        return code
    with tempfile.TemporaryDirectory() as folder:
        _, faults = run(arguments.seed, arguments.first, arguments.count, Path(folder), limit_memory=True)
    print("\n".join(faults))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
