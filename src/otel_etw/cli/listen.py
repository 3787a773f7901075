"""``otel-etw listen``: logs, spans, events and metrics of running applications as they come. Windows only."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, final

import click

from otel_etw.cli.running import EXIT_FAILURE, warn
from otel_etw.cli.stopping import StopSignals, parsed_duration
from otel_etw.outputs.numbers import counted
from otel_etw.outputs.text import printable
from otel_etw.tables.items import SIGNALS

if TYPE_CHECKING:
    from otel_etw.cli.live import LiveView
    from otel_etw.cli.reading import FileEvent
    from otel_etw.cli.selection import Selection
    from otel_etw.cli.showing import ShowOptions
    from otel_etw.etl.event import Event
    from otel_etw.sessions.live import LiveSession
    from otel_etw.sessions.requests import ProviderRequest

_POLL_S = 0.2
_SAY_LOSSES_EVERY_S = 1.0
_DRAIN_S = 2.0
"""How long what came before the end may take to be shown after it."""


@click.command("listen")
@click.option(
    "-p",
    "--provider",
    "providers",
    metavar="NAME[:LEVEL[:KEYWORDS]]",
    multiple=True,
    help="Listen to this provider: a name or GUID; repeatable. With --session: show only these.",
)
@click.option("--session", metavar="NAME", help="Listen to a real-time session that runs already.")
@click.option("--level", metavar="LEVEL", help="Only this ETW level and worse, of all providers [verbose].")
@click.option("--keyword", "keywords", metavar="MASK", help="Of providers without one of their own [all].")
@click.option(
    "--signal", "signals", multiple=True, type=click.Choice(SIGNALS), help="Only these; repeatable."
)
@click.option(
    "--event",
    "events",
    metavar="NAME",
    multiple=True,
    help="Only ETW events, spans, or log records with an event name, of this name (wildcards); repeatable.",
)
@click.option("--grep", metavar="REGEX", help="Only rows whose text, attributes, names or ids match.")
@click.option("--limit", metavar="N", type=click.IntRange(min=1), help="Stop after N rows.")
@click.option(
    "--duration", "duration_s", metavar="TIME", callback=parsed_duration, help="Stop after 90s, 5m, 2h."
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(("table", "jsonl")),
    default="table",
    show_default=True,
    help="For people, or one JSON object per line.",
)
@click.option("--spans", is_flag=True, help="Each span as a row, instead of a tree for each trace.")
@click.option("--wide", is_flag=True, help="Full ids and times, provider, process, thread, keyword.")
@click.option("--all-records", is_flag=True, help="Records of the kernel and of merging tools, too.")
@click.option("--local/--utc", default=False, help="Time zone shown [UTC].")
@click.option("-q", "--quiet", is_flag=True, help="Say only what went wrong.")
@click.pass_context
def command(context: click.Context, /, duration_s: float | None, quiet: bool, **options: Any) -> None:
    """Show what providers say as they say it, on Windows, until Ctrl-C.

    Starts a real-time session of its own and removes it at the end, or listens to one that runs already; to
    that again when it is restarted. Rows are those of "view --follow": metric points too, and a trace when
    nothing came of it for a second. Events come up to a second late. What ETW lost is said at once, and at
    the end.

    Needs an elevated prompt (administrator), or membership in the group "Performance Log Users". Names are
    looked up as by "otel-etw record".

    \b
    Examples:
      otel-etw listen -p MyCompany_MyApp -p metrics
      otel-etw listen -p MyCompany_MyApp --level warning --grep "timeout|refused"
      otel-etw listen -p MyCompany_MyApp --format jsonl --duration 1m | jq .body
      otel-etw listen --session my-session --signal spans
    """
    from otel_etw.sessions.control import require_windows

    selection, show, arguments = _understood(**options)
    require_windows()
    # Ctrl-C ends it in order from here on: a session that nobody stops would stay.
    with StopSignals(duration_s) as signals, _opened(arguments) as live:
        if not quiet:
            _say_what_is_heard(live)
        _Listening(live, signals).show(selection, show, quiet=quiet)
    if live.ended_because is not None:
        context.exit(EXIT_FAILURE)


def _opened(arguments: dict[str, Any]) -> LiveSession:
    from otel_etw.errors import SessionError
    from otel_etw.sessions.live import LiveSession
    from otel_etw.windows.error_codes import ErrorCode

    try:
        return LiveSession(**arguments, say=warn)
    except ValueError as problem:
        raise click.UsageError(printable(str(problem))) from None
    except SessionError as problem:
        if problem.code != ErrorCode.WMI_INSTANCE_NOT_FOUND:
            raise
        hint = "otel-etw sessions list shows those that run"
        raise SessionError(f"{problem}; {hint}", problem.code) from None


def _understood(
    *,
    providers: tuple[str, ...],
    session: str | None,
    level: str | None,
    keywords: str | None,
    signals: tuple[str, ...],
    events: tuple[str, ...],
    grep: str | None,
    limit: int | None,
    format_: str,
    spans: bool,
    wide: bool,
    all_records: bool,
    local: bool,
) -> tuple[Selection, ShowOptions, dict[str, Any]]:
    """What is wanted, how it is shown, and what :class:`.LiveSession` is given; ``click.UsageError``."""
    from otel_etw.cli.recording_options import requests_of
    from otel_etw.cli.selection import Selection
    from otel_etw.cli.showing import ShowOptions
    from otel_etw.cli.view import grep_pattern
    from otel_etw.sessions.requests import request_level

    try:
        most_verbose = None if level is None else request_level(level)
    except ValueError as problem:
        raise click.BadParameter(str(problem), param_hint="--level") from None
    arguments: dict[str, Any]
    if session is None:
        requests: Sequence[ProviderRequest] = requests_of(providers, level, keywords)
        arguments = {"providers": requests}
    elif keywords is not None:
        raise click.UsageError("--keyword is up to whoever started the session")
    elif any(":" in provider for provider in providers):
        raise click.UsageError("with --session -p takes names only: levels are up to whoever started it")
    else:
        arguments = {"session": session}
    selection = Selection(
        signals=frozenset(signals),
        providers=_shown_providers(providers) if session is not None else (),
        events=events,
        level=most_verbose,
        grep=None if grep is None else grep_pattern(grep),
        all_records=all_records,
    )
    return selection, ShowOptions(format_, True, spans, wide, local, limit=limit), arguments


def _shown_providers(names: tuple[str, ...]) -> tuple[str, ...]:
    """Wildcards as they are; names also as the GUID that listening to them would mean, as not every event has
    its provider's name."""
    from otel_etw.cli.recording_options import requests_of

    plain = tuple(name for name in names if not set(name) & set("*?["))
    return (*names, *(str(request.id) for request in (requests_of(plain, None, None) if plain else ())))


