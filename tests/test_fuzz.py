"""The fuzz targets hold for their seeds, and for what ``atheris`` finds in a few seconds where it is."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

FUZZ = Path(__file__).parent / "fuzz"
sys.path.insert(0, str(FUZZ))

import targets  # noqa: E402

LONG = os.environ.get("OTEL_ETW_LONG_TESTS") == "1"
SECONDS = 6


@pytest.mark.parametrize("name", targets.TARGETS)
def test_seeds_and_their_beginnings_hold(name: str) -> None:
    """Whole, cut short, and with a byte changed here and there."""
    seeds = targets.seeds_of(name)
    assert len(seeds) >= 4
    target = targets.TARGETS[name]
    step = 1500 if name == "whole_buffer" else 37
    for seed in seeds[:10]:
        target(seed)
        for end in range(0, len(seed), step):
            target(seed[:end])
            target(seed[:end] + bytes([seed[end] ^ 0xFF]) + seed[end + 1 :])


@pytest.mark.skipif(not LONG, reason="fuzzing takes a while: set OTEL_ETW_LONG_TESTS=1")
@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="atheris is not installed")
@pytest.mark.parametrize("name", targets.TARGETS)
def test_a_few_seconds_of_fuzzing_find_nothing(name: str, tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, str(FUZZ / "run.py"), name, f"-max_total_time={SECONDS}", "-max_len=4096"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    crashes = {path.name: path.read_bytes().hex() for path in tmp_path.glob("crash-*")}
    assert run.returncode == 0, f"{crashes}\n{run.stdout[-2000:]}\n{run.stderr[-4000:]}"
    assert "Done" in run.stderr
