#include "near/near.h"

#include "base/alloc.h"
#include "support/cmocka_all.h"
#include "support/watched_alloc.h"

#include <sys/wait.h>
#include <unistd.h>

#define MIB ((size_t)1024 * 1024)
#define FOREVER UINT64_MAX

static int set_up(void **state) {
    return coffer__near_new((coffer__near **)state, 4 * MIB) == COFFER_OK ? 0 : -1;
}

static int tear_down(void **state) {
    coffer__near_free((coffer__near *)*state);
    return 0;
}

static coffer_status set(coffer__near *near, const char *key, const char *value) {
    return coffer__near_put(near, coffer_slice_text(key), coffer_slice_text(value), 0, FOREVER, NULL);
}

static void assert_holds(coffer__near *near, coffer_slice key, uint64_t now_ms, coffer_slice value) {
    coffer__buf out = COFFER__BUF_INIT;
    assert_int_equal(coffer__near_get(near, key, now_ms, &out, NULL), COFFER_OK);
    assert_true(coffer_slice_equal(coffer__buf_slice(&out), value));
    coffer__buf_free(&out);
}

static void assert_misses(coffer__near *near, coffer_slice key, uint64_t now_ms) {
    coffer__buf out = COFFER__BUF_INIT;
    assert_int_equal(coffer__near_get(near, key, now_ms, &out, NULL), COFFER_MISS);
    assert_int_equal(out.len, 0);
    coffer__buf_free(&out);
}

static void test_what_was_put_comes_back_behind_what_is_in_the_buffer(void **state) {
    coffer__near *near = (coffer__near *)*state;
    assert_int_equal(coffer__near_put(near, COFFER_SLICE("k"), COFFER_SLICE("value"), 5, 99, NULL), COFFER_OK);
    coffer__buf out = COFFER__BUF_INIT;
    uint64_t expires_at_ms = 0;
    assert_true(coffer__buf_append(&out, "a:", 2));
    assert_int_equal(coffer__near_get(near, COFFER_SLICE("k"), 6, &out, &expires_at_ms), COFFER_OK);
    assert_true(coffer_slice_equal(coffer__buf_slice(&out), COFFER_SLICE("a:value")));
    assert_int_equal(expires_at_ms, 99);
    coffer__buf_free(&out);
}

static void test_empty_values_and_keys_with_nul_bytes_are_values_and_keys(void **state) {
    coffer__near *near = (coffer__near *)*state;
    assert_int_equal(coffer__near_put(near, COFFER_SLICE("empty"), coffer_slice_of(NULL, 0), 0, FOREVER, NULL), COFFER_OK);
    assert_int_equal(coffer__near_put(near, COFFER_SLICE("a\0b"), COFFER_SLICE("1\0"), 0, FOREVER, NULL), COFFER_OK);
    assert_int_equal(coffer__near_put(near, COFFER_SLICE("a\0c"), COFFER_SLICE("2"), 0, FOREVER, NULL), COFFER_OK);
    assert_int_equal(coffer__near_put(near, coffer_slice_of(NULL, 0), COFFER_SLICE("no key"), 0, FOREVER, NULL), COFFER_OK);
    assert_holds(near, COFFER_SLICE("empty"), 0, COFFER_SLICE(""));
    assert_holds(near, COFFER_SLICE("a\0b"), 0, COFFER_SLICE("1\0"));
    assert_holds(near, COFFER_SLICE("a\0c"), 0, COFFER_SLICE("2"));
    assert_holds(near, COFFER_SLICE(""), 0, COFFER_SLICE("no key"));
    assert_misses(near, COFFER_SLICE("a"), 0);
}

