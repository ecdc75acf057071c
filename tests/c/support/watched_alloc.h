/* An allocator that is watched, and can run dry.
 *
 *     watched_alloc_begin(WATCHED_NEVER);      or: the number of requests that still succeed
 *     ... what is tested ...
 *     assert_int_equal(watched_alloc.live_bytes, 0);
 *     watched_alloc_end();                     once all was freed
 */
#ifndef COFFER_TESTS_SUPPORT_WATCHED_ALLOC_H
#define COFFER_TESTS_SUPPORT_WATCHED_ALLOC_H

#include <stddef.h>
#include <stdint.h>

#define WATCHED_NEVER SIZE_MAX

typedef struct watched_alloc_counts {
    size_t request_count; /* alloc and resize */
    size_t refused_count;
    size_t largest_bytes; /* the largest request */
    size_t live_bytes;
    size_t peak_bytes; /* the most that was live */
} watched_alloc_counts;

extern watched_alloc_counts watched_alloc;

void watched_alloc_begin(size_t requests_until_dry); /* all counts at 0 */
void watched_alloc_end(void);

#endif
