#include "shard.h"

/* One bucket (64 bytes, 8 slots) for so many bytes of shard: an eighth of the memory is index, and records of 150 bytes fill it by four tenths, where one in
 * a hundred finds its bucket full (Poisson). Smaller ones are bounded by the index. */
enum { SHARD_BYTES_PER_BUCKET = 512 };

/* What one insert may move before it evicts what was read, too: as many records; after as many bytes, no further one. */
enum { MOVES_MAX = 16, MOVED_BYTES_MAX = 256 * 1024 };

#define POSITIONS_MAX (UINT64_C(0xFFFFFFFE) * 8)

typedef struct allowance {
    uint64_t now_ms;
    unsigned moves;
    size_t moved_bytes;
} allowance;

static coffer__bucket *buckets(coffer__shard *shard) {
    size_t header = (sizeof *shard + 63) / 64 * 64;
    return (coffer__bucket *)(void *)((char *)shard + header);
}

static coffer__bucket *bucket_of(coffer__shard *shard, uint64_t hash) {
    return buckets(shard) + coffer__bucket_number(shard->bucket_count, hash);
}

static coffer__record *record_at(coffer__shard *shard, uint64_t position) {
    char *log = (char *)(buckets(shard) + shard->bucket_count);
    return (coffer__record *)(void *)(log + position);
}

static size_t record_bytes(size_t key_len, size_t value_len) {
    return (sizeof(coffer__record) + key_len + value_len + 7) / 8 * 8;
}

static size_t bytes_of(const coffer__record *record) {
    return record_bytes(record->key_len, record->value_len);
}

static void begin_change(coffer__shard *shard) {
    atomic_exchange_explicit(&shard->changing, true, memory_order_acq_rel);
}

static void end_change(coffer__shard *shard) {
    atomic_store_explicit(&shard->changing, false, memory_order_release);
}

static void clear(coffer__shard *shard) {
    memset(buckets(shard), 0, shard->bucket_count * sizeof(coffer__bucket));
    shard->head = shard->tail = 0;
    shard->end = shard->log_bytes;
    shard->used_bytes = shard->entries = 0;
    shard->wrapped = false;
    end_change(shard);
}

void coffer__shard_init(coffer__shard *shard, size_t bytes) {
    memset(shard, 0, sizeof *shard);
    size_t count = bytes / SHARD_BYTES_PER_BUCKET;
    shard->bucket_count = count < UINT32_MAX ? (uint32_t)count : UINT32_MAX;
    size_t before_log = (size_t)((char *)record_at(shard, 0) - (char *)shard);
    uint64_t log_bytes = (bytes - before_log) / 8 * 8;
    shard->log_bytes = log_bytes < POSITIONS_MAX ? log_bytes : POSITIONS_MAX;
    clear(shard);
}

void coffer__shard_recover(coffer__shard *shard) {
    if (atomic_load_explicit(&shard->changing, memory_order_acquire)) {
        clear(shard);
    }
}

coffer__record *coffer__shard_record(coffer__shard *shard, uint64_t slot) {
    return record_at(shard, coffer__slot_position(slot));
}

/* Empties a slot; its record stays in the log, dead. */
static void forget(coffer__shard *shard, uint64_t *slot) {
    shard->used_bytes -= bytes_of(coffer__shard_record(shard, *slot));
    shard->entries--;
    *slot = 0;
}

/* Gives up an entry to make room, or because its time has passed. */
static void drop(coffer__shard *shard, uint64_t *slot, uint64_t now_ms) {
    bool is_expired = coffer__shard_record(shard, *slot)->expires_at_ms <= now_ms;
    *(is_expired ? &shard->expirations : &shard->evictions) += 1;
    forget(shard, slot);
}

void coffer__shard_remove(coffer__shard *shard, uint64_t *slot) {
    begin_change(shard);
    forget(shard, slot);
    end_change(shard);
}

static bool has_key(coffer__record *record, uint64_t hash, coffer_slice key) {
    return record->hash == hash && coffer_slice_equal(coffer_slice_of(coffer__record_key(record), record->key_len), key);
}

