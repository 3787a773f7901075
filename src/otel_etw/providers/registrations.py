"""Registrations with ETW: one for all providers of the process that have the same id and traits.

*What is wanted* is known in part only.  With several sessions the callback tells the highest level and the
union of their keywords, in which a session that takes everything (level 0, or a mask of 0) disappears beside
another one.  So what was told suffices for a yes; a no is the kernel's own (``EventProviderEnabled``), except
where nobody listens at all.  It is kept until ETW tells something else, as it does of every change.  The
kernel filters for each session, so a yes too many costs only time.

*Locks.*  ``EventRegister`` waits for callbacks, and ``EventUnregister`` for those that run: neither is called
with a lock that a callback or a write takes, and none of these take any.  The table's lock is never held
during a call; that of a registration makes two threads wait for one registration of theirs.

*Exit.*  A callback must not come into an interpreter that has ended, but what is flushed late has to reach
ETW.  So at the exit each registration is replaced by one without callback, which asks the kernel each time;
those that come later have none from the start.
"""

from __future__ import annotations

import ctypes
from contextlib import suppress
from threading import RLock, Thread
from uuid import UUID

from otel_etw.providers.enabling import IDLE, UNTOLD, EnableCallback
from otel_etw.windows.error_codes import WindowsCallError
from otel_etw.windows.provider_functions import (
    SET_TRAITS,
    ProviderFunctions,
    enable_callback_type,
    provider_functions,
)

_MOST_REFUSED = 256
"""A program has few pairs of level and keyword; a generator of ever new ones must not fill memory."""

_callback = EnableCallback()
_no_callback = enable_callback_type()()


class Registration:
    """One ``EventRegister`` and what ETW tells it; :func:`acquire` makes it, :func:`release` ends it."""

    def __init__(self, functions: ProviderFunctions, provider_id: UUID, traits: bytes) -> None:
        self.functions = functions
        self.key = provider_id, traits
        self.state = IDLE
        self.handles: list[ctypes.c_uint64] = []
        """Of its users, which follow if it changes; the table's lock guards who they are."""
        self._lock = RLock()
        self._handle = 0
        self._is_registering = False
        self._callback = _callback
        self._number = 0
        """By which the callback finds it; 0 without callback."""

    def wants(self, level: int, keyword: int) -> bool:
        """Whether any session takes such an event, by what the kernel says now."""
        refused = self.state.refused  # looked up first: a change during the question makes another one
        if self.functions.event_provider_enabled(self._handle, level, keyword):
            return True
        if isinstance(refused, set) and len(refused) < _MOST_REFUSED:
            refused.add((level, keyword))
        return False

    def open_handle(self, handle: ctypes.c_uint64) -> None:
        """Set a user's handle; registers where that has not been done. Raises :class:`.WindowsCallError`."""
        with self._lock:
            # A signal handler that comes here while its thread registers gets the handle when that is done.
            if not self._handle and not self._is_registering:
                self._register_first()
            handle.value = self._handle

    def close_handle(self, handle: ctypes.c_uint64, is_last: bool) -> None:
        """Make a user's handle 0; with the last one the registration ends, and callbacks have ended then."""
        with self._lock:
            handle.value = 0
            if is_last:
                self._unregister()

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
            except WindowsCallError:
                pass
            finally:
                if self._handle == old:  # better refused, and counted, than a call into nothing
                    self._set_handle(0)
                self.functions.event_unregister(old)
                self._forget_callback()
                self.state = UNTOLD  # now that no callback can tell anything else
        finally:
            self._lock.release()

    def _register_first(self) -> None:
        self._is_registering = True
        try:
            # Beforehand, since the first callback may come inside the call.
            self._number = number = self._callback.number_for(self)
            self.state = IDLE if number else UNTOLD
            self._register(number)
            if self.state is IDLE and self.functions.event_provider_enabled(self._handle, 0, 0):
                self.state = UNTOLD  # there was something to tell, but an interrupt came first
        except BaseException:
            self._unregister()
            raise
        finally:
            self._is_registering = False

    def _register(self, callback_number: int) -> None:
        provider_id, traits = self.key
        functions = self.functions
        callback = self._callback.function if callback_number else _no_callback
        before, handle = self._handle, ctypes.c_uint64()
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
            self._set_handle(before)
            if handle.value:  # Ctrl-C, when it was done
                functions.event_unregister(handle.value)
            raise

    def _unregister(self) -> None:
        old = self._handle
        try:
            self._set_handle(0)
        finally:
            if old:
                self.functions.event_unregister(old)
            self._forget_callback()

    def _set_handle(self, value: int) -> None:
        self._handle = value
        for handle in self.handles:
            handle.value = value

    def _forget_callback(self) -> None:
        self._callback.forget(self._number)
        self._number = 0


def _nothing(*arguments: object) -> int:
    return 0


NOT_REGISTERED = Registration(ProviderFunctions(*(_nothing,) * 5), UUID(int=0), b"")
"""What a closed provider has: it wants nothing, and is not idle, so that losses are counted."""
NOT_REGISTERED.state = UNTOLD

_table_lock = RLock()
_table: dict[tuple[UUID, bytes], Registration] = {}


def acquire(provider_id: UUID, traits: bytes) -> tuple[Registration, ctypes.c_uint64]:
    """The registration of this id and traits, shared, and a handle of the caller's own.

    Raises :class:`.WindowsCallError` where ETW refuses it.
    """
    key = provider_id, traits
    functions = provider_functions()
    handle = ctypes.c_uint64()
    registration = None
    try:
        with _table_lock:
            registration = _table.get(key)
            if registration is None:
                registration = _table[key] = Registration(functions, provider_id, traits)
            registration.handles = [*registration.handles, handle]
        registration.open_handle(handle)
        return registration, handle
    except BaseException:
        if registration is not None:
            release(registration, handle)
        raise


def release(registration: Registration, handle: ctypes.c_uint64) -> None:
    """Give back what :func:`acquire` gave; the last one unregisters."""
    with _table_lock:
        registration.handles = [other for other in registration.handles if other is not handle]
        is_last = not registration.handles
        if is_last and _table.get(registration.key) is registration:
            del _table[registration.key]
    if _callback.runs_here():
        # A finalizer, for which there was an occasion. ETW would wait for the end of the callback, in here.
        handle.value = 0
        close = Thread(target=registration.close_handle, args=(handle, is_last), daemon=True)
        with suppress(RuntimeError):  # at the interpreter's end there are no threads, nor callbacks
            close.start()
    else:
        registration.close_handle(handle, is_last)
