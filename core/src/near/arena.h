/* The memory of a store, in one run that may lie at another address in another process: offsets only, and nothing in it is trusted further than its bounds.
 *
 *     head            what it is: magic, layout, size, whose copies; the secret of its hashes; what keeps copies honest; counts of its shards
 *     locks           one for each shard, on pages of their own: they hold pointers of whoever has them (base/robust.h)
 *     shard 0 | shard 1 | ...                         shard.h
 *
 * The head says its shape once: who attaches checks it and from then on uses its own copy. `layout` is a hash of all sizes and of libc's mutexes, so that a
 * version, or a libc, that would see it differently has another one, which is in the object's name too (open.c, which names them). Whoever changes what anything in the
 * arena means adds to COFFER__ARENA_VERSION.
 *
 * A private arena is the same in memory of the process, where nobody gives up waiting for a lock.
 */
#ifndef COFFER_NEAR_ARENA_H
#define COFFER_NEAR_ARENA_H

#include "base/hash.h"
#include "base/robust.h"
#include "coherence.h"
#include "near.h"
#include "shard.h"
#include "shared.h"

enum {
    COFFER__ARENA_VERSION = 1,
    COFFER__SHARDS_MOST = 16,
    COFFER__ARENA_PAGE = 4096,
    COFFER__SHARD_WAIT_MS = 5, /* how long a process waits for a shard of a shared arena: copies can do without */
    COFFER__STORE_WAIT_MS = 1000 /* where there is no server behind it */
};

#define COFFER__ARENA_MAGIC UINT64_C(0x31304152454E4F43) /* "CONERA01" */
#define COFFER__ARENA_MIN ((size_t)1024 * 1024)

/* What stays when a shard is wiped. */
typedef struct coffer__shard_side {
    _Alignas(64) _Atomic uint32_t epoch; /* all copies in it died so often */
    _Atomic uint32_t stuck; /* nobody had its lock in time since somebody last had it: others need not wait as long again */
    _Atomic uint64_t timeouts;
} coffer__shard_side;

typedef struct coffer__arena_shape {
    uint64_t layout;
    uint64_t total_bytes;
    uint64_t identity;
    uint64_t shard_count; /* a power of two */
    uint64_t shard_bytes;
    coffer__hash_key secret; /* of keys' hashes */
    uint64_t check_secret; /* of records' checks */
} coffer__arena_shape;

typedef struct coffer__arena_head {
    _Alignas(64) _Atomic uint64_t magic; /* 0 until all of it is there */
    uint64_t check; /* of the shape */
    coffer__arena_shape shape;
    coffer__shard_side sides[COFFER__SHARDS_MOST];
    coffer__coherence coherence;
} coffer__arena_head;

/* What a process knows of it. */
struct coffer__near {
    coffer__arena_head *head;
    coffer__robust *locks;
    coffer__hash_key secret;
    size_t shard_count;
    coffer__shard shards[COFFER__SHARDS_MOST];
    size_t memory_bytes; /* as asked for, or found */
    bool is_shared;
    void *memory; /* a private one's */
    coffer__shared shared;
};

uint64_t coffer__arena_layout(void);

/* In memory aligned to 64 that is all 0 (a private one's head is enough), at least COFFER__ARENA_MIN bytes less two pages: all but the magic. NO_RANDOM, INTERNAL (no mutexes). */
coffer_status coffer__arena_make(void *memory, size_t bytes, uint64_t identity, bool is_shared);

/* Fills `near` from what lies there. NULL, or why it cannot be used. */
const char *coffer__arena_attach(coffer__near *near, void *memory, size_t bytes, uint64_t identity);

static inline size_t coffer__shard_number(const coffer__near *near, uint64_t hash) {
    return (size_t)hash & (near->shard_count - 1);
}

/* The shard's lock; one whose last holder died in it is wiped. False (of a shared arena alone): it could not be had in time. Of a private one nobody gives up. */
bool coffer__arena_enter(coffer__near *near, size_t number, int wait_ms);
void coffer__arena_leave(coffer__near *near, size_t number);

void coffer__arena_after_fork(coffer__near *near); /* a private one's, in the child */

#endif
