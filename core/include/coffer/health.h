/* How the cache is, and turning it off and on while the program runs.
 *
 *     coffer_health health = COFFER_HEALTH_INIT;
 *     if (coffer_health_read(cache, &health, &error) == COFFER_OK) {
 *         printf("%s\n", coffer_health_state_name(health.state));
 *         for (size_t i = 0; i < health.reason_count; i++) puts(health.reasons[i]);
 *         coffer_health_clear(&health);
 *     }
 *
 * Reading connects to nobody: it tells what the last operations met. Call coffer_ping before it to ask the server now.
 */
#ifndef COFFER_HEALTH_H
#define COFFER_HEALTH_H

#include <coffer/metrics.h>
#include <coffer/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- health --------------------------------------------------------------------------------------------------- */

typedef enum coffer_health_state {
    COFFER_HEALTHY = 0,
    COFFER_DEGRADED = 1, /* it answers, and helps less than it should: see the reasons */
    COFFER_DOWN = 2 /* no server that was asked answers */
} coffer_health_state;

/* "healthy", "degraded", "down". Static. */
COFFER_API const char *coffer_health_state_name(coffer_health_state state);

/* A server that was asked. Texts are lent by the health it came with. */
typedef struct coffer_endpoint_health {
    const char *name; /* "cache.internal:6379", or the path of a unix socket */
    const char *breaker; /* "closed", "open" (it is not asked), "half_open" (one call is trying) */
    uint64_t retry_in_ms; /* open: when a call may try */
    uint64_t opened_count; /* how often the breaker opened */
    uint64_t refused_count; /* calls that were not sent because of it */
    uint64_t calls_count, failed_count; /* in the breaker's window */
    int64_t round_trip_ms; /* of the last call that was answered, with the making of its connection; -1: none yet */
    const char *version; /* "redis 7.0.15", as its greeting said; "" where it did not */
    const char *forbidden; /* commands that it does not allow this user: "TIME PING"; "" for none */
    const char *role; /* "primary", "replica" (it is read from as one), "sentinel"; "" for what is neither now */
    const char *zone; /* its availability zone, as it said; "" where it did not, or was not asked */
    int64_t smoothed_us; /* round trip of reads, smoothed, where option read_from is not primary; -1: not measured */
} coffer_endpoint_health;

/* `struct_size` is set by the caller, all else by coffer_health_read, until coffer_health_clear. */
typedef struct coffer_health {
    size_t struct_size;
    coffer_health_state state;
    size_t reason_count;
    const char *const *reasons; /* sentences; a healthy cache may have something to say too */
    size_t endpoint_count;
    const coffer_endpoint_health *endpoints;
    const char *
        near; /* near copies of this namespace: "off", "live", "bypassed" (nobody hears what changes), "ttl_alone" (servers do not tell it). Static */
    uint64_t owed_count; /* keys written while the server was away, or caching was off, that are still to be deleted */
    uint64_t lost_count; /* such keys that could not be remembered or deleted: what was overwritten may live on until its TTL ends */
    void *owner;
} coffer_health;
#define COFFER_HEALTH_INIT                                                                                                                           \
    { sizeof(coffer_health), COFFER_HEALTHY, 0, NULL, 0, NULL, "off", 0, 0, NULL }

/* ARG where struct_size is not set; NO_MEMORY. */
COFFER_API coffer_status coffer_health_read(coffer_cache *cache, coffer_health *health, coffer_error *error);
COFFER_API void coffer_health_clear(coffer_health *health); /* harmless on one that was not read, or cleared */

/* The same for drivers, at the monotonic time now_ms. */
COFFER_API coffer_status coffer_namespace_health(coffer_namespace *ns, uint64_t now_ms, coffer_health *health);

/* ---- turning caching off and on -------------------------------------------------------------------------------
 * What is off does nothing, as with the option `enabled=false`: reads are misses, loaders run, nothing is written (counter `bypassed`). Keys that are
 * written or deleted meanwhile are remembered (option `outage_memory`) and deleted on the server by the first operation that is on again, so that no old
 * value comes back; a clear, whose keys nobody could name, is refused (UNSUPPORTED). All of it belongs to this process, begins anew with the next, and takes
 * effect with the next operation of any thread. */

typedef enum coffer_scope {
    COFFER_SCOPE_ALL = 0, /* every namespace that shares this cache's connections */
    COFFER_SCOPE_NAMESPACE = 1 /* this one, all its handles */
} coffer_scope;

COFFER_API coffer_status coffer_turn(coffer_cache *cache, coffer_scope scope, bool is_on); /* ARG */

/* One operation in this namespace, such as COFFER_OPERATION_GET. ARG */
COFFER_API coffer_status coffer_turn_operation(coffer_cache *cache, coffer_operation operation, bool is_on);

/* Only this share of the keys is cached in this namespace, 0 to 100 percent: always the same keys, in every process and language, and those of a smaller
 * share are among those of a larger one. Batches write all their keys, and read those of the share. ARG */
COFFER_API coffer_status coffer_turn_share(coffer_cache *cache, uint32_t percent);

/* The operation of this name ("get_or_load"); COFFER_OPERATION_COUNT where there is none. */
COFFER_API coffer_operation coffer_operation_of(const char *name);

/* The same for drivers. */
COFFER_API coffer_status coffer_namespace_turn(coffer_namespace *ns, coffer_scope scope, bool is_on);
COFFER_API coffer_status coffer_namespace_turn_operation(coffer_namespace *ns, coffer_operation operation, bool is_on);
COFFER_API coffer_status coffer_namespace_turn_share(coffer_namespace *ns, uint32_t percent);

#ifdef __cplusplus
}
#endif
#endif
