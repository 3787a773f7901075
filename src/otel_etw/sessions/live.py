"""``LiveSession``: the events of a real-time session of ETW, as they come.

A session of our own is started for the providers that are asked for and stopped at the end; one that somebody
else has started is listened to until it ends, and again when it is back.  ETW hands over a buffer when it is
full or after a second, so events are up to a second late.
"""

from __future__ import annotations

import logging
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from types import TracebackType
from typing import final
from uuid import UUID

from otel_etw.errors import SessionError
from otel_etw.etl.event import Event
from otel_etw.etl.live_records import is_manifest_piece, live_context, live_event, lost_notice
from otel_etw.etl.manifest_events import gather_manifests
from otel_etw.sessions import control
from otel_etw.sessions.consumer import DEFAULT_QUEUE_BYTES, Consumer
from otel_etw.sessions.leftovers import own_name, stop_leftovers
from otel_etw.sessions.losses import Losses
from otel_etw.sessions.requests import ALL_KEYWORDS, ProviderRequest, parse_request
from otel_etw.tracelogging.types import Level
from otel_etw.windows.error_codes import ErrorCode, meaning
from otel_etw.windows.event_records import CopiedEvent
from otel_etw.windows.provider_list import RegisteredProviders
from otel_etw.windows.session_functions import wide

_logger = logging.getLogger(__name__)

_SLICE_S = 0.1
"""How long a signal handler waits at most on systems whose waits it cannot interrupt."""
_ASK_EVERY_S = 1.0
_LOOK_AGAIN_S = 0.5
_FLUSH_S = 1.0
_FINISH_S = 10.0
"""How long is waited for what was collected: by another's session, and by ours when it has been stopped."""
_MAX_NAME_UNITS = 1024  # with the NUL
_ENDS = frozenset({ErrorCode.SUCCESS, ErrorCode.CANCELLED, ErrorCode.WMI_INSTANCE_NOT_FOUND})
"""What ``ProcessTrace`` answers when there is nothing more, for whatever reason."""

ProviderLike = str | UUID | ProviderRequest
"""``NAME_OR_GUID[:LEVEL[:KEYWORDS]]``, a GUID, or a finished request."""


