#include "topology_kind.h"

#include "base/alloc.h"
#include "base/random.h"
#include "policy/nodes.h"
#include "sentinel_reply.h"

#include <stdio.h>
#include <string.h>

enum { APART_MS = 250, DOUBLINGS_MOST = 3, TIMEOUTS_IN_A_ROW = 2, ASKED_MOST = 16 };

static uint64_t jitter(uint64_t most_ms) {
    return coffer__random_u64() % (most_ms + 1);
}

bool coffer__topology_add_seed(coffer__topology *topology, const coffer_endpoint *seed) {
    const coffer_endpoint *interned = coffer__endpoints_intern(topology->endpoints, seed);
    if (interned != NULL) {
        topology->seeds[topology->seed_count++] = interned;
    }
    return interned != NULL;
}

coffer_status coffer__topology_add_seeds(coffer__topology *topology, const char *nodes, uint16_t port, bool tls) {
    coffer_slice rest = coffer_slice_text(nodes);
    coffer__node_name name;
    size_t count = 0;
    for (coffer_slice left = rest; coffer__nodes_next(&left, &name) == COFFER__NODES_ONE;) {
        count++;
    }
    topology->seeds = (const coffer_endpoint **)coffer__alloc((count + 1) * sizeof *topology->seeds);
    while (topology->seeds != NULL && coffer__nodes_next(&rest, &name) == COFFER__NODES_ONE) {
        coffer_endpoint seed = {.host = name.host, .port = name.port != 0 ? name.port : port, .tls = tls};
        if (!coffer__topology_add_seed(topology, &seed)) {
            return COFFER_NO_MEMORY;
        }
    }
    return topology->seeds != NULL ? COFFER_OK : COFFER_NO_MEMORY;
}

static const coffer__topology_kind *kind_of(const coffer_options *options) {
    return options->sentinel_nodes[0] != '\0' ? &coffer__sentinel : options->cluster_nodes[0] != '\0' ? &coffer__cluster : &coffer__standalone;
}

coffer_status coffer__topology_new(coffer__topology **topology, const coffer_options *options) {
    *topology = NULL;
    coffer__topology *made = (coffer__topology *)coffer__alloc_zero(sizeof *made);
    if (made == NULL) {
        return COFFER_NO_MEMORY;
    }
    made->kind = kind_of(options);
    memcpy(made->question, made->kind->question, sizeof made->question);
    memcpy(made->second_question, made->kind->second_question, sizeof made->second_question);
    made->reads_replicas = options->read_from != COFFER_READ_PRIMARY;
    made->lock = coffer__lock_new();
    made->endpoints = coffer__endpoints_new();
    atomic_init(&made->due_ms, made->kind->question_words > 0 ? 0 : UINT64_MAX);
    if (made->lock == NULL || made->endpoints == NULL || made->kind->fill(made, options) != COFFER_OK) {
        coffer__topology_free(made);
        return COFFER_NO_MEMORY;
    }
    *topology = made;
    return COFFER_OK;
}

void coffer__topology_free(coffer__topology *topology) {
    if (topology != NULL) {
        coffer__slot_map_free(topology->map);
        coffer__release((void *)topology->seeds);
        coffer__release(topology->sentinel.master);
        coffer__endpoints_free(topology->endpoints);
        coffer__lock_free(topology->lock);
        coffer__release(topology);
    }
}

void coffer__topology_after_fork(coffer__topology *topology) {
    coffer__lock_reset(topology->lock);
    coffer__endpoints_after_fork(topology->endpoints);
    if (topology->map != NULL) {
        coffer__slot_map_after_fork(topology->map);
    }
    if (topology->asking) {
        topology->asking = false;
        atomic_store(&topology->due_ms, 0);
    }
}

bool coffer__topology_is_routed(const coffer__topology *topology) {
    return topology->kind->is_routed;
}

bool coffer__topology_is_learnt(const coffer__topology *topology) {
    return topology->kind->question_words > 0;
}

bool coffer__topology_is_sentinel(const coffer__topology *topology, const coffer_endpoint *endpoint) {
    for (size_t i = 0; topology->kind == &coffer__sentinel && i < topology->seed_count; i++) {
        if (topology->seeds[i] == endpoint) {
            return true;
        }
    }
    return false;
}

bool coffer__topology_verifies(const coffer__topology *topology, const coffer_endpoint *endpoint) {
    return topology->kind == &coffer__sentinel && !coffer__topology_is_sentinel(topology, endpoint);
}

