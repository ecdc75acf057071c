#include "internal.h"

#include "base/alloc.h"

coffer__bell *coffer__bell_new(void (*notify)(void *data), void *data) {
    coffer__bell *bell = (coffer__bell *)coffer__alloc_zero(sizeof *bell);
    if (bell == NULL || (bell->lock = coffer__lock_new()) == NULL) {
        coffer__release(bell);
        return NULL;
    }
    atomic_init(&bell->refs, 1);
    atomic_init(&bell->woken_count, 0);
    atomic_init(&bell->rung, false);
    bell->generation = coffer__fork_generation();
    bell->notify = notify;
    bell->data = data;
    return bell;
}

coffer__bell *coffer__bell_ref(coffer__bell *bell) {
    atomic_fetch_add_explicit(&bell->refs, 1, memory_order_relaxed);
    return bell;
}

void coffer__bell_unref(coffer__bell *bell) {
    if (bell != NULL && atomic_fetch_sub_explicit(&bell->refs, 1, memory_order_acq_rel) == 1) {
        coffer__lock_free(bell->lock);
        coffer__release(bell);
    }
}

void coffer__bell_silence(coffer__bell *bell) {
    if (bell->generation != coffer__fork_generation()) {
        coffer__lock_reset(bell->lock); /* a thread of the parent may have been at it */
        bell->generation = coffer__fork_generation();
    }
    coffer__lock_take(bell->lock);
    bell->notify = NULL;
    coffer__lock_drop(bell->lock);
}

/* The order matters: who is in looks at the count after it has unset `rung`, so either it sees this wake, or is told to come in again. */
void coffer__task_wake(void *data) {
    coffer_task *task = (coffer_task *)data;
    coffer__bell *bell = task->bell;
    if (atomic_exchange(&task->woken, true)) {
        return;
    }
    atomic_fetch_add(&bell->woken_count, 1);
    if (!atomic_exchange(&bell->rung, true)) {
        coffer__lock_take(bell->lock);
        if (bell->notify != NULL) {
            bell->notify(bell->data);
        }
        coffer__lock_drop(bell->lock);
    }
}
