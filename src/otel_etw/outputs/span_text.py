"""What a span says, as pieces of one line; all text of the trace made safe. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from otel_etw.layouts.items import LinkItem, SpanItem
from otel_etw.outputs.numbers import counted, duration_text
from otel_etw.outputs.pieces import (
    SHORT_ID,
    Pieces,
    attribute_pieces,
    cut_pieces,
    trace_text,
    without_code,
)
from otel_etw.outputs.text import printable, value_text

FAILED_STYLE = "bold red"
_SHOWN_LINKS = 3


def has_failed(span: SpanItem) -> bool:
    """Whether the span says that what it stands for failed."""
    return span.success is False or span.status == "error"


def span_text(span: SpanItem, *, duration: bool, wide: bool = False) -> Pieces:
    """What a span says, on one line: name, duration if wanted, kind, status, attributes, links, losses.

    ``wide`` has links and ids in full, and the facts about the instrumentation.
    """
    failed = has_failed(span)
    pieces: Pieces = [(printable(span.name) or '""', FAILED_STYLE if failed else "bold")]
    if duration:
        pieces.append((f"  {duration_text(span.duration_ns)}", ""))
    if span.kind not in (None, "internal"):
        pieces.append((f"  {printable(str(span.kind))}", "magenta"))
    if failed:
        message = f": {printable(span.status_message)}" if span.status_message else ""
        pieces.append((f"  failed{message}", "red"))
    elif span.status == "ok":
        pieces.append(("  ok", "green"))
    attributes, source = (span.attributes, "") if wide else without_code(span.attributes)
    pieces += attribute_pieces(attributes)
    pieces += _link_pieces(span.links, wide)
    if source:
        pieces.append((f"  {source}", "dim"))
    if wide:
        pieces += attribute_pieces(_instrumentation(span))
    return pieces + _loss_pieces(span)


def _link_pieces(links: Sequence[LinkItem], wide: bool) -> Pieces:
    pieces: Pieces = []
    shown = links if wide else links[:_SHOWN_LINKS]
    for link in shown:
        trace = trace_text(link.trace_id, link.span_id, wide=True)
        if not wide:
            trace = "/".join(part[:SHORT_ID] for part in trace.split("/"))
        pieces += [("  link=", "dim"), (trace or "-", "blue")]
        facts = dict(link.attributes)
        if wide and link.trace_state:
            facts["trace_state"] = link.trace_state
        if link.dropped_attributes:
            facts["dropped_attributes"] = link.dropped_attributes
        if facts:
            pieces.append((f" {value_text(facts)}", "cyan"))
    rest = len(links) - len(shown)
    return [*pieces, (f"  and {counted(rest, 'more link')}", "dim")] if rest else pieces


def _instrumentation(span: SpanItem) -> dict[str, object]:
    """The facts that are only shown on request, as far as the event has them."""
    facts = {
        "trace_state": span.trace_state,
        "trace_flags": span.trace_flags,
        "scope": span.scope_name,
        "scope_version": span.scope_version,
        "scope_attributes": span.scope_attributes or None,
        "scope_schema_url": span.scope_schema_url,
    }
    return {name: value for name, value in facts.items() if value is not None}


def _loss_pieces(span: SpanItem) -> Pieces:
    lost = (
        (span.dropped_attributes, "attribute"),
        (span.dropped_events, "event"),
        (span.dropped_links, "link"),
    )
    dropped = ", ".join(counted(count, noun) for count, noun in lost if count)
    pieces: Pieces = [(f"  ({dropped} dropped)", "yellow")] if dropped else []
    return pieces + cut_pieces(span.truncated)
