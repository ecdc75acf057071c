#include "forked.h"

#include <sched.h>

/* Says that a thread of this very generation is at it. */
static const uint64_t at_it = UINT64_C(1) << 63;

bool coffer__forked_slowly(_Atomic uint64_t *generation) {
    uint64_t now = coffer__fork_generation();
    uint64_t seen = atomic_load_explicit(generation, memory_order_acquire);
    while (seen != now) {
        if (seen == (now | at_it)) {
            sched_yield();
            seen = atomic_load_explicit(generation, memory_order_acquire);
        } else if (atomic_compare_exchange_weak(generation, &seen, now | at_it)) {
            return true;
        }
    }
    return false;
}

void coffer__forked_done(_Atomic uint64_t *generation) {
    atomic_store_explicit(generation, coffer__fork_generation(), memory_order_release);
}
