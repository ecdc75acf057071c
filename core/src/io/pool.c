#include "pool.h"

#include "base/alloc.h"
#include "clock.h"
#include "policy/options_internal.h"
#include "run.h"

#include <assert.h>
#include <pthread.h>

/* So many callers have a link each: what they ask is written and answered side by side. More share, as many on one link as it takes, for what they ask
 * is written together. Where it turns is measured: bench row T4. */
enum { CALLERS_APART = 8 };

typedef _Atomic(coffer__link *) slot;

struct coffer__row {
    coffer__link *first, *last;
};

struct coffer__pool {
    pthread_mutex_t mutex;
    coffer_client *client;
    const coffer_endpoint *endpoint;
    size_t min, max, depth;
    uint64_t idle_ms;
    size_t total, in_use, connecting, idle, queued;
    size_t users_count; /* shares that are out */
    bool failing; /* the last that was made or given back was of no use: who can share another does */
    coffer__row unused; /* the idle ones; the first was given back last */
    coffer__row shared; /* in use, with room for another caller */
    coffer__ticket *first, *last;
    uint64_t made_count, failed_count, waits_count, timeouts_count;
    slot *slots; /* max of them: every link with a socket, for a forked child, which cannot trust lists */
};

/* ---- the books; all under the mutex ----------------------------------------------------------------------------- */

static void lock(coffer__pool *pool) {
    pthread_mutex_lock(&pool->mutex);
}

static void unlock(coffer__pool *pool) {
    assert(pool->idle + pool->in_use + pool->connecting == pool->total && pool->total <= pool->max);
    assert((pool->idle == 0) == (pool->unused.first == NULL));
    assert(pool->first == NULL || (pool->unused.first == NULL && pool->shared.first == NULL));
    pthread_mutex_unlock(&pool->mutex);
}

static void leave_row(coffer__link *link) {
    coffer__row *of = link->row;
    if (of != NULL) {
        *(link->before == NULL ? &of->first : &link->before->after) = link->after;
        *(link->after == NULL ? &of->last : &link->after->before) = link->before;
        link->before = link->after = NULL;
        link->row = NULL;
    }
}

static void put_first(coffer__row *row, coffer__link *link) {
    leave_row(link);
    link->row = row;
    link->after = row->first;
    *(row->first == NULL ? &row->last : &row->first->before) = link;
    row->first = link;
}

static void put_last(coffer__row *row, coffer__link *link) {
    leave_row(link);
    link->row = row;
    link->before = row->last;
    *(row->last == NULL ? &row->first : &row->last->after) = link;
    row->last = link;
}

static void forget_link(coffer__pool *pool, coffer__link *link) {
    atomic_store(&pool->slots[link->slot], NULL);
}

static bool is_broken(const coffer__link *link) {
    return atomic_load_explicit(&link->broken, memory_order_relaxed);
}

static bool is_expired(const coffer__pool *pool, const coffer__link *link, uint64_t now_ms) {
    return now_ms > link->idle_since_ms && now_ms - link->idle_since_ms >= pool->idle_ms;
}

/* Takes links that were unused too long out of the books; the caller frees the chain (by `after`) when the mutex is free. */
static coffer__link *take_expired(coffer__pool *pool, uint64_t now_ms) {
    coffer__link *chain = NULL;
    while (pool->idle > 0 && pool->total > pool->min && is_expired(pool, pool->unused.last, now_ms)) {
        coffer__link *link = pool->unused.last;
        leave_row(link);
        pool->idle--;
        forget_link(pool, link);
        pool->total--;
        link->after = chain;
        chain = link;
    }
    return chain;
}

static void free_chain(coffer__link *link) {
    while (link != NULL) {
        coffer__link *next = link->after;
        coffer__link_free(link);
        link = next;
    }
}

