/* coffer_get_or_load: one loader however many ask, what it may say, and loaders inside loaders. */
#include "helpers.h"
#include "with_server.h"

#include <pthread.h>
#include <stdatomic.h>

enum { THREADS = 32 };

typedef struct shared {
    coffer_cache *cache;
    _Atomic unsigned loads;
    _Atomic unsigned right;
    pthread_barrier_t barrier;
} shared;

static coffer_status load_slowly(coffer_load *load, coffer_slice key, void *user_data) {
    shared *own = (shared *)user_data;
    own->loads++;
    pause_ms(50);
    return coffer_loaded(load, key, NULL);
}

static void *ask(void *argument) {
    shared *own = (shared *)argument;
    coffer_value value;
    pthread_barrier_wait(&own->barrier);
    coffer_status status = coffer_get_or_load(own->cache, COFFER_SLICE("popular"), load_slowly, own, NULL, &value, NULL);
    if (status == COFFER_OK && coffer_slice_equal(value.data, COFFER_SLICE("popular"))) {
        own->right++;
    }
    coffer_value_clear(&value);
    return NULL;
}

static void many_ask(const char *url) {
    shared own = {.loads = 0};
    pthread_t threads[THREADS];
    assert_int_equal(coffer_open_url(&own.cache, url, NULL), COFFER_OK);
    pthread_barrier_init(&own.barrier, NULL, THREADS);
    for (size_t i = 0; i < THREADS; i++) {
        pthread_create(&threads[i], NULL, ask, &own);
    }
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_int_equal(own.loads, 1);
    assert_int_equal(own.right, THREADS);
    assert_int_equal(stats_of(own.cache).counters.loads, 1);
    pthread_barrier_destroy(&own.barrier);
    coffer_close(own.cache);
}

static void test_one_loader_runs_for_all_threads_in_the_process(void **state) {
    (void)state;
    many_ask("mem://");
}

static void test_one_loader_runs_for_all_threads_on_a_server(void **state) {
    (void)state;
    char url[128];
    if (!is_there) {
        skip();
    }
    snprintf(url, sizeof url, "redis://127.0.0.1:%u/0?pool_max=4&timeout=10s&acquire_timeout=10s", (unsigned)server.port);
    many_ask(url);
}

/* ---- what a loader may say -------------------------------------------------------------------------------------- */

typedef struct script {
    coffer_cache *cache;
    unsigned runs;
    coffer_status answer;
    bool says_value, says_absent;
} script;

static coffer_status follow(coffer_load *load, coffer_slice key, void *user_data) {
    script *own = (script *)user_data;
    (void)key;
    own->runs++;
    if (own->says_value) {
        assert_int_equal(coffer_loaded(load, COFFER_SLICE("v"), NULL), COFFER_OK);
        assert_int_equal(coffer_loaded(load, COFFER_SLICE("w"), NULL), COFFER_ARG);
        assert_int_equal(coffer_loaded_absent(load), COFFER_ARG);
    }
    if (own->says_absent) {
        assert_int_equal(coffer_loaded_absent(load), COFFER_OK);
    }
    return own->answer;
}

