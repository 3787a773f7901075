"""What two readers that others wrote find in a trace file: ``etl-parser`` and ``dissect.etl`` from PyPI.

Their faults that matter here (both read files of Windows with them, too):

* etl-parser raises on a data buffer without records and drops a last buffer that is cut short; its
  header times are wrong (it leaves out four bytes of padding), so only the raw clock is compared.
* dissect.etl goes by BuffersWritten of the header, prints provider ids byte-swapped, takes the
  first payload bytes for further extended items (the linkage bit is read here), and rounds times
  through floating point.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

EVENT_SCHEMA_TL = 11


class SeenEvent(NamedTuple):
    """An event as all readers can tell it. ``name`` is that of the TraceLogging metadata, if there is one."""

    provider_id: UUID
    id: int
    level: int
    name: str | None
    raw_time: int
    thread_id: int
    process_id: int
    payload: bytes


class _Collector:
    """An observer of etl-parser."""

    def __init__(self) -> None:
        self.events: list[SeenEvent] = []

    def on_event_record(self, event: Any) -> None:
        header = event.source.event_header
        guid = header.provider_id.inner
        items = event.source.extended_data or []
        self.events.append(
            SeenEvent(
                UUID(fields=(guid.data1, guid.data2, guid.data3, *_guid_tail(guid.data4))),
                header.event_descriptor.Id,
                header.event_descriptor.Level,
                _name([(item.ext_type, bytes(item.data_item)) for item in items]),
                event.get_timestamp(),
                event.get_thread_id(),
                event.get_process_id(),
                bytes(event.source.user_data),
            )
        )

    def on_trace_record(self, event: Any) -> None:
        raise AssertionError(f"a record that no session writes: {event}")

    on_perfinfo_trace = on_win_trace = on_trace_record

    def on_system_trace(self, event: Any) -> None:
        """What takes the place of events while a circular file is overwritten; see ``etl.recycling``."""
        assert str(event.source.system_header.header.group) == "EVENT_TRACE_GROUP_SPARE1"


def _guid_tail(data4: Any) -> tuple[int, int, int]:
    tail = bytes(data4)
    return tail[0], tail[1], int.from_bytes(tail[2:], "big")


def read_with_etl_parser(path: str | os.PathLike[str]) -> list[SeenEvent]:
    """Every event ``etl-parser`` finds, in file order; the reader's own exceptions pass."""
    from etl.etl import build_from_stream  # takes seconds: only where it is used

    collector = _Collector()
    build_from_stream(Path(path).read_bytes()).parse(collector)
    return collector.events


def read_with_dissect(path: str | os.PathLike[str]) -> list[SeenEvent]:
    """Every event ``dissect.etl`` finds, in file order; the reader's own exceptions pass."""
    from dissect.etl import ETL
    from dissect.etl.headers.event import EventHeader

    events = []
    with open(path, "rb") as file:
        for record in ETL(file):
            header = record.header
            if isinstance(header, EventHeader):
                events.append(_from_dissect(header))
    return events


def _from_dissect(header: Any) -> SeenEvent:
    from dissect.etl.headers.event import EventHeaderExtendedDataItem

    payload = bytes(header.payload)
    items = []
    position = 0
    more = bool(header.header.Flags & 1)
    while more:
        item = EventHeaderExtendedDataItem(payload[position:])
        more = bool(payload[position + 4] & 1)
        items.append((int(item.ext_type), bytes(item.raw_data)[: item.data_size]))
        position += item.size
    return SeenEvent(
        UUID(bytes_le=header.provider_id.bytes),
        header.descriptor.id,
        header.descriptor.level,
        _name(items),
        header.time_delta,
        header.thread_id,
        header.process_id,
        payload[position:],
    )


def _name(items: list[tuple[int, bytes]]) -> str | None:
    for kind, data in items:
        if kind == EVENT_SCHEMA_TL:
            return data[3 : data.index(b"\0", 3)].decode()
    return None


READERS: dict[str, Callable[[str | os.PathLike[str]], list[SeenEvent]]] = {
    "etl-parser": read_with_etl_parser,
    "dissect.etl": read_with_dissect,
}
