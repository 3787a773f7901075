"""Where each field of many events is: all events take the step to their next field together.

Events of different shapes go side by side: what the next field of each is stands in tables by shape.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from otel_etw.tables.leaves import COUNTED, ENDED_BY_NUL, ENDED_BY_NUL16
from otel_etw.tables.shape_sets import ShapeSet


class FieldPlaces(NamedTuple):
    """``start[i, e]`` and ``length[i, e]`` (bytes, without counts and terminators) of leaf i of event e.

    Where an event has no leaf i, the length is 0. ``fits`` says of which events the fields fill the payload
    exactly; of others nothing holds but that places lie inside the payload, and do not go back.
    """

    start: np.ndarray
    length: np.ndarray
    fits: np.ndarray

    def of(self, leaf: np.ndarray, events: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Start and length of one leaf of each of the ``events``."""
        flat = leaf * self.start.shape[1] + events
        return self.start.reshape(-1).take(flat), self.length.reshape(-1).take(flat)


def locate(
    data: np.ndarray,
    payload_start: np.ndarray,
    payload_end: np.ndarray,
    shape: np.ndarray,
    shapes: ShapeSet,
) -> FieldPlaces:
    """The places of the fields of events whose payloads are given, ``shape`` being places in ``shapes``.

    Behind ``data``'s last payload there must be two bytes more.
    """
    widths, most, count = shapes.widths, len(shapes.widths), len(shape)
    start = np.empty((most, count), np.int32)
    length = np.empty((most, count), np.int32)
    at, end = payload_start.copy(), payload_end
    fits = np.ones(count, bool)
    terminators = _Terminators(data, payload_start, payload_end)
    for number in range(most):
        lowest, highest = int(widths[number].min()), int(widths[number].max())
        if lowest >= 0:
            start[number] = at
            length[number] = lowest if lowest == highest else shapes.fixed[number].take(shape)
        elif lowest == highest == COUNTED:
            length[number] = _counts(data, at)
            start[number] = at + 2
        else:
            # All ones where there is a count, which is two bytes: nothing is asked of single events.
            counted = shapes.counted[number].take(shape)
            length[number] = (_counts(data, at) & counted) + shapes.fixed[number].take(shape)
            start[number] = at + (counted & 2)
        after = start[number] + length[number].astype(np.int64)
        if lowest < COUNTED:
            width = widths[number].take(shape)
            for mark, unit in ((ENDED_BY_NUL, 1), (ENDED_BY_NUL16, 2)):
                rows = np.flatnonzero(width == mark)
                if len(rows):
                    nul = terminators.next(at[rows], unit)
                    length[number, rows] = np.minimum(nul, end[rows]) - at[rows]
                    after[rows] = nul + unit
        beyond = after > end
        if beyond.any():
            fits &= ~beyond
            at = np.minimum(after, end)
            np.minimum(start[number], end, out=start[number], casting="unsafe")
            np.minimum(length[number], end - start[number], out=length[number], casting="unsafe")
        else:
            at = after
    fits &= at == end
    return FieldPlaces(start, length, fits)


def _counts(data: np.ndarray, at: np.ndarray) -> np.ndarray:
    """The u16 at each place. Two bytes taken one by one come sooner than one number that is not aligned."""
    counts = data.take(at + 1).astype(np.int64)
    counts <<= 8
    counts |= data.take(at)
    return counts


class _Terminators:
    """Where the zero bytes and zero units of the payloads are; found when first asked for."""

    def __init__(self, data: np.ndarray, payload_start: np.ndarray, payload_end: np.ndarray) -> None:
        first, last = (int(payload_start.min()), int(payload_end.max())) if len(payload_start) else (0, 0)
        self._first = first
        self._data = data[first:last]
        self._nowhere = len(data)
        self._zeros: dict[tuple[int, int], np.ndarray] = {}

    def next(self, at: np.ndarray, unit: int) -> np.ndarray:
        """The first terminator of that many bytes at or after each place, in whole units from there on."""
        if unit == 1:
            return self._after(at, self._of_parity(1, 0))
        result = np.empty(len(at), np.int64)
        for parity in (0, 1):
            rows = (at - self._first) & 1 == parity
            result[rows] = self._after(at[rows], self._of_parity(2, parity))
        return result

    def _of_parity(self, unit: int, parity: int) -> np.ndarray:
        known = self._zeros.get((unit, parity))
        if known is None:
            zero = self._data == 0
            if unit == 2:
                zero = zero[parity:-1:2] & zero[parity + 1 :: 2]
            known = np.flatnonzero(zero) * unit + parity + self._first
            self._zeros[unit, parity] = known
        return known

    def _after(self, at: np.ndarray, places: np.ndarray) -> np.ndarray:
        index = np.searchsorted(places, at)
        padded = np.append(places, self._nowhere)
        return padded[index].astype(np.int64)
