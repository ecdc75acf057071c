/* A clock that a test moves: time passes when it says so, and who waits notices. */
#include "helpers.h"
#include "support/fake_server.h"

#include <pthread.h>
#include <stdatomic.h>

enum { HOUR_MS = 3600000, NOTICED_MS = 50 };

static _Atomic uint64_t now_us;

static uint64_t held(void) {
    return now_us;
}

static void move_ms(uint64_t ms) {
    now_us += ms * 1000;
}

static int hold_clock(void **state) {
    (void)state;
    now_us = coffer_now_us();
    coffer_set_clock(held);
    return 0;
}

static int free_clock(void **state) {
    (void)state;
    coffer_set_clock(NULL);
    return 0;
}

/* ---- no server ------------------------------------------------------------------------------------------------------ */

static coffer_cache *open_here(void) {
    coffer_error error = {.text = ""};
    coffer_cache *cache = NULL;
    if (coffer_open_url(&cache, "mem://?namespace=clock&ttl_jitter=0", &error) != COFFER_OK) {
        fail_msg("%s", error.text);
    }
    return cache;
}

static void put(coffer_cache *cache, uint64_t ttl_ms) {
    coffer_write_options options = COFFER_WRITE_OPTIONS_INIT;
    options.ttl_ms = ttl_ms;
    assert_int_equal(coffer_set(cache, COFFER_SLICE("key"), COFFER_SLICE("value"), &options, NULL), COFFER_OK);
}

static void test_a_value_is_gone_when_its_time_has_passed(void **state) {
    (void)state;
    coffer_cache *cache = open_here();
    put(cache, HOUR_MS);
    move_ms(HOUR_MS - 1);
    time_get(cache, COFFER_OK, 0);
    move_ms(1);
    time_get(cache, COFFER_MISS, 0);
    coffer_close(cache);
}

static void test_an_open_cache_sees_no_time_go_back(void **state) {
    coffer_cache *cache = open_here();
    free_clock(state);
    put(cache, HOUR_MS);
    hold_clock(state);
    time_get(cache, COFFER_OK, 0);
    move_ms(HOUR_MS);
    uint64_t before_us = coffer_now_us();
    free_clock(state);
    assert_true(coffer_now_us() >= before_us);
    time_get(cache, COFFER_MISS, 0);
    put(cache, HOUR_MS);
    time_get(cache, COFFER_OK, 0);
    coffer_close(cache);
}

static void test_unix_time_moves_along(void **state) {
    (void)state;
    coffer_value values[2];
    coffer_cache *caches[2] = {open_here(), NULL};
    put(caches[0], 0);
    assert_int_equal(coffer_get(caches[0], COFFER_SLICE("key"), NULL, &values[0], NULL), COFFER_OK);
    move_ms(HOUR_MS);
    caches[1] = open_here();
    put(caches[1], 0);
    assert_int_equal(coffer_get(caches[1], COFFER_SLICE("key"), NULL, &values[1], NULL), COFFER_OK);
    assert_int_equal(values[1].created_unix_ms - values[0].created_unix_ms, HOUR_MS);
    for (size_t i = 0; i < 2; i++) {
        coffer_value_clear(&values[i]);
        coffer_close(caches[i]);
    }
}

/* ---- who waits ------------------------------------------------------------------------------------------------------ */

typedef struct waited {
    pthread_t thread;
    coffer_cache *cache;
    coffer_status status;
    _Atomic uint64_t ended_ms;
} waited;

static void *get(void *data) {
    waited *own = (waited *)data;
    own->status = coffer_get(own->cache, COFFER_SLICE("key"), NULL, NULL, NULL);
    own->ended_ms = real_ms();
    return NULL;
}

/* In `asked`: how many commands have come. `silent` answers none, `hoarding` those of the greeting. */
static _Atomic unsigned asked;

static bool silent(int fd, const char *command, void *data) {
    (void)fd, (void)command, (void)data;
    asked++;
    return true;
}

static bool hoarding(int fd, const char *command, void *data) {
    (void)data;
    bool greeted = fake_greets(fd, command);
    asked += !greeted;
    return true;
}

/* A get that waits and has an hour for it; then the hour passes. A busy machine makes threads late by itself: so it has three tries. */
static void assert_noticed(fake_answer answer, coffer_status status) {
    uint64_t took = 0;
    for (int i = 0; i < 3; i++) {
        asked = 0;
        fake_server *server = fake_server_start(answer, NULL);
        waited one = {.cache = open_at(fake_server_port(server), "&timeout=1h")};
        pthread_create(&one.thread, NULL, get, &one);
        while (asked == 0) {
            pause_ms(1);
        }
        pause_ms(100);
        assert_int_equal(one.ended_ms, 0);
        uint64_t moved = real_ms();
        move_ms(HOUR_MS);
        pthread_join(one.thread, NULL);
        assert_int_equal(one.status, status);
        coffer_close(one.cache);
        fake_server_stop(server);
        took = one.ended_ms - moved;
        if (took <= NOTICED_MS) {
            return;
        }
    }
    fail_msg("noticed after %" PRIu64 " ms", took);
}

static void test_who_waits_for_a_reply_notices(void **state) {
    (void)state;
    assert_noticed(hoarding, COFFER_TIMEOUT);
}

static void test_who_waits_for_a_greeting_notices(void **state) {
    (void)state;
    assert_noticed(silent, COFFER_TIMEOUT);
}

static void test_a_slice_ends_though_time_stands_still(void **state) {
    (void)state;
    fake_server *server = fake_server_start(hoarding, NULL);
    coffer_cache *cache = open_at(fake_server_port(server), "&timeout=1h");
    coffer_op *op;
    assert_int_equal(coffer_op_get(&op, coffer_cache_namespace(cache), COFFER_SLICE("key"), NULL), COFFER_OK);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(coffer_cache_run(cache, op, 10), COFFER_WANT_REPLY);
    }
    coffer_cache_drop(cache, op);
    coffer_close(cache);
    fake_server_stop(server);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, hold_clock, free_clock)
    static const struct CMUnitTest tests[] = {
        TEST(test_a_value_is_gone_when_its_time_has_passed),
        TEST(test_an_open_cache_sees_no_time_go_back),
        TEST(test_unix_time_moves_along),
        TEST(test_who_waits_for_a_reply_notices),
        TEST(test_who_waits_for_a_greeting_notices),
        TEST(test_a_slice_ends_though_time_stands_still),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
