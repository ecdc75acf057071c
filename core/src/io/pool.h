/* pool: the links to one endpoint, and who may use them.
 *
 *                      take                      opened
 *     queue of tickets ----> a slot: connect it ------> in use ---- give, the last ----> idle
 *          ^      |             | give_up_slot        ^  | |  '-- broken: closed            |
 *          |      '-- a share of one with room -------'  '-' take, give                     |
 *          '--- take: none  '--> gone                 ^                                     |
 *                                                     '--------------- take ----------------'
 *
 *     idle + in_use + connecting == total <= max          asserted after each step in debug builds
 *
 * A link takes several callers (`pipeline_depth`). As long as callers are few, each gets one of its own; the more there are, the more of them share:
 * then one that is shared already and has room is taken, and a new one made only where none has. What cannot be had now is waited for, first come first served; a link that is being made counts as room for those who wait, so that a burst does not open more than it needs.
 * Whoever gives back hands the share, or the place, straight to the first ticket: nobody who comes later can take it. The ticket's owner may be
 * elsewhere meanwhile (between two slices of its op); leaving the queue passes on what it was handed.
 * Links that were unused for pool_idle_timeout are closed when somebody finds them so: the oldest at each give, all of them at take; but
 * pool_min are kept. There is no background thread.
 * All of it may be called from any thread. */
#ifndef COFFER_IO_POOL_H
#define COFFER_IO_POOL_H

#include "link.h"
#include <coffer/metrics.h>

typedef struct coffer__pool coffer__pool;

typedef enum coffer__grant {
    COFFER__GRANT_NONE, /* queued: wait */
    COFFER__GRANT_LINK, /* a share of ticket->link is the caller's; it may have been closed by the server */
    COFFER__GRANT_SLOT /* there is room for one more: connect it, then opened or give_up_slot */
} coffer__grant;

typedef struct coffer__ticket {
    struct coffer__ticket *next;
    bool queued;
    coffer__grant grant;
    coffer__link *link;
    size_t slot; /* its place in the pool; of the last one too, which is preferred. Any number at the beginning */
    void *run; /* woken by coffer__run_wake when it is granted something */
} coffer__ticket;

coffer_status coffer__pool_new(coffer__pool **pool, coffer_client *client, const coffer_endpoint *endpoint); /* both are lent */
void coffer__pool_free(coffer__pool *pool); /* closes idle links; no other may be out; takes NULL */

/* Once in a forked child, before any other use there: the parent's sockets are closed (only that), everything starts empty. */
void coffer__pool_after_fork(coffer__pool *pool);

/* A share of a link, a slot, or a place in the queue. */
coffer__grant coffer__pool_take(coffer__pool *pool, coffer__ticket *ticket, uint64_t now_ms);

/* For a queued ticket: what it was granted so far. */
coffer__grant coffer__pool_granted(coffer__pool *pool, const coffer__ticket *ticket);

/* Leaves the queue, in any state; a grant that has come is passed on. */
void coffer__pool_leave(coffer__pool *pool, coffer__ticket *ticket, uint64_t now_ms);

/* A link for the slot, from its first moment; then: it is open, and the first share the caller's; or it came to nothing (NULL where not even the
 * link could be made). */
coffer_status coffer__pool_make(coffer__pool *pool, coffer__link **link);
void coffer__pool_opened(coffer__pool *pool, coffer__link *link, uint64_t now_ms);
void coffer__pool_give_up_slot(coffer__pool *pool, coffer__link *link);

/* Gives a share back. When it was the last, a link that is broken, or whose conn is not idle, is closed: replies still due are nobody's. */
void coffer__pool_give(coffer__pool *pool, coffer__link *link, uint64_t now_ms);

void coffer__pool_count_timeout(coffer__pool *pool); /* a ticket's time passed */
void coffer__pool_add(coffer__pool *pool, coffer_metrics *metrics); /* its figures to those that are there */
size_t coffer__pool_max(const coffer__pool *pool);
uint64_t coffer__pool_acquire_ms(const coffer__pool *pool); /* the option */

#endif
