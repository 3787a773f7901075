"""The rows of the table, and how they are shown."""

from __future__ import annotations

import platform
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version

PACKAGES = (
    "opentelemetry-sdk",
    "opentelemetry-exporter-otlp-proto-common",
    "opentelemetry-instrumentation-logging",
    "protobuf",
    "traceloggingdynamic",
    "numpy",
    "pyarrow",
    "dissect.etl",
    "dissect.util",
    "etl-parser",
)


@dataclass(frozen=True)
class Row:
    """One comparison. ``ratio`` is held against a bar, at most it or at least it; or told without one."""

    what: str
    ours: str
    peer: str
    ratio: float
    at_most: float | None = None
    at_least: float | None = None
    digits: int = 2

    @property
    def bar(self) -> str:
        """The bar in words."""
        if self.at_most is not None:
            return f"<= {self.at_most:g}"
        return "" if self.at_least is None else f">= {self.at_least:g}"

    @property
    def holds(self) -> bool:
        """Whether the ratio reaches the bar."""
        if self.at_most is not None:
            return self.ratio <= self.at_most
        return self.at_least is None or self.ratio >= self.at_least

    @property
    def verdict(self) -> str:
        """In a word."""
        return ("holds" if self.holds else "MISSED") if self.bar else ""


def micro(ns: float) -> str:
    """Nanoseconds as microseconds."""
    return f"{ns / 1000:.2f} us"


def markdown(rows: Sequence[Row]) -> str:
    """The table, the machine it was measured on, and how to measure again."""
    lines = ["| what | ours | beside it | ratio | bar | |", "| --- | --- | --- | --- | --- | --- |"]
    lines += [
        f"| {row.what} | {row.ours} | {row.peer} | {row.ratio:.{row.digits}f} | {row.bar} | {row.verdict} |"
        for row in rows
    ]
    return "\n".join(lines)


def machine() -> str:
    """Interpreter, system, processor and the versions of the peers."""
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return (
        f"{platform.python_implementation()} {platform.python_version()}, {platform.system()} "
        f"{platform.machine()}, {_processor()}. {packages}."
    )


def _processor() -> str:
    if sys.platform == "linux":
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    return platform.processor() or "unknown processor"
