"""The protobuf wire format, as much of it as an envelope around finished bytes needs.

A message inside another one is its bytes behind a tag and a length, so what stands around a data point can
be made once and put around each.  Tags: ``field_number << 3 | wire_type``; lengths and integers are varints,
seven bits to a byte, the lowest first (protobuf.dev/programming-guides/encoding).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

_DELIMITED = 2
_VARINT_END = 1 << 64


def varint(number: int) -> bytes:
    """An integer of 0 to 2**64 - 1; ValueError for any other."""
    if not 0 <= number < _VARINT_END:
        raise ValueError(f"expected an unsigned 64-bit number, found {number}")
    groups = bytearray()
    while number >= 0x80:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    groups.append(number)
    return bytes(groups)


def delimited(field_number: int, data: bytes) -> bytes:
    """A field of text, bytes, a message or packed numbers: tag, length, data."""
    return varint(field_number << 3 | _DELIMITED) + varint(len(data)) + data


class Layer(NamedTuple):
    """A message around another one: its fields before it, the inner one's field number, its fields after."""

    before: bytes
    field_number: int
    after: bytes


def envelope(layers: Sequence[Layer], size_bytes: int) -> tuple[bytes, bytes]:
    """What stands before and after an innermost message; ``layers`` go from the outermost in."""
    head = tail = b""
    for before, field_number, after in reversed(layers):
        length = len(head) + size_bytes + len(tail)
        head = b"%b%b%b%b" % (before, varint(field_number << 3 | _DELIMITED), varint(length), head)
        tail += after
    return head, tail


def wrap(data: bytes, layers: Sequence[Layer]) -> bytes:
    """An innermost message with its layers around it."""
    head, tail = envelope(layers, len(data))
    return b"%b%b%b" % (head, data, tail)
