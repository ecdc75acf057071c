/* Listening to a sentinel: callers on many threads look in passing, a lost one is replaced, and no allocation that fails does harm. */
#include "helpers.h"
#include "support/fake_server.h"
#include "support/watched_alloc.h"

#include "io/clock.h"
#include "io/listen.h"

#include <pthread.h>
#include <stdatomic.h>
#include <strings.h>

enum { CALLERS = 4, CALLS = 300, LOOKS = 20000 };

static atomic_uint listeners; /* so far */
static atomic_uint asked_of[2];
static fake_server *servers[2], *sentinel;

static bool answer_nil(int fd, const char *command, void *data) {
    if (fake_greets(fd, command)) {
        return true;
    }
    atomic_fetch_add((atomic_uint *)data, 1);
    return fake_says(fd, "$-1\r\n");
}

static bool answer_master(int fd, const char *command, void *data) {
    char text[200];
    (void)data;
    if (strcasecmp(command, "SUBSCRIBE") == 0) {
        atomic_fetch_add(&listeners, 1);
        return fake_says(fd, "*3\r\n$9\r\nsubscribe\r\n$14\r\n+switch-master\r\n:1\r\n");
    }
    snprintf(text, sizeof text, "*8\r\n+name\r\n+main\r\n+ip\r\n+127.0.0.1\r\n+port\r\n+%u\r\n+config-epoch\r\n+1\r\n",
             (unsigned)fake_server_port(servers[0]));
    return fake_greets(fd, command) || fake_says(fd, text);
}

static void announce(size_t from, size_t to) {
    char news[100], text[200];
    unsigned old_port = fake_server_port(servers[from]), new_port = fake_server_port(servers[to]);
    int len = snprintf(news, sizeof news, "main 127.0.0.1 %u 127.0.0.1 %u", old_port, new_port);
    snprintf(text, sizeof text, "*3\r\n$7\r\nmessage\r\n$14\r\n+switch-master\r\n$%d\r\n%s\r\n", len, news);
    fake_server_say_to_all(sentinel, text); /* on those that ask it too: they are made anew */
}

static int start(void **state) {
    (void)state;
    atomic_store(&listeners, 0);
    for (size_t i = 0; i < 2; i++) {
        atomic_store(&asked_of[i], 0);
        servers[i] = fake_server_start(answer_nil, &asked_of[i]);
    }
    sentinel = fake_server_start(answer_master, NULL);
    return 0;
}

static int stop(void **state) {
    (void)state;
    fake_server_stop(sentinel);
    fake_server_stop(servers[0]);
    fake_server_stop(servers[1]);
    return 0;
}

static coffer_status open_cache(coffer_cache **cache, const char *timeout) {
    char url[200];
    snprintf(url, sizeof url, "redis+sentinel://127.0.0.1:%u/main/0?prefix=test&on_outage=error&breaker=false&timeout=%s",
             (unsigned)fake_server_port(sentinel), timeout);
    return coffer_open_url(cache, url, NULL);
}

static coffer_cache *open_listening(void) {
    coffer_cache *cache;
    assert_int_equal(open_cache(&cache, "5s"), COFFER_OK);
    for (uint64_t end_ms = real_ms() + 10000; atomic_load(&listeners) == 0 || fake_server_accepted(sentinel) < 2;) {
        time_get(cache, COFFER_MISS, 0);
        assert_true(real_ms() < end_ms);
    }
    return cache;
}

/* cmocka's own assertions are for the thread of the test only. */
static void must(bool right, const char *what) {
    if (!right) {
        fprintf(stderr, "%s\n", what);
        abort();
    }
}

static coffer_status get_once(coffer_cache *cache) {
    coffer_value value;
    coffer_status status = coffer_get(cache, COFFER_SLICE("key"), NULL, &value, NULL);
    coffer_value_clear(&value);
    return status;
}

static void *call_often(void *cache) {
    for (int i = 0; i < CALLS; i++) {
        must(get_once((coffer_cache *)cache) == COFFER_MISS, "a call failed");
    }
    return NULL;
}

