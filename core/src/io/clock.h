/* The one clock of all drivers, in one place that a test can replace (coffer_set_clock of hooks.h).
 *
 * Monotonic time is in microseconds since some moment; op and conn get it in milliseconds. Waiting is done by the kernel's own monotonic clock, which a
 * test does not move: while it has the clock a wait is short, and its end is the end of the slice, so that what time it is by then is looked at. */
#ifndef COFFER_IO_CLOCK_H
#define COFFER_IO_CLOCK_H

#include <coffer/driver.h>
#include <coffer/hooks.h>

#include <time.h>

enum { COFFER__US_PER_MS = 1000 };

static inline uint64_t coffer__clock_us(void) {
    return coffer_now_us();
}

bool coffer__clock_is_moved(void); /* by a test */
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

/* How long to wait until then, for ppoll: an hour at most, so that any sum with it fits. */
struct timespec coffer__clock_left(uint64_t until_us);

/* The same as an absolute time of CLOCK_MONOTONIC, for pthread_cond_timedwait. */
struct timespec coffer__clock_deadline(uint64_t until_us);

#endif
