#include "engine.h"

#include "base/alloc.h"
#include "nearby.h"
#include <coffer/health.h>

#include <stdarg.h>
#include <stdio.h>

enum { MOST_REASONS = 12, REASON_CAP = 240, FORBIDDEN_CAP = 200 };

/* One server, and the texts that its public row lends. */
typedef struct server_texts {
    char name[COFFER__SERVER_NAME_CAP];
    char version[COFFER__VERSION_CAP];
    char forbidden[FORBIDDEN_CAP];
    char zone[COFFER__ZONE_BYTES_MAX + 1];
} server_texts;

/* Everything a health lends, in one piece of memory. */
typedef struct report {
    coffer_health_state state;
    char reasons[MOST_REASONS][REASON_CAP];
    const char *rows[MOST_REASONS];
    size_t reason_count;
    size_t counts[2], away_counts[2]; /* of sentinels; of servers that hold keys and are still wanted */
    size_t endpoint_count, endpoint_cap;
    size_t told_count, untold_count; /* servers that tell their zone, and that do not */
    coffer_endpoint_health *endpoints; /* behind the report */
    server_texts *texts; /* behind those */
} report;

const char *coffer_health_state_name(coffer_health_state state) {
    static const char *const names[] = {"healthy", "degraded", "down"};
    return (size_t)state < sizeof names / sizeof names[0] ? names[state] : "unknown";
}

#if defined(__GNUC__)
__attribute__((format(printf, 3, 4)))
#endif
static void
say(report *made, coffer_health_state at_least, const char *format, ...) {
    made->state = made->state > at_least ? made->state : at_least;
    if (made->reason_count == MOST_REASONS) {
        return;
    }
    char *out = made->reasons[made->reason_count];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(out, REASON_CAP, format, arguments);
    va_end(arguments);
    made->rows[made->reason_count++] = out;
}

/* ---- servers ---- */

static void write_forbidden(const coffer__server *server, char out[FORBIDDEN_CAP]) {
    size_t len = 0;
    out[0] = '\0';
    for (size_t i = 0; i < COFFER__FORBIDDEN_MOST; i++) {
        const char *name = atomic_load_explicit(&server->forbidden[i], memory_order_acquire);
        if (name != NULL && len + strlen(name) + 2 < FORBIDDEN_CAP) {
            len += (size_t)snprintf(out + len, FORBIDDEN_CAP - len, "%s%s", len == 0 ? "" : " ", name);
        }
    }
}

/* A node that left the cluster, or a master that was replaced: others are asked, and it has not been for a while. */
static bool has_left(const coffer_client *client, const coffer__server *server) {
    enum { A_WHILE_MS = 60000 };
    uint64_t wanted_ms = atomic_load_explicit(&server->wanted_ms, memory_order_relaxed), last_ms = wanted_ms;
    for (const coffer__server *other = coffer__watch_first(client->watch); other != NULL; other = other->next) {
        uint64_t other_ms = atomic_load_explicit(&other->wanted_ms, memory_order_relaxed);
        bool holds_keys = !coffer__topology_is_sentinel(client->topology, other->endpoint);
        last_ms = holds_keys && other_ms > last_ms ? other_ms : last_ms;
    }
    return last_ms - wanted_ms > A_WHILE_MS;
}

static bool is_away(const coffer_client *client, const coffer__breaker_figures *figures) {
    return figures->state != COFFER__BREAKER_CLOSED || figures->in_row_count >= client->options->breaker_consecutive_count;
}

static void say_breaker(report *made, const char *name, const coffer__breaker_figures *figures) {
    const char *why = coffer_status_text(figures->last_failure);
    if (figures->state == COFFER__BREAKER_OPEN) {
        say(made, COFFER_DEGRADED, "%s is away (%s) and is asked again in %llu ms", name, why, (unsigned long long)figures->retry_in_ms);
    } else if (figures->state == COFFER__BREAKER_HALF_OPEN) {
        say(made, COFFER_DEGRADED, "%s was away (%s) and one call is asking it now", name, why);
    } else if (figures->in_row_count > 0) {
        say(made, COFFER_DEGRADED, "the last %llu of the calls to %s failed (%s)", (unsigned long long)figures->in_row_count, name, why);
    }
}

