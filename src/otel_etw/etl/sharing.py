"""Opening a file that its writer may rename or remove while it is open, which Windows forbids by default."""

from __future__ import annotations

import os
import sys

if sys.platform == "win32":
    import ctypes
    import msvcrt
    from ctypes import wintypes

    _GENERIC_READ = 0x80000000
    _FILE_SHARE_READ_WRITE_DELETE = 0x00000007
    _OPEN_EXISTING = 3
    _FILE_ATTRIBUTE_NORMAL = 0x00000080
    _INVALID_HANDLE_VALUE = ctypes.c_void_p(-1).value

    _create_file = ctypes.WinDLL("kernel32", use_last_error=True).CreateFileW
    _create_file.restype = ctypes.c_void_p
    _create_file.argtypes = (
        wintypes.LPCWSTR, wintypes.DWORD, wintypes.DWORD, ctypes.c_void_p,
        wintypes.DWORD, wintypes.DWORD, ctypes.c_void_p,
    )  # fmt: skip

    def open_shared(path: str) -> int:
        """A descriptor to read ``path`` with, which keeps nobody from renaming it. Raises ``OSError``."""
        handle = _create_file(
            path,
            _GENERIC_READ,
            _FILE_SHARE_READ_WRITE_DELETE,
            None,
            _OPEN_EXISTING,
            _FILE_ATTRIBUTE_NORMAL,
            None,
        )
        if handle is None or handle == _INVALID_HANDLE_VALUE:
            error = ctypes.WinError(ctypes.get_last_error())
            error.filename = path
            raise error
        return msvcrt.open_osfhandle(handle, os.O_RDONLY | os.O_BINARY | os.O_NOINHERIT)

else:

    def open_shared(path: str) -> int:
        """A descriptor to read ``path`` with, which keeps nobody from renaming it. Raises ``OSError``."""
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
