"""One at a time, and a way in for those who must not wait: the session's lock, and what it cannot solve.

A lock alone would hang the process in three ways that do happen:

* A thread that is inside comes in again: a signal handler or a ``__del__`` logs.  It finds its mark,
  leaves its item in the queue and goes; the turn it interrupted takes the item up.
* A thread that is inside waits, in such a handler, for something (the lock of a logging handler)
  whose owner waits for its own turn.  So whoever waits looks now and then at what the others do: if
  one that is inside executes code that is not ours, or after a second, he leaves his item in the
  queue.  Soon, because a timer signal that logs comes again and again, each on top of the last.
* An exception such as KeyboardInterrupt comes between taking a lock and the ``try`` that releases it.
  So the lock, here the *gate*, only lines up those who wait, and is replaced by the next one who
  waited for it in vain.  What admits one at a time is the *place*: it belongs to whoever puts his
  turn there first.  Every thread leaves the place before it removes its mark, so a turn without a
  mark was left behind, and the place goes on in that turn's own successor.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable
from threading import Lock, get_ident
from types import FrameType
from typing import Generic, TypeVar

from otel_etw.providers.base import WriteStatus

Item = TypeVar("Item")

_LOOK_EVERY_S = 0.005
_LOOKS = 200

_OURS = ("otel_etw.sessions.", "otel_etw.etl.")
"""Modules whose code a turn consists of."""

_QUEUE_LENGTH = 1024
"""Items that may wait. A turn takes microseconds: whoever logs more often during one loses the rest."""

_Place = dict[None, "_Turn"]
"""Holds the turn that is inside. ``setdefault`` takes it, in one step that no exception divides."""


class _Turn:
    """One thread's one turn."""

    __slots__ = ("gate", "successor", "thread")

    gate: Lock
    """The one that was passed, or made, on the way in."""

    def __init__(self, thread: int) -> None:
        self.thread = thread
        self.successor: _Place = {}
        """Where turns are taken if this one is left behind in its place."""


class Turns(Generic[Item]):
    """Hands ``store(unix_ns, item)`` one item at a time, with the time it was given in.

    ``lose()`` is called in a turn, too, once for every item that could not be kept.
    """

    def __init__(self, store: Callable[[int, Item], int], lose: Callable[[], None]) -> None:
        self._store = store
        self._lose = lose
        self._gate = Lock()
        self._place: _Place = {}
        self._marks: dict[int, _Turn] = {}
        """By thread: those that are inside or wait for it."""
        # None stands for a lost item: appending is the one thing that is safe at any moment.
        self._queue: deque[tuple[int, Item] | None] = deque()
        self._last: Callable[[], None] | None = None

    @property
    def inside(self) -> bool:
        """Whether the calling thread is in a turn, or waits for one, further down its stack."""
        return get_ident() in self._marks

    def take(self, item: Item) -> int:
        """Store ``item`` now, or leave it for the turn that is under way. Answers a status."""
        thread = get_ident()
        marks = self._marks
        if thread in marks and self._is_below(marks[thread]):
            return self._leave(item)
        turn = _Turn(thread)
        try:
            marks[thread] = turn
            place = self._enter(turn, _LOOK_EVERY_S) or self._wait(turn)
            if place is None:
                return self._leave(item)
            try:
                if self._queue:
                    self._catch_up()  # perhaps with an earlier item of this thread
                status = self._store(time.time_ns(), item)
                if self._queue:
                    self._catch_up()
                return status
            finally:
                del place[None]
                turn.gate.release()
        finally:
            marks.pop(thread, None)
            if self._queue or self._last is not None:
                self._afterwards()

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
            if not self._run(_nothing, self._enter_at_once):
                break
        return True

    def _run(self, action: Callable[[], None], wait: Callable[[_Turn], _Place | None]) -> bool:
        thread = get_ident()
        if thread in self._marks and self._is_below(self._marks[thread]):
            return False
        turn = _Turn(thread)
        try:
            self._marks[thread] = turn
            place = wait(turn)
            if place is None:
                return False
            try:
                self._catch_up()
                action()
                if self._last is not None:
                    last, self._last = self._last, None
                    last()
            finally:
                del place[None]
                turn.gate.release()
        finally:
            self._marks.pop(thread, None)
        return True

    def _enter(self, turn: _Turn, timeout_s: float) -> _Place | None:
        """The place, with ``turn`` in it, if it is free or the turn that stands in it was left behind."""
        gate = self._gate
        has_passed = gate.acquire(timeout=timeout_s)
        place = self._place
        while (holder := place.setdefault(None, turn)) is not turn:
            # In this order: whoever ends his turn as he should leaves the place first, then removes his mark.
            if self._marks.get(holder.thread) is holder or place.get(None) is not holder:
                if has_passed:
                    gate.release()
                return None
            self._place = place = holder.successor
        if not has_passed:
            gate = Lock()
            gate.acquire()
            self._gate = gate
        turn.gate = gate
        return place

    def _enter_at_once(self, turn: _Turn) -> _Place | None:
        return self._enter(turn, 0)

    def _wait(self, turn: _Turn) -> _Place | None:
        for _ in range(_LOOKS):
            place = self._enter(turn, _LOOK_EVERY_S)
            if place is not None:
                return place
            if self._is_held_up():
                break
        return None

    def _is_below(self, turn: _Turn) -> bool:
        """Whether the calling thread's mark is true: its stack has that turn, no exception has cut it off."""
        frame: FrameType | None = sys._getframe(1)
        while frame is not None:
            if frame.f_code in _ENTRANCES and frame.f_locals.get("turn") is turn:
                return True
            frame = frame.f_back
        return False

    def _is_held_up(self) -> bool:
        """Whether a thread that is inside executes foreign code, which may wait for the calling thread."""
        frames = sys._current_frames()
        frames.pop(get_ident(), None)
        innermost = [frames[thread] for thread in list(self._marks) if thread in frames]
        return any(not str(frame.f_globals.get("__name__")).startswith(_OURS) for frame in innermost)


_ENTRANCES = (Turns.take.__code__, Turns._run.__code__)


def _nothing() -> None:
    pass
