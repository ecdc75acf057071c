#include "nearby.h"

#include "base/error.h"
#include "base/hash.h"
#include "near/copies.h"
#include "policy/nodes.h"

/* Where the server does not tell what changes, an old value may be used for so long. */
enum { UNTRACKED_MS = 1000 };

/* ---- which one ---- */

/* Any process has to come to the same: the key of this hash is no secret. */
static uint64_t hash_of(coffer_slice text) {
    return coffer__hash((coffer__hash_key){3, 1}, text);
}

/* In any order: each process may name other servers first. */
static uint64_t hash_of_nodes(const char *nodes) {
    coffer_slice rest = coffer_slice_text(nodes);
    coffer__node_name node;
    uint64_t sum = 0;
    while (coffer__nodes_next(&rest, &node) == COFFER__NODES_ONE) {
        sum += hash_of(node.host) * (node.port | UINT64_C(0x10000));
    }
    return sum;
}

uint64_t coffer__nearby_identity(const coffer_options *options) {
    const uint64_t parts[] = {
        options->local,
        hash_of(coffer_slice_text(options->host)),
        options->port,
        hash_of(coffer_slice_text(options->path)),
        hash_of_nodes(options->cluster_nodes),
        hash_of_nodes(options->sentinel_nodes),
        hash_of(coffer_slice_text(options->sentinel_master)),
        options->db,
        hash_of(coffer_slice_text(options->prefix)),
        hash_of(coffer_slice_text(options->username)),
    };
    return hash_of(coffer_slice_of(parts, sizeof parts));
}

static coffer_status open_shared(coffer__near **near, const coffer_options *options, size_t memory_bytes, bool *is_shared, coffer_error *error) {
    const coffer__near_site site = {
        .name = coffer_slice_text(options->near_name),
        .identity = coffer__nearby_identity(options),
        .memory_bytes = memory_bytes,
        .descriptor = options->near_fd_count == 0 ? -1 : (int)options->near_fd_count,
        .owner = coffer_slice_text(options->near_owner),
        .group = coffer_slice_text(options->near_group),
        .fallback_private = true,
    };
    return coffer__near_open(near, &site, is_shared, error);
}

/* mem:// is in the process anyhow: what `near` says there is whether other processes have it too. */
coffer_status coffer__nearby_open(coffer_client *client, coffer_error *error) {
    const coffer_options *options = client->options;
    coffer__near **near = options->local ? &client->store : &client->copies;
    size_t memory_bytes = (size_t)(options->local ? options->memory_bytes : options->near_bytes);
    if (options->near == COFFER_NEAR_SHARED) {
        return open_shared(near, options, memory_bytes, &client->near_is_shared, error);
    }
    if (!options->local && options->near == COFFER_NEAR_OFF) {
        return COFFER_OK;
    }
    coffer_status status = coffer__near_new(near, memory_bytes);
    return status == COFFER_OK ? status : coffer__error_set(error, status, "the cache cannot be opened: %s", coffer_status_text(status));
}

coffer_status coffer__nearby_join(coffer_namespace *ns, coffer_error *error) {
    static const char *const words[] = {"off", "process", "shared"};
    int wanted = ns->options->near, have = ns->client->options->near;
    if (wanted != COFFER_NEAR_OFF && wanted != have) {
        return coffer__error_set(
            error, COFFER_OPTION,
            "the option 'near' cannot be '%s' in the namespace %s: it is '%s' for its cache. A namespace may turn it off, and nothing else",
            words[wanted], ns->options->name, words[have]);
    }
    ns->copies = wanted == COFFER_NEAR_OFF ? NULL : ns->client->copies;
    return COFFER_OK;
}

int coffer__nearby_channel(const coffer_namespace *ns, const coffer_call *call, uint64_t *most_ms) {
    int channel = call->endpoint == NULL ? -1 : coffer__client_channel_of(ns->client, call->endpoint);
    bool untracked = channel >= 0 && !coffer__channel_is_tracked(coffer__near_coherence(ns->client->copies), (unsigned)channel);
    bool shorter = untracked && ns->options->near_ttl_ms > UNTRACKED_MS;
    *most_ms = shorter ? UNTRACKED_MS : ns->options->near_ttl_ms;
    return channel;
}

/* ---- own writes ---- */

/* Its keys are where they are among the arguments: one, but for UNLINK. */
void coffer__nearby_drop(coffer_client *client, const coffer_call *call) {
    if (client->copies == NULL || !call->command->writes) {
        return;
    }
    size_t first = call->command->script_sha1 != NULL ? 3 : 1;
    size_t end = call->command == &coffer__command_unlink ? call->argument_count : first + 1;
    for (size_t i = first; i < end; i++) {
        coffer__near_drop(client->copies, call->arguments[i]);
    }
}

void coffer__nearby_drop_all(coffer_client *client) {
    if (client->copies != NULL) {
        coffer__epoch_end(coffer__near_coherence(client->copies));
    }
}

/* ---- figures ---- */

void coffer__nearby_channels(const coffer_client *client, uint64_t now_ms, size_t *live_count, size_t *untracked_count) {
    const coffer__coherence *coherence = coffer__near_coherence(client->copies);
    for (unsigned i = 0; i < COFFER__CHANNELS_MOST; i++) {
        bool live = coffer__channel_is_live(coherence, i, now_ms);
        *live_count += live;
        *untracked_count += live && !coffer__channel_is_tracked(coherence, i);
    }
}

static uint64_t load(const _Atomic uint64_t *number) {
    return atomic_load_explicit(number, memory_order_relaxed);
}

void coffer__nearby_read(const coffer_client *client, coffer_near_stats *stats) {
    if (client->copies == NULL) {
        return;
    }
    const coffer__coherence *coherence = coffer__near_coherence(client->copies);
    coffer__near_stats near;
    coffer__near_stats_read(client->copies, &near);
    *stats = (coffer_near_stats){
        .memory_bytes = near.memory_bytes,
        .used_bytes = near.used_bytes,
        .entries = near.entries,
        .evictions = near.evictions,
        .evicted_new = near.evicted_new,
        .evicted_old = near.evicted_old,
        .evicted_absent = near.evicted_absent,
        .evicted_bucket = near.evicted_bucket,
        .expirations = near.expirations,
        .wiped_shards = near.wiped_shards,
        .lock_timeouts = near.lock_timeouts,
        .fills = load(&coherence->fills),
        .fills_refused = load(&coherence->fills_refused),
        .bypasses = load(&coherence->bypasses),
        .invalidations = load(&coherence->invalidations),
        .flushes = load(&coherence->flushes),
        .epochs = load(&coherence->epochs_counted),
        .takeovers = load(&coherence->takeovers),
        .lag_us = load(&coherence->lag_us),
    };
}
