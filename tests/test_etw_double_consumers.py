"""The double of ETW, consumer's side: events as records, in order, with losses; and how it ends."""

from __future__ import annotations

import ctypes
import struct
import threading
import time
from itertools import pairwise
from typing import Any

import pytest

from etw_clients import OTHER, PROVIDER, TRAITS, Consumer, Registration, consuming, descriptor
from etw_double import LOST_EVENTS_ID, EtwDouble
from otel_etw.windows import libraries
from otel_etw.windows.session_functions import INVALID_PROCESSTRACE_HANDLE, control_functions
from otel_etw.windows.structures import EnableTraceParameters, EventRecord


def test_a_session_delivers_events_as_records(etw_double: EtwDouble) -> None:
    """500 in order with all their parts; what the session filters out is not among them."""
    provider = Registration()
    provider.set_traits()
    etw_double.start_session("live")
    etw_double.enable_in("live", PROVIDER, level=4, any_mask=1)
    activity, related = bytes(range(16)), bytes(range(16, 32))
    with consuming("live") as consumer:
        for number in range(500):
            provider.write(
                (2, TRAITS), (1, b"meta\0"), (0, b"pay"), (0, struct.pack("<I", number)),
                event=descriptor(4, 1), activity=activity, related=related if number % 2 else None,
            )  # fmt: skip
            provider.write((2, TRAITS), (1, b"m"), (0, b""), event=descriptor(5, 1))
        consumer.wait(500)
        etw_double.stop_session("live")
        assert consumer.end() == 0
    assert [event.user_data for event in consumer.received] == [
        b"pay" + struct.pack("<I", number) for number in range(500)
    ]
    plain, with_related = consumer.received[:2]
    assert plain.items == [(11, b"meta\0"), (12, TRAITS)]
    assert with_related.items == [(1, related), (11, b"meta\0"), (12, TRAITS)]
    assert (plain.more, with_related.more, plain.context) == ([1, 0], [1, 1, 0], 4711)
    header = EventRecord.from_buffer_copy(plain.header + bytes(32)).EventHeader
    assert (header.Flags & 0x241, header.ThreadId) == (0x241, threading.get_native_id())
    assert plain.header[24:56] == PROVIDER.bytes_le + descriptor(4, 1)
    assert bytes(header.ActivityId) == activity
    age_s = time.time() - (header.TimeStamp - 116444736000000000) / 1e7
    assert -5 < age_s < 60


def test_without_traits_all_parts_are_user_data(etw_double: EtwDouble) -> None:
    """Nothing tells ETW that the parts have types."""
    provider = Registration()
    etw_double.start_session("live")
    etw_double.enable_in("live", PROVIDER)
    with consuming("live") as consumer:
        provider.write((2, b"ab"), (1, b"cd"), (0, b"ef"))
        consumer.wait(1)
    assert (consumer.received[0].items, consumer.received[0].user_data) == ([], b"abcdef")


def test_what_was_delivered_is_gone_after_its_buffer(etw_double: EtwDouble) -> None:
    """A consumer that does not copy finds other bytes there, as it would with ETW."""
    etw_double.start_session("live")
    etw_double.enable_in("live", PROVIDER)
    seen: list[bytes] = []
    with consuming("live") as consumer:
        etw_double.emit(PROVIDER, descriptor(), b"", b"", b"precious")
        consumer.wait(1)
        seen.append(ctypes.string_at(consumer.received[0].user_data_address, 8))
    assert consumer.received[0].user_data == b"precious"
    assert seen == [b"\xdd" * 8]


def test_emitted_events_come_in_order_and_in_buffers(etw_double: EtwDouble) -> None:
    """20,000 of another program's, numbered; no buffer is larger than the session's."""
    etw_double.start_session("live", buffer_size_kb=64)
    etw_double.enable_in("live", PROVIDER)
    with consuming("live") as consumer:
        etw_double.emit(PROVIDER, descriptor(), TRAITS, b"meta", b"....rest", 20_000, counter_at=0)
        etw_double.emit(OTHER, descriptor(), TRAITS, b"meta", b"", 5)
        etw_double.stop_session("live")
        assert consumer.end() == 0
    assert etw_double.session_events("live") == 20_000
    numbers = [struct.unpack("<I4s", event.user_data) for event in consumer.received]
    assert numbers == [(number, b"rest") for number in range(20_000)]
    assert consumer.received[0].items == [(11, b"meta"), (12, TRAITS)]
    at_ends = [0, *(buffer[3] for buffer in consumer.buffers)]
    assert max(after - before for before, after in pairwise(at_ends)) < 800
    assert [buffer[0] for buffer in consumer.buffers] == list(range(1, len(consumer.buffers) + 1))


