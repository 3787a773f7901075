"""The first record of a trace file: who recorded it, when, with which clock. Pure.

There is no file magic.  A file is taken for a trace if its first buffer's size is possible and its
type is HEADER, and the first record is a system record with hook 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from struct import Struct

from otel_etw.errors import TraceFileError
from otel_etw.etl import layout
from otel_etw.etl.clock import Clock, clock_of, filetime_to_unix_nano
from otel_etw.etl.layout import BUFFER_HEADER_BYTES, BufferType, ClockType, HeaderType, LogFileMode

_MAX_HEADER_RECORD = layout.MAX_RECORD_BYTES
_BIAS = Struct("<i")
_LAYOUTS = {
    HeaderType.SYSTEM32: layout.LOGFILE_HEADER_32,
    HeaderType.SYSTEM64: layout.LOGFILE_HEADER_64,
}

HEADER_READ_BYTES = BUFFER_HEADER_BYTES + _MAX_HEADER_RECORD
"""How much of a file's start :func:`parse_trace_header` can use at most."""


@dataclass(frozen=True)
class TraceHeader:
    """``TRACE_LOGFILE_HEADER`` and what is around it.

    Numbers are as recorded, and may be anything in a damaged file.  ``*_filetime`` are 100 ns
    steps since 1601-01-01 UTC.
    """

    buffer_size_bytes: int
    """As configured; buffers of a file, the first one above all, may be smaller."""
    os_version: tuple[int, int]
    layout_version: tuple[int, int]
    """(1, 5) for files of sessions, (2, 0) for rewritten (relogged, merged, compressed) ones."""
    build: int
    """OS build, such as 22631 (``ProviderVersion``)."""
    processors: int
    pointer_size: int
    """4 or 8, of the recording system; each event has its own."""
    header_bits: int
    """32 or 64: the form of this header."""
    start_time_filetime: int
    end_time_filetime: int
    """0 while the file is being written. Events may lie some milliseconds after it."""
    boot_time_filetime: int
    first_timestamp_raw: int
    """The raw clock value that corresponds to the start time."""
    timer_resolution_100ns: int
    max_file_size: int
    """In MiB, or KiB with ``LogFileMode.USE_KBYTES_FOR_SIZE``; 0 for none."""
    log_file_mode: LogFileMode
    buffers_written: int
    """What the recorder counted, header buffer included; a reader does not rely on it."""
    start_buffers: int
    events_lost: int
    buffers_lost: int
    cpu_mhz: int
    perf_freq_hz: int
    clock_type: ClockType | int
    time_zone_bias_minutes: int
    """UTC = the recorder's local time + this."""
    session_name: str
    log_file_name: str
    process_id: int
    """Of the session's starter."""
    thread_id: int

    @cached_property
    def clock(self) -> Clock:
        """Raw timestamps of this trace <-> UTC."""
        return clock_of(
            self.clock_type,
            first_raw=self.first_timestamp_raw,
            start_filetime=self.start_time_filetime,
            perf_freq_hz=self.perf_freq_hz,
            cpu_mhz=self.cpu_mhz,
        )

    @property
    def start_time_unix_nano(self) -> int:
        """Start of the recording, Unix nanoseconds."""
        return filetime_to_unix_nano(self.start_time_filetime)

    @property
    def end_time_unix_nano(self) -> int | None:
        """End of the recording, Unix nanoseconds; ``None`` while the file is being written."""
        return filetime_to_unix_nano(self.end_time_filetime) if self.end_time_filetime else None

    @property
    def boot_time_unix_nano(self) -> int:
        """Boot of the recording system, Unix nanoseconds."""
        return filetime_to_unix_nano(self.boot_time_filetime)

    @property
    def max_file_size_bytes(self) -> int:
        """The file size limit in bytes, 0 for none."""
        unit = 1024 if self.log_file_mode & LogFileMode.USE_KBYTES_FOR_SIZE else 1024 * 1024
        return self.max_file_size * unit


