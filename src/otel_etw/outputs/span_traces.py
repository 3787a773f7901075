"""Spans gathered by trace, in bounded memory, and handed on once their trace seems to be complete.

Spans are written when they end, so children come before their parents, other traces come in between, and no
event says that a trace is over. A trace is handed on

* when its root span has ended, no parent is missing, and no span of it came for :data:`SETTLED_NS`;
* else when no span of it came for :data:`QUIET_NS`: of many traces the root is in another process' file;
* else when more than :data:`MOST_SPANS` spans or :data:`MOST_BYTES` of their events wait. Complete traces go
  first, then those that had no span for the longest time, marked ``is_early``;
* else at the end.

What comes after that is handed on later as a further part of its trace. Time is that of the file, the time at
which events reached ETW, so it makes no difference how fast the file is read. Who shows events as they come
has less patience, and passes the time in which nothing comes. Pure.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from otel_etw.layouts.items import SpanItem
from otel_etw.outputs.pieces import Pieces
from otel_etw.tables.items import Item

SETTLED_NS = 2 * 10**9
QUIET_NS = 30 * 10**9
MOST_SPANS = 20_000
MOST_BYTES = 16 * 1024 * 1024
MOST_REMEMBERED = 20_000
"""Of so many traces that were handed on, it is remembered that they were."""


@dataclass(frozen=True)
class TracedSpan:
    """A span, and what is to be said of its event."""

    span: SpanItem
    notes: Pieces


@dataclass(frozen=True)
class SpanTrace:
    """Spans of one trace, in the order in which they ended; at least one.

    ``part`` counts from 1; a second one has what came after the first was handed on.
    """

    members: tuple[TracedSpan, ...]
    reached_etw_unix_nano: int
    """When it was handed on, on the clock of the file."""
    size_bytes: int
    part: int = 1
    is_early: bool = False

    @property
    def time_unix_nano(self) -> int:
        """When the last of the spans ended."""
        return max(member.span.end_time_unix_nano for member in self.members)

    @property
    def start_time_unix_nano(self) -> int:
        """When the first of the spans started."""
        return min(member.span.start_time_unix_nano for member in self.members)

    @property
    def trace_id(self) -> str | None:
        """That of all its spans."""
        return self.members[0].span.trace_id


Entry = Item | SpanTrace
"""What becomes one row."""


def by_trace(items: Iterable[Item], notes: Callable[[Item], Pieces]) -> Iterator[Entry]:
    """``items`` with traces in place of the spans; ``notes`` says what is kept of a span's event."""
    traces = OpenTraces()
    for item in items:
        traces.pass_time(item.reached_etw_unix_nano)
        yield from traces.finished()
        if isinstance(item.content, SpanItem):
            traces.add(TracedSpan(item.content, notes(item)), item.size_bytes)
        else:
            yield item
    yield from traces.rest()


@dataclass
class _OpenTrace:
    members: list[TracedSpan] = field(default_factory=list)
    span_ids: set[str] = field(default_factory=set)
    missing: set[str] = field(default_factory=set)
    has_root: bool = False
    size_bytes: int = 0
    touched_unix_nano: int = 0

    def add(self, traced: TracedSpan) -> None:
        span = traced.span
        self.members.append(traced)
        if span.span_id:
            self.span_ids.add(span.span_id)
            self.missing.discard(span.span_id)
        if not span.parent_span_id:
            self.has_root = True
        elif span.parent_span_id not in self.span_ids:
            self.missing.add(span.parent_span_id)

    @property
    def is_whole(self) -> bool:
        return self.has_root and not self.missing


class OpenTraces:
    """The traces that are not handed on yet."""

    def __init__(self) -> None:
        self._now = 0
        self.settled_ns = SETTLED_NS
        self.quiet_ns = QUIET_NS
        # Both in the order in which their traces had their latest span.
        self._whole: OrderedDict[object, _OpenTrace] = OrderedDict()
        self._partial: OrderedDict[object, _OpenTrace] = OrderedDict()
        self._parts: OrderedDict[object, int] = OrderedDict()
        self.spans = 0
        """How many wait."""
        self._size_bytes = 0

    def add(self, traced: TracedSpan, size_bytes: int) -> None:
        """Take in one span, which reached ETW now. Without a trace id it is a trace of its own."""
        key: object = traced.span.trace_id or object()
        trace = self._whole.pop(key, None) or self._partial.pop(key, None) or _OpenTrace()
        trace.add(traced)
        trace.size_bytes += size_bytes
        trace.touched_unix_nano = self._now
        (self._whole if trace.is_whole else self._partial)[key] = trace
        self.spans += 1
        self._size_bytes += size_bytes

    def pass_time(self, reached_etw_unix_nano: int) -> None:
        """Something reached ETW then. Time never goes back, though events of several processors may."""
        self._now = max(self._now, reached_etw_unix_nano)

    def finished(self) -> Iterator[SpanTrace]:
        """The traces that need not or cannot wait any longer."""
        for traces, patience_ns in ((self._whole, self.settled_ns), (self._partial, self.quiet_ns)):
            while traces and next(iter(traces.values())).touched_unix_nano <= self._now - patience_ns:
                yield self._take(traces)
        while self.spans > MOST_SPANS or self._size_bytes > MOST_BYTES:
            yield self._take(self._whole) if self._whole else self._take(self._partial, is_early=True)

    def rest(self) -> Iterator[SpanTrace]:
        """All others."""
        for traces in (self._whole, self._partial):
            while traces:
                yield self._take(traces)

    def _take(self, traces: OrderedDict[object, _OpenTrace], *, is_early: bool = False) -> SpanTrace:
        key, trace = traces.popitem(last=False)
        self.spans -= len(trace.members)
        self._size_bytes -= trace.size_bytes
        part = 1
        if isinstance(key, str):
            part += self._parts.pop(key, 0)
            self._parts[key] = part
            if len(self._parts) > MOST_REMEMBERED:
                self._parts.popitem(last=False)
        return SpanTrace(tuple(trace.members), self._now, trace.size_bytes, part, is_early)
