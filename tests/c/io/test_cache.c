/* The application's functions on a real server, over TCP and a unix socket, and in the process. */
#include "helpers.h"
#include "with_server.h"

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

static coffer_cache *open_over(const char *what) {
    char url[256];
    coffer_cache *cache = NULL;
    coffer_error error = {.text = ""};
    if (strcmp(what, "mem") == 0) {
        snprintf(url, sizeof url, "mem://?namespace=n");
    } else if (strcmp(what, "unix") == 0) {
        snprintf(url, sizeof url, "unix://%s?namespace=n&db=1", server.path);
    } else {
        snprintf(url, sizeof url, "redis://127.0.0.1:%u/1?namespace=n", (unsigned)server.port);
    }
    if (coffer_open_url(&cache, url, &error) != COFFER_OK) {
        fail_msg("%s", error.text);
    }
    return cache;
}

static void assert_got(coffer_cache *cache, coffer_slice key, coffer_slice wanted) {
    coffer_value value;
    assert_int_equal(coffer_get(cache, key, NULL, &value, NULL), COFFER_OK);
    assert_int_equal(value.data.len, wanted.len);
    assert_memory_equal(value.data.data, wanted.data, wanted.len);
    coffer_value_clear(&value);
    assert_null(value.owner);
    coffer_value_clear(&value);
}

static void check_one_key(coffer_cache *cache) {
    coffer_slice key = COFFER_SLICE("one");
    int64_t ttl_ms = 0;
    coffer_value value;
    assert_int_equal(coffer_get(cache, key, NULL, &value, NULL), COFFER_MISS);
    assert_null(value.owner);
    assert_int_equal(coffer_set(cache, key, COFFER_SLICE("a"), NULL, NULL), COFFER_OK);
    assert_got(cache, key, COFFER_SLICE("a"));
    assert_int_equal(coffer_add(cache, key, COFFER_SLICE("b"), NULL, NULL), COFFER_NOT_STORED);
    assert_int_equal(coffer_replace(cache, key, COFFER_SLICE("c"), NULL, NULL), COFFER_OK);
    assert_int_equal(coffer_get(cache, key, NULL, &value, NULL), COFFER_OK);
    assert_int_equal(coffer_compare_and_set(cache, key, value.entry_id + 1, COFFER_SLICE("d"), NULL, NULL), COFFER_NOT_STORED);
    assert_int_equal(coffer_compare_and_set(cache, key, value.entry_id, COFFER_SLICE("d"), NULL, NULL), COFFER_OK);
    coffer_value_clear(&value);
    assert_got(cache, key, COFFER_SLICE("d"));
    assert_int_equal(coffer_exists(cache, key, NULL), COFFER_OK);
    assert_int_equal(coffer_expire(cache, key, 60000, NULL), COFFER_OK);
    assert_int_equal(coffer_ttl(cache, key, &ttl_ms, NULL), COFFER_OK);
    assert_true(ttl_ms > 50000 && ttl_ms <= 60000);
    assert_int_equal(coffer_touch(cache, key, NULL), COFFER_OK);
    assert_int_equal(coffer_delete(cache, key, NULL), COFFER_OK);
    assert_int_equal(coffer_exists(cache, key, NULL), COFFER_MISS);
}

static void check_counters(coffer_cache *cache) {
    int64_t count = 0;
    coffer_slice key = COFFER_SLICE("visits");
    assert_int_equal(coffer_increment(cache, key, 5, NULL, &count, NULL), COFFER_OK);
    assert_int_equal(coffer_increment(cache, key, -2, NULL, &count, NULL), COFFER_OK);
    assert_int_equal(count, 3);
    count = 0;
    assert_int_equal(coffer_counter(cache, key, &count, NULL), COFFER_OK);
    assert_int_equal(count, 3);
    assert_int_equal(coffer_reset_counter(cache, key, NULL), COFFER_OK);
    assert_int_equal(coffer_counter(cache, key, &count, NULL), COFFER_MISS);
}

enum { MANY = 3000 };

