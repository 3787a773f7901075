/* Stands in for EventWriteTransfer: checks what it is given, and keeps a copy of every event.

   Built by the tests with the system's compiler.  Layouts are those of evntprov.h. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    uint64_t pointer;
    uint32_t size;
    uint8_t type;
    uint8_t reserved1;
    uint16_t reserved2;
} data_descriptor;

enum { EVENT_BYTES = 8 + 16 + 16 + 4 };

static uint8_t *kept;
static size_t kept_bytes, kept_room;
static int lock;

static void append(const void *data, size_t size) {
    if (kept_bytes + size > kept_room) {
        kept_room = 2 * (kept_bytes + size);
        kept = realloc(kept, kept_room);
    }
    memcpy(kept + kept_bytes, data, size);
    kept_bytes += size;
}

/* handle, descriptor, activity id (zeros for none), count, then per entry: size, type, bytes */
uint32_t EventWriteTransfer(uint64_t handle, const void *descriptor, const void *activity, const void *related,
                            uint32_t count, const data_descriptor *data) {
    static const uint8_t none[16];
    if (related != NULL) return 87;
    while (__atomic_exchange_n(&lock, 1, __ATOMIC_ACQUIRE)) {}
    append(&handle, 8);
    append(descriptor, 16);
    append(activity ? activity : none, 16);
    append(&count, 4);
    for (uint32_t index = 0; index < count; index++) {
        uint32_t type = data[index].type;
        append(&data[index].size, 4);
        append(&type, 4);
        append((const void *)(uintptr_t)data[index].pointer, data[index].size);
    }
    __atomic_store_n(&lock, 0, __ATOMIC_RELEASE);
    return 0;
}

size_t take(uint8_t *into, size_t room) {
    size_t size = kept_bytes;
    if (into == NULL) return size;
    if (size > room) size = room;
    memcpy(into, kept, size);
    kept_bytes = 0;
    return size;
}

uint32_t DoNothing(uint64_t handle, const void *descriptor, const void *activity, const void *related,
                   uint32_t count, const data_descriptor *data) {
    (void)handle, (void)descriptor, (void)activity, (void)related, (void)count, (void)data;
    return 0;
}
