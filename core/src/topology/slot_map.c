#include "slot_map.h"

#include "base/alloc.h"
#include "base/lock.h"
#include "redirect.h"
#include "slots.h"

#include <string.h>

enum { RANGES_MOST = COFFER__SLOTS, NODES_MOST = 2048 };

/* A node and whose replica it is: a primary is its own. */
typedef struct named_node {
    const coffer_endpoint *endpoint, *primary;
    const coffer_endpoint *reader; /* of a replica that is read from, else NULL */
} named_node;

struct coffer__slot_map {
    _Atomic(const coffer_endpoint *) owners[COFFER__SLOTS];
    _Atomic uint64_t changes, moves; /* of owners; `moves`: from another one */
    atomic_bool learnt;
    bool reads_replicas;
    coffer__endpoints *endpoints;
    coffer__lock *lock; /* of what follows, and for those who write `owners` */
    uint64_t moved_at[COFFER__SLOTS]; /* the number of the MOVED that corrected it last */
    named_node *nodes;
    size_t node_count;
    coffer__slot_counts counts;
};

/* An answer while it is read: it becomes the map's only when it is whole. */
typedef struct coffer__slot_answer {
    coffer__slot_map *map;
    const coffer_endpoint *asked;
    uint64_t ticket;
    const coffer__reply *reply; /* while it is read */
    const coffer_endpoint *owners[COFFER__SLOTS];
    size_t known; /* slots */
    named_node *nodes;
    size_t node_count, node_cap;
    coffer__slot_counts counts; /* of this answer */
} answer;

coffer__slot_map *coffer__slot_map_new(coffer__endpoints *endpoints) {
    coffer__slot_map *made = (coffer__slot_map *)coffer__alloc_zero(sizeof *made);
    if (made != NULL && (made->lock = coffer__lock_new()) == NULL) {
        coffer__release(made);
        return NULL;
    }
    if (made != NULL) {
        made->endpoints = endpoints;
    }
    return made;
}

void coffer__slot_map_free(coffer__slot_map *map) {
    if (map != NULL) {
        coffer__lock_free(map->lock);
        coffer__release(map->nodes);
        coffer__release(map);
    }
}

void coffer__slot_map_after_fork(coffer__slot_map *map) {
    coffer__lock_reset(map->lock);
}

void coffer__slot_map_read_replicas(coffer__slot_map *map) {
    map->reads_replicas = true;
}

const coffer_endpoint *coffer__slot_map_owner(const coffer__slot_map *map, uint16_t slot) {
    return atomic_load_explicit(&map->owners[slot], memory_order_acquire);
}

const coffer_endpoint *coffer__slot_map_other_owner(const coffer__slot_map *map, const coffer_endpoint *const *but, size_t count) {
    const coffer_endpoint *before = NULL;
    for (uint16_t slot = 0; slot < COFFER__SLOTS; slot++) {
        const coffer_endpoint *owner = coffer__slot_map_owner(map, slot);
        if (owner != before && owner != NULL && !coffer__endpoint_is_among(owner, but, count)) {
            return owner;
        }
        before = owner;
    }
    return NULL;
}

bool coffer__slot_map_is_empty(const coffer__slot_map *map) {
    return !atomic_load_explicit(&map->learnt, memory_order_acquire);
}

size_t coffer__slot_map_node_count(coffer__slot_map *map) {
    coffer__lock_take(map->lock);
    size_t count = map->node_count;
    coffer__lock_drop(map->lock);
    return count;
}

const coffer_endpoint *coffer__slot_map_node(coffer__slot_map *map, size_t index) {
    coffer__lock_take(map->lock);
    const coffer_endpoint *node = index < map->node_count ? map->nodes[index].endpoint : NULL;
    coffer__lock_drop(map->lock);
    return node;
}

bool coffer__slot_map_is_primary(coffer__slot_map *map, const coffer_endpoint *node) {
    bool found = false;
    coffer__lock_take(map->lock);
    for (size_t i = 0; !found && i < map->node_count; i++) {
        found = map->nodes[i].primary == node;
    }
    coffer__lock_drop(map->lock);
    return found;
}

