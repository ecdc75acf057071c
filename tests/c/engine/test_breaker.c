#include "engine/breaker.h"

#include "support/cmocka_all.h"
#include "support/watched_alloc.h"

#include <pthread.h>
#include <stdatomic.h>

enum { NO_DEADLINE = 1 << 30 };

static const coffer__breaker_rules rules = {
    .is_on = true, .failure_rate_percent = 50, .window_ms = 10000, .minimum_calls_count = 5, .consecutive_count = 5, .probe_ms = 5000};

static coffer__breaker *new_breaker(void) {
    coffer__breaker *breaker;
    assert_int_equal(coffer__breaker_new(&breaker, &rules), COFFER_OK);
    return breaker;
}

static coffer__breaker_figures figures_of(coffer__breaker *breaker, uint64_t now_ms) {
    coffer__breaker_figures figures;
    coffer__breaker_read(breaker, now_ms, &figures);
    return figures;
}

/* One call that begins and ends in a moment. */
static bool call(coffer__breaker *breaker, uint64_t now_ms, coffer_status status) {
    coffer__pass pass;
    if (!coffer__breaker_admit(breaker, now_ms, NO_DEADLINE, &pass)) {
        return false;
    }
    coffer__breaker_record(&pass, status, now_ms);
    return true;
}

static void calls(coffer__breaker *breaker, unsigned count, uint64_t now_ms, coffer_status status) {
    for (unsigned i = 0; i < count; i++) {
        assert_true(call(breaker, now_ms, status));
    }
}

/* When it admits a call again, at the earliest. */
static uint64_t opens_again_at(coffer__breaker *breaker, uint64_t now_ms) {
    return now_ms + figures_of(breaker, now_ms).retry_in_ms;
}

static void test_failures_in_a_row_open_it(void **state) {
    (void)state;
    coffer__breaker *breaker = new_breaker();
    calls(breaker, 1000, 50000, COFFER_OK); /* a frozen server's few failures are no rate beside these */
    calls(breaker, 4, 50001, COFFER_TIMEOUT);
    calls(breaker, 1, 50002, COFFER_MISS);
    calls(breaker, 4, 50003, COFFER_CONNECT);
    assert_int_equal(figures_of(breaker, 50003).state, COFFER__BREAKER_CLOSED);
    calls(breaker, 1, 50003, COFFER_CONNECT);
    coffer__breaker_figures figures = figures_of(breaker, 50003);
    assert_int_equal(figures.state, COFFER__BREAKER_OPEN);
    assert_int_equal(figures.opened_count, 1);
    assert_int_equal(figures.last_failure, COFFER_CONNECT);
    assert_true(figures.retry_in_ms <= 10);
    coffer__breaker_free(breaker);
}

static void test_a_share_of_failures_opens_it_once_there_are_enough_calls(void **state) {
    (void)state;
    coffer__breaker *breaker = new_breaker();
    calls(breaker, 1, 1000, COFFER_OK);
    calls(breaker, 1, 1001, COFFER_IO);
    calls(breaker, 1, 1002, COFFER_OK);
    calls(breaker, 1, 1003, COFFER_IO); /* half of four: too few */
    assert_int_equal(figures_of(breaker, 1003).state, COFFER__BREAKER_CLOSED);
    calls(breaker, 1, 1004, COFFER_IO);
    assert_int_equal(figures_of(breaker, 1004).state, COFFER__BREAKER_OPEN);
    coffer__breaker_free(breaker);
}

static void test_old_calls_do_not_count(void **state) {
    (void)state;
    coffer__breaker *breaker = new_breaker();
    for (uint64_t now = 20000; now < 200000; now += 3000) { /* four of them in each window, and never enough in a row */
        calls(breaker, 1, now, COFFER_IO);
        calls(breaker, 2, now + 1, COFFER_OK);
    }
    assert_int_equal(figures_of(breaker, 200000).state, COFFER__BREAKER_CLOSED);
    assert_int_equal(figures_of(breaker, 220000).calls_count, 0);
    for (uint64_t now = 220000; now < 400000; now += 10500) { /* a failure now and then is no row */
        calls(breaker, 1, now, COFFER_IO);
    }
    assert_int_equal(figures_of(breaker, 400000).state, COFFER__BREAKER_CLOSED);
    coffer__breaker_free(breaker);
}

