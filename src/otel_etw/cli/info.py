"""``otel-etw info``: who recorded a trace file, what is in it, what was lost or damaged."""

from __future__ import annotations

import sys

import click

from otel_etw.cli.progress import Progress
from otel_etw.cli.running import EXIT_DAMAGED, warn
from otel_etw.etl.inputs import expand, open_input
from otel_etw.outputs.terminal import Screen, can_encode
from otel_etw.outputs.text import json_line


@click.command("info")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(allow_dash=True))
@click.option("--json", "as_json", is_flag=True, help="One JSON object per file, each on one line.")
@click.option("--all", "everything", is_flag=True, help="List every provider, event name and damaged place.")
@click.option("--strict", is_flag=True, help="End with exit code 3 if a file is damaged.")
@click.pass_context
def command(
    context: click.Context, files: tuple[str, ...], as_json: bool, everything: bool, strict: bool
) -> None:
    """Say who recorded trace files, what is in them, and what was lost or damaged.

    The whole file is read: recorder and clock, time range, buffers, lost events, counts by record kind,
    level, provider and event name, the rows that its tables have, and the place of every damage. Times are
    UTC. FILE is a trace file, a directory, a glob, a .gz, .zst or .zip, archive.zip!member.etl, or -.

    \b
    Examples:
      otel-etw info app.etl
      otel-etw info *.etl --all
      otel-etw info traces/ --json | jq .tables
      otel-etw info app.etl --strict
    """
    # Imported here: it loads numpy, which asking for help does without.
    from otel_etw.outputs.info_lines import LABEL_INDENT, info_lines
    from otel_etw.outputs.trace_info import TraceInfo, info_document

    screen = None if as_json else Screen(sys.stdout)
    is_damaged = False
    notes: list[str] = []
    for number, one in enumerate(expand(files, notes)):
        with open_input(one) as trace:
            info = TraceInfo(trace)
            with Progress("reading", lambda info=info: info.fraction):  # type: ignore[misc]
                info.read()
        is_damaged = is_damaged or bool(info.damage)
        if screen is None:
            click.echo(json_line(info_document(info), ascii_only=not can_encode("\u00e9\u4e2d", sys.stdout)))
            continue
        if number:
            screen.line()
        for pieces in info_lines(info, everything=everything):
            screen.wrapped(pieces, LABEL_INDENT)
    for note in notes:
        warn(note)
    if strict and is_damaged:
        context.exit(EXIT_DAMAGED)
