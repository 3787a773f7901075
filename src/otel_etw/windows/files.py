"""Opening a file that its writer may rename or remove meanwhile, which Windows' C library forbids."""

from __future__ import annotations

import ctypes
import os

from otel_etw.windows.libraries import bind

_GENERIC_READ = 0x80000000
_FILE_SHARE_READ_WRITE_DELETE = 0x00000007
_OPEN_EXISTING = 3
_FILE_ATTRIBUTE_NORMAL = 0x00000080
_INVALID_HANDLE_VALUE = ctypes.c_void_p(-1).value


def open_shared(path: str) -> int:
    """A descriptor to read ``path`` with, which keeps nobody from renaming it. Raises ``OSError``."""
    import msvcrt

    u32, pointer = ctypes.c_uint32, ctypes.c_void_p
    create_file = bind(
        "kernel32", "CreateFileW", pointer, (ctypes.c_wchar_p, u32, u32, pointer, u32, u32, pointer)
    )
    handle = create_file(
        path,
        _GENERIC_READ,
        _FILE_SHARE_READ_WRITE_DELETE,
        None,
        _OPEN_EXISTING,
        _FILE_ATTRIBUTE_NORMAL,
        None,
    )
    if handle is None or handle == _INVALID_HANDLE_VALUE:
        error: OSError = ctypes.WinError(ctypes.get_last_error())  # type: ignore[attr-defined,unused-ignore]
        error.filename = path
        raise error
    flags = os.O_RDONLY | os.O_BINARY | os.O_NOINHERIT  # type: ignore[attr-defined,unused-ignore]
    return msvcrt.open_osfhandle(handle, flags)  # type: ignore[attr-defined,no-any-return,unused-ignore]
