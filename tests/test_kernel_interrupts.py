"""Registering and giving back, interrupted: by Ctrl-C at any step, by what runs in between, by the exit."""

from __future__ import annotations

import atexit
import dis
import gc
import importlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import pytest

from etw_double import EtwDouble
from otel_etw.providers import enabling, registrations
from otel_etw.providers.enabling import EnableCallback
from otel_etw.providers.kernel import KernelProvider
from otel_etw.sessions.kernel import KernelSession
from otel_etw.tracelogging.provider_id import provider_id
from otel_etw.tracelogging.types import EventDescriptor

NAME = "KernelInterrupts"
ID = provider_id(NAME)
DESCRIPTOR = EventDescriptor(level=4, keyword=1)
METADATA = b"\x05\0\0E\0"
# Python says so of an exception that leaves a callback.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
FILES = (registrations.__file__, enabling.__file__)


@pytest.fixture
def callback(etw_double: EtwDouble, monkeypatch: pytest.MonkeyPatch) -> Iterator[EnableCallback]:
    """One of the test's own, whose end the test may bring about."""
    own = EnableCallback()
    monkeypatch.setattr(registrations, "_callback", own)
    yield own
    atexit.unregister(own._end)


def interrupted(work: Callable[[], object], step: int, files: tuple[str, ...]) -> bool:
    """Whether ``work`` came to its ``step``-th instruction within the files where Python looks for signals.

    It raises what Ctrl-C raises there: at the begin of a function, after a call, and when a loop goes on.
    """
    left = step
    last: dict[FrameType, str] = {}

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal left
        if frame.f_code.co_filename not in files:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            before = last.get(frame, "RESUME")
            last[frame] = dis.opname[frame.f_code.co_code[frame.f_lasti]]
            left -= before.startswith(("RESUME", "CALL", "JUMP_BACKWARD", "JUMP_ABSOLUTE"))
            if left == 0:
                sys.settrace(None)
                raise KeyboardInterrupt
        return trace

    other = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    except KeyboardInterrupt:
        assert left == 0
    finally:
        sys.settrace(other)
    return left <= 0


def steps(work: Callable[[], Callable[[], object]], files: tuple[str, ...] = FILES) -> None:
    """Do what ``work`` prepares again and again, with an interrupt at each of its instructions in turn."""
    interrupted(work(), sys.maxsize, files)  # Python 3.12 traces no instructions of functions new to it
    step = 1
    while interrupted(work(), step, files):
        step += 1
        assert step < 1000
    assert step > 10


def another_can_write(double: EtwDouble) -> None:
    """No lock is left behind, and whoever registers is told what is wanted."""

    def work() -> None:
        provider = KernelSession().register(NAME)
        done.append(provider.is_enabled(4, 1) and provider.write(DESCRIPTOR, METADATA, b"") == 0)
        provider.close()

    done: list[bool] = []
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(10)
    assert done == [True]


def test_an_interrupted_registration_leaves_nothing(etw_double: EtwDouble) -> None:
    """Wherever Ctrl-C comes, what was registered is given back, or has been handed out."""
    etw_double.enable(ID)
    handed_out: list[KernelProvider] = []

    def prepare() -> Callable[[], object]:
        another_can_write(etw_double)
        assert etw_double.provider_count() <= len(handed_out)
        while handed_out:
            handed_out.pop().close()
        registrations._table.clear()
        return lambda: handed_out.append(KernelSession().register(NAME))

    steps(prepare)


def test_an_interrupted_close_leaves_no_callback_to_the_exit(
    etw_double: EtwDouble, callback: EnableCallback
) -> None:
    """What could not be given back any more has no callback once the exit hook has run."""
    etw_double.enable(ID)

    def prepare() -> Callable[[], object]:
        another_can_write(etw_double)
        callback._end()
        callback._has_ended = False
        assert etw_double.callbacks_without == etw_double.provider_count()
        registrations._table.clear()  # of those that are still in use, for want of a close
        return KernelSession().register(NAME).close

    steps(prepare)


def test_an_interrupted_exit_hook_leaves_no_callback(etw_double: EtwDouble, callback: EnableCallback) -> None:
    """Ctrl-C at any step of it, and the rest is done all the same; then it is raised."""
    for name in (NAME, "KernelInterruptsToo"):
        etw_double.enable(provider_id(name))
    providers: list[KernelProvider] = []

    def prepare() -> Callable[[], object]:
        if providers:
            assert etw_double.callbacks_without == etw_double.provider_count()
            for provider in providers:
                provider.close()
            assert etw_double.provider_count() == 0
        callback._has_ended = False
        providers[:] = [KernelSession().register(name) for name in (NAME, "KernelInterruptsToo")]
        assert etw_double.callbacks_without == 0
        return callback._end

    # What comes before the hook has begun nobody can do anything about.
    steps(prepare, FILES[:1])


