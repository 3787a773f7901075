"""``otel-etw view``: log records, spans, events and metrics of trace files, for people or for programs."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable

import click

from otel_etw.cli.reading import Traces
from otel_etw.cli.running import EXIT_DAMAGED, warn
from otel_etw.cli.selection import Selection
from otel_etw.cli.showing import ShowOptions, output_for, selected_entries, show
from otel_etw.outputs.numbers import counted
from otel_etw.tables.arguments import parse_level, parse_time
from otel_etw.tables.items import SIGNALS


@click.command("view")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(allow_dash=True))
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
@click.option(
    "--tail",
    metavar="N",
    type=click.IntRange(min=0),
    help="Only the last N rows; with --follow those, and then what comes.",
)
@click.option("-f", "--follow", "follows", is_flag=True, help="Go on with what comes, until Ctrl-C.")
@click.option(
    "--interval",
    "interval_s",
    metavar="SECONDS",
    type=click.FloatRange(min=0.01, max=3600),
    default=0.25,
    show_default=True,
    help="How often --follow looks.",
)
@click.option("--exit-on-end", is_flag=True, help="With --follow: end when all recordings have ended.")
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
@click.option("--strict", is_flag=True, help="End with exit code 3 if a file is damaged.")
@click.option("--local/--utc", default=False, help="Time zone shown, and assumed where none is given [UTC].")
@click.pass_context
def command(
    context: click.Context,
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
    follows: bool,
    interval_s: float,
    exit_on_end: bool,
    file_order: bool,
    format_: str,
    points: bool,
    spans: bool,
    wide: bool,
    all_records: bool,
    strict: bool,
    local: bool,
) -> None:
    """Show what trace files hold: log records, events and trees of spans in time order, metrics as a summary.

    The spans of a trace make one row with a tree below it, at the time when the last of them ended. Beside
    each span stand its start, counted from that of the trace, its duration, and a bar that shows both.

    FILE is a trace file, a directory, a glob, a .gz, .zst or .zip, archive.zip!member.etl, or - for standard
    input. Times without a zone are UTC (with --local, the time of this machine); 30s, 10m, 2h, 1d and 1w are
    counted back from now. Of several values of one option one has to fit, of several options all.

    With --follow rows are shown as they come, metric points too, and a trace when nothing came of it for a
    second (five, while its root is missing). It goes on with the next file of a rolling session or of the
    next run, and waits for a file that is not there yet. Ctrl-C ends it.

    \b
    Examples:
      otel-etw view app.etl
      otel-etw view app.etl --level warning --since 10m
      otel-etw view app.etl other.etl --provider "MyCompany_*" --grep "timeout|refused"
      otel-etw view traces/ "older/**/*.etl.gz" --signal spans --grep failed
      otel-etw view app.etl --grep 4bf92f3577b34da6a3ce929d0e0e4736
      otel-etw view app.etl --signal metrics
      otel-etw view app.etl --tail 20 --wide
      otel-etw view app.etl --follow --tail 20 --level warning
      otel-etw view app.etl -f --format jsonl | jq .body
      curl -s https://example.com/app.etl.gz | otel-etw view -
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
        grep=None if grep is None else grep_pattern(grep),
        all_records=all_records,
    )
    options = ShowOptions(format_, points or follows, spans, wide, local, file_order, limit, tail)
    if follows:
        is_damaged = _follow(files, selection, options, interval_s, exit_on_end)
    elif exit_on_end:
        raise click.UsageError("--exit-on-end is for --follow")
    else:
        is_damaged = _show(files, selection, options)
    if strict and is_damaged:
        context.exit(EXIT_DAMAGED)


def _show(files: tuple[str, ...], selection: Selection, options: ShowOptions) -> bool:
    with Traces(files) as traces:
        output = output_for(sys.stdout, options)
        entries = selected_entries(traces, selection, options)
        shown = show(entries, output, options, before_output=_bar_remover(traces))
        sys.stdout.flush()
        traces.say_what_is_missing()
        if not shown.stopped:
            _report_not_shown(shown.items, selection)
        return bool(traces.report)


def _follow(
    files: tuple[str, ...], selection: Selection, options: ShowOptions, interval_s: float, exit_on_end: bool
) -> bool:
    from otel_etw.cli.following import UnfollowableError, follow

    output = output_for(sys.stdout, options, live=True)
    try:
        is_damaged = follow(files, output, selection, options, interval_s=interval_s, exit_on_end=exit_on_end)
    except UnfollowableError as problem:
        raise click.UsageError(str(problem)) from None
    _report_not_shown(1, selection)
    return is_damaged


def _time(option: str, text: str | None, now_unix_nano: int, local: bool) -> int | None:
    if text is None:
        return None
    return _parsed(option, lambda given: parse_time(given, now_unix_nano=now_unix_nano, local=local), text)


def grep_pattern(text: str) -> re.Pattern[str]:
    """``text`` as a pattern; ``click.UsageError`` if it is none."""
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