static void test_what_a_server_says_is_no_failure(void **state) {
    (void)state;
    static const coffer_status answers[] = {COFFER_MISS, COFFER_NOPERM, COFFER_WRONGTYPE, COFFER_AUTH,         COFFER_OOM,
                                            COFFER_BUSY, COFFER_MOVED,  COFFER_READONLY,  COFFER_POOL_TIMEOUT, COFFER_NO_MEMORY};
    static const coffer_status failures[] = {COFFER_CONNECT,  COFFER_DNS,        COFFER_TLS,         COFFER_CERTIFICATE,
                                             COFFER_TIMEOUT,  COFFER_CLOSED,     COFFER_IO,          COFFER_LOADING,
                                             COFFER_NOT_SENT, COFFER_MASTERDOWN, COFFER_CLUSTERDOWN, COFFER_MAYBE_APPLIED};
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        coffer__breaker *breaker = new_breaker();
        calls(breaker, 100, 1000, answers[i]);
        assert_int_equal(figures_of(breaker, 1000).state, COFFER__BREAKER_CLOSED);
        assert_int_equal(figures_of(breaker, 1000).failed_count, 0);
        coffer__breaker_free(breaker);
    }
    for (size_t i = 0; i < sizeof failures / sizeof failures[0]; i++) {
        coffer__breaker *breaker = new_breaker();
        calls(breaker, 5, 1000, failures[i]);
        assert_int_equal(figures_of(breaker, 1000).state, COFFER__BREAKER_OPEN);
        coffer__breaker_free(breaker);
    }
}

static void test_half_open_admits_one_and_its_answer_closes_it(void **state) {
    (void)state;
    coffer__breaker *breaker = new_breaker();
    calls(breaker, 5, 1000, COFFER_CONNECT);
    uint64_t now = opens_again_at(breaker, 1000);
    coffer__pass probe, other;
    assert_true(coffer__breaker_admit(breaker, now, now + 500, &probe));
    assert_true(probe.is_probe);
    for (int i = 0; i < 10; i++) {
        assert_false(coffer__breaker_admit(breaker, now, now + 500, &other));
    }
    coffer__breaker_record(&other, COFFER_CONNECT, now); /* of a refused call: nothing */
    assert_int_equal(figures_of(breaker, now).refused_count, 10);
    assert_int_equal(figures_of(breaker, now).state, COFFER__BREAKER_HALF_OPEN);
    assert_true(coffer__breaker_record(&probe, COFFER_NOPERM, now + 1));
    assert_int_equal(figures_of(breaker, now + 1).state, COFFER__BREAKER_CLOSED);
    assert_false(coffer__breaker_record(&probe, COFFER_CONNECT, now + 1)); /* once */
    calls(breaker, 4, now + 2, COFFER_CONNECT); /* counted anew */
    assert_int_equal(figures_of(breaker, now + 2).state, COFFER__BREAKER_CLOSED);
    coffer__breaker_free(breaker);
}

static void test_a_failed_probe_opens_it_for_longer_up_to_a_limit(void **state) {
    (void)state;
    coffer__breaker *breaker = new_breaker();
    calls(breaker, 5, 1000, COFFER_CONNECT);
    uint64_t now = 1000, longest_ms = 0;
    for (unsigned step = 1; step < 60; step++) {
        now = opens_again_at(breaker, now);
        assert_true(call(breaker, now, COFFER_CONNECT));
        uint64_t wait_ms = figures_of(breaker, now).retry_in_ms;
        assert_true(wait_ms <= (10u << (step < 5 ? step : 5)));
        assert_true(wait_ms <= 200);
        longest_ms = wait_ms > longest_ms ? wait_ms : longest_ms;
    }
    assert_true(longest_ms > 100); /* full jitter over 200 ms, 50 times */
    assert_int_equal(figures_of(breaker, now).opened_count, 1);
    coffer__breaker_free(breaker);
}

static void test_a_probe_that_took_long_is_not_tried_again_soon(void **state) {
    (void)state;
    coffer__breaker *breaker = new_breaker();
    calls(breaker, 5, 1000, COFFER_CONNECT);
    uint64_t now = opens_again_at(breaker, 1000);
    coffer__pass probe;
    assert_true(coffer__breaker_admit(breaker, now, now + 2000, &probe));
    coffer__breaker_record(&probe, COFFER_TIMEOUT, now + 100);
    assert_in_range(figures_of(breaker, now + 100).retry_in_ms, 400, 600);
    now = opens_again_at(breaker, now + 100);
    assert_true(coffer__breaker_admit(breaker, now, now + 2000, &probe));
    coffer__breaker_record(&probe, COFFER_TIMEOUT, now + 2000);
    assert_in_range(figures_of(breaker, now + 2000).retry_in_ms, 1800, 2000);
    coffer__breaker_free(breaker);
}

