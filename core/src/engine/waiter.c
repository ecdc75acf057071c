#include "base/alloc.h"
#include <coffer/driver.h>

#include "waiter.h"

struct coffer_waiter {
    _Atomic size_t refs;
    void *data;
    void (*release)(void *data); /* may be NULL */
};

coffer_status coffer_waiter_new(coffer_waiter **waiter, void *data) {
    return coffer__waiter_new_owning(waiter, data, NULL);
}

coffer_status coffer__waiter_new_owning(coffer_waiter **waiter, void *data, void (*release)(void *data)) {
    *waiter = (coffer_waiter *)coffer__alloc(sizeof **waiter);
    if (*waiter == NULL) {
        return COFFER_NO_MEMORY;
    }
    atomic_init(&(*waiter)->refs, 1);
    (*waiter)->data = data;
    (*waiter)->release = release;
    return COFFER_OK;
}

void *coffer_waiter_data(const coffer_waiter *waiter) {
    return waiter->data;
}

void coffer_waiter_free(coffer_waiter *waiter) {
    if (waiter != NULL && atomic_fetch_sub_explicit(&waiter->refs, 1, memory_order_acq_rel) == 1) {
        if (waiter->release != NULL) {
            waiter->release(waiter->data);
        }
        coffer__release(waiter);
    }
}

coffer_waiter *coffer__waiter_ref(coffer_waiter *waiter) {
    if (waiter != NULL) {
        atomic_fetch_add_explicit(&waiter->refs, 1, memory_order_relaxed);
    }
    return waiter;
}
