#include "histogram.h"

enum { SUB_BITS = 4, SUB_COUNT = 1 << SUB_BITS, LAST_BUCKET = COFFER__HISTOGRAM_BUCKETS - 1 };

static size_t bucket_of(uint64_t value) {
    if (value < SUB_COUNT) {
        return (size_t)value;
    }
    if (value > UINT32_MAX) {
        return LAST_BUCKET;
    }
    unsigned shift = 63 - SUB_BITS - (unsigned)__builtin_clzll(value);
    return (size_t)shift * SUB_COUNT + (size_t)(value >> shift);
}

/* The largest value of a bucket. */
static uint64_t bound_of(size_t bucket) {
    if (bucket < 2 * SUB_COUNT) {
        return bucket;
    }
    unsigned shift = (unsigned)(bucket / SUB_COUNT) - 1;
    uint64_t first = (uint64_t)(bucket % SUB_COUNT + SUB_COUNT) << shift;
    return first + (UINT64_C(1) << shift) - 1;
}

void coffer__histogram_record(coffer__histogram *histogram, uint64_t elapsed_us) {
    uint64_t max_us = atomic_load_explicit(&histogram->max_us, memory_order_relaxed);
    while (elapsed_us > max_us &&
           !atomic_compare_exchange_weak_explicit(&histogram->max_us, &max_us, elapsed_us, memory_order_relaxed, memory_order_relaxed)) {
    }
    atomic_fetch_add_explicit(&histogram->buckets[bucket_of(elapsed_us)], 1, memory_order_relaxed);
}

/* The bound of the bucket in which the permille-th part of all is reached. */
static double percentile(const uint64_t counts[COFFER__HISTOGRAM_BUCKETS], uint64_t total, uint64_t permille, uint64_t max_us) {
    uint64_t wanted = total / 1000 * permille + (total % 1000 * permille + 999) / 1000;
    uint64_t seen = 0;
    for (size_t i = 0; i < LAST_BUCKET; i++) {
        seen += counts[i];
        if (seen >= wanted) {
            return (double)(bound_of(i) < max_us ? bound_of(i) : max_us);
        }
    }
    return (double)max_us;
}

void coffer__histogram_read(const coffer__histogram *histogram, coffer_latency *latency) {
    uint64_t counts[COFFER__HISTOGRAM_BUCKETS];
    uint64_t total = 0;
    for (size_t i = 0; i < COFFER__HISTOGRAM_BUCKETS; i++) {
        counts[i] = atomic_load_explicit(&histogram->buckets[i], memory_order_relaxed);
        total += counts[i];
    }
    uint64_t max_us = atomic_load_explicit(&histogram->max_us, memory_order_relaxed);
    latency->timed_count = total;
    latency->p50_us = percentile(counts, total, 500, max_us);
    latency->p95_us = percentile(counts, total, 950, max_us);
    latency->p99_us = percentile(counts, total, 990, max_us);
    latency->max_us = (double)max_us;
}