static void test_an_entry_ends_at_its_millisecond_and_is_counted_once(void **state) {
    coffer__near *near = (coffer__near *)*state;
    coffer__near_put(near, COFFER_SLICE("k"), COFFER_SLICE("v"), 100, 200, NULL);
    assert_holds(near, COFFER_SLICE("k"), 199, COFFER_SLICE("v"));
    for (int i = 0; i < 3; i++) {
        assert_misses(near, COFFER_SLICE("k"), 200);
    }
    coffer__near_stats stats;
    coffer__near_stats_read(near, &stats);
    assert_int_equal(stats.expirations, 1);
    assert_int_equal(stats.evictions, 0);
    assert_int_equal(stats.entries, 0);
    assert_int_equal(stats.used_bytes, 0);
}

static void test_expire_moves_the_end_either_way(void **state) {
    coffer__near *near = (coffer__near *)*state;
    coffer_slice key = COFFER_SLICE("k");
    assert_int_equal(coffer__near_expire(near, key, 0, 10), COFFER_MISS);
    coffer__near_put(near, key, COFFER_SLICE("v"), 0, 10, NULL);
    assert_int_equal(coffer__near_expire(near, key, 9, FOREVER), COFFER_OK);
    assert_holds(near, key, FOREVER - 1, COFFER_SLICE("v"));
    assert_int_equal(coffer__near_expire(near, key, 9, 12), COFFER_OK);
    assert_int_equal(coffer__near_expire(near, key, 12, 50), COFFER_MISS);
    assert_misses(near, key, 12);
}

static void test_delete_says_whether_it_was_there(void **state) {
    coffer__near *near = (coffer__near *)*state;
    coffer_slice key = COFFER_SLICE("k");
    assert_int_equal(coffer__near_delete(near, key, 0), COFFER_MISS);
    coffer__near_put(near, key, COFFER_SLICE("v"), 0, 10, NULL);
    assert_int_equal(coffer__near_delete(near, key, 9), COFFER_OK);
    assert_misses(near, key, 9);
    coffer__near_put(near, key, COFFER_SLICE("v"), 0, 10, NULL);
    assert_int_equal(coffer__near_delete(near, key, 10), COFFER_MISS);
}

static void test_absent_and_present_look_at_living_entries(void **state) {
    coffer__near *near = (coffer__near *)*state;
    coffer_slice key = COFFER_SLICE("k");
    const coffer__near_condition absent = {.when = COFFER__NEAR_ABSENT};
    const coffer__near_condition present = {.when = COFFER__NEAR_PRESENT};
    assert_int_equal(coffer__near_put(near, key, COFFER_SLICE("1"), 0, 10, &present), COFFER_NOT_STORED);
    assert_misses(near, key, 0);
    assert_int_equal(coffer__near_put(near, key, COFFER_SLICE("2"), 0, 10, &absent), COFFER_OK);
    assert_int_equal(coffer__near_put(near, key, COFFER_SLICE("3"), 9, 20, &absent), COFFER_NOT_STORED);
    assert_holds(near, key, 9, COFFER_SLICE("2"));
    assert_int_equal(coffer__near_put(near, key, COFFER_SLICE("4"), 10, 20, &present), COFFER_NOT_STORED);
    assert_int_equal(coffer__near_put(near, key, COFFER_SLICE("5"), 10, 20, &absent), COFFER_OK);
    assert_int_equal(coffer__near_put(near, key, COFFER_SLICE("6"), 11, 20, &present), COFFER_OK);
    assert_holds(near, key, 11, COFFER_SLICE("6"));
}

