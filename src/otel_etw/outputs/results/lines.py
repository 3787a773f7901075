"""Results as text for programs: CSV, JSON, JSON lines and Markdown; strings that make up whole files.

JSON has the values of JSON columns as what they are, not as text, and ``null`` for null; columns of equal
names get numbers.  In CSV and Markdown null is nothing, in CSV empty text is ``""``.  Characters that a
terminal would act on or not show are escaped in JSON and Markdown; CSV has the text as it is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, BinaryIO

import pyarrow as pa

from otel_etw.outputs.results.values import values_of
from otel_etw.outputs.text import escaped_json, plain_text
from otel_etw.tables.json_values import json_text
from otel_etw.tables.schema import JSON_TYPE

Batches = Iterable[pa.RecordBatch]

_NEEDS_QUOTES = re.compile(r'[",\r\n]|^$|^\s|\s$')
_LINE_BREAKS = str.maketrans("\r\n", "  ")
_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>#|])")


def write_lines(format_name: str, schema: pa.Schema, batches: Batches, stream: BinaryIO) -> int:
    """Write one of :data:`LINE_FORMATS` in UTF-8; answers the number of rows."""
    rows = 0

    def counted() -> Iterator[pa.RecordBatch]:
        nonlocal rows
        for batch in batches:
            rows += batch.num_rows
            yield batch

    for line in LINE_FORMATS[format_name](schema, counted()):
        stream.write(line.encode("utf-8", "replace"))
    return rows


def csv_lines(schema: pa.Schema, batches: Batches) -> Iterator[str]:
    """RFC 4180 with LF: a line of names, then one for each row."""
    yield ",".join(map(_quoted, schema.names)) + "\n"
    for batch in batches:
        for row in zip(*map(_csv_cells, batch.columns), strict=True):
            yield ",".join(row) + "\n"


def json_lines(schema: pa.Schema, batches: Batches) -> Iterator[str]:
    """One object for each row."""
    return (line + "\n" for line in _objects(schema, batches))


def json_array(schema: pa.Schema, batches: Batches) -> Iterator[str]:
    """One array, in which each row is an object on a line of its own."""
    before = "[\n"
    for line in _objects(schema, batches):
        yield before + line
        before = ",\n"
    yield "[]\n" if before == "[\n" else "\n]\n"


def markdown_lines(schema: pa.Schema, batches: Batches) -> Iterator[str]:
    """A table of GitHub's Markdown, numbers right aligned."""
    yield _markdown_row(map(_markdown_text, schema.names))
    yield _markdown_row("---:" if is_number(field.type) else "---" for field in schema)
    for batch in batches:
        for row in zip(*map(values_of, batch.columns), strict=True):
            yield _markdown_row("" if value is None else _markdown_text(plain_text(value)) for value in row)


def is_number(kind: pa.DataType) -> bool:
    """Whether values of that type are shown with their ends below each other."""
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def distinct(names: Iterable[str]) -> list[str]:
    """``names``, in which no two are equal: ``a``, ``a_1``."""
    taken: dict[str, None] = {}
    for name in names:
        candidate, number = name, 0
        while candidate in taken:
            number += 1
            candidate = f"{name}_{number}"
        taken[candidate] = None
    return list(taken)


def _csv_cells(column: pa.Array) -> list[str]:
    return ["" if value is None else _quoted(_csv_text(value)) for value in values_of(column)]


def _csv_text(value: Any) -> str:
    if isinstance(value, dict) and value.keys() == {"$bytes"}:
        return str(value["$bytes"])
    return value if isinstance(value, str) else json_text(value)


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if _NEEDS_QUOTES.search(text) else text


def _objects(schema: pa.Schema, batches: Batches) -> Iterator[str]:
    keys = [json.dumps(name) + ":" for name in distinct(schema.names)]
    for batch in batches:
        for row in zip(*map(_json_cells, batch.columns), strict=True):
            members = map(str.__add__, keys, row)
            yield escaped_json("{" + ",".join(members) + "}")


def _json_cells(column: pa.Array) -> list[str]:
    values = values_of(column)
    if column.type == JSON_TYPE:
        # Between its values JSON may have line breaks; inside of them there are none.
        return ["null" if text is None else text.translate(_LINE_BREAKS) for text in values]
    return [json_text(value) for value in values]


def _markdown_row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |\n"


def _markdown_text(text: str) -> str:
    return _MARKDOWN.sub(r"\\\1", plain_text(text))


LINE_FORMATS: dict[str, Callable[[pa.Schema, Batches], Iterator[str]]] = {
    "csv": csv_lines,
    "json": json_array,
    "jsonl": json_lines,
    "markdown": markdown_lines,
}
"""The text formats by name."""
