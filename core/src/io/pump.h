/* pump: the thread of the blocking driver that pumps the invalidation channels (engine/channel.h) of a client with copies. A caller could not: an
 * invalidation is to be heard while nobody calls.
 *
 *     coffer__pump_need(pump, now_ms)      in passing, by every caller: a few loads; the first one starts the thread, and whoever finds that nobody hears for
 *                                          the processes of this host (the lead is free) wakes it, twenty times a second at most
 *
 * It has a loop over its own connections and nothing else, waits for them and for the next beat, and never calls what belongs to the program but its log
 * (and, where it is written in C, its function for credentials). No signal is delivered to it. While it leads it does the client's chores too, for who reads copies alone does not.
 * In a forked child there is no such thread: the child starts its own at its first call. It ends with the pools, or with the program. */
#ifndef COFFER_IO_PUMP_H
#define COFFER_IO_PUMP_H

#include "wake.h"
#include <coffer/driver.h>
#include <coffer/metrics.h>

#include <pthread.h>

typedef struct coffer__channels coffer__channels; /* engine/channel.h */
typedef struct coffer__pools coffer__pools;

typedef struct coffer__pump {
    coffer__pools *pools; /* lent, as all of it is */
    coffer_client *client;
    _Atomic int state;
    _Atomic uint64_t start_at_ms; /* the last start failed: not before */
    _Atomic uint64_t look_at_ms; /* it was woken for a free lead: not again before */
    struct coffer__pump *next; /* of those that run */
    pthread_t thread;
    atomic_bool ends; /* it is told to */
    atomic_bool busy; /* read by a forked child: what follows may be half changed */
    coffer__wake wake;
    coffer__channels *channels;
    _Atomic uint64_t open_count, made_count, failed_count; /* connections */
} coffer__pump;

void coffer__pump_init(coffer__pump *pump, coffer__pools *pools, coffer_client *client);
void coffer__pump_clear(coffer__pump *pump); /* waits for its end */
void coffer__pump_after_fork(coffer__pump *pump);
void coffer__pump_add(coffer__pump *pump, coffer_metrics *metrics);

enum { COFFER__PUMP_UNNEEDED, COFFER__PUMP_IDLE, COFFER__PUMP_STARTING, COFFER__PUMP_RUNNING };
void coffer__pump_start(coffer__pump *pump, uint64_t now_ms);
void coffer__pump_look(coffer__pump *pump, uint64_t now_ms);

static inline void coffer__pump_need(coffer__pump *pump, uint64_t now_ms) {
    int state = atomic_load_explicit(&pump->state, memory_order_relaxed);
    if (state == COFFER__PUMP_IDLE) {
        coffer__pump_start(pump, now_ms);
    } else if (state == COFFER__PUMP_RUNNING) {
        coffer__pump_look(pump, now_ms);
    }
}

#endif