def test_the_exit_hook_waits_for_nobody_after_an_interrupt(
    etw_double: EtwDouble, callback: EnableCallback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody who has no patience with a slow registration still gets the others without callback."""
    first, second = (KernelSession().register(name) for name in (NAME, "KernelInterruptsToo"))
    waits: list[float] = []
    drop = first._registration.drop_callback

    def impatient(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 1:
            raise KeyboardInterrupt
        drop(seconds)

    monkeypatch.setattr(first._registration, "drop_callback", impatient)
    with pytest.raises(KeyboardInterrupt):
        callback._end()
    assert waits[0] > 1
    assert waits[1] <= 0
    assert etw_double.callbacks_without == etw_double.provider_count() == 2
    first.close()
    second.close()


def test_an_exit_hook_that_runs_while_a_thread_begins_to_register_is_seen(
    etw_double: EtwDouble, callback: EnableCallback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hook finds no registration yet; so it must have no callback when it comes."""

    class Numbers:
        def __next__(self) -> int:
            callback._end()
            return 1

    monkeypatch.setattr(callback, "_numbers", Numbers())
    etw_double.enable(ID)
    provider = KernelSession().register(NAME)
    assert etw_double.callbacks_without == etw_double.provider_count() == 1
    assert provider.is_enabled(4, 1)
    provider.close()


@pytest.mark.parametrize("early", [True, False])
def test_a_callback_that_is_interrupted_is_made_up_for(
    etw_double: EtwDouble, callback: EnableCallback, monkeypatch: pytest.MonkeyPatch, early: bool
) -> None:
    """Ctrl-C comes out of the callback inside ``EventRegister``, to nobody; no session is missed."""
    etw_double.enable(ID, level=3)

    class Pressed(dict[int, object]):
        def get(self, *arguments: object) -> None:
            raise KeyboardInterrupt

    def pressed(*arguments: object) -> None:
        raise KeyboardInterrupt

    seen: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: seen.append(unraisable.exc_type))
    if early:
        monkeypatch.setattr(callback, "_called_back", Pressed())
    else:
        monkeypatch.setattr(enabling, "Enablement", pressed)
    provider = KernelSession().register(NAME)
    assert seen == [KeyboardInterrupt]
    assert not provider.idle
    assert provider.is_enabled(3, 1)
    assert not provider.is_enabled(4, 1)
    provider.close()


def test_a_callback_that_cannot_store_what_it_is_told_says_that_there_is_something(
    etw_double: EtwDouble, callback: EnableCallback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no memory, for one; then the kernel is asked until the next callback."""

    def no_memory(*arguments: object) -> None:
        raise MemoryError

    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: None)
    provider = KernelSession().register(NAME)
    with monkeypatch.context() as short:
        short.setattr(enabling, "Enablement", no_memory)
        etw_double.enable(ID, level=3, other_thread=True)
    assert not provider.idle
    assert provider.is_enabled(3, 1)
    assert not provider.is_enabled(4, 1)
    etw_double.enable(ID, level=5)
    assert provider.is_enabled(5, 1)
    etw_double.enable(ID, code=0)
    assert provider.idle
    provider.close()


def test_a_finalizer_may_close_a_provider_inside_its_callback(
    etw_double: EtwDouble, callback: EnableCallback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Garbage is collected anywhere; ETW, which waits for callbacks to end, would never return."""
    provider = KernelSession().register(NAME)
    make = enabling.Enablement

    def with_garbage(*parts: Any) -> enabling.Enablement:
        provider.close()
        return make(*parts)

    monkeypatch.setattr(enabling, "Enablement", with_garbage)
    assert etw_double.enable(ID, other_thread=True) == 1
    end = time.monotonic() + 20
    while etw_double.provider_count() and time.monotonic() < end:
        time.sleep(0.001)
    assert etw_double.provider_count() == 0
    assert provider.problem is not None
    assert etw_double.misuse == []


def test_what_runs_while_a_thread_registers_may_register_too(
    etw_double: EtwDouble, callback: EnableCallback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signal handler or finalizer of the same thread gets the registration that is being made."""
    etw_double.enable(ID)
    number_for = callback.number_for
    inner: list[KernelProvider] = []

    def between(registration: enabling.CalledBack) -> int:
        inner.append(KernelSession().register(NAME))
        return number_for(registration)

    monkeypatch.setattr(callback, "number_for", between)
    outer = KernelSession().register(NAME)
    assert (etw_double.register_calls, len(inner)) == (1, 1)
    assert inner[0].write(DESCRIPTOR, METADATA, b"") == outer.write(DESCRIPTOR, METADATA, b"") == 0
    inner[0].close()
    assert outer.is_enabled(4, 1)
    outer.close()
    assert etw_double.provider_count() == 0


def test_a_module_that_is_loaded_again_leaves_the_callback_of_the_first(etw_double: EtwDouble) -> None:
    """What is registered goes on being told by the callback it was registered with, which is not freed."""
    provider = KernelSession().register(NAME)
    before = dict(vars(registrations))
    try:
        importlib.reload(registrations)
        gc.collect()
        assert registrations._callback is not before["_callback"]
        assert etw_double.enable(ID, other_thread=True) == 1
        assert provider.is_enabled(4, 1)
        provider.close()
        assert etw_double.provider_count() == 0
    finally:
        atexit.unregister(registrations._callback._end)
        vars(registrations).update(before)
