/* The functions of whoever starts, asks and stops sessions (evntrace.h), and the list of providers (tdh.h). */

#ifndef ETW_SESSION_H
#define ETW_SESSION_H

#include "etw_records.h"

enum { QUERY = 0, STOP = 1, UPDATE = 2, FLUSH = 3 };
enum { FLAG_TRACED_GUID = 0x20000 };
enum { MODE_SEQUENTIAL = 1, MODE_CIRCULAR = 2, MODE_APPEND = 4, MODE_NEW_FILE = 8, MODE_REAL_TIME = 0x100,
       MODE_BUFFERING = 0x400 };
enum { MOST_BUFFER_KB = 16384, MOST_QUERIED = 256, PROPERTIES_BYTES = sizeof(etw_EVENT_TRACE_PROPERTIES) };

/* Text at an offset behind the properties, NULL where there is none. */
static const uint16_t *text_at(const etw_EVENT_TRACE_PROPERTIES *properties, uint32_t offset) {
    const uint16_t *text = (const uint16_t *)((const uint8_t *)properties + offset);
    return offset >= PROPERTIES_BYTES && offset + 2 <= properties->Wnode.BufferSize && *text ? text : NULL;
}

/* 0, or more data where there is no room at an offset that was given. */
static uint32_t put_text(etw_EVENT_TRACE_PROPERTIES *into, uint32_t offset, const uint16_t *text) {
    size_t size = text ? 2 * (length_of(text) + 1) : 2;
    if (offset == 0) return NO_ERROR_CODE;
    if (offset < PROPERTIES_BYTES) return BAD_LENGTH_CODE;
    if (offset + size > into->Wnode.BufferSize) return MORE_DATA_CODE;
    memcpy((uint8_t *)into + offset, text ? text : (const uint16_t[]){0}, size);
    return NO_ERROR_CODE;
}

/* What a session answers to a question: the caller's size and offsets stay. */
static uint32_t describe(const session *of, etw_EVENT_TRACE_PROPERTIES *into) {
    if (into->Wnode.BufferSize < PROPERTIES_BYTES) return BAD_LENGTH_CODE;
    uint32_t size = into->Wnode.BufferSize, file = into->LogFileNameOffset, name = into->LoggerNameOffset;
    *into = of->facts;
    into->Wnode.BufferSize = size;
    into->LogFileNameOffset = file;
    into->LoggerNameOffset = name;
    uint32_t status = put_text(into, name, of->name);
    return status ? status : put_text(into, file, of->file);
}

static uint32_t checked_mode(const etw_EVENT_TRACE_PROPERTIES *properties, const uint16_t *file) {
    uint32_t mode = properties->LogFileMode;
    if (!(mode & (MODE_REAL_TIME | MODE_BUFFERING)) && file == NULL) return BAD_PATHNAME_CODE;
    if ((mode & MODE_SEQUENTIAL) && (mode & MODE_CIRCULAR)) return INVALID_PARAMETER_CODE;
    if ((mode & (MODE_CIRCULAR | MODE_NEW_FILE)) && properties->MaximumFileSize == 0) return INVALID_PARAMETER_CODE;
    if (mode & MODE_NEW_FILE) {
        if (file == NULL || (mode & (MODE_CIRCULAR | MODE_APPEND))) return INVALID_PARAMETER_CODE;
        while (*file && !(file[0] == '%' && file[1] == 'd')) file++;
        if (!*file) return INVALID_PARAMETER_CODE;
    }
    return NO_ERROR_CODE;
}

static uint32_t checked_properties(const uint16_t *name, const etw_EVENT_TRACE_PROPERTIES *properties) {
    size_t name_bytes = 2 * (length_of(name) + 1), size = properties->Wnode.BufferSize;
    uint32_t at = properties->LoggerNameOffset, file_at = properties->LogFileNameOffset;
    if (size < PROPERTIES_BYTES + name_bytes || at < PROPERTIES_BYTES || at + name_bytes > size)
        return BAD_LENGTH_CODE;
    if (file_at && (file_at < PROPERTIES_BYTES || file_at + 2 > size)) return BAD_LENGTH_CODE;
    if (!(properties->Wnode.Flags & FLAG_TRACED_GUID)) return INVALID_PARAMETER_CODE;
    return checked_mode(properties, text_at(properties, file_at));
}

/* The file is there, empty: no events are written to it. The first of rolling files has number 1. */
static uint32_t begin_file(const uint16_t *file, uint32_t mode) {
    for (const session *each = sessions; each; each = each->next)
        if (each->file && same_name(each->file, file)) return BAD_PATHNAME_CODE;
    uint16_t *path = copy_of(file);
    for (uint16_t *at = path; (mode & MODE_NEW_FILE) && *at; at++)
        if (at[0] == '%' && at[1] == 'd') {
            *at = '1';
            memmove(at + 1, at + 2, 2 * (length_of(at + 2) + 1));
            break;
        }
    uint32_t status = create_file(path, (mode & MODE_APPEND) != 0);
    free(path);
    return status;
}

