"""Data points and exemplars straight as bytes, for the usual ones: those the SDK makes.

Each writer gives what :mod:`.messages` would serialize, byte for byte, or raises:
:class:`UnusualPointError`, or whatever ``struct`` and the conversions raise for a number that does not fit.
The caller then goes the plain way.  A field of zero is absent on the wire (proto3), so a point without a
time, or a histogram that counted nothing, is unusual too.

Tags are ``field_number << 3 | wire_type`` of ``metrics.proto``, wire type 1 (8 bytes) where a number follows.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Collection, Iterable, Sized
from functools import lru_cache
from typing import Any, NamedTuple

from otel_etw.layouts.otlp_metrics.wire import delimited, varint

_MAX_BUCKETS = 4096  # an event has no room for the 8 bytes of twice as many
_INT32 = range(-(2**31), 2**31)

# NumberDataPoint: start time (2), time (3), as_int (6) or as_double (4).
_INT = struct.Struct("<BQBQBq").pack
_DOUBLE = struct.Struct("<BQBQBd").pack
_INT_NO_START = struct.Struct("<BQBq").pack
_DOUBLE_NO_START = struct.Struct("<BQBd").pack
# ExponentialHistogramDataPoint: start time (2), time (3), count (4), sum (5); minimum (12), maximum (13).
_AGGREGATES = struct.Struct("<BQBQBQBd").pack
_RANGE = struct.Struct("<BdBd").pack
_FIXED64 = struct.Struct("<BQ").pack
_SFIXED64 = struct.Struct("<Bq").pack

_SHORT_VARINTS = [varint(number) for number in range(1024)]


PointWriter = Callable[[Any], bytes]
"""Writes a point's message but for attributes and exemplars; for points of one metric, by one thread."""


class UnusualPointError(Exception):
    """The point is not one of those that are written here."""


def number_point(point: Any) -> bytes:
    """A ``NumberDataPoint`` without attributes and exemplars."""
    value = point.value
    start, time = point.start_time_unix_nano, point.time_unix_nano
    if not time:
        raise UnusualPointError("no time")
    kind = type(value)
    if kind is int:
        return _INT(17, start, 25, time, 49, value) if start else _INT_NO_START(25, time, 49, value)
    if kind is float:
        return _DOUBLE(17, start, 25, time, 33, value) if start else _DOUBLE_NO_START(25, time, 33, value)
    raise UnusualPointError("a value of no plain number type")


def number_writer() -> PointWriter:
    """Writes number points."""
    return number_point


def histogram_writer() -> PointWriter:
    """Writes histograms, whose bounds are mostly ever the same.

    A tuple of bounds that is the very one of the point before has the same content too.
    """
    last_bounds: object = None
    layout = _HistogramLayout.make((), ())

    def write(point: Any) -> bytes:
        nonlocal last_bounds, layout
        counts, bounds = point.bucket_counts, point.explicit_bounds
        if bounds is not last_bounds or len(counts) != layout.counts:
            layout = _HistogramLayout.make(counts, bounds)
            last_bounds = bounds if type(bounds) is tuple else None
        start, time, count = point.start_time_unix_nano, point.time_unix_nano, point.count
        if not (start and time and count):
            raise UnusualPointError("a field of zero")
        least, most = point.min, point.max
        _, pack, pack_ranged, before_counts, packed_bounds = layout
        first = (17, start, 25, time, 33, count, 41, point.sum, before_counts)
        if least <= most:
            return pack_ranged(*first, *counts, packed_bounds, 89, least, 97, most)
        return pack(*first, *counts, packed_bounds)

    return write


class _HistogramLayout(NamedTuple):
    """Start time (2), time (3), count (4), sum (5), bucket_counts (6), explicit_bounds (7).

    Both lists are packed numbers of 8 bytes behind a tag and a length, and absent if empty; minimum (11) and
    maximum (12) may follow.
    """

    counts: int
    pack: Callable[..., bytes]
    pack_ranged: Callable[..., bytes]
    before_counts: bytes
    bounds: bytes

    @classmethod
    def make(cls, counts: Sized, bounds: Collection[float]) -> _HistogramLayout:
        number = len(counts)
        if number > _MAX_BUCKETS or len(bounds) > _MAX_BUCKETS:
            raise UnusualPointError("more buckets than an event has room for")
        before_counts = b"\x32" + varint(8 * number) if number else b""
        packed_bounds = delimited(7, struct.pack(f"<{len(bounds)}d", *bounds)) if bounds else b""
        layout = f"<BQBQBQBd{len(before_counts)}s{number}Q{len(packed_bounds)}s"
        pack, pack_ranged = struct.Struct(layout).pack, struct.Struct(layout + "BdBd").pack
        return cls(number, pack, pack_ranged, before_counts, packed_bounds)


