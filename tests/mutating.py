"""Damage of every kind to trace files, from a number: the same number gives the same damage."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Sequence
from typing import NamedTuple

from mutation_seeds import BUFFER_BYTES, recompressed

HEADER_BYTES = 72
_RECORD_HEADER_BYTES = {0x12: 0x50, 0x13: 0x50, 0x0D: 0x50}

_U8 = (
    0,
    1,
    2,
    0x0B,
    0x0E,
    0x13,
    0x14,
    0x16,
    0x18,
    0x1F,
    0x20,
    0x2F,
    0x40,
    0x5F,
    0x60,
    0x7F,
    0x80,
    0x98,
    0xFF,
)
_U16 = (0, 1, 7, 8, 9, 0x47, 0x48, 0x4F, 0x50, 0x51, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFF8, 0xFFFE, 0xFFFF)
_U32 = (
    0, 1, 71, 72, 73, 79, 80, 1023, 1024, 4096, 0xFFFF, 0x1_0000, 0x0100_0000, 0x0101_0000, 0x0101_0001,
    0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFF8, 0xFFFF_FFFF,
)  # fmt: skip
_U64 = (
    0,
    1,
    2**31,
    2**32,
    2**53,
    2**62,
    2**63 - 1,
    2**63,
    2**64 - 1,
    116444736000000000,
    2650467743999999999,
)
_BUFFER_FIELDS = ((0, 4), (4, 4), (8, 4), (0x10, 8), (0x18, 8), (0x28, 2), (0x30, 4), (0x34, 2), (0x36, 2))
_FILE_FIELDS = (
    (0x68, 4), (0x6C, 4), (0x74, 4), (0x78, 8), (0x80, 4), (0x88, 4), (0x8C, 4), (0x94, 4), (0x98, 4),
    (0x9C, 4), (0x160, 8), (0x168, 8), (0x170, 8), (0x178, 4), (0x17C, 4), (0x58, 8),
)  # fmt: skip
_RECORD_FIELDS = (
    (0, 2), (2, 1), (3, 1), (4, 2), (6, 2), (8, 4), (12, 4), (16, 8), (24, 8), (0x28, 2), (0x2A, 1),
    (0x2B, 1), (0x2C, 1), (0x2D, 1), (0x2E, 2), (0x30, 8), (0x40, 8),
)  # fmt: skip
_NOT_UTF8 = (
    b"\xff\xfe",
    b"\xc0\x80",
    b"\xed\xa0\x80",
    b"\x80",
    b"\0\xd8",
    b"\xf4\x90\x80\x80",
    b"\0",
    b"\x81\x9d",
)


class Place(NamedTuple):
    """Where a record is in the file, and where its user data begins (its end where it has none)."""

    start: int
    size: int
    data: int


class Mutator:
    """Damages one of ``seeds`` (name -> file)."""

    def __init__(self, seeds: dict[str, bytes]) -> None:
        self._seeds = seeds
        self._names = sorted(seeds)
        self._places = {name: _places(content) for name, content in seeds.items()}

    def mutated(self, seed: int, number: int) -> tuple[str, bytes]:
        """The file that these numbers stand for, and in words what was done to which."""
        dice = random.Random(f"{seed}:{number}")
        name = dice.choice(self._names)
        content = bytearray(self._seeds[name])
        done = []
        for _ in range(dice.choice((1, 1, 1, 2, 3, 8))):
            damage = dice.choice(_DAMAGES)
            other = self._seeds[dice.choice(self._names)]
            damage(content, self._places[name], dice, other)
            done.append(damage.__name__.strip("_"))
        if dice.random() < 0.15 and len(self._seeds[name]) % BUFFER_BYTES == 0:
            content = bytearray(recompressed(bytes(content)))
            done.append("recompressed")
        return f"{name}: {', '.join(done)}", bytes(content)


def _places(content: bytes) -> Sequence[Place]:
    """The records of an uncompressed file; of a compressed one those of the first buffer."""
    places = []
    start = 0
    while start + HEADER_BYTES <= len(content):
        size, _, _, _ = struct.unpack_from("<IIII", content, start)
        filled = struct.unpack_from("<I", content, start + 0x30)[0]
        compressed = struct.unpack_from("<H", content, start + 0x34)[0] & 0x40
        at = start + HEADER_BYTES
        while not compressed and at + 24 <= min(start + filled, len(content)):
            place = _place(content, at)
            places.append(place)
            at += max(8, (place.size + 7) // 8 * 8)
        start += max(size, HEADER_BYTES)
    return places


def _place(content: bytes, at: int) -> Place:
    size, kind, marker = struct.unpack_from("<HBB", content, at)
    if marker != 0xC0:
        return Place(at, size or 24, at + 24)
    if kind not in _RECORD_HEADER_BYTES:
        hooked = struct.unpack_from("<H", content, at + 4)[0]
        return Place(at, (hooked if kind in (1, 2, 3, 4, 16, 17) else size) or 24, at + 24)
    data = at + 0x50
    flags = struct.unpack_from("<H", content, at + 4)[0]
    more = flags & 1
    while more and data + 8 <= at + size:
        item_size, _, more = struct.unpack_from("<HHH", content, data)
        data += max(item_size, 8)
    return Place(at, size, min(data, at + size))


# --- the damages ------------------------------------------------------------------------------

Damage = Callable[[bytearray, "Sequence[Place]", random.Random, bytes], None]


def _flip_bits(content: bytearray, places: Sequence[Place], dice: random.Random, other: bytes) -> None:
    for _ in range(dice.choice((1, 2, 8, 64))):
        if content:
            content[dice.randrange(len(content))] ^= 1 << dice.randrange(8)


def _overwrite(content: bytearray, places: Sequence[Place], dice: random.Random, other: bytes) -> None:
    start = dice.randrange(len(content) + 1)
    length = min(dice.choice((1, 4, 16, 200)), len(content) - start)
    fill = dice.choice((b"\0", b"\xff", None))
    content[start : start + length] = dice.randbytes(length) if fill is None else fill * length


def _truncate(content: bytearray, places: Sequence[Place], dice: random.Random, other: bytes) -> None:
    del content[dice.randrange(len(content) + 1) :]


def _cut_out(content: bytearray, places: Sequence[Place], dice: random.Random, other: bytes) -> None:
    start = dice.randrange(len(content) + 1)
    del content[start : start + dice.choice((1, 8, 72, 1000, BUFFER_BYTES))]


def _splice(content: bytearray, places: Sequence[Place], dice: random.Random, other: bytes) -> None:
    """A buffer of another file put over one, between two, or anywhere."""
    starts = range(0, len(other), BUFFER_BYTES)
    start = dice.choice(starts) if starts else 0
    piece = other[start : start + BUFFER_BYTES]
    at = dice.randrange(len(content) // BUFFER_BYTES + 1) * BUFFER_BYTES
    if dice.random() < 0.2:
        at = dice.randrange(len(content) + 1)
    end = at + len(piece) if dice.random() < 0.5 else at
    content[at:end] = piece


def _swap_buffers(content: bytearray, places: Sequence[Place], dice: random.Random, other: bytes) -> None:
    count = len(content) // BUFFER_BYTES
    if count > 1:
        one, two = (dice.randrange(count) * BUFFER_BYTES for _ in range(2))
        first, second = content[one : one + BUFFER_BYTES], content[two : two + BUFFER_BYTES]
        content[one : one + BUFFER_BYTES], content[two : two + BUFFER_BYTES] = second, first


def _buffer_header(content: bytearray, places: Sequence[Place], dice: random.Random, other: bytes) -> None:
    at = dice.randrange(len(content) // BUFFER_BYTES + 1) * BUFFER_BYTES
    _hostile(content, at, dice.choice(_BUFFER_FIELDS), dice)


def _file_header(content: bytearray, places: Sequence[Place], dice: random.Random, other: bytes) -> None:
    _hostile(content, 0, dice.choice(_FILE_FIELDS), dice)


def _record_header(content: bytearray, places: Sequence[Place], dice: random.Random, other: bytes) -> None:
    if places:
        _hostile(content, dice.choice(places).start, dice.choice(_RECORD_FIELDS), dice)


def _schema(content: bytearray, places: Sequence[Place], dice: random.Random, other: bytes) -> None:
    """Extended items: their sizes, and within metadata any byte, often one that is an in-type."""
    described = [place for place in places if place.data > place.start + 0x50]
    if described:
        place = dice.choice(described)
        for _ in range(dice.choice((1, 1, 4))):
            at = dice.randrange(place.start + 0x50, place.data)
            _hostile(content, at, (0, dice.choice((1, 1, 1, 2))), dice)


def _payload(content: bytearray, places: Sequence[Place], dice: random.Random, other: bytes) -> None:
    """Counts, lengths and values in user data."""
    filled = [place for place in places if place.data < place.start + place.size]
    if filled:
        place = dice.choice(filled)
        for _ in range(dice.choice((1, 1, 4))):
            at = dice.randrange(place.data, place.start + place.size)
            _hostile(content, at, (0, dice.choice((1, 2, 2, 4, 8))), dice)


def _bad_text(content: bytearray, places: Sequence[Place], dice: random.Random, other: bytes) -> None:
    if places:
        place = dice.choice(places)
        at = dice.randrange(place.start, place.start + place.size)
        text = dice.choice(_NOT_UTF8)
        if at + len(text) <= len(content):
            content[at : at + len(text)] = text


def _exchange_payloads(
    content: bytearray, places: Sequence[Place], dice: random.Random, other: bytes
) -> None:
    """One record's user data as far as it fits into another record."""
    if places:
        source, target = dice.choice(places), dice.choice(places)
        data = content[source.data : source.start + source.size]
        room = max(0, target.start + target.size - target.data)
        if target.start + target.size <= len(content):
            content[target.data : target.data + min(room, len(data))] = data[:room]


def _hostile(content: bytearray, base: int, field: tuple[int, int], dice: random.Random) -> None:
    at, size = base + field[0], field[1]
    if at + size > len(content):
        return
    now = int.from_bytes(content[at : at + size], "little")
    values = {1: _U8, 2: _U16, 4: _U32, 8: _U64}[size]
    near = now + dice.choice((-8, -1, 1, 8)), now ^ 1 << dice.randrange(8 * size)
    value = dice.choice((*values, *near)) % (1 << 8 * size)
    content[at : at + size] = value.to_bytes(size, "little")


_DAMAGES: tuple[Damage, ...] = (
    _flip_bits,
    _overwrite,
    _truncate,
    _cut_out,
    _splice,
    _swap_buffers,
    _buffer_header,
    _file_header,
    _record_header,
    _record_header,
    _schema,
    _schema,
    _schema,
    _payload,
    _payload,
    _payload,
    _bad_text,
    _exchange_payloads,
)
