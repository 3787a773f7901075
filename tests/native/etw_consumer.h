/* The functions of whoever receives a session's events as they come (evntrace.h). */

#ifndef ETW_CONSUMER_H
#define ETW_CONSUMER_H

#include "etw_session.h"

enum { PROCESS_REAL_TIME = 0x100, PROCESS_RAW_TIMESTAMP = 0x1000, PROCESS_EVENT_RECORD = 0x10000000 };
enum { WINDOWS_10_VERSION = 0x0501000A, TICKS_PER_SECOND = 10000000, MOST_TRACES = 64 };

static const uint64_t invalid_trace = sizeof(void *) == 8 ? UINT64_MAX : UINT32_MAX;

typedef void(WINDOWS_CALL *record_callback)(etw_EVENT_RECORD *record);
typedef uint32_t(WINDOWS_CALL *buffer_callback)(etw_EVENT_TRACE_LOGFILEW *logfile);

static void describe_trace(trace *of) {
    etw_TRACE_LOGFILE_HEADER *header = &of->logfile.LogfileHeader;
    const etw_EVENT_TRACE_PROPERTIES *facts = &of->of->facts;
    of->logfile.EventsLost = header->EventsLost = facts->EventsLost;
    of->logfile.CurrentTime = now_filetime();
    of->logfile.BufferSize = header->BufferSize = facts->BufferSize * 1024;
    header->BuffersLost = facts->RealTimeBuffersLost;
    header->Version = WINDOWS_10_VERSION;
    header->NumberOfProcessors = 1;
    header->LogFileMode = facts->LogFileMode;
    header->PointerSize = sizeof(void *);
    header->ReservedFlags = facts->Wnode.ClientContext;
    header->PerfFreq = TICKS_PER_SECOND;
    if (header->StartTime == 0) header->StartTime = header->BootTime = of->logfile.CurrentTime;
}

static uint32_t open_trace(etw_EVENT_TRACE_LOGFILEW *logfile, uint64_t *handle) {
    const uint32_t needed = PROCESS_REAL_TIME | PROCESS_EVENT_RECORD;
    if (logfile == NULL || logfile->LoggerName == NULL) return INVALID_PARAMETER_CODE;
    if ((logfile->ProcessTraceMode & needed) != needed || logfile->EventRecordCallback == NULL)
        return INVALID_PARAMETER_CODE;
    if (logfile->ProcessTraceMode & PROCESS_RAW_TIMESTAMP) return NOT_SUPPORTED_CODE;
    lock();
    session *found = session_named(sessions, logfile->LoggerName);
    uint32_t status = NO_ERROR_CODE;
    if (found == NULL) {
        status = INSTANCE_NOT_FOUND_CODE;
    } else if (!has_consumers(found)) {
        status = INVALID_PARAMETER_CODE;
    } else {
        trace *made = zeroed(sizeof *made);
        made->of = found;
        found->users++;
        made->logfile = *logfile;
        describe_trace(made);
        logfile->LogfileHeader = made->logfile.LogfileHeader;
        *handle = made->handle = new_handle(0x7CAE);
        made->next = traces;
        traces = made;
    }
    unlock();
    return status;
}

/* Sessions by name, in real time, with event records; times are FILETIMEs. */
EXPORT uint64_t WINDOWS_CALL OpenTraceW(etw_EVENT_TRACE_LOGFILEW *logfile) {
    uint32_t status;
    uint64_t handle = invalid_trace;
    if (!fails(CALL_OpenTraceW, &status)) status = open_trace(logfile, &handle);
    if (status) set_last_error(status);
    return status ? invalid_trace : handle;
}

