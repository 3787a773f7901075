"""Trace files built byte by byte from the format description, independently of the package's own writer.

``trace_file(buffer([...]), ...)`` gives a file's bytes; ``*_record`` give records.  All numbers are
written here as the description has them, so that a wrong constant in the package shows.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from uuid import UUID

from xpress_encoder import compress

START_FILETIME = 133_000_000_000_000_000
T0 = 1_000_000_000
"""Raw time of the trace header record of files made here."""
PERF_FREQ = 10_000_000

PROVIDER = UUID("12345678-9abc-def0-1122-334455667788")
ACTIVITY = UUID("a0a1a2a3-a4a5-a6a7-a8a9-aaabacadaeaf")


def event_record(
    raw: int,
    data: bytes = b"",
    *,
    provider: UUID = PROVIDER,
    event_id: int = 0,
    version: int = 0,
    channel: int = 0,
    level: int = 4,
    opcode: int = 0,
    task: int = 0,
    keyword: int = 0,
    process_id: int = 100,
    thread_id: int = 200,
    activity: UUID | None = None,
    items: Sequence[tuple[int, bytes]] = (),
    header_type: int = 0x13,
    flags: int | None = None,
) -> bytes:
    """An EVENT_HEADER record (header type 0x12 for a 32-bit process, 0x0D for an error record)."""
    extended = extended_items(items)
    size = 0x50 + len(extended) + len(data)
    if flags is None:
        flags = 1 if items else 0
    header = struct.pack("<HBBHHIIq", size, header_type, 0xC0, flags, 0, thread_id, process_id, raw)
    header += provider.bytes_le
    header += struct.pack("<HBBBBHQ", event_id, version, channel, level, opcode, task, keyword)
    header += struct.pack("<II", 0, 0) + (activity.bytes_le if activity else bytes(16))
    return header + extended + data


def extended_items(items: Sequence[tuple[int, bytes]]) -> bytes:
    """The chain of extended items, each but the last with its linkage bit."""
    chain = b""
    for number, (item_type, data) in enumerate(items):
        size = (8 + len(data) + 7) // 8 * 8
        more = int(number + 1 < len(items))
        chain += (struct.pack("<HHHH", size, item_type, more, len(data)) + data).ljust(size, b"\0")
    return chain


def traits_blob(name: str) -> bytes:
    """Provider traits with nothing but the name."""
    text = name.encode() + b"\0"
    return struct.pack("<H", 2 + len(text)) + text


def metadata_blob(name: str, fields: Sequence[tuple[str, int]]) -> bytes:
    """TraceLogging event metadata: fields as (name, in-type), no out-types, no tags."""
    body = b"\0" + name.encode() + b"\0"
    for field_name, in_type in fields:
        body += field_name.encode() + b"\0" + bytes([in_type])
    return struct.pack("<H", 2 + len(body)) + body


def tracelogging_record(
    raw: int,
    name: str = "Made",
    fields: Sequence[tuple[str, int]] = (("n", 8),),
    payload: bytes = b"\x2a\0\0\0",
    *,
    provider_name: str = "MadeProvider",
    items: Sequence[tuple[int, bytes]] = (),
    header_type: int = 0x13,
    level: int = 4,
) -> bytes:
    """A self-describing event as today's Windows stores it: items 12 and 11, then the payload."""
    blobs = [*items, (12, traits_blob(provider_name)), (11, metadata_blob(name, fields))]
    return event_record(raw, payload, channel=11, items=blobs, header_type=header_type, level=level)


