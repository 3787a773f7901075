"""Every type that a field can have, in attributes of log records, of any event as one, and in ``fields``."""

from __future__ import annotations

import json
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any
from uuid import UUID

import etl_files
import mutation
from otel_etw.loading import load
from otel_etw.tracelogging.metadata import ArrayKind, EventMetadata, Field, encode_metadata
from otel_etw.tracelogging.payload import encode_payload
from otel_etw.tracelogging.types import InType, OutType
from otel_etw.tracelogging.values import UNIX_EPOCH_FILETIME, FileTime, SystemTime

MOMENT = SystemTime(2024, 1, 3, 2, 4, 5, 6, 7)
MOMENT_TEXT = "2024-01-02T04:05:06.007"
TYPES: list[tuple[InType, OutType, Any, Any]] = [
    (InType.INT64, OutType.DEFAULT, -5, -5),
    (InType.POINTER, OutType.DEFAULT, 7, 7),
    (InType.HEX64, OutType.DEFAULT, 2**64 - 1, 2**64 - 1),
    (InType.FLOAT, OutType.DEFAULT, 1.5, 1.5),
    (InType.DOUBLE, OutType.DEFAULT, float("nan"), "NaN"),
    (InType.BOOL32, OutType.DEFAULT, True, True),
    (InType.UINT8, OutType.BOOLEAN, True, True),
    (InType.UINT8, OutType.STRING, "a", "a"),
    (InType.UINT16, OutType.STRING, "é", "é"),
    (InType.UINT16, OutType.PORT, 80, 80),
    (InType.UINT32, OutType.IPV4, IPv4Address("1.2.3.4"), "1.2.3.4"),
    (InType.BINARY, OutType.IPV6, IPv6Address("::1"), "::1"),
    (InType.BINARY, OutType.DEFAULT, b"\1\2", {"$bytes": "AQI="}),
    (InType.BINARYC, OutType.DEFAULT, b"\3", {"$bytes": "Aw=="}),
    (InType.STR8, OutType.DEFAULT, "x", "x"),
    (InType.STR16, OutType.XML, "<a/>", "<a/>"),
    (InType.CSTR8, OutType.DEFAULT, "z", "z"),
    (InType.CSTR16, OutType.DEFAULT, "w", "w"),
    (InType.GUID, OutType.DEFAULT, UUID(int=5), "00000000-0000-0000-0000-000000000005"),
    (InType.FILETIME, OutType.DEFAULT, FileTime(UNIX_EPOCH_FILETIME), "1970-01-01T00:00:00.0000000Z"),
    (InType.SYSTEMTIME, OutType.DEFAULT, MOMENT, MOMENT_TEXT),
    (InType.SID, OutType.DEFAULT, "S-1-5-18", "S-1-5-18"),
    (InType.NULL, OutType.DEFAULT, None, None),
]


def struct(name: str, members: tuple[Field, ...], array: ArrayKind = ArrayKind.SCALAR) -> Field:
    return Field(name, InType.STRUCT, array=array, members=members)


def test_every_type_of_value_in_every_place(tmp_path: Path) -> None:
    """Alone, in a struct, in an array and in an array of structs."""
    plain = tuple(Field(f"f{n}", kind, out) for n, (kind, out, _, _) in enumerate(TYPES))
    values = tuple(value for _, _, value, _ in TYPES)
    expected = {f"f{n}": made for n, (_, _, _, made) in enumerate(TYPES)}
    arrays = [n for n, one in enumerate(TYPES) if one[0] != InType.NULL]
    fields = (
        *plain,
        struct("s", plain),
        *(Field(f"a{n}", TYPES[n][0], TYPES[n][1], array=ArrayKind.VARIABLE) for n in arrays),
        struct("ss", plain, ArrayKind.VARIABLE),
    )
    row = (*values, values, *([TYPES[n][2]] * 2 for n in arrays), [values])
    made = {**expected, "s": expected, **{f"a{n}": [TYPES[n][3]] * 2 for n in arrays}, "ss": [expected]}
    part_b = struct("PartB", (Field("_typeName", InType.STR8), Field("body", InType.SYSTEMTIME)))
    csver = Field("__csver__", InType.UINT16)
    log = EventMetadata("Log", (csver, struct("PartC", fields), part_b)), (0x401, row, ("Log", MOMENT))
    raw = EventMetadata("Raw", fields), row
    records = [
        etl_files.event_record(
            etl_files.T0 + number,
            encode_payload(metadata.fields, values),
            channel=11,
            items=[(12, etl_files.traits_blob("Made")), (11, encode_metadata(metadata))],
        )
        for number, (metadata, values) in enumerate([log, raw])
    ]
    path = tmp_path / "types.etl"
    path.write_bytes(etl_files.trace_file(etl_files.buffer(records, size=16384), size=16384))
    assert mutation.check(path) == "whole"
    loaded = load(path, events_as_logs=True)
    first, second = (json.loads(text) for text in map(_text, loaded.logs.column("attributes").to_pylist()))
    assert first == made
    assert {name: value for name, value in second.items() if not name.startswith("etw.")} == made
    assert json.loads(_text(loaded.events.column("fields").to_pylist()[-1])) == made
    assert loaded.logs.column("body").to_pylist()[0] == MOMENT_TEXT


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
