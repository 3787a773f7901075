"""Rows as JSON lines: one object for each, nulls left out, JSON columns as what they are and not as text.

Characters that a terminal would act on or not show are ``\\u`` escapes, as in all JSON of this package.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from otel_etw.outputs.export.cells import is_json, is_text, line_bytes, once_per_name, text_of
from otel_etw.outputs.text import escaped_json

_NEEDS_ESCAPES = r'["\\\x00-\x1f]'
_UNSAFE = (
    r"[\x7f\x{80}-\x{9f}\x{ad}\x{61c}\x{180e}\x{200b}\x{200e}\x{200f}\x{2028}-\x{202e}"
    r"\x{2060}-\x{2069}\x{feff}\x{fff9}-\x{fffb}\x{e0000}-\x{e007f}]"
)
_dumps = json.JSONEncoder(ensure_ascii=False).encode


def json_lines(batch: pa.RecordBatch, first_member: str | None = None) -> memoryview:
    """All rows of ``batch``; ``first_member`` (``"table":"logs"``) stands first in every line."""
    return line_bytes(_lines(batch, first_member))


def mixed_json_lines(
    batches: Mapping[str, pa.RecordBatch], slice_rows: int, *, in_time_order: bool = True
) -> Iterator[memoryview]:
    """The rows of several tables, by time if wanted, ``slice_rows`` at once; each line says its ``table``."""
    filled = {table: batch for table, batch in batches.items() if batch.num_rows}
    if not filled:
        return
    times = np.concatenate([batch.column("time").cast(pa.int64()).to_numpy() for batch in filled.values()])
    order = np.argsort(times, kind="stable") if in_time_order else np.arange(len(times))
    for start in range(0, len(order), slice_rows):
        yield line_bytes(_lines_in_order(filled, order[start : start + slice_rows]))


def _lines_in_order(batches: Mapping[str, pa.RecordBatch], wanted: NDArray[np.int64]) -> pa.Array:
    """The lines of the rows ``wanted``, which are numbered through all ``batches``."""
    lines, places = [], []
    first = 0
    for table, batch in batches.items():
        here = np.flatnonzero((wanted >= first) & (wanted < first + batch.num_rows))
        if len(here):
            lines.append(_lines(batch.take(pa.array(wanted[here] - first)), f'"table":"{table}"'))
            places.append(here)
        first += batch.num_rows
    return pa.concat_arrays(lines).take(pa.array(np.argsort(np.concatenate(places))))


def _lines(batch: pa.RecordBatch, first_member: str | None) -> pa.Array:
    members = [_members(name, column) for name, column in zip(batch.schema.names, batch.columns, strict=True)]
    if first_member is not None:
        members.insert(0, pa.scalar(first_member))
    inner = pc.binary_join_element_wise(*members, ",", null_handling="skip")
    return _safe(pc.binary_join_element_wise("{", inner, "}\n", ""))


def _members(name: str, column: pa.Array) -> pa.Array:
    return pc.binary_join_element_wise(f'"{name}":', _value(column), "")


def _value(column: pa.Array) -> pa.Array:
    if is_json(column):
        return text_of(column)
    if is_text(column):
        return once_per_name(column, _json_strings)
    text = text_of(column)
    if pa.types.is_timestamp(column.type) or pa.types.is_binary(column.type):
        return _enclosed(text)
    if pa.types.is_floating(column.type):
        return pc.if_else(pc.is_finite(column), text, _enclosed(text))
    return text


def _json_strings(text: pa.Array) -> pa.Array:
    needs = pc.match_substring_regex(text, _NEEDS_ESCAPES)
    if not pc.any(needs).as_py():
        return _enclosed(text)
    escaped = [None if one is None else _dumps(one) for one in text.filter(needs).to_pylist()]
    return pc.replace_with_mask(_enclosed(text), pc.fill_null(needs, False), pa.array(escaped, pa.string()))


def _enclosed(text: pa.Array) -> pa.Array:
    return pc.binary_join_element_wise('"', text, '"', "")


def _safe(lines: pa.Array) -> pa.Array:
    unsafe = pc.match_substring_regex(lines, _UNSAFE)
    if not pc.any(unsafe).as_py():
        return lines
    escaped = [escaped_json(line[:-1]) + "\n" for line in lines.filter(unsafe).to_pylist()]
    return pc.replace_with_mask(lines, unsafe, pa.array(escaped, pa.string()))
