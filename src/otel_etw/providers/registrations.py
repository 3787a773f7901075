"""Registrations with ETW: one for all providers of the process that have the same id and traits.

ETW says by a callback which events are wanted.  It comes at any time, on a thread of the system's or inside
``EventRegister``, so it stores one tuple and does nothing else.

*What is wanted* is known in part only.  With several sessions the callback tells the highest level and the
union of their keywords, in which a session that takes everything (level 0, or a mask of 0) disappears beside
another one.  So what was told suffices for a yes; a no is the kernel's own (``EventProviderEnabled``), except
where nobody listens at all.  It is kept until ETW tells something else, as it does of every change.  The
kernel filters for each session, so a yes too many costs only time.

*Locks.*  ``EventRegister`` waits for callbacks, and ``EventUnregister`` for those that run: neither is called
with a lock that a callback or a write takes, and none of these take any.  The table's lock is never held
during a call; that of a registration makes two threads wait for one registration of theirs.

*Exit.*  A callback must not come into an interpreter that has ended, but what is flushed late has to reach
ETW.  So an exit hook replaces each registration by one without callback, which asks the kernel each time;
those that come later have none from the start.
"""

from __future__ import annotations

import atexit
import ctypes
import time
from itertools import count
from threading import RLock
from typing import NamedTuple
from uuid import UUID

from otel_etw.windows.error_codes import WindowsCallError
from otel_etw.windows.provider_functions import (
    DISABLE,
    ENABLE,
    SET_TRAITS,
    ProviderFunctions,
    enable_callback_type,
    provider_functions,
)

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
_MOST_REFUSED = 256
"""A program has few pairs of level and keyword; a generator of ever new ones must not fill memory."""


class Registration:
    """One ``EventRegister`` and what ETW tells it; :func:`acquire` makes it, :func:`release` ends it."""

    def __init__(self, functions: ProviderFunctions, provider_id: UUID, traits: bytes) -> None:
        self.functions = functions
        self.key = provider_id, traits
        self.state = IDLE
        self.users = 0
        """How many have acquired it; the table's lock guards it."""
        self._lock = RLock()
        self._handle = 0
        self._handles: list[ctypes.c_uint64] = []
        self._number = 0
        """By which a callback finds it; 0 without callback."""

    def wants(self, level: int, keyword: int) -> bool:
        """Whether any session takes such an event, by what the kernel says now."""
        refused = self.state.refused  # looked up first: a change during the question makes another one
        if self.functions.event_provider_enabled(self._handle, level, keyword):
            return True
        if isinstance(refused, set) and len(refused) < _MOST_REFUSED:
            refused.add((level, keyword))
        return False

    def open_handle(self) -> ctypes.c_uint64:
        """A handle for one user, which follows if it changes; registers where that has not been done.

        Raises :class:`.WindowsCallError`.
        """
        with self._lock:
            if not self._handle:
                self._register_first()
            handle = ctypes.c_uint64(self._handle)
            self._handles.append(handle)
            return handle

    def close_handle(self, handle: ctypes.c_uint64 | None, *, is_last: bool) -> None:
        """Make a user's handle 0; with the last one the registration ends, and callbacks have ended then."""
        with self._lock:
            if handle is not None:
                handle.value = 0
                self._handles = [other for other in self._handles if other is not handle]
            if is_last and self._handle:
                old, self._handle = self._handle, 0
                self.functions.event_unregister(old)
                self._forget_callback()

    def drop_callback(self, seconds: float) -> None:
        """Register without callback instead, if a thread that is at it ends that within ``seconds``."""
        if not self._lock.acquire(timeout=max(0.0, seconds)):
            return
        try:
            old = self._handle
            if not self._number or not old:
                return
            try:
                self._register(callback_number=0)
            except WindowsCallError:  # better refused, and counted, than a call into nothing
                self._set_handle(0)
            self.functions.event_unregister(old)
            self._forget_callback()
            self.state = UNTOLD  # now that no callback can tell anything else
        finally:
            self._lock.release()

    def _register_first(self) -> None:
        if _exit_has_begun:
            self.state = UNTOLD
            self._register(callback_number=0)
            return
        self._number = number = next(_numbers)
        _called_back[number] = self  # beforehand, since the first callback may come inside the call
        try:
            self._register(number)
        except BaseException:
            self._forget_callback()
            self.state = IDLE
            raise

    def _register(self, callback_number: int) -> None:
        provider_id, traits = self.key
        functions = self.functions
        callback = _callback if callback_number else _no_callback
        handle = ctypes.c_uint64()
        try:
            status = functions.event_register(
                provider_id.bytes_le, callback, callback_number, ctypes.byref(handle)
            )
            if status != 0:
                raise WindowsCallError(f"registering provider {{{provider_id}}} with ETW", status)
            if functions.event_set_information is not None:
                # If this fails events are written and described all the same: each has the traits.
                functions.event_set_information(handle.value, SET_TRAITS, traits, len(traits))
            self._set_handle(handle.value)
        except BaseException:
            if handle.value and handle.value != self._handle:  # Ctrl-C, when it was done
                functions.event_unregister(handle.value)
            raise

    def _set_handle(self, value: int) -> None:
        self._handle = value
        for handle in self._handles:
            handle.value = value

    def _forget_callback(self) -> None:
        _called_back.pop(self._number, None)
        self._number = 0


