#include "replicas.h"

#include "engine.h"

#include <stdio.h>

enum {
    PRIMARY_AT = COFFER__REPLICAS_MOST, /* its place among the candidates; before it those of the replicas */
    PLACES,
    REMEASURE_MS = 5000,
    OLD_MS = 1000,
    WEIGHT = 16, /* of what was, where it is not old */
    WEIGHT_OLD = 2,
    AS_FAST_US = 250
};

typedef struct candidate {
    const coffer_endpoint *endpoint;
    coffer__server *server;
    unsigned place;
    uint64_t smoothed_us; /* UINT64_MAX: not known */
} candidate;

typedef struct candidates {
    unsigned rank; /* of all that are kept: the best so far */
    size_t count;
    candidate rows[PLACES];
} candidates;

bool coffer__call_may_be_behind(const coffer_call *call) {
    return call->anywhere && (call->endpoint == NULL || call->endpoint->replica);
}

static uint64_t read_number(const _Atomic uint64_t *number) {
    return atomic_load_explicit(number, memory_order_relaxed);
}

/* ---- who may be asked ------------------------------------------------------------------------------------------- */

enum { RANK_UNKNOWN, RANK_FIRST, RANK_OTHERS, RANK_NONE };

static unsigned rank_of(const coffer_options *options, const coffer__server *server) {
    if (options->availability_zone[0] != '\0') {
        int zone = atomic_load_explicit(&server->zone, memory_order_relaxed);
        return zone == COFFER__ZONE_UNKNOWN ? RANK_UNKNOWN : zone == COFFER__ZONE_OURS ? RANK_FIRST : RANK_OTHERS;
    }
    bool unmeasured = options->read_from == COFFER_READ_NEAREST && read_number(&server->smoothed_us) == UINT64_MAX;
    return unmeasured ? RANK_UNKNOWN : RANK_FIRST;
}

static void consider(candidates *among, const coffer_call *call, coffer_client *client, const coffer_endpoint *endpoint, unsigned place,
                     uint64_t now_ms) {
    coffer__server *server = (call->tried >> place & 1) != 0 ? NULL : coffer__watch_server(client->watch, endpoint);
    if (server == NULL || atomic_load_explicit(&server->unreadable, memory_order_relaxed) || !coffer__breaker_would_admit(server->breaker, now_ms)) {
        return;
    }
    unsigned rank = rank_of(client->options, server);
    if (rank > among->rank) {
        return;
    }
    among->count = rank < among->rank ? 0 : among->count;
    among->rank = rank;
    among->rows[among->count++] =
        (candidate){.endpoint = endpoint, .server = server, .place = place, .smoothed_us = read_number(&server->smoothed_us)};
}

static candidates gather(const coffer_call *call, coffer_client *client, const coffer_endpoint *primary, uint64_t now_ms) {
    candidates among;
    among.rank = RANK_NONE;
    among.count = 0;
    const coffer_endpoint *replica;
    for (unsigned i = 0; (replica = coffer__endpoint_replica(primary, i)) != NULL; i++) {
        consider(&among, call, client, replica, i, now_ms);
    }
    if (client->options->read_from == COFFER_READ_NEAREST) {
        consider(&among, call, client, primary, PRIMARY_AT, now_ms);
    }
    return among;
}

/* ---- the nearest ------------------------------------------------------------------------------------------------ */

/* One whose round trip has not been measured for long, for the first who sees it. */
static bool is_due(const candidate *one, uint64_t now_ms) {
    uint64_t asked_ms = read_number(&one->server->remeasured_ms);
    return one->smoothed_us != UINT64_MAX && now_ms >= read_number(&one->server->measured_ms) + REMEASURE_MS && now_ms >= asked_ms + REMEASURE_MS &&
           atomic_compare_exchange_strong_explicit(&one->server->remeasured_ms, &asked_ms, now_ms, memory_order_relaxed, memory_order_relaxed);
}

static const candidate *due_among(const candidates *among, uint64_t now_ms) {
    for (size_t i = 0; i < among->count; i++) {
        if (is_due(&among->rows[i], now_ms)) {
            return &among->rows[i];
        }
    }
    return NULL;
}

/* Those remain that are as fast as the fastest; all, while nothing is known of any. */
static void keep_nearest(candidates *among) {
    uint64_t fastest_us = UINT64_MAX;
    for (size_t i = 0; i < among->count; i++) {
        fastest_us = among->rows[i].smoothed_us < fastest_us ? among->rows[i].smoothed_us : fastest_us;
    }
    size_t kept = 0;
    for (size_t i = 0; i < among->count; i++) {
        if (among->rows[i].smoothed_us == fastest_us || among->rows[i].smoothed_us <= fastest_us + fastest_us / 4 + AS_FAST_US) {
            among->rows[kept++] = among->rows[i];
        }
    }
    among->count = kept;
}

