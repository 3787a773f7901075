"""What a kernel provider takes to be wanted: levels and keywords of several sessions, told and asked."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import product

import pytest
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider

from etw_double import EtwDouble
from otel_etw import EtwLogRecordProcessor
from otel_etw.providers.kernel import KernelProvider
from otel_etw.sessions.kernel import KernelSession
from otel_etw.tracelogging.provider_id import provider_id

NAME = "KernelEnabling"
ID = provider_id(NAME)


@pytest.fixture
def provider(etw_double: EtwDouble) -> Iterator[KernelProvider]:
    provider = KernelSession().register(NAME)
    yield provider
    provider.close()
    assert etw_double.provider_count() == 0


def emit_one(processor: EtwLogRecordProcessor, severity: SeverityNumber = SeverityNumber.INFO) -> None:
    loggers = LoggerProvider(shutdown_on_exit=False)
    loggers.add_log_record_processor(processor)
    loggers.get_logger("kernel").emit(LogRecord(timestamp=1, severity_number=severity, body="hello"))


def wanted(provider: KernelProvider) -> list[int]:
    return [level for level in (1, 2, 3, 4, 5, 255) if provider.is_enabled(level, 1)]


@pytest.mark.parametrize(
    ("level", "any_mask", "all_mask", "passing", "refused"),
    [
        (3, 0, 0, [(0, 0), (1, 1), (3, 2**63)], [(4, 0), (5, 1), (255, 0)]),
        (0, 0, 0, [(0, 0), (1, 1), (255, 2**63)], []),
        (5, 6, 0, [(5, 0), (5, 2), (5, 4), (1, 7)], [(5, 1), (5, 8), (6, 2)]),
        (5, 2**64 - 1, 0, [(5, 0), (5, 1), (5, 2**63)], [(6, 0)]),
        (5, 0, 3, [(5, 0), (5, 3), (5, 7)], [(5, 1), (5, 4)]),
        (255, 0xF0, 0x30, [(255, 0x30), (9, 0x70)], [(9, 0x10), (9, 0xC0)]),
    ],
)
@pytest.mark.parametrize("before", [True, False], ids=["registered before", "registered after"])
def test_a_session_gets_what_it_asked_for(
    etw_double: EtwDouble,
    level: int,
    any_mask: int,
    all_mask: int,
    passing: list[tuple[int, int]],
    refused: list[tuple[int, int]],
    before: bool,
) -> None:
    """Level 0 and mask 0 are everything, keyword 0 passes; a session may be there before the provider."""
    provider = KernelSession().register(NAME) if before else None
    etw_double.start_session("one")
    etw_double.enable_in("one", ID, level=level, any_mask=any_mask, all_mask=all_mask)
    provider = provider or KernelSession().register(NAME)
    assert not provider.idle
    assert provider.is_enabled_any()
    assert [case for case in passing if not provider.is_enabled(*case)] == []
    assert [case for case in refused if provider.is_enabled(*case)] == []
    etw_double.disable_in("one", ID)
    assert provider.idle
    assert not provider.is_enabled_any()
    provider.close()


@pytest.mark.parametrize("levels", [(0, 3), (3, 0)])
def test_a_session_that_takes_every_level_is_not_hidden_by_another(
    provider: KernelProvider, etw_double: EtwDouble, levels: tuple[int, int]
) -> None:
    """Merged, level 0 beside level 3 arrives as 3, in whatever order they come."""
    for name, level in zip(("a", "b"), levels, strict=True):
        etw_double.start_session(name)
        etw_double.enable_in(name, ID, level=level)
    assert provider._registration.state.highest_level == 3
    assert wanted(provider) == [1, 2, 3, 4, 5, 255]
    etw_double.stop_session("b" if levels[1] == 0 else "a")
    assert wanted(provider) == [1, 2, 3]
    etw_double.stop_session("a" if levels[1] == 0 else "b")
    assert provider.idle is True


def test_levels_and_keywords_follow_several_sessions(provider: KernelProvider, etw_double: EtwDouble) -> None:
    """Enabled, enabled again otherwise, left one by one: what remains is wanted, and nothing else."""
    for name in ("a", "b", "c"):
        etw_double.start_session(name)
    etw_double.enable_in("a", ID, level=2, any_mask=1)
    assert wanted(provider) == [1, 2]
    etw_double.enable_in("b", ID, level=4, any_mask=2)
    assert provider.is_enabled(4, 2)
    assert provider.is_enabled(2, 1)
    assert not provider.is_enabled(5, 2)
    etw_double.enable_in("a", ID, level=5, any_mask=4)
    assert provider.is_enabled(5, 4)
    assert not provider.is_enabled(1, 1)
    etw_double.enable_in("c", ID, level=1, any_mask=0)
    assert provider.is_enabled(1, 2**40)
    etw_double.disable_in("a", ID)
    assert not provider.is_enabled(5, 4)
    assert provider.is_enabled(4, 2)
    etw_double.stop_session("c")
    assert not provider.is_enabled(1, 2**40)
    etw_double.disable_in("b", ID)
    assert provider.idle is True


def test_it_is_never_stricter_than_the_kernel(provider: KernelProvider, etw_double: EtwDouble) -> None:
    """Whatever sessions do, an event that one of them takes is enabled; without any, none is."""
    chosen = random.Random(20260401)
    asked: dict[str, tuple[int, int, int]] = {}
    for name in ("a", "b", "c"):
        etw_double.start_session(name)
    for _ in range(400):
        name = chosen.choice("abc")
        if name in asked and chosen.random() < 0.4:
            etw_double.disable_in(name, ID)
            del asked[name]
        else:
            level, any_mask = chosen.choice([0, 1, 3, 5]), chosen.choice([0, 1, 6, 2**63])
            all_mask = chosen.choice([0, 0, 2])
            etw_double.enable_in(name, ID, level=level, any_mask=any_mask, all_mask=all_mask)
            asked[name] = level, any_mask, all_mask
        assert provider.idle is (not asked)
        for level, keyword in product((0, 1, 2, 4, 5, 255), (0, 1, 2, 4, 7, 2**63)):
            takes = any(is_taken(wish, level, keyword) for wish in asked.values())
            assert provider.is_enabled(level, keyword) or not takes
            if len(asked) < 2:  # several are merged, which may promise what none of them takes
                assert provider.is_enabled(level, keyword) == takes


def is_taken(wish: tuple[int, int, int], level: int, keyword: int) -> bool:
    highest, any_mask, all_mask = wish
    if highest and level > highest:
        return False
    return not keyword or ((not any_mask or keyword & any_mask != 0) and keyword & all_mask == all_mask)


def test_a_request_for_state_changes_nothing(provider: KernelProvider, etw_double: EtwDouble) -> None:
    """Code 2 asks a provider to log its state, and may have any level and mask."""
    etw_double.enable(ID, level=3, any_mask=6)
    before = provider._registration.state
    assert etw_double.enable(ID, level=0, any_mask=0, code=2, other_thread=True) == 1
    assert provider._registration.state == before


def test_a_no_is_asked_of_the_kernel_once_until_it_tells_something_else(
    etw_double: EtwDouble, provider: KernelProvider
) -> None:
    """A refusal is kept by level and keyword, and goes with the next callback, whatever that says."""
    session = etw_double.start_session("quiet")
    etw_double.enable_in(session, ID, level=3)
    before = etw_double.calls("EventProviderEnabled")
    assert [provider.is_enabled(5, 1) for _ in range(50)] == [False] * 50
    assert [provider.is_enabled(4, 1) for _ in range(50)] == [False] * 50
    assert etw_double.calls("EventProviderEnabled") == before + 2
    other = etw_double.start_session("loud")
    etw_double.enable_in(other, ID, level=0)
    assert provider.is_enabled(5, 1)
    etw_double.stop_session("loud")
    assert not provider.is_enabled(5, 1)


def test_ever_new_keywords_that_nobody_wants_take_no_ever_growing_memory(
    etw_double: EtwDouble, provider: KernelProvider
) -> None:
    """As many refusals are kept as a program has, and no more."""
    session = etw_double.start_session("narrow")
    etw_double.enable_in(session, ID, level=5, any_mask=1 << 63)
    assert not any(provider.is_enabled(5, keyword) for keyword in range(1, 2000))
    assert len(provider._registration.state.refused) < 1000


def test_callbacks_may_come_on_threads_of_the_system(provider: KernelProvider, etw_double: EtwDouble) -> None:
    """A thread that Python has never seen brings levels and masks of 64 bits unharmed."""
    assert etw_double.enable(ID, level=255, any_mask=2**63 + 1, all_mask=2**63, other_thread=True) == 1
    assert provider._registration.state[:4] == (False, 255, 2**63 + 1, 2**63)
    etw_double.enable(ID, code=0, other_thread=True)
    assert provider.idle is True


def test_nothing_is_asked_of_the_kernel_while_nobody_listens(etw_double: EtwDouble) -> None:
    """Items are counted as skipped, without a call."""
    processor = EtwLogRecordProcessor(NAME)
    asked = etw_double.calls("EventProviderEnabled")
    for _ in range(10):
        emit_one(processor)
    assert processor.stats.skipped == 10
    assert etw_double.calls("EventProviderEnabled") == asked
    assert etw_double.calls("EventWriteTransfer") == 0
    processor.shutdown()


def test_what_is_not_wanted_is_not_written(etw_double: EtwDouble) -> None:
    """A session of warnings gets warnings; the others are skipped, on the plain and the prepared way."""
    etw_double.start_session("warnings")
    etw_double.enable_in("warnings", ID, level=3)
    processor = EtwLogRecordProcessor(NAME)
    for _ in range(10):
        emit_one(processor, severity=SeverityNumber.WARN)
        emit_one(processor, severity=SeverityNumber.INFO)
    assert (processor.stats.written, processor.stats.skipped) == (10, 10)
    assert etw_double.session_events("warnings") == etw_double.written_count() == 10
    processor.shutdown()