/* ---- learning ------------------------------------------------------------------------------------------------- */

/* Under the lock. The counts grow behind it: who sees them grown sees the owner too. */
static void set_owner(coffer__slot_map *map, size_t slot, const coffer_endpoint *owner) {
    const coffer_endpoint *before = atomic_load_explicit(&map->owners[slot], memory_order_relaxed);
    if (before != owner) {
        atomic_store_explicit(&map->owners[slot], owner, memory_order_release);
        atomic_fetch_add_explicit(&map->moves, before != NULL, memory_order_release);
        atomic_fetch_add_explicit(&map->changes, 1, memory_order_release);
    }
}

uint64_t coffer__slot_map_changes(const coffer__slot_map *map) {
    return atomic_load_explicit(&map->changes, memory_order_acquire);
}

uint64_t coffer__slot_map_moves(const coffer__slot_map *map) {
    return atomic_load_explicit(&map->moves, memory_order_acquire);
}

void coffer__slot_map_moved(coffer__slot_map *map, uint16_t slot, const coffer_endpoint *owner) {
    coffer__lock_take(map->lock);
    map->moved_at[slot] = ++map->counts.moved;
    set_owner(map, slot, owner);
    coffer__lock_drop(map->lock);
}

uint64_t coffer__slot_map_ticket(coffer__slot_map *map) {
    coffer__lock_take(map->lock);
    uint64_t ticket = map->counts.moved;
    coffer__lock_drop(map->lock);
    return ticket;
}

/* [host or nil, port, ...] as an endpoint; NULL where it names none. */
static const coffer_endpoint *read_node(const answer *a, size_t node) {
    const coffer__node *nodes = a->reply->nodes;
    if (nodes[node].type != COFFER__REPLY_ARRAY || nodes[node].len < 2) {
        return NULL;
    }
    const coffer__node *host = &nodes[node + 1], *port = &nodes[node + 2];
    bool missing = host->type == COFFER__REPLY_NIL || (host->type == COFFER__REPLY_BULK && host->len == 0);
    bool named = host->type == COFFER__REPLY_BULK && coffer__host_is_fit(coffer__reply_text(a->reply, node + 1));
    if ((!missing && !named) || port->type != COFFER__REPLY_INTEGER || port->integer < 1 || port->integer > 65535) {
        return NULL;
    }
    coffer_endpoint wanted = {.port = (uint16_t)port->integer, .tls = a->asked->tls};
    wanted.host = missing ? a->asked->host : coffer__reply_text(a->reply, node + 1);
    return coffer__endpoints_intern(a->map->endpoints, &wanted);
}

/* The same server as it is read from. NULL where it is not, or memory is short: then it is not until the next answer. */
static const coffer_endpoint *reader_of(const answer *a, const coffer_endpoint *replica) {
    coffer_endpoint wanted = *replica;
    wanted.replica = true;
    return a->map->reads_replicas ? coffer__endpoints_intern(a->map->endpoints, &wanted) : NULL;
}

/* False where memory is short, or there are too many. */
static bool add_node(answer *a, const coffer_endpoint *endpoint, const coffer_endpoint *primary) {
    for (size_t i = a->node_count; i > 0; i--) { /* a node's ranges tend to follow each other */
        if (a->nodes[i - 1].endpoint == endpoint && a->nodes[i - 1].primary == primary) {
            return true;
        }
    }
    if (a->node_count == a->node_cap) {
        size_t cap = a->node_cap == 0 ? 16 : 2 * a->node_cap;
        named_node *larger = cap > NODES_MOST ? NULL : (named_node *)coffer__resize(a->nodes, cap * sizeof *larger);
        if (larger == NULL) {
            return false;
        }
        a->nodes = larger;
        a->node_cap = cap;
    }
    const coffer_endpoint *reader = endpoint == primary ? NULL : reader_of(a, endpoint);
    a->nodes[a->node_count++] = (named_node){.endpoint = endpoint, .primary = primary, .reader = reader};
    return true;
}

