"""Opening a file that its writer may rename or remove while it is open, which Windows forbids by default."""

from __future__ import annotations

import os
import sys


def open_shared(path: str) -> int:
    """A descriptor to read ``path`` with, which keeps nobody from renaming it. Raises ``OSError``."""
    if sys.platform == "win32":
        from otel_etw.windows import files

        return files.open_shared(path)
    else:  # noqa: RET505 - the type checker knows this form alone
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