def system_record(raw: int, hook: int, data: bytes = b"", *, bits: int = 64, version: int = 2) -> bytes:
    """SYSTEM_TRACE_HEADER, process 100, thread 200."""
    return (
        struct.pack("<HBBHHIIqII", version, bits // 32, 0xC0, 0x20 + len(data), hook, 200, 100, raw, 3, 4)
        + data
    )


def compact_record(raw: int, hook: int, data: bytes = b"", *, bits: int = 64) -> bytes:
    """The system header without CPU times."""
    return struct.pack("<HBBHHIIq", 2, 2 + bits // 32, 0xC0, 0x18 + len(data), hook, 200, 100, raw) + data


def perfinfo_record(raw: int, hook: int, data: bytes = b"", *, bits: int = 64, version: int = 2) -> bytes:
    """PERFINFO_TRACE_HEADER: no process, no thread."""
    return struct.pack("<HBBHHq", version, 0x0F + bits // 32, 0xC0, 0x10 + len(data), hook, raw) + data


def classic_record(
    raw: int,
    opcode: int,
    data: bytes = b"",
    *,
    provider: UUID = PROVIDER,
    level: int = 4,
    version: int = 1,
    bits: int = 64,
    instance: tuple[int, int, UUID] | None = None,
) -> bytes:
    """EVENT_TRACE_HEADER, or EVENT_INSTANCE_HEADER with ``instance`` (id, parent id, parent GUID)."""
    header_type = {(64, False): 0x14, (32, False): 0x0A, (64, True): 0x15, (32, True): 0x0B}[
        bits, bool(instance)
    ]
    extra = b""
    if instance:
        extra = struct.pack("<II", instance[0], instance[1]) + instance[2].bytes_le
    size = 0x30 + len(extra) + len(data)
    head = struct.pack("<HBBBBHIIq", size, header_type, 0xC0, opcode, level, version, 200, 100, raw)
    return head + provider.bytes_le + struct.pack("<II", 0, 0) + extra + data


def message_record(
    number: int,
    data: bytes = b"",
    *,
    raw: int | None = None,
    guid: UUID | None = None,
    ids: tuple[int, int] | None = None,
    sequence: int | None = None,
    component: int | None = None,
    flags: int = 0,
    marker: int = 0x90,
    header_type: int = 0,
) -> bytes:
    """A WPP record with the parts given; ``ids`` are (thread, process)."""
    body = b""
    if sequence is not None:
        flags, body = flags | 0x01, body + struct.pack("<I", sequence)
    if guid is not None:
        flags, body = flags | 0x02, body + guid.bytes_le
    if component is not None:
        flags, body = flags | 0x04, body + struct.pack("<I", component)
    if raw is not None:
        flags, body = flags | 0x08, body + struct.pack("<q", raw)
    if ids is not None:
        flags, body = flags | 0x20, body + struct.pack("<II", *ids)
    size = 8 + len(body) + len(data)
    return struct.pack("<HBBHH", size, header_type, marker, number, flags) + body + data


def buffer(
    records: Iterable[bytes],
    size: int = 4096,
    *,
    sequence: int = 1,
    processor: int = 0,
    flags: int = 0x20,
    buffer_type: int = 0,
    filled: int | None = None,
    saved: int | None = None,
    compressed: bool = False,
) -> bytes:
    """One buffer; ``size`` does not count for a compressed one."""
    body = b"".join(record + bytes(-len(record) % 8) for record in records)
    actually_filled = 0x48 + len(body)
    stored = body
    if compressed:
        flags |= 0x40
        stored = compress(body)
        size = 0x48 + len(stored)
    elif actually_filled > size:
        raise ValueError(f"{actually_filled} bytes do not fit a buffer of {size}")
    if filled is None:
        filled = actually_filled
    header = struct.pack(
        "<IIIiqqQHHIIHH16x",
        size, filled if saved is None else saved, 0, 0, 0, sequence,
        0, processor, 0, 3, filled, flags, buffer_type,
    )  # fmt: skip
    return (header + stored).ljust(size, b"\xff")


def trace_header_record(
    *,
    bits: int = 64,
    buffer_size: int = 4096,
    layout: tuple[int, int] = (1, 5),
    end_filetime: int = START_FILETIME + 600_000_000,
    mode: int = 1,
    buffers_written: int = 1,
    events_lost: int = 0,
    buffers_lost: int = 0,
    processors: int = 4,
    cpu_mhz: int = 2000,
    perf_freq: int = PERF_FREQ,
    clock_type: int = 1,
    first_raw: int = T0,
    start_filetime: int = START_FILETIME,
    bias: int = -60,
    max_file_size: int = 0,
    session: str = "made",
    log_file: str = "C:\\made.etl",
    version: int = 2,
) -> bytes:
    """The first record of a file."""
    body = struct.pack("<I4B", buffer_size, 10, 0, *layout)
    body += struct.pack("<IIQI", 19045, processors, end_filetime, 156250)
    body += struct.pack("<IIII", max_file_size, mode, buffers_written, 1)
    body += struct.pack("<III", bits // 8, events_lost, cpu_mhz)
    body += bytes(16 if bits == 64 else 8)
    body += struct.pack("<i168x4x", bias)
    body += struct.pack("<QQQII", start_filetime - 1000, perf_freq, start_filetime, clock_type, buffers_lost)
    assert len(body) == (0x118 if bits == 64 else 0x110)
    body += (session + "\0" + log_file + "\0").encode("utf-16-le")
    return system_record(first_raw, 0, body, bits=bits, version=version)


def header_buffer(size: int = 4096, more: Iterable[bytes] = (), **header: object) -> bytes:
    """The first buffer: the trace header record, and ``more`` records after it."""
    header.setdefault("buffer_size", size)
    record = trace_header_record(**header)  # type: ignore[arg-type]
    return buffer([record, *more], size, sequence=0, flags=0x21, buffer_type=4)


def trace_file(*buffers: bytes, size: int = 4096, **header: object) -> bytes:
    """A whole file: a header buffer with ``header`` facts, then ``buffers``."""
    header.setdefault("buffers_written", 1 + len(buffers))
    return header_buffer(size, **header) + b"".join(buffers)
