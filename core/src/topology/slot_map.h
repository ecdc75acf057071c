/* Which node serves which slot, as far as is known.
 *
 *     slot    0 ... 5460   5461 ... 10922   10923 ... 16383
 *           [ a:7000     | b:7000         | (not known)    ]     one atomic pointer a slot: read by any thread, one load, while another thread learns
 *
 * Two sources correct it. A MOVED is one slot's truth at its moment. The answer to CLUSTER SLOTS is of the moment it was asked for: so whoever asks takes
 * a ticket first, and the answer leaves alone each slot that a MOVED has corrected since. What an answer does not name stays as it was: a wrong owner
 * says MOVED, an unknown one can say nothing.
 */
#ifndef COFFER_TOPOLOGY_SLOT_MAP_H
#define COFFER_TOPOLOGY_SLOT_MAP_H

#include "endpoints.h"
#include "resp/reply.h"

typedef struct coffer__slot_map coffer__slot_map;

/* What was odd in the answers, and what was learnt. Counted since the beginning. */
typedef struct coffer__slot_counts {
    uint64_t answers; /* that gave at least one slot */
    uint64_t refused_answers; /* that gave none, or were of another form */
    uint64_t moved; /* slots corrected by MOVED */
    uint64_t refused_ranges; /* ranges that were malformed, or of a node that cannot be reached by what was said of it */
    uint64_t overlaps; /* ranges with a slot that an earlier one of the same answer had; the first wins */
    uint64_t refused_replicas;
} coffer__slot_counts;

coffer__slot_map *coffer__slot_map_new(coffer__endpoints *endpoints); /* the endpoints are lent; NULL where memory is short */
void coffer__slot_map_free(coffer__slot_map *map); /* takes NULL */
void coffer__slot_map_after_fork(coffer__slot_map *map);

const coffer_endpoint *coffer__slot_map_owner(const coffer__slot_map *map, uint16_t slot); /* NULL: not known */
bool coffer__slot_map_is_empty(const coffer__slot_map *map); /* nothing was learnt yet */

/* The first owner of a slot that is none of these; NULL: there is none. */
const coffer_endpoint *coffer__slot_map_other_owner(const coffer__slot_map *map, const coffer_endpoint *const *but, size_t count);

/* From now on answers list each primary's replicas (coffer__endpoint_replica), as endpoints that are read from. */
void coffer__slot_map_read_replicas(coffer__slot_map *map);

/* Node `index` of those that were named last, primaries first; NULL behind the last. And whether that node is named as a primary. */
size_t coffer__slot_map_node_count(coffer__slot_map *map);
const coffer_endpoint *coffer__slot_map_node(coffer__slot_map *map, size_t index);
bool coffer__slot_map_is_primary(coffer__slot_map *map, const coffer_endpoint *node);

/* How many slots got an owner that they did not have, and how many of those had another one before; counted since the beginning. */
uint64_t coffer__slot_map_changes(const coffer__slot_map *map);
uint64_t coffer__slot_map_moves(const coffer__slot_map *map);

void coffer__slot_map_moved(coffer__slot_map *map, uint16_t slot, const coffer_endpoint *owner);

uint64_t coffer__slot_map_ticket(coffer__slot_map *map); /* before CLUSTER SLOTS is sent */

/* The reply to CLUSTER SLOTS, from `asked` (whose host stands for one that is missing), as far as it can be understood. OK: it gave at least one slot.
 * SERVER: it gave none. NO_MEMORY. */
typedef struct coffer__slot_answer coffer__slot_answer;
coffer_status coffer__slot_map_hear(coffer__slot_map *map, const coffer_endpoint *asked, uint64_t ticket, const coffer__reply *reply,
                                    coffer__slot_answer **heard);
void coffer__slot_answer_free(coffer__slot_answer *heard); /* takes NULL */
bool coffer__slot_answer_is_from(const coffer__slot_answer *heard, const coffer_endpoint *asked);

/* A node that the others have lost goes on telling its old map, and CLUSTER SLOTS has no epoch to tell it by. So one answer is enough where it takes no slot
 * from whom the map gives it to; else two that say the same are, else three are heard. Then each slot is whose most say it is (where as many say this as
 * that: whose the first says). Up to three answers, in the order they came. */
enum { COFFER__SLOT_ANSWERS_MOST = 3 };
bool coffer__slot_map_is_settled(coffer__slot_map *map, coffer__slot_answer *const *answers, size_t count);
void coffer__slot_map_settle(coffer__slot_map *map, coffer__slot_answer *const *answers, size_t count); /* at least one: they become the map */

void coffer__slot_map_counts(coffer__slot_map *map, coffer__slot_counts *counts);

#endif
