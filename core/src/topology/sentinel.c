/* Sentinel: one primary for all keys, which sentinels name. All of them are asked at once, and the answer with the highest config-epoch counts: one that
 * was cut off names the old primary under an old epoch. During a failover answers of one epoch may name two servers, for the sentinel that leads it says
 * the new epoch a moment before it says the new address: then it is not the one that is known, and not one that said it is no primary.
 *
 * Who says that it is no primary is not used until the sentinels have been heard again, so it is asked once a round, not by each call:
 *
 *     not known -- a round names P --> P -- P says it is none (HELLO, READONLY) --> not known -- a round --> P again, or another */
#include "sentinel_reply.h"
#include "topology_kind.h"

#include "base/alloc.h"

#include <stdio.h>
#include <string.h>

enum { OLDER_ROUNDS_MOST = 16 }; /* then they are believed: the sentinels were set up anew, and count from the beginning */

static coffer_status fill(coffer__topology *topology, const coffer_options *options) {
    size_t size = strlen(options->sentinel_master) + 1;
    topology->sentinel.tls = options->tls;
    topology->sentinel.master = (char *)coffer__alloc(size);
    if (topology->sentinel.master == NULL) {
        return COFFER_NO_MEMORY;
    }
    memcpy(topology->sentinel.master, options->sentinel_master, size);
    topology->question[2] = coffer_slice_text(topology->sentinel.master);
    return coffer__topology_add_seeds(topology, options->sentinel_nodes, 26379, coffer__options_sentinel_tls(options));
}

static const coffer_endpoint *primary_of(const coffer__topology *topology) {
    return atomic_load_explicit(&topology->sentinel.primary, memory_order_acquire);
}

static const coffer_endpoint *refused_of(const coffer__topology *topology) {
    return atomic_load_explicit(&topology->sentinel.refused, memory_order_relaxed);
}

void coffer__sentinel_say_refused(const coffer__topology *topology, char why[COFFER__TOPOLOGY_WHY_CAP]) {
    const coffer_endpoint *refused = refused_of(topology);
    if (refused != NULL) {
        snprintf(why, COFFER__TOPOLOGY_WHY_CAP, "the sentinels named %.*s:%u, which says that it is no master", (int)refused->host.len,
                 refused->host.data, (unsigned)refused->port);
    }
}

static const coffer_endpoint *endpoint(coffer__topology *topology, coffer_slice wire_key, const coffer_endpoint *not_this) {
    (void)wire_key;
    (void)not_this;
    const coffer_endpoint *primary = primary_of(topology);
    return primary == refused_of(topology) ? NULL : primary;
}

static bool is_known(const coffer__topology *topology) {
    return primary_of(topology) != refused_of(topology); /* both NULL: at first */
}

static const coffer_endpoint *candidate(coffer__topology *topology, size_t index) {
    return index < topology->seed_count ? topology->seeds[index] : NULL;
}

/* Of two that are named under the same epoch, how likely one is the primary. */
static int rank(const coffer__topology *topology, const coffer_endpoint *named, uint64_t epoch) {
    bool refused = named == refused_of(topology);
    bool known = named == primary_of(topology);
    return (refused ? 0 : 2) + (known == (epoch <= topology->sentinel.epoch));
}

coffer_status coffer__sentinel_learn(coffer__topology *topology, coffer__refresh *refresh, const coffer__reply *reply) {
    coffer__sentinel_answer answer;
    if (!coffer__sentinel_read(reply, coffer_slice_text(topology->sentinel.master), refresh->asked->host, &answer)) {
        topology->sentinel.refused_answers++;
        return COFFER_SERVER;
    }
    coffer_endpoint wanted = {.host = answer.host, .port = answer.port, .tls = topology->sentinel.tls};
    const coffer_endpoint *named = coffer__endpoints_intern(topology->endpoints, &wanted);
    if (named == NULL) {
        return COFFER_NO_MEMORY;
    }
    bool same = refresh->named != NULL && answer.epoch == refresh->epoch;
    topology->sentinel.answers++;
    if (same ? rank(topology, named, answer.epoch) > rank(topology, refresh->named, answer.epoch)
             : refresh->named == NULL || answer.epoch > refresh->epoch) {
        refresh->named = named;
        refresh->epoch = answer.epoch;
    }
    return COFFER_OK;
}

coffer_status coffer__sentinel_settle(coffer__topology *topology, const coffer__refresh *refresh) {
    if (refresh->named == NULL) {
        return COFFER_SERVER;
    }
    bool older = refresh->epoch < topology->sentinel.epoch;
    topology->sentinel.older = older ? topology->sentinel.older + 1 : 0;
    if (!older || topology->sentinel.older >= OLDER_ROUNDS_MOST) {
        topology->sentinel.epoch = refresh->epoch;
        atomic_store_explicit(&topology->sentinel.primary, refresh->named, memory_order_release);
    }
    atomic_store_explicit(&topology->sentinel.refused, NULL, memory_order_relaxed); /* it may be asked again */
    return COFFER_OK;
}

const coffer__topology_kind coffer__sentinel = {
    .asks_all = true,
    .every_ms = 1000,
    .every_jitter_ms = 1000,
    .question = {{"SENTINEL", 8}, {"MASTER", 6}},
    .question_words = 3,
    .fill = fill,
    .endpoint = endpoint,
    .is_known = is_known,
    .candidate = candidate,
};
