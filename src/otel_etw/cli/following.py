"""``view --follow``: looking at files again and again, until somebody has seen enough."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import final

from otel_etw.cli.live import LiveView
from otel_etw.cli.reading import FileEvent
from otel_etw.cli.running import warn
from otel_etw.cli.selection import Selection
from otel_etw.cli.showing import Output, ShowOptions
from otel_etw.etl.event import Event
from otel_etw.etl.finding import files_below, has_wildcards, matching
from otel_etw.etl.following import FollowedFile, Following
from otel_etw.outputs.numbers import counted
from otel_etw.tables.report import FileReport

_NEW_FILES_AFTER_S = 1.0
_NAP_S = 0.05
"""How long a signal waits at most until it is obeyed."""


class UnfollowableError(ValueError):
    """A path that cannot be followed, in words."""


def follow(
    paths: Sequence[str],
    output: Output,
    selection: Selection,
    options: ShowOptions,
    *,
    interval_s: float,
    exit_on_end: bool,
) -> bool:
    """Show what is in files and what comes, until Ctrl-C, the limit, or the end of all recordings if
    ``exit_on_end``. Whether a file is damaged, or something was gone before it could be read.

    Raises :class:`UnfollowableError`, and what :func:`otel_etw.etl.following.follow` raises.
    """
    with Following(say=warn, new_only=options.tail == 0, file_order=options.file_order) as following:
        followed = _Paths(paths, following)
        with _interruptible() as interrupt:
            view = LiveView(
                output, selection, options, followed.note_problems, is_interrupted=lambda: interrupt.came
            )
            while not interrupt.came and not view.is_full:
                started = time.monotonic()
                followed.look_for_new_ones(started)
                view.burst(_until(interrupt, followed.events()))
                if exit_on_end and following.has_ended():
                    break
                _wait_until(started + interval_s, interrupt)
        view.close()
        following.close()
        return followed.say_what_is_missing()


@final
class _Paths:
    """What was named, and the files there are for it: a directory or glob may get more."""

    def __init__(self, paths: Sequence[str], following: Following) -> None:
        self._following = following
        self._growing: list[str] = []
        self._known: set[str] = set()
        self._looked_at = 0.0
        self._reports: dict[FollowedFile, FileReport] = {}
        for path in paths:
            if path == "-":
                raise UnfollowableError(
                    "--follow takes files, directories and globs; standard input has no end to follow"
                )
            if os.path.isdir(path) or (has_wildcards(path) and not os.path.lexists(path)):
                self._growing.append(path)
            else:
                self._add(path)
        self._are_many = len(paths) > 1 or bool(self._growing)
        self._look()
        if self._growing and not self._known:
            warn(f"waiting for a trace file in {', '.join(self._growing)}")

    def look_for_new_ones(self, now_s: float) -> None:
        """Once in a while: a file that is new in a directory is followed from its start."""
        if self._growing and now_s - self._looked_at >= _NEW_FILES_AFTER_S:
            self._look(from_start=True)
            self._looked_at = now_s

    def events(self) -> Iterator[FileEvent]:
        """What has come, with the name of its file if there may be several."""
        for file, event in self._following.poll():
            yield (file.path if self._are_many else ""), event

    def note_problems(self, label: str, event: Event, problems: Sequence[str]) -> None:
        """An event that was just delivered could not be decoded completely."""
        if problems:
            file = next(file for file in self._following.files if file.path == label or not label)
            file.note_problems(event, "; ".join(problems))

    def say_what_is_missing(self) -> bool:
        """On stderr, one line for each file of which not everything was shown; whether there is one."""
        is_damaged = False
        for file in self._following.files:
            report = FileReport(file.path, file.damage, file.events_lost, file.buffers_lost)
            facts = list(report.facts())
            if file.overwritten_buffers:
                buffers = counted(file.overwritten_buffers, "buffer")
                facts.append(f"{buffers} overwritten before all of their events could be read")
            if file.gaps:
                facts.append("older files of its series were gone before they could be read")
            is_damaged = is_damaged or bool(report) or bool(file.overwritten_buffers) or bool(file.gaps)
            if facts:
                warn(f"{file.path}: {'; '.join(facts)}")
        return is_damaged

    def _look(self, *, from_start: bool = False) -> None:
        for path in self._growing:
            for found in files_below(path) if os.path.isdir(path) else matching(path):
                if found.lower().endswith(".etl"):
                    self._add(found, from_start=from_start)

    def _add(self, path: str, *, from_start: bool = False) -> None:
        key = os.path.normcase(os.path.abspath(path))
        if key not in self._known:
            self._known.add(key)
            self._following.add(path, from_start=from_start)


class _Interrupt:
    came = False


@contextmanager
def _interruptible() -> Iterator[_Interrupt]:
    """Ctrl-C is a wish to end after the row at hand; a second one ends at once."""
    interrupt = _Interrupt()

    def note(number: int, frame: FrameType | None) -> None:
        interrupt.came = True
        signal.signal(signal.SIGINT, before)

    try:
        before = signal.signal(signal.SIGINT, note)
    except ValueError:  # not in the main thread: nobody types there
        yield interrupt
        return
    try:
        yield interrupt
    finally:
        signal.signal(signal.SIGINT, before)


def _until(interrupt: _Interrupt, events: Iterator[FileEvent]) -> Iterator[FileEvent]:
    for labelled in events:
        yield labelled
        if interrupt.came:
            return


def _wait_until(end_s: float, interrupt: _Interrupt) -> None:
    while not interrupt.came and (rest_s := end_s - time.monotonic()) > 0:
        time.sleep(min(rest_s, _NAP_S))
