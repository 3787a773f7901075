"""What happens to the kernel's providers when the interpreter exits, in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from etw_double import BOOTSTRAP

pytestmark = pytest.mark.usefixtures("etw_double")  # which skips where there is none, and builds it once

# Hooks run last in, first out: this report is the last thing before the interpreter is taken apart.
PREPARE = (
    BOOTSTRAP
    + """
import atexit, logging, os, re, threading, time
from uuid import UUID
def report():
    bodies = []
    for event in double.written():
        bodies += re.findall(rb"body-[a-z0-9]+", event.entries[-1][1])
    print("written", *(body.decode() for body in bodies))
    print("registered", double.provider_count(), "without callback", double.callbacks_without)
    print("calls", double.register_calls, double.unregister_calls)
    print("misuse", *double.misuse)
    print("delivered", double.delivered_by_thread(), flush=True)
atexit.register(report)
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, SimpleLogRecordProcessor
from otel_etw import EtwLogRecordExporter, EtwLogRecordProcessor, provider_id
NAME = "KernelExit"
ID = provider_id(NAME)
def emit(loggers, *bodies):
    for body in bodies:
        record = LogRecord(timestamp=1, severity_number=SeverityNumber.INFO, body=body)
        loggers.get_logger("exit").emit(record)
"""
)


def run_child(code: str, *, exit_code: int = 0) -> dict[str, list[str]]:
    """The report of a child process, which must have nothing else to say."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("OTEL_EXPORTER_ETW_")
    }
    run = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", PREPARE + code],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False, env=environment,
    )  # fmt: skip
    assert run.stderr == "", run.stderr
    assert run.returncode == exit_code, run.stdout
    lines = [line.split() for line in run.stdout.splitlines()]
    report = {line[0]: line[1:] for line in lines}
    assert report["misuse"] == []
    return report


REPEATS = 40 if os.environ.get("OTEL_ETW_LONG_TESTS") else 3
BATCH = "BatchLogRecordProcessor(exporter, schedule_delay_millis=3600000)"

ORDERS = {
    # The SDK's hook comes before ours: ours is there first.
    "flushed before our hook": f"""
double.enable(ID)
exporter = EtwLogRecordExporter(NAME)
loggers = LoggerProvider()
loggers.add_log_record_processor({BATCH})
""",
    # And after it, when there are no callbacks any more.
    "flushed after our hook": f"""
double.enable(ID)
loggers = LoggerProvider()
exporter = EtwLogRecordExporter(NAME)
loggers.add_log_record_processor({BATCH})
""",
    "made before a session listens": f"""
loggers = LoggerProvider()
exporter = EtwLogRecordExporter(NAME)
loggers.add_log_record_processor({BATCH})
double.start_session("late")
double.enable_in("late", ID, level=0)
double.start_session("other")
double.enable_in("other", ID, level=1)
""",
}


@pytest.mark.parametrize("order", ORDERS)
def test_what_the_sdk_flushes_at_exit_reaches_etw(order: str) -> None:
    """Nobody shuts anything down; the SDK's exit hook flushes, and shuts down, before or after ours."""
    report = run_child(ORDERS[order] + "emit(loggers, *(f'body-{number}' for number in range(5)))\n")
    assert report["written"] == [f"body-{number}" for number in range(5)]
    assert report["registered"] == ["0", "without", "callback", "0"]


def test_records_written_by_late_hooks_reach_etw() -> None:
    """By the plain and the prepared way, before our hook and after it, as sessions want them at that time."""
    report = run_child(
        """
double.start_session("one")
double.enable_in("one", ID, level=3)
loggers = LoggerProvider(shutdown_on_exit=False)
@atexit.register
def late():
    double.enable_in("one", ID, level=3)
    emit(loggers, "body-unwanted", "body-unwanted")
    double.enable_in("one", ID, level=5)
    emit(loggers, *(f"body-late{number}" for number in range(10)))
    double.disable_in("one", ID)
    emit(loggers, "body-unwanted")
    double.enable_in("one", ID, level=0)
    emit(loggers, "body-last")
    assert (processor.stats.written, processor.stats.skipped) == (16, 4), processor.stats
    processor.shutdown()
    processor.shutdown()
    emit(loggers, "body-unwanted")
    assert processor.stats.dropped == {"shut down": 1}, processor.stats
logging.getLogger("otel_etw").setLevel(logging.ERROR)
processor = EtwLogRecordProcessor(NAME)
loggers.add_log_record_processor(processor)
emit(loggers, "body-unwanted")
double.enable_in("one", ID, level=4)
emit(loggers, *(f"body-early{number}" for number in range(5)))
"""
    )
    early, late = ([f"body-{word}{number}" for number in range(10)] for word in ("early", "late"))
    assert report["written"] == [*early[:5], *late, "body-last"]
    assert report["registered"] == ["0", "without", "callback", "0"]


