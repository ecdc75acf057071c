/* Who gets a link, in which order, and what becomes of it. */
#include "gate.h"

#include "io/clock.h"

#include <pthread.h>
#include <stdatomic.h>

static bool always_nil(int fd, const char *command, void *data) {
    (void)data;
    return fake_greets(fd, command) || fake_says(fd, "$-1\r\n");
}

typedef struct caller {
    pthread_t thread;
    coffer_cache *cache;
    coffer_status status;
    unsigned ended_as;
} caller;

static _Atomic unsigned ended_count;

static void *call(void *argument) {
    caller *own = (caller *)argument;
    own->status = coffer_get(own->cache, COFFER_SLICE("k"), NULL, NULL, NULL);
    own->ended_as = ended_count++;
    return NULL;
}

static void await_waits(coffer_cache *cache, uint64_t count) {
    uint64_t until = real_ms() + 5000;
    while (stats_of(cache).pool_waits < count) {
        assert_true(real_ms() < until);
        pause_ms(1);
    }
}

static void test_waiters_are_served_in_the_order_they_came(void **state) {
    (void)state;
    enum { WAITERS = 6 };
    gate own;
    gate_init(&own);
    fake_server *server = fake_server_start(gated, &own);
    coffer_cache *cache = open_at(fake_server_port(server), "&pool_max=1&pipeline_depth=1&timeout=10s&acquire_timeout=10s");
    caller callers[WAITERS + 1];
    ended_count = 0;
    for (unsigned i = 0; i <= WAITERS; i++) {
        callers[i] = (caller){.cache = cache};
        pthread_create(&callers[i].thread, NULL, call, &callers[i]);
        if (i == 0) {
            gate_await(&own, 1);
        }
        await_waits(cache, i);
    }
    for (unsigned i = 0; i <= WAITERS; i++) {
        gate_await(&own, i + 1);
        gate_open(&own, 1);
        pthread_join(callers[i].thread, NULL); /* nobody but the next in the order can end now */
        assert_int_equal(callers[i].ended_as, i);
        assert_int_equal(callers[i].status, COFFER_MISS);
    }
    assert_int_equal(stats_of(cache).connections_made, 1);
    coffer_close(cache);
    fake_server_stop(server);
}

/* The first connection is served when the gate is open, all others are too many. */
static bool one_client(int fd, const char *command, void *data) {
    static _Atomic int first = -1;
    int none = -1;
    if (!atomic_compare_exchange_strong(&first, &none, fd) && none != fd) {
        fake_says(fd, "-ERR max number of clients reached\r\n");
        return false;
    }
    return gated(fd, command, data);
}

static void test_after_a_refused_connection_others_share(void **state) {
    (void)state;
    gate own;
    gate_init(&own);
    fake_server *server = fake_server_start(one_client, &own);
    coffer_cache *cache = open_at(fake_server_port(server), "&timeout=10s&breaker=false");
    caller callers[3];
    for (unsigned i = 0; i < 3; i++) {
        callers[i] = (caller){.cache = cache};
        pthread_create(&callers[i].thread, NULL, call, &callers[i]);
        gate_await(&own, 1);
        uint64_t until = real_ms() + 5000;
        while (i > 0 && (stats_of(cache).connections_made < 2 || stats_of(cache).connections_open != 1)) { /* its own was refused, and is closed */
            assert_true(real_ms() < until);
            pause_ms(1);
        }
    }
    gate_open(&own, 3);
    for (unsigned i = 0; i < 3; i++) {
        pthread_join(callers[i].thread, NULL);
        assert_int_equal(callers[i].status, i == 1 ? COFFER_SERVER : COFFER_MISS); /* the second was told so */
    }
    assert_int_equal(stats_of(cache).connections_made, 2);
    coffer_close(cache);
    fake_server_stop(server);
}

