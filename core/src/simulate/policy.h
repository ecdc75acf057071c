/* What simulate.c needs of a policy, and what policies need of a trace. */
#ifndef COFFER_SIMULATE_POLICY_H
#define COFFER_SIMULATE_POLICY_H

#include <coffer/simulate.h>

typedef struct coffer__policy {
    const char *name;
    void *(*make)(const coffer_trace *trace, uint64_t *capacity); /* NULL: no memory; may make the capacity smaller */
    bool (*request)(void *cache, uint32_t object, size_t number); /* of the trace's request of that number: whether it hits */
    void (*drop)(void *cache);
} coffer__policy;

extern const coffer__policy coffer__policy_coffer, coffer__policy_fifo, coffer__policy_lru, coffer__policy_sieve, coffer__policy_s3fifo,
    coffer__policy_opt;

static inline uint64_t coffer__size_of(const coffer_trace *trace, uint32_t object) {
    return trace->sizes == NULL ? 1 : trace->sizes[object];
}

#endif
