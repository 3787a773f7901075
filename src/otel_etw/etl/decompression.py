"""The fastest decompression of trace buffers there is here: the system's own, a compiled package, or ours.

A fast one is asked for contents of a known, bounded size.  It is believed if it gives exactly that many
bytes; whatever else it does, :mod:`.xpress` decides, so that all machines read the same.

* On Windows ``RtlDecompressBufferEx`` of ntdll, which made such buffers in the first place.
* ``pyfwnt`` (the package ``libfwnt-python``, extra ``xpress``) where it is installed.  Of the packages with a
  compiled plain LZ77 it is the one that never makes more than it is asked for.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import lru_cache
from typing import cast

from otel_etw.etl import xpress

Attempt = Callable[[bytes, int], bytes]
"""From a stream and the size of its contents to the contents, or to anything at all, exceptions included."""


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

        return cast("Attempt", pyfwnt.lzxpress_decompress)
    except (ImportError, AttributeError):
        return None


def _of_windows() -> Attempt | None:
    if os.name != "nt":
        return None
    try:
        from otel_etw.etl import ntdll

        return ntdll.decompressor()
    except (ImportError, OSError, AttributeError):
        return None
