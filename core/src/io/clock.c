#include "clock.h"

#include <stdatomic.h>

enum { NS_PER_US = 1000, US_PER_S = 1000000, NS_PER_S = 1000000000 };
static const uint64_t longest_wait_us = (uint64_t)3600 * US_PER_S;

static uint64_t real_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * US_PER_S + (uint64_t)now.tv_nsec / NS_PER_US;
}

static uint64_t (*_Atomic current)(void) = real_us;

void coffer__clock_replace(uint64_t (*monotonic_us)(void)) {
    atomic_store(&current, monotonic_us == NULL ? real_us : monotonic_us);
}

uint64_t coffer__clock_us(void) {
    return atomic_load_explicit(&current, memory_order_relaxed)();
}

uint64_t coffer__clock_unix_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

coffer_clock coffer__clock_now(void) {
    coffer_clock clock = {.now_ms = coffer__clock_ms(), .unix_ms = coffer__clock_unix_ms()};
    return clock;
}

static uint64_t left_us(uint64_t until_us) {
    uint64_t now_us = coffer__clock_us();
    uint64_t left = until_us > now_us ? until_us - now_us : 0;
    return left < longest_wait_us ? left : longest_wait_us;
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
