#include "endpoints.h"

#include "base/alloc.h"
#include "base/hash.h"
#include "base/lock.h"
#include "base/random.h"

#include <string.h>

enum { BUCKETS = 256 };

typedef struct interned {
    coffer_endpoint endpoint; /* first: what is lent is a pointer to it */
    struct interned *next;
    _Atomic unsigned timeouts;
    _Atomic(const coffer_endpoint *) replicas[COFFER__REPLICAS_MOST];
    size_t replica_count; /* while they are listed: so far */
    char names[]; /* host, path */
} interned;

struct coffer__endpoints {
    coffer__lock *lock;
    coffer__hash_key key;
    size_t count;
    interned *buckets[BUCKETS];
};

coffer__endpoints *coffer__endpoints_new(void) {
    coffer__endpoints *made = (coffer__endpoints *)coffer__alloc_zero(sizeof *made);
    if (made != NULL && (made->lock = coffer__lock_new()) == NULL) {
        coffer__release(made);
        return NULL;
    }
    if (made != NULL) {
        made->key = (coffer__hash_key){coffer__random_u64(), coffer__random_u64()};
    }
    return made;
}

void coffer__endpoints_free(coffer__endpoints *endpoints) {
    if (endpoints == NULL) {
        return;
    }
    for (size_t i = 0; i < BUCKETS; i++) {
        for (interned *one = endpoints->buckets[i], *next; one != NULL; one = next) {
            next = one->next;
            coffer__release(one);
        }
    }
    coffer__lock_free(endpoints->lock);
    coffer__release(endpoints);
}

void coffer__endpoints_after_fork(coffer__endpoints *endpoints) {
    coffer__lock_reset(endpoints->lock);
}

static bool is_same(const coffer_endpoint *a, const coffer_endpoint *b) {
    return a->port == b->port && a->tls == b->tls && a->replica == b->replica && coffer_slice_equal(a->host, b->host) &&
           coffer_slice_equal(a->path, b->path);
}

static void copy_text(coffer_slice *text, char *to) {
    if (text->len > 0) {
        memcpy(to, text->data, text->len);
    }
    text->data = to;
}

static interned *make(const coffer_endpoint *wanted) {
    interned *made = (interned *)coffer__alloc_zero(sizeof *made + wanted->host.len + wanted->path.len);
    if (made != NULL) {
        made->endpoint = *wanted;
        copy_text(&made->endpoint.host, made->names);
        copy_text(&made->endpoint.path, made->names + wanted->host.len);
    }
    return made;
}

static const coffer_endpoint *find_or_make(coffer__endpoints *endpoints, const coffer_endpoint *wanted) {
    uint64_t hash = coffer__hash(endpoints->key, wanted->path.len > 0 ? wanted->path : wanted->host) + wanted->port;
    interned **bucket = &endpoints->buckets[hash % BUCKETS];
    for (interned *one = *bucket; one != NULL; one = one->next) {
        if (is_same(&one->endpoint, wanted)) {
            return &one->endpoint;
        }
    }
    interned *made = endpoints->count < COFFER__ENDPOINTS_MOST ? make(wanted) : NULL;
    if (made == NULL) {
        return NULL;
    }
    made->next = *bucket;
    *bucket = made;
    endpoints->count++;
    return &made->endpoint;
}

const coffer_endpoint *coffer__endpoints_intern(coffer__endpoints *endpoints, const coffer_endpoint *wanted) {
    coffer__lock_take(endpoints->lock);
    const coffer_endpoint *found = find_or_make(endpoints, wanted);
    coffer__lock_drop(endpoints->lock);
    return found;
}

static interned *of(const coffer_endpoint *endpoint) {
    return (interned *)(uintptr_t)endpoint;
}

unsigned coffer__endpoint_timed_out(const coffer_endpoint *endpoint) {
    return atomic_fetch_add_explicit(&of(endpoint)->timeouts, 1, memory_order_relaxed) + 1;
}

void coffer__endpoint_answered(const coffer_endpoint *endpoint) {
    if (atomic_load_explicit(&of(endpoint)->timeouts, memory_order_relaxed) != 0) {
        atomic_store_explicit(&of(endpoint)->timeouts, 0, memory_order_relaxed);
    }
}

/* ---- replicas --------------------------------------------------------------------------------------------------- */

const coffer_endpoint *coffer__endpoint_replica(const coffer_endpoint *primary, size_t index) {
    return index < COFFER__REPLICAS_MOST ? atomic_load_explicit(&of(primary)->replicas[index], memory_order_acquire) : NULL;
}

void coffer__endpoint_replicas_begin(const coffer_endpoint *primary) {
    of(primary)->replica_count = 0;
}

static bool is_listed(const interned *primary, const coffer_endpoint *replica) {
    size_t at = 0;
    while (at < primary->replica_count && atomic_load_explicit(&primary->replicas[at], memory_order_relaxed) != replica) {
        at++;
    }
    return at < primary->replica_count;
}

void coffer__endpoint_replicas_add(const coffer_endpoint *primary, const coffer_endpoint *replica) {
    interned *one = of(primary);
    if (one->replica_count < COFFER__REPLICAS_MOST && !is_listed(one, replica)) {
        atomic_store_explicit(&one->replicas[one->replica_count++], replica, memory_order_release);
    }
}

/* Only now do those of before go that are no more: nobody sees a list that is empty for a moment. */
void coffer__endpoint_replicas_end(const coffer_endpoint *primary) {
    for (size_t i = of(primary)->replica_count; i < COFFER__REPLICAS_MOST; i++) {
        atomic_store_explicit(&of(primary)->replicas[i], NULL, memory_order_relaxed);
    }
}