static uint64_t *slot_of_key(coffer__shard *shard, uint64_t hash, coffer_slice key) {
    coffer__bucket *bucket = bucket_of(shard, hash);
    for (size_t i = 0; i < COFFER__BUCKET_SLOTS; i++) {
        uint64_t slot = bucket->slots[i];
        if (coffer__slot_may_hold(slot, hash) && has_key(coffer__shard_record(shard, slot), hash, key)) {
            return &bucket->slots[i];
        }
    }
    return NULL;
}

uint64_t *coffer__shard_find(coffer__shard *shard, uint64_t hash, coffer_slice key, uint64_t now_ms) {
    uint64_t *slot = slot_of_key(shard, hash, key);
    if (slot == NULL || coffer__shard_record(shard, *slot)->expires_at_ms > now_ms) {
        return slot;
    }
    begin_change(shard);
    drop(shard, slot, now_ms);
    end_change(shard);
    return NULL;
}

bool coffer__shard_keys(coffer__shard *shard, uint32_t first, uint32_t count, uint64_t now_ms, bool (*take)(void *data, coffer_slice key),
                        void *data) {
    const uint64_t *slots = buckets(shard)[first].slots;
    bool all = true;
    for (size_t i = 0; all && i < (size_t)count * COFFER__BUCKET_SLOTS; i++) {
        coffer__record *record = slots[i] == 0 ? NULL : coffer__shard_record(shard, slots[i]);
        if (record != NULL && record->expires_at_ms > now_ms) {
            all = take(data, coffer_slice_of(coffer__record_key(record), record->key_len));
        }
    }
    return all;
}

/* The slot that points to the log's oldest record, NULL where that is dead. */
static uint64_t *slot_of_tail(coffer__shard *shard) {
    uint64_t hash = record_at(shard, shard->tail)->hash;
    coffer__bucket *bucket = bucket_of(shard, hash);
    uint64_t wanted = coffer__slot_make(hash, shard->tail);
    for (size_t i = 0; i < COFFER__BUCKET_SLOTS; i++) {
        if ((bucket->slots[i] & ~COFFER__SLOT_READ) == wanted) {
            return &bucket->slots[i];
        }
    }
    return NULL;
}

static bool deserves_a_move(coffer__shard *shard, uint64_t slot, const allowance *budget) {
    return (slot & COFFER__SLOT_READ) != 0 && budget->moves < MOVES_MAX && budget->moved_bytes < MOVED_BYTES_MAX &&
           coffer__shard_record(shard, slot)->expires_at_ms > budget->now_ms;
}

/* From the tail to the head, unread again. They may overlap, never the other way round: in a wrapped log head <= tail. */
static void move_to_head(coffer__shard *shard, uint64_t *slot, size_t bytes, allowance *budget) {
    coffer__record *to = record_at(shard, shard->head);
    memmove(to, record_at(shard, shard->tail), bytes);
    *slot = coffer__slot_make(to->hash, shard->head);
    shard->head += bytes;
    budget->moves++;
    budget->moved_bytes += bytes;
}

/* Takes back the oldest record of a wrapped log. */
static void take_back(coffer__shard *shard, allowance *budget) {
    size_t bytes = bytes_of(record_at(shard, shard->tail));
    uint64_t *slot = slot_of_tail(shard);
    if (slot != NULL && deserves_a_move(shard, *slot, budget)) {
        move_to_head(shard, slot, bytes, budget);
    } else if (slot != NULL) {
        drop(shard, slot, budget->now_ms);
    }
    shard->tail += bytes;
    if (shard->tail == shard->end) {
        shard->tail = 0;
        shard->wrapped = false;
    }
}

/* A log in order whose end is too near: goes on at the front, where an empty one has all its room. */
static void turn_to_front(coffer__shard *shard) {
    if (shard->head == shard->tail) {
        shard->head = shard->tail = 0;
        return;
    }
    shard->end = shard->head;
    shard->head = 0;
    shard->wrapped = true;
}

