"""A provider whose events go straight to a session of this process (an ``EtlSession``)."""

from __future__ import annotations

from typing import Protocol
from uuid import UUID

from otel_etw.etl import records
from otel_etw.etl.layout import MAX_RECORD_BYTES
from otel_etw.providers.base import PreparedWrite, WriteStatus
from otel_etw.tracelogging.types import EventDescriptor

# A program has few shapes of events, and each has its metadata; a generator of ever new ones must
# not fill memory with them.
_CACHED_SHAPES = 256
_LARGEST_CACHED_METADATA_BYTES = 4096

_SUCCESS = int(WriteStatus.SUCCESS)


class Collector(Protocol):
    """What a provider needs of the session that made it."""

    @property
    def buffer_size_bytes(self) -> int:
        """Bytes of a buffer, which bound the size of an event."""

    @property
    def problem(self) -> str | None:
        """Why events reach no file, in words; ``None`` while all is well."""

    @property
    def is_collecting(self) -> bool:
        """Whether it takes events at all now."""

    def write(
        self,
        provider_id: bytes,
        descriptor: EventDescriptor,
        items: bytes,
        payload: bytes,
        activity_id: bytes | None = None,
    ) -> int:
        """Store one event whose size was checked; answers a :class:`WriteStatus`."""

    def prepare(
        self,
        source: EmbeddedProvider,
        provider_id: bytes,
        descriptor: EventDescriptor,
        items: bytes,
        write: PreparedWrite,
    ) -> PreparedWrite:
        """A faster way to do what ``write`` does, for events of one shape, which the session wants."""

    def count_lost(self) -> None:
        """Count an event that no file can hold."""

    def flush(self) -> None:
        """Make what was written survive a power cut."""


class EmbeddedProvider:
    """A :class:`~otel_etw.providers.base.Provider`, made by :meth:`EtlSession.register`."""

    def __init__(
        self,
        session: Collector,
        name: str,
        provider_id: UUID,
        traits: bytes,
        highest_level: int,
        keyword_mask: int,
    ) -> None:
        """``highest_level`` and ``keyword_mask`` say which events the session wants of this provider."""
        self._session = session
        self._name = name
        self._id = provider_id
        self._id_bytes = provider_id.bytes_le
        self._traits = traits
        self._highest_level = highest_level
        self._keyword_mask = keyword_mask
        self._largest_record = records.largest_record(session.buffer_size_bytes)
        self._items: dict[bytes, bytes] = {}
        self.closed = False
        """Whether :meth:`close` was called."""

    @property
    def name(self) -> str:
        """The name as given."""
        return self._name

    @property
    def id(self) -> UUID:
        """The provider's GUID."""
        return self._id

    @property
    def traits(self) -> bytes:
        """The provider traits blob that goes with every TraceLogging event."""
        return self._traits

    @property
    def max_event_bytes(self) -> int:
        """Most bytes that event metadata and payload may have together; 24 fewer with a related activity."""
        return max(0, records.largest_event(self._session.buffer_size_bytes, self._traits))

    @property
    def problem(self) -> str | None:
        """Why events of this provider reach no file, in words; ``None`` while all is well."""
        return "the provider is closed" if self.closed else self._session.problem

    @property
    def idle(self) -> bool:
        """Never: its session listens, or has lost its file and counts what it is given."""
        return False

    def is_enabled(self, level: int, keyword: int) -> bool:
        """Whether the session wants events of this level and keyword."""
        return (
            level <= self._highest_level
            and (not keyword or keyword & self._keyword_mask != 0)
            and not self.closed
            and self._session.is_collecting
        )

    def is_enabled_any(self) -> bool:
        """Whether the session can take any event."""
        return not self.closed and self._session.is_collecting

    def write(
        self,
        descriptor: EventDescriptor,
        metadata: bytes | None,
        payload: bytes,
        activity_id: bytes | None = None,
        related_activity_id: bytes | None = None,
    ) -> int:
        """Put the event into the session's file; a :class:`WriteStatus` says how that went."""
        session = self._session
        try:
            if self.closed:
                return WriteStatus.INVALID_HANDLE
            if not self._is_wanted(descriptor):
                return _SUCCESS
            size = records.event_size(self._traits, metadata, payload, related_activity_id)
            if size > self._largest_record:
                session.count_lost()
                return WriteStatus.ARITHMETIC_OVERFLOW if size > MAX_RECORD_BYTES else WriteStatus.MORE_DATA
            items = self._items_for(metadata, related_activity_id)
            return session.write(self._id_bytes, descriptor, items, payload, activity_id)
        except Exception:  # noqa: BLE001 - a malformed call must not fail the application
            session.count_lost()
            return WriteStatus.INVALID_PARAMETER

    def prepare(self, descriptor: EventDescriptor, metadata: bytes) -> PreparedWrite:
        """Like :meth:`write`, for many events of one shape."""

        def write(payload: bytes, activity_id: bytes | None) -> int:
            return self.write(descriptor, metadata, payload, activity_id)

        try:
            if not self._is_wanted(descriptor):
                return write
            items = records.schema_items(self._traits, metadata)
            return self._session.prepare(self, self._id_bytes, descriptor, items, write)
        except Exception:  # noqa: BLE001 - each write will tell, and count
            return write

    def flush(self) -> None:
        """Ask that what is written survives a power cut; see :meth:`EtlSession.flush`."""
        self._session.flush()

    def close(self) -> None:
        """Later writes answer ``INVALID_HANDLE``; the session stays open."""
        self.closed = True

    def _is_wanted(self, descriptor: EventDescriptor) -> bool:
        level, keyword = descriptor.level, descriptor.keyword
        return level <= self._highest_level and (not keyword or keyword & self._keyword_mask != 0)

    def _items_for(self, metadata: bytes | None, related: bytes | None) -> bytes:
        if metadata is None:
            return b"" if related is None else records.related_item(related, more=False)
        items = self._items.get(metadata)
        if items is None:
            items = records.schema_items(self._traits, metadata)
            if len(metadata) <= _LARGEST_CACHED_METADATA_BYTES:
                if len(self._items) >= _CACHED_SHAPES:
                    self._items.clear()
                self._items[bytes(metadata)] = items
        return items if related is None else records.related_item(related, more=True) + items
