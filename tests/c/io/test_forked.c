/* Children of fork: connections of their own, and none of the parent's touched (F05). */
#include "helpers.h"
#include "with_server.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

static bool works(coffer_cache *cache, unsigned seed) {
    char text[32];
    for (unsigned i = 0; i < 30; i++) {
        coffer_value value;
        snprintf(text, sizeof text, "k%u-%u", seed, i);
        coffer_slice key = coffer_slice_text(text);
        bool right = coffer_set(cache, key, key, NULL, NULL) == COFFER_OK && coffer_get(cache, key, NULL, &value, NULL) == COFFER_OK;
        if (!right || !coffer_slice_equal(value.data, key)) {
            return false;
        }
        coffer_value_clear(&value);
    }
    return true;
}

/* Runs in the child; never returns. */
static void be_child(coffer_cache *cache, unsigned seed) {
    bool fine = works(cache, seed);
    coffer_metrics metrics = {.struct_size = sizeof metrics};
    coffer_stats(cache, &metrics);
    coffer_close(cache);
    _exit(fine && metrics.connections_in_use == 0 ? 0 : 1);
}

static void await_child(pid_t child) {
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_children_and_parent_do_not_disturb_each_other(void **state) {
    (void)state;
    if (!is_there) {
        skip();
    }
    coffer_cache *cache = open_at(server.port, "");
    assert_true(works(cache, 1000));
    for (unsigned i = 0; i < 10; i++) {
        pid_t child = fork();
        if (child == 0) {
            be_child(cache, i);
        }
        assert_true(works(cache, 1000 + i)); /* while the child is at it */
        await_child(child);
    }
    assert_int_equal(stats_of(cache).connections_made, 1); /* the parent's link lived through all of it */
    coffer_close(cache);
}

static atomic_bool stop;
static _Atomic unsigned failures;

static void *go_on(void *argument) {
    for (unsigned i = 0; !atomic_load(&stop); i++) {
        if (!works((coffer_cache *)argument, 5000 + i % 10)) {
            failures++;
        }
    }
    return NULL;
}

static void test_fork_while_other_threads_are_inside(void **state) {
    (void)state;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    skip(); /* gcc's sanitizers keep locks of their own in malloc, which a child of many threads finds taken */
#endif
    if (!is_there) {
        skip();
    }
    coffer_cache *cache = open_at(server.port, "&pool_max=2&timeout=10s&acquire_timeout=10s");
    pthread_t threads[4];
    atomic_store(&stop, false);
    for (size_t i = 0; i < 4; i++) {
        pthread_create(&threads[i], NULL, go_on, cache);
    }
    for (unsigned i = 0; i < 20; i++) {
        pid_t child = fork();
        if (child == 0) {
            alarm(20);
            be_child(cache, 100 + i);
        }
        await_child(child);
    }
    atomic_store(&stop, true);
    for (size_t i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_int_equal(failures, 0);
    assert_true(stats_of(cache).connections_made <= 2);
    coffer_close(cache);
}

static coffer_status fork_inside(coffer_load *load, coffer_slice key, void *user_data) {
    *(pid_t *)user_data = fork();
    return coffer_loaded(load, key, NULL);
}

static void test_a_loader_may_fork(void **state) {
    (void)state;
    if (!is_there) {
        skip();
    }
    coffer_cache *cache = open_at(server.port, "&namespace=fork");
    pid_t child = -1;
    coffer_value value;
    coffer_status status = coffer_get_or_load(cache, COFFER_SLICE("k"), fork_inside, &child, NULL, &value, NULL);
    if (child == 0) { /* both come back, each with the value */
        bool fine = status == COFFER_OK && coffer_slice_equal(value.data, COFFER_SLICE("k"));
        coffer_value_clear(&value);
        _exit(fine && works(cache, 1) ? 0 : 1);
    }
    assert_int_equal(status, COFFER_OK);
    coffer_value_clear(&value);
    await_child(child);
    assert_true(works(cache, 2));
    coffer_close(cache);
}

/* An op that is between two slices, its request in flight, is its parent's: in the child it ends with an error and the parent gets its reply. */
static void test_an_op_in_flight_stays_with_the_parent(void **state) {
    (void)state;
    if (!is_there) {
        skip();
    }
    coffer_cache *cache = open_at(server.port, "&namespace=slice");
    coffer_op *op = NULL;
    assert_int_equal(coffer_op_get(&op, coffer_cache_namespace(cache), COFFER_SLICE("k"), NULL), COFFER_OK);
    coffer_want want = coffer_cache_run(cache, op, 0);
    pid_t child = fork();
    if (child == 0) {
        while (want == COFFER_WANT_REPLY) {
            want = coffer_cache_run(cache, op, 100);
        }
        coffer_cache_drop(cache, op);
        be_child(cache, 7);
    }
    await_child(child);
    while (want == COFFER_WANT_REPLY) {
        want = coffer_cache_run(cache, op, 100);
    }
    assert_int_equal(coffer_op_status(op), COFFER_MISS);
    coffer_cache_drop(cache, op);
    assert_true(works(cache, 8));
    assert_int_equal(stats_of(cache).connections_made, 1);
    coffer_close(cache);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_children_and_parent_do_not_disturb_each_other),
        cmocka_unit_test(test_fork_while_other_threads_are_inside),
        cmocka_unit_test(test_a_loader_may_fork),
        cmocka_unit_test(test_an_op_in_flight_stays_with_the_parent),
    };
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
