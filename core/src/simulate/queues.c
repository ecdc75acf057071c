/* FIFO, LRU and SIEVE: one list each. */
#include "list.h"

enum { LIST = 1 };

typedef struct cache {
    const coffer_trace *trace;
    coffer__node *nodes;
    coffer__list list;
    uint64_t capacity;
    uint32_t hand; /* of SIEVE: who is looked at next; NOBODY: the oldest */
} cache;

static void drop(void *data) {
    cache *this = (cache *)data;
    if (this != NULL) {
        coffer__release(this->nodes);
        coffer__release(this);
    }
}

static void *make(const coffer_trace *trace, uint64_t *capacity) {
    cache *this = (cache *)coffer__alloc_zero(sizeof *this);
    if (this == NULL) {
        return NULL;
    }
    *this = (cache){.trace = trace, .list = coffer__list_empty(LIST), .capacity = *capacity, .hand = COFFER__NOBODY};
    this->nodes = coffer__list_nodes(trace);
    if (this->nodes == NULL) {
        drop(this);
        return NULL;
    }
    return this;
}

static void evict(cache *this, uint32_t object) {
    coffer__list_take(&this->list, this->nodes, object, coffer__size_of(this->trace, object));
}

static void evict_oldest(cache *this) {
    evict(this, this->list.oldest);
}

/* From the oldest to the newest, and again: what was read loses its mark, the first without one goes. */
static void evict_by_hand(cache *this) {
    uint32_t object = this->hand == COFFER__NOBODY ? this->list.oldest : this->hand;
    while (this->nodes[object].reads > 0) {
        this->nodes[object].reads = 0;
        object = this->nodes[object].newer == COFFER__NOBODY ? this->list.oldest : this->nodes[object].newer;
    }
    this->hand = this->nodes[object].newer;
    evict(this, object);
}

static void store(cache *this, uint32_t object, void (*make_room)(cache *)) {
    uint64_t bytes = coffer__size_of(this->trace, object);
    if (bytes > this->capacity) {
        return;
    }
    while (this->list.bytes + bytes > this->capacity) {
        make_room(this);
    }
    this->nodes[object].reads = 0;
    coffer__list_push(&this->list, this->nodes, object, bytes);
}

static bool request_fifo(void *data, uint32_t object, size_t number) {
    cache *this = (cache *)data;
    (void)number;
    bool hit = this->nodes[object].list == LIST;
    if (!hit) {
        store(this, object, evict_oldest);
    }
    return hit;
}

static bool request_lru(void *data, uint32_t object, size_t number) {
    cache *this = (cache *)data;
    (void)number;
    bool hit = this->nodes[object].list == LIST;
    if (hit) {
        evict(this, object);
    }
    store(this, object, evict_oldest);
    return hit;
}

static bool request_sieve(void *data, uint32_t object, size_t number) {
    cache *this = (cache *)data;
    (void)number;
    bool hit = this->nodes[object].list == LIST;
    if (hit) {
        this->nodes[object].reads = 1;
    } else {
        store(this, object, evict_by_hand);
    }
    return hit;
}

const coffer__policy coffer__policy_fifo = {"fifo", make, request_fifo, drop};
const coffer__policy coffer__policy_lru = {"lru", make, request_lru, drop};
const coffer__policy coffer__policy_sieve = {"sieve", make, request_sieve, drop};
