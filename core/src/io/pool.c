#include "pool.h"

#include "base/alloc.h"
#include "clock.h"
#include "policy/options_internal.h"

#include <assert.h>

typedef _Atomic(coffer__link *) slot;

struct coffer__pool {
    pthread_mutex_t mutex;
    coffer_client *client;
    size_t min, max;
    uint64_t idle_ms;
    size_t total, in_use, connecting, idle;
    coffer__link *newest, *oldest; /* of the idle ones */
    coffer__ticket *first, *last;
    uint64_t made_count, failed_count, waits_count, timeouts_count;
    slot *slots; /* max of them: every link with a socket, for a forked child, which cannot trust lists */
};

/* ---- tickets ---------------------------------------------------------------------------------------------------- */

void coffer__ticket_init(coffer__ticket *ticket) {
    pthread_condattr_t attributes;
    memset(ticket, 0, sizeof *ticket);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&ticket->granted, &attributes);
    pthread_condattr_destroy(&attributes);
}

void coffer__ticket_clear(coffer__ticket *ticket) {
    pthread_cond_destroy(&ticket->granted);
}

/* ---- the books; all under the mutex ----------------------------------------------------------------------------- */

static void lock(coffer__pool *pool) {
    pthread_mutex_lock(&pool->mutex);
}

static void unlock(coffer__pool *pool) {
    assert(pool->idle + pool->in_use + pool->connecting == pool->total && pool->total <= pool->max);
    assert((pool->idle == 0) == (pool->newest == NULL) && (pool->newest == NULL) == (pool->oldest == NULL));
    assert(pool->first == NULL || (pool->idle == 0 && pool->total == pool->max));
    pthread_mutex_unlock(&pool->mutex);
}

static void push_idle(coffer__pool *pool, coffer__link *link, uint64_t now_ms) {
    link->idle_since_ms = now_ms;
    link->newer = NULL;
    link->older = pool->newest;
    *(pool->newest == NULL ? &pool->oldest : &pool->newest->newer) = link;
    pool->newest = link;
    pool->idle++;
    atomic_store(&link->idle, true);
}

static void remove_idle(coffer__pool *pool, coffer__link *link) {
    atomic_store(&link->idle, false);
    *(link->newer == NULL ? &pool->newest : &link->newer->older) = link->older;
    *(link->older == NULL ? &pool->oldest : &link->older->newer) = link->newer;
    link->newer = link->older = NULL;
    pool->idle--;
}

static void forget_link(coffer__pool *pool, coffer__link *link) {
    atomic_store(&pool->slots[link->slot], NULL);
}

static bool is_expired(const coffer__pool *pool, const coffer__link *link, uint64_t now_ms) {
    return now_ms > link->idle_since_ms && now_ms - link->idle_since_ms >= pool->idle_ms;
}

/* Takes links that were unused too long out of the books; the caller frees the chain (by `older`) when the mutex is free. */
static coffer__link *take_expired(coffer__pool *pool, uint64_t now_ms) {
    coffer__link *chain = NULL;
    while (pool->oldest != NULL && pool->total > pool->min && is_expired(pool, pool->oldest, now_ms)) {
        coffer__link *link = pool->oldest;
        remove_idle(pool, link);
        forget_link(pool, link);
        pool->total--;
        link->older = chain;
        chain = link;
    }
    return chain;
}

static void free_chain(coffer__link *link) {
    while (link != NULL) {
        coffer__link *next = link->older;
        coffer__link_free(link);
        link = next;
    }
}

/* The warmest idle link or room for a new one; NONE where there is neither. */
static coffer__grant grant_now(coffer__pool *pool, coffer__ticket *ticket) {
    ticket->link = pool->newest;
    if (ticket->link != NULL) {
        remove_idle(pool, ticket->link);
        pool->in_use++;
        return COFFER__GRANT_LINK;
    }
    if (pool->total < pool->max) {
        pool->total++;
        pool->connecting++;
        return COFFER__GRANT_SLOT;
    }
    return COFFER__GRANT_NONE;
}

