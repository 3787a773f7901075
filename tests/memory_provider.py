"""A session that keeps its events in a list: the smallest thing an exporter can write to."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple
from uuid import UUID

from otel_etw.layouts.common_schema import decode_log
from otel_etw.layouts.items import LogItem
from otel_etw.providers.base import WriteStatus
from otel_etw.tracelogging.provider_id import encode_traits
from otel_etw.tracelogging.types import EventDescriptor
from vector_records import values_of


class WrittenEvent(NamedTuple):
    provider: MemoryProvider
    descriptor: EventDescriptor
    metadata: bytes
    payload: bytes
    activity_id: bytes | None = None
    prepared: bool = False
    """Whether it came through a prepared write."""


class MemorySession:
    """``level`` is the highest that it wants, ``None`` for none at all; ``status`` is what writes answer.

    Without ``keep`` the events are checked, counted in ``writes`` and forgotten.
    """

    def __init__(self, level: int | None = 255, max_event_bytes: int = 65400, keep: bool = True) -> None:
        self.level = level
        self.max_event_bytes = max_event_bytes
        self.keep = keep
        self.writes = 0
        self.status: int = WriteStatus.SUCCESS
        self.problem: str | None = None
        self.closed = False
        self.holders = 0
        self.events: list[WrittenEvent] = []

    def hold(self) -> None:
        self.holders += 1

    def release(self) -> None:
        self.holders -= 1

    def register(self, name: str, provider_id: UUID, *, group: UUID | None = None) -> MemoryProvider:
        return MemoryProvider(self, name, provider_id, group)

    def logs(self) -> list[LogItem]:
        """All events, which must be logs, decoded."""
        items = [decode_log(values_of(event.metadata, event.payload), -1) for event in self.events]
        assert None not in items
        return [item for item in items if item is not None]


class MemoryProvider:
    def __init__(
        self, session: MemorySession, name: str, provider_id: UUID, group: UUID | None = None
    ) -> None:
        self.session = session
        self.name = name
        self.id = provider_id
        self.traits = encode_traits(name, group)
        self.closed = False

    @property
    def max_event_bytes(self) -> int:
        return self.session.max_event_bytes

    @property
    def problem(self) -> str | None:
        return "the session is closed" if self.session.closed else self.session.problem

    @property
    def idle(self) -> bool:
        return self.session.level is None and self.problem is None

    def is_enabled(self, level: int, keyword: int) -> bool:
        return self.is_enabled_any() and self.session.level is not None and level <= self.session.level

    def is_enabled_any(self) -> bool:
        return not self.closed and self.problem is None and self.session.level is not None

    def write(
        self,
        descriptor: EventDescriptor,
        metadata: bytes | None,
        payload: bytes,
        activity_id: bytes | None = None,
        related_activity_id: bytes | None = None,
    ) -> int:
        assert not self.closed
        return self._write(descriptor, metadata, payload, activity_id, prepared=False)

    def _write(
        self,
        descriptor: EventDescriptor,
        metadata: bytes | None,
        payload: bytes,
        activity_id: bytes | None,
        *,
        prepared: bool,
    ) -> int:
        self.session.writes += 1
        assert metadata is not None
        assert len(metadata) + len(payload) <= self.max_event_bytes
        if self.session.status == WriteStatus.SUCCESS and self.session.keep:
            event = WrittenEvent(self, descriptor, metadata, payload, activity_id, prepared)
            self.session.events.append(event)
        return self.session.status

    def prepare(self, descriptor: EventDescriptor, metadata: bytes) -> Callable[[bytes, bytes | None], int]:
        return lambda payload, activity_id: self._write(
            descriptor, metadata, payload, activity_id, prepared=True
        )

    def flush(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True
