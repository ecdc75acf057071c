/* What a cache has done, counted. Reading never stops writers; a snapshot is not a single instant. */
#ifndef COFFER_METRICS_H
#define COFFER_METRICS_H

#include <coffer/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* clang-format off */
/* X(field, help): counts per namespace since it was made. */
#define COFFER_COUNTER_MAP(X) \
    X(hits,            "reads answered with a value") \
    X(misses,          "reads that found nothing usable") \
    X(negative_hits,   "reads answered by a remembered absence") \
    X(stale_hits,      "reads answered with a stale value") \
    X(near_hits,       "reads answered with a value by a near copy (they are hits too)") \
    X(near_negative_hits, "reads answered by a near copy of an absence") \
    X(sets,            "values stored") \
    X(deletes,         "delete commands that were carried out") \
    X(not_stored,      "conditional writes that stored nothing") \
    X(loads,           "loaders run") \
    X(load_failures,   "loaders that failed") \
    X(load_waits,      "callers that waited for another caller's loader") \
    X(fills_refused,   "loaded values not stored because the key changed meanwhile") \
    X(errors,          "operations that ended in an error") \
    X(unreadable,      "stored entries that were refused (see refusals)") \
    X(oversized_fills, "loaded values not stored because they were too large or the cache was full") \
    X(outage_misses,   "reads and loads that were a miss because the server could not be asked (one of many keys counts each)") \
    X(outage_refusals, "commands that were not sent because the server's breaker was open") \
    X(outage_writes,   "keys written while the server was away and remembered") \
    X(outage_deletes,  "such keys deleted when the server was back") \
    X(outage_lost,     "such keys that could not be remembered, or not be deleted") \
    X(bypassed,        "operations that did nothing because the cache was turned off") \
    X(redirects,       "commands sent on to another node of a cluster") \
    X(retries,         "commands sent again because they could not be carried out") \
    X(replica_reads,   "read commands that a replica answered") \
    X(replica_fallbacks, "read commands that were for a replica and had to go elsewhere, because it was away or none is known") \
    X(bytes_read,      "payload bytes given to callers") \
    X(bytes_written,   "payload bytes taken from callers") \
    X(stored_bytes,    "bytes written to the store, after compression and sealing")

/* X(field, help): what was learnt, and doubted, of a cluster's or Sentinel's servers, by all namespaces of the client. */
#define COFFER_TOPOLOGY_MAP(X) \
    X(moved,               "commands sent on because their slot has another owner (MOVED)") \
    X(asked,               "commands sent on because their slot is on its way (ASK)") \
    X(waited,              "times that a command waited because its slot is being divided (TRYAGAIN)") \
    X(redirects_refused,   "redirects that were not followed: one too many, malformed, or past the deadline") \
    X(doubts_readonly,     "times that a server which should be a primary was none (READONLY)") \
    X(doubts_down,         "times that a server could not serve (CLUSTERDOWN, MASTERDOWN, LOADING)") \
    X(doubts_unreachable,  "times that a server could not be reached, or its breaker was open") \
    X(doubts_timeouts,     "times that a server had not answered twice in a row") \
    X(refreshes,           "times that servers were asked anew where keys live, and told it") \
    X(refreshes_failed,    "times that none of them told it") \
    X(answers_refused,     "answers, ranges and replicas in them that made no sense") \
    X(primary_switches,    "times that another server became the primary (Sentinel)")

/* X(field, help): of the near copies of a server's values, by all processes that share them. */
#define COFFER_NEAR_MAP(X) \
    X(memory_bytes,    "fixed when they were made") \
    X(used_bytes,      "by copies, their keys and headers") \
    X(entries,         "copies that are there, absences too") \
    X(evictions,       "copies that made room for others, for these reasons:") \
    X(evicted_new,     "nobody had asked for them again") \
    X(evicted_old,     "nobody had for long") \
    X(evicted_absent,  "they were absences, which have a small share of their own") \
    X(evicted_bucket,  "too many keys had the same place in the index") \
    X(expirations,     "copies dropped because their time had passed") \
    X(wiped_shards,    "parts of the memory given up because a process died while it was changing them") \
    X(lock_timeouts,   "times that a process went on without such a part, which another held for too long") \
    X(fills,           "answers of a server that were kept") \
    X(fills_refused,   "answers that were not: the key had changed meanwhile, there was a doubt, or no room") \
    X(bypasses,        "reads that were asked of a server whose answer could not be kept, for nobody hears what changes") \
    X(invalidations,   "keys that servers said have changed") \
    X(flushes,         "times that a server said that everything has") \
    X(epochs,          "times that all copies were dead at once: a connection that told changes broke, a failover, a flush, another process that listens") \
    X(takeovers,       "times that another process began to listen") \
    X(lag_us,          "microseconds that the last question took whether the servers still tell what changes")

