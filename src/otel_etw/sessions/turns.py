"""One at a time, and a way in for those who must not wait: the session's lock, and what it cannot solve.

A lock alone would hang the process in two ways that do happen:

* A thread that is inside comes in again: a signal handler or a ``__del__`` logs.  It finds its mark,
  leaves its item in the queue and goes; the turn it interrupted takes the item up.
* A thread that is inside waits, in such a handler, for something (the lock of a logging handler)
  whose owner waits for its own turn.  So whoever waits looks now and then at what the others do: if
  one that is inside executes code that is not ours, or after a second, he leaves his item in the
  queue.  Soon, because a timer signal that logs comes again and again, each on top of the last.

An exception such as KeyboardInterrupt may come between any two steps.  The mark is set and removed
within one ``try``; a lock that was left behind in the one gap there is (between its acquisition
and the ``try`` that releases it) is recognised by nobody being inside, and taken over.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable
from threading import Lock, get_ident
from typing import Generic, TypeVar

from otel_etw.providers.base import WriteStatus

Item = TypeVar("Item")

_LOOK_EVERY_S = 0.005
_LOOKS = 200
_ABANDONED_AFTER_S = 0.1

_OURS = ("otel_etw.sessions.", "otel_etw.etl.")
"""Modules whose code a turn consists of."""

_QUEUE_LENGTH = 1024
"""Items that may wait. A turn takes microseconds: whoever logs more often during one loses the rest."""


class Turns(Generic[Item]):
    """Hands ``store(unix_ns, item)`` one item at a time, with the time it was given in.

    ``lose()`` is called in a turn, too, once for every item that could not be kept.
    """

    def __init__(self, store: Callable[[int, Item], int], lose: Callable[[], None]) -> None:
        self._store = store
        self._lose = lose
        self._lock = Lock()
        self._inside: dict[int, bool] = {}
        # None stands for a lost item: appending is the one thing that is safe at any moment.
        self._queue: deque[tuple[int, Item] | None] = deque()
        self._last: Callable[[], None] | None = None

    @property
    def inside(self) -> bool:
        """Whether the calling thread is in a turn, or waits for one, further down its stack."""
        return get_ident() in self._inside

    def take(self, item: Item) -> int:
        """Store ``item`` now, or leave it for the turn that is under way. Answers a status."""
        thread = get_ident()
        inside = self._inside
        if thread in inside:
            return self._leave(item)
        try:
            inside[thread] = True
            if self._lock.acquire(timeout=_LOOK_EVERY_S) or self._wait():
                try:
                    if self._queue:
                        self._catch_up()  # perhaps with an earlier item of this thread
                    status = self._store(time.time_ns(), item)
                    if self._queue:
                        self._catch_up()
                finally:
                    self._lock.release()
            else:
                status = self._leave(item)
        finally:
            inside.pop(thread, None)
        if self._queue or self._last is not None:
            self._afterwards()
        return status

    def exclusively(self, action: Callable[[], None]) -> bool:
        """Run ``action`` in a turn, after all that waits. ``False``: not done; inside, or waited too long."""
        return self._run(action, self._wait) and self._afterwards()

    def last(self, action: Callable[[], None]) -> None:
        """Like :meth:`exclusively`, but what cannot be done now is done when the turn under way ends."""
        self._last = action
        if not self._run(_nothing, self._wait):
            return
        self._afterwards()

    def lose(self) -> None:
        """Count one item that is not even worth a turn."""
        self._queue.append(None)
        self._afterwards()

    def _leave(self, item: Item) -> int:
        if len(self._queue) >= _QUEUE_LENGTH:
            self._queue.append(None)
            return WriteStatus.NOT_ENOUGH_MEMORY
        self._queue.append((time.time_ns(), item))
        return WriteStatus.SUCCESS

    def _catch_up(self) -> None:
        queue = self._queue
        while queue:
            waiting = queue.popleft()
            if waiting is None:
                self._lose()
            else:
                self._store(*waiting)

    def _afterwards(self) -> bool:
        """What came in while a turn was ending. If somebody else is inside it is theirs to do."""
        while self._queue or self._last is not None:
            if not self._run(_nothing, self._lock_at_once):
                break
        return True

    def _run(self, action: Callable[[], None], lock: Callable[[], bool]) -> bool:
        thread = get_ident()
        if thread in self._inside:
            return False
        try:
            self._inside[thread] = True
            if not lock():
                return False
            try:
                self._catch_up()
                action()
                if self._last is not None:
                    last, self._last = self._last, None
                    last()
            finally:
                self._lock.release()
        finally:
            self._inside.pop(thread, None)
        return True

    def _wait(self) -> bool:
        for _ in range(_LOOKS):
            if self._lock.acquire(timeout=_LOOK_EVERY_S):
                return True
            if len(self._inside) == 1:
                break
            if self._is_held_up():
                return False
        return self._take_over()

    def _is_held_up(self) -> bool:
        """Whether a thread that is inside executes foreign code, which may wait for the calling thread."""
        frames = sys._current_frames()
        frames.pop(get_ident(), None)
        innermost = [frames[thread] for thread in list(self._inside) if thread in frames]
        return any(not str(frame.f_globals.get("__name__")).startswith(_OURS) for frame in innermost)

    def _lock_at_once(self) -> bool:
        return self._lock.acquire(blocking=False)

    def _take_over(self) -> bool:
        """Whether the lock is mine now, after waiting for it in vain: it is if nobody else is inside."""
        if len(self._inside) > 1:
            return False
        return self._lock.acquire(timeout=_ABANDONED_AFTER_S) or len(self._inside) == 1


def _nothing() -> None:
    pass
