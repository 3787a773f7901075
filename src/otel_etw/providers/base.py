"""What the write half knows of a provider: one small interface, and the results of a write.

Implementations: :mod:`.embedded` (a session inside this process, any system) and,
on Windows, the kernel.  Both answer with Windows' own status codes, so that
an application's statistics read the same wherever it runs.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import Protocol
from uuid import UUID

from otel_etw.tracelogging.types import EventDescriptor


class WriteStatus(IntEnum):
    """Results of a write that are worth knowing (names and numbers from ``winerror.h``).

    A provider may answer any other Windows code as a plain ``int``.
    """

    SUCCESS = 0
    """Written, or nobody listens."""
    INVALID_HANDLE = 6
    """The provider is not registered (closed, or registration failed)."""
    NOT_ENOUGH_MEMORY = 8
    """No buffer space: the disk is full or slower than the producer."""
    INVALID_PARAMETER = 87
    """The call was malformed."""
    DISK_FULL = 112
    """The session could not get space for its file."""
    MORE_DATA = 234
    """The event is larger than a session's buffer."""
    ARITHMETIC_OVERFLOW = 534
    """The event is larger than 64 KiB."""


PreparedWrite = Callable[[bytes, "bytes | None"], int]
"""Writes one event of a shape: payload, activity id (16 bytes, GUID memory order, or ``None``) -> status."""


class Provider(Protocol):
    """A registered source of events.

    Any thread may call any method at any time; none of them raises.
    """

    @property
    def name(self) -> str:
        """The name as given (its letter case is kept in the traits)."""

    @property
    def id(self) -> UUID:
        """The provider's GUID."""

    @property
    def max_event_bytes(self) -> int:
        """Most bytes that event metadata and payload may have together; larger events are refused whole."""

    @property
    def problem(self) -> str | None:
        """Why this provider can reach no session although it should, in words; ``None`` while all is well."""

    @property
    def idle(self) -> bool:
        """True while no session listens at all: an event need not even be looked at.

        A provider that has lost its session is not idle, since what it is given is lost and must be counted.
        """

    def is_enabled(self, level: int, keyword: int) -> bool:
        """Whether any session wants such an event; level 0 and keyword 0 pass every filter."""

    def is_enabled_any(self) -> bool:
        """Whether any session listens at any level at all."""

    def write(
        self,
        descriptor: EventDescriptor,
        metadata: bytes | None,
        payload: bytes,
        activity_id: bytes | None = None,
        related_activity_id: bytes | None = None,
    ) -> int:
        """Write one event and answer a :class:`WriteStatus` (or another Windows code).

        ``metadata`` is the TraceLogging event metadata blob, ``None`` for an event
        without one; ``payload`` the field values' bytes.  Activity ids are 16 bytes in
        GUID memory order.
        """

    def prepare(self, descriptor: EventDescriptor, metadata: bytes) -> PreparedWrite:
        """What writes events of one shape, with everything that they share made beforehand.

        It answers what :meth:`write` would, for as long as the provider lives, and never raises.
        """

    def flush(self) -> None:
        """Ask that what is written reaches the disk."""

    def close(self) -> None:
        """Give up the registration; later writes answer ``INVALID_HANDLE``. Idempotent."""
