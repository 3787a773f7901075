"""Opening Windows' libraries: late, from the system's own folder, and only where there is Windows."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from otel_etw.windows.error_codes import WindowsCallError

SYSTEM_FOLDER_ONLY = 0x00000800
"""``LOAD_LIBRARY_SEARCH_SYSTEM32``: a library of that name beside the program is not taken for it."""

CPointer = Any
"""An instance of a ctypes structure by reference, a buffer, or ``None``; ctypes has no type for these."""


def is_windows() -> bool:
    """Whether this Python can open Windows' libraries."""
    return hasattr(ctypes, "WinDLL")


def function_type(result: Any, *arguments: Any) -> Any:
    """A type of callbacks in Windows' calling convention (``stdcall`` where pointers have 32 bits)."""
    maker: Callable[..., Any] = getattr(ctypes, "WINFUNCTYPE", ctypes.CFUNCTYPE)
    return maker(result, *arguments)


def library(name: str) -> Any:
    """The system's library ``name``, opened when it is first asked for.

    Raises :class:`.WindowsCallError` where it cannot be had.
    """
    opener = getattr(ctypes, "WinDLL", None)
    if opener is None:
        raise WindowsCallError(f"opening {name}", 0, "this system is not Windows")
    return _opened(opener, name)


def bind(name: str, function: str, result: Any, arguments: Sequence[Any]) -> Any:
    """The function of library ``name`` with its prototype: an object of its own, whose prototype nobody
    else can change.

    A call releases the interpreter's lock.  Raises :class:`.WindowsCallError` where there is none.
    """
    opened = library(name)
    try:
        found = opened[function]
    except AttributeError:
        raise WindowsCallError(f"looking up {function}", 127, f"{name} has no such function") from None
    found.restype = result
    found.argtypes = tuple(arguments)
    return found


def last_error() -> int:
    """The calling thread's last error after a function of :func:`bind`; 0 if it left none."""
    read: Callable[[], int] = getattr(ctypes, "get_last_error", int)
    return read()


@lru_cache(maxsize=16)
def _opened(opener: Callable[..., Any], name: str) -> Any:
    try:
        return opener(name, use_last_error=True, winmode=SYSTEM_FOLDER_ONLY)
    except OSError as error:
        raise WindowsCallError(f"opening {name}", getattr(error, "winerror", 0) or 0, str(error)) from None
