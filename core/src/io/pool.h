/* pool: the links of one client. One caller has one link; what cannot be had now is waited for, first come first served.
 *
 *                      take                     opened
 *     queue of tickets ----> a slot: connect it -----> in use --- give ---> idle (the warmest first)
 *          ^                     | give_up_slot          ^  | not idle        |
 *          '--- take: none ---   '--> gone               |  '--> closed       |
 *                                                        '------- take -------'
 *
 *     idle + in_use + connecting == total <= max          asserted after each step in debug builds
 *
 * Whoever gives back hands the link, or its place, straight to the first ticket: nobody who comes later can take it. The ticket's owner may be
 * elsewhere meanwhile (between two slices of its op); leaving the queue passes on what it was handed.
 * Links that were unused for pool_idle_timeout are closed when somebody finds them so: the oldest at each give, all of them at take; but
 * pool_min are kept. There is no background thread.
 * All of it may be called from any thread. */
#ifndef COFFER_IO_POOL_H
#define COFFER_IO_POOL_H

#include "link.h"
#include <coffer/metrics.h>

#include <pthread.h>

typedef struct coffer__pool coffer__pool;

typedef enum coffer__grant {
    COFFER__GRANT_NONE, /* queued: wait */
    COFFER__GRANT_LINK, /* ticket->link is the caller's; it may have been closed by the server */
    COFFER__GRANT_SLOT /* there is room for one more: connect it, then opened or give_up_slot */
} coffer__grant;

typedef struct coffer__ticket {
    struct coffer__ticket *next;
    bool queued;
    coffer__grant grant;
    coffer__link *link;
    pthread_cond_t granted; /* of the pool's mutex */
} coffer__ticket;

void coffer__ticket_init(coffer__ticket *ticket);
void coffer__ticket_clear(coffer__ticket *ticket);

coffer_status coffer__pool_new(coffer__pool **pool, coffer_client *client); /* the client is lent */
void coffer__pool_free(coffer__pool *pool); /* closes idle links; no other may be out; takes NULL */

/* Once in a forked child, before any other use there: the parent's sockets are closed (only that), everything starts empty. */
void coffer__pool_after_fork(coffer__pool *pool);

/* A link, a slot, or a place in the queue. */
coffer__grant coffer__pool_take(coffer__pool *pool, coffer__ticket *ticket, uint64_t now_ms);

/* For a queued ticket: what it was granted by until_us, or NONE. */
coffer__grant coffer__pool_wait(coffer__pool *pool, coffer__ticket *ticket, uint64_t until_us);

/* Leaves the queue, in any state; a grant that has come is passed on. */
void coffer__pool_leave(coffer__pool *pool, coffer__ticket *ticket);

/* The link taken turned out to be dead: it is closed, and its place is at once another link's or a slot. Never NONE. */
coffer__grant coffer__pool_replace(coffer__pool *pool, coffer__ticket *ticket, coffer__link *dead, uint64_t now_ms);

/* A link for the slot, from its first moment; then: it is open; or it came to nothing (NULL where not even the link could be made). */
coffer_status coffer__pool_make(coffer__pool *pool, const coffer_endpoint *endpoint, coffer__link **link);
void coffer__pool_opened(coffer__pool *pool, coffer__link *link);
void coffer__pool_give_up_slot(coffer__pool *pool, coffer__link *link);

/* Gives a link back. One whose conn is not idle is closed: replies still due are nobody's. */
void coffer__pool_give(coffer__pool *pool, coffer__link *link, uint64_t now_ms);

void coffer__pool_count_timeout(coffer__pool *pool); /* a ticket's time passed */
void coffer__pool_read(coffer__pool *pool, coffer_metrics *metrics);
size_t coffer__pool_max(const coffer__pool *pool);
uint64_t coffer__pool_acquire_ms(const coffer__pool *pool); /* the option */

#endif
