#include "near.h"

#include "clock.h"
#include "engine/access.h"
#include "engine/room.h"
#include "run_internal.h"

/* A room's address as the owner of a value: no op is at an odd one. */
static void *owner_of(coffer_room *room) {
    return (char *)room + 1;
}

static coffer_room *room_of(void *owner) {
    return ((uintptr_t)owner & 1) == 0 ? NULL : (coffer_room *)(void *)((char *)owner - 1);
}

bool coffer__near_give_back(void *owner) {
    coffer_room *room = room_of(owner);
    if (room != NULL) {
        coffer__thread_give_room(room);
    }
    return room != NULL;
}

static coffer_status peek(coffer_namespace *ns, coffer_operation operation, coffer_slice key, coffer_room *room, coffer_value *value) {
    bool timed = coffer__thread_samples();
    uint64_t began_us = timed ? coffer__clock_us() : 0;
    coffer_status status = coffer_peek(ns, operation, key, coffer_now_coarse_ms(), room, value);
    if (timed && status != COFFER_AGAIN) {
        coffer_metrics_record(ns, operation, coffer__clock_us() - began_us);
    }
    return status;
}

coffer_status coffer__near_answer(coffer_namespace *ns, coffer_operation operation, coffer_slice key, coffer_value *value) {
    coffer_room *room = coffer__namespace_is_near(ns) ? coffer__thread_take_room() : NULL;
    if (room == NULL) {
        return COFFER_AGAIN;
    }
    coffer_value unused;
    coffer_status status = peek(ns, operation, key, room, value == NULL ? &unused : value);
    if (status == COFFER_OK && value != NULL) {
        value->owner = owner_of(room);
    } else {
        coffer__thread_give_room(room);
    }
    return status;
}
