"""ETW's structures (``evntprov.h``, ``evntcons.h``, ``evntrace.h``, ``wmistr.h``), of types of fixed width.

``ctypes.wintypes`` has other sizes on other systems; these have Windows' own everywhere, for the pointer size
of this process.  Fields have Windows' names.  Sizes and offsets are held against what a compiler printed from
the Windows headers (64 bits).
"""

from __future__ import annotations

import ctypes
from ctypes import Structure, Union

_u8, _u16, _u32, _u64 = ctypes.c_uint8, ctypes.c_uint16, ctypes.c_uint32, ctypes.c_uint64
_i16, _i32, _i64 = ctypes.c_int16, ctypes.c_int32, ctypes.c_int64
_pointer = ctypes.c_void_p


class Guid(Structure):
    """``GUID``; in memory the bytes of ``UUID.bytes_le``."""

    _fields_ = (("Data1", _u32), ("Data2", _u16), ("Data3", _u16), ("Data4", _u8 * 8))


class SystemTime(Structure):
    """``SYSTEMTIME``."""

    _fields_ = tuple(
        (name, _u16)
        for name in (
            *("wYear", "wMonth", "wDayOfWeek", "wDay"),
            *("wHour", "wMinute", "wSecond", "wMilliseconds"),
        )
    )


class TimeZoneInformation(Structure):
    """``TIME_ZONE_INFORMATION``."""

    _fields_ = (
        ("Bias", _i32),
        ("StandardName", _u16 * 32),
        ("StandardDate", SystemTime),
        ("StandardBias", _i32),
        ("DaylightName", _u16 * 32),
        ("DaylightDate", SystemTime),
        ("DaylightBias", _i32),
    )


class EventDescriptorStructure(Structure):
    """``EVENT_DESCRIPTOR``."""

    _fields_ = (
        ("Id", _u16),
        ("Version", _u8),
        ("Channel", _u8),
        ("Level", _u8),
        ("Opcode", _u8),
        ("Task", _u16),
        ("Keyword", _u64),
    )


class EventDataDescriptor(Structure):
    """``EVENT_DATA_DESCRIPTOR``; the low byte of ``Reserved`` is the type."""

    _fields_ = (("Ptr", _u64), ("Size", _u32), ("Reserved", _u32))


class EventHeader(Structure):
    """``EVENT_HEADER``; KernelTime and UserTime are together ProcessorTime."""

    class _Times(Union):
        class _Pair(Structure):
            _fields_ = (("KernelTime", _u32), ("UserTime", _u32))

        _anonymous_ = ("pair",)
        _fields_ = (("pair", _Pair), ("ProcessorTime", _u64))

    _anonymous_ = ("times",)
    _fields_ = (
        ("Size", _u16),
        ("HeaderType", _u16),
        ("Flags", _u16),
        ("EventProperty", _u16),
        ("ThreadId", _u32),
        ("ProcessId", _u32),
        ("TimeStamp", _i64),
        ("ProviderId", Guid),
        ("EventDescriptor", EventDescriptorStructure),
        ("times", _Times),
        ("ActivityId", Guid),
    )


class EventHeaderExtendedDataItem(Structure):
    """``EVENT_HEADER_EXTENDED_DATA_ITEM``; the low bit of ``Linkage`` says that another one follows."""

    _fields_ = (
        ("Reserved1", _u16),
        ("ExtType", _u16),
        ("Linkage", _u16),
        ("DataSize", _u16),
        ("DataPtr", _u64),
    )


class EtwBufferContext(Structure):
    """``ETW_BUFFER_CONTEXT``; ProcessorIndex is of newer Windows, where the low byte is ProcessorNumber."""

    class _Processor(Union):
        class _Numbered(Structure):
            _fields_ = (("ProcessorNumber", _u8), ("Alignment", _u8))

        _anonymous_ = ("numbered",)
        _fields_ = (("numbered", _Numbered), ("ProcessorIndex", _u16))

    _anonymous_ = ("processor",)
    _fields_ = (("processor", _Processor), ("LoggerId", _u16))


class EventRecord(Structure):
    """``EVENT_RECORD``."""

    _fields_ = (
        ("EventHeader", EventHeader),
        ("BufferContext", EtwBufferContext),
        ("ExtendedDataCount", _u16),
        ("UserDataLength", _u16),
        ("ExtendedData", _pointer),
        ("UserData", _pointer),
        ("UserContext", _pointer),
    )


class WnodeHeader(Structure):
    """``WNODE_HEADER``."""

    class _Context(Union):
        class _Linked(Structure):
            _fields_ = (("Version", _u32), ("Linkage", _u32))

        _anonymous_ = ("linked",)
        _fields_ = (("HistoricalContext", _u64), ("linked", _Linked))

    class _Time(Union):
        _fields_ = (("CountLost", _u32), ("KernelHandle", _pointer), ("TimeStamp", _i64))

    _anonymous_ = ("context", "time")
    _fields_ = (
        ("BufferSize", _u32),
        ("ProviderId", _u32),
        ("context", _Context),
        ("time", _Time),
        ("Guid", Guid),
        ("ClientContext", _u32),
        ("Flags", _u32),
    )


