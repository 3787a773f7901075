"""``otel-etw view``: log records, spans, events and metrics of trace files, for people or for programs."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable

import click

from otel_etw.cli.reading import Traces
from otel_etw.cli.running import warn
from otel_etw.cli.selection import Selection, parse_level
from otel_etw.cli.showing import ShowOptions, output_for, selected_entries, show
from otel_etw.cli.times import parse_time
from otel_etw.outputs.items import SIGNALS
from otel_etw.outputs.numbers import counted


@click.command("view")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path())
@click.option(
    "--signal", "signals", multiple=True, type=click.Choice(SIGNALS), help="Only these; repeatable."
)
@click.option(
    "--provider",
    "providers",
    metavar="NAME",
    multiple=True,
    help="Only providers of this name (wildcards * and ?) or GUID; repeatable.",
)
@click.option(
    "--event",
    "events",
    metavar="NAME",
    multiple=True,
    help="Only ETW events, spans, or log records with an event name, of this name (wildcards); repeatable.",
)
@click.option(
    "--level",
    metavar="LEVEL",
    help="Only this ETW level and worse: critical, error, warning, info, verbose, or a number.",
)
@click.option("--since", metavar="TIME", help="Only from this time on: 2026-03-11T12:34:56, or 10m (ago).")
@click.option("--until", metavar="TIME", help="Only before this time.")
@click.option("--grep", metavar="REGEX", help="Only rows whose text, attributes, names or ids match.")
@click.option("--limit", metavar="N", type=click.IntRange(min=1), help="Stop after N rows.")
@click.option("--tail", metavar="N", type=click.IntRange(min=1), help="Only the last N rows.")
@click.option("--file-order", is_flag=True, help="As stored, file after file, instead of by time.")
@click.option(
    "--format",
    "format_",
    type=click.Choice(("table", "jsonl")),
    default="table",
    show_default=True,
    help="For people, or one JSON object per line.",
)
@click.option("--points", is_flag=True, help="Each metric data point as a row, instead of a summary.")
@click.option("--spans", is_flag=True, help="Each span as a row, instead of a tree for each trace.")
@click.option("--wide", is_flag=True, help="Full ids and times, provider, process, thread, keyword.")
@click.option("--all-records", is_flag=True, help="Records of the kernel and of merging tools, too.")
@click.option("--local/--utc", default=False, help="Time zone shown, and assumed where none is given [UTC].")
def command(
    files: tuple[str, ...],
    signals: tuple[str, ...],
    providers: tuple[str, ...],
    events: tuple[str, ...],
    level: str | None,
    since: str | None,
    until: str | None,
    grep: str | None,
    limit: int | None,
    tail: int | None,
    file_order: bool,
    format_: str,
    points: bool,
    spans: bool,
    wide: bool,
    all_records: bool,
    local: bool,
) -> None:
    """Show what trace files hold: log records, events and trees of spans in time order, metrics as a summary.

    The spans of a trace make one row with a tree below it, at the time when the last of them ended. Beside
    each span stand its start, counted from that of the trace, its duration, and a bar that shows both.

    Times without a zone are UTC (with --local, the time of this machine); 30s, 10m, 2h, 1d and 1w are
    counted back from now. Of several values of one option one has to fit, of several options all.

    \b
    Examples:
      otel-etw view app.etl
      otel-etw view app.etl --level warning --since 10m
      otel-etw view app.etl other.etl --provider "MyCompany_*" --grep "timeout|refused"
      otel-etw view app.etl --signal spans --grep failed
      otel-etw view app.etl --grep 4bf92f3577b34da6a3ce929d0e0e4736
      otel-etw view app.etl --signal metrics
      otel-etw view app.etl --tail 20 --wide
      otel-etw view app.etl --format jsonl | jq .body
    """
    if limit is not None and tail is not None:
        raise click.UsageError("--limit and --tail exclude each other")
    now = time.time_ns()
    selection = Selection(
        signals=frozenset(signals),
        providers=providers,
        events=events,
        level=None if level is None else _parsed("--level", parse_level, level),
        since_unix_nano=_time("--since", since, now, local),
        until_unix_nano=_time("--until", until, now, local),
        grep=None if grep is None else _pattern(grep),
        all_records=all_records,
    )
    options = ShowOptions(format_, points, spans, wide, local, file_order, limit, tail)
    with Traces(files) as traces:
        output = output_for(sys.stdout, options)
        entries = selected_entries(traces, selection, options)
        shown = show(entries, output, options, before_output=_bar_remover(traces))
        sys.stdout.flush()
        traces.report()
        if not shown.stopped:
            _report_not_shown(shown.items, selection)


def _time(option: str, text: str | None, now_unix_nano: int, local: bool) -> int | None:
    if text is None:
        return None
    return _parsed(option, lambda given: parse_time(given, now_unix_nano=now_unix_nano, local=local), text)


def _pattern(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as problem:
        raise click.BadParameter(
            f"{text!r} is no regular expression: {problem}", param_hint="--grep"
        ) from None


def _parsed(option: str, parse: Callable[[str], int], text: str) -> int:
    try:
        return parse(text)
    except ValueError as problem:
        raise click.BadParameter(str(problem), param_hint=option) from None


def _bar_remover(traces: Traces) -> Callable[[], None]:
    """Rows and a progress bar do not share a terminal; rows that go elsewhere do not mind the bar."""
    return traces.progress.stop if sys.stdout.isatty() else lambda: None


def _report_not_shown(shown: int, selection: Selection) -> None:
    hidden = selection.hidden_records
    if hidden:
        warn(
            f"{counted(hidden, 'record')} of the kernel and of merging tools not shown "
            "(--all-records shows them)"
        )
    elif not shown:
        warn("nothing to show: no event fits")
