"""``otel-etw export``: what trace files hold, as Parquet, CSV, JSON lines or OTLP."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from otel_etw.cli.filtering import selection_from, selection_options
from otel_etw.cli.progress import Progress
from otel_etw.cli.running import EXIT_DAMAGED, warn
from otel_etw.outputs.numbers import bytes_text, counted, duration_text

if TYPE_CHECKING:
    import pyarrow as pa

    from otel_etw.outputs.export.driver import Summary, Target
    from otel_etw.outputs.export.formats import Format

_BATCH_BYTES = 2 * 1024 * 1024
"""Of raw records, decoded at a time: writers hold memory of their own."""
_FORMATS = ("parquet", "csv", "jsonl", "otlp-json", "otlp-proto")
_TABLES = ("logs", "spans", "metric_points", "events")
_PARTITION_KEYS = ("date", "service", "provider")
_PROVIDER_EVENTS = "event_header"
"""How ``kind`` begins for events of providers, as opposed to records of the kernel and the recorder."""

_PACKED = (".gz", ".zst", ".zip")
_OTHER_NAMES = {"metrics": "metric_points"}


def _words(allowed: tuple[str, ...]) -> Any:
    """A callback for an option whose value is a list with commas of some of ``allowed``."""

    def split(_: click.Context, parameter: click.Parameter, text: str | None) -> tuple[str, ...]:
        words = [word.strip() for word in (text or "").split(",") if word.strip()]
        words = list(dict.fromkeys(_OTHER_NAMES.get(word, word) for word in words))
        for word in words:
            if word not in allowed:
                raise click.BadParameter(
                    f"expected some of {', '.join(allowed)}, found {word!r}", param_hint=parameter.opts[0]
                )
        return tuple(words)

    return split


@click.command("export")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(allow_dash=True))
@click.option(
    "-o",
    "--output",
    metavar="PATH",
    required=True,
    type=click.Path(allow_dash=True),
    help="A directory, which gets a file for each table; a file, whose extension tells the format; or -.",
)
@click.option(
    "--format",
    "format_name",
    type=click.Choice(_FORMATS),
    help="[default: what the extension says, parquet for a directory]",
)
@click.option(
    "--tables",
    "--table",
    metavar="NAME,...",
    callback=_words(_TABLES),
    help="Only these of logs, spans, metric_points (or metrics), events.",
)
@selection_options
@click.option("--file-order", is_flag=True, help="As stored, file after file, instead of by time.")
@click.option("--all-events", is_flag=True, help="In events also those whose content is in another table.")
@click.option(
    "--events-as-logs",
    is_flag=True,
    help="Events that are no OpenTelemetry data as log records, by its (not normative) mapping of ETW.",
)
@click.option(
    "--partition-by",
    metavar="KEY,...",
    callback=_words(_PARTITION_KEYS),
    help="Parquet as trees of directories by date, service, provider, in this order; Hive style.",
)
@click.option("--overwrite", is_flag=True, help="Replace what is there.")
@click.option(
    "--jobs",
    metavar="N",
    default=1,
    show_default=True,
    type=click.IntRange(min=1),
    help="How many processes decode.",
)
@click.option("--strict", is_flag=True, help="End with exit code 3 if a file is damaged.")
@click.pass_context
def command(
    context: click.Context,
    files: tuple[str, ...],
    output: str,
    format_name: str | None,
    tables: tuple[str, ...],
    providers: tuple[str, ...],
    level: str | None,
    since: str | None,
    until: str | None,
    file_order: bool,
    all_events: bool,
    events_as_logs: bool,
    partition_by: tuple[str, ...],
    overwrite: bool,
    jobs: int,
    strict: bool,
) -> None:
    """Write what trace files hold as Parquet, CSV, JSON lines or OTLP, in time order.

    There are four tables: logs, spans, metric_points, and events, which has every event that is none of the
    others. Tables without rows leave no file. A file takes one table, but JSON lines, and OTLP's JSON lines,
    take all: each line then says its table. In a directory OTLP's files are logs, traces and metrics, as a
    Collector's file receivers want them; otlp-proto is the format of its file exporter, messages after their
    length.

    Nothing stands under its name before all of it is written. What exists is replaced only with --overwrite.

    \b
    Examples:
      otel-etw export app.etl -o tables/
      otel-etw export app.etl -o spans.parquet --table spans
      otel-etw export logs/*.etl.zip -o lake/ --partition-by date,service --jobs 4
      otel-etw export app.etl -o - --format jsonl --level warning | jq .body
      otel-etw export app.etl -o errors.csv --table logs --level error --since 2h
      otel-etw export app.etl -o otlp/ --format otlp-json
      otel-etw export windows.etl -o logs.otlp.jsonl --events-as-logs
    """
    target = replace(_target(output, format_name, partition_by), in_time_order=not file_order)
    wanted = _wanted_tables(tables, target.format, all_events, events_as_logs)
    selection = selection_from(providers, level, since, until)

    # Imported here, so that asking for help loads neither numpy nor pyarrow.
    from otel_etw.outputs.export.driver import check_target, export
    from otel_etw.tables.decoding import decode

    check_target(target, wanted, overwrite=overwrite)
    started = time.perf_counter()
    counted_only = ("events",) if target.format.is_otlp and not tables and not events_as_logs else ()
    with decode(
        files,
        tables=(*wanted, *counted_only),
        selection=selection,
        order="file" if file_order else "time",
        jobs=jobs,
        events_as_logs=events_as_logs,
        other_events_only=not all_events,
        batch_bytes=_BATCH_BYTES,
    ) as decoding:
        steps = _Steps(iter(decoding), counted_only)
        with Progress("exporting", lambda: decoding.fraction) as progress:
            if target.path is None and sys.stdout.isatty():
                progress.stop()
            summary = export(steps, target, wanted, overwrite=overwrite)
        report = decoding.report
    for line in report.lines():
        warn(line)
    _say(summary, steps.passed_over, target, time.perf_counter() - started)
    if strict and report:
        context.exit(EXIT_DAMAGED)


class _Steps:
    """The steps of decoding; events of providers are counted in tables that have no form in the format."""

    def __init__(self, steps: Iterator[Mapping[str, pa.RecordBatch]], counted_only: tuple[str, ...]) -> None:
        self._steps = steps
        self._counted_only = counted_only
        self.passed_over = 0

    def __iter__(self) -> Iterator[Mapping[str, pa.RecordBatch]]:
        for step in self._steps:
            for table in self._counted_only:
                kinds = step[table].column("kind").to_pylist()
                self.passed_over += sum(kind.startswith(_PROVIDER_EVENTS) for kind in kinds)
            yield step


def _wanted_tables(
    tables: tuple[str, ...], format_: Format, all_events: bool, events_as_logs: bool
) -> tuple[str, ...]:
    from otel_etw.outputs.export.formats import OTLP_TABLES

    if format_.is_otlp:
        if "events" in tables:
            raise click.UsageError("events have no form in OTLP; --events-as-logs makes them log records")
        return tables or OTLP_TABLES
    if tables:
        return tuple(table for table in _TABLES if table in tables)
    # As log records the events are there already.
    return _TABLES[:-1] if events_as_logs and not all_events else _TABLES


def _target(output: str, format_name: str | None, partition_by: tuple[str, ...]) -> Target:
    from otel_etw.outputs.export.driver import Target
    from otel_etw.outputs.export.formats import FORMATS, PARQUET, format_of

    if output == "-":
        if format_name is None:
            raise click.UsageError("standard output needs a --format")
        if not FORMATS[format_name].streams:
            raise click.UsageError(f"{format_name} cannot go to standard output: name a file or a directory")
        if partition_by:
            raise click.UsageError("--partition-by needs a directory")
        if format_name == "otlp-proto" and sys.stdout.isatty():
            raise click.UsageError("otlp-proto is nothing for a terminal: name a file")
        return Target(FORMATS[format_name])
    path = Path(output)
    is_directory = path.is_dir() or output.endswith(("/", os.sep))
    told = None if is_directory else format_of(output)
    if told is None and path.suffix.lower() in _PACKED and not is_directory:
        raise click.UsageError(f"{output}: packed files are not written; name a file without {path.suffix}")
    format_ = FORMATS[format_name] if format_name else told or PARQUET
    if told is not None and not format_.accepts(output):
        raise click.UsageError(f"{output} has the extension of {told.name}, not of {format_.name}")
    if partition_by and (told is not None or format_ is not PARQUET):
        raise click.UsageError("--partition-by makes directories of Parquet files, and nothing else")
    return Target(format_, path, told is None, partition_by)


def _say(summary: Summary, passed_over: int, target: Target, seconds: float) -> None:
    """What was written, in a line or two on stderr."""
    if passed_over:
        events = counted(passed_over, "event")
        warn(f"{events} with no form in OTLP left out (--events-as-logs makes log records of them)")
    rows = [counted(count, table.removesuffix("s")) for table, count in summary.rows.items() if count]
    if not rows:
        warn("nothing to export: no event fits")
        return
    if summary.without_rows and target.is_directory:
        warn(f"no rows, hence no file: {', '.join(summary.without_rows)}")
    place = "standard output" if target.path is None else str(target.path)
    size = f" ({bytes_text(summary.size_bytes)})" if target.path is not None else ""
    warn(f"{', '.join(rows)} to {place}{size} in {duration_text(int(seconds * 1e9))}")
