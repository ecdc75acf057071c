/* Lists of a trace's objects, each of which is in one list at most: links by number. */
#ifndef COFFER_SIMULATE_LIST_H
#define COFFER_SIMULATE_LIST_H

#include "base/alloc.h"
#include "policy.h"

#define COFFER__NOBODY UINT32_MAX

typedef struct coffer__node {
    uint32_t newer, older;
    uint8_t list; /* the policy's number of it, 0: in none */
    uint8_t reads;
} coffer__node;

typedef struct coffer__list {
    uint32_t newest, oldest;
    uint64_t bytes;
    uint8_t number;
} coffer__list;

static inline coffer__list coffer__list_empty(uint8_t number) {
    coffer__list list = {COFFER__NOBODY, COFFER__NOBODY, 0, number};
    return list;
}

/* A node for each object, and one more so that there is always one; NULL where memory is short. Freed with coffer__release. */
static inline coffer__node *coffer__list_nodes(const coffer_trace *trace) {
    return (coffer__node *)coffer__alloc_zero((trace->object_count + 1) * sizeof(coffer__node));
}

static inline void coffer__list_push(coffer__list *list, coffer__node *nodes, uint32_t object, uint64_t bytes) {
    nodes[object].older = list->newest;
    nodes[object].newer = COFFER__NOBODY;
    nodes[object].list = list->number;
    *(list->newest == COFFER__NOBODY ? &list->oldest : &nodes[list->newest].newer) = object;
    list->newest = object;
    list->bytes += bytes;
}

static inline void coffer__list_take(coffer__list *list, coffer__node *nodes, uint32_t object, uint64_t bytes) {
    coffer__node *node = &nodes[object];
    *(node->newer == COFFER__NOBODY ? &list->newest : &nodes[node->newer].older) = node->older;
    *(node->older == COFFER__NOBODY ? &list->oldest : &nodes[node->older].newer) = node->newer;
    node->list = 0;
    list->bytes -= bytes;
}

#endif
