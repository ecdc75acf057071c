/* What the suites of io/ share. */
#ifndef COFFER_TESTS_IO_HELPERS_H
#define COFFER_TESTS_IO_HELPERS_H

#include "support/cmocka_all.h"

#include <coffer/coffer.h>

#include <inttypes.h>
#include <time.h>

enum { OVERSHOOT_MS = 50 }; /* what is promised: every call ends by its deadline plus this */

static inline uint64_t real_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static inline void pause_ms(long ms) {
    const struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&pause, NULL);
}

/* A cache on 127.0.0.1:port, whose outages are errors, so that each can be told; `more` are parameters: "&timeout=200ms". */
static inline coffer_cache *open_at(uint16_t port, const char *more) {
    char url[500];
    coffer_error error = {.text = ""};
    coffer_cache *cache = NULL;
    snprintf(url, sizeof url, "redis://127.0.0.1:%u/0?prefix=test&on_outage=error%s", (unsigned)port, more);
    if (coffer_open_url(&cache, url, &error) != COFFER_OK) {
        fail_msg("%s", error.text);
    }
    return cache;
}

static inline coffer_metrics stats_of(coffer_cache *cache) {
    coffer_metrics metrics = {.struct_size = sizeof metrics};
    assert_int_equal(coffer_stats(cache, &metrics), COFFER_OK);
    return metrics;
}

/* One get, which must end with `status` and not before least_ms; how long it took. */
static inline uint64_t time_get(coffer_cache *cache, coffer_status status, uint64_t least_ms) {
    coffer_value value;
    coffer_error error = {.text = ""};
    uint64_t began = real_ms();
    coffer_status got = coffer_get(cache, COFFER_SLICE("key"), NULL, &value, &error);
    uint64_t took = real_ms() - began;
    if (got != status) {
        fail_msg("%s instead of %s: %s", coffer_status_name(got), coffer_status_name(status), error.text);
    }
    if (took + 2 < least_ms) {
        fail_msg("took %" PRIu64 " ms only, not %" PRIu64, took, least_ms);
    }
    coffer_value_clear(&value);
    return took;
}

/* A get that must end with `status` between `least_ms` and `most_ms` plus the overshoot. A busy machine makes a sleeper late all by itself (by 140 ms in
 * one try here), a fault of ours is late each time: so it has three tries. */
static inline void assert_get_ends(coffer_cache *cache, coffer_status status, uint64_t least_ms, uint64_t most_ms) {
    uint64_t took = 0;
    for (int i = 0; i < 3; i++) {
        took = time_get(cache, status, least_ms);
        if (took <= most_ms + OVERSHOOT_MS) {
            return;
        }
    }
    fail_msg("took %" PRIu64 " ms, not %" PRIu64 " to %" PRIu64, took, least_ms, most_ms);
}

#endif
