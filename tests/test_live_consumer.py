"""The thread that receives a session's events: its queue, its bounds, its end."""

from __future__ import annotations

import ctypes
import gc
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from etw_double import EtwDouble
from live_parts import header
from otel_etw.errors import SessionError
from otel_etw.sessions import consumer as consumer_module
from otel_etw.sessions.consumer import Consumer
from otel_etw.windows import event_records
from otel_etw.windows.event_records import CopiedEvent, copied_event, copied_event_32
from otel_etw.windows.structures import EventHeaderExtendedDataItem, EventRecord

DEADLINE_S = 30.0
SESSION = "Heard"


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.005)


@contextmanager
def receiving(double: EtwDouble, **options: float) -> Iterator[Consumer]:
    double.start_session(SESSION)
    consumer = Consumer(SESSION, **options)  # type: ignore[arg-type]
    try:
        yield consumer
    finally:
        consumer.close()


def deliver(double: EtwDouble, numbers: range, padding: int = 0) -> None:
    for number in numbers:
        double.deliver_record(SESSION, header(), [], struct.pack("<I", number) + bytes(padding))


def numbers(events: list[CopiedEvent]) -> list[int]:
    return [struct.unpack_from("<I", user_data)[0] for _, _, _, user_data, _ in events]


def take(consumer: Consumer, count: int) -> list[CopiedEvent]:
    """So many events, or as many as come until it ends."""
    taken: list[CopiedEvent] = []
    deadline = time.monotonic() + DEADLINE_S
    while len(taken) < count and not (consumer.has_ended and not consumer.is_waiting_to_be_read):
        assert time.monotonic() < deadline, f"{len(taken)} of {count}"
        taken += consumer.take(0.2)
    return taken


def test_events_are_copied_out_of_the_callback(etw_double: EtwDouble) -> None:
    """Header, items and user data are those delivered, though their memory is overwritten right after."""
    with receiving(etw_double) as consumer:
        items = [(1, bytes(range(16))), (11, b"metadata"), (12, b"")]
        etw_double.deliver_record(SESSION, header(), items, b"user data")
        etw_double.deliver_record(SESSION, header(), [], b"")
        first, second = take(consumer, 2)
    assert first[0][8:80] == header()[8:]
    assert (first[2], first[3], first[4]) == (items, b"user data", 16 + 8 + 9)
    assert (second[2], second[3], second[4]) == ([], b"", 0)


def test_both_ways_to_copy_give_the_same() -> None:
    """The one for 32-bit processes, which runs anywhere, and the quick one agree."""
    blobs = [ctypes.create_string_buffer(bytes([size & 0xFF]) * size, size) for size in (1, 20, 300)]
    items = (EventHeaderExtendedDataItem * 2)()
    for item, blob, kind in zip(items, blobs, (12, 11), strict=False):
        item.ExtType, item.DataSize, item.DataPtr = kind, len(blob), ctypes.addressof(blob)
    record = EventRecord()
    record.BufferContext.ProcessorIndex = 0x0102
    record.ExtendedDataCount, record.ExtendedData = 2, ctypes.addressof(items)
    record.UserDataLength, record.UserData = 300, ctypes.addressof(blobs[2])
    copied = copied_event_32(ctypes.addressof(record))
    assert copied[1:] == (0x0102, [(12, blobs[0].raw), (11, blobs[1].raw)], blobs[2].raw, 321)
    assert event_records.copy_event(ctypes.addressof(record)) == copied
    if ctypes.sizeof(ctypes.c_void_p) == 8:
        assert copied_event(ctypes.addressof(record)) == copied


def test_an_event_without_data_may_have_no_pointers() -> None:
    """Nothing is read where nothing is said to be."""
    record = EventRecord()
    assert copied_event_32(ctypes.addressof(record))[2:] == ([], b"", 0)
    assert event_records.copy_event(ctypes.addressof(record))[2:] == ([], b"", 0)


