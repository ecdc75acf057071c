#include "codec/spares.h"

/* Where this thread was last lucky: it finds its own object again, still in its CPU's cache. */
static _Thread_local size_t hint;

void *coffer__spares_take(coffer__spares *spares) {
    for (size_t i = 0; i < COFFER__SPARES_COUNT; i++) {
        size_t at = (hint + i) % COFFER__SPARES_COUNT;
        _Atomic(void *) *slot = &spares->slots[at].item;
        if (atomic_load_explicit(slot, memory_order_relaxed) == NULL) {
            continue;
        }
        void *item = atomic_exchange_explicit(slot, NULL, memory_order_acquire);
        if (item != NULL) {
            hint = at;
            return item;
        }
    }
    return NULL;
}

bool coffer__spares_give(coffer__spares *spares, void *item) {
    for (size_t i = 0; i < COFFER__SPARES_COUNT; i++) {
        size_t at = (hint + i) % COFFER__SPARES_COUNT;
        void *empty = NULL;
        if (atomic_compare_exchange_strong_explicit(&spares->slots[at].item, &empty, item, memory_order_release, memory_order_relaxed)) {
            hint = at;
            return true;
        }
    }
    return false;
}
