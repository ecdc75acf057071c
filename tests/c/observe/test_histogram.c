#include "observe/histogram.h"

#include "support/cmocka_all.h"

enum { SAMPLES = 20000 };

static int ascending(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static coffer_latency latency_of(const uint64_t *samples, size_t count) {
    coffer_latency latency = {0};
    coffer__histogram *histogram = (coffer__histogram *)calloc(1, sizeof *histogram);
    assert_non_null(histogram);
    for (size_t i = 0; i < count; i++) {
        coffer__histogram_record(histogram, samples[i]);
    }
    coffer__histogram_read(histogram, &latency);
    free(histogram);
    return latency;
}

static void assert_just_above(double shown, uint64_t exact) {
    assert_true(shown >= (double)exact);
    assert_true(shown <= (double)exact * 1.0625);
}

static void test_percentiles_are_at_most_a_sixteenth_above_the_sorted_samples(void **state) {
    (void)state;
    static uint64_t samples[SAMPLES];
    uint64_t random = 3;
    for (unsigned bits = 1; bits <= 31; bits++) {
        for (size_t i = 0; i < SAMPLES; i++) {
            random = random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
            samples[i] = (random >> 32) >> ((random >> 20) % bits + 32 - bits);
        }
        coffer_latency latency = latency_of(samples, SAMPLES);
        qsort(samples, SAMPLES, sizeof samples[0], ascending);
        assert_just_above(latency.p50_us, samples[SAMPLES / 2 - 1]);
        assert_just_above(latency.p95_us, samples[SAMPLES * 95 / 100 - 1]);
        assert_just_above(latency.p99_us, samples[SAMPLES * 99 / 100 - 1]);
        assert_true(latency.max_us == (double)samples[SAMPLES - 1]);
        assert_int_equal(latency.timed_count, SAMPLES);
    }
}

static void test_every_edge_of_a_bucket_is_in_its_bounds(void **state) {
    (void)state;
    for (unsigned bit = 0; bit < 32; bit++) {
        for (uint64_t off = 0; off < 3; off++) {
            uint64_t value = (UINT64_C(1) << bit) + off - 1;
            uint64_t samples[2] = {value, UINT64_C(1) << 32};
            coffer_latency latency = latency_of(samples, 2);
            if (value < (UINT64_C(1) << 32)) {
                assert_just_above(latency.p50_us, value);
            }
        }
    }
}

static void test_nothing_recorded_reads_as_zero(void **state) {
    (void)state;
    coffer_latency latency = latency_of(NULL, 0);
    assert_int_equal(latency.timed_count, 0);
    assert_true(latency.p50_us == 0 && latency.p99_us == 0 && latency.max_us == 0);
}

static void test_a_single_sample_is_every_percentile(void **state) {
    (void)state;
    uint64_t sample = 1001;
    coffer_latency latency = latency_of(&sample, 1);
    assert_true(latency.p50_us == 1001 && latency.p95_us == 1001 && latency.p99_us == 1001 && latency.max_us == 1001);
}

static void test_the_longest_times_are_kept_exactly_as_maximum(void **state) {
    (void)state;
    uint64_t samples[] = {UINT64_C(3600) * 1000000, UINT64_C(1) << 40, UINT64_MAX / 1024};
    coffer_latency latency = latency_of(samples, 3);
    assert_int_equal(latency.timed_count, 3);
    assert_true(latency.max_us == (double)samples[2]);
    assert_true(latency.p99_us == latency.max_us);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_percentiles_are_at_most_a_sixteenth_above_the_sorted_samples),
        cmocka_unit_test(test_every_edge_of_a_bucket_is_in_its_bounds),
        cmocka_unit_test(test_nothing_recorded_reads_as_zero),
        cmocka_unit_test(test_a_single_sample_is_every_percentile),
        cmocka_unit_test(test_the_longest_times_are_kept_exactly_as_maximum),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