/* Leaves at least `bytes` (no more than the log has) free behind the head. Ends, since after MOVES_MAX moves each step only frees. */
static void make_room(coffer__shard *shard, size_t bytes, uint64_t now_ms) {
    allowance budget = {now_ms, 0, 0};
    for (;;) {
        uint64_t limit = shard->wrapped ? shard->tail : shard->log_bytes;
        if (limit - shard->head >= bytes) {
            return;
        }
        if (shard->wrapped) {
            take_back(shard, &budget);
        } else {
            turn_to_front(shard);
        }
    }
}

/* Lowest goes first: expired, then unread ones by age, then read ones by age. */
static uint64_t rank_of(coffer__shard *shard, uint64_t slot, uint64_t now_ms) {
    if (coffer__shard_record(shard, slot)->expires_at_ms <= now_ms) {
        return 0;
    }
    uint64_t position = coffer__slot_position(slot);
    uint64_t behind_tail = position >= shard->tail ? position - shard->tail : position + shard->log_bytes - shard->tail;
    return (slot & COFFER__SLOT_READ) << 62 | (behind_tail + 1);
}

/* An empty slot of the bucket, made empty if need be. */
static uint64_t *free_slot(coffer__shard *shard, coffer__bucket *bucket, uint64_t now_ms) {
    uint64_t *lowest = NULL;
    uint64_t lowest_rank = UINT64_MAX;
    for (size_t i = 0; i < COFFER__BUCKET_SLOTS; i++) {
        uint64_t *slot = &bucket->slots[i];
        if (*slot == 0) {
            return slot;
        }
        uint64_t rank = rank_of(shard, *slot, now_ms);
        if (rank < lowest_rank) {
            lowest = slot;
            lowest_rank = rank;
        }
    }
    drop(shard, lowest, now_ms);
    return lowest;
}

static void copy(char *to, coffer_slice from) {
    if (from.len > 0) {
        memcpy(to, from.data, from.len);
    }
}

static void set_value(coffer__shard *shard, coffer__record *record, const coffer__item *item) {
    record->expires_at_ms = item->expires_at_ms;
    record->mark = item->mark;
    record->version = ++shard->versions;
    record->value_len = (uint32_t)item->value.len;
    copy(coffer__record_key(record) + record->key_len, item->value);
}

static void append(coffer__shard *shard, const coffer__item *item, size_t bytes, uint64_t now_ms) {
    make_room(shard, bytes, now_ms);
    uint64_t *slot = free_slot(shard, bucket_of(shard, item->hash), now_ms);
    coffer__record *record = record_at(shard, shard->head);
    record->hash = item->hash;
    record->key_len = (uint32_t)item->key.len;
    copy(coffer__record_key(record), item->key);
    set_value(shard, record, item);
    *slot = coffer__slot_make(item->hash, shard->head);
    shard->head += bytes;
    shard->used_bytes += bytes;
    shard->entries++;
}

/* An entry of the same size (a counter, a flag) is overwritten where it is and counts as read; any other is appended anew. */
static void replace(coffer__shard *shard, uint64_t *old, const coffer__item *item, size_t bytes, uint64_t now_ms) {
    if (old != NULL && bytes_of(coffer__shard_record(shard, *old)) == bytes) {
        set_value(shard, coffer__shard_record(shard, *old), item);
        *old |= COFFER__SLOT_READ;
        return;
    }
    if (old != NULL) {
        forget(shard, old);
    }
    append(shard, item, bytes, now_ms);
}

static bool fits(const coffer__shard *shard, const coffer__item *item) {
    uint64_t most = shard->log_bytes < UINT32_MAX ? shard->log_bytes : UINT32_MAX;
    return item->key.len <= most && item->value.len <= most && record_bytes(item->key.len, item->value.len) <= most;
}

coffer_status coffer__shard_put(coffer__shard *shard, uint64_t *old, const coffer__item *item, uint64_t now_ms) {
    coffer_status status = fits(shard, item) ? COFFER_OK : COFFER_TOO_LARGE;
    begin_change(shard);
    if (status == COFFER_OK) {
        replace(shard, old, item, record_bytes(item->key.len, item->value.len), now_ms);
    } else if (old != NULL) {
        forget(shard, old);
    }
    end_change(shard);
    return status;
}
