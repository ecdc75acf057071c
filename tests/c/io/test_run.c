/* The loop itself: when memory is short, when both sides write at once, and what a driver is told. */
#include "helpers.h"
#include "support/fake_server.h"
#include "support/redis_server.h"
#include "support/watched_alloc.h"

#include <pthread.h>

enum { WORDY_BYTES = 60000, WRITES = 500 };

/* Answers each SET with a long error and does not read on before that was taken. */
static bool wordy(int fd, const char *command, void *data) {
    (void)data;
    static const char start[] = "-ERR ";
    static char words[sizeof start + WORDY_BYTES + 2];
    if (fake_greets(fd, command)) {
        return true;
    }
    if (words[0] == '\0') {
        memset(words, 'w', sizeof words - 1);
        memcpy(words, start, sizeof start - 1);
        memcpy(words + sizeof words - 3, "\r\n", 2);
    }
    return fake_says(fd, words);
}

static void test_a_server_that_blocks_on_its_own_output_is_read_from(void **state) {
    (void)state;
    static char bytes[WORDY_BYTES];
    static coffer_item items[WRITES];
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (char)(i * 2654435761u >> 11);
    }
    for (size_t i = 0; i < WRITES; i++) {
        items[i] = (coffer_item){.key = COFFER_SLICE("k"), .value = coffer_slice_of(bytes, sizeof bytes)};
    }
    fake_server *server = fake_server_start(wordy, NULL);
    coffer_cache *cache = open_at(fake_server_port(server), "&timeout=100s&compress=never");
    assert_int_equal(coffer_set_many(cache, items, WRITES, NULL, NULL, NULL), COFFER_SERVER);
    assert_int_equal(stats_of(cache).connections_open, 1);
    coffer_close(cache);
    fake_server_stop(server);
}

enum { MANY = 1500, REFUSED = 7, AWAY = 900 };
static size_t sets;

/* Refuses one SET; where it is told so, hangs up at another. */
static bool picky(int fd, const char *command, void *data) {
    if (fake_greets(fd, command)) {
        return true;
    }
    sets++;
    return sets == AWAY && *(const bool *)data ? false : fake_says(fd, sets == REFUSED ? "-OOM command not allowed\r\n" : "+OK\r\n");
}

static coffer_status set_many_at(bool hangs_up, coffer_status statuses[MANY], coffer_error *error) {
    static coffer_item items[MANY];
    for (size_t i = 0; i < MANY; i++) {
        items[i] = (coffer_item){.key = COFFER_SLICE("k"), .value = COFFER_SLICE("v")};
    }
    sets = 0;
    fake_server *server = fake_server_start(picky, &hangs_up);
    coffer_cache *cache = open_at(fake_server_port(server), "&breaker=false&on_outage=error");
    coffer_status status = coffer_set_many(cache, items, MANY, NULL, statuses, error);
    coffer_close(cache);
    fake_server_stop(server);
    return status;
}

static void test_each_of_many_writes_meets_its_own_end(void **state) {
    (void)state;
    static coffer_status statuses[MANY];
    coffer_error error;
    assert_int_equal(set_many_at(false, statuses, &error), COFFER_OOM);
    assert_non_null(strstr(error.text, "memory"));
    for (size_t i = 0; i < MANY; i++) {
        assert_int_equal(statuses[i], i == REFUSED - 1 ? COFFER_OOM : COFFER_OK);
    }
}

static void test_a_server_that_went_away_is_given_no_more_writes(void **state) {
    (void)state;
    static coffer_status statuses[MANY];
    coffer_error error;
    assert_int_equal(set_many_at(true, statuses, &error), COFFER_OOM); /* the first */
    assert_int_equal(statuses[511], COFFER_OK);
    assert_int_equal(statuses[AWAY - 1], COFFER_MAYBE_APPLIED);
    assert_int_equal(statuses[1023], COFFER_MAYBE_APPLIED); /* the second 512 were on their way */
    assert_int_equal(statuses[1024], COFFER_NOT_SENT);
    assert_int_equal(statuses[MANY - 1], COFFER_NOT_SENT);
}

static void test_the_latency_of_what_went_out_is_recorded(void **state) {
    (void)state;
    coffer_cache *cache;
    assert_int_equal(coffer_open_url(&cache, "mem://", NULL), COFFER_OK);
    for (int i = 0; i < 640; i++) {
        coffer_get(cache, COFFER_SLICE("k"), NULL, NULL, NULL);
    }
    coffer_metrics metrics = stats_of(cache);
    assert_int_equal(metrics.latency[COFFER_OPERATION_GET].count, 640);
    assert_int_equal(metrics.latency[COFFER_OPERATION_GET].timed_count, 10);
    assert_int_equal(metrics.connections_made, 0);
    coffer_close(cache);
}

/* ---- the Nth allocation fails ------------------------------------------------------------------------------------- */

static size_t failing, until_here; /* which allocation fails; how many there are before the shortage is over */

