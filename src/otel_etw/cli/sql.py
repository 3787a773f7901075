"""``otel-etw sql``: questions to trace files in SQL."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from otel_etw.cli.filtering import selection_from, selection_options
from otel_etw.cli.progress import Progress
from otel_etw.cli.running import EXIT_DAMAGED, warn
from otel_etw.outputs.numbers import counted

if TYPE_CHECKING:
    from otel_etw.cli.sql_output import Shape
    from otel_etw.loading import Loaded

_FORMATS = ("table", "csv", "json", "jsonl", "parquet", "markdown")
_TRACE_ENDINGS = (".etl", ".zip", ".gz", ".zst")


@click.command("sql")
@click.argument("arguments", metavar="FILE... [QUERY]", nargs=-1)
@click.option("-q", "--query", "given_query", metavar="QUERY", help="The query, instead of as last argument.")
@click.option(
    "--query-file",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A file that holds the query.",
)
@click.option(
    "--format",
    "format_name",
    type=click.Choice(_FORMATS),
    help="[default: what the extension of -o says, table without one]",
)
@click.option("-o", "--output", metavar="FILE", help="Write the result to FILE instead of standard output.")
@click.option(
    "--max-rows",
    metavar="N",
    default=50,
    show_default=True,
    type=click.IntRange(min=0),
    help="So many rows of a table are shown, and all are counted; 0 for all.",
)
@click.option("--wide", is_flag=True, help="Tables as wide as they are: no column left out, no value cut.")
@selection_options
@click.option(
    "--events-as-logs",
    is_flag=True,
    help="Events that are no OpenTelemetry data in logs too, by its (not normative) mapping of ETW.",
)
@click.option(
    "--jobs",
    metavar="N",
    default=1,
    show_default=True,
    type=click.IntRange(min=1),
    help="How many processes decode.",
)
@click.option("--schema", is_flag=True, help="Say what the tables are and what their columns mean.")
@click.option("--save", metavar="FILE", help="Keep all four tables in FILE, a DuckDB database.")
@click.option("--overwrite", is_flag=True, help="Let -o and --save replace what is there.")
@click.option("--strict", is_flag=True, help="End with exit code 3 if a file is damaged.")
@click.pass_context
def command(
    context: click.Context,
    arguments: tuple[str, ...],
    given_query: str | None,
    query_file: Path | None,
    format_name: str | None,
    output: str | None,
    max_rows: int,
    wide: bool,
    providers: tuple[str, ...],
    level: str | None,
    since: str | None,
    until: str | None,
    events_as_logs: bool,
    jobs: int,
    schema: bool,
    save: str | None,
    overwrite: bool,
    strict: bool,
) -> None:
    """Ask trace files in SQL (DuckDB's): tables logs, spans, metric_points, events.

    FILE is a trace file, a directory, a glob, a .gz, .zst or .zip, archive.zip!member.etl, or - for standard
    input. Without a query, and without one on standard input, there is a prompt with history and completion.
    attributes->>'key' is the value of an attribute. Times are UTC (TIMESTAMP_NS); only tables that a query
    needs are decoded. Queries see the tables and nothing else: no other file, no network. Of several
    statements the last one's result is shown.

    \b
    Examples:
      otel-etw sql app.etl "SELECT severity_text, count(*) FROM logs GROUP BY ALL"
      otel-etw sql app.etl "SELECT attributes->>'order.id' AS id, body FROM logs WHERE body LIKE '%failed%'"
      otel-etw sql *.etl "SELECT name, median(duration_ns)/1e6 AS ms FROM spans GROUP BY ALL ORDER BY ms"
      otel-etw sql app.etl "FROM spans" -o spans.parquet
      otel-etw sql app.etl --since 2h "SUMMARIZE events" --format json
      otel-etw sql app.etl < question.sql
      otel-etw sql app.etl --save app.duckdb
      otel-etw sql app.etl
    """
    # Imported here, so that asking for help loads neither numpy, pyarrow nor duckdb.
    from otel_etw.cli.sql_output import Shape, format_for

    if schema:
        _show_schema(wide)
        return
    files, query = _files_and_query(arguments, given_query, query_file)
    shape = Shape(format_for(format_name, output), max_rows, wide)
    query = _typed_query(files, query, needed=save is None)

    from otel_etw.loading import Loaded

    loaded = Loaded(files, selection_from(providers, level, since, until), "time", jobs, events_as_logs)
    if save is not None:
        _save(loaded, Path(save), overwrite)
    if query is not None:
        _ask(loaded, query, shape, None if output is None else Path(output), overwrite)
    elif save is None:
        from otel_etw.cli.sql_prompt import Prompt

        Prompt(loaded, shape).run()
    for line in (*loaded.notes, *loaded.report.lines()):
        warn(line)
    if strict and loaded.report:
        context.exit(EXIT_DAMAGED)


def _files_and_query(
    arguments: tuple[str, ...], given_query: str | None, query_file: Path | None
) -> tuple[tuple[str, ...], str | None]:
    """Files, and the query: the last argument if it cannot be a file and none is given otherwise."""
    files, query = arguments, given_query
    if query is not None and query_file is not None:
        raise click.UsageError("--query and --query-file exclude each other")
    if query_file is not None:
        query = query_file.read_text(encoding="utf-8-sig", errors="replace")
    if query is None and files and not _names_a_file(files[-1]):
        files, query = files[:-1], files[-1]
    if not files:
        raise click.UsageError("no trace file is given: otel-etw sql FILE... QUERY")
    return files, query


def _names_a_file(argument: str) -> bool:
    """Whether it is a file, directory or glob, or looks as if it was meant to be one."""
    if argument == "-" or os.path.lexists(argument) or glob.glob(argument, recursive=True):
        return True
    looks_so = argument.lower().endswith(_TRACE_ENDINGS) or "/" in argument or "\\" in argument
    return looks_so and not any(character.isspace() for character in argument)


def _typed_query(files: tuple[str, ...], query: str | None, *, needed: bool) -> str | None:
    """``query``, or else what standard input has; ``None`` asks for the prompt, or for nothing."""
    if query is not None and not query.strip():
        raise click.UsageError("the query is empty")
    if query is not None or not needed:
        return query
    if "-" in files:
        raise click.UsageError("standard input is the trace already, so the query has to be an argument")
    if sys.stdin is None or not sys.stdin.isatty():
        query = "" if sys.stdin is None else sys.stdin.read()
        if not query.strip():
            raise click.UsageError("no query is given, neither as argument nor on standard input")
        return query
    if not sys.stdout.isatty():
        raise click.UsageError("the prompt needs a terminal; without one a query has to be an argument")
    return None


def _ask(loaded: Loaded, query: str, shape: Shape, output: Path | None, overwrite: bool) -> None:
    from otel_etw.cli.sql_output import show, write
    from otel_etw.outputs.sql import Database

    with (
        Database(loaded.source(keep=False)) as database,
        Progress("reading", lambda: loaded.fraction) as progress,
    ):
        result = database.query(query)
        if result is None:
            progress.stop()
            warn("done; no statement had a result")
        elif output is None:
            show(result, shape, _bar_remover(progress))
            sys.stdout.flush()
        else:
            rows = write(result, shape, output, overwrite=overwrite)
            progress.stop()
            warn(f"{counted(rows, 'row')} to {output}")


def _save(loaded: Loaded, path: Path, overwrite: bool) -> None:
    from otel_etw.outputs.sql_file import save_tables

    with Progress("saving", lambda: loaded.fraction):
        rows = save_tables(loaded.steps(), path, overwrite=overwrite)
    warn(f"{', '.join(counted(count, table.removesuffix('s')) for table, count in rows.items())} to {path}")


def _bar_remover(progress: Progress) -> Callable[[], None]:
    """Rows and a progress bar do not share a terminal; rows that go elsewhere do not mind the bar."""
    return progress.stop if sys.stdout.isatty() else lambda: None


def _show_schema(wide: bool) -> None:
    from otel_etw.cli.sql_schema import schema_lines
    from otel_etw.outputs.terminal import Screen

    screen = Screen(sys.stdout)
    for pieces, indent in schema_lines():
        screen.wrapped(pieces, indent)
