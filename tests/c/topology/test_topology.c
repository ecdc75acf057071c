/* coffer__topology: the kinds behind one front, and when a refresh is due. */
#include "topology/topology.h"

#include "policy/options_internal.h"
#include "support/watched_alloc.h"
#include "topology/replies.h"
#include "topology/slots.h"

static coffer__topology *open_topology(const char *url) {
    coffer_options *options = coffer_options_new();
    coffer__topology *topology = NULL;
    assert_int_equal(coffer_options_set_url(options, coffer_slice_text(url), NULL), COFFER_OK);
    assert_int_equal(coffer__topology_new(&topology, options), COFFER_OK);
    coffer_options_free(options);
    return topology;
}

static void assert_is(const coffer_endpoint *endpoint, const char *host, uint16_t port) {
    assert_non_null(endpoint);
    assert_true(coffer_slice_equal(endpoint->host, coffer_slice_text(host)));
    assert_int_equal(endpoint->port, port);
}

#define THREE_NODES "*3\r\n" RANGE(0, 5460, NODE("1\r\na", 7000)) RANGE(5461, 10922, NODE("1\r\nb", 7001)) RANGE(10923, 16383, NODE("1\r\nc", 7002))

static void refresh(coffer__topology *topology, uint64_t now_ms, const char *answer) {
    coffer__refresh asking;
    assert_true(coffer__topology_begin(topology, now_ms, &asking));
    assert_non_null(coffer__topology_ask(topology, &asking));
    coffer__reply reply = reply_of(answer);
    assert_int_equal(coffer__topology_learn(topology, &asking, &reply), COFFER_OK);
    coffer__reply_free(&reply);
    assert_int_equal(coffer__topology_settle(topology, &asking), COFFER_OK);
    coffer__topology_end(topology, COFFER_OK, "", now_ms);
}

static void test_one_server_for_all_keys(void **state) {
    (void)state;
    coffer__topology *topology = open_topology("redis://cache:6380");
    const coffer_endpoint *one = coffer__topology_endpoint(topology, COFFER_SLICE("a"), NULL);
    assert_is(one, "cache", 6380);
    assert_ptr_equal(coffer__topology_endpoint(topology, COFFER_SLICE("b"), one), one);
    assert_false(coffer__topology_is_routed(topology));
    coffer__topology_doubt(topology, 5);
    assert_false(coffer__topology_is_due(topology, UINT64_MAX - 1));
    coffer__topology_free(topology);
}

static void test_a_key_goes_where_its_slot_is(void **state) {
    (void)state;
    coffer__topology *topology = open_topology("redis+cluster://seed:7009");
    assert_true(coffer__topology_is_routed(topology));
    assert_false(coffer__topology_is_known(topology));
    assert_null(coffer__topology_endpoint(topology, COFFER_SLICE("foo"), NULL));
    refresh(topology, 0, THREE_NODES);
    assert_true(coffer__topology_is_known(topology));
    assert_is(coffer__topology_endpoint(topology, COFFER_SLICE("foo"), NULL), "c", 7002); /* 12182 */
    assert_is(coffer__topology_endpoint(topology, COFFER_SLICE("bar"), NULL), "a", 7000); /* 5061 */
    const coffer_endpoint *any = coffer__topology_endpoint(topology, COFFER_SLICE(""), NULL);
    assert_ptr_not_equal(coffer__topology_endpoint(topology, COFFER_SLICE(""), any), any);
    coffer__topology_free(topology);
}

