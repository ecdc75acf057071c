#include "near/near.h"

#include "support/cmocka_all.h"

enum { KEYS = 40000, REQUESTS = 400000, VALUE_LEN = 100 };

static uint64_t random_state;

static double draw(void) {
    random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (double)(random_state >> 11) / 9007199254740992.0;
}

/* Key k is asked for in proportion to 1 / k: Zipf with exponent 1. Sums, for a search by bisection. */
static double *zipf_sums(void) {
    double *sums = (double *)malloc(KEYS * sizeof *sums);
    double sum = 0;
    assert_non_null(sums);
    for (size_t i = 0; i < KEYS; i++) {
        sum += 1.0 / (double)(i + 1);
        sums[i] = sum;
    }
    return sums;
}

static uint32_t *zipf_stream(void) {
    double *sums = zipf_sums();
    uint32_t *stream = (uint32_t *)malloc(REQUESTS * sizeof *stream);
    assert_non_null(stream);
    for (size_t i = 0; i < REQUESTS; i++) {
        double wanted = draw() * sums[KEYS - 1];
        size_t low = 0;
        for (size_t high = KEYS - 1; low < high;) {
            size_t middle = (low + high) / 2;
            if (sums[middle] < wanted) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        stream[i] = (uint32_t)low;
    }
    free(sums);
    return stream;
}

/* Every third request is for a key that never comes again. */
static void add_a_scan(uint32_t *stream) {
    for (size_t i = 0; i < REQUESTS; i += 3) {
        stream[i] = (uint32_t)(KEYS + i);
    }
}

static double hits_of_store(const uint32_t *stream, uint64_t *entries) {
    char value[VALUE_LEN] = {0};
    coffer__near *near;
    coffer__near_stats stats;
    coffer__buf out = COFFER__BUF_INIT;
    size_t hits = 0;
    assert_int_equal(coffer__near_new(&near, (size_t)1024 * 1024), COFFER_OK);
    for (size_t i = 0; i < REQUESTS; i++) {
        coffer_slice key = coffer_slice_of(&stream[i], sizeof stream[i]);
        coffer__buf_clear(&out);
        if (coffer__near_get(near, key, 0, &out, NULL) == COFFER_OK) {
            hits++;
        } else {
            assert_int_equal(coffer__near_put(near, key, coffer_slice_of(value, sizeof value), 0, UINT64_MAX, NULL), COFFER_OK);
        }
    }
    coffer__near_stats_read(near, &stats);
    *entries = stats.entries;
    coffer__buf_free(&out);
    coffer__near_free(near);
    return (double)hits / REQUESTS;
}

/* First in, first out, with room for as many entries. */
static double hits_of_fifo(const uint32_t *stream, size_t entries) {
    uint8_t *is_there = (uint8_t *)calloc(KEYS + REQUESTS, 1);
    uint32_t *queue = (uint32_t *)malloc(REQUESTS * sizeof *queue);
    assert_true(is_there != NULL && queue != NULL);
    size_t hits = 0;
    size_t queued = 0;
    for (size_t i = 0; i < REQUESTS; i++) {
        if (is_there[stream[i]]) {
            hits++;
            continue;
        }
        if (queued >= entries) {
            is_there[queue[queued - entries]] = 0;
        }
        queue[queued++] = stream[i];
        is_there[stream[i]] = 1;
    }
    free(is_there);
    free(queue);
    return (double)hits / REQUESTS;
}

static void assert_beats_fifo_by(const uint32_t *stream, double points) {
    uint64_t entries;
    double store = hits_of_store(stream, &entries);
    double fifo = hits_of_fifo(stream, (size_t)entries);
    print_message("           %.1f %% hits with %u entries, FIFO %.1f %%\n", store * 100, (unsigned)entries, fifo * 100);
    assert_true(entries > 4000);
    assert_true(store > fifo + points / 100);
}

static void test_zipf_traffic_hits_more_often_than_with_fifo(void **state) {
    (void)state;
    random_state = 1;
    uint32_t *stream = zipf_stream();
    assert_beats_fifo_by(stream, 2.0);
    add_a_scan(stream);
    assert_beats_fifo_by(stream, 2.0);
    free(stream);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_zipf_traffic_hits_more_often_than_with_fifo),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
