"""The kernel's provider and threads: those that write, those that register, those of the system."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from threading import Barrier, Thread

import pytest
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider

from etw_double import EtwDouble
from otel_etw import EtwLogRecordProcessor
from otel_etw.layouts.common_schema import decode_log
from otel_etw.providers.kernel import KernelProvider
from otel_etw.sessions.kernel import KernelSession
from otel_etw.tracelogging.provider_id import encode_traits, provider_id
from otel_etw.tracelogging.types import EventDescriptor
from vector_records import values_of

NAME, OTHER = "KernelThreads", "KernelThreadsToo"
ID, OTHER_ID = provider_id(NAME), provider_id(OTHER)
THREADS = 8
EVENTS = 100_000
DESCRIPTOR = EventDescriptor(level=4, keyword=1)
METADATA = b"\x05\0\0E\0"


def together(*works: Callable[[], object]) -> None:
    """Run all at once, each in a thread of its own, to the end."""
    barrier = Barrier(len(works))
    problems: list[BaseException] = []

    def run(work: Callable[[], object]) -> None:
        barrier.wait()
        try:
            work()
        except BaseException as problem:  # for the test's own thread
            problems.append(problem)

    threads = [Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if problems:
        raise problems[0]


@pytest.fixture
def pounded(etw_double: EtwDouble) -> Iterator[None]:
    """Sessions come and go at other levels all the while, told by a thread of the system's."""
    etw_double.enable(ID)
    etw_double.enable_from_thread(ID, 100)
    yield
    etw_double.stop_enabling()


def test_eight_threads_write_events_of_which_none_is_torn(etw_double: EtwDouble, pounded: None) -> None:
    """100,000 log records through one exporter: each arrives once, whole, and in its thread's order."""
    processor = EtwLogRecordProcessor(NAME)
    loggers = LoggerProvider(shutdown_on_exit=False)
    loggers.add_log_record_processor(processor)
    logger = loggers.get_logger("threads")

    def writes(thread: int) -> Callable[[], None]:
        def run() -> None:
            mark = "abcdefgh"[thread]
            for number in range(EVENTS // THREADS):
                body = f"{thread} {number} " + mark * (number % 97)
                record = LogRecord(
                    timestamp=number + 1,
                    severity_number=SeverityNumber.INFO,
                    body=body,
                    attributes={"mark": mark * (number % 11)},
                )
                logger.emit(record)

        return run

    together(*(writes(thread) for thread in range(THREADS)))
    assert etw_double.delivered_by_thread() > 10
    assert processor.stats.written == EVENTS
    processor.shutdown()
    numbers: dict[int, list[int]] = {thread: [] for thread in range(THREADS)}
    for event in etw_double.written():
        (traits_kind, traits), (metadata_kind, metadata), (payload_kind, payload) = event.entries
        assert (traits_kind, metadata_kind, payload_kind) == (2, 1, 0)
        assert traits == encode_traits(NAME)
        assert event.provider_id == ID
        assert event.enabled
        item = decode_log(values_of(metadata, payload), -1)
        assert item is not None
        thread, number, rest = str(item.body).split(" ", 2)
        mark = "abcdefgh"[int(thread)]
        assert rest == mark * (int(number) % 97)
        assert item.attributes == {"mark": mark * (int(number) % 11)}
        assert item.time_unix_nano == int(number) + 1
        numbers[int(thread)].append(int(number))
    assert numbers == {thread: list(range(EVENTS // THREADS)) for thread in range(THREADS)}


def test_threads_that_come_at_once_share_one_registration(etw_double: EtwDouble) -> None:
    """However long ETW takes to register, it is asked once, and all of them can write."""
    etw_double.enable(ID)
    etw_double.set_delay_ms("EventRegister", 100)
    made: list[KernelProvider] = []

    def work() -> None:
        provider = KernelSession().register(NAME)
        made.append(provider)
        assert provider.write(DESCRIPTOR, METADATA, b"here") == 0

    together(*[work] * THREADS)
    assert etw_double.register_calls == 1
    assert etw_double.written_count() == THREADS
    assert len({event.handle for event in etw_double.written()}) == 1
    together(*(provider.close for provider in made))
    assert (etw_double.provider_count(), etw_double.unregister_calls) == (0, 1)


def test_threads_that_wait_for_a_registration_that_fails_try_themselves(etw_double: EtwDouble) -> None:
    """Only who was refused has no provider."""
    etw_double.set_delay_ms("EventRegister", 50)
    etw_double.fail_next("EventRegister", 8)
    refused: list[Exception] = []
    made: list[KernelProvider] = []

    def work() -> None:
        try:
            made.append(KernelSession().register(NAME))
        except Exception as error:
            refused.append(error)

    together(work, work, work)
    assert (len(refused), len(made)) == (1, 2)
    assert (etw_double.register_calls, etw_double.provider_count()) == (2, 1)
    for provider in made:
        provider.close()
    assert etw_double.provider_count() == 0


@pytest.mark.parametrize("function", ["EventRegister", "EventUnregister"])
def test_a_slow_system_holds_up_nobody_else(etw_double: EtwDouble, function: str) -> None:
    """While one provider is being registered or given back, others are told, asked, written and closed."""
    provider = KernelSession().register(NAME)
    slow = KernelSession().register(OTHER) if function == "EventUnregister" else None
    etw_double.set_delay_ms(function, 600)
    done = Thread(target=slow.close if slow else lambda: made.append(KernelSession().register(OTHER)))
    made: list[KernelProvider] = []
    calls = etw_double.calls(function)
    start = time.perf_counter()
    done.start()
    while etw_double.calls(function) == calls:
        time.sleep(0.001)
    assert etw_double.enable(ID, other_thread=True) == 1
    assert provider.is_enabled(5, 1)
    for _ in range(100):
        assert provider.write(DESCRIPTOR, METADATA, b"meanwhile") == 0
    another = KernelSession().register(NAME)
    another.close()
    assert time.perf_counter() - start < 0.5
    assert done.is_alive()
    done.join()
    etw_double.set_delay_ms(function, 0)
    for each in (provider, *made):
        each.close()
    assert etw_double.provider_count() == 0


def test_registering_and_giving_back_under_callbacks(etw_double: EtwDouble, pounded: None) -> None:
    """Callbacks that come all the while, inside of both calls as well, find nothing that is gone."""
    etw_double.stop_enabling()
    etw_double.enable_from_thread(ID, 0)

    def work() -> None:
        for _ in range(300):
            provider = KernelSession().register(NAME)
            assert provider.is_enabled(4, 1)
            assert provider.write(DESCRIPTOR, METADATA, b"x") == 0
            provider.close()
            assert not provider.is_enabled(4, 1)

    together(work, work)
    assert etw_double.provider_count() == 0
    assert etw_double.written_count() == 600
    assert etw_double.register_calls == etw_double.unregister_calls


def test_a_close_waits_for_the_callback_that_runs(etw_double: EtwDouble) -> None:
    """And neither waits for ever: the callback needs but the interpreter, which the close lets go."""
    for _ in range(50):
        provider = KernelSession().register(NAME)
        together(
            provider.close,
            lambda: etw_double.enable(ID, other_thread=True),
            lambda: etw_double.enable(ID, level=2, other_thread=True),
        )
    assert etw_double.provider_count() == 0
