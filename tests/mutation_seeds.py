"""Small trace files to be damaged: real ones, and made ones with every kind of record and every producer."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from uuid import UUID

from etl_files import (
    ACTIVITY,
    T0,
    buffer,
    classic_record,
    compact_record,
    event_record,
    message_record,
    perfinfo_record,
    system_record,
    trace_file,
    tracelogging_record,
    traits_blob,
)
from metric_encoders import requests, usual_metrics
from otel_etw.layouts.common_schema import (
    LinkFields,
    LogFields,
    ResourceFacts,
    SpanFields,
    encode_log,
    encode_span,
)
from otel_etw.layouts.encoded import EncodedEvent
from otel_etw.layouts.otlp_metrics import PointEncoder
from otel_etw.tracelogging.encode import EventBuilder
from otel_etw.tracelogging.provider_id import METRICS_PROVIDER_ID, provider_id
from shared_files import SHARED
from xpress_encoder import compress

BUFFER_BYTES = 4096
SMALL_CORPUS = (
    "SelfDescribingSingleEvent.etl",
    "primitive-types.etl",
    "WindowsUpdate.20251008.140245.443.8.etl",
    "waasmedic.20251005_113019_195.etl",
)
FACTS = ResourceFacts("shop", "shop-1", (("region", "eu"),))
START_NS = 1_784_000_000_000_000_000
NAME = "Mutated"

MANIFEST = (
    '<instrumentationManifest xmlns="http://schemas.microsoft.com/win/2004/08/events"><instrumentation><events>'
    '<provider name="Made-Source" guid="{5ba6b90c-72e5-4f1b-8e0e-b3c1d0f2a4c6}" resourceFileName="Made"'
    ' messageFileName="Made" symbol="MadeSource"><tasks><task name="Started" value="65533"/></tasks>'
    '<events><event value="1" version="0" level="win:Informational" symbol="Started" task="Started"'
    ' template="StartedArgs"/></events><templates><template tid="StartedArgs">'
    '<data name="name" inType="win:UnicodeString"/><data name="count" inType="win:Int32"/>'
    '<data name="id" inType="win:GUID"/><data name="ratio" inType="win:Double"/>'
    "</template></templates></provider></events></instrumentation></instrumentationManifest>"
)
MANIFEST_PROVIDER = UUID("5ba6b90c-72e5-4f1b-8e0e-b3c1d0f2a4c6")


def seeds() -> dict[str, bytes]:
    """Name -> file. Those of the corpus are there only where the corpus is."""
    made = {name: list(make()) for name, make in _MADE.items()}
    found = {name: _file(records) for name, records in made.items()}
    found["all kinds"] = _file([record for records in made.values() for record in records[::3]])
    found["all kinds, compressed"] = _file(
        [record for records in made.values() for record in records[1::3]], compressed=True
    )
    for name in SMALL_CORPUS:
        path = SHARED / "corpus" / name
        if path.exists():
            found[name] = path.read_bytes()
    return found


def _file(records: Iterable[bytes], *, compressed: bool = False) -> bytes:
    """As many buffers as it takes, from two processors in turn."""
    groups: list[list[bytes]] = [[]]
    room = BUFFER_BYTES - 72
    for record in records:
        size = (len(record) + 7) // 8 * 8
        if size > room:
            groups.append([])
            room = BUFFER_BYTES - 72
        groups[-1].append(record)
        room -= size
    parts = [
        buffer(group, BUFFER_BYTES, sequence=number + 1, processor=number % 2, compressed=compressed)
        for number, group in enumerate(groups)
    ]
    return trace_file(*parts, size=BUFFER_BYTES, mode=0x04010001 if compressed else 1)


def _logs() -> Iterator[bytes]:
    """Every attribute type, with and without context, text that is not ASCII, one event that was cut."""
    values: list[dict[str, object]] = [
        {"text": "tea", "count": 3, "ratio": 0.5, "fine": True, "raw": b"\0\xff", "none": None},
        {"list": [1, 2], "map": {"a": [None, "b"]}, "nan": float("nan"), "huge": 2**70},
        {"text": "Grüße aus 東京", "event_id": 7, "empty": ""},
    ]
    for number in range(15):
        record = LogFields(
            START_NS + number * 10**6,
            severity_number=1 + number * 2 % 24,
            severity_text="WARN",
            body=[f"body {number}", number, 0.25, None, b"bytes", ["a", 1]][number % 6],
            event_name=None if number % 4 else "made",
            trace_id=0x1234 + number if number % 3 else None,
            span_id=0x5678 if number % 3 else None,
            attributes=values[number % 3],
        )
        yield _record(number, encode_log(record, FACTS if number % 2 else None))
    cut = encode_log(LogFields(START_NS, body="b" * 3000, attributes={"k": "v" * 3000}), max_event_bytes=900)
    yield _record(15, cut)


def _spans() -> Iterator[bytes]:
    link = LinkFields(7, 8, {"why": "retry", "n": 1}, "a=b", 2)
    for number in range(12):
        span = SpanFields(
            f"GET /{number}",
            0xABCDEF + number // 4,
            0x100 + number,
            START_NS,
            START_NS + 10**6 * number,
            parent_span_id=0x100 if number % 4 else None,
            kind=number % 5,
            is_error=number % 3 == 0,
            status_is_ok=number % 3 == 1,
            status_description="it broke" if number % 3 == 0 else None,
            attributes={"http.request.method": "GET", "http.route": "/x", "n": number, "list": ["a", "b"]},
            links=[link, LinkFields(9, 10)] if number % 2 else (),
            trace_state="k=v",
            trace_flags=1,
            dropped_events=number,
            scope_name="scope",
            scope_attributes={"s": 1},
        )
        yield _record(number, encode_span(span, FACTS, extended=number % 2 == 1))


def _metrics() -> Iterator[bytes]:
    for number, request in enumerate(requests(PointEncoder(), *usual_metrics())):
        yield event_record(
            T0 + number, request, provider=METRICS_PROVIDER_ID, event_id=81, keyword=1,
            items=[(12, traits_blob("otlp")), (11, b"\x10\0\0otlp_metrics\0")],
        )  # fmt: skip


def _tracelogging() -> Iterator[bytes]:
    """Every in-type, arrays of fixed and variable count, structs in structs; and a 32-bit process."""
    for number in range(14):
        inner = EventBuilder("Inner")
        inner.add_u8("a", number)
        yield tracelogging_record(
            T0 + number, "Types", _ALL_TYPES, _ALL_VALUES, header_type=0x12 if number % 5 == 0 else 0x13
        )
        metadata = (
            b"\0Nested\0" + b"s\0\x98\x02" + b"t\0\x98\x01" + b"n\0\x08" + b"l\0\x4a" + b"c\0\x24\x03\0"
        )
        blob = struct.pack("<H", 2 + len(metadata)) + metadata
        payload = struct.pack("<IH2q3B", number, 2, number, -1, 1, 2, 3)
        yield event_record(T0 + number, payload, channel=11, items=[(12, traits_blob("Made")), (11, blob)])
        # Before Windows 10 the description stood in front of the payload.
        yield event_record(T0 + number, traits_blob("Made") + blob + payload, channel=11)


_ALL_TYPES = [(f"t{number}", number) for number in (*range(1, 26),) if number != 24]
_ALL_VALUES = (
    "wide\0".encode("utf-16-le") + b"narrow\0"
    + struct.pack("<bBhHiIqQfdi", -1, 1, -2, 2, -3, 3, -4, 4, 0.5, 0.25, 1)
    + b"\x03\0bin" + ACTIVITY.bytes_le + bytes(8)
    + struct.pack("<Q8H", 0x01D7A58B4DFA1070, 2021, 9, 4, 9, 14, 59, 35, 799)
    + b"\x01\x01\0\0\0\0\0\x05\x12\0\0\0" + struct.pack("<IQ", 5, 6)
    + b"\x04\0a\0b\0" + b"\x03\0abc" + b"\x02\0xy"
)  # fmt: skip


def _other_records() -> Iterator[bytes]:
    """Every record kind, extended items of every type, a manifest and the event it describes."""
    manifest = struct.pack("<BBBBHH", 1, 1, 0, 0x5B, 1, 0) + MANIFEST.encode()
    yield event_record(
        T0, manifest, provider=MANIFEST_PROVIDER, event_id=0xFFFE, version=1, opcode=0xFE, task=0xFFFE,
        keyword=2**64 - 1,
    )  # fmt: skip
    described = (
        "Ann\0".encode("utf-16-le") + struct.pack("<i", 3) + ACTIVITY.bytes_le + struct.pack("<d", 0.5)
    )
    stack = struct.pack("<Q3Q", 1, 0x7FF8_1000, 0x7FF8_2000, 2**64 - 1)
    for number in range(5):
        yield event_record(
            T0 + number, described, provider=MANIFEST_PROVIDER, event_id=1, task=0xFFFD, items=[(6, stack)]
        )
        yield system_record(T0 + number, 0x0301, b"abcd")
        yield compact_record(T0 + number, 0x0302, b"abcd")
        yield perfinfo_record(T0 + number, 0x0F2E, bytes(16), version=0x8102)
        yield classic_record(T0 + number, 0x22, b"x", instance=(1, 2, ACTIVITY))
        yield classic_record(T0 + number, 0x22, b"x", bits=32)
        yield message_record(5, b"args", raw=T0 + 4, guid=ACTIVITY, ids=(1, 2), sequence=1)
        yield event_record(T0 + 5, b"raw", items=[(1, ACTIVITY.bytes_le), (5, bytes(12))], header_type=0x12)
        yield event_record(T0 + 6, b"oops", header_type=0x0D)


def _foreign() -> Iterator[bytes]:
    """What other exporters write, where the golden vectors are."""
    path = SHARED / "vectors" / "foreign.json"
    cases = json.loads(path.read_text(encoding="utf-8"))["cases"] if path.exists() else []
    for number, case in enumerate(cases * 2):
        event = case["event"]
        descriptor = event["event_descriptor"]
        blobs = ((12, event["provider_traits"]), (11, event["event_metadata"]))
        yield event_record(
            T0 + number,
            bytes.fromhex(event["payload"]),
            provider=UUID(event["provider_guid"]),
            event_id=descriptor["id"],
            **{key: descriptor[key] for key in ("version", "channel", "level", "opcode", "task", "keyword")},
            items=[(kind, bytes.fromhex(blob)) for kind, blob in blobs if blob],
        )


_MADE: dict[str, Callable[[], Iterator[bytes]]] = {
    "logs": _logs,
    "spans": _spans,
    "metrics": _metrics,
    "TraceLogging": _tracelogging,
    "other records": _other_records,
    "other exporters": _foreign,
}


def _record(number: int, event: EncodedEvent) -> bytes:
    descriptor = event.descriptor
    return event_record(
        T0 + number * 10,
        event.payload,
        provider=provider_id(NAME),
        channel=11,
        level=descriptor.level,
        keyword=descriptor.keyword,
        items=[(12, traits_blob(NAME)), (11, event.metadata)],
    )


def recompressed(content: bytes) -> bytes:
    """An uncompressed file with all buffers but the first stored as XPRESS streams of literals."""
    out = [content[:BUFFER_BYTES]]
    for start in range(BUFFER_BYTES, len(content), BUFFER_BYTES):
        whole = content[start : start + BUFFER_BYTES]
        if len(whole) < 72:
            break
        filled = struct.unpack_from("<I", whole, 0x30)[0]
        stream = compress(whole[72 : max(72, min(filled, len(whole)))], literals_only=True)
        header = bytearray(whole[:72])
        struct.pack_into("<I", header, 0, 72 + len(stream))
        header[0x34] |= 0x40
        out.append(bytes(header) + stream)
    return b"".join(out)


def write_seeds(folder: Path) -> list[Path]:
    """The files under readable names."""
    paths = []
    for name, content in seeds().items():
        path = folder / f"{name.replace(' ', '-').replace(',', '')}.etl"
        path.write_bytes(content)
        paths.append(path)
    return paths


def records_of(name: str) -> list[bytes]:
    """The records of one of the made files."""
    return list(_MADE[name]())
