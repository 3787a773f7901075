"""``otel-etw demo``: a small instrumented service writes a trace file, which is then read and shown."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import IO

import click

from otel_etw.cli.reading import Traces
from otel_etw.cli.selection import Selection
from otel_etw.cli.showing import ShowOptions, TableOutput, selected_items, show
from otel_etw.outputs.items import LOGS, Item
from otel_etw.outputs.numbers import bytes_text, counted
from otel_etw.outputs.text import printable

_SHOWN_ROWS = 20
_COMMAND_CELLS = 64


@click.command("demo")
@click.option(
    "--output",
    metavar="FILE",
    default="demo.etl",
    show_default=True,
    type=click.Path(dir_okay=False),
    help="The trace file to write; one that exists is kept as FILE.1.",
)
@click.option(
    "--count",
    metavar="N",
    default=100,
    show_default=True,
    type=click.IntRange(min=1, max=1_000_000),
    help="How many requests the service handles.",
)
@click.option(
    "--seed", metavar="N", default=23, show_default=True, help="Another seed, another day in the shop."
)
def command(output: str, count: int, seed: int) -> None:
    """Run a small web shop instrumented with the OpenTelemetry SDK, then show what it wrote.

    Its logs and metrics go to ETW events in a trace file, which is read back: log records as a table,
    every metric summed up. It takes a few seconds and needs neither Windows nor a network.

    \b
    Examples:
      otel-etw demo
      otel-etw demo --output shop.etl --count 1000
      otel-etw demo --seed 7
    """
    path = _write(output, count, seed)
    _show(path, sys.stdout)


def _write(output: str, count: int, seed: int) -> str:
    """Run the service; the path of the file, which is another one if a live process holds ``output``."""
    # Imported here, so that asking for help loads no SDK.
    from otel_etw.cli.demo_service import run_shop
    from otel_etw.sessions.embedded import EtlSession

    # A session says in the log what it cannot do; here that is said once, below.
    logging.getLogger("otel_etw").addHandler(logging.NullHandler())
    with EtlSession(output) as session:
        if session.error is not None:
            raise OSError(session.error.errno, session.error.strerror, output)
        run_shop(session, count, seed)
        path, lost, error = session.path, session.events_lost, session.error
    if lost:
        reason = f": {error.strerror}" if error is not None else ""
        raise click.ClickException(f"{printable(path)}: could not write {counted(lost, 'event')}{reason}")
    return path


def _show(path: str, stream: IO[str]) -> None:
    with Traces([path]) as traces:
        output = _FirstRows(stream)
        screen = output.screen
        screen.line(
            ("A web shop ran; its logs and metrics are ETW events in ", ""), (printable(path), "bold")
        )
        screen.line()
        items = selected_items(traces, Selection())
        show(items, output, ShowOptions(), before_output=traces.progress.stop)
        traces.report()
    if not output.records:
        screen.line(("Nothing was written: is OTEL_SDK_DISABLED set?", "yellow"))
    commands = _next_commands(_quoted(path))
    width = min(max(len(line) for line, _ in commands), _COMMAND_CELLS)
    screen.line()
    screen.line((f"{bytes_text(Path(path).stat().st_size)} in all. Next, try:", ""))
    for line, meaning in commands:
        screen.line(("  ", ""), (f"{line:<{width}}", "bold"), (f"  {meaning}", "dim"))


class _FirstRows(TableOutput):
    """The first rows, a word about the others, and the metrics of all."""

    def __init__(self, stream: IO[str]) -> None:
        super().__init__(stream, ShowOptions())
        self.records = 0

    def takes_row(self, item: Item) -> bool:
        """Only the first log records; the others are counted."""
        if item.signal != LOGS:
            return super().takes_row(item)
        self.records += 1
        return self.records <= _SHOWN_ROWS

    def close(self, *, stopped: bool) -> None:
        """The rest of the rows in one line, then the summary."""
        self._table.close()
        rest = self.records - _SHOWN_ROWS
        if rest > 0:
            mark = "…" if self.screen.unicode else "..."
            self.screen.line((f"{mark} and {counted(rest, 'more log record')}", "dim"))
        super().close(stopped=stopped)


def _next_commands(name: str) -> list[tuple[str, str]]:
    from otel_etw.cli.demo_service import PROVIDER_NAME

    return [
        (f"otel-etw view {name} --signal logs --level warning", "what went wrong"),
        (f"otel-etw view {name} --format jsonl", "everything, for programs"),
        (f"otel-etw info {name}", "the file itself"),
        (f"otel-etw guid {PROVIDER_NAME} metrics", "how to record the same on Windows"),
    ]


def _quoted(path: str) -> str:
    plain = printable(path)
    return f'"{plain}"' if " " in plain else plain