static void test_match_compares_as_getrange_cuts(void **state) {
    coffer__near *near = (coffer__near *)*state;
    static const struct {
        size_t offset, match_len;
        const char *bytes;
        coffer_status status;
    } cases[] = {
        {0, 8, "01234567", COFFER_OK},
        {2, 3, "234", COFFER_OK},
        {2, 3, "235", COFFER_NOT_STORED},
        {2, 3, "23", COFFER_NOT_STORED},
        {6, 100, "67", COFFER_OK},
        {6, 100, "678", COFFER_NOT_STORED},
        {8, 4, "", COFFER_OK},
        {100, 4, "", COFFER_OK},
        {100, 4, "x", COFFER_NOT_STORED},
        {0, 0, "", COFFER_OK},
        {0, 4, "", COFFER_NOT_STORED},
        {SIZE_MAX, SIZE_MAX, "", COFFER_OK},
        {1, SIZE_MAX, "1234567", COFFER_OK},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        set(near, "k", "01234567");
        coffer__near_condition match = {COFFER__NEAR_MATCH, cases[i].offset, coffer_slice_text(cases[i].bytes), cases[i].match_len};
        assert_int_equal(coffer__near_put(near, COFFER_SLICE("k"), COFFER_SLICE("new"), 0, FOREVER, &match), cases[i].status);
        assert_holds(near, COFFER_SLICE("k"), 0, cases[i].status == COFFER_OK ? COFFER_SLICE("new") : COFFER_SLICE("01234567"));
        assert_int_equal(coffer__near_put(near, COFFER_SLICE("nobody"), COFFER_SLICE("new"), 0, FOREVER, &match), COFFER_NOT_STORED);
    }
}

static void test_add_counts_like_incrby(void **state) {
    coffer__near *near = (coffer__near *)*state;
    coffer_slice key = COFFER_SLICE("n");
    int64_t sum = 0;
    assert_int_equal(coffer__near_add(near, key, 5, 0, 100, &sum), COFFER_OK);
    assert_int_equal(sum, 5);
    assert_int_equal(coffer__near_add(near, key, -1005, 50, 999, &sum), COFFER_OK);
    assert_int_equal(sum, -1000);
    assert_holds(near, key, 99, COFFER_SLICE("-1000"));
    assert_misses(near, key, 100); /* the end of the first add, as INCRBY keeps it */
    assert_int_equal(coffer__near_add(near, key, 7, 100, FOREVER, &sum), COFFER_OK);
    assert_int_equal(sum, 7);
}

static void test_add_refuses_what_is_no_integer_and_overflow(void **state) {
    coffer__near *near = (coffer__near *)*state;
    int64_t sum = 123;
    set(near, "k", "12a");
    assert_int_equal(coffer__near_add(near, COFFER_SLICE("k"), 1, 0, FOREVER, &sum), COFFER_NOT_INTEGER);
    assert_holds(near, COFFER_SLICE("k"), 0, COFFER_SLICE("12a"));
    set(near, "k", "9223372036854775807");
    assert_int_equal(coffer__near_add(near, COFFER_SLICE("k"), 1, 0, FOREVER, &sum), COFFER_NOT_INTEGER);
    set(near, "k", "-9223372036854775808");
    assert_int_equal(coffer__near_add(near, COFFER_SLICE("k"), -1, 0, FOREVER, &sum), COFFER_NOT_INTEGER);
    assert_holds(near, COFFER_SLICE("k"), 0, COFFER_SLICE("-9223372036854775808"));
    assert_int_equal(sum, 123);
}

static void test_a_value_too_large_leaves_no_older_one(void **state) {
    coffer__near *near = (coffer__near *)*state;
    char *large = (char *)calloc(1, 4 * MIB);
    assert_non_null(large);
    const coffer__near_condition present = {.when = COFFER__NEAR_PRESENT};
    set(near, "k", "old");
    set(near, "other", "stays");
    coffer_slice value = coffer_slice_of(large, 4 * MIB);
    assert_int_equal(coffer__near_put(near, COFFER_SLICE("k"), value, 0, FOREVER, &present), COFFER_TOO_LARGE);
    assert_misses(near, COFFER_SLICE("k"), 0);
    assert_int_equal(coffer__near_put(near, COFFER_SLICE("k"), value, 0, FOREVER, &present), COFFER_NOT_STORED);
    assert_holds(near, COFFER_SLICE("other"), 0, COFFER_SLICE("stays"));
    int64_t sum;
    assert_int_equal(coffer__near_add(near, value, 1, 0, FOREVER, &sum), COFFER_TOO_LARGE);
    value.len = 600 * 1024;
    assert_int_equal(coffer__near_put(near, COFFER_SLICE("k"), value, 0, FOREVER, NULL), COFFER_OK);
    assert_holds(near, COFFER_SLICE("k"), 0, value);
    free(large);
}

