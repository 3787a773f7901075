"""The .NET Geneva exporter's data points as a sequence of typed items (section 4.2): events of id 70.

::

    u8 type | u16 length | so many bytes        again and again
         1  monitoring account          UTF-8
         2  metric namespace            UTF-8
         3  metric name                 UTF-8
         4  dimensions                  u16 count, all keys, all values: each u16 length and UTF-8
         5  a whole number              i64 FILETIME, u64
         6  a number                    i64 FILETIME, f64
         8  aggregates of a histogram   u32 count, u32 zero, i64 FILETIME, u64 sum, u64 min, u64 max
        12  its buckets                 u16 count, then u64 upper bound and u32 count of each
        15  exemplars                   left out: only experimental builds write them

What kind of metric it was is not said.  Only monotonic sums of integers are written as type 5; gauges and all
other sums as type 6, which therefore becomes a gauge.  Temporality, unit, scope and resource are lost.

Empty buckets are not written, and the bucket without an upper bound comes with the last bound plus one: it is
told from an ordinary one by a maximum beyond it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from otel_etw.errors import DecodeError
from otel_etw.layouts.items import MetricPoint
from otel_etw.tracelogging.text import from_8bit
from otel_etw.tracelogging.values import FileTime

EVENT_ID = 70

# What Geneva's protobuf form calls the two, where they are attributes.
_ACCOUNT_KEY = "_microsoft_metrics_account"
_NAMESPACE_KEY = "_microsoft_metrics_namespace"

_ACCOUNT, _NAMESPACE, _NAME, _DIMENSIONS, _WHOLE, _NUMBER, _AGGREGATES, _BUCKETS = 1, 2, 3, 4, 5, 6, 8, 12
_U16 = struct.Struct("<H")
_ITEM = struct.Struct("<BH")
_BUCKET = struct.Struct("<QI")
_VALUES = {
    _WHOLE: struct.Struct("<qQ"),
    _NUMBER: struct.Struct("<qd"),
    _AGGREGATES: struct.Struct("<IIqQQQ"),
}


def decode_tlv(payload: bytes) -> MetricPoint:
    """The data point of an event; :class:`.DecodeError` if the bytes are none."""
    items = dict(_items(payload))
    if _NAME not in items:
        raise _fault("expected a metric name (type 3), found none", len(payload))
    facts = _value_facts(items)
    resource = {
        key: from_8bit(items[number])
        for number, key in ((_ACCOUNT, _ACCOUNT_KEY), (_NAMESPACE, _NAMESPACE_KEY))
        if number in items
    }
    return MetricPoint(
        metric_name=from_8bit(items[_NAME]),
        attributes=_dimensions(items.get(_DIMENSIONS, b"\0\0")),
        resource=resource,
        **facts,
    )


def _items(payload: bytes) -> Iterator[tuple[int, bytes]]:
    """(type, content) of each item; the last of several of one type counts."""
    offset = 0
    while offset < len(payload):
        if offset + _ITEM.size > len(payload):
            raise _fault(f"expected an item of 3 bytes at least, found {len(payload) - offset}", offset)
        number, length = _ITEM.unpack_from(payload, offset)
        offset += _ITEM.size
        if length > len(payload) - offset:
            raise _fault(f"type {number} claims {length} bytes, {len(payload) - offset} are left", offset)
        yield number, payload[offset : offset + length]
        offset += length


def _value_facts(items: dict[int, bytes]) -> dict[str, Any]:
    for number, layout in _VALUES.items():
        data = items.get(number)
        if data is None:
            continue
        if len(data) != layout.size:
            raise _fault(f"type {number}: expected {layout.size} bytes, found {len(data)}")
        values = layout.unpack(data)
        if number == _AGGREGATES:
            return _histogram_facts(values, items.get(_BUCKETS))
        is_sum = number == _WHOLE
        return {
            "time_unix_nano": FileTime(values[0]).unix_nano,
            "value": values[1],
            "kind": "sum" if is_sum else "gauge",
            "is_monotonic": True if is_sum else None,
        }
    raise _fault("expected a value (type 5, 6 or 8), found none")


def _histogram_facts(values: tuple[Any, ...], buckets: bytes | None) -> dict[str, Any]:
    count, _, filetime, total, least, most = values
    facts = {
        "kind": "histogram",
        "time_unix_nano": FileTime(filetime).unix_nano,
        "count": count,
        "sum": float(total),
        "min": float(least),
        "max": float(most),
    }
    if buckets is not None:
        facts["explicit_bounds"], facts["bucket_counts"] = _bounds_and_counts(buckets, most)
    return facts


def _bounds_and_counts(data: bytes, most: int) -> tuple[tuple[float, ...], tuple[int, ...]]:
    """n bounds and n + 1 counts."""
    count = _U16.unpack_from(data)[0] if len(data) >= _U16.size else -1
    if len(data) != _U16.size + count * _BUCKET.size:
        raise _fault(f"type {_BUCKETS}: expected a count and pairs of 12 bytes, found {len(data)} bytes")
    pairs = list(_BUCKET.iter_unpack(data[_U16.size :]))
    if any(before[0] >= after[0] for before, after in pairwise(pairs)):
        raise _fault(f"type {_BUCKETS}: expected rising bounds")
    above = 0
    if pairs and most > pairs[-1][0]:
        bound, above = pairs.pop()
        if bound and (not pairs or bound - 1 > pairs[-1][0]):
            pairs.append((bound - 1, 0))
    return tuple(float(bound) for bound, _ in pairs), (*(counted for _, counted in pairs), above)


def _dimensions(data: bytes) -> dict[str, str]:
    if len(data) < _U16.size:
        raise _fault(f"type {_DIMENSIONS}: expected a count of 2 bytes, found {len(data)}")
    (count,) = _U16.unpack_from(data)
    offset = _U16.size
    texts: list[str] = []
    while len(texts) < 2 * count and offset + _U16.size <= len(data):
        (length,) = _U16.unpack_from(data, offset)
        offset += _U16.size
        if length > len(data) - offset:
            break
        texts.append(from_8bit(data[offset : offset + length]))
        offset += length
    if len(texts) != 2 * count:
        raise _fault(f"type {_DIMENSIONS}: expected {count} keys and values, found {len(texts)} texts")
    return dict(zip(texts[:count], texts[count:], strict=True))


def _fault(problem: str, offset: int | None = None) -> DecodeError:
    return DecodeError(problem, offset=offset, where="TLV payload")