static coffer_status load(coffer_load *load, coffer_slice key, void *user_data) {
    (void)user_data;
    return coffer_loaded(load, key, NULL);
}

/* cmocka's own assertions are for the thread of the test only. */
static void must(bool right, const char *what, coffer_status status) {
    if (!right) {
        fprintf(stderr, "%s: %s, with allocation %zu of %zu\n", what, coffer_status_name(status), failing, watched_alloc.request_count);
        abort();
    }
}

static void fine_or_out_of_memory(const char *what, coffer_status status) {
    must(status == COFFER_OK || status == COFFER_NO_MEMORY || status == COFFER_NOT_SENT || status == COFFER_MAYBE_APPLIED, what, status);
}

/* Everything that an application does, in a thread of its own, so that what a thread keeps is freed too. */
static void *live(void *url) {
    coffer_cache *cache = NULL;
    coffer_value value, values[2];
    coffer_status status = coffer_open_url(&cache, (const char *)url, NULL);
    fine_or_out_of_memory("open", status);
    if (status != COFFER_OK) {
        must(cache == NULL, "open", status);
        return NULL;
    }
    const coffer_slice keys[2] = {COFFER_SLICE("a"), COFFER_SLICE("b")};
    const coffer_item items[2] = {{.key = COFFER_SLICE("a"), .value = COFFER_SLICE("1")}, {.key = COFFER_SLICE("b"), .value = COFFER_SLICE("2")}};
    coffer_delete_many(cache, keys, 2, NULL, NULL, NULL);
    fine_or_out_of_memory("set_many", coffer_set_many(cache, items, 2, NULL, NULL, NULL));
    fine_or_out_of_memory("get_many", coffer_get_many(cache, keys, 2, NULL, values, NULL, NULL));
    coffer_values_clear(values, 2);
    fine_or_out_of_memory("set", coffer_set(cache, COFFER_SLICE("c"), COFFER_SLICE("3"), NULL, NULL));
    coffer_status got = coffer_get(cache, COFFER_SLICE("c"), NULL, &value, NULL);
    must(got == COFFER_OK || got == COFFER_MISS || got == COFFER_NO_MEMORY, "get", got);
    coffer_value_clear(&value);
    fine_or_out_of_memory("get_or_load", coffer_get_or_load(cache, COFFER_SLICE("d"), load, NULL, NULL, &value, NULL));
    coffer_value_clear(&value);
    coffer_delete(cache, COFFER_SLICE("d"), NULL);
    until_here = watched_alloc.request_count;
    watched_alloc_dry_after(WATCHED_NEVER);
    status = coffer_set(cache, COFFER_SLICE("e"), COFFER_SLICE("4"), NULL, NULL);
    must(status == COFFER_OK, "a set when the shortage is over", status);
    coffer_metrics metrics = {.struct_size = sizeof metrics};
    status = coffer_stats(cache, &metrics);
    must(status == COFFER_OK && metrics.connections_in_use == 0, "stats", status);
    coffer_close(cache);
    return NULL;
}

static void only_that_one(size_t number) {
    watched_alloc_fail_once(number);
}

static void that_one_and_all_after(size_t number) {
    watched_alloc_dry_after(number - 1);
}

static void fail_each_allocation_of(char *url, void (*fail_at)(size_t number)) {
    size_t limit = 0;
    for (size_t number = 0; number <= limit; number++) { /* 0: none, to know how many there are */
        pthread_t thread;
        watched_alloc_begin(WATCHED_NEVER);
        failing = number;
        if (number > 0) {
            fail_at(number);
        }
        pthread_create(&thread, NULL, live, url);
        pthread_join(thread, NULL);
        assert_int_equal(watched_alloc.live_bytes, 0);
        limit = number == 0 ? until_here : limit;
        watched_alloc_end();
    }
}

static void test_each_allocation_may_fail_in_the_process(void **state) {
    (void)state;
    char url[] = "mem://?memory=1MiB";
    fail_each_allocation_of(url, only_that_one);
    fail_each_allocation_of(url, that_one_and_all_after);
}

static void test_each_allocation_may_fail_with_a_server(void **state) {
    (void)state;
    redis_server server;
    char url[128];
    if (!redis_server_start(&server)) {
        skip();
    }
    snprintf(url, sizeof url, "redis://127.0.0.1:%u/0?on_outage=error", (unsigned)server.port);
    fail_each_allocation_of(url, only_that_one);
    fail_each_allocation_of(url, that_one_and_all_after);
    redis_server_stop(&server);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_server_that_blocks_on_its_own_output_is_read_from),
        cmocka_unit_test(test_each_of_many_writes_meets_its_own_end),
        cmocka_unit_test(test_a_server_that_went_away_is_given_no_more_writes),
        cmocka_unit_test(test_the_latency_of_what_went_out_is_recorded),
        cmocka_unit_test(test_each_allocation_may_fail_in_the_process),
        cmocka_unit_test(test_each_allocation_may_fail_with_a_server),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
