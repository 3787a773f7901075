"""``python -m benchmarks``: measure, print the table, and with ``--write`` put it into docs/benchmarks.md."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks import do_nothing, handler_rows, log_rows, metric_rows, span_rows, thread_rows
from benchmarks.table import Row, machine, markdown

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"

_PAGE_TEXT = """# Benchmarks

Made by `python -m benchmarks --write`; every row is measured beside its peer in the same run, the rivals
taking turns, and of each the best round counts. "Own cost" is the difference between two loops of the SDK's
`emit`: one with our processor, one with a processor that does nothing.

{machine}

{table}
"""


def measure(folder: Path, rounds: int, memory_events: int) -> Iterator[Row]:
    """All rows, in the order of the table."""
    function = do_nothing.build(folder)
    yield from log_rows.rows(function, folder, rounds)
    yield from handler_rows.rows(function, folder, rounds)
    yield from span_rows.rows(function, folder, rounds)
    yield from metric_rows.rows(rounds)
    yield from thread_rows.thread_rows(folder, rounds)
    if sys.platform == "linux":
        yield thread_rows.memory_row(memory_events)


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=25, help="rounds per rival (default 25)")
    parser.add_argument("--quick", action="store_true", help="few rounds and events, to see that it runs")
    parser.add_argument("--strict", action="store_true", help="exit with 1 if a bar is missed")
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.md")
    arguments = parser.parse_args()
    rounds, memory_events = (5, 50_000) if arguments.quick else (arguments.rounds, 1_000_000)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        for row in measure(Path(folder), rounds, memory_events):
            rows.append(row)
            sign = " " if row.holds else "!"
            print(f"{sign} {row.ratio:8.3f} {row.bar:>8}  {row.what}: {row.ours}, {row.peer}", flush=True)
    if arguments.write:
        PAGE.write_text(_PAGE_TEXT.format(machine=machine(), table=markdown(rows)), encoding="utf-8")
        print(f"wrote {PAGE}")
    return 1 if arguments.strict and not all(row.holds for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
