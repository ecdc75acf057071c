#define _GNU_SOURCE /* pthread_mutex_clocklock */
#include "robust.h"

#include <errno.h>
#include <pthread.h>
#include <time.h>

/* GCC 12's ThreadSanitizer does not know pthread_mutex_clocklock. */
#if defined(__GLIBC__) && defined(__GLIBC_PREREQ) && !defined(__SANITIZE_THREAD__)
#if __GLIBC_PREREQ(2, 30)
#define HAS_CLOCKLOCK 1
#endif
#endif

_Static_assert(sizeof(pthread_mutex_t) <= COFFER__ROBUST_BYTES, "a lock has a line of its own");

static pthread_mutex_t *mutex_of(coffer__robust *lock) {
    return (pthread_mutex_t *)(void *)lock->bytes;
}

bool coffer__robust_init(coffer__robust *lock, bool is_shared) {
    memset(lock, 0, sizeof *lock);
    pthread_mutexattr_t attributes;
    if (pthread_mutexattr_init(&attributes) != 0) {
        return false;
    }
    bool well = !is_shared || (pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED) == 0 &&
                               pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST) == 0);
    well = well && pthread_mutex_init(mutex_of(lock), &attributes) == 0;
    pthread_mutexattr_destroy(&attributes);
    return well;
}

static struct timespec in_ms(clockid_t clock, int wait_ms) {
    struct timespec at;
    clock_gettime(clock, &at);
    at.tv_sec += wait_ms / 1000;
    at.tv_nsec += (long)(wait_ms % 1000) * 1000000;
    if (at.tv_nsec >= 1000000000) {
        at.tv_nsec -= 1000000000;
        at.tv_sec++;
    }
    return at;
}

static int wait_for(pthread_mutex_t *mutex, int wait_ms) {
#ifdef HAS_CLOCKLOCK
    struct timespec until = in_ms(CLOCK_MONOTONIC, wait_ms);
    return pthread_mutex_clocklock(mutex, CLOCK_MONOTONIC, &until);
#else
    struct timespec until = in_ms(CLOCK_REALTIME, wait_ms);
    return pthread_mutex_timedlock(mutex, &until);
#endif
}

static int take(pthread_mutex_t *mutex, int wait_ms) {
    if (wait_ms < 0) {
        return pthread_mutex_lock(mutex);
    }
    int code = pthread_mutex_trylock(mutex); /* reads no clock */
    return code == EBUSY && wait_ms > 0 ? wait_for(mutex, wait_ms) : code;
}

coffer__robust_answer coffer__robust_take(coffer__robust *lock, int wait_ms) {
    pthread_mutex_t *mutex = mutex_of(lock);
    int code = take(mutex, wait_ms);
    if (code == EOWNERDEAD) {
        pthread_mutex_consistent(mutex); /* first: who dies now leaves it to the next one in the same way */
        return COFFER__ROBUST_ORPHANED;
    }
    return code == 0 ? COFFER__ROBUST_TAKEN : COFFER__ROBUST_BUSY;
}

void coffer__robust_drop(coffer__robust *lock) {
    pthread_mutex_unlock(mutex_of(lock));
}

uint64_t coffer__robust_abi(void) {
#if defined(__GLIBC__)
    const uint64_t libc = 1;
#else
    const uint64_t libc = 2;
#endif
    return libc << 32 | (uint64_t)sizeof(pthread_mutex_t) << 16 | (uint64_t) _Alignof(pthread_mutex_t) << 8 | sizeof(long);
}
