#include "watched_alloc.h"

#include "base/alloc.h"

#include <stdlib.h>

watched_alloc_counts watched_alloc;
static size_t first_refused, last_refused; /* by their numbers; the first is 1 */

typedef union header {
    size_t size;
    max_align_t align;
} header;

static void *watched_resize(void *old, size_t size) {
    watched_alloc.request_count++;
    if (size > watched_alloc.largest_bytes) {
        watched_alloc.largest_bytes = size;
    }
    if (watched_alloc.request_count >= first_refused && watched_alloc.request_count <= last_refused) {
        watched_alloc.refused_count++;
        return NULL;
    }
    header *was = old == NULL ? NULL : (header *)old - 1;
    size_t was_size = was == NULL ? 0 : was->size;
    header *now = (header *)realloc(was, sizeof *now + size);
    if (now == NULL) {
        return NULL;
    }
    now->size = size;
    watched_alloc.live_bytes += size - was_size;
    if (watched_alloc.live_bytes > watched_alloc.peak_bytes) {
        watched_alloc.peak_bytes = watched_alloc.live_bytes;
    }
    return now + 1;
}

static void *watched_malloc(size_t size) {
    return watched_resize(NULL, size);
}

static void watched_release(void *memory) {
    if (memory == NULL) {
        return;
    }
    header *was = (header *)memory - 1;
    watched_alloc.live_bytes -= was->size;
    free(was);
}

void watched_alloc_begin(size_t requests_until_dry) {
    static const coffer__allocator watched = {watched_malloc, watched_resize, watched_release};
    watched_alloc = (watched_alloc_counts){0};
    watched_alloc_dry_after(requests_until_dry);
    coffer__set_allocator(&watched);
}

void watched_alloc_dry_after(size_t request_count) {
    first_refused = request_count == WATCHED_NEVER ? WATCHED_NEVER : watched_alloc.request_count + request_count + 1;
    last_refused = WATCHED_NEVER;
}

void watched_alloc_fail_once(size_t nth) {
    first_refused = last_refused = watched_alloc.request_count + nth;
}

void watched_alloc_end(void) {
    coffer__set_allocator(NULL);
}
