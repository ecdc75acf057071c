#include "policy/parse.h"
#include "policy/ttl.h"

#include "policy/helpers.h"

typedef bool (*reader)(coffer_slice text, uint64_t *number);

typedef struct example {
    const char *text;
    uint64_t number;
} example;

static void assert_reads(reader read, const example *examples, size_t count) {
    for (size_t i = 0; i < count; i++) {
        uint64_t number = 99;
        if (!read(coffer_slice_text(examples[i].text), &number) || number != examples[i].number) {
            fail_msg("\"%s\" was read as %llu", examples[i].text, (unsigned long long)number);
        }
    }
}

static void assert_refuses(reader read, const char *const *texts, size_t count) {
    for (size_t i = 0; i < count; i++) {
        uint64_t number = 0;
        if (read(coffer_slice_text(texts[i]), &number)) {
            fail_msg("\"%s\" was accepted as %llu", texts[i], (unsigned long long)number);
        }
    }
}

#define COUNT_OF(array) (sizeof(array) / sizeof(array)[0])

static const example good_times[] = {
    {"0", 0},
    {"1ms", 1},
    {"250ms", 250},
    {"30s", 30000},
    {"90", 90000},
    {"1.5", 1500},
    {"5m", 300000},
    {"1h30m", 5400000},
    {"1.5h", 5400000},
    {"2d", 172800000},
    {"1w", 604800000},
    {"1w1d1h1m1s1ms", 694861001},
    {"0.0001", 1},
    {"0.25ms", 1},
    {"0.00000000000001", 1},
    {"1.0004s", 1000},
    {"1.0006s", 1001},
    {"0s", 0},
    {"0.0", 0},
    {"0.30000000000000004", 300},
    {"36525d", COFFER__TTL_MAX_MS},
};

static const char *const bad_times[] = {
    "",
    " ",
    "-1",
    "+1",
    "-0",
    " 1",
    "1 ",
    "1 s",
    "s",
    ".5",
    "1.",
    "1.s",
    "1..5",
    "1e3",
    "0x10",
    "nan",
    "NaN",
    "inf",
    "infinity",
    "1S",
    "1H",
    "1x",
    "1mm",
    "30m1h",
    "1h1h",
    "1h30",
    "5 m",
    "1,5",
    "36526d",
    "5218w1d",
    "9223372036854775807",
    "18446744073709551615",
    "18446744073709551616",
    "99999999999999999999999ms",
    "30500568904943w",
    "forever",
    "1h-30m",
    "\xd9\xa1",
};

static void test_times(void **state) {
    (void)state;
    assert_reads(coffer__read_time, good_times, COUNT_OF(good_times));
    assert_refuses(coffer__read_time, bad_times, COUNT_OF(bad_times));
    uint64_t number = 0;
    assert_false(coffer__read_time(COFFER_SLICE("1s\0"), &number));
    assert_false(coffer__read_time(coffer_slice_of(NULL, 0), &number));
}

static void test_sizes(void **state) {
    (void)state;
    static const example good[] = {
        {"0", 0},
        {"17", 17},
        {"17B", 17},
        {"17bytes", 17},
        {"1KiB", 1024},
        {"1k", 1024},
        {"1KB", 1024},
        {"2M", 2u << 20},
        {"2mb", 2u << 20},
        {"2MiB", 2u << 20},
        {"1G", 1u << 30},
        {"1GB", 1u << 30},
        {"1gib", 1u << 30},
        {"17179869183GiB", UINT64_C(17179869183) << 30},
        {"18446744073709551615", UINT64_MAX},
    };
    assert_reads(coffer__read_size, good, COUNT_OF(good));
    static const char *const bad[] = {
        "", "B", "-1", "+1", "1.5M", "1 M", " 1", "1T", "1KiBB", "1KK", "0x1", "inf", "17179869184GiB", "18446744073709551616"};
    assert_refuses(coffer__read_size, bad, COUNT_OF(bad));
}

static void test_counts_and_bools(void **state) {
    (void)state;
    static const example counts[] = {{"0", 0}, {"007", 7}, {"18446744073709551615", UINT64_MAX}};
    assert_reads(coffer__read_count, counts, COUNT_OF(counts));
    static const char *const no_counts[] = {"", "-1", "+1", " 1", "1 ", "1.0", "1k", "x", "18446744073709551616", "tcp://10.0.0.1:6379"};
    assert_refuses(coffer__read_count, no_counts, COUNT_OF(no_counts));
    static const example bools[] = {{"true", 1}, {"YES", 1}, {"On", 1}, {"1", 1}, {"False", 0}, {"no", 0}, {"OFF", 0}, {"0", 0}};
    assert_reads(coffer__read_bool, bools, COUNT_OF(bools));
    static const char *const no_bools[] = {"", "2", "tru", "truee", "y", "t", "01", " true", "none"};
    assert_refuses(coffer__read_bool, no_bools, COUNT_OF(no_bools));
}

/* What is written is read back as the same number, and in the largest unit that divides it. */
static void test_written_is_read_back(void **state) {
    (void)state;
    char text[32];
    uint64_t seed = 7;
    for (int i = 0; i < 20000; i++) {
        uint64_t number = next_random(&seed) >> (next_random(&seed) % 64), back = 0;
        assert_true(coffer__read_size(coffer_slice_of(text, coffer__write_size(number, text)), &back));
        assert_int_equal(back, number);
        assert_true(coffer__read_count(coffer_slice_of(text, coffer__write_count(number, text)), &back));
        assert_int_equal(back, number);
        number %= COFFER__TTL_MAX_MS + 1;
        assert_true(coffer__read_time(coffer_slice_of(text, coffer__write_time(number, text)), &back));
        assert_int_equal(back, number);
    }
    (void)coffer__write_time(5400000, text);
    assert_string_equal(text, "90m");
    (void)coffer__write_size(64u << 20, text);
    assert_string_equal(text, "64MiB");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_counts_and_bools),
        cmocka_unit_test(test_written_is_read_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
