#include "near/number.h"

#include "support/cmocka_all.h"

static void test_numbers_survive_a_round_trip(void **state) {
    (void)state;
    static const int64_t numbers[] = {0, 1, -1, 9, 10, -10, 4711, INT64_MAX, INT64_MAX - 1, INT64_MIN, INT64_MIN + 1};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        char digits[COFFER__NUMBER_CAP];
        char expected[32];
        int64_t again = 77;
        coffer_slice text = coffer__number_write(numbers[i], digits);
        snprintf(expected, sizeof expected, "%lld", (long long)numbers[i]);
        assert_true(coffer_slice_equal(text, coffer_slice_text(expected)));
        assert_true(coffer__number_parse(text, &again));
        assert_true(again == numbers[i]);
    }
}

static void test_what_incrby_refuses_is_refused(void **state) {
    (void)state;
    static const char *const refused[] = {"",
                                          "-",
                                          "+1",
                                          " 1",
                                          "1 ",
                                          "01",
                                          "-0",
                                          "00",
                                          "1.0",
                                          "0x1",
                                          "1e3",
                                          "--1",
                                          "a",
                                          "9223372036854775808",
                                          "-9223372036854775809",
                                          "99999999999999999999",
                                          "18446744073709551616"};
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        int64_t number;
        assert_false(coffer__number_parse(coffer_slice_text(refused[i]), &number));
    }
    int64_t number;
    assert_false(coffer__number_parse(coffer_slice_of("1\0", 2), &number));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers_survive_a_round_trip),
        cmocka_unit_test(test_what_incrby_refuses_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
