/* The wake: none is lost, whatever the moment it comes at. */
#include "helpers.h"
#include "io/run_internal.h"

#include <pthread.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

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

/* The run that a thread keeps is copied by a fork: what wakes the one must not be taken for, or drained by, the other. */
static void test_a_child_wakes_nobody_in_its_parent(void **state) {
    (void)state;
    coffer_cache *cache = NULL;
    coffer_op *op = NULL;
    assert_int_equal(coffer_open_url(&cache, "mem://", NULL), COFFER_OK);
    coffer__run *run = coffer__thread_take_run();
    assert_true(coffer__wake_has_fd(&run->wake));
    struct pollfd look = {.fd = run->wake.fd, .events = POLLIN};
    coffer__thread_give_run(run);
    pid_t child = fork();
    if (child == 0) {
        bool fine = coffer_op_get(&op, coffer_cache_namespace(cache), COFFER_SLICE("k"), NULL) == COFFER_OK;
        coffer__run *own = fine ? coffer__run_of(op) : NULL;
        fine = own == run && coffer__run_go(own, NULL, op, 0) == COFFER_WANT_DONE;
        fine = fine && coffer__wake_has_fd(&own->wake) && (coffer__wake_clear(&own->wake), coffer__wake_begin_poll(&own->wake));
        coffer__run_wake(own);
        _exit(fine ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_int_equal(poll(&look, 1, 0), 0);
    coffer_close(cache);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_wake_beside_a_clear_is_not_lost),
        cmocka_unit_test(test_a_child_wakes_nobody_in_its_parent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