@final
class LiveSession:
    """The events of ``providers``, or of the running session ``session``, as an iterator of :class:`.Event`.

    ``providers`` are looked up among those registered on this machine, then hashed (``*Name`` always is;
    ``metrics`` is OpenTelemetry's own); ``level`` and ``any_keyword`` are for those that say none. ``stacks``
    has call stacks attached. ``name`` is that of the session to start, ``otel-etw-live-<process id>`` if none
    is given; ETW keeps up to ``max_buffers`` buffers of ``buffer_size_kb`` KiB for it (0: as Windows sees
    fit). Of events that were received but not read yet up to ``queue_bytes`` are kept. ``say`` is told in
    words when the session ends, or is there again; a logger is, if it is ``None``.

    One thread reads at a time; :meth:`close` and the numbers are for any. Raises :class:`.SessionError` where
    Windows refuses, or there is no Windows; ``ValueError`` or ``TypeError`` for arguments that make no sense.
    """

    def __init__(
        self,
        providers: Iterable[ProviderLike] = (),
        *,
        session: str | None = None,
        name: str | None = None,
        level: int = Level.VERBOSE,
        any_keyword: int = ALL_KEYWORDS,
        stacks: bool = False,
        buffer_size_kb: int = 256,
        max_buffers: int = 128,
        queue_bytes: int = DEFAULT_QUEUE_BYTES,
        say: Callable[[str], None] | None = None,
    ) -> None:
        if isinstance(providers, (str, UUID, ProviderRequest)):
            raise TypeError("expected a list of providers, found a single one")
        registered = RegisteredProviders()
        self.requests = tuple(_request(one, registered, level, any_keyword) for one in providers)
        """What the session was asked for; empty if it is not ours."""
        if bool(self.requests) == (session is not None):
            raise ValueError("expected either providers to listen to or the name of a session that runs")
        self._say = say or _logger.warning
        chosen = name if session is None else session
        self.name = own_name() if chosen is None else _checked_name(chosen)
        self._queue_bytes = queue_bytes
        self._losses = Losses()
        self._dropped_before = self._received_before = self._given_out = 0
        self._context = live_context()
        self._number = 0
        self._next_question_s = self._next_look_s = 0.0
        self._finish_at_s: float | None = None
        self._reading = threading.Lock()
        self._has_ended = False
        self._identity: tuple[int, int] | None = None
        self._running = _Running()
        self._finalizer = weakref.finalize(self, self._running.end)
        self.ended_because: str | None = None
        """Why no more events come though nobody asked for that."""
        if session is not None:
            self._attach(control.query(session))
        else:
            settings = control.SessionSettings(buffer_size_kb=buffer_size_kb, max_buffers=max_buffers)
            try:
                self._listen(self._started(settings, is_unique=name is None), stacks)
            except BaseException:
                self._running.end()
                raise

    @property
    def is_own(self) -> bool:
        """Whether the session is ours, and stopped at the end."""
        return bool(self.requests)

    @property
    def has_ended(self) -> bool:
        """Whether no further event will be given out."""
        return self._has_ended

    @property
    def received(self) -> int:
        """Events that have come, notices of losses among them, whether they were read or not."""
        consumer = self._running.consumer
        return self._received_before + (consumer.received if consumer else 0)

    @property
    def dropped(self) -> int:
        """Events that came while so many waited to be read that there was no room for more."""
        consumer = self._running.consumer
        return self._dropped_before + (consumer.dropped if consumer else 0)

    @property
    def unread(self) -> int:
        """Events that have come and were neither read nor dropped, notices of losses among them."""
        return self.received - self._given_out

    @property
    def events_lost(self) -> int:
        """Events that ETW could not keep or deliver since listening began; known a second late at most."""
        self._take_told_losses()
        return self._losses.events

    @property
    def buffers_lost(self) -> int:
        """Whole buffers of events that ETW could not deliver."""
        return self._losses.buffers

    @property
    def file_buffers_lost(self) -> int:
        """Buffers that did not get into the file that the session writes besides."""
        return self._losses.file_buffers

    def __enter__(self) -> LiveSession:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[Event]:
        while not self._has_ended:
            for event in self.poll(_LOOK_AGAIN_S):
                if self.has_ended:  # closed by whoever got the one before
                    return
                yield event

    def poll(self, timeout_s: float = 0.0) -> list[Event]:
        """The next events, up to some hundred, waiting for the first one; none in time, or at the end.

        Raises :class:`.SessionError` if Windows ends it for another reason than the session's end.
        """
        deadline = time.monotonic() + timeout_s
        with self._reading:
            while True:
                now = time.monotonic()
                consumer = self._running.consumer
                rest_s = max(0.0, min(deadline - now, _SLICE_S))
                if consumer is None:
                    copied = []
                    if not self._running.is_closed:
                        time.sleep(rest_s)
                else:
                    if self._finish_at_s is not None and now >= self._finish_at_s:
                        consumer.close()
                    copied = consumer.take(rest_s)
                self._given_out += len(copied)
                events = self._decoded(copied)
                if not copied:
                    self._look_after(consumer, now)
                elif now >= self._next_question_s:
                    self._ask_for_losses(now)
                if events or self._has_ended or now >= deadline:
                    return events

    def finish(self) -> None:
        """Have no further events collected: those collected by now are still to be read, then it ends."""
        if self._finish_at_s is not None or self._running.is_closed:
            return
        self._finish_at_s = time.monotonic() + (_FINISH_S if self.is_own else _FLUSH_S)
        if self.is_own:
            self._take_losses(self._running.stop())
            return
        with suppress(SessionError):  # it has ended already
            control.flush(self.name)

    def close(self) -> None:
        """End it, and stop a session of our own; what was not read is gone. From any thread, idempotent."""
        consumer = self._running.consumer
        self._take_losses(self._running.end())
        if consumer is not None and not self.is_own:
            self._ask_for_losses(time.monotonic())
        self._has_ended = True

    # --- starting -------------------------------------------------------------------------------

    def _started(self, settings: control.SessionSettings, *, is_unique: bool) -> int:
        """The handle. Where Ctrl-C comes before there is one, a session with a name of ours is stopped."""
        if is_unique:
            stop_leftovers(self._say)
            self._running.session = self.name
        try:
            handle = control.start(self.name, settings)
        except SessionError as error:
            if not is_unique or error.code != ErrorCode.ALREADY_EXISTS:
                raise
            # Left behind by a process that had our number.
            control.stop(self.name)
            handle = control.start(self.name, settings)
        self._running.session = self.name
        return handle

    def _listen(self, handle: int, stacks: bool) -> None:
        """First an open ear, then enabled providers, so that the first thing they say is heard."""
        self._running.take_over(Consumer(self.name, queue_bytes=self._queue_bytes))
        for request in self.requests:
            control.enable(handle, request, stacks=stacks)

    def _attach(self, facts: control.SessionFacts) -> None:
        self._next_look_s = time.monotonic() + _LOOK_AGAIN_S
        if not facts.mode & control.MODE_REAL_TIME:
            raise SessionError(
                f"session {facts.name!r} does not deliver events while it runs ({facts.mode_text}); what it "
                f"writes can be read from its file: otel-etw view --follow {facts.file or 'FILE'}"
            )
        if self._identity is None:
            self._losses.begin(facts.events_lost, facts.realtime_buffers_lost, facts.log_buffers_lost)
        elif self._identity != _identity_of(facts):
            self._losses.begin()
        self._identity = _identity_of(facts)
        self._running.take_over(Consumer(self.name, queue_bytes=self._queue_bytes))

    # --- while it runs --------------------------------------------------------------------------

    def _decoded(self, copied: list[CopiedEvent]) -> list[Event]:
        events = []
        context = self._context
        for header, processor, items, user_data, _ in copied:
            notice = lost_notice(header)
            if notice is not None:
                self._losses.notice(notice)
                continue
            self._number += 1
            event = live_event(header, items, user_data, processor, self._number, context)
            if is_manifest_piece(header):
                gather_manifests(event.record, context)
            events.append(event)
        return events

    def _look_after(self, consumer: Consumer | None, now_s: float) -> None:
        """Nothing has come: is it still there?"""
        if self._running.is_closed:
            self._has_ended = True
        elif consumer is None:
            if now_s >= self._next_look_s:
                self._reconnect()
        elif consumer.has_ended and not consumer.is_waiting_to_be_read:
            self._session_ended(consumer)
        elif self._finish_at_s is not None and now_s >= self._finish_at_s:
            self.close()
        elif now_s >= self._next_question_s:
            self._ask_for_losses(now_s)

    def _session_ended(self, consumer: Consumer) -> None:
        status = consumer.status or 0
        self._take_told_losses()
        if status not in _ENDS:
            self.close()
            raise SessionError(f"receiving events of session {self.name!r}: {meaning(status)}", status)
        if self._finish_at_s is not None:
            self.close()
        elif self.is_own:
            self.ended_because = f"session {self.name!r} was stopped by somebody else"
            self._say(self.ended_because)
            self.close()
        else:
            self._received_before += consumer.received
            self._dropped_before += consumer.dropped
            self._running.let_go(consumer)
            self._say(f"session {self.name!r} has ended; waiting for it to be started again")

    def _reconnect(self) -> None:
        if self._finish_at_s is not None:
            self.close()
            return
        self._next_look_s = time.monotonic() + _LOOK_AGAIN_S
        try:
            self._attach(control.query(self.name))
        except SessionError as error:
            if error.code != ErrorCode.WMI_INSTANCE_NOT_FOUND:
                self.close()
                raise
        else:
            self._say(f"session {self.name!r} runs again")

    def _ask_for_losses(self, now_s: float) -> None:
        self._next_question_s = now_s + _ASK_EVERY_S
        self._take_told_losses()
        with suppress(SessionError):  # that it has ended is noticed where events are received
            facts = control.query(self.name)
            if self._identity is None:
                self._identity = _identity_of(facts)
            if self._identity == _identity_of(facts):  # else another one has its name by now
                self._take_losses(facts)

    def _take_losses(self, facts: control.SessionFacts | None) -> None:
        if facts is not None:
            self._losses.asked(facts.events_lost, facts.realtime_buffers_lost, facts.log_buffers_lost)

    def _take_told_losses(self) -> None:
        consumer = self._running.consumer
        if consumer is not None:
            self._losses.told(consumer.events_lost)


