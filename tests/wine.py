"""Whether this Windows is Wine's, which has no ETW behind its functions, nor all of ntdll."""

from __future__ import annotations

import ctypes
import sys


def is_wine() -> bool:
    return sys.platform == "win32" and hasattr(ctypes.WinDLL("ntdll"), "wine_get_version")
