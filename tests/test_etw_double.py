"""The double of ETW, provider's side: what it is called with arrives, and it answers as Windows does."""

from __future__ import annotations

import ctypes
import struct
import subprocess
import sys
import threading
import time
from importlib.util import find_spec
from typing import Any

import pytest

from etw_clients import MASK, OTHER, PROVIDER, TRAITS, Registration, descriptor
from etw_double import BOOTSTRAP, EtwDouble
from otel_etw.windows import libraries
from otel_etw.windows.provider_functions import enable_callback_type, provider_functions
from otel_etw.windows.session_functions import control_functions


def test_registrations_come_and_go(etw_double: EtwDouble) -> None:
    """Handles are never 0, never used again, not even after a reset; one that is gone is answered 6."""
    first, second = Registration(), Registration(callback=False)
    assert (first.status, second.status) == (0, 0)
    assert len({0, first.handle, second.handle}) == 3
    assert (etw_double.provider_count(), etw_double.callbacks_without) == (2, 1)
    assert first.unregister() == 0
    assert (first.unregister(), first.write((0, b"x")), first.set_traits()) == (6, 6, 6)
    assert not first.is_enabled(1, 1)
    assert (etw_double.register_calls, etw_double.unregister_calls) == (2, 2)
    etw_double.reset()
    assert (etw_double.provider_count(), etw_double.register_calls) == (0, 0)
    assert Registration().handle not in (first.handle, second.handle)


def test_what_cannot_be_registered_is_refused(etw_double: EtwDouble) -> None:
    functions = provider_functions()
    handle = ctypes.c_uint64()
    thunk = enable_callback_type()()
    assert functions.event_register(None, thunk, None, ctypes.byref(handle)) == 87
    assert functions.event_register(PROVIDER.bytes_le, thunk, None, None) == 87
    assert etw_double.provider_count() == 0


def test_events_are_kept_byte_for_byte(etw_double: EtwDouble) -> None:
    """Descriptor, both ids, every part with its type, empty ones and NULs included, in order."""
    provider = Registration()
    activity, related = bytes(range(16)), bytes(range(16, 32))
    assert provider.write((2, TRAITS), (1, b"meta\0"), (0, b"pay\0load"), activity=activity) == 0
    assert provider.write((0, b""), event=descriptor(3, MASK), related=related) == 0
    assert provider.write() == 0
    first, second, third = etw_double.written()
    assert (first.handle, first.provider_id) == (provider.handle, PROVIDER)
    assert (first.descriptor, first.activity_id, first.related_id) == (descriptor(), activity, None)
    assert first.entries == [(2, TRAITS), (1, b"meta\0"), (0, b"pay\0load")]
    assert (first.thread_id, first.enabled) == (threading.get_native_id(), False)
    assert (second.descriptor, second.related_id) == (descriptor(3, MASK), related)
    assert (second.entries, third.entries) == ([(0, b"")], [])
    assert etw_double.written_count() == 3
    etw_double.forget_written()
    assert etw_double.written() == []


def test_events_that_windows_refuses_are_refused(etw_double: EtwDouble) -> None:
    """More than 128 parts, more than 64 KiB with the header, no descriptor."""
    provider = Registration()
    assert provider.write(*[(0, b"x")] * 128) == 0
    assert provider.write(*[(0, b"x")] * 129) == 87
    assert provider.write((0, bytes(65536 - 80))) == 0
    assert provider.write((0, bytes(65536 - 79))) == 534
    none = provider.functions.event_write_transfer(
        ctypes.c_uint64(provider.handle), None, None, None, ctypes.c_uint32(0), None
    )
    assert none == 87
    assert etw_double.written_count() == 2


def test_an_event_larger_than_a_sessions_buffer_is_refused(etw_double: EtwDouble) -> None:
    """By the session that takes it; one that filters it out does not mind."""
    provider = Registration()
    etw_double.start_session("small", buffer_size_kb=4)
    etw_double.enable_in("small", PROVIDER, level=2)
    assert provider.write((0, bytes(5000)), event=descriptor(3)) == 0
    assert provider.write((0, bytes(5000)), event=descriptor(2)) == 234
    assert provider.write((0, bytes(3000)), event=descriptor(2)) == 0
    assert etw_double.session_events("small") == 1


def test_traits_are_set_once_and_whole(etw_double: EtwDouble) -> None:
    provider = Registration()
    assert provider.set_traits(TRAITS + b"x") == 87
    assert (provider.set_traits(), provider.set_traits()) == (0, 183)
    assert etw_double.traits(provider.handle) == TRAITS


