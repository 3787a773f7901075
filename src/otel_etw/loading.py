"""``load``: trace files as Arrow tables, decoded when they are asked for.

Strategy: ``logs``, ``spans`` and ``metric_points`` come from one pass over the files, ``events`` from
another, and both are kept; :meth:`Loaded.batches` streams and keeps nothing.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta, timezone
from typing import TypeAlias, final
from uuid import UUID

import pyarrow as pa

from otel_etw.errors import MissingExtraError
from otel_etw.tables.arguments import parse_level, parse_time
from otel_etw.tables.decoding import Decoding, decode
from otel_etw.tables.report import Report
from otel_etw.tables.schema import EVENTS, LOGS, METRIC_POINTS, SCHEMAS, SPANS, TABLES
from otel_etw.tables.selection import Selection

Time: TypeAlias = "datetime | str | int"
"""A point in time: Unix nanoseconds, a ``datetime`` (UTC if it has no zone), or text as the command line
takes it: ``2026-03-11T12:34:56Z``, ``2026-03-11`` (UTC), ``10m`` (before now)."""

_ONE_PASS = (LOGS, SPANS, METRIC_POINTS)
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def load(
    *paths: str | os.PathLike[str],
    since: Time | None = None,
    until: Time | None = None,
    providers: str | UUID | Iterable[str | UUID] | None = None,
    level: str | int | None = None,
    order: str = "time",
    jobs: int = 1,
    events_as_logs: bool = False,
) -> Loaded:
    """Trace files as tables: files, directories, globs, ``.zip``, ``.gz`` and ``.zst`` archives of them.

    ``since`` is included, ``until`` is not; both are held against a row's own ``time``. ``providers`` are
    names (wildcards ``*`` and ``?``, whatever the case of letters) or GUIDs. ``level`` is the most verbose
    ETW level wanted, as a number or ``"critical"``, ``"error"``, ``"warning"``, ``"info"``, ``"verbose"``;
    events of level 0 pass. ``order`` is ``"time"`` over all files, or ``"file"``: as stored, file after file.
    ``jobs`` processes decode. ``events_as_logs`` has events that are no OpenTelemetry data in ``logs``, too.

    Opens each file, but decodes nothing yet. Raises ``OSError`` for a file that cannot be read, and for a
    glob that nothing fits, :class:`.TraceFileError` for one that is no trace, ``ValueError`` for arguments.
    """
    if not paths:
        raise ValueError("expected at least one path")
    now = time.time_ns()
    selection = Selection(
        since_unix_nano=None if since is None else _unix_nano("since", since, now),
        until_unix_nano=None if until is None else _unix_nano("until", until, now),
        providers=_provider_texts(providers),
        level=None if level is None else _level(level),
    )
    return Loaded([os.fspath(path) for path in paths], selection, order, jobs, events_as_logs)


def _no_check() -> None:
    """Nobody waits for a chance to stop."""


@final
class Loaded:
    """Tables of trace files; made by :func:`load`. Several threads may use it.

    The files stay open as long as it lives.
    """

    def __init__(
        self, paths: Sequence[str], selection: Selection, order: str, jobs: int, events_as_logs: bool
    ) -> None:
        # Open for good: standard input is read, and an archive unpacked, only once.
        self._files = decode(
            paths, tables=(), selection=selection, order=order, jobs=jobs, events_as_logs=events_as_logs
        )
        self._report = self._files.report
        self._kept: dict[str, pa.Table] = {}
        self._keeping = threading.RLock()
        self._stepping = threading.Lock()
        self._passes: list[Decoding] = []
        self._read_to_end = False

    def __repr__(self) -> str:
        tables = [
            f"{table}: {'not decoded yet' if rows is None else f'{rows:,} rows'}"
            for table, rows in ((table, self.rows_kept(table)) for table in TABLES)
        ]
        first, *others = [file.path for file in self._report.files]
        files = f"{first!r} and {len(others)} more" if others else repr(first)
        damaged = ", damaged" if self._report else ""
        return f"<Loaded {files}{damaged}; {', '.join(tables)}>"

    @property
    def logs(self) -> pa.Table:
        """Log records."""
        return self.table(LOGS)

    @property
    def spans(self) -> pa.Table:
        """Spans, at the time of their end."""
        return self.table(SPANS)

    @property
    def metric_points(self) -> pa.Table:
        """Data points of metrics, one row each."""
        return self.table(METRIC_POINTS)

    @property
    def events(self) -> pa.Table:
        """Every ETW event, those that make rows of the other tables too."""
        return self.table(EVENTS)

    @property
    def report(self) -> Report:
        """What is missing of the files: damage, lost events. True if there is damage.

        Of what was decoded until now: complete when any table is, of the headers alone before.
        """
        return self._report

    @property
    def notes(self) -> list[str]:
        """What of directories and archives is no trace and was passed over, in words."""
        return list(self._files.notes)

    @property
    def fraction(self) -> float:
        """How far the decoding that is under way has come, 0 to 1."""
        passes = list(self._passes)
        if not passes:
            return float(self._read_to_end)
        return sum(decoding.fraction for decoding in passes) / len(passes)

    def table(self, table: str) -> pa.Table:
        """The table of that name, decoded on first use and kept."""
        _check_table(table)
        self._rows(table)
        return self._kept[table]

    def batches(self, table: str) -> pa.RecordBatchReader:
        """The rows of a table as a stream, for what is larger than memory; nothing of it is kept."""
        _check_table(table)
        return pa.RecordBatchReader.from_batches(SCHEMAS[table], self._streamed(table))

    def sql(self, query: str, *, keep: bool = True) -> pa.Table:
        """The result of a query in DuckDB's SQL over ``logs``, ``spans``, ``metric_points`` and ``events``.

        JSON columns answer ``attributes->>'key'``. Times are ``TIMESTAMP_NS`` in UTC within SQL. Only tables
        that the query scans are decoded, and kept as those of :attr:`logs`; with ``keep=False`` they are
        streamed, which needs little memory, and decoded anew by the next query. Of several statements, the
        last one with a result counts.

        Raises :class:`.QueryError`; ``MissingExtraError`` if DuckDB is not installed.
        """
        try:
            from otel_etw.outputs.sql import run_query
        except ModuleNotFoundError as missing:
            raise MissingExtraError(
                f'SQL needs the module {missing.name!r}; install it with: pip install "otel-etw[tools]"'
            ) from missing
        return run_query(self.source(keep=keep), query)

    def source(self, *, keep: bool) -> Callable[[str, Callable[[], None]], Iterable[pa.RecordBatch]]:
        """What ``outputs.sql`` asks for rows, which are kept, or streamed anew each time."""
        return self._rows if keep else self._streamed

    def _rows(self, table: str, check: Callable[[], None] = _no_check) -> Iterable[pa.RecordBatch]:
        with self._keeping:
            if table not in self._kept:
                self._keep(_ONE_PASS if table in _ONE_PASS else (table,), check)
            batches: list[pa.RecordBatch] = self._kept[table].to_batches()
        return batches

    def _streamed(self, table: str, check: Callable[[], None] = _no_check) -> Iterator[pa.RecordBatch]:
        kept = self._kept.get(table)
        if kept is not None:
            yield from kept.to_batches()
            return
        for batches in self._pass((table,)):
            check()
            if batches[table].num_rows:
                yield batches[table]

    def rows_kept(self, table: str) -> int | None:
        """How many rows the table has; ``None`` if it is not decoded and kept."""
        kept = self._kept.get(table)
        return None if kept is None else kept.num_rows

    def steps(self, tables: Sequence[str] = TABLES) -> Iterator[dict[str, pa.RecordBatch]]:
        """The rows of several tables as a stream from one pass over the files; nothing of it is kept."""
        for table in tables:
            _check_table(table)
        return self._pass(tuple(tables))

    def _keep(self, tables: tuple[str, ...], check: Callable[[], None]) -> None:
        found: dict[str, list[pa.RecordBatch]] = {table: [] for table in tables}
        for batches in self._pass(tables):
            check()
            for table, batch in batches.items():
                if batch.num_rows:
                    found[table].append(batch)
        for table, kept in found.items():
            self._kept[table] = pa.Table.from_batches(kept, SCHEMAS[table])

    def _pass(self, tables: tuple[str, ...]) -> Iterator[dict[str, pa.RecordBatch]]:
        """One reading of the files; its report becomes ours unless a better one is there."""
        decoding = self._files.of_tables(tables)
        self._passes.append(decoding)
        try:
            steps = iter(decoding)
            while True:
                # Passes that run at the same time share open files and what was learned of their events.
                with self._stepping:
                    step = next(steps, None)
                if step is None:
                    break
                yield step
            self._note(decoding.report, read_to_end=True)
        finally:
            self._passes.remove(decoding)
            self._note(decoding.report, read_to_end=False)

    def _note(self, report: Report, *, read_to_end: bool) -> None:
        """A pass knows the damage of the rows it made: the one that has found most is what we report."""
        if read_to_end > self._read_to_end or (
            read_to_end >= self._read_to_end and _places(report) >= _places(self._report)
        ):
            self._report = report
            self._read_to_end = read_to_end


def _places(report: Report) -> int:
    return sum(report.counts.values())


def _check_table(table: str) -> None:
    if table not in TABLES:
        raise ValueError(f"expected a table out of {', '.join(TABLES)}, found {table!r}")


def _unix_nano(argument: str, moment: Time, now_unix_nano: int) -> int:
    if isinstance(moment, datetime):
        aware = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
        # What pandas' subclass knows beyond microseconds.
        below_microsecond = getattr(moment, "nanosecond", 0)
        return (aware - _EPOCH) // timedelta(microseconds=1) * 1000 + int(below_microsecond)
    if isinstance(moment, str):
        try:
            return parse_time(moment, now_unix_nano=now_unix_nano)
        except ValueError as problem:
            raise ValueError(f"{argument}: {problem}") from None
    if isinstance(moment, int) and not isinstance(moment, bool):
        return moment
    raise TypeError(f"{argument}: expected a datetime, text or Unix nanoseconds, found {moment!r}")


def _level(level: str | int) -> int:
    try:
        return parse_level(str(level))
    except ValueError as problem:
        raise ValueError(f"level: {problem}") from None


def _provider_texts(providers: str | UUID | Iterable[str | UUID] | None) -> tuple[str, ...]:
    if providers is None:
        return ()
    return tuple(map(str, [providers] if isinstance(providers, (str, UUID)) else providers))
