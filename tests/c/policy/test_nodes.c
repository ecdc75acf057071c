/* coffer__nodes_next: lists of servers. */
#include "policy/nodes.h"

#include "support/cmocka_all.h"

static void test_lists_are_read(void **state) {
    (void)state;
    static const struct {
        const char *host;
        uint16_t port;
    } expected[] = {{"a", 7000}, {"b.internal", 0}, {"::1", 7002}, {"::2", 0}, {"10.0.0.1", 65535}};
    coffer_slice rest = COFFER_SLICE("a:7000,b.internal,[::1]:7002,[::2],10.0.0.1:65535");
    coffer__node_name name;
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        assert_int_equal(coffer__nodes_next(&rest, &name), COFFER__NODES_ONE);
        assert_true(coffer_slice_equal(name.host, coffer_slice_text(expected[i].host)));
        assert_int_equal(name.port, expected[i].port);
    }
    assert_int_equal(coffer__nodes_next(&rest, &name), COFFER__NODES_END);
}

static void test_others_are_refused(void **state) {
    (void)state;
    static const char *const bad[] = {"",     ",",     "a,",   ",a",     "a,,b",   "a:",    "a:0", "a:65536", "a:b",     "a:1:2", "::1",
                                      "[::1", "[a]:1", "[]:1", "[::1]1", "[::1]:", "a b:1", "a/b", "u@a:1",   "a:1;b:2", "\x7F",  "a:000001"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (coffer__nodes_are_fit(coffer_slice_text(bad[i]))) {
            fail_msg("'%s' was accepted", bad[i]);
        }
    }
}

static void test_there_are_64_at_most(void **state) {
    (void)state;
    char text[256] = "a";
    for (int i = 1; i < 64; i++) {
        strcat(text, ",a");
    }
    assert_true(coffer__nodes_are_fit(coffer_slice_text(text)));
    strcat(text, ",a");
    assert_false(coffer__nodes_are_fit(coffer_slice_text(text)));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lists_are_read),
        cmocka_unit_test(test_others_are_refused),
        cmocka_unit_test(test_there_are_64_at_most),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
