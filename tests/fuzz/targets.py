"""What is fuzzed: functions of any bytes, which return or raise one of this package's exceptions, no other.

Each also holds two ways of reading the same bytes against one another.  ``SEEDS`` has good input for each.
"""

from __future__ import annotations

import os
import re
import struct
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import mutation
from etl_files import T0, buffer, header_buffer, tracelogging_record
from mutation_seeds import BUFFER_BYTES, records_of, seeds
from otel_etw.errors import DecodeError
from otel_etw.etl import decompression, xpress
from otel_etw.etl.walking import extended_items, walk
from otel_etw.layouts.foreign.messagepack import decode_messagepack, unpack
from otel_etw.layouts.foreign.tlv import decode_tlv
from otel_etw.tracelogging.decode import decode_payload
from otel_etw.tracelogging.metadata import decode_metadata, encode_metadata
from xpress_encoder import compress

_FOLDER = Path(tempfile.gettempdir())


def record_walker(data: bytes) -> None:
    """Records lie one behind the other within the data, whatever it is, each larger than its header."""
    end = 0
    skipped: list[int] = []
    for record in walk(data, T0, lambda _, pos, why: skipped.append(pos)):
        assert end <= record.pos
        assert record.pos % 8 == 0
        assert record.shape.fixed_bytes <= record.size <= len(data) - record.pos
        end = record.pos + record.size
        extended_items(data[record.pos : end], record.shape.fixed_bytes)
    assert all(0 <= pos < len(data) for pos in skipped)


def metadata(data: bytes) -> None:
    """Metadata that can be read can be written again; its payload never runs over its end."""
    if len(data) < 2:
        return
    size = min(struct.unpack_from("<H", data)[0], len(data))
    try:
        found = decode_metadata(data[:size])
    except DecodeError:
        return
    payload = data[size:]
    for pointer_size in (4, 8):
        decoded = decode_payload(found.fields, payload, pointer_size)
        assert len(decoded.trailing) <= len(payload)
        assert payload.endswith(bytes(decoded.trailing))
    try:
        again = encode_metadata(found)
    except ValueError:
        return
    assert decode_metadata(again) == found


def compressed(data: bytes) -> None:
    """The fast decompressor gives what the plain one gives, and a prefix is the beginning of the whole."""
    if len(data) < 2:
        return
    size = struct.unpack_from("<H", data)[0]
    stream = data[2:]
    try:
        expected: bytes | None = bytes(xpress.decompress(stream, size))
    except DecodeError:
        expected = None
    try:
        found: bytes | None = bytes(decompression.decompress(stream, size))
    except DecodeError:
        found = None
    if _ODD_LENGTH.search(stream) is None:
        assert found == expected
    if expected is not None:
        assert len(expected) == size
        part = size // 3
        cut = stream[: xpress.prefix_stored_bytes(part)]
        assert xpress.decompress_prefix(cut, part) == expected[:part]


def messagepack(data: bytes) -> None:
    """Messages of two producers, and the third one's items of type, length and value."""
    for decode in (unpack, lambda payload: decode_messagepack(payload, 0), decode_tlv):
        try:
            decode(data)
        except DecodeError:
            pass


def whole_buffer(data: bytes) -> None:
    """One buffer with these records in a file: every table as the plain decoder has it."""
    records = data[: BUFFER_BYTES - 72]
    content = header_buffer(BUFFER_BYTES) + buffer([records], BUFFER_BYTES)
    path = _FOLDER / f"fuzzed-{os.getpid()}.etl"
    path.write_bytes(content)
    try:
        mutation.check(path)
    finally:
        path.unlink()


def _described(records: Iterable[bytes]) -> Iterable[bytes]:
    """Metadata with the payload behind it, of records that have both."""
    for record in records:
        items = extended_items(record, 0x50) if record[2] == 0x13 and record[4] & 1 else None
        if items is not None:
            for kind, data in items.items:
                if kind == 11:
                    yield bytes(data) + record[items.end :]


def _messages() -> Iterable[bytes]:
    packed = bytes.fromhex("9300a6")
    yield packed
    yield b"\x92\xa3Log\x91\x92\xc7\x08\x00" + bytes(8) + b"\x82\xa4name\xa3tea\xa1n\x05"
    yield b"\x93\xa3Log\x91\x92\xd7\xff" + bytes(8) + b"\x82\xa4body\xa3tea\xa1n\xcb" + bytes(8) + b"\x80"
    yield b"\x01\x03\0abc\x02\x02\0ns\x03\x04\0name\x04\x02\0\0\0\x05\x10\0" + bytes(16)
    yield from (record[0x50:] for record in records_of("other exporters"))


_ODD_LENGTH = re.compile(rb"\xff(?:[\x00-\x15]\x00|[\xfd-\xff]\xff)", re.DOTALL)
"""May be a match length that no compressor writes for records (from 65,536 bytes on, or in too long a form):
pyfwnt, which counts in 16 bits, reads those in its own way."""

Target = Callable[[bytes], None]

TARGETS: dict[str, Target] = {
    target.__name__: target for target in (record_walker, metadata, compressed, messagepack, whole_buffer)
}


def seeds_of(target: str) -> list[bytes]:
    """Good input for a target, from this project's own encoders."""
    buffers = [
        content[start + 72 : start + BUFFER_BYTES].rstrip(b"\xff")
        for name, content in seeds().items()
        if len(content) % BUFFER_BYTES == 0 and "compressed" not in name
        for start in range(BUFFER_BYTES, len(content), BUFFER_BYTES)
    ]
    if target in ("record_walker", "whole_buffer"):
        return [*buffers, tracelogging_record(T0)]
    if target == "metadata":
        return list(_described(record for name in _KINDS for record in records_of(name)))
    if target == "compressed":
        return [struct.pack("<H", len(part)) + compress(part) for part in (data[:600] for data in buffers)]
    return list(_messages())


_KINDS = ("logs", "spans", "metrics", "TraceLogging", "other records", "other exporters")
