/* What a cache of a given size would have answered of a recorded trace: with the near cache's own code, and with others' policies to compare it with.
 *
 *     coffer     the shards of the near cache and of mem://, as they are
 *     lru, fifo  the oldest use or the oldest entry goes
 *     sieve      SIEVE (Zhang, Yang, Yue, Vigfusson, Rashmi, NSDI 2024)
 *     s3fifo     S3-FIFO (Yang, Zhang, Qiu, Yue, Vinayak, SOSP 2023): small 10 %, ghosts of as many bytes as main has
 *     opt        what is used again last, or never, goes (Belady 1966): no cache can do better where all sizes are 1; with sizes it is a yardstick only
 *
 * A request that misses stores its object. No I/O, no threads; all memory is given back before it returns.
 */
#ifndef COFFER_SIMULATE_H
#define COFFER_SIMULATE_H

#include <coffer/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Objects are numbers from 0 on; all arrays are lent for the call. */
typedef struct coffer_trace {
    const uint32_t *requests; /* the objects asked for, in order */
    size_t request_count;
    const uint32_t *sizes; /* by object, in bytes; NULL: each object is one unit */
    size_t object_count; /* at most 2^31 */
} coffer_trace;

typedef struct coffer_simulated {
    uint64_t hits, hit_bytes; /* of units, bytes are objects */
    uint64_t requested_bytes;
    uint64_t capacity; /* what was simulated: coffer cuts its memory into segments and may have a little less than was asked for */
} coffer_simulated;

/* Of a policy by its name: the next one of the list behind `name`, the first of NULL; NULL behind the last. */
COFFER_API const char *coffer_policy_next(const char *name);

/* With room for so many units or bytes, an entry of coffer with its head and key. ARG: an unknown policy, an object that is none, capacity 0 or above 2^40; NO_MEMORY. */
COFFER_API coffer_status coffer_simulate(const coffer_trace *trace, const char *policy, uint64_t capacity, coffer_simulated *out,
                                         coffer_error *error);

#ifdef __cplusplus
}
#endif

#endif
