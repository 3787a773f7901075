"""Cutting the time of some traces into slabs that can be decoded apart, in any process, and joined in order.

What lies in a slab is said by two limits; which buffers have records in it by the first and the last time of
each, for which every buffer has to be looked at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from otel_etw.etl.buffers import Buffer
from otel_etw.tables.batch import EventBatch
from otel_etw.tables.reading import Reading, add_runs, manifest_events, room_bytes
from otel_etw.tables.time_merge import Limit, key_of, ordered

_EARLIEST = -(1 << 63)

Manifest = tuple[bytes, bytes, bytes]
"""Provider, payload and source of a manifest's piece."""


@dataclass(frozen=True)
class Slab:
    """Records from ``low`` on and before ``high`` (``None``: no limit), out of ``buffers``: (file, buffer).

    ``begun`` says of each buffer whether an earlier slab has it too, and has told what is wrong with it.
    """

    buffers: tuple[tuple[int, Buffer], ...]
    low: Limit | None
    high: Limit | None
    begun: tuple[bool, ...] = ()


@dataclass(frozen=True)
class Span:
    """The earliest and the latest time in a buffer, as :func:`.time_merge.key_of` has them."""

    place: tuple[int, int]
    """Number of the file, and of the buffer in it."""
    buffer: Buffer
    first: int
    last: int


def spans_of(
    reading: Reading, number: int, buffers: Sequence[Buffer], on_manifest: Callable[[Manifest], object]
) -> list[Span]:
    """The spans of those ``buffers`` of a file; ``on_manifest`` is given the manifests in them."""
    chunk = reading.chunk(sum(map(room_bytes, buffers)))
    unheard = [trace.new_report() for trace in reading.traces]
    add_runs(reading, chunk, ((number, buffer) for buffer in buffers), unheard)
    batch = reading.batch(chunk)
    for event, _ in manifest_events(batch):
        on_manifest((event.record[0x18:0x28], event.payload, event.record[0x08:0x10]))
    key, lane = key_of(batch), batch.records.lane
    bounds = np.searchsorted(lane, np.arange(len(buffers) + 1)).tolist()
    return [
        Span((number, buffer.index), buffer, *_ends(key[low:high]))
        for buffer, low, high in zip(buffers, bounds, bounds[1:], strict=False)
    ]


def _ends(key: np.ndarray) -> tuple[int, int]:
    """The least and the greatest; of a buffer without records, which may be damaged, the least there is."""
    return (int(key.min()), int(key.max())) if len(key) else (_EARLIEST, _EARLIEST)


def slabs_by_time(spans: Iterable[Span], batch_bytes: int) -> list[Slab]:
    """Slabs in the order of time, each of about so many bytes of buffers that begin in it."""
    spans = sorted(spans, key=lambda span: (span.first, span.place))
    groups: list[list[Span]] = []
    held_bytes = 0
    for span in spans:
        if not groups or held_bytes >= batch_bytes:
            groups.append([])
            held_bytes = 0
        groups[-1].append(span)
        held_bytes += room_bytes(span.buffer)
    limits = [None, *(Limit(group[0].first, group[0].place) for group in groups[1:]), None]
    slabs = []
    going_on: list[Span] = []
    for group, low, high in zip(groups, limits, limits[1:], strict=False):
        both = [*((span, True) for span in going_on), *((span, False) for span in group)]
        chosen = sorted(both, key=lambda one: one[0].place)
        buffers = tuple((span.place[0], span.buffer) for span, _ in chosen)
        slabs.append(Slab(buffers, low, high, tuple(begun for _, begun in chosen)))
        if high is not None:
            going_on = [span for span, _ in chosen if (span.last, span.place) >= high]
    return slabs


def slabs_by_file(found: Iterable[tuple[int, Buffer]], batch_bytes: int) -> list[Slab]:
    """Slabs of so many bytes, file after file as stored."""
    groups: list[list[tuple[int, Buffer]]] = []
    held_bytes = 0
    for number, buffer in found:
        if not groups or held_bytes >= batch_bytes or groups[-1][-1][0] != number:
            groups.append([])
            held_bytes = 0
        groups[-1].append((number, buffer))
        held_bytes += room_bytes(buffer)
    return [Slab(tuple(group), None, None, (False,) * len(group)) for group in groups]


def batch_of(reading: Reading, slab: Slab, *, by_time: bool) -> EventBatch | None:
    """The records of a slab; ``None`` if there are none. Damage goes into the reports of ``reading``."""
    chunk = reading.chunk(sum(room_bytes(buffer) for _, buffer in slab.buffers))
    unheard = [trace.new_report() for trace in reading.traces]
    for (number, buffer), begun in zip(slab.buffers, slab.begun, strict=True):
        report = reading.reports[number]
        walk_report = unheard[number] if begun else report
        data = reading.traces[number].read_buffer(buffer, walk_report)
        chunk.add(number, buffer, data, report, walk_report)
    batch = reading.batch(chunk)
    if not by_time:
        return batch if len(batch) else None
    key = key_of(batch)
    places = [(number, buffer.index) for number, buffer in slab.buffers]
    mask = np.ones(len(batch), bool)
    if slab.low is not None:
        mask &= ~_is_before(slab.low, key, batch.records.lane, places)
    if slab.high is not None:
        mask &= _is_before(slab.high, key, batch.records.lane, places)
    if not mask.all():
        batch, key = batch.selected(mask), key[mask]
    return ordered(batch, key) if len(batch) else None


def _is_before(
    limit: Limit, key: np.ndarray, lane: np.ndarray, places: Sequence[tuple[int, int]]
) -> np.ndarray:
    earlier = np.array([place < limit.place for place in places], bool)
    return (key < limit.time) | ((key == limit.time) & earlier[lane])
