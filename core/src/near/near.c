#include "near.h"

#include "look.h"
#include "number.h"

/* The key's shard, held; NULL: it could not be had in time, which a private arena does not know. */
typedef struct place {
    coffer__near *near;
    coffer__shard *shard;
    uint64_t hash;
    size_t number;
} place;

static place enter_hash(coffer__near *near, uint64_t hash, int wait_ms) {
    size_t number = coffer__shard_number(near, hash);
    coffer__shard *shard = coffer__arena_enter(near, number, wait_ms) ? &near->shards[number] : NULL;
    return (place){.near = near, .shard = shard, .hash = hash, .number = number};
}

static place enter(coffer__near *near, coffer_slice key) {
    return enter_hash(near, coffer__hash(near->secret, key), COFFER__STORE_WAIT_MS);
}

static coffer_status leave(place at, coffer_status status) {
    coffer__arena_leave(at.near, at.number);
    return status;
}

coffer_status coffer__near_get(coffer__near *near, coffer_slice key, uint64_t now_ms, coffer__buf *out, uint64_t *expires_at_ms) {
    coffer__near_found found;
    coffer_status status = coffer__near_read(near, key, now_ms, out, &found);
    if (status == COFFER_OK && expires_at_ms != NULL) {
        *expires_at_ms = found.expires_at_ms;
    }
    return status;
}

/* Whether the value, as it was copied, is what was stored there for the key. What memory has lost is no value, and goes. */
static bool is_whole(const place *at, const coffer__spot *spot, coffer_slice key, const char *value) {
    const coffer__record *record = &spot->record;
    bool is_it = coffer__record_check(at->shard->secret, record, key, coffer_slice_of(value, record->value_len)) == record->check;
    if (!is_it) {
        coffer__shard_remove(at->shard, spot);
    }
    return is_it;
}

/* What could not be read without the lock, has to be counted as expired, or may have been out only because it was being replaced. */
static coffer_status read_locked(coffer__near *near, uint64_t hash, coffer_slice key, uint64_t now_ms, coffer__buf *out, coffer__near_found *found) {
    place at = enter_hash(near, hash, COFFER__STORE_WAIT_MS);
    if (at.shard == NULL) {
        return COFFER_AGAIN;
    }
    coffer__spot spot = coffer__shard_find(at.shard, at.hash, key, now_ms);
    if (spot.slot == NULL) {
        return leave(at, COFFER_MISS);
    }
    if (!coffer__buf_reserve(out, spot.record.value_len)) {
        return leave(at, COFFER_NO_MEMORY);
    }
    char *value = out->data == NULL ? NULL : out->data + out->len;
    coffer__shard_value(at.shard, &spot, 0, spot.record.value_len, value);
    if (!is_whole(&at, &spot, key, value)) {
        return leave(at, COFFER_MISS);
    }
    out->len += spot.record.value_len;
    coffer__slot_count_read(spot.slot, coffer__slot_load(spot.slot));
    *found = (coffer__near_found){.expires_at_ms = spot.record.expires_at_ms, .mark = spot.record.mark, .version = spot.record.version};
    return leave(at, COFFER_OK);
}

coffer_status coffer__near_read(coffer__near *near, coffer_slice key, uint64_t now_ms, coffer__buf *out, coffer__near_found *found) {
    coffer__sight sight = {.may_come_back = false};
    uint64_t hash = coffer__hash(near->secret, key);
    coffer_status status = coffer__look(near, hash, key, now_ms, out, &sight);
    if (status == COFFER_STALE || status == COFFER_AGAIN || (status == COFFER_MISS && sight.may_come_back)) {
        return read_locked(near, hash, key, now_ms, out, found);
    }
    if (status == COFFER_OK) {
        coffer__sight_counts(&sight);
        *found = (coffer__near_found){.expires_at_ms = sight.record.expires_at_ms, .mark = sight.record.mark, .version = sight.record.version};
    }
    return status;
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
    if (at.shard == NULL) {
        return COFFER_AGAIN;
    }
    coffer__spot old = coffer__shard_find(at.shard, at.hash, key, now_ms);
    if (condition != NULL && !is_met(at.shard, condition, &old)) {
        return leave(at, COFFER_NOT_STORED);
    }
    coffer__item item = {.hash = at.hash, .key = key, .value = value, .expires_at_ms = expires_at_ms};
    return leave(at, coffer__shard_put(at.shard, &old, &item, now_ms));
}

coffer_status coffer__near_delete(coffer__near *near, coffer_slice key, uint64_t now_ms) {
    place at = enter(near, key);
    if (at.shard == NULL) {
        return COFFER_AGAIN;
    }
    coffer__spot spot = coffer__shard_find(at.shard, at.hash, key, now_ms);
    if (spot.slot == NULL) {
        return leave(at, COFFER_MISS);
    }
    coffer__shard_remove(at.shard, &spot);
    return leave(at, COFFER_OK);
}