static void deliver(trace *of, const uint8_t *at) {
    const queued_record *start = (const queued_record *)at;
    etw_EVENT_HEADER_EXTENDED_DATA_ITEM items[MOST_ITEMS] = {0};
    at += sizeof *start;
    for (uint32_t index = 0; index < start->items; index++) {
        const uint16_t *item = (const uint16_t *)at;
        items[index].ExtType = item[0];
        items[index].DataSize = item[1];
        items[index].DataPtr = (uint64_t)(uintptr_t)(at + 8);
        items[index].Linkage = index + 1 < start->items;
        at += 8 + ((item[1] + 7) & ~7);
    }
    etw_EVENT_RECORD record = {
        .EventHeader = start->header,
        .BufferContext = {.LoggerId = of->of->number},
        .ExtendedDataCount = (uint16_t)start->items,
        .UserDataLength = (uint16_t)start->user_bytes,
        .ExtendedData = start->items ? items : NULL,
        .UserData = (void *)(uintptr_t)at,
        .UserContext = of->logfile.Context,
    };
    ((record_callback)of->logfile.EventRecordCallback)(&record);
}

/* One buffer's records, then the buffer callback; false where that wants no more. What was given out is
   overwritten afterwards, as its memory is the system's. */
static int deliver_buffer(trace *of, bytes *buffer) {
    for (size_t at = 0; at < buffer->size; at += ((queued_record *)(buffer->data + at))->bytes)
        deliver(of, buffer->data + at);
    memset(buffer->data, 0xDD, buffer->size);
    lock();
    describe_trace(of);
    of->logfile.BuffersRead++;
    of->logfile.Filled = (uint32_t)buffer->size;
    unlock();
    return of->logfile.BufferCallback == NULL || ((buffer_callback)of->logfile.BufferCallback)(&of->logfile);
}

static int has_ended(const trace *of) { return of->closing && of->of->taken_bytes >= of->closing_at_bytes; }

static uint32_t process(trace *of) {
    bytes buffer = {0};
    uint32_t status = NO_ERROR_CODE;
    lock();
    for (;;) {
        while (of->of->running && !of->closing && of->of->queue.size == of->of->queue_start) wait_for_change();
        if (has_ended(of)) {
            status = CANCELLED_CODE;
            break;
        }
        take_buffer(of->of, &buffer);
        if (buffer.size == 0) break;
        unlock();
        int more = deliver_buffer(of, &buffer);
        lock();
        if (!more) {
            status = CANCELLED_CODE;
            break;
        }
    }
    unlock();
    drop(&buffer);
    return status;
}

/* Called with the lock. */
static void free_trace(trace *of) {
    trace **link = &traces;
    while (*link && *link != of) link = &(*link)->next;
    if (*link) *link = of->next;
    of->of->users--;
    free(of);
}

EXPORT uint32_t WINDOWS_CALL ProcessTrace(const uint64_t *handles, uint32_t count, const void *start,
                                          const void *end) {
    ENTER(ProcessTrace);
    if (handles == NULL || start != NULL || end != NULL) return INVALID_PARAMETER_CODE;
    if (count == 0 || count > MOST_TRACES) return BAD_LENGTH_CODE;
    if (count != 1) return NOT_SUPPORTED_CODE;
    lock();
    trace *found = trace_of(*handles);
    uint32_t status = found == NULL || found->closing ? INVALID_HANDLE_CODE : found->processing ? BUSY_CODE : 0;
    if (!status) found->processing = 1;
    unlock();
    if (status) return status;
    status = process(found);
    lock();
    found->processing = 0;
    if (found->closing) free_trace(found);
    changed();
    unlock();
    return status;
}

/* What is in the session's buffers at this moment is still delivered, if ProcessTrace runs. */
EXPORT uint32_t WINDOWS_CALL CloseTrace(uint64_t handle) {
    ENTER(CloseTrace);
    lock();
    trace *found = trace_of(handle);
    uint32_t status = INVALID_HANDLE_CODE;
    if (found && !found->closing) {
        status = found->processing ? CLOSE_PENDING_CODE : NO_ERROR_CODE;
        found->closing = 1;
        found->closing_at_bytes = found->of->queued_bytes;
        if (!found->processing) free_trace(found);
        changed();
    }
    unlock();
    return status;
}

#endif
