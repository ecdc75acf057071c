#include "base/random.h"

#include "support/cmocka_all.h"

#include <sys/wait.h>
#include <unistd.h>

enum { DRAWS = 200, DRAW_BYTES = 16 };

static int compare_draws(const void *a, const void *b) {
    return memcmp(a, b, DRAW_BYTES);
}

static void test_no_draw_is_seen_twice(void **state) {
    (void)state;
    static char draws[DRAWS][DRAW_BYTES];
    for (size_t i = 0; i < DRAWS; i++) {
        assert_int_equal(coffer__random_bytes(draws[i], DRAW_BYTES), COFFER_OK);
    }
    qsort(draws, DRAWS, DRAW_BYTES, compare_draws);
    for (size_t i = 1; i < DRAWS; i++) {
        assert_memory_not_equal(draws[i - 1], draws[i], DRAW_BYTES);
    }
}

static void test_any_length_is_filled_and_no_more(void **state) {
    (void)state;
    for (size_t len = 0; len < 700; len += 1 + len / 7) {
        uint8_t changed[701] = {0};
        uint8_t out[701];
        for (int round = 0; round < 40; round++) { /* a byte stays as it was with 2^-8, in 40 rounds with 2^-320 */
            memset(out, 0, sizeof out);
            assert_int_equal(coffer__random_bytes(out, len), COFFER_OK);
            for (size_t i = 0; i < sizeof out; i++) {
                changed[i] |= out[i];
            }
        }
        for (size_t i = 0; i < sizeof changed; i++) {
            assert_int_equal(changed[i] != 0, i < len);
        }
    }
}

/* What two children and their parent draw after the same store was filled. */
static void child_draws(int fd) {
    char draw[DRAW_BYTES];
    bool well = coffer__random_bytes(draw, sizeof draw) == COFFER_OK && write(fd, draw, sizeof draw) == sizeof draw;
    _exit(well ? 0 : 1);
}

static void fork_and_draw(void) {
    char draws[3][DRAW_BYTES];
    assert_int_equal(coffer__random_bytes(draws[0], DRAW_BYTES), COFFER_OK); /* so that the parent's store holds bytes */
    for (size_t i = 1; i < 3; i++) {
        int ends[2];
        int status;
        assert_int_equal(pipe(ends), 0);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            child_draws(ends[1]);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        assert_int_equal(read(ends[0], draws[i], DRAW_BYTES), DRAW_BYTES);
        close(ends[0]);
        close(ends[1]);
    }
    assert_int_equal(coffer__random_bytes(draws[0], DRAW_BYTES), COFFER_OK);
    assert_memory_not_equal(draws[0], draws[1], DRAW_BYTES);
    assert_memory_not_equal(draws[0], draws[2], DRAW_BYTES);
    assert_memory_not_equal(draws[1], draws[2], DRAW_BYTES);
}

/* Again, because a store that happens to be used up would be filled anew in any case. */
static void test_a_child_of_fork_repeats_nobody(void **state) {
    (void)state;
    for (int round = 0; round < 3; round++) {
        fork_and_draw();
    }
}

static void test_numbers_use_all_bits(void **state) {
    (void)state;
    uint64_t ones = 0;
    uint64_t zeros = 0;
    for (int i = 0; i < 100; i++) {
        uint64_t number = coffer__random_u64();
        ones |= number;
        zeros |= ~number;
    }
    assert_true(ones == UINT64_MAX && zeros == UINT64_MAX);
}

/* All of it up to the bound, which no number of failures takes beyond the last. */
static void test_who_failed_waits_at_random_up_to_a_bound_that_doubles(void **state) {
    (void)state;
    static const struct {
        unsigned failures;
        uint64_t bound_ms;
    } cases[] = {{0, 50}, {1, 100}, {5, 1600}, {6, 2000}, {UINT32_MAX, 2000}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint64_t least = UINT64_MAX, most = 0;
        for (int draw = 0; draw < 1000; draw++) {
            uint64_t wait_ms = coffer__random_back_off_ms(cases[i].failures, 50, 2000);
            least = wait_ms < least ? wait_ms : least;
            most = wait_ms > most ? wait_ms : most;
        }
        assert_in_range(least, 1, cases[i].bound_ms / 4);
        assert_in_range(most, cases[i].bound_ms * 3 / 4, cases[i].bound_ms);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_draw_is_seen_twice),
        cmocka_unit_test(test_any_length_is_filled_and_no_more),
        cmocka_unit_test(test_a_child_of_fork_repeats_nobody),
        cmocka_unit_test(test_numbers_use_all_bits),
        cmocka_unit_test(test_who_failed_waits_at_random_up_to_a_bound_that_doubles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
