/* What a client knows of each server it has asked: its breaker, how fast it answered, what it said of itself, what it forbids, and since when it has
 * been away.
 *
 * An outage of a server begins with the first call that ends without an answer and is not sent again, and ends with the next answer. Both are told to the
 * log, but at most one beginning within the breaker's window: what begins again so soon is told when the window is over, if it still lasts. */
#ifndef COFFER_ENGINE_WATCH_H
#define COFFER_ENGINE_WATCH_H

#include "breaker.h"
#include "policy/options_internal.h"
#include <coffer/driver.h>

#include <stdatomic.h>

enum { COFFER__VERSION_CAP = 32, COFFER__FORBIDDEN_MOST = 12 };

/* What a server has said of the availability zone it is in, beside the one that the options name. */
typedef enum coffer__zone { COFFER__ZONE_UNKNOWN, COFFER__ZONE_NOT_TOLD, COFFER__ZONE_OTHER, COFFER__ZONE_OURS } coffer__zone;

typedef struct coffer__server {
    struct coffer__server *next;
    const coffer_endpoint *endpoint; /* by its address: stable for the client's life */
    coffer__breaker *breaker;
    _Atomic uint64_t round_trip_ms; /* of the last call that was answered; UINT64_MAX: none yet */
    _Atomic(const char *) forbidden[COFFER__FORBIDDEN_MOST]; /* names of commands that were refused with NOPERM; static; NULL anywhere */
    _Atomic bool has_forbidden; /* something, at some time */
    _Atomic bool is_away; /* an outage has begun */
    _Atomic bool is_told; /* and the log knows */
    _Atomic uint64_t quiet_until_ms; /* the next beginning is not told before */
    _Atomic uint64_t wanted_ms; /* when a call was last for it, sent or not; a second or so ago at most, where it is often */
    _Atomic uint64_t unanswered_count; /* in this outage: calls that failed or were not sent */
    uint64_t away_since_ms; /* under the watch's lock */
    /* for those that reads may choose between; replicas.c */
    _Atomic uint64_t smoothed_us; /* round trip; UINT64_MAX: not measured yet */
    _Atomic uint64_t measured_ms, greeted_ms; /* when it was measured, and a connection to it was greeted, last */
    _Atomic uint64_t remeasured_ms; /* when a read last went there to measure it */
    _Atomic int zone; /* coffer__zone */
    _Atomic bool unreadable; /* it does not allow this user to read from it as a replica */
    char version[COFFER__VERSION_CAP]; /* "redis 7.0.15"; "" unknown; under the watch's lock */
    char zone_name[COFFER__ZONE_BYTES_MAX + 1]; /* "" unknown; the same */
} coffer__server;

typedef struct coffer__watch coffer__watch;

coffer_status coffer__watch_new(coffer__watch **watch, const coffer_options *options); /* OK, NO_MEMORY */
void coffer__watch_free(coffer__watch *watch); /* takes NULL */
void coffer__watch_after_fork(coffer__watch *watch);

/* The server at this endpoint, which is made at the first question. NULL where memory is short. */
coffer__server *coffer__watch_server(coffer__watch *watch, const coffer_endpoint *endpoint);
/* All that are known; follow `next`. */
coffer__server *coffer__watch_first(const coffer__watch *watch);

/* Sums over all servers: how many breakers are not closed, how often they opened, what they refused. */
void coffer__watch_totals(const coffer__watch *watch, uint64_t *open_count, uint64_t *opened_count, uint64_t *refused_count);

static inline void coffer__server_wanted(coffer__server *server, uint64_t now_ms) {
    enum { COARSE_MS = 1000 };
    uint64_t last_ms = atomic_load_explicit(&server->wanted_ms, memory_order_relaxed);
    if (now_ms >= last_ms + COARSE_MS || last_ms == 0) {
        atomic_store_explicit(&server->wanted_ms, now_ms, memory_order_relaxed);
    }
}

/* A call for this server has ended without an answer (an outage); and one has had its answer. The caller holds no lock: the log may be told. */
void coffer__watch_unanswered(coffer__watch *watch, coffer__server *server, coffer_status why, uint64_t now_ms);
void coffer__watch_is_back(coffer__watch *watch, coffer__server *server, uint64_t now_ms);
static inline void coffer__watch_answered(coffer__watch *watch, coffer__server *server, uint64_t now_ms) {
    if (atomic_load_explicit(&server->is_away, memory_order_relaxed)) {
        coffer__watch_is_back(watch, server, now_ms);
    }
}

/* "cache.internal:6379", or the path of a unix socket. */
enum { COFFER__SERVER_NAME_CAP = 288 };
void coffer__server_name(const coffer__server *server, char out[COFFER__SERVER_NAME_CAP]);

void coffer__server_forbids(coffer__server *server, const char *command_name); /* static text */
void coffer__server_allows(coffer__server *server, const char *command_name); /* any more, or again */
void coffer__watch_learn_version(coffer__watch *watch, const coffer_endpoint *endpoint, coffer_slice name, coffer_slice version);
void coffer__watch_version(coffer__watch *watch, const coffer__server *server, char out[COFFER__VERSION_CAP]);

/* It says that it is in this zone (empty: it does not say); `ours` is the options'. */
void coffer__watch_learn_zone(coffer__watch *watch, const coffer_endpoint *endpoint, coffer_slice zone, coffer_slice ours);
void coffer__watch_zone(coffer__watch *watch, const coffer__server *server, char out[COFFER__ZONE_BYTES_MAX + 1]);

#endif
