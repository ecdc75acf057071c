/* The core's allocator, watched: how much was taken, and the Nth call can be made to fail. */
#ifndef COFFER_TESTS_SUPPORT_ALLOCATIONS_H
#define COFFER_TESTS_SUPPORT_ALLOCATIONS_H

#include <stddef.h>

/* From now on counts from 0, fails nothing. Not for threads. */
void allocations_watch(void);
void allocations_unwatch(void); /* libc's again */

size_t allocations_made(void); /* calls that took or resized memory */
size_t allocations_bytes(void); /* asked for by all of them */
size_t allocations_unfreed(void); /* taken and not given back */

/* The call that makes the count reach `number` (1 is the first) fails, once. */
void allocations_fail_at(size_t number);

#endif
