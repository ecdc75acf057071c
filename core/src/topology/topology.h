/* Which server a key lives on. Standalone: one for all of them. Cluster: by the key's slot, learnt from the nodes. Sentinel: one for all of them, which
 * may be another one later, learnt from the sentinels. Each is a row of kinds
 * (topology_kind.h), and nobody above this folder knows which it is.
 *
 *     endpoint = coffer__topology_endpoint(topology, wire_key, NULL);     NULL: not known yet, a refresh has been asked for
 *
 * What is learnt by asking (a refresh) is an op of the client's; here is when it is due, whom to ask, what, and what the answer means:
 *
 *     due --- begin ---> asking: question to coffer__topology_ask, answer to coffer__topology_learn, another until it is settled --- end ---> not due
 *      ^                                                                                                                                    |
 *      '--- coffer__topology_doubt (MOVED, READONLY, CLUSTERDOWN, refused connects, time-outs), or 27 to 33 s have passed ------------------'
 *                                                                                                   (Sentinel: 1 to 2 s)
 *
 * One at a time, and at least 250 ms from the end of one to the next. All of it from any thread. */
#ifndef COFFER_TOPOLOGY_TOPOLOGY_H
#define COFFER_TOPOLOGY_TOPOLOGY_H

#include "redirect.h"
#include "resp/reply.h"
#include "slot_map.h"
#include <coffer/metrics.h>

typedef struct coffer__topology coffer__topology;

/* What is counted: the fields of coffer_topology_stats. */
typedef enum coffer__tally {
#define COFFER__TALLY_ENUM(field, help) COFFER__TALLY_##field,
    COFFER_TOPOLOGY_MAP(COFFER__TALLY_ENUM)
#undef COFFER__TALLY_ENUM
        COFFER__TALLY_COUNT
} coffer__tally;

/* Of the kind that the options ask for. Copies what it needs. NO_MEMORY. */
coffer_status coffer__topology_new(coffer__topology **topology, const coffer_options *options);
void coffer__topology_free(coffer__topology *topology); /* takes NULL */
void coffer__topology_after_fork(coffer__topology *topology); /* in the child: whoever was asking is not here */

/* Whether keys live on several servers: each call goes its own way, and redirects are followed. */
bool coffer__topology_is_routed(const coffer__topology *topology);

/* Whether servers are learnt by asking: where one fails another may be found. */
bool coffer__topology_is_learnt(const coffer__topology *topology);

/* Whether this endpoint is a sentinel, which holds no keys and has credentials of its own; and whether it must say that it is a primary (one that is
 * read from: a replica) before it is used. `refused`: it has said that it is none, and is not used until the sentinels have been heard again. */
bool coffer__topology_is_sentinel(const coffer__topology *topology, const coffer_endpoint *endpoint);
bool coffer__topology_verifies(const coffer__topology *topology, const coffer_endpoint *endpoint);
void coffer__topology_refused(coffer__topology *topology, const coffer_endpoint *endpoint);

/* Who announces news to whoever listens, in turn; NULL: nobody does. And such news, said by it: what is known changes at once where that is clear from it,
 * and a refresh is due soon where it is of our servers. False: it is no announcement at all. */
const coffer_endpoint *coffer__topology_announcer(const coffer__topology *topology, size_t turn);
bool coffer__topology_announced(coffer__topology *topology, const coffer_endpoint *by, const coffer__reply *message, uint64_t now_ms);

/* The endpoint for a key as on the wire (empty: any server, but for `not_this` where there is another; NULL: any at all). Lent as long as the topology
 * lives; equal pointers are the same server. NULL: nothing is known yet (see coffer__topology_is_known). */
const coffer_endpoint *coffer__topology_endpoint(coffer__topology *topology, coffer_slice wire_key, const coffer_endpoint *not_this);
bool coffer__topology_is_known(const coffer__topology *topology);

/* One who holds keys, as far as is known, and is none of these; NULL: there is no other, or nothing is known yet. */
const coffer_endpoint *coffer__topology_other_holder(coffer__topology *topology, const coffer_endpoint *const *but, size_t count);

/* Numbers that grow: of a cluster, when something else is known of who holds which keys (0 where one server holds all: see who it is); and, `moves`, when
 * keys that somebody held are another's. */
uint64_t coffer__topology_changes(const coffer__topology *topology);
uint64_t coffer__topology_moves(const coffer__topology *topology);

/* What an endpoint is, as far as is known: "primary" (it owns something now), "replica" (it is read from), "sentinel", or "" for neither. Static. */
const char *coffer__topology_role(coffer__topology *topology, const coffer_endpoint *endpoint);