def test_an_exit_without_shutdown_leaves_no_callback() -> None:
    """Each registration is replaced by one without, and what was there is given back."""
    report = run_child(
        """
double.enable(ID)
processors = [EtwLogRecordProcessor(name) for name in (NAME, NAME, "KernelExitToo", "KernelExitThree")]
loggers = LoggerProvider(shutdown_on_exit=False)
for processor in processors:
    loggers.add_log_record_processor(processor)
emit(loggers, "body-1")
"""
    )
    assert report["written"] == ["body-1", "body-1"]
    assert report["registered"] == ["3", "without", "callback", "3"]
    assert report["calls"] == ["6", "3"]


def test_an_exit_after_shutdown_has_nothing_to_do() -> None:
    report = run_child(
        """
double.enable(ID)
processor = EtwLogRecordProcessor(NAME)
loggers = LoggerProvider(shutdown_on_exit=False)
loggers.add_log_record_processor(processor)
emit(loggers, "body-1")
loggers.shutdown()
"""
    )
    assert report["written"] == ["body-1"]
    assert report["registered"] == ["0", "without", "callback", "0"]
    assert report["calls"] == ["1", "1"]


def test_a_registration_made_at_exit_has_no_callback() -> None:
    """It is told nothing, so it asks, and what it writes arrives."""
    report = run_child(
        """
double.enable(ID)
loggers = LoggerProvider(shutdown_on_exit=False)
@atexit.register
def late():
    loggers.add_log_record_processor(EtwLogRecordProcessor(NAME))
    emit(loggers, *(f"body-{number}" for number in range(5)))
EtwLogRecordProcessor("KernelExitToo").shutdown()
"""
    )
    assert report["written"] == [f"body-{number}" for number in range(5)]
    assert report["registered"] == ["1", "without", "callback", "1"]


def test_a_swap_that_etw_refuses_costs_the_rest_and_counts_it() -> None:
    """No callback is left even then; events are dropped, not skipped."""
    report = run_child(
        """
double.enable(ID)
@atexit.register
def late():
    emit(loggers, "body-late")
    assert processor.stats.written == 1 and processor.stats.dropped == {"no session": 1}, processor.stats
processor = EtwLogRecordProcessor(NAME)
loggers = LoggerProvider(shutdown_on_exit=False)
loggers.add_log_record_processor(processor)
emit(loggers, "body-1")
double.fail_next("EventRegister", 1450, -1)
"""
    )
    assert report["written"] == ["body-1"]
    assert report["registered"] == ["0", "without", "callback", "0"]


@pytest.mark.parametrize("ending", ["", "loggers.shutdown()\n", "sys.exit(3)\n", "threads_go_on()\n"])
def test_an_exit_while_the_system_calls_back(ending: str) -> None:
    """Callbacks come without pause, on a thread of the system's, from before our hook until after the end."""
    code = f"""
logging.getLogger("otel_etw").setLevel(logging.ERROR)
def threads_go_on():
    own = LoggerProvider(shutdown_on_exit=False)
    own.add_log_record_processor(EtwLogRecordProcessor(NAME))
    def go_on():
        while True:
            emit(own, "gone on")
    for _ in range(2):
        threading.Thread(target=go_on, daemon=True).start()
loggers = LoggerProvider(shutdown_on_exit=False)
atexit.register(loggers.force_flush)
exporter = EtwLogRecordExporter(NAME)
loggers.add_log_record_processor({BATCH})
loggers.add_log_record_processor(EtwLogRecordProcessor(NAME))
double.enable(ID)
double.enable_from_thread(ID, 0)
double.linger_at_exit(50)
while double.delivered_by_thread() < 20:
    time.sleep(0.001)
emit(loggers, "body-1")
"""
    for _ in range(REPEATS):
        report = run_child(code + ending, exit_code=3 if "exit" in ending else 0)
        assert report["written"] == ["body-1", "body-1"]
        registered, *_, without = report["registered"]
        assert registered == without
        assert int(report["delivered"][0]) >= 20


def test_a_thread_that_registers_during_the_exit_leaves_no_callback() -> None:
    """The hook waits for a call that is under way; a thread that comes later registers without callback."""
    report = run_child(
        """
double.enable(ID)
EtwLogRecordProcessor("KernelExitToo").shutdown()
double.set_delay_ms("EventRegister", 300)
threading.Thread(target=EtwLogRecordProcessor, args=(NAME,), daemon=True).start()
while double.register_calls < 2:
    time.sleep(0.001)
"""
    )
    assert report["registered"] == ["1", "without", "callback", "1"]
    assert report["calls"] == ["3", "2"]


def test_a_system_that_never_answers_does_not_hold_up_the_exit_for_long() -> None:
    """A registration that takes for ever is left alone after some seconds."""
    start = time.perf_counter()
    run_child(
        """
EtwLogRecordProcessor("KernelExitToo").shutdown()
double.set_delay_ms("EventRegister", 60_000)
threading.Thread(target=EtwLogRecordProcessor, args=(NAME,), daemon=True).start()
while double.register_calls < 2:
    time.sleep(0.001)
"""
    )
    assert time.perf_counter() - start < 30
