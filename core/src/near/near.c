#include "near.h"

#include "base/alloc.h"
#include "base/hash.h"
#include "base/lock.h"
#include "base/random.h"
#include "number.h"
#include "shard.h"

enum { SHARDS_MAX = 16, LINE_BYTES = 64, LOCK_BYTES = 64 };

#define MEMORY_MIN ((size_t)1024 * 1024)

/* What is this process's own; the arena holds the rest. */
struct coffer__near {
    coffer__coherence coherence;
    coffer__hash_key secret;
    size_t memory_bytes;
    size_t shard_bytes;
    size_t shard_count; /* a power of two */
    coffer__lock *locks[SHARDS_MAX];
    void *memory;
    char *arena; /* in memory, on a line of its own */
};

/* The key's shard, held. */
typedef struct place {
    coffer__lock *lock;
    coffer__shard *shard;
    uint64_t hash;
} place;

static coffer__shard *shard_at(coffer__near *near, size_t number) {
    return (coffer__shard *)(void *)(near->arena + number * near->shard_bytes);
}

static place enter(coffer__near *near, coffer_slice key) {
    uint64_t hash = coffer__hash(near->secret, key);
    size_t number = (size_t)hash & (near->shard_count - 1);
    place at = {near->locks[number], shard_at(near, number), hash};
    coffer__lock_take(at.lock);
    return at;
}

static coffer_status leave(place at, coffer_status status) {
    coffer__lock_drop(at.lock);
    return status;
}

static size_t shards_for(size_t memory_bytes) {
    size_t count = 1;
    while (count < SHARDS_MAX && memory_bytes / (count * 2) >= MEMORY_MIN) {
        count *= 2;
    }
    return count;
}

/* Cuts the memory so that this object, the locks and the arena together stay within memory_bytes. */
static coffer_status take_memory(coffer__near *near) {
    size_t arena_bytes = near->memory_bytes - sizeof *near - near->shard_count * LOCK_BYTES;
    near->memory = coffer__alloc(arena_bytes);
    if (near->memory == NULL) {
        return COFFER_NO_MEMORY;
    }
    size_t skipped = (LINE_BYTES - (uintptr_t)near->memory % LINE_BYTES) % LINE_BYTES;
    near->arena = (char *)near->memory + skipped;
    near->shard_bytes = (arena_bytes - LINE_BYTES) / near->shard_count / LINE_BYTES * LINE_BYTES;
    for (size_t i = 0; i < near->shard_count; i++) {
        coffer__shard_init(shard_at(near, i), near->shard_bytes);
        near->locks[i] = coffer__lock_new();
        if (near->locks[i] == NULL) {
            return COFFER_NO_MEMORY;
        }
    }
    return coffer__random_bytes(&near->secret, sizeof near->secret);
}

coffer_status coffer__near_new(coffer__near **out, size_t memory_bytes) {
    *out = NULL;
    if (memory_bytes < MEMORY_MIN) {
        return COFFER_ARG;
    }
    coffer__near *near = (coffer__near *)coffer__alloc_zero(sizeof *near);
    if (near == NULL) {
        return COFFER_NO_MEMORY;
    }
    coffer__coherence_init(&near->coherence);
    near->memory_bytes = memory_bytes;
    near->shard_count = shards_for(memory_bytes);
    coffer_status status = take_memory(near);
    if (status != COFFER_OK) {
        coffer__near_free(near);
        return status;
    }
    *out = near;
    return COFFER_OK;
}

void coffer__near_free(coffer__near *near) {
    if (near == NULL) {
        return;
    }
    for (size_t i = 0; i < near->shard_count; i++) {
        coffer__lock_free(near->locks[i]);
    }
    coffer__release(near->memory);
    coffer__wipe(near, sizeof *near);
    coffer__release(near);
}

void coffer__near_after_fork(coffer__near *near) {
    for (size_t i = 0; i < near->shard_count; i++) {
        coffer__lock_reset(near->locks[i]);
        coffer__shard_recover(shard_at(near, i));
    }
    coffer__coherence_init(&near->coherence);
    atomic_store(&near->coherence.epoch, (uint64_t)coffer__random_u64() | 1);
}

