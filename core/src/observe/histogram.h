/* How often each latency was seen: log-linear buckets, 16 to each power of two, so that a bucket's upper bound is at most 6.25 % above what is in it.
 *
 *     0 1 2 ... 31 exact | 32..33 34..35 ... | 64..67 ... | ... up to 2^32 - 1 us (71 minutes); what is above is in the last bucket
 *
 * (After the layout of HdrHistogram, Gil Tene.) Any number of threads record and read; a reader sees no single instant.
 */
#ifndef COFFER_OBSERVE_HISTOGRAM_H
#define COFFER_OBSERVE_HISTOGRAM_H

#include <coffer/metrics.h>
#include <stdatomic.h>

enum { COFFER__HISTOGRAM_BUCKETS = 29 * 16 };

typedef struct coffer__histogram {
    atomic_uint_fast64_t max_us;
    atomic_uint_fast64_t buckets[COFFER__HISTOGRAM_BUCKETS];
} coffer__histogram;

/* Starts as zeros. */
void coffer__histogram_record(coffer__histogram *histogram, uint64_t elapsed_us);

/* timed_count, the percentiles (no bucket's bound above the maximum) and the exact maximum; leaves `count` alone. */
void coffer__histogram_read(const coffer__histogram *histogram, coffer_latency *latency);

#endif
