"""Whichever decompressor is used, its results are those of the plain one, and so are its refusals."""

from __future__ import annotations

import ctypes
import os
import pickle
import random
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from etl_files import T0, buffer, event_record, trace_file
from otel_etw.errors import DecodeError
from otel_etw.etl import decompression, xpress
from otel_etw.etl.buffers import plain_records
from otel_etw.etl.damage import DamageReport
from otel_etw.etl.layout import BUFFER_HEADER_BYTES
from otel_etw.etl.reader import open_etl
from otel_etw.windows import compression
from shared_files import corpus
from wine import is_wine
from xpress_encoder import compress

SETTINGS = settings(deadline=None, max_examples=150)
Decompress = Callable[[bytes, int], "bytes | bytearray"]


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    decompression._fastest.cache_clear()
    yield
    decompression._fastest.cache_clear()


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Callable[[decompression.Attempt | None], Decompress]:
    """Makes ``decompress`` try what is given."""

    def chosen(attempt: decompression.Attempt | None) -> Decompress:
        monkeypatch.setattr(decompression, "_fastest", lambda: ("given", attempt))
        return decompression.decompress

    return chosen


def compiled() -> decompression.Attempt:
    pytest.importorskip("pyfwnt", reason="libfwnt-python is not installed")
    attempt = decompression._of_pyfwnt()
    assert attempt is not None
    return attempt


def of_windows() -> decompression.Attempt:
    if os.name != "nt":
        pytest.skip("ntdll is Windows's")
    if is_wine():
        pytest.skip("Wine's ntdll knows no XPRESS")
    return compression.decompressor()


@pytest.fixture(params=[compiled, of_windows])
def fast(request: pytest.FixtureRequest) -> decompression.Attempt:
    attempt: decompression.Attempt = request.param()
    return attempt


def outcome(function: Decompress, data: bytes, size_bytes: int) -> bytes | str:
    """What came of it: the contents, or the error."""
    try:
        return bytes(function(data, size_bytes))
    except DecodeError as error:
        return str(error)


def corpus_streams() -> Iterator[tuple[bytes, int]]:
    with open_etl(corpus("net.4.5.2.x86.etl")) as trace:
        for one in trace.buffers():
            if one.is_compressed:
                start = one.file_offset + BUFFER_HEADER_BYTES
                stored = trace.source.read(start, one.size_bytes - BUFFER_HEADER_BYTES)
                yield stored, one.filled_bytes - BUFFER_HEADER_BYTES


def test_a_fast_one_gives_every_real_buffer_by_itself(fast: decompression.Attempt) -> None:
    streams = list(corpus_streams())
    assert len(streams) == 275
    for data, size_bytes in streams:
        assert fast(data, size_bytes) == xpress.decompress(data, size_bytes)


@given(
    st.one_of(
        st.binary(max_size=600),
        st.lists(st.sampled_from([b"a", b"bc", b"\0" * 9, bytes(range(40))]), max_size=300).map(b"".join),
    )
)
@example(b"x" * 70_000)
@example(b"ab" * 4096 + bytes(range(256)) * 40)
@SETTINGS
def test_valid_streams_give_the_same_through_either(plain: bytes) -> None:
    data = compress(plain)
    assert xpress.decompress(data, len(plain)) == plain
    assert decompression.decompress(data, len(plain)) == plain


@given(st.binary(max_size=200), st.integers(0, 4000), st.integers(0, 2**32))
@SETTINGS
def test_any_bytes_give_the_same_through_either(data: bytes, size_bytes: int, seed: int) -> None:
    """Contents or error: of what is no stream, and of one with a few bytes changed or cut off."""
    dice = random.Random(seed)
    stream = bytearray(compress(data * dice.randrange(1, 5)))
    for _ in range(dice.randrange(1, 4)):
        stream[dice.randrange(len(stream))] = dice.randrange(256)
    del stream[dice.randrange(len(stream)) if dice.random() < 0.3 else len(stream) :]
    for one, size in ((data, size_bytes), (bytes(stream), len(data)), (bytes(stream), size_bytes)):
        assert outcome(decompression.decompress, one, size) == outcome(xpress.decompress, one, size)


def with_length(form: bytes, *, second_nibble: bool) -> bytes:
    """A literal, a match of it at distance 1 whose length beyond both nibbles is ``form``, and literals.

    The literals are not needed, but fill what a wrong length leaves.
    """
    flags = (0b011 << 29 if second_nibble else 0b01 << 30).to_bytes(4, "little")
    match = b"\x07\0"
    # The first match's nibble is 0, ten bytes; the second one's is the high half of the same byte.
    matches = match + b"\xf0" + match + form if second_nibble else match + b"\x0f" + form
    return flags + b"a" + matches + b"b" * (29 if second_nibble else 30) + (bytes(4) + b"b" * 32) * 2_100


@pytest.mark.parametrize("second_nibble", [False, True])
def test_every_form_of_a_length_gives_the_same_through_either(second_nibble: bool) -> None:
    """Also those that libfwnt misreads: 65,533 and more in a u16, and a u32, needed or not."""
    compiled()
    lengths = [22, 23, 30, 100, 276, 277, 278, 1000, 65_531, 65_532, 65_533, 65_534, 65_535]
    forms = [(b"\xff" + length.to_bytes(2, "little"), length) for length in lengths]
    lengths += [65_536, 65_537, 65_544, 66_000]
    forms += [(b"\xff\0\0" + length.to_bytes(4, "little"), length) for length in lengths]
    for form, length in forms:
        made = 1 + 10 * second_nibble + length + 3
        data = with_length(form, second_nibble=second_nibble)
        assert xpress.decompress(data, made) == b"a" * made
        assert decompression.decompress(data, made) == b"a" * made, form