coffer_status coffer__near_get(coffer__near *near, coffer_slice key, uint64_t now_ms, coffer__buf *out, uint64_t *expires_at_ms) {
    coffer__near_found found;
    coffer_status status = coffer__near_read(near, key, now_ms, out, &found);
    if (status == COFFER_OK && expires_at_ms != NULL) {
        *expires_at_ms = found.expires_at_ms;
    }
    return status;
}

coffer_status coffer__near_read(coffer__near *near, coffer_slice key, uint64_t now_ms, coffer__buf *out, coffer__near_found *found) {
    place at = enter(near, key);
    uint64_t *slot = coffer__shard_find(at.shard, at.hash, key, now_ms);
    if (slot == NULL) {
        return leave(at, COFFER_MISS);
    }
    coffer__record *record = coffer__shard_record(at.shard, *slot);
    if (!coffer__buf_append_slice(out, coffer__record_value(record))) {
        return leave(at, COFFER_NO_MEMORY);
    }
    if ((*slot & COFFER__SLOT_READ) == 0) {
        *slot |= COFFER__SLOT_READ;
    }
    *found = (coffer__near_found){.expires_at_ms = record->expires_at_ms, .mark = record->mark, .version = record->version};
    return leave(at, COFFER_OK);
}

/* As GETRANGE offset (offset + len - 1) cuts it. */
static coffer_slice range_of(coffer_slice value, size_t offset, size_t len) {
    if (offset >= value.len) {
        return coffer_slice_of(NULL, 0);
    }
    size_t there = value.len - offset;
    return coffer_slice_of(value.data + offset, len < there ? len : there);
}

static bool is_met(const coffer__near_condition *condition, coffer__record *old) {
    switch (condition->when) {
    case COFFER__NEAR_ABSENT:
        return old == NULL;
    case COFFER__NEAR_PRESENT:
        return old != NULL;
    case COFFER__NEAR_MATCH:
        return old != NULL && coffer_slice_equal(range_of(coffer__record_value(old), condition->offset, condition->match_len), condition->bytes);
    case COFFER__NEAR_ALWAYS:
    default:
        return true;
    }
}

coffer_status coffer__near_put(coffer__near *near, coffer_slice key, coffer_slice value, uint64_t now_ms, uint64_t expires_at_ms,
                               const coffer__near_condition *condition) {
    place at = enter(near, key);
    uint64_t *old = coffer__shard_find(at.shard, at.hash, key, now_ms);
    if (condition != NULL && !is_met(condition, old == NULL ? NULL : coffer__shard_record(at.shard, *old))) {
        return leave(at, COFFER_NOT_STORED);
    }
    coffer__item item = {.hash = at.hash, .key = key, .value = value, .expires_at_ms = expires_at_ms};
    return leave(at, coffer__shard_put(at.shard, old, &item, now_ms));
}

coffer_status coffer__near_delete(coffer__near *near, coffer_slice key, uint64_t now_ms) {
    place at = enter(near, key);
    uint64_t *slot = coffer__shard_find(at.shard, at.hash, key, now_ms);
    if (slot == NULL) {
        return leave(at, COFFER_MISS);
    }
    coffer__shard_remove(at.shard, slot);
    return leave(at, COFFER_OK);
}

coffer_status coffer__near_expire(coffer__near *near, coffer_slice key, uint64_t now_ms, uint64_t expires_at_ms) {
    place at = enter(near, key);
    uint64_t *slot = coffer__shard_find(at.shard, at.hash, key, now_ms);
    if (slot == NULL) {
        return leave(at, COFFER_MISS);
    }
    coffer__shard_record(at.shard, *slot)->expires_at_ms = expires_at_ms;
    return leave(at, COFFER_OK);
}

