"""The shapes of a batch, side by side as tables: made once for each set of forms that come together."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from functools import cached_property

import numpy as np

from otel_etw.tables.forms import Forms
from otel_etw.tables.kinds import POINTER_BYTES
from otel_etw.tables.leaves import COUNTED, Leaf, Value
from otel_etw.tables.plans import ItemPlan, JsonPlan, Plan

_MOST_SETS = 16
NO_VALUE = -1
"""In tables of values: the object of that shape has none at this position."""


class JsonTables:
    """The JSON objects of shapes: what stands at each position. ``width`` elements make one."""

    def __init__(self, plans: Sequence[JsonPlan | None], leaves: Sequence[Sequence[Leaf]]) -> None:
        self.plans = plans
        self.most = max((len(plan.members) for plan in plans if plan is not None), default=0)
        self.width = 2 * self.most + 1
        self.values = np.full((self.most, len(plans)), NO_VALUE, np.int8)
        """:class:`.Value`, or :data:`NO_VALUE`."""
        self.leaves = np.zeros((self.most, len(plans)), np.int64)
        self.formats = np.full((self.most, len(plans)), -1, np.int16)
        """Numbers of :attr:`format_leaves`, for numbers and truths."""
        self.format_leaves: list[Leaf] = []
        self.constants: list[bytes] = [b""]
        self.constant_numbers = np.zeros((self.most + 1, len(plans)), np.int32)
        """Numbers of :attr:`constants`; behind the last value what closes the object."""
        self.specials = np.zeros(len(plans), np.int64)
        """How many bytes with a meaning in JSON the constants of a shape have."""
        known_formats: dict[tuple[Value, int], int] = {}
        known = {b"": 0}
        for shape, plan in enumerate(plans):
            if plan is None:
                continue
            for position, member in enumerate(plan.members):
                self.values[position, shape] = member.value
                self.leaves[position, shape] = member.leaf
                if member.value not in (Value.TEXT, Value.OTHER):
                    leaf = leaves[shape][member.leaf]
                    number = known_formats.setdefault((leaf.value, leaf.width), len(known_formats))
                    if number == len(self.format_leaves):
                        self.format_leaves.append(leaf)
                    self.formats[position, shape] = number
            for position, text in enumerate(plan.constants):
                number = known.setdefault(text, len(known))
                if number == len(self.constants):
                    self.constants.append(text)
                self.constant_numbers[position, shape] = number
            self.specials[shape] = plan.specials
        self.leaf_elements = (2 * self.leaves).astype(np.int32)
        """How far behind that of the first leaf the element of each leaf is."""
        self.only_text = [bool((row == Value.TEXT).all()) for row in self.values]
        self.formats_at = [[number for number in set(row.tolist()) if number >= 0] for row in self.formats]
        self.others_at = [np.flatnonzero(row == Value.OTHER).tolist() for row in self.values]


class ShapeSet:
    """Plans of the forms that a batch has; an event's shape is the place of its plan among them."""

    def __init__(self, plans: Sequence[Plan], pointer_bytes: Sequence[int]) -> None:
        self.plans = plans
        self.leaves: list[tuple[Leaf, ...]] = [plan.leaves or () for plan in plans]
        self.pointer_bytes = pointer_bytes
        most = max((len(leaves) for leaves in self.leaves), default=0)
        self.widths = np.zeros((most, max(len(plans), 1)), np.int32)
        for number, leaves in enumerate(self.leaves):
            self.widths[: len(leaves), number] = [leaf.width for leaf in leaves]
        self.fixed = np.maximum(self.widths, 0).astype(np.int64)
        self.counted = np.where(self.widths == COUNTED, 0xFFFF, 0)
        """All ones of a u16 where a count stands before the field, else 0."""
        self._slots: dict[tuple[bool, str], np.ndarray] = {}
        self._formats: dict[tuple[bool, str], tuple[np.ndarray, list[Leaf]]] = {}

    @cached_property
    def logs(self) -> list[ItemPlan | None]:
        """The plans of log records."""
        return [plan.log for plan in self.plans]

    @cached_property
    def spans(self) -> list[ItemPlan | None]:
        """The plans of spans."""
        return [plan.span for plan in self.plans]

    @cached_property
    def log_attributes(self) -> JsonTables:
        """The attributes of log records."""
        return JsonTables([_attributes(plan) for plan in self.logs], self.leaves)

    @cached_property
    def span_attributes(self) -> JsonTables:
        """The attributes of spans."""
        return JsonTables([_attributes(plan) for plan in self.spans], self.leaves)

    @cached_property
    def fields(self) -> JsonTables:
        """All fields."""
        return JsonTables([plan.fields for plan in self.plans], self.leaves)

    @cached_property
    def may_be_signal(self) -> np.ndarray:
        """Which shapes look as if they held an item of OpenTelemetry."""
        return np.array([plan.may_be_signal for plan in self.plans], bool)

    def slot(self, *, of_spans: bool, name: str) -> np.ndarray:
        """The leaf of the field of that name by shape, -1 without one."""
        known = self._slots.get((of_spans, name))
        if known is None:
            items = self.spans if of_spans else self.logs
            known = np.array([-1 if item is None else item.fields.get(name, -1) for item in items], np.int64)
            self._slots[of_spans, name] = known
        return known

    def number_formats(self, *, of_spans: bool, name: str) -> tuple[np.ndarray, list[Leaf]]:
        """The forms that the number of that name has, a leaf of each, and which one by shape."""
        known = self._formats.get((of_spans, name))
        if known is None:
            formats: dict[tuple[Value, int], int] = {}
            examples: list[Leaf] = []
            slot = self.slot(of_spans=of_spans, name=name)
            number = np.full(len(slot), -1, np.int64)
            for shape, leaf_number in enumerate(slot.tolist()):
                if leaf_number >= 0:
                    leaf = self.leaves[shape][leaf_number]
                    number[shape] = formats.setdefault((leaf.value, leaf.width), len(formats))
                    if len(examples) < len(formats):
                        examples.append(leaf)
            known = self._formats[of_spans, name] = (number, examples)
        return known


def _attributes(plan: ItemPlan | None) -> JsonPlan | None:
    return None if plan is None else plan.attributes


class ShapeSets:
    """The sets met last, so that batches of the same program share one."""

    def __init__(self) -> None:
        self._known: OrderedDict[bytes, ShapeSet] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, forms: Forms, present: np.ndarray, plans: Sequence[Plan]) -> ShapeSet:
        """The set of the forms ``present``, ``plans`` being those of all forms."""
        key = present.tobytes()
        with self._lock:
            return self._of(key, forms, present, plans)

    def _of(self, key: bytes, forms: Forms, present: np.ndarray, plans: Sequence[Plan]) -> ShapeSet:
        found = self._known.get(key)
        if found is None:
            numbers = present.tolist()
            pointers = [int(POINTER_BYTES[forms.descriptions[number].header_type]) or 8 for number in numbers]
            found = ShapeSet([plans[number] for number in numbers], pointers)
            self._known[key] = found
            if len(self._known) > _MOST_SETS:
                self._known.popitem(last=False)
        else:
            self._known.move_to_end(key)
        return found
