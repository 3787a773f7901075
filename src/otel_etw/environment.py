"""The ``OTEL_EXPORTER_ETW_*`` variables: one table.

A variable counts for whatever was not given in code, so that exporters chosen by ``OTEL_LOGS_EXPORTER=etw``
can be told what arguments can say.  One that is empty counts as unset, as everywhere in OpenTelemetry; one
that is invalid is logged, and its default used (:mod:`otel_etw.variables`).  Every function here reads the
environment as it is now and never raises.

``docs/configuration.md`` is made from :data:`VARIABLES`.
"""

from __future__ import annotations

import os
from functools import partial
from typing import Any, cast
from uuid import UUID

from otel_etw.etl.layout import MAX_BUFFER_BYTES
from otel_etw.layouts.common_schema.activity import ActivityId
from otel_etw.sessions.options import SMALLEST_BUFFER_BYTES
from otel_etw.sessions.settings import DEFAULT_BUFFER_SIZE_BYTES, FileMode, SessionSettings
from otel_etw.tracelogging.provider_id import check_provider_name
from otel_etw.variables import (
    Variable,
    boolean,
    byte_count,
    choice,
    complain,
    guid,
    keys,
    mask,
    whole_number,
)

DEFAULT_PROVIDER_NAME = "OpenTelemetry_Python"
INTERNAL_METRICS_VARIABLE = "OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED"
"""The SDK's own switch of self-observability metrics; its older versions do not know it."""


def _provider_name(text: str, *, etw_only: bool = False) -> str:
    check_provider_name(text, etw_only=etw_only)
    return text


def _activity_id(text: str) -> ActivityId | None:
    word = choice("trace", "span", "none")(text)
    return None if word == "none" else cast(ActivityId, word)


def _file_mode(text: str) -> FileMode:
    return cast(FileMode, choice("sequential", "circular", "rolling")(text))


def _is_drop(text: str) -> bool:
    return choice("truncate", "drop")(text) == "drop"


_BOOLEAN = "`true` or `false`"
_MASK = "64-bit mask, decimal or with `0x` hexadecimal"
_SIZE = "bytes, or text such as `256 MiB` or `64KB` (units are powers of 1024)"
_NAMED = "logs, traces, handler"
_ALL = "logs, traces, metrics, handler"
_FILE = "the shared session"

PROVIDER_NAME = Variable(
    "PROVIDER_NAME",
    _provider_name,
    DEFAULT_PROVIDER_NAME,
    "ASCII letters, digits and `_`, at most 233; with `OTEL_EXPORTER_ETW_ETW_ONLY_NAME` also `-`",
    f"`{DEFAULT_PROVIDER_NAME}`",
    "Name of the provider; its GUID is hashed from it",
    _NAMED,
)
ETW_ONLY_NAME = Variable(
    "ETW_ONLY_NAME",
    boolean,
    False,
    _BOOLEAN,
    "`false`",
    "Whether the provider's name may contain `-`, which Linux user_events would not take",
    _NAMED,
)
RESOURCE_ATTRIBUTES = Variable[frozenset[str]](
    "RESOURCE_ATTRIBUTES",
    keys,
    frozenset(),
    "keys, separated by commas",
    "none",
    "Resource attributes that every event repeats; `service.name` and `service.instance.id` are always there",
    _NAMED,
)
KEYWORD = Variable(
    "KEYWORD",
    mask,
    1,
    _MASK,
    "`1`",
    "Keyword of the events, by which sessions select; 0 passes every selection",
    _NAMED,
)
ACTIVITY_ID = Variable[ActivityId | None](
    "ACTIVITY_ID",
    _activity_id,
    None,
    "`trace`, `span` or `none`",
    "`none`",
    "What fills the events' ActivityId, by which PerfView and WPA group",
    _NAMED,
)
PROVIDER_GROUP = Variable[UUID | None](
    "PROVIDER_GROUP",
    guid,
    None,
    "a GUID, or `none`",
    "`none`",
    "The provider group that the provider says it belongs to",
    _ALL,
)
MARK_UTF8 = Variable(
    "MARK_UTF8",
    boolean,
    False,
    _BOOLEAN,
    "`false`",
    "Mark 8-bit strings as UTF-8, for Windows viewers that would show them as code page 1252",
    _NAMED,
)
OVERSIZE = Variable(
    "OVERSIZE",
    _is_drop,
    False,
    "`truncate` or `drop`",
    "`truncate`",
    "What becomes of an item that is too large for an event; both are counted",
    _ALL,
)
LOG_EVENT_NAME = Variable(
    "LOG_EVENT_NAME",
    str,
    "Log",
    "text",
    "`Log`",
    "Name of the ETW events of log records",
    "logs, handler",
)
SPAN_EVENT_NAME = Variable(
    "SPAN_EVENT_NAME",
    str,
    "Span",
    "text",
    "`Span`",
    "Name of the ETW events of spans",
    "traces",
)
SPAN_LEVEL = Variable(
    "SPAN_LEVEL",
    whole_number(1, 5),
    5,
    "`1` (critical) to `5` (verbose)",
    "`5`",
    "Level of the events of spans",
    "traces",
)
SPAN_EVENTS = Variable(
    "SPAN_EVENTS",
    boolean,
    True,
    _BOOLEAN,
    "`true`",
    "Write the events of a span, exceptions among them, as log events with the span's ids",
    "traces",
)
EXTENDED = Variable(
    "EXTENDED",
    boolean,
    False,
    _BOOLEAN,
    "`false`",
    "Add trace state, link attributes, dropped counts and scope to the events of spans",
    "traces",
)
RECORD_ONLY = Variable(
    "RECORD_ONLY",
    boolean,
    False,
    _BOOLEAN,
    "`false`",
    "Let `EtwSpanProcessor` write spans that are recorded but not sampled, too",
    "traces",
)
CODE_ATTRIBUTES = Variable(
    "CODE_ATTRIBUTES",
    boolean,
    False,
    _BOOLEAN,
    "`false`",
    "Add the place in the code (`code.file.path`, `code.function.name`, `code.line.number`)",
    "handler",
)
STRUCTURED_BODY = Variable(
    "STRUCTURED_BODY",
    boolean,
    False,
    _BOOLEAN,
    "`false`",
    "Keep mappings and lists that are logged as bodies, instead of their text",
    "handler",
)
FILE = Variable[str | None](
    "FILE",
    str,
    None,
    "a path; `{pid}` in it stands for the process id",
    "on Windows none: events go to the sessions of the machine; elsewhere `otel-etw-<pid>-<start time>.etl` "
    "in the working directory, for its owner only",
    "The trace file; on Windows, too, events go to it and nowhere else",
    _FILE,
)
FILE_MODE = Variable[FileMode | None](
    "FILE_MODE",
    _file_mode,
    None,
    "`sequential`, `circular` or `rolling`",
    "`rolling`",
    "What happens at the largest size: no more events, the oldest are overwritten, or a new file is begun",
    _FILE,
)
MAX_FILE_SIZE = Variable[int | None](
    "MAX_FILE_SIZE",
    byte_count(2 * SMALLEST_BUFFER_BYTES),
    None,
    f"{_SIZE}; two buffers at least",
    "`256 MiB`",
    "Largest size of one file",
    _FILE,
)
MAX_FILES = Variable[int | None](
    "MAX_FILES",
    whole_number(1, 1_000_000),
    None,
    "`1` to `1000000`",
    "`4`",
    "How many files are kept, older ones included",
    _FILE,
)
BUFFER_SIZE = Variable[int | None](
    "BUFFER_SIZE",
    byte_count(SMALLEST_BUFFER_BYTES, 1024, MAX_BUFFER_BYTES),
    None,
    f"{_SIZE}; a multiple of 1024 from 4 KiB to 16 MiB",
    "`128 KiB`",
    "Size of the file's buffers, which bounds the size of an event",
    _FILE,
)
FILE_LEVEL = Variable[int | None](
    "FILE_LEVEL",
    whole_number(0, 255),
    None,
    "`1` (critical) to `5` (verbose), up to 255; `0` for all",
    "`0`",
    "Highest level of events that the file takes",
    _FILE,
)
FILE_KEYWORD = Variable[int | None](
    "FILE_KEYWORD",
    mask,
    None,
    f"{_MASK}; `0` for all",
    "`0`",
    "Keywords of events that the file takes",
    _FILE,
)

