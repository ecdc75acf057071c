#include "base/error.h"
#include "policy.h"

#include <string.h>

static const coffer__policy *const POLICIES[] = {&coffer__policy_coffer, &coffer__policy_lru,  &coffer__policy_s3fifo,
                                                 &coffer__policy_sieve,  &coffer__policy_fifo, &coffer__policy_opt};
enum { POLICY_COUNT = sizeof POLICIES / sizeof POLICIES[0] };

#define CAPACITY_MOST (UINT64_C(1) << 40)

/* POLICY_COUNT: there is none of that name. */
static size_t number_of(const char *name) {
    size_t i = 0;
    while (i < POLICY_COUNT && strcmp(POLICIES[i]->name, name) != 0) {
        i++;
    }
    return i;
}

const char *coffer_policy_next(const char *name) {
    size_t next = name == NULL ? 0 : number_of(name) + 1;
    return next < POLICY_COUNT ? POLICIES[next]->name : NULL;
}

static coffer_status check(const coffer_trace *trace, uint64_t capacity, coffer_error *error) {
    if (capacity == 0 || capacity > CAPACITY_MOST || trace->object_count > (size_t)1 << 31 || trace->request_count >= UINT32_MAX) {
        return coffer__error_set(error, COFFER_ARG, "a simulation has room for 1 to 2^40, and at most 2^31 objects and 2^32 - 2 requests");
    }
    for (size_t i = 0; i < trace->request_count; i++) {
        if (trace->requests[i] >= trace->object_count) {
            return coffer__error_set(error, COFFER_ARG, "request %zu is for object %u of %zu", i, (unsigned)trace->requests[i], trace->object_count);
        }
    }
    return COFFER_OK;
}

static void run(const coffer_trace *trace, const coffer__policy *policy, void *cache, coffer_simulated *out) {
    for (size_t i = 0; i < trace->request_count; i++) {
        uint64_t bytes = coffer__size_of(trace, trace->requests[i]);
        bool hit = policy->request(cache, trace->requests[i], i);
        out->requested_bytes += bytes;
        out->hits += hit;
        out->hit_bytes += hit ? bytes : 0;
    }
}

coffer_status coffer_simulate(const coffer_trace *trace, const char *policy, uint64_t capacity, coffer_simulated *out, coffer_error *error) {
    *out = (coffer_simulated){.capacity = capacity};
    size_t number = number_of(policy);
    if (number == POLICY_COUNT) {
        return coffer__error_set(error, COFFER_ARG, "no policy is called '%s'", policy);
    }
    coffer_status status = check(trace, capacity, error);
    if (status != COFFER_OK) {
        return status;
    }
    void *cache = POLICIES[number]->make(trace, &out->capacity);
    if (cache == NULL) {
        return coffer__error_set(error, COFFER_NO_MEMORY, "memory is short");
    }
    run(trace, POLICIES[number], cache, out);
    POLICIES[number]->drop(cache);
    return COFFER_OK;
}
