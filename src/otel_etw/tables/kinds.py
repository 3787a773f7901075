"""What :mod:`otel_etw.etl.walking` knows of record kinds, as lookup tables by header type."""

from __future__ import annotations

import numpy as np

from otel_etw.etl.walking import SHAPES, WPP_SHAPE, RecordKind, RecordShape

WPP_TYPE = 0xFF
"""Stands for records with the WPP marker, whose own type byte says nothing."""

RECORD_SHAPES: dict[int, RecordShape] = {**SHAPES, WPP_TYPE: WPP_SHAPE}
"""Header type -> shape, those of WPP records included."""

NONE = -1


def _by_type(value_of: dict[RecordKind, int], default: int) -> np.ndarray:
    table = np.full(256, default, np.int64)
    for header_type, shape in RECORD_SHAPES.items():
        table[header_type] = value_of.get(shape.kind, default)
    return table


KIND_NAMES: tuple[str, ...] = tuple(
    RECORD_SHAPES[number].name if number in RECORD_SHAPES else "" for number in range(256)
)
"""Header type -> the record kind's name, such as ``event_header64``."""

FIXED_BYTES = np.zeros(256, np.int64)
SIZE_IS_SECOND = np.zeros(256, bool)
"""Whether Size is the third u16 of a record (the first is a version there)."""
TIME_WORD = np.full(256, NONE, np.int64)
POINTER_BYTES = np.zeros(256, np.uint8)
for _type, _shape in RECORD_SHAPES.items():
    FIXED_BYTES[_type] = _shape.fixed_bytes
    SIZE_IS_SECOND[_type] = _shape.size_offset != 0
    POINTER_BYTES[_type] = _shape.pointer_size
    if _shape.time_offset:
        TIME_WORD[_type] = _shape.time_offset // 8

_K = RecordKind
_FULL_IDS = dict.fromkeys((_K.EVENT, _K.ERROR, _K.SYSTEM, _K.COMPACT, _K.CLASSIC, _K.INSTANCE), 1)
IDS_WORD = _by_type(_FULL_IDS, NONE)
"""Where thread and process are, in words of eight bytes from the start of the record."""

GUID_WORD = _by_type(dict.fromkeys((_K.EVENT, _K.ERROR, _K.CLASSIC, _K.INSTANCE), 3), NONE)

IS_DESCRIBED_BY_DESCRIPTOR = _by_type({_K.EVENT: 1, _K.ERROR: 1}, 0).astype(bool)
"""Kinds with a whole event descriptor."""

IS_EVENT = _by_type({_K.EVENT: 1}, 0).astype(bool)
IS_CLASSIC = _by_type({_K.CLASSIC: 1, _K.INSTANCE: 1}, 0).astype(bool)
IS_HOOK = _by_type({_K.SYSTEM: 1, _K.COMPACT: 1, _K.PERFINFO: 1}, 0).astype(bool)
IS_SIMPLE = _by_type(dict.fromkeys((_K.EVENT, _K.SYSTEM, _K.COMPACT, _K.PERFINFO, _K.CLASSIC), 1), 0).astype(
    bool
)
"""Kinds that are handled by whole columns; the few others one by one."""
