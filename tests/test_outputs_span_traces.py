"""Spans gathered by trace: when a trace is handed on, and that what waits is bounded."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_etw.layouts.items import SpanItem
from otel_etw.outputs import span_traces
from otel_etw.outputs.span_traces import QUIET_NS, SETTLED_NS, OpenTraces, SpanTrace, TracedSpan
from shown_traces import span

SECOND = 10**9


def add(traces: OpenTraces, item: SpanItem, at: int, size_bytes: int = 100) -> list[SpanTrace]:
    traces.pass_time(at)
    traces.add(TracedSpan(item, []), size_bytes)
    return list(traces.finished())


def passed(traces: OpenTraces, at: int) -> list[SpanTrace]:
    traces.pass_time(at)
    return list(traces.finished())


def names(found: Iterable[SpanTrace]) -> list[list[str]]:
    return [[member.span.name for member in trace.members] for trace in found]


ROOT, CHILD = span("root", 1, None, 0, 10), span("child", 2, 1, 1, 5)


def test_a_trace_is_handed_on_soon_after_its_root_ended() -> None:
    """Children that end a little after it are still in it."""
    traces = OpenTraces()
    assert add(traces, ROOT, 100) == []
    assert add(traces, CHILD, 100 + SETTLED_NS - 1) == []
    assert passed(traces, 100 + 2 * SETTLED_NS - 2) == []
    (trace,) = passed(traces, 100 + 2 * SETTLED_NS - 1)
    assert names([trace]) == [["root", "child"]]
    assert (trace.part, trace.is_early, trace.size_bytes) == (1, False, 200)
    assert trace.time_unix_nano == ROOT.end_time_unix_nano
    assert trace.start_time_unix_nano == ROOT.start_time_unix_nano
    assert traces.spans == 0


@pytest.mark.parametrize("only", [CHILD, replace(ROOT, parent_span_id="f" * 16)])
def test_a_trace_with_a_missing_parent_waits_longer(only: SpanItem) -> None:
    """It may still come; in the end it is elsewhere."""
    traces = OpenTraces()
    assert add(traces, only, 0) == []
    assert passed(traces, QUIET_NS - 1) == []
    assert len(passed(traces, QUIET_NS)) == 1


def test_a_root_does_not_make_up_for_a_missing_parent() -> None:
    """A child of a span that is still running: the trace is not complete."""
    traces = OpenTraces()
    add(traces, ROOT, 0)
    add(traces, replace(CHILD, parent_span_id="f" * 16), 0)
    assert passed(traces, QUIET_NS - 1) == []
    assert len(passed(traces, QUIET_NS)) == 1


def test_what_comes_later_is_a_further_part() -> None:
    """Numbered, so that the reader knows that there was more."""
    traces = OpenTraces()
    add(traces, ROOT, 0)
    (first,) = passed(traces, SETTLED_NS)
    add(traces, CHILD, SETTLED_NS + 1)
    (second,) = traces.rest()
    assert [(first.part, names([first])), (second.part, names([second]))] == [
        (1, [["root"]]), (2, [["child"]]),
    ]  # fmt: skip


def test_spans_without_a_trace_id_are_traces_of_their_own() -> None:
    """Nothing says that they belong together."""
    traces = OpenTraces()
    for _ in range(2):
        add(traces, replace(ROOT, trace_id=None), 0)
    assert [(trace.part, len(trace.members)) for trace in traces.rest()] == [(1, 1), (1, 1)]


def test_time_that_goes_back_does_not_hold_anything_up() -> None:
    """Events of several processors may come out of order; one of the far future ends all waiting."""
    traces = OpenTraces()
    add(traces, ROOT, 10 * SECOND)
    assert passed(traces, 0) == []
    assert len(passed(traces, 2**70)) == 1
    add(traces, ROOT, 11 * SECOND)
    assert len(list(traces.rest())) == 1


def test_waiting_spans_are_bounded_in_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """Complete traces go first, then those that waited longest, and say so."""
    monkeypatch.setattr(span_traces, "MOST_SPANS", 3)
    traces = OpenTraces()
    partial = [replace(CHILD, name=f"p{n}", trace_id=f"{n}") for n in range(5)]
    add(traces, partial[0], 0)
    add(traces, replace(ROOT, trace_id="whole"), 1)
    add(traces, partial[1], 2)
    first = add(traces, partial[2], 3)
    assert names(first) == [["root"]]
    assert not first[0].is_early
    add(traces, replace(partial[0], name="again"), 4)  # too many again: p1 waited longest
    second = add(traces, partial[3], 5)
    assert names(second) == [["p2"]]
    assert second[0].is_early
    assert traces.spans == 3


def test_waiting_spans_are_bounded_in_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few spans with much in them go on, too; a single one at once."""
    monkeypatch.setattr(span_traces, "MOST_BYTES", 1000)
    traces = OpenTraces()
    assert add(traces, replace(CHILD, trace_id="a"), 0, 600) == []
    assert len(add(traces, replace(CHILD, trace_id="b"), 1, 600)) == 1
    assert len(add(traces, replace(CHILD, trace_id="c"), 2, 5000)) == 2
    assert traces.spans == 0


def test_what_is_remembered_of_traces_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the oldest it is forgotten that they had a first part."""
    monkeypatch.setattr(span_traces, "MOST_REMEMBERED", 2)
    traces = OpenTraces()

    def part(trace_id: str) -> int:
        add(traces, replace(ROOT, trace_id=trace_id), 0)
        return next(trace.part for trace in list(traces.rest()))

    assert [part(trace_id) for trace_id in "aabcca"] == [1, 2, 1, 1, 2, 1]


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c", None]),
        st.integers(1, 5),
        st.one_of(st.none(), st.integers(1, 5)),
        st.integers(0, 90 * SECOND),
    ),
    max_size=60,
)


@given(STEPS, st.integers(1, 8))
def test_every_span_is_handed_on_exactly_once(
    steps: list[tuple[str | None, int, int | None, int]], most: int
) -> None:
    """With the others of its trace, in any order of time and within any bounds; parts count up."""
    traces = OpenTraces()
    found: list[SpanTrace] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(span_traces, "MOST_SPANS", most)
        for number, (trace_id, own, above, at) in enumerate(steps):
            item = replace(span(f"{number}", own, above, 0, 1), trace_id=trace_id)
            found += add(traces, item, at)
            assert traces.spans <= most
        found += traces.rest()
    shown = sorted(int(member.span.name) for trace in found for member in trace.members)
    assert shown == list(range(len(steps)))
    for trace_id in "abc":
        parts = [trace for trace in found if trace.trace_id == trace_id]
        assert [trace.part for trace in parts] == list(range(1, len(parts) + 1))
        assert all(member.span.trace_id == trace_id for trace in parts for member in trace.members)
