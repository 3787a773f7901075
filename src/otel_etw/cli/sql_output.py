"""Where results of ``otel-etw sql`` go: standard output, or a file that is complete or not there."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

import click

from otel_etw.outputs.export.staging import Staging
from otel_etw.outputs.export.standard_output import StandardOutput
from otel_etw.outputs.results.lines import LINE_FORMATS, write_lines
from otel_etw.outputs.results.table import show_result
from otel_etw.outputs.terminal import Screen

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pyarrow as pa

    from otel_etw.outputs.sql import Result

TABLE = "table"
PARQUET = "parquet"
_EXTENSIONS = {
    ".csv": "csv",
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".md": "markdown",
    ".parquet": PARQUET,
}


@dataclass
class Shape:
    """How a result looks; all but ``format`` concerns tables.

    ``max_rows`` 0 stands for all rows; ``hints`` say how to get all rows, and all of each.
    """

    format: str = TABLE
    max_rows: int = 50
    wide: bool = False
    hints: tuple[str, str] = ("--max-rows", "--wide")

    def table(self, screen: Screen, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> int:
        """Show a table; the number of its rows."""
        return show_result(
            screen, schema, batches, max_rows=self.max_rows or None, wide=self.wide, hints=self.hints
        )


def format_for(name: str | None, output: str | None) -> str:
    """The format that was asked for, or that the output's extension tells. Raises ``UsageError``."""
    told = _EXTENSIONS.get(Path(output).suffix.lower()) if output is not None else None
    chosen = name or told or TABLE
    if chosen == PARQUET and output is None:
        raise click.UsageError("parquet needs a file: -o FILE")
    return chosen


def show(result: Result, shape: Shape, before_output: Callable[[], None]) -> int:
    """Write ``result`` to standard output, after ``before_output``; the number of its rows."""
    if shape.format == TABLE:
        return shape.table(Screen(sys.stdout), result.schema, _then(result, before_output))
    batches = iter(result)
    first = [batch for batch in [next(batches, None)] if batch is not None]
    before_output()
    stream = StandardOutput(sys.stdout)
    count = write_lines(shape.format, result.schema, chain(first, batches), cast(BinaryIO, stream))
    stream.close()
    return count


def _then(batches: Iterable[pa.RecordBatch], at_end: Callable[[], None]) -> Iterator[pa.RecordBatch]:
    yield from batches
    at_end()


def write(result: Result, shape: Shape, path: Path, *, overwrite: bool) -> int:
    """Write ``result`` to a file; the number of its rows. Raises ``ExportError`` and ``OSError``."""
    with Staging(overwrite=overwrite) as staging:
        staging.check_free(path)
        hidden = staging.file(path)
        if shape.format == PARQUET:
            from otel_etw.outputs.results.parquet import write_parquet  # slow to load

            rows = write_parquet(hidden, result.schema, result)
        elif shape.format in LINE_FORMATS:
            with hidden.open("wb") as stream:
                rows = write_lines(shape.format, result.schema, result, stream)
        else:
            with hidden.open("w", encoding="utf-8", errors="replace") as text:
                rows = shape.table(Screen(text), result.schema, result)
        staging.commit()
    return rows
