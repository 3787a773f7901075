"""Who writes: thread and process ids as an event record holds them, 32 bits, right after a fork, too."""

from __future__ import annotations

import os
from threading import get_native_id, local

U32 = 0xFFFFFFFF


class _ThreadIds(local):
    """The system's id of the calling thread; asking for it each time is a system call."""

    def __init__(self) -> None:
        self.id = get_native_id() & U32  # macOS has larger ones


thread_ids = _ThreadIds()


def _after_fork_in_child() -> None:
    global thread_ids
    thread_ids = _ThreadIds()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