def test_pointers_to_nothing_are_not_followed() -> None:
    """Sizes beside a null pointer say nothing; items beyond a bound are left out."""
    items = (EventHeaderExtendedDataItem * 100)()
    for item in items:
        item.ExtType, item.DataSize = 1, 16
    record = EventRecord()
    record.ExtendedDataCount, record.UserDataLength = 100, 0xFFFF
    for copy in (copied_event_32, event_records.copy_event):
        assert copy(ctypes.addressof(record))[2:4] == ([], b"")
    record.ExtendedData = ctypes.addressof(items)
    for copy in (copied_event_32, event_records.copy_event):
        assert copy(ctypes.addressof(record))[2] == [(1, b"")] * event_records.MOST_ITEMS


def test_the_largest_event_is_copied_whole(etw_double: EtwDouble) -> None:
    """User data of 65535 bytes, and a notice of no event at all costs nothing but itself."""
    data = bytes(range(256)) * 255 + bytes(255)
    with receiving(etw_double) as consumer:
        etw_double.deliver_record(SESSION, header(), [], data)
        assert take(consumer, 1)[0][3] == data
        consumer._on_event(None)
        deliver(etw_double, range(1))
        assert numbers(take(consumer, 1)) == [0]
        assert (consumer.received, consumer.dropped) == (2, 1)


def test_events_come_in_order_and_the_end_is_seen(etw_double: EtwDouble) -> None:
    """All that was delivered before the session stopped can be taken; then it has ended, with status 0."""
    with receiving(etw_double) as consumer:
        deliver(etw_double, range(3000))
        etw_double.stop_session(SESSION)
        assert numbers(take(consumer, 3001)) == list(range(3000))
        assert (consumer.has_ended, consumer.status, consumer.received) == (True, 0, 3000)
        assert consumer.take(0.0) == []


def test_nothing_comes_in_time(etw_double: EtwDouble) -> None:
    """Waiting for an event ends with the time given."""
    with receiving(etw_double) as consumer:
        started = time.monotonic()
        assert consumer.take(0.05) == []
        assert time.monotonic() - started >= 0.03
        assert not consumer.has_ended


def test_a_full_queue_drops_and_counts_after_a_bound(etw_double: EtwDouble) -> None:
    """ETW waits for room once; then events are dropped until there is room, and each one is counted."""
    with receiving(etw_double, queue_bytes=50_000, full_queue_wait_s=0.1) as consumer:
        deliver(etw_double, range(1000), padding=1000)
        wait_until(lambda: consumer.received + consumer.dropped == 1000)
        assert 20 < consumer.received < 60
        held = take(consumer, consumer.received)
        assert numbers(held) == list(range(len(held)))
        deliver(etw_double, range(1000, 1010), padding=1000)
        assert numbers(take(consumer, 10)) == list(range(1000, 1010))
        assert consumer.dropped == 1000 - len(held)


def test_a_slow_reader_is_waited_for(etw_double: EtwDouble) -> None:
    """As long as there is room in time, a small queue costs no event."""
    with receiving(etw_double, queue_bytes=50_000, full_queue_wait_s=DEADLINE_S) as consumer:
        deliver(etw_double, range(500), padding=1000)
        wait_until(lambda: consumer.received > 20)
        time.sleep(0.05)
        assert consumer.received < 60
        assert numbers(take(consumer, 500)) == list(range(500))
        assert consumer.dropped == 0


def test_etw_is_waited_for_again_once_there_was_room(etw_double: EtwDouble) -> None:
    """Having dropped events once is no reason to drop those of the next burst, if somebody reads."""
    with receiving(etw_double, queue_bytes=50_000, full_queue_wait_s=0.5) as consumer:
        deliver(etw_double, range(200), padding=1000)
        wait_until(lambda: consumer.received + consumer.dropped == 200)
        take(consumer, consumer.received)
        deliver(etw_double, range(1), padding=1000)
        dropped = consumer.dropped
        deliver(etw_double, range(1, 200), padding=1000)
        assert numbers(take(consumer, 200)) == list(range(200))
        assert consumer.dropped == dropped > 0


