"""The records of many buffers: where each begins, in as few steps of the interpreter as there are records.

Most buffers hold nothing but events, whose first bytes are nearly unmistakable: these are found by a look at
all bytes, and believed where they form a chain.  Else a record says how long it is, so a walk takes one step
after the other. Here a step only notes where it is and
goes on; whether the sizes were possible is looked at afterwards, for all records of a buffer at once.  From
the first record on that is not of a usual kind or size, the rest of its buffer is left to
:func:`otel_etw.etl.walking.walk`, whose rules are the truth about damage.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from otel_etw.etl import layout
from otel_etw.etl.buffers import skip_reporter
from otel_etw.etl.layout import HeaderType
from otel_etw.etl.walking import SHAPES, RecordKind, walk
from otel_etw.tables.chunks import Chunk, Lanes
from otel_etw.tables.kinds import FIXED_BYTES, SIZE_IS_SECOND, TIME_WORD, WPP_TYPE


def _marked(header_type: int) -> int:
    """The upper half of a record's first four bytes."""
    return layout.MARKER_TRACE << 8 | header_type


_EVENT64 = _marked(HeaderType.EVENT_HEADER64)
# Upper half of the first word -> whether Size stands in the second word (1) or in the first (0).
_USUAL = {
    _marked(header_type): int(shape.size_offset != 0)
    for header_type, shape in SHAPES.items()
    if shape.time_offset and shape.kind is not RecordKind.COMPACT
}


class Records(NamedTuple):
    """All records of a chunk in the order of their places: position, size, header type, raw time, buffer."""

    position: np.ndarray
    size: np.ndarray
    header_type: np.ndarray
    raw: np.ndarray
    lane: np.ndarray


def walk_all(chunk: Chunk, lanes: Lanes, first_raw: Sequence[int]) -> Records:
    """The records of all ``lanes``; ``first_raw`` is the time that each file starts with."""
    data = chunk.data[: len(chunk.data) & -8]
    words = data.view("<u8")
    place, lane, is_left = _chained(words, lanes)
    left = np.flatnonzero(is_left).tolist()
    if left:
        quarters = data.data.cast("B").cast("I")
        stepped: list[int] = []
        counts: list[int] = []
        for number in left:
            start, end, before = int(lanes.start[number]), int(lanes.end[number]), len(stepped)
            _steps(quarters, start >> 2, end - 7 + 3 >> 2, (end - start >> 3) + 1, stepped)
            counts.append(len(stepped) - before)
        place = np.concatenate([place, np.array(stepped, np.int64) >> 1])
        lane = np.concatenate([lane, np.repeat(left, counts)])
        if len(left) < len(lanes.start):
            order = np.argsort(place, kind="stable")
            place, lane = place[order], lane[order]
    word = words.take(place)
    quarter = word.view("<u2").reshape(-1, 4)
    header_type = quarter[:, 1].astype(np.uint8)
    second = SIZE_IS_SECOND.take(header_type)
    size = quarter[:, 0].astype(np.int64)
    if second.any():
        size = np.where(second, quarter[:, 2], size)
    position = place << 3
    wrong = (size < FIXED_BYTES.take(header_type)) | (position + size > lanes.end.take(lane))
    raw = words.take(place + TIME_WORD.take(header_type)).view(np.int64)
    records = Records(position, size, header_type, raw, lane)
    ends = np.searchsorted(lane, np.arange(1, len(lanes.start) + 1)).tolist()
    return _with_plain(chunk, lanes, records, wrong, ends, first_raw)


