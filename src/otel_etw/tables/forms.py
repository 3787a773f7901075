"""What describes events, each description kept once: provider, traits and metadata of many events at once.

An event's extended items say who wrote it and what its fields are, in some 150 bytes that are the same for
thousands of events.  Here events are given the number of their *form*: two events have the same one if header
type, provider GUID and the bytes from the first to the last of those items are equal, every one of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from uuid import UUID

import numpy as np

from otel_etw.etl.layout import ExtendedType, HeaderType

MOST_FORMS = 20_000
"""A hostile file may have a form for every event; then forms are forgotten and made again."""

_MOST_COMPARISONS = 3
_ITEM_BYTES = 8
_ODD = np.random.default_rng().integers(1 << 63, size=8194, dtype=np.uint64) | np.uint64(1)


@dataclass(frozen=True)
class Description:
    """A form's own bytes, as far as the event has them; empty where it does not describe itself."""

    header_type: int
    provider_id: UUID
    traits: bytes | None
    metadata: bytes | None


class Forms:
    """Numbers descriptions. ``descriptions[number]`` is what all events of that form have in common."""

    def __init__(self) -> None:
        self.descriptions: list[Description] = []
        self._known: dict[tuple[int, bytes, bytes], int] = {}

    def __len__(self) -> int:
        return len(self.descriptions)

    @property
    def is_full(self) -> bool:
        """Whether a new one should take its place before the next batch."""
        return len(self.descriptions) > MOST_FORMS

    def number(self, header_type: int, provider_id: bytes, items: bytes) -> int:
        """The number of the form with that GUID and those items (a chain that begins at its first byte)."""
        key = (header_type, provider_id, items)
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = len(self.descriptions)
            traits, metadata = _blobs(items)
            self.descriptions.append(Description(header_type, UUID(bytes_le=provider_id), traits, metadata))
        return known


def _blobs(items: bytes) -> tuple[bytes | None, bytes | None]:
    """Traits and metadata in the row of items; the first of each kind counts."""
    found: dict[int, bytes] = {}
    position = 0
    while position < len(items):
        size = int.from_bytes(items[position : position + 2], "little")
        kind = int.from_bytes(items[position + 2 : position + 4], "little")
        data_bytes = int.from_bytes(items[position + 6 : position + 8], "little")
        found.setdefault(kind, items[position + _ITEM_BYTES : position + _ITEM_BYTES + data_bytes])
        position += size
    return found.get(ExtendedType.PROVIDER_TRAITS), found.get(ExtendedType.EVENT_SCHEMA_TL)


def assign(
    forms: Forms,
    data: np.ndarray,
    header_type: np.ndarray,
    position: np.ndarray,
    start: np.ndarray,
    end: np.ndarray,
) -> np.ndarray:
    """The form of each event whose describing items lie from ``start`` to ``end`` (multiples of 8)."""
    if not len(position):
        return np.empty(0, np.int32)
    words = data[: len(data) & -8].view("<u8")
    # Header type and length together: what differs in either is of another form.
    is_wide = (header_type & 1).astype(np.int64)
    group_key = ((end - start) >> 2 | is_wide).astype(np.uint16)
    first_word = position >> 3
    if (group_key == group_key[0]).all():
        return _assign_group(forms, words, int(group_key[0]), first_word, start >> 3)
    order = np.argsort(group_key, kind="stable")
    ordered = group_key[order]
    bounds = [0, *(np.flatnonzero(np.diff(ordered)) + 1).tolist(), len(order)]
    result = np.empty(len(position), np.int32)
    for low, high in pairwise(bounds):
        members = order[low:high]
        result[members] = _assign_group(
            forms, words, int(ordered[low]), first_word[members], start[members] >> 3
        )
    return result


def _assign_group(
    forms: Forms, words: np.ndarray, group_key: int, first_word: np.ndarray, start_word: np.ndarray
) -> np.ndarray:
    """The forms of events whose items are equally long: those equal to the first; and again for the rest."""
    size_words, header_type = group_key >> 1, HeaderType.EVENT_HEADER32 | group_key & 1
    rows = np.ndarray((len(words) - size_words + 1,), f"V{size_words * 8}", words.data, strides=(8,))
    items = rows[start_word].view("<u8").reshape(len(first_word), size_words)
    guid = np.stack([words.take(first_word + 3), words.take(first_word + 4)], axis=1)
    if (items == items[0]).all() and (guid == guid[0]).all():
        one = forms.number(header_type, guid[0].tobytes(), items[0].tobytes())
        return np.full(len(first_word), one, np.int32)
    content = np.concatenate([guid, items], axis=1)

    def number(row: np.ndarray) -> int:
        blob = row.tobytes()
        return forms.number(header_type, blob[:16], blob[16:])

    result = np.empty(len(content), np.int32)
    remaining = np.arange(len(content))
    for _ in range(_MOST_COMPARISONS):
        equal = (content == content[0]).all(axis=1)
        result[remaining[equal]] = number(content[0])
        remaining, content = remaining[~equal], content[~equal]
        if not len(remaining):
            return result
    mixed = (content * _ODD[: content.shape[1]]).sum(axis=1, dtype=np.uint64)
    _, first, inverse = np.unique(mixed, return_index=True, return_inverse=True)
    same = (content == content[first][inverse]).all(axis=1)
    numbers = np.array([number(content[row]) for row in first.tolist()], np.int32)
    result[remaining] = numbers[inverse]
    for row in np.flatnonzero(~same).tolist():  # told apart by nothing but a look at all of it
        result[remaining[row]] = number(content[row])
    return result
