/* One shard of the store: an index and a log of records, in one run of memory that knows no pointers (it may lie elsewhere in another process).
 * Nothing here locks: its user does, around each call and for as long as it looks at a record that was found.
 *
 *     coffer__shard | buckets ... | log ...
 *
 *     log, in order    | tail: oldest ...... newest | head: free ............ |
 *     log, wrapped     | ...... newest | head: free | tail: oldest ... | end  |
 *
 * A record is whole: one that does not fit behind the newest goes to the front, and `end` says where the log is left. Room is made at the tail: what is
 * dead or expired there is passed over, what was read since it was appended is moved to the head once (second chance, a bounded number for each
 * insert), the rest is evicted. A record is alive while a slot of its bucket points to it.
 */
#ifndef COFFER_NEAR_SHARD_H
#define COFFER_NEAR_SHARD_H

#include "index.h"

#include <coffer/status.h>
#include <stdatomic.h>

typedef struct coffer__shard {
    uint64_t log_bytes;
    uint64_t head, tail, end;
    uint64_t used_bytes, entries, evictions, expirations;
    uint64_t versions; /* given so far */
    _Atomic uint32_t epoch; /* all copies in it died so often */
    uint32_t bucket_count;
    bool wrapped;
    atomic_bool changing; /* a writer is at work: who finds this after a fork finds half of its work */
} coffer__shard;

/* Key and value follow, then up to 7 bytes to the next multiple of 8. */
typedef struct coffer__record {
    uint64_t hash;
    uint64_t expires_at_ms;
    uint64_t mark, version;
    uint32_t key_len;
    uint32_t value_len;
} coffer__record;

typedef struct coffer__item {
    uint64_t hash;
    coffer_slice key, value;
    uint64_t expires_at_ms;
    uint64_t mark;
    bool apart;
} coffer__item;

static inline char *coffer__record_key(coffer__record *record) {
    return (char *)(record + 1);
}

static inline coffer_slice coffer__record_value(coffer__record *record) {
    return coffer_slice_of(coffer__record_key(record) + record->key_len, record->value_len);
}

/* In `bytes` of memory, aligned to 64. Touches the index, not the log. Empty afterwards, counts at 0. */
void coffer__shard_init(coffer__shard *shard, size_t bytes);

/* After a fork: empties it if a writer was at work. */
void coffer__shard_recover(coffer__shard *shard);

/* The slot of a living entry, or NULL. An expired one is dropped on the way, and counted. */
uint64_t *coffer__shard_find(coffer__shard *shard, uint64_t hash, coffer_slice key, uint64_t now_ms);
coffer__record *coffer__shard_record(coffer__shard *shard, uint64_t slot);

/* Gives `take` the keys that are alive in so many buckets from the first on (which there are), until it answers false: then so does this. */
bool coffer__shard_keys(coffer__shard *shard, uint32_t first, uint32_t count, uint64_t now_ms, bool (*take)(void *data, coffer_slice key),
                        void *data);

/* `old` is what find gave for the item's key. OK; TOO_LARGE, then `old` is gone. */
coffer_status coffer__shard_put(coffer__shard *shard, uint64_t *old, const coffer__item *item, uint64_t now_ms);
void coffer__shard_remove(coffer__shard *shard, uint64_t *slot);

#endif
