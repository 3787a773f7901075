"""``python -m benchmarks``: measure, print the rows, and with ``--write`` put them into the page."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks import do_nothing, handler_rows, log_rows, metric_rows, span_rows, thread_rows
from benchmarks.table import Row, machine, markdown

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "benchmarks.md"
SHARED = Path(os.environ.get("OTEL_ETW_SHARED") or ROOT.parent / "shared")
WINDOWS_FILE = SHARED / "corpus" / "net.4.5.2.x86.etl"

_HEAD = """# Benchmarks

Made by `python -m benchmarks --write`; every row is measured beside its peer in the same run, the rivals
taking turns, and of each the best round counts.

{machine}
"""
_SECTIONS = {
    "write": (
        "## The write half",
        """"Own cost" is the difference between two loops of the SDK's `emit`: one with our processor,
one with a processor that does nothing.""",
    ),
    "read": (
        "## The read half",
        """The file is made by `benchmarks/trace_files.py`: log records of a web shop, as this package writes
them. Slow rivals read fewer of the same records, and times are per event.""",
    ),
}


def measure_write(folder: Path, rounds: int, *, quick: bool) -> Iterator[Row]:
    """The rows of the write half, in the order of the table."""
    function = do_nothing.build(folder)
    yield from log_rows.rows(function, folder, rounds)
    yield from handler_rows.rows(function, folder, rounds)
    yield from span_rows.rows(function, folder, rounds)
    yield from metric_rows.rows(rounds)
    yield from thread_rows.thread_rows(folder, rounds)
    if sys.platform == "linux":
        yield thread_rows.memory_row(50_000 if quick else 1_000_000)


def measure_read(folder: Path, *, quick: bool) -> Iterator[Row]:
    """The rows of the read half, in the order of the table."""
    from benchmarks import read_processes, read_rows  # numpy and pyarrow, which the write half does without

    yield from read_rows.rows(folder, quick=quick)
    if WINDOWS_FILE.exists():
        yield read_rows.windows_row(WINDOWS_FILE, rounds=1 if quick else 3)
    yield from read_processes.rows(folder, quick=quick)


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=25, help="rounds per rival when writing (default 25)")
    parser.add_argument("--only", choices=tuple(_SECTIONS), help="measure one half only")
    parser.add_argument("--quick", action="store_true", help="few rounds and events, to see that it runs")
    parser.add_argument("--strict", action="store_true", help="exit with 1 if a bar is missed")
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.md")
    arguments = parser.parse_args()
    rounds = 5 if arguments.quick else arguments.rounds
    tables: dict[str, list[Row]] = {}
    with tempfile.TemporaryDirectory() as folder:
        if arguments.only != "read":
            tables["write"] = _shown(measure_write(Path(folder), rounds, quick=arguments.quick))
        if arguments.only != "write":
            tables["read"] = _shown(measure_read(Path(folder), quick=arguments.quick))
    if arguments.write:
        PAGE.write_text(_page(tables, PAGE.read_text(encoding="utf-8")), encoding="utf-8")
        print(f"wrote {PAGE}")
    holds = all(row.holds for rows in tables.values() for row in rows)
    return 1 if arguments.strict and not holds else 0


def _shown(rows: Iterator[Row]) -> list[Row]:
    shown = []
    for row in rows:
        shown.append(row)
        sign = " " if row.holds else "!"
        print(f"{sign} {row.ratio:8.3f} {row.bar:>8}  {row.what}: {row.ours}, {row.peer}", flush=True)
    return shown


def _page(tables: dict[str, list[Row]], before: str) -> str:
    """The page, with the sections of ``before`` that were not measured now."""
    parts = [_HEAD.format(machine=machine())]
    for name, (heading, text) in _SECTIONS.items():
        if name in tables:
            parts.append(f"{heading}\n\n{text}\n\n{markdown(tables[name])}\n")
        elif heading in before:
            rest = before.partition(heading)[2].split("\n## ")[0].strip("\n")
            parts.append(f"{heading}\n\n{rest}\n")
    return "\n".join(parts)


if __name__ == "__main__":
    sys.exit(main())
