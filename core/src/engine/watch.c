#include "watch.h"

#include "base/alloc.h"
#include "base/lock.h"
#include "base/log.h"

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
        .probe_ms = options->timeout_ms,
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
    atomic_init(&made->smoothed_us, UINT64_MAX);
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

/* ---- outages ---- */

void coffer__server_name(const coffer__server *server, char out[COFFER__SERVER_NAME_CAP]) {
    coffer_endpoint_name(server->endpoint, out, COFFER__SERVER_NAME_CAP);
}

/* Locked. Whether it has to be told. */
static bool begin_outage(const coffer__watch *watch, coffer__server *server, uint64_t now_ms) {
    if (!atomic_exchange_explicit(&server->is_away, true, memory_order_relaxed)) {
        server->away_since_ms = now_ms;
    }
    if (atomic_load_explicit(&server->is_told, memory_order_relaxed) ||
        now_ms < atomic_load_explicit(&server->quiet_until_ms, memory_order_relaxed)) {
        return false;
    }
    atomic_store_explicit(&server->is_told, true, memory_order_relaxed);
    atomic_store_explicit(&server->quiet_until_ms, now_ms + watch->rules.window_ms, memory_order_relaxed);
    return true;
}

void coffer__watch_unanswered(coffer__watch *watch, coffer__server *server, coffer_status why, uint64_t now_ms) {
    atomic_fetch_add_explicit(&server->unanswered_count, 1, memory_order_relaxed);
    bool is_told = atomic_load_explicit(&server->is_told, memory_order_relaxed);
    bool is_quiet = now_ms < atomic_load_explicit(&server->quiet_until_ms, memory_order_relaxed);
    if (atomic_load_explicit(&server->is_away, memory_order_relaxed) && (is_told || is_quiet)) {
        return;
    }
    coffer__lock_take(watch->lock);
    bool tells = begin_outage(watch, server, now_ms);
    coffer__lock_drop(watch->lock);
    if (tells) {
        char name[COFFER__SERVER_NAME_CAP];
        coffer__server_name(server, name);
        coffer__log(COFFER_LOG_OUTAGE_BEGAN, why, "%s", name);
    }
}

void coffer__watch_is_back(coffer__watch *watch, coffer__server *server, uint64_t now_ms) {
    coffer__lock_take(watch->lock);
    bool was_told = atomic_exchange_explicit(&server->is_told, false, memory_order_relaxed);
    uint64_t unanswered = atomic_exchange_explicit(&server->unanswered_count, 0, memory_order_relaxed);
    uint64_t away_ms = now_ms > server->away_since_ms ? now_ms - server->away_since_ms : 0;
    atomic_store_explicit(&server->is_away, false, memory_order_relaxed);
    coffer__lock_drop(watch->lock);
    if (was_told) {
        char name[COFFER__SERVER_NAME_CAP];
        coffer__server_name(server, name);
        coffer__log(COFFER_LOG_OUTAGE_ENDED, COFFER_OK, "%s, after %llu ms and %llu calls without an answer", name, (unsigned long long)away_ms,
                    (unsigned long long)unanswered);
    }
}

/* ---- what they forbid ---- */

static bool is_forbidden(const coffer__server *server, size_t index, const char *command_name) {
    const char *there = atomic_load_explicit(&server->forbidden[index], memory_order_acquire);
    return there != NULL && strcmp(there, command_name) == 0;
}

/* Two threads at once may note a name twice, which does no harm. */
void coffer__server_forbids(coffer__server *server, const char *command_name) {
    atomic_store_explicit(&server->has_forbidden, true, memory_order_relaxed);
    for (size_t i = 0; i < COFFER__FORBIDDEN_MOST; i++) {
        if (is_forbidden(server, i, command_name)) {
            return;
        }
    }
    for (size_t i = 0; i < COFFER__FORBIDDEN_MOST; i++) {
        const char *nothing = NULL;
        if (atomic_compare_exchange_strong_explicit(&server->forbidden[i], &nothing, command_name, memory_order_acq_rel, memory_order_acquire)) {
            return;
        }
    }
}

void coffer__server_allows(coffer__server *server, const char *command_name) {
    for (size_t i = 0; i < COFFER__FORBIDDEN_MOST; i++) {
        if (is_forbidden(server, i, command_name)) {
            atomic_store_explicit(&server->forbidden[i], NULL, memory_order_release);
        }
    }
}

/* ---- what they say of themselves ---- */

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

void coffer__watch_learn_zone(coffer__watch *watch, const coffer_endpoint *endpoint, coffer_slice zone, coffer_slice ours) {
    coffer__server *server = coffer__watch_server(watch, endpoint);
    bool told = zone.len > 0 && zone.len <= COFFER__ZONE_BYTES_MAX;
    if (server != NULL) {
        coffer__lock_take(watch->lock);
        snprintf(server->zone_name, sizeof server->zone_name, "%.*s", told ? (int)zone.len : 0, told ? zone.data : "");
        keep_printable(server->zone_name);
        coffer__lock_drop(watch->lock);
        int is = !told ? COFFER__ZONE_NOT_TOLD : coffer_slice_equal(zone, ours) ? COFFER__ZONE_OURS : COFFER__ZONE_OTHER;
        atomic_store_explicit(&server->zone, is, memory_order_relaxed);
    }
}

void coffer__watch_zone(coffer__watch *watch, const coffer__server *server, char out[COFFER__ZONE_BYTES_MAX + 1]) {
    coffer__lock_take(watch->lock);
    memcpy(out, server->zone_name, sizeof server->zone_name);
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
