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
    uint64_t check_secret;
    size_t memory_bytes;
    size_t shard_count; /* a power of two */
    coffer__shard shards[SHARDS_MAX];
    coffer__lock *locks[SHARDS_MAX];
    void *memory;
};

/* The key's shard, held. */
typedef struct place {
    coffer__lock *lock;
    coffer__shard *shard;
    uint64_t hash;
} place;

static place enter(coffer__near *near, coffer_slice key) {
    uint64_t hash = coffer__hash(near->secret, key);
    size_t number = (size_t)hash & (near->shard_count - 1);
    place at = {near->locks[number], &near->shards[number], hash};
    coffer__lock_take(at.lock);
    return at;
}

static coffer_status leave(place at, coffer_status status) {
    coffer__lock_drop(at.lock);
    return status;
}

/* At least a MiB each; and what is a sixteenth of the memory, up to 4 MiB, is to fit (a shard takes records of three quarters of its log, which is five
 * sixths of it). */
static size_t shards_for(size_t memory_bytes) {
    const size_t most = 4 * MEMORY_MIN, wanted = memory_bytes / 16 < most ? memory_bytes / 16 : most;
    size_t count = 1;
    while (count < SHARDS_MAX && memory_bytes / (count * 2) >= MEMORY_MIN && memory_bytes / (count * 2) / 8 * 5 >= wanted) {
        count *= 2;
    }
    return count;
}

/* Cuts the memory so that this object, the locks and the arena together stay within memory_bytes. */
static coffer_status take_memory(coffer__near *near) {
    size_t arena_bytes = near->memory_bytes - sizeof *near - near->shard_count * LOCK_BYTES;
    near->memory = coffer__alloc(arena_bytes);
    if (near->memory == NULL || coffer__random_bytes(&near->secret, sizeof near->secret) != COFFER_OK ||
        coffer__random_bytes(&near->check_secret, sizeof near->check_secret) != COFFER_OK) {
        return COFFER_NO_MEMORY;
    }
    size_t skipped = (LINE_BYTES - (uintptr_t)near->memory % LINE_BYTES) % LINE_BYTES;
    size_t shard_bytes = (arena_bytes - LINE_BYTES) / near->shard_count / LINE_BYTES * LINE_BYTES;
    coffer__shard_plan plan = coffer__shard_plan_of(shard_bytes);
    for (size_t i = 0; i < near->shard_count; i++) {
        coffer__shard_attach(&near->shards[i], (char *)near->memory + skipped + i * shard_bytes, &plan, near->check_secret);
        coffer__shard_init(&near->shards[i]);
        near->locks[i] = coffer__lock_new();
        if (near->locks[i] == NULL) {
            return COFFER_NO_MEMORY;
        }
    }
    return COFFER_OK;
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
        coffer__shard_recover(&near->shards[i]);
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
    coffer__spot spot = coffer__shard_find(at.shard, at.hash, key, now_ms);
    if (spot.slot == NULL) {
        return leave(at, COFFER_MISS);
    }
    if (!coffer__buf_reserve(out, spot.record.value_len)) {
        return leave(at, COFFER_NO_MEMORY);
    }
    coffer__shard_value(at.shard, &spot, 0, spot.record.value_len, out->data + out->len);
    out->len += spot.record.value_len;
    coffer__slot_count_read(spot.slot, coffer__slot_load(spot.slot));
    *found = (coffer__near_found){.expires_at_ms = spot.record.expires_at_ms, .mark = spot.record.mark, .version = spot.record.version};
    return leave(at, COFFER_OK);
}

/* Whether what GETRANGE offset (offset + match_len - 1) would give is what the condition says. */
static bool matches(const coffer__shard *shard, const coffer__near_condition *condition, const coffer__spot *old) {
    char here[64];
    size_t behind = condition->offset < old->record.value_len ? old->record.value_len - condition->offset : 0;
    size_t len = condition->match_len < behind ? condition->match_len : behind, compared = 0;
    bool same = len == condition->bytes.len;
    while (same && compared < len) {
        size_t run = len - compared < sizeof here ? len - compared : sizeof here;
        coffer__shard_value(shard, old, condition->offset + compared, run, here);
        same = memcmp(here, condition->bytes.data + compared, run) == 0;
        compared += run;
    }
    return same;
}

static bool is_met(const coffer__shard *shard, const coffer__near_condition *condition, const coffer__spot *old) {
    switch (condition->when) {
    case COFFER__NEAR_ABSENT:
        return old->slot == NULL;
    case COFFER__NEAR_PRESENT:
        return old->slot != NULL;
    case COFFER__NEAR_MATCH:
        return old->slot != NULL && matches(shard, condition, old);
    case COFFER__NEAR_ALWAYS:
    default:
        return true;
    }
}

