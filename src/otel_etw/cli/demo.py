"""``otel-etw demo``: a small instrumented service writes a trace file, which is then read and shown."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import IO

import click

from otel_etw.cli.reading import Traces
from otel_etw.cli.selection import Selection
from otel_etw.cli.showing import ShowOptions, TableOutput, selected_entries, show, show_entry
from otel_etw.outputs.numbers import bytes_text, counted
from otel_etw.outputs.pieces import SHORT_ID
from otel_etw.outputs.span_text import has_failed
from otel_etw.outputs.span_traces import Entry, SpanTrace
from otel_etw.outputs.terminal import RowTable
from otel_etw.outputs.text import printable
from otel_etw.tables.items import LOGS

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

    Its logs, spans and metrics go to ETW events in a trace file, which is read back: log records as a table,
    some requests as trees of spans, every metric summed up. It takes a few seconds and needs neither Windows
    nor a network.

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
        output = _Excerpt(stream)
        screen = output.screen
        screen.line(
            ("A web shop ran; its logs, spans and metrics are ETW events in ", ""), (printable(path), "bold")
        )
        screen.line()
        options = ShowOptions()
        entries = selected_entries(traces, Selection(), options)
        show(entries, output, options, before_output=traces.progress.stop)
        traces.say_what_is_missing()
    if not output.records:
        screen.line(("Nothing was written: is OTEL_SDK_DISABLED set?", "yellow"))
    last = [*output.shown.values()][-1:]
    trace_id = (last[0].trace_id or "")[:SHORT_ID] if last else None
    commands = _next_commands(_quoted(path), trace_id)
    width = min(max(len(line) for line, _ in commands), _COMMAND_CELLS)
    screen.line()
    screen.line((f"{bytes_text(Path(path).stat().st_size)} in all. Next, try:", ""))
    for line, meaning in commands:
        screen.line(("  ", ""), (f"{line:<{width}}", "bold"), (f"  {meaning}", "dim"))


class _Excerpt(TableOutput):
    """The first log records, one trace of each sort, a word about the others, and the metrics of all."""

    def __init__(self, stream: IO[str]) -> None:
        super().__init__(stream, ShowOptions())
        self.records = self.spans = self.traces = self.failed = 0
        self.shown: dict[tuple[str, bool], SpanTrace] = {}
        """By the root's name and whether anything failed in it, the first of each."""

    def takes_row(self, entry: Entry) -> bool:
        """Only the first log records; the others are counted, and traces wait for the end."""
        if isinstance(entry, SpanTrace):
            self._add_trace(entry)
            return False
        if entry.signal != LOGS:
            return super().takes_row(entry)
        self.records += 1
        return self.records <= _SHOWN_ROWS

    def close(self, *, stopped: bool) -> None:
        """The rest of the log records in one line, then the traces and the metrics."""
        self._table.close()
        self._rest(self.records - _SHOWN_ROWS, "more log record")
        if self.shown:
            self._show_traces()
        super().close(stopped=stopped)

    def _add_trace(self, trace: SpanTrace) -> None:
        failed = any(has_failed(member.span) for member in trace.members)
        self.traces += 1
        self.spans += len(trace.members)
        self.failed += failed
        self.shown.setdefault((trace.members[-1].span.name, failed), trace)

    def _show_traces(self) -> None:
        self.screen.line()
        self.screen.line(
            ("Traces", "bold underline"),
            (f"  {counted(self.traces, 'trace')} ({self.failed:,} with failures)", "dim"),
            (f", {counted(self.spans, 'span')}", "dim"),
        )
        self.screen.line()
        table = RowTable(self.screen, head=False)
        for trace in self.shown.values():
            show_entry(trace, table, wide=False)
        table.close()
        self._rest(self.traces - len(self.shown), "more trace")

    def _rest(self, count: int, noun: str) -> None:
        if count > 0:
            mark = "…" if self.screen.unicode else "..."
            self.screen.line((f"{mark} and {counted(count, noun)}", "dim"))


def _next_commands(name: str, trace_id: str | None) -> list[tuple[str, str]]:
    from otel_etw.cli.demo_service import PROVIDER_NAME

    one_trace = [(f"otel-etw view {name} --grep {trace_id}", "one request: logs, spans")] if trace_id else []
    return [
        (f"otel-etw view {name} --level warning", "what went wrong"),
        *one_trace,
        (f"otel-etw view {name} --format jsonl", "everything, for programs"),
        (f"otel-etw info {name}", "the file itself"),
        (f"otel-etw guid {PROVIDER_NAME} metrics", "how to record the same on Windows"),
    ]


def _quoted(path: str) -> str:
    plain = printable(path)
    return f'"{plain}"' if " " in plain else plain
