/* The store inside the process: fixed memory, TTLs, eviction. mem:// is this with no server behind; the near cache of a server will be the same
 * interface over an arena that processes share, so nothing here shows where the memory is.
 *
 * Times are the caller's monotonic milliseconds; UINT64_MAX never ends. Any number of threads.
 */
#ifndef COFFER_NEAR_NEAR_H
#define COFFER_NEAR_NEAR_H

#include "base/buf.h"
#include "coherence.h"
#include <coffer/status.h>

typedef struct coffer__near coffer__near;

typedef struct coffer__near_stats {
    uint64_t memory_bytes;
    uint64_t used_bytes;
    uint64_t entries;
    uint64_t evictions; /* of these, by reason: */
    uint64_t evicted_new, evicted_old, evicted_absent, evicted_bucket;
    uint64_t expirations;
    uint64_t wiped_shards; /* given up because a process died while it was changing them */
    uint64_t
        lock_timeouts; /* how often a process went on without a shard that another one held for too long; what such a shard holds is not counted above */
} coffer__near_stats;

/* All its memory is taken here and never more. ARG under 1 MiB; NO_MEMORY. */
coffer_status coffer__near_new(coffer__near **near, size_t memory_bytes);
void coffer__near_free(coffer__near *near);

/* Where a store lies that processes share. One of that name is attached to, where it is this user's and nobody else's; else it is made. The object's name has
 * the user (or who was named) and the layout behind `name`: web.u33.5f0c91d2. So users do not meet, and a version that lays memory out in another way has its own. */
typedef struct coffer__near_site {
    coffer_slice name; /* letters, digits, '-', '_', '.'; empty: from `identity` */
    uint64_t identity; /* what its copies are of (deployment, database, prefix, access): in the head, another one is refused */
    size_t memory_bytes; /* where it is made */
    int descriptor; /* inherited, of a memfd, sealed or (and then still empty) sealable; stays the caller's. -1: none */
    coffer_slice owner, group; /* who may use it besides root, where root makes it: names or numbers; empty: this user alone */
    bool fallback_private; /* where it cannot be used, a private one instead: logged, and *is_shared says so */
} coffer__near_site;

/* OPTION (shared.h says what is refused), ARG, NO_MEMORY; told in `error`. Waits for another process that is making it, at most 2 s. */
coffer_status coffer__near_attach(coffer__near **near, const coffer__near_site *site, coffer_error *error); /* never a private one */

/* OPTION: a name, owner, group or descriptor that is none. That is refused whatever the fallback: who said it meant something else. */
coffer_status coffer__near_check(const coffer__near_site *site, coffer_error *error);
coffer_status coffer__near_open(coffer__near **near, const coffer__near_site *site, bool *is_shared, coffer_error *error);

/* Takes its name away: who has it keeps it, who opens it next makes another. Nothing else does so, not the end of its last process either: it stays until the host
 * is started again. OK; MISS: there is none of this layout; OPTION. */
coffer_status coffer__near_remove(const coffer__near_site *site, coffer_error *error);

void coffer__near_after_fork(
    coffer__near *near); /* in the child: of a private one locks are free and contents stay; a shared one goes on being shared */

/* Copies the value to the end of `out`. OK, MISS, NO_MEMORY. expires_at_ms may be NULL. */
coffer_status coffer__near_get(coffer__near *near, coffer_slice key, uint64_t now_ms, coffer__buf *out, uint64_t *expires_at_ms);

/* The same, and what else there is to know of it. AGAIN: it could not be read (its shard is being changed all the time, or is in doubt). */
typedef struct coffer__near_found {
    uint64_t expires_at_ms;
    uint64_t mark; /* as put gave it */
    uint64_t version; /* of this very entry: another one, also of the same key and value, has another */
} coffer__near_found;
coffer_status coffer__near_read(coffer__near *near, coffer_slice key, uint64_t now_ms, coffer__buf *out, coffer__near_found *found);

/* When to store. MATCH: the value there has `bytes` at `offset` (a value too short for that is cut there, as GETRANGE does). */
typedef enum coffer__near_when { COFFER__NEAR_ALWAYS, COFFER__NEAR_ABSENT, COFFER__NEAR_PRESENT, COFFER__NEAR_MATCH } coffer__near_when;
typedef struct coffer__near_condition {
    coffer__near_when when;
    size_t offset;
    coffer_slice bytes;
    size_t match_len; /* how many bytes at `offset` are compared with `bytes`: min(match_len, what is there) == bytes.len and equal */
} coffer__near_condition;

/* In all that follows AGAIN, of a shared store alone: another process has held that part of it for a second (it may be stopped); nothing was changed.
 *
 * OK, NOT_STORED (the condition), TOO_LARGE (it would not fit even an empty store). Stored or not, an older value of the key is never left behind a TOO_LARGE. */
coffer_status coffer__near_put(coffer__near *near, coffer_slice key, coffer_slice value, uint64_t now_ms, uint64_t expires_at_ms,
                               const coffer__near_condition *condition);
coffer_status coffer__near_delete(coffer__near *near, coffer_slice key, uint64_t now_ms); /* OK, MISS */
coffer_status coffer__near_expire(coffer__near *near, coffer_slice key, uint64_t now_ms, uint64_t expires_at_ms); /* OK, MISS */

/* Adds to the decimal integer stored there, as INCRBY does; where nothing is there it begins at 0 and gets expires_at_ms. NOT_INTEGER, TOO_LARGE. */
coffer_status coffer__near_add(coffer__near *near, coffer_slice key, int64_t delta, uint64_t now_ms, uint64_t expires_at_ms, int64_t *sum);

/* Gives `take` the keys that are alive in the next `bucket_count` buckets from `*cursor` on (0: from the first), and says in it where to go on, 0 behind the
 * last. A key that is there from the beginning to the end is given once. `take` may not use the store, a part of which is locked meanwhile; where it
 * answers false that is the end, and NO_MEMORY; so it is where memory is short. AGAIN as above: the cursor stays where it is. */
coffer_status coffer__near_scan(coffer__near *near, uint64_t *cursor, size_t bucket_count, uint64_t now_ms,
                                bool (*take)(void *data, coffer_slice key), void *data);

/* What an entry is stored as: `mark` is its owner's word, given back by read; `apart`: in the small share of its own where it pushes out nothing else. */
typedef struct coffer__near_how {
    uint64_t expires_at_ms;
    uint64_t mark;
    bool apart;
} coffer__near_how;

/* For copies.c: a hash of the key; what keeps copies honest, in the arena's head; and how often all copies of the key's shard died at once. */
uint64_t coffer__near_hash(const coffer__near *near, coffer_slice key);
coffer__coherence *coffer__near_coherence(coffer__near *near);
uint32_t coffer__near_shard_epoch(const coffer__near *near, uint64_t hash);

/* The largest value that is worth a copy: one of more than an eighth of a shard would push out too much else. */
size_t coffer__near_copy_most_bytes(const coffer__near *near);

/* Puts it where `may` says so, under the shard's lock. NOT_STORED: it may not, or the lock could not be had in time. */
coffer_status coffer__near_put_if(coffer__near *near, uint64_t hash, coffer_slice key, coffer_slice value, const coffer__near_how *how,
                                  uint64_t now_ms, bool (*may)(const void *data), const void *data);

/* The key goes, whatever time it is; where the lock cannot be had in time the shard's epoch ends instead. */
void coffer__near_purge(coffer__near *near, uint64_t hash, coffer_slice key);

void coffer__near_stats_read(coffer__near *near, coffer__near_stats *stats);

#endif
