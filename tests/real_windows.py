"""Help for tests against the ETW of a real Windows: whether it is one, sessions, and services that export."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from opentelemetry._logs import SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Status, StatusCode

from otel_etw import EtwHandler, EtwLogRecordProcessor, EtwMetricExporter, EtwSpanProcessor
from otel_etw.sessions.kernel import KernelSession
from shown_traces import command_line
from wine import is_wine

DEADLINE_S = 60.0
TEXT = "tea for two: 茶, чай, ☕"


def why_not_real() -> str | None:
    """Why the tests cannot run here; ``None`` where they can, and then nothing is an excuse."""
    if sys.platform != "win32":
        return "needs Windows"
    if is_wine():
        return "needs Windows' own ETW, which Wine does not have"
    if os.environ.get("OTEL_ETW_REAL_ETW") != "1":
        return "starts sessions of the ETW kernel: OTEL_ETW_REAL_ETW=1 in an elevated prompt runs it"
    return None


def unique_name(start: str) -> str:
    """A name that nothing else on the machine has."""
    return f"{start}_{os.getpid()}_{secrets.token_hex(4)}"


def run(*command: str, cwd: Path | None = None) -> str:
    """The output of a command, which must succeed."""
    return _succeeded(
        subprocess.run(
            command, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, timeout=DEADLINE_S, check=False
        )
    )


def run_line(line: str, cwd: Path) -> str:
    """The output of a line as a person types it at a prompt; it must succeed."""
    return _succeeded(
        subprocess.run(
            line,
            shell=True,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=DEADLINE_S,
            check=False,
        )
    )


def _succeeded(done: subprocess.CompletedProcess[bytes]) -> str:
    output = (done.stdout + done.stderr).decode("utf-8", "replace")
    assert done.returncode == 0, f"{done.args} answered {done.returncode}: {output}"
    return output


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {DEADLINE_S:.0f} s"
        time.sleep(0.02)


@contextmanager
def recording(path: Path, *providers: str, name: str, options: tuple[str, ...] = ()) -> Iterator[list[str]]:
    """``otel-etw record`` in a process, ended by Ctrl-Break; the list has its output in the end."""
    chosen = [part for provider in providers for part in ("-p", provider)]
    command = command_line("record", *chosen, "-o", path, "--name", name, *options)
    group = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)
    output: list[str] = []
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        creationflags=group,
    )
    assert process.stdout is not None
    try:
        # Said after the last provider has been enabled.
        for line in process.stdout:
            output.append(line.decode("utf-8", "replace"))
            if "Ctrl-C" in output[-1]:
                break
        assert output, "it said nothing"
        assert "Ctrl-C" in output[-1], output
        yield output
    finally:
        if process.poll() is None:
            process.send_signal(getattr(signal, "CTRL_BREAK_EVENT", signal.SIGTERM))
        try:
            rest, _ = process.communicate(timeout=DEADLINE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        output.extend(rest.decode("utf-8", "replace").splitlines(keepends=True))
    assert process.returncode == 0, output


@contextmanager
def logman_session(path: Path, provider_id: object, level: int) -> Iterator[str]:
    """A session that Windows' own tool starts and stops."""
    name = unique_name("otel_etw_logman")
    everything = "0xFFFFFFFFFFFFFFFF"
    run(
        "logman",
        "create",
        "trace",
        name,
        "-p",
        f"{{{provider_id}}}",
        everything,
        str(level),
        "-o",
        str(path),
        "-ets",
    )
    try:
        yield name
    finally:
        run("logman", "stop", name, "-ets")


@contextmanager
def registered(name: str) -> Iterator[Any]:
    """A provider registered with the kernel, to see what its sessions ask for."""
    provider = KernelSession().register(name)
    try:
        yield provider
    finally:
        provider.close()


def export_logs(provider_name: str) -> int:
    """Log records of all severities through the processor and the handler; how many."""
    provider = LoggerProvider(resource=Resource.create({"service.name": "real"}))
    processor = EtwLogRecordProcessor(provider_name)
    provider.add_log_record_processor(processor)
    logger = provider.get_logger("real")
    severities = [SeverityNumber.DEBUG, SeverityNumber.INFO, SeverityNumber.WARN, SeverityNumber.ERROR]
    attributes = {"text": TEXT, "count": 2**40, "ratio": 0.5, "is.hot": True, "cups": ["small", "large"]}
    for severity in severities:
        logger.emit(body=f"{severity.name} {TEXT}", severity_number=severity, attributes=attributes)
    handler = EtwHandler(provider_name)
    record = {"msg": "by the handler: %s", "args": (TEXT,), "levelno": logging.ERROR, "levelname": "ERROR"}
    handler.handle(logging.makeLogRecord(record))
    written = processor.stats.written + handler.stats.written
    lost = dict(processor.stats.dropped), dict(handler.stats.dropped)
    handler.close()
    provider.shutdown()
    assert lost == ({}, {})
    return written


def export_spans(provider_name: str) -> int:
    """A trace of a request whose child failed; how many spans."""
    provider = TracerProvider(resource=Resource.create({"service.name": "real"}))
    processor = EtwSpanProcessor(provider_name)
    provider.add_span_processor(processor)
    tracer = provider.get_tracer("real")
    with (
        tracer.start_as_current_span("request", attributes={"http.route": "/tea"}),
        tracer.start_as_current_span("pay") as paying,
    ):
        paying.set_status(Status(StatusCode.ERROR, "declined"))
    provider.shutdown()
    assert processor.stats.dropped == {}
    return processor.stats.written


def export_metrics() -> int:
    """A counter, a histogram and a gauge; how many data points."""
    exporter = EtwMetricExporter()
    reader = PeriodicExportingMetricReader(exporter)
    provider = MeterProvider(resource=Resource.create({"service.name": "real"}), metric_readers=[reader])
    meter = provider.get_meter("real")
    meter.create_counter("cups", unit="{cup}").add(3, {"size": "large"})
    meter.create_histogram("brewing", unit="s").record(0.25)
    meter.create_gauge("temperature", unit="Cel").set(96.5)
    provider.shutdown()
    assert exporter.stats.dropped == {}
    return exporter.stats.written
