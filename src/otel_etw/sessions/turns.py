"""One at a time, and a way in for those who must not wait: the session's lock, and what it cannot solve.

A lock alone would hang the process in three ways that do happen:

* A thread that is inside comes in again: a signal handler or a ``__del__`` logs.  It finds its mark,
  leaves its item in the queue and goes; the turn it interrupted takes the item up.
* A thread that is inside waits, in such a handler, for something (the lock of a logging handler)
  whose owner waits for its own turn.  So whoever waits looks now and then at what the others do: if
  one that is inside executes code that is not ours, or after a second, he leaves his item in the
  queue.  Soon, because a timer signal that logs comes again and again, each on top of the last.
* An exception such as KeyboardInterrupt comes between taking a lock and the ``try`` that releases it.
  So there is no lock but a *place*: it belongs to whoever puts his turn there first.  A turn is itself
  the place of its successor, for the case that it is left behind.

Those who wait nap and look again, longer each time.  One who has looked in vain a few times puts his item
into the queue, and is done as soon as it is stored, by whoever is inside: a thread that writes in a loop is
made to let others run while it is inside, more often than not.  Nobody is woken up, since with Python's own
lock only one thread runs anyway: a lock that is handed over would make every thread that starts a buffer,
and lets others run meanwhile, wait for all of them.

Who is inside?  Threads leave a mark before they take the place, and remove it after they have left, so
that a turn without a mark was left behind.  Those who come by the *lane* (:mod:`.lane`), which is made for
haste, leave no mark.  Theirs is told by their stack: it has a frame of :data:`LANES` with that very turn.
As that is dear to find out, stacks are looked at only when the same turn is found a second time.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable
from threading import get_ident
from types import CodeType, FrameType
from typing import Generic, TypeVar

from otel_etw.providers.base import WriteStatus

Item = TypeVar("Item")

_FIRST_NAP_S = 0.00005
"""Most turns take a microsecond if their thread gets to run; the next nap takes twice as long."""
_LONGEST_NAP_S = 0.005
_LOOKS = 205
_PATIENT_LOOKS = 5
"""Before the item is left to others, and it is asked whether those who are inside can go on at all."""

_OURS = ("otel_etw.sessions.", "otel_etw.etl.")
"""Modules whose code a turn consists of."""

_SUCCESS = int(WriteStatus.SUCCESS)

_QUEUE_LENGTH = 1024
"""Items that may wait. A turn takes microseconds: whoever logs more often during one loses the rest."""

Place = dict[None, "Place"]
"""Holds the turn that is inside. ``setdefault`` takes it, in one step that no exception divides.

A turn is a place, too: where turns are taken if it is left behind in its own.
"""

LANES: set[CodeType] = set()
"""The code of functions that take the place without a mark; their turn is the local variable ``turn``."""


class _Turn(Place):
    """One thread's one turn, with a mark."""

    __slots__ = ("seen", "thread")

    seen: Place | None
    """The turn of the lane that was in the place at the last look."""

    def __init__(self, thread: int) -> None:
        self.thread = thread
        self.seen = None


class _Waiting(Generic[Item]):
    """An item in the queue."""

    __slots__ = ("begun_at", "is_done", "item", "status", "unix_ns")

    begun_at: object
    """The progress when it was tried to store it; ``None`` before."""
    is_done: bool
    """Whether it has been stored, or refused."""
    status: int
    """What its owner is told."""

    def __init__(self, unix_ns: int, item: Item) -> None:
        self.unix_ns = unix_ns
        self.item = item
        self.begun_at = None
        self.is_done = False
        self.status = _SUCCESS


