/* ETW's structures as the double lays them out: own declarations, so that the double builds anywhere.

   Names are Windows' own with "etw_" before them, fields have Windows' names.  The tests compare every field
   with what a compiler printed from the Windows headers; etw_layouts.c compares with the headers themselves. */

#ifndef ETW_STRUCTURES_H
#define ETW_STRUCTURES_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    uint32_t Data1;
    uint16_t Data2, Data3;
    uint8_t Data4[8];
} etw_GUID;

typedef struct {
    uint16_t wYear, wMonth, wDayOfWeek, wDay, wHour, wMinute, wSecond, wMilliseconds;
} etw_SYSTEMTIME;

typedef struct {
    int32_t Bias;
    uint16_t StandardName[32];
    etw_SYSTEMTIME StandardDate;
    int32_t StandardBias;
    uint16_t DaylightName[32];
    etw_SYSTEMTIME DaylightDate;
    int32_t DaylightBias;
} etw_TIME_ZONE_INFORMATION;

typedef struct {
    uint16_t Id;
    uint8_t Version, Channel, Level, Opcode;
    uint16_t Task;
    uint64_t Keyword;
} etw_EVENT_DESCRIPTOR;

typedef struct {
    uint64_t Ptr;
    uint32_t Size;
    union {
        uint32_t Reserved;
        struct {
            uint8_t Type, Reserved1;
            uint16_t Reserved2;
        };
    };
} etw_EVENT_DATA_DESCRIPTOR;

typedef struct {
    uint64_t Ptr;
    uint32_t Size, Type;
} etw_EVENT_FILTER_DESCRIPTOR;

typedef struct {
    uint16_t Size, HeaderType, Flags, EventProperty;
    uint32_t ThreadId, ProcessId;
    int64_t TimeStamp;
    etw_GUID ProviderId;
    etw_EVENT_DESCRIPTOR EventDescriptor;
    union {
        struct {
            uint32_t KernelTime, UserTime;
        };
        uint64_t ProcessorTime;
    };
    etw_GUID ActivityId;
} etw_EVENT_HEADER;

typedef struct {
    uint16_t Reserved1, ExtType, Linkage, DataSize; /* the low bit of Linkage: another item follows */
    uint64_t DataPtr;
} etw_EVENT_HEADER_EXTENDED_DATA_ITEM;

typedef struct {
    union {
        struct {
            uint8_t ProcessorNumber, Alignment;
        };
        uint16_t ProcessorIndex;
    };
    uint16_t LoggerId;
} etw_ETW_BUFFER_CONTEXT;

typedef struct {
    etw_EVENT_HEADER EventHeader;
    etw_ETW_BUFFER_CONTEXT BufferContext;
    uint16_t ExtendedDataCount, UserDataLength;
    etw_EVENT_HEADER_EXTENDED_DATA_ITEM *ExtendedData;
    void *UserData, *UserContext;
} etw_EVENT_RECORD;

typedef struct {
    uint32_t BufferSize, ProviderId;
    union {
        uint64_t HistoricalContext;
        struct {
            uint32_t Version, Linkage;
        };
    };
    union {
        uint32_t CountLost;
        void *KernelHandle;
        int64_t TimeStamp;
    };
    etw_GUID Guid;
    uint32_t ClientContext, Flags;
} etw_WNODE_HEADER;

typedef struct {
    etw_WNODE_HEADER Wnode;
    uint32_t BufferSize, MinimumBuffers, MaximumBuffers, MaximumFileSize, LogFileMode, FlushTimer, EnableFlags;
    int32_t AgeLimit;
    uint32_t NumberOfBuffers, FreeBuffers, EventsLost, BuffersWritten, LogBuffersLost, RealTimeBuffersLost;
    void *LoggerThreadId;
    uint32_t LogFileNameOffset, LoggerNameOffset;
} etw_EVENT_TRACE_PROPERTIES;

typedef struct {
    uint16_t Size, FieldTypeFlags;
    uint32_t Version, ThreadId, ProcessId;
    int64_t TimeStamp;
    etw_GUID Guid;
    union {
        struct {
            uint32_t KernelTime, UserTime;
        };
        uint64_t ProcessorTime;
    };
} etw_EVENT_TRACE_HEADER;

