"""``otel-etw record``: a session of the ETW kernel that writes a trace file. Windows only."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from otel_etw.cli.running import warn
from otel_etw.cli.stopping import StopSignals, parsed_duration
from otel_etw.cli.updating import UpdatingLine
from otel_etw.errors import OtelEtwError
from otel_etw.outputs.numbers import bytes_text, counted, duration_text
from otel_etw.outputs.text import printable

if TYPE_CHECKING:
    from otel_etw.sessions.control import SessionFacts
    from otel_etw.sessions.recording import Recording

_LOOK_S = 1.0
_LARGEST_EVENT_NEEDS_KB = 68  # 64 KiB, and the headers of record and buffer

Say = Callable[[str], None]


@click.command("record")
@click.option(
    "-p",
    "--provider",
    "providers",
    metavar="NAME[:LEVEL[:KEYWORDS]]",
    multiple=True,
    help="Record this provider: a name or GUID; repeatable.",
)
@click.option("-o", "--output", "path", metavar="FILE", required=True, help="The file to write.")
@click.option("--level", metavar="LEVEL", help="Of providers without one of their own [verbose].")
@click.option("--keyword", "keywords", metavar="MASK", help="Of providers without one of their own [all].")
@click.option(
    "--mode",
    type=click.Choice(("sequential", "circular", "rolling")),
    default="sequential",
    show_default=True,
    help="One file; one that keeps the newest events; a new one whenever one is full.",
)
@click.option(
    "--max-file-size",
    metavar="SIZE",
    help="Of a file, such as 100MB: a sequential one ends the recording there [no limit, else 256MB].",
)
@click.option(
    "--max-files", metavar="N", type=click.IntRange(min=2), help="Rolling: keep the newest N files [all]."
)
@click.option(
    "--buffer-size", metavar="SIZE", default="256KB", show_default=True, help="Of a buffer: 4KB to 16MB."
)
@click.option(
    "--buffers",
    metavar="MIN[:MAX]",
    default="64:128",
    show_default=True,
    help="How many; 0 leaves it to Windows.",
)
@click.option(
    "--flush-timer",
    "flush_timer_s",
    metavar="SECONDS",
    type=click.IntRange(0, 3600),
    default=1,
    show_default=True,
    help="How long an event waits in a buffer at most; 0: until it is full.",
)
@click.option(
    "--duration", "duration_s", metavar="TIME", callback=parsed_duration, help="Stop after 90s, 5m, 2h."
)
@click.option("--stacks", is_flag=True, help="Record each event's call stack, too.")
@click.option("--name", metavar="NAME", help="The session's name [otel-etw-record].")
@click.option("--replace", is_flag=True, help="Stop a session of ours that has this name already.")
@click.option("--overwrite", is_flag=True, help="Begin an existing file anew.")
@click.option("-q", "--quiet", is_flag=True, help="Say only what went wrong.")
def command(providers: tuple[str, ...], duration_s: float | None, quiet: bool, **options: Any) -> None:
    """Record providers into a trace file, on Windows, until Ctrl-C.

    Needs an elevated prompt (administrator), or membership in the group "Performance Log Users".

    A provider's name is looked up among those registered on the machine, and hashed if it is not there, as
    OpenTelemetry's are not. "*NAME" hashes it in any case. "metrics" is the provider of all OpenTelemetry
    metrics. LEVEL is critical, error, warning, info, verbose or a number: events up to it are recorded.
    KEYWORDS is a mask such as 0x10: events with one of its bits are.

    \b
    Examples:
      otel-etw record -p MyCompany_MyApp -p metrics -o app.etl
      otel-etw record -p MyCompany_MyApp:warning -o app.etl --duration 10m
      otel-etw record -p MyCompany_MyApp -o app.etl --mode circular --max-file-size 200MB
      otel-etw record -p MyCompany_MyApp -o app.etl --mode rolling --max-file-size 50MB --max-files 10
      otel-etw record -p Microsoft-Windows-DNS-Client:info:0x8000000000000000 -o dns.etl --stacks

    Ctrl-C, Ctrl-Break and SIGTERM stop the recording cleanly. What a killed one leaves behind is shown by
    "otel-etw sessions list".
    """
    from otel_etw.cli.recording_options import recording_of
    from otel_etw.sessions.control import require_windows

    recording = recording_of(providers, **options)
    require_windows()
    say: Say = (lambda text: None) if quiet else (lambda text: click.echo(printable(text)))
    with StopSignals(duration_s) as signals:
        started_ns = time.monotonic_ns()
        recording.start()
        try:
            _say_what_was_chosen(recording, duration_s, say)
            _watch(recording, signals, started_ns)
        finally:
            facts = recording.stop()
    _report(recording, facts, time.monotonic_ns() - started_ns, signals.is_asked, say)


def _say_what_was_chosen(recording: Recording, duration_s: float | None, say: Say) -> None:
    from otel_etw.sessions.requests import described

    settings, facts = recording.settings, recording.facts()
    if recording.replaced is not None:
        say(f"stopped the earlier session {recording.replaced.name!r} of {recording.replaced.file}")
    size = bytes_text(settings.max_file_size_mb << 20)
    mode = {
        "sequential": "sequential" + (f", up to {size}" if settings.max_file_size_mb else ""),
        "circular": f"circular: the newest {size}",
        "rolling": f"rolling: a new file every {size}"
        + (f", the newest {settings.max_files} kept" if settings.max_files else ""),
    }[settings.mode]
    buffer_size = bytes_text(facts.buffer_size_kb << 10)
    say(f"recording to {recording.files.path} ({mode}; buffers of {buffer_size})")
    for request in recording.requests:
        say(f"  {described(request)}")
    if facts.buffer_size_kb < _LARGEST_EVENT_NEEDS_KB:
        warn(f"buffers of {buffer_size} have no room for the largest events (64 KiB), which will be lost")
    end = (
        f"for {duration_text(round(duration_s * 1e9))}, or until Ctrl-C" if duration_s else "Ctrl-C stops it"
    )
    say(f"session {recording.name!r} runs: {end}")


def _watch(recording: Recording, signals: StopSignals, started_ns: int) -> None:
    """Until it is time to stop, or the session has gone."""
    said_lost = False
    with UpdatingLine() as line:
        while not signals.wait(_LOOK_S):
            facts = recording.facts()
            recording.keep_newest_files()
            if recording.has_ended:
                return
            lost = _lost_text(facts)
            length = duration_text(time.monotonic_ns() - started_ns)
            line.show(f"{length}  {bytes_text(facts.written_bytes)} written  {lost or 'nothing'} lost")
            if lost and not said_lost and not line.is_shown:
                warn(f"the session loses events ({lost} so far)")
                said_lost = True


def _report(recording: Recording, facts: SessionFacts, length_ns: int, was_asked: bool, say: Say) -> None:
    recording.keep_newest_files()
    if not was_asked:
        _say_why_it_ended(recording, facts, say)
    paths = recording.files.existing()
    size_bytes = recording.files.size_bytes()
    target = recording.files.pattern
    size = "no file is there" if size_bytes is None else bytes_text(size_bytes)
    files = f" in {counted(len(paths), 'file')}" if recording.settings.mode == "rolling" else ""
    say(f"recorded {target}: {size}{files}, {duration_text(length_ns)}")
    lost = _lost_text(facts)
    if lost:
        warn(f"lost {lost}: larger or more buffers help (--buffer-size 1MB, --buffers 128:256)")
    else:
        say("nothing was lost")
    if len(paths) == 1 and not _has_events(paths[0]):
        warn("no event was recorded: was the application running, and does it have one of these providers?")
    elif paths:
        say(f"next: otel-etw view {_quoted(target)}")


def _say_why_it_ended(recording: Recording, facts: SessionFacts, say: Say) -> None:
    limit_bytes = recording.settings.max_file_size_mb << 20
    # The last buffer that would not fit is not written.
    fullness_bytes = facts.written_bytes + (facts.buffer_size_kb << 10)
    if recording.settings.mode == "sequential" and 0 < limit_bytes <= fullness_bytes:
        say("the file has reached its size, so the session has ended")
    else:
        warn(f"the session {recording.name!r} was ended by somebody else")


def _lost_text(facts: SessionFacts) -> str:
    """What was lost, in words; empty for nothing."""
    buffers = facts.log_buffers_lost + facts.realtime_buffers_lost
    parts = [counted(facts.events_lost, "event")] if facts.events_lost or buffers else []
    return " and ".join([*parts, counted(buffers, "buffer")] if buffers else parts)


def _has_events(path: str) -> bool:
    """Whether the file holds an event of a provider; ``True`` where that cannot be told."""
    from otel_etw.etl.reader import open_etl

    with suppress(OtelEtwError, OSError), open_etl(path) as trace:
        return any(event.kind in ("event", "message") for event in trace)
    return True


def _quoted(path: str) -> str:
    return f'"{path}"' if " " in path or os.sep == "\\" else path
