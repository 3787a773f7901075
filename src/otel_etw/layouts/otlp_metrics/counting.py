"""How many data points a serialized metrics request has, without making anything of them."""

from __future__ import annotations

from otel_etw.errors import DecodeError

# resource_metrics -> scope_metrics -> metrics -> gauge, sum, any histogram, summary -> data_points
_FIELDS = ({1}, {2}, {2}, {5, 7, 9, 10, 11}, {1})
_FIXED_BYTES = {1: 8, 5: 4}
_VARINT, _DELIMITED = 0, 2


def count_points(request: bytes) -> int:
    """The number of data points of ``request``. Raises :class:`.DecodeError` where its structure is damaged.

    What is inside of data points is not looked at.
    """
    return _count(request, 0, len(request), 0)


def _count(data: bytes, pos: int, end: int, depth: int) -> int:
    if depth == len(_FIELDS):
        return 1
    count = 0
    while pos < end:
        tag, pos = _varint(data, pos, end)
        wire_type = tag & 7
        if wire_type == _DELIMITED:
            size, pos = _varint(data, pos, end)
            if size > end - pos:
                raise DecodeError(f"expected at most {end - pos} bytes, found a length of {size}", offset=pos)
            if tag >> 3 in _FIELDS[depth]:
                count += _count(data, pos, pos + size, depth + 1)
            pos += size
        elif wire_type == _VARINT:
            _, pos = _varint(data, pos, end)
        elif wire_type in _FIXED_BYTES:
            pos += _FIXED_BYTES[wire_type]
        else:
            raise DecodeError(f"expected a field, found wire type {wire_type}", offset=pos)
    return count


def _varint(data: bytes, pos: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while pos < end and shift < 70:
        byte = data[pos]
        pos += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, pos
        shift += 7
    raise DecodeError("expected the end of a number, found more or nothing", offset=pos)
