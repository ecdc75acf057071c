#include "arena.h"

#include "base/random.h"

_Static_assert(COFFER__SHARDS_MOST * sizeof(coffer__robust) <= COFFER__ARENA_PAGE, "the locks have one page");
_Static_assert(sizeof(coffer__robust) == COFFER__ROBUST_BYTES, "a line each");

static size_t pages(size_t bytes) {
    return (bytes + COFFER__ARENA_PAGE - 1) / COFFER__ARENA_PAGE * COFFER__ARENA_PAGE;
}

static size_t locks_offset(void) {
    return pages(sizeof(coffer__arena_head));
}

static size_t shards_offset(void) {
    return locks_offset() + COFFER__ARENA_PAGE;
}

/* At least a MiB each; and what is a sixteenth of the memory, up to 4 MiB, is to fit (a shard takes records of three quarters of its log, which is five
 * sixths of it). */
static uint64_t shards_for(size_t bytes) {
    const size_t most = 4 * COFFER__ARENA_MIN, wanted = bytes / 16 < most ? bytes / 16 : most;
    size_t count = 1;
    while (count < COFFER__SHARDS_MOST && bytes / (count * 2) >= COFFER__ARENA_MIN && bytes / (count * 2) / 8 * 5 >= wanted) {
        count *= 2;
    }
    return count;
}

/* Sizes, and the shape that a shard gets of a size. */
uint64_t coffer__arena_layout(void) {
    const coffer__shard_plan plan = coffer__shard_plan_of(COFFER__ARENA_MIN);
    const uint64_t sizes[] = {COFFER__ARENA_VERSION,     coffer__robust_abi(),        sizeof(void *),          sizeof(coffer__arena_head),
                              sizeof(coffer__coherence), sizeof(coffer__shard_state), sizeof(coffer__segment), sizeof(coffer__record),
                              sizeof(coffer__bucket),    COFFER__SHARDS_MOST,         COFFER__CHANGES_MOST,    COFFER__CHANNELS_MOST,
                              COFFER__BUCKET_SLOTS,      COFFER__ARENA_PAGE,          __BYTE_ORDER__,          plan.bucket_count,
                              plan.ghost_lines,          plan.segment_words,          plan.segment_count};
    const coffer__hash_key known = {.low = 0, .high = 0};
    return coffer__hash(known, coffer_slice_of(sizes, sizeof sizes));
}

static uint64_t check_of(const coffer__arena_shape *shape) {
    return coffer__hash(shape->secret, coffer_slice_of(shape, sizeof *shape));
}

static uint64_t bytes_of_shard(size_t bytes, uint64_t count) {
    return (bytes - shards_offset()) / count / 64 * 64;
}

/* ---- making and attaching ---- */

static void fill_near(coffer__near *near, void *memory, const coffer__arena_shape *shape) {
    near->head = (coffer__arena_head *)memory;
    near->locks = (coffer__robust *)(void *)((char *)memory + locks_offset());
    near->secret = shape->secret;
    near->shard_count = (size_t)shape->shard_count;
    near->memory_bytes = (size_t)shape->total_bytes;
    coffer__shard_plan plan = coffer__shard_plan_of((size_t)shape->shard_bytes);
    for (size_t i = 0; i < near->shard_count; i++) {
        coffer__shard_attach(&near->shards[i], (char *)memory + shards_offset() + i * shape->shard_bytes, &plan, shape->check_secret);
    }
}

