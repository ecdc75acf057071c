#include "near/ghosts.h"

#include "support/cmocka_all.h"

enum { LINES = 64, KEYS = LINES * COFFER__GHOSTS_IN_LINE };

static uint64_t hash_of(uint64_t number) {
    uint64_t hash = (number + 1) * UINT64_C(0x9E3779B97F4A7C15);
    return (hash ^ hash >> 29) * UINT64_C(0xBF58476D1CE4E5B9);
}

static coffer__ghosts new_ghosts(void) {
    coffer__ghosts ghosts = {(coffer__ghost_line *)aligned_alloc(64, LINES * sizeof(coffer__ghost_line)), LINES};
    assert_non_null(ghosts.lines);
    memset(ghosts.lines, 0, LINES * sizeof(coffer__ghost_line));
    return ghosts;
}

static void test_a_ghost_is_found_once_with_where_it_came_from(void **state) {
    (void)state;
    coffer__ghosts ghosts = new_ghosts();
    coffer__ghost_clock clock = {{0, 0}};
    coffer__ghosts_add(&ghosts, &clock, hash_of(1), false);
    coffer__ghosts_add(&ghosts, &clock, hash_of(2), true);
    coffer__ghosts_add(&ghosts, &clock, hash_of(3), false);
    coffer__ghosts_add(&ghosts, &clock, hash_of(3), true); /* the later one counts */
    assert_false(coffer__ghosts_take(&ghosts, &clock, hash_of(4)).was_there);
    for (uint64_t i = 1; i <= 3; i++) {
        coffer__ghost ghost = coffer__ghosts_take(&ghosts, &clock, hash_of(i));
        assert_true(ghost.was_there);
        assert_int_equal(ghost.from_main, i != 1);
        assert_false(coffer__ghosts_take(&ghosts, &clock, hash_of(i)).was_there);
    }
    free(ghosts.lines);
}

/* Each of the two has an age of its own, to the step. */
static void test_age_counts_those_from_the_same_queue(void **state) {
    (void)state;
    coffer__ghosts ghosts = new_ghosts();
    coffer__ghost_clock clock = {{0, 0}};
    coffer__ghosts_add(&ghosts, &clock, hash_of(1), false);
    coffer__ghosts_add(&ghosts, &clock, hash_of(2), true);
    for (uint64_t i = 0; i < 100; i++) {
        coffer__ghosts_add(&ghosts, &clock, hash_of(1000 + i), true);
    }
    assert_true(coffer__ghosts_take(&ghosts, &clock, hash_of(1)).age <= 2);
    assert_in_range(coffer__ghosts_take(&ghosts, &clock, hash_of(2)).age, 98, 102);
    free(ghosts.lines);
}

static void test_the_oldest_give_way_and_strangers_are_no_ghosts(void **state) {
    (void)state;
    coffer__ghosts ghosts = new_ghosts();
    coffer__ghost_clock clock = {{0, 0}};
    for (uint64_t i = 0; i < 10 * KEYS; i++) {
        coffer__ghosts_add(&ghosts, &clock, hash_of(i), false);
    }
    size_t young = 0, strangers = 0;
    for (uint64_t i = 0; i < KEYS / 2; i++) {
        young += coffer__ghosts_take(&ghosts, &clock, hash_of(10 * KEYS - 1 - i)).was_there;
        strangers += coffer__ghosts_take(&ghosts, &clock, hash_of(20 * KEYS + i)).was_there;
    }
    assert_true(young > KEYS / 2 * 95 / 100);
    assert_int_equal(strangers, 0);
    free(ghosts.lines);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_ghost_is_found_once_with_where_it_came_from),
        cmocka_unit_test(test_age_counts_those_from_the_same_queue),
        cmocka_unit_test(test_the_oldest_give_way_and_strangers_are_no_ghosts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
