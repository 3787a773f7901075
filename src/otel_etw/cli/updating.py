"""A line on stderr that is written over again and again, if somebody is there to see it."""

from __future__ import annotations

import sys
from shutil import get_terminal_size
from types import TracebackType
from typing import final

from otel_etw.outputs.text import printable


@final
class UpdatingLine:
    """Shown from the first :meth:`show` until it is closed or cleared, and only on a terminal."""

    def __init__(self) -> None:
        self.is_shown = sys.stderr is not None and sys.stderr.isatty()
        """Whether there is a terminal."""
        self._cells = 0

    def __enter__(self) -> UpdatingLine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clear()

    def show(self, text: str) -> None:
        """Put ``text`` in place of what is there, cut to the terminal's width."""
        if self.is_shown:
            line = printable(text)[: max(get_terminal_size().columns - 1, 1)]
            self._write(f"\r{line:<{self._cells}}")
            self._cells = len(line)

    def clear(self) -> None:
        """Take it away, so that something else can be written."""
        if self._cells:
            self._write(f"\r{'':<{self._cells}}\r")
            self._cells = 0

    def _write(self, text: str) -> None:
        try:
            sys.stderr.write(text)
            sys.stderr.flush()
        except (OSError, ValueError):
            self.is_shown = False
