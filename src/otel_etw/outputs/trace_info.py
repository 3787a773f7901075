"""What there is to know of a trace file as a whole: its recorder, its contents in numbers, its losses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, Protocol, final
from uuid import UUID

from otel_etw.errors import DecodeError
from otel_etw.etl.damage import DamageReport
from otel_etw.etl.event import Event
from otel_etw.etl.layout import BUFFER_HEADER_BYTES
from otel_etw.etl.reader import Trace
from otel_etw.etl.walking import RecordKind
from otel_etw.layouts.otlp_metrics.counting import count_points
from otel_etw.outputs.numbers import iso_time
from otel_etw.tables.batches import event_batches
from otel_etw.tables.classes import all_alike, is_of_kind
from otel_etw.tables.items import (
    LOGS,
    METRICS,
    OTLP_METRICS_ID,
    SPANS,
    SignalFinder,
    items_of,
    possible_signals,
)
from otel_etw.tables.reading import Reading
from otel_etw.tracelogging.provider_id import METRICS_PROVIDER_ID

MAX_DIFFERENT = 20_000
"""More different (provider, event, level) than this are counted together, so that memory is bounded."""

_EVENT_KINDS = frozenset({RecordKind.EVENT, RecordKind.MESSAGE, RecordKind.ERROR})


class EventKey(NamedTuple):
    """What events are counted by. ``name`` is that of the event, or its id and version."""

    provider_name: str | None
    provider_id: UUID | None
    name: str
    level: int


Provider = tuple["str | None", "UUID | None"]
"""Name and GUID, as far as an event has them."""


class Alike(Protocol):
    """Some events, to be gone through any number of times."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Event]: ...


class Inventory:
    """Counts events as they pass, one by one or many alike at once; memory is bounded."""

    def __init__(self) -> None:
        self._finder = SignalFinder()
        self.kinds: Counter[str] = Counter()
        self.levels: Counter[int] = Counter()
        self.events: Counter[EventKey | None] = Counter()
        """Under ``None`` what came after :data:`MAX_DIFFERENT` different ones."""
        self.signals: Counter[str] = Counter()
        """By what they hold; metrics are counted as requests, of which most have one data point."""
        self.metric_points = 0
        self.provider_signals: dict[Provider, Counter[str]] = {}
        self.first_unix_nano: int | None = None
        self.last_unix_nano: int | None = None

    def add(self, event: Event) -> None:
        """Count one record."""
        self.add_alike([event])
        if event.kind in _EVENT_KINDS:
            self.add_time(event.timestamp_ns)

    def add_alike(self, events: Alike) -> None:
        """Count records, at least one, that differ in nothing but time and payload; not their times."""
        event, count = next(iter(events)), len(events)
        self.kinds[event.record_kind] += count
        level = event.descriptor.level
        key: EventKey | None = EventKey(event.provider_name, event.provider_id, event_label(event), level)
        if key not in self.events and len(self.events) >= MAX_DIFFERENT:
            key = None
        self.events[key] += count
        if event.kind not in _EVENT_KINDS:
            return
        self.levels[level] += count
        signals = self._signals_of(events)
        self.signals.update(signals)
        if key is not None:
            self.provider_signals.setdefault(key[:2], Counter()).update(signals)
        if METRICS in possible_signals(event):
            self.metric_points += sum(map(metric_points, events))

    def add_time(self, time_unix_nano: int) -> None:
        """The time range is that of the records that are events of providers."""
        if self.first_unix_nano is None or time_unix_nano < self.first_unix_nano:
            self.first_unix_nano = time_unix_nano
        if self.last_unix_nano is None or time_unix_nano > self.last_unix_nano:
            self.last_unix_nano = time_unix_nano

    def _signals_of(self, events: Alike) -> Counter[str]:
        signals: Counter[str] = Counter()
        for number, event in enumerate(events):
            signal = self._finder.settled(event)
            if signal is not None:
                signals[signal] += len(events) - number
                break
            signals[self._finder.signal_of(event)] += 1
        return signals

    @property
    def records(self) -> int:
        """All records, those of the recorder and the kernel included."""
        return sum(self.kinds.values())

    @property
    def tables(self) -> dict[str, int]:
        """How many rows the four tables of the file have."""
        return {
            "logs": self.signals[LOGS],
            "spans": self.signals[SPANS],
            "metric_points": self.metric_points,
            "events": self.records,
        }


