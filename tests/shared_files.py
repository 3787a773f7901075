"""Where the golden vectors and real trace files are: beside the checkout, not in it.

They are found in ``../shared`` (or where ``OTEL_ETW_SHARED`` points); a test that needs one
is skipped with that reason where it is absent.
"""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import pytest

SHARED = Path(os.environ.get("OTEL_ETW_SHARED") or Path(__file__).resolve().parents[2] / "shared")


@cache
def vectors(name: str) -> dict[str, Any]:
    """The golden vectors ``name`` (such as ``"logs"``); skips the calling test or module where absent."""
    path = SHARED / "vectors" / f"{name}.json"
    if not path.exists():
        pytest.skip(f"golden vectors not found: {path}", allow_module_level=True)
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document


def cases(name: str) -> list[Any]:
    """The cases of a vector file as pytest parameters named after them; empty where the file is absent."""
    path = SHARED / "vectors" / f"{name}.json"
    if not path.exists():
        return [pytest.param(None, id="absent", marks=pytest.mark.skip(f"golden vectors not found: {path}"))]
    return [pytest.param(case, id=case["name"]) for case in vectors(name)["cases"]]


def corpus(name: str) -> Path:
    """The path of a real trace file of the corpus; skips the calling test where absent."""
    path = SHARED / "corpus" / name
    if not path.exists():
        pytest.skip(f"corpus file not found: {path}")
    return path
