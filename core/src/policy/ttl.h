/* How long a value lives. */
#ifndef COFFER_POLICY_TTL_H
#define COFFER_POLICY_TTL_H

#include <coffer/options.h>

/* The longest TTL that is not for ever: what a Redis server takes as PX beside any clock. About 100 years. */
#define COFFER__TTL_MAX_MS (UINT64_C(3155760000) * 1000)

/* "250ms", "30s", "5m", "1h30m", "2d", "1w", "90" or "1.5" (seconds). Unlike a TTL it may be 0. ARG, in words. */
coffer_status coffer__time_parse(coffer_slice text, uint64_t *time_ms, coffer_error *error);

/* A TTL as coffer_ttl_parse takes it, without words. */
bool coffer__read_ttl(coffer_slice text, uint64_t *ttl_ms);

/* ARG for 0 and for what is over the maximum; FOREVER is fine. */
coffer_status coffer__ttl_check(uint64_t ttl_ms, coffer_error *error);

/* The TTL, lengthened by a random share of up to `percent`; `random` is any 64 random bits. FOREVER stays. */
uint64_t coffer__ttl_jitter(uint64_t ttl_ms, uint32_t percent, uint64_t random);

/* start + ttl, FOREVER where either is. */
uint64_t coffer__ttl_end(uint64_t start_ms, uint64_t ttl_ms);

#endif
