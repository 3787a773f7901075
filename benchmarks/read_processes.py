"""Commands of the read half in processes of their own: memory of an export, the first row, imports."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.table import Row
from benchmarks.trace_files import BUFFER_BYTES, rotated, three_shapes

_COMMAND = "import sys; from otel_etw.cli import main; sys.exit(main())"

_DECODE = """
import sys, time
from otel_etw.tables.decoding import decode
start = time.perf_counter()
with decode(sys.argv[1:], tables=("logs",)) as decoding:
    rows = sum(tables["logs"].num_rows for tables in decoding)
print(rows, time.perf_counter() - start)
"""

_EXPORT = """
import sys, time
from otel_etw.cli import main
start = time.perf_counter()
try:
    main(["export", sys.argv[1], "-o", sys.argv[2], "--format", "parquet", "--table", "logs"])
except SystemExit as end:
    assert not end.code, end.code
spent = time.perf_counter() - start
import pyarrow.parquet
print(pyarrow.parquet.read_metadata(sys.argv[2]).num_rows, spent)
"""

_HELP = """
import sys
from otel_etw.cli import main
sys.stdout = open("/dev/null" if sys.platform != "win32" else "nul", "w")
try:
    main(["--help"])
except SystemExit as end:
    assert not end.code, end.code
heavy = [name for name in ("numpy", "pyarrow", "duckdb") if name in sys.modules]
print(len(heavy), *heavy, file=sys.__stdout__)
"""


def rows(folder: Path, *, quick: bool) -> Iterator[Row]:
    """Export to Parquet, the first row of a large file, what the help page imports."""
    yield from _export_rows(folder, 100_000 if quick else 2_000_000)
    yield from _first_rows(folder, 200_000 if quick else 4_500_000, rounds=3 if quick else 7)
    number, *heavy = _output(_HELP).split()
    yield Row(
        "`otel-etw --help`: how many of numpy, pyarrow and duckdb it imports",
        ", ".join(heavy) or "none",
        "none is the goal",
        int(number),
        at_most=0,
        digits=0,
    )


def _export_rows(folder: Path, events: int) -> Iterator[Row]:
    trace = folder / "export.etl"
    three_shapes(trace, events)
    decoded, decode_s = _output(_DECODE, trace).split()
    output, peak_bytes = _watched(_EXPORT, trace, folder / "logs.parquet")
    exported, export_s = output.split()
    if not int(decoded) == int(exported) == events:
        raise SystemExit(f"{events} events, of which {decoded} were decoded and {exported} exported")
    trace.unlink()
    yield Row(
        f"{events:,} log records streamed to zstd Parquet: anonymous memory of the process, at its peak",
        f"{peak_bytes / 1e6:.0f} MB",
        "200 MB the bound",
        peak_bytes / 200e6,
        at_most=1,
    )
    yield Row(
        "the same: events a second, against decoding alone",
        f"{events / float(export_s):,.0f} events/s",
        f"{events / float(decode_s):,.0f} events/s",
        float(decode_s) / float(export_s),
        at_least=0.5,
    )


def _first_rows(folder: Path, events: int, rounds: int) -> Iterator[Row]:
    """``view --limit 1``, less the same command on a file of one buffer: that is start-up."""
    straight, large, small = (folder / name for name in ("straight.etl", "view.etl", "one.etl"))
    three_shapes(straight, events)
    rotated(large, straight)
    straight.unlink()
    three_shapes(small, BUFFER_BYTES // 700)
    large_mb = large.stat().st_size / 1e6
    for order, options, bar_s in (("in time order", (), 0.3), ("`--file-order`", ("--file-order",), 0.1)):
        whole, start_up = float("inf"), float("inf")
        for _ in range(rounds):
            start_up = min(start_up, _seconds(["view", "--limit", "1", *options, str(small)]))
            whole = min(whole, _seconds(["view", "--limit", "1", *options, str(large)]))
        yield Row(
            f"`view --limit 1` of {large_mb:,.0f} MB, {order}: time after start-up",
            f"{(whole - start_up) * 1e3:.0f} ms",
            f"{bar_s * 1e3:.0f} ms the bound (start-up is {start_up * 1e3:.0f} ms)",
            (whole - start_up) / bar_s,
            at_most=1,
        )
    large.unlink()


def _seconds(arguments: Sequence[str]) -> float:
    start = time.perf_counter()
    run = subprocess.run(  # noqa: S603 - this interpreter
        [sys.executable, "-c", _COMMAND, *arguments], capture_output=True, text=True, check=True
    )
    spent = time.perf_counter() - start
    if len(run.stdout.splitlines()) != 2:
        raise SystemExit(f"expected a heading and one row, found {run.stdout!r}")
    return spent


def _output(script: str, *arguments: Path) -> str:
    return _watched(script, *arguments)[0]


def _watched(script: str, *arguments: Path) -> tuple[str, int]:
    """What a process prints, and on Linux the most anonymous memory that it was seen to have, in bytes."""
    with subprocess.Popen(  # noqa: S603 - this interpreter
        [sys.executable, "-c", script, *map(str, arguments)], stdout=subprocess.PIPE, text=True
    ) as process:
        peak = 0
        while process.poll() is None:
            peak = max(peak, _anonymous_bytes(process.pid))
            time.sleep(0.005)
        output = process.stdout.read() if process.stdout else ""
    if process.returncode:
        raise SystemExit(f"a measured process ended with {process.returncode}")
    return output, peak


def _anonymous_bytes(process_id: int) -> int:
    try:
        status = Path(f"/proc/{process_id}/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return 0
    lines = [line for line in status.splitlines() if line.startswith("RssAnon")]
    return int(lines[0].split()[1]) * 1024 if lines else 0
