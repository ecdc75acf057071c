#include "base/buf.h"

#include "support/cmocka_all.h"
#include "support/watched_alloc.h"

static void test_what_is_appended_in_parts_is_whole(void **state) {
    (void)state;
    coffer__buf buf = COFFER__BUF_INIT;
    for (size_t i = 0; i < 1000; i++) {
        char byte = (char)i;
        assert_true(coffer__buf_append(&buf, &byte, 1));
        assert_true(buf.len == i + 1 && buf.cap >= buf.len);
    }
    for (size_t i = 0; i < 1000; i++) {
        assert_int_equal(buf.data[i], (char)i);
    }
    coffer__buf_free(&buf);
    assert_true(buf.data == NULL && buf.len == 0 && buf.cap == 0);
}

static void test_nothing_can_be_appended(void **state) {
    (void)state;
    coffer__buf buf = COFFER__BUF_INIT;
    assert_true(coffer__buf_append(&buf, NULL, 0));
    assert_true(coffer__buf_append_slice(&buf, coffer_slice_of(NULL, 0)));
    assert_int_equal(buf.len, 0);
    coffer__buf_consume(&buf, 10);
    coffer__buf_clear(&buf);
    coffer__buf_free(&buf);
    coffer__buf_wipe(&buf);
}

static void test_growing_doubles(void **state) {
    (void)state;
    coffer__buf buf = COFFER__BUF_INIT;
    watched_alloc_begin(WATCHED_NEVER);
    for (size_t i = 0; i < 1 << 20; i++) {
        assert_true(coffer__buf_append(&buf, "x", 1));
    }
    assert_true(watched_alloc.request_count < 20);
    assert_true(coffer__buf_reserve(&buf, 100));
    size_t made = watched_alloc.request_count;
    assert_true(coffer__buf_append(&buf, "y", 1));
    assert_int_equal(watched_alloc.request_count, made);
    coffer__buf_free(&buf);
    watched_alloc_end();
}

static void test_a_failed_growth_leaves_the_buffer_as_it_was(void **state) {
    (void)state;
    coffer__buf buf = COFFER__BUF_INIT;
    char more[200] = {0};
    watched_alloc_begin(WATCHED_NEVER);
    assert_true(coffer__buf_append(&buf, "kept", 4));
    coffer__buf before = buf;
    watched_alloc_fail_once(1);
    assert_false(coffer__buf_append(&buf, more, sizeof more));
    assert_memory_equal(&buf, &before, sizeof buf);
    assert_false(coffer__buf_reserve(&buf, SIZE_MAX));
    assert_false(coffer__buf_reserve(&buf, SIZE_MAX - 2));
    assert_false(coffer__buf_reserve(&buf, SIZE_MAX / 2));
    assert_memory_equal(&buf, &before, sizeof buf);
    assert_true(coffer_slice_equal(coffer__buf_slice(&buf), COFFER_SLICE("kept")));
    coffer__buf_free(&buf);
    watched_alloc_end();
}

static void test_consume_drops_at_the_front_only(void **state) {
    (void)state;
    coffer__buf buf = COFFER__BUF_INIT;
    assert_true(coffer__buf_append(&buf, "abcdef", 6));
    coffer__buf_consume(&buf, 0);
    coffer__buf_consume(&buf, 2);
    assert_true(coffer_slice_equal(coffer__buf_slice(&buf), COFFER_SLICE("cdef")));
    coffer__buf_consume(&buf, 4);
    assert_int_equal(buf.len, 0);
    assert_true(coffer__buf_append(&buf, "xy", 2));
    coffer__buf_consume(&buf, 3);
    assert_int_equal(buf.len, 0);
    coffer__buf_free(&buf);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_appended_in_parts_is_whole),
        cmocka_unit_test(test_nothing_can_be_appended),
        cmocka_unit_test(test_growing_doubles),
        cmocka_unit_test(test_a_failed_growth_leaves_the_buffer_as_it_was),
        cmocka_unit_test(test_consume_drops_at_the_front_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