static void test_an_exhausted_pool_gives_up_after_acquire_timeout(void **state) {
    (void)state;
    gate own;
    gate_init(&own);
    fake_server *server = fake_server_start(gated, &own);
    coffer_cache *cache = open_at(fake_server_port(server), "&pool_max=1&pipeline_depth=1&timeout=5s&acquire_timeout=150ms");
    caller holder = {.cache = cache};
    pthread_create(&holder.thread, NULL, call, &holder);
    gate_await(&own, 1);
    assert_get_ends(cache, COFFER_POOL_TIMEOUT, 150, 150);
    coffer_read_options sooner = COFFER_READ_OPTIONS_INIT;
    sooner.timeout_ms = 50;
    uint64_t began = real_ms();
    assert_true(coffer_get(cache, COFFER_SLICE("k"), &sooner, NULL, NULL) < 0); /* the call's own deadline comes first */
    uint64_t took = real_ms() - began;
    assert_true(took >= 48);
    coffer_metrics metrics = stats_of(cache);
    assert_true(metrics.pool_timeouts >= 2);
    assert_int_equal(metrics.connections_in_use, 1);
    gate_open(&own, 2);
    pthread_join(holder.thread, NULL);
    assert_int_equal(holder.status, COFFER_MISS);
    assert_get_ends(cache, COFFER_MISS, 0, 1000); /* nothing was lost by those who left the queue */
    assert_int_equal(stats_of(cache).connections_made, 1);
    coffer_close(cache);
    fake_server_stop(server);
}

/* ---- idle links and time ---------------------------------------------------------------------------------------- */

static _Atomic uint64_t ahead_us;

static uint64_t clock_ahead(void) {
    return real_ms() * 1000 + ahead_us;
}

static void hold_open(coffer_cache *cache, gate *own, unsigned count) {
    caller callers[8];
    pthread_mutex_lock(&own->mutex);
    unsigned asked = own->asked;
    pthread_mutex_unlock(&own->mutex);
    for (unsigned i = 0; i < count; i++) {
        callers[i] = (caller){.cache = cache};
        pthread_create(&callers[i].thread, NULL, call, &callers[i]);
    }
    gate_await(own, asked + count);
    gate_open(own, count);
    for (unsigned i = 0; i < count; i++) {
        pthread_join(callers[i].thread, NULL);
        assert_int_equal(callers[i].status, COFFER_MISS);
    }
}

static void test_unused_connections_are_closed_but_pool_min(void **state) {
    (void)state;
    gate own;
    gate_init(&own);
    ahead_us = 0;
    coffer_set_clock(clock_ahead);
    fake_server *server = fake_server_start(gated, &own);
    coffer_cache *cache = open_at(fake_server_port(server), "&pipeline_depth=1&pool_min=2&pool_idle_timeout=60s&timeout=5s");
    hold_open(cache, &own, 5);
    assert_int_equal(stats_of(cache).connections_open, 5);
    ahead_us = 59 * 1000000;
    hold_open(cache, &own, 1);
    assert_int_equal(stats_of(cache).connections_open, 5);
    ahead_us = 70 * 1000000; /* four were unused for 70 s, the warmest for 11 */
    hold_open(cache, &own, 1);
    assert_int_equal(stats_of(cache).connections_open, 2);
    ahead_us = (uint64_t)1000 * 1000000;
    hold_open(cache, &own, 1);
    assert_int_equal(stats_of(cache).connections_open, 2);
    assert_int_equal(stats_of(cache).connections_made, 5);
    coffer_close(cache);
    fake_server_stop(server);
    coffer_set_clock(NULL);
}

static void test_the_warmest_link_is_used_first(void **state) {
    (void)state;
    gate own;
    gate_init(&own);
    ahead_us = 0;
    coffer_set_clock(clock_ahead);
    fake_server *server = fake_server_start(gated, &own);
    coffer_cache *cache = open_at(fake_server_port(server), "&pipeline_depth=1&pool_idle_timeout=60s&timeout=5s");
    hold_open(cache, &own, 3);
    for (uint64_t i = 1; i <= 8; i++) { /* one at a time, for 80 s: always the same one, so that the others grow old */
        ahead_us = i * 10 * 1000000;
        hold_open(cache, &own, 1);
    }
    assert_int_equal(stats_of(cache).connections_open, 1);
    assert_int_equal(stats_of(cache).connections_made, 3);
    coffer_close(cache);
    fake_server_stop(server);
    coffer_set_clock(NULL);
}