static const coffer_endpoint *pick(candidates *among, coffer_client *client, uint64_t now_ms) {
    if (client->options->read_from == COFFER_READ_NEAREST && among->count > 1) {
        const candidate *due = due_among(among, now_ms);
        if (due != NULL) {
            return due->endpoint;
        }
        keep_nearest(among);
    }
    return among->rows[among->count == 1 ? 0 : coffer__topology_next_turn(client->topology) % among->count].endpoint;
}

/* ---- a call ----------------------------------------------------------------------------------------------------- */

/* Of several keys. (What is read of a single one is taken for nothing, wherever it came from: outage.c.) */
static bool is_any_owed(const coffer_call *call, coffer_client *client) {
    bool found = false;
    for (size_t i = 1; !found && call->argument_count > 2 && i < call->argument_count; i++) {
        found = coffer__owed_holds(client->owed, call->arguments[i]);
    }
    return found;
}

/* Nobody can be asked who should be: the first replica says why, where there is one. */
static const coffer_endpoint *only_replica(coffer_call *call, const coffer_endpoint *primary) {
    char why[COFFER__HOST_BYTES_MAX + 120];
    const coffer_endpoint *replica = coffer__endpoint_replica(primary, 0);
    if (replica == NULL) {
        snprintf(why, sizeof why, "no replica of %.*s:%u is known that could be read from, and the option 'read_from' allows nobody else",
                 (int)primary->host.len, primary->host.data, (unsigned)primary->port);
        call->endpoint = NULL;
        coffer__call_end(call, COFFER_CONNECT, why);
        call->pinned = true;
    }
    return replica;
}

const coffer_endpoint *coffer__replicas_choose(coffer_call *call, coffer_client *client, const coffer_endpoint *primary, uint64_t now_ms) {
    if (is_any_owed(call, client)) {
        return primary;
    }
    candidates among = gather(call, client, primary, now_ms);
    if (among.count > 0) {
        return pick(&among, client, now_ms);
    }
    int from = client->options->read_from;
    call->fell_back = call->fell_back || from == COFFER_READ_PREFER_REPLICA;
    return from == COFFER_READ_REPLICA ? only_replica(call, primary) : primary;
}

/* Whether another server may well answer what this one could not. */
static bool is_its_own(coffer_status status) {
    return coffer__breaker_is_failure(status) || status == COFFER_BREAKER_OPEN || status == COFFER_BUSY || status == COFFER_AUTH ||
           status == COFFER_NOPERM;
}

/* The place among the candidates of whom the call was sent to; PLACES where it is none of them. */
static unsigned place_of(const coffer_call *call, const coffer_client *client, const coffer_endpoint *primary) {
    const coffer_endpoint *replica;
    if (call->endpoint == primary) {
        return client->options->read_from == COFFER_READ_NEAREST ? PRIMARY_AT : PLACES;
    }
    for (unsigned i = 0; (replica = coffer__endpoint_replica(primary, i)) != NULL; i++) {
        if (replica == call->endpoint) {
            return i;
        }
    }
    return PLACES;
}

bool coffer__replicas_turn(coffer_call *call, coffer_client *client, const coffer_endpoint *primary, uint64_t now_ms) {
    unsigned place = place_of(call, client, primary);
    if (!is_its_own(call->status)) {
        return false;
    }
    if (place < PLACES) {
        call->tried = (uint16_t)(call->tried | 1u << place);
        call->fell_back = true;
        if (client->options->read_from == COFFER_READ_PREFER_REPLICA || gather(call, client, primary, now_ms).count > 0) {
            return true;
        }
    }
    call->tried = 0; /* whoever is asked after a pause may be any of them */
    return false;
}

/* ---- how long it takes ------------------------------------------------------------------------------------------ */

static void measured(coffer__server *server, uint64_t took_ms, uint64_t now_ms) {
    uint64_t was_us = read_number(&server->smoothed_us), took_us = took_ms * 1000;
    bool old = now_ms >= read_number(&server->measured_ms) + OLD_MS;
    uint64_t weight = old ? WEIGHT_OLD : WEIGHT;
    uint64_t is_us = was_us == UINT64_MAX ? took_us : (was_us * (weight - 1) + took_us) / weight;
    atomic_store_explicit(&server->smoothed_us, is_us, memory_order_relaxed);
    atomic_store_explicit(&server->measured_ms, now_ms, memory_order_relaxed);
}

void coffer__replicas_measure(const coffer_call *call, uint64_t now_ms) {
    const coffer__pass *pass = &call->pass;
    bool tells = pass->breaker != NULL && (coffer__breaker_is_success(call->status) || call->status == COFFER_TIMEOUT);
    if (tells && now_ms >= pass->began_ms && read_number(&call->server->greeted_ms) <= pass->began_ms) {
        measured(call->server, now_ms - pass->began_ms, now_ms);
    }
}

void coffer__replicas_greeted(coffer__server *server, uint64_t took_ms, uint64_t now_ms) {
    atomic_store_explicit(&server->greeted_ms, now_ms, memory_order_relaxed);
    if (read_number(&server->smoothed_us) == UINT64_MAX) {
        measured(server, took_ms, now_ms);
    }
}