@final
class TraceInfo:
    """A trace after all of it was read: what is in it, and what was wrong with it."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.inventory = Inventory()
        self._reading = Reading([trace])
        self.damage: DamageReport = self._reading.reports[0]
        self.buffers = 0
        self.compressed_buffers = 0
        self.decompressed_bytes = 0
        """Valid bytes of all buffers, headers included."""

    @property
    def providers_with_manifest(self) -> list[str]:
        """Names of the .NET EventSource providers whose manifests are in the file."""
        manifests = self.trace.context.manifests
        names = (manifests.provider_name(identity) for identity in manifests.provider_ids)
        return sorted(name for name in names if name)

    def read(self) -> None:
        """Read the whole file, and count records that are alike together."""
        for batch in event_batches([self.trace], order="file", reading=self._reading):
            lanes = batch.lanes
            self.buffers += len(lanes.buffers)
            self.compressed_buffers += sum(buffer.is_compressed for buffer in lanes.buffers)
            stored_bytes = int((lanes.end - lanes.start).sum())
            self.decompressed_bytes += BUFFER_HEADER_BYTES * len(lanes.buffers) + stored_bytes
            for alike in all_alike(batch):
                self.inventory.add_alike(alike)
            raw = batch.records.raw[is_of_kind(batch, _EVENT_KINDS)]
            for extreme in (raw.min(), raw.max()) if len(raw) else ():
                self.inventory.add_time(self.trace.header.clock.unix_nano(int(extreme)))

    @property
    def fraction(self) -> float:
        """How much of the file was read, 0 to 1."""
        return self._reading.fraction


def metric_points(event: Event) -> int:
    """How many rows of metric points ``event`` makes; 0 if it is something else or cannot be decoded."""
    if event.provider_id == METRICS_PROVIDER_ID and event.descriptor.id == OTLP_METRICS_ID:
        try:
            return count_points(event.payload)
        except DecodeError:
            pass  # the plain decoder has the last word
    return sum(item.signal == METRICS for item in items_of(event))


def event_label(event: Event) -> str:
    """The event's name; without one ``event 144 v1`` (id and version) or ``opcode 36``, by its kind."""
    name = event.name
    if name is not None:
        return name
    descriptor = event.descriptor
    if event.kind in _EVENT_KINDS:
        return f"event {descriptor.id} v{descriptor.version}"
    hook = event.hook_id
    return f"hook {hook:#06x}" if hook is not None else f"opcode {descriptor.opcode}"


def info_document(info: TraceInfo) -> dict[str, Any]:
    """Everything, for machines. Counts are lists of objects, most frequent first."""
    trace, header, inventory = info.trace, info.trace.header, info.inventory
    damage = info.damage
    return {
        "file": trace.path,
        "size_bytes": trace.size_bytes,
        "recorder": {
            "os_version": ".".join(map(str, header.os_version)),
            "build": header.build,
            "layout_version": ".".join(map(str, header.layout_version)),
            "processors": header.processors,
            "pointer_size": header.pointer_size,
            "session_name": header.session_name,
            "log_file_name": header.log_file_name,
            "log_file_mode": f"{int(header.log_file_mode):#010x}",
            "log_file_mode_names": flag_names(header.log_file_mode),
            "process_id": header.process_id,
            "boot_time": iso_time(header.boot_time_unix_nano),
            "time_zone_bias_minutes": header.time_zone_bias_minutes,
        },
        "clock": {
            "type": clock_name(header.clock_type),
            "ticks_per_second": header.perf_freq_hz,
            "cpu_mhz": header.cpu_mhz,
            "first_timestamp_raw": header.first_timestamp_raw,
        },
        "start_time": iso_time(header.start_time_unix_nano),
        "end_time": _optional_time(header.end_time_unix_nano),
        "first_event_time": _optional_time(inventory.first_unix_nano),
        "last_event_time": _optional_time(inventory.last_unix_nano),
        "buffers": {
            "count": info.buffers,
            "compressed": info.compressed_buffers,
            "size_bytes": header.buffer_size_bytes,
            "decompressed_bytes": info.decompressed_bytes,
            "written": header.buffers_written,
        },
        "events_lost": header.events_lost,
        "buffers_lost": header.buffers_lost,
        "unfinished": damage.unfinished,
        "damage": {
            "counts": {str(kind): count for kind, count in damage.counts.items()},
            "entries": [
                {"kind": str(entry.kind), "offset": entry.offset, "buffer": entry.buffer, "why": entry.why}
                for entry in damage.entries
            ],
        },
        "records": inventory.records,
        "record_kinds": dict(inventory.kinds.most_common()),
        "signals": dict(inventory.signals.most_common()),
        "tables": inventory.tables,
        "manifests": info.providers_with_manifest,
        "levels": {str(level): count for level, count in sorted(inventory.levels.items())},
        "providers": [
            {
                "provider": provider[0],
                "provider_id": provider[1],
                "count": count,
                "signals": dict(inventory.provider_signals.get(provider, Counter()).most_common()),
                "events": events,
            }
            for provider, count, events in _by_provider(inventory)
        ],
        "not_listed": inventory.events.get(None, 0),
    }


def providers_of(
    inventory: Inventory,
) -> list[tuple[Provider, int, list[tuple[str, int, int]]]]:
    """Per provider (name, GUID) its count and its (event, level, count), most frequent first."""
    grouped: dict[Provider, list[tuple[str, int, int]]] = {}
    for key, count in inventory.events.most_common():
        if key is not None:
            grouped.setdefault(key[:2], []).append((key.name, key.level, count))
    totals = [(provider, sum(event[2] for event in events), events) for provider, events in grouped.items()]
    return sorted(totals, key=lambda entry: -entry[1])


def flag_names(flags: Any) -> list[str]:
    """The names of the bits of an ``IntFlag``, as words; bits without a name as a number."""
    names = [member.name.lower().replace("_", " ") for member in type(flags) if member & flags]
    known = 0
    for member in type(flags):
        known |= int(member)
    rest = int(flags) & ~known
    return [*names, f"{rest:#x}"] if rest else names


def clock_name(clock_type: int) -> str:
    """What the raw timestamps count, in words."""
    names = ("raw", "performance counter (QPC)", "system time", "CPU cycles")
    return names[clock_type] if 0 <= clock_type < len(names) else f"unknown ({int(clock_type)})"


def _by_provider(inventory: Inventory) -> Iterable[tuple[Provider, int, list[dict[str, Any]]]]:
    for provider, total, events in providers_of(inventory):
        listed = [{"event": name, "level": level, "count": count} for name, level, count in events]
        yield provider, total, listed


def _optional_time(time_unix_nano: int | None) -> str | None:
    return None if time_unix_nano is None else iso_time(time_unix_nano)