@pytest.mark.parametrize("other_thread", [False, True])
def test_callbacks_get_the_values_as_they_are(etw_double: EtwDouble, other_thread: bool) -> None:
    """Whatever the test says, on its own thread or on a native one that Python has never seen."""
    provider, bystander = Registration(), Registration(OTHER)
    for code, level, any_mask, all_mask in [(1, 0, MASK, 4), (2, 255, 2**64 - 1, MASK), (0, 0, 0, 0)]:
        made = etw_double.enable(
            PROVIDER, code=code, level=level, any_mask=any_mask, all_mask=all_mask, other_thread=other_thread
        )
        assert made == 1
        assert provider.take_notices() == [(code, level, any_mask, all_mask)]
    assert bystander.notices == []
    assert (set(provider.threads) == {threading.get_native_id()}) is not other_thread


def test_enabling_outside_of_sessions_counts_as_a_session(etw_double: EtwDouble) -> None:
    """For what is wanted and for registrations that come later."""
    provider = Registration(callback=False)
    assert etw_double.enable(PROVIDER, level=3, any_mask=6, all_mask=2) == 0
    later = Registration()
    assert later.notices == [(1, 3, 6, 2)]
    wanted = [(3, 2), (1, 6), (3, 0), (4, 2), (3, 4), (0, 2)]
    assert [provider.is_enabled(*one) for one in wanted] == [True, True, True, False, False, True]
    provider.write((0, b""), event=descriptor(3, 2))
    provider.write((0, b""), event=descriptor(4, 2))
    assert [event.enabled for event in etw_double.written()] == [True, False]
    etw_double.enable(PROVIDER, code=0)
    assert not provider.is_enabled(1, 0)
    assert Registration().notices == []


def test_several_sessions_are_merged(etw_double: EtwDouble) -> None:
    """Highest level as a number, OR of any-masks, AND of all-masks; what leaves, leaves the rest."""
    provider = Registration()
    for name in ("a", "b", "c"):
        etw_double.start_session(name)
    etw_double.enable_in("a", PROVIDER, level=3, any_mask=1, all_mask=7)
    etw_double.enable_in("b", PROVIDER, level=0, any_mask=MASK, all_mask=3)
    etw_double.enable_in("c", OTHER, level=5)
    etw_double.enable_in("a", PROVIDER, level=2, any_mask=1, all_mask=7)
    assert provider.take_notices() == [(1, 3, 1, 7), (1, 3, MASK, 3), (1, 2, MASK, 3)]
    assert Registration().notices == [(1, 2, MASK, 3)]
    etw_double.disable_in("c", OTHER)
    etw_double.disable_in("c", PROVIDER)
    etw_double.stop_session("a")
    etw_double.disable_in("b", PROVIDER)
    assert provider.take_notices() == [(1, 0, MASK, 3), (0, 0, 0, 0)]


def test_each_session_filters_for_itself(etw_double: EtwDouble) -> None:
    """An event is wanted if any session takes it, whatever the merged values say."""
    provider = Registration()
    for name in ("a", "b"):
        etw_double.start_session(name)
    etw_double.enable_in("a", PROVIDER, level=0, any_mask=2)
    etw_double.enable_in("b", PROVIDER, level=3, any_mask=0, all_mask=0)
    for level, keyword in [(5, 2), (3, 4), (5, 4), (5, 0)]:
        provider.write((0, b""), event=descriptor(level, keyword))
    assert [event.enabled for event in etw_double.written()] == [True, True, False, True]
    assert (etw_double.session_events("a"), etw_double.session_events("b")) == (2, 1)


def test_a_provider_has_room_for_eight_sessions(etw_double: EtwDouble) -> None:
    """The ninth is answered 1450; one that is in already may change its mind."""
    handles = [etw_double.start_session(f"s{number}") for number in range(9)]
    enable = control_functions().enable_trace
    answers = [enable(handle, PROVIDER.bytes_le, 1, 5, 0, 0, 0, None) for handle in [*handles, handles[0]]]
    assert answers == [0] * 8 + [1450, 0]