static void fill_in_facts(etw_EVENT_TRACE_PROPERTIES *facts) {
    if (facts->BufferSize == 0) facts->BufferSize = 64;
    if (facts->BufferSize > MOST_BUFFER_KB) facts->BufferSize = MOST_BUFFER_KB;
    if (facts->MinimumBuffers < 2) facts->MinimumBuffers = 2;
    if (facts->MaximumBuffers < facts->MinimumBuffers) facts->MaximumBuffers = facts->MinimumBuffers + 20;
    facts->NumberOfBuffers = facts->MinimumBuffers;
    facts->FreeBuffers = facts->MinimumBuffers - 1;
    facts->EventsLost = facts->BuffersWritten = facts->LogBuffersLost = facts->RealTimeBuffersLost = 0;
    if (facts->Wnode.ClientContext == 0) facts->Wnode.ClientContext = 1;
}

static session *add_session(const uint16_t *name, const etw_EVENT_TRACE_PROPERTIES *properties) {
    static uint16_t numbers;
    session *made = zeroed(sizeof *made);
    const uint16_t *file = text_at(properties, properties->LogFileNameOffset);
    append(&made->given, properties, properties->Wnode.BufferSize);
    made->handle = new_handle(0x5E55);
    made->number = ++numbers;
    made->name = copy_of(name);
    made->file = file ? copy_of(file) : NULL;
    made->running = 1;
    made->facts = *properties;
    fill_in_facts(&made->facts);
    made->facts.Wnode.HistoricalContext = made->handle;
    made->next = sessions;
    sessions = made;
    return made;
}

EXPORT uint32_t WINDOWS_CALL StartTraceW(uint64_t *handle, const uint16_t *name,
                                         etw_EVENT_TRACE_PROPERTIES *properties) {
    ENTER(StartTraceW);
    if (handle == NULL || name == NULL || *name == 0 || properties == NULL) return INVALID_PARAMETER_CODE;
    uint32_t status = checked_properties(name, properties);
    if (status) return status;
    lock();
    const uint16_t *file = text_at(properties, properties->LogFileNameOffset);
    if (session_named(sessions, name)) status = ALREADY_EXISTS_CODE;
    if (!status && file) status = begin_file(file, properties->LogFileMode);
    if (!status) {
        session *made = add_session(name, properties);
        *handle = made->handle;
        status = describe(made, properties);
    }
    unlock();
    return status;
}

/* Called with the lock; the session stays among the past ones, so that tests can look at it. */
static void end_session(session *of) {
    session **link = &sessions;
    while (*link != of) link = &(*link)->next;
    *link = of->next;
    of->next = past_sessions;
    past_sessions = of;
    of->running = 0;
    of->facts.BuffersWritten += of->events > 0;
    enabling *left = of->enabled;
    of->enabled = NULL;
    changed();
    while (left) {
        enabling *first = left;
        left = first->next;
        tell(&first->provider, (notice){.code = MERGED});
        free(first);
    }
}

static void update(session *of, const etw_EVENT_TRACE_PROPERTIES *wish) {
    const uint16_t *file = text_at(wish, wish->LogFileNameOffset);
    of->facts.FlushTimer = wish->FlushTimer;
    if (wish->MaximumBuffers > of->facts.MinimumBuffers) of->facts.MaximumBuffers = wish->MaximumBuffers;
    if (file == NULL) return;
    free(of->file);
    of->file = copy_of(file);
}

static uint32_t control(uint64_t handle, const uint16_t *name, etw_EVENT_TRACE_PROPERTIES *properties,
                        uint32_t code) {
    if (properties == NULL || (handle == 0 && name == NULL) || code > FLUSH) return INVALID_PARAMETER_CODE;
    if (properties->Wnode.BufferSize < PROPERTIES_BYTES) return BAD_LENGTH_CODE;
    lock();
    session *found = handle ? session_of(handle) : session_named(sessions, name);
    uint32_t status = INSTANCE_NOT_FOUND_CODE;
    if (found) {
        if (code == UPDATE) update(found, properties);
        status = describe(found, properties);
        if (code == STOP) end_session(found);
    }
    unlock();
    return status;
}

EXPORT uint32_t WINDOWS_CALL ControlTraceW(uint64_t handle, const uint16_t *name,
                                           etw_EVENT_TRACE_PROPERTIES *properties, uint32_t code) {
    ENTER(ControlTraceW);
    return control(handle, name, properties, code);
}