/* A number that grows by one each time, so that reads go round the replicas (coffer__endpoint_replica). */
size_t coffer__topology_next_turn(coffer__topology *topology);

/* The node a redirect leads to, from the one that said it. NULL where memory is short. `moved`: the slot is its own from now on. */
const coffer_endpoint *coffer__topology_redirected(coffer__topology *topology, const coffer__redirect *redirect, const coffer_endpoint *asked,
                                                   bool moved);

/* What is known may be wrong: a refresh is due soon. */
void coffer__topology_doubt(coffer__topology *topology, uint64_t now_ms);

/* A call came to its deadline at this endpoint of ours: two in a row are a doubt. And: it has answered. */
void coffer__topology_timed_out(coffer__topology *topology, const coffer_endpoint *endpoint, uint64_t now_ms);
void coffer__topology_answered(const coffer__topology *topology, const coffer_endpoint *endpoint);

/* ---- a refresh ---- */

typedef struct coffer__refresh {
    bool begun;
    size_t tried; /* how many candidates have been asked */
    uint64_t ticket; /* of the question that is out */
    const coffer_endpoint *asked;
    const coffer_endpoint *named; /* by the newest answer so far, where all are asked at once */
    uint64_t epoch; /* of that answer */
    bool hears_replicas; /* at least one has answered the second question */
    size_t replica_count;
    const coffer_endpoint *replicas[COFFER__REPLICAS_MOST]; /* all that were named so far */
    coffer__slot_answer *answers[COFFER__SLOT_ANSWERS_MOST]; /* where nodes are asked one by one: so far */
    size_t answer_count;
} coffer__refresh;

bool coffer__topology_is_due(const coffer__topology *topology, uint64_t now_ms); /* one load */
uint64_t coffer__topology_due_ms(const coffer__topology *topology); /* when; UINT64_MAX: never, or one is under way */
bool coffer__topology_begin(coffer__topology *topology, uint64_t now_ms, coffer__refresh *refresh); /* false: not due, or somebody else is at it */

/* Whom to ask next; NULL: all have been asked. The question is these words. */
const coffer_endpoint *coffer__topology_ask(coffer__topology *topology, coffer__refresh *refresh);
const coffer_slice *coffer__topology_question(const coffer__topology *topology, size_t *count);

/* Where all are asked at once: whom (NULL behind the last), setting refresh->asked before each answer. */
bool coffer__topology_asks_all(const coffer__topology *topology);
const coffer_endpoint *coffer__topology_candidate(coffer__topology *topology, size_t index);

/* Where they are asked for replicas too, before they settle: a second question to each (NULL: there is none), and its answer, from refresh->asked. One that is of no use
 * is not heard; where none is, the replicas stay as they are known. */
const coffer_slice *coffer__topology_second_question(const coffer__topology *topology, size_t *count);
void coffer__topology_learn_replicas(coffer__topology *topology, coffer__refresh *refresh, const coffer__reply *reply);

/* Where they are asked one by one: whether what was heard is enough, or another should be asked (slot_map.h). */
bool coffer__topology_is_settled(coffer__topology *topology, const coffer__refresh *refresh);

/* Nobody else is asked: what was heard counts from now on. OK; SERVER: nothing of use was. */
coffer_status coffer__topology_settle(coffer__topology *topology, coffer__refresh *refresh);
void coffer__refresh_clear(coffer__refresh *refresh); /* in whatever state */

/* The answer of whom was asked last. OK: it was heard. SERVER: it was of no use. NO_MEMORY. */
coffer_status coffer__topology_learn(coffer__topology *topology, coffer__refresh *refresh, const coffer__reply *reply);

/* Once for each begin, in whatever way it ended: OK where something was learnt, AGAIN where it was given up and somebody else should go on at once, else
 * why not, in words too (cut where they are long). */
void coffer__topology_end(coffer__topology *topology, coffer_status status, const char *why, uint64_t now_ms);

/* OK; or, where the last refresh has failed and the next is not due yet, why. With OK there may be words too: what is being waited for. */
enum { COFFER__TOPOLOGY_WHY_CAP = 256 };
coffer_status coffer__topology_failure(coffer__topology *topology, uint64_t now_ms, char why[COFFER__TOPOLOGY_WHY_CAP]);

/* All 0 for kinds that learn nothing; of a sentinel's answers, how many were of use and how many were not. */
void coffer__topology_counts(coffer__topology *topology, coffer__slot_counts *counts);

/* One more; and all of them. */
void coffer__topology_tally(coffer__topology *topology, coffer__tally what);
void coffer__topology_read(coffer__topology *topology, coffer_topology_stats *stats);

#endif
