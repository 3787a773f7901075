"""A small plain LZ77 XPRESS compressor, to make compressed buffers for the reader's tests ([MS-XCA] 2.3).

Greedy and slow.  ``literals_only`` makes no matches; otherwise every length form is used where it fits.
"""

from __future__ import annotations

_MAX_DISTANCE = 8192
_MIN_MATCH = 3


class Encoder:
    """Flag word, literals and matches, in the order of the calls; ``finish`` gives the stream."""

    def __init__(self) -> None:
        self._out = bytearray(4)
        self._flags_at = 0
        self._flags = 0
        self._flag_count = 0
        self._half_byte_at: int | None = None

    def literal(self, byte: int) -> None:
        self._out.append(byte)
        self._flag(0)

    def match(self, distance: int, length: int) -> None:
        rest = length - _MIN_MATCH
        self._out += ((distance - 1) << 3 | min(rest, 7)).to_bytes(2, "little")
        if rest >= 7:
            self._nibble(min(rest - 7, 15))
            if rest - 7 >= 15:
                self._long(rest)
        self._flag(1)

    def _nibble(self, value: int) -> None:
        if self._half_byte_at is None:
            self._half_byte_at = len(self._out)
            self._out.append(value)
        else:
            self._out[self._half_byte_at] |= value << 4
            self._half_byte_at = None

    def _long(self, rest: int) -> None:
        if rest - 22 < 255:
            self._out.append(rest - 22)
        elif rest < 1 << 16:
            self._out += b"\xff" + rest.to_bytes(2, "little")
        else:
            self._out += b"\xff\0\0" + rest.to_bytes(4, "little")

    def _flag(self, bit: int) -> None:
        self._flags = self._flags << 1 | bit
        self._flag_count += 1
        if self._flag_count == 32:
            self._store_flags()
            self._flags_at = len(self._out)
            self._out += bytes(4)
            self._flags = self._flag_count = 0

    def _store_flags(self) -> None:
        self._out[self._flags_at : self._flags_at + 4] = self._flags.to_bytes(4, "little")

    def finish(self) -> bytes:
        unused = 32 - self._flag_count
        self._flags = self._flags << unused | (1 << unused) - 1
        self._store_flags()
        return bytes(self._out)


def compress(data: bytes, *, literals_only: bool = False) -> bytes:
    """``data`` as one stream."""
    encoder = Encoder()
    last_seen: dict[bytes, int] = {}
    pos = 0
    while pos < len(data):
        key = data[pos : pos + _MIN_MATCH]
        earlier = last_seen.get(key)
        last_seen[key] = pos
        if literals_only or earlier is None or len(key) < _MIN_MATCH or pos - earlier > _MAX_DISTANCE:
            encoder.literal(data[pos])
            pos += 1
            continue
        length = _MIN_MATCH
        while pos + length < len(data) and data[earlier + length] == data[pos + length]:
            length += 1
        encoder.match(pos - earlier, length)
        pos += length
    return encoder.finish()