static void test_a_probe_that_nobody_hears_of_is_replaced(void **state) {
    (void)state;
    coffer__breaker *breaker = new_breaker();
    calls(breaker, 5, 1000, COFFER_CONNECT);
    uint64_t now = opens_again_at(breaker, 1000);
    coffer__pass given_up, lost, next;
    assert_true(coffer__breaker_admit(breaker, now, now + 500, &given_up));
    coffer__breaker_give_back(&given_up, now);
    assert_true(coffer__breaker_admit(breaker, now, now + 500, &lost)); /* at once */
    assert_false(coffer__breaker_admit(breaker, now + 499, now + 900, &next));
    assert_true(coffer__breaker_admit(breaker, now + 500, now + 900, &next));
    coffer__breaker_record(&lost, COFFER_TIMEOUT, now + 501); /* no longer the probe */
    assert_int_equal(figures_of(breaker, now + 501).state, COFFER__BREAKER_HALF_OPEN);
    coffer__breaker_after_fork(breaker); /* in a child the parent's probe is nobody's */
    assert_true(coffer__breaker_admit(breaker, now + 502, now + 900, &next));
    coffer__breaker_free(breaker);
}

static void test_results_of_an_earlier_state_do_not_count(void **state) {
    (void)state;
    coffer__breaker *breaker = new_breaker();
    coffer__pass late[20];
    for (int i = 0; i < 20; i++) {
        assert_true(coffer__breaker_admit(breaker, 1000, NO_DEADLINE, &late[i]));
    }
    calls(breaker, 5, 1000, COFFER_CONNECT);
    uint64_t now = opens_again_at(breaker, 1000);
    for (int i = 0; i < 10; i++) {
        coffer__breaker_record(&late[i], COFFER_OK, now); /* does not close it */
    }
    assert_true(call(breaker, now, COFFER_OK));
    for (int i = 10; i < 20; i++) {
        coffer__breaker_record(&late[i], COFFER_CLOSED, now + 1); /* does not open it */
    }
    assert_int_equal(figures_of(breaker, now + 1).state, COFFER__BREAKER_CLOSED);
    assert_int_equal(figures_of(breaker, now + 1).failed_count, 0);
    coffer__breaker_free(breaker);
}

/* Half of all calls fail for an hour, 100 in a second. */
/* One caller with a long deadline does not keep all others out for as long. */
static void test_a_patient_probe_is_replaced_and_its_answer_counts(void **state) {
    (void)state;
    coffer__breaker *breaker = new_breaker();
    calls(breaker, 5, 1000, COFFER_CONNECT);
    coffer__pass patient, next;
    assert_true(coffer__breaker_admit(breaker, 2000, 2000 + 3600000, &patient));
    assert_false(coffer__breaker_admit(breaker, 6999, 9000, &next));
    assert_true(coffer__breaker_admit(breaker, 7000, 9000, &next));
    assert_true(coffer__breaker_record(&patient, COFFER_OK, 7001));
    assert_int_equal(figures_of(breaker, 7001).state, COFFER__BREAKER_CLOSED);
    assert_false(coffer__breaker_record(&next, COFFER_TIMEOUT, 9000)); /* of a state that is over */
    assert_int_equal(figures_of(breaker, 9000).in_row_count, 0);
    calls(breaker, 5, 9001, COFFER_CONNECT);
    assert_true(coffer__breaker_admit(breaker, 12000, 12000 + 3600000, &patient));
    assert_true(coffer__breaker_admit(breaker, 17000, 19000, &next));
    coffer__breaker_record(&patient, COFFER_TIMEOUT, 17001); /* the second one has not been heard of yet */
    assert_int_equal(figures_of(breaker, 17001).state, COFFER__BREAKER_HALF_OPEN);
    coffer__breaker_free(breaker);
}

static void test_a_call_let_in_while_it_opened_does_not_open_it_twice(void **state) {
    (void)state;
    coffer__breaker *breaker = new_breaker();
    calls(breaker, 5, 1000, COFFER_CONNECT);
    coffer__pass pass = {.breaker = breaker, .began_ms = 1000, .generation = 1}; /* it read the new number, and then the old state */
    coffer__breaker_record(&pass, COFFER_TIMEOUT, 1500);
    assert_int_equal(figures_of(breaker, 1500).opened_count, 1);
    assert_true(coffer__breaker_would_admit(breaker, 1500));
    coffer__breaker_free(breaker);
}

static void test_what_the_parents_calls_come_to_does_not_count_in_a_child(void **state) {
    (void)state;
    coffer__breaker *breaker = new_breaker();
    coffer__pass passes[5];
    for (size_t i = 0; i < 5; i++) {
        assert_true(coffer__breaker_admit(breaker, 1000, 2000, &passes[i]));
    }
    coffer__breaker_after_fork(breaker);
    for (size_t i = 0; i < 5; i++) {
        coffer__breaker_record(&passes[i], COFFER_CLOSED, 1001);
    }
    assert_int_equal(figures_of(breaker, 1001).state, COFFER__BREAKER_CLOSED);
    coffer__breaker_free(breaker);
}

