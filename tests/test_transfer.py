"""Prepared calls of EventWriteTransfer, against a function in C that keeps what it is given."""

from __future__ import annotations

import ctypes
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import NamedTuple

import pytest

from otel_etw.providers.base import WriteStatus
from otel_etw.providers.transfer import prepare_transfer
from otel_etw.tracelogging.types import EventDescriptor

SOURCE = Path(__file__).parent / "native" / "event_write.c"
COMPILER = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
pytestmark = pytest.mark.skipif(COMPILER is None, reason="there is no C compiler on this system")

DESCRIPTOR = EventDescriptor(level=4, keyword=0xF00)


class Written(NamedTuple):
    handle: int
    descriptor: bytes
    activity_id: bytes
    entries: list[tuple[int, bytes]]


class Double:
    """The C function, and the events it has kept."""

    def __init__(self, library: Path) -> None:
        self._library = ctypes.CDLL(str(library))
        self.function = self._library.EventWriteTransfer
        self.function.restype = ctypes.c_uint32
        self._library.take.restype = ctypes.c_size_t

    def take(self) -> Iterator[Written]:
        room = self._library.take(None, 0)
        buffer = ctypes.create_string_buffer(room)
        self._library.take(buffer, ctypes.c_size_t(room))
        data, offset = buffer.raw, 0
        while offset < room:
            handle, descriptor, activity_id, count = struct.unpack_from("<Q16s16sI", data, offset)
            offset += 44
            entries = []
            for _ in range(count):
                size, kind = struct.unpack_from("<II", data, offset)
                entries.append((kind, data[offset + 8 : offset + 8 + size]))
                offset += 8 + size
            yield Written(handle, descriptor, activity_id, entries)


@pytest.fixture
def double(tmp_path: Path) -> Double:
    library = tmp_path / "event_write.so"
    assert COMPILER is not None
    command = [COMPILER, "-O1", "-Wall", "-Werror", "-shared", "-fPIC", "-o", str(library), str(SOURCE)]
    subprocess.run(command, check=True)
    return Double(library)


def test_an_event_arrives_with_its_three_parts(double: Double) -> None:
    """Handle, descriptor, traits, metadata and payload, NULs and emptiness included, reach the function."""
    write = prepare_transfer(double.function, 2**63 + 1, b"traits\0", DESCRIPTOR, b"meta\0data")
    assert write(b"pay\0load", None) == 0
    assert write(b"", b"0123456789abcdef") == 0
    first, second = double.take()
    assert first == Written(
        2**63 + 1, DESCRIPTOR.to_bytes(), bytes(16), [(2, b"traits\0"), (1, b"meta\0data"), (0, b"pay\0load")]
    )
    assert second.activity_id == b"0123456789abcdef"
    assert second.entries[2] == (0, b"")


def test_threads_never_tear_each_others_events(double: Double) -> None:
    """Eight threads write one shape: every payload arrives whole, once, and in its thread's order."""
    write = prepare_transfer(double.function, 7, b"t", DESCRIPTOR, b"m")

    def run(thread: int) -> None:
        for number in range(5000):
            write(struct.pack("<II", thread, number) + bytes([thread]) * (number % 100), None)

    threads = [Thread(target=run, args=(thread,)) for thread in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    numbers: dict[int, list[int]] = {thread: [] for thread in range(8)}
    for event in double.take():
        kind, payload = event.entries[2]
        thread_number, number = struct.unpack_from("<II", payload)
        assert (kind, payload[8:]) == (0, bytes([thread_number]) * (number % 100))
        numbers[thread_number].append(number)
    assert numbers == {thread: list(range(5000)) for thread in range(8)}


def test_an_activity_id_of_another_size_is_refused(double: Double) -> None:
    """The function would read 16 bytes, whatever there is."""
    write = prepare_transfer(double.function, 7, b"t", DESCRIPTOR, b"m")
    assert write(b"", b"short") == WriteStatus.INVALID_PARAMETER
    assert list(double.take()) == []


def test_a_large_payload_is_let_go(double: Double) -> None:
    """What a shape keeps between its events is small, however large they are."""
    write = prepare_transfer(double.function, 7, b"t", DESCRIPTOR, b"m")
    payload = bytes(60_000)
    before = sys.getrefcount(payload)
    assert write(payload, None) == 0
    assert sys.getrefcount(payload) == before