def exponential_writer() -> PointWriter:
    """Writes exponential histograms."""
    return exponential_point


def exponential_point(point: Any) -> bytes:
    """An ``ExponentialHistogramDataPoint`` without attributes and exemplars."""
    start, time, count = point.start_time_unix_nano, point.time_unix_nano, point.count
    if not (start and time and count) or point.flags or getattr(point, "zero_threshold", 0):
        raise UnusualPointError("a field of zero, or one that the SDK leaves at zero")
    least, most = point.min, point.max
    zero_count = point.zero_count
    return b"".join(
        (
            _AGGREGATES(17, start, 25, time, 33, count, 41, point.sum),
            _signed(6, point.scale),
            _FIXED64(57, zero_count) if zero_count else b"",
            _buckets(b"\x42", point.positive),
            _buckets(b"\x4a", point.negative),
            _RANGE(97, least, 105, most) if least <= most else b"",
        )
    )


def _buckets(tag: bytes, buckets: Any) -> bytes:
    """One side's ``Buckets``: offset (1), bucket_counts (2) as packed varints; there even if empty."""
    counts = buckets.bucket_counts
    if counts.__class__ is not list:
        counts = [*counts]
    body = _signed(1, buckets.offset)
    if counts:
        data = _varints(counts)
        body = b"%b\x12%b%b" % (body, _length(data), data)
    return tag + _length(body) + body


def _length(data: bytes) -> bytes:
    size_bytes = len(data)
    return _SHORT_VARINTS[size_bytes] if size_bytes < 1024 else varint(size_bytes)


def _varints(numbers: list[int]) -> bytes:
    """Numbers below 128, which most counts are, are their own varints."""
    try:
        data = bytes(numbers)
        if data.isascii():
            return data
    except ValueError:  # a number over 255, or a negative one, which is found below
        pass
    return b"".join([_SHORT_VARINTS[n] if 0 <= n < 1024 else varint(n) for n in numbers])


def _signed(field_number: int, number: int) -> bytes:
    """A field of type sint32, whose sign is the lowest bit (zigzag)."""
    if type(number) is not int:
        raise UnusualPointError("an offset or scale of no plain integer type")
    return _signed_field(field_number, number)


@lru_cache(maxsize=1024)
def _signed_field(field_number: int, number: int) -> bytes:
    if number not in _INT32:
        raise UnusualPointError("an offset or scale beyond 32 bits")
    return varint(field_number << 3) + varint(number << 1 ^ number >> 31) if number else b""


def exemplar_fields(
    field_number: int, exemplars: Iterable[Any], attribute_fields: Callable[[int, Any], bytes]
) -> bytes:
    """A point's exemplars, each as one field of the point."""
    return b"".join([delimited(field_number, _exemplar(one, attribute_fields)) for one in exemplars])


def _exemplar(exemplar: Any, attribute_fields: Callable[[int, Any], bytes]) -> bytes:
    """Time (2), as_double (3), span_id (4), trace_id (5), as_int (6), filtered_attributes (7)."""
    time, value = exemplar.time_unix_nano, exemplar.value
    if not time:
        raise UnusualPointError("no time")
    ids = _id(b"\x22\x08", exemplar.span_id) + _id(b"\x2a\x10", exemplar.trace_id)
    attributes = attribute_fields(7, exemplar.filtered_attributes)
    kind = type(value)
    if kind is float:
        return _DOUBLE_NO_START(17, time, 25, value) + ids + attributes
    if kind is int:
        return _FIXED64(17, time) + ids + _SFIXED64(49, value) + attributes
    raise UnusualPointError("a value of no plain number type")


def _id(tag_and_length: bytes, number: int | None) -> bytes:
    return tag_and_length + number.to_bytes(tag_and_length[1], "big") if number else b""
