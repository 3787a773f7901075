/* What a test does: being another program that starts sessions, being a kernel that fails, looking at what was
   written.  Names end with a NUL; functions that give bytes answer how many there are. */

#ifndef ETW_CONTROLS_H
#define ETW_CONTROLS_H

#include "etw_consumer.h"

/* ---- notices without a session ---- */

typedef struct {
    etw_GUID provider;
    notice what;
    int made;
} told;

static void tell_now(void *given) {
    told *what = given;
    lock();
    what->made = tell(&what->provider, what->what);
    unlock();
}

static void note(const etw_GUID *provider, const notice *what) {
    if (what->code == DISABLE) forget(&outsider, provider);
    if (what->code != ENABLE) return;
    enabling wish = {
        .provider = *provider, .level = what->level, .any_mask = what->any_mask, .all_mask = what->all_mask};
    remember(&outsider, &wish);
}

/* Callbacks with the values as they are; answers their number. */
EXPORT int32_t WINDOWS_CALL EtwDouble_SetEnabled(const etw_GUID *provider, uint32_t code, uint8_t level,
                                                 uint64_t any_mask, uint64_t all_mask, void *filter,
                                                 uint32_t other_thread) {
    told what = {*provider, {.code = code, .level = level, .any_mask = any_mask, .all_mask = all_mask}, 0};
    what.what.filter = filter;
    lock();
    note(provider, &what.what);
    unlock();
    if (other_thread)
        join_thread(start_thread(tell_now, &what));
    else
        tell_now(&what);
    return what.made;
}

static struct {
    etw_GUID provider;
    uint32_t every_us;
    int runs, stops;
    uint64_t callbacks;
    system_thread thread;
} pounding;

static void pound(void *unused) {
    (void)unused;
    uint8_t level = 5;
    lock();
    while (!pounding.stops) {
        notice what = {.code = ENABLE, .level = level, .any_mask = UINT64_MAX};
        note(&pounding.provider, &what);
        pounding.callbacks += (uint64_t)tell(&pounding.provider, what);
        level ^= 1;
        unlock();
        sleep_us(pounding.every_us);
        lock();
    }
    unlock();
}

/* A thread that delivers notices (levels 5 and 4 in turn) until it is stopped. */
EXPORT void WINDOWS_CALL EtwDouble_StartPounding(const etw_GUID *provider, uint32_t every_us) {
    if (pounding.runs) return;
    pounding.provider = *provider;
    pounding.every_us = every_us;
    pounding.stops = 0;
    pounding.callbacks = 0;
    pounding.runs = 1;
    pounding.thread = start_thread(pound, NULL);
}

/* How many callbacks the thread has made so far. */
EXPORT uint64_t WINDOWS_CALL EtwDouble_Pounded(void) {
    lock();
    uint64_t callbacks = pounding.callbacks;
    unlock();
    return callbacks;
}

EXPORT void WINDOWS_CALL EtwDouble_StopPounding(void) {
    if (!pounding.runs) return;
    lock();
    pounding.stops = 1;
    unlock();
    join_thread(pounding.thread);
    pounding.runs = 0;
}

static uint32_t linger_ms;

enum { STUCK_EXIT_CODE = 70 };

static void linger(void) {
    sleep_us(linger_ms * 1000);
    int stuck = 0;
    lock();
    for (const registration *each = registrations; each; each = each->next) stuck |= each->delivering;
    unlock();
    if (!stuck) return;
    fprintf(stderr, "etw_double: a callback met an interpreter that had ended, and never came back\n");
    _exit(STUCK_EXIT_CODE);
}

/* The process stays for a while after its interpreter has ended, and so do threads that call back. It ends with
   code 70 if one of these was caught in the interpreter. */
EXPORT void WINDOWS_CALL EtwDouble_LingerAtExit(uint32_t ms) {
    if (linger_ms == 0) at_exit(linger);
    linger_ms = ms;
}

/* ---- calls ---- */

static int call_named(const char *name) {
    for (int call = 0; call < CALLS; call++)
        if (strcmp(call_names[call], name) == 0) return call;
    return -1;
}

/* 0, or 87 for a function that is not among the double's. */
EXPORT uint32_t WINDOWS_CALL EtwDouble_FailNext(const char *function, uint32_t status, int32_t times) {
    int call = call_named(function);
    if (call < 0) return INVALID_PARAMETER_CODE;
    lock();
    calls[call].status = status;
    calls[call].failures_left = times;
    unlock();
    return NO_ERROR_CODE;
}