/* Without TIME an entry's life is judged by this machine's clock, and the server's TTL ends it all the same: no harm, but to be known. */
static void say_forbidden(report *made, const server_texts *texts) {
    if (strcmp(texts->forbidden, "TIME") == 0) {
        say(made, COFFER_HEALTHY, "%s does not allow this user TIME: how old a value is, is judged by this machine's clock", texts->name);
    } else if (texts->forbidden[0] != '\0') {
        say(made, COFFER_DEGRADED, "%s does not allow this user %s", texts->name, texts->forbidden);
    }
}

static int64_t or_none(uint64_t number) { /* UINT64_MAX */
    return number > INT64_MAX ? -1 : (int64_t)number;
}

static void count_zone(report *made, const coffer__server *server) {
    int zone = atomic_load_explicit(&server->zone, memory_order_relaxed);
    made->told_count += zone == COFFER__ZONE_OURS || zone == COFFER__ZONE_OTHER;
    made->untold_count += zone == COFFER__ZONE_NOT_TOLD;
}

static void add_server(report *made, const coffer_client *client, const coffer__server *server, uint64_t now_ms) {
    static const char *const states[] = {"closed", "open", "half_open"};
    server_texts *texts = &made->texts[made->endpoint_count];
    coffer__breaker_figures figures;
    coffer__breaker_read(server->breaker, now_ms, &figures);
    coffer__server_name(server, texts->name);
    write_forbidden(server, texts->forbidden);
    coffer__watch_version(client->watch, server, texts->version);
    coffer__watch_zone(client->watch, server, texts->zone);
    count_zone(made, server);
    made->endpoints[made->endpoint_count++] = (coffer_endpoint_health){
        .name = texts->name,
        .breaker = states[figures.state],
        .retry_in_ms = figures.retry_in_ms,
        .opened_count = figures.opened_count,
        .refused_count = figures.refused_count,
        .calls_count = figures.calls_count,
        .failed_count = figures.failed_count,
        .round_trip_ms = or_none(atomic_load_explicit(&server->round_trip_ms, memory_order_relaxed)),
        .version = texts->version,
        .forbidden = texts->forbidden,
        .role = coffer__topology_role(client->topology, server->endpoint),
        .zone = texts->zone,
        .smoothed_us = or_none(atomic_load_explicit(&server->smoothed_us, memory_order_relaxed)),
    };
    if (!has_left(client, server)) {
        bool holds_keys = !coffer__topology_is_sentinel(client->topology, server->endpoint);
        made->counts[holds_keys]++;
        made->away_counts[holds_keys] += is_away(client, &figures);
        say_breaker(made, texts->name, &figures);
        say_forbidden(made, texts);
    }
}

static bool are_all_away(const report *made) {
    bool holders = made->counts[true] > 0;
    return made->counts[holders] > 0 && made->away_counts[holders] == made->counts[holders];
}

static void add_servers(report *made, const coffer_client *client, uint64_t now_ms) {
    const coffer__server *server = coffer__watch_first(client->watch);
    for (; server != NULL && made->endpoint_count < made->endpoint_cap; server = server->next) {
        add_server(made, client, server, now_ms);
    }
    if (made->endpoint_count == 0 && client->store == NULL) {
        say(made, COFFER_HEALTHY, "no server has been asked yet");
    } else if (are_all_away(made)) {
        made->state = COFFER_DOWN;
    }
}

/* ---- the rest ---- */

static void say_zones(report *made) {
    if (made->untold_count > 0) {
        say(made, COFFER_HEALTHY, "%zu of %zu servers do not tell their availability zone (Valkey 8 does, where its configuration says it): %s",
            made->untold_count, made->untold_count + made->told_count,
            made->told_count == 0 ? "the option 'availability_zone' has no effect" : "they are read from behind the others");
    }
}

static void say_switches(report *made, const coffer_namespace *ns) {
    uint32_t left_out = atomic_load_explicit(&ns->switches->left_out_percent, memory_order_relaxed);
    uint32_t operations = atomic_load_explicit(&ns->switches->operations_off, memory_order_relaxed);
    if (atomic_load_explicit(&ns->client->is_off, memory_order_relaxed)) {
        say(made, COFFER_DEGRADED, "caching is turned off");
    } else if (!ns->options->enabled || atomic_load_explicit(&ns->switches->is_off, memory_order_relaxed)) {
        say(made, COFFER_DEGRADED, "caching is turned off in the namespace %s", ns->options->name);
    }
    for (unsigned i = 0; i < COFFER_OPERATION_COUNT; i++) {
        if ((operations >> i & 1) != 0) {
            say(made, COFFER_DEGRADED, "%s is turned off in the namespace %s", coffer_operation_name((coffer_operation)i), ns->options->name);
        }
    }
    if (left_out > 0) {
        say(made, COFFER_DEGRADED, "only %u %% of the keys of the namespace %s are cached", (unsigned)(100 - left_out), ns->options->name);
    }
}

