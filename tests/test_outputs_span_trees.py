"""Trees of spans: every span exactly once, below its parent where there is one."""

from __future__ import annotations

import time
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from otel_etw.layouts.items import SpanItem
from otel_etw.outputs.span_trees import Branch, Parent, branches_of
from shown_traces import checkout, span

IDS = st.one_of(st.none(), st.sampled_from("abcdefg"), st.text(max_size=3))
TIMES = st.one_of(st.integers(0, 20), st.integers(-(2**70), 2**70))
SPANS = st.lists(
    st.builds(SpanItem, st.text(max_size=3), TIMES, TIMES, span_id=IDS, parent_span_id=IDS), max_size=40
)


def outline(spans: Sequence[SpanItem]) -> list[str]:
    """The names, indented by their depth."""
    return ["  " * branch.depth + spans[branch.index].name for branch in branches_of(spans)]


@given(SPANS)
def test_any_spans_make_trees_that_hold_each_exactly_once(spans: list[SpanItem]) -> None:
    """Whatever they say of parents, ids and times."""
    branches = branches_of(spans)
    assert sorted(branch.index for branch in branches) == list(range(len(spans)))


@given(SPANS)
def test_any_span_below_another_names_it_as_its_parent(spans: list[SpanItem]) -> None:
    """The span one step up is the one with the parent's id; only tops have none above them."""
    path: list[Branch] = []
    for branch in branches_of(spans):
        assert branch.depth <= len(path)
        del path[branch.depth :]
        path.append(branch)
        if branch.depth:
            assert branch.parent is Parent.ABOVE
            assert spans[path[-2].index].span_id == spans[branch.index].parent_span_id
            assert not path[-2].is_repeat
        else:
            assert branch.parent is not Parent.ABOVE
            assert (branch.parent is Parent.NONE) == (not spans[branch.index].parent_span_id)


@given(SPANS)
def test_siblings_come_by_their_start_and_the_last_is_marked(spans: list[SpanItem]) -> None:
    """At every place."""
    siblings: dict[int, list[Branch]] = {}
    for branch in [*branches_of(spans), Branch(0, -1, True, Parent.NONE, False)]:
        for depth in [depth for depth in siblings if depth > branch.depth]:
            done = siblings.pop(depth)
            starts = [spans[each.index].start_time_unix_nano for each in done]
            assert starts == sorted(starts)
            assert [each.is_last for each in done] == [False] * (len(done) - 1) + [True]
        siblings.setdefault(branch.depth, []).append(branch)


def test_children_that_come_before_their_parents_stand_below_them() -> None:
    """As spans are written: the inner ones first."""
    assert outline(checkout()) == [
        "POST /checkout", "  cache get", "  POST /charges", "    resolve", "  INSERT orders",
    ]  # fmt: skip


def test_spans_whose_parent_is_absent_stand_at_the_top() -> None:
    """With what is below them, and told from roots."""
    spans = [span("lost", 2, 9, 0, 1), span("below", 3, 2, 0, 1), span("root", 1, None, 5, 1)]
    assert outline(spans) == ["lost", "  below", "root"]
    assert [branch.parent for branch in branches_of(spans)] == [Parent.ABSENT, Parent.ABOVE, Parent.NONE]


def test_rings_are_opened_at_their_earliest_span() -> None:
    """A span that is its own parent, a ring of three with a span below it, and a root beside them."""
    spans = [
        span("own", 1, 1, 30, 1),
        span("c", 4, 3, 12, 1), span("a", 2, 4, 10, 1), span("b", 3, 2, 11, 1), span("below", 5, 3, 5, 1),
        span("root", 9, None, 40, 1),
    ]  # fmt: skip
    assert outline(spans) == ["a", "  b", "    below", "    c", "own", "root"]
    tops = [branch for branch in branches_of(spans) if branch.depth == 0]
    assert [top.parent for top in tops] == [Parent.BELOW, Parent.BELOW, Parent.NONE]


def test_of_spans_with_one_id_the_earliest_has_the_children() -> None:
    """The others are there too, and marked."""
    spans = [span("late", 1, None, 8, 1), span("child", 2, 1, 9, 1), span("early", 1, None, 0, 1)]
    assert outline(spans) == ["early", "  child", "late"]
    assert [branch.is_repeat for branch in branches_of(spans)] == [False, False, True]


def test_spans_without_ids_are_not_each_others_parents() -> None:
    """No id is not an id; an empty one is none either."""
    nameless = SpanItem("a", 0, 1), SpanItem("b", 0, 1, span_id="", parent_span_id="")
    assert outline(nameless) == ["a", "b"]


def test_tens_of_thousands_of_spans_take_no_time() -> None:
    """One below the other, all in one ring, or all below one: the work grows with their number only."""
    count = 40_000
    chain = [
        SpanItem("", n, n, span_id=f"{n}", parent_span_id=f"{n - 1}" if n else None) for n in range(count)
    ]
    ring = [SpanItem("", n, n, span_id=f"{n}", parent_span_id=f"{(n + 1) % count}") for n in range(count)]
    fan = [SpanItem("", n, n, span_id=f"{n}", parent_span_id="0" if n else None) for n in range(count)]
    start = time.perf_counter()
    for spans, deepest in ((chain, count - 1), (ring, count - 1), (fan, 1)):
        branches = branches_of(spans)
        assert len(branches) == count
        assert max(branch.depth for branch in branches) == deepest
    assert time.perf_counter() - start < 10
