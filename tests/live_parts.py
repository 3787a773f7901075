"""Events of trace files as the parts in which Windows hands them to a listener."""

from __future__ import annotations

import struct

from otel_etw.etl.event import Event
from otel_etw.etl.layout import ExtendedType, HeaderType
from otel_etw.etl.walking import extended_items

FLAGS_64, FLAGS_32, CLASSIC, MESSAGE = 0x40, 0x20, 0x100, 0x08

Parts = tuple[bytes, list[tuple[int, bytes]], bytes]
"""``EVENT_HEADER``, extended items, user data."""


def header(
    *, flags: int = FLAGS_64, thread: int = 11, process: int = 22, time: int = 133_000_000_000_000_000,
    provider: bytes = bytes(range(16)), descriptor: bytes = struct.pack("<HBBBBHQ", 1, 2, 3, 4, 5, 6, 7),
    cpu: int = 0x0000_0008_0000_0009, activity: bytes = bytes(16),
) -> bytes:  # fmt: skip
    """An ``EVENT_HEADER`` as ``ProcessTrace`` gives it, with nothing in Size and HeaderType."""
    return struct.pack(
        "<HHHHIIq16s16sQ16s", 0, 0, flags, 0, thread, process, time, provider, descriptor, cpu, activity
    )


def parts_of(event: Event) -> Parts:
    """What ``ProcessTrace`` would make of an event of a file (``event`` and ``classic`` kinds)."""
    record = event.record
    flags = FLAGS_32 if event.record_kind.endswith("32") else FLAGS_64
    time = event.timestamp_filetime
    if event.kind == "event":
        items, user_data = items_and_data(record)
        flags |= struct.unpack_from("<H", record, 4)[0]
        start = struct.pack("<HHH", 0, 0, flags) + record[6:0x10] + struct.pack("<q", time)
        return start + record[0x18:0x50], items, user_data
    assert event.kind in ("classic", "instance"), event.kind
    opcode, level, version = record[4], record[5], record[6]
    descriptor = struct.pack("<HBBBBHQ", 0, version, 0, level, opcode, 0, 0)
    is_instance = record[2] in (HeaderType.INSTANCE32, HeaderType.INSTANCE64)
    items = [(int(ExtendedType.INSTANCE_INFO), record[0x30:0x48])] if is_instance else []
    whole = (
        struct.pack("<HHHH", 0, 0, flags | CLASSIC, 0)
        + record[8:0x10]
        + struct.pack("<q", time)
        + record[0x18:0x28]
        + descriptor
        + record[0x28:0x30]
        + bytes(16)
    )
    return whole, items, record[0x48 if is_instance else 0x30 :]


def items_and_data(record: bytes) -> tuple[list[tuple[int, bytes]], bytes]:
    """Extended items and user data of an ``event`` record."""
    found = extended_items(record, 0x50) if record[4] & 1 else None
    return ([], record[0x50:]) if found is None else (list(found.items), record[found.end :])
