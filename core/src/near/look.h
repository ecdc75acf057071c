/* Reading without a lock (index.h says how it cannot go wrong). Whatever lies in the memory, nothing outside of the shard is read, and no value is given
 * that was not put there for that key: its check covers it. */
#ifndef COFFER_NEAR_LOOK_H
#define COFFER_NEAR_LOOK_H

#include "arena.h"

typedef struct coffer__sight {
    coffer__record record;
    _Atomic uint64_t *slot;
    uint64_t slot_seen;
    bool may_come_back; /* of a miss: its shard was being changed, and a value that is replaced is out for a moment */
} coffer__sight;

/* The entry of the key, whose hash that is; its value is appended to `out`, but where that is NULL. OK; MISS; STALE: its time has passed; NO_MEMORY; AGAIN: it was
 * being changed each of a few times. That one was read is for the caller to count (coffer__sight_counts). */
coffer_status coffer__look(const coffer__near *near, uint64_t hash, coffer_slice key, uint64_t now_ms, coffer__buf *out, coffer__sight *sight);

/* The only thing that a hit writes, and mostly it does not. */
static inline void coffer__sight_counts(const coffer__sight *sight) {
    coffer__slot_count_read(sight->slot, sight->slot_seen);
}

#endif
