"""Items as rows of a table on a terminal: what stands in each column, and in which style. Pure.

All text of the trace has passed through :mod:`.text` when it gets into a :class:`Row`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from otel_etw.layouts.items import LogItem, MetricPoint, SpanItem
from otel_etw.outputs.numbers import number_text
from otel_etw.outputs.pieces import Pieces, attribute_pieces, cut_pieces, trace_text, without_code
from otel_etw.outputs.span_text import FAILED_STYLE, has_failed, span_text
from otel_etw.outputs.text import is_multiline, lines_of, plain_text, printable, value_text
from otel_etw.tables.items import Item
from otel_etw.tracelogging.decode import to_dict

if TYPE_CHECKING:
    from otel_etw.etl.event import Event

SEVERITIES = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")
LEVELS = ("-", "CRIT", "ERROR", "WARN", "INFO", "VERB")
SPAN_LEVEL = "SPAN"
LEVEL_STYLES = {
    "CRIT": "bold white on red",
    "FATAL": "bold white on red",
    "ERROR": "bold red",
    "WARN": "yellow",
    "INFO": "green",
    "DEBUG": "cyan",
    "VERB": "cyan",
    "TRACE": "dim cyan",
    SPAN_LEVEL: "magenta",
}
_PAYLOAD_PREVIEW_BYTES = 16


@dataclass(frozen=True)
class Row:
    """One row. ``text`` is what flows to the right of the columns; ``block`` stands in lines below."""

    time_unix_nano: int
    level: str
    source: str
    trace: str
    text: Pieces
    block: tuple[str, ...] = ()
    has_failed: bool = False

    @property
    def level_style(self) -> str:
        """The style of the level's column, by its word without a number (``ERROR2`` is an error)."""
        return FAILED_STYLE if self.has_failed else LEVEL_STYLES.get(self.level.rstrip("234"), "dim")


def row_of(item: Item, *, wide: bool = False) -> Row:
    """``item`` as a row; ``wide`` adds full ids, provider, process and thread, and all attributes."""
    content = item.content
    if isinstance(content, LogItem):
        return _log_row(item, content, wide)
    if isinstance(content, SpanItem):
        return _span_row(item, content, wide)
    if isinstance(content, MetricPoint):
        return _point_row(item, content, wide)
    return _event_row(item, wide)


def severity_text(log: LogItem) -> str:
    """``ERROR``, ``INFO2`` and so on by the severity number; the record's own text where there is none."""
    number = log.severity_number
    if number is None or not 1 <= number <= 4 * len(SEVERITIES):
        return printable((log.severity_text or "-")[:8])
    step, rest = divmod(number - 1, 4)
    return SEVERITIES[step] + (str(rest + 1) if rest else "")


def level_text(level: int) -> str:
    """The word for an ETW level; ``L9`` for numbers without one."""
    return LEVELS[level] if level < len(LEVELS) else f"L{level}"


def point_text(point: MetricPoint) -> str:
    """What one data point says, in a few words."""
    unit = f" {printable(point.unit)}" if point.unit not in ("", "1") else ""
    if point.value is not None:
        return f"{number_text(point.value)}{unit}"
    facts = [("count", point.count), ("sum", point.sum), ("min", point.min), ("max", point.max)]
    shown = " ".join(f"{name} {number_text(value)}" for name, value in facts if value is not None)
    return f"{shown}{unit}"


def notes_of(item: Item, *, wide: bool, source: str = "") -> Pieces:
    """What is to be said of an item's event: where it comes from, if ``wide``, and what could not be read."""
    pieces = _wide_pieces(item, source) if wide else []
    return [*pieces, (f"  [{printable('; '.join(item.problems))}]", "yellow")] if item.problems else pieces


def _span_row(item: Item, span: SpanItem, wide: bool) -> Row:
    name = span.service_name or _provider(item.event)
    trace = trace_text(span.trace_id, span.span_id, wide)
    text = span_text(span, duration=True, wide=wide) + notes_of(item, wide=wide, source=name)
    time = span.end_time_unix_nano
    return Row(time, SPAN_LEVEL, printable(name), trace, text, has_failed=has_failed(span))


