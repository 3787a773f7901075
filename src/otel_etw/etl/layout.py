"""Structures and wire values of an ``.etl`` trace file, shared by reader and writer. Pure data.

A file is a row of buffers and nothing else: no magic, no index, no footer.  A buffer is a
``WMI_BUFFER_HEADER`` and, from :data:`BUFFER_HEADER_BYTES` on, records at multiples of 8.

    file      | buffer 0 (header) | buffer 1 | buffer 2 | ...
    buffer    | 72-byte header | record | pad | record | pad | ... | 0xFF to BufferSize |
    record    | fixed header by HeaderType | [extended items] | user data |

The first record of the first buffer is a ``SYSTEM_TRACE_HEADER`` with hook 0, followed by a
``TRACE_LOGFILE_HEADER`` and two UTF-16 strings.  Everything is little-endian.  Names and offsets
are those of ``wmistr.h``, ``evntrace.h`` and ``evntcons.h``; what those headers do not declare
(buffer header, record markers) was verified against files recorded by Windows.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag
from struct import Struct


def align8(size: int) -> int:
    """``size`` rounded up to the multiple of 8 at which the next record starts."""
    return (size + 7) & ~7


# --- buffers ---------------------------------------------------------------------------------

BUFFER_HEADER = Struct("<IIIiqqQHHIIHH16s")
"""``WMI_BUFFER_HEADER``: BufferSize, SavedOffset, CurrentOffset, ReferenceCount, TimeStamp,
SequenceNumber, ClockType and Frequency, ProcessorIndex, LoggerId, State, FilledBytes, BufferFlag,
BufferType, 16 bytes of leftovers."""

BUFFER_HEADER_BYTES = BUFFER_HEADER.size
"""72: where the first record of every buffer starts."""

# Offsets of single buffer header fields.
BUFFER_SIZE_OFFSET = 0x00  # u32, bytes of the buffer in the file, header included
SAVED_OFFSET_OFFSET = 0x04  # u32, normally FilledBytes
CURRENT_OFFSET_OFFSET = 0x08  # u32, the recorder's cursor; readers ignore it
TIMESTAMP_OFFSET = 0x10  # i64, time of flush, raw clock
SEQUENCE_NUMBER_OFFSET = 0x18  # i64
CHANGING_SEQUENCE_NUMBER = 0xFFFFFFFF_FFFFFFFF
"""SequenceNumber of a buffer that a session of this package is just overwriting: nothing in it counts yet."""
PROCESSOR_INDEX_OFFSET = 0x28  # u16 if BufferFlag.PROCESSOR_INDEX, else u8
LOGGER_ID_OFFSET = 0x2A  # u16
STATE_OFFSET = 0x2C  # u32
FILLED_BYTES_OFFSET = 0x30  # u32, valid bytes of the decompressed buffer, header included: the authority
BUFFER_FLAG_OFFSET = 0x34  # u16
BUFFER_TYPE_OFFSET = 0x36  # u16

BUFFER_STATE_FLUSH = 3
"""The State of every buffer seen in a file."""

PROCESSOR_INDEX_MASK = 0x07FF

FILLER_BYTE = b"\xff"
FILLER = 0xFFFFFFFF
"""The u32 that takes the place of a record header after the last record of a buffer."""

MIN_BUFFER_BYTES = 1024
MAX_BUFFER_BYTES = 16 * 1024 * 1024
"""Largest buffer size a session can be given (1 MiB before Windows 8)."""

MAX_BUFFER_BYTES_IN_FILE = MAX_BUFFER_BYTES + 0x10000
"""Largest BufferSize a reader believes; compressed data may be slightly larger than the plain."""

MAX_PLAIN_BUFFER_BYTES = MAX_BUFFER_BYTES + BUFFER_HEADER_BYTES
"""Most that a compressed buffer may claim to decompress to."""


class BufferFlag(IntFlag):
    """``BufferFlag`` of ``WMI_BUFFER_HEADER``."""

    FLUSH_MARKER = 0x0001  # on the header buffer and on the last buffer of a closed file
    EVENTS_LOST = 0x0002
    BUFFER_LOST = 0x0004
    RTBACKUP_CORRUPT = 0x0008
    RTBACKUP = 0x0010
    PROCESSOR_INDEX = 0x0020
    COMPRESSED = 0x0040


class BufferType(IntEnum):
    """``BufferType`` of ``WMI_BUFFER_HEADER``; files seen have only HEADER (first buffer) and GENERIC."""

    GENERIC = 0
    RUNDOWN = 1
    CONTEXT_SWAP = 2
    REFERENCE_TIME = 3
    HEADER = 4
    BATCHED = 5
    EMPTY_MARKER = 6
    DEBUGGER_INFO = 7


# --- records ---------------------------------------------------------------------------------

BLANK_GROUP = 0x0C
"""Group (``EVENT_TRACE_GROUP_SPARE1``, in use nowhere) of a record of no meaning: a compact record that takes
the place of events while a circular file's buffer is overwritten."""

