/* load: what its files share. See load.c. */
#ifndef COFFER_TESTS_FAULTS_LOAD_H
#define COFFER_TESTS_FAULTS_LOAD_H

#include "control.h"
#include "values.h"
#include <coffer/coffer.h>

#include <stdatomic.h>
#include <stdbool.h>

enum { THREADS_MAX = 256, STATUSES = 1024, MANY = 8, ONLY_MAX = 1024 };

/* X(name, default, what it is) */
#define SETTING_MAP(X)                                                                                                                               \
    X(threads, 8, "that work at once")                                                                                                               \
    X(ms, 5000, "how long")                                                                                                                          \
    X(operations, 0, "end after so many; 0: after ms alone")                                                                                         \
    X(seed, 1, "of what each thread does")                                                                                                           \
    X(keys, 64, "different ones")                                                                                                                    \
    X(timeout_ms, 500, "of an operation")                                                                                                            \
    X(short_permille, 0, "operations whose deadline is 1 to short_ms")                                                                               \
    X(short_ms, 20, "")                                                                                                                              \
    X(cancel_permille, 0, "operations dropped at a random moment")                                                                                   \
    X(cancel_us, 2000, "the latest of those moments")                                                                                                \
    X(write_permille, 400, "operations that are sets")                                                                                               \
    X(many_permille, 100, "operations that are get_many")                                                                                            \
    X(count_permille, 0, "operations that increment the thread's counter")                                                                           \
    X(value_bytes, 1024, "the longest value")                                                                                                        \
    X(pause_us, 0, "the longest pause between two operations")                                                                                       \
    X(hang_ms, 2000, "past its deadline by so much, an operation hangs")                                                                             \
    X(gap_ms, 20, "without success for longer is told")

typedef struct settings {
#define SETTING_FIELD(name, default, what) uint64_t name;
    SETTING_MAP(SETTING_FIELD)
#undef SETTING_FIELD
    const char *url, *check_url;
    const char *only; /* "3,17,29": these keys alone; NULL: the first `keys` */
} settings;

typedef struct tally {
    uint64_t operations, values, wrong, cancelled, timed_out;
    uint64_t by_status[STATUSES]; /* minus the status */
    uint64_t counted_sure, counted_maybe;
    lateness overshoot; /* of operations that came to their deadline */
} tally;

typedef struct worker {
    const settings *settings;
    coffer_cache *cache;
    uint32_t index;
    uint64_t random, sequence;
    _Atomic uint64_t ends_at_us; /* when the operation it is inside of has to end; 0: it is in none */
    atomic_bool is_done, has_hung;
    tally tally;
    char *scratch; /* a value */
} worker;

uint64_t worker_random(worker *self, uint64_t end);
bool keys_choose(settings *wanted); /* reads `only`; false where it cannot be read */
void worker_step(worker *self); /* one operation */

void successes_note(void); /* an operation was answered: tells of gaps between two */
void successes_set_gap(uint64_t gap_us);

#endif
