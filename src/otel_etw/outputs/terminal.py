"""Where lines for people go: colours, width and character set of the output, and rows in aligned columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import IO

from rich.cells import cell_len, set_cell_size
from rich.color import ColorSystem
from rich.console import Console
from rich.style import Style
from rich.text import Text

from otel_etw.outputs.numbers import time_text
from otel_etw.outputs.pieces import Pieces
from otel_etw.outputs.rows import Row
from otel_etw.outputs.span_lines import Tree, tree_columns

_LOOKAHEAD_ROWS = 100
_LOOKAHEAD_SPANS = 2_000
_SOURCE_CELLS = 28
_WIDE_SOURCE_CELLS = 80
_LEVEL_CELLS = 6
_MIN_TEXT_CELLS = 24
_NARROW_INDENT = 4


class Screen:
    """A stream for people. Styles show only where the stream is a terminal or colour is forced.

    ``NO_COLOR`` and ``FORCE_COLOR`` are heeded (rich finds out). ``width`` is ``None`` where lines are not to
    be wrapped, because something other than a terminal takes them.
    """

    def __init__(self, stream: IO[str]) -> None:
        self._console = Console(file=stream, highlight=False, markup=False, emoji=False)
        self._stream = stream
        self._plain = self._console.color_system is None or self._console.no_color
        self._styles: dict[str, Style] = {}
        self.width = self._console.width if stream.isatty() else None
        self.unicode = can_encode("▁▂▃▄▅▆▇█…│├└─━╸╺", stream)

    @property
    def console(self) -> Console:
        """rich's view of the same stream."""
        return self._console

    def line(self, *pieces: tuple[str, str]) -> None:
        """Write one line made of (text, style) pieces."""
        if self._plain:
            self._stream.write("".join(text for text, _ in pieces).rstrip() + "\n")
        elif self._console.legacy_windows:
            self._console.print(Text.assemble(*pieces), soft_wrap=True)
        else:
            self._stream.write("".join(self._styled(text, style) for text, style in pieces) + "\n")

    def wrapped(self, pieces: Pieces, indent: int, guide: str = "") -> None:
        """Write a line; what does not fit the terminal continues below, ``indent`` cells in, after ``guide``.

        Less far in, and without ``guide``, where the terminal is too narrow for that. A terminal never gets
        to break a line by itself: what continues at its left edge could pass for a line of its own.
        """
        width = self.width
        if width is None or _cells(pieces) <= width:
            self.line(*pieces)
            return
        wanted = indent + cell_len(guide)
        fitting = self.fitting(wanted)
        margin = " " * indent + guide if fitting == wanted else " " * fitting
        text = Text.assemble(*pieces, end="")
        first, *rest = _wrap(self._console, text, width, fitting)
        self.line(*first)
        for pieces_below in rest:
            self.line((margin, "dim"), *pieces_below)

    def fitting(self, indent: int) -> int:
        """``indent``, or a small one if that leaves no room for text."""
        if self.width is None or self.width - indent >= _MIN_TEXT_CELLS:
            return indent
        return min(indent, _NARROW_INDENT, max(self.width - 1, 0))

    def _styled(self, text: str, style: str) -> str:
        if not style or not text:
            return text
        found = self._styles.get(style)
        if found is None:
            found = self._styles[style] = Style.parse(style)
        return found.render(text, color_system=ColorSystem.STANDARD)


