#include "observe/counters.h"

#include "support/cmocka_all.h"
#include "support/watched_alloc.h"

#include <pthread.h>

/* More threads than there are rows of counters. */
enum { THREADS = 24, ROUNDS = 20000, HITS = 1000000 };

static pthread_barrier_t together;

static int set_up(void **state) {
    return coffer__observer_new((coffer__observer **)state) == COFFER_OK ? 0 : -1;
}

static int tear_down(void **state) {
    coffer__observer_free((coffer__observer *)*state);
    return 0;
}

static void test_each_counter_has_its_own_number(void **state) {
    coffer__observer *observer = (coffer__observer *)*state;
    coffer_counters counters;
    coffer_latency latency[COFFER_OPERATION_COUNT];
    for (size_t i = 0; i < COFFER__COUNTER_COUNT; i++) {
        coffer__count(observer, (coffer__counter)i, i + 1);
        coffer__count(observer, (coffer__counter)i, 100);
    }
    coffer__observer_read(observer, &counters, latency);
    assert_int_equal(counters.hits, 101);
    assert_int_equal(counters.misses, 102);
    assert_int_equal(counters.stored_bytes, COFFER__COUNTER_COUNT + 100);
    const uint64_t *all = &counters.hits;
    for (size_t i = 0; i < COFFER__COUNTER_COUNT; i++) {
        assert_int_equal(all[i], i + 101);
    }
}

static void test_all_operations_are_counted_and_some_are_timed(void **state) {
    coffer__observer *observer = (coffer__observer *)*state;
    coffer_counters counters;
    coffer_latency latency[COFFER_OPERATION_COUNT];
    for (uint64_t i = 0; i < 640; i++) {
        coffer__count_operation(observer, COFFER_OPERATION_GET);
        if (i % 64 == 0) {
            coffer__record_latency(observer, COFFER_OPERATION_GET, 7);
        }
    }
    coffer__record_latency(observer, COFFER_OPERATION_PING, 20);
    coffer__observer_read(observer, &counters, latency);
    assert_int_equal(latency[COFFER_OPERATION_GET].count, 640);
    assert_int_equal(latency[COFFER_OPERATION_GET].timed_count, 10);
    assert_true(latency[COFFER_OPERATION_GET].p95_us == 7);
    assert_int_equal(latency[COFFER_OPERATION_PING].count, 0);
    assert_true(latency[COFFER_OPERATION_PING].max_us == 20);
    assert_int_equal(latency[COFFER_OPERATION_SET].timed_count, 0);
}

static void test_refusals_are_listed_by_status_without_gaps(void **state) {
    coffer__observer *observer = (coffer__observer *)*state;
    coffer_refusal refusal;
    assert_false(coffer__observer_refusal(observer, 0, &refusal));
    coffer__count_refusal(observer, COFFER_TOO_LARGE);
    coffer__count_refusal(observer, COFFER_BAD_CRC);
    coffer__count_refusal(observer, COFFER_BAD_CRC);
    coffer__count_refusal(observer, COFFER_BAD_MAGIC);
    coffer__count_refusal(observer, COFFER_PLACEHOLDER);
    coffer__count_refusal(observer, COFFER_OK); /* no refusal of an entry */
    coffer__count_refusal(observer, COFFER_LOAD_FAILED);
    coffer__count_refusal(observer, COFFER_NOT_INTEGER);
    static const coffer_refusal expected[] = {{COFFER_BAD_MAGIC, 1}, {COFFER_BAD_CRC, 2}, {COFFER_PLACEHOLDER, 1}, {COFFER_TOO_LARGE, 1}};
    for (size_t i = 0; i < 4; i++) {
        assert_true(coffer__observer_refusal(observer, i, &refusal));
        assert_int_equal(refusal.status, expected[i].status);
        assert_int_equal(refusal.count, expected[i].count);
    }
    assert_false(coffer__observer_refusal(observer, 4, &refusal));
}

static void *count_much(void *argument) {
    coffer__observer *observer = (coffer__observer *)argument;
    pthread_barrier_wait(&together);
    coffer_counters counters;
    coffer_latency latency[COFFER_OPERATION_COUNT];
    for (uint64_t i = 0; i < ROUNDS; i++) {
        if (i % 4096 == 0) {
            coffer__observer_read(observer, &counters, latency); /* among the writers */
        }
        coffer__count(observer, COFFER__COUNT_hits, 1);
        coffer__count(observer, COFFER__COUNT_bytes_read, 100);
        coffer__count_operation(observer, COFFER_OPERATION_GET);
        coffer__record_latency(observer, COFFER_OPERATION_GET, i);
        coffer__count_refusal(observer, COFFER_BAD_CRC);
    }
    return NULL;
}

static void run_threads(void *(*body)(void *), coffer__observer *observer) {
    pthread_t threads[THREADS];
    assert_int_equal(pthread_barrier_init(&together, NULL, THREADS), 0);
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, body, observer), 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    pthread_barrier_destroy(&together);
}

static void test_nothing_is_lost_among_threads(void **state) {
    coffer__observer *observer = (coffer__observer *)*state;
    coffer_counters counters;
    coffer_latency latency[COFFER_OPERATION_COUNT];
    coffer_refusal refusal;
    run_threads(count_much, observer);
    coffer__observer_read(observer, &counters, latency);
    assert_int_equal(counters.hits, THREADS * ROUNDS);
    assert_int_equal(counters.bytes_read, THREADS * ROUNDS * 100);
    assert_int_equal(latency[COFFER_OPERATION_GET].count, THREADS * ROUNDS);
    assert_int_equal(latency[COFFER_OPERATION_GET].timed_count, THREADS * ROUNDS);
    assert_true(latency[COFFER_OPERATION_GET].max_us == ROUNDS - 1);
    assert_true(coffer__observer_refusal(observer, 0, &refusal));
    assert_int_equal(refusal.count, THREADS * ROUNDS);
}

static void *count_hits(void *argument) {
    pthread_barrier_wait(&together);
    for (uint64_t i = 0; i < HITS; i++) {
        coffer__count((coffer__observer *)argument, COFFER__COUNT_hits, 1);
    }
    return NULL;
}

/* Long enough that threads which share a row meet in it. */
static void test_threads_that_share_a_row_lose_nothing(void **state) {
    coffer__observer *observer = (coffer__observer *)*state;
    coffer_counters counters;
    coffer_latency latency[COFFER_OPERATION_COUNT];
    run_threads(count_hits, observer);
    coffer__observer_read(observer, &counters, latency);
    assert_int_equal(counters.hits, (uint64_t)THREADS * HITS);
}

static void test_no_memory_makes_no_observer(void **state) {
    (void)state;
    coffer__observer *observer;
    watched_alloc_begin(0);
    assert_int_equal(coffer__observer_new(&observer), COFFER_NO_MEMORY);
    assert_null(observer);
    coffer__observer_free(NULL);
    assert_int_equal(watched_alloc.live_bytes, 0);
    watched_alloc_end();
}

#define WITH_OBSERVER(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH_OBSERVER(test_each_counter_has_its_own_number),
        WITH_OBSERVER(test_all_operations_are_counted_and_some_are_timed),
        WITH_OBSERVER(test_refusals_are_listed_by_status_without_gaps),
        WITH_OBSERVER(test_nothing_is_lost_among_threads),
        WITH_OBSERVER(test_threads_that_share_a_row_lose_nothing),
        cmocka_unit_test(test_no_memory_makes_no_observer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