static void take_slots(answer *a, int64_t first, int64_t last, const coffer_endpoint *owner) {
    size_t before = a->known, wanted = (size_t)(last - first + 1);
    for (int64_t slot = first; a->known < COFFER__SLOTS && slot <= last; slot++) {
        if (a->owners[slot] == NULL) {
            a->owners[slot] = owner;
            a->known++;
        }
    }
    a->counts.overlaps += a->known - before != wanted;
}

/* [first, last, primary, replica ...] */
static void read_range(answer *a, size_t node) {
    const coffer__node *nodes = a->reply->nodes;
    const coffer_endpoint *primary = NULL;
    bool is_range = nodes[node].type == COFFER__REPLY_ARRAY && nodes[node].len >= 3 && nodes[node + 1].type == COFFER__REPLY_INTEGER &&
                    nodes[node + 2].type == COFFER__REPLY_INTEGER;
    int64_t first = is_range ? nodes[node + 1].integer : -1, last = is_range ? nodes[node + 2].integer : -1;
    if (first >= 0 && first <= last && last < COFFER__SLOTS) {
        primary = read_node(a, node + 3);
    }
    if (primary == NULL || !add_node(a, primary, primary)) {
        a->counts.refused_ranges++;
        return;
    }
    take_slots(a, first, last, primary);
    size_t at = coffer__reply_after(a->reply, node + 3);
    for (size_t i = 3; i < nodes[node].len; i++, at = coffer__reply_after(a->reply, at)) {
        const coffer_endpoint *replica = read_node(a, at);
        if (replica == NULL || !add_node(a, replica, primary)) {
            a->counts.refused_replicas++;
        }
    }
}

static void read_answer(answer *a) {
    const coffer__node *nodes = a->reply->nodes;
    if (a->reply->node_count == 0 || nodes[0].type != COFFER__REPLY_ARRAY) {
        return;
    }
    size_t at = 1;
    for (size_t i = 0; i < nodes[0].len; i++, at = coffer__reply_after(a->reply, at)) {
        if (i < RANGES_MOST) {
            read_range(a, at);
        } else {
            a->counts.refused_ranges++;
        }
    }
}

/* Primaries first: whom to ask next time. */
static void sort_nodes(answer *a) {
    size_t primaries = 0;
    for (size_t i = 0; i < a->node_count; i++) {
        if (a->nodes[i].endpoint == a->nodes[i].primary) {
            named_node swapped = a->nodes[primaries];
            a->nodes[primaries++] = a->nodes[i];
            a->nodes[i] = swapped;
        }
    }
}

static void add_counts(coffer__slot_map *map, const answer *a) {
    map->counts.answers += a->known > 0;
    map->counts.refused_answers += a->known == 0;
    map->counts.refused_ranges += a->counts.refused_ranges;
    map->counts.overlaps += a->counts.overlaps;
    map->counts.refused_replicas += a->counts.refused_replicas;
}

/* Of each primary of the answer; one that was named for some of its slots alone keeps nothing of before. */
static void list_replicas(const answer *a) {
    for (size_t i = 0; i < a->node_count; i++) {
        coffer__endpoint_replicas_begin(a->nodes[i].primary);
    }
    for (size_t i = 0; i < a->node_count; i++) {
        if (a->nodes[i].reader != NULL) {
            coffer__endpoint_replicas_add(a->nodes[i].primary, a->nodes[i].reader);
        }
    }
    for (size_t i = 0; i < a->node_count; i++) {
        coffer__endpoint_replicas_end(a->nodes[i].primary);
    }
}

/* The answer becomes the map, but for what MOVED has said since it was asked for. */
static void take_answer(coffer__slot_map *map, answer *a) {
    for (size_t slot = 0; slot < COFFER__SLOTS; slot++) {
        if (a->owners[slot] != NULL && map->moved_at[slot] <= a->ticket) {
            set_owner(map, slot, a->owners[slot]);
        }
    }
    if (map->reads_replicas) {
        list_replicas(a);
    }
    named_node *old = map->nodes;
    map->nodes = a->nodes;
    map->node_count = a->node_count;
    a->nodes = old;
    atomic_store_explicit(&map->learnt, true, memory_order_release);
}

