"""The tests of Windows' own code paths, run by a real CPython for Windows under Wine.

``.ci/wine FOLDER`` makes the place where they run, and ``OTEL_ETW_WINE`` names it. Where that is not set they
are skipped; with ``OTEL_ETW_REQUIRE_WINE=1``, as the gate runs them, they fail instead.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from shared_files import SHARED

TESTS = Path(__file__).resolve().parent
RIG = os.environ.get("OTEL_ETW_WINE")
PATTERNS = (
    "test_etw_double*.py",
    "test_kernel_*.py",
    "test_windows_*.py",
    "test_session_control.py",
    "test_cli_record.py",
    "test_live_*.py",
    "test_cli_listen.py",
)
MODULES = sorted({path.name for pattern in PATTERNS for path in TESTS.glob(pattern)})
MOST_SECONDS = 300


def windows_path(path: Path) -> str:
    """As Wine's drive ``Z:`` has it."""
    return "Z:" + str(path.resolve()).replace("/", "\\")


def rig() -> Path:
    """Where the Windows interpreter is; skips the calling test without one, or fails where it must be."""
    missing = None
    if os.name == "nt":
        missing = "this is Windows itself: the modules run here as they are"
    elif not RIG:
        missing = "no Wine here: .ci/wine FOLDER makes a place for it, OTEL_ETW_WINE=FOLDER names it"
    elif not Path(RIG, "python").exists():
        missing = f"{RIG} was not made by .ci/wine: it has no file named python"
    if missing is None:
        return Path(RIG or "")
    if os.environ.get("OTEL_ETW_REQUIRE_WINE") == "1":
        pytest.fail(missing)
    pytest.skip(missing)


def run_in_windows(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The Windows interpreter with ``arguments``, this checkout's sources, and all output in ``stdout``."""
    paths = ";".join(windows_path(folder) for folder in (TESTS.parent / "src", TESTS))
    environment = {**os.environ, "PYTHONPATH": paths, "OTEL_ETW_SHARED": windows_path(SHARED)}
    return subprocess.run(
        [str(rig() / "python"), *arguments],
        cwd=TESTS.parent,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
        timeout=MOST_SECONDS,
        check=False,
    )


def test_the_interpreter_is_that_of_windows() -> None:
    """What runs the modules below says of itself that it is Windows, and imports this checkout."""
    code = "import os, sys, otel_etw; print(sys.platform, os.name, otel_etw.__file__)"
    run = run_in_windows("-c", code)
    assert run.stdout.split(maxsplit=2)[:2] == ["win32", "nt"], run
    assert windows_path(TESTS.parent / "src") in run.stdout, run


@pytest.mark.parametrize("module", MODULES)
def test_windows_code_paths_under_a_windows_python(module: str) -> None:
    """The module's tests pass there, and some of them were not skipped."""
    run = run_in_windows("-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider", f"tests/{module}")
    assert run.returncode == 0, f"{run.stdout}\n{run.stderr}"
    assert re.search(r"\d+ passed", run.stdout), f"{module} was skipped as a whole:\n{run.stdout}"


def test_there_is_something_to_run() -> None:
    """Each pattern finds a module: a renamed one would fall out of these runs unseen."""
    assert [pattern for pattern in PATTERNS if not list(TESTS.glob(pattern))] == []