static void test_callers_on_many_threads_follow_an_announcement(void **state) {
    (void)state;
    pthread_t threads[CALLERS];
    coffer_cache *cache = open_listening();
    for (size_t i = 0; i < CALLERS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, call_often, cache), 0);
    }
    announce(0, 1);
    for (uint64_t end_ms = real_ms() + 10000; atomic_load(&asked_of[1]) == 0;) {
        time_get(cache, COFFER_MISS, 0);
        assert_true(real_ms() < end_ms);
    }
    for (size_t i = 0; i < CALLERS; i++) {
        pthread_join(threads[i], NULL);
    }
    unsigned before = atomic_load(&asked_of[0]);
    time_get(cache, COFFER_MISS, 0);
    assert_int_equal(atomic_load(&asked_of[0]), before);
    coffer_close(cache);
}

static void test_a_sentinel_that_hangs_up_is_listened_to_again(void **state) {
    (void)state;
    coffer_cache *cache = open_listening();
    fake_server_hang_up(sentinel);
    for (uint64_t end_ms = real_ms() + 10000; atomic_load(&listeners) < 2;) {
        time_get(cache, COFFER_MISS, 0);
        assert_true(real_ms() < end_ms);
    }
    assert_int_equal(stats_of(cache).connections_failed, 0);
    coffer_close(cache);
}

static void *look_often(void *listener) {
    for (uint64_t turn = 1; turn < LOOKS; turn++) {
        coffer__listener_look_now((coffer__listener *)listener, turn);
    }
    return NULL;
}

static void test_many_may_look_at_once(void **state) {
    (void)state;
    pthread_t threads[CALLERS];
    char url[100];
    coffer_client *client;
    coffer__listener listener = {.client = NULL};
    coffer_options *options = coffer_options_new();
    snprintf(url, sizeof url, "redis+sentinel://127.0.0.1:%u/main", (unsigned)fake_server_port(sentinel));
    assert_int_equal(coffer_options_set_url(options, coffer_slice_text(url), NULL), COFFER_OK);
    assert_int_equal(coffer_client_new(&client, options, coffer__clock_now(), NULL), COFFER_OK);
    coffer__listener_init(&listener, client);
    for (size_t i = 0; i < CALLERS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, look_often, &listener), 0);
    }
    unsigned heard = 0;
    for (uint64_t end_ms = real_ms() + 10000; heard < 3 && real_ms() < end_ms;) {
        coffer__listener_look_now(&listener, 1);
        if (atomic_load(&listeners) > heard) { /* and is lost again, while others look */
            heard = atomic_load(&listeners);
            fake_server_hang_up(sentinel);
        }
    }
    for (size_t i = 0; i < CALLERS; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_true(heard >= 3);
    assert_true(atomic_load(&listener.open_count) <= 1);
    coffer__listener_clear(&listener);
    coffer_client_free(client);
    coffer_options_free(options);
}

/* ---- the Nth allocation fails ------------------------------------------------------------------------------------- */

/* In a thread of its own, so that what a thread keeps is freed too. */
static void *listen_starved(void *nth) {
    coffer_cache *cache = NULL;
    must(open_cache(&cache, "200ms") == COFFER_OK, "the cache cannot be opened");
    watched_alloc_fail_once(*(size_t *)nth);
    for (uint64_t end_ms = real_ms() + 10000; atomic_load(&listeners) == 0;) {
        must(get_once(cache) == COFFER_MISS || watched_alloc.refused_count > 0, "a call failed although nothing was short");
        must(real_ms() < end_ms, "nobody listens");
        pause_ms(1);
    }
    *(size_t *)nth = watched_alloc.refused_count;
    watched_alloc_dry_after(WATCHED_NEVER);
    coffer_close(cache);
    return NULL;
}

static void test_each_allocation_may_fail(void **state) {
    size_t tried = 0, refused = 1;
    while (refused > 0) {
        pthread_t thread;
        refused = ++tried;
        start(state);
        watched_alloc_begin(WATCHED_NEVER);
        assert_int_equal(pthread_create(&thread, NULL, listen_starved, &refused), 0);
        pthread_join(thread, NULL);
        assert_int_equal(watched_alloc.live_bytes, 0);
        watched_alloc_end();
        stop(state);
        assert_true(tried < 1000);
    }
    assert_true(tried > 20);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_callers_on_many_threads_follow_an_announcement, start, stop),
        cmocka_unit_test_setup_teardown(test_a_sentinel_that_hangs_up_is_listened_to_again, start, stop),
        cmocka_unit_test_setup_teardown(test_many_may_look_at_once, start, stop),
        cmocka_unit_test(test_each_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