def test_what_a_fast_one_does_not_do_right_the_plain_one_does(
    use: Callable[[decompression.Attempt | None], Decompress],
) -> None:
    plain = b"some contents, some contents" * 9
    data = compress(plain)

    def raises(error: type[BaseException], data: bytes, size_bytes: int) -> bytes:
        raise error("no")

    attempts: list[Any] = [
        *(partial(raises, error) for error in (OSError, ValueError, MemoryError, SystemError, RuntimeError)),
        lambda data, size_bytes: plain[:-1],
        lambda data, size_bytes: plain + b"!",
        lambda data, size_bytes: None,
        None,
    ]
    for attempt in attempts:
        decompress = use(attempt)
        assert decompress(data, len(plain)) == plain
        with pytest.raises(DecodeError, match="ends after"):
            decompress(data[:12], len(plain))


def test_an_interruption_passes_through(use: Callable[[decompression.Attempt | None], Decompress]) -> None:
    def interrupted(data: bytes, size_bytes: int) -> bytes:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        use(interrupted)(compress(b"abc"), 3)


def test_the_one_in_use_is_named_and_loaded_late() -> None:
    code = """
import sys
import otel_etw.etl.reader
assert "pyfwnt" not in sys.modules and "ctypes" not in sys.modules
from otel_etw.etl.decompression import decompressor
print(decompressor())
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == decompression.decompressor()
    assert decompression.decompressor() in ("ntdll", "pyfwnt", "python")


class FakeFunction:
    """One function of a library, of which ctypes lets types be declared."""

    def __init__(self, function: Callable[..., int]) -> None:
        self._function = function
        self.restype: object = None
        self.argtypes: list[object] = []

    def __call__(self, *arguments: Any) -> int:
        assert len(arguments) == len(self.argtypes)
        return self._function(*arguments)


def store_u32(reference: Any, value: int) -> None:
    ctypes.cast(reference, ctypes.POINTER(ctypes.c_uint32))[0] = value


class FakeNtdll:
    """The two calls as Windows documents them, with the plain decompressor behind."""

    def __init__(self, status: int = 0) -> None:
        self.status = status
        self.RtlGetCompressionWorkSpaceSize = FakeFunction(self._work_space_size)
        self.RtlDecompressBufferEx = FakeFunction(self._decompress)

    def _work_space_size(self, form: int, work: Any, fragment: Any) -> int:
        assert form == 3
        store_u32(work, 16)
        store_u32(fragment, 0)
        return self.status

    def _decompress(
        self, form: int, out: Any, out_bytes: int, data: bytes, data_bytes: int, made: Any, work: Any
    ) -> int:
        assert form == 3
        assert len(data) == data_bytes
        assert len(work) >= 16
        try:
            found = xpress.decompress(data, out_bytes)
        except DecodeError:
            return 0xC0000242
        ctypes.memmove(out, bytes(found), len(found))
        store_u32(made, len(found))
        return 0


def test_the_calls_of_windows_are_made_as_documented(
    use: Callable[[decompression.Attempt | None], Decompress],
) -> None:
    attempt = compression.decompressor(FakeNtdll())
    plain = b"abc" * 700
    assert attempt(compress(plain), len(plain)) == plain
    with pytest.raises(Exception, match="0xc0000242"):
        attempt(b"\xff" * 9, 20)
    decompress = use(attempt)
    for data in (compress(plain), compress(plain)[:50], b""):
        assert outcome(decompress, data, len(plain)) == outcome(xpress.decompress, data, len(plain))
    with pytest.raises(OSError, match="0xc000025f"):
        compression.decompressor(FakeNtdll(status=0xC000025F))


@given(st.binary(max_size=300), st.integers(0, 400))
@example(b"a" * 300, 299)
@SETTINGS
def test_a_prefix_is_the_start_of_the_contents_and_needs_but_their_start(plain: bytes, wanted: int) -> None:
    wanted = min(wanted, len(plain))
    data = compress(plain)
    assert xpress.decompress_prefix(data[: xpress.prefix_stored_bytes(wanted)], wanted) == plain[:wanted]


def test_prefixes_of_real_buffers() -> None:
    for data, size_bytes in corpus_streams():
        start = xpress.decompress_prefix(data[: xpress.prefix_stored_bytes(64)], 64)
        assert start == xpress.decompress(data, size_bytes)[:64]


def test_a_prefix_of_a_bomb_costs_nothing() -> None:
    bomb = b"\xff\xff\xff\x7f" + b"a" + b"\x07\x00\x0f\xff\0\0" + (1 << 31).to_bytes(4, "little")
    tracemalloc.start()
    try:
        assert xpress.decompress_prefix(bomb, 40) == b"a" * 40
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()
    with pytest.raises(DecodeError):
        xpress.decompress_prefix(bomb[:7], 40)


def test_buffers_are_decompressed_by_a_function_that_other_processes_can_have(tmp_path: Path) -> None:
    path = tmp_path / "c.etl"
    path.write_bytes(trace_file(buffer([event_record(T0 + n) for n in range(9)], compressed=True)))
    with open_etl(path) as trace:
        one = list(trace.index())[1]
        stored = trace.source.read(one.file_offset + 72, one.size_bytes - 72)
        function, sent = pickle.loads(pickle.dumps((plain_records, one)))
        assert function(stored, sent, DamageReport()) == trace.read_buffer(one, DamageReport())
