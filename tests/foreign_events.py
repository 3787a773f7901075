"""Events as the reader delivers them, out of records made here or of the cases in ``foreign.json``."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID

from etl_files import T0, buffer, event_record, trace_file
from otel_etw.etl.event import Event
from otel_etw.etl.reader import open_etl


def events_of(tmp_path: Path, *records: bytes) -> list[Event]:
    """The events of a file with just these records."""
    path = tmp_path / "made.etl"
    path.write_bytes(trace_file(buffer(records, 1 << 20), size=1 << 20))
    with open_etl(path) as trace:
        events = [event for event in trace if event.kind != "system"]
    assert len(events) == len(records)
    return events


def record_of_case(case: dict[str, Any], raw: int = T0) -> bytes:
    """The record of the event of one of the vectors' cases."""
    event = case["event"]
    descriptor = event["event_descriptor"]
    blobs = ((12, event["provider_traits"]), (11, event["event_metadata"]))
    numbers = {key: descriptor[key] for key in ("version", "channel", "level", "opcode", "task", "keyword")}
    return event_record(
        raw,
        bytes.fromhex(event["payload"]),
        provider=UUID(event["provider_guid"]),
        event_id=descriptor["id"],
        **numbers,
        items=[(kind, bytes.fromhex(blob)) for kind, blob in blobs if blob],
    )