def test_a_session_asks_for_the_state_of_a_provider(etw_double: EtwDouble) -> None:
    """Code 2 with the values of the call; nothing else changes."""
    provider = Registration()
    etw_double.start_session("s")
    etw_double.enable_in("s", PROVIDER, code=2)
    assert provider.take_notices() == []
    etw_double.enable_in("s", PROVIDER, level=4, any_mask=8)
    etw_double.enable_in("s", PROVIDER, code=2, level=1)
    assert provider.take_notices() == [(1, 4, 8, 0), (2, 1, 0, 0)]
    assert provider.is_enabled(4, 8)


def test_unregistering_waits_for_a_callback_that_runs(etw_double: EtwDouble) -> None:
    """And none comes afterwards."""
    provider = Registration()
    started, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        started.set()
        go_on.wait(20)

    provider.inside = hold
    enabling = threading.Thread(target=etw_double.enable, args=(PROVIDER,))
    enabling.start()
    assert started.wait(20)
    unregistering = threading.Thread(target=provider.unregister)
    unregistering.start()
    unregistering.join(0.2)
    assert unregistering.is_alive()
    go_on.set()
    unregistering.join(20)
    enabling.join(20)
    assert not unregistering.is_alive()
    assert etw_double.enable(PROVIDER) == 0
    assert len(provider.notices) == 1