static void share(coffer__pool *pool, coffer__link *link) {
    size_t users = atomic_fetch_add(&link->users, 1);
    pool->users_count++;
    if (users == 0) {
        pool->idle--;
        pool->in_use++;
    }
    if (users + 1 < pool->depth) {
        put_first(&pool->shared, link);
    } else {
        leave_row(link);
    }
}

/* The links that are being made will have room for so many beside those who make them. */
static size_t room_to_come(const coffer__pool *pool) {
    return pool->connecting * (pool->depth - 1);
}

/* One to share: the ticket's last, whose callers come and go together with it; else the one that was taken last. */
static coffer__link *find_shared(coffer__pool *pool, const coffer__ticket *ticket) {
    while (pool->shared.first != NULL && is_broken(pool->shared.first)) {
        leave_row(pool->shared.first); /* its last user closes it */
    }
    coffer__link *own = ticket->slot < pool->max ? atomic_load_explicit(&pool->slots[ticket->slot], memory_order_relaxed) : NULL;
    return own != NULL && own->row == &pool->shared && !is_broken(own) ? own : pool->shared.first;
}

/* `waiting`: how many want one before this ticket. */
static coffer__grant grant_now(coffer__pool *pool, coffer__ticket *ticket, size_t waiting) {
    bool apart = pool->users_count < CALLERS_APART;
    bool may_make = pool->total < pool->max && ((apart && pool->total < CALLERS_APART) || waiting >= room_to_come(pool));
    ticket->link = apart ? pool->unused.first : NULL;
    if (ticket->link == NULL && !(apart && may_make && !pool->failing)) {
        ticket->link = find_shared(pool, ticket);
    }
    if (ticket->link == NULL) {
        ticket->link = pool->unused.first;
    }
    if (ticket->link != NULL) {
        share(pool, ticket->link);
        ticket->slot = ticket->link->slot;
        return COFFER__GRANT_LINK;
    }
    if (may_make) {
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
    pool->queued++;
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
    pool->queued--;
}

/* Something became free: the first in the queue get it. Each is woken here: it cannot leave, and be gone, without the mutex. */
static void serve_queue(coffer__pool *pool) {
    while (pool->first != NULL) {
        coffer__ticket *ticket = pool->first;
        coffer__grant grant = grant_now(pool, ticket, pool->queued - 1);
        if (grant == COFFER__GRANT_NONE) {
            return;
        }
        dequeue(pool, ticket);
        ticket->grant = grant;
        coffer__run_wake(ticket->run);
    }
}

/* ---- life ------------------------------------------------------------------------------------------------------- */

coffer_status coffer__pool_new(coffer__pool **pool, coffer_client *client, const coffer_endpoint *endpoint) {
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
    made->endpoint = endpoint;
    made->depth = (size_t)options->pipeline_depth_count;
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
    free_chain(pool->unused.first);
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
        if (atomic_load(&link->users) == 0) {
            coffer__link_free(link);
        }
    }
    pthread_mutex_init(&pool->mutex, NULL);
    pool->total = pool->in_use = pool->connecting = pool->idle = pool->queued = pool->users_count = 0;
    pool->unused = pool->shared = (coffer__row){.first = NULL};
    pool->first = pool->last = NULL;
}

/* ---- taking ----------------------------------------------------------------------------------------------------- */

coffer__grant coffer__pool_take(coffer__pool *pool, coffer__ticket *ticket, uint64_t now_ms) {
    lock(pool);
    coffer__link *expired = take_expired(pool, now_ms);
    ticket->grant = pool->first != NULL && room_to_come(pool) == 0 ? COFFER__GRANT_NONE : grant_now(pool, ticket, pool->queued);
    coffer__grant grant = ticket->grant;
    if (grant == COFFER__GRANT_NONE) {
        enqueue(pool, ticket);
    }
    unlock(pool);
    free_chain(expired);
    return grant;
}

coffer__grant coffer__pool_granted(coffer__pool *pool, const coffer__ticket *ticket) {
    lock(pool);
    coffer__grant grant = ticket->grant;
    unlock(pool);
    return grant;
}

