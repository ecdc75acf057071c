/* Doing something once in each forked child, at the first use there and not at the fork (F05).
 *
 *     if (coffer__forked(&thing->generation)) {      false: nothing happened, or another thread of the child has done it
 *         ... locks anew, descriptors closed ...
 *         coffer__forked_done(&thing->generation);
 *     }
 *
 * `generation` starts as coffer__fork_generation(). While one thread is at it, others of the same child wait; a child of that child
 * begins anew. */
#ifndef COFFER_IO_FORKED_H
#define COFFER_IO_FORKED_H

#include "base/lock.h"

#include <stdatomic.h>

bool coffer__forked_slowly(_Atomic uint64_t *generation);
void coffer__forked_done(_Atomic uint64_t *generation);

static inline bool coffer__forked(_Atomic uint64_t *generation) {
    return atomic_load_explicit(generation, memory_order_acquire) != coffer__fork_generation() && coffer__forked_slowly(generation);
}

#endif