static void fill(coffer__near *near, size_t count, size_t value_len) {
    static char value[64 * 1024];
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(coffer__near_put(near, coffer_slice_of(&i, sizeof i), coffer_slice_of(value, value_len), 0, FOREVER, NULL), COFFER_OK);
    }
}

static void test_memory_is_taken_once_and_within_the_limit(void **state) {
    (void)state;
    static const size_t sizes[] = {MIB, MIB + 1, 2 * MIB - 1, 3 * MIB + 77, 5 * MIB, 16 * MIB, 40 * MIB};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        coffer__near *near;
        watched_alloc_begin(WATCHED_NEVER);
        assert_int_equal(coffer__near_new(&near, sizes[i]), COFFER_OK);
        assert_true(watched_alloc.live_bytes <= sizes[i]);
        assert_true(watched_alloc.live_bytes > sizes[i] - sizes[i] / 50);
        size_t made = watched_alloc.request_count;
        fill(near, 1000, sizeof(char[64 * 1024]));
        fill(near, 100000, 10);
        coffer__near_stats stats;
        coffer__near_stats_read(near, &stats);
        assert_int_equal(stats.memory_bytes, sizes[i]);
        assert_true(stats.used_bytes <= sizes[i]);
        assert_int_equal(watched_alloc.request_count, made);
        coffer__near_free(near);
        assert_int_equal(watched_alloc.live_bytes, 0);
        watched_alloc_end();
    }
}

static void test_under_a_mebibyte_is_refused(void **state) {
    (void)state;
    coffer__near *near;
    assert_int_equal(coffer__near_new(&near, MIB - 1), COFFER_ARG);
    assert_null(near);
    coffer__near_free(NULL);
}

static void test_each_failing_allocation_is_survived(void **state) {
    (void)state;
    size_t failing = 1;
    for (coffer_status status = COFFER_NO_MEMORY; status != COFFER_OK; failing++) {
        coffer__near *near;
        watched_alloc_begin(WATCHED_NEVER);
        watched_alloc_fail_once(failing);
        status = coffer__near_new(&near, 4 * MIB);
        assert_true(status == COFFER_OK || (status == COFFER_NO_MEMORY && near == NULL));
        coffer__near_free(near);
        assert_int_equal(watched_alloc.live_bytes, 0);
        watched_alloc_end();
    }
    assert_true(failing > 2);
}

static void test_a_get_without_memory_can_be_tried_again(void **state) {
    (void)state;
    coffer__near *near;
    coffer__buf out = COFFER__BUF_INIT;
    watched_alloc_begin(WATCHED_NEVER);
    assert_int_equal(coffer__near_new(&near, MIB), COFFER_OK);
    set(near, "k", "value");
    watched_alloc_fail_once(1);
    assert_int_equal(coffer__near_get(near, COFFER_SLICE("k"), 0, &out, NULL), COFFER_NO_MEMORY);
    assert_int_equal(coffer__near_get(near, COFFER_SLICE("k"), 0, &out, NULL), COFFER_OK);
    assert_true(coffer_slice_equal(coffer__buf_slice(&out), COFFER_SLICE("value")));
    coffer__buf_free(&out);
    coffer__near_free(near);
    watched_alloc_end();
}

typedef struct seen_keys {
    unsigned times[2000];
    size_t most;
} seen_keys;

static bool see(void *data, coffer_slice key) {
    seen_keys *seen = (seen_keys *)data;
    char digits[8] = {0};
    assert_true(key.len > 1 && key.len <= sizeof digits);
    memcpy(digits, key.data + 1, key.len - 1);
    size_t number = strtoul(digits, NULL, 10);
    assert_true(number < 2000);
    seen->times[number]++;
    return seen->most == 0 || --seen->most > 0;
}