/* With no user, and nobody able to become one without the mutex, the conn may be looked into. */
static bool may_idle(coffer__link *link) {
    return !is_broken(link) && coffer_conn_idle(link->conn);
}

/* A share less. The link that nobody wants any more, for the caller to free when the mutex is free; else NULL. */
static coffer__link *unshare(coffer__pool *pool, coffer__link *link, uint64_t now_ms) {
    bool last = atomic_fetch_sub(&link->users, 1) == 1;
    pool->in_use -= last;
    pool->users_count--;
    pool->failing = last ? !may_idle(link) : pool->failing;
    if (last && pool->failing) {
        leave_row(link);
        forget_link(pool, link);
        pool->total--;
        return link;
    }
    if (last) {
        link->idle_since_ms = now_ms;
        pool->idle++;
        put_first(&pool->unused, link);
    } else if (link->row == NULL && !is_broken(link)) {
        put_first(&pool->shared, link);
    }
    return NULL;
}

void coffer__pool_leave(coffer__pool *pool, coffer__ticket *ticket, uint64_t now_ms) {
    coffer__link *gone = NULL;
    lock(pool);
    if (ticket->queued) {
        dequeue(pool, ticket);
    } else if (ticket->grant == COFFER__GRANT_LINK) {
        gone = unshare(pool, ticket->link, now_ms);
    } else if (ticket->grant == COFFER__GRANT_SLOT) {
        pool->connecting--;
        pool->total--;
    }
    serve_queue(pool);
    ticket->grant = COFFER__GRANT_NONE;
    unlock(pool);
    coffer__link_free(gone);
}

/* ---- connecting ------------------------------------------------------------------------------------------------- */

coffer_status coffer__pool_make(coffer__pool *pool, coffer__link **link) {
    coffer_status status = coffer__link_new(link, pool->client, pool->endpoint);
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

void coffer__pool_opened(coffer__pool *pool, coffer__link *link, uint64_t now_ms) {
    lock(pool);
    coffer__link *expired = take_expired(pool, now_ms);
    pool->connecting--;
    pool->in_use++;
    pool->made_count++;
    pool->users_count++;
    if (pool->depth > 1) {
        put_last(&pool->shared, link);
    }
    serve_queue(pool);
    unlock(pool);
    free_chain(expired);
}

void coffer__pool_give_up_slot(coffer__pool *pool, coffer__link *link) {
    lock(pool);
    if (link != NULL) {
        forget_link(pool, link);
    }
    pool->connecting--;
    pool->total--;
    pool->failed_count++;
    pool->failing = true;
    serve_queue(pool);
    unlock(pool);
    coffer__link_free(link);
}

/* ---- giving back ------------------------------------------------------------------------------------------------ */

void coffer__pool_give(coffer__pool *pool, coffer__link *link, uint64_t now_ms) {
    lock(pool);
    coffer__link *gone = unshare(pool, link, now_ms);
    serve_queue(pool);
    coffer__link *expired = take_expired(pool, now_ms);
    unlock(pool);
    free_chain(expired);
    coffer__link_free(gone);
}

/* ---- figures ---------------------------------------------------------------------------------------------------- */

void coffer__pool_count_timeout(coffer__pool *pool) {
    lock(pool);
    pool->timeouts_count++;
    unlock(pool);
}

void coffer__pool_add(coffer__pool *pool, coffer_metrics *metrics) {
    lock(pool);
    metrics->connections_open += pool->in_use + pool->idle;
    metrics->connections_in_use += pool->in_use;
    metrics->connections_made += pool->made_count;
    metrics->connections_failed += pool->failed_count;
    metrics->pool_waits += pool->waits_count;
    metrics->pool_timeouts += pool->timeouts_count;
    unlock(pool);
}

size_t coffer__pool_max(const coffer__pool *pool) {
    return pool->max;
}

uint64_t coffer__pool_acquire_ms(const coffer__pool *pool) {
    return coffer_client_options(pool->client)->acquire_timeout_ms;
}