void coffer__topology_refused(coffer__topology *topology, const coffer_endpoint *endpoint) {
    atomic_store_explicit(&topology->sentinel.refused, endpoint, memory_order_relaxed);
}

const coffer_endpoint *coffer__topology_announcer(const coffer__topology *topology, size_t turn) {
    return topology->kind == &coffer__sentinel ? topology->seeds[turn % topology->seed_count] : NULL;
}

bool coffer__topology_announced(coffer__topology *topology, const coffer_endpoint *by, const coffer__reply *message, uint64_t now_ms) {
    if (coffer__sentinel_announced(topology, by, message)) {
        coffer__topology_doubt(topology, now_ms);
    }
    return coffer__sentinel_is_announcement(message);
}

const char *coffer__topology_role(coffer__topology *topology, const coffer_endpoint *endpoint) {
    if (endpoint->replica) {
        return "replica";
    }
    if (coffer__topology_is_sentinel(topology, endpoint)) {
        return "sentinel";
    }
    bool owns = topology->map != NULL ? coffer__slot_map_is_primary(topology->map, endpoint)
                                      : endpoint == topology->kind->endpoint(topology, coffer_slice_of(NULL, 0), NULL);
    return owns ? "primary" : "";
}

size_t coffer__topology_next_turn(coffer__topology *topology) {
    return atomic_fetch_add_explicit(&topology->read_turn, 1, memory_order_relaxed);
}

const coffer_endpoint *coffer__topology_endpoint(coffer__topology *topology, coffer_slice wire_key, const coffer_endpoint *not_this) {
    return topology->kind->endpoint(topology, wire_key, not_this);
}

const coffer_endpoint *coffer__topology_other_holder(coffer__topology *topology, const coffer_endpoint *const *but, size_t count) {
    if (topology->map != NULL) {
        return coffer__slot_map_other_owner(topology->map, but, count);
    }
    const coffer_endpoint *one = topology->kind->endpoint(topology, coffer_slice_of(NULL, 0), NULL);
    return coffer__endpoint_is_among(one, but, count) ? NULL : one;
}

bool coffer__topology_is_known(const coffer__topology *topology) {
    return topology->kind->is_known(topology);
}

static uint64_t primary_switches(const coffer__topology *topology) {
    return atomic_load_explicit(&topology->tally[COFFER__TALLY_primary_switches], memory_order_acquire);
}

uint64_t coffer__topology_changes(const coffer__topology *topology) {
    return topology->map != NULL ? coffer__slot_map_changes(topology->map) : 0;
}

uint64_t coffer__topology_moves(const coffer__topology *topology) {
    return topology->map != NULL ? coffer__slot_map_moves(topology->map) : primary_switches(topology);
}

const coffer_endpoint *coffer__topology_redirected(coffer__topology *topology, const coffer__redirect *redirect, const coffer_endpoint *asked,
                                                   bool moved) {
    coffer_endpoint wanted = {.host = redirect->host.len > 0 ? redirect->host : asked->host, .port = redirect->port, .tls = asked->tls};
    const coffer_endpoint *found = coffer__endpoints_intern(topology->endpoints, &wanted);
    if (found != NULL && moved && topology->map != NULL) {
        coffer__slot_map_moved(topology->map, redirect->slot, found);
        atomic_store_explicit(&topology->hint, found, memory_order_relaxed);
    }
    return found;
}

void coffer__topology_timed_out(coffer__topology *topology, const coffer_endpoint *endpoint, uint64_t now_ms) {
    bool counts = coffer__topology_is_learnt(topology) && !coffer__topology_is_sentinel(topology, endpoint);
    if (counts && coffer__endpoint_timed_out(endpoint) >= TIMEOUTS_IN_A_ROW) {
        coffer__topology_tally(topology, COFFER__TALLY_doubts_timeouts);
        coffer__topology_doubt(topology, now_ms);
    }
}

void coffer__topology_answered(const coffer__topology *topology, const coffer_endpoint *endpoint) {
    if (coffer__topology_is_learnt(topology)) {
        coffer__endpoint_answered(endpoint);
    }
}

/* ---- a refresh: when ------------------------------------------------------------------------------------------- */

uint64_t coffer__topology_due_ms(const coffer__topology *topology) {
    return atomic_load_explicit(&topology->due_ms, memory_order_relaxed);
}

bool coffer__topology_is_due(const coffer__topology *topology, uint64_t now_ms) {
    return now_ms >= coffer__topology_due_ms(topology);
}