static coffer_status add_at(place at, coffer__item *item, int64_t delta, uint64_t now_ms, int64_t *sum) {
    int64_t before = 0;
    uint64_t *old = coffer__shard_find(at.shard, at.hash, item->key, now_ms);
    if (old != NULL) {
        coffer__record *record = coffer__shard_record(at.shard, *old);
        item->expires_at_ms = record->expires_at_ms;
        if (!coffer__number_parse(coffer__record_value(record), &before)) {
            return COFFER_NOT_INTEGER;
        }
    }
    int64_t after;
    if (__builtin_add_overflow(before, delta, &after)) {
        return COFFER_NOT_INTEGER;
    }
    char digits[COFFER__NUMBER_CAP];
    item->value = coffer__number_write(after, digits);
    coffer_status status = coffer__shard_put(at.shard, old, item, now_ms);
    if (status == COFFER_OK) {
        *sum = after;
    }
    return status;
}

coffer_status coffer__near_add(coffer__near *near, coffer_slice key, int64_t delta, uint64_t now_ms, uint64_t expires_at_ms, int64_t *sum) {
    place at = enter(near, key);
    coffer__item item = {.hash = at.hash, .key = key, .expires_at_ms = expires_at_ms};
    return leave(at, add_at(at, &item, delta, now_ms, sum));
}

/* ---- for copies ---- */

uint64_t coffer__near_hash(const coffer__near *near, coffer_slice key) {
    return coffer__hash(near->secret, key);
}

coffer__coherence *coffer__near_coherence(coffer__near *near) {
    return &near->coherence;
}

static const coffer__shard *shard_of(const coffer__near *near, uint64_t hash) {
    return (const coffer__shard *)(const void *)(near->arena + ((size_t)hash & (near->shard_count - 1)) * near->shard_bytes);
}

uint32_t coffer__near_shard_epoch(const coffer__near *near, uint64_t hash) {
    return atomic_load_explicit(&shard_of(near, hash)->epoch, memory_order_acquire);
}

coffer_status coffer__near_put_if(coffer__near *near, uint64_t hash, coffer_slice key, coffer_slice value, const coffer__near_how *how,
                                  uint64_t now_ms, bool (*may)(const void *data), const void *data) {
    place at = enter(near, key);
    if (!may(data)) {
        return leave(at, COFFER_NOT_STORED);
    }
    coffer__item item = {.hash = hash, .key = key, .value = value, .expires_at_ms = how->expires_at_ms, .mark = how->mark, .apart = how->apart};
    return leave(at, coffer__shard_put(at.shard, coffer__shard_find(at.shard, hash, key, now_ms), &item, now_ms));
}

void coffer__near_purge(coffer__near *near, uint64_t hash, coffer_slice key) {
    place at = enter(near, key);
    uint64_t *slot = coffer__shard_find(at.shard, hash, key, 0);
    if (slot != NULL) {
        coffer__shard_remove(at.shard, slot);
    }
    leave(at, COFFER_OK);
}

/* A cursor is the number of a bucket, counted through all shards, which have as many each. */
bool coffer__near_scan(coffer__near *near, uint64_t *cursor, size_t bucket_count, uint64_t now_ms, bool (*take)(void *data, coffer_slice key),
                       void *data) {
    uint64_t per_shard = shard_at(near, 0)->bucket_count;
    size_t number = (size_t)(*cursor / per_shard);
    if (number >= near->shard_count) {
        *cursor = 0;
        return true;
    }
    uint64_t first = *cursor % per_shard, left = per_shard - first, count = bucket_count < left ? bucket_count : left;
    coffer__lock_take(near->locks[number]);
    bool all = coffer__shard_keys(shard_at(near, number), (uint32_t)first, (uint32_t)count, now_ms, take, data);
    coffer__lock_drop(near->locks[number]);
    *cursor += count;
    *cursor = *cursor == per_shard * near->shard_count ? 0 : *cursor;
    return all;
}

void coffer__near_stats_read(coffer__near *near, coffer__near_stats *stats) {
    *stats = (coffer__near_stats){.memory_bytes = near->memory_bytes};
    for (size_t i = 0; i < near->shard_count; i++) {
        coffer__shard *shard = shard_at(near, i);
        coffer__lock_take(near->locks[i]);
        stats->used_bytes += shard->used_bytes;
        stats->entries += shard->entries;
        stats->evictions += shard->evictions;
        stats->expirations += shard->expirations;
        coffer__lock_drop(near->locks[i]);
    }
}