def test_closing_frees_a_callback_that_waits_for_room(etw_double: EtwDouble) -> None:
    """A full queue does not keep ``close`` waiting."""
    with receiving(etw_double, queue_bytes=1000, full_queue_wait_s=DEADLINE_S) as consumer:
        deliver(etw_double, range(100), padding=1000)
        wait_until(lambda: consumer.received > 0)
        started = time.monotonic()
        consumer.close()
        assert time.monotonic() - started < 5
        assert consumer.has_ended


def test_an_exception_inside_the_callback_costs_that_event_only(
    etw_double: EtwDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is counted; events before and after it come, and nothing is printed."""
    copy = consumer_module.copy_event

    def fail_once(address: int) -> CopiedEvent:
        event = copy(address)
        if event[3][:4] == struct.pack("<I", 5):
            raise MemoryError
        return event

    monkeypatch.setattr(consumer_module, "copy_event", fail_once)
    with receiving(etw_double) as consumer:
        deliver(etw_double, range(10))
        etw_double.stop_session(SESSION)
        assert numbers(take(consumer, 10)) == [0, 1, 2, 3, 4, 6, 7, 8, 9]
        assert consumer.dropped == 1


def test_close_from_another_thread_wakes_the_reader(etw_double: EtwDouble) -> None:
    """Whoever waits for events is told at once; closing again does nothing."""
    with receiving(etw_double) as consumer:
        closer = threading.Timer(0.1, consumer.close)
        closer.start()
        started = time.monotonic()
        assert consumer.take(DEADLINE_S) == []
        closer.join()
        assert time.monotonic() - started < 10
        assert consumer.has_ended
        consumer.close()
    assert etw_double.calls("CloseTrace") == 1


def test_processing_that_does_not_end_is_given_up_once(
    etw_double: EtwDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``close`` waits for a bounded time, all calls together; what Windows still uses stays until it ends."""
    monkeypatch.setattr(consumer_module, "_JOIN_S", 0.3)
    etw_double.set_delay_ms("ProcessTrace", 1500)
    with receiving(etw_double) as consumer:
        wait_until(lambda: etw_double.calls("ProcessTrace") == 1)
        started = time.monotonic()
        for _ in range(4):
            consumer.close()
        assert 0.2 < time.monotonic() - started < 1.1
        assert not consumer.has_ended
    thread = consumer._thread
    assert etw_double.calls("CloseTrace") == 1
    del consumer
    gc.collect()
    thread.join(DEADLINE_S)
    assert not thread.is_alive()


def test_what_the_buffers_say_was_lost_is_kept(etw_double: EtwDouble) -> None:
    """The number that comes with each buffer is there without asking the session."""
    with receiving(etw_double) as consumer:
        etw_double.set_lost(SESSION, events=7)
        deliver(etw_double, range(1))
        wait_until(lambda: consumer.events_lost == 7)


@pytest.mark.parametrize(
    ("code", "words"), [(5, "Performance Log Users"), (4201, "no session of that name is running")]
)
def test_a_session_that_cannot_be_opened_is_an_error(etw_double: EtwDouble, code: int, words: str) -> None:
    """The code comes from the thread's last error, in words."""
    etw_double.start_session(SESSION)
    etw_double.fail_next("OpenTraceW", code)
    with pytest.raises(SessionError, match=words) as caught:
        Consumer(SESSION)
    assert caught.value.code == code


def test_what_processing_ends_with_is_the_status(etw_double: EtwDouble) -> None:
    """``ProcessTrace`` may fail after the session was opened; its answer is there to be looked at."""
    etw_double.fail_next("ProcessTrace", 5)
    with receiving(etw_double) as consumer:
        assert take(consumer, 1) == []
        assert consumer.status == 5
