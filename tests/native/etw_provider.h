/* The provider's functions (evntprov.h). */

#ifndef ETW_PROVIDER_H
#define ETW_PROVIDER_H

#include "etw_records.h"

enum { MOST_DESCRIPTORS = 128, MOST_EVENT_BYTES = 65536, HEADER_BYTES = 80 };
enum { WRITTEN_ACTIVITY = 1, WRITTEN_RELATED = 2, WRITTEN_ENABLED = 4 };
enum { TYPE_PAYLOAD = 0, TYPE_EVENT_METADATA = 1, TYPE_PROVIDER_METADATA = 2 };

static _Thread_local etw_GUID thread_activity;

/* A session that enables the provider already is told of inside the call; the handle is known only after it. */
EXPORT uint32_t WINDOWS_CALL EventRegister(const etw_GUID *provider, enable_callback callback, void *context,
                                           uint64_t *handle) {
    ENTER(EventRegister);
    if (provider == NULL || handle == NULL) return INVALID_PARAMETER_CODE;
    registration *made = zeroed(sizeof *made);
    made->provider = *provider;
    made->callback = callback;
    made->context = context;
    made->users = 1;
    lock();
    made->handle = new_handle(0x9E61);
    made->next = registrations;
    registrations = made;
    uint64_t value = made->handle;
    if (merged_notice(provider).code != DISABLE) call_back(made, (notice){.code = MERGED});
    unlock();
    *handle = value;
    return NO_ERROR_CODE;
}

EXPORT uint32_t WINDOWS_CALL EventUnregister(uint64_t handle) {
    ENTER(EventUnregister);
    lock();
    registration **link = &registrations;
    while (*link && (*link)->handle != handle) link = &(*link)->next;
    registration *found = *link;
    if (found) {
        *link = found->next;
        found->gone = 1;
        changed();
        if (is_inside(found))
            misused("EventUnregister was called inside the registration's own callback");
        else
            while (found->delivering) wait_for_change();
        let_go(found);
    }
    unlock();
    return found ? NO_ERROR_CODE : INVALID_HANDLE_CODE;
}

enum { SET_TRAITS = 2, USE_DESCRIPTOR_TYPE = 3 };

static uint32_t set_traits(registration *of, const void *traits, uint32_t size) {
    uint16_t own_size;
    if (traits == NULL || size < 3 || size > 0xFFFF) return INVALID_PARAMETER_CODE;
    memcpy(&own_size, traits, 2);
    if (own_size != size) return INVALID_PARAMETER_CODE;
    if (of->has_traits) return ALREADY_EXISTS_CODE;
    append(&of->traits, traits, size);
    of->has_traits = of->uses_types = 1;
    return NO_ERROR_CODE;
}

EXPORT uint32_t WINDOWS_CALL EventSetInformation(uint64_t handle, uint32_t kind, const void *information,
                                                 uint32_t size) {
    ENTER(EventSetInformation);
    lock();
    registration *found = registration_of(handle);
    uint32_t status = INVALID_HANDLE_CODE;
    if (found && kind == SET_TRAITS) {
        status = set_traits(found, information, size);
    } else if (found && kind == USE_DESCRIPTOR_TYPE) {
        status = information && size == 1 ? NO_ERROR_CODE : INVALID_PARAMETER_CODE;
        if (status == NO_ERROR_CODE) found->uses_types = *(const uint8_t *)information;
    } else if (found) {
        status = NOT_SUPPORTED_CODE;
    }
    unlock();
    return status;
}

static uint8_t is_wanted(uint64_t handle, uint8_t level, uint64_t keyword) {
    lock();
    const registration *found = registration_of(handle);
    uint8_t wanted = found && taken_by_any(&found->provider, level, keyword);
    unlock();
    return wanted;
}

EXPORT uint8_t WINDOWS_CALL EventProviderEnabled(uint64_t handle, uint8_t level, uint64_t keyword) {
    ENTER(EventProviderEnabled);
    return is_wanted(handle, level, keyword);
}

EXPORT uint8_t WINDOWS_CALL EventEnabled(uint64_t handle, const etw_EVENT_DESCRIPTOR *descriptor) {
    ENTER(EventEnabled);
    return is_wanted(handle, descriptor->Level, descriptor->Keyword);
}

typedef struct {
    const etw_EVENT_DESCRIPTOR *descriptor;
    const etw_GUID *activity, *related;
    uint32_t count;
    const etw_EVENT_DATA_DESCRIPTOR *data;
} written_event;

static const void *data_of(const etw_EVENT_DATA_DESCRIPTOR *entry) { return (const void *)(uintptr_t)entry->Ptr; }

/* As the tests read it: see WrittenEvent in etw_library.py. */
static void keep(const registration *by, const written_event *event, uint32_t flags) {
    static const etw_GUID none;
    size_t start = written.size;
    append_u32(&written, 0);
    append_u32(&written, event->count);
    append(&written, &by->handle, 8);
    append(&written, &by->provider, 16);
    append(&written, event->descriptor, 16);
    append_u32(&written, flags);
    append_u32(&written, thread_id());
    append(&written, event->activity ? event->activity : &none, 16);
    append(&written, event->related ? event->related : &none, 16);
    for (uint32_t index = 0; index < event->count; index++) {
        append_u32(&written, event->data[index].Size);
        append_u32(&written, event->data[index].Reserved);
        append(&written, data_of(&event->data[index]), event->data[index].Size);
    }
    uint32_t size = (uint32_t)(written.size - start);
    memcpy(written.data + start, &size, 4);
    written_count++;
}

