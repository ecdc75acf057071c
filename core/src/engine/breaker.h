/* A circuit breaker for one server: one that keeps failing is not asked again for a moment, so that callers go on without it at once.
 *
 *      CLOSED --too many failures--> OPEN --its time is over, and somebody calls--> HALF_OPEN (that call is the probe, all others are refused)
 *        ^                             ^---------------- the probe failed --------------|
 *        '------------------------------------------------ it was answered -------------'
 *
 * It opens where, in the sliding window, at least `minimum_calls` ended and `failure_rate_percent` of them failed (as resilience4j counts), or where
 * `consecutive_count` failed in a row (as Envoy does), however many were well before: a frozen server fails so slowly that no window would tell.
 *
 * How long it is open: full jitter over 10 ms, 20 ms, 40 ms ... 200 ms, behind four times what the failed call took, 2 s at most. So a server that refuses
 * connections is found again within 200 ms of its return, and one that swallows requests holds up a caller for a fraction of the time only. The steps
 * begin anew once the breaker was closed for a whole window, which bounds how often one that flaps changes.
 *
 * Each admitted call holds a pass, which is recorded or given back, once. Results of an earlier state are not counted. While closed an admission is one
 * atomic read. Any thread may call anything; time is an argument (monotonic, and may lie a little behind another thread's).
 */
#ifndef COFFER_ENGINE_BREAKER_H
#define COFFER_ENGINE_BREAKER_H

#include <coffer/status.h>

typedef enum coffer__breaker_state { COFFER__BREAKER_CLOSED, COFFER__BREAKER_OPEN, COFFER__BREAKER_HALF_OPEN } coffer__breaker_state;

typedef struct coffer__breaker_rules {
    bool is_on; /* false: counts, never opens */
    uint32_t failure_rate_percent;
    uint64_t window_ms;
    uint64_t minimum_calls_count;
    uint64_t consecutive_count;
    uint64_t probe_ms; /* a probe that was not heard of for so long is replaced */
} coffer__breaker_rules;

typedef struct coffer__breaker coffer__breaker;

/* Zeroed is none. */
typedef struct coffer__pass {
    coffer__breaker *breaker;
    uint64_t began_ms;
    uint32_t generation;
    bool is_probe;
} coffer__pass;

typedef struct coffer__breaker_figures {
    coffer__breaker_state state;
    uint64_t opened_count; /* from CLOSED */
    uint64_t refused_count;
    uint64_t calls_count, failed_count; /* in the window */
    uint64_t in_row_count; /* failures since the last success */
    uint64_t retry_in_ms; /* OPEN: until a call may probe */
    coffer_status last_failure; /* OK: none yet */
} coffer__breaker_figures;

coffer_status coffer__breaker_new(coffer__breaker **breaker, const coffer__breaker_rules *rules); /* OK, NO_MEMORY */
void coffer__breaker_free(coffer__breaker *breaker); /* takes NULL */
void coffer__breaker_after_fork(coffer__breaker *breaker); /* in the child: the parent's probe is not ours, nor is what its calls come to */

/* True: the call may go, and `pass` is its. `until_ms` is the call's deadline: a probe that was not heard of by then, or for the rules' probe_ms, is
 * replaced; should it be answered all the same before the next one fails, that counts. */
bool coffer__breaker_admit(coffer__breaker *breaker, uint64_t now_ms, uint64_t until_ms, coffer__pass *pass);

/* Whether a call would be admitted now. Changes nothing. */
bool coffer__breaker_would_admit(coffer__breaker *breaker, uint64_t now_ms);

/* Why it is not closed: the last failure. OK: there was none. */
coffer_status coffer__breaker_reason(const coffer__breaker *breaker);

/* The call has ended so. Clears the pass; an empty one is left as it is. True where this closed the breaker. */
bool coffer__breaker_record(coffer__pass *pass, coffer_status status, uint64_t now_ms);

/* The call was given up, and nothing is known of it. */
void coffer__breaker_give_back(coffer__pass *pass, uint64_t now_ms);

void coffer__breaker_read(coffer__breaker *breaker, uint64_t now_ms, coffer__breaker_figures *figures);

/* What an ended call says of its server: a failure, a success, or nothing (a full pool, a lack of memory). MAYBE_APPLIED and NOT_SENT are what TIMEOUT and
 * CLOSED are to a write, and to what was still to be written. */
bool coffer__breaker_is_failure(coffer_status status);
bool coffer__breaker_is_success(coffer_status status);

#endif