void coffer__slot_answer_free(coffer__slot_answer *heard) {
    if (heard != NULL) {
        coffer__release(heard->nodes);
        coffer__release(heard);
    }
}

bool coffer__slot_answer_is_from(const coffer__slot_answer *heard, const coffer_endpoint *asked) {
    return heard->asked == asked;
}

coffer_status coffer__slot_map_hear(coffer__slot_map *map, const coffer_endpoint *asked, uint64_t ticket, const coffer__reply *reply,
                                    coffer__slot_answer **heard) {
    answer *a = (answer *)coffer__alloc_zero(sizeof *a);
    *heard = NULL;
    if (a == NULL) {
        return COFFER_NO_MEMORY;
    }
    a->map = map;
    a->asked = asked;
    a->ticket = ticket;
    a->reply = reply;
    read_answer(a);
    sort_nodes(a);
    coffer__lock_take(map->lock);
    add_counts(map, a);
    coffer__lock_drop(map->lock);
    if (a->known == 0) {
        coffer__slot_answer_free(a);
        return COFFER_SERVER;
    }
    *heard = a;
    return COFFER_OK;
}

/* ---- several answers ------------------------------------------------------------------------------------------ */

static bool differ(const coffer_endpoint *one, const coffer_endpoint *other) {
    return one != NULL && other != NULL && one != other;
}

bool coffer__slot_map_is_settled(coffer__slot_map *map, coffer__slot_answer *const *answers, size_t count) {
    bool settled = true;
    coffer__lock_take(map->lock);
    for (size_t slot = 0; count < COFFER__SLOT_ANSWERS_MOST && settled && slot < COFFER__SLOTS; slot++) {
        const coffer_endpoint *known = map->moved_at[slot] <= answers[0]->ticket ? coffer__slot_map_owner(map, (uint16_t)slot) : NULL;
        settled = !differ(answers[0]->owners[slot], count == 1 ? known : answers[1]->owners[slot]);
    }
    coffer__lock_drop(map->lock);
    return settled;
}

/* Which of the answers says of this slot what most of them say. */
static size_t most_say(coffer__slot_answer *const *answers, size_t count, size_t slot) {
    size_t best = 0, best_votes = 0;
    for (size_t i = 0; i < count; i++) {
        size_t votes = 0;
        for (size_t j = 0; answers[i]->owners[slot] != NULL && j < count; j++) {
            votes += answers[j]->owners[slot] == answers[i]->owners[slot];
        }
        best = votes > best_votes ? i : best;
        best_votes = votes > best_votes ? votes : best_votes;
    }
    return best;
}

/* The answer that says most often what most say, made to say it of all slots. It is as old as the oldest. */
static answer *elect(coffer__slot_answer *const *answers, size_t count) {
    size_t won[COFFER__SLOT_ANSWERS_MOST] = {0}, best = 0;
    for (size_t slot = 0; slot < COFFER__SLOTS; slot++) {
        const coffer_endpoint *owner = answers[most_say(answers, count, slot)]->owners[slot];
        for (size_t i = 0; i < count; i++) {
            won[i] += answers[i]->owners[slot] == owner;
            answers[i]->owners[slot] = owner;
        }
    }
    for (size_t i = 1; i < count; i++) {
        best = won[i] > won[best] ? i : best;
    }
    for (size_t i = 0; i < count; i++) {
        answers[best]->ticket = answers[i]->ticket < answers[best]->ticket ? answers[i]->ticket : answers[best]->ticket;
    }
    return answers[best];
}

void coffer__slot_map_settle(coffer__slot_map *map, coffer__slot_answer *const *answers, size_t count) {
    answer *elected = elect(answers, count);
    coffer__lock_take(map->lock);
    take_answer(map, elected);
    coffer__lock_drop(map->lock);
}

void coffer__slot_map_counts(coffer__slot_map *map, coffer__slot_counts *counts) {
    coffer__lock_take(map->lock);
    *counts = map->counts;
    coffer__lock_drop(map->lock);
}
