"""The options that choose rows for tables: provider, level and time, as ``view`` has them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import click

from otel_etw.tables.arguments import parse_level, parse_time

if TYPE_CHECKING:
    from otel_etw.tables.selection import Selection

_Command = TypeVar("_Command", bound=Callable[..., None])


def selection_options(command: _Command) -> _Command:
    """Give ``command`` the options ``--provider``, ``--level``, ``--since`` and ``--until``."""
    options = (
        click.option(
            "--provider",
            "providers",
            metavar="NAME",
            multiple=True,
            help="Only providers of this name (wildcards * and ?) or GUID; repeatable.",
        ),
        click.option(
            "--level",
            metavar="LEVEL",
            help="Only this ETW level and worse: critical, error, warning, info, verbose, or a number.",
        ),
        click.option(
            "--since", metavar="TIME", help="Only from this time on: 2026-03-11T12:34:56, or 10m (ago)."
        ),
        click.option("--until", metavar="TIME", help="Only before this time."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def selection_from(
    providers: tuple[str, ...], level: str | None, since: str | None, until: str | None
) -> Selection:
    """The selection that these options ask for; what cannot be read is wrong usage."""
    # Imported here: it loads numpy and pyarrow, which asking for help does without.
    from otel_etw.tables.selection import Selection

    now = time.time_ns()
    return Selection(
        since_unix_nano=_parsed("--since", lambda text: parse_time(text, now_unix_nano=now), since),
        until_unix_nano=_parsed("--until", lambda text: parse_time(text, now_unix_nano=now), until),
        providers=providers,
        level=_parsed("--level", parse_level, level),
    )


def _parsed(option: str, parse: Callable[[str], int], text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return parse(text)
    except ValueError as problem:
        raise click.BadParameter(str(problem), param_hint=option) from None
