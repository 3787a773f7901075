"""A provider whose events go to the kernel of Windows, for whatever sessions listen on the machine."""

from __future__ import annotations

from operator import attrgetter
from typing import Any, final
from uuid import UUID

from otel_etw.etl import records
from otel_etw.etl.layout import MAX_BUFFER_BYTES
from otel_etw.providers.base import PreparedWrite, WriteStatus
from otel_etw.providers.registrations import NOT_REGISTERED, acquire, release
from otel_etw.providers.transfer import prepare_transfer, transfer
from otel_etw.tracelogging.types import EventDescriptor


@final
class KernelProvider:
    """A :class:`~otel_etw.providers.base.Provider`, made by :meth:`.KernelSession.register`.

    Raises :class:`~otel_etw.windows.error_codes.WindowsCallError` where ETW does not register it.
    """

    def __init__(self, name: str, provider_id: UUID, traits: bytes) -> None:
        self.name = name
        """The name as given."""
        self.id = provider_id
        """The provider's GUID."""
        self.traits = traits
        """The provider traits blob that goes with every TraceLogging event."""
        self.max_event_bytes = records.largest_event(MAX_BUFFER_BYTES, traits)
        """Most bytes that metadata and payload may have together; sessions with small buffers take fewer."""
        self._registration, self._handle = acquire(provider_id, traits)
        self._write_transfer = self._registration.functions.event_write_transfer
        self._open = [self._registration]

    idle: Any = property(attrgetter("_registration.state.idle"), doc="True while no session listens.")

    @property
    def problem(self) -> str | None:
        """Why events of this provider reach no session, in words; ``None`` while it is registered."""
        return None if self._handle.value else "the provider is not registered with ETW"

    def is_enabled(self, level: int, keyword: int) -> bool:
        """Whether any session wants events of this level and keyword."""
        registration = self._registration
        idle, highest_level, any_mask, all_mask, refused = registration.state
        if level <= highest_level and (
            not keyword or (keyword & any_mask and keyword & all_mask == all_mask)
        ):
            return True
        return not idle and (level, keyword) not in refused and registration.wants(level, keyword)

    def is_enabled_any(self) -> bool:
        """Whether any session listens at any level at all."""
        return self.is_enabled(0, 0)

    def write(
        self,
        descriptor: EventDescriptor,
        metadata: bytes | None,
        payload: bytes,
        activity_id: bytes | None = None,
        related_activity_id: bytes | None = None,
    ) -> int:
        """Give the event to ETW, and answer what ETW answers."""
        if not self._handle.value:
            return WriteStatus.INVALID_HANDLE
        try:
            return transfer(
                self._write_transfer,
                self._handle,
                self.traits,
                descriptor,
                metadata,
                payload,
                activity_id,
                related_activity_id,
            )
        except Exception:  # noqa: BLE001 - a malformed call must not fail the application
            return WriteStatus.INVALID_PARAMETER

    def prepare(self, descriptor: EventDescriptor, metadata: bytes) -> PreparedWrite:
        """Like :meth:`write`, for many events of one shape."""
        try:
            return prepare_transfer(self._write_transfer, self._handle, self.traits, descriptor, metadata)
        except Exception:  # noqa: BLE001 - each write will tell
            return lambda payload, activity_id: self.write(descriptor, metadata, payload, activity_id)

    def flush(self) -> None:
        """Do nothing: an event is in the sessions' buffers when a write returns."""

    def close(self) -> None:
        """Give up the registration; later writes answer ``INVALID_HANDLE``. Idempotent."""
        try:
            registration = self._open.pop()
        except IndexError:
            return
        self._registration = NOT_REGISTERED
        release(registration, self._handle)
