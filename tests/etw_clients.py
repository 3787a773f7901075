"""Callers of ETW for tests of its double: a provider, a session's description, a consumer.

They use the project's own prototypes and structures, so these are put to use too.
"""

from __future__ import annotations

import ctypes
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple
from uuid import UUID

from otel_etw.windows.provider_functions import enable_callback_type, provider_functions
from otel_etw.windows.session_functions import (
    buffer_callback_type,
    consumer_functions,
    control_functions,
    record_callback_type,
    wide,
)
from otel_etw.windows.structures import (
    EventDataDescriptor,
    EventHeaderExtendedDataItem,
    EventRecord,
    EventTraceLogfile,
    EventTraceProperties,
)

PROVIDER = UUID("ce5fa4ea-ab00-5402-8b76-9f76ac858fb5")
OTHER = UUID("00000000-1111-2222-3333-444444444444")
TRAITS = b"\x08\x00Shop\0\0"
MASK = 2**63 + 5
Notice = tuple[int, int, int, int]


def descriptor(level: int = 5, keyword: int = 0) -> bytes:
    """``EVENT_DESCRIPTOR``: id 7, version 1, channel 11, opcode 2, task 3."""
    return struct.pack("<HBBBBHQ", 7, 1, 11, level, 2, 3, keyword)


class Registration:
    """A provider of the test's, with all callbacks it got and the threads these came on."""

    def __init__(self, provider_id: UUID = PROVIDER, *, callback: bool = True) -> None:
        self.functions = provider_functions()
        self.notices: list[Notice] = []
        self.threads: list[int] = []
        self.inside: Callable[[], object] = lambda: None
        kind = enable_callback_type()
        self._thunk = kind(self._called) if callback else kind()
        self._handle = ctypes.c_uint64()
        self.status = self.functions.event_register(
            provider_id.bytes_le, self._thunk, None, ctypes.byref(self._handle)
        )
        self.handle = self._handle.value

    def _called(
        self, source: int, code: int, level: int, any_mask: int, all_mask: int, *unused: object
    ) -> None:
        self.notices.append((code, level, any_mask, all_mask))
        self.threads.append(threading.get_native_id())
        self.inside()

    def take_notices(self) -> list[Notice]:
        taken, self.notices = self.notices, []
        return taken

    def is_enabled(self, level: int, keyword: int) -> bool:
        return bool(self.functions.event_provider_enabled(self.handle, level, keyword))

    def set_traits(self, traits: bytes = TRAITS) -> int:
        return int(self.functions.event_set_information(self.handle, 2, traits, len(traits)))

    def write(
        self, *parts: tuple[int, bytes], event: bytes | None = None, activity: bytes | None = None,
        related: bytes | None = None,
    ) -> int:  # fmt: skip
        buffers = [ctypes.create_string_buffer(data, max(len(data), 1)) for _, data in parts]
        data = (EventDataDescriptor * max(len(parts), 1))()
        for entry, buffer, (kind, part) in zip(data, buffers, parts, strict=False):
            entry.Ptr, entry.Size, entry.Reserved = ctypes.addressof(buffer), len(part), kind
        return int(
            self.functions.event_write_transfer(
                ctypes.c_uint64(self.handle), event or descriptor(), activity, related,
                ctypes.c_uint32(len(parts)), ctypes.byref(data),
            )
        )  # fmt: skip

    def unregister(self) -> int:
        return int(self.functions.event_unregister(self.handle))


class Properties:
    """``EVENT_TRACE_PROPERTIES`` with room for names behind it; without room for a file's name at first."""

    def __init__(
        self, *, mode: int = 0x100, file: str | None = None, flags: int = 0x20000, name_offset: int = 120,
        file_offset: int | None = None, size: int = 1144, **fields: int,
    ) -> None:  # fmt: skip
        self.buffer = ctypes.create_string_buffer(max(size, 1144))
        self.at = EventTraceProperties.from_buffer(self.buffer)
        self.at.Wnode.BufferSize = size
        self.at.Wnode.Flags = flags
        self.at.LogFileMode = mode
        self.at.LoggerNameOffset = name_offset
        self.at.LogFileNameOffset = (632 if file is not None else 0) if file_offset is None else file_offset
        for field, value in fields.items():
            setattr(self.at, field, value)
        if file is not None:
            ctypes.memmove(ctypes.addressof(self.buffer) + 632, wide(file), len(wide(file)))

    def text(self, offset: int) -> str:
        return self.buffer.raw[offset:].decode("utf-16-le").partition("\0")[0]