def test_losses_are_told_with_each_buffer(etw_double: EtwDouble) -> None:
    """In the description that the buffer callback gets, and when a trace is opened."""
    etw_double.start_session("live")
    etw_double.set_lost("live", events=3, realtime_buffers=4)
    with consuming("live") as consumer:
        assert consumer.logfile.LogfileHeader.EventsLost == 3
        etw_double.deliver_lost_notice("live", 33)
        consumer.wait(1)
        etw_double.set_lost("live", events=30, realtime_buffers=40)
        etw_double.deliver_lost_notice("live", 32)
        etw_double.stop_session("live")
        consumer.end()
    assert [buffer[1:3] for buffer in consumer.buffers] == [(3, 4), (30, 40)]
    headers = [event.header for event in consumer.received]
    assert [(header[24:40], header[45]) for header in headers] == [
        (LOST_EVENTS_ID.bytes_le, 33),
        (LOST_EVENTS_ID.bytes_le, 32),
    ]


def test_any_record_can_be_delivered(etw_double: EtwDouble) -> None:
    """Header, items and data as the test gives them."""
    etw_double.start_session("live")
    header = bytes(range(80))
    items = [(6, bytes(24)), (8, b"odd"), (11, b"")]
    with consuming("live") as consumer:
        etw_double.deliver_record("live", header, items, b"data")
        consumer.wait(1)
    event = consumer.received[0]
    assert (event.header, event.items, event.more, event.user_data) == (header, items, [1, 1, 0], b"data")


def test_sessions_that_want_stacks_get_stacks(etw_double: EtwDouble) -> None:
    """And the others do not."""
    handle = etw_double.start_session("with")
    etw_double.start_session("without")
    etw_double.enable_in("without", PROVIDER)
    wish = EnableTraceParameters(Version=2, EnableProperty=4)
    control_functions().enable_trace(handle, PROVIDER.bytes_le, 1, 5, 0, 0, 0, ctypes.byref(wish))
    with consuming("with") as stacks, consuming("without") as plain:
        etw_double.emit(PROVIDER, descriptor(), b"", b"meta", b"data")
        stacks.wait(1)
        plain.wait(1)
    assert [kind for kind, _ in stacks.received[0].items] == [6, 11]
    assert [kind for kind, _ in plain.received[0].items] == [11]
    assert stacks.received[0].user_data == plain.received[0].user_data == b"data"


def test_closing_ends_a_waiting_consumer(etw_double: EtwDouble) -> None:
    """It is answered 7007 where ProcessTrace runs, which then ends with 1223; the handle is gone."""
    etw_double.start_session("live")
    with consuming("live") as consumer:
        etw_double.deliver_lost_notice("live", 32)
        consumer.wait(1)
        assert consumer.functions.close_trace(consumer.handle) == 7007
        assert consumer.end() == 1223
        assert consumer.functions.close_trace(consumer.handle) == 6
        handles = (ctypes.c_uint64 * 1)(consumer.handle)
        assert consumer.functions.process_trace(handles, 1, None, None) == 6
    again = Consumer("live")
    assert again.functions.close_trace(again.handle) == 0


def test_the_buffer_callback_can_end_it(etw_double: EtwDouble) -> None:
    etw_double.start_session("live")
    with consuming("live") as consumer:
        consumer.wants_more = 0
        etw_double.deliver_lost_notice("live", 32)
        assert consumer.end() == 1223


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"ProcessTraceMode": 0x100}, 87),
        ({"ProcessTraceMode": 0x10000000}, 87),
        ({"ProcessTraceMode": 0x10001100}, 50),
        ({"EventRecordCallback": None}, 87),
        ({"LoggerName": None}, 87),
    ],
    ids=str,
)
def test_a_trace_that_cannot_be_opened_says_why(
    etw_double: EtwDouble, change: dict[str, Any], error: int
) -> None:
    """The invalid handle, and the reason as the thread's last error."""
    etw_double.start_session("live")
    consumer = Consumer("live")
    for field, value in change.items():
        setattr(consumer.logfile, field, value)
    handle = consumer.functions.open_trace(ctypes.byref(consumer.logfile))
    assert (handle, libraries.last_error()) == (INVALID_PROCESSTRACE_HANDLE, error)


def test_a_session_that_is_not_there_cannot_be_opened(etw_double: EtwDouble) -> None:
    assert Consumer("nobody").handle == INVALID_PROCESSTRACE_HANDLE
    assert libraries.last_error() == 4201


def test_a_reset_ends_everything_that_waits(etw_double: EtwDouble) -> None:
    """Consumers return, sessions and faults are gone."""
    etw_double.start_session("live")
    with consuming("live") as consumer:
        etw_double.deliver_lost_notice("live", 32)
        consumer.wait(1)
        etw_double.fail_next("StartTraceW", 5, -1)
        etw_double.reset()
        assert consumer.end() == 1223
    assert etw_double.session_names() == []
    etw_double.start_session("live")
