"""Batches as OTLP records, as the Collector's file exporter writes and its file receivers read them.

JSON: one ``LogsData``, ``TracesData`` or ``MetricsData`` on each line (OpenTelemetry Protocol File Exporter).
Protobuf: the same messages, each after its length as an unsigned 32-bit number, big endian (README of the
Collector's fileexporter, "File Format").

A Collector cuts lines off at 1 MiB unless told otherwise (``max_log_size``), so a record is made of fewer
rows when it would be longer, down to a single one.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

import pyarrow as pa
from google.protobuf.message import Message

from otel_etw.outputs.otlp import json_line, logs_data, metrics_data, traces_data
from otel_etw.tables.schema import LOGS, METRIC_POINTS, SPANS

MOST_RECORD_BYTES = 1 << 20
_RECORD_ROWS = 512
_LENGTH = struct.Struct(">I")

_MESSAGES: dict[str, Callable[[pa.RecordBatch], Message]] = {
    LOGS: logs_data,
    SPANS: traces_data,
    METRIC_POINTS: metrics_data,
}


def otlp_json_lines(table: str, batch: pa.RecordBatch) -> Iterator[bytes]:
    """The rows of ``batch`` as lines."""
    return _records(batch, _MESSAGES[table], json_line)


def otlp_proto_records(table: str, batch: pa.RecordBatch) -> Iterator[bytes]:
    """The rows of ``batch`` as messages with their lengths."""
    return _records(batch, _MESSAGES[table], _framed)


def _records(
    batch: pa.RecordBatch,
    message_of: Callable[[pa.RecordBatch], Message],
    record_of: Callable[[Message], bytes],
) -> Iterator[bytes]:
    for start in range(0, batch.num_rows, _RECORD_ROWS):
        waiting = [batch.slice(start, _RECORD_ROWS)]
        while waiting:
            part = waiting.pop()
            record = record_of(message_of(part))
            half = part.num_rows // 2
            if len(record) > MOST_RECORD_BYTES and half:
                waiting += [part.slice(half), part.slice(0, half)]
            else:
                yield record


def _framed(message: Message) -> bytes:
    data = message.SerializeToString()
    return _LENGTH.pack(len(data)) + data
