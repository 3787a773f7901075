"""``otel-etw info``: who recorded a trace file, what is in it, what was lost or damaged."""

from __future__ import annotations

import sys

import click

from otel_etw.cli.reading import Traces
from otel_etw.outputs.info_lines import LABEL_INDENT, info_lines
from otel_etw.outputs.terminal import Screen, can_encode
from otel_etw.outputs.text import json_line
from otel_etw.outputs.trace_info import TraceInfo, info_document


@click.command("info")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path())
@click.option("--json", "as_json", is_flag=True, help="One JSON object per file, each on one line.")
@click.option("--all", "everything", is_flag=True, help="List every provider, event name and damaged place.")
def command(files: tuple[str, ...], as_json: bool, everything: bool) -> None:
    """Say who recorded trace files, what is in them, and what was lost or damaged.

    The whole file is read: recorder and clock, time range, buffers, lost events, counts by record kind,
    level, provider and event name, and the place of every damage. Times are UTC.

    \b
    Examples:
      otel-etw info app.etl
      otel-etw info *.etl --all
      otel-etw info app.etl --json | jq .events_lost
    """
    screen = None if as_json else Screen(sys.stdout)
    for number, path in enumerate(files):
        with Traces([path]) as traces:
            info = TraceInfo(traces.traces[0])
            info.read(info.trace)
        if screen is None:
            click.echo(json_line(info_document(info), ascii_only=not can_encode("\u00e9\u4e2d", sys.stdout)))
            continue
        if number:
            screen.line()
        for pieces in info_lines(info, everything=everything):
            screen.wrapped(pieces, LABEL_INDENT)