static void enqueue(coffer__pool *pool, coffer__ticket *ticket) {
    ticket->queued = true;
    ticket->next = NULL;
    *(pool->last == NULL ? &pool->first : &pool->last->next) = ticket;
    pool->last = ticket;
    pool->waits_count++;
}

static void dequeue(coffer__pool *pool, coffer__ticket *ticket) {
    coffer__ticket **at = &pool->first, *before = NULL;
    while (*at != ticket) {
        before = *at;
        at = &(*at)->next;
    }
    *at = ticket->next;
    if (pool->last == ticket) {
        pool->last = before;
    }
    ticket->queued = false;
}

/* Something became free: the first in the queue gets it. */
static void serve_queue(coffer__pool *pool) {
    while (pool->first != NULL) {
        coffer__ticket *ticket = pool->first;
        coffer__grant grant = grant_now(pool, ticket);
        if (grant == COFFER__GRANT_NONE) {
            return;
        }
        dequeue(pool, ticket);
        ticket->grant = grant;
        pthread_cond_signal(&ticket->granted);
    }
}

/* ---- life ------------------------------------------------------------------------------------------------------- */

coffer_status coffer__pool_new(coffer__pool **pool, coffer_client *client) {
    const coffer_options *options = coffer_client_options(client);
    coffer__pool *made = (coffer__pool *)coffer__alloc_zero(sizeof *made);
    if (made != NULL) {
        made->max = (size_t)options->pool_max_count;
        made->slots = (slot *)coffer__alloc_zero(made->max * sizeof *made->slots);
    }
    if (made == NULL || made->slots == NULL) {
        coffer__release(made);
        return COFFER_NO_MEMORY;
    }
    made->client = client;
    made->min = (size_t)options->pool_min_count;
    made->idle_ms = options->pool_idle_ms;
    pthread_mutex_init(&made->mutex, NULL);
    *pool = made;
    return COFFER_OK;
}

void coffer__pool_free(coffer__pool *pool) {
    if (pool == NULL) {
        return;
    }
    free_chain(pool->newest);
    pthread_mutex_destroy(&pool->mutex);
    coffer__release(pool->slots);
    coffer__release(pool);
}

/* What a thread of the parent was doing with a link is unknown here: such a link's memory is left alone. An idle one is whole. */
void coffer__pool_after_fork(coffer__pool *pool) {
    for (size_t i = 0; i < pool->max; i++) {
        coffer__link *link = atomic_load(&pool->slots[i]);
        atomic_store(&pool->slots[i], NULL);
        if (link == NULL) {
            continue;
        }
        coffer__link_disown(link);
        if (atomic_load(&link->idle)) {
            coffer__link_free(link);
        }
    }
    pthread_mutex_init(&pool->mutex, NULL);
    pool->total = pool->in_use = pool->connecting = pool->idle = 0;
    pool->newest = pool->oldest = NULL;
    pool->first = pool->last = NULL;
}

/* ---- taking ----------------------------------------------------------------------------------------------------- */

coffer__grant coffer__pool_take(coffer__pool *pool, coffer__ticket *ticket, uint64_t now_ms) {
    lock(pool);
    coffer__link *expired = take_expired(pool, now_ms);
    ticket->grant = pool->first != NULL ? COFFER__GRANT_NONE : grant_now(pool, ticket);
    coffer__grant grant = ticket->grant;
    if (grant == COFFER__GRANT_NONE) {
        enqueue(pool, ticket);
    }
    unlock(pool);
    free_chain(expired);
    return grant;
}

coffer__grant coffer__pool_wait(coffer__pool *pool, coffer__ticket *ticket, uint64_t until_us) {
    const struct timespec until = coffer__clock_deadline(until_us);
    lock(pool);
    int timed_out = 0;
    while (ticket->grant == COFFER__GRANT_NONE && timed_out == 0) {
        timed_out = pthread_cond_timedwait(&ticket->granted, &pool->mutex, &until);
    }
    coffer__grant grant = ticket->grant;
    unlock(pool);
    return grant;
}

