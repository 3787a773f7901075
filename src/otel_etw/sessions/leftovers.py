"""Names of the sessions that listeners start, and those that a listener which was killed has left behind.

A session of ETW lives until somebody stops it, whoever started it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from itertools import count

from otel_etw.errors import SessionError
from otel_etw.sessions import control
from otel_etw.windows.error_codes import ErrorCode
from otel_etw.windows.processes import process_runs

_PREFIX = f"{control.OWN_PREFIX}-live-"
_NAME = re.compile(re.escape(_PREFIX) + r"([0-9]{1,10})(?:-[0-9]+)?", re.IGNORECASE | re.ASCII)
_numbers = count(1)


def own_name() -> str:
    """A name that no other running process uses: ``otel-etw-live-<process id>``, then ``...-2``."""
    number = next(_numbers)
    return f"{_PREFIX}{os.getpid()}" + (f"-{number}" if number > 1 else "")


def stop_leftovers(say: Callable[[str], None]) -> None:
    """Stop what listeners that have ended left behind; ``say`` is told of each."""
    try:
        names = [facts.name for facts in control.list_sessions() if _is_left_over(facts.name)]
    except SessionError:
        return  # whoever may not list sessions will hear it when starting one
    for name in names:
        try:
            control.stop(name)
        except SessionError as error:
            if error.code == ErrorCode.WMI_INSTANCE_NOT_FOUND:
                continue  # another listener that starts right now was quicker
            say(f"session {name!r} was left behind by a process that has ended: {error}")
        else:
            say(f"stopped session {name!r}, which a process that has ended left behind")


def _is_left_over(name: str) -> bool:
    found = _NAME.fullmatch(name)
    return found is not None and process_runs(int(found[1])) is False