class Turns(Generic[Item]):
    """Hands ``store(unix_ns, item)`` one item at a time, with the time it was given in.

    ``lose()`` is called in a turn, too, once for every item that could not be kept.  ``progress()`` tells by
    its change that something has been stored: by this an item from the queue, whose owner has been told that
    it is safe, is stored once even if an exception cuts off the turn that does it.
    """

    def __init__(
        self,
        store: Callable[[int, Item], int],
        lose: Callable[[], None],
        progress: Callable[[], object],
    ) -> None:
        self._store = store
        self._lose = lose
        self._progress = progress
        self.place: Place = {}
        self._marks: dict[int, _Turn] = {}
        """By thread: those that are inside or wait for it."""
        # None stands for a lost item: appending is the one thing that is safe at any moment.
        self.queue: deque[_Waiting[Item] | None] = deque()
        self.last_action: Callable[[], None] | None = None

    @property
    def inside(self) -> bool:
        """Whether the calling thread is in a turn, or waits for one, further down its stack."""
        return get_ident() in self._marks or self._is_in_lane()

    def take(self, item: Item) -> int:
        """Store ``item`` now, or leave it for the turn that is under way. Answers a status."""
        thread = get_ident()
        marks = self._marks
        if self._is_inside(thread):
            return self._leave(item).status
        turn = _Turn(thread)
        waiting: _Waiting[Item] | None = None
        try:
            marks[thread] = turn
            place = self._enter(turn) or self._wait(turn, _PATIENT_LOOKS)
            if place is None:
                waiting = self._leave(item)
                place = self._wait(turn, _LOOKS, waiting)
                if place is None:
                    return waiting.status
            try:
                if self.queue:
                    self._catch_up()  # perhaps with an earlier item of this thread
                status = self._store(time.time_ns(), item) if waiting is None else waiting.status
                if self.queue:
                    self._catch_up()
                return status
            finally:
                del place[None]
        finally:
            marks.pop(thread, None)
            if self.queue or self.last_action is not None:
                self._afterwards()

    def exclusively(self, action: Callable[[], None]) -> bool:
        """Run ``action`` in a turn, after all that waits. ``False``: not done; inside, or waited too long."""
        return self._run(action) and self._afterwards()

    def last(self, action: Callable[[], None]) -> None:
        """Like :meth:`exclusively`, but what cannot be done now is done when the turn under way ends."""
        self.last_action = action
        if not self._run(_nothing):
            return
        self._afterwards()

    def finish(self) -> None:
        """What came in during a turn of the lane."""
        self._afterwards()

    def lose(self) -> None:
        """Count one item that is not even worth a turn."""
        self.queue.append(None)
        self._afterwards()

    def _leave(self, item: Item) -> _Waiting[Item]:
        waiting = _Waiting(time.time_ns(), item)
        if len(self.queue) >= _QUEUE_LENGTH:
            waiting.status = WriteStatus.NOT_ENOUGH_MEMORY
            waiting.is_done = True
            self.queue.append(None)
        else:
            self.queue.append(waiting)
        return waiting

    def _catch_up(self) -> None:
        queue = self.queue
        while queue:
            waiting = queue[0]
            if waiting is None:
                self._lose()
            else:
                if waiting.begun_at is None or waiting.begun_at == self._progress():
                    waiting.begun_at = self._progress()
                    waiting.status = self._store(waiting.unix_ns, waiting.item)
                waiting.is_done = True
            queue.popleft()

    def _afterwards(self) -> bool:
        """What came in while a turn was ending. If somebody else is inside it is theirs to do."""
        while self.queue or self.last_action is not None:
            if not self._run(_nothing, patient=False):
                break
        return True

    def _run(self, action: Callable[[], None], *, patient: bool = True) -> bool:
        thread = get_ident()
        if self._is_inside(thread):
            return False
        turn = _Turn(thread)
        try:
            self._marks[thread] = turn
            place = self._enter(turn) or (self._wait(turn, _LOOKS) if patient else None)
            if place is None:
                return False
            try:
                self._catch_up()
                action()
                if self.last_action is not None:
                    last, self.last_action = self.last_action, None
                    last()
            finally:
                del place[None]
        finally:
            self._marks.pop(thread, None)
        return True

    def _enter(self, turn: _Turn) -> Place | None:
        """The place, with ``turn`` in it, if it is free or the turn that stands in it was left behind."""
        place = self.place
        while (holder := place.setdefault(None, turn)) is not turn:
            # In this order: whoever ends his turn as he should leaves the place first, then removes his mark.
            if self._is_there(holder, turn) or place.get(None) is not holder:
                return None
            self.place = place = holder
        return place

    def _wait(self, turn: _Turn, looks: int, waiting: _Waiting[Item] | None = None) -> Place | None:
        """The place once it is free; ``None`` if others have done ``waiting``, or if that takes too long."""
        nap_s = _FIRST_NAP_S if waiting is None else _LONGEST_NAP_S / 2
        for look in range(looks):
            if (look >= _PATIENT_LOOKS or waiting is not None) and self._is_held_up():
                break
            time.sleep(nap_s)
            nap_s = min(2 * nap_s, _LONGEST_NAP_S)
            if waiting is not None and waiting.is_done:
                break
            place = self._enter(turn)
            if place is not None:
                return place
        return None

    def _is_there(self, holder: Place, looker: _Turn) -> bool:
        """Whether the thread whose turn stands in the place is at it; may be wrong in the first look."""
        if isinstance(holder, _Turn):
            return self._marks.get(holder.thread) is holder
        if holder is not looker.seen:
            looker.seen = holder
            return True
        return any(_has_turn(frame, holder, LANES) for frame in sys._current_frames().values())

    def _is_inside(self, thread: int) -> bool:
        """Whether the calling thread has a turn further down its stack."""
        turn = self._marks.get(thread)
        # A mark is true only if the turn is there: an exception may have cut it off.
        return (turn is not None and _has_turn(sys._getframe(1), turn, _ENTRANCES)) or self._is_in_lane()

    def _is_in_lane(self) -> bool:
        holder = self.place.get(None)
        return (
            holder is not None
            and not isinstance(holder, _Turn)
            and _has_turn(sys._getframe(1), holder, LANES)
        )

    def _is_held_up(self) -> bool:
        """Whether a thread that is inside executes foreign code, which may wait for the calling thread."""
        frames = sys._current_frames()
        frames.pop(get_ident(), None)
        innermost = [frames[thread] for thread in list(self._marks) if thread in frames]
        holder = self.place.get(None)
        if holder is not None and not isinstance(holder, _Turn):
            innermost += [frame for frame in frames.values() if _has_turn(frame, holder, LANES)]
        return any(not str(frame.f_globals.get("__name__")).startswith(_OURS) for frame in innermost)


_ENTRANCES = {Turns.take.__code__, Turns._run.__code__}


def _has_turn(innermost: FrameType, turn: Place, codes: set[CodeType]) -> bool:
    """Whether the stack that ends with ``innermost`` has a function of ``codes`` at this turn."""
    frame: FrameType | None = innermost
    while frame is not None:
        if frame.f_code in codes and frame.f_locals.get("turn") is turn:
            return True
        frame = frame.f_back
    return False


def _nothing() -> None:
    pass