typedef struct {
    etw_EVENT_TRACE_HEADER Header;
    uint32_t InstanceId, ParentInstanceId;
    etw_GUID ParentGuid;
    void *MofData;
    uint32_t MofLength, ClientContext;
} etw_EVENT_TRACE;

typedef struct {
    uint32_t BufferSize, Version, ProviderVersion, NumberOfProcessors;
    int64_t EndTime;
    uint32_t TimerResolution, MaximumFileSize, LogFileMode, BuffersWritten;
    union {
        etw_GUID LogInstanceGuid;
        struct {
            uint32_t StartBuffers, PointerSize, EventsLost, CpuSpeedInMHz;
        };
    };
    uint16_t *LoggerName, *LogFileName;
    etw_TIME_ZONE_INFORMATION TimeZone;
    int64_t BootTime, PerfFreq, StartTime;
    uint32_t ReservedFlags, BuffersLost;
} etw_TRACE_LOGFILE_HEADER;

typedef struct {
    uint16_t *LogFileName, *LoggerName;
    int64_t CurrentTime;
    uint32_t BuffersRead;
    union {
        uint32_t LogFileMode, ProcessTraceMode;
    };
    etw_EVENT_TRACE CurrentEvent;
    etw_TRACE_LOGFILE_HEADER LogfileHeader;
    void *BufferCallback;
    uint32_t BufferSize, Filled, EventsLost;
    union {
        void *EventCallback, *EventRecordCallback;
    };
    uint32_t IsKernelTrace;
    void *Context;
} etw_EVENT_TRACE_LOGFILEW;

typedef struct {
    uint32_t Version, EnableProperty, ControlFlags;
    etw_GUID SourceId;
    etw_EVENT_FILTER_DESCRIPTOR *EnableFilterDesc;
    uint32_t FilterDescCount;
} etw_ENABLE_TRACE_PARAMETERS;

typedef struct {
    etw_GUID ProviderGuid;
    uint32_t SchemaSource, ProviderNameOffset;
} etw_TRACE_PROVIDER_INFO;

typedef struct {
    uint32_t NumberOfProviders, Reserved;
    etw_TRACE_PROVIDER_INFO TraceProviderInfoArray[1];
} etw_PROVIDER_ENUMERATION_INFO;

_Static_assert(sizeof(etw_GUID) == 16, "GUID");
_Static_assert(sizeof(etw_EVENT_DESCRIPTOR) == 16, "EVENT_DESCRIPTOR");
_Static_assert(sizeof(etw_EVENT_DATA_DESCRIPTOR) == 16, "EVENT_DATA_DESCRIPTOR");
_Static_assert(sizeof(etw_EVENT_HEADER) == 80, "EVENT_HEADER");
_Static_assert(sizeof(etw_EVENT_HEADER_EXTENDED_DATA_ITEM) == 16, "EVENT_HEADER_EXTENDED_DATA_ITEM");
_Static_assert(sizeof(etw_WNODE_HEADER) == 48, "WNODE_HEADER");
_Static_assert(sizeof(etw_TIME_ZONE_INFORMATION) == 172, "TIME_ZONE_INFORMATION");
_Static_assert(sizeof(etw_TRACE_PROVIDER_INFO) == 24, "TRACE_PROVIDER_INFO");
#if UINTPTR_MAX == UINT64_MAX
_Static_assert(sizeof(etw_EVENT_RECORD) == 112, "EVENT_RECORD");
_Static_assert(sizeof(etw_EVENT_TRACE_PROPERTIES) == 120, "EVENT_TRACE_PROPERTIES");
_Static_assert(sizeof(etw_EVENT_TRACE) == 88, "EVENT_TRACE");
_Static_assert(sizeof(etw_TRACE_LOGFILE_HEADER) == 280, "TRACE_LOGFILE_HEADER");
_Static_assert(sizeof(etw_EVENT_TRACE_LOGFILEW) == 448, "EVENT_TRACE_LOGFILEW");
_Static_assert(offsetof(etw_EVENT_TRACE_LOGFILEW, EventRecordCallback) == 424, "EventRecordCallback");
_Static_assert(sizeof(etw_ENABLE_TRACE_PARAMETERS) == 48, "ENABLE_TRACE_PARAMETERS");
#endif

#endif
