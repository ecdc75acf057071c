/* An allocator that is watched, and can run dry. What was taken from it has to be given back to it, so it is there for a whole test.
 *
 *     watched_alloc_begin(WATCHED_NEVER);      or: the number of requests that still succeed
 *     ... what is tested ...
 *     watched_alloc_dry_after(0);              from here on the others are refused ...
 *     watched_alloc_dry_after(WATCHED_NEVER);  ... and from here on none
 *     watched_alloc_fail_once(1);              the first from here, and no other
 *     assert_int_equal(watched_alloc.live_bytes, 0);
 *     watched_alloc_end();                     once all was freed
 *
 * Not for threads.
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
void watched_alloc_dry_after(size_t request_count); /* so many more succeed, all after them fail */
void watched_alloc_fail_once(size_t nth); /* of those to come; 1 is the next */
void watched_alloc_end(void);

#endif
