#include "owed.h"

#include "base/alloc.h"
#include "base/hash.h"
#include "base/lock.h"
#include "base/random.h"

#include <stdatomic.h>

enum { BUCKETS = 1024 };

struct coffer__owed {
    coffer__lock *lock;
    coffer__hash_key secret;
    size_t memory_bytes, used_bytes;
    _Atomic size_t count; /* not taken */
    _Atomic size_t held; /* taken or not */
    _Atomic uint64_t lost;
    coffer__owed_key *buckets[BUCKETS];
};

coffer_status coffer__owed_new(coffer__owed **owed, size_t memory_bytes) {
    *owed = (coffer__owed *)coffer__alloc_zero(sizeof **owed);
    if (*owed == NULL) {
        return COFFER_NO_MEMORY;
    }
    (*owed)->lock = coffer__lock_new();
    if ((*owed)->lock == NULL) {
        coffer__release(*owed);
        *owed = NULL;
        return COFFER_NO_MEMORY;
    }
    (*owed)->secret = (coffer__hash_key){coffer__random_u64(), coffer__random_u64()};
    (*owed)->memory_bytes = memory_bytes;
    return COFFER_OK;
}

static void free_bucket(coffer__owed_key *key) {
    while (key != NULL) {
        coffer__owed_key *next = key->in_bucket;
        coffer__release(key);
        key = next;
    }
}

void coffer__owed_free(coffer__owed *owed) {
    if (owed != NULL) {
        for (size_t i = 0; i < BUCKETS; i++) {
            free_bucket(owed->buckets[i]);
        }
        coffer__lock_free(owed->lock);
        coffer__release(owed);
    }
}

static size_t cost_of(size_t len) {
    return sizeof(coffer__owed_key) + len;
}

/* Under the lock, as what follows. `also_taken`: else only one that nobody has taken. */
static bool is_in(const coffer__owed *owed, coffer_slice key, uint64_t hash, bool also_taken) {
    const coffer__owed_key *at = owed->buckets[hash % BUCKETS];
    while (at != NULL &&
           !(at->hash == hash && (also_taken || at->state == COFFER__OWED_KEPT) && coffer_slice_equal(key, coffer_slice_of(at->bytes, at->len)))) {
        at = at->in_bucket;
    }
    return at != NULL;
}

static bool has_room(const coffer__owed *owed, size_t len) {
    return cost_of(len) <= owed->memory_bytes - owed->used_bytes;
}

static void put(coffer__owed *owed, coffer__owed_key *key) {
    coffer__owed_key **bucket = &owed->buckets[key->hash % BUCKETS];
    key->state = COFFER__OWED_KEPT;
    key->in_bucket = *bucket;
    *bucket = key;
    owed->used_bytes += cost_of(key->len);
    atomic_fetch_add_explicit(&owed->held, 1, memory_order_release);
    atomic_fetch_add_explicit(&owed->count, 1, memory_order_release);
}

static void unlink_key(coffer__owed *owed, coffer__owed_key *key) {
    coffer__owed_key **at = &owed->buckets[key->hash % BUCKETS];
    while (*at != key) {
        at = &(*at)->in_bucket;
    }
    *at = key->in_bucket;
    owed->used_bytes -= cost_of(key->len);
    atomic_fetch_sub_explicit(&owed->held, 1, memory_order_release);
}

static void drop(coffer__owed *owed, coffer__owed_key *key) {
    if (key->state == COFFER__OWED_TAKEN) {
        unlink_key(owed, key);
    }
    coffer__release(key);
}

static bool add_locked(coffer__owed *owed, coffer_slice wire_key, uint64_t hash) {
    if (is_in(owed, wire_key, hash, false)) { /* one that is being deleted may be gone before this write */
        return true;
    }
    coffer__owed_key *key = has_room(owed, wire_key.len) ? (coffer__owed_key *)coffer__alloc(cost_of(wire_key.len)) : NULL;
    if (key == NULL) {
        return false;
    }
    key->hash = hash;
    key->len = wire_key.len;
    memcpy(key->bytes, wire_key.data, wire_key.len);
    put(owed, key);
    return true;
}

/* A thread of the parent may have been at it: what is in the buckets counts. What was taken is the child's to delete too, by a copy: the list is whoever's
 * it was. */
