"""Traces as rows with trees below them: every line as it stands on a screen of some width."""

from __future__ import annotations

import io
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from otel_etw.layouts.items import SpanItem
from otel_etw.outputs.span_lines import bar, row_and_tree, tree_columns
from otel_etw.outputs.span_traces import SpanTrace, TracedSpan
from otel_etw.outputs.terminal import RowTable, Screen
from otel_etw.outputs.text import printable
from shown_traces import EVIL, checkout, span


class Lines(io.StringIO):
    """A stream that is no terminal, of some character set."""

    encoding = "utf-8"


def shown(
    spans: Sequence[SpanItem], width: int | None, *, unicode: bool = True, wide: bool = False, **facts: Any
) -> list[str]:
    """The lines of one trace, without the head line."""
    screen = Screen(Lines())
    screen.width, screen.unicode = width, unicode
    table = RowTable(screen, wide=wide, head=False)
    members = tuple(TracedSpan(each, []) for each in spans)
    table.add(*row_and_tree(SpanTrace(members, 0, 0, **facts), wide=wide))
    table.close()
    stream = screen.console.file
    assert isinstance(stream, Lines)
    return stream.getvalue().splitlines()


PIPED = """\
2026-03-11 12:34:56.913  SPAN    shop    4bf92f35  POST /checkout  124 ms  server  http.route=/checkout  \
http.response.status_code=402  link=0af76519/b7ad6b71 {"why":"cart"}
   +500 us       250 us  ╸                         ├─ cache get  cache.hit=true
     +2 ms        98 ms  ━━━━━━━━━━━━━━━━━━━╸      ├─ POST /charges  client  failed: card declined  \
url.full=https://bank.example/charges  http.request.method=POST
     +3 ms        20 ms  ╺━━━╸                     │  └─ resolve  ok
   +103 ms        12 ms                     ╺━━╸   └─ orders  INSERT orders  client
"""

AT_120 = """\
2026-03-11 12:34:56.913  SPAN    shop    4bf92f35  POST /checkout  124 ms  server  http.route=/checkout
                                                   http.response.status_code=402  link=0af76519/b7ad6b71 {"why":"cart"}
   +500 us       250 us  ╸                         ├─ cache get  cache.hit=true
     +2 ms        98 ms  ━━━━━━━━━━━━━━━━━━━╸      ├─ POST /charges  client  failed: card declined
                                                   │  url.full=https://bank.example/charges  http.request.method=POST
     +3 ms        20 ms  ╺━━━╸                     │  └─ resolve  ok
   +103 ms        12 ms                     ╺━━╸   └─ orders  INSERT orders  client
"""  # noqa: E501 - as wide as it is shown

AT_80 = """\
2026-03-11 12:34:56.913  SPAN    shop    4bf92f35  POST /checkout  124 ms
                                                   server  http.route=/checkout
                                                   http.response.status_code=402
                                                   link=0af76519/b7ad6b71
                                                   {"why":"cart"}
   +500 us    250 us  ╸           ├─ cache get  cache.hit=true
     +2 ms     98 ms  ━━━━━━━━╸   ├─ POST /charges  client  failed: card
                                  │  declined
                                  │  url.full=https://bank.example/charges
                                  │  http.request.method=POST
     +3 ms     20 ms  ━━          │  └─ resolve  ok
   +103 ms     12 ms          ━╸  └─ orders  INSERT orders  client
"""

AT_50 = """\
2026-03-11 12:34:56.913  SPAN    shop    4bf92f35
    POST /checkout  124 ms  server
    http.route=/checkout
    http.response.status_code=402
    link=0af76519/b7ad6b71 {"why":"cart"}
    250 us  ├─ cache get  cache.hit=true
     98 ms  ├─ POST /charges  client  failed: card
            │  declined
            │  url.full=https://bank.example/charg
            │  es  http.request.method=POST
     20 ms  │  └─ resolve  ok
     12 ms  └─ orders  INSERT orders  client
"""