static void check_many(coffer_cache *cache) {
    static char names[MANY][16];
    static coffer_slice keys[MANY];
    static coffer_item items[MANY];
    static coffer_value values[MANY];
    static coffer_status statuses[MANY];
    for (size_t i = 0; i < MANY; i++) {
        snprintf(names[i], sizeof names[i], "many-%zu", i);
        keys[i] = coffer_slice_text(names[i]);
        items[i] = (coffer_item){.key = keys[i], .value = keys[i]};
    }
    coffer_error error = {.text = ""};
    assert_int_equal(coffer_set_many(cache, items, MANY - 1, NULL, NULL, &error), COFFER_OK);
    assert_int_equal(coffer_get_many(cache, keys, MANY, NULL, values, statuses, &error), COFFER_OK);
    for (size_t i = 0; i < MANY - 1; i++) {
        assert_int_equal(statuses[i], COFFER_OK);
        assert_true(coffer_slice_equal(values[i].data, keys[i]));
    }
    assert_int_equal(statuses[MANY - 1], COFFER_MISS);
    coffer_values_clear(values, MANY);
    size_t deleted = 0;
    assert_int_equal(coffer_delete_many(cache, keys, MANY, &deleted, NULL, NULL), COFFER_OK);
    assert_int_equal(deleted, MANY - 1);
    assert_int_equal(coffer_get_many(cache, keys, 0, NULL, NULL, NULL, NULL), COFFER_OK);
}

static void check_clear(coffer_cache *cache) {
    enum { OF_US = 2500 };
    static char names[OF_US][16];
    static coffer_item items[OF_US];
    coffer_options *options = coffer_options_copy(coffer_cache_options(cache));
    coffer_cache *other = NULL;
    coffer_error error = {.text = ""};
    uint64_t deleted = 7;
    for (size_t i = 0; i < OF_US; i++) {
        snprintf(names[i], sizeof names[i], "clear*-%zu", i);
        items[i] = (coffer_item){.key = coffer_slice_text(names[i]), .value = COFFER_SLICE("v")};
    }
    assert_int_equal(coffer_options_set(options, "version", COFFER_SLICE("2"), &error), COFFER_OK);
    assert_int_equal(coffer_open_namespace(&other, cache, options, &error), COFFER_OK);
    coffer_options_free(options);
    assert_int_equal(coffer_clear(cache, NULL, &deleted, &error), COFFER_OK);
    assert_int_equal(coffer_clear(cache, NULL, &deleted, &error), COFFER_OK);
    assert_int_equal(deleted, 0);
    assert_int_equal(coffer_set_many(cache, items, OF_US, NULL, NULL, &error), COFFER_OK);
    assert_int_equal(coffer_increment(cache, COFFER_SLICE("n"), 1, NULL, NULL, &error), COFFER_OK);
    assert_int_equal(coffer_set(other, items[0].key, COFFER_SLICE("stays"), NULL, &error), COFFER_OK);
    assert_int_equal(coffer_clear(cache, NULL, &deleted, &error), COFFER_OK);
    assert_int_equal(deleted, OF_US + 1);
    assert_int_equal(coffer_exists(cache, items[OF_US - 1].key, &error), COFFER_MISS);
    assert_got(other, items[0].key, COFFER_SLICE("stays"));
    assert_int_equal(coffer_clear(other, NULL, NULL, NULL), COFFER_OK);
    assert_int_equal(coffer_exists(other, items[0].key, &error), COFFER_MISS);
    coffer_close(other);
}

/* Larger than any buffer of the kernel on the way, so that both sides have to read while they write. */
static void check_large(coffer_cache *cache) {
    enum { LARGE = 8 << 20, COUNT = 3 };
    static const char *const names[COUNT] = {"large-1", "large-2", "large-3"};
    coffer_item items[COUNT];
    char *bytes = (char *)malloc(LARGE);
    for (size_t i = 0; i < LARGE; i++) {
        bytes[i] = (char)(i * 2654435761u >> 13);
    }
    for (size_t i = 0; i < COUNT; i++) {
        items[i] = (coffer_item){.key = coffer_slice_text(names[i]), .value = coffer_slice_of(bytes, LARGE - i)};
    }
    coffer_error error = {.text = ""};
    coffer_status status = coffer_set_many(cache, items, COUNT, NULL, NULL, &error);
    if (status != COFFER_OK) {
        fail_msg("%s", error.text);
    }
    for (size_t i = 0; i < COUNT; i++) {
        assert_got(cache, items[i].key, items[i].value);
    }
    free(bytes);
}

static void test_every_operation_over(const char *what) {
    if (strcmp(what, "mem") != 0 && !is_there) {
        skip();
    }
    coffer_cache *cache = open_over(what);
    assert_int_equal(coffer_ping(cache, NULL), COFFER_OK);
    check_one_key(cache);
    check_counters(cache);
    check_many(cache);
    check_clear(cache);
    check_large(cache);
    if (strcmp(what, "mem") != 0) {
        coffer_metrics metrics = stats_of(cache);
        assert_int_equal(metrics.connections_made, 1);
        assert_int_equal(metrics.connections_open, 1);
        assert_int_equal(metrics.connections_in_use, 0);
        assert_true(metrics.latency[COFFER_OPERATION_GET].timed_count == metrics.latency[COFFER_OPERATION_GET].count);
    }
    coffer_close(cache);
}

