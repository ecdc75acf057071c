/* Traces short enough to be followed by hand; letters are objects. */
#include "simulate/policy.h"

#include "support/cmocka_all.h"

#include <stdio.h>

enum { LONGEST = 64 };

/* What each request was: '+' a hit, '-' a miss. */
static void assert_answers(const coffer__policy *policy, uint64_t capacity, const char *requests, const uint32_t *sizes, const char *wanted) {
    uint32_t objects[LONGEST];
    char answers[LONGEST + 1] = {0};
    size_t count = strlen(requests);
    assert_true(count <= LONGEST);
    for (size_t i = 0; i < count; i++) {
        objects[i] = (uint32_t)(requests[i] - 'A');
    }
    coffer_trace trace = {.requests = objects, .request_count = count, .sizes = sizes, .object_count = 26};
    void *cache = policy->make(&trace, &capacity);
    assert_non_null(cache);
    for (size_t i = 0; i < count; i++) {
        answers[i] = policy->request(cache, objects[i], i) ? '+' : '-';
    }
    policy->drop(cache);
    assert_string_equal(answers, wanted);
}

static void test_fifo_forgets_what_came_first_though_it_was_used(void **state) {
    (void)state;
    assert_answers(&coffer__policy_fifo, 3, "ABCADABCD", NULL,
                   "---+---"
                   "-"
                   "-");
    assert_answers(&coffer__policy_fifo, 3, "ABCADBC", NULL, "---+-++");
}

static void test_lru_forgets_what_was_not_used_for_longest(void **state) {
    (void)state;
    /* ABC, A used; D for B; A and C are there; B for D, which was used last before A and C */
    assert_answers(&coffer__policy_lru, 3, "ABCADACBD", NULL, "---+-++--");
}

/* A read (marked), B and C not: D for B, as the hand passes A and takes its mark; then E for C, where the hand stands; then F for D; A only thereafter. */
static void test_sieve_passes_what_was_read_and_goes_on_from_there(void **state) {
    (void)state;
    assert_answers(&coffer__policy_sieve, 3, "ABCADEFAGA", NULL, "---+---+-+");
    /* the hand comes round: D for A, whose mark went the first time */
    assert_answers(&coffer__policy_sieve, 2, "ABABCA", NULL, "--++--");
}

/* Room for ten, small has one. Reads of a and b (twice each) bring them to main; what is read once only, or never, becomes a ghost, and enters main when it
 * comes again. */
static void test_s3fifo_keeps_what_came_again(void **state) {
    (void)state;
    assert_answers(&coffer__policy_s3fifo, 10, "AAABBBCDEFGHIJKLMNAB", NULL, "-++-++------------++");
    /* ten fill small; K pushes out A, a ghost, which then enters main: ten new ones push out B, C and so on, never A */
    assert_answers(&coffer__policy_s3fifo, 10, "ABCDEFGHIJKALMNOPQRSTUA", NULL, "----------------------+");
    /* read once is not enough */
    assert_answers(&coffer__policy_s3fifo, 10, "AABCDEFGHIJKA", NULL, "-+-----------");
}

/* Belady's own example, cut: with ABC there, D comes; of A (next), B (then), C (never again) it is C that goes. */
static void test_opt_forgets_what_is_used_last(void **state) {
    (void)state;
    assert_answers(&coffer__policy_opt, 3, "ABCDABDABD", NULL, "----++++++");
    assert_answers(&coffer__policy_opt, 1, "ABACADA", NULL, "--+-+-+"); /* what never comes again is not kept at all */
    assert_answers(&coffer__policy_opt, 3, "ABCDABEABCDE", NULL, "----++-+++--"); /* neither D nor E is worth the place of A, B or C */
}

static void test_sizes_take_room_and_what_is_too_large_is_not_kept(void **state) {
    (void)state;
    const uint32_t sizes[26] = {4, 3, 3, 11, 5};
    assert_answers(&coffer__policy_lru, 10, "ABCABCEA", sizes, "---+++--"); /* E for A and B */
    assert_answers(&coffer__policy_lru, 10, "ABCDABC", sizes, "----+++");
    assert_answers(&coffer__policy_fifo, 10, "ABCDEC", sizes, "-----+");
    assert_answers(&coffer__policy_sieve, 10, "ABCDABC", sizes, "----+++");
    assert_answers(&coffer__policy_s3fifo, 10, "ABCDABC", sizes, "----+++");
    assert_answers(&coffer__policy_opt, 10, "ABCDABCD", sizes, "----+++-");
}

