"""Starting, changing, asking and stopping sessions of the ETW kernel.

What a call of Windows refuses comes out as :class:`.SessionError` in the words of somebody who records.
Functions are looked up anew at each call: none of this is frequent.
"""

from __future__ import annotations

import ctypes
from typing import NamedTuple

from otel_etw.errors import SessionError
from otel_etw.sessions.requests import ProviderRequest
from otel_etw.windows.error_codes import ErrorCode, WindowsCallError, meaning
from otel_etw.windows.libraries import is_windows
from otel_etw.windows.provider_functions import DISABLE, ENABLE
from otel_etw.windows.session_functions import FLUSH, QUERY, STOP, ControlFunctions, control_functions, wide
from otel_etw.windows.structures import EnableTraceParameters, EventTraceProperties

OWN_PREFIX = "otel-etw"
"""Names of sessions that this package starts begin so."""

MODE_SEQUENTIAL = 0x00000001
MODE_CIRCULAR = 0x00000002
MODE_NEW_FILE = 0x00000008
MODE_REAL_TIME = 0x00000100
"""``EVENT_TRACE_FILE_MODE_SEQUENTIAL``, ``_CIRCULAR``, ``_NEWFILE``, ``EVENT_TRACE_REAL_TIME_MODE``."""

_TRACED_GUID = 0x00020000  # WNODE_FLAG_TRACED_GUID
_CLOCK_QPC = 1  # Wnode.ClientContext: the performance counter
_PARAMETERS_VERSION = 2  # ENABLE_TRACE_PARAMETERS_VERSION_2
_STACK_TRACE = 0x00000004  # EVENT_ENABLE_PROPERTY_STACK_TRACE
_MAX_NAME_UNITS = 1024  # names of sessions and files, in UTF-16 units with their NUL
_USUAL_SESSIONS, _MAX_SESSIONS = 64, 256  # what Windows has by default, and what it can be made to have
_MODE_WORDS = (
    (MODE_REAL_TIME, "real-time"),
    (MODE_SEQUENTIAL, "sequential"),
    (MODE_CIRCULAR, "circular"),
    (MODE_NEW_FILE, "rolling"),
    (0x00000400, "in memory"),  # EVENT_TRACE_BUFFERING_MODE
)


class SessionSettings(NamedTuple):
    """What a session is started with. For numbers of buffers 0 is Windows' choice, as a file's size no limit.

    ``buffer_size_kb`` must have room for the largest event (64 KiB and headers), or that event is lost.
    """

    mode: int = MODE_REAL_TIME
    file: str | None = None
    buffer_size_kb: int = 256
    min_buffers: int = 0
    max_buffers: int = 0
    flush_timer_s: int = 1
    max_file_size_mb: int = 0


class SessionFacts(NamedTuple):
    """A session as Windows describes it. Losses are counted since its start."""

    name: str
    handle: int
    mode: int
    file: str | None
    buffer_size_kb: int
    min_buffers: int
    max_buffers: int
    buffers: int
    free_buffers: int
    buffers_written: int
    flush_timer_s: int
    max_file_size_mb: int
    events_lost: int
    log_buffers_lost: int
    realtime_buffers_lost: int
    logger_thread_id: int
    """Of the kernel's thread that empties the buffers; tells sessions apart that had one name in turn."""

    @property
    def is_own(self) -> bool:
        """Whether its name is one of ours."""
        return self.name.lower().startswith(OWN_PREFIX)

    @property
    def mode_text(self) -> str:
        """The mode in words."""
        return ", ".join(word for bit, word in _MODE_WORDS if self.mode & bit) or f"{self.mode:#x}"

    @property
    def written_bytes(self) -> int:
        """What it has written to its file so far, in whole buffers."""
        return self.buffers_written * self.buffer_size_kb * 1024


class _Properties(ctypes.Structure):
    """``EVENT_TRACE_PROPERTIES`` with room for both names behind it."""

    _fields_ = (
        ("head", EventTraceProperties),
        ("session_name", ctypes.c_uint16 * _MAX_NAME_UNITS),
        ("file_name", ctypes.c_uint16 * _MAX_NAME_UNITS),
    )


def require_windows() -> None:
    """Raise :class:`.SessionError`, which says what to use instead, where there is no ETW."""
    if not is_windows():
        raise SessionError(
            "this needs the ETW sessions of Windows; elsewhere EtlSession in the application writes trace "
            "files, and otel-etw view --follow FILE shows them as they grow"
        )


def start(name: str, settings: SessionSettings) -> int:
    """Start a session; its handle, which is valid in this process. ``ValueError`` as :func:`check_names`.

    Raises :class:`.SessionError`; its code is ``ALREADY_EXISTS`` where a session of that name runs.
    """
    functions = _functions()
    properties = _properties_for(name, settings)
    handle = ctypes.c_uint64(0)
    code = functions.start_trace(ctypes.byref(handle), wide(name), ctypes.byref(properties))
    if code == ErrorCode.ALREADY_EXISTS:
        raise SessionError(f"a session {name!r} is running already", code)
    what = f"starting session {name!r}" + (f" with file {settings.file!r}" if settings.file else "")
    _check(what, code)
    return handle.value


def enable(handle: int, request: ProviderRequest, *, stacks: bool = False) -> None:
    """Have the session collect what ``request`` says, with call stacks if ``stacks``.

    A provider that is enabled already is enabled anew. Providers that do not run yet are enabled when they
    start. Raises :class:`.SessionError`.
    """
    parameters = EnableTraceParameters()
    parameters.Version = _PARAMETERS_VERSION
    parameters.EnableProperty = _STACK_TRACE if stacks else 0
    code = _functions().enable_trace(
        handle,
        request.id.bytes_le,
        ENABLE,
        request.level,
        request.any_keyword,
        0,
        0,
        ctypes.byref(parameters),
    )
    what = f"recording provider {request.name} ({request.id})"
    if code == ErrorCode.NO_SYSTEM_RESOURCES:
        raise SessionError(
            f"{what}: as many sessions as Windows allows (8) record this provider already; "
            "one of them has to be stopped (otel-etw sessions list)",
            code,
        )
    _check(what, code)


