"""Plain LZ77 XPRESS: each branch by hand, round trips, and hostile streams."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from otel_etw.errors import DecodeError
from otel_etw.etl.xpress import decompress
from xpress_encoder import Encoder, compress


def stream(flags: str, *parts: bytes) -> bytes:
    """A stream of one flag word, written as its leading bits (the rest are ones), and what follows."""
    return int(flags.ljust(32, "1"), 2).to_bytes(4, "little") + b"".join(parts)


def match(distance: int, low: int) -> bytes:
    return ((distance - 1) << 3 | low).to_bytes(2, "little")


def u16(value: int) -> bytes:
    return value.to_bytes(2, "little")


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(b"", b"", id="nothing"),
        pytest.param(stream("0", b"a"), b"a", id="one literal"),
        pytest.param(stream("0" * 32, b"x" * 32), b"x" * 32, id="a word of literals"),
        pytest.param(stream("0" * 32, b"x" * 32) + stream("0", b"y"), b"x" * 32 + b"y", id="two words"),
        pytest.param(stream("0001", b"abc", match(3, 0)), b"abcabc", id="shortest match"),
        pytest.param(stream("01", b"a", match(1, 6)), b"a" * 10, id="longest without a nibble, overlapping"),
        pytest.param(
            stream("001", b"ab", match(2, 2)), b"abababa", id="overlap that ends inside the pattern"
        ),
        pytest.param(stream("01", b"a", match(1, 7), b"\x00"), b"a" * 11, id="low nibble"),
        pytest.param(
            stream("0101", b"a", match(1, 7), b"\x21", b"b", match(1, 7)),
            b"a" * 12 + b"b" * 13,
            id="high nibble of the byte before",
        ),
        pytest.param(
            stream("0111", b"a", match(1, 7), b"\x21", match(1, 7), match(1, 7), b"\x03"),
            b"a" * (1 + 11 + 12 + 13),
            id="a third match takes a new byte",
        ),
        pytest.param(
            stream("01", b"a", match(1, 7), b"\x0f\x00"), b"a" * 26, id="shortest with an extra byte"
        ),
        pytest.param(
            stream("01", b"a", match(1, 7), b"\x0f\xfe"), b"a" * 280, id="longest with an extra byte"
        ),
        pytest.param(
            stream("0101", b"a", match(1, 7), b"\xf0", b"b", match(1, 7), b"\x05"),
            b"a" * 11 + b"b" * 31,
            id="extra byte after a high nibble",
        ),
        pytest.param(
            stream("01", b"a", match(1, 7), b"\x0f\xff" + u16(277)), b"a" * 281, id="shortest u16 length"
        ),
        pytest.param(
            stream("01", b"a", match(1, 7), b"\x0f\xff" + u16(22)), b"a" * 26, id="least u16 length there is"
        ),
        pytest.param(
            stream("01", b"a", match(1, 7), b"\x0f\xff" + u16(0xFFFF)), b"a" * 65539, id="longest u16 length"
        ),
        pytest.param(
            stream("01", b"a", match(1, 7), b"\x0f\xff\0\0" + (70_000).to_bytes(4, "little")),
            b"a" * 70_004,
            id="u32 length",
        ),
        pytest.param(
            stream("0" * 31 + "1", b"x" * 31, match(31, 0)) + b"\xff\xff\xff\xff",
            b"x" * 34,
            id="an unused flag word at the end",
        ),
    ],
)
def test_each_branch_of_the_format(data: bytes, expected: bytes) -> None:
    assert decompress(data, len(expected)) == expected


@pytest.mark.parametrize(
    ("data", "size", "message"),
    [
        pytest.param(stream("0", b"a"), 2, "ends after 1", id="ends on a match flag"),
        pytest.param(b"", 1, "ends after 0", id="no flag word"),
        pytest.param(b"\0\0\0", 1, "ends after 0", id="half a flag word"),
        pytest.param(stream("000", b"ab"), 3, "ends after 2", id="ends in literals"),
        pytest.param(stream("01", b"a", b"\x00"), 4, "ends after 1", id="half a match"),
        pytest.param(stream("01", b"a", match(1, 7)), 30, "ends after 1", id="no nibble"),
        pytest.param(stream("01", b"a", match(1, 7), b"\x0f"), 30, "ends after 1", id="no extra byte"),
        pytest.param(stream("01", b"a", match(1, 7), b"\x0f\xff\0"), 30, "ends after 1", id="half a u16"),
        pytest.param(
            stream("01", b"a", match(1, 7), b"\x0f\xff\0\0\1"), 30, "ends after 1", id="part of a u32"
        ),
        pytest.param(stream("01", b"a", match(2, 0)), 4, "reaches 2 bytes back after 1", id="distance"),
        pytest.param(stream("1", match(1, 0)), 4, "reaches 1 bytes back after 0", id="match first"),
        pytest.param(stream("01", b"a", match(1, 0)), 3, "match of 3 bytes after 1 of 3", id="too long"),
        pytest.param(
            stream("01", b"a", match(1, 7), b"\x0f\xff" + u16(21)),
            99,
            "at least 22, found 21",
            id="short u16",
        ),
        pytest.param(
            stream("01", b"a", match(1, 7), b"\x0f\xff\0\0\xff\xff\xff\xff"), 99, "match of 42949", id="4 GiB"
        ),
    ],
)
def test_a_broken_stream_is_refused_with_the_reason(data: bytes, size: int, message: str) -> None:
    with pytest.raises(DecodeError, match=message):
        decompress(data, size)


@given(st.binary(max_size=600))
@example(bytes(70_000))
@example(b"ab" * 40_000)
@example(bytes(range(256)) * 300)
def test_what_is_compressed_comes_back(data: bytes) -> None:
    assert decompress(compress(data, literals_only=True), len(data)) == data
    assert decompress(compress(data), len(data)) == data


@given(st.lists(st.tuples(st.binary(max_size=40), st.integers(1, 9000), st.integers(3, 400)), max_size=60))
def test_any_row_of_literals_and_matches_is_followed(steps: list[tuple[bytes, int, int]]) -> None:
    encoder = Encoder()
    expected = bytearray()
    for literals, distance, length in steps:
        for byte in literals:
            encoder.literal(byte)
        expected += literals
        if expected:
            distance = min(distance, len(expected), 8192)
            encoder.match(distance, length)
            for _ in range(length):
                expected.append(expected[-distance])
    assert decompress(encoder.finish(), len(expected)) == expected


@given(st.binary(max_size=300), st.integers(0, 5000))
def test_any_bytes_give_the_expected_size_or_our_error(data: bytes, size: int) -> None:
    try:
        assert len(decompress(data, size)) == size
    except DecodeError:
        pass


def test_a_claimed_length_of_gigabytes_allocates_nothing() -> None:
    data = stream("01", b"a", match(1, 7), b"\x0f\xff\0\0\xff\xff\xff\x7f")
    tracemalloc.start()
    try:
        with pytest.raises(DecodeError):
            decompress(data, 1 << 20)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()