static void test_every_operation_in_the_process(void **state) {
    (void)state;
    test_every_operation_over("mem");
}

static void test_every_operation_over_tcp(void **state) {
    (void)state;
    test_every_operation_over("tcp");
}

static void test_every_operation_over_a_unix_socket(void **state) {
    (void)state;
    test_every_operation_over("unix");
}

static void test_namespaces_share_one_pool_and_close_in_any_order(void **state) {
    (void)state;
    if (!is_there) {
        skip();
    }
    coffer_cache *parent = open_over("tcp"), *child;
    coffer_options *options = coffer_options_copy(coffer_cache_options(parent));
    assert_int_equal(coffer_options_set(options, "namespace", COFFER_SLICE("other"), NULL), COFFER_OK);
    assert_int_equal(coffer_open_namespace(&child, parent, options, NULL), COFFER_OK);
    coffer_options_free(options);
    coffer_slice key = COFFER_SLICE("same");
    assert_int_equal(coffer_set(parent, key, COFFER_SLICE("p"), NULL, NULL), COFFER_OK);
    assert_int_equal(coffer_set(child, key, COFFER_SLICE("c"), NULL, NULL), COFFER_OK);
    assert_got(parent, key, COFFER_SLICE("p"));
    assert_int_equal(stats_of(child).connections_made, 1);
    coffer_value kept;
    assert_int_equal(coffer_get(child, key, NULL, &kept, NULL), COFFER_OK);
    coffer_close(parent);
    assert_got(child, key, COFFER_SLICE("c"));
    coffer_close(child);
    assert_int_equal(kept.data.data[0], 'c'); /* a value outlives its cache */
    coffer_value_clear(&kept);
}

static void test_errors_are_told_in_words(void **state) {
    (void)state;
    coffer_cache *cache = NULL;
    coffer_error error = {.text = ""};
    assert_int_equal(coffer_open_url(&cache, "redis://localhost/0?pool_max=0", &error), COFFER_OPTION);
    assert_null(cache);
    assert_non_null(strstr(error.text, "pool_max"));
    cache = open_over("mem");
    coffer_value value;
    assert_int_equal(coffer_get(cache, COFFER_SLICE(""), NULL, &value, &error), COFFER_KEY_INVALID);
    assert_int_equal(error.status, COFFER_KEY_INVALID);
    assert_true(error.text[0] != '\0');
    assert_null(value.owner);
    coffer_close(cache);
    coffer_close(NULL);
}

static void *hammer(void *argument) {
    coffer_cache *cache = (coffer_cache *)argument;
    for (int i = 0; i < 300; i++) {
        char text[32];
        snprintf(text, sizeof text, "t%d", i % 7);
        coffer_slice key = coffer_slice_text(text);
        assert_int_equal(coffer_set(cache, key, key, NULL, NULL), COFFER_OK);
        coffer_value value;
        assert_int_equal(coffer_get(cache, key, NULL, &value, NULL), COFFER_OK);
        assert_true(coffer_slice_equal(value.data, key));
        coffer_value_clear(&value);
    }
    return NULL;
}

static void test_many_threads_share_few_connections(void **state) {
    (void)state;
    if (!is_there) {
        skip();
    }
    char more[64];
    snprintf(more, sizeof more, "&pool_max=3&timeout=20s&acquire_timeout=20s");
    coffer_cache *cache = open_at(server.port, more);
    pthread_t threads[8];
    for (size_t i = 0; i < 8; i++) {
        pthread_create(&threads[i], NULL, hammer, cache);
    }
    for (size_t i = 0; i < 8; i++) {
        pthread_join(threads[i], NULL);
    }
    coffer_metrics metrics = stats_of(cache);
    assert_true(metrics.connections_made >= 1 && metrics.connections_made <= 3);
    assert_int_equal(metrics.connections_in_use, 0);
    coffer_close(cache);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_operation_in_the_process),     cmocka_unit_test(test_every_operation_over_tcp),
        cmocka_unit_test(test_every_operation_over_a_unix_socket), cmocka_unit_test(test_namespaces_share_one_pool_and_close_in_any_order),
        cmocka_unit_test(test_errors_are_told_in_words),           cmocka_unit_test(test_many_threads_share_few_connections),
    };
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
