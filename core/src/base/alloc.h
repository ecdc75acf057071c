/* All memory of the core comes through here, so that a program can give its own allocator and a test can fail the Nth allocation. */
#ifndef COFFER_BASE_ALLOC_H
#define COFFER_BASE_ALLOC_H

#include <coffer/hooks.h>

typedef coffer_allocator coffer__allocator;

/* As coffer_set_allocator, for tests: unchecked. */
void coffer__set_allocator(const coffer__allocator *allocator);

void *coffer__alloc(size_t size); /* not cleared */
void *coffer__alloc_zero(size_t size);
void *coffer__resize(void *old, size_t size);
void coffer__release(void *memory);

/* Overwrites memory that held a secret; never optimised away. */
void coffer__wipe(void *memory, size_t size);

#endif