static void test_a_redirect_is_learnt_or_not(void **state) {
    (void)state;
    coffer__topology *topology = open_topology("redis+cluster://seed:7009");
    refresh(topology, 0, THREE_NODES);
    const coffer_endpoint *c = coffer__topology_endpoint(topology, COFFER_SLICE("foo"), NULL);
    coffer__redirect redirect;
    assert_true(coffer__redirect_read(COFFER_SLICE("ASK 12182 :7001"), &redirect));
    assert_is(coffer__topology_redirected(topology, &redirect, c, false), "c", 7001);
    assert_ptr_equal(coffer__topology_endpoint(topology, COFFER_SLICE("foo"), NULL), c);
    assert_true(coffer__redirect_read(COFFER_SLICE("MOVED 12182 d:7003"), &redirect));
    const coffer_endpoint *d = coffer__topology_redirected(topology, &redirect, c, true);
    assert_is(d, "d", 7003);
    assert_ptr_equal(coffer__topology_endpoint(topology, COFFER_SLICE("foo"), NULL), d);
    coffer__refresh asking; /* and the next question goes to it, who knows */
    coffer__topology_doubt(topology, 1000);
    assert_true(coffer__topology_begin(topology, 2000, &asking));
    assert_ptr_equal(coffer__topology_ask(topology, &asking), d);
    coffer__topology_end(topology, COFFER_CONNECT, "refused", 2000);
    coffer__topology_free(topology);
}

static void test_one_refresh_at_a_time_and_not_too_often(void **state) {
    (void)state;
    coffer__topology *topology = open_topology("redis+cluster://seed:7009");
    coffer__refresh asking, other;
    assert_true(coffer__topology_is_due(topology, 1)); /* at once */
    assert_true(coffer__topology_begin(topology, 1, &asking));
    coffer__topology_doubt(topology, 2);
    assert_false(coffer__topology_begin(topology, 1000, &other));
    coffer__topology_end(topology, COFFER_OK, "", 1000);
    coffer__topology_doubt(topology, 1001);
    assert_false(coffer__topology_is_due(topology, 1249));
    assert_true(coffer__topology_is_due(topology, 1376));
    assert_true(coffer__topology_begin(topology, 1376, &other));
    coffer__topology_end(topology, COFFER_OK, "", 1376);
    assert_false(coffer__topology_is_due(topology, 1376 + 26999)); /* nothing doubted: every half a minute */
    assert_true(coffer__topology_is_due(topology, 1376 + 33000));
    coffer__topology_free(topology);
}

static void test_who_learns_nothing_asks_again_but_slower(void **state) {
    (void)state;
    coffer__topology *topology = open_topology("redis+cluster://seed:7009");
    uint64_t now_ms = 1;
    for (unsigned i = 0; i < 40; i++) {
        coffer__refresh asking;
        assert_true(coffer__topology_begin(topology, now_ms, &asking));
        coffer__topology_end(topology, COFFER_CONNECT, "refused", now_ms);
        uint64_t due_ms = coffer__topology_due_ms(topology);
        assert_in_range(due_ms, now_ms + 250, now_ms + 2000);
        now_ms = due_ms;
    }
    coffer__topology_free(topology);
}

static void test_every_seed_is_asked_and_then_none(void **state) {
    (void)state;
    coffer__topology *topology = open_topology("redis+cluster://x:1,y:2,[::1]:3");
    coffer__refresh asking;
    assert_true(coffer__topology_begin(topology, 1, &asking));
    assert_is(coffer__topology_ask(topology, &asking), "x", 1);
    assert_is(coffer__topology_ask(topology, &asking), "y", 2);
    assert_is(coffer__topology_ask(topology, &asking), "::1", 3);
    assert_null(coffer__topology_ask(topology, &asking));
    coffer__topology_end(topology, COFFER_CONNECT, "refused", 1);
    assert_true(coffer__topology_begin(topology, 5000, &asking));
    assert_is(coffer__topology_ask(topology, &asking), "x", 1);
    coffer__topology_end(topology, COFFER_TIMEOUT, "silent", 5000);
    assert_true(coffer__topology_begin(topology, 9000, &asking)); /* not x again, which says nothing until the deadline */
    assert_is(coffer__topology_ask(topology, &asking), "y", 2);
    coffer__topology_end(topology, COFFER_AGAIN, "", 9000); /* given up: somebody else goes on */
    assert_true(coffer__topology_begin(topology, 9000, &asking));
    coffer__topology_end(topology, COFFER_CONNECT, "refused", 5000);
    coffer__topology_free(topology);
}

