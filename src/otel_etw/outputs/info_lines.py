"""A :class:`~otel_etw.outputs.trace_info.TraceInfo` as lines for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from otel_etw.etl.trace_header import TraceHeader
from otel_etw.outputs.numbers import bytes_text, counted, duration_text, number_text, time_text
from otel_etw.outputs.pieces import Pieces
from otel_etw.outputs.rows import LEVEL_STYLES, level_text
from otel_etw.outputs.text import printable
from otel_etw.outputs.trace_info import Inventory, TraceInfo, clock_name, flag_names, providers_of
from otel_etw.tables.items import EVENTS, SIGNALS

_LABEL_CELLS = 12
LABEL_INDENT = 2 + _LABEL_CELLS
"""Where the texts beside the labels start, and where a line that is too long goes on."""

_LISTED_PROVIDERS = 25
_LISTED_EVENTS = 12
_LISTED_DAMAGE = 20


def info_lines(info: TraceInfo, *, everything: bool = False) -> Iterator[Pieces]:
    """The whole report of one file; long lists are cut with a count of the rest unless ``everything``."""
    trace, inventory = info.trace, info.inventory
    yield [(printable(trace.path), "bold")]
    for label, text in [
        *_recorder(trace.header),
        *_times(trace.header, inventory),
        *_contents(info),
    ]:
        yield [(f"  {label:<{_LABEL_CELLS}}", "dim"), (text, "")]
    yield from _state(info, everything)
    yield from _counts(inventory, everything)


def _recorder(header: TraceHeader) -> Iterator[tuple[str, str]]:
    major, minor = header.os_version
    yield (
        "recorder",
        (
            f"Windows {major}.{minor} build {header.build}, {counted(header.processors, 'processor')}, "
            f"{8 * header.pointer_size}-bit, layout {'.'.join(map(str, header.layout_version))}"
        ),
    )
    yield "session", f"{printable(header.session_name)} (process {header.process_id})"
    yield "log file", printable(header.log_file_name)
    names = ", ".join(flag_names(header.log_file_mode)) or "none"
    yield "mode", f"{names} ({int(header.log_file_mode):#010x})"
    yield "clock", f"{clock_name(header.clock_type)}, {number_text(header.perf_freq_hz)} ticks per second"


def _times(header: TraceHeader, inventory: Inventory) -> Iterator[tuple[str, str]]:
    start, end = header.start_time_unix_nano, header.end_time_unix_nano
    yield "started", _time(start)
    yield (
        "ended",
        f"{_time(end)}, after {duration_text(end - start)}" if end is not None else "not closed yet",
    )
    first, last = inventory.first_unix_nano, inventory.last_unix_nano
    if first is not None and last is not None:
        yield "first event", _time(first)
        yield "last event", f"{_time(last)}, {duration_text(last - first)} later"


def _contents(info: TraceInfo) -> Iterator[tuple[str, str]]:
    trace, inventory = info.trace, info.inventory
    compressed = info.compressed_buffers
    packed = (
        f", {number_text(compressed)} compressed from {bytes_text(info.decompressed_bytes)}"
        if compressed
        else ""
    )
    buffers = f"{counted(info.buffers, 'buffer')} of {bytes_text(trace.header.buffer_size_bytes)}"
    yield "size", f"{bytes_text(trace.size_bytes)}, {buffers}{packed}"
    kinds = ", ".join(f"{kind} {number_text(count)}" for kind, count in inventory.kinds.most_common())
    yield "records", f"{number_text(inventory.records)}: {kinds}" if kinds else "none"
    if set(inventory.signals) - {EVENTS}:
        yield "signals", signals_text(inventory.signals)
    if inventory.records:
        tables = ", ".join(f"{name} {number_text(rows)}" for name, rows in inventory.tables.items())
        yield "tables", tables
    manifests = [printable(name) for name in info.providers_with_manifest]
    if manifests:
        yield "manifests", f"{counted(len(manifests), 'EventSource')}: {', '.join(manifests)}"
    levels = ", ".join(
        f"{level_text(level) if level else 'always'} {number_text(count)}"
        for level, count in sorted(inventory.levels.items())
    )
    if levels:
        yield "levels", levels


def _state(info: TraceInfo, everything: bool) -> Iterator[Pieces]:
    header, damage = info.trace.header, info.damage
    lost = header.events_lost or header.buffers_lost
    lost_text = f"{counted(header.events_lost, 'event')}, {counted(header.buffers_lost, 'buffer')}"
    yield [
        (f"  {'lost':<{_LABEL_CELLS}}", "dim"),
        (lost_text if lost else "nothing", "bold yellow" if lost else ""),
    ]
    if damage.unfinished:
        yield [(f"  {'unfinished':<{_LABEL_CELLS}}", "dim"), (printable(damage.unfinished), "yellow")]
    counts = ", ".join(f"{kind} {number_text(count)}" for kind, count in damage.counts.items()) or "none"
    yield [(f"  {'damage':<{_LABEL_CELLS}}", "dim"), (counts, "bold red" if damage else "")]
    shown = damage.entries if everything else damage.entries[:_LISTED_DAMAGE]
    for entry in shown:
        yield [
            (f"    {entry.offset:#010x}", "red"),
            (f"  buffer {entry.buffer}, {entry.kind}: {printable(entry.why)}", ""),
        ]
    rest = sum(damage.counts.values()) - len(shown)
    if rest > 0:
        yield [(f"    and {number_text(rest)} more", "dim")]


def _counts(inventory: Inventory, everything: bool) -> Iterator[Pieces]:
    providers = providers_of(inventory)
    if not providers:
        return
    width = len(number_text(providers[0][1]))
    shown = providers if everything else providers[:_LISTED_PROVIDERS]
    for (name, identity), total, events in shown:
        signals = inventory.provider_signals.get((name, identity), Counter())
        yield []
        yield [
            (f"  {number_text(total):>{width}}  ", "bold"),
            (printable(name) if name else str(identity or "no provider"), "bold blue"),
            (f"  {identity}" if name and identity else "", "dim"),
            (f"  {signals_text(signals)}" if set(signals) - {EVENTS} else "", ""),
        ]
        listed = events if everything else events[:_LISTED_EVENTS]
        for event, level, count in listed:
            word = level_text(level)
            yield [
                (f"  {number_text(count):>{width}}  ", ""),
                (f"  {word:<5}  ", LEVEL_STYLES.get(word, "dim")),
                (printable(event), ""),
            ]
        yield from _rest(len(events) - len(listed), "event name", width)
    yield from _rest(len(providers) - len(shown), "provider", width)


def signals_text(signals: Mapping[str, int]) -> str:
    """What events hold, such as ``logs 1,200, spans 300``, in the order of the signals."""
    return ", ".join(f"{signal} {number_text(signals[signal])}" for signal in SIGNALS if signals.get(signal))


def _rest(count: int, noun: str, width: int) -> Iterator[Pieces]:
    if count > 0:
        yield [(f"  {'':{width}}    and {counted(count, f'more {noun}')} (--all lists them)", "dim")]


def _time(time_unix_nano: int) -> str:
    return f"{time_text(time_unix_nano, digits=7)} UTC"
