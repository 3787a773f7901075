"""Streams of ``.gz`` and ``.zst`` unpacked piece by piece, told by their first bytes and not by their names.

Memory is bounded by the piece and, for zstd, a window of 128 MiB, whatever the stream claims. A damaged or
cut stream gives what comes before the fault, as exactly as that can be told, and a note.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from typing import Any

from otel_etw.errors import MissingExtraError

PIECE_BYTES = 1 << 18
"""About the size of the pieces that are passed on."""

GZIP_MAGIC = b"\x1f\x8b\x08"
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
ZIP_MAGICS = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")

_OTHER_ARCHIVES = {
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"\xfd7zXZ\x00": "an xz stream",
    b"BZh": "a bzip2 stream",
    b"MSCF": "a cabinet",
    b"Rar!": "a RAR archive",
}
_MOST_LAYERS = 4
_STEP_BYTES = 1 << 14
_ZSTD_STEP_BYTES = 1 << 8
"""Input given to zstd at a time: a block of four bytes may make 128 KiB."""
_WINDOW_LOG = 27
_GZIP_WBITS = 31

Pieces = Iterable[bytes]
Notes = list[tuple[int, str]]
"""What was wrong: after how many unpacked bytes, and why."""


def unpacked(pieces: Pieces, notes: Notes, layers: int = _MOST_LAYERS) -> Iterator[bytes]:
    """``pieces`` without the compression they come in, through several layers of it; others as they are."""
    head, rest = peeked(pieces, len(ZSTD_MAGIC))
    unpack = unpacker(head)
    if unpack is None or layers == 0:
        return rest
    return unpacked(unpack(rest, notes), notes, layers - 1)


def unpacker(head: bytes) -> Callable[[Pieces, Notes], Iterator[bytes]] | None:
    """What unpacks a stream that starts with ``head``; ``None`` if it is none of these."""
    if head.startswith(GZIP_MAGIC):
        return gunzip
    return unzstd if head.startswith(ZSTD_MAGIC) else None


def other_archive(head: bytes) -> str | None:
    """What a file that starts with ``head`` is, if it is of a kind that has to be unpacked beforehand."""
    return next((name for magic, name in _OTHER_ARCHIVES.items() if head.startswith(magic)), None)


def peeked(pieces: Pieces, size_bytes: int) -> tuple[bytes, Iterator[bytes]]:
    """The first ``size_bytes`` bytes, or more, or all there are; and all pieces, these bytes included."""
    iterator = iter(pieces)
    head = b""
    for piece in iterator:
        head += piece
        if len(head) >= size_bytes:
            break

    def whole() -> Iterator[bytes]:
        if head:
            yield head
        yield from iterator

    return head, whole()


def gunzip(pieces: Pieces, notes: Notes) -> Iterator[bytes]:
    """The contents of a row of gzip members."""
    made = 0
    feed = _Feed(pieces, _STEP_BYTES)
    try:
        while feed.starts_with(GZIP_MAGIC):
            for piece in _inflated(feed, _GZIP_WBITS):
                made += len(piece)
                yield piece
            feed.skip_zeros()
    except _BrokenStreamError as error:
        notes.append((made, f"the gzip stream {error}"))
        return
    if not feed.is_at_end():
        notes.append((made, "found other bytes behind the gzip stream"))


def inflate(pieces: Pieces, notes: Notes) -> Iterator[bytes]:
    """The contents of a raw deflate stream, as in zip files; bytes behind it are ignored."""
    made = 0
    try:
        for piece in _inflated(_Feed(pieces, _STEP_BYTES), -zlib.MAX_WBITS):
            made += len(piece)
            yield piece
    except _BrokenStreamError as error:
        notes.append((made, f"the deflate stream {error}"))


def unzstd(pieces: Pieces, notes: Notes) -> Iterator[bytes]:
    """The contents of a row of zstd frames. Raises :class:`MissingExtraError` without a library for it."""
    new, broken = _zstd()
    made = 0
    feed = _Feed(pieces, _ZSTD_STEP_BYTES)
    while not feed.is_at_end():
        frame = new()
        while not frame.eof:
            data = feed.take()
            if not data:
                notes.append((made, "the zstd stream ends in the middle"))
                return
            try:
                piece = frame.decompress(data)
            except broken as error:
                notes.append((made, f"the zstd stream is damaged: {error}"))
                return
            made += len(piece)
            if piece:
                yield piece
        feed.give_back(frame.unused_data)


class _BrokenStreamError(Exception):
    """A stream that does not go on."""


class _Feed:
    """Pieces cut into steps of at most ``step_bytes``, with a place to give back what was not used."""

    def __init__(self, pieces: Pieces, step_bytes: int) -> None:
        self._pieces = iter(pieces)
        self._step_bytes = step_bytes
        self._held = b""
        self._pos = 0

    def take(self) -> bytes:
        """Some bytes; none at the end."""
        if self._pos >= len(self._held):
            self._held, self._pos = next(self._pieces, b""), 0
        data = self._held[self._pos : self._pos + self._step_bytes]
        self._pos += len(data)
        return data

    def give_back(self, data: bytes) -> None:
        """Take back the last bytes taken."""
        self._pos -= len(data)

    def is_at_end(self) -> bool:
        data = self.take()
        self.give_back(data)
        return not data

    def starts_with(self, magic: bytes) -> bool:
        while len(self._held) - self._pos < len(magic):
            piece = next(self._pieces, b"")
            if not piece:
                break
            self._held, self._pos = self._held[self._pos :] + piece, 0
        return self._held.startswith(magic, self._pos)

    def skip_zeros(self) -> None:
        """Over the padding that tapes leave behind a gzip stream."""
        while data := self.take():
            rest = data.lstrip(b"\0")
            if rest:
                self.give_back(rest)
                return


def _inflated(feed: _Feed, wbits: int) -> Iterator[bytes]:
    """One zlib stream; what is behind it stays in ``feed``."""
    stream = zlib.decompressobj(wbits)
    while not stream.eof:
        data = stream.unconsumed_tail or feed.take()
        before = stream.copy()
        try:
            piece = stream.decompress(data, PIECE_BYTES)
        except zlib.error as error:
            yield from _byte_by_byte(before, data)
            raise _BrokenStreamError(f"is damaged: {error}") from None
        if piece:
            yield piece
        elif not data and not stream.eof:
            raise _BrokenStreamError("ends in the middle")
    feed.give_back(stream.unused_data)


def _byte_by_byte(stream: Any, data: bytes) -> Iterator[bytes]:
    """What ``stream`` makes of ``data`` before it finds the fault there."""
    try:
        for place in range(len(data)):
            piece = stream.decompress(data[place : place + 1])
            if piece:
                yield piece
    except zlib.error:
        return


def _zstd() -> tuple[Callable[[], Any], type[Exception]]:
    """What makes a decompressor of one frame, and what that raises."""
    try:
        import zstandard
    except ImportError:
        return _zstd_of_python()
    context = zstandard.ZstdDecompressor(max_window_size=1 << _WINDOW_LOG)
    return context.decompressobj, zstandard.ZstdError


def _zstd_of_python() -> tuple[Callable[[], Any], type[Exception]]:
    """That of the standard library, since Python 3.14."""
    try:
        zstd: Any = import_module("compression.zstd")
    except ImportError:
        raise MissingExtraError(
            'reading zstd needs the module zstandard: pip install "otel-etw[tools]"'
        ) from None
    options = {zstd.DecompressionParameter.window_log_max: _WINDOW_LOG}
    return lambda: zstd.ZstdDecompressor(options=options), zstd.ZstdError
