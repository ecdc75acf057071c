/* What the kinds of topology are made of; for the files of this folder. */
#ifndef COFFER_TOPOLOGY_TOPOLOGY_KIND_H
#define COFFER_TOPOLOGY_TOPOLOGY_KIND_H

#include "base/lock.h"
#include "policy/options_internal.h"
#include "topology.h"

typedef struct coffer__topology_kind {
    bool is_routed, asks_all; /* asks_all: every candidate at once, and the newest answer counts */
    uint64_t every_ms, every_jitter_ms; /* between refreshes */
    coffer_slice question[3]; /* of a refresh; nothing: there are none */
    size_t question_words;
    coffer_slice second_question[3]; /* where replicas are read from; of as many words, the last of which is the same */
    coffer_status (*fill)(coffer__topology *topology, const coffer_options *options); /* at least one seed */
    const coffer_endpoint *(*endpoint)(coffer__topology *topology, coffer_slice wire_key, const coffer_endpoint *not_this);
    bool (*is_known)(const coffer__topology *topology);
    const coffer_endpoint *(*candidate)(coffer__topology *topology, size_t index); /* whom a refresh may ask; NULL behind the last */
} coffer__topology_kind;

struct coffer__topology {
    const coffer__topology_kind *kind;
    coffer__endpoints *endpoints;
    const coffer_endpoint **seeds; /* those of the options */
    size_t seed_count;
    coffer_slice question[3], second_question[3];
    bool reads_replicas;
    coffer__slot_map *map; /* of a cluster */
    struct {
        char *master; /* its name */
        bool tls; /* of the servers */
        _Atomic(const coffer_endpoint *) primary; /* NULL: not known yet */
        _Atomic(const coffer_endpoint *) refused; /* who said, since the sentinels were last heard, that it is not */
        _Atomic uint64_t epoch; /* of the answer that named `primary`; written under the lock, as what follows */
        bool announced; /* `primary` was announced and no answer has named it yet: `epoch` is the least that it can have */
        unsigned older; /* rounds in a row that knew nothing but older ones */
        _Atomic uint64_t answers, refused_answers;
    } sentinel;
    _Atomic uint64_t tally[COFFER__TALLY_COUNT];
    _Atomic(const coffer_endpoint *) hint; /* whom to ask first: a node that has just been named as an owner; may be NULL */
    _Atomic size_t turn, next_candidate, read_turn; /* so that commands without a key go round, and refreshes, and reads */
    coffer__lock *lock; /* of what follows, and for those who write `due_ms` */
    _Atomic uint64_t due_ms;
    bool asking;
    uint64_t ended_ms;
    unsigned failures; /* refreshes in a row that learnt nothing */
    coffer_status status; /* of the last refresh, and in words */
    char why[COFFER__TOPOLOGY_WHY_CAP];
};

extern const coffer__topology_kind coffer__standalone;
extern const coffer__topology_kind coffer__cluster;
extern const coffer__topology_kind coffer__sentinel;

/* sentinel.c: an answer heard, and all of them heard; an announcement: false where it says nothing of our master. */
coffer_status coffer__sentinel_learn(coffer__topology *topology, coffer__refresh *refresh, const coffer__reply *reply);
void coffer__sentinel_learn_replicas(coffer__topology *topology, coffer__refresh *refresh, const coffer__reply *reply);
coffer_status coffer__sentinel_settle(coffer__topology *topology, const coffer__refresh *refresh);
bool coffer__sentinel_announced(coffer__topology *topology, const coffer_endpoint *by, const coffer__reply *message);

/* sentinel.c: into `why`, whom the sentinels name and cannot mean; nothing where that is not so. */
void coffer__sentinel_say_refused(const coffer__topology *topology, char why[COFFER__TOPOLOGY_WHY_CAP]);

/* Interns each of a list (policy/nodes.h) as a seed; the port where none is written. NO_MEMORY. */
coffer_status coffer__topology_add_seeds(coffer__topology *topology, const char *nodes, uint16_t port, bool tls);

/* Interns an endpoint and keeps it as a seed; `seeds` has room. False where memory is short. */
bool coffer__topology_add_seed(coffer__topology *topology, const coffer_endpoint *seed);

#endif