def _chained(words: np.ndarray, lanes: Lanes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The records of lanes that hold nothing but events of 64-bit processes: their words, and their lanes.

    Whatever begins like such a record may be one. If each ends where the next begins, from the start of the
    lane to its end, all are. Of the third array those lanes are true of which that does not hold.
    """
    used = (int(lanes.end[-1]) + 7) >> 3 if len(lanes.end) else 0
    quarters = words[:used].view("<u2")
    place = np.flatnonzero(quarters[1::4] == _EVENT64)
    bounds = np.searchsorted(place, np.append(lanes.start >> 3, used))
    place = place[bounds[0] :]
    lane = np.repeat(np.arange(len(lanes.start)), np.diff(bounds))
    inside = (place << 3) < lanes.end.take(lane)
    if not inside.all():
        place, lane = place[inside], lane[inside]
    following = place + ((quarters.take(place << 2).astype(np.int64) + 7) >> 3)
    is_last = np.append(lane[1:] != lane[:-1], True) if len(lane) else np.empty(0, bool)
    expected = np.append(place[1:], 0) if len(lane) else place
    at_end = (following << 3) + 8 > lanes.end.take(lane)
    fits = np.where(is_last, at_end, following == expected)
    is_left = np.ones(len(lanes.start), bool)
    is_first = np.append(True, is_last[:-1]) if len(lane) else is_last
    starts = is_first & (place << 3 == lanes.start.take(lane))
    is_left[lane[starts]] = False
    is_left[lane[~fits]] = True
    kept = ~is_left[lane]
    return (place, lane, is_left) if kept.all() else (place[kept], lane[kept], is_left)


def _steps(quarters: memoryview, at: int, end: int, most: int, places: list[int]) -> None:
    """Append the places (in units of 4 bytes) of the records from ``at`` on, up to one of an unusual kind."""
    add = places.append
    usual = _USUAL.get
    for _ in range(most):
        if at >= end:
            return
        word = quarters[at]
        kind = word >> 16
        if kind == _EVENT64:
            add(at)
            at += ((word & 0xFFFF) + 7 >> 3) << 1
            continue
        second = usual(kind)
        if second is None:
            return
        add(at)
        size = quarters[at + 1] & 0xFFFF if second else word & 0xFFFF
        at += (size + 7 >> 3) << 1


def _with_plain(
    chunk: Chunk,
    lanes: Lanes,
    records: Records,
    wrong: np.ndarray,
    ends: list[int],
    first_raw: Sequence[int],
) -> Records:
    """``records`` up to the first wrong one of each buffer, with what the plain walk finds from there on."""
    bounds = np.array([0, *ends])
    kept = bounds[1:].copy()
    for row in np.flatnonzero(wrong).tolist():
        lane = int(records.lane[row])
        kept[lane] = min(kept[lane], row)
    position, size = records.position, records.size
    has_records = kept > bounds[:-1]
    last = np.maximum(kept - 1, 0)
    reached = lanes.start.copy()
    if len(position):
        reached = np.where(has_records, position[last] + ((size[last] + 7) & -8), reached)
    left = np.flatnonzero(reached + 8 <= lanes.end).tolist()
    if not left and not wrong.any():
        return records
    keep = np.ones(len(position), bool)
    for lane in np.flatnonzero(kept < bounds[1:]).tolist():
        keep[kept[lane] : bounds[lane + 1]] = False
    columns = [column[keep] for column in records]
    parts = []
    for lane in left:
        start, end = int(lanes.start[lane]), int(lanes.end[lane])
        raw = int(records.raw[last[lane]]) if has_records[lane] else first_raw[int(lanes.file[lane])]
        data = chunk.data[start:end].tobytes()
        on_skip = skip_reporter(lanes.buffers[lane], lanes.walk_reports[lane])
        found = [
            (start + record.pos, record.size, _type_of(data, record.pos), record.raw)
            for record in walk(data, raw, on_skip, int(reached[lane]) - start)
        ]
        if found:
            rows = np.array(found, np.int64)
            parts.append((rows[:, 0], rows[:, 1], rows[:, 2], rows[:, 3], np.full(len(rows), lane)))
    if parts:
        columns = [np.concatenate([column, *more]) for column, *more in zip(columns, *parts, strict=True)]
        order = np.argsort(columns[0], kind="stable")
        columns = [column[order] for column in columns]
    position, size, header_type, raw_times, lane_of = columns
    return Records(position, size, header_type.astype(np.uint8), raw_times, lane_of)


def _type_of(data: bytes, position: int) -> int:
    return WPP_TYPE if data[position + 3] == layout.MARKER_MESSAGE else data[position + 2]
