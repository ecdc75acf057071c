#include "watch.h"

#include "base/alloc.h"
#include "base/lock.h"

#include <stdio.h>

struct coffer__watch {
    coffer__lock *lock; /* of adding servers, and of their versions */
    coffer__breaker_rules rules;
    _Atomic(coffer__server *) first;
};

coffer_status coffer__watch_new(coffer__watch **watch, const coffer_options *options) {
    *watch = (coffer__watch *)coffer__alloc_zero(sizeof **watch);
    if (*watch == NULL) {
        return COFFER_NO_MEMORY;
    }
    (*watch)->lock = coffer__lock_new();
    if ((*watch)->lock == NULL) {
        coffer__release(*watch);
        *watch = NULL;
        return COFFER_NO_MEMORY;
    }
    (*watch)->rules = (coffer__breaker_rules){
        .is_on = options->breaker,
        .failure_rate_percent = options->breaker_failure_rate_percent,
        .window_ms = options->breaker_window_ms,
        .minimum_calls_count = options->breaker_minimum_calls_count,
        .consecutive_count = options->breaker_consecutive_count,
    };
    return COFFER_OK;
}

coffer__server *coffer__watch_first(const coffer__watch *watch) {
    return atomic_load_explicit(&watch->first, memory_order_acquire);
}

void coffer__watch_free(coffer__watch *watch) {
    if (watch == NULL) {
        return;
    }
    coffer__server *server = coffer__watch_first(watch);
    while (server != NULL) {
        coffer__server *next = server->next;
        coffer__breaker_free(server->breaker);
        coffer__release(server);
        server = next;
    }
    coffer__lock_free(watch->lock);
    coffer__release(watch);
}

void coffer__watch_after_fork(coffer__watch *watch) {
    coffer__lock_reset(watch->lock);
    for (coffer__server *server = coffer__watch_first(watch); server != NULL; server = server->next) {
        coffer__breaker_after_fork(server->breaker);
    }
}

static coffer__server *find(const coffer__watch *watch, const coffer_endpoint *endpoint) {
    coffer__server *server = coffer__watch_first(watch);
    while (server != NULL && server->endpoint != endpoint) {
        server = server->next;
    }
    return server;
}

static coffer__server *add(coffer__watch *watch, const coffer_endpoint *endpoint) {
    coffer__server *made = (coffer__server *)coffer__alloc_zero(sizeof *made);
    if (made == NULL || coffer__breaker_new(&made->breaker, &watch->rules) != COFFER_OK) {
        coffer__release(made);
        return NULL;
    }
    made->endpoint = endpoint;
    atomic_init(&made->round_trip_ms, UINT64_MAX);
    made->next = coffer__watch_first(watch);
    atomic_store_explicit(&watch->first, made, memory_order_release);
    return made;
}

coffer__server *coffer__watch_server(coffer__watch *watch, const coffer_endpoint *endpoint) {
    coffer__server *server = find(watch, endpoint);
    if (server != NULL) {
        return server;
    }
    coffer__lock_take(watch->lock);
    server = find(watch, endpoint);
    if (server == NULL) {
        server = add(watch, endpoint);
    }
    coffer__lock_drop(watch->lock);
    return server;
}

void coffer__server_forbids(coffer__server *server, const char *command_name) {
    for (size_t i = 0; i < COFFER__FORBIDDEN_MOST; i++) {
        const char *there = atomic_load_explicit(&server->forbidden[i], memory_order_acquire);
        if (there == NULL &&
            atomic_compare_exchange_strong_explicit(&server->forbidden[i], &there, command_name, memory_order_acq_rel, memory_order_acquire)) {
            return;
        }
        if (strcmp(there, command_name) == 0) {
            return;
        }
    }
}

static void keep_printable(char *text) {
    for (; *text != '\0'; text++) {
        *text = (char)(*text > ' ' && *text <= '~' ? *text : ' ');
    }
}

void coffer__watch_learn_version(coffer__watch *watch, const coffer_endpoint *endpoint, coffer_slice name, coffer_slice version) {
    coffer__server *server = coffer__watch_server(watch, endpoint);
    if (server != NULL) {
        coffer__lock_take(watch->lock);
        snprintf(server->version, sizeof server->version, "%.*s %.*s", name.len > 12 ? 12 : (int)name.len, name.data,
                 version.len > 16 ? 16 : (int)version.len, version.data);
        keep_printable(server->version);
        coffer__lock_drop(watch->lock);
    }
}

void coffer__watch_version(coffer__watch *watch, const coffer__server *server, char out[COFFER__VERSION_CAP]) {
    coffer__lock_take(watch->lock);
    memcpy(out, server->version, COFFER__VERSION_CAP);
    coffer__lock_drop(watch->lock);
}

void coffer__watch_totals(const coffer__watch *watch, uint64_t *open_count, uint64_t *opened_count, uint64_t *refused_count) {
    *open_count = *opened_count = *refused_count = 0;
    for (coffer__server *server = coffer__watch_first(watch); server != NULL; server = server->next) {
        coffer__breaker_figures figures;
        coffer__breaker_read(server->breaker, 0, &figures);
        *open_count += figures.state != COFFER__BREAKER_CLOSED;
        *opened_count += figures.opened_count;
        *refused_count += figures.refused_count;
    }
}
