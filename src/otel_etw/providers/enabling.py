"""What ETW tells of the sessions that listen: by a callback, which must not outlive the interpreter.

It comes at any time, on a thread of the system's or inside ``EventRegister``, so it stores one tuple and does
nothing else.  What it stores may still be missing afterwards: a signal handler's exception may come first,
where the main thread registers.
"""

from __future__ import annotations

import atexit
import time
from itertools import count
from threading import get_ident
from typing import Any, NamedTuple, Protocol

from otel_etw.windows.provider_functions import DISABLE, ENABLE, enable_callback_type

_ALL_LEVELS = 255
_ALL_KEYWORDS = 2**64 - 1

_LONGEST_EXIT_S = 5.0
"""How long the exit waits for threads that are registering or unregistering."""


class Enablement(NamedTuple):
    """What ETW has told of the sessions that listen."""

    idle: bool
    """Whether there is none at all."""
    highest_level: int
    """Highest level that is wanted; -1 where nothing has been told."""
    any_mask: int
    """One of these keywords is needed."""
    all_mask: int
    """All of these keywords are needed, too."""
    refused: set[tuple[int, int]] | frozenset[tuple[int, int]]
    """Levels and keywords of events that the kernel has said nobody wants, while this is what was told; where
    nothing is told such an answer cannot be kept."""


IDLE = Enablement(True, -1, 0, 0, frozenset())
UNTOLD = Enablement(False, -1, 0, 0, frozenset())


class CalledBack(Protocol):
    """Who is told."""

    state: Enablement

    def drop_callback(self, seconds: float) -> None:
        """Have no callback any more, if that can be had in about so long."""


class EnableCallback:
    """One callback for many, each of which it knows by a number that ETW hands back to it.

    From the interpreter's exit on, of which an exit hook of its own tells it, there is none.
    """

    def __init__(self) -> None:
        self._called_back: dict[int, CalledBack] = {}
        self._numbers = count(1)
        self._telling: set[int] = set()
        self._has_ended = False
        self.function: Any = enable_callback_type()(self._tell)
        """What ETW calls. Nobody may free it while ETW has its address; the hook keeps it until the end."""
        atexit.register(self._end)

    def number_for(self, registration: CalledBack) -> int:
        """By which the callback will find ``registration``; 0 if it may have none any more."""
        number = next(self._numbers)
        self._called_back[number] = registration
        # In this order: a hook that runs meanwhile finds the registration, or is seen here.
        if self._has_ended:
            self.forget(number)
            return 0
        return number

    def forget(self, number: int) -> None:
        """Whoever has that number is told nothing more."""
        self._called_back.pop(number, None)

    def runs_here(self) -> bool:
        """Whether this thread is inside the callback, as a finalizer may find that it is."""
        return get_ident() in self._telling

    def _tell(
        self,
        source_id: int | None,
        code: int,
        level: int,
        any_mask: int,
        all_mask: int,
        filters: int | None,
        number: int | None,
    ) -> None:
        registration = self._called_back.get(number or 0)
        if registration is None:
            return
        thread = get_ident()
        try:
            self._telling.add(thread)
            if code == ENABLE:
                registration.state = Enablement(
                    False, level or _ALL_LEVELS, any_mask or _ALL_KEYWORDS, all_mask, set()
                )
            elif code == DISABLE:
                registration.state = IDLE
        except BaseException:  # no memory, or a signal handler's: something has changed
            registration.state = UNTOLD
            raise
        finally:
            self._telling.discard(thread)

    def _end(self) -> None:
        self._has_ended = True
        end = time.monotonic() + _LONGEST_EXIT_S
        interruption: BaseException | None = None
        for registration in list(self._called_back.values()):
            for _ in range(2):
                try:
                    registration.drop_callback(end - time.monotonic())
                    break
                # Ctrl-C: nobody is waited for any longer, but none is left out.
                except BaseException as problem:  # noqa: BLE001 - raised below
                    interruption, end = problem, 0.0
        if interruption is not None:
            raise interruption
