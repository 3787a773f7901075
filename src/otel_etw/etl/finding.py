"""Arguments that stand for several files: directories and globs.

``**`` and directories go into each directory once, whatever links lead there; hidden names are left out, and
everything comes in the order of its names.
"""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Iterator, Sequence

SUFFIXES = (".etl", ".etl.gz", ".etl.zst", ".etl.zip", ".zip")
"""What is looked for in a directory, whatever the case of letters."""


def has_wildcards(text: str) -> bool:
    """Whether ``text`` can be a glob."""
    return "*" in text or "?" in text


def files_below(directory: str) -> Iterator[str]:
    """The files below ``directory`` with one of :data:`SUFFIXES`. Raises ``OSError`` if it cannot be read."""
    os.listdir(directory)
    return (path for path in _all_files(directory) if path.lower().endswith(SUFFIXES))


def matching(pattern: str) -> Iterator[str]:
    """The paths that fit ``pattern``: ``*`` and ``?`` within a name, ``**`` any directories in between."""
    drive, rest = os.path.splitdrive(pattern)
    parts = [part for part in re.split(r"[\\/]" if os.name == "nt" else "/", rest) if part]
    is_absolute = rest[:1] in (os.sep, os.altsep or os.sep)
    yield from _fitting(drive + (os.sep if is_absolute else ""), parts)


def _fitting(base: str, parts: Sequence[str]) -> Iterator[str]:
    if not parts:
        yield base
        return
    part, rest = parts[0], parts[1:]
    if part == "**":
        yield from _below_fitting(base, rest)
    elif not has_wildcards(part):
        path = os.path.join(base, part)
        if os.path.lexists(path):
            yield from _fitting(path, rest)
    else:
        fits = re.compile(
            fnmatch.translate(part.replace("[", "[[]")), re.IGNORECASE if os.name == "nt" else 0
        )
        for name in _names(base):
            if fits.match(name) and (name[0] != "." or part[0] == "."):
                path = os.path.join(base, name)
                if not rest or os.path.isdir(path):
                    yield from _fitting(path, rest)


def _below_fitting(base: str, rest: Sequence[str]) -> Iterator[str]:
    if not rest:
        yield from _all_files(base)
        return
    for directory, _ in _directories(base, set()):
        yield from _fitting(directory, rest)


def _all_files(directory: str) -> Iterator[str]:
    for inner, names in _directories(directory, set()):
        for name in names:
            path = os.path.join(inner, name)
            if not os.path.isdir(path):
                yield path


def _directories(directory: str, seen: set[tuple[int, int]]) -> Iterator[tuple[str, list[str]]]:
    """``directory`` and all below it, each once, with the names that are in it; hidden ones are left out."""
    try:
        status = os.stat(directory or os.curdir)
    except OSError:
        return
    if (status.st_dev, status.st_ino) in seen:
        return
    seen.add((status.st_dev, status.st_ino))
    names = [name for name in _names(directory) if not name.startswith(".")]
    yield directory, names
    for name in names:
        path = os.path.join(directory, name)
        if os.path.isdir(path):
            yield from _directories(path, seen)


def _names(directory: str) -> list[str]:
    try:
        return sorted(os.listdir(directory or os.curdir))
    except OSError:
        return []
