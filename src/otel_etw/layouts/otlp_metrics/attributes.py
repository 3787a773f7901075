"""Attribute sets as bytes, remembered by content.

The same few sets come with every collection, so their bytes are looked up.  The SDK hands out the
application's own mutable dicts, and what matters is what is in them now: the key of the memory is the
content, never an object's identity.

A set of texts has the key ``(field number, keys..., values...)``.  Where other values are among them, ``1``,
``True`` and ``1.0`` would be equal, and so would ``0.0`` and ``-0.0``: there the values' ``repr`` stands for
them, behind a mark, which makes the number of parts even where it was odd.  Only such sets are entered whose
keys are ``str`` and whose values are ``str``, ``bool``, ``int`` and ``float``, none a subclass.  Values of
other types are not even hashed: a tuple's hash follows nesting until the stack ends.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from otel_etw.layouts.otlp_metrics.values import key_values
from otel_etw.layouts.otlp_metrics.wire import delimited

MAX_SETS = 1 << 13
MAX_ATTRIBUTES = 16
MAX_SET_BYTES = 512

_TEXTS = frozenset({str})
_SCALARS = frozenset({str, bool, int, float})
_REPRESENTED = "repr"


class AttributeSet(NamedTuple):
    """The bytes of a set of attributes, and how to tell that another one is the same.

    It is if its keys and values equal ``parts`` and, where ``types`` are given, its values have these types.
    """

    parts: tuple[object, ...]
    types: tuple[type, ...] | None
    fields: bytes


INCOMPARABLE: tuple[object, ...] = (None,)
"""``parts`` of a set that nothing is the same as: keys and values are never a single part."""


class AttributeMemory:
    """Attribute sets, each encoded as a repeated field of ``KeyValue`` messages.

    Enters at most :data:`MAX_SETS` sets, of at most :data:`MAX_ATTRIBUTES` attributes and
    :data:`MAX_SET_BYTES` encoded bytes: 25 MiB at the very most, keys included.  Any number of threads may
    ask at once.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], AttributeSet] = {}
        self._refused = 0

    def __len__(self) -> int:
        """How many sets are remembered."""
        return len(self._known)

    @property
    def is_outdated(self) -> bool:
        """Whether it is full, and as many sets again have been asked for that it did not know."""
        return self._refused >= MAX_SETS

    def fields(self, field_number: int, attributes: Any) -> bytes:
        """All attributes, in order; raises only what a mapping that is none raises."""
        return self.look_up(field_number, attributes).fields

    def look_up(self, field_number: int, attributes: Any) -> AttributeSet:
        """The set of all attributes, in order; raises only what a mapping that is none raises."""
        if attributes.__class__ is dict:
            # One look at the dict: it is the application's, which may be changing it.
            names, values = (*attributes,), (*attributes.values(),)
            if len(names) == len(values) and _SCALARS.issuperset(map(type, values)):
                return self._scalars(field_number, names, values)
        return AttributeSet(INCOMPARABLE, None, _encoded(field_number, attributes))

    def _scalars(
        self, field_number: int, names: tuple[object, ...], values: tuple[object, ...]
    ) -> AttributeSet:
        texts = _TEXTS.issuperset(map(type, values))
        key = (field_number, *names, *values)
        if not texts:
            key = (field_number, _REPRESENTED, *names, *map(repr, values))
        found = self._known.get(key)
        return found or self._learn(key, field_number, names, values, texts)

    def _learn(
        self,
        key: tuple[object, ...],
        field_number: int,
        names: tuple[object, ...],
        values: tuple[object, ...],
        texts: bool,
    ) -> AttributeSet:
        encoded = _encoded(field_number, dict(zip(names, values, strict=True)))
        lasting = (
            len(names) <= MAX_ATTRIBUTES
            and len(encoded) <= MAX_SET_BYTES
            and _TEXTS.issuperset(map(type, names))
            and all(value == value for value in values)  # a NaN's repr does not tell its bits
        )
        if not lasting or len(self._known) >= MAX_SETS:
            self._refused += lasting
            return AttributeSet(INCOMPARABLE, None, encoded)
        if texts:
            found = AttributeSet((*names, *values), None, encoded)
        elif any(type(value) is float and not value for value in values):  # 0.0 and -0.0 are equal
            found = AttributeSet(INCOMPARABLE, None, encoded)
        else:
            found = AttributeSet((*names, *values), (*map(type, values),), encoded)
        self._known[key] = found
        return found


def _encoded(field_number: int, attributes: Any) -> bytes:
    return b"".join([delimited(field_number, pair.SerializeToString()) for pair in key_values(attributes)])