static void test_a_flapping_server_changes_its_state_a_bounded_number_of_times(void **state) {
    (void)state;
    coffer__breaker *breaker = new_breaker();
    for (uint64_t now = 1000; now < 3601000; now += 10) {
        call(breaker, now, now % 20 == 0 ? COFFER_OK : COFFER_TIMEOUT);
    }
    assert_true(figures_of(breaker, 3601000).opened_count < 3600 * 15);
    assert_true(figures_of(breaker, 3601000).opened_count > 100);
    coffer__breaker_free(breaker);
}

static void test_turned_off_it_counts_and_never_opens(void **state) {
    (void)state;
    coffer__breaker *breaker;
    const coffer__breaker_rules off = {
        .is_on = false, .failure_rate_percent = 50, .window_ms = 10000, .minimum_calls_count = 5, .consecutive_count = 5};
    assert_int_equal(coffer__breaker_new(&breaker, &off), COFFER_OK);
    calls(breaker, 100, 1000, COFFER_CONNECT);
    assert_int_equal(figures_of(breaker, 1000).in_row_count, 100);
    coffer__breaker_free(breaker);
}

/* ---- threads: no two probes at once, and each call counted once ---- */

enum { THREADS = 4, ROUNDS = 20000 };

typedef struct shared {
    coffer__breaker *breaker;
    _Atomic uint64_t now_ms, admitted, refused;
    _Atomic int probes;
    _Atomic bool two_probes;
} shared;

static void *hammer(void *argument) {
    shared *ours = (shared *)argument;
    for (unsigned i = 0; i < ROUNDS; i++) {
        uint64_t now = atomic_fetch_add(&ours->now_ms, i % 4 == 0) + 1000;
        coffer__pass pass;
        if (!coffer__breaker_admit(ours->breaker, now, NO_DEADLINE, &pass)) {
            atomic_fetch_add(&ours->refused, 1);
            continue;
        }
        bool is_probe = pass.is_probe;
        if (is_probe && atomic_fetch_add(&ours->probes, 1) != 0) {
            atomic_store(&ours->two_probes, true);
        }
        if (is_probe) {
            atomic_fetch_sub(&ours->probes, 1);
        }
        atomic_fetch_add(&ours->admitted, 1);
        coffer__breaker_record(&pass, i / 500 % 2 == 0 ? COFFER_OK : COFFER_CLOSED, now);
    }
    return NULL;
}

static void test_threads_share_it(void **state) {
    (void)state;
    pthread_t threads[THREADS];
    shared ours = {.breaker = new_breaker()};
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, hammer, &ours), 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_false(ours.two_probes);
    assert_int_equal(ours.admitted + ours.refused, THREADS * ROUNDS);
    assert_int_equal(figures_of(ours.breaker, ours.now_ms + 1000).refused_count, ours.refused);
    coffer__breaker_free(ours.breaker);
}

static void test_want_of_memory_leaves_nothing(void **state) {
    (void)state;
    coffer__breaker *breaker;
    for (size_t allowed = 0; allowed < 2; allowed++) {
        watched_alloc_begin(allowed);
        assert_int_equal(coffer__breaker_new(&breaker, &rules), COFFER_NO_MEMORY);
        assert_int_equal(watched_alloc.live_bytes, 0);
        watched_alloc_end();
    }
    coffer__breaker_free(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_failures_in_a_row_open_it),
        cmocka_unit_test(test_a_share_of_failures_opens_it_once_there_are_enough_calls),
        cmocka_unit_test(test_old_calls_do_not_count),
        cmocka_unit_test(test_what_a_server_says_is_no_failure),
        cmocka_unit_test(test_half_open_admits_one_and_its_answer_closes_it),
        cmocka_unit_test(test_a_failed_probe_opens_it_for_longer_up_to_a_limit),
        cmocka_unit_test(test_a_probe_that_took_long_is_not_tried_again_soon),
        cmocka_unit_test(test_a_probe_that_nobody_hears_of_is_replaced),
        cmocka_unit_test(test_results_of_an_earlier_state_do_not_count),
        cmocka_unit_test(test_a_patient_probe_is_replaced_and_its_answer_counts),
        cmocka_unit_test(test_a_call_let_in_while_it_opened_does_not_open_it_twice),
        cmocka_unit_test(test_what_the_parents_calls_come_to_does_not_count_in_a_child),
        cmocka_unit_test(test_a_flapping_server_changes_its_state_a_bounded_number_of_times),
        cmocka_unit_test(test_turned_off_it_counts_and_never_opens),
        cmocka_unit_test(test_threads_share_it),
        cmocka_unit_test(test_want_of_memory_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
