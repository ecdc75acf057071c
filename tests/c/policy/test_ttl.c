#include "policy/ttl.h"

#include "policy/helpers.h"

static void test_text(void **state) {
    (void)state;
    static const struct {
        const char *text;
        uint64_t ttl_ms;
    } good[] = {{"30m", 1800000},        {"short", 300000},         {"very_short", 60000}, {"medium", 900000}, {"long", 3600000},
                {"very_long", 86400000}, {"persistent", 604800000}, {"90", 90000},         {"1ms", 1},         {"forever", COFFER_TTL_FOREVER}};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        uint64_t ttl_ms = 0;
        assert_int_equal(coffer_ttl_parse(coffer_slice_text(good[i].text), &ttl_ms, NULL), COFFER_OK);
        assert_int_equal(ttl_ms, good[i].ttl_ms);
    }
}

static void test_refused_text_says_what_is_allowed(void **state) {
    (void)state;
    static const char *const bad[] = {
        "0",      "0s", "0.0", "-1",      "-1s",    "nan", "NaN", "inf", "Infinity", "1e308", "9223372036854775807", "18446744073709551615",
        "101w1y", "",   " ",   "Forever", "short ", "none"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        coffer_error error = {COFFER_OK, ""};
        uint64_t ttl_ms = 77;
        assert_int_equal(coffer_ttl_parse(coffer_slice_text(bad[i]), &ttl_ms, &error), COFFER_ARG);
        assert_int_equal(ttl_ms, 77);
        assert_int_equal(error.status, COFFER_ARG);
        assert_has(error.text, "'30m', '1h', a class such as 'short', or 'forever'");
    }
}

static void test_time_may_be_zero(void **state) {
    (void)state;
    coffer_error error;
    uint64_t time_ms = 77;
    assert_int_equal(coffer__time_parse(COFFER_SLICE("0"), &time_ms, NULL), COFFER_OK);
    assert_int_equal(time_ms, 0);
    assert_int_equal(coffer__time_parse(COFFER_SLICE("soon"), &time_ms, &error), COFFER_ARG);
    assert_has(error.text, "'soon'");
    assert_int_equal(coffer__time_parse(COFFER_SLICE("forever"), &time_ms, NULL), COFFER_ARG);
}

static void test_seconds(void **state) {
    (void)state;
    static const struct {
        double seconds;
        uint64_t ttl_ms;
    } good[] = {{1, 1000}, {0.1, 100}, {1.5, 1500}, {0.001, 1}, {1e-9, 1}, {5e-324, 1}, {3155760000.0, COFFER__TTL_MAX_MS}};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        uint64_t ttl_ms = 0;
        assert_int_equal(coffer_ttl_from_seconds(good[i].seconds, &ttl_ms, NULL), COFFER_OK);
        assert_int_equal(ttl_ms, good[i].ttl_ms);
    }
    double infinity = 1e308 * 10;
    const double bad[] = {0, -0.0, -1, -1e-9, infinity, -infinity, infinity - infinity, 1e308, 9223372036854775807.0, 3155760000.001};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        uint64_t ttl_ms = 77;
        coffer_error error;
        assert_int_equal(coffer_ttl_from_seconds(bad[i], &ttl_ms, &error), COFFER_ARG);
        assert_int_equal(ttl_ms, 77);
    }
}

static void test_check(void **state) {
    (void)state;
    coffer_error error;
    assert_int_equal(coffer__ttl_check(1, NULL), COFFER_OK);
    assert_int_equal(coffer__ttl_check(COFFER__TTL_MAX_MS, NULL), COFFER_OK);
    assert_int_equal(coffer__ttl_check(COFFER_TTL_FOREVER, NULL), COFFER_OK);
    assert_int_equal(coffer__ttl_check(0, &error), COFFER_ARG);
    assert_int_equal(coffer__ttl_check(COFFER__TTL_MAX_MS + 1, &error), COFFER_ARG);
    assert_int_equal(coffer__ttl_check(INT64_MAX, &error), COFFER_ARG);
    assert_int_equal(coffer__ttl_check(COFFER_TTL_FOREVER - 1, &error), COFFER_ARG);
}

static void test_jitter_stays_within_its_share(void **state) {
    (void)state;
    uint64_t seed = 11;
    for (int i = 0; i < 50000; i++) {
        uint64_t ttl_ms = next_random(&seed) % COFFER__TTL_MAX_MS + 1;
        ttl_ms = i % 2 == 0 ? ttl_ms : ttl_ms % 1000 + 1;
        uint32_t percent = (uint32_t)(next_random(&seed) % 101);
        uint64_t longer_ms = coffer__ttl_jitter(ttl_ms, percent, next_random(&seed));
        assert_true(longer_ms >= ttl_ms);
        assert_true(longer_ms - ttl_ms <= ttl_ms * percent / 100);
    }
}

static void test_jitter_reaches_its_ends_and_never_means_for_ever(void **state) {
    (void)state;
    assert_int_equal(coffer__ttl_jitter(1000, 10, 0), 1000);
    assert_int_equal(coffer__ttl_jitter(1000, 10, 100), 1100);
    assert_int_equal(coffer__ttl_jitter(1000, 10, 101), 1000);
    assert_int_equal(coffer__ttl_jitter(1000, 0, UINT64_MAX), 1000);
    assert_int_equal(coffer__ttl_jitter(1, 100, 1), 2);
    assert_int_equal(coffer__ttl_jitter(COFFER_TTL_FOREVER, 100, 12345), COFFER_TTL_FOREVER);
    assert_int_equal(coffer__ttl_jitter(COFFER_TTL_FOREVER - 1, 100, UINT64_MAX / 2), COFFER_TTL_FOREVER - 1);
}

static void test_end(void **state) {
    (void)state;
    assert_int_equal(coffer__ttl_end(5, 7), 12);
    assert_int_equal(coffer__ttl_end(5, COFFER_TTL_FOREVER), COFFER_TTL_FOREVER);
    assert_int_equal(coffer__ttl_end(COFFER_TTL_FOREVER, 5), COFFER_TTL_FOREVER);
    assert_int_equal(coffer__ttl_end(UINT64_MAX - 5, 100), COFFER_TTL_FOREVER - 1);
    assert_int_equal(coffer__ttl_end(UINT64_MAX - 5, 5), COFFER_TTL_FOREVER - 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_refused_text_says_what_is_allowed),
        cmocka_unit_test(test_time_may_be_zero),
        cmocka_unit_test(test_seconds),
        cmocka_unit_test(test_check),
        cmocka_unit_test(test_jitter_stays_within_its_share),
        cmocka_unit_test(test_jitter_reaches_its_ends_and_never_means_for_ever),
        cmocka_unit_test(test_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
