#include "support/allocations.h"

#include "base/alloc.h"

#include <stdbool.h>
#include <stdlib.h>

static size_t made, bytes, unfreed, fail_at;

static bool fails(size_t size) {
    made++;
    bytes += size;
    return made == fail_at;
}

static void *watched_alloc(size_t size) {
    if (fails(size)) {
        return NULL;
    }
    void *memory = malloc(size);
    unfreed += memory != NULL;
    return memory;
}

static void *watched_resize(void *old, size_t size) {
    if (fails(size)) {
        return NULL;
    }
    void *memory = realloc(old, size);
    unfreed += old == NULL && memory != NULL;
    return memory;
}

static void watched_release(void *memory) {
    unfreed -= memory != NULL;
    free(memory);
}

void allocations_watch(void) {
    made = bytes = unfreed = fail_at = 0;
    coffer__set_allocator(&(coffer__allocator){watched_alloc, watched_resize, watched_release});
}

void allocations_unwatch(void) {
    coffer__set_allocator(NULL);
}

size_t allocations_made(void) {
    return made;
}

size_t allocations_bytes(void) {
    return bytes;
}

size_t allocations_unfreed(void) {
    return unfreed;
}

void allocations_fail_at(size_t number) {
    fail_at = number;
}