EXPORT uint32_t WINDOWS_CALL QueryTraceW(uint64_t handle, const uint16_t *name,
                                         etw_EVENT_TRACE_PROPERTIES *properties) {
    ENTER(QueryTraceW);
    return control(handle, name, properties, QUERY);
}

EXPORT uint32_t WINDOWS_CALL StopTraceW(uint64_t handle, const uint16_t *name,
                                        etw_EVENT_TRACE_PROPERTIES *properties) {
    ENTER(StopTraceW);
    return control(handle, name, properties, STOP);
}

EXPORT uint32_t WINDOWS_CALL UpdateTraceW(uint64_t handle, const uint16_t *name,
                                          etw_EVENT_TRACE_PROPERTIES *properties) {
    ENTER(UpdateTraceW);
    return control(handle, name, properties, UPDATE);
}

EXPORT uint32_t WINDOWS_CALL FlushTraceW(uint64_t handle, const uint16_t *name,
                                         etw_EVENT_TRACE_PROPERTIES *properties) {
    ENTER(FlushTraceW);
    return control(handle, name, properties, FLUSH);
}

EXPORT uint32_t WINDOWS_CALL EnableTraceEx2(uint64_t handle, const etw_GUID *provider, uint32_t code, uint8_t level,
                                            uint64_t any_mask, uint64_t all_mask, uint32_t timeout_ms,
                                            const etw_ENABLE_TRACE_PARAMETERS *parameters) {
    ENTER(EnableTraceEx2);
    if (handle == 0 || provider == NULL || code > CAPTURE_STATE) return INVALID_PARAMETER_CODE;
    if (parameters && parameters->Version != 1 && parameters->Version != 2) return INVALID_PARAMETER_CODE;
    enabling wish = {.provider = *provider,
                     .level = level,
                     .any_mask = any_mask,
                     .all_mask = all_mask,
                     .property = parameters ? parameters->EnableProperty : 0};
    lock();
    session *found = session_of(handle);
    uint32_t status = INSTANCE_NOT_FOUND_CODE;
    if (found)
        status = enable_in(found, code, &wish, timeout_ms, parameters ? &parameters->SourceId : NULL,
                           parameters ? parameters->EnableFilterDesc : NULL);
    unlock();
    return status;
}

EXPORT uint32_t WINDOWS_CALL QueryAllTracesW(etw_EVENT_TRACE_PROPERTIES **all, uint32_t room, uint32_t *count) {
    ENTER(QueryAllTracesW);
    if (all == NULL || count == NULL || room == 0 || room > MOST_QUERIED) return INVALID_PARAMETER_CODE;
    lock();
    uint32_t status = NO_ERROR_CODE;
    *count = 0;
    for (const session *each = sessions; each; each = each->next) {
        if (*count < room && !status) status = describe(each, all[*count]);
        ++*count;
    }
    if (!status && *count > room) status = MORE_DATA_CODE;
    unlock();
    return status;
}

/* Kept as GUID, u32 size in bytes, name with its NUL. */
EXPORT uint32_t WINDOWS_CALL TdhEnumerateProviders(etw_PROVIDER_ENUMERATION_INFO *into, uint32_t *size) {
    ENTER(TdhEnumerateProviders);
    if (size == NULL) return INVALID_PARAMETER_CODE;
    lock();
    uint32_t count = 0, name_bytes, names_bytes = 0;
    for (size_t at = 0; at < registered_providers.size; at += 20 + name_bytes) {
        memcpy(&name_bytes, registered_providers.data + at + 16, 4);
        names_bytes += name_bytes;
        count++;
    }
    uint32_t needed = 8 + count * (uint32_t)sizeof(etw_TRACE_PROVIDER_INFO) + names_bytes;
    uint32_t status = into == NULL || *size < needed ? INSUFFICIENT_BUFFER_CODE : NO_ERROR_CODE;
    *size = needed;
    if (!status) {
        uint32_t name_at = needed - names_bytes;
        etw_TRACE_PROVIDER_INFO *info = into->TraceProviderInfoArray;
        into->NumberOfProviders = count;
        into->Reserved = 0;
        for (size_t at = 0; at < registered_providers.size; at += 20 + name_bytes) {
            const uint8_t *entry = registered_providers.data + at;
            memcpy(&name_bytes, entry + 16, 4);
            memcpy(&info->ProviderGuid, entry, 16);
            info->SchemaSource = 0;
            info++->ProviderNameOffset = name_at;
            memcpy((uint8_t *)into + name_at, entry + 20, name_bytes);
            name_at += name_bytes;
        }
    }
    unlock();
    return status;
}

#endif
