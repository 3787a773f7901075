"""Plain LZ77 XPRESS decompression ([MS-XCA] section 2.4), the compression of trace buffers. Pure.

A stream is a row of 32-bit flag words, each followed by what its bits announce, most significant
first: 0 is a literal byte, 1 a match.  A match is a u16 (13 bits distance - 1, 3 bits length) and, for
longer ones, a nibble, a byte, a u16 and a u32 in turn, each only if the one before was full.  Nibbles
go in pairs: the second match that needs one takes the high half of the byte that the first one read.
There is neither a length nor a checksum in the stream, so the caller says how much it expects.

Runs of literals and whole matches are copied by slices; the inner loop runs once per match, as a table has
the lengths of the runs for every byte of flags.
"""

from __future__ import annotations

from otel_etw.errors import DecodeError

_MIN_MATCH = 3


def _runs() -> list[tuple[tuple[int, ...], int]]:
    """For each byte of flags: how many literals stand before each of its matches, and behind the last one."""
    table = []
    for flags in range(256):
        *before, behind = map(len, f"{flags:08b}".split("1"))
        table.append((tuple(before), behind))
    return table


_RUNS = _runs()


def decompress(data: bytes, size_bytes: int) -> bytearray:
    """Exactly ``size_bytes`` bytes out of the stream ``data``; input that is left over is ignored.

    Never makes more than ``size_bytes`` bytes, so the caller bounds that first.  Raises
    :class:`DecodeError` where the stream ends early, reaches back before its start, or
    would make more than was expected.
    """
    return _decompressed(data, size_bytes, is_whole=True)


def decompress_prefix(data: bytes, size_bytes: int) -> bytearray:
    """The first ``size_bytes`` bytes out of the stream ``data``, which may be cut behind what they need
    (:func:`prefix_stored_bytes`). Raises what :func:`decompress` raises.
    """
    return _decompressed(data, size_bytes, is_whole=False)


def prefix_stored_bytes(size_bytes: int) -> int:
    """How many bytes of a stream the first ``size_bytes`` of its contents take at most.

    A literal takes a byte and every match less than it makes, the last one apart, of which only a part may be
    wanted: ten bytes. The flags of 32 of them take four.
    """
    return size_bytes + size_bytes // 8 + 4 + 10


def _decompressed(data: bytes, size: int, *, is_whole: bool) -> bytearray:
    out = bytearray()
    try:
        _decompress(data, size, out, is_whole)
    except IndexError:
        raise DecodeError(
            f"expected {size} bytes, compressed stream of {len(data)} ends after {len(out)}",
            offset=len(data),
            where="compressed buffer",
        ) from None
    return out


def _decompress(data: bytes, size: int, out: bytearray, is_whole: bool) -> None:
    """Fill ``out``; IndexError where the stream ends early."""
    pos = 0
    half_byte_at = -1
    made = 0  # bytes in ``out``; more only where the stream has ended
    while made < size:
        flags_at = pos
        pos += 4
        for place in (flags_at + 3, flags_at + 2, flags_at + 1, flags_at):
            runs, last_run = _RUNS[data[place]]
            for literals in runs:
                if literals:
                    out += data[pos : pos + literals]
                    pos += literals
                    made += literals
                if made >= size:
                    break

                match = data[pos] | data[pos + 1] << 8
                pos += 2
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

                start = made - (match >> 3) - 1
                if start < 0:
                    raise _broken(f"match reaches {made - start} bytes back after {made} bytes", pos)
                if length > size - made:
                    if is_whole:
                        raise _broken(f"match of {length} bytes after {made} of {size} expected bytes", pos)
                    length = size - made
                if start + length <= made:
                    out += out[start : start + length]
                else:
                    out += (out[start:] * (length // (made - start) + 1))[:length]
                made += length
            if last_run:
                out += data[pos : pos + last_run]
                pos += last_run
                made += last_run
    if len(out) < size:
        raise IndexError
    del out[size:]


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
