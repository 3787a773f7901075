"""The encoders of the shapes that an exporter sees again and again, bounded.

An encoder costs much more to make than one event to encode the plain way, so a shape has to come a few times
first.  A program that logs ever new shapes must neither fill the memory nor spend its time making
encoders: when the table is full it is emptied, and from then on a shape has to come twice as often.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from otel_etw.layouts.common_schema.record import ResourceFacts
from otel_etw.layouts.common_schema.shapes import MAX_CONSTANT_BYTES, TO_BE_CUT, Emit, LogShape

MAX_SHAPES = 512
"""Encoders kept for one resource; each takes some 20 KB with its prepared write."""

MAX_RESOURCES = 4
"""Resources whose encoders are kept. A process has one, or two after a fork."""

_SIGHTS = 3
_MAX_SIGHTS = 1 << 20
_MAX_SIGHTED = 4096


class ShapeTable:
    """The encoders for records with the same facts of a resource.

    ``latest`` finds the one that was used last for a record's keys: ``(ETW event name, severity number and
    text, event name, has a context, attribute keys)``.  It answers ``OTHER_SHAPE`` where the types are
    others, and then :meth:`ShapeCache.encoder` finds the right one.
    """

    __slots__ = ("facts", "latest", "of_shape")

    def __init__(self, facts: ResourceFacts) -> None:
        self.facts = facts
        self.latest: dict[tuple[object, ...], Emit] = {}
        self.of_shape: dict[LogShape, Emit] = {}

    def clear(self) -> None:
        """Forget all encoders."""
        self.latest.clear()
        self.of_shape.clear()


class ShapeCache:
    """Finds, makes and forgets encoders. Any thread may use it: each step is one step of a dict."""

    def __init__(self, make: Callable[[LogShape, ResourceFacts], Emit | None]) -> None:
        self._make = make
        self._tables: list[ShapeTable] = []
        self._sighted: dict[int, int] = {}
        self._sights_needed = _SIGHTS

    def table(self, facts: ResourceFacts) -> ShapeTable:
        """The encoders for records with these very facts (the object counts, which is held)."""
        for known in self._tables:
            if known.facts is facts:
                return known
        table = ShapeTable(facts)
        self._tables = [*self._tables[1 - MAX_RESOURCES :], table]
        return table

    def encoder(
        self, table: ShapeTable, keys: tuple[object, ...], body: object, values: Mapping[str, object]
    ) -> Emit | None:
        """The encoder of a record's shape, which ``table.latest`` has from now on; ``None``: not yet."""
        shape = LogShape(*keys, type(body), tuple(map(type, values.values())))  # type: ignore[arg-type,call-arg]
        emit = table.of_shape.get(shape)
        if emit is None and _may_be_kept(shape):
            emit = self._sighted_again(table, shape)
        if emit is not None:
            table.latest[keys] = emit
        return emit

    def _sighted_again(self, table: ShapeTable, shape: LogShape) -> Emit | None:
        mark = hash(shape)
        sights = self._sighted.get(mark, 0) + 1
        if sights < self._sights_needed:
            if len(self._sighted) >= _MAX_SIGHTED:
                self._sighted = {}
            self._sighted[mark] = sights
            return None
        if len(table.of_shape) >= MAX_SHAPES:
            table.clear()
            self._sighted = {}
            self._sights_needed = min(2 * self._sights_needed, _MAX_SIGHTS)
        emit = table.of_shape[shape] = self._make(shape, table.facts) or _left_to_the_plain_encoder
        return emit

    def clear(self) -> None:
        """Forget all encoders: their provider is given up."""
        tables, self._tables = self._tables, []
        for table in tables:
            table.clear()


def _may_be_kept(shape: LogShape) -> bool:
    """Whether nothing but a few kilobytes of text is kept alive with the shape."""
    texts = (shape.etw_event_name, shape.severity_text or "", shape.event_name or "", *shape.keys)
    return all(type(text) is str for text in texts) and sum(map(len, texts)) <= MAX_CONSTANT_BYTES


def _left_to_the_plain_encoder(*_: object) -> int:
    return TO_BE_CUT