EXPORT uint32_t WINDOWS_CALL EtwDouble_SetDelay(const char *function, uint32_t delay_ms) {
    int call = call_named(function);
    if (call < 0) return INVALID_PARAMETER_CODE;
    lock();
    calls[call].delay_ms = delay_ms;
    unlock();
    return NO_ERROR_CODE;
}

EXPORT int64_t WINDOWS_CALL EtwDouble_CallCount(const char *function) {
    int call = call_named(function);
    if (call < 0) return -1;
    lock();
    uint32_t count = calls[call].count;
    unlock();
    return count;
}

EXPORT uint32_t WINDOWS_CALL EtwDouble_LastError(void) { return last_error(); }
EXPORT void WINDOWS_CALL EtwDouble_SetLastError(uint32_t code) { set_last_error(code); }

/* ---- what was registered and written ---- */

EXPORT uint32_t WINDOWS_CALL EtwDouble_RegistrationCount(uint32_t without_callback_only) {
    lock();
    uint32_t count = 0;
    for (const registration *each = registrations; each; each = each->next)
        count += !without_callback_only || each->callback == NULL;
    unlock();
    return count;
}

EXPORT size_t WINDOWS_CALL EtwDouble_Traits(uint64_t handle, void *into, size_t room) {
    lock();
    const registration *found = registration_of(handle);
    size_t size = found ? copy_out(&found->traits, into, room) : 0;
    unlock();
    return size;
}

EXPORT size_t WINDOWS_CALL EtwDouble_Written(void *into, size_t room) {
    lock();
    size_t size = copy_out(&written, into, room);
    unlock();
    return size;
}

EXPORT uint32_t WINDOWS_CALL EtwDouble_WrittenCount(void) {
    lock();
    uint32_t count = written_count;
    unlock();
    return count;
}

EXPORT void WINDOWS_CALL EtwDouble_ForgetWritten(void) {
    lock();
    drop(&written);
    written_count = 0;
    unlock();
}

/* Lines of text. */
EXPORT size_t WINDOWS_CALL EtwDouble_Misuse(void *into, size_t room) {
    lock();
    size_t size = copy_out(&misuses, into, room);
    unlock();
    return size;
}

/* ---- sessions; one that has ended is still found where nothing of that name runs ---- */

static session *known_session(const uint16_t *name) {
    session *found = session_named(sessions, name);
    return found ? found : session_named(past_sessions, name);
}

/* Names with their NULs, the newest first. */
EXPORT size_t WINDOWS_CALL EtwDouble_SessionNames(void *into, size_t room) {
    bytes names = {0};
    lock();
    for (const session *each = sessions; each; each = each->next)
        append(&names, each->name, 2 * (length_of(each->name) + 1));
    unlock();
    size_t size = copy_out(&names, into, room);
    drop(&names);
    return size;
}

EXPORT uint64_t WINDOWS_CALL EtwDouble_SessionHandle(const uint16_t *name) {
    lock();
    const session *found = session_named(sessions, name);
    uint64_t handle = found ? found->handle : 0;
    unlock();
    return handle;
}

EXPORT int64_t WINDOWS_CALL EtwDouble_SessionEvents(const uint16_t *name) {
    lock();
    const session *found = known_session(name);
    int64_t count = found ? (int64_t)found->events : -1;
    unlock();
    return count;
}

/* Properties as StartTraceW got them. */
EXPORT size_t WINDOWS_CALL EtwDouble_SessionProperties(const uint16_t *name, void *into, size_t room) {
    lock();
    const session *found = known_session(name);
    size_t size = found ? copy_out(&found->given, into, room) : 0;
    unlock();
    return size;
}

/* Calls of EnableTraceEx2: see Enabled in etw_library.py. */
EXPORT size_t WINDOWS_CALL EtwDouble_SessionEnables(const uint16_t *name, void *into, size_t room) {
    lock();
    const session *found = known_session(name);
    size_t size = found ? copy_out(&found->enables, into, room) : 0;
    unlock();
    return size;
}

EXPORT uint32_t WINDOWS_CALL EtwDouble_SetLost(const uint16_t *name, uint32_t events, uint32_t log_buffers,
                                               uint32_t realtime_buffers) {
    lock();
    session *found = session_named(sessions, name);
    if (found) {
        found->facts.EventsLost = events;
        found->facts.LogBuffersLost = log_buffers;
        found->facts.RealTimeBuffersLost = realtime_buffers;
    }
    unlock();
    return found ? NO_ERROR_CODE : INSTANCE_NOT_FOUND_CODE;
}