coffer_status coffer__near_expire(coffer__near *near, coffer_slice key, uint64_t now_ms, uint64_t expires_at_ms) {
    place at = enter(near, key);
    if (at.shard == NULL) {
        return COFFER_AGAIN;
    }
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
    size_t len = old.slot == NULL ? 0 : old.record.value_len;
    if (len > sizeof digits) {
        return COFFER_NOT_INTEGER;
    }
    if (old.slot != NULL) {
        coffer__shard_value(at.shard, &old, 0, len, digits);
        old.slot = is_whole(&at, &old, item->key, digits) ? old.slot : NULL;
    }
    if (old.slot != NULL) {
        item->expires_at_ms = old.record.expires_at_ms;
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
    if (at.shard == NULL) {
        return COFFER_AGAIN;
    }
    coffer__item item = {.hash = at.hash, .key = key, .expires_at_ms = expires_at_ms};
    return leave(at, add_at(at, &item, delta, now_ms, sum));
}

/* ---- for copies ---- */

uint64_t coffer__near_hash(const coffer__near *near, coffer_slice key) {
    return coffer__hash(near->secret, key);
}

coffer__coherence *coffer__near_coherence(coffer__near *near) {
    return &near->head->coherence;
}

static coffer__shard_side *side_of(const coffer__near *near, uint64_t hash) {
    return &near->head->sides[coffer__shard_number(near, hash)];
}

uint32_t coffer__near_shard_epoch(const coffer__near *near, uint64_t hash) {
    return atomic_load_explicit(&side_of(near, hash)->epoch, memory_order_acquire);
}

size_t coffer__near_copy_most_bytes(const coffer__near *near) {
    const coffer__log *log = &near->shards[0].log;
    return (size_t)log->segment_words * log->segment_count * sizeof(uint64_t) / 8;
}

coffer_status coffer__near_put_if(coffer__near *near, uint64_t hash, coffer_slice key, coffer_slice value, const coffer__near_how *how,
                                  uint64_t now_ms, bool (*may)(const void *data), const void *data) {
    place at = enter_hash(near, hash, COFFER__SHARD_WAIT_MS);
    if (at.shard == NULL) {
        return COFFER_NOT_STORED;
    }
    if (!may(data)) {
        return leave(at, COFFER_NOT_STORED);
    }
    coffer__item item = {.hash = hash, .key = key, .value = value, .expires_at_ms = how->expires_at_ms, .mark = how->mark, .apart = how->apart};
    coffer__spot old = coffer__shard_find(at.shard, hash, key, now_ms);
    return leave(at, coffer__shard_put(at.shard, &old, &item, now_ms));
}

void coffer__near_purge(coffer__near *near, uint64_t hash, coffer_slice key) {
    place at = enter_hash(near, hash, COFFER__SHARD_WAIT_MS);
    if (at.shard == NULL) {
        atomic_fetch_add_explicit(&side_of(near, hash)->epoch, 1, memory_order_seq_cst);
        return;
    }
    coffer__spot spot = coffer__shard_find(at.shard, hash, key, 0);
    if (spot.slot != NULL) {
        coffer__shard_remove(at.shard, &spot);
    }
    leave(at, COFFER_OK);
}

/* ---- all of it ---- */

/* A cursor is the number of a bucket, counted through all shards, which have as many each. */
coffer_status coffer__near_scan(coffer__near *near, uint64_t *cursor, size_t bucket_count, uint64_t now_ms,
                                bool (*take)(void *data, coffer_slice key), void *data) {
    uint64_t per_shard = near->shards[0].bucket_count;
    size_t number = (size_t)(*cursor / per_shard);
    if (number >= near->shard_count) {
        *cursor = 0;
        return COFFER_OK;
    }
    uint64_t first = *cursor % per_shard, left = per_shard - first, count = bucket_count < left ? bucket_count : left;
    if (!coffer__arena_enter(near, number, COFFER__STORE_WAIT_MS)) {
        return COFFER_AGAIN;
    }
    bool all = coffer__shard_keys(&near->shards[number], (uint32_t)first, (uint32_t)count, now_ms, take, data);
    coffer__arena_leave(near, number);
    *cursor += count;
    *cursor = *cursor == per_shard * near->shard_count ? 0 : *cursor;
    return all ? COFFER_OK : COFFER_NO_MEMORY;
}

static void add_shard(coffer__near_stats *stats, const coffer__shard_state *state) {
    stats->used_bytes += state->used_bytes;
    stats->entries += state->entries;
    stats->evictions += coffer__shard_evictions(state);
    stats->evicted_new += state->evicted[COFFER__QUEUE_SMALL];
    stats->evicted_old += state->evicted[COFFER__QUEUE_MAIN];
    stats->evicted_absent += state->evicted[COFFER__QUEUE_APART];
    stats->evicted_bucket += state->evicted[COFFER__EVICTED_BUCKET];
    stats->expirations += state->expirations;
    stats->wiped_shards += state->wiped;
}

void coffer__near_stats_read(coffer__near *near, coffer__near_stats *stats) {
    *stats = (coffer__near_stats){.memory_bytes = near->memory_bytes};
    for (size_t i = 0; i < near->shard_count; i++) {
        stats->lock_timeouts += atomic_load_explicit(&near->head->sides[i].timeouts, memory_order_relaxed);
        if (coffer__arena_enter(near, i, COFFER__SHARD_WAIT_MS)) {
            add_shard(stats, near->shards[i].state);
            coffer__arena_leave(near, i);
        }
    }
}
