/* listener: one connection to a sentinel that only listens, so that a failover is heard when it is announced and not when the sentinels are asked next.
 *
 *     coffer__listener_look(listener, now_ms)      in passing, by every caller: one load, and a system call where a look is due
 *
 *          no link -- due --> connecting -- subscribed --> listening: a look reads what has come
 *             ^                   |                            |
 *             '---- back-off -----'------ broken, silent ------'      then another sentinel
 *
 * There is no thread: who calls looks, and nobody is kept from its own call by it, for nothing here waits. Where nobody calls, nothing has to be known.
 * Without it all is as with it, but later: the sentinels are asked every second or two all the same. From any thread. */
#ifndef COFFER_IO_LISTEN_H
#define COFFER_IO_LISTEN_H

#include "link.h"
#include <coffer/metrics.h>

typedef struct coffer__listener {
    coffer_client *client; /* lent */
    _Atomic uint64_t look_at_ms; /* UINT64_MAX: there is nobody to listen to */
    atomic_flag busy; /* somebody looks: what follows is theirs */
    _Atomic(coffer__link *) link; /* read by a forked child too */
    size_t turn; /* whose */
    uint64_t until_us; /* connecting ends */
    unsigned failures; /* in a row */
    _Atomic uint64_t open_count, made_count, failed_count; /* connections */
} coffer__listener;

void coffer__listener_init(coffer__listener *listener, coffer_client *client);
void coffer__listener_clear(coffer__listener *listener);
void coffer__listener_after_fork(coffer__listener *listener); /* the parent's socket is closed here, and another made when it is time */
void coffer__listener_add(coffer__listener *listener, coffer_metrics *metrics); /* its figures to those that are there */

void coffer__listener_look_now(coffer__listener *listener, uint64_t now_ms);

static inline void coffer__listener_look(coffer__listener *listener, uint64_t now_ms) {
    if (now_ms >= atomic_load_explicit(&listener->look_at_ms, memory_order_relaxed)) {
        coffer__listener_look_now(listener, now_ms);
    }
}

#endif
