/* Where a shard's records are: a table of fixed size, by hash.
 *
 *     bucket   | sequence | slot | slot | slot | slot | slot | slot | slot |     one cache line
 *     slot     position in the log in words of 8 bytes, plus 1: 32 bits | tag, of the hash: 30 | how often it was read since: 2         0: empty
 *
 * A key can be in its one bucket only, so a look-up takes at most 7 probes however the keys were chosen, and a full bucket gives up an entry.
 * What counts reads is here, not in the log, so that a hit writes nothing but the line it has just read, and mostly not even that.
 *
 * Readers take no lock. They find everything as it was, or see that it was not, by the sequence, which is odd while a writer (who holds the shard's
 * lock) changes a slot of the bucket or anything in the log that a slot of it leads to:
 *
 *     reader                                                        writer
 *     first = coffer__bucket_sequence(bucket)     even, or again    coffer__bucket_open(bucket)
 *     slots; from the log: record, key, value; its check            slots, log
 *     coffer__bucket_sequence(bucket) == first,   or again          coffer__bucket_close(bucket)
 *
 * A slot is taken out before the memory of its record is used for anything else. Words of slots and log are stored with release and loaded with acquire
 * order (which cost nothing on x86-64): who loads a word that was stored after open sees the sequence that open left. A sequence never goes back, nor does
 * it stay odd: who clears a shard after a writer died in it closes what that one opened.
 */
#ifndef COFFER_NEAR_INDEX_H
#define COFFER_NEAR_INDEX_H

#include <coffer/types.h>

#include <stdatomic.h>

enum { COFFER__BUCKET_SLOTS = 7 };

typedef struct coffer__bucket {
    _Alignas(64) _Atomic uint64_t sequence;
    _Atomic uint64_t slots[COFFER__BUCKET_SLOTS];
} coffer__bucket;

#define COFFER__SLOT_READS UINT64_C(3)
#define COFFER__SLOT_TAG UINT64_C(0xFFFFFFFC)

static inline uint32_t coffer__bucket_number(uint32_t bucket_count, uint64_t hash) {
    return (uint32_t)((hash >> 32) * bucket_count >> 32);
}

static inline uint64_t coffer__bucket_sequence(const coffer__bucket *bucket) {
    return atomic_load_explicit(&bucket->sequence, memory_order_acquire);
}

/* Writers only, one at a time. Opening what is open already (its writer died) is allowed. */
static inline void coffer__bucket_open(coffer__bucket *bucket) {
    uint64_t sequence = atomic_load_explicit(&bucket->sequence, memory_order_relaxed);
    atomic_store_explicit(&bucket->sequence, sequence | 1, memory_order_release);
}

static inline void coffer__bucket_close(coffer__bucket *bucket) {
    uint64_t sequence = atomic_load_explicit(&bucket->sequence, memory_order_relaxed);
    atomic_store_explicit(&bucket->sequence, (sequence | 1) + 1, memory_order_release);
}

static inline uint64_t coffer__slot_make(uint64_t hash, uint32_t position, uint64_t reads) {
    return ((uint64_t)position + 1) << 32 | (hash & COFFER__SLOT_TAG) | reads;
}

static inline uint64_t coffer__slot_load(const _Atomic uint64_t *slot) {
    return atomic_load_explicit(slot, memory_order_acquire);
}

/* Between open and close. */
static inline void coffer__slot_store(_Atomic uint64_t *slot, uint64_t value) {
    atomic_store_explicit(slot, value, memory_order_release);
}

/* Of a slot that is not empty. It may lie outside of the log where memory was damaged. */
static inline uint32_t coffer__slot_position(uint64_t slot) {
    return (uint32_t)((slot >> 32) - 1);
}

static inline bool coffer__slot_may_hold(uint64_t slot, uint64_t hash) {
    return slot >> 32 != 0 && ((slot ^ hash) & COFFER__SLOT_TAG) == 0;
}

/* It was read: `seen` is what a reader loaded from it. Where it has changed since, that is not worth another look. */
static inline void coffer__slot_count_read(_Atomic uint64_t *slot, uint64_t seen) {
    if ((seen & COFFER__SLOT_READS) < COFFER__SLOT_READS) {
        atomic_compare_exchange_strong_explicit(slot, &seen, seen + 1, memory_order_relaxed, memory_order_relaxed);
    }
}

#endif
