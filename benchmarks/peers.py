"""Peers that need help to run here."""

from __future__ import annotations

import ctypes
from functools import cache
from importlib import import_module
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch


class _StandInLibrary:
    """Microsoft's builder opens a Windows library at import, of which building an event needs nothing."""

    def __init__(self, *args: object, **options: object) -> None:
        self.functions: dict[str, SimpleNamespace] = {}

    def __getattr__(self, name: str) -> SimpleNamespace:
        return self.functions.setdefault(name, SimpleNamespace())


@cache
def _dynamic() -> Any:
    if hasattr(ctypes, "WinDLL"):
        return import_module("traceloggingdynamic")
    with patch.object(ctypes, "WinDLL", _StandInLibrary, create=True):
        return import_module("traceloggingdynamic")


def dynamic_builder() -> Any:
    """An ``EventBuilder`` of traceloggingdynamic, with buffers that never have to grow."""
    return _dynamic().EventBuilder(initial_meta_len=4096, initial_data_len=4096)