def test_a_registration_is_told_one_thing_at_a_time(etw_double: EtwDouble) -> None:
    """A second notice waits until the first callback has ended."""
    provider = Registration()
    inside = 0
    most = 0

    def count() -> None:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        time.sleep(0.01)
        inside -= 1

    provider.inside = count
    threads = [threading.Thread(target=etw_double.enable, args=(PROVIDER,)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert (len(provider.notices), most) == (6, 1)


def test_unregistering_inside_ones_own_callback_is_noticed(etw_double: EtwDouble) -> None:
    """Windows would wait for ever; here the fixture fails the test that does so, unless it resets."""
    provider = Registration()
    provider.inside = provider.unregister
    assert etw_double.enable(PROVIDER) == 1
    assert etw_double.misuse == ["EventUnregister was called inside the registration's own callback"]
    assert etw_double.provider_count() == 0
    etw_double.reset()
    assert etw_double.misuse == []


def test_a_native_thread_delivers_callbacks_until_it_is_stopped(etw_double: EtwDouble) -> None:
    provider = Registration()
    etw_double.enable_from_thread(PROVIDER, 0)
    deadline = time.monotonic() + 20
    while etw_double.delivered_by_thread() < 50 and time.monotonic() < deadline:
        time.sleep(0.001)
    etw_double.stop_enabling()
    count = etw_double.delivered_by_thread()
    assert count >= 50
    assert len(provider.notices) == count
    assert {notice[:2] for notice in provider.notices} == {(1, 4), (1, 5)}
    assert threading.get_native_id() not in provider.threads


def test_threads_write_at_once(etw_double: EtwDouble) -> None:
    """Eight of them: every event is there once, whole, under its thread's id and in its thread's order."""
    provider = Registration()

    def run(thread: int) -> None:
        for number in range(1000):
            provider.write((0, bytes([thread]) * (number % 50)), (0, struct.pack("<II", thread, number)))

    threads = [threading.Thread(target=run, args=(thread,)) for thread in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    numbers: dict[int, list[int]] = {thread: [] for thread in range(8)}
    ids = set()
    for event in etw_double.written():
        thread, number = struct.unpack("<II", event.entries[1][1])
        assert event.entries[0][1] == bytes([thread]) * (number % 50)
        numbers[thread].append(number)
        ids.add((thread, event.thread_id))
    assert numbers == {thread: list(range(1000)) for thread in range(8)}
    assert len(ids) == 8


def test_activity_ids_belong_to_threads(etw_double: EtwDouble) -> None:
    """Get, set, create, and both combined; another thread begins with none."""
    arguments = (ctypes.c_uint32, ctypes.c_void_p)
    function = libraries.bind("advapi32", "EventActivityIdControl", ctypes.c_uint32, arguments)

    def control(code: int, value: bytes = bytes(16)) -> bytes:
        buffer = ctypes.create_string_buffer(value, 16)
        assert function(code, buffer) == 0
        return buffer.raw

    mine = bytes(range(16))
    before = control(4, mine)
    assert control(1) == mine
    created = control(3)
    assert created not in (mine, bytes(16))
    assert control(3) != created
    assert control(5) == mine
    assert control(1) != mine
    seen: list[bytes] = []
    thread = threading.Thread(target=lambda: seen.append(control(1)))
    thread.start()
    thread.join()
    assert seen == [bytes(16)]
    assert function(6, None) == 87
    control(2, before)


def test_calls_fail_as_often_as_is_said(etw_double: EtwDouble) -> None:
    """Any function, once, some times, or from now on; a failing call does nothing but is counted."""
    provider = Registration()
    etw_double.fail_next("EventWriteTransfer", 8, 2)
    assert [provider.write((0, b"")) for _ in range(3)] == [8, 8, 0]
    etw_double.fail_next("EventWriteTransfer", 234, -1)
    assert [provider.write((0, b"")) for _ in range(3)] == [234] * 3
    assert (etw_double.written_count(), etw_double.calls("EventWriteTransfer")) == (1, 6)
    etw_double.fail_next("EventRegister", 5)
    assert (Registration().status, Registration().status) == (5, 0)
    etw_double.reset()
    assert Registration().write((0, b"")) == 0
    with pytest.raises(AssertionError):
        etw_double.fail_next("EventDance", 5)


def test_a_call_takes_its_time_without_holding_others_up(etw_double: EtwDouble) -> None:
    provider = Registration()
    etw_double.set_delay_ms("EventUnregister", 300)
    began = time.perf_counter()
    thread = threading.Thread(target=provider.unregister)
    thread.start()
    assert Registration().write((0, b"")) == 0
    assert thread.is_alive()
    thread.join(20)
    assert time.perf_counter() - began >= 0.25


def test_only_etw_is_doubled(etw_double: EtwDouble) -> None:
    """Other libraries are the system's, or are not there; each opening gives an object of its own."""
    opener: Any = getattr(ctypes, "WinDLL")  # noqa: B009 - has no type on other systems
    assert opener("sechost").StartTraceW is not opener("sechost").StartTraceW
    assert opener("api-ms-win-eventing-provider-l1-1-0.dll", mode=0x800).EventRegister
    if sys.platform == "win32":
        assert not hasattr(opener("kernel32"), "EtwDouble_Reset")
    else:
        with pytest.raises(OSError, match="kernel32"):
            opener("kernel32")


DYNAMIC = """
from uuid import UUID
import traceloggingdynamic
provider = traceloggingdynamic.Provider(b"MyCompany.MyComponent", throw_on_error=True)
double.enable(provider.id, level=5)
builder = traceloggingdynamic.EventBuilder()
builder.reset(b"Name", 5, 1)
builder.add_int32(b"Number", 7)
assert provider.is_enabled(5, 1) and not provider.is_enabled(6, 1)
assert provider.write(builder) == 0
event, = double.written()
print(event.provider_id, event.enabled, double.traits(event.handle) == event.entries[0][1])
print([(kind, data.hex()) for kind, data in event.entries])
"""


def test_microsofts_module_writes_through_it_in_another_process(etw_double: EtwDouble) -> None:
    """``traceloggingdynamic`` opens its library at import, and finds the double."""
    if find_spec("traceloggingdynamic") is None:
        pytest.skip("traceloggingdynamic is not installed")
    done = subprocess.run(
        [sys.executable, "-c", BOOTSTRAP + DYNAMIC],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    facts, entries = done.stdout.splitlines()
    traits = b"\x18\x00MyCompany.MyComponent\0".hex()
    metadata = b"\x10\x00\x00Name\0Number\0\x07".hex()
    assert facts == "ce5fa4ea-ab00-5402-8b76-9f76ac858fb5 True True"
    assert entries == str([(2, traits), (1, metadata), (0, "07000000")])


LATE = """
import ctypes, time
from uuid import UUID
from otel_etw.windows.provider_functions import enable_callback_type, provider_functions
provider_id = UUID(int=5)
called = []
thunk = enable_callback_type()(lambda *arguments: called.append(arguments))
handle = ctypes.c_uint64()
functions = provider_functions()
assert functions.event_register(provider_id.bytes_le, thunk, None, ctypes.byref(handle)) == 0
double.enable_from_thread(provider_id, 0)
double.linger_at_exit(200)
while len(called) < 20:
    time.sleep(0.001)
"""


@pytest.mark.parametrize("unregisters", [False, True])
def test_a_callback_into_an_ended_interpreter_is_not_overlooked(
    etw_double: EtwDouble, unregisters: bool
) -> None:
    """A process that leaves its callback registered fails, so that tests of interpreter exit can fail."""
    done = subprocess.run(
        [sys.executable, "-c", BOOTSTRAP + LATE + "functions.event_unregister(handle)" * unregisters],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode == 0) is unregisters, done.stderr
