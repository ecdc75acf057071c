/* coffer__endpoints: equal servers are one pointer. */
#include "topology/endpoints.h"

#include "support/watched_alloc.h"
#include "topology/replies.h"

static void test_equal_ones_are_one(void **state) {
    (void)state;
    coffer__endpoints *all = coffer__endpoints_new();
    char host[] = "cache.internal";
    coffer_endpoint wanted = at(host, 7000);
    const coffer_endpoint *first = coffer__endpoints_intern(all, &wanted);
    assert_ptr_equal(coffer__endpoints_intern(all, &wanted), first);
    coffer_endpoint others[4] = {
        at("cache.internal", 7001), at("cache.interna", 7000), wanted, {.path = COFFER_SLICE("cache.internal"), .port = 7000}};
    others[2].tls = true;
    for (size_t i = 0; i < 4; i++) {
        assert_ptr_not_equal(coffer__endpoints_intern(all, &others[i]), first);
    }
    host[0] = '!'; /* it has a copy of its own */
    assert_true(coffer_slice_equal(first->host, COFFER_SLICE("cache.internal")) && first->port == 7000);
    coffer__endpoints_free(all);
}

static void test_time_outs_in_a_row_are_counted(void **state) {
    (void)state;
    coffer__endpoints *all = coffer__endpoints_new();
    coffer_endpoint wanted = at("a", 1);
    const coffer_endpoint *a = coffer__endpoints_intern(all, &wanted);
    assert_int_equal(coffer__endpoint_timed_out(a), 1);
    assert_int_equal(coffer__endpoint_timed_out(a), 2);
    coffer__endpoint_answered(a);
    assert_int_equal(coffer__endpoint_timed_out(a), 1);
    coffer__endpoints_free(all);
}

static void test_replicas_are_listed_anew(void **state) {
    (void)state;
    coffer__endpoints *all = coffer__endpoints_new();
    coffer_endpoint wanted = at("p", 1);
    const coffer_endpoint *primary = coffer__endpoints_intern(all, &wanted);
    assert_null(coffer__endpoint_replica(primary, 0));
    wanted.replica = true; /* the same server, read from */
    const coffer_endpoint *reader = coffer__endpoints_intern(all, &wanted);
    assert_ptr_not_equal(reader, primary);
    coffer__endpoint_replicas_begin(primary);
    for (uint16_t i = 0; i < 2 * COFFER__REPLICAS_MOST; i++) {
        coffer_endpoint one = {.host = COFFER_SLICE("r"), .port = (uint16_t)(i / 2 + 1), .replica = true}; /* each twice */
        coffer__endpoint_replicas_add(primary, coffer__endpoints_intern(all, &one));
    }
    coffer__endpoint_replicas_add(primary, reader); /* one too many */
    coffer__endpoint_replicas_end(primary);
    for (uint16_t i = 0; i < COFFER__REPLICAS_MOST; i++) {
        assert_int_equal(coffer__endpoint_replica(primary, i)->port, i + 1);
    }
    assert_null(coffer__endpoint_replica(primary, COFFER__REPLICAS_MOST));
    coffer__endpoint_replicas_begin(primary);
    assert_non_null(coffer__endpoint_replica(primary, 0)); /* never empty meanwhile */
    coffer__endpoint_replicas_add(primary, reader);
    coffer__endpoint_replicas_end(primary);
    assert_ptr_equal(coffer__endpoint_replica(primary, 0), reader);
    assert_null(coffer__endpoint_replica(primary, 1));
    coffer__endpoints_free(all);
}

static void test_there_is_an_end_to_them(void **state) {
    (void)state;
    coffer__endpoints *all = coffer__endpoints_new();
    size_t made = 0;
    for (unsigned i = 0; i < COFFER__ENDPOINTS_MOST + 10u; i++) {
        char host[16];
        snprintf(host, sizeof host, "h%u", i);
        coffer_endpoint wanted = at(host, 1);
        made += coffer__endpoints_intern(all, &wanted) != NULL;
    }
    assert_int_equal(made, COFFER__ENDPOINTS_MOST);
    coffer_endpoint known = at("h7", 1);
    assert_non_null(coffer__endpoints_intern(all, &known));
    coffer__endpoints_free(all);
}

static void test_short_memory(void **state) {
    (void)state;
    for (size_t n = 0; n < 4; n++) {
        watched_alloc_begin(n);
        coffer__endpoints *all = coffer__endpoints_new();
        coffer_endpoint wanted = at("a", 1);
        const coffer_endpoint *one = all == NULL ? NULL : coffer__endpoints_intern(all, &wanted);
        assert_int_equal(one != NULL, n >= 3);
        coffer__endpoints_free(all);
        assert_int_equal(watched_alloc.live_bytes, 0);
        watched_alloc_end();
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equal_ones_are_one),
        cmocka_unit_test(test_time_outs_in_a_row_are_counted),
        cmocka_unit_test(test_replicas_are_listed_anew),
        cmocka_unit_test(test_there_is_an_end_to_them),
        cmocka_unit_test(test_short_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