def _say_what_is_heard(live: LiveSession) -> None:
    from otel_etw.sessions.requests import described

    for request in live.requests:
        warn(f"listening to {described(request)}")
    warn(f"session {live.name!r} runs; Ctrl-C ends listening")


@final
class _Listening:
    """From the session to the screen, until it is time to stop."""

    def __init__(self, live: LiveSession, signals: StopSignals) -> None:
        self._live = live
        self._signals = signals
        self._drained_at_s: float | None = None
        self._undecodable = 0
        self._losses = _LossSayer(live)

    def show(self, selection: Selection, options: ShowOptions, *, quiet: bool) -> None:
        """Show what comes; then what was lost."""
        from otel_etw.cli.live import LiveView
        from otel_etw.cli.showing import output_for

        output = output_for(sys.stdout, options, live=True)
        view = LiveView(output, selection, options, self._note_problems)
        try:
            while not (self._live.has_ended or view.is_full or self._is_late()):
                self._show_burst(view)
        finally:
            self._live.close()
            view.close()
            self._losses.say_all()
        if self._undecodable:
            warn(f"{counted(self._undecodable, 'event')} could not be decoded completely")
        if self._live.unread and not view.is_full:
            unread = counted(self._live.unread, "event")
            warn(f"{unread} or more were not shown: they had come by the end, but take too long to show")
        elif not quiet and not view.rows:
            self._say_nothing_shown(selection)

    def _show_burst(self, view: LiveView) -> None:
        if self._signals.is_asked and self._drained_at_s is None:
            self._drained_at_s = time.monotonic() + _DRAIN_S
            self._live.finish()
        events = self._live.poll(_POLL_S)
        view.burst(self._labelled(events))
        self._losses.say_new()

    def _labelled(self, events: Sequence[Event]) -> Iterator[FileEvent]:
        for event in events:
            yield "", event

    def _is_late(self) -> bool:
        return self._drained_at_s is not None and time.monotonic() >= self._drained_at_s

    def _note_problems(self, label: str, event: Event, problems: Sequence[str]) -> None:
        self._undecodable += bool(problems)

    def _say_nothing_shown(self, selection: Selection) -> None:
        received = self._live.received
        if selection.hidden_records:
            hidden = counted(selection.hidden_records, "record")
            warn(f"{hidden} of the kernel and of merging tools not shown (--all-records shows them)")
        elif received:
            warn(f"nothing to show: none of {counted(received, 'event')} fits")
        elif not self._live.is_own:
            warn(f"nothing has come: nobody wrote anything that session {self._live.name!r} collects")
        else:
            warn("nothing has come: does the application run, and does it have one of these providers?")


@final
class _LossSayer:
    """What was lost, on stderr: what is new as soon as it is known, and all of it at the end."""

    def __init__(self, live: LiveSession) -> None:
        self._live = live
        self._said = ""
        self._said_at_s = float("-inf")

    def say_new(self) -> None:
        """At most once a second."""
        now = time.monotonic()
        if now - self._said_at_s < _SAY_LOSSES_EVERY_S:
            return
        text = self._text()
        if text != self._said:
            self._said, self._said_at_s = text, now
            warn(f"{text} so far")

    def say_all(self) -> None:
        """If there is something."""
        text = self._text()
        if text:
            warn(f"{text} in all")

    def _text(self) -> str:
        live = self._live
        lost = []
        if live.events_lost:
            lost.append(counted(live.events_lost, "event"))
        if live.buffers_lost:
            lost.append(counted(live.buffers_lost, "buffer"))
        if live.file_buffers_lost:
            lost.append(f"{counted(live.file_buffers_lost, 'buffer')} of its file")
        parts = [f"the session has lost {', '.join(lost)}"] if lost else []
        if live.dropped:
            parts.append(f"{counted(live.dropped, 'event')} dropped that came faster than they were shown")
        return "; ".join(parts)
