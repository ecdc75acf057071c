/* Sentinel: one primary for all keys, which sentinels name. All of them are asked at once, and the answer with the highest config-epoch counts: one that
 * was cut off names the old primary under an old epoch. During a failover answers of one epoch may name two servers, for the sentinel that leads it says
 * the new epoch a moment before it says the new address: then it is not the one that is known, and not one that said it is no primary.
 *
 * A failover that a sentinel announces (to whoever listens, io/listen.h) counts at once where it leads away from the server that is known, and the
 * sentinels are asked. Who says that it is no primary is not used until the sentinels have been heard again, so it is asked once a round, not by each call:
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
    topology->question[2] = topology->second_question[2] = coffer_slice_text(topology->sentinel.master);
    return coffer__topology_add_seeds(topology, options->sentinel_nodes, 26379, coffer__options_sentinel_tls(options));
}

static const coffer_endpoint *primary_of(const coffer__topology *topology) {
    return atomic_load_explicit(&topology->sentinel.primary, memory_order_acquire);
}

static uint64_t epoch_of(const coffer__topology *topology) {
    return atomic_load_explicit(&topology->sentinel.epoch, memory_order_relaxed);
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
    return (refused ? 0 : 2) + (known == (epoch <= epoch_of(topology)));
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

/* Under the lock. */
static void become_primary(coffer__topology *topology, const coffer_endpoint *primary, uint64_t epoch, bool announced) {
    if (primary_of(topology) != NULL && primary_of(topology) != primary) {
        coffer__topology_tally(topology, COFFER__TALLY_primary_switches);
    }
    atomic_store_explicit(&topology->sentinel.epoch, epoch, memory_order_relaxed);
    topology->sentinel.announced = announced;
    atomic_store_explicit(&topology->sentinel.primary, primary, memory_order_release);
}

static bool is_heard(const coffer__refresh *refresh, const coffer_endpoint *replica) {
    size_t at = 0;
    while (at < refresh->replica_count && refresh->replicas[at] != replica) {
        at++;
    }
    return at < refresh->replica_count;
}

/* All that any of them takes to be well: one that is not is found out when it is asked. */
void coffer__sentinel_learn_replicas(coffer__topology *topology, coffer__refresh *refresh, const coffer__reply *reply) {
    coffer__sentinel_answer answer;
    refresh->hears_replicas = refresh->hears_replicas || (reply->node_count > 0 && reply->nodes[0].type == COFFER__REPLY_ARRAY);
    for (size_t node = 1; coffer__sentinel_next_replica(reply, &node, refresh->asked->host, &answer);) {
        coffer_endpoint wanted = {.host = answer.host, .port = answer.port, .tls = topology->sentinel.tls, .replica = true};
        const coffer_endpoint *replica = coffer__endpoints_intern(topology->endpoints, &wanted);
        if (replica != NULL && !is_heard(refresh, replica) && refresh->replica_count < COFFER__REPLICAS_MOST) {
            refresh->replicas[refresh->replica_count++] = replica;
        }
    }
}

/* A sentinel that has not heard of a failover yet takes the new primary for a replica. */
static void settle_replicas(const coffer__refresh *refresh, const coffer_endpoint *primary) {
    coffer__endpoint_replicas_begin(primary);
    for (size_t i = 0; i < refresh->replica_count; i++) {
        const coffer_endpoint *replica = refresh->replicas[i];
        if (replica->port != primary->port || !coffer_slice_equal(replica->host, primary->host)) {
            coffer__endpoint_replicas_add(primary, replica);
        }
    }
    coffer__endpoint_replicas_end(primary);
}

coffer_status coffer__sentinel_settle(coffer__topology *topology, const coffer__refresh *refresh) {
    if (refresh->named == NULL) {
        return COFFER_SERVER;
    }
    coffer__lock_take(topology->lock);
    bool in_vain = topology->sentinel.announced && primary_of(topology) == refused_of(topology);
    bool older = refresh->epoch < epoch_of(topology) && !in_vain;
    topology->sentinel.older = older ? topology->sentinel.older + 1 : 0;
    if (!older || topology->sentinel.older >= OLDER_ROUNDS_MOST) {
        become_primary(topology, refresh->named, refresh->epoch, false);
    }
    if (refresh->hears_replicas) {
        settle_replicas(refresh, primary_of(topology));
    }
    atomic_store_explicit(&topology->sentinel.refused, NULL, memory_order_relaxed); /* it may be asked again */
    coffer__lock_drop(topology->lock);
    return COFFER_OK;
}

/* ---- announcements --------------------------------------------------------------------------------------------------- */

static bool is_at(const coffer_endpoint *endpoint, coffer_slice host, uint16_t port) {
    return endpoint != NULL && endpoint->port == port && coffer_slice_equal(endpoint->host, host);
}

/* Believed where it leads away from the server that is known, and once until the sentinels are asked, which is soon: so one that announces without end
 * does not make us remember servers without end. An announcement has no epoch, but a failover makes a higher one than was. */
bool coffer__sentinel_announced(coffer__topology *topology, const coffer_endpoint *by, const coffer__reply *message) {
    coffer__sentinel_switch news;
    if (!coffer__sentinel_read_switch(message, coffer_slice_text(topology->sentinel.master), by->host, &news)) {
        return false;
    }
    coffer__lock_take(topology->lock);
    const coffer_endpoint *known = primary_of(topology), *next = NULL;
    coffer_endpoint wanted = {.host = news.new_host, .port = news.new_port, .tls = topology->sentinel.tls};
    if (!topology->sentinel.announced && is_at(known, news.old_host, news.old_port)) {
        next = coffer__endpoints_intern(topology->endpoints, &wanted);
    }
    if (next != NULL && next != known) {
        become_primary(topology, next, epoch_of(topology) + 1, true);
        atomic_store_explicit(&topology->sentinel.refused, NULL, memory_order_relaxed);
    }
    coffer__lock_drop(topology->lock);
    return true;
}

const coffer__topology_kind coffer__sentinel = {
    .asks_all = true,
    .every_ms = 1000,
    .every_jitter_ms = 1000,
    .question = {{"SENTINEL", 8}, {"MASTER", 6}},
    .question_words = 3,
    .second_question = {{"SENTINEL", 8}, {"REPLICAS", 8}},
    .fill = fill,
    .endpoint = endpoint,
    .is_known = is_known,
    .candidate = candidate,
};