void coffer__pool_leave(coffer__pool *pool, coffer__ticket *ticket) {
    lock(pool);
    if (ticket->queued) {
        dequeue(pool, ticket);
    } else if (ticket->grant == COFFER__GRANT_LINK) {
        pool->in_use--;
        push_idle(pool, ticket->link, coffer__clock_ms());
        serve_queue(pool);
    } else if (ticket->grant == COFFER__GRANT_SLOT) {
        pool->connecting--;
        pool->total--;
        serve_queue(pool);
    }
    ticket->grant = COFFER__GRANT_NONE;
    unlock(pool);
}

coffer__grant coffer__pool_replace(coffer__pool *pool, coffer__ticket *ticket, coffer__link *dead, uint64_t now_ms) {
    lock(pool);
    forget_link(pool, dead);
    pool->in_use--;
    pool->total--;
    coffer__link *expired = take_expired(pool, now_ms);
    coffer__grant grant = ticket->grant = grant_now(pool, ticket);
    unlock(pool);
    free_chain(expired);
    coffer__link_free(dead);
    return grant;
}

/* ---- connecting ------------------------------------------------------------------------------------------------- */

coffer_status coffer__pool_make(coffer__pool *pool, const coffer_endpoint *endpoint, coffer__link **link) {
    coffer_status status = coffer__link_new(link, pool->client, endpoint);
    if (status != COFFER_OK) {
        return status;
    }
    lock(pool);
    size_t free_slot = 0;
    while (atomic_load(&pool->slots[free_slot]) != NULL) { /* there are as many as links may be */
        free_slot++;
    }
    (*link)->slot = free_slot;
    atomic_store(&pool->slots[free_slot], *link);
    unlock(pool);
    return COFFER_OK;
}

void coffer__pool_opened(coffer__pool *pool, coffer__link *link) {
    (void)link;
    lock(pool);
    pool->connecting--;
    pool->in_use++;
    pool->made_count++;
    unlock(pool);
}

void coffer__pool_give_up_slot(coffer__pool *pool, coffer__link *link) {
    lock(pool);
    if (link != NULL) {
        forget_link(pool, link);
    }
    pool->connecting--;
    pool->total--;
    pool->failed_count++;
    serve_queue(pool);
    unlock(pool);
    coffer__link_free(link);
}

/* ---- giving back ------------------------------------------------------------------------------------------------ */

void coffer__pool_give(coffer__pool *pool, coffer__link *link, uint64_t now_ms) {
    bool keep = coffer_conn_idle(link->conn);
    lock(pool);
    pool->in_use--;
    if (keep) {
        push_idle(pool, link, now_ms);
    } else {
        forget_link(pool, link);
        pool->total--;
    }
    serve_queue(pool);
    coffer__link *expired = take_expired(pool, now_ms);
    unlock(pool);
    free_chain(expired);
    if (!keep) {
        coffer__link_free(link);
    }
}

/* ---- figures ---------------------------------------------------------------------------------------------------- */

void coffer__pool_count_timeout(coffer__pool *pool) {
    lock(pool);
    pool->timeouts_count++;
    unlock(pool);
}

void coffer__pool_read(coffer__pool *pool, coffer_metrics *metrics) {
    lock(pool);
    metrics->connections_open = pool->in_use + pool->idle;
    metrics->connections_in_use = pool->in_use;
    metrics->connections_made = pool->made_count;
    metrics->connections_failed = pool->failed_count;
    metrics->pool_waits = pool->waits_count;
    metrics->pool_timeouts = pool->timeouts_count;
    unlock(pool);
}

size_t coffer__pool_max(const coffer__pool *pool) {
    return pool->max;
}

uint64_t coffer__pool_acquire_ms(const coffer__pool *pool) {
    return coffer_client_options(pool->client)->acquire_timeout_ms;
}