SEVERAL_TOPS = """\
2026-03-11 12:34:56.904  SPAN    shop    4bf92f35  5 spans in 114 ms, 1 failed
                                                   (part 2 of this trace)
        +0    250 us  -           |- cache get  cache.hit=true  (parent
                                  |  0000000000000001 not here)
   +500 us      1 ms  -           |- a  server  (parent 000000000000004d in
                                  |  another process)
   +1.5 ms     98 ms  =========   |- POST /charges  client  failed: card
                                  |  declined
                                  |  url.full=https://bank.example/charges
                                  |  http.request.method=POST  (parent
                                  |  0000000000000001 not here)
   +2.5 ms     20 ms  ==          |  `- resolve  ok
   +102 ms     12 ms          -=  `- orders  INSERT orders  client  (parent
                                     0000000000000001 not here)
"""


@pytest.mark.parametrize(
    ("width", "wanted"), [(None, PIPED), (200, PIPED), (120, AT_120), (80, AT_80), (50, AT_50)]
)
def test_a_trace_is_a_row_and_a_tree(width: int | None, wanted: str) -> None:
    """Under the columns of the table where there is room, else further left and with less beside the text."""
    assert shown(checkout(), width) == wanted.splitlines()


def test_several_spans_at_the_top_stand_below_a_row_of_their_own() -> None:
    """With the reason why each is there; ASCII where the stream has nothing else."""
    remote = span("a", 9, 77, 1, 1, kind="server", parent_is_remote=True)
    assert shown([*checkout()[:4], remote], 80, unicode=False, part=2) == SEVERAL_TOPS.splitlines()


def test_what_is_odd_is_said() -> None:
    """A trace that had to be shown too early, a ring, an id that occurs twice."""
    (row,) = shown([span("a", 1, 1, 0, 1)], None, is_early=True)
    assert row.endswith(
        "a  1 ms  (parent 0000000000000001 is itself below)  (incomplete: too many spans wait)"
    )
    _, first, second = shown([span("a", 1, None, 0, 1), span("b", 1, None, 0, 1)], None)
    assert first.endswith("├─ a")
    assert second.endswith("└─ b  (same span id as another)")


def test_wide_has_all_ids_and_the_instrumentation() -> None:
    """Nothing that an event carries is left out there."""
    facts: dict[str, Any] = {
        "trace_state": "vendor=1", "trace_flags": 1, "scope_name": "shop.orders", "scope_version": "2.1",
        "scope_attributes": {"a": 1}, "scope_schema_url": "https://example/1",
        "dropped_attributes": 2, "dropped_events": 1, "dropped_links": 3, "truncated": {"name": 70_000},
    }  # fmt: skip
    root, below = shown([span("a", 1, None, 0, 1), span("b", 2, 1, 0, 1, **facts)], None, wide=True)
    assert "  4bf92f3577b34da6a3ce929d0e0e4736/0000000000000001  a  1 ms" in root
    assert below.endswith(
        '└─ b  trace_state="vendor=1"  trace_flags=1  scope=shop.orders  scope_version=2.1  '
        'scope_attributes={"a":1}  scope_schema_url=https://example/1  '
        "(2 attributes, 1 event, 3 links dropped)  (name cut, was 70,000 bytes)  span=0000000000000002"
    )
    short = shown([span("a", 1, None, 0, 1), span("b", 2, 1, 0, 1, **facts)], None)[1]
    assert short.endswith("└─ b  (2 attributes, 1 event, 3 links dropped)  (name cut, was 70,000 bytes)")


def test_many_links_are_counted() -> None:
    """The first ones in short; all of them, in full, if wide."""
    link = checkout()[-1].links[0]
    spans = [span("a", 1, None, 0, 1, links=[replace(link, attributes={})] * 5)]
    (row,) = shown(spans, None)
    assert row.endswith("  link=0af76519/b7ad6b71" * 3 + "  and 2 more links")
    (row,) = shown(spans, None, wide=True)
    assert row.count("link=0af7651916cd43dd8448eb211c80319c/b7ad6b7169203331") == 5


def test_failures_are_red() -> None:
    """The level's column of a trace in which anything failed, the span's name, message and bar."""
    row, tree = row_and_tree(SpanTrace(tuple(TracedSpan(each, []) for each in checkout()), 0, 0))
    assert row.level_style == "bold red"
    lines = list(tree(tree_columns(23, 51, None), True))
    styles = {text.strip(): style for line in lines for text, style in [*line.left, *line.text]}
    assert styles["POST /charges"] == "bold red"
    assert styles["failed: card declined"] == "red"
    assert [line.left[-2][1] for line in lines] == ["green", "red", "green", "green"]
    good, _ = row_and_tree(SpanTrace((TracedSpan(checkout()[0], []),), 0, 0))
    assert good.level_style == "magenta"


