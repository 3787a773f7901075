"""Finding the manifests of .NET EventSource providers among the records of a buffer. Pure."""

from __future__ import annotations

from otel_etw.etl import layout
from otel_etw.etl.context import TraceContext
from otel_etw.etl.damage import DamageKind
from otel_etw.etl.user_data import split_record
from otel_etw.etl.walking import Data, RecordKind, RecordShape, walk
from otel_etw.layouts.eventsource import MANIFEST_OPCODE, is_manifest_event
from otel_etw.tracelogging.types import EventDescriptor

# Opcode, task 0xFFFE, low seven bytes of the keyword; the eighth is for channels and has all bits or none.
_MARK = bytes([MANIFEST_OPCODE]) + b"\xfe\xff" + b"\xff" * 7
_PROVIDER = slice(0x18, 0x28)
_IDS = slice(0x08, 0x10)


def gather_manifests(data: Data, context: TraceContext) -> None:
    """Let ``context`` know every manifest in ``data``, the filled part of a buffer without its header.

    A buffer without one, as nearly all are, costs a search for ten bytes.
    """
    records = bytes(data) if isinstance(data, memoryview) else data
    if _MARK not in records:
        return
    for pos, size, shape, _ in walk(records, 0, _pass_over):
        if shape.kind is RecordKind.EVENT:
            _take(bytes(records[pos : pos + size]), shape, context)


def _take(record: bytes, shape: RecordShape, context: TraceContext) -> None:
    descriptor = EventDescriptor.from_bytes(record, layout.DESCRIPTOR_OFFSET)
    if not is_manifest_event(descriptor.id, descriptor.opcode):
        return
    parts = split_record(record, shape, context.schema)
    if parts.metadata is None:
        context.manifests.add(record[_PROVIDER], record[parts.payload_at :], source=record[_IDS])


def _pass_over(kind: DamageKind, pos: int, why: str) -> None:
    """Damage is noted by whoever delivers the records."""