void coffer__owed_after_fork(coffer__owed *owed) {
    size_t count = 0;
    coffer__owed_key *taken = NULL;
    owed->used_bytes = 0;
    coffer__lock_reset(owed->lock);
    for (size_t i = 0; i < BUCKETS; i++) {
        for (coffer__owed_key **at = &owed->buckets[i]; *at != NULL;) {
            coffer__owed_key *key = *at;
            if (key->state == COFFER__OWED_TAKEN) {
                *at = key->in_bucket;
                key->in_bucket = taken;
                taken = key;
            } else {
                owed->used_bytes += cost_of(key->len);
                count++;
                at = &key->in_bucket;
            }
        }
    }
    atomic_store_explicit(&owed->count, count, memory_order_relaxed);
    atomic_store_explicit(&owed->held, count, memory_order_relaxed);
    for (; taken != NULL; taken = taken->in_bucket) {
        taken->state = COFFER__OWED_ORPHAN;
        coffer__owed_lose(owed, add_locked(owed, coffer_slice_of(taken->bytes, taken->len), taken->hash) ? 0 : 1);
    }
}

bool coffer__owed_add(coffer__owed *owed, coffer_slice wire_key) {
    uint64_t hash = coffer__hash(owed->secret, wire_key);
    coffer__lock_take(owed->lock);
    bool added = add_locked(owed, wire_key, hash);
    coffer__lock_drop(owed->lock);
    coffer__owed_lose(owed, added ? 0 : 1);
    return added;
}

void coffer__owed_lose(coffer__owed *owed, size_t count) {
    atomic_fetch_add_explicit(&owed->lost, count, memory_order_relaxed);
}

uint64_t coffer__owed_lost(const coffer__owed *owed) {
    return atomic_load_explicit(&owed->lost, memory_order_relaxed);
}

bool coffer__owed_any(const coffer__owed *owed) {
    return atomic_load_explicit(&owed->count, memory_order_acquire) != 0;
}

bool coffer__owed_holds(coffer__owed *owed, coffer_slice wire_key) {
    if (atomic_load_explicit(&owed->held, memory_order_acquire) == 0) {
        return false;
    }
    uint64_t hash = coffer__hash(owed->secret, wire_key);
    coffer__lock_take(owed->lock);
    bool holds = is_in(owed, wire_key, hash, true);
    coffer__lock_drop(owed->lock);
    return holds;
}

size_t coffer__owed_count(const coffer__owed *owed) {
    return atomic_load_explicit(&owed->count, memory_order_relaxed);
}

coffer__owed_key *coffer__owed_take(coffer__owed *owed, size_t most, size_t *count) {
    coffer__owed_key *taken = NULL;
    *count = 0;
    coffer__lock_take(owed->lock);
    size_t there = atomic_load_explicit(&owed->count, memory_order_relaxed);
    for (size_t i = 0; i < BUCKETS && *count < there && *count < most; i++) {
        for (coffer__owed_key *key = owed->buckets[i]; key != NULL && *count < most; key = key->in_bucket) {
            if (key->state == COFFER__OWED_KEPT) {
                key->state = COFFER__OWED_TAKEN;
                key->next = taken;
                taken = key;
                ++*count;
            }
        }
    }
    atomic_fetch_sub_explicit(&owed->count, *count, memory_order_release);
    coffer__lock_drop(owed->lock);
    return taken;
}

void coffer__owed_forget(coffer__owed *owed, coffer__owed_key *keys) {
    coffer__lock_take(owed->lock);
    while (keys != NULL) {
        coffer__owed_key *next = keys->next;
        drop(owed, keys);
        keys = next;
    }
    coffer__lock_drop(owed->lock);
}

void coffer__owed_give_back(coffer__owed *owed, coffer__owed_key *keys) {
    coffer__lock_take(owed->lock);
    while (keys != NULL) {
        coffer__owed_key *next = keys->next;
        bool again = is_in(owed, coffer_slice_of(keys->bytes, keys->len), keys->hash, false); /* written once more meanwhile */
        if (again || keys->state == COFFER__OWED_ORPHAN) {
            drop(owed, keys);
        } else {
            keys->state = COFFER__OWED_KEPT;
            atomic_fetch_add_explicit(&owed->count, 1, memory_order_release);
        }
        keys = next;
    }
    coffer__lock_drop(owed->lock);
}