def start(name: str, properties: Properties) -> tuple[int, int]:
    """What StartTraceW answers, and the handle."""
    handle = ctypes.c_uint64()
    status = control_functions().start_trace(ctypes.byref(handle), wide(name), properties.buffer)
    return int(status), handle.value


def control(name_or_handle: str | int, code: int, properties: Properties | None = None) -> int:
    properties = properties or Properties()
    if isinstance(name_or_handle, int):
        return int(control_functions().control_trace(name_or_handle, None, properties.buffer, code))
    return int(control_functions().control_trace(0, wide(name_or_handle), properties.buffer, code))


class Received(NamedTuple):
    header: bytes
    items: list[tuple[int, bytes]]
    more: list[int]
    """Low bit of each item's Linkage."""
    user_data: bytes
    logger_id: int
    context: int | None
    record_address: int
    user_data_address: int


class Consumer:
    """ProcessTrace on a thread of its own, with copies of all records."""

    def __init__(self, session: str) -> None:
        self.functions = consumer_functions()
        self.received: list[Received] = []
        self.buffers: list[tuple[int, int, int, int]] = []
        self.wants_more = 1
        self.status: int | None = None
        self._keep = (record_callback_type()(self._record), buffer_callback_type()(self._buffer))
        self._name = ctypes.create_string_buffer(wide(session))
        self.logfile = EventTraceLogfile(
            LoggerName=ctypes.addressof(self._name), ProcessTraceMode=0x10000100, Context=4711,
            EventRecordCallback=ctypes.cast(self._keep[0], ctypes.c_void_p),
            BufferCallback=ctypes.cast(self._keep[1], ctypes.c_void_p),
        )  # fmt: skip
        self.handle = self.functions.open_trace(ctypes.byref(self.logfile))
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _record(self, address: int) -> None:
        record = EventRecord.from_address(address)
        table = (EventHeaderExtendedDataItem * record.ExtendedDataCount).from_address(
            record.ExtendedData or address
        )
        items = [(item.ExtType, ctypes.string_at(item.DataPtr, item.DataSize)) for item in table]
        self.received.append(
            Received(
                ctypes.string_at(address, 80), items, [item.Linkage & 1 for item in table],
                ctypes.string_at(record.UserData, record.UserDataLength), record.BufferContext.LoggerId,
                record.UserContext, address, record.UserData,
            )
        )  # fmt: skip

    def _buffer(self, address: int) -> int:
        logfile = EventTraceLogfile.from_address(address)
        lost = logfile.LogfileHeader.BuffersLost
        self.buffers.append((logfile.BuffersRead, logfile.EventsLost, lost, len(self.received)))
        return self.wants_more

    def _run(self) -> None:
        handles = (ctypes.c_uint64 * 1)(self.handle)
        self.status = self.functions.process_trace(handles, 1, None, None)

    def wait(self, count: int) -> None:
        """Until so many events have come, and their buffers have ended."""
        deadline = time.monotonic() + 20
        while self._complete() < count and time.monotonic() < deadline:
            time.sleep(0.002)
        assert self._complete() >= count

    def _complete(self) -> int:
        return self.buffers[-1][3] if self.buffers else 0

    def end(self) -> int | None:
        """What ProcessTrace answered; within some seconds."""
        self.thread.join(20)
        assert not self.thread.is_alive()
        return self.status


@contextmanager
def consuming(session: str) -> Iterator[Consumer]:
    consumer = Consumer(session)
    consumer.thread.start()
    try:
        yield consumer
    finally:
        consumer.functions.close_trace(consumer.handle)
        consumer.thread.join(20)
