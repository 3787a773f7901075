"""One Parquet file being written: rows gathered into row groups, zstd, dictionaries where values repeat.

A row group is as large as :data:`GROUP_ROWS` or :data:`GROUP_BYTES` of Arrow data allow, whichever comes
first: large enough for readers to skip and compress well, small enough to bound memory.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, final

import pyarrow as pa
import pyarrow.parquet as pq

GROUP_ROWS = 1 << 17
GROUP_BYTES = 32 << 20

_COMPRESSION_LEVEL = 3
_FEW_VALUES = frozenset(
    {
        *(
            "severity_number",
            "severity_text",
            "event_name",
            "event_id",
            "service_name",
            "service_instance_id",
        ),
        *("scope_name", "scope_version", "scope_schema_url", "scope_attributes", "name", "status_message"),
        *(
            "trace_state",
            "trace_flags",
            "truncated",
            "level",
            "keyword",
            "process_id",
            "thread_id",
            "problems",
        ),
        *("metric_name", "description", "unit", "flags", "resource", "resource_schema_url", "scale"),
        *("id", "version", "channel", "opcode", "task", "processor", "dropped_attributes", "dropped_events"),
        *("dropped_links", "zero_threshold"),
    }
)
"""Columns worth a dictionary, beside those that are one already; others would only try it in vain."""


@final
class ParquetFile:
    """Writes batches of one schema to ``path``; nothing is complete before :meth:`close`."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        names = [field.name for field in schema if _repeats(field)]
        times = [field.name for field in schema if pa.types.is_timestamp(field.type)]
        self._writer = pq.ParquetWriter(
            str(path),
            schema,
            compression="zstd",
            compression_level=_COMPRESSION_LEVEL,
            use_dictionary=names,
            column_encoding=dict.fromkeys(times, "DELTA_BINARY_PACKED"),
        )
        self._schema = schema
        self._waiting: list[pa.RecordBatch] = []
        self._rows = 0
        self.waiting_bytes = 0

    def write(self, batch: pa.RecordBatch) -> None:
        """Add the rows of ``batch``."""
        self._waiting.append(batch)
        self._rows += batch.num_rows
        self.waiting_bytes += batch.nbytes
        if self._rows >= GROUP_ROWS or self.waiting_bytes >= GROUP_BYTES:
            self.flush()

    def flush(self) -> None:
        """Make a row group of what waits."""
        if self._rows:
            table = pa.Table.from_batches(self._waiting, self._schema)
            # A column chunk has one dictionary; batches come with one each.
            self._writer.write_table(table.unify_dictionaries(), row_group_size=self._rows)
        self._waiting.clear()
        self._rows = self.waiting_bytes = 0

    def close(self) -> None:
        """Write what waits, and the footer."""
        self.flush()
        self._writer.close()

    def abandon(self) -> None:
        """Give the file back, complete or not."""
        try:
            self._writer.close()
        except (OSError, pa.ArrowException):
            pass  # it is given up, most likely for the same reason


def _repeats(field: Any) -> bool:
    return pa.types.is_dictionary(field.type) or field.name in _FEW_VALUES