coffer_status coffer__near_put(coffer__near *near, coffer_slice key, coffer_slice value, uint64_t now_ms, uint64_t expires_at_ms,
                               const coffer__near_condition *condition) {
    place at = enter(near, key);
    coffer__spot old = coffer__shard_find(at.shard, at.hash, key, now_ms);
    if (condition != NULL && !is_met(at.shard, condition, &old)) {
        return leave(at, COFFER_NOT_STORED);
    }
    coffer__item item = {.hash = at.hash, .key = key, .value = value, .expires_at_ms = expires_at_ms};
    return leave(at, coffer__shard_put(at.shard, &old, &item, now_ms));
}

coffer_status coffer__near_delete(coffer__near *near, coffer_slice key, uint64_t now_ms) {
    place at = enter(near, key);
    coffer__spot spot = coffer__shard_find(at.shard, at.hash, key, now_ms);
    if (spot.slot == NULL) {
        return leave(at, COFFER_MISS);
    }
    coffer__shard_remove(at.shard, &spot);
    return leave(at, COFFER_OK);
}

coffer_status coffer__near_expire(coffer__near *near, coffer_slice key, uint64_t now_ms, uint64_t expires_at_ms) {
    place at = enter(near, key);
    coffer__spot spot = coffer__shard_find(at.shard, at.hash, key, now_ms);
    if (spot.slot == NULL) {
        return leave(at, COFFER_MISS);
    }
    coffer__shard_expire(at.shard, &spot, expires_at_ms);
    return leave(at, COFFER_OK);
}

static coffer_status add_at(place at, coffer__item *item, int64_t delta, uint64_t now_ms, int64_t *sum) {
    int64_t before = 0;
    char digits[COFFER__NUMBER_CAP];
    coffer__spot old = coffer__shard_find(at.shard, at.hash, item->key, now_ms);
    if (old.slot != NULL) {
        size_t len = old.record.value_len;
        item->expires_at_ms = old.record.expires_at_ms;
        if (len > sizeof digits) {
            return COFFER_NOT_INTEGER;
        }
        coffer__shard_value(at.shard, &old, 0, len, digits);
        if (!coffer__number_parse(coffer_slice_of(digits, len), &before)) {
            return COFFER_NOT_INTEGER;
        }
    }
    int64_t after;
    if (__builtin_add_overflow(before, delta, &after)) {
        return COFFER_NOT_INTEGER;
    }
    item->value = coffer__number_write(after, digits);
    coffer_status status = coffer__shard_put(at.shard, &old, item, now_ms);
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

uint32_t coffer__near_shard_epoch(const coffer__near *near, uint64_t hash) {
    return atomic_load_explicit(&near->shards[(size_t)hash & (near->shard_count - 1)].state->epoch, memory_order_acquire);
}

coffer_status coffer__near_put_if(coffer__near *near, uint64_t hash, coffer_slice key, coffer_slice value, const coffer__near_how *how,
                                  uint64_t now_ms, bool (*may)(const void *data), const void *data) {
    place at = enter(near, key);
    if (!may(data)) {
        return leave(at, COFFER_NOT_STORED);
    }
    coffer__item item = {.hash = hash, .key = key, .value = value, .expires_at_ms = how->expires_at_ms, .mark = how->mark, .apart = how->apart};
    coffer__spot old = coffer__shard_find(at.shard, hash, key, now_ms);
    return leave(at, coffer__shard_put(at.shard, &old, &item, now_ms));
}

void coffer__near_purge(coffer__near *near, uint64_t hash, coffer_slice key) {
    place at = enter(near, key);
    coffer__spot spot = coffer__shard_find(at.shard, hash, key, 0);
    if (spot.slot != NULL) {
        coffer__shard_remove(at.shard, &spot);
    }
    leave(at, COFFER_OK);
}

/* A cursor is the number of a bucket, counted through all shards, which have as many each. */
bool coffer__near_scan(coffer__near *near, uint64_t *cursor, size_t bucket_count, uint64_t now_ms, bool (*take)(void *data, coffer_slice key),
                       void *data) {
    uint64_t per_shard = near->shards[0].bucket_count;
    size_t number = (size_t)(*cursor / per_shard);
    if (number >= near->shard_count) {
        *cursor = 0;
        return true;
    }
    uint64_t first = *cursor % per_shard, left = per_shard - first, count = bucket_count < left ? bucket_count : left;
    coffer__lock_take(near->locks[number]);
    bool all = coffer__shard_keys(&near->shards[number], (uint32_t)first, (uint32_t)count, now_ms, take, data);
    coffer__lock_drop(near->locks[number]);
    *cursor += count;
    *cursor = *cursor == per_shard * near->shard_count ? 0 : *cursor;
    return all;
}

void coffer__near_stats_read(coffer__near *near, coffer__near_stats *stats) {
    *stats = (coffer__near_stats){.memory_bytes = near->memory_bytes};
    for (size_t i = 0; i < near->shard_count; i++) {
        coffer__shard *shard = &near->shards[i];
        coffer__lock_take(near->locks[i]);
        stats->used_bytes += shard->state->used_bytes;
        stats->entries += shard->state->entries;
        stats->evictions += shard->state->evictions;
        stats->expirations += shard->state->expirations;
        coffer__lock_drop(near->locks[i]);
    }
}