static void test_a_scan_gives_each_living_key_once(void **state) {
    coffer__near *near = (coffer__near *)*state;
    char key[2000][8];
    for (size_t i = 0; i < 2000; i++) {
        snprintf(key[i], sizeof key[i], "k%zu", i);
        uint64_t ends_ms = i % 3 == 0 ? 5 : FOREVER;
        assert_int_equal(coffer__near_put(near, coffer_slice_text(key[i]), COFFER_SLICE("v"), 0, ends_ms, NULL), COFFER_OK);
    }
    seen_keys seen = {.most = 0};
    uint64_t cursor = 0, pages = 0;
    do {
        assert_int_equal(coffer__near_scan(near, &cursor, 100, 5, see, &seen), COFFER_OK);
        set(near, "k1", "another"); /* it moves in the log, and is given once all the same */
    } while (cursor != 0 && ++pages < 1000);
    assert_true(pages > 50 && pages < 1000);
    for (size_t i = 0; i < 2000; i++) {
        bool lives = i % 3 != 0 && coffer__near_delete(near, coffer_slice_text(key[i]), 5) == COFFER_OK; /* few buckets were full */
        assert_true(!lives || seen.times[i] == 1);
        assert_true(i % 3 != 0 || seen.times[i] == 0);
    }
}

static void test_a_scan_ends_where_it_is_told_to(void **state) {
    coffer__near *near = (coffer__near *)*state;
    seen_keys seen = {.most = 1};
    set(near, "k1", "v");
    uint64_t cursor = 0;
    while (coffer__near_scan(near, &cursor, 1000, 0, see, &seen) == COFFER_OK) {
        assert_int_not_equal(cursor, 0);
    }
    assert_int_equal(seen.times[1], 1);
    cursor = UINT64_MAX;
    assert_int_equal(coffer__near_scan(near, &cursor, 1000, 0, see, &seen), COFFER_OK);
    assert_int_equal(cursor, 0);
    assert_int_equal(seen.times[1], 1);
}

static void test_a_child_of_fork_has_the_contents_for_itself(void **state) {
    coffer__near *near = (coffer__near *)*state;
    set(near, "k", "before");
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        coffer__buf out = COFFER__BUF_INIT;
        coffer__near_after_fork(near);
        bool kept = coffer__near_get(near, COFFER_SLICE("k"), 0, &out, NULL) == COFFER_OK;
        kept = kept && coffer_slice_equal(coffer__buf_slice(&out), COFFER_SLICE("before"));
        kept = kept && set(near, "k", "the child's") == COFFER_OK;
        coffer__buf_free(&out);
        _exit(kept ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_holds(near, COFFER_SLICE("k"), 0, COFFER_SLICE("before"));
}

#define WITH_STORE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH_STORE(test_what_was_put_comes_back_behind_what_is_in_the_buffer),
        WITH_STORE(test_empty_values_and_keys_with_nul_bytes_are_values_and_keys),
        WITH_STORE(test_an_entry_ends_at_its_millisecond_and_is_counted_once),
        WITH_STORE(test_expire_moves_the_end_either_way),
        WITH_STORE(test_delete_says_whether_it_was_there),
        WITH_STORE(test_absent_and_present_look_at_living_entries),
        WITH_STORE(test_match_compares_as_getrange_cuts),
        WITH_STORE(test_add_counts_like_incrby),
        WITH_STORE(test_add_refuses_what_is_no_integer_and_overflow),
        WITH_STORE(test_a_value_too_large_leaves_no_older_one),
        cmocka_unit_test(test_memory_is_taken_once_and_within_the_limit),
        cmocka_unit_test(test_under_a_mebibyte_is_refused),
        cmocka_unit_test(test_each_failing_allocation_is_survived),
        cmocka_unit_test(test_a_get_without_memory_can_be_tried_again),
        WITH_STORE(test_a_scan_gives_each_living_key_once),
        WITH_STORE(test_a_scan_ends_where_it_is_told_to),
        WITH_STORE(test_a_child_of_fork_has_the_contents_for_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
