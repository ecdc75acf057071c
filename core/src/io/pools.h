/* pools: a pool for each endpoint that was ever asked for. Endpoints are the client's, and stay where they are; so do pools. */
#ifndef COFFER_IO_POOLS_H
#define COFFER_IO_POOLS_H

#include "pool.h"

typedef struct coffer__pools coffer__pools;

coffer_status coffer__pools_new(coffer__pools **pools, coffer_client *client); /* the client is lent */
void coffer__pools_free(coffer__pools *pools); /* takes NULL */
void coffer__pools_after_fork(coffer__pools *pools); /* as coffer__pool_after_fork */
void coffer__pools_read(coffer__pools *pools, coffer_metrics *metrics); /* the figures of all */

/* The client's chore (coffer_client_chores) that is due, or one that was begun and put back; NULL, almost always. */
coffer_op *coffer__pools_chore(coffer__pools *pools, uint64_t now_ms);
void coffer__pools_put_back(coffer__pools *pools, coffer_op *chore); /* it goes on with whoever asks next */

/* The endpoint's pool, made at its first use; NULL where memory is short. From any thread. */
coffer__pool *coffer__pools_at(coffer__pools *pools, const coffer_endpoint *endpoint);

#endif
