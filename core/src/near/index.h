/* Where a shard's records are: a table of fixed size, by hash.
 *
 *     bucket   | slot | slot | slot | slot | slot | slot | slot | slot |     one cache line
 *     slot     position in the log / 8, plus 1: 32 bits | tag, of the hash: 31 | read since it was appended: 1         0 is an empty slot
 *
 * A key can be in its one bucket only, so a look-up takes at most 8 probes however the keys were chosen, and a full bucket gives up an entry.
 * The read bit is here, not in the log, so that a hit writes nothing but the line it has just read.
 */
#ifndef COFFER_NEAR_INDEX_H
#define COFFER_NEAR_INDEX_H

#include <coffer/types.h>

enum { COFFER__BUCKET_SLOTS = 8 };

typedef struct coffer__bucket {
    uint64_t slots[COFFER__BUCKET_SLOTS];
} coffer__bucket;

#define COFFER__SLOT_READ UINT64_C(1)
#define COFFER__SLOT_TAG UINT64_C(0xFFFFFFFE)

static inline uint32_t coffer__bucket_number(uint32_t bucket_count, uint64_t hash) {
    return (uint32_t)((hash >> 32) * bucket_count >> 32);
}

static inline uint64_t coffer__slot_make(uint64_t hash, uint64_t position) {
    return (position / 8 + 1) << 32 | (hash & COFFER__SLOT_TAG);
}

/* Of a slot that is not empty. */
static inline uint64_t coffer__slot_position(uint64_t slot) {
    return ((slot >> 32) - 1) * 8;
}

static inline bool coffer__slot_may_hold(uint64_t slot, uint64_t hash) {
    return slot != 0 && ((slot ^ hash) & COFFER__SLOT_TAG) == 0;
}

#endif
