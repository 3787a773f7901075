"""The command ``otel-etw`` itself: a table of subcommands, of which only the called one is loaded."""

from __future__ import annotations

from importlib import import_module

import click

from otel_etw._version import __version__

# Name -> what its help says in one line. The module of that name holds the command, named ``command``.
_COMMANDS = {
    "demo": "Run a small instrumented service, then show the trace it wrote.",
    "view": "Show log records, spans, events and metrics of trace files.",
    "info": "Say who recorded trace files, what is in them, and what was lost.",
    "sql": "Ask trace files in SQL, once or at a prompt; keep them in DuckDB.",
    "export": "Write what trace files hold as Parquet, CSV, JSON lines or OTLP.",
    "record": "Record providers into a trace file, on Windows.",
    "listen": "Show what providers say as they say it, on Windows.",
    "sessions": "List or stop the ETW sessions of this machine, on Windows.",
    "guid": "Print provider GUIDs, and how to record these providers on Windows.",
}


class LazyGroup(click.Group):
    """A group whose help comes from a table, so that asking for it loads no subcommand."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names in the order of the table: first things first."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The subcommand itself, loaded now."""
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = import_module(f"otel_etw.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The table, as it stands."""
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="otel-etw")
def cli() -> None:
    """OpenTelemetry on ETW: write, read and inspect .etl trace files on any system.

    \b
    Examples:
      otel-etw demo                          see all of it work, in seconds
      otel-etw view app.etl                  logs, spans and events by time, metrics summed up
      otel-etw info app.etl                  recorder, contents, losses, damage
      otel-etw sql app.etl "FROM logs"       its tables, asked in SQL
      otel-etw export app.etl -o tables/     its tables as files
      otel-etw record -p MyCompany_MyApp -o app.etl    what it writes, into a file (Windows)
      otel-etw listen -p MyCompany_MyApp     the same on the screen, as it comes (Windows)
      otel-etw guid MyCompany_MyApp          its GUID, and how to record it with other tools
    """