class EventTraceProperties(Structure):
    """``EVENT_TRACE_PROPERTIES``; names of session and file follow it where the two offsets say."""

    _fields_ = (
        ("Wnode", WnodeHeader),
        ("BufferSize", _u32),
        ("MinimumBuffers", _u32),
        ("MaximumBuffers", _u32),
        ("MaximumFileSize", _u32),
        ("LogFileMode", _u32),
        ("FlushTimer", _u32),
        ("EnableFlags", _u32),
        ("AgeLimit", _i32),
        ("NumberOfBuffers", _u32),
        ("FreeBuffers", _u32),
        ("EventsLost", _u32),
        ("BuffersWritten", _u32),
        ("LogBuffersLost", _u32),
        ("RealTimeBuffersLost", _u32),
        ("LoggerThreadId", _pointer),
        ("LogFileNameOffset", _u32),
        ("LoggerNameOffset", _u32),
    )


class EventTraceHeader(Structure):
    """``EVENT_TRACE_HEADER``; KernelTime and UserTime are together ProcessorTime."""

    _anonymous_ = ("times",)
    _fields_ = (
        ("Size", _u16),
        ("FieldTypeFlags", _u16),
        ("Version", _u32),
        ("ThreadId", _u32),
        ("ProcessId", _u32),
        ("TimeStamp", _i64),
        ("Guid", Guid),
        ("times", EventHeader._Times),
    )


class EventTrace(Structure):
    """``EVENT_TRACE``."""

    _fields_ = (
        ("Header", EventTraceHeader),
        ("InstanceId", _u32),
        ("ParentInstanceId", _u32),
        ("ParentGuid", Guid),
        ("MofData", _pointer),
        ("MofLength", _u32),
        ("ClientContext", _u32),
    )


class TraceLogfileHeader(Structure):
    """``TRACE_LOGFILE_HEADER``."""

    class _Instance(Union):
        class _Counts(Structure):
            _fields_ = (
                ("StartBuffers", _u32),
                ("PointerSize", _u32),
                ("EventsLost", _u32),
                ("CpuSpeedInMHz", _u32),
            )

        _anonymous_ = ("counts",)
        _fields_ = (("LogInstanceGuid", Guid), ("counts", _Counts))

    _anonymous_ = ("instance",)
    _fields_ = (
        ("BufferSize", _u32),
        ("Version", _u32),
        ("ProviderVersion", _u32),
        ("NumberOfProcessors", _u32),
        ("EndTime", _i64),
        ("TimerResolution", _u32),
        ("MaximumFileSize", _u32),
        ("LogFileMode", _u32),
        ("BuffersWritten", _u32),
        ("instance", _Instance),
        ("LoggerName", _pointer),
        ("LogFileName", _pointer),
        ("TimeZone", TimeZoneInformation),
        ("BootTime", _i64),
        ("PerfFreq", _i64),
        ("StartTime", _i64),
        ("ReservedFlags", _u32),
        ("BuffersLost", _u32),
    )


class EventTraceLogfile(Structure):
    """``EVENT_TRACE_LOGFILEW``; a mode and a callback of the two kinds share their places."""

    class _Mode(Union):
        _fields_ = (("LogFileMode", _u32), ("ProcessTraceMode", _u32))

    class _Callback(Union):
        _fields_ = (("EventCallback", _pointer), ("EventRecordCallback", _pointer))

    _anonymous_ = ("mode", "callback")
    _fields_ = (
        ("LogFileName", _pointer),
        ("LoggerName", _pointer),
        ("CurrentTime", _i64),
        ("BuffersRead", _u32),
        ("mode", _Mode),
        ("CurrentEvent", EventTrace),
        ("LogfileHeader", TraceLogfileHeader),
        ("BufferCallback", _pointer),
        ("BufferSize", _u32),
        ("Filled", _u32),
        ("EventsLost", _u32),
        ("callback", _Callback),
        ("IsKernelTrace", _u32),
        ("Context", _pointer),
    )


class EnableTraceParameters(Structure):
    """``ENABLE_TRACE_PARAMETERS``, version 2."""

    _fields_ = (
        ("Version", _u32),
        ("EnableProperty", _u32),
        ("ControlFlags", _u32),
        ("SourceId", Guid),
        ("EnableFilterDesc", _pointer),
        ("FilterDescCount", _u32),
    )


STRUCTURES: dict[str, type[Structure]] = {
    "GUID": Guid,
    "SYSTEMTIME": SystemTime,
    "TIME_ZONE_INFORMATION": TimeZoneInformation,
    "EVENT_DESCRIPTOR": EventDescriptorStructure,
    "EVENT_DATA_DESCRIPTOR": EventDataDescriptor,
    "EVENT_HEADER": EventHeader,
    "EVENT_HEADER_EXTENDED_DATA_ITEM": EventHeaderExtendedDataItem,
    "ETW_BUFFER_CONTEXT": EtwBufferContext,
    "EVENT_RECORD": EventRecord,
    "WNODE_HEADER": WnodeHeader,
    "EVENT_TRACE_PROPERTIES": EventTraceProperties,
    "EVENT_TRACE_HEADER": EventTraceHeader,
    "EVENT_TRACE": EventTrace,
    "TRACE_LOGFILE_HEADER": TraceLogfileHeader,
    "EVENT_TRACE_LOGFILEW": EventTraceLogfile,
    "ENABLE_TRACE_PARAMETERS": EnableTraceParameters,
}
"""By their names in Windows' headers."""
