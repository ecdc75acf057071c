/* Every server that a client has ever heard of, once: two endpoints are the same server exactly if their pointers are equal, and each stays as long as
 * the client, so that pools and breakers may go by the pointer. A hostile server cannot make them without end: see COFFER__ENDPOINTS_MOST. */
#ifndef COFFER_TOPOLOGY_ENDPOINTS_H
#define COFFER_TOPOLOGY_ENDPOINTS_H

#include <coffer/driver.h>

#include <stdatomic.h>

enum { COFFER__ENDPOINTS_MOST = 65536, COFFER__HOST_BYTES_MAX = 253 };

typedef struct coffer__endpoints coffer__endpoints;

coffer__endpoints *coffer__endpoints_new(void); /* NULL where memory is short */
void coffer__endpoints_free(coffer__endpoints *endpoints); /* takes NULL */
void coffer__endpoints_after_fork(coffer__endpoints *endpoints);

/* The one endpoint that is equal to this, whose texts are copied where it is new. From any thread. NULL where memory is short or there are too many. */
const coffer_endpoint *coffer__endpoints_intern(coffer__endpoints *endpoints, const coffer_endpoint *wanted);

/* Whether it is one of these. */
static inline bool coffer__endpoint_is_among(const coffer_endpoint *endpoint, const coffer_endpoint *const *those, size_t count) {
    size_t at = 0;
    while (at < count && those[at] != endpoint) {
        at++;
    }
    return at < count;
}

/* The replicas of an interned primary, as endpoints that are read from; those beyond the first 15 are not used. Read by any thread, without a lock, while
 * another one lists them anew: it sees those of before, or of now, or some of each. Listed by one at a time: begun, each added, ended. */
enum { COFFER__REPLICAS_MOST = 15 };
const coffer_endpoint *coffer__endpoint_replica(const coffer_endpoint *primary, size_t index); /* NULL behind the last */
void coffer__endpoint_replicas_begin(const coffer_endpoint *primary);
void coffer__endpoint_replicas_add(const coffer_endpoint *primary, const coffer_endpoint *replica);
void coffer__endpoint_replicas_end(const coffer_endpoint *primary);

/* Of an interned endpoint: how many calls in a row came to their deadline there. */
unsigned coffer__endpoint_timed_out(const coffer_endpoint *endpoint); /* one more; how many now */
void coffer__endpoint_answered(const coffer_endpoint *endpoint); /* none */

#endif
