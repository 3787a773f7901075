"""Which events of a trace are wanted: the options that ``view`` has for it, as one predicate."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fnmatch import translate
from typing import TYPE_CHECKING
from uuid import UUID

from otel_etw.layouts.items import LogItem, SpanItem
from otel_etw.outputs.rows import row_of
from otel_etw.tables.items import EVENTS, Item, possible_signals

if TYPE_CHECKING:
    from otel_etw.etl.event import Event
    from otel_etw.tables.batch import EventBatch

_SHOWN_KINDS = frozenset({"event", "message", "error"})


@dataclass
class Selection:
    """Everything that is not ``None`` or empty has to fit; of several values of one option, one has to.

    ``providers`` and ``events`` are wildcards, whatever the case of letters. ``level`` is the most verbose
    ETW level wanted; events of level 0 pass, as they pass every filter in ETW. Times are Unix nanoseconds,
    ``since`` included, ``until`` not; ``grep`` searches what a row shows.
    """

    signals: frozenset[str] = frozenset()
    providers: tuple[str, ...] = ()
    events: tuple[str, ...] = ()
    level: int | None = None
    since_unix_nano: int | None = None
    until_unix_nano: int | None = None
    grep: re.Pattern[str] | None = None
    all_records: bool = False
    hidden_records: int = 0
    """Counted as events pass: those of the kernel and of merging tools that were not asked for."""

    def __post_init__(self) -> None:
        self._provider_ids = {guid for guid in map(_guid, self.providers) if guid is not None}
        self._provider_fits = _wildcards(name for name in self.providers if _guid(name) is None)
        self._event_fits = _wildcards(self.events)

    def wants_event(self, event: Event, alike: int = 1) -> bool:
        """What can be told without decoding the fields; ``alike`` is how many events this one stands for."""
        if not self.all_records and event.kind not in _SHOWN_KINDS:
            # The recorder's own few records are in every file; nobody misses them.
            hook = event.hook_id
            self.hidden_records += alike if hook is None or hook >> 8 != 0 else 0
            return False
        if self.level is not None and event.descriptor.level > self.level:
            return False
        if self.signals and self.signals.isdisjoint(possible_signals(event)):
            return False
        if not self.providers or event.provider_id in self._provider_ids:
            return True
        return self._provider_fits(event.provider_name or "")

    def rows(self, batch: EventBatch) -> list[int]:
        """The rows of ``batch``, in the order of delivery, that may be wanted as far as that can be told from
        one of many events alike, and from the time of those that have no other than their event's."""
        from otel_etw.tables.classes import chosen_rows

        return chosen_rows(batch, self.wants_event, _has_own_time, self.since_unix_nano, self.until_unix_nano)

    def wants_item(self, item: Item) -> bool:
        """The rest."""
        if self.signals and item.signal not in self.signals:
            return False
        if self.events and not self._event_name_fits(item):
            return False
        time = item.time_unix_nano
        if self.since_unix_nano is not None and time < self.since_unix_nano:
            return False
        if self.until_unix_nano is not None and time >= self.until_unix_nano:
            return False
        return self.grep is None or self.grep.search(searched_text(item)) is not None

    def _event_name_fits(self, item: Item) -> bool:
        """The ETW event's name (or number), or the name that the log record or span itself has."""
        event = item.event
        names = [event.name if event.name is not None else str(event.descriptor.id)]
        if isinstance(item.content, LogItem) and item.content.event_name:
            names.append(item.content.event_name)
        if isinstance(item.content, SpanItem):
            names.append(item.content.name)
        return any(map(self._event_fits, names))


def _has_own_time(event: Event) -> bool:
    return possible_signals(event) != (EVENTS,)


def searched_text(item: Item) -> str:
    """What ``--grep`` searches: the row's text, the lines below it, and the full ids."""
    row = row_of(item)
    parts = [row.source, "".join(text for text, _ in row.text), *row.block]
    if isinstance(item.content, (LogItem, SpanItem)):
        parts += [item.content.trace_id or "", item.content.span_id or ""]
    if isinstance(item.content, SpanItem):
        parts.append(item.content.parent_span_id or "")
        parts += [f"{link.trace_id}/{link.span_id}" for link in item.content.links]
    return "\n".join(parts)


def _guid(text: str) -> UUID | None:
    try:
        return UUID(text) if len(text.strip("{}")) == 36 else None
    except ValueError:
        return None


def _wildcards(patterns: Iterable[str]) -> Callable[[str], bool]:
    compiled = [re.compile(translate(pattern.lower()), re.DOTALL) for pattern in patterns]
    return lambda name: any(pattern.match(name.lower()) for pattern in compiled)
