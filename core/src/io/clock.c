#include "clock.h"

#include <stdatomic.h>

enum { NS_PER_US = 1000, US_PER_S = 1000000, NS_PER_S = 1000000000 };
enum { TEST_WAIT_LEAST_US = 1000, TEST_WAIT_MOST_US = 3000 }; /* the most: a move is noticed soon */
#if defined(CLOCK_MONOTONIC_COARSE)
#define COARSE_CLOCK CLOCK_MONOTONIC_COARSE
#else
#define COARSE_CLOCK CLOCK_MONOTONIC
#endif
static const uint64_t longest_wait_us = (uint64_t)3600 * US_PER_S;

static uint64_t real_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * US_PER_S + (uint64_t)now.tv_nsec / NS_PER_US;
}

static uint64_t real_unix_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* The clock and, of one that a test moves, the moment at which it took over. A test that has gone has left the time later than it is: it stays so. */
static uint64_t (*_Atomic current)(void) = real_us;
static _Atomic uint64_t ahead_us, since_us, since_unix_ms;

static uint64_t later_us(void) {
    return real_us() + atomic_load_explicit(&ahead_us, memory_order_relaxed);
}

void coffer_set_clock(uint64_t (*monotonic_us)(void)) {
    uint64_t now_us = coffer_now_us(), real = real_us();
    if (monotonic_us != NULL && monotonic_us != atomic_load(&current)) {
        atomic_store(&since_unix_ms, coffer__clock_unix_ms());
        atomic_store(&since_us, monotonic_us());
        atomic_store(&current, monotonic_us);
    } else if (monotonic_us == NULL) {
        atomic_store(&ahead_us, now_us > real ? now_us - real : 0);
        atomic_store(&current, now_us > real ? later_us : real_us);
    }
}

bool coffer__clock_is_moved(void) {
    uint64_t (*clock)(void) = atomic_load_explicit(&current, memory_order_relaxed);
    return clock != real_us && clock != later_us;
}

uint64_t coffer_now_us(void) {
    return atomic_load_explicit(&current, memory_order_relaxed)();
}

/* The kernel's own tick, 1 to 10 ms apart: a quarter of what it costs to ask exactly. */
uint64_t coffer_now_coarse_ms(void) {
    uint64_t (*clock)(void) = atomic_load_explicit(&current, memory_order_relaxed);
    if (clock != real_us && clock != later_us) {
        return clock() / COFFER__US_PER_MS;
    }
    struct timespec now;
    clock_gettime(COARSE_CLOCK, &now);
    uint64_t ahead = clock == real_us ? 0 : atomic_load_explicit(&ahead_us, memory_order_relaxed);
    return (uint64_t)now.tv_sec * 1000 + ((uint64_t)now.tv_nsec / NS_PER_US + ahead) / COFFER__US_PER_MS;
}

uint64_t coffer__clock_unix_ms(void) {
    uint64_t now_us = coffer_now_us(), since = atomic_load(&since_us);
    if (!coffer__clock_is_moved() || now_us < since) {
        return real_unix_ms();
    }
    return atomic_load(&since_unix_ms) + (now_us - since) / COFFER__US_PER_MS;
}

coffer_clock coffer__clock_now(void) {
    coffer_clock clock = {.now_ms = coffer__clock_ms(), .unix_ms = coffer__clock_unix_ms()};
    return clock;
}

uint64_t coffer_wait_us(uint64_t until_us) {
    uint64_t now_us = coffer_now_us();
    uint64_t left = until_us > now_us ? until_us - now_us : 0;
    if (until_us == UINT64_MAX || left == 0 || !coffer__clock_is_moved()) {
        return until_us == UINT64_MAX ? UINT64_MAX : left;
    }
    return left < TEST_WAIT_LEAST_US ? TEST_WAIT_LEAST_US : left < TEST_WAIT_MOST_US ? left : TEST_WAIT_MOST_US;
}

static uint64_t left_us(uint64_t until_us) {
    uint64_t left = coffer_wait_us(until_us), most = coffer__clock_is_moved() ? TEST_WAIT_MOST_US : longest_wait_us;
    return left < most ? left : most;
}

struct timespec coffer__clock_left(uint64_t until_us) {
    uint64_t left = left_us(until_us);
    return (struct timespec){.tv_sec = (time_t)(left / US_PER_S), .tv_nsec = (long)(left % US_PER_S) * NS_PER_US};
}

struct timespec coffer__clock_deadline(uint64_t until_us) {
    uint64_t left = left_us(until_us);
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_sec += (time_t)(left / US_PER_S);
    at.tv_nsec += (long)(left % US_PER_S) * NS_PER_US;
    if (at.tv_nsec >= NS_PER_S) {
        at.tv_sec++;
        at.tv_nsec -= NS_PER_S;
    }
    return at;
}
