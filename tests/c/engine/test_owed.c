#include "engine/owed.h"

#include "support/cmocka_all.h"
#include "support/watched_alloc.h"

#include <stdio.h>

static coffer__owed *new_owed(size_t memory_bytes) {
    coffer__owed *owed;
    assert_int_equal(coffer__owed_new(&owed, memory_bytes), COFFER_OK);
    return owed;
}

static bool add(coffer__owed *owed, unsigned number) {
    char key[32];
    snprintf(key, sizeof key, "app:users:%u", number);
    return coffer__owed_add(owed, coffer_slice_text(key));
}

static void test_each_key_is_there_once(void **state) {
    (void)state;
    size_t count;
    coffer__owed *owed = new_owed(1 << 20);
    assert_false(coffer__owed_any(owed));
    assert_null(coffer__owed_take(owed, SIZE_MAX, &count));
    for (unsigned i = 0; i < 300; i++) {
        assert_true(add(owed, i % 100));
    }
    assert_true(coffer__owed_any(owed));
    assert_int_equal(coffer__owed_count(owed), 100);
    coffer__owed_key *some = coffer__owed_take(owed, 40, &count);
    assert_int_equal(count, 40);
    assert_int_equal(coffer__owed_count(owed), 60);
    for (unsigned i = 0; i < 100; i++) { /* 40 of them are new again */
        assert_true(add(owed, i));
    }
    assert_int_equal(coffer__owed_give_back(owed, some), 0);
    assert_int_equal(coffer__owed_count(owed), 100);
    coffer__owed_free_keys(coffer__owed_take(owed, SIZE_MAX, &count));
    assert_int_equal(count, 100);
    assert_false(coffer__owed_any(owed));
    assert_int_equal(coffer__owed_lost(owed), 0);
    coffer__owed_free(owed);
    coffer__owed_free(NULL);
}

static void test_its_memory_is_bounded_and_what_does_not_fit_is_counted(void **state) {
    (void)state;
    size_t count, kept = 0;
    coffer__owed *owed = new_owed(1000);
    for (unsigned i = 0; i < 100; i++) {
        kept += add(owed, i);
    }
    assert_in_range(kept, 10, 1000 / 12);
    assert_int_equal(coffer__owed_count(owed), kept);
    assert_int_equal(coffer__owed_lost(owed), 100 - kept);
    coffer__owed_key *all = coffer__owed_take(owed, SIZE_MAX, &count);
    for (unsigned i = 100; i < 200; i++) {
        add(owed, i); /* the room is taken meanwhile */
    }
    assert_true(coffer__owed_give_back(owed, all) >= kept - 1);
    coffer__owed_free(owed);
    owed = new_owed(0);
    assert_false(add(owed, 1));
    coffer__owed_free(owed);
}

static void test_want_of_memory_loses_a_key_and_nothing_else(void **state) {
    (void)state;
    coffer__owed *owed = new_owed(1 << 20);
    assert_true(add(owed, 1));
    watched_alloc_begin(0);
    assert_false(add(owed, 2));
    assert_true(add(owed, 1));
    watched_alloc_end();
    assert_int_equal(coffer__owed_count(owed), 1);
    assert_int_equal(coffer__owed_lost(owed), 1);
    coffer__owed_free(owed);
}

static void test_a_child_has_what_its_parent_owed(void **state) {
    (void)state;
    size_t count;
    coffer__owed *owed = new_owed(1 << 20);
    for (unsigned i = 0; i < 100; i++) {
        assert_true(add(owed, i));
    }
    coffer__owed_after_fork(owed);
    assert_int_equal(coffer__owed_count(owed), 100);
    coffer__owed_free_keys(coffer__owed_take(owed, SIZE_MAX, &count));
    assert_int_equal(count, 100);
    assert_false(coffer__owed_any(owed));
    coffer__owed_free(owed);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_key_is_there_once),
        cmocka_unit_test(test_its_memory_is_bounded_and_what_does_not_fit_is_counted),
        cmocka_unit_test(test_a_child_has_what_its_parent_owed),
        cmocka_unit_test(test_want_of_memory_loses_a_key_and_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
