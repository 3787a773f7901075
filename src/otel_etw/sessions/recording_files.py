"""The file, or the files of a series, that a recording writes: their names, and what is there already."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

from otel_etw.sessions.settings import FileMode

NUMBER = "%d"
"""Where Windows puts the number into the names of a rolling recording's files, which begins with 1."""


class RecordingFiles:
    """Where a recording writes to. ``path`` is absolute, since the kernel knows no current folder."""

    def __init__(self, path: str | os.PathLike[str], mode: FileMode) -> None:
        """``ValueError`` for a path that cannot be a recording's."""
        name = os.fsdecode(path)
        if not name or "\0" in name:
            raise ValueError(f"expected the path of a file, found {name!r}")
        if name.endswith(("/", os.sep)) or os.path.isdir(name):
            raise ValueError(f"expected the path of a file, found the folder {name}")
        if NUMBER in os.path.dirname(name) and mode == "rolling":
            raise ValueError(
                f"a rolling recording has the '%d' in its file's name, not in a folder's: {name}"
            )
        self.mode = mode
        self.path = os.path.abspath(_numbered(name) if mode == "rolling" else name)
        if mode == "rolling" and "%" in self.path.replace(NUMBER, "", 1):
            # Windows formats the whole path.
            raise ValueError(f"a rolling recording's path can have no '%' beside one '%d': {self.path}")

    @property
    def folder(self) -> str:
        """Where they are."""
        return os.path.dirname(self.path)

    @property
    def first(self) -> str:
        """The one that is written first."""
        return self.path.replace(NUMBER, "1") if self.mode == "rolling" else self.path

    @property
    def pattern(self) -> str:
        """What to give to ``otel-etw view``."""
        return self.path.replace(NUMBER, "*") if self.mode == "rolling" else self.path

    def existing(self) -> list[str]:
        """Those that are there, oldest number first."""
        if self.mode != "rolling":
            return [self.path] if os.path.lexists(self.path) else []
        before, after = os.path.basename(self.path).split(NUMBER)
        name = re.compile(f"{re.escape(before)}([0-9]{{1,9}}){re.escape(after)}", re.IGNORECASE)
        try:
            matches = [match for match in map(name.fullmatch, os.listdir(self.folder)) if match]
        except OSError:
            return []
        return [os.path.join(self.folder, match[0]) for match in sorted(matches, key=lambda m: int(m[1]))]

    def size_bytes(self) -> int | None:
        """Of all that are there together; ``None`` where there is none."""
        sizes = []
        for path in self.existing():
            with suppress(OSError):
                sizes.append(os.path.getsize(path))
        return sum(sizes) if sizes else None

    def keep_newest(self, count: int) -> list[str]:
        """Remove all but the ``count`` files with the highest numbers; those that went."""
        gone = []
        for path in self.existing()[:-count]:
            with suppress(OSError):  # somebody reads it: the next call tries again
                os.unlink(path)
                gone.append(path)
        return gone


def _numbered(name: str) -> str:
    if NUMBER in name:
        return name
    path = Path(name)
    return str(path.with_name(f"{path.stem}.{NUMBER}{path.suffix}"))