def _log_row(item: Item, log: LogItem, wide: bool) -> Row:
    block: list[str] = []
    pieces: Pieces = []
    if log.event_name:
        pieces.append((f"{printable(log.event_name)} ", "bold"))
    body_lines = lines_of(log.body) if isinstance(log.body, str) else [plain_text(log.body)]
    pieces.append(("" if log.body is None else body_lines[0], ""))
    block += body_lines[1:]
    attributes, source = (log.attributes, "") if wide else without_code(log.attributes)
    pieces += attribute_pieces({k: v for k, v in attributes.items() if not is_multiline(v)})
    if log.event_id is not None:
        pieces += attribute_pieces({"event_id": log.event_id})
    if source:
        pieces.append((f"  {source}", "dim"))
    for key, value in attributes.items():
        if is_multiline(value):
            block += [f"{printable(key)}:", *lines_of(str(value).rstrip("\r\n"))]
    pieces += cut_pieces(log.truncated)
    name = log.service_name or _provider(item.event)
    trace = trace_text(log.trace_id, log.span_id, wide)
    return _row(item, log.time_unix_nano, severity_text(log), name, trace, pieces, block, wide)


def _point_row(item: Item, point: MetricPoint, wide: bool) -> Row:
    kind = " ".join(part for part in (point.temporality, point.kind) if part).replace("_", " ")
    pieces: Pieces = [
        (f"{printable(point.metric_name)} ", "bold"),
        (point_text(point), ""),
        (f"  {kind}", "dim"),
    ]
    pieces += attribute_pieces(point.attributes)
    name = point.service_name or _provider(item.event)
    return _row(item, point.time_unix_nano, "METRIC", name, "", pieces, [], wide)


def _event_row(item: Item, wide: bool) -> Row:
    event = item.event
    block: list[str] = []
    pieces: Pieces = [(f"{_event_name(event)}", "bold")]
    values = event.values
    if event.descriptor.opcode in (1, 2) and event.metadata is not None:
        pieces.append((" start" if event.descriptor.opcode == 1 else " stop", "magenta"))
    if len(values) == 1 and isinstance(values[0].value, str):
        first, *block = lines_of(values[0].value.rstrip("\r\n"))
        pieces.append((f"  {first}", ""))
    elif not event.is_described:
        pieces += _raw_pieces(event)
    else:
        for value in values:
            pieces += attribute_pieces(to_dict((value,)))
    if event.trailing:
        pieces.append((f"  and {number_text(len(event.trailing))} bytes that are not described", "dim"))
    level = level_text(event.descriptor.level)
    return _row(item, event.timestamp_ns, level, _provider(event), "", pieces, block, wide)


def _row(
    item: Item,
    time_unix_nano: int,
    level: str,
    source: str,
    trace: str,
    pieces: Pieces,
    block: list[str],
    wide: bool,
) -> Row:
    text = pieces + notes_of(item, wide=wide, source=source)
    return Row(time_unix_nano, level, printable(source), trace, text, tuple(block))


def _wide_pieces(item: Item, source: str) -> Pieces:
    event = item.event
    facts: dict[str, object] = {}
    if item.content is not None:
        facts["instance"] = item.content.service_instance_id
    if source != _provider(event):
        facts["provider"] = _provider(event)
    if item.content is not None and event.name not in ("Log", "Span"):
        facts["event"] = event.name
    facts["pid"], facts["tid"], facts["cpu"] = event.process_id, event.thread_id, event.processor
    facts["keyword"] = f"{event.descriptor.keyword:#x}"
    facts["activity"] = event.activity_id
    facts["file"] = item.file or None
    shown = " ".join(f"{name}={value_text(value)}" for name, value in facts.items() if value is not None)
    return [(f"  {shown}", "dim")]


def _raw_pieces(event: Event) -> Pieces:
    """What is known of an event without a description: its numbers, and the first bytes of its payload."""
    descriptor = event.descriptor
    facts: list[tuple[str, object]] = [("opcode", descriptor.opcode), ("task", descriptor.task)]
    pieces = [(f"  {name}={value}", "dim") for name, value in facts if value]
    size = len(event.payload)
    if size:
        preview = bytes(event.payload[:_PAYLOAD_PREVIEW_BYTES]).hex()
        dots = "..." if size > _PAYLOAD_PREVIEW_BYTES else ""
        pieces += [(f"  {size} bytes ", "dim"), (f"0x{preview}{dots}", "cyan")]
    return pieces


def _event_name(event: Event) -> str:
    if event.name:
        return printable(event.name)
    if event.metadata is not None:
        return '""'
    return f"event {event.descriptor.id}" if event.kind.startswith("event") else event.kind


def _provider(event: Event) -> str:
    return event.provider_name or (str(event.provider_id) if event.provider_id else "-")