/* Under the lock: due by then at the latest, but not sooner after the last one than is allowed. */
static void make_due(coffer__topology *topology, uint64_t now_ms, uint64_t in_ms) {
    uint64_t soonest_ms = topology->ended_ms > 0 ? topology->ended_ms + APART_MS + jitter(APART_MS / 2) : 0;
    uint64_t due_ms = now_ms + in_ms < soonest_ms ? soonest_ms : now_ms + in_ms;
    if (due_ms < coffer__topology_due_ms(topology)) {
        atomic_store_explicit(&topology->due_ms, due_ms, memory_order_relaxed);
    }
}

void coffer__topology_doubt(coffer__topology *topology, uint64_t now_ms) {
    if (topology->kind->question_words == 0 || coffer__topology_is_due(topology, now_ms + APART_MS)) {
        return;
    }
    coffer__lock_take(topology->lock);
    make_due(topology, now_ms, topology->asking ? APART_MS : 0);
    coffer__lock_drop(topology->lock);
}

bool coffer__topology_begin(coffer__topology *topology, uint64_t now_ms, coffer__refresh *refresh) {
    coffer__lock_take(topology->lock);
    bool begun = coffer__topology_is_due(topology, now_ms) && !topology->asking;
    if (begun) {
        topology->asking = true;
        atomic_store_explicit(&topology->due_ms, UINT64_MAX, memory_order_relaxed);
    }
    coffer__lock_drop(topology->lock);
    *refresh = (coffer__refresh){0};
    return begun;
}

coffer_status coffer__topology_failure(coffer__topology *topology, uint64_t now_ms, char why[COFFER__TOPOLOGY_WHY_CAP]) {
    why[0] = '\0';
    coffer__lock_take(topology->lock);
    bool hopeful = topology->asking || coffer__topology_is_due(topology, now_ms);
    coffer_status status = hopeful ? COFFER_OK : topology->status;
    if (status != COFFER_OK) {
        memcpy(why, topology->why, sizeof topology->why);
    } else {
        coffer__sentinel_say_refused(topology, why);
    }
    coffer__lock_drop(topology->lock);
    return status;
}

/* How long until the next, where nothing is doubted: as the kind says, or longer each time that nothing is learnt. */
static uint64_t next_in_ms(coffer__topology *topology, coffer_status status) {
    if (status == COFFER_OK) {
        topology->failures = 0;
        return topology->kind->every_ms + jitter(topology->kind->every_jitter_ms);
    }
    topology->failures++;
    return jitter((uint64_t)APART_MS << (topology->failures < DOUBLINGS_MOST ? topology->failures : DOUBLINGS_MOST));
}

void coffer__topology_end(coffer__topology *topology, coffer_status status, const char *why, uint64_t now_ms) {
    coffer__lock_take(topology->lock);
    bool doubted = coffer__topology_due_ms(topology) != UINT64_MAX; /* while it was under way */
    topology->asking = false;
    atomic_store_explicit(&topology->due_ms, status == COFFER_AGAIN ? now_ms : UINT64_MAX, memory_order_relaxed);
    if (status != COFFER_AGAIN) {
        coffer__topology_tally(topology, status == COFFER_OK ? COFFER__TALLY_refreshes : COFFER__TALLY_refreshes_failed);
        topology->ended_ms = now_ms > 0 ? now_ms : 1;
        topology->status = status;
        snprintf(topology->why, sizeof topology->why, "%s", why);
        make_due(topology, now_ms, next_in_ms(topology, status));
    }
    if (doubted) {
        make_due(topology, now_ms, 0);
    }
    coffer__lock_drop(topology->lock);
}

/* ---- a refresh: whom, and what --------------------------------------------------------------------------------- */

const coffer_slice *coffer__topology_question(const coffer__topology *topology, size_t *count) {
    *count = topology->kind->question_words;
    return topology->question;
}

static size_t count_candidates(coffer__topology *topology) {
    size_t count = 0;
    while (topology->kind->candidate(topology, count) != NULL) {
        count++;
    }
    return count;
}

static bool has_answered(const coffer__refresh *refresh, const coffer_endpoint *endpoint) {
    bool has = false;
    for (size_t i = 0; i < refresh->answer_count; i++) {
        has = has || coffer__slot_answer_is_from(refresh->answers[i], endpoint);
    }
    return has;
}

