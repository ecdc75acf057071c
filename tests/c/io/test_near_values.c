/* What coffer_get gives without an op: values of their own, as many at once as are wanted, from any thread. */
#include "support/cmocka_all.h"
#include "support/watched_alloc.h"

#include <coffer/coffer.h>
#include <pthread.h>

static coffer_cache *open_cache(const char *url) {
    coffer_cache *cache = NULL;
    coffer_error error;
    assert_int_equal(coffer_open_url(&cache, url, &error), COFFER_OK);
    return cache;
}

static coffer_slice text_of(const char *text) {
    return coffer_slice_text(text);
}

static void put(coffer_cache *cache, const char *key, const char *value) {
    coffer_error error;
    assert_int_equal(coffer_set(cache, text_of(key), text_of(value), NULL, &error), COFFER_OK);
}

static coffer_value get(coffer_cache *cache, const char *key) {
    coffer_value value;
    coffer_error error;
    assert_int_equal(coffer_get(cache, text_of(key), NULL, &value, &error), COFFER_OK);
    return value;
}

static void assert_is(const coffer_value *value, const char *text) {
    assert_true(coffer_slice_equal(value->data, text_of(text)));
    assert_int_equal(value->source, COFFER_SOURCE_NEAR);
}

static void test_values_live_until_they_are_cleared(void **state) {
    (void)state;
    coffer_cache *cache = open_cache("mem://");
    put(cache, "a", "1");
    put(cache, "b", "2");
    coffer_value a = get(cache, "a"), b = get(cache, "b"), again = get(cache, "a");
    put(cache, "a", "3");
    assert_is(&a, "1");
    assert_is(&b, "2");
    assert_is(&again, "1");
    coffer_value_clear(&a);
    coffer_value_clear(&a);
    coffer_value newer = get(cache, "a");
    assert_is(&newer, "3");
    assert_is(&b, "2");
    coffer_value_clear(&b);
    coffer_value_clear(&again);
    coffer_value_clear(&newer);
    coffer_error error;
    assert_int_equal(coffer_get(cache, text_of("a"), NULL, NULL, &error), COFFER_OK);
    assert_int_equal(coffer_get(cache, text_of("c"), NULL, &a, &error), COFFER_MISS);
    assert_null(a.owner);
    coffer_close(cache);
}

static void *clear(void *value) {
    coffer_value_clear((coffer_value *)value);
    return NULL;
}

static void test_a_value_may_be_cleared_by_another_thread(void **state) {
    (void)state;
    coffer_cache *cache = open_cache("mem://");
    pthread_t thread;
    put(cache, "a", "1");
    coffer_value value = get(cache, "a");
    assert_int_equal(pthread_create(&thread, NULL, clear, &value), 0);
    pthread_join(thread, NULL);
    assert_null(value.owner);
    coffer_close(cache);
}

static void *get_and_count(void *unused) {
    coffer_cache *cache = open_cache("mem://");
    coffer_error error;
    static char large[1 << 20];
    put(cache, "a", "1");
    coffer_value value = get(cache, "a");
    coffer_value_clear(&value);
    size_t before = watched_alloc.request_count;
    for (int i = 0; i < 100; i++) {
        value = get(cache, "a");
        coffer_value_clear(&value);
    }
    assert_int_equal(watched_alloc.request_count, before);
    memset(large, 'x', sizeof large);
    assert_int_equal(coffer_set(cache, text_of("large"), coffer_slice_of(large, sizeof large), NULL, &error), COFFER_OK);
    size_t bytes = watched_alloc.live_bytes;
    value = get(cache, "large");
    assert_int_equal(value.data.len, sizeof large);
    coffer_value_clear(&value);
    assert_true(watched_alloc.live_bytes <= bytes);
    coffer_close(cache);
    return unused;
}

/* A hit costs no memory once a thread has had one; a large value leaves nothing behind, and a thread that ends neither. */
static void test_what_it_costs(void **state) {
    (void)state;
    pthread_t thread;
    watched_alloc_begin(WATCHED_NEVER);
    assert_int_equal(pthread_create(&thread, NULL, get_and_count, NULL), 0);
    pthread_join(thread, NULL);
    assert_int_equal(watched_alloc.live_bytes, 0);
    watched_alloc_end();
}

static void test_a_refused_key_is_told_in_words(void **state) {
    (void)state;
    coffer_cache *cache = open_cache("mem://");
    coffer_value value;
    coffer_error error;
    assert_int_equal(coffer_get(cache, text_of(""), NULL, &value, &error), COFFER_KEY_INVALID);
    assert_non_null(strstr(error.text, "1 to 250 bytes"));
    coffer_close(cache);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values_live_until_they_are_cleared),
        cmocka_unit_test(test_a_value_may_be_cleared_by_another_thread),
        cmocka_unit_test(test_what_it_costs),
        cmocka_unit_test(test_a_refused_key_is_told_in_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