MARKER_TRACE = 0xC0
"""Fourth byte of a record whose third byte is a :class:`HeaderType`."""
MARKER_MESSAGE = 0x90
"""Fourth byte of a WPP (``TraceMessage``) record."""
MARKER_ULONG_TIME = 0xB0

MAX_RECORD_BYTES = 0xFFFF
"""``Size`` is a u16 and includes header and extended items."""


class HeaderType(IntEnum):
    """Third byte of a record with :data:`MARKER_TRACE`.

    In a 32/64 pair the headers are identical; only the pointer size of the event data differs.
    """

    SYSTEM32 = 0x01
    SYSTEM64 = 0x02
    COMPACT32 = 0x03
    COMPACT64 = 0x04
    FULL_HEADER32 = 0x0A
    INSTANCE32 = 0x0B
    TIMED = 0x0C
    ERROR = 0x0D
    WNODE = 0x0E
    MESSAGE = 0x0F
    PERFINFO32 = 0x10
    PERFINFO64 = 0x11
    EVENT_HEADER32 = 0x12
    EVENT_HEADER64 = 0x13
    FULL_HEADER64 = 0x14
    INSTANCE64 = 0x15


SYSTEM_TRACE_HEADER = Struct("<HBBHBBIIqII")
"""``SYSTEM_TRACE_HEADER``, 0x20 bytes: Version, HeaderType, marker, Size, Type, Group, ThreadId,
ProcessId, SystemTime, KernelTime, UserTime. The compact form lacks the last two."""

COMPACT_HEADER = Struct("<HBBHBBIIq")
"""``SYSTEM_TRACE_HEADER`` without CPU times, 0x18 bytes."""

PERFINFO_HEADER = Struct("<HBBHBBq")
"""``PERFINFO_TRACE_HEADER``, 0x10 bytes: Version, HeaderType, marker, Size, Type, Group, SystemTime."""

EVENT_TRACE_HEADER = Struct("<HBBBBHIIq16sII")
"""Classic ``EVENT_TRACE_HEADER``, 0x30 bytes: Size, HeaderType, marker, Type (opcode), Level, Version,
ThreadId, ProcessId, TimeStamp, Guid, KernelTime, UserTime."""

INSTANCE_EXTENSION = Struct("<II16s")
"""What ``EVENT_INSTANCE_HEADER`` has after the classic header, at 0x30: InstanceId, ParentInstanceId,
ParentGuid."""

EVENT_HEADER = Struct("<HBBHHIIq16sHBBBBHQII16s")
"""``EVENT_HEADER``, 0x50 bytes: Size, HeaderType, marker, Flags, EventProperty, ThreadId, ProcessId,
TimeStamp, ProviderId, descriptor (Id, Version, Channel, Level, Opcode, Task, Keyword), KernelTime,
UserTime, ActivityId."""

DESCRIPTOR_OFFSET = 0x28
"""Where ``EVENT_DESCRIPTOR`` (16 bytes) is inside ``EVENT_HEADER``."""

MESSAGE_HEADER = Struct("<HBBHH")
"""WPP record: Size, reserved, marker, MessageNumber, OptionFlags; the options follow."""


class EventHeaderFlag(IntFlag):
    """``Flags`` of ``EVENT_HEADER`` *as stored*; only 0 and EXTENDED_INFO occur in files seen.

    The consumer API adds 32/64-bit and others while reading; in a file the header type says that.
    """

    EXTENDED_INFO = 0x0001
    PRIVATE_SESSION = 0x0002
    STRING_ONLY = 0x0004
    TRACE_MESSAGE = 0x0008
    NO_CPUTIME = 0x0010
    HEADER_32_BIT = 0x0020
    HEADER_64_BIT = 0x0040
    DECODE_GUID = 0x0080
    CLASSIC_HEADER = 0x0100
    PROCESSOR_INDEX = 0x0200


class MessageFlag(IntFlag):
    """``OptionFlags`` of a WPP record; the parts follow in this order, each only if its flag is set."""

    SEQUENCE = 0x01  # u32
    GUID = 0x02  # 16 bytes
    COMPONENT_ID = 0x04  # u32, in place of the GUID
    TIMESTAMP = 0x08  # i64, raw clock
    SYSTEM_INFO = 0x20  # u32 ThreadId, u32 ProcessId
    POINTER32 = 0x40
    POINTER64 = 0x80


# --- extended items --------------------------------------------------------------------------

