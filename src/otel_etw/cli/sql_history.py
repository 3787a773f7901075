"""The prompt's history, kept where the platform keeps such things; if it cannot be, nothing breaks."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path

from prompt_toolkit.history import FileHistory


class History(FileHistory):
    """A history in a file, as long as the file can be read and written."""

    def __init__(self) -> None:
        super().__init__(str(state_directory() / "sql_history"))

    def load_history_strings(self) -> Iterable[str]:
        """What there is; nothing if it cannot be read."""
        try:
            return list(super().load_history_strings())
        except OSError:
            return []

    def store_string(self, string: str) -> None:
        """Add a line, readable by the user alone."""
        path = Path(os.fsdecode(self.filename))
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not path.exists():
                path.touch(mode=0o600)
            super().store_string(string)
        except OSError:
            pass  # it stays in the memory of this prompt


def state_directory() -> Path:
    """Where the platform keeps what a program remembers between its runs."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or os.path.join("~", "AppData", "Local")
    elif sys.platform == "darwin":
        base = os.path.join("~", "Library", "Application Support")
    else:
        base = os.environ.get("XDG_STATE_HOME") or os.path.join("~", ".local", "state")
    return Path(os.path.expanduser(base)) / "otel-etw"