/* Those that are known may serve all the same; what changes is not learnt. */
static void say_refresh(report *made, const coffer_client *client, uint64_t now_ms) {
    char why[COFFER__TOPOLOGY_WHY_CAP];
    if (client->topology != NULL && coffer__topology_failure(client->topology, now_ms, why) != COFFER_OK) {
        say(made, COFFER_DEGRADED, "no server told where keys live when it was asked last: %s", why);
    }
}

static void say_owed(report *made, const coffer_health *health) {
    if (health->owed_count > 0) {
        say(made, COFFER_DEGRADED, "%llu keys were written while they could not be stored: they will be deleted before anything else is asked",
            (unsigned long long)health->owed_count);
    }
    if (health->lost_count > 0) {
        say(made, COFFER_DEGRADED,
            "%llu keys were written while they could not be stored, and could not be remembered or deleted: old values of theirs "
            "may be served until their TTL ends (option 'outage_memory')",
            (unsigned long long)health->lost_count);
    }
}

/* How copies are kept honest now. Nobody listens before the first operation; later that is a loss. */
static const char *say_near(report *made, const coffer_namespace *ns, uint64_t now_ms) {
    if (ns->copies == NULL) {
        return "off";
    }
    if (ns->client->options->near == COFFER_NEAR_SHARED && !ns->client->near_is_shared) {
        say(made, COFFER_DEGRADED, "near copies are this process's own: the shared memory could not be used");
    }
    size_t live_count = 0, untracked_count = 0;
    coffer__nearby_channels(ns->client, now_ms, &live_count, &untracked_count);
    if (live_count == 0) {
        say(made, made->endpoint_count > 0 ? COFFER_DEGRADED : COFFER_HEALTHY,
            "near copies are bypassed: nobody hears now what changes on the server");
        return "bypassed";
    }
    if (untracked_count > 0) {
        say(made, COFFER_HEALTHY,
            "%zu of %zu servers do not tell this user what changes (CLIENT TRACKING): near copies of theirs live for a second at most",
            untracked_count, live_count);
    }
    return untracked_count > 0 ? "ttl_alone" : "live";
}

static report *new_report(const coffer_client *client) {
    size_t count = 0;
    for (const coffer__server *server = coffer__watch_first(client->watch); server != NULL; server = server->next) {
        count++;
    }
    report *made = (report *)coffer__alloc_zero(sizeof *made + count * (sizeof(coffer_endpoint_health) + sizeof(server_texts)));
    if (made != NULL) {
        made->endpoint_cap = count;
        made->endpoints = (coffer_endpoint_health *)(void *)(made + 1);
        made->texts = (server_texts *)(void *)(made->endpoints + count);
    }
    return made;
}

coffer_status coffer_namespace_health(coffer_namespace *ns, uint64_t now_ms, coffer_health *health) {
    if (health->struct_size != sizeof *health) {
        return COFFER_ARG;
    }
    report *made = new_report(ns->client);
    if (made == NULL) {
        return COFFER_NO_MEMORY;
    }
    health->owed_count = coffer__owed_count(ns->client->owed);
    health->lost_count = coffer__owed_lost(ns->client->owed);
    add_servers(made, ns->client, now_ms);
    say_zones(made);
    say_refresh(made, ns->client, now_ms);
    say_switches(made, ns);
    say_owed(made, health);
    health->near = say_near(made, ns, now_ms);
    health->state = made->state;
    health->reasons = made->rows;
    health->reason_count = made->reason_count;
    health->endpoints = made->endpoints;
    health->endpoint_count = made->endpoint_count;
    health->owner = made;
    return COFFER_OK;
}

void coffer_health_clear(coffer_health *health) {
    if (health != NULL) {
        coffer__release(health->owner);
        *health = (coffer_health)COFFER_HEALTH_INIT;
    }
}