def parse_trace_header(data: bytes) -> TraceHeader:
    """The header at the start of a file, of whose first bytes ``data`` holds up to
    :data:`HEADER_READ_BYTES`. Raises :class:`TraceFileError` if this is no trace file."""
    system = _check_recognised(data)
    _, header_type, _, size, _, _, thread_id, process_id, first_raw, _, _ = system
    structure = _LAYOUTS[HeaderType(header_type)]
    strings_at = layout.LOGFILE_HEADER_OFFSET + structure.size
    if len(data) < strings_at:
        raise _not_a_trace(f"a trace header of {strings_at} bytes", f"a file of {len(data)}", 0)
    (
        buffer_size,
        *version,
        build,
        processors,
        end_time,
        timer_resolution,
        max_file_size,
        mode,
        buffers_written,
        start_buffers,
        pointer_size,
        events_lost,
        cpu_mhz,
        _,
        _,
        time_zone,
        boot_time,
        perf_freq,
        start_time,
        clock_type,
        buffers_lost,
    ) = structure.unpack_from(data, layout.LOGFILE_HEADER_OFFSET)
    names = data[strings_at : max(strings_at, BUFFER_HEADER_BYTES + size)]
    session_name, name_bytes = _utf16_z(names)
    log_file_name, _ = _utf16_z(names[name_bytes:])
    return TraceHeader(
        buffer_size_bytes=buffer_size,
        os_version=(version[0], version[1]),
        layout_version=(version[2], version[3]),
        build=build,
        processors=processors,
        pointer_size=pointer_size,
        header_bits=32 if header_type == HeaderType.SYSTEM32 else 64,
        start_time_filetime=start_time,
        end_time_filetime=end_time,
        boot_time_filetime=boot_time,
        first_timestamp_raw=first_raw,
        timer_resolution_100ns=timer_resolution,
        max_file_size=max_file_size,
        log_file_mode=LogFileMode(mode),
        buffers_written=buffers_written,
        start_buffers=start_buffers,
        events_lost=events_lost,
        buffers_lost=buffers_lost,
        cpu_mhz=cpu_mhz,
        perf_freq_hz=perf_freq,
        clock_type=ClockType(clock_type) if clock_type in set(ClockType) else clock_type,
        time_zone_bias_minutes=_BIAS.unpack_from(time_zone)[0],
        session_name=session_name,
        log_file_name=log_file_name,
        process_id=process_id,
        thread_id=thread_id,
    )


def looks_like_trace(data: bytes) -> bool:
    """Whether ``data``, some hundred bytes from the start of a file, are those of a trace."""
    try:
        _check_recognised(data)
    except TraceFileError:
        return False
    return True


def _check_recognised(data: bytes) -> tuple[int, ...]:
    """The fields of the first record's ``SYSTEM_TRACE_HEADER``, of a file that looks like a trace."""
    if len(data) < layout.LOGFILE_HEADER_OFFSET:
        raise _not_a_trace(f"at least {layout.LOGFILE_HEADER_OFFSET} bytes", f"{len(data)}", 0)
    buffer = layout.BUFFER_HEADER.unpack_from(data)
    size, buffer_type = buffer[0], buffer[12]
    if not BUFFER_HEADER_BYTES <= size <= layout.MAX_BUFFER_BYTES_IN_FILE:
        expected = f"a buffer size of {BUFFER_HEADER_BYTES} to {layout.MAX_BUFFER_BYTES_IN_FILE}"
        raise _not_a_trace(expected, str(size), layout.BUFFER_SIZE_OFFSET)
    if buffer_type != BufferType.HEADER:
        raise _not_a_trace(
            f"buffer type {BufferType.HEADER.value}", str(buffer_type), layout.BUFFER_TYPE_OFFSET
        )
    system: tuple[int, ...] = layout.SYSTEM_TRACE_HEADER.unpack_from(data, BUFFER_HEADER_BYTES)
    version, header_type, marker, _, hook_type, hook_group, *_ = system
    if version not in (1, 2) or header_type not in _LAYOUTS or marker != layout.MARKER_TRACE:
        found = data[BUFFER_HEADER_BYTES : BUFFER_HEADER_BYTES + 4].hex(" ")
        raise _not_a_trace("a trace header record (02 00 02 c0 or 02 00 01 c0)", found, BUFFER_HEADER_BYTES)
    if hook_type or hook_group:
        hook = hook_group << 8 | hook_type
        raise _not_a_trace("hook id 0x0000", f"{hook:#06x}", BUFFER_HEADER_BYTES + 6)
    return system


def _not_a_trace(expected: str, found: str, offset: int) -> TraceFileError:
    return TraceFileError(f"not a trace file: expected {expected}, found {found}", offset=offset)


def _utf16_z(data: bytes) -> tuple[str, int]:
    """The string up to a zero unit or the end, and the bytes it takes with its terminator."""
    end = 0
    while end + 2 <= len(data) and data[end : end + 2] != b"\0\0":
        end += 2
    return data[:end].decode("utf-16-le", errors="replace"), end + 2
