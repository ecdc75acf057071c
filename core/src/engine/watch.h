/* What a client knows of each server it has asked: its breaker, how fast it answered, what it said of itself and what it forbids. */
#ifndef COFFER_ENGINE_WATCH_H
#define COFFER_ENGINE_WATCH_H

#include "breaker.h"
#include "policy/options_internal.h"
#include <coffer/driver.h>

#include <stdatomic.h>

enum { COFFER__VERSION_CAP = 32, COFFER__FORBIDDEN_MOST = 12 };

typedef struct coffer__server {
    struct coffer__server *next;
    const coffer_endpoint *endpoint; /* by its address: stable for the client's life */
    coffer__breaker *breaker;
    _Atomic uint64_t round_trip_ms; /* of the last call that was answered; UINT64_MAX: none yet */
    _Atomic(const char *) forbidden[COFFER__FORBIDDEN_MOST]; /* names of commands that were refused with NOPERM; static */
    char version[COFFER__VERSION_CAP]; /* "redis 7.0.15"; "" unknown; under the watch's lock */
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

void coffer__server_forbids(coffer__server *server, const char *command_name); /* static text */
void coffer__watch_learn_version(coffer__watch *watch, const coffer_endpoint *endpoint, coffer_slice name, coffer_slice version);
void coffer__watch_version(coffer__watch *watch, const coffer__server *server, char out[COFFER__VERSION_CAP]);

#endif