static coffer_simulated simulated(const coffer_trace *trace, const char *policy, uint64_t capacity) {
    coffer_simulated out;
    coffer_error error;
    assert_int_equal(coffer_simulate(trace, policy, capacity, &out, &error), COFFER_OK);
    return out;
}

static uint64_t misses_of_a_circle(uint64_t capacity, uint64_t length, uint64_t *room) {
    enum { REQUESTS = 9000 };
    static uint32_t requests[REQUESTS];
    for (uint32_t i = 0; i < REQUESTS; i++) {
        requests[i] = (uint32_t)(i % length);
    }
    coffer_trace trace = {.requests = requests, .request_count = REQUESTS, .object_count = (size_t)length};
    coffer_simulated out = simulated(&trace, "coffer", capacity);
    *room = out.capacity;
    return REQUESTS - out.hits;
}

/* The real shards hold as many as they were asked to (but for a segment of some sixty that is kept free until something is read again), and forget what is
 * more. */
static void test_coffer_has_room_for_so_many_and_no_more(void **state) {
    (void)state;
    static const uint64_t capacities[] = {1, 2, 7, 20, 21, 104, 763, 2999};
    for (size_t i = 0; i < sizeof capacities / sizeof capacities[0]; i++) {
        uint64_t capacity = capacities[i], fit = capacity - capacity / 50 - 1, room;
        if (fit > 0) {
            assert_in_range(misses_of_a_circle(capacity, fit, &room), fit, fit + fit / 10); /* some find their bucket full */
            assert_in_range(room, capacity - capacity / 100, capacity);
        }
        assert_true(misses_of_a_circle(capacity, 3 * capacity, &room) > 3000);
    }
}

static void test_bytes_are_counted_by_object(void **state) {
    (void)state;
    const uint32_t requests[] = {0, 1, 0, 1, 2}, sizes[] = {1000, 3000, 100000};
    coffer_trace trace = {.requests = requests, .request_count = 5, .sizes = sizes, .object_count = 3};
    for (const char *policy = coffer_policy_next(NULL); policy != NULL; policy = coffer_policy_next(policy)) {
        coffer_simulated out = simulated(&trace, policy, 64 * 1024);
        assert_int_equal(out.hits, 2);
        assert_int_equal(out.hit_bytes, 4000);
        assert_int_equal(out.requested_bytes, 108000);
    }
}

static void test_nonsense_is_refused_in_words(void **state) {
    (void)state;
    const uint32_t requests[] = {0, 1, 2};
    const coffer_trace good = {.requests = requests, .request_count = 3, .object_count = 3};
    const coffer_trace strange = {.requests = requests, .request_count = 3, .object_count = 2};
    coffer_simulated out;
    coffer_error error;
    assert_int_equal(coffer_simulate(&good, "mru", 3, &out, &error), COFFER_ARG);
    assert_non_null(strstr(error.text, "mru"));
    assert_int_equal(coffer_simulate(&good, "lru", 0, &out, &error), COFFER_ARG);
    assert_int_equal(coffer_simulate(&strange, "lru", 3, &out, &error), COFFER_ARG);
    assert_non_null(strstr(error.text, "request 2"));
    assert_int_equal(coffer_simulate(&good, "coffer", UINT64_MAX, &out, &error), COFFER_ARG);
    const coffer_trace empty = {.object_count = 0};
    for (const char *policy = coffer_policy_next(NULL); policy != NULL; policy = coffer_policy_next(policy)) {
        assert_int_equal(coffer_simulate(&empty, policy, 5, &out, &error), COFFER_OK);
        assert_int_equal(out.hits, 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fifo_forgets_what_came_first_though_it_was_used),
        cmocka_unit_test(test_lru_forgets_what_was_not_used_for_longest),
        cmocka_unit_test(test_sieve_passes_what_was_read_and_goes_on_from_there),
        cmocka_unit_test(test_s3fifo_keeps_what_came_again),
        cmocka_unit_test(test_opt_forgets_what_is_used_last),
        cmocka_unit_test(test_sizes_take_room_and_what_is_too_large_is_not_kept),
        cmocka_unit_test(test_coffer_has_room_for_so_many_and_no_more),
        cmocka_unit_test(test_bytes_are_counted_by_object),
        cmocka_unit_test(test_nonsense_is_refused_in_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
