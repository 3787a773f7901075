"""The encoders of the shapes that an exporter sees again and again, bounded.

An encoder costs much more to make than one event to encode the plain way, so a shape has to come a few times
first.  A program that logs ever new shapes must neither fill the memory nor spend its time making
encoders: when the table is full it is emptied, and from then on a shape has to come twice as often.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

from otel_etw.layouts.common_schema.record import ResourceFacts
from otel_etw.layouts.common_schema.shape_code import MAX_CONSTANT_BYTES, TO_BE_CUT, Emit

MAX_SHAPES = 512
"""Encoders kept for one resource; each takes some 20 KB with its prepared write."""

MAX_RESOURCES = 4
"""Resources whose encoders are kept. A process has one, or two after a fork."""

_SIGHTS = 3
_MAX_SIGHTS = 1 << 20
_MAX_SIGHTED = 4096


Shape = TypeVar("Shape", bound="tuple[Any, ...]")
"""``LogShape`` or ``SpanShape``: its keys, the last of which are those of the attributes, then the types of
the text that every item has (body, name) and of the attribute values."""


class ShapeTable(Generic[Shape]):
    """The encoders for items with the same facts of a resource.

    ``latest`` finds the one that was used last for an item's keys: all of its shape but the types.  It
    answers ``OTHER_SHAPE`` where the types are others; :meth:`ShapeCache.encoder` then finds the right one.
    """

    __slots__ = ("facts", "latest", "of_shape")

    def __init__(self, facts: ResourceFacts) -> None:
        self.facts = facts
        self.latest: dict[tuple[object, ...], Emit] = {}
        self.of_shape: dict[Shape, Emit] = {}

    def clear(self) -> None:
        """Forget all encoders."""
        self.latest.clear()
        self.of_shape.clear()


class ShapeCache(Generic[Shape]):
    """Finds, makes and forgets encoders. Any thread may use it: each step is one step of a dict."""

    def __init__(
        self, shape: Callable[..., Shape], make: Callable[[Shape, ResourceFacts], Emit | None]
    ) -> None:
        self._shape = shape
        self._make = make
        self._tables: list[ShapeTable[Shape]] = []
        self._sighted: dict[int, int] = {}
        self._sights_needed = _SIGHTS

    def table(self, facts: ResourceFacts) -> ShapeTable[Shape]:
        """The encoders for records with these very facts (the object counts, which is held)."""
        for known in self._tables:
            if known.facts is facts:
                return known
        table: ShapeTable[Shape] = ShapeTable(facts)
        self._tables = [*self._tables[1 - MAX_RESOURCES :], table]
        return table

    def encoder(
        self, table: ShapeTable[Shape], keys: tuple[Any, ...], text: object, values: Mapping[str, object]
    ) -> Emit | None:
        """The encoder of an item's shape, which ``table.latest`` has from now on; ``None``: not yet."""
        shape = self._shape(*keys, type(text), tuple(map(type, values.values())))
        emit = table.of_shape.get(shape)
        if emit is None and _may_be_kept(keys):
            emit = self._sighted_again(table, shape)
        if emit is not None:
            table.latest[keys] = emit
        return emit

    def _sighted_again(self, table: ShapeTable[Shape], shape: Shape) -> Emit | None:
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


def _may_be_kept(keys: tuple[Any, ...]) -> bool:
    """Whether nothing but a few kilobytes of text, and numbers, is kept alive with a shape."""
    texts = [key for key in (*keys[:-1], *keys[-1]) if not isinstance(key, (int, type(None)))]
    return all(type(text) is str for text in texts) and sum(map(len, texts)) <= MAX_CONSTANT_BYTES


def _left_to_the_plain_encoder(*_: object) -> int:
    return TO_BE_CUT
