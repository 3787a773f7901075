"""The examples run as their docstrings say, and leave files that the reading example can print."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


def run(name: str, *arguments: str | Path) -> str:
    command = [sys.executable, "-W", "error", EXAMPLES / name, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("example", "said", "read_back"),
    [
        (
            "logs_to_etl.py",
            "2 log records in",
            ["order 17 accepted", "stock is low", "'deployment.environment': 'test'"],
        ),
        (
            "handler_to_etl.py",
            "log records in",
            ["order 17 accepted", "no price per cup", "ZeroDivisionError"],
        ),
        (
            "spans_to_etl.py",
            "5 spans and events of spans in",
            ["MyCompany_MyApp Span", "reserve", "stock is low", "the bank does not answer"],
        ),
        ("metrics_to_etl.py", "2 data points in", ["otlp_metrics", "NativeMetricsExtension_Provider"]),
    ],
)
def test_example_writes_a_file_that_the_reading_example_prints(
    example: str, said: str, read_back: list[str], tmp_path: Path
) -> None:
    path = tmp_path / "example.etl"
    assert said in run(example, path)
    printed = run("read_etl.py", path)
    for text in read_back:
        assert text in printed


def test_a_trace_that_examples_wrote_can_be_queried(tmp_path: Path) -> None:
    """The querying example counts, orders and streams what the others put into their files."""
    paths = [tmp_path / f"{name}.etl" for name in ("logs", "spans", "metrics")]
    for path in paths:
        run(f"{path.stem}_to_etl.py", path)
    printed = run("query_a_trace.py", tmp_path)
    assert "log records" in printed
    assert "'severity_text': 'WARN'" in printed
    assert "'name': 'reserve'" in printed
    assert "2 data points" in printed