coffer_status coffer__arena_make(void *memory, size_t bytes, uint64_t identity, bool is_shared) {
    coffer__arena_head *head = (coffer__arena_head *)memory;
    coffer__near near;
    uint64_t count = shards_for(bytes);
    head->shape = (coffer__arena_shape){.layout = coffer__arena_layout(), .total_bytes = bytes, .identity = identity, .shard_count = count};
    head->shape.shard_bytes = bytes_of_shard(bytes, count);
    coffer_status status = coffer__random_bytes(&head->shape.secret, sizeof head->shape.secret);
    status = status == COFFER_OK ? coffer__random_bytes(&head->shape.check_secret, sizeof head->shape.check_secret) : status;
    if (status != COFFER_OK) {
        return status;
    }
    head->check = check_of(&head->shape);
    coffer__coherence_init(&head->coherence);
    fill_near(&near, memory, &head->shape);
    for (size_t i = 0; i < count; i++) {
        if (!is_shared) {
            memset((void *)near.shards[i].buckets, 0, near.shards[i].bucket_count * sizeof(coffer__bucket)); /* sequences go on from what is there */
        }
        coffer__shard_init(&near.shards[i]);
        if (!coffer__robust_init(&near.locks[i], is_shared)) {
            return COFFER_INTERNAL;
        }
    }
    return COFFER_OK;
}

/* `shape` is a copy: nobody changes it between the checks and their use. */
static const char *fault_of(const coffer__arena_shape *shape, uint64_t check, size_t bytes, uint64_t identity) {
    if (shape->layout != coffer__arena_layout()) {
        return "it was made by another version of coffer, or with another libc";
    }
    if (check != check_of(shape)) {
        return "its head is damaged";
    }
    if (shape->total_bytes != bytes || shape->shard_count != shards_for(bytes) || shape->shard_bytes != bytes_of_shard(bytes, shape->shard_count)) {
        return "it has not the size that its head says: it was truncated or extended";
    }
    return shape->identity == identity ? NULL : "it holds copies of another server, database, prefix or user";
}

const char *coffer__arena_attach(coffer__near *near, void *memory, size_t bytes, uint64_t identity) {
    const coffer__arena_head *head = (const coffer__arena_head *)memory;
    if (bytes < COFFER__ARENA_MIN / 2) {
        return "it is too small: it was truncated";
    }
    if (atomic_load_explicit(&head->magic, memory_order_acquire) != COFFER__ARENA_MAGIC) {
        return "it is no near cache";
    }
    coffer__arena_shape shape = head->shape;
    const char *fault = fault_of(&shape, head->check, bytes, identity);
    if (fault == NULL) {
        fill_near(near, memory, &shape);
    }
    return fault;
}

/* ---- shards ---- */

/* Who could not have it in time says so to the others: who can do without does not wait at all, until somebody has had it. */
static coffer__robust_answer take_shared(coffer__near *near, size_t number, int wait_ms) {
    coffer__shard_side *side = &near->head->sides[number];
    bool is_stuck = atomic_load_explicit(&side->stuck, memory_order_relaxed) != 0;
    coffer__robust_answer answer = coffer__robust_take(&near->locks[number], is_stuck && wait_ms <= COFFER__SHARD_WAIT_MS ? 0 : wait_ms);
    if (answer == COFFER__ROBUST_BUSY) {
        atomic_store_explicit(&side->stuck, 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&side->timeouts, 1, memory_order_relaxed);
    } else if (is_stuck) {
        atomic_store_explicit(&side->stuck, 0, memory_order_relaxed);
    }
    return answer;
}

bool coffer__arena_enter(coffer__near *near, size_t number, int wait_ms) {
    if (!near->is_shared) {
        return coffer__robust_take(&near->locks[number], COFFER__ROBUST_FOR_EVER) == COFFER__ROBUST_TAKEN;
    }
    coffer__robust_answer answer = take_shared(near, number, wait_ms);
    if (answer == COFFER__ROBUST_ORPHANED) {
        coffer__shard_recover(&near->shards[number]);
    }
    return answer != COFFER__ROBUST_BUSY;
}

void coffer__arena_leave(coffer__near *near, size_t number) {
    coffer__robust_drop(&near->locks[number]);
}

void coffer__arena_after_fork(coffer__near *near) {
    for (size_t i = 0; i < near->shard_count; i++) {
        coffer__robust_init(&near->locks[i], false);
        coffer__shard_recover(&near->shards[i]);
    }
    coffer__coherence_init(&near->head->coherence);
    atomic_store(&near->head->coherence.epoch, coffer__random_u64() | 1);
}