def disable(handle: int, request: ProviderRequest) -> None:
    """Have the session no longer collect this provider. Raises :class:`.SessionError`."""
    code = _functions().enable_trace(handle, request.id.bytes_le, DISABLE, 0, 0, 0, 0, None)
    _check(f"disabling provider {request.name} ({request.id})", code)


def query(session: str | int) -> SessionFacts:
    """How the session of this name or handle is doing.

    Raises :class:`.SessionError`; its code is ``WMI_INSTANCE_NOT_FOUND`` where none runs.
    """
    return _control(session, QUERY, "asking")


def stop(session: str | int) -> SessionFacts:
    """Stop the session of this name or handle; what it wrote is in its file afterwards. As :func:`query`."""
    return _control(session, STOP, "stopping")


def flush(session: str | int) -> SessionFacts:
    """Have the session of this name or handle hand on what its buffers hold. As :func:`query`."""
    return _control(session, FLUSH, "flushing")


def list_sessions() -> list[SessionFacts]:
    """All sessions that run and that this user may see, by name. Raises :class:`.SessionError`."""
    functions = _functions()
    room = _USUAL_SESSIONS
    while True:
        blocks = [_empty_properties() for _ in range(room)]
        pointers = (ctypes.c_void_p * room)(*map(ctypes.addressof, blocks))
        found = ctypes.c_uint32(0)
        code = functions.query_all_traces(pointers, room, ctypes.byref(found))
        if code != ErrorCode.MORE_DATA or room >= _MAX_SESSIONS:
            break
        # Windows refuses to be asked for more than there can be on this machine.
        room = min(max(room + 1, found.value), _MAX_SESSIONS)
    _check("listing sessions", code if code != ErrorCode.MORE_DATA else ErrorCode.SUCCESS)
    return sorted(map(_facts, blocks[: found.value]), key=lambda facts: facts.name.lower())


def _control(session: str | int, what_to_do: int, doing: str) -> SessionFacts:
    functions = _functions()
    properties = _empty_properties()
    handle, name = (session, None) if isinstance(session, int) else (0, wide(session))
    code = functions.control_trace(handle, name, ctypes.byref(properties), what_to_do)
    # Names that do not fit are cut; everything else is there.
    if code != ErrorCode.MORE_DATA:
        _check(f"{doing} session {session!r}", code)
    return _facts(properties)


def _functions() -> ControlFunctions:
    require_windows()
    try:
        return control_functions()
    except WindowsCallError as error:
        raise SessionError(str(error), error.code) from None


def _check(what: str, code: int) -> None:
    if code != ErrorCode.SUCCESS:
        raise SessionError(f"{what}: {meaning(code)}", code)


def _empty_properties() -> _Properties:
    properties = _Properties()
    properties.head.Wnode.BufferSize = ctypes.sizeof(_Properties)
    properties.head.LoggerNameOffset = _Properties.session_name.offset
    properties.head.LogFileNameOffset = _Properties.file_name.offset
    return properties


def _properties_for(name: str, settings: SessionSettings) -> _Properties:
    check_names(name, settings.file)
    properties = _empty_properties()
    head = properties.head
    head.Wnode.Flags = _TRACED_GUID
    head.Wnode.ClientContext = _CLOCK_QPC
    head.BufferSize = settings.buffer_size_kb
    head.MinimumBuffers = settings.min_buffers
    head.MaximumBuffers = settings.max_buffers
    head.MaximumFileSize = settings.max_file_size_mb
    head.FlushTimer = settings.flush_timer_s
    head.LogFileMode = settings.mode
    if settings.file is None:
        head.LogFileNameOffset = 0
    else:
        units = wide(settings.file)
        ctypes.memmove(properties.file_name, units, len(units))
    return properties


def check_names(name: str, file: str | None) -> None:
    """``ValueError`` for names of a session and its file that Windows has no room for."""
    for what, text in (("session name", name), ("path of a file", file)):
        if text is not None and not 2 < len(wide(text)) <= 2 * _MAX_NAME_UNITS:
            raise ValueError(f"a {what} must have 1 to {_MAX_NAME_UNITS - 1} characters, not {len(text)}")


def _facts(properties: _Properties) -> SessionFacts:
    head = properties.head
    return SessionFacts(
        name=_text(properties.session_name),
        handle=head.Wnode.HistoricalContext,
        mode=head.LogFileMode,
        file=_text(properties.file_name) or None,
        buffer_size_kb=head.BufferSize,
        min_buffers=head.MinimumBuffers,
        max_buffers=head.MaximumBuffers,
        buffers=head.NumberOfBuffers,
        free_buffers=head.FreeBuffers,
        buffers_written=head.BuffersWritten,
        flush_timer_s=head.FlushTimer,
        max_file_size_mb=head.MaximumFileSize,
        events_lost=head.EventsLost,
        log_buffers_lost=head.LogBuffersLost,
        realtime_buffers_lost=head.RealTimeBuffersLost,
        logger_thread_id=head.LoggerThreadId or 0,
    )


def _text(units: ctypes.Array[ctypes.c_uint16]) -> str:
    """The UTF-16 text in ``units`` up to its NUL."""
    return bytes(units).decode("utf-16-le", "backslashreplace").partition("\0")[0]