/* ---- events of other programs ---- */

/* A record as it is, to one session. Items: u16 type, u16 size, bytes, one after the other. */
EXPORT uint32_t WINDOWS_CALL EtwDouble_Deliver(const uint16_t *name, const etw_EVENT_HEADER *header,
                                               const uint8_t *items, uint32_t count, const void *user_data,
                                               uint32_t size) {
    if (count > MOST_ITEMS) return INVALID_PARAMETER_CODE;
    bytes record = {0};
    begin_record(&record, header);
    for (uint32_t index = 0; index < count; index++) {
        uint16_t start[2];
        memcpy(start, items, 4);
        add_item(&record, start[0], items + 4, start[1]);
        items += 4 + start[1];
    }
    add_user_data(&record, user_data, size);
    uint16_t flags = header->Flags, header_size = header->Size;
    end_record(&record);
    queued_record *made = (queued_record *)record.data;
    made->header.Flags = flags;
    if (header_size) made->header.Size = header_size;
    lock();
    session *found = session_named(sessions, name);
    if (found) queue_record(found, &record);
    changed();
    unlock();
    drop(&record);
    return found ? NO_ERROR_CODE : INSTANCE_NOT_FOUND_CODE;
}

typedef struct {
    const void *data;
    uint32_t size;
} part;

/* Events as another program's EventWriteTransfer would make them, to every session that takes them. With
   counter_at >= 0 the payload has the event's number there, 4 bytes. */
EXPORT void WINDOWS_CALL EtwDouble_Emit(const etw_GUID *provider, const etw_EVENT_DESCRIPTOR *descriptor,
                                        const part *traits, const part *metadata, const part *payload,
                                        uint32_t count, int64_t counter_at) {
    uint8_t *own = zeroed(payload->size + 1);
    memcpy(own, payload->data, payload->size);
    bytes record = {0};
    for (uint32_t number = 0; number < count; number++) {
        if (counter_at >= 0 && counter_at + 4 <= payload->size) memcpy(own + counter_at, &number, 4);
        etw_EVENT_HEADER header = header_of(provider, descriptor);
        record.size = 0;
        begin_record(&record, &header);
        if (metadata->size) add_item(&record, ITEM_SCHEMA, metadata->data, (uint16_t)metadata->size);
        if (traits->size) add_item(&record, ITEM_TRAITS, traits->data, (uint16_t)traits->size);
        add_user_data(&record, own, payload->size);
        end_record(&record);
        lock();
        queue_everywhere(&record);
        unlock();
    }
    drop(&record);
    free(own);
}

EXPORT void WINDOWS_CALL EtwDouble_AddProvider(const etw_GUID *id, const uint16_t *name) {
    uint32_t size = 2 * ((uint32_t)length_of(name) + 1);
    lock();
    append(&registered_providers, id, 16);
    append_u32(&registered_providers, size);
    append(&registered_providers, name, size);
    unlock();
}

/* ---- beginning anew ---- */

static void forget_registrations(void) {
    while (registrations) {
        registration *first = registrations;
        registrations = first->next;
        first->gone = 1;
        changed();
        while (first->delivering && !is_inside(first)) wait_for_change();
        let_go(first);
    }
}

static void forget_sessions(void) {
    for (trace *each = traces; each; each = each->next) {
        each->closing = 1;
        each->closing_at_bytes = 0;
    }
    for (session *each = sessions; each; each = each->next) each->running = 0;
    changed();
    for (trace *each = traces, *next; each; each = next) {
        next = each->next;
        if (!each->processing) free_trace(each);
    }
    while (traces) wait_for_change();
    for (session **list = &sessions; list; list = list == &sessions ? &past_sessions : NULL)
        while (*list) {
            session *first = *list;
            *list = first->next;
            free_session(first);
        }
}

/* Everything is forgotten; calls of ProcessTrace end. Handles are never used again. */
EXPORT void WINDOWS_CALL EtwDouble_Reset(void) {
    EtwDouble_StopPounding();
    lock();
    memset(calls, 0, sizeof calls);
    forget_registrations();
    forget_sessions();
    free_enablings(&outsider);
    drop(&written);
    drop(&misuses);
    drop(&registered_providers);
    written_count = 0;
    unlock();
}

#endif
