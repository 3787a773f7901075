"""A trace as a row, and its tree of spans below: offsets, durations, bars, branches, text. Pure.

::

    TIME (UTC)               LEVEL   SOURCE  TRACE     TEXT
    2026-03-11 12:34:56.913  SPAN    shop    4bf92f35  POST /checkout  124 ms  server  http.route=/checkout
       +1.5 ms       98 ms   ╺━━━━━━━━━━━━━━━━━━━      ├─ charge card  client  failed: no answer
       +3.1 ms       20 ms    ╺━━━╸                    │  └─ resolve name
        +99 ms       12 ms                      ━━╸    └─ INSERT orders  client  db.system.name=postgresql

A trace with one span at the top has that span in its row; of several, the row says how many spans there are.
Offsets count from the first start in the trace, and a bar's place is that in its whole length. Where the
terminal leaves too little room for text beside the row's columns, all of this stands further left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from otel_etw.outputs.numbers import counted, duration_text
from otel_etw.outputs.pieces import SHORT_ID, Pieces, attribute_pieces, trace_text
from otel_etw.outputs.rows import SPAN_LEVEL, Row
from otel_etw.outputs.span_text import has_failed, span_text
from otel_etw.outputs.span_traces import SpanTrace, TracedSpan
from otel_etw.outputs.span_trees import Branch, Parent, branches_of
from otel_etw.outputs.text import printable

DEEPEST_INDENT = 10
"""Branches further down are indented no further, and numbered instead."""

_ROOMY_TEXT_CELLS = 44
_OFFSET_CELLS, _NARROW_CELLS = 10, 8
_LONGEST_BAR_CELLS = 48
_NARROW_INDENT = 2


class TreeColumns(NamedTuple):
    """The cells of each column left of the tree, without the two spaces after each; 0 for those left out."""

    indent: int
    offset: int
    duration: int
    bar: int
    filling: int = 0
    """Further cells between bars and tree."""

    @property
    def cells(self) -> int:
        """Where the tree starts."""
        return self.indent + sum(width + 2 for width in self[1:4] if width) + self.filling


class TreeLine(NamedTuple):
    """One line: the columns, branches and text, and the branches that go on in lines that continue it."""

    left: Pieces
    text: Pieces
    guide: str


Tree = Callable[[TreeColumns, bool], Iterator[TreeLine]]
"""Makes the lines below a row, for the columns they have and whether Unicode may be used."""


def row_and_tree(trace: SpanTrace, *, wide: bool = False) -> tuple[Row, Tree]:
    """The row of a trace, with the span at the top if there is only one, and what makes the lines below."""
    branches = branches_of([member.span for member in trace.members])

    def tree(columns: TreeColumns, unicode: bool) -> Iterator[TreeLine]:
        return _tree_lines(trace, branches, columns, unicode, wide)

    return _trace_row(trace, branches, wide), tree


def tree_columns(time_cells: int, text_indent: int, width: int | None) -> TreeColumns:
    """The columns below a row whose text starts at ``text_indent``: numbers below its time, then bars.

    Further left, and fewer, where ``width`` cells leave little room for the tree.
    """
    bar = text_indent - time_cells - 4
    if width is None or width - text_indent >= _ROOMY_TEXT_CELLS:
        duration = time_cells - _OFFSET_CELLS - 2
        shown = min(bar, _LONGEST_BAR_CELLS)
        return TreeColumns(0, _OFFSET_CELLS, duration, shown, bar - shown)
    if width >= 60:
        return TreeColumns(_NARROW_INDENT, _NARROW_CELLS, _NARROW_CELLS, max(width // 8, 6))
    return TreeColumns(_NARROW_INDENT, 0, _NARROW_CELLS, 0)


def bar(start: int, end: int, total: int, cells: int, *, unicode: bool) -> str:
    """From ``start`` to ``end`` of ``total``, in half cells; never empty, never outside ``cells``."""
    both, left, right = "━╸╺" if unicode else "=--"
    halves = 2 * cells
    total = max(total, 1)
    first = min(max(start * halves // total, 0), halves - 1)
    last = min(max(-(-end * halves // total), first + 1), halves)
    marks = []
    for cell in range(0, halves, 2):
        has_left, has_right = first <= cell < last, first <= cell + 1 < last
        marks.append(both if has_left and has_right else left if has_left else right if has_right else " ")
    return "".join(marks)


def _trace_row(trace: SpanTrace, branches: list[Branch], wide: bool) -> Row:
    spans = [member.span for member in trace.members]
    failed = sum(map(has_failed, spans))
    top = trace.members[branches[0].index]
    root = top.span
    if _has_one_top(branches):
        text = span_text(root, duration=True, wide=wide) + _marks(branches[0], top)
    else:
        start, end = trace.start_time_unix_nano, trace.time_unix_nano
        text = [(f"{counted(len(spans), 'span')} in {duration_text(end - start)}", "")]
        text += [(f", {failed:,} failed", "red")] if failed else []
    if trace.part > 1:
        text = [*text, (f"  (part {trace.part} of this trace)", "yellow")]
    if trace.is_early:
        text = [*text, ("  (incomplete: too many spans wait)", "yellow")]
    ids = trace_text(root.trace_id, root.span_id if _has_one_top(branches) else None, wide)
    source = printable(root.service_name or "-")
    return Row(trace.time_unix_nano, SPAN_LEVEL, source, ids, text, has_failed=failed > 0)


def _tree_lines(
    trace: SpanTrace, branches: list[Branch], columns: TreeColumns, unicode: bool, wide: bool
) -> Iterator[TreeLine]:
    """A line for each span that is not in the row."""
    first = trace.start_time_unix_nano
    total = trace.time_unix_nano - first
    shift = 1 if _has_one_top(branches) else 0
    service = trace.members[branches[0].index].span.service_name
    guides = _Guides(unicode)
    for branch in branches[shift:]:
        member = trace.members[branch.index]
        glyphs, guide = guides.next(branch.depth - shift, branch.is_last)
        text: Pieces = [(glyphs, "dim")]
        if member.span.service_name not in (None, service):
            text.append((f"{printable(str(member.span.service_name))}  ", "blue"))
        text += span_text(member.span, duration=not columns.duration, wide=wide)
        if wide and member.span.span_id:
            text += attribute_pieces({"span": member.span.span_id})
        left = _left(member, first, total, columns, unicode)
        yield TreeLine(left, text + _marks(branch, member), guide)


class _Guides:
    """The lines that join branches, made line by line from the top down."""

    def __init__(self, unicode: bool) -> None:
        self._tee, self._end, self._line = ("├─ ", "└─ ", "│  ") if unicode else ("|- ", "`- ", "|  ")
        self._guides: list[str] = []
        """By depth: what stands left of the children of the latest span there."""

    def next(self, depth: int, is_last: bool) -> tuple[str, str]:
        """What stands left of a span, and left of what is below it, if it is at ``depth``."""
        if depth > DEEPEST_INDENT:
            guide = self._guides[DEEPEST_INDENT - 1]
            return f"{guide}{self._end.rstrip()}{depth + 1:,}: ", guide + "   "
        left = self._guides[depth - 1] if depth else ""
        glyphs, below = (self._end, "   ") if is_last else (self._tee, self._line)
        self._guides[depth:] = [left + below]
        return left + glyphs, left + below


def _left(member: TracedSpan, first: int, total: int, columns: TreeColumns, unicode: bool) -> Pieces:
    start, end = member.span.start_time_unix_nano - first, member.span.end_time_unix_nano - first
    pieces: Pieces = [(" " * columns.indent, "")]
    if columns.offset:
        offset = f"+{duration_text(start)}" if start else "+0"
        pieces += [(f"{offset:>{columns.offset}}  ", "dim")]
    if columns.duration:
        pieces += [(f"{duration_text(end - start):>{columns.duration}}  ", "")]
    if columns.bar:
        style = "red" if has_failed(member.span) else "green"
        pieces += [(bar(start, end, total, columns.bar, unicode=unicode), style)]
        pieces += [("  " + " " * columns.filling, "")]
    return pieces


def _marks(branch: Branch, member: TracedSpan) -> Pieces:
    """What is odd about a span's place in the tree, and what is known of its event."""
    span = member.span
    parent = printable((span.parent_span_id or "")[: 2 * SHORT_ID])
    marks: Pieces = []
    if branch.parent is Parent.ABSENT:
        where = "in another process" if span.parent_is_remote else "not here"
        marks.append((f"  (parent {parent} {where})", "yellow"))
    elif branch.parent is Parent.BELOW:
        marks.append((f"  (parent {parent} is itself below)", "yellow"))
    if branch.is_repeat:
        marks.append(("  (same span id as another)", "yellow"))
    return marks + member.notes


def _has_one_top(branches: list[Branch]) -> bool:
    """Whether the first span is the only one at the top: it is, if it is the last one there."""
    return branches[0].is_last
