#include "pools.h"

#include "base/alloc.h"
#include "listen.h"
#include "pump.h"
#include "run.h"

#include <pthread.h>

/* Entries are only ever added, in front, so that looking takes no lock. */
typedef struct entry {
    struct entry *next;
    const coffer_endpoint *endpoint;
    coffer__pool *pool;
} entry;

struct coffer__pools {
    coffer_client *client;
    _Atomic(entry *) first;
    pthread_mutex_t mutex; /* who adds */
    _Atomic(coffer_op *) chore; /* begun, and nobody's at the moment */
    coffer__listener listener;
    coffer__pump pump;
};

coffer_status coffer__pools_new(coffer__pools **pools, coffer_client *client) {
    *pools = (coffer__pools *)coffer__alloc_zero(sizeof **pools);
    if (*pools == NULL) {
        return COFFER_NO_MEMORY;
    }
    (*pools)->client = client;
    pthread_mutex_init(&(*pools)->mutex, NULL);
    coffer__listener_init(&(*pools)->listener, client);
    coffer__pump_init(&(*pools)->pump, *pools, client);
    return COFFER_OK;
}

void coffer__pools_free(coffer__pools *pools) {
    if (pools == NULL) {
        return;
    }
    coffer__pump_clear(&pools->pump);
    coffer__run_drop(atomic_load(&pools->chore));
    coffer__listener_clear(&pools->listener);
    for (entry *at = atomic_load(&pools->first); at != NULL;) {
        entry *next = at->next;
        coffer__pool_free(at->pool);
        coffer__release(at);
        at = next;
    }
    pthread_mutex_destroy(&pools->mutex);
    coffer__release(pools);
}

void coffer__pools_after_fork(coffer__pools *pools) {
    pthread_mutex_init(&pools->mutex, NULL);
    coffer__listener_after_fork(&pools->listener);
    coffer__pump_after_fork(&pools->pump);
    for (entry *at = atomic_load(&pools->first); at != NULL; at = at->next) {
        coffer__pool_after_fork(at->pool);
    }
}

void coffer__pools_read(coffer__pools *pools, coffer_metrics *metrics) {
    metrics->connections_open = metrics->connections_in_use = metrics->connections_made = 0;
    metrics->connections_failed = metrics->pool_waits = metrics->pool_timeouts = 0;
    for (entry *at = atomic_load(&pools->first); at != NULL; at = at->next) {
        coffer__pool_add(at->pool, metrics);
    }
    coffer__listener_add(&pools->listener, metrics);
    coffer__pump_add(&pools->pump, metrics);
}

static coffer__pool *find(coffer__pools *pools, const coffer_endpoint *endpoint) {
    const entry *at = atomic_load_explicit(&pools->first, memory_order_acquire);
    while (at != NULL && at->endpoint != endpoint) {
        at = at->next;
    }
    return at == NULL ? NULL : at->pool;
}

static coffer__pool *add(coffer__pools *pools, const coffer_endpoint *endpoint) {
    entry *made = (entry *)coffer__alloc_zero(sizeof *made);
    if (made == NULL || coffer__pool_new(&made->pool, pools->client, endpoint) != COFFER_OK) {
        coffer__release(made);
        return NULL;
    }
    made->endpoint = endpoint;
    made->next = atomic_load(&pools->first);
    atomic_store_explicit(&pools->first, made, memory_order_release);
    return made->pool;
}

coffer__pool *coffer__pools_at(coffer__pools *pools, const coffer_endpoint *endpoint) {
    coffer__pool *pool = find(pools, endpoint);
    if (pool == NULL) {
        pthread_mutex_lock(&pools->mutex);
        pool = find(pools, endpoint);
        pool = pool == NULL ? add(pools, endpoint) : pool;
        pthread_mutex_unlock(&pools->mutex);
    }
    return pool;
}

coffer_op *coffer__pools_chore(coffer__pools *pools, uint64_t now_ms) {
    coffer__listener_look(&pools->listener, now_ms);
    coffer__pump_need(&pools->pump, now_ms);
    if (atomic_load_explicit(&pools->chore, memory_order_relaxed) != NULL) {
        coffer_op *begun = atomic_exchange(&pools->chore, NULL);
        if (begun != NULL) {
            return begun;
        }
    }
    return coffer_client_chores(pools->client, now_ms);
}

void coffer__pools_put_back(coffer__pools *pools, coffer_op *chore) {
    coffer__run_drop(atomic_exchange(&pools->chore, chore)); /* none is there: one is out at a time */
}