/* X(NAME, text): the operations that have a latency histogram. */
#define COFFER_OPERATION_MAP(X) \
    X(GET, "get") X(SET, "set") X(ADD, "add") X(REPLACE, "replace") X(COMPARE_AND_SET, "compare_and_set") X(DELETE, "delete") \
    X(EXISTS, "exists") X(TTL, "ttl") X(EXPIRE, "expire") X(TOUCH, "touch") X(INCREMENT, "increment") X(COUNTER, "counter") \
    X(RESET_COUNTER, "reset_counter") X(GET_MANY, "get_many") X(SET_MANY, "set_many") X(DELETE_MANY, "delete_many") \
    X(GET_OR_LOAD, "get_or_load") X(PING, "ping") X(CLEAR, "clear")
/* clang-format on */

typedef enum coffer_operation {
#define COFFER_OPERATION_ENUM(name, text) COFFER_OPERATION_##name,
    COFFER_OPERATION_MAP(COFFER_OPERATION_ENUM)
#undef COFFER_OPERATION_ENUM
        COFFER_OPERATION_COUNT
} coffer_operation;

/* "get_or_load". Static; "unknown" outside the table. */
COFFER_API const char *coffer_operation_name(coffer_operation operation);

typedef struct coffer_counters {
#define COFFER_COUNTER_FIELD(field, help) uint64_t field;
    COFFER_COUNTER_MAP(COFFER_COUNTER_FIELD)
#undef COFFER_COUNTER_FIELD
} coffer_counters;

/* One operation's latency, in microseconds. Percentiles are upper bounds of histogram buckets, at most 6.25 % too high.
 * Every operation that went to the server is timed; of those answered in the process one in 64 (`timed_count` says how many). */
typedef struct coffer_latency {
    uint64_t count;
    uint64_t timed_count;
    double p50_us, p95_us, p99_us, max_us;
} coffer_latency;

/* Each MOVED is a doubt too; a doubt makes a refresh due soon, several of them the same one. All 0 where there is one server. */
typedef struct coffer_topology_stats {
#define COFFER_TOPOLOGY_FIELD(field, help) uint64_t field;
    COFFER_TOPOLOGY_MAP(COFFER_TOPOLOGY_FIELD)
#undef COFFER_TOPOLOGY_FIELD
} coffer_topology_stats;

/* What mem:// holds; all 0 elsewhere. */
typedef struct coffer_store_stats {
    uint64_t memory_bytes; /* fixed at the start */
    uint64_t used_bytes; /* by live entries, their keys and headers */
    uint64_t entries;
    uint64_t evictions; /* entries that made room for others */
    uint64_t expirations; /* entries dropped because their time had passed */
} coffer_store_stats;

/* All 0 where there are none (option near). */
typedef struct coffer_near_stats {
#define COFFER_NEAR_FIELD(field, help) uint64_t field;
    COFFER_NEAR_MAP(COFFER_NEAR_FIELD)
#undef COFFER_NEAR_FIELD
} coffer_near_stats;

typedef struct coffer_metrics {
    size_t struct_size;
    coffer_counters counters;
    coffer_latency latency[COFFER_OPERATION_COUNT];
    coffer_store_stats store;
    /* the breakers of all servers of this cache's client */
    uint64_t breakers_open, breaker_opened, breaker_refused;
    coffer_topology_stats topology;
    coffer_near_stats near;
    /* the pool of the blocking driver; all 0 elsewhere */
    uint64_t connections_open, connections_in_use, connections_made, connections_failed, pool_waits, pool_timeouts;
} coffer_metrics;

/* Numbers of refused entries by status (COFFER_BAD_CRC ...): pair `index` of this namespace, or false behind the last. */
typedef struct coffer_refusal {
    coffer_status status;
    uint64_t count;
} coffer_refusal;

/* A snapshot of this namespace's counters. ARG where struct_size is not set. */
COFFER_API coffer_status coffer_metrics_read(coffer_namespace *ns, coffer_metrics *metrics);
COFFER_API bool coffer_metrics_refusal(coffer_namespace *ns, size_t index, coffer_refusal *refusal);

/* For drivers: one operation took this long. */
COFFER_API void coffer_metrics_record(coffer_namespace *ns, coffer_operation operation, uint64_t elapsed_us);

#ifdef __cplusplus
}
#endif
#endif
