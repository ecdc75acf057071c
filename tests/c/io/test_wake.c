/* The wake: none is lost, whatever the moment it comes at. */
#include "helpers.h"
#include "io/wake.h"

#include <pthread.h>
#include <sched.h>

enum { ROUNDS = 200000 };

typedef struct strike {
    _Alignas(64) coffer__wake wake; /* lines of their own, as a run and its calls have */
    _Alignas(64) _Atomic int reason;
    _Alignas(64) _Atomic unsigned begun, ended;
} strike;

/* Now and then, for where there is one processor only. */
static void rest(unsigned tries) {
    if (tries % 5000 == 4999) {
        sched_yield();
    }
}

static void await(_Atomic unsigned *number, unsigned round) {
    for (unsigned tries = 0; atomic_load(number) != round; tries++) {
        rest(tries);
    }
}

static void *wake_twice_each_round(void *argument) {
    strike *own = (strike *)argument;
    for (unsigned round = 1; round <= ROUNDS; round++) {
        await(&own->begun, round);
        coffer__wake_up(&own->wake);
        for (volatile unsigned pause = 0; pause < round % 256; pause++) {
        }
        atomic_store_explicit(&own->reason, 1, memory_order_release);
        coffer__wake_up(&own->wake);
        atomic_store(&own->ended, round);
    }
    return NULL;
}

/* Who was woken for nothing clears that and looks for a reason at the very moment at which one comes: it sees it, or is woken again. */
static void test_a_wake_beside_a_clear_is_not_lost(void **state) {
    (void)state;
    static strike own;
    pthread_t other;
    unsigned lost = 0;
    coffer__wake_init(&own.wake);
    pthread_create(&other, NULL, wake_twice_each_round, &own);
    for (unsigned round = 1; round <= ROUNDS; round++) {
        atomic_store(&own.reason, 0);
        atomic_store(&own.begun, round);
        for (unsigned tries = 0; !coffer__wake_is_up(&own.wake); tries++) {
            rest(tries);
        }
        coffer__wake_clear(&own.wake);
        int seen = atomic_load_explicit(&own.reason, memory_order_acquire);
        await(&own.ended, round);
        lost += seen == 0 && !coffer__wake_is_up(&own.wake);
        coffer__wake_clear(&own.wake);
    }
    pthread_join(other, NULL);
    coffer__wake_end(&own.wake);
    assert_int_equal(lost, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_wake_beside_a_clear_is_not_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
