/* One shard of the store: an index (index.h) and a log of records (log.h), in one run of memory that knows no pointers (it may lie elsewhere in another
 * process, and what is in it is never trusted further than its bounds). Nothing here locks: writers hold the shard's lock, around each call and as long as
 * they use a slot that was found. Readers without it use index.h and log.h, through the shard's members `buckets` and `log`.
 *
 *     in the arena:    coffer__shard_state | segments ... | ghosts ... | buckets ... | log ...
 *
 * A record is alive while a slot of its bucket points to it.
 */
#ifndef COFFER_NEAR_SHARD_H
#define COFFER_NEAR_SHARD_H

#include "base/buf.h"
#include "ghosts.h"
#include "index.h"
#include "queue.h"

#include <coffer/status.h>

/* Its shape: made from its size, the same in all processes, never read from the arena. */
typedef struct coffer__shard_plan {
    uint32_t bucket_count;
    uint32_t ghost_lines;
    uint32_t segment_words, segment_count;
} coffer__shard_plan;

/* Why an entry made room for others: it was in that queue, or its bucket was full. */
enum { COFFER__EVICTED_BUCKET = COFFER__QUEUES, COFFER__EVICTED_REASONS };

/* What is in the arena and belongs to the holder of the lock, but for what is atomic. */
typedef struct coffer__shard_state {
    _Alignas(64) atomic_bool changing; /* a writer is at work: who finds this after it died or after a fork finds half of its work */
    coffer__queues queues;
    uint64_t used_bytes, entries, expirations;
    uint64_t evicted[COFFER__EVICTED_REASONS];
    uint64_t wiped; /* how often all of it was given up, because a writer died in it or it was damaged */
    uint64_t versions; /* given so far */
    coffer__ghost_clock ghost_clock;
    uint64_t small_words; /* small's share, as ghosts have moved it */
} coffer__shard_state;

static inline uint64_t coffer__shard_evictions(const coffer__shard_state *state) {
    return state->evicted[COFFER__QUEUE_SMALL] + state->evicted[COFFER__QUEUE_MAIN] + state->evicted[COFFER__QUEUE_APART] +
           state->evicted[COFFER__EVICTED_BUCKET];
}

/* What a process knows of it. */
typedef struct coffer__shard {
    coffer__shard_state *state;
    coffer__bucket *buckets;
    uint32_t bucket_count;
    coffer__ghosts ghosts;
    coffer__log log;
    uint64_t secret; /* of checks */
} coffer__shard;

typedef struct coffer__item {
    uint64_t hash;
    coffer_slice key, value;
    uint64_t expires_at_ms;
    uint64_t mark;
    bool apart;
} coffer__item;

/* A slot that leads to a living record, and that record's head. Holds until the next change. */
typedef struct coffer__spot {
    _Atomic uint64_t *slot; /* NULL: there is none */
    coffer__place place;
    coffer__record record;
} coffer__spot;

/* For so many bytes of memory. Its bytes are at most as many. */
coffer__shard_plan coffer__shard_plan_of(size_t bytes);
coffer__shard_plan coffer__shard_plan_for(uint32_t segment_words, uint32_t segment_count); /* for such a log */
size_t coffer__shard_bytes(const coffer__shard_plan *plan);

/* The shard that lies there, in memory aligned to 64. Reads and writes nothing of it. */
void coffer__shard_attach(coffer__shard *shard, void *memory, const coffer__shard_plan *plan, uint64_t secret);

/* New memory, zero or not: empty afterwards, counts at 0. */
void coffer__shard_init(coffer__shard *shard);

/* Under the lock, where its last holder died, and after a fork: empties it if a writer was at work. */
void coffer__shard_recover(coffer__shard *shard);

static inline coffer__bucket *coffer__shard_bucket(const coffer__shard *shard, uint64_t hash) {
    return shard->buckets + coffer__bucket_number(shard->bucket_count, hash);
}

/* A living entry. An expired one is dropped on the way, and counted. */
coffer__spot coffer__shard_find(coffer__shard *shard, uint64_t hash, coffer_slice key, uint64_t now_ms);

/* Copies `len` bytes of its value, which has so many from `offset` on. */
void coffer__shard_value(const coffer__shard *shard, const coffer__spot *spot, size_t offset, size_t len, char *to);

/* Gives `take` the keys that are alive in so many buckets from the first on (which there are), until it answers false or memory is short: then
 * so does this. */
bool coffer__shard_keys(coffer__shard *shard, uint32_t first, uint32_t count, uint64_t now_ms, bool (*take)(void *data, coffer_slice key),
                        void *data);

/* `old` is what find gave for the item's key. OK; TOO_LARGE, then `old` is gone. */
coffer_status coffer__shard_put(coffer__shard *shard, const coffer__spot *old, const coffer__item *item, uint64_t now_ms);
void coffer__shard_remove(coffer__shard *shard, const coffer__spot *spot);
void coffer__shard_expire(coffer__shard *shard, const coffer__spot *spot, uint64_t expires_at_ms);

#endif