static void test_what_a_loader_says_is_what_is_answered(void **state) {
    (void)state;
    coffer_cache *cache;
    coffer_value value;
    coffer_error error = {.text = ""};
    assert_int_equal(coffer_open_url(&cache, "mem://", NULL), COFFER_OK);
    script says_value = {.says_value = true}, says_absent = {.says_absent = true}, says_nothing = {.runs = 0};
    script fails = {.says_value = true, .answer = COFFER_ARG};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(coffer_get_or_load(cache, COFFER_SLICE("a"), follow, &says_value, NULL, &value, NULL), COFFER_OK);
        assert_int_equal(value.source, i == 0 ? COFFER_SOURCE_LOADED : COFFER_SOURCE_NEAR);
        coffer_value_clear(&value);
        assert_int_equal(coffer_get_or_load(cache, COFFER_SLICE("b"), follow, &says_absent, NULL, &value, NULL), COFFER_MISS);
        assert_int_equal(value.source, COFFER_SOURCE_NEGATIVE);
        assert_null(value.owner);
        assert_int_equal(coffer_get_or_load(cache, COFFER_SLICE("c"), follow, &says_nothing, NULL, NULL, NULL), COFFER_MISS);
        assert_int_equal(coffer_get_or_load(cache, COFFER_SLICE("d"), follow, &fails, NULL, &value, &error), COFFER_LOAD_FAILED);
        assert_null(value.owner);
    }
    assert_int_equal(says_value.runs, 1);
    assert_int_equal(says_absent.runs, 1);
    assert_int_equal(says_nothing.runs, 1);
    assert_int_equal(fails.runs, 2); /* what it said before it failed was not stored */
    assert_true(error.text[0] != '\0');
    coffer_close(cache);
}

/* ---- loaders inside loaders ------------------------------------------------------------------------------------- */

static coffer_status load_itself(coffer_load *load, coffer_slice key, void *user_data) {
    script *own = (script *)user_data;
    own->runs++;
    own->answer = coffer_get_or_load(own->cache, key, load_itself, own, NULL, NULL, NULL);
    return coffer_loaded(load, COFFER_SLICE("outer"), NULL);
}

static coffer_status load_other(coffer_load *load, coffer_slice key, void *user_data) {
    script *own = (script *)user_data;
    coffer_value value;
    script inner = {.says_value = true};
    (void)key;
    own->answer = coffer_get_or_load(own->cache, COFFER_SLICE("other"), follow, &inner, NULL, &value, NULL);
    coffer_loaded(load, value.data, NULL);
    coffer_value_clear(&value);
    return coffer_set(own->cache, COFFER_SLICE("third"), COFFER_SLICE("x"), NULL, NULL);
}

static void check_nested(coffer_cache *cache) {
    script itself = {.cache = cache}, other = {.cache = cache};
    coffer_value value;
    assert_int_equal(coffer_get_or_load(cache, COFFER_SLICE("self"), load_itself, &itself, NULL, &value, NULL), COFFER_OK);
    assert_true(coffer_slice_equal(value.data, COFFER_SLICE("outer")));
    coffer_value_clear(&value);
    assert_int_equal(itself.runs, 1);
    assert_int_equal(itself.answer, COFFER_LOAD_RECURSIVE);
    assert_int_equal(coffer_get_or_load(cache, COFFER_SLICE("nest"), load_other, &other, NULL, &value, NULL), COFFER_OK);
    assert_true(coffer_slice_equal(value.data, COFFER_SLICE("v")));
    coffer_value_clear(&value);
    assert_int_equal(other.answer, COFFER_OK);
}

static void test_a_loader_may_use_the_cache_but_not_load_its_own_key(void **state) {
    (void)state;
    coffer_cache *cache;
    assert_int_equal(coffer_open_url(&cache, "mem://", NULL), COFFER_OK);
    check_nested(cache);
    coffer_close(cache);
}

/* With a single connection: a loader runs while its op holds none. */
static void test_a_loader_finds_a_free_connection(void **state) {
    (void)state;
    if (!is_there) {
        skip();
    }
    coffer_cache *cache = open_at(server.port, "&pool_max=1&namespace=nested");
    check_nested(cache);
    assert_int_equal(stats_of(cache).connections_made, 1);
    coffer_close(cache);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_loader_runs_for_all_threads_in_the_process),
        cmocka_unit_test(test_one_loader_runs_for_all_threads_on_a_server),
        cmocka_unit_test(test_what_a_loader_says_is_what_is_answered),
        cmocka_unit_test(test_a_loader_may_use_the_cache_but_not_load_its_own_key),
        cmocka_unit_test(test_a_loader_finds_a_free_connection),
    };
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
