/* The one clock of the blocking driver, in one place that a test can replace.
 *
 * Monotonic time is in microseconds since some moment; op and conn get it in milliseconds. Waiting is always done by the kernel's own monotonic
 * clock: a replaced clock changes what time it is, not how long a wait takes. */
#ifndef COFFER_IO_CLOCK_H
#define COFFER_IO_CLOCK_H

#include <coffer/driver.h>

#include <time.h>

enum { COFFER__US_PER_MS = 1000 };

uint64_t coffer__clock_us(void);
uint64_t coffer__clock_unix_ms(void);

static inline uint64_t coffer__clock_ms(void) {
    return coffer__clock_us() / COFFER__US_PER_MS;
}

/* Both at the same moment, for coffer_client_new. */
coffer_clock coffer__clock_now(void);

/* from + ms, UINT64_MAX where that does not fit. */
static inline uint64_t coffer__clock_add_ms(uint64_t from_us, uint64_t ms) {
    return ms > (UINT64_MAX - from_us) / COFFER__US_PER_MS ? UINT64_MAX : from_us + ms * COFFER__US_PER_MS;
}

static inline uint64_t coffer__clock_earlier(uint64_t a_us, uint64_t b_us) {
    return a_us < b_us ? a_us : b_us;
}

/* How long until then, for ppoll: an hour at most, so that any sum with it fits. */
struct timespec coffer__clock_left(uint64_t until_us);

/* The same as an absolute time of CLOCK_MONOTONIC, for pthread_cond_timedwait. */
struct timespec coffer__clock_deadline(uint64_t until_us);

/* Gives another clock in the place of CLOCK_MONOTONIC; NULL brings it back. For tests. */
void coffer__clock_replace(uint64_t (*monotonic_us)(void));

#endif
