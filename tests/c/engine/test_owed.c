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
    coffer__owed_give_back(owed, some);
    assert_int_equal(coffer__owed_count(owed), 100);
    coffer__owed_forget(owed, coffer__owed_take(owed, SIZE_MAX, &count));
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
        assert_false(add(owed, i)); /* those that are being deleted keep their room */
    }
    coffer__owed_give_back(owed, all);
    assert_int_equal(coffer__owed_count(owed), kept);
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
    coffer__owed_forget(owed, coffer__owed_take(owed, SIZE_MAX, &count));
    assert_int_equal(count, 100);
    assert_false(coffer__owed_any(owed));
    coffer__owed_free(owed);
}

static bool holds(coffer__owed *owed, const char *key) {
    return coffer__owed_holds(owed, coffer_slice_text(key));
}

static void test_a_key_is_held_until_it_is_gone(void **state) {
    (void)state;
    size_t count;
    coffer__owed *owed = new_owed(1 << 20);
    assert_true(add(owed, 1));
    coffer__owed_key *taken = coffer__owed_take(owed, SIZE_MAX, &count);
    assert_false(coffer__owed_any(owed)); /* for another to delete */
    assert_true(holds(owed, "app:users:1"));
    assert_true(add(owed, 1)); /* written again while it is being deleted: that is owed too */
    assert_true(coffer__owed_any(owed));
    coffer__owed_forget(owed, taken);
    assert_true(holds(owed, "app:users:1"));
    coffer__owed_forget(owed, coffer__owed_take(owed, SIZE_MAX, &count));
    assert_int_equal(count, 1);
    assert_false(holds(owed, "app:users:1"));
    coffer__owed_free(owed);
}

static void test_what_was_being_deleted_at_a_fork_is_owed_in_the_child(void **state) {
    (void)state;
    size_t count;
    coffer__owed *owed = new_owed(1 << 20);
    assert_true(add(owed, 1) && add(owed, 2));
    coffer__owed_key *taken = coffer__owed_take(owed, 1, &count);
    coffer__owed_after_fork(owed);
    assert_int_equal(coffer__owed_count(owed), 2);
    coffer__owed_give_back(owed, taken); /* by an op that goes on in the child */
    assert_int_equal(coffer__owed_count(owed), 2);
    coffer__owed_forget(owed, coffer__owed_take(owed, SIZE_MAX, &count));
    assert_int_equal(count, 2);
    assert_false(holds(owed, "app:users:1") || holds(owed, "app:users:2"));
    coffer__owed_free(owed);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_key_is_there_once),
        cmocka_unit_test(test_its_memory_is_bounded_and_what_does_not_fit_is_counted),
        cmocka_unit_test(test_a_child_has_what_its_parent_owed),
        cmocka_unit_test(test_a_key_is_held_until_it_is_gone),
        cmocka_unit_test(test_what_was_being_deleted_at_a_fork_is_owed_in_the_child),
        cmocka_unit_test(test_want_of_memory_loses_a_key_and_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
