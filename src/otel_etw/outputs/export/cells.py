"""Columns as text, whole columns at a time: what CSV and JSON lines have in common.

Times are ISO 8601 in UTC with nine fraction digits, lists JSON, bytes base64, non-finite numbers ``NaN``,
``Infinity`` and ``-Infinity``, JSON columns their own text.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc

TextOf = Callable[[pa.Array], pa.Array]


def plain(column: pa.Array) -> pa.Array:
    """A column without what Arrow wraps around it: JSON columns as strings."""
    return column.storage if isinstance(column, pa.ExtensionArray) else column


def is_json(column: pa.Array) -> bool:
    """Whether its text is JSON: the JSON columns, and lists."""
    return bool(isinstance(column, pa.ExtensionArray) or pa.types.is_list(column.type))


def is_text(column: pa.Array) -> bool:
    """Whether it holds text, rather than numbers, or times and bytes, whose text needs no care."""
    return bool(pa.types.is_string(column.type) or pa.types.is_dictionary(column.type))


def once_per_name(column: pa.Array, text_of: TextOf) -> pa.Array:
    """``text_of`` the column, of a dictionary's column once for each of its values."""
    if not pa.types.is_dictionary(column.type):
        return text_of(column)
    return pc.take(text_of(column.dictionary), column.indices)


def text_of(column: pa.Array) -> pa.Array:
    """Any column as strings; null stays null."""
    kind = column.type
    if isinstance(column, pa.ExtensionArray):
        return column.storage
    if pa.types.is_string(kind):
        return column
    if pa.types.is_dictionary(kind):
        return column.cast(pa.string())
    if pa.types.is_timestamp(kind):
        return _iso_times(column)
    if pa.types.is_list(kind):
        return _lists(column)
    if pa.types.is_binary(kind):
        return _base64(column)
    if pa.types.is_floating(kind):
        return _doubles(column)
    return column.cast(pa.string())


def line_bytes(lines: pa.Array) -> memoryview:
    """The bytes of all strings of an array, one after the other, as they lie in memory."""
    if not len(lines):
        return memoryview(b"")
    _, offsets, data = lines.buffers()
    first, last = (int(lines.offset), int(lines.offset) + len(lines))
    ends = memoryview(offsets).cast("i")
    return memoryview(data)[ends[first] : ends[last]] if data is not None else memoryview(b"")


def _iso_times(column: pa.Array) -> pa.Array:
    # Without the zone no table of zones is asked for; Arrow's text then has a space and no mark.
    naive = column.cast(pa.int64()).cast(pa.timestamp("ns")).cast(pa.string())
    return pc.binary_join_element_wise(pc.replace_substring(naive, " ", "T"), "Z", "")


def _lists(column: pa.Array) -> pa.Array:
    items = _json_numbers(column.flatten())
    lengths = pc.list_value_length(column)
    ends = pc.cumulative_sum(pc.fill_null(lengths, 0).cast(pa.int32()))
    offsets = pa.concat_arrays([pa.array([0], pa.int32()), ends])
    joined = pc.binary_join(pa.ListArray.from_arrays(offsets, items), ",")
    text = pc.binary_join_element_wise("[", joined, "]", "")
    return pc.if_else(pc.is_valid(lengths), text, pa.scalar(None, pa.string()))


def _json_numbers(column: pa.Array) -> pa.Array:
    if not pa.types.is_floating(column.type):
        return column.cast(pa.string())
    text = _doubles(column)
    quoted = pc.binary_join_element_wise('"', text, '"', "")
    return pc.if_else(pc.is_finite(column), text, quoted)


def _doubles(column: pa.Array) -> pa.Array:
    text = column.cast(pa.string())
    if pc.all(pc.is_finite(column)).as_py() is not False:
        return text
    text = pc.if_else(pc.is_nan(column), "NaN", text)
    infinite = pc.if_else(pc.greater(column, 0), "Infinity", "-Infinity")
    return pc.if_else(pc.is_inf(column), infinite, text)


def _base64(column: pa.Array) -> pa.Array:
    encoded = (None if data is None else b64encode(data).decode("ascii") for data in column.to_pylist())
    return pa.array(encoded, pa.string())
