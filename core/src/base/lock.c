#include "lock.h"

#include "alloc.h"

#include <pthread.h>
#include <stdatomic.h>

struct coffer__lock {
    pthread_mutex_t mutex;
};

coffer__lock *coffer__lock_new(void) {
    coffer__lock *lock = (coffer__lock *)coffer__alloc(sizeof *lock);
    if (lock != NULL && pthread_mutex_init(&lock->mutex, NULL) != 0) {
        coffer__release(lock);
        return NULL;
    }
    return lock;
}

void coffer__lock_free(coffer__lock *lock) {
    if (lock != NULL) {
        pthread_mutex_destroy(&lock->mutex);
        coffer__release(lock);
    }
}

void coffer__lock_take(coffer__lock *lock) {
    pthread_mutex_lock(&lock->mutex);
}

void coffer__lock_drop(coffer__lock *lock) {
    pthread_mutex_unlock(&lock->mutex);
}

void coffer__lock_reset(coffer__lock *lock) {
    pthread_mutex_init(&lock->mutex, NULL);
}

static _Atomic uint64_t generation = 1;
static pthread_once_t watch_once = PTHREAD_ONCE_INIT;
static atomic_bool watching;

static void in_child(void) {
    atomic_fetch_add_explicit(&generation, 1, memory_order_relaxed);
}

static void watch(void) {
    pthread_atfork(NULL, NULL, in_child);
    atomic_store_explicit(&watching, true, memory_order_release);
}

uint64_t coffer__fork_generation(void) {
    if (!atomic_load_explicit(&watching, memory_order_acquire)) {
        pthread_once(&watch_once, watch);
    }
    return atomic_load_explicit(&generation, memory_order_relaxed);
}
