"""Building the double of ETW from its sources in ``native``, for this system or, with mingw, for Windows.

``python etw_building.py etw_double.dll x86_64-w64-mingw32-gcc`` does the latter.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

NATIVE = Path(__file__).resolve().parent / "native"
WARNINGS = ("-O2", "-Wall", "-Wextra", "-Werror")
LIBRARY_VARIABLE = "OTEL_ETW_DOUBLE"
"""Path of a double that is built already; needed where there is no C compiler."""


class DoubleUnavailable(Exception):
    """There is no library (see :data:`LIBRARY_VARIABLE`) and no way to build one; says why."""


def compiler() -> str:
    """The system's C compiler. Raises :class:`DoubleUnavailable`."""
    for name in ("cc", "gcc", "clang"):
        if found := shutil.which(name):
            return found
    raise DoubleUnavailable("there is no C compiler on this system")


def build(into: Path, compile_with: str, *, for_windows: bool) -> Path:
    """The library, built by the compiler given, at ``into``. For Windows, structures are checked against the
    Windows headers as well."""
    if for_windows:
        options = ["-shared", "-static", "-static-libgcc", "-s"]
        sources = ["etw_double.c", "etw_layouts.c"]
    else:
        options = ["-shared", "-fPIC", "-fvisibility=hidden", "-pthread"]
        sources = ["etw_double.c"]
    command = [compile_with, *WARNINGS, *options, "-o", str(into), *(str(NATIVE / name) for name in sources)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise AssertionError(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return into


@cache
def library_path() -> Path:
    """The library for this system: the one :data:`LIBRARY_VARIABLE` names, or one built from the sources as
    they are now, kept for the next process. Raises :class:`DoubleUnavailable`."""
    if given := os.environ.get(LIBRARY_VARIABLE):
        return Path(given)
    compile_with = compiler()
    digest = hashlib.sha256(f"{compile_with} {sys.platform} {WARNINGS}".encode())
    for source in sorted(NATIVE.glob("etw_*")):
        digest.update(source.read_bytes())
    folder = Path(tempfile.gettempdir()) / f"otel-etw-double-{getattr(os, 'getuid', lambda: 0)()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    suffix = ".dll" if os.name == "nt" else ".so"
    path = folder / f"{digest.hexdigest()[:24]}{suffix}"
    if not path.exists():
        unfinished = folder / f"{os.getpid()}{suffix}"
        build(unfinished, compile_with, for_windows=os.name == "nt")
        os.replace(unfinished, path)
    return path


if __name__ == "__main__":
    target, cross_compiler = sys.argv[1:]
    print(build(Path(target), cross_compiler, for_windows=True))