@final
class _Running:
    """What has to be ended, whether or not anybody still has the :class:`LiveSession`.

    Ended by its name, as Windows gives the handle of a session that somebody else has stopped to the next
    one. No locks but one that a thread may take twice: a finalizer or a signal handler runs at any point of
    any thread.
    """

    def __init__(self) -> None:
        self.session: str | None = None
        """The name of a session of our own."""
        self.consumer: Consumer | None = None
        self.is_closed = False
        self._ending = threading.RLock()

    def take_over(self, consumer: Consumer) -> None:
        """End ``consumer``, too, when the time comes, which may be over."""
        self.consumer = consumer
        if self.is_closed:
            consumer.close()

    def let_go(self, consumer: Consumer) -> None:
        """``consumer`` has nothing more."""
        consumer.close()
        self.consumer = None

    def end(self) -> control.SessionFacts | None:
        """End all of it, or wait for another thread that is doing so; as :meth:`stop`."""
        self.is_closed = True
        with self._ending:
            consumer = self.consumer
            if consumer is not None:
                consumer.end()
            facts = self.stop()
            if consumer is not None:
                consumer.close()
            return facts

    def stop(self) -> control.SessionFacts | None:
        """Stop our own session; how it was doing, if this is what has stopped it."""
        with self._ending:
            name, self.session = self.session, None
            if name is None:
                return None
            try:
                return control.stop(name)
            except SessionError:
                return None  # somebody else has stopped it


def _identity_of(facts: control.SessionFacts) -> tuple[int, int]:
    """What differs from a later session of that name; each of the two may be used again."""
    return facts.handle, facts.logger_thread_id


def _checked_name(name: str) -> str:
    if not 1 < len(wide(name)) // 2 <= _MAX_NAME_UNITS:
        raise ValueError(f"a session's name has 1 to {_MAX_NAME_UNITS - 1} characters, not {len(name)}")
    return name


def _request(
    given: ProviderLike, registered: RegisteredProviders, level: int, any_keyword: int
) -> ProviderRequest:
    if isinstance(given, ProviderRequest):
        return given
    return parse_request(str(given), registered, level=level, any_keyword=any_keyword)
