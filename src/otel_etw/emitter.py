"""What every exporter shares: a provider, a hold on its session, and an account of what became of each item.

An emitter is a guest in somebody's process.  It raises nothing, takes no lock that another thread could make
it wait for, and counts what it loses.  Its own log lines (logger ``otel_etw``) come once per kind of trouble.
An event that a session refuses is never offered again: other sessions may have taken it.

*Re-entrancy.*  Our own log line, an attribute's ``__str__`` or a signal handler may log while an item is
being handled on the same thread, and that record may come straight back here.  An item that arrives while
our own line is being logged is dropped and counted, and so is one nested deeper than a few levels.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass, field
from enum import Enum
from itertools import count
from threading import get_ident
from typing import Protocol
from uuid import UUID

from otel_etw import environment
from otel_etw.layouts.encoded import NOT_WANTED, EncodedEvent
from otel_etw.layouts.plain_text import text_of
from otel_etw.providers.base import PreparedWrite, Provider, WriteStatus
from otel_etw.sessions.default import default_session
from otel_etw.tracelogging.types import EventDescriptor

_logger = logging.getLogger("otel_etw")

_MAX_NESTING = 3

_SUCCESS = int(WriteStatus.SUCCESS)

reporting_threads: set[int] = set()
"""Threads that are logging one of our own lines; what comes back to an emitter from that is dropped."""


class Session(Protocol):
    """What an emitter needs of a session."""

    @property
    def closed(self) -> bool:
        """Whether the session takes no more events, for good."""

    def hold(self) -> None:
        """Note one more user of the session."""

    def release(self) -> None:
        """Give a hold back; the shared session closes with its last one."""

    def register(self, name: str, provider_id: UUID, *, group: UUID | None = None) -> Provider:
        """A provider whose events go to this session; ``group`` goes into its traits."""


class Outcome(Enum):
    """What became of one item."""

    WRITTEN = "written"
    SKIPPED = "skipped"
    DROPPED = "dropped"


@dataclass(frozen=True)
class Stats:
    """What an exporter has done so far, in items (log records, spans, data points); a snapshot.

    ``written`` reached a session, of which ``truncated`` had to be cut to fit one event; ``skipped`` were
    wanted by no session; ``dropped`` were lost, by reason (``"status 8"`` is Windows' status code of a write,
    see :class:`otel_etw.providers.base.WriteStatus`).
    """

    written: int = 0
    skipped: int = 0
    truncated: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)

    @property
    def lost(self) -> int:
        """All that were dropped."""
        return sum(self.dropped.values())


class _Tally:
    """Counts that any thread, signal handler or forked child may add to: none lost, nobody waiting, no lock.

    A step of ``itertools.count`` is atomic, and its ``repr`` tells how many steps it has taken.
    """

    __slots__ = ("dropped", "overflowed", "skipped", "truncated", "written")

    def __init__(self) -> None:
        self.written = count()
        self.skipped = count()
        self.truncated = count()
        self.overflowed = count()
        self.dropped: dict[str, count[int]] = {}

    def add_dropped(self, reason: str) -> None:
        steps = self.dropped.get(reason)
        if steps is None:
            steps = self.dropped.setdefault(reason, count())
        next(steps)

    def stats(self) -> Stats:
        overflowed = _steps(self.overflowed)
        return Stats(
            written=_steps(self.written),
            skipped=_steps(self.skipped),
            truncated=_steps(self.truncated),
            dropped={
                **{reason: _steps(steps) for reason, steps in self.dropped.copy().items()},
                **({"stack overflow": overflowed} if overflowed else {}),
            },
        )


def _steps(steps: count[int]) -> int:
    return int(repr(steps)[len("count(") : -1])


class _NoProvider:
    """Stands where there is no provider: never idle, so that what is lost is counted."""

    idle = False


NO_PROVIDER = _NoProvider()


class _ThreadState(threading.local):
    depth = 0


_thread = _ThreadState()


class Emitter:
    """One exporter's way to ETW.

    Holds the given session, or the one shared by the process, until :meth:`shutdown`.  If no session can be
    had (the file cannot be created), every item is counted as dropped.  TypeError for what is no session.
    """

    def __init__(
        self,
        provider_name: str,
        provider_id: UUID,
        session: Session | None,
        *,
        group: UUID | None = None,
        drop_oversize: bool = False,
    ) -> None:
        """``drop_oversize`` drops the items that encoders had to cut, which are written otherwise."""
        self._tally = _Tally()
        self.written = self._tally.written
        self.skipped = self._tally.skipped
        # A step of it needs no stack, where not even drop() has any left.
        self.overflowed = self._tally.overflowed
        self._reported: set[str] = set()
        self._session: Session | None = None
        self._provider: Provider | None = None
        self._shut_down = False
        self._drop_oversize = drop_oversize
        if session is not None and (isinstance(session, type) or not hasattr(session, "register")):
            raise TypeError(f"session must be a session such as EtlSession(path), not {session!r}")
        try:
            self._open(provider_name, provider_id, session, group)
        except Exception as error:  # noqa: BLE001 - an application must start without its tracing too
            self.report_once(
                "session", f"nothing can be written to provider {provider_name!r}: {text_of(error)}"
            )

    def _open(
        self, provider_name: str, provider_id: UUID, session: Session | None, group: UUID | None
    ) -> None:
        if session is None:
            session = default_session(environment.session_settings())
        else:
            session.hold()
        self._session = session
        self._provider = session.register(provider_name, provider_id, group=group)

    @property
    def stats(self) -> Stats:
        """A snapshot of the counts."""
        return self._tally.stats()

    @property
    def provider(self) -> Provider | None:
        """Where events go; ``None`` without a session and after :meth:`shutdown`."""
        return None if self._shut_down else self._provider

    @property
    def is_shut_down(self) -> bool:
        """Whether :meth:`shutdown` was called."""
        return self._shut_down

    @property
    def max_event_bytes(self) -> int:
        """Most bytes of metadata and payload together that the provider takes."""
        return 0 if self._provider is None else self._provider.max_event_bytes

    def sibling(self) -> Emitter:
        """The same way to ETW with an account of its own; the hold on the session stays with this one."""
        other = copy(self)
        other._tally = _Tally()
        other.written, other.skipped = other._tally.written, other._tally.skipped
        other.overflowed = other._tally.overflowed
        other._session = None
        return other

    def is_enabled(self, level: int, keyword: int) -> bool:
        """Whether a session wants such an event now. Counts nothing."""
        provider = self._provider
        return provider is not None and not self._shut_down and provider.is_enabled(level, keyword)

    def is_enabled_any(self) -> bool:
        """Whether a session wants events of any level now. Counts nothing."""
        provider = self._provider
        return provider is not None and not self._shut_down and provider.is_enabled_any()

    def emit(
        self, level: int, keyword: int, encode: Callable[..., EncodedEvent], *arguments: object
    ) -> Outcome:
        """Write the event ``encode(*arguments)`` if a session wants one of this level and keyword.

        ``encode`` is not called otherwise.  Whatever it raises costs this item only.
        """
        refusal = self.refusal(level, keyword)
        if refusal is not None:
            return refusal
        _thread.depth += 1
        try:
            return self.write(encode(*arguments))
        except Exception as error:  # noqa: BLE001 - whatever the application's own objects raise
            return self.drop(
                "not encodable", f"an item could not be encoded and was dropped: {text_of(error)}"
            )
        finally:
            _thread.depth -= 1

    def refusal(self, level: int, keyword: int, items: int = 1) -> Outcome | None:
        """What becomes of ``items`` items that cannot be written now, counted; ``None`` if they can."""
        if self.is_enabled(level, keyword):
            if _thread.depth >= _MAX_NESTING or (reporting_threads and get_ident() in reporting_threads):
                return self.drop("re-entrant", items=items)
            return None
        return self._refuse(items)

    def write(self, event: EncodedEvent) -> Outcome:
        """Write one event and count what became of it."""
        provider = self._provider
        if provider is None:
            return self.drop("no session")
        if event.truncated and self._drop_oversize:
            return self._drop_too_large()
        try:
            status = provider.write(event.descriptor, event.metadata, event.payload, event.activity_id)
        except Exception as error:  # noqa: BLE001 - a provider that breaks its promise breaks only itself
            return self.drop("write failed", f"a write failed, the item was dropped: {text_of(error)}")
        if event.truncated and status == _SUCCESS:
            next(self._tally.truncated)
        return self.account(status)

    def prepared(self, descriptor: EventDescriptor, metadata: bytes) -> Callable[..., Outcome]:
        """``write(payload, activity_id=None, truncated=False) -> Outcome`` for many events of one shape."""
        provider = self._provider
        prepared: PreparedWrite | None = None if provider is None else provider.prepare(descriptor, metadata)
        written = self.written

        def write(payload: bytes, activity_id: bytes | None = None, truncated: bool = False) -> Outcome:
            if prepared is None:
                return self.drop("no session")
            if truncated and self._drop_oversize:
                return self._drop_too_large()
            status = prepared(payload, activity_id)
            if truncated and status == _SUCCESS:
                next(self._tally.truncated)
            if status == _SUCCESS:
                next(written)
                return Outcome.WRITTEN
            return self.account(status)

        return write

    def account(self, status: int) -> Outcome:
        """Count one item by what a provider answered (or :data:`NOT_WANTED`)."""
        if status == _SUCCESS:
            next(self.written)
            return Outcome.WRITTEN
        if status == NOT_WANTED or self._shut_down:
            return self._refuse(1)
        provider = self._provider
        # The session has said already what is wrong with itself.
        said = (
            None if provider is None or provider.problem else f"an item was dropped: {_status_text(status)}"
        )
        return self.drop(f"status {int(status)}", said)

    def _refuse(self, items: int) -> Outcome:
        """Count items that were not even offered to the provider."""
        if self._shut_down:
            return self.drop("shut down", "exporting after shutdown; items are dropped", items)
        if self._provider is None or self._provider.problem is not None:
            closed = self._session is not None and self._session.closed
            return self.drop(
                "no session", "the session is closed; items are dropped" if closed else None, items
            )
        for _ in range(items):
            next(self.skipped)
        return Outcome.SKIPPED

    def _drop_too_large(self) -> Outcome:
        return self.drop("too large", "an item that is too large for one event was dropped")

    def drop(self, reason: str, message: str | None = None, items: int = 1) -> Outcome:
        """Count ``items`` lost for ``reason``; ``message``, if any, is logged the first time."""
        for _ in range(items):
            self._tally.add_dropped(reason)
        if message is not None:
            self.report_once(reason, message)
        return Outcome.DROPPED

    def shutdown(self) -> None:
        """Give up the provider and the hold on the session. Idempotent."""
        if self._shut_down:
            return
        self._shut_down = True
        provider, session = self._provider, self._session
        try:
            if provider is not None:
                provider.close()
            if session is not None:
                session.release()
        except Exception as error:  # noqa: BLE001 - nothing of this may reach the application
            self.report_once("shutdown", f"closing failed: {text_of(error)}")

    def report_once(self, kind: str, message: str) -> None:
        """Log a warning, the first of its kind; what comes back from that on this thread is dropped."""
        thread = get_ident()
        if kind in self._reported or thread in reporting_threads:
            return
        self._reported.add(kind)
        try:
            reporting_threads.add(thread)  # in here: an interrupt right after it must not leave it behind
            _logger.warning("%s", message)
        except Exception:  # noqa: BLE001, S110 - a broken log handler is not ours to mend, nor to fall over
            pass
        finally:
            reporting_threads.discard(thread)


def _status_text(status: int) -> str:
    try:
        return f"{WriteStatus(status).name}, Windows status {int(status)}"
    except ValueError:
        return f"Windows status {status}"


def _after_fork_in_child() -> None:
    # The other threads are gone, and what they were doing with them.
    reporting_threads.intersection_update({get_ident()})


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
