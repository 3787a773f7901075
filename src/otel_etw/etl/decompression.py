"""The fastest decompression of trace buffers there is here: the system's own, a compiled package, or ours.

A fast one is asked for contents of a known, bounded size.  It is believed if it gives exactly that many
bytes; whatever else it does, :mod:`.xpress` decides, so that all machines read every valid stream the same.
(There is no checksum: of a stream that breaks the rules a fast one may make something, where ours refuses.)

* On Windows ``RtlDecompressBufferEx`` of ntdll, which made such buffers in the first place.
* ``pyfwnt`` (the package ``libfwnt-python``, extra ``xpress``) where it is installed.  Of the packages with a
  compiled plain LZ77 it is the one that never makes more than it is asked for.  It misreads the longest forms
  of a match's length, which next to no buffer has: streams in which one may stand are not given to it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from functools import lru_cache
from typing import cast

from otel_etw.etl import xpress

Attempt = Callable[[bytes, int], bytes]
"""From a stream and the size of its contents to the contents, or to anything at all, exceptions included."""

_LONG_FROM_BYTES = 65_533 + 3 + 1
"""Contents of fewer bytes have room for a match of 65,533 + 3 bytes, behind a literal, in no valid stream."""


def _after_a_full_nibble(form: bytes) -> bytes:
    """``form`` where a length may go on: behind a match with full length bits, and maybe a nibble's byte."""
    full_bits = b"[%s]" % b"".join(b"\\x%02x" % byte for byte in range(0x07, 0x100, 8))
    full_nibble = b"[%s]" % b"".join(b"\\x%02x" % byte for byte in range(0x0F, 0x100, 16))
    # The form goes first: what starts with fixed bytes is found many times as fast.
    return b"%b(?:(?<=%b.%b)|(?<=%b.%b%b))" % (form, full_bits, form, full_bits, full_nibble, form)


def decompress(data: bytes, size_bytes: int) -> bytes | bytearray:
    """Exactly ``size_bytes`` bytes out of the stream ``data``, as :func:`.xpress.decompress` gives them.

    Raises :class:`.DecodeError` as that does.  The caller bounds ``size_bytes``.
    """
    attempt = _fastest()[1]
    if attempt is not None and size_bytes:
        try:
            found = attempt(data, size_bytes)
            if len(found) == size_bytes:
                return found
        except Exception:  # noqa: BLE001, S110 - whatever it raised, the plain one decides
            pass
    return xpress.decompress(data, size_bytes)


def decompressor() -> str:
    """Which one is used here: ``"ntdll"``, ``"pyfwnt"`` or ``"python"``."""
    return _fastest()[0]


@lru_cache(maxsize=1)
def _fastest() -> tuple[str, Attempt | None]:
    for name, make in (("ntdll", _of_windows), ("pyfwnt", _of_pyfwnt)):
        attempt = make()
        if attempt is not None:
            return name, attempt
    return "python", None


def _of_pyfwnt() -> Attempt | None:
    try:
        import pyfwnt  # type: ignore[import-not-found,import-untyped,unused-ignore]

        return _guarded(cast("Attempt", pyfwnt.lzxpress_decompress))
    except (ImportError, AttributeError):
        return None


def _guarded(attempt: Attempt) -> Attempt:
    """``attempt``, but nothing of a stream that may have a length of a form that libfwnt misreads.

    Those are lengths of 65,533 and more beyond the first three bytes, and lengths in a u32 in general.
    """
    in_u32 = _after_a_full_nibble(rb"\xff\x00\x00")
    any_misread = re.compile(in_u32 + b"|" + _after_a_full_nibble(rb"\xff[\xfd-\xff]\xff"), re.DOTALL)
    # A u32 where a u16 would have done, from the least that is allowed.
    small_misread = re.compile(in_u32 + rb"(?:[\x16-\xff]\x00|.[^\x00])\x00\x00", re.DOTALL)

    def guarded(data: bytes, size_bytes: int) -> bytes:
        misread = small_misread if size_bytes < _LONG_FROM_BYTES else any_misread
        return b"" if misread.search(data) else attempt(data, size_bytes)

    return guarded


def _of_windows() -> Attempt | None:
    if os.name != "nt":
        return None
    try:
        from otel_etw.windows import compression

        return compression.decompressor()
    except (ImportError, OSError, AttributeError):
        return None
