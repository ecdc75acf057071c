/* S3-FIFO as its paper has it: reads are counted up to 3; small's oldest with more than one goes to main, else it becomes a ghost; main's oldest with any
 * is appended again with one less; a ghost that is asked for enters main. */
#include "list.h"

enum { SMALL = 1, MAIN = 2, GHOSTS = 3, READS_MOST = 3, READS_FOR_MAIN = 2 };

typedef struct cache {
    const coffer_trace *trace;
    coffer__node *nodes;
    coffer__list small, main, ghosts;
    uint64_t capacity, small_capacity;
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
    *this = (cache){.trace = trace, .capacity = *capacity, .small_capacity = *capacity / 10 > 0 ? *capacity / 10 : 1};
    this->small = coffer__list_empty(SMALL);
    this->main = coffer__list_empty(MAIN);
    this->ghosts = coffer__list_empty(GHOSTS);
    this->nodes = coffer__list_nodes(trace);
    if (this->nodes == NULL) {
        drop(this);
        return NULL;
    }
    return this;
}

static void move(cache *this, coffer__list *from, coffer__list *to, uint32_t object) {
    uint64_t bytes = coffer__size_of(this->trace, object);
    coffer__list_take(from, this->nodes, object, bytes);
    coffer__list_push(to, this->nodes, object, bytes);
}

static void forget(cache *this, coffer__list *list, uint32_t object) {
    coffer__list_take(list, this->nodes, object, coffer__size_of(this->trace, object));
}

static void evict_small(cache *this) {
    uint32_t object = this->small.oldest;
    bool again = this->nodes[object].reads >= READS_FOR_MAIN;
    this->nodes[object].reads = 0;
    move(this, &this->small, again ? &this->main : &this->ghosts, object);
    while (this->ghosts.bytes > this->capacity - this->small_capacity) {
        forget(this, &this->ghosts, this->ghosts.oldest);
    }
}

static void evict_main(cache *this) {
    uint32_t object = this->main.oldest;
    if (this->nodes[object].reads > 0) {
        this->nodes[object].reads--;
        move(this, &this->main, &this->main, object);
    } else {
        forget(this, &this->main, object);
    }
}

static void store(cache *this, uint32_t object) {
    uint64_t bytes = coffer__size_of(this->trace, object);
    bool was_ghost = this->nodes[object].list == GHOSTS;
    if (was_ghost) {
        forget(this, &this->ghosts, object);
    }
    if (bytes > this->capacity) {
        return;
    }
    while (this->small.bytes + this->main.bytes + bytes > this->capacity) {
        if (this->small.bytes >= this->small_capacity || this->main.bytes == 0) {
            evict_small(this);
        } else {
            evict_main(this);
        }
    }
    this->nodes[object].reads = 0;
    coffer__list_push(was_ghost || bytes > this->small_capacity ? &this->main : &this->small, this->nodes, object, bytes);
}

static bool request(void *data, uint32_t object, size_t number) {
    cache *this = (cache *)data;
    coffer__node *node = &this->nodes[object];
    (void)number;
    bool hit = node->list == SMALL || node->list == MAIN;
    if (hit) {
        node->reads = node->reads < READS_MOST ? node->reads + 1 : READS_MOST;
    } else {
        store(this, object);
    }
    return hit;
}

const coffer__policy coffer__policy_s3fifo = {"s3fifo", make, request, drop};