class RowTable:
    """Rows as they come, in columns that fit the first hundred and grow when a wider value comes.

    Call :meth:`close` at the end: the first rows are held back until the widths are known.
    """

    def __init__(self, screen: Screen, *, wide: bool = False, local: bool = False, head: bool = True) -> None:
        self._screen = screen
        self._head = head
        self._wide = wide
        self._local = local
        self._waiting: list[tuple[Row, Tree | None]] | None = []
        self._waiting_spans = 0
        self._source_cells = self._trace_cells = 0
        self.rows = 0

    def add(self, row: Row, tree: Tree | None = None, *, spans: int = 0) -> None:
        """Show ``row``, and below it a ``tree`` of so many ``spans``, now or with the rows that wait."""
        self.rows += 1
        if self._waiting is None:
            self._write(row, tree)
            return
        self._waiting.append((row, tree))
        self._waiting_spans += spans
        if len(self._waiting) >= _LOOKAHEAD_ROWS or self._waiting_spans >= _LOOKAHEAD_SPANS:
            self.close()

    def flush(self) -> None:
        """Write what waits, if there is anything, with columns that fit so far."""
        if self._waiting:
            self.close()

    def close(self) -> None:
        """Write what still waits."""
        waiting, self._waiting = self._waiting or [], None
        if not waiting:
            return
        for row, _ in waiting:
            self._fit(row)
        if self._head:
            self._write_head()
        for row, tree in waiting:
            self._write(row, tree)

    def _fit(self, row: Row) -> None:
        limit = _SOURCE_CELLS if self._screen.width is not None and not self._wide else _WIDE_SOURCE_CELLS
        self._source_cells = max(self._source_cells, min(cell_len(row.source), limit), len("SOURCE"))
        if row.trace:
            self._trace_cells = max(self._trace_cells, cell_len(row.trace))

    def _write_head(self) -> None:
        time = time_text(0, digits=self._digits, local=False)
        zone = "TIME (local)" if self._local else "TIME (UTC)"
        trace = (
            f"{_cell('TRACE/SPAN' if self._wide else 'TRACE', self._trace_cells)}  "
            if self._trace_cells
            else ""
        )
        level, source = _cell("LEVEL", _LEVEL_CELLS), _cell("SOURCE", self._source_cells)
        self._screen.line((f"{zone:{len(time)}}  {level}  {source}  {trace}TEXT", "dim"))

    def _write(self, row: Row, tree: Tree | None) -> None:
        self._fit(row)
        mark = "…" if self._screen.unicode else "~"
        columns: Pieces = [
            (time_text(row.time_unix_nano, digits=self._digits, local=self._local), "dim"),
            ("  ", ""),
            (_cell(row.level, _LEVEL_CELLS, mark), row.level_style),
            ("  ", ""),
            (_cell(row.source, self._source_cells, mark), "blue"),
            ("  ", ""),
        ]
        if self._trace_cells:
            columns += [(_cell(row.trace, self._trace_cells), "dim"), ("  ", "")]
        indent = _cells(columns)
        self._screen.wrapped(columns + row.text, indent)
        self._write_block(row.block, indent)
        if tree is not None:
            left = tree_columns(len(columns[0][0]), indent, self._screen.width)
            for line in tree(left, self._screen.unicode):
                self._screen.wrapped(line.left + line.text, left.cells, line.guide)

    def _write_block(self, lines: Sequence[str], indent: int) -> None:
        """Lines below a row; where one of them is too wide for its place, all of them further left."""
        bar = "│ " if self._screen.unicode else "| "
        width = self._screen.width
        if width is not None and any(indent + len(bar) + cell_len(line) > width for line in lines):
            indent = min(indent, _NARROW_INDENT)
        for line in lines:
            self._screen.wrapped([(" " * indent + bar, "dim"), (line, "dim")], indent + 2 * len(bar))

    @property
    def _digits(self) -> int:
        return 7 if self._wide else 3


def can_encode(text: str, stream: IO[str]) -> bool:
    """Whether the stream's character set has all of ``text``."""
    try:
        text.encode(getattr(stream, "encoding", None) or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _cells(pieces: Iterable[tuple[str, str]]) -> int:
    return sum(cell_len(text) for text, _ in pieces)


def _cell(text: str, cells: int, mark: str = "") -> str:
    """``text`` filled up to ``cells``; too long a text is cut with ``mark`` as its end, if one is given."""
    if cell_len(text) > cells and mark:
        return set_cell_size(text, cells - 1) + mark
    return text + " " * (cells - cell_len(text))


def _wrap(console: Console, text: Text, width: int, indent: int) -> list[Pieces]:
    """Lines of ``width`` cells, all but the first ``indent`` cells shorter."""
    first = text.wrap(console, width, overflow="fold")[0]
    used = len(first.plain)
    while used < len(text) and text.plain[used] == " ":
        used += 1
    rest = text[used:]
    lines = [first, *rest.wrap(console, width - indent, overflow="fold")] if rest.plain else [first]
    return [_pieces_of(line, console) for line in lines]


def _pieces_of(line: Text, console: Console) -> Pieces:
    line.rstrip()
    return [(segment.text, str(segment.style) if segment.style else "") for segment in line.render(console)]
