"""Plain LZ77 XPRESS decompression ([MS-XCA] section 2.4), the compression of trace buffers. Pure.

A stream is a row of 32-bit flag words, each followed by what its bits announce, most significant
first: 0 is a literal byte, 1 a match.  A match is a u16 (13 bits distance - 1, 3 bits length) and, for
longer ones, a nibble, a byte, a u16 and a u32 in turn, each only if the one before was full.  Nibbles
go in pairs: the second match that needs one takes the high half of the byte that the first one read.
There is neither a length nor a checksum in the stream, so the caller says how much it expects.

Runs of literals and whole matches are copied by slices; the inner loop runs once per match.
"""

from __future__ import annotations

from otel_etw.errors import DecodeError

_MIN_MATCH = 3


def decompress(data: bytes, size_bytes: int) -> bytearray:
    """Exactly ``size_bytes`` bytes out of the stream ``data``; input that is left over is ignored.

    Never makes more than ``size_bytes`` bytes, so the caller bounds that first.  Raises
    :class:`DecodeError` where the stream ends early, reaches back before its start, or
    would make more than was expected.
    """
    out = bytearray()
    try:
        _decompress(data, size_bytes, out)
    except IndexError:
        raise DecodeError(
            f"expected {size_bytes} bytes, compressed stream of {len(data)} ends after {len(out)}",
            offset=len(data),
            where="compressed buffer",
        ) from None
    return out


def _decompress(data: bytes, size: int, out: bytearray) -> None:
    pos = 0
    flags = flag_count = 0
    half_byte_at = -1
    made = 0
    while made < size:
        if flag_count == 0:
            flags = data[pos] | data[pos + 1] << 8 | data[pos + 2] << 16 | data[pos + 3] << 24
            pos += 4
            flag_count = 32
        literals = flag_count - flags.bit_length()
        if literals:
            flag_count -= literals
            if literals > size - made:
                literals = size - made
            out += data[pos : pos + literals]
            pos += literals
            made += literals
            if pos > len(data):
                raise IndexError
            if flag_count == 0 or made == size:
                continue
        flag_count -= 1
        flags ^= 1 << flag_count

        match = data[pos] | data[pos + 1] << 8
        pos += 2
        distance = (match >> 3) + 1
        length = match & 7
        if length == 7:
            if half_byte_at < 0:
                half_byte_at = pos
                length = data[pos] & 15
                pos += 1
            else:
                length = data[half_byte_at] >> 4
                half_byte_at = -1
            if length == 15:
                length, pos = _long_length(data, pos)
            length += 7
        length += _MIN_MATCH

        if distance > made:
            raise _broken(f"match reaches {distance} bytes back after {made} bytes", pos)
        if length > size - made:
            raise _broken(f"match of {length} bytes after {made} of {size} expected bytes", pos)
        start = made - distance
        if distance >= length:
            out += out[start : start + length]
        else:
            out += (out[start:] * (length // distance + 1))[:length]
        made += length


def _long_length(data: bytes, pos: int) -> tuple[int, int]:
    """The length, before the common additions, of a match whose nibble is full; and where it ends."""
    length = data[pos]
    pos += 1
    if length < 255:
        return length + 15, pos
    length = data[pos] | data[pos + 1] << 8
    pos += 2
    if length == 0:
        length = data[pos] | data[pos + 1] << 8 | data[pos + 2] << 16 | data[pos + 3] << 24
        pos += 4
    if length < 15 + 7:
        raise _broken(f"expected a long match length of at least 22, found {length}", pos)
    return length - 7, pos


def _broken(problem: str, pos: int) -> DecodeError:
    return DecodeError(problem, offset=pos, where="compressed buffer")