static void test_two_time_outs_in_a_row_are_a_doubt(void **state) {
    (void)state;
    coffer__topology *topology = open_topology("redis+cluster://seed:7009");
    refresh(topology, 1, THREE_NODES);
    const coffer_endpoint *c = coffer__topology_endpoint(topology, COFFER_SLICE("foo"), NULL);
    coffer__topology_timed_out(topology, c, 5000);
    coffer__topology_answered(topology, c);
    coffer__topology_timed_out(topology, c, 5000);
    assert_false(coffer__topology_is_due(topology, 5000));
    coffer__topology_timed_out(topology, c, 5000);
    assert_true(coffer__topology_is_due(topology, 5000));
    coffer__topology_free(topology);
}

static void test_a_failure_is_told_until_the_next_attempt(void **state) {
    (void)state;
    coffer__topology *topology = open_topology("redis+cluster://seed:7009");
    coffer__refresh asking;
    char why[COFFER__TOPOLOGY_WHY_CAP];
    assert_int_equal(coffer__topology_failure(topology, 1, why), COFFER_OK); /* nobody has asked yet */
    assert_true(coffer__topology_begin(topology, 1, &asking));
    assert_int_equal(coffer__topology_failure(topology, 1, why), COFFER_OK); /* somebody does */
    coffer__topology_end(topology, COFFER_CONNECT, "refused", 10);
    assert_int_equal(coffer__topology_failure(topology, 11, why), COFFER_CONNECT);
    assert_string_equal(why, "refused");
    assert_int_equal(coffer__topology_failure(topology, 5000, why), COFFER_OK); /* the next is due */
    coffer__topology_free(topology);
}

static void test_a_forked_child_asks_for_itself(void **state) {
    (void)state;
    coffer__topology *topology = open_topology("redis+cluster://seed:7009");
    coffer__refresh asking;
    assert_true(coffer__topology_begin(topology, 1, &asking));
    coffer__topology_after_fork(topology);
    assert_true(coffer__topology_begin(topology, 2, &asking));
    coffer__topology_end(topology, COFFER_CONNECT, "refused", 2);
    coffer__topology_free(topology);
}

static void test_short_memory(void **state) {
    (void)state;
    coffer_options *options = coffer_options_new();
    assert_int_equal(coffer_options_set_url(options, COFFER_SLICE("redis+cluster://a:1,b:2"), NULL), COFFER_OK);
    coffer_status status = COFFER_NO_MEMORY;
    for (size_t n = 0; status != COFFER_OK; n++) {
        coffer__topology *topology = NULL;
        watched_alloc_begin(n);
        status = coffer__topology_new(&topology, options);
        assert_int_equal(status, topology == NULL ? COFFER_NO_MEMORY : COFFER_OK);
        coffer__topology_free(topology);
        assert_int_equal(watched_alloc.live_bytes, 0);
        watched_alloc_end();
    }
    coffer_options_free(options);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_server_for_all_keys),
        cmocka_unit_test(test_a_key_goes_where_its_slot_is),
        cmocka_unit_test(test_a_redirect_is_learnt_or_not),
        cmocka_unit_test(test_one_refresh_at_a_time_and_not_too_often),
        cmocka_unit_test(test_who_learns_nothing_asks_again_but_slower),
        cmocka_unit_test(test_every_seed_is_asked_and_then_none),
        cmocka_unit_test(test_two_time_outs_in_a_row_are_a_doubt),
        cmocka_unit_test(test_a_failure_is_told_until_the_next_attempt),
        cmocka_unit_test(test_a_forked_child_asks_for_itself),
        cmocka_unit_test(test_short_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
