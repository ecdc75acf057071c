#include "alloc.h"

#include <stdlib.h>
#include <string.h>

static const coffer__allocator libc_allocator = {malloc, realloc, free};
static coffer__allocator current = {malloc, realloc, free};

void coffer__set_allocator(const coffer__allocator *allocator) {
    current = allocator == NULL ? libc_allocator : *allocator;
}

coffer_status coffer_set_allocator(const coffer_allocator *allocator) {
    if (allocator != NULL && (allocator->alloc == NULL || allocator->resize == NULL || allocator->release == NULL)) {
        return COFFER_ARG;
    }
    coffer__set_allocator(allocator);
    return COFFER_OK;
}

void *coffer__alloc(size_t size) {
    return current.alloc(size == 0 ? 1 : size);
}

void *coffer__alloc_zero(size_t size) {
    void *memory = coffer__alloc(size);
    if (memory != NULL) {
        memset(memory, 0, size);
    }
    return memory;
}

void *coffer__resize(void *old, size_t size) {
    return current.resize(old, size == 0 ? 1 : size);
}

void coffer__release(void *memory) {
    current.release(memory);
}

void coffer__wipe(void *memory, size_t size) {
    if (memory != NULL && size > 0) {
        explicit_bzero(memory, size);
    }
}
