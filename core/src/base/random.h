/* Random bytes fit for nonces and ids: a per-thread store of the system's (getrandom), so that a small draw costs no system call.
 * A child of fork never repeats its parent's bytes. */
#ifndef COFFER_BASE_RANDOM_H
#define COFFER_BASE_RANDOM_H

#include <coffer/status.h>

coffer_status coffer__random_bytes(void *out, size_t len); /* NO_RANDOM where the system gave none */

/* For jitter and samples: never fails (falls back to a counter mixed with addresses), not for secrets. */
uint64_t coffer__random_u64(void);

/* How long to wait after so many failures in a row: at random from 1 to a bound that doubles from first_ms to most_ms, so that those who failed together do
 * not come back together. ("Full jitter".) */
uint64_t coffer__random_back_off_ms(unsigned failures, uint64_t first_ms, uint64_t most_ms);

#endif
