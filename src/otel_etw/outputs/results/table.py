"""A result as a table for people: columns that fit the terminal, numbers aligned, every cell safe to show.

On a terminal the widest columns are cut until all fit; columns for which even that leaves no room are left
out, and a note below says both.  Elsewhere, and with ``wide``, nothing is cut.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from rich.cells import cell_len, set_cell_size

from otel_etw.outputs.numbers import counted, time_text
from otel_etw.outputs.pieces import Pieces
from otel_etw.outputs.results.lines import is_number
from otel_etw.outputs.results.values import unix_nanos, values_of
from otel_etw.outputs.terminal import Screen
from otel_etw.outputs.text import lines_of, plain_text

_GAP = 2
_LEAST_CELLS = 16
"""Columns of text are cut down to this, not further."""
_MOST_CELLS = 1_000
"""Longer text is cut even where nothing else is: every row would be as wide as one cell of megabytes."""
_NULL = "null"
_PLAN = ["explain_key", "explain_value"]


@dataclass
class _Column:
    name: str
    right: bool
    whole: bool
    """Never cut: half a number or time would be another one."""
    cells: list[str | None]
    width: int
    was_cut: bool = False

    @property
    def least(self) -> int:
        """How narrow the column may become."""
        return self.width if self.whole else min(self.width, _LEAST_CELLS)


def show_result(
    screen: Screen,
    schema: pa.Schema,
    batches: Iterable[pa.RecordBatch],
    *,
    max_rows: int | None,
    wide: bool,
    hints: tuple[str, str] = ("--max-rows", "--wide"),
) -> int:
    """Show the first ``max_rows`` rows (all if ``None``), and how many there are, which is the answer.

    ``hints`` say how to get all rows, and all of each.
    """
    rows = 0
    shown: list[pa.RecordBatch] = []
    for batch in batches:
        if max_rows is None or rows < max_rows:
            shown.append(batch if max_rows is None else batch.slice(0, max_rows - rows))
        rows += batch.num_rows
    if schema.names == _PLAN:
        _show_plan(screen, shown)
        return rows
    columns = [_column(schema.field(number), number, shown) for number in range(len(schema))]
    fitting = _fit(columns, None if wide else screen.width)
    _write(screen, fitting)
    _note(screen, rows, sum(batch.num_rows for batch in shown), columns, fitting, hints)
    return rows


def _show_plan(screen: Screen, batches: Iterable[pa.RecordBatch]) -> None:
    """What EXPLAIN answers is a picture, of several lines in one cell."""
    for batch in batches:
        for text in batch.column(1).to_pylist():
            for line in lines_of(text or ""):
                screen.line((line, ""))


def _column(of: pa.Field, number: int, batches: Iterable[pa.RecordBatch]) -> _Column:
    name, cells = plain_text(of.name), _texts(of.type, [batch.column(number) for batch in batches])
    width = max(cell_len(_NULL if text is None else text) for text in (name, *cells))
    right = is_number(of.type)
    return _Column(name, right, right or pa.types.is_timestamp(of.type), cells, width)


def _texts(kind: pa.DataType, arrays: list[pa.Array]) -> list[str | None]:
    if pa.types.is_timestamp(kind):
        return _time_texts([moment for array in arrays for moment in unix_nanos(array)])
    values: list[Any] = []
    for array in arrays:
        values += array.to_pylist() if pa.types.is_binary(kind) else values_of(array)
    return [None if value is None else _bounded(plain_text(value)) for value in values]


def _time_texts(moments: list[int | None]) -> list[str | None]:
    """Times with as many digits (0, 3, 6, 9) as the most precise of them needs."""
    digits = 0
    for moment in moments:
        while digits < 9 and moment is not None and moment % 10 ** (9 - digits):
            digits += 3
    return [None if moment is None else time_text(moment, digits=digits) for moment in moments]


def _bounded(text: str) -> str:
    return text if len(text) <= _MOST_CELLS else f"{text[:_MOST_CELLS]}... ({len(text):,} characters)"


def _fit(columns: list[_Column], width: int | None) -> list[_Column]:
    """Cut the widest columns until all fit into ``width``; the columns that there is room for."""
    if width is None:
        return columns
    fitting = list(columns)
    while len(fitting) > 1 and sum(column.least for column in fitting) + _GAP * (len(fitting) - 1) > width:
        fitting.pop()
    spare = width - _GAP * (len(fitting) - 1)
    # The narrowest first: what it leaves of its share is for the others.
    for number, column in enumerate(sorted(fitting, key=lambda column: (not column.whole, column.width))):
        share = spare // (len(fitting) - number)
        cut_to = min(column.width, max(share, column.least, 1))
        column.was_cut = cut_to < column.width
        column.width = cut_to
        spare -= cut_to
    return fitting


def _write(screen: Screen, columns: list[_Column]) -> None:
    mark = "…" if screen.unicode else "~"
    screen.line(*_joined([(_cell(column.name, column, mark), "bold") for column in columns]))
    for row in zip(*(column.cells for column in columns), strict=True):
        pieces = [
            (_cell(_NULL, column, mark), "dim") if text is None else (_cell(text, column, mark), "")
            for text, column in zip(row, columns, strict=True)
        ]
        screen.line(*_joined(pieces))


def _joined(cells: Pieces) -> Pieces:
    gap = (" " * _GAP, "")
    return [piece for cell in cells for piece in (gap, cell)][1:]


def _cell(text: str, column: _Column, mark: str) -> str:
    missing = column.width - cell_len(text)
    if missing < 0:
        return set_cell_size(text, column.width - 1) + mark
    return " " * missing + text if column.right else text + " " * missing


def _note(
    screen: Screen,
    rows: int,
    shown: int,
    columns: list[_Column],
    fitting: list[_Column],
    hints: tuple[str, str],
) -> None:
    facts = [counted(rows, "row")]
    if shown < rows:
        facts.append(f"the first {shown:,} shown ({hints[0]})")
    incomplete = []
    if len(fitting) < len(columns):
        incomplete.append(f"{len(fitting)} of {len(columns)} columns shown")
    if any(column.was_cut for column in fitting):
        incomplete.append("long values cut")
    if incomplete:
        facts.append(f"{', '.join(incomplete)} ({hints[1]})")
    screen.wrapped([(f"({'; '.join(facts)})", "dim")], 1)
