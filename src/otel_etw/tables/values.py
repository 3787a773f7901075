"""Fields of fixed size as columns: numbers, truths, text of digits, ids and times."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from otel_etw.tables.leaves import Leaf, Value

_FORMATS = {
    (Value.SIGNED, 1): "<i1",
    (Value.SIGNED, 2): "<i2",
    (Value.SIGNED, 4): "<i4",
    (Value.SIGNED, 8): "<i8",
    (Value.UNSIGNED, 1): "<u1",
    (Value.UNSIGNED, 2): "<u2",
    (Value.UNSIGNED, 4): "<u4",
    (Value.UNSIGNED, 8): "<u8",
    (Value.FLOAT, 4): "<f4",
    (Value.FLOAT, 8): "<f8",
    (Value.BOOL, 1): "<u1",
    (Value.BOOL, 4): "<u4",
}


def numbers(data: np.ndarray, start: np.ndarray, leaf: Leaf) -> np.ndarray:
    """The numbers at ``start``, of the type that ``leaf`` has in the record; truths are not 0."""
    return gathered(data, start, _FORMATS[leaf.value, leaf.width])


def gathered(data: np.ndarray, start: np.ndarray, kind: str) -> np.ndarray:
    """Values of a fixed size from any places, aligned or not."""
    dtype = np.dtype(kind)
    view = np.ndarray((max(len(data) - dtype.itemsize + 1, 1),), dtype, data.data, strides=(1,))
    return view[start]


def digits(values: np.ndarray) -> pa.StringArray:
    """Numbers as JSON has them: integers in full, doubles with a fraction or an exponent."""
    if values.dtype.kind != "f":
        return pa.array(values).cast(pa.string())
    values = values.astype(np.float64)
    texts = pa.array(values).cast(pa.string())
    finite = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        size = np.abs(values)
        odd = np.flatnonzero(~finite | (np.trunc(values) == values) | (size < 1e-4) | (size >= 1e9))
    if not len(odd):
        return texts
    # Arrow leaves the fraction of whole numbers away, and takes to exponents elsewhere than Python.
    spelled = [_spelled(value) for value in values[odd].tolist()]
    mask = np.zeros(len(values), bool)
    mask[odd] = True
    return pc.replace_with_mask(texts, pa.array(mask), pa.array(spelled, pa.string()))


def _spelled(value: float) -> str:
    if value != value or value - value != 0.0:
        return f'"{_NON_FINITE[repr(value)]}"'
    return repr(value)


_NON_FINITE = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
