"""The prompt of ``otel-etw sql``: queries over several lines, history, completion, a few commands.

Each table is decoded once, when the first query scans it, and kept.  Ctrl-C ends the line or the query,
Ctrl-D the prompt.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from prompt_toolkit import PromptSession
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

from otel_etw.cli.progress import Progress
from otel_etw.cli.running import os_error_text, warn
from otel_etw.cli.sql_completion import SqlCompleter
from otel_etw.cli.sql_history import History
from otel_etw.cli.sql_output import Shape, show
from otel_etw.cli.sql_schema import schema_lines
from otel_etw.cli.sql_text import is_complete
from otel_etw.errors import OtelEtwError
from otel_etw.outputs.numbers import counted, duration_text
from otel_etw.outputs.sql import Database
from otel_etw.outputs.terminal import Screen
from otel_etw.tables.schema import TABLES

if TYPE_CHECKING:
    from otel_etw.loading import Loaded

_MODES = ("table", "wide", "csv", "json", "jsonl", "markdown")
_HELP = (
    (".tables", "the tables, and how many rows those have that were decoded"),
    (".schema [TABLE]", "columns, types, and what they mean"),
    (f".mode {'|'.join(_MODES)}", "how results are shown"),
    (".rows N", "so many rows of a table are shown, 0 for all"),
    (".quit", "leave, as Ctrl-D"),
)


class Prompt:
    """Asks for queries and shows their results until told to stop."""

    def __init__(self, loaded: Loaded, shape: Shape) -> None:
        self._loaded = loaded
        self._shape = replace(shape, hints=(".rows 0", ".mode wide"))
        self._screen = Screen(sys.stdout)
        self._commands: dict[str, Callable[[str], None]] = {
            ".tables": self._tables,
            ".schema": self._schema,
            ".mode": self._mode,
            ".rows": self._rows,
            ".help": self._help,
        }

    def run(self) -> None:
        """Until ``.quit`` or Ctrl-D."""
        self._screen.line(
            ("SQL over ", ""), (", ".join(TABLES), "bold"), ("; a query ends with ; (.help for more)", "")
        )
        with Database(self._loaded.source(keep=True)) as database:
            session: PromptSession[str] = PromptSession(
                multiline=True,
                key_bindings=_enter_ends_what_is_complete(),
                prompt_continuation="  ...> ",
                history=History(),
                completer=SqlCompleter(database, (*self._commands, ".quit")),
            )
            while True:
                try:
                    text = session.prompt("  sql> ").strip()
                except KeyboardInterrupt:
                    continue
                except EOFError:
                    return
                if text in (".quit", ".exit"):
                    return
                self._answer(database, text)

    def _answer(self, database: Database, text: str) -> None:
        if not text:
            return
        if not text.startswith("."):
            self._query(database, text)
            return
        name, _, argument = text.partition(" ")
        command = self._commands.get(name.rstrip(";"))
        if command is None:
            warn(f"no such command: {name} (.help lists them)")
        else:
            command(argument.strip().rstrip(";"))

    def _query(self, database: Database, text: str) -> None:
        started = time.perf_counter()
        try:
            with Progress("reading", lambda: self._loaded.fraction) as progress:
                result = database.query(text)
                if result is not None:
                    show(result, self._shape, progress.stop)
        except KeyboardInterrupt:
            self._screen.line(("interrupted", "yellow"))
        except OtelEtwError as error:
            warn(str(error))
        except OSError as error:
            warn(os_error_text(error))
        else:
            self._screen.line((duration_text(int((time.perf_counter() - started) * 1e9)), "dim"))

    def _tables(self, _: str) -> None:
        width = max(map(len, TABLES))
        for table in TABLES:
            rows = self._loaded.rows_kept(table)
            said = "not decoded yet" if rows is None else counted(rows, "row")
            self._screen.line((f"{table:<{width}}", ""), (f"  {said}", "dim"))

    def _schema(self, table: str) -> None:
        if table and table not in TABLES:
            warn(f"no such table: {table} (there are {', '.join(TABLES)})")
            return
        for pieces, indent in schema_lines([table] if table else TABLES):
            self._screen.wrapped(pieces, indent)

    def _mode(self, mode: str) -> None:
        if mode not in _MODES:
            warn(f"expected one of {', '.join(_MODES)} after .mode")
            return
        wide = mode == "wide"
        self._shape = replace(self._shape, format="table" if wide else mode, wide=wide)

    def _rows(self, count: str) -> None:
        if not count.isascii() or not count.isdigit():
            warn("expected a number after .rows, 0 for all")
            return
        self._shape = replace(self._shape, max_rows=int(count))

    def _help(self, _: str) -> None:
        width = max(len(command) for command, _ in _HELP)
        for command, meaning in _HELP:
            self._screen.line((f"{command:<{width}}", "bold"), (f"  {meaning}", ""))
        self._screen.line(
            (
                "Everything else is SQL (DuckDB's) and ends with ; - times are UTC, attributes->>'key' gets",
                "dim",
            )
        )
        self._screen.line(("the value of an attribute. Ctrl-C ends a query, Tab completes names.", "dim"))


def _enter_ends_what_is_complete() -> KeyBindings:
    bindings = KeyBindings()

    @bindings.add("enter")
    def _enter(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        chosen = buffer.complete_state.current_completion if buffer.complete_state else None
        if chosen is not None:
            buffer.apply_completion(chosen)
        elif is_complete(buffer.text):
            buffer.validate_and_handle()
        else:
            buffer.insert_text("\n")

    return bindings
