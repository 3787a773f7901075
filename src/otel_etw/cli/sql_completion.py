"""What could come next at the prompt: commands, tables, columns, and the words and functions of DuckDB."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document

from otel_etw.tables.schema import COLUMNS

if TYPE_CHECKING:
    from otel_etw.outputs.sql import Database

_WORD = re.compile(r"[.\w]*\Z")
_MOST = 100
_OPEN_TEXT = re.compile(r"^(?:[^']|'[^']*')*'[^']*\Z")


class SqlCompleter(Completer):
    """Names that begin as the word before the cursor does, whatever the case of letters."""

    def __init__(self, database: Database, commands: Sequence[str]) -> None:
        self._commands = commands
        self._names = _names_of_tables()
        keywords, functions = database.words()
        self._words = [(word.upper(), "") for word in keywords] + [(name, "function") for name in functions]

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        """Tables and columns first; words of the language after the second letter."""
        before = document.text_before_cursor
        match = _WORD.search(before)
        typed = match[0] if match else ""
        if _OPEN_TEXT.match(before) or (not typed and not complete_event.completion_requested):
            return
        for number, (name, meta) in enumerate(self._fitting(before, typed)):
            if number == _MOST:
                return
            yield Completion(name, start_position=-len(typed), display_meta=meta)

    def _fitting(self, before: str, typed: str) -> Iterator[tuple[str, str]]:
        if before.lstrip().startswith("."):
            first = before.lstrip() == typed
            for name in self._commands if first else COLUMNS:
                if name.startswith(typed):
                    yield name, ""
            return
        table, dot, start = typed.rpartition(".")
        if dot:
            for column in COLUMNS.get(table.lower(), ()):
                if column.name.startswith(start.lower()):
                    yield f"{table}.{column.name}", ""
            return
        for name, meta in self._names + (self._words if len(typed) > 1 else []):
            if name.lower().startswith(typed.lower()):
                yield name, meta


def _names_of_tables() -> list[tuple[str, str]]:
    """Tables, then columns with the tables that have them."""
    where: dict[str, list[str]] = {}
    for table, columns in COLUMNS.items():
        for column in columns:
            where.setdefault(column.name, []).append(table)
    return [(table, "table") for table in COLUMNS] + [
        (name, ", ".join(tables)) for name, tables in where.items()
    ]