/* ---- between slices ----------------------------------------------------------------------------------------------- */

static coffer_op *begun(coffer_cache *cache) {
    coffer_op *op = NULL;
    assert_int_equal(coffer_op_get(&op, coffer_cache_namespace(cache), COFFER_SLICE("k"), NULL), COFFER_OK);
    assert_int_equal(coffer_cache_run(cache, op, 5), COFFER_WANT_REPLY);
    return op;
}

static void test_an_op_dropped_in_the_queue_passes_its_turn_on(void **state) {
    (void)state;
    gate own;
    gate_init(&own);
    fake_server *server = fake_server_start(gated, &own);
    coffer_cache *cache = open_at(fake_server_port(server), "&pool_max=1&pipeline_depth=1&timeout=5s");
    coffer_op *holder = begun(cache), *first = begun(cache), *second = begun(cache), *third = begun(cache);
    assert_int_equal(stats_of(cache).pool_waits, 3);
    coffer_cache_drop(cache, second); /* from the middle of the queue */
    coffer_cache_drop(cache, holder); /* in flight: its link is closed, its place goes to the first, which is not looking */
    coffer_cache_drop(cache, first); /* was handed the place, and passes it on */
    gate_open(&own, 2);
    coffer_want want;
    while ((want = coffer_cache_run(cache, third, 100)) == COFFER_WANT_REPLY) {
    }
    assert_int_equal(want, COFFER_WANT_DONE);
    assert_int_equal(coffer_op_status(third), COFFER_MISS);
    coffer_cache_drop(cache, third);
    assert_int_equal(stats_of(cache).connections_in_use, 0);
    coffer_close(cache);
    fake_server_stop(server);
}

static void test_a_slice_ends_in_time_and_the_op_goes_on(void **state) {
    (void)state;
    gate own;
    gate_init(&own);
    fake_server *server = fake_server_start(gated, &own);
    coffer_cache *cache = open_at(fake_server_port(server), "&timeout=5s");
    coffer_op *op = begun(cache);
    for (int i = 0; i < 3; i++) {
        uint64_t began = real_ms();
        assert_int_equal(coffer_cache_run(cache, op, 100), COFFER_WANT_REPLY);
        uint64_t took = real_ms() - began;
        assert_in_range(took, 98, 400); /* the deadline is far */
    }
    gate_open(&own, 1);
    assert_int_equal(coffer_cache_run(cache, op, 1000), COFFER_WANT_DONE);
    assert_int_equal(coffer_cache_run(cache, op, 1000), COFFER_WANT_DONE);
    assert_int_equal(coffer_op_status(op), COFFER_MISS);
    coffer_cache_drop(cache, op);
    coffer_cache_drop(cache, NULL);
    assert_int_equal(stats_of(cache).connections_open, 1);
    coffer_close(cache);
    fake_server_stop(server);
}

static void test_closing_a_cache_closes_its_connections(void **state) {
    (void)state;
    fake_server *server = fake_server_start(always_nil, NULL);
    for (int i = 0; i < 3; i++) {
        coffer_cache *cache = open_at(fake_server_port(server), "");
        assert_get_ends(cache, COFFER_MISS, 0, 1000);
        coffer_close(cache);
    }
    fake_server_stop(server); /* waits for its threads, each of which ends when its connection does */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_after_a_refused_connection_others_share),
        cmocka_unit_test(test_waiters_are_served_in_the_order_they_came),
        cmocka_unit_test(test_an_exhausted_pool_gives_up_after_acquire_timeout),
        cmocka_unit_test(test_unused_connections_are_closed_but_pool_min),
        cmocka_unit_test(test_the_warmest_link_is_used_first),
        cmocka_unit_test(test_an_op_dropped_in_the_queue_passes_its_turn_on),
        cmocka_unit_test(test_a_slice_ends_in_time_and_the_op_goes_on),
        cmocka_unit_test(test_closing_a_cache_closes_its_connections),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
