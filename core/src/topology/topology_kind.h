/* What the kinds of topology are made of; for the files of this folder. */
#ifndef COFFER_TOPOLOGY_TOPOLOGY_KIND_H
#define COFFER_TOPOLOGY_TOPOLOGY_KIND_H

#include "base/lock.h"
#include "policy/options_internal.h"
#include "topology.h"

typedef struct coffer__topology_kind {
    bool is_routed;
    coffer_slice question[3]; /* of a refresh; nothing: there are none */
    size_t question_words;
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
    coffer__slot_map *map; /* of a cluster */
    _Atomic(const coffer_endpoint *) hint; /* whom to ask first: a node that has just been named as an owner; may be NULL */
    _Atomic size_t turn, next_candidate; /* so that commands without a key go round, and refreshes */
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

/* Interns an endpoint and keeps it as a seed; `seeds` has room. False where memory is short. */
bool coffer__topology_add_seed(coffer__topology *topology, const coffer_endpoint *seed);

#endif
