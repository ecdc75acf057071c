#include "lock.h"

#include "alloc.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

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

/* ---- fork ----------------------------------------------------------------------------------------------------------
 *
 *     mark --> 0   nobody has asked yet; or the kernel has wiped the page: this is a child of a raw clone, where no handler of fork ran
 *              1   the generation holds
 *              2   a thread of the child is about to say so
 */

enum { WIPED = 0, HOLDS = 1, AT_IT = 2 };

static _Atomic uint64_t generation = 1;
static _Atomic uint8_t unwiped; /* where the kernel wipes nothing, fork's handler is all there is */
static _Atomic(_Atomic uint8_t *) mark = &unwiped;
static pthread_once_t watch_once = PTHREAD_ONCE_INIT;

static void in_child(void) {
    atomic_fetch_add_explicit(&generation, 1, memory_order_relaxed);
    atomic_store(atomic_load(&mark), HOLDS);
}

/* A page that reads 0 in every child, or NULL. It stays for as long as the process lives. */
static void *wiped_page(void) {
    size_t bytes = (size_t)sysconf(_SC_PAGESIZE);
    void *page = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) {
        return NULL;
    }
#ifdef MADV_WIPEONFORK
    if (madvise(page, bytes, MADV_WIPEONFORK) == 0) {
        return page;
    }
#endif
    munmap(page, bytes);
    return NULL;
}

static void watch(void) {
    _Atomic uint8_t *page = (_Atomic uint8_t *)wiped_page();
    pthread_atfork(NULL, NULL, in_child);
    if (page != NULL) {
        atomic_store(page, HOLDS);
        atomic_store(&mark, page);
    }
    atomic_store(&unwiped, HOLDS);
}

/* The first thread of the child that comes here counts. */
static void notice_wipe(_Atomic uint8_t *page) {
    uint8_t seen = WIPED;
    if (atomic_compare_exchange_strong(page, &seen, AT_IT)) {
        atomic_fetch_add(&generation, 1);
        atomic_store(page, HOLDS);
    }
    while (atomic_load(page) == AT_IT) {
        sched_yield();
    }
}

static void look_closer(void) {
    pthread_once(&watch_once, watch);
    _Atomic uint8_t *page = atomic_load(&mark);
    if (atomic_load(page) != HOLDS) {
        notice_wipe(page);
    }
}

uint64_t coffer__fork_generation(void) {
    if (atomic_load_explicit(atomic_load_explicit(&mark, memory_order_acquire), memory_order_acquire) != HOLDS) {
        look_closer();
    }
    return atomic_load_explicit(&generation, memory_order_relaxed);
}