VARIABLES: tuple[Variable[Any], ...] = (
    *(PROVIDER_NAME, ETW_ONLY_NAME, PROVIDER_GROUP, RESOURCE_ATTRIBUTES),
    *(KEYWORD, ACTIVITY_ID, MARK_UTF8, OVERSIZE),
    *(LOG_EVENT_NAME, SPAN_EVENT_NAME, SPAN_LEVEL, SPAN_EVENTS, EXTENDED, RECORD_ONLY),
    *(CODE_ATTRIBUTES, STRUCTURED_BODY),
    *(FILE, FILE_MODE, MAX_FILE_SIZE, MAX_FILES, BUFFER_SIZE, FILE_LEVEL, FILE_KEYWORD),
)

etw_only_name = ETW_ONLY_NAME.read
resource_attributes = RESOURCE_ATTRIBUTES.read
keyword = KEYWORD.read
activity_id = ACTIVITY_ID.read
provider_group = PROVIDER_GROUP.read
mark_utf8 = MARK_UTF8.read
drop_oversize = OVERSIZE.read
log_event_name = LOG_EVENT_NAME.read
span_event_name = SPAN_EVENT_NAME.read
span_level = SPAN_LEVEL.read
span_events = SPAN_EVENTS.read
extended = EXTENDED.read
record_only = RECORD_ONLY.read
code_attributes = CODE_ATTRIBUTES.read
structured_body = STRUCTURED_BODY.read


def provider_name(*, etw_only: bool = False) -> str:
    """The configured name of providers that were given none."""
    return PROVIDER_NAME.read(partial(_provider_name, etw_only=etw_only))


def session_settings() -> SessionSettings:
    """What the environment says of the session shared by exporters that were given none."""
    buffer_size, max_file_size = BUFFER_SIZE.read(), MAX_FILE_SIZE.read()
    smallest_file = 2 * (buffer_size or DEFAULT_BUFFER_SIZE_BYTES)
    if max_file_size is not None and max_file_size < smallest_file:
        problem = f"expected two buffers at least, which are {smallest_file} bytes"
        complain(MAX_FILE_SIZE.name, str(max_file_size), problem, MAX_FILE_SIZE.unset.strip("`"))
        max_file_size = None
    return SessionSettings(
        path=FILE.read(),
        mode=FILE_MODE.read(),
        max_file_size=max_file_size,
        max_files=MAX_FILES.read(),
        buffer_size=buffer_size,
        level=FILE_LEVEL.read(),
        keyword=FILE_KEYWORD.read(),
    )


def internal_metrics_enabled() -> bool:
    """Whether the SDK's components, and so ours, are to publish metrics about themselves."""
    text = os.environ.get(INTERNAL_METRICS_VARIABLE)
    try:
        return bool(text) and boolean(text or "")
    except ValueError as error:
        complain(INTERNAL_METRICS_VARIABLE, text or "", str(error), "false")
        return False
