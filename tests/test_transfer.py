"""Calls of ``EventWriteTransfer``: what is repeated, what is never raised, whose memory it is."""

from __future__ import annotations

import ctypes
import os
import signal
import struct
import sys
import time
from collections.abc import Iterator
from threading import Thread
from typing import Any

import pytest

from etw_double import EtwDouble
from otel_etw.providers.base import WriteStatus
from otel_etw.providers.transfer import prepare_transfer, transfer
from otel_etw.tracelogging.types import EventDescriptor
from otel_etw.windows.provider_functions import ProviderFunctions, enable_callback_type, provider_functions

DESCRIPTOR = EventDescriptor(level=4, keyword=0xF00)
TRAITS, METADATA = b"\x06\0tra\0", b"meta\0data"


@pytest.fixture
def functions(etw_double: EtwDouble) -> ProviderFunctions:
    return provider_functions()


@pytest.fixture
def handle(functions: ProviderFunctions) -> Iterator[ctypes.c_uint64]:
    """Of a registration of its own."""
    handle = ctypes.c_uint64()
    assert functions.event_register(bytes(range(16)), enable_callback_type()(), 0, ctypes.byref(handle)) == 0
    yield handle
    functions.event_unregister(handle)


def test_an_event_arrives_with_its_three_parts(
    functions: ProviderFunctions, handle: ctypes.c_uint64, etw_double: EtwDouble
) -> None:
    """Handle, descriptor, traits, metadata and payload, NULs and emptiness included, reach the function."""
    write = prepare_transfer(functions.event_write_transfer, handle, TRAITS, DESCRIPTOR, METADATA)
    assert write(b"pay\0load", None) == 0
    assert write(b"", b"0123456789abcdef") == 0
    first, second = etw_double.written()
    assert (first.handle, first.descriptor) == (handle.value, DESCRIPTOR.to_bytes())
    assert first.entries == [(2, TRAITS), (1, METADATA), (0, b"pay\0load")]
    assert first.activity_id is None
    assert second.activity_id == b"0123456789abcdef"
    assert second.entries[2] == (0, b"")


