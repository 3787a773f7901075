"""Lines as pieces of text with styles, and the pieces that rows of several kinds have in common. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from otel_etw.outputs.numbers import number_text
from otel_etw.outputs.text import printable, value_text

Pieces = list[tuple[str, str]]
"""Pieces of one line: (text, style), the style in rich's words, empty for none."""

SHORT_ID = 8
_TRACE_ID_CHARS, _SPAN_ID_CHARS = 32, 16
_CODE_KEYS = ("code.file.path", "code.line.number", "code.function.name")


def attribute_pieces(attributes: Mapping[str, object]) -> Pieces:
    """``key=value`` pairs, each after two spaces or one."""
    pieces: Pieces = []
    for key, value in attributes.items():
        pieces += [("  ", ""), (f"{printable(str(key))}=", "dim"), (value_text(value), "cyan")]
    return pieces


def cut_pieces(truncated: Mapping[str, int]) -> Pieces:
    """A note for each value that was cut when the event was written, by its length before."""
    return [
        (f"  ({printable(key)} cut, was {number_text(length)} bytes)", "yellow")
        for key, length in truncated.items()
    ]


def trace_text(trace_id: str | None, span_id: str | None, wide: bool) -> str:
    """Both ids in full if ``wide``, else the beginning of the trace's; empty without one."""
    if not trace_id:
        return ""
    # An event may give any text for an id; no more of it is shown than an id has.
    trace, span = trace_id[:_TRACE_ID_CHARS], (span_id or "")[:_SPAN_ID_CHARS]
    return printable(f"{trace}/{span}" if wide else trace[:SHORT_ID])


def without_code(attributes: Mapping[str, object]) -> tuple[Mapping[str, object], str]:
    """The attributes without the place in the source, and that place in short."""
    path = attributes.get(_CODE_KEYS[0])
    if not isinstance(path, str):
        return attributes, ""
    name = path.replace("\\", "/").rpartition("/")[2]
    line = attributes.get(_CODE_KEYS[1])
    rest = {key: value for key, value in attributes.items() if key not in _CODE_KEYS}
    return rest, printable(f"{name}:{line}" if line is not None else name)
