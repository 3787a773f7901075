"""``otel-etw sessions``: the sessions of the ETW kernel that run on this machine. Windows only."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from otel_etw.cli.running import warn
from otel_etw.errors import SessionError
from otel_etw.outputs.numbers import bytes_text, counted
from otel_etw.outputs.text import json_line, printable

if TYPE_CHECKING:
    from otel_etw.sessions.control import SessionFacts

_HEAD = ("", "name", "mode", "buffers", "lost", "file")
_OWN_MARK = "*"


@click.group("sessions")
def command() -> None:
    """List the ETW sessions of this machine, or stop some of them. Windows only.

    Needs an elevated prompt (administrator), or membership in the group "Performance Log Users".

    \b
    Examples:
      otel-etw sessions list
      otel-etw sessions list --own
      otel-etw sessions stop otel-etw-record
    """


@command.command("list", short_help="List the sessions that run.")
@click.option("--own", "only_own", is_flag=True, help="Only those that otel-etw started, by their names.")
@click.option(
    "--format",
    "format_",
    type=click.Choice(("table", "jsonl")),
    default="table",
    show_default=True,
    help="For people, or one JSON object per line.",
)
def list_command(only_own: bool, format_: str) -> None:
    """List the sessions that run, with what they have lost; those of otel-etw are marked with "*"."""
    from otel_etw.sessions.control import list_sessions

    sessions = [facts for facts in list_sessions() if facts.is_own or not only_own]
    if format_ == "jsonl":
        for facts in sessions:
            click.echo(json_line(_document(facts), ascii_only=True))
        return
    for line in _table(sessions):
        click.echo(line)
    own = [facts.name for facts in sessions if facts.is_own]
    if own:
        click.echo(
            f'"{_OWN_MARK}" was started by otel-etw; to stop one: otel-etw sessions stop {_quoted(own[0])}'
        )
    elif not sessions:
        click.echo("no session runs" + (" that otel-etw started" if only_own else ""))


@command.command("stop", short_help="Stop sessions.")
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@click.option("--force", is_flag=True, help="Stop sessions that otel-etw did not start, too.")
def stop_command(names: tuple[str, ...], force: bool) -> int:
    """Stop the sessions of these names, and say what each has recorded and lost.

    What a recording has in its buffers is written to its file first.
    """
    from otel_etw.sessions.control import OWN_PREFIX, query, require_windows, stop

    require_windows()
    failures = 0
    for name in names:
        try:
            if not force and not query(name).is_own:
                raise SessionError(
                    f"session {name!r} was not started by otel-etw (its name does not begin with "
                    f"{OWN_PREFIX!r}); --force stops it all the same"
                )
            click.echo(_stopped(stop(name)))
        except SessionError as error:
            warn(str(error))
            failures += 1
    return 1 if failures else 0


def _stopped(facts: SessionFacts) -> str:
    where = f"; its file: {facts.file}" if facts.file else ""
    return printable(f"stopped {facts.name}, which lost {_lost(facts) or 'nothing'}{where}")


def _table(sessions: list[SessionFacts]) -> list[str]:
    rows = [_HEAD] if sessions else []
    for facts in sessions:
        buffers = f"{facts.buffers} x {bytes_text(facts.buffer_size_kb << 10)}"
        mark = _OWN_MARK if facts.is_own else ""
        rows.append((mark, facts.name, facts.mode_text, buffers, _lost(facts), facts.file or ""))
    rows = [tuple(map(printable, row)) for row in rows]  # type: ignore[misc]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _lost(facts: SessionFacts) -> str:
    buffers = facts.log_buffers_lost + facts.realtime_buffers_lost
    parts = [counted(facts.events_lost, "event")] if facts.events_lost else []
    return ", ".join([*parts, counted(buffers, "buffer")] if buffers else parts)


def _document(facts: SessionFacts) -> dict[str, object]:
    document = facts._asdict()
    del document["handle"], document["logger_thread_id"]
    return {**document, "mode": facts.mode_text, "own": facts.is_own}


def _quoted(name: str) -> str:
    return printable(f'"{name}"' if " " in name else name)
