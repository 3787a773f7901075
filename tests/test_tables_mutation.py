"""Damaged files read in every way give the plain decoder's rows, within stated bounds (:mod:`mutation`).

Three lengths: two hundred files; with ``OTEL_ETW_LONG_TESTS=1`` a few thousand, of a new seed each time;
and as many as ``OTEL_ETW_MUTATIONS`` says, 100000 each night.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

import mutation
from mutating import Mutator
from mutation_seeds import seeds, write_seeds

LONG = os.environ.get("OTEL_ETW_LONG_TESTS") == "1"
MUTATIONS = int(os.environ.get("OTEL_ETW_MUTATIONS") or (2500 if LONG else 200))
SEED = int(os.environ.get("OTEL_ETW_SEED") or (time.time() if MUTATIONS > 200 else 5))


def test_no_damage_costs_more_than_itself() -> None:
    """No exception but ours, time and memory within bounds, all tables equal to the plain decoder's."""
    jobs = 1 if MUTATIONS <= 200 else os.cpu_count() or 1
    output, code = mutation.in_processes(SEED, MUTATIONS, jobs)
    print(output)
    assert code == 0, f"OTEL_ETW_SEED={SEED}\n{output[-10_000:]}"
    assert output.count("slowest") == jobs


def test_the_undamaged_files_have_nothing_to_report(tmp_path: Path) -> None:
    """Or else the damage found in the others would say nothing."""
    for path in write_seeds(tmp_path):
        assert mutation.check(path) == "whole", path.name


def test_a_number_stands_for_one_file() -> None:
    """What a failed run printed can be had again."""
    files = seeds()
    one, other = Mutator(files), Mutator(seeds())
    for number in range(20):
        assert one.mutated(7, number) == other.mutated(7, number)
    assert len({one.mutated(7, number)[1] for number in range(50)}) > 45


def test_a_fault_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check does see a row that is not as the plain decoder has it, and an exception of Python's own."""
    path = write_seeds(tmp_path)[0]
    tables, report = mutation.decoded_tables(path, "file")
    changed = {**tables, "logs": tables["logs"].slice(1)}
    monkeypatch.setattr(mutation, "decoded_tables", lambda *_: (changed, report))
    with pytest.raises((AssertionError, ValueError)):
        mutation.check(path)

    def failing(*_: object) -> None:
        raise IndexError("list index out of range")

    monkeypatch.setattr(mutation, "decoded_tables", failing)
    _, faults = mutation.run(5, 0, 3, tmp_path)
    assert any("IndexError" in fault and "--seed 5 --first" in fault for fault in faults)