static bytes record_of(const registration *by, const written_event *event) {
    bytes record = {0};
    etw_EVENT_HEADER header = header_of(&by->provider, event->descriptor);
    header.ActivityId = event->activity ? *event->activity : thread_activity;
    begin_record(&record, &header);
    if (event->related) add_item(&record, ITEM_RELATED_ID, event->related, 16);
    const etw_EVENT_DATA_DESCRIPTOR *end = event->data + event->count;
    for (const etw_EVENT_DATA_DESCRIPTOR *each = event->data; by->uses_types && each < end; each++)
        if (each->Type == TYPE_EVENT_METADATA) add_item(&record, ITEM_SCHEMA, data_of(each), (uint16_t)each->Size);
    if (by->has_traits) add_item(&record, ITEM_TRAITS, by->traits.data, (uint16_t)by->traits.size);
    for (const etw_EVENT_DATA_DESCRIPTOR *each = event->data; each < end; each++)
        if (!by->uses_types || each->Type == TYPE_PAYLOAD) add_user_data(&record, data_of(each), each->Size);
    end_record(&record);
    return record;
}

/* No session's buffer may be too small for the event. */
static int fits(const registration *by, const etw_EVENT_DESCRIPTOR *descriptor, size_t size) {
    for (const session *each = sessions; each; each = each->next)
        if (takes(each, &by->provider, descriptor->Level, descriptor->Keyword) &&
            size + BUFFER_HEADER_BYTES > (size_t)each->facts.BufferSize * 1024)
            return 0;
    return 1;
}

static uint32_t write_event(uint64_t handle, const written_event *event) {
    if (event->descriptor == NULL || event->count > MOST_DESCRIPTORS || (event->count && event->data == NULL))
        return INVALID_PARAMETER_CODE;
    size_t size = HEADER_BYTES;
    for (uint32_t index = 0; index < event->count; index++) {
        if (event->data[index].Size && event->data[index].Ptr == 0) return INVALID_PARAMETER_CODE;
        size += event->data[index].Size;
    }
    if (size > MOST_EVENT_BYTES) return ARITHMETIC_OVERFLOW_CODE;
    lock();
    const registration *found = registration_of(handle);
    uint32_t status = NO_ERROR_CODE;
    if (found == NULL) {
        status = INVALID_HANDLE_CODE;
    } else if (!fits(found, event->descriptor, size)) {
        status = MORE_DATA_CODE;
    } else {
        int wanted = taken_by_any(&found->provider, event->descriptor->Level, event->descriptor->Keyword);
        keep(found, event,
             (event->activity ? WRITTEN_ACTIVITY : 0) | (event->related ? WRITTEN_RELATED : 0) |
                 (wanted ? WRITTEN_ENABLED : 0));
        if (wanted && sessions) {
            bytes record = record_of(found, event);
            queue_everywhere(&record);
            drop(&record);
        }
    }
    unlock();
    return status;
}

EXPORT uint32_t WINDOWS_CALL EventWriteTransfer(uint64_t handle, const etw_EVENT_DESCRIPTOR *descriptor,
                                                const etw_GUID *activity, const etw_GUID *related, uint32_t count,
                                                const etw_EVENT_DATA_DESCRIPTOR *data) {
    ENTER(EventWriteTransfer);
    written_event event = {descriptor, activity, related, count, data};
    return write_event(handle, &event);
}

EXPORT uint32_t WINDOWS_CALL EventWrite(uint64_t handle, const etw_EVENT_DESCRIPTOR *descriptor, uint32_t count,
                                        const etw_EVENT_DATA_DESCRIPTOR *data) {
    ENTER(EventWrite);
    written_event event = {descriptor, NULL, NULL, count, data};
    return write_event(handle, &event);
}

EXPORT uint32_t WINDOWS_CALL EventWriteEx(uint64_t handle, const etw_EVENT_DESCRIPTOR *descriptor, uint64_t filter,
                                          uint32_t flags, const etw_GUID *activity, const etw_GUID *related,
                                          uint32_t count, const etw_EVENT_DATA_DESCRIPTOR *data) {
    ENTER(EventWriteEx);
    if (filter != 0 || flags != 0) return NOT_SUPPORTED_CODE;
    written_event event = {descriptor, activity, related, count, data};
    return write_event(handle, &event);
}

static etw_GUID new_activity(void) {
    etw_GUID made = {.Data1 = process_id(), .Data3 = 0x4000};
    lock();
    uint64_t number = ++handles_made;
    unlock();
    memcpy(made.Data4, &number, 8);
    return made;
}

/* Codes: get, set, create, get and set, create and set. */
EXPORT uint32_t WINDOWS_CALL EventActivityIdControl(uint32_t code, etw_GUID *id) {
    ENTER(EventActivityIdControl);
    if (id == NULL || code < 1 || code > 5) return INVALID_PARAMETER_CODE;
    etw_GUID before = thread_activity, given = *id;
    if (code == 1 || code == 4 || code == 5) *id = before;
    if (code == 2 || code == 4) thread_activity = given;
    if (code == 3) *id = new_activity();
    if (code == 5) thread_activity = new_activity();
    return NO_ERROR_CODE;
}

#endif
