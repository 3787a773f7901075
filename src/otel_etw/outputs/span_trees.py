"""Spans of one trace as trees: which span stands below which, and in what order. Pure.

Whatever the spans say of each other, each of them comes out exactly once: those whose parent is not among
them stand at the top beside the roots, of a ring of parents the earliest span does, and of several spans with
one id the earliest has the children. The work grows with the number of spans, never with the depth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from otel_etw.layouts.items import SpanItem


class Parent(Enum):
    """What became of a span's parent id."""

    NONE = "none"
    """It has none: a root span."""
    ABOVE = "above"
    """The span stands below its parent."""
    ABSENT = "absent"
    """No span here has that id; the span stands at the top."""
    BELOW = "below"
    """The parents form a ring, which was opened here; the span stands at the top."""


@dataclass(frozen=True)
class Branch:
    """One span at its place. ``index`` is its place in what was given, ``depth`` 0 at the top."""

    index: int
    depth: int
    is_last: bool
    """Nothing further follows under the same parent; at the top, nothing further at all."""
    parent: Parent
    is_repeat: bool
    """An earlier span has the same span id."""


def branches_of(spans: Sequence[SpanItem]) -> list[Branch]:
    """All spans from the top down, every span before its children, children by their start."""
    order = sorted(range(len(spans)), key=lambda index: spans[index].start_time_unix_nano)
    owners: dict[str, int] = {}
    for index in order:
        span_id = spans[index].span_id
        if span_id:
            owners.setdefault(span_id, index)
    above = [owners.get(span.parent_span_id or "") for span in spans]
    opened = _open_rings(order, above)
    below: list[list[int]] = [[] for _ in spans]
    tops: list[int] = []
    for index in order:
        parent = above[index]
        (tops if parent is None else below[parent]).append(index)

    branches = []
    waiting = _siblings(tops, 0)
    while waiting:
        index, depth, is_last = waiting.pop()
        span = spans[index]
        is_repeat = bool(span.span_id) and owners.get(span.span_id or "") != index
        parent_state = _parent(span, above[index], index in opened)
        branches.append(Branch(index, depth, is_last, parent_state, is_repeat))
        waiting += _siblings(below[index], depth + 1)
    return branches


def _open_rings(order: Sequence[int], above: list[int | None]) -> set[int]:
    """Take its parent from one span of each ring, the first of them in ``order``; answer those spans."""
    rank = {index: place for place, index in enumerate(order)}
    walk_of: dict[int, int] = {}
    opened = set()
    for start in order:
        path: list[int] = []
        index: int | None = start
        while index is not None and index not in walk_of:
            walk_of[index] = start
            path.append(index)
            index = above[index]
        if index is not None and walk_of[index] == start:
            first = min(path[path.index(index) :], key=rank.__getitem__)
            above[first] = None
            opened.add(first)
    return opened


def _siblings(indices: Sequence[int], depth: int) -> list[tuple[int, int, bool]]:
    """Last first, as they are taken from the end."""
    return [(index, depth, place == 0) for place, index in enumerate(reversed(indices))]


def _parent(span: SpanItem, above: int | None, is_opened: bool) -> Parent:
    if above is not None:
        return Parent.ABOVE
    if is_opened:
        return Parent.BELOW
    return Parent.ABSENT if span.parent_span_id else Parent.NONE
