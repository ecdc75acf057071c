/* The near cache's own shards, cut so that as many entries fit as were asked for: in units of 24 words each, or in bytes as they are stored. */
#include "base/alloc.h"
#include "base/hash.h"
#include "near/shard.h"
#include "policy.h"

enum { SHARDS_MOST = 16, SHARD_ENTRIES = 4096, SEGMENTS_LEAST = 56, SEGMENTS_MOST = 112, UNIT_WORDS = 24, LINE_BYTES = 64 };

/* The least that an entry takes: its head and a key of one word. */
enum { ENTRY_BYTES = sizeof(coffer__record) + 8 };

static const coffer__hash_key HASH_KEY = {UINT64_C(0x0706050403020100), UINT64_C(0x0F0E0D0C0B0A0908)}; /* the same at each run */

typedef struct cache {
    const coffer_trace *trace;
    void *memory;
    char *value; /* as long as the longest */
    uint32_t shard_count;
    coffer__shard shards[SHARDS_MOST];
} cache;

static void drop(void *data) {
    cache *this = (cache *)data;
    if (this != NULL) {
        coffer__release(this->memory);
        coffer__release(this->value);
        coffer__release(this);
    }
}

static uint64_t value_bytes(const coffer_trace *trace, uint32_t object) {
    uint64_t bytes = trace->sizes == NULL ? UNIT_WORDS * 8 : trace->sizes[object];
    return bytes > ENTRY_BYTES ? bytes - ENTRY_BYTES : 0;
}

static uint64_t longest_value(const coffer_trace *trace) {
    uint64_t longest = 0;
    for (uint32_t i = 0; i < trace->object_count; i++) {
        uint64_t bytes = value_bytes(trace, i);
        longest = bytes > longest ? bytes : longest;
    }
    return longest;
}

/* Of so many units: about 64 segments, of as many units as lose the fewest. */
static coffer__shard_plan plan_of_units(uint64_t units) {
    uint64_t segments = units < SEGMENTS_LEAST ? units : SEGMENTS_LEAST;
    for (uint64_t count = segments + 1; count <= SEGMENTS_MOST && count <= units; count++) {
        segments = units / count * count > units / segments * segments ? count : segments;
    }
    uint64_t words = units / segments * UNIT_WORDS;
    coffer__shard_plan plan = coffer__shard_plan_for((uint32_t)(segments * words > UINT32_MAX ? UINT32_MAX / segments : words), (uint32_t)segments);
    return plan;
}

static coffer__shard_plan plan_of_bytes(uint64_t bytes) {
    uint64_t words = bytes / 8 < UINT32_MAX ? bytes / 8 : UINT32_MAX, segments = words / UNIT_WORDS < 64 ? words / UNIT_WORDS : 64;
    segments = segments > 0 ? segments : 1;
    return coffer__shard_plan_for((uint32_t)(words / segments), (uint32_t)segments);
}

/* How many shards an arena of that size has: such that each has thousands of entries. */
static uint32_t shards_for(const coffer_trace *trace, uint64_t capacity) {
    uint64_t all = 0;
    for (uint32_t i = 0; i < trace->object_count; i++) {
        all += coffer__size_of(trace, i);
    }
    uint64_t mean = trace->object_count > 0 && all > trace->object_count ? all / trace->object_count : 1;
    uint32_t count = 1;
    while (count < SHARDS_MOST && capacity / mean / (count * 2) >= SHARD_ENTRIES) {
        count *= 2;
    }
    return count;
}

static bool cut(cache *this, const coffer__shard_plan *plan) {
    size_t bytes = coffer__shard_bytes(plan);
    this->memory = coffer__alloc_zero(bytes * this->shard_count + LINE_BYTES);
    if (this->memory == NULL) {
        return false;
    }
    char *at = (char *)this->memory + (LINE_BYTES - (uintptr_t)this->memory % LINE_BYTES) % LINE_BYTES;
    for (uint32_t i = 0; i < this->shard_count; i++) {
        coffer__shard_attach(&this->shards[i], at + i * bytes, plan, HASH_KEY.low);
        coffer__shard_init(&this->shards[i]);
    }
    return true;
}

static void *make(const coffer_trace *trace, uint64_t *capacity) {
    cache *this = (cache *)coffer__alloc_zero(sizeof *this);
    if (this == NULL) {
        return NULL;
    }
    this->trace = trace;
    this->shard_count = shards_for(trace, *capacity);
    uint64_t share = *capacity / this->shard_count;
    coffer__shard_plan plan = trace->sizes == NULL ? plan_of_units(share) : plan_of_bytes(share);
    uint64_t log_words = (uint64_t)plan.segment_words * plan.segment_count * this->shard_count;
    *capacity = trace->sizes == NULL ? log_words / UNIT_WORDS : log_words * 8;
    this->value = (char *)coffer__alloc_zero((size_t)longest_value(trace) + 1);
    if (this->value == NULL || !cut(this, &plan)) {
        drop(this);
        return NULL;
    }
    return this;
}

static bool request(void *data, uint32_t object, size_t number) {
    cache *this = (cache *)data;
    coffer_slice key = coffer_slice_of(&object, sizeof object);
    uint64_t hash = coffer__hash(HASH_KEY, key);
    coffer__shard *shard = &this->shards[hash & (this->shard_count - 1)];
    coffer__spot spot = coffer__shard_find(shard, hash, key, 0);
    (void)number;
    if (spot.slot != NULL) {
        coffer__slot_count_read(spot.slot, coffer__slot_load(spot.slot));
        return true;
    }
    coffer__item item = {
        .hash = hash, .key = key, .value = coffer_slice_of(this->value, (size_t)value_bytes(this->trace, object)), .expires_at_ms = UINT64_MAX};
    coffer__shard_put(shard, &spot, &item, 0);
    return false;
}

const coffer__policy coffer__policy_coffer = {"coffer", make, request, drop};
