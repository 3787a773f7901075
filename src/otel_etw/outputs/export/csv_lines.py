"""Rows as CSV by RFC 4180: one header line, CR LF, quotes where they are needed, and there doubled; UTF-8.

Null is nothing between two commas, empty text is ``""``.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from otel_etw.outputs.export.cells import is_json, is_text, line_bytes, once_per_name, plain, text_of

_NEEDS_QUOTES = '[",\r\n]'
_LINE_END = "\r\n"


def csv_header(schema: pa.Schema) -> bytes:
    """The line of column names."""
    return (",".join(schema.names) + _LINE_END).encode()


def csv_lines(batch: pa.RecordBatch) -> memoryview:
    """All rows of ``batch``."""
    cells = [_cells(column) for column in batch.columns]
    lines = pc.binary_join_element_wise(*cells, ",", null_handling="replace", null_replacement="")
    return line_bytes(pc.binary_join_element_wise(lines, _LINE_END, ""))


def _cells(column: pa.Array) -> pa.Array:
    if is_json(column):
        return _quoted(text_of(column))
    return once_per_name(plain(column), _quoted) if is_text(column) else text_of(column)


def _quoted(text: pa.Array) -> pa.Array:
    needs = pc.or_(pc.match_substring_regex(text, _NEEDS_QUOTES), pc.equal(text, ""))
    if not pc.any(needs).as_py():
        return text
    doubled = pc.binary_join_element_wise('"', pc.replace_substring(text, '"', '""'), '"', "")
    return pc.if_else(needs, doubled, text)
