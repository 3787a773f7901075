/* Events on their way from a writer to a consumer: laid out once, then copied to each session that takes them.

   queued_record, then per item u16 type, u16 size, and its bytes from the next multiple of 8 on, then the user
   data; the whole is a multiple of 8. */

#ifndef ETW_RECORDS_H
#define ETW_RECORDS_H

#include "etw_enabling.h"

enum { MOST_ITEMS = 16, BUFFER_HEADER_BYTES = 72 };
enum { ITEM_RELATED_ID = 1, ITEM_STACK_64 = 6, ITEM_SCHEMA = 11, ITEM_TRAITS = 12 };
enum { FLAG_EXTENDED_INFO = 1, FLAG_32_BITS = 0x20, FLAG_64_BITS = 0x40, FLAG_PROCESSOR_INDEX = 0x200 };
enum { PROPERTY_STACK = 4 };

typedef struct {
    uint32_t bytes, items, user_bytes, padding;
    etw_EVENT_HEADER header;
} queued_record;

static void pad(bytes *record) {
    static const uint8_t zeros[8];
    append(record, zeros, -record->size & 7);
}

static void begin_record(bytes *record, const etw_EVENT_HEADER *header) {
    queued_record start = {.header = *header};
    append(record, &start, sizeof start);
}

static void add_item(bytes *record, uint16_t type, const void *data, uint16_t size) {
    uint16_t start[4] = {type, size, 0, 0};
    append(record, start, sizeof start);
    append(record, data, size);
    pad(record);
    ((queued_record *)record->data)->items++;
}

static void add_user_data(bytes *record, const void *data, uint32_t size) {
    append(record, data, size);
    ((queued_record *)record->data)->user_bytes += size;
}

static void end_record(bytes *record) {
    pad(record);
    queued_record *start = (queued_record *)record->data;
    start->bytes = (uint32_t)record->size;
    start->header.Size = (uint16_t)(record->size > 0xFFFF ? 0xFFFF : record->size);
    if (start->items) start->header.Flags |= FLAG_EXTENDED_INFO;
}

static etw_EVENT_HEADER header_of(const etw_GUID *provider, const etw_EVENT_DESCRIPTOR *descriptor) {
    etw_EVENT_HEADER made = {
        .Flags = FLAG_PROCESSOR_INDEX | (sizeof(void *) == 8 ? FLAG_64_BITS : FLAG_32_BITS),
        .ThreadId = thread_id(),
        .ProcessId = process_id(),
        .TimeStamp = now_filetime(),
        .ProviderId = *provider,
        .EventDescriptor = *descriptor,
    };
    return made;
}

static int has_consumers(const session *of) { return (of->facts.LogFileMode & 0x100) != 0; }

static void queue_record(session *in, const bytes *record) {
    in->events++;
    if (!has_consumers(in)) return;
    append(&in->queue, record->data, record->size);
    in->queued_bytes += record->size;
}

/* Copies a record with a call stack, as sessions get it that asked for one. */
static void queue_with_stack(session *in, const bytes *record) {
    static const uint64_t stack[3] = {0, 0x7FF700001000, 0x7FF700002000};
    const queued_record *start = (const queued_record *)record->data;
    bytes copy = {0};
    append(&copy, record->data, sizeof *start);
    add_item(&copy, ITEM_STACK_64, stack, sizeof stack);
    append(&copy, record->data + sizeof *start, record->size - sizeof *start);
    end_record(&copy);
    queue_record(in, &copy);
    drop(&copy);
}

/* To every session that takes it. */
static void queue_everywhere(const bytes *record) {
    const etw_EVENT_HEADER *header = &((const queued_record *)record->data)->header;
    const etw_EVENT_DESCRIPTOR *descriptor = &header->EventDescriptor;
    for (session *each = sessions; each; each = each->next) {
        if (!takes(each, &header->ProviderId, descriptor->Level, descriptor->Keyword)) continue;
        if (enabling_of(each, &header->ProviderId)->property & PROPERTY_STACK)
            queue_with_stack(each, record);
        else
            queue_record(each, record);
    }
    changed();
}

/* The next records of a session, at least one and otherwise no more than a buffer has room for. */
static void take_buffer(session *from, bytes *into) {
    size_t most = (size_t)from->facts.BufferSize * 1024;
    into->size = 0;
    while (from->queue_start < from->queue.size) {
        const uint8_t *record = from->queue.data + from->queue_start;
        uint32_t size = ((const queued_record *)record)->bytes;
        if (into->size && into->size + size > most) break;
        append(into, record, size);
        from->queue_start += size;
    }
    from->taken_bytes += into->size;
    if (into->size == 0 || from->queue_start < from->queue.size / 2) return;
    memmove(from->queue.data, from->queue.data + from->queue_start, from->queue.size - from->queue_start);
    from->queue.size -= from->queue_start;
    from->queue_start = 0;
}

#endif
