/* A program's own allocator: all of a cache's memory comes from it and goes back to it. */
#include "support/cmocka_all.h"

#include <coffer/coffer.h>

#include <stdlib.h>

static size_t live_count, asked_count;
static bool dry;

static void *counted_resize(void *old, size_t size) {
    asked_count++;
    assert_true(size > 0);
    if (dry) {
        return NULL;
    }
    live_count += old == NULL;
    return realloc(old, size);
}

static void *counted_alloc(size_t size) {
    return counted_resize(NULL, size);
}

static void counted_release(void *memory) {
    live_count -= memory != NULL;
    free(memory);
}

static const coffer_allocator counted = {counted_alloc, counted_resize, counted_release};

static coffer_status load(coffer_load *loading, coffer_slice key, void *user_data) {
    (void)user_data;
    return coffer_loaded(loading, key, NULL);
}

static void live_in_the_allocator(void) {
    coffer_cache *cache;
    coffer_value value;
    assert_int_equal(coffer_set_allocator(&counted), COFFER_OK);
    assert_int_equal(coffer_open_url(&cache, "mem://", NULL), COFFER_OK);
    size_t opened_count = asked_count;
    assert_true(opened_count > 0);
    assert_int_equal(coffer_set(cache, COFFER_SLICE("k"), COFFER_SLICE("v"), NULL, NULL), COFFER_OK);
    assert_int_equal(coffer_get_or_load(cache, COFFER_SLICE("l"), load, NULL, NULL, &value, NULL), COFFER_OK);
    coffer_value_clear(&value);
    assert_true(asked_count > opened_count);
    dry = true;
    coffer_cache *none = NULL;
    assert_int_equal(coffer_open_url(&none, "mem://", NULL), COFFER_NO_MEMORY);
    assert_null(none);
    dry = false;
    assert_int_equal(coffer_get(cache, COFFER_SLICE("k"), NULL, &value, NULL), COFFER_OK);
    coffer_value_clear(&value);
    coffer_close(cache);
}

/* The last of the program: what the main thread kept goes back behind the functions of atexit. */
__attribute__((destructor(101))) static void none_is_left(void) {
    if (live_count != 0) {
        fprintf(stderr, "%zu allocations were not given back\n", live_count);
        _Exit(3);
    }
}

static void test_all_memory_comes_from_the_allocator_and_goes_back(void **state) {
    (void)state;
    live_in_the_allocator();
}

static void test_an_allocator_with_a_hole_is_refused(void **state) {
    (void)state;
    const coffer_allocator holes[] = {
        {NULL, counted_resize, counted_release}, {counted_alloc, NULL, counted_release}, {counted_alloc, counted_resize, NULL}};
    for (size_t i = 0; i < 3; i++) {
        size_t before = asked_count;
        assert_int_equal(coffer_set_allocator(&holes[i]), COFFER_ARG);
        coffer_options *options = coffer_options_new();
        assert_non_null(options);
        coffer_options_free(options);
        assert_int_equal(asked_count, before);
    }
    assert_int_equal(coffer_set_allocator(NULL), COFFER_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_allocator_with_a_hole_is_refused),
        cmocka_unit_test(test_all_memory_comes_from_the_allocator_and_goes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
