"""Columns of any Arrow type as Python values that say everything in JSON.

By the convention of :mod:`otel_etw.tables.json_values`; times are ISO 8601 with nine fraction digits, with
``Z`` where they are known to be UTC. pyarrow's own conversion of nanosecond times would need pandas.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from itertools import islice
from typing import Any

import pyarrow as pa

from otel_etw.outputs.numbers import time_text
from otel_etw.tables.json_values import json_value

TimesOf = Callable[[pa.Array], list[Any]]
"""What makes values of an array of timestamps."""


def iso_times(column: pa.Array) -> list[str | None]:
    """Timestamps of any unit as ISO 8601."""
    mark = "Z" if column.type.tz else ""
    return [
        None if nanoseconds is None else time_text(nanoseconds, digits=9).replace(" ", "T") + mark
        for nanoseconds in unix_nanos(column)
    ]


def unix_nanos(column: pa.Array) -> list[int | None]:
    """Timestamps of any unit as nanoseconds, of any size."""
    factor = {"s": 10**9, "ms": 10**6, "us": 1000, "ns": 1}[column.type.unit]
    return [None if ticks is None else ticks * factor for ticks in column.view(pa.int64()).to_pylist()]


def values_of(column: pa.Array, times_of: TimesOf = iso_times) -> list[Any]:
    """The values of a column, ``None`` for null; text of JSON columns as it is."""
    kind = column.type
    if isinstance(column, pa.ExtensionArray):
        return values_of(column.storage, times_of)
    if pa.types.is_dictionary(kind):
        return values_of(column.dictionary_decode(), times_of)
    if pa.types.is_timestamp(kind):
        return times_of(column)
    if pa.types.is_map(kind):
        pairs = zip(values_of(column.keys, times_of), values_of(column.items, times_of), strict=True)
        return _lists(column, [list(pair) for pair in pairs])
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return _lists(column, values_of(column.values, times_of))
    if pa.types.is_fixed_size_list(kind):
        return _lists_of_one_size(column, values_of(column.flatten(), times_of))
    if pa.types.is_struct(kind):
        return _structs(column, times_of)
    if pa.types.is_interval(kind):
        return [None if interval is None else _interval_text(interval) for interval in column.to_pylist()]
    if pa.types.is_duration(kind):
        return values_of(column.view(pa.int64()))
    return [json_value(_number(value)) for value in _python_values(column)]


def _python_values(column: pa.Array) -> list[Any]:
    try:
        values: list[Any] = column.to_pylist()
    except (OverflowError, ValueError):  # a date that Python's calendar does not reach
        values = column.cast(pa.string()).to_pylist()
    return values


def _lists(column: pa.Array, values: list[Any]) -> list[Any]:
    """The lists of a column, given all their ``values``, whatever part of them the column shows."""
    offsets, valid = column.offsets.to_pylist(), column.is_valid().to_pylist()
    return [values[offsets[row] : offsets[row + 1]] if valid[row] else None for row in range(len(valid))]


def _lists_of_one_size(column: pa.Array, values: list[Any]) -> list[Any]:
    """The same for lists of one size; ``values`` are those of lists that are not null."""
    size, rest = column.type.list_size, iter(values)
    return [list(islice(rest, size)) if valid else None for valid in column.is_valid().to_pylist()]


def _structs(column: pa.Array, times_of: TimesOf) -> list[Any]:
    names = [column.type.field(number).name for number in range(column.type.num_fields)]
    fields = [values_of(field, times_of) for field in column.flatten()]
    return [
        dict(zip(names, values, strict=True)) if valid else None
        for *values, valid in zip(*fields, column.is_valid().to_pylist(), strict=True)
    ]


def _number(value: Any) -> Any:
    """Decimals are integers where they can be, or else doubles."""
    if not isinstance(value, Decimal):
        return value
    return int(value) if value == value.to_integral_value() else float(value)


def _interval_text(interval: Any) -> str:
    """Months, days and nanoseconds: ``1 month 2 days 00:00:01.5``; ``00:00:00`` for nothing."""
    seconds, nanoseconds = divmod(abs(interval.nanoseconds), 10**9)
    clock = f"{seconds // 3600:02}:{seconds % 3600 // 60:02}:{seconds % 60:02}"
    if nanoseconds:
        clock += f".{nanoseconds:09}".rstrip("0")
    parts = [
        f"{count} {unit}{'' if abs(count) == 1 else 's'}"
        for count, unit in ((interval.months, "month"), (interval.days, "day"))
        if count
    ]
    if interval.nanoseconds or not parts:
        parts.append(f"-{clock}" if interval.nanoseconds < 0 else clock)
    return " ".join(parts)