/* The hint first, then the candidates, beginning behind the one that was asked last: it may be the one that says nothing. */
static const coffer_endpoint *choose(coffer__topology *topology, coffer__refresh *refresh) {
    const coffer_endpoint *hint = refresh->begun ? NULL : atomic_exchange_explicit(&topology->hint, NULL, memory_order_relaxed);
    refresh->begun = true;
    if (hint != NULL) {
        return hint;
    }
    size_t count = count_candidates(topology);
    const coffer_endpoint *next = NULL;
    while (next == NULL && refresh->tried < (count < ASKED_MOST ? count : ASKED_MOST)) {
        refresh->tried++;
        next = topology->kind->candidate(topology, atomic_fetch_add_explicit(&topology->next_candidate, 1, memory_order_relaxed) % count);
        next = has_answered(refresh, next) ? NULL : next;
    }
    return next;
}

const coffer_endpoint *coffer__topology_ask(coffer__topology *topology, coffer__refresh *refresh) {
    refresh->asked = choose(topology, refresh);
    refresh->ticket = topology->map == NULL ? 0 : coffer__slot_map_ticket(topology->map);
    return refresh->asked;
}

bool coffer__topology_asks_all(const coffer__topology *topology) {
    return topology->kind->asks_all;
}

const coffer_endpoint *coffer__topology_candidate(coffer__topology *topology, size_t index) {
    return index < ASKED_MOST ? topology->kind->candidate(topology, index) : NULL;
}

const coffer_slice *coffer__topology_second_question(const coffer__topology *topology, size_t *count) {
    bool asks = topology->reads_replicas && topology->kind->second_question[0].len > 0;
    *count = asks ? topology->kind->question_words : 0;
    return asks ? topology->second_question : NULL;
}

void coffer__topology_learn_replicas(coffer__topology *topology, coffer__refresh *refresh, const coffer__reply *reply) {
    coffer__sentinel_learn_replicas(topology, refresh, reply);
}

bool coffer__topology_is_settled(coffer__topology *topology, const coffer__refresh *refresh) {
    return refresh->answer_count > 0 && coffer__slot_map_is_settled(topology->map, refresh->answers, refresh->answer_count);
}

coffer_status coffer__topology_settle(coffer__topology *topology, coffer__refresh *refresh) {
    if (topology->kind->asks_all) {
        return coffer__sentinel_settle(topology, refresh);
    }
    if (refresh->answer_count == 0) {
        return COFFER_SERVER;
    }
    coffer__slot_map_settle(topology->map, refresh->answers, refresh->answer_count);
    coffer__refresh_clear(refresh);
    return COFFER_OK;
}

void coffer__refresh_clear(coffer__refresh *refresh) {
    while (refresh->answer_count > 0) {
        coffer__slot_answer_free(refresh->answers[--refresh->answer_count]);
    }
}

coffer_status coffer__topology_learn(coffer__topology *topology, coffer__refresh *refresh, const coffer__reply *reply) {
    if (topology->kind->asks_all) {
        return coffer__sentinel_learn(topology, refresh, reply);
    }
    if (topology->map == NULL || refresh->answer_count == COFFER__SLOT_ANSWERS_MOST) {
        return COFFER_SERVER;
    }
    coffer__slot_answer **room = &refresh->answers[refresh->answer_count];
    coffer_status status = coffer__slot_map_hear(topology->map, refresh->asked, refresh->ticket, reply, room);
    refresh->answer_count += status == COFFER_OK;
    return status;
}

void coffer__topology_counts(coffer__topology *topology, coffer__slot_counts *counts) {
    *counts = (coffer__slot_counts){.answers = topology->sentinel.answers, .refused_answers = topology->sentinel.refused_answers};
    if (topology->map != NULL) {
        coffer__slot_map_counts(topology->map, counts);
    }
}

void coffer__topology_tally(coffer__topology *topology, coffer__tally what) {
    atomic_fetch_add_explicit(&topology->tally[what], 1, memory_order_relaxed);
}

void coffer__topology_read(coffer__topology *topology, coffer_topology_stats *stats) {
    coffer__slot_counts counts;
    coffer__topology_counts(topology, &counts);
#define READ(field, help) stats->field = atomic_load_explicit(&topology->tally[COFFER__TALLY_##field], memory_order_relaxed);
    COFFER_TOPOLOGY_MAP(READ)
#undef READ
    stats->answers_refused = counts.refused_answers + counts.refused_ranges + counts.refused_replicas;
}
