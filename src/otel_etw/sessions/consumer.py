"""Receiving the events of one real-time session: a thread of its own for Windows, a queue to whoever reads.

``ProcessTrace`` blocks and calls back for each event, in a thread that this one is.  While a callback runs no
further event is delivered and ETW's buffers fill up, so the callback copies the event, puts it into a queue
and is done; decoding is the reader's.  The queue has room for a number of bytes.  When it is full the
callback waits for a moment, then drops events, and counts them, for as long as there is no room.

*Who goes first.* Python runs one thread at a time, and between two events the callback's thread lets go: a
reader that is busy would take its place for milliseconds after each event.  So a reader who finds that
events are just coming in waits until they have come in, within bounds.  Of 100,000 events, written at once
and decoded as they came, the last had come after 0.9 s instead of 1.9 s (medians; CPython 3.11, 2 cores),
which is how much sooner ETW has its buffers back; all were decoded after 4.6 s either way.
"""

from __future__ import annotations

import ctypes
import threading
import time
from collections import deque
from contextlib import suppress
from typing import Any, final

from otel_etw.errors import SessionError
from otel_etw.windows.error_codes import ErrorCode, WindowsCallError, meaning
from otel_etw.windows.event_records import CopiedEvent, copy_event
from otel_etw.windows.libraries import last_error
from otel_etw.windows.session_functions import (
    INVALID_PROCESSTRACE_HANDLE,
    INVALID_PROCESSTRACE_HANDLE_32,
    ConsumerFunctions,
    buffer_callback_type,
    consumer_functions,
    record_callback_type,
    wide,
)
from otel_etw.windows.structures import EventTraceLogfile

DEFAULT_QUEUE_BYTES = 64 * 1024 * 1024
FULL_QUEUE_WAIT_S = 1.0
"""How long ETW is kept waiting for room in the queue, once; then events are dropped."""

_REAL_TIME = 0x00000100  # PROCESS_TRACE_MODE_REAL_TIME
_EVENT_RECORD = 0x10000000  # PROCESS_TRACE_MODE_EVENT_RECORD
_EVENT_OVERHEAD_BYTES = 600  # of the objects that hold a copied event
_MOST_TAKEN = 512
_LULL_S = 0.001
_LONGEST_LULL_S = 0.02
_JOIN_S = 10.0
"""How long is waited for ``ProcessTrace`` to return once it was asked to, however often that is asked."""