EXTENDED_ITEM = Struct("<HHHH")
"""Header of an extended item in a file, 8 bytes: ItemSize (``align8(8 + DataSize)``), ExtType,
linkage, DataSize. The data and zero padding to ItemSize follow; there is no pointer."""

LINKAGE_MORE = 1
"""Linkage bit 0: another item follows."""


class ExtendedType(IntEnum):
    """``EVENT_HEADER_EXT_TYPE_*``; the list grows, unknown numbers are kept."""

    RELATED_ACTIVITY_ID = 1
    SID = 2
    TERMINAL_SESSION_ID = 3
    INSTANCE_INFO = 4
    STACK_TRACE32 = 5
    STACK_TRACE64 = 6
    PEBS_INDEX = 7
    PMC_COUNTERS = 8
    PSM_KEY = 9
    EVENT_KEY = 10
    EVENT_SCHEMA_TL = 11  # TraceLogging event metadata
    PROVIDER_TRAITS = 12
    PROCESS_START_KEY = 13
    CONTROL_GUID = 14
    QPC_DELTA = 15
    CONTAINER_ID = 16
    STACK_KEY32 = 17
    STACK_KEY64 = 18


# --- the trace header ------------------------------------------------------------------------

LOGFILE_HEADER_64 = Struct("<I4BIIQIIIIIIIIQQ172s4xQQQII")
"""``TRACE_LOGFILE_HEADER``, 0x118 bytes: BufferSize, MajorVersion, MinorVersion, layout major, layout
minor, ProviderVersion (OS build), NumberOfProcessors, EndTime, TimerResolution, MaximumFileSize,
LogFileMode, BuffersWritten, StartBuffers, PointerSize, EventsLost, CpuSpeedInMHz, LoggerName,
LogFileName, TimeZone, BootTime, PerfFreq, StartTime, ReservedFlags (clock type), BuffersLost.
The session name and the log file name follow, UTF-16LE with NUL."""

LOGFILE_HEADER_32 = Struct("<I4BIIQIIIIIIIIII172s4xQQQII")
"""The same as a 32-bit system stores it, 0x110 bytes: the two name pointers are u32."""

LOGFILE_HEADER_OFFSET = BUFFER_HEADER_BYTES + SYSTEM_TRACE_HEADER.size
"""0x68: where ``TRACE_LOGFILE_HEADER`` starts in the file."""

TIME_ZONE_BYTES = 172
"""``TIME_ZONE_INFORMATION``; an i32 bias in minutes (UTC = local + bias) comes first."""

# Offsets in a 64-bit *file* of what a recorder rewrites in place.
FILE_END_TIME_OFFSET = 0x78  # u64 FILETIME, 0 while the file is being written
FILE_BUFFERS_WRITTEN_OFFSET = 0x8C  # u32, header buffer included
FILE_EVENTS_LOST_OFFSET = 0x98  # u32
FILE_BUFFERS_LOST_OFFSET = 0x17C  # u32


class LogFileMode(IntFlag):
    """``LogFileMode``: ``EVENT_TRACE_FILE_MODE_*`` and ``EVENT_TRACE_*_MODE`` of ``evntrace.h``."""

    SEQUENTIAL = 0x00000001
    CIRCULAR = 0x00000002
    APPEND = 0x00000004
    NEW_FILE = 0x00000008
    PREALLOCATE = 0x00000020
    NON_STOPPABLE = 0x00000040
    SECURE = 0x00000080
    REAL_TIME = 0x00000100
    BUFFERING = 0x00000400
    PRIVATE_LOGGER = 0x00000800
    ADD_HEADER = 0x00001000
    USE_KBYTES_FOR_SIZE = 0x00002000
    USE_GLOBAL_SEQUENCE = 0x00004000
    USE_LOCAL_SEQUENCE = 0x00008000
    RELOG = 0x00010000
    PRIVATE_IN_PROC = 0x00020000
    RESERVED = 0x00100000
    STOP_ON_HYBRID_SHUTDOWN = 0x00400000
    PERSIST_ON_HYBRID_SHUTDOWN = 0x00800000
    USE_PAGED_MEMORY = 0x01000000
    SYSTEM_LOGGER = 0x02000000
    COMPRESSED = 0x04000000
    INDEPENDENT_SESSION = 0x08000000
    NO_PER_PROCESSOR_BUFFERING = 0x10000000
    BLOCKING = 0x20000000
    ADD_TO_TRIAGE_DUMP = 0x80000000


class ClockType(IntEnum):
    """``ReservedFlags`` of ``TRACE_LOGFILE_HEADER``: what raw timestamps count."""

    RAW = 0
    QPC = 1  # ticks of PerfFreq per second
    SYSTEM_TIME = 2  # FILETIME
    CPU_CYCLE = 3  # cycles of CpuSpeedInMHz