def _nothing(*arguments: object) -> int:
    return 0


NOT_REGISTERED = Registration(ProviderFunctions(*(_nothing,) * 5), UUID(int=0), b"")
"""What a closed provider has: it wants nothing, and is not idle, so that losses are counted."""
NOT_REGISTERED.state = UNTOLD

_table_lock = RLock()
_table: dict[tuple[UUID, bytes], Registration] = {}

_numbers = count(1)
_called_back: dict[int, Registration] = {}
"""All that may have a callback, those that are just being registered or unregistered among them."""

_exit_has_begun = False


def acquire(provider_id: UUID, traits: bytes) -> tuple[Registration, ctypes.c_uint64]:
    """The registration of this id and traits, shared, and a handle of the caller's own.

    Raises :class:`.WindowsCallError` where ETW refuses it.
    """
    key = provider_id, traits
    functions = provider_functions()
    with _table_lock:
        registration = _table.get(key)
        if registration is None:
            registration = _table[key] = Registration(functions, provider_id, traits)
        registration.users += 1
    try:
        return registration, registration.open_handle()
    except BaseException:
        release(registration, None)
        raise


def release(registration: Registration, handle: ctypes.c_uint64 | None) -> None:
    """Give back what :func:`acquire` gave; the last one unregisters."""
    with _table_lock:
        registration.users -= 1
        is_last = registration.users == 0
        if is_last and _table.get(registration.key) is registration:
            del _table[registration.key]
    registration.close_handle(handle, is_last=is_last)


def _on_enable(
    source_id: int | None,
    code: int,
    level: int,
    any_mask: int,
    all_mask: int,
    filters: int | None,
    number: int | None,
) -> None:
    registration = _called_back.get(number or 0)
    if registration is None:
        return
    if code == ENABLE:
        registration.state = Enablement(
            False, level or _ALL_LEVELS, any_mask or _ALL_KEYWORDS, all_mask, set()
        )
    elif code == DISABLE:
        registration.state = IDLE


# Nobody may free it while ETW has its address.
_callback = enable_callback_type()(_on_enable)
_no_callback = enable_callback_type()()


def _drop_callbacks() -> None:
    global _exit_has_begun
    _exit_has_begun = True
    end = time.monotonic() + _LONGEST_EXIT_S
    for registration in list(_called_back.values()):
        registration.drop_callback(end - time.monotonic())


atexit.register(_drop_callbacks)