@final
class _Wakeup:
    """Wakes the one thread that waits.

    An ``Event`` has a lock that whoever sets it takes for a moment. This is set by finalizers and signal
    handlers, too, which may run inside that moment of the same thread, and would wait for ever.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def set(self) -> None:
        """Wake it, or let it not fall asleep."""
        with suppress(RuntimeError):  # it was set already
            self._lock.release()

    def clear(self) -> None:
        """Forget that it was set."""
        self._lock.acquire(blocking=False)

    def wait(self, timeout_s: float) -> None:
        """Sleep for so long, or until it is set; clears it."""
        self._lock.acquire(timeout=max(0.0, min(timeout_s, threading.TIMEOUT_MAX)))


@final
class Consumer:
    """The events of the real-time session ``session_name``, from construction to :meth:`close`.

    ``received`` counts those put into the queue, ``dropped`` those that found it full (or could not be
    copied); ``events_lost`` is what ETW says with each buffer.  ``status`` is what ``ProcessTrace`` ended
    with, ``None`` until then.

    Raises :class:`.SessionError` if Windows does not open the session.
    """

    def __init__(
        self,
        session_name: str,
        *,
        queue_bytes: int = DEFAULT_QUEUE_BYTES,
        full_queue_wait_s: float = FULL_QUEUE_WAIT_S,
    ) -> None:
        self.session_name = session_name
        self.received = self.dropped = self.events_lost = 0
        self.status: int | None = None
        self._queue: deque[CopiedEvent] = deque()
        self._queue_bytes = queue_bytes
        self._full_queue_wait_s = full_queue_wait_s
        self._bytes_in = 0  # written by the receiving thread only
        self._bytes_out = 0  # written by the reader only
        self._is_dropping = False
        self._is_awaited = False
        self._came = _Wakeup()
        self._has_room = _Wakeup()
        self._taking = threading.Lock()
        self._closing = threading.RLock()
        self._is_closing = False
        self._given_up_at_s = 0.0
        self._seen = 0
        # Called until ProcessTrace has returned; the thread that waits for that holds this object.
        self._on_event: Any = record_callback_type()(self._receive)
        self._on_buffer: Any = buffer_callback_type()(self._pass_buffer)
        self._functions = _functions()
        self._handle = self._open()
        self._thread = threading.Thread(target=self._process, name=f"etw-{session_name}", daemon=True)
        try:
            self._thread.start()
        except BaseException:
            self._functions.close_trace(self._handle)
            raise

    @property
    def has_ended(self) -> bool:
        """Whether no further event will come; some may still be in the queue."""
        return self.status is not None

    @property
    def is_waiting_to_be_read(self) -> bool:
        """Whether there is something in the queue."""
        return bool(self._queue)

    def take(self, timeout_s: float) -> list[CopiedEvent]:
        """What has come, up to some hundred events, waiting for the first; none in time, or at the end."""
        with self._taking:
            if not self._queue and not self.has_ended:
                self._wait(timeout_s)
            self._let_events_come_in()
            return self._taken()

    def end(self) -> None:
        """Have no further event put into the queue. Waits for nothing; from any thread, also in a finalizer
        or a signal handler."""
        with self._closing:
            is_first, self._is_closing = not self._is_closing, True
            self._has_room.set()
            self._came.set()
            if is_first:
                self._given_up_at_s = time.monotonic() + _JOIN_S
                # Answers CTX_CLOSE_PENDING while ProcessTrace is under way, which ends soon then.
                self._functions.close_trace(self._handle)

    def close(self) -> None:
        """End receiving. What is in the queue can still be taken. Idempotent, from any thread."""
        self.end()
        if threading.get_ident() != self._thread.ident:
            # One that does not return keeps this object, and the thunks that it calls with it.
            self._thread.join(max(0.0, self._given_up_at_s - time.monotonic()))

    def _open(self) -> int:
        logfile = EventTraceLogfile()
        name = ctypes.create_string_buffer(wide(self.session_name))
        logfile.LoggerName = ctypes.addressof(name)
        logfile.ProcessTraceMode = _REAL_TIME | _EVENT_RECORD
        logfile.EventRecordCallback = ctypes.cast(self._on_event, ctypes.c_void_p).value
        logfile.BufferCallback = ctypes.cast(self._on_buffer, ctypes.c_void_p).value
        handle: int = self._functions.open_trace(ctypes.byref(logfile))
        if handle in (INVALID_PROCESSTRACE_HANDLE, INVALID_PROCESSTRACE_HANDLE_32):
            code = last_error()
            raise SessionError(f"listening to session {self.session_name!r}: {meaning(code)}", code)
        return handle

    # --- the receiving thread -------------------------------------------------------------------

    def _process(self) -> None:
        status = int(ErrorCode.CANCELLED)
        try:
            handles = (ctypes.c_uint64 * 1)(self._handle)
            status = self._functions.process_trace(handles, 1, None, None)
        finally:
            self.status = status
            self._came.set()

    def _receive(self, address: int) -> None:
        """For each event. Whatever goes wrong costs this event only."""
        if self._is_closing:
            return
        try:
            event = copy_event(address)
            held_bytes = self._bytes_in - self._bytes_out
            if held_bytes > self._queue_bytes and not self._room_was_made():
                self.dropped += 1
                return
            if self._is_dropping and held_bytes <= self._queue_bytes // 2:
                self._is_dropping = False
            self._queue.append(event)
            self._bytes_in += event[4] + _EVENT_OVERHEAD_BYTES
            self.received += 1
            if self._is_awaited:
                self._is_awaited = False
                self._came.set()
        except Exception:  # noqa: BLE001 - it would be printed, and lost all the same
            self.dropped += 1

    def _pass_buffer(self, address: int) -> int:
        """After the events of each buffer; 0 would end it all."""
        try:
            at = address + EventTraceLogfile.EventsLost.offset
            self.events_lost = max(self.events_lost, ctypes.c_uint32.from_address(at).value)
        except Exception:  # noqa: BLE001, S110 - an exception would be an answer of 0
            pass
        return 0 if self._is_closing else 1

    def _room_was_made(self) -> bool:
        """Wait for room in the queue; whether there is some. Not again until the queue was half empty."""
        if self._is_dropping:
            return False
        deadline = time.monotonic() + self._full_queue_wait_s
        while not self._is_closing and (rest_s := deadline - time.monotonic()) > 0:
            self._has_room.clear()
            if self._held_bytes() <= self._queue_bytes:
                return True
            self._has_room.wait(rest_s)
        self._is_dropping = True
        return False

    # --- the reader -----------------------------------------------------------------------------

    def _held_bytes(self) -> int:
        return self._bytes_in - self._bytes_out

    def _wait(self, timeout_s: float) -> None:
        self._came.clear()
        self._is_awaited = True
        # What came before the line above was told nobody.
        if not self._queue and not self.has_ended and not self._is_closing:
            self._came.wait(timeout_s)
        self._is_awaited = False

    def _let_events_come_in(self) -> None:
        deadline = time.monotonic() + _LONGEST_LULL_S
        while self.received != self._seen and not self.has_ended and time.monotonic() < deadline:
            if self._held_bytes() > self._queue_bytes // 2:
                break
            self._seen = self.received
            time.sleep(_LULL_S)
        self._seen = self.received

    def _taken(self) -> list[CopiedEvent]:
        queue = self._queue
        taken: list[CopiedEvent] = []
        try:
            for _ in range(min(len(queue), _MOST_TAKEN)):
                taken.append(queue.popleft())  # noqa: PERF401 - what Ctrl-C interrupts is counted, too
        finally:
            self._bytes_out += sum(event[4] + _EVENT_OVERHEAD_BYTES for event in taken)
        if taken:
            self._has_room.set()
        return taken


def _functions() -> ConsumerFunctions:
    try:
        return consumer_functions()
    except WindowsCallError as error:
        raise SessionError(str(error), error.code) from None
