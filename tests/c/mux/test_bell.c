/* Waits that are ended elsewhere: by another op, or by another thread. */
#include "mux/helpers.h"

#include <pthread.h>
#include <stdatomic.h>

static void supply(world *w, coffer_task *task, const char *value) {
    assert_int_equal(coffer_task_want(task), COFFER_WANT_LOAD);
    coffer_op_supply(coffer_task_op(task), coffer_slice_text(value), NULL, 1);
    coffer_task_run(task, w->now_us);
}

static void test_one_loader_runs_and_the_others_are_woken(void **state) {
    (void)state;
    world w;
    open_world(&w, "mem://");
    coffer_task *first = load(&w, "k"), *second = load(&w, "k"), *third = load(&w, "k");
    assert_int_equal(coffer_task_want(second), COFFER_WANT_REPLY);
    assert_true(coffer_slice_equal(coffer_task_key(first), COFFER_SLICE("k")));
    coffer_task_free(third); /* lost interest */
    supply(&w, first, "loaded");
    assert_value(first, "loaded");
    assert_stopped(&w, second);
    assert_value(second, "loaded");
    assert_null(coffer_mux_next_stopped(w.mux));
    coffer_task_free(first);
    coffer_task_free(second);
    close_world(&w);
}

static void test_a_loader_that_is_cancelled_hands_its_load_on(void **state) {
    (void)state;
    world w;
    open_world(&w, "mem://");
    coffer_task *first = load(&w, "k"), *second = load(&w, "k");
    coffer_task_free(first);
    coffer_mux_tick(w.mux, w.now_us);
    assert_stopped(&w, second);
    supply(&w, second, "mine");
    assert_value(second, "mine");
    coffer_task_free(second);
    close_world(&w);
}

typedef struct elsewhere {
    world *w;
    pthread_barrier_t has_begun, may_end;
} elsewhere;

/* Another loop of the same client, on a thread of its own, which runs the loader. */
static void *load_elsewhere(void *argument) {
    elsewhere *other = (elsewhere *)argument;
    coffer_mux *mux;
    coffer_task *task;
    coffer_op *op;
    assert_int_equal(coffer_mux_new(&mux, other->w->client, NULL, NULL), COFFER_OK);
    assert_int_equal(coffer_op_get_or_load(&op, other->w->ns, COFFER_SLICE("k"), NULL), COFFER_OK);
    assert_int_equal(coffer_mux_submit(mux, op, NULL, 0, &task), COFFER_OK);
    pthread_barrier_wait(&other->has_begun);
    pthread_barrier_wait(&other->may_end);
    coffer_op_supply(op, COFFER_SLICE("from elsewhere"), NULL, 1);
    coffer_task_run(task, 0);
    coffer_task_free(task);
    coffer_mux_close(mux);
    coffer_mux_free(mux);
    return NULL;
}

static void count_ring(void *data) {
    atomic_fetch_add((atomic_int *)data, 1);
}

static void test_what_another_thread_ends_is_rung_for(void **state) {
    (void)state;
    world w;
    atomic_int rings = 0;
    elsewhere other = {.w = &w};
    pthread_t thread;
    open_world(&w, "mem://");
    coffer_mux_free(w.mux);
    assert_int_equal(coffer_mux_new(&w.mux, w.client, count_ring, &rings), COFFER_OK);
    pthread_barrier_init(&other.has_begun, NULL, 2);
    pthread_barrier_init(&other.may_end, NULL, 2);
    assert_int_equal(pthread_create(&thread, NULL, load_elsewhere, &other), 0);
    pthread_barrier_wait(&other.has_begun);
    coffer_task *waits = load(&w, "k"), *waits_too = load(&w, "k");
    assert_int_equal(coffer_task_want(waits), COFFER_WANT_REPLY);
    pthread_barrier_wait(&other.may_end);
    pthread_join(thread, NULL);
    assert_int_equal(atomic_load(&rings), 1); /* once for both */
    assert_null(coffer_mux_next_stopped(w.mux));
    coffer_mux_tick(w.mux, w.now_us);
    assert_stopped(&w, waits);
    assert_stopped(&w, waits_too);
    assert_value(waits, "from elsewhere");
    coffer_task_free(waits);
    coffer_task_free(waits_too);
    pthread_barrier_destroy(&other.has_begun);
    pthread_barrier_destroy(&other.may_end);
    close_world(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_loader_runs_and_the_others_are_woken),
        cmocka_unit_test(test_a_loader_that_is_cancelled_hands_its_load_on),
        cmocka_unit_test(test_what_another_thread_ends_is_rung_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
