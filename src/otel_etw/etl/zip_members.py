"""The members of a ``.zip`` file and their contents.

The directory at its end is believed if there is one of a possible size; otherwise, as in a file that was cut,
the members are found by going from one to the next.  Contents are unpacked in pieces, never by a size stated.
Methods: stored (0), deflate (8), zstd (93).
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from struct import Struct
from typing import IO, NamedTuple

from otel_etw.etl.unpacking import PIECE_BYTES, Notes, inflate, unzstd

MAX_MEMBERS = 10_000

_LOCAL_HEADER = Struct("<4s2xHHIIIIHH")
"""Signature, flags, method, time and date, CRC-32, compressed and plain size, bytes of name and of extra."""
_LOCAL_MAGIC = b"PK\x03\x04"
_END_MAGIC = b"PK\x05\x06"
_END_BYTES = 22 + 0xFFFF
_DIRECTORY_SIZE_OFFSET = 12
_MAX_DIRECTORY_BYTES = 4 * 1024 * 1024
_ENCRYPTED, _SIZES_BEHIND, _UTF8 = 0x1, 0x8, 0x800
_IN_ZIP64 = 0xFFFFFFFF
_STORED, _DEFLATED, _ZSTD = 0, 8, 93


class Member(NamedTuple):
    """One file in the archive."""

    name: str
    header_offset: int
    stored_bytes: int | None
    """``None`` where only the stream itself says where it ends."""
    method: int
    crc: int | None
    is_encrypted: bool

    def unreadable(self) -> str | None:
        """Why its contents cannot be unpacked, if so."""
        if self.is_encrypted:
            return "is encrypted"
        if self.method not in (_STORED, _DEFLATED, _ZSTD):
            return f"is compressed by method {self.method}, expected 0, 8 or 93"
        if self.method != _DEFLATED and self.stored_bytes is None:
            return "does not say how long it is"
        return None


def members(file: IO[bytes]) -> tuple[list[Member], str | None]:
    """The members, directories left out, at most :data:`MAX_MEMBERS`; and what was wrong with the archive."""
    if _has_directory(file):
        try:
            with zipfile.ZipFile(file) as archive:
                found = [_of_directory(info) for info in archive.infolist()]
        except Exception:  # noqa: BLE001, S110 - zipfile raises much on damaged files
            pass
        else:
            return _files(found), None
    return _files(list(_one_after_the_other(file))), "the archive has no directory at its end: it was cut"


def contents(file: IO[bytes], member: Member, notes: Notes) -> Iterator[bytes]:
    """The contents of a member that is not :meth:`Member.unreadable`, in pieces."""
    pieces = _stored(file, member, notes)
    if member.method == _DEFLATED:
        pieces = inflate(pieces, notes)
    elif member.method == _ZSTD:
        pieces = unzstd(pieces, notes)
    crc = made = 0
    for piece in pieces:
        crc = zlib.crc32(piece, crc)
        made += len(piece)
        yield piece
    if member.crc is not None and crc != member.crc and not notes:
        notes.append((made, f"expected CRC-32 {member.crc:#010x}, found {crc:#010x}"))


def _files(found: list[Member]) -> list[Member]:
    return [member for member in found[:MAX_MEMBERS] if not member.name.endswith("/")]


def _has_directory(file: IO[bytes]) -> bool:
    size = file.seek(0, 2)
    file.seek(max(0, size - _END_BYTES))
    tail = file.read(_END_BYTES)
    at = tail.rfind(_END_MAGIC)
    if at < 0:
        return False
    directory_bytes = int.from_bytes(
        tail[at + _DIRECTORY_SIZE_OFFSET : at + _DIRECTORY_SIZE_OFFSET + 4], "little"
    )
    return directory_bytes <= _MAX_DIRECTORY_BYTES


def _of_directory(info: zipfile.ZipInfo) -> Member:
    encrypted = bool(info.flag_bits & _ENCRYPTED)
    return Member(
        info.filename, info.header_offset, info.compress_size, info.compress_type, info.CRC, encrypted
    )


def _one_after_the_other(file: IO[bytes]) -> Iterator[Member]:
    offset = 0
    for _ in range(MAX_MEMBERS):
        file.seek(offset)
        header = file.read(_LOCAL_HEADER.size)
        if len(header) < _LOCAL_HEADER.size or not header.startswith(_LOCAL_MAGIC):
            return
        _, flags, method, _, crc, stored, _, name_bytes, extra_bytes = _LOCAL_HEADER.unpack(header)
        name = file.read(name_bytes).decode("utf-8" if flags & _UTF8 else "cp437", "replace")
        is_known = not flags & _SIZES_BEHIND and stored != _IN_ZIP64
        encrypted = bool(flags & _ENCRYPTED)
        yield Member(name, offset, stored if is_known else None, method, crc if is_known else None, encrypted)
        if not is_known:
            return
        offset += _LOCAL_HEADER.size + name_bytes + extra_bytes + stored


def _stored(file: IO[bytes], member: Member, notes: Notes) -> Iterator[bytes]:
    """The bytes of a member as they are stored."""
    file.seek(member.header_offset)
    header = file.read(_LOCAL_HEADER.size)
    if len(header) < _LOCAL_HEADER.size or not header.startswith(_LOCAL_MAGIC):
        found = header[:4].hex(" ") or "the end of the file"
        notes.append((0, f"expected a member of the archive at {member.header_offset:#x}, found {found}"))
        return
    *_, name_bytes, extra_bytes = _LOCAL_HEADER.unpack(header)
    position = member.header_offset + _LOCAL_HEADER.size + name_bytes + extra_bytes
    left = member.stored_bytes
    while left is None or left > 0:
        file.seek(position)
        piece = file.read(PIECE_BYTES if left is None else min(PIECE_BYTES, left))
        if not piece:
            if left and member.method == _STORED:
                notes.append(
                    (position - member.header_offset, f"the archive ends {left} bytes before the member")
                )
            return
        position += len(piece)
        if left is not None:
            left -= len(piece)
        yield piece
