"""Plain LZ77 XPRESS decompression by Windows itself.

``RtlDecompressBufferEx`` (ntdll, since Windows 8) takes COMPRESSION_FORMAT_XPRESS and a work space whose
size ``RtlGetCompressionWorkSpaceSize`` states.  It returns STATUS_SUCCESS (0) and the bytes made, which are
fewer than there is room for where the stream ends early, STATUS_BAD_COMPRESSION_BUFFER (0xC0000242) for a
stream that is none, or STATUS_UNSUPPORTED_COMPRESSION (0xC000025F).
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

from otel_etw.windows.libraries import library as system_library

_FORMAT_XPRESS = 3


class _RefusedError(Exception):
    """Windows did not decompress the stream, with the status it gave."""


def decompressor(library: Any = None) -> Callable[[bytes, int], bytes]:
    """The function that decompresses. OSError or AttributeError where it is not to be had.

    ``library`` is ntdll, opened here unless it is given.
    """
    ntdll = library if library is not None else system_library("ntdll")
    work_bytes = _work_space_bytes(ntdll)
    decompress_ex = ntdll.RtlDecompressBufferEx
    decompress_ex.restype = ctypes.c_uint32
    decompress_ex.argtypes = [
        ctypes.c_uint16, ctypes.c_void_p, ctypes.c_uint32, ctypes.c_char_p, ctypes.c_uint32, ctypes.c_void_p,
        ctypes.c_void_p,
    ]  # fmt: skip

    def attempt(data: bytes, size_bytes: int) -> bytes:
        plain = ctypes.create_string_buffer(size_bytes)
        work = ctypes.create_string_buffer(work_bytes)  # one for each call: calls may come from any thread
        made = ctypes.c_uint32(0)
        status = decompress_ex(_FORMAT_XPRESS, plain, size_bytes, data, len(data), ctypes.byref(made), work)
        if status or made.value != size_bytes:
            raise _RefusedError(f"status {status:#010x}, {made.value} of {size_bytes} bytes")
        return plain.raw

    return attempt


def _work_space_bytes(ntdll: Any) -> int:
    work_space_size = ntdll.RtlGetCompressionWorkSpaceSize
    work_space_size.restype = ctypes.c_uint32
    work_space_size.argtypes = [ctypes.c_uint16, ctypes.c_void_p, ctypes.c_void_p]
    work, fragment = ctypes.c_uint32(0), ctypes.c_uint32(0)
    status = work_space_size(_FORMAT_XPRESS, ctypes.byref(work), ctypes.byref(fragment))
    if status:
        raise OSError(f"RtlGetCompressionWorkSpaceSize: status {status:#010x}")
    return max(work.value, fragment.value, 1)
