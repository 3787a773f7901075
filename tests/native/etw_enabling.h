/* Enabling: which sessions want which events of a provider, and telling its registrations.

   Each session filters for itself.  A registration is told the merged values: the highest level as a plain
   maximum, any-masks OR-ed, all-masks AND-ed; code 0 only when no session is left. */

#ifndef ETW_ENABLING_H
#define ETW_ENABLING_H

#include "etw_state.h"

enum { DISABLE = 0, ENABLE = 1, CAPTURE_STATE = 2, MERGED = 0x100 };

enum { SESSIONS_PER_PROVIDER = 8 };

typedef struct {
    etw_GUID source;
    uint32_t code;
    uint8_t level;
    uint64_t any_mask, all_mask;
    void *filter;
} notice;

/* Callbacks that run on this thread, innermost first. */
typedef struct running_callback {
    const registration *of;
    struct running_callback *outer;
} running_callback;

static _Thread_local running_callback *innermost;

static int is_inside(const registration *of) {
    const running_callback *running = innermost;
    while (running && running->of != of) running = running->outer;
    return running != NULL;
}

static enabling *enabling_of(const session *in, const etw_GUID *provider) {
    enabling *found = in->enabled;
    while (found && !same_guid(&found->provider, provider)) found = found->next;
    return found;
}

static int takes(const session *in, const etw_GUID *provider, uint8_t level, uint64_t keyword) {
    const enabling *wish = enabling_of(in, provider);
    if (wish == NULL || (wish->level != 0 && level > wish->level)) return 0;
    if (keyword == 0) return 1;
    return (wish->any_mask == 0 || (keyword & wish->any_mask)) && (keyword & wish->all_mask) == wish->all_mask;
}

static int taken_by_any(const etw_GUID *provider, uint8_t level, uint64_t keyword) {
    if (takes(&outsider, provider, level, keyword)) return 1;
    for (const session *each = sessions; each; each = each->next)
        if (takes(each, provider, level, keyword)) return 1;
    return 0;
}

static void merge(notice *into, const enabling *wish) {
    if (wish == NULL) return;
    if (into->code == DISABLE) {
        into->code = ENABLE;
        into->all_mask = wish->all_mask;
    }
    if (wish->level > into->level) into->level = wish->level;
    into->any_mask |= wish->any_mask;
    into->all_mask &= wish->all_mask;
}

static notice merged_notice(const etw_GUID *provider) {
    notice made = {.code = DISABLE};
    merge(&made, enabling_of(&outsider, provider));
    for (const session *each = sessions; each; each = each->next) merge(&made, enabling_of(each, provider));
    return made;
}

/* One callback, never two of one registration at a time, with what holds when it begins.  Called with the lock,
   which is let go meanwhile.  Answers how many callbacks were made. */
static int call_back(registration *of, notice what) {
    int made = 0;
    if (is_inside(of)) {
        misused("a callback made a call that calls it back");
        return 0;
    }
    of->users++;
    while (of->delivering && !of->gone) wait_for_change();
    if (!of->gone && of->callback) {
        running_callback running = {of, innermost};
        if (what.code == MERGED) what = merged_notice(&of->provider);
        of->delivering = 1;
        innermost = &running;
        unlock();
        of->callback(&what.source, what.code, what.level, what.any_mask, what.all_mask, what.filter, of->context);
        lock();
        innermost = running.outer;
        of->delivering = 0;
        made = 1;
        changed();
    }
    let_go(of);
    return made;
}

/* Tells every registration of the provider. Called with the lock. */
static int tell(const etw_GUID *provider, notice what) {
    size_t count = 0;
    for (registration *each = registrations; each; each = each->next) count++;
    registration **all = zeroed((count + 1) * sizeof *all);
    count = 0;
    for (registration *each = registrations; each; each = each->next)
        if (same_guid(&each->provider, provider)) {
            each->users++;
            all[count++] = each;
        }
    int made = 0;
    for (size_t index = 0; index < count; index++) {
        made += call_back(all[index], what);
        let_go(all[index]);
    }
    free(all);
    return made;
}

static void remember(session *in, const enabling *wish) {
    enabling *entry = enabling_of(in, &wish->provider);
    if (entry == NULL) {
        entry = zeroed(sizeof *entry);
        entry->next = in->enabled;
        in->enabled = entry;
    }
    enabling *next = entry->next;
    *entry = *wish;
    entry->next = next;
}

static int forget(session *in, const etw_GUID *provider) {
    for (enabling **link = &in->enabled; *link; link = &(*link)->next)
        if (same_guid(&(*link)->provider, provider)) {
            enabling *found = *link;
            *link = found->next;
            free(found);
            return 1;
        }
    return 0;
}

static int sessions_enabling(const etw_GUID *provider) {
    int count = 0;
    for (const session *each = sessions; each; each = each->next) count += enabling_of(each, provider) != NULL;
    return count;
}

/* What EnableTraceEx2 does once its arguments are known to be good. Called with the lock. */
static uint32_t enable_in(session *in, uint32_t code, const enabling *wish, uint32_t timeout_ms,
                          const etw_GUID *source, void *filter) {
    struct {
        etw_GUID provider;
        uint32_t code, level;
        uint64_t any_mask, all_mask;
        uint32_t timeout_ms, property;
    } entry = {wish->provider, code, wish->level, wish->any_mask, wish->all_mask, timeout_ms, wish->property};
    append(&in->enables, &entry, sizeof entry);
    if (code == ENABLE) {
        if (!enabling_of(in, &wish->provider) && sessions_enabling(&wish->provider) >= SESSIONS_PER_PROVIDER)
            return NO_SYSTEM_RESOURCES_CODE;
        remember(in, wish);
        tell(&wish->provider, (notice){.code = MERGED});
    } else if (code == DISABLE) {
        if (forget(in, &wish->provider)) tell(&wish->provider, (notice){.code = MERGED});
    } else if (enabling_of(in, &wish->provider)) {
        tell(&wish->provider, (notice){.source = source ? *source : (etw_GUID){0},
                                       .code = CAPTURE_STATE,
                                       .level = wish->level,
                                       .any_mask = wish->any_mask,
                                       .all_mask = wish->all_mask,
                                       .filter = filter});
    }
    return NO_ERROR_CODE;
}

#endif
