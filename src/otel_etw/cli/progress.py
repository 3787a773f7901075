"""A progress bar on stderr for work that takes over a second, if somebody is there to see it."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from types import TracebackType
from typing import final

_PATIENCE_S = 1.0
_REFRESH_S = 0.1


@final
class Progress:
    """While open, shows how far ``fraction`` (0 to 1) has come.

    A thread asks for it, so that the work need not report.
    :meth:`stop` removes the bar: call it before anything else is written to the same terminal.
    """

    def __init__(self, title: str, fraction: Callable[[], float]) -> None:
        self._title = title
        self._fraction = fraction
        self._done = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Progress:
        if sys.stderr.isatty():
            self._thread = threading.Thread(target=self._show, name="otel-etw-progress", daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Take the bar away. Idempotent."""
        if self._thread is not None and not self._done.is_set():
            self._done.set()
            self._thread.join()

    def _show(self) -> None:
        if self._done.wait(_PATIENCE_S):
            return
        from rich.console import Console
        from rich.progress import BarColumn, TaskProgressColumn, TextColumn
        from rich.progress import Progress as Bar
        from rich.text import Text

        columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn())
        with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(Text(self._title).plain, total=1.0)
            while not self._done.wait(_REFRESH_S):
                bar.update(task, completed=min(max(self._fraction(), 0.0), 1.0))
