/* What the double remembers: registrations, sessions, faults, written events.  All of it is used with the lock
   held, which is never held while a callback runs. */

#ifndef ETW_STATE_H
#define ETW_STATE_H

#include <string.h>

#include "etw_structures.h"
#include "etw_system.h"

enum {
    NO_ERROR_CODE = 0,
    ACCESS_DENIED_CODE = 5,
    INVALID_HANDLE_CODE = 6,
    BAD_LENGTH_CODE = 24,
    NOT_SUPPORTED_CODE = 50,
    INVALID_PARAMETER_CODE = 87,
    INSUFFICIENT_BUFFER_CODE = 122,
    BAD_PATHNAME_CODE = 161,
    BUSY_CODE = 170,
    ALREADY_EXISTS_CODE = 183,
    MORE_DATA_CODE = 234,
    ARITHMETIC_OVERFLOW_CODE = 534,
    CANCELLED_CODE = 1223,
    NO_SYSTEM_RESOURCES_CODE = 1450,
    INSTANCE_NOT_FOUND_CODE = 4201,
    CLOSE_PENDING_CODE = 7007,
};

/* ---- bytes that grow ---- */

typedef struct {
    uint8_t *data;
    size_t size, room;
} bytes;

static void append(bytes *to, const void *data, size_t size) {
    if (to->size + size > to->room) {
        to->room = 2 * (to->size + size);
        to->data = realloc(to->data, to->room);
        if (to->data == NULL) abort();
    }
    if (size) memcpy(to->data + to->size, data, size);
    to->size += size;
}

static void append_u32(bytes *to, uint32_t value) { append(to, &value, 4); }

static void drop(bytes *all) {
    free(all->data);
    *all = (bytes){0};
}

/* How many bytes there are; as many of them as have room are copied. */
static size_t copy_out(const bytes *from, void *into, size_t room) {
    size_t size = from->size < room ? from->size : room;
    if (into != NULL && size) memcpy(into, from->data, size);
    return from->size;
}

static void *zeroed(size_t size) {
    void *made = calloc(1, size);
    if (made == NULL) abort();
    return made;
}

/* ---- calls: counts, faults, delays ---- */

#define FUNCTIONS(X)                                                                                              \
    X(EventRegister) X(EventUnregister) X(EventSetInformation) X(EventProviderEnabled) X(EventEnabled)            \
    X(EventWriteTransfer) X(EventWrite) X(EventWriteEx) X(EventActivityIdControl) X(StartTraceW)                  \
    X(ControlTraceW) X(QueryTraceW) X(StopTraceW) X(UpdateTraceW) X(FlushTraceW) X(EnableTraceEx2)                \
    X(QueryAllTracesW) X(OpenTraceW) X(ProcessTrace) X(CloseTrace) X(TdhEnumerateProviders)

#define AS_NUMBER(name) CALL_##name,
#define AS_NAME(name) #name,
enum { FUNCTIONS(AS_NUMBER) CALLS };
static const char *const call_names[] = {FUNCTIONS(AS_NAME)};

static struct {
    uint32_t count, status, delay_ms;
    int32_t failures_left; /* negative: for ever */
} calls[CALLS];

/* Counts the call and takes its time; true if it is to fail with *status. */
static int fails(int call, uint32_t *status) {
    lock();
    calls[call].count++;
    uint32_t delay_ms = calls[call].delay_ms;
    int failing = calls[call].failures_left != 0;
    if (calls[call].failures_left > 0) calls[call].failures_left--;
    *status = calls[call].status;
    unlock();
    if (delay_ms) sleep_us(delay_ms * 1000);
    return failing;
}

#define ENTER(name)                                           \
    do {                                                      \
        uint32_t failure;                                     \
        if (fails(CALL_##name, &failure)) return failure;     \
    } while (0)

/* ---- registrations and what enables them ---- */

typedef void(WINDOWS_CALL *enable_callback)(const etw_GUID *source, uint32_t code, uint8_t level, uint64_t any_mask,
                                            uint64_t all_mask, void *filter, void *context);

typedef struct registration {
    struct registration *next;
    uint64_t handle;
    etw_GUID provider;
    enable_callback callback;
    void *context;
    bytes traits;
    int has_traits, uses_types;
    int users;      /* who still looks at it; freed by the last one once it is gone */
    int delivering; /* a callback runs */
    int gone;
} registration;

typedef struct enabling {
    struct enabling *next;
    etw_GUID provider;
    uint8_t level;
    uint64_t any_mask, all_mask;
    uint32_t property;
} enabling;

typedef struct session {
    struct session *next;
    uint64_t handle;
    uint16_t number;
    uint16_t *name, *file;
    int running;
    int users; /* calls of ProcessTrace */
    etw_EVENT_TRACE_PROPERTIES facts;
    bytes given;   /* properties as StartTraceW got them */
    bytes enables; /* one entry per call of EnableTraceEx2 */
    enabling *enabled;
    uint64_t events;
    bytes queue; /* records for a consumer */
    size_t queue_start;
    uint64_t queued_bytes, taken_bytes;
} session;

typedef struct trace {
    struct trace *next;
    uint64_t handle;
    session *of;
    etw_EVENT_TRACE_LOGFILEW logfile;
    int processing, closing;
    uint64_t closing_at_bytes;
} trace;

static registration *registrations;
static session *sessions, *past_sessions;
static session outsider; /* what enables a provider without any session */
static trace *traces;
static bytes written, misuses, registered_providers;
static uint32_t written_count;

/* Handles have bits in both halves, so that a truncated one is not found. */
static uint64_t handles_made;
static uint64_t new_handle(uint64_t kind) { return kind << 48 | ++handles_made << 4; }

static int same_guid(const etw_GUID *one, const etw_GUID *other) { return memcmp(one, other, sizeof *one) == 0; }

static void misused(const char *what) {
    append(&misuses, what, strlen(what));
    append(&misuses, "\n", 1);
}

static size_t length_of(const uint16_t *text) {
    size_t length = 0;
    while (text[length]) length++;
    return length;
}

static uint16_t *copy_of(const uint16_t *text) {
    size_t size = 2 * (length_of(text) + 1);
    return memcpy(zeroed(size), text, size);
}

static uint16_t lower(uint16_t unit) { return unit >= 'A' && unit <= 'Z' ? unit + 32 : unit; }

/* Names of sessions are the same whatever the case of their letters. */
static int same_name(const uint16_t *one, const uint16_t *other) {
    while (*one && lower(*one) == lower(*other)) one++, other++;
    return lower(*one) == lower(*other);
}

static registration *registration_of(uint64_t handle) {
    registration *found = registrations;
    while (found && found->handle != handle) found = found->next;
    return found;
}

static session *session_named(session *among, const uint16_t *name) {
    while (among && !same_name(among->name, name)) among = among->next;
    return among;
}

static session *session_of(uint64_t handle) {
    session *found = sessions;
    while (found && found->handle != handle) found = found->next;
    return found;
}

static trace *trace_of(uint64_t handle) {
    trace *found = traces;
    while (found && found->handle != handle) found = found->next;
    return found;
}

static void let_go(registration *of) {
    if (--of->users || !of->gone) return;
    drop(&of->traits);
    free(of);
}

static void free_enablings(session *of) {
    while (of->enabled) {
        enabling *first = of->enabled;
        of->enabled = first->next;
        free(first);
    }
}

static void free_session(session *of) {
    free_enablings(of);
    drop(&of->given);
    drop(&of->enables);
    drop(&of->queue);
    free(of->name);
    free(of->file);
    free(of);
}

#endif
