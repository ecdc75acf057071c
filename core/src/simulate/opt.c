/* Belady's: of all that are there, and the one that has just been asked for, what is used again last goes. A heap of the objects that are there, by their
 * next use, the last one at its top; each object knows its place in it. */
#include "base/alloc.h"
#include "policy.h"

#define NEVER UINT32_MAX

typedef struct cache {
    const coffer_trace *trace;
    uint32_t *next_use; /* by request: when its object is asked for again */
    uint32_t *heap, *place, *key; /* objects; place in the heap + 1 and next use, by object */
    size_t count;
    uint64_t bytes, capacity;
} cache;

static void drop(void *data) {
    cache *this = (cache *)data;
    if (this != NULL) {
        coffer__release(this->next_use);
        coffer__release(this->heap);
        coffer__release(this->place);
        coffer__release(this->key);
        coffer__release(this);
    }
}

static uint32_t *numbers(size_t count) {
    return (uint32_t *)coffer__alloc_zero((count + 1) * sizeof(uint32_t));
}

/* Backwards; `key` holds when each object was seen last, plus 1. */
static void look_ahead(cache *this) {
    for (size_t i = this->trace->request_count; i-- > 0;) {
        uint32_t *seen = &this->key[this->trace->requests[i]];
        this->next_use[i] = *seen == 0 ? NEVER : *seen - 1;
        *seen = (uint32_t)i + 1;
    }
}

static void *make(const coffer_trace *trace, uint64_t *capacity) {
    cache *this = (cache *)coffer__alloc_zero(sizeof *this);
    if (this == NULL) {
        return NULL;
    }
    *this = (cache){.trace = trace, .capacity = *capacity, .next_use = numbers(trace->request_count)};
    this->heap = numbers(trace->object_count);
    this->place = numbers(trace->object_count);
    this->key = numbers(trace->object_count);
    if (this->next_use == NULL || this->heap == NULL || this->place == NULL || this->key == NULL) {
        drop(this);
        return NULL;
    }
    look_ahead(this);
    return this;
}

static void put(cache *this, size_t at, uint32_t object) {
    this->heap[at] = object;
    this->place[object] = (uint32_t)at + 1;
}

static void rise(cache *this, size_t at, uint32_t object) {
    while (at > 0 && this->key[this->heap[(at - 1) / 2]] < this->key[object]) {
        put(this, at, this->heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    put(this, at, object);
}

static void sink(cache *this, size_t at, uint32_t object) {
    for (size_t child; (child = 2 * at + 1) < this->count; at = child) {
        child += child + 1 < this->count && this->key[this->heap[child + 1]] > this->key[this->heap[child]];
        if (this->key[this->heap[child]] <= this->key[object]) {
            break;
        }
        put(this, at, this->heap[child]);
    }
    put(this, at, object);
}

static void evict_last(cache *this) {
    uint32_t gone = this->heap[0];
    this->place[gone] = 0;
    this->bytes -= coffer__size_of(this->trace, gone);
    this->count--;
    if (this->count > 0) {
        sink(this, 0, this->heap[this->count]);
    }
}

static bool request(void *data, uint32_t object, size_t number) {
    cache *this = (cache *)data;
    bool hit = this->place[object] > 0;
    this->key[object] = this->next_use[number];
    if (hit) {
        rise(this, this->place[object] - 1, object);
    } else if (this->next_use[number] != NEVER) {
        this->bytes += coffer__size_of(this->trace, object);
        rise(this, this->count++, object);
    }
    while (this->bytes > this->capacity) {
        evict_last(this);
    }
    return hit;
}

const coffer__policy coffer__policy_opt = {"opt", make, request, drop};
