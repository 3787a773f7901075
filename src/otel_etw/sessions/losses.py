"""Counting what a session could not deliver. Pure.

ETW tells of the same loss in up to three ways: the session's counters, which somebody has to ask for, the
number that comes with each buffer, and notices among the events (``RT_LostEvent``).  None of them comes for
certain, so each is kept, and the largest is the count.
"""

from __future__ import annotations

from typing import final

from otel_etw.etl.live_records import LOST_EVENT


@final
class Losses:
    """Of one listener, over all runs of its session, each counted from where listening began."""

    def __init__(self) -> None:
        self._events_before = self._buffers_before = self._file_buffers_before = 0
        self._first_events = self._first_buffers = self._first_file_buffers = 0
        self._asked_events = self._told_events = self._event_notices = 0
        self._asked_buffers = self._buffer_notices = self._asked_file_buffers = 0

    @property
    def events(self) -> int:
        """Events that found no room in the session's buffers."""
        return self._events_before + max(self._asked_events, self._told_events, self._event_notices)

    @property
    def buffers(self) -> int:
        """Buffers full of events that could not be delivered to listeners."""
        return self._buffers_before + max(self._asked_buffers, self._buffer_notices)

    @property
    def file_buffers(self) -> int:
        """Buffers that did not get into the file of a session that has one, too."""
        return self._file_buffers_before + self._asked_file_buffers

    def begin(self, events: int = 0, buffers: int = 0, file_buffers: int = 0) -> None:
        """Listening begins, maybe anew; the session has these counters by now."""
        self._events_before = self.events
        self._buffers_before = self.buffers
        self._file_buffers_before = self.file_buffers
        self._first_events, self._first_buffers, self._first_file_buffers = events, buffers, file_buffers
        self._asked_events = self._told_events = self._event_notices = 0
        self._asked_buffers = self._buffer_notices = self._asked_file_buffers = 0

    def asked(self, events: int, buffers: int, file_buffers: int) -> None:
        """The session's counters."""
        self._asked_events = max(self._asked_events, events - self._first_events)
        self._asked_buffers = max(self._asked_buffers, buffers - self._first_buffers)
        self._asked_file_buffers = max(self._asked_file_buffers, file_buffers - self._first_file_buffers)

    def told(self, events: int) -> None:
        """The number that came with a buffer."""
        self._told_events = max(self._told_events, events - self._first_events)

    def notice(self, opcode: int) -> None:
        """A notice among the events: of one event, of a buffer, or of the file that holds buffers back."""
        if opcode == LOST_EVENT:
            self._event_notices += 1
        else:
            self._buffer_notices += 1