def test_threads_never_tear_each_others_events(
    functions: ProviderFunctions, handle: ctypes.c_uint64, etw_double: EtwDouble
) -> None:
    """Eight threads write one shape: every payload arrives whole, once, and in its thread's order."""
    write = prepare_transfer(functions.event_write_transfer, handle, TRAITS, DESCRIPTOR, METADATA)

    def run(thread: int) -> None:
        for number in range(2000):
            write(struct.pack("<II", thread, number) + bytes([thread]) * (number % 100), None)

    threads = [Thread(target=run, args=(thread,)) for thread in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    numbers: dict[int, list[int]] = {thread: [] for thread in range(8)}
    for event in etw_double.written():
        kind, payload = event.entries[2]
        thread_number, number = struct.unpack_from("<II", payload)
        assert (kind, payload[8:]) == (0, bytes([thread_number]) * (number % 100))
        numbers[thread_number].append(number)
    assert numbers == {thread: list(range(2000)) for thread in range(8)}


def test_a_refused_handle_is_tried_again_once_if_it_has_changed(
    functions: ProviderFunctions, handle: ctypes.c_uint64, etw_double: EtwDouble
) -> None:
    """Another registration may take the place of the first while a call with that is under way."""
    function = functions.event_write_transfer
    other = ctypes.c_uint64()
    assert functions.event_register(bytes(16), enable_callback_type()(), 0, ctypes.byref(other)) == 0
    own = ctypes.c_uint64(handle.value)
    write = prepare_transfer(function, own, TRAITS, DESCRIPTOR, METADATA)
    etw_double.fail_next("EventWriteTransfer", 6)
    assert write(b"unchanged", None) == WriteStatus.INVALID_HANDLE
    own.value = other.value
    etw_double.fail_next("EventWriteTransfer", 6)
    assert write(b"changed", None) == 0
    etw_double.fail_next("EventWriteTransfer", 6, times=2)
    assert write(b"refused twice", None) == WriteStatus.INVALID_HANDLE
    calls = etw_double.calls("EventWriteTransfer")
    own.value = 0
    assert write(b"closed", None) == WriteStatus.INVALID_HANDLE
    assert etw_double.calls("EventWriteTransfer") == calls + 1
    etw_double.fail_next("EventWriteTransfer", 8)
    own.value = handle.value
    assert write(b"refused for another reason", None) == WriteStatus.NOT_ENOUGH_MEMORY
    assert [event.entries[2][1] for event in etw_double.written()] == [b"changed"]
    functions.event_unregister(other)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("prepared", [True, False])
def test_a_handle_may_change_during_the_call(
    functions: ProviderFunctions, handle: ctypes.c_uint64, etw_double: EtwDouble, prepared: bool, threads: int
) -> None:
    """Events of calls that come too late with the old one are written by the new one, each once."""
    function = functions.event_write_transfer
    own = ctypes.c_uint64(handle.value)
    other = ctypes.c_uint64()
    assert functions.event_register(bytes(16), enable_callback_type()(), 0, ctypes.byref(other)) == 0
    write = prepare_transfer(function, own, TRAITS, DESCRIPTOR, METADATA)
    statuses: list[int] = []

    def run() -> None:
        if prepared:
            statuses.append(write(b"late", None))
        else:
            statuses.append(transfer(function, own, TRAITS, DESCRIPTOR, METADATA, b"late"))

    etw_double.set_delay_ms("EventWriteTransfer", 200)
    late = [Thread(target=run) for _ in range(threads)]
    for thread in late:
        thread.start()
    while etw_double.calls("EventWriteTransfer") < threads:
        time.sleep(0.001)
    own.value = other.value
    functions.event_unregister(handle)
    for thread in late:
        thread.join()
    etw_double.set_delay_ms("EventWriteTransfer", 0)
    assert statuses == [0] * threads
    written = [(event.handle, event.entries[2][1]) for event in etw_double.written()]
    assert written == [(other.value, b"late")] * threads
    functions.event_unregister(other)


def test_malformed_calls_are_refused(
    functions: ProviderFunctions, handle: ctypes.c_uint64, etw_double: EtwDouble
) -> None:
    """The function would read 16 bytes of an id, whatever there is; a payload must be bytes."""
    write = prepare_transfer(functions.event_write_transfer, handle, TRAITS, DESCRIPTOR, METADATA)
    odd: Any = "text"
    assert write(b"", b"short") == WriteStatus.INVALID_PARAMETER
    assert write(odd, None) == WriteStatus.INVALID_PARAMETER
    assert write(b"", odd) == WriteStatus.INVALID_PARAMETER
    assert write(b"", bytearray(16)) == WriteStatus.INVALID_PARAMETER
    assert etw_double.written() == []


@pytest.mark.skipif(os.name == "nt", reason="there are no timers that signal on Windows")
def test_what_a_signal_handler_raises_costs_no_event(
    functions: ProviderFunctions, handle: ctypes.c_uint64, etw_double: EtwDouble
) -> None:
    """It comes when the call is done: the event is written, once, and is said to be."""

    def too_late(*arguments: object) -> None:
        raise TimeoutError

    write = prepare_transfer(functions.event_write_transfer, handle, TRAITS, DESCRIPTOR, METADATA)
    etw_double.set_delay_ms("EventWriteTransfer", 100)
    before = signal.signal(signal.SIGALRM, too_late)
    signal.setitimer(signal.ITIMER_REAL, 0.03)
    try:
        assert write(b"once", None) == 0
    finally:
        signal.signal(signal.SIGALRM, before)
    assert etw_double.calls("EventWriteTransfer") == etw_double.written_count() == 1


def test_a_stack_without_room_is_no_success(
    functions: ProviderFunctions, handle: ctypes.c_uint64, etw_double: EtwDouble
) -> None:
    """At whatever depth it ends, what is said to be written was written, and only that."""
    write = prepare_transfer(functions.event_write_transfer, handle, TRAITS, DESCRIPTOR, METADATA)
    answered: list[int] = []

    def down(depth: int) -> None:
        if depth:
            down(depth - 1)
        else:
            answered.append(write(b"deep", None))

    limit = sys.getrecursionlimit()
    for depth in range(limit - 150, limit):
        try:
            down(depth)
        except RecursionError:
            continue
    assert answered.count(0) == etw_double.written_count() > 0


def test_a_large_payload_is_let_go(functions: ProviderFunctions, handle: ctypes.c_uint64) -> None:
    """What a shape keeps between its events is small, however large they are."""
    write = prepare_transfer(functions.event_write_transfer, handle, TRAITS, DESCRIPTOR, METADATA)
    payload = bytes(60_000)
    before = sys.getrefcount(payload)
    assert write(payload, None) == 0
    assert sys.getrefcount(payload) == before
