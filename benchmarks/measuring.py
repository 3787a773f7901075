"""Timing of rivals side by side.

A machine has slow moments, so the rivals take turns, round after round, and of each the best round counts:
what is compared is what each can do, measured under the same conditions.  The collector of garbage runs
between rounds, not in them.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping
from time import perf_counter_ns

from otel_etw.emitter import Stats

Loop = Callable[[int], object]
"""Does the thing to be measured that many times."""


def best_ns(rivals: Mapping[str, Loop], *, times: int, rounds: int) -> dict[str, float]:
    """Nanoseconds per time, by rival."""
    for loop in rivals.values():
        loop(max(1, times // 10))
    best = dict.fromkeys(rivals, float("inf"))
    for _ in range(rounds):
        for name, loop in rivals.items():
            gc.collect()
            gc.disable()
            try:
                start = perf_counter_ns()
                loop(times)
                spent = perf_counter_ns() - start
            finally:
                gc.enable()
            best[name] = min(best[name], spent / times)
    return best


def check(*accounts: Stats) -> None:
    """Stop unless everything that was measured was written: losing events is quicker than writing them."""
    for stats in accounts:
        if not stats.written or stats.lost or stats.skipped:
            raise SystemExit(f"the benchmark lost events: {stats}")