@pytest.mark.parametrize(
    ("start", "end", "total", "wanted"),
    [
        (0, 100, 100, "━━━━━━━━━━"),
        (0, 50, 100, "━━━━━     "),
        (25, 75, 100, "  ╺━━━━╸  "),
        (0, 0, 100, "╸         "),
        (100, 100, 100, "         ╺"),
        (51, 52, 100, "     ╸    "),
        (70, 20, 100, "       ╸  "),
        (0, 0, 0, "╸         "),
        (-50, 200, 100, "━━━━━━━━━━"),
        (10**30, 10**31, 100, "         ╺"),
    ],
)
def test_bars_lie_where_the_span_lies(start: int, end: int, total: int, wanted: str) -> None:
    """In half cells; something is always seen, and nothing outside."""
    assert bar(start, end, total, 10, unicode=True) == wanted


@given(st.integers(), st.integers(), st.integers(), st.integers(1, 60))
def test_any_bar_has_its_width_and_is_not_empty(start: int, end: int, total: int, cells: int) -> None:
    """Absurd times included."""
    for unicode in (True, False):
        drawn = bar(start, end, total, cells, unicode=unicode)
        assert cell_len(drawn) == cells
        assert drawn.strip()
        assert " " not in drawn.strip()


def test_deep_trees_stay_on_the_screen() -> None:
    """From some depth on branches are numbered instead of indented."""
    spans = [span(f"s{n}", n, n - 1 if n > 1 else None, 0, 1) for n in range(1, 1001)]
    lines = shown(spans, 120)
    assert len(lines) == 1000
    assert lines[1].endswith("└─ s2")
    assert lines[11].endswith(" " * 30 + "└─ s12")
    assert lines[12].endswith(" " * 30 + "└─12: s13")
    assert lines[999].endswith(" " * 30 + "└─999: s1000")


TEXTS = st.one_of(st.text(max_size=8), st.sampled_from([EVIL, "\u8b66" * 30, "a " * 40, ""]))
IDS = st.one_of(st.none(), st.sampled_from("abcd"), TEXTS)
TIMES = st.one_of(st.integers(0, 10**9), st.integers(-(2**70), 2**70))
HOSTILE = st.builds(
    SpanItem, TEXTS, TIMES, TIMES, span_id=IDS, parent_span_id=IDS, trace_id=IDS, kind=IDS,
    status_message=IDS,
    success=st.booleans(), service_name=IDS, attributes=st.dictionaries(TEXTS, TEXTS, max_size=2),
    trace_state=IDS, scope_name=IDS,
)  # fmt: skip


@given(st.lists(HOSTILE, min_size=1, max_size=12), st.sampled_from([None, 40, 60, 80, 120]), st.booleans())
def test_any_spans_are_lines_that_fit_and_are_safe(
    spans: list[SpanItem], width: int | None, wide: bool
) -> None:
    """Whatever names, ids, times and attributes are: no control characters, no line of its own making."""
    lines = shown(spans, width, wide=wide)
    assert all(printable(line) == line for line in lines)
    if width is not None:
        assert all(cell_len(line) <= width for line in lines)
    else:
        assert len(lines) in (len(spans), len(spans) + 1)


def test_many_spans_in_one_trace_are_shown_in_seconds() -> None:
    """In one trace; the lines are made one by one."""
    spans = [span("work", n + 2, 1 + n // 3, n, 5) for n in range(30_000)]
    row, tree = row_and_tree(SpanTrace(tuple(TracedSpan(each, []) for each in spans), 0, 0))
    start = time.perf_counter()
    assert sum(1 for _ in tree(tree_columns(23, 51, 120), True)) == 30_000
    assert time.perf_counter() - start < 30
    assert "30,000 spans" in row.text[0][0]


def test_large_trees_do_not_wait_for_further_rows() -> None:
    """The first rows are held back to find the width of columns, but not thousands of spans."""
    screen = Screen(Lines())
    table = RowTable(screen)
    row, tree = row_and_tree(SpanTrace(tuple(TracedSpan(each, []) for each in checkout()), 0, 0))
    table.add(row, tree, spans=1_999)
    stream = screen.console.file
    assert isinstance(stream, Lines)
    assert stream.getvalue() == ""
    table.add(row, tree, spans=1)
    assert len(stream.getvalue().splitlines()) == 11
