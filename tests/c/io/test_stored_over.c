/* On a real server, where the script compares: nobody stores over what he has not seen, whoever wrote it. */
#include "helpers.h"
#include "with_server.h"

static void put(coffer_cache *cache, coffer_slice value) {
    assert_int_equal(coffer_set(cache, COFFER_SLICE("key"), value, NULL, NULL), COFFER_OK);
}

static uint64_t assert_holds(coffer_cache *cache, coffer_slice expected) {
    coffer_value value;
    assert_int_equal(coffer_get(cache, COFFER_SLICE("key"), NULL, &value, NULL), COFFER_OK);
    assert_true(coffer_slice_equal(value.data, expected));
    uint64_t entry_id = value.entry_id;
    coffer_value_clear(&value);
    return entry_id;
}

static void test_compare_and_set_stores_over_its_entry_only(void **state) {
    (void)state;
    if (!is_there) {
        skip();
    }
    coffer_cache *cache = open_at(server.port, "");
    put(cache, COFFER_SLICE("first"));
    uint64_t first_id = assert_holds(cache, COFFER_SLICE("first"));
    put(cache, COFFER_SLICE("second"));
    coffer_slice key = COFFER_SLICE("key");
    assert_int_equal(coffer_compare_and_set(cache, key, first_id, COFFER_SLICE("late"), NULL, NULL), COFFER_NOT_STORED);
    uint64_t second_id = assert_holds(cache, COFFER_SLICE("second"));
    assert_int_equal(coffer_compare_and_set(cache, key, second_id, COFFER_SLICE("third"), NULL, NULL), COFFER_OK);
    assert_holds(cache, COFFER_SLICE("third"));
    assert_int_equal(coffer_delete(cache, key, NULL), COFFER_OK);
    assert_int_equal(coffer_compare_and_set(cache, key, second_id, COFFER_SLICE("late"), NULL, NULL), COFFER_NOT_STORED);
    coffer_close(cache);
}

/* What the loader is overtaken by comes from another process: this one knows nothing of it. */
static coffer_status overtaken(coffer_load *load, coffer_slice key, void *user_data) {
    (void)key;
    put((coffer_cache *)user_data, COFFER_SLICE("newer"));
    return coffer_loaded(load, COFFER_SLICE("loaded"), NULL);
}

static void load_over(const char *namespace_and_more, bool stale_at_first) {
    coffer_cache *cache = open_at(server.port, namespace_and_more), *other = open_at(server.port, namespace_and_more);
    coffer_value value;
    if (stale_at_first) {
        coffer_write_options options = COFFER_WRITE_OPTIONS_INIT;
        options.ttl_ms = 1;
        assert_int_equal(coffer_set(cache, COFFER_SLICE("key"), COFFER_SLICE("old"), &options, NULL), COFFER_OK);
        pause_ms(20);
    }
    assert_int_equal(coffer_get_or_load(cache, COFFER_SLICE("key"), overtaken, other, NULL, &value, NULL), COFFER_OK);
    assert_true(coffer_slice_equal(value.data, COFFER_SLICE("loaded")));
    coffer_value_clear(&value);
    assert_holds(cache, COFFER_SLICE("newer"));
    assert_int_equal(stats_of(cache).counters.fills_refused, 1);
    coffer_close(other);
    coffer_close(cache);
}

static void test_a_load_that_another_process_overtook_is_not_stored(void **state) {
    (void)state;
    if (!is_there) {
        skip();
    }
    load_over("&namespace=absent", false);
    load_over("&namespace=stale&stale_ttl=1h&ttl_jitter=0", true);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_compare_and_set_stores_over_its_entry_only),
        cmocka_unit_test(test_a_load_that_another_process_overtook_is_not_stored),
    };
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
