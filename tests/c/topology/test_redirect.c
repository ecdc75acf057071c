/* coffer__redirect_read: MOVED and ASK as nodes write them, and as nobody should. */
#include "topology/redirect.h"

#include "topology/replies.h"

static void test_redirects_are_read(void **state) {
    (void)state;
    static const struct {
        const char *text, *host;
        uint16_t slot, port;
    } good[] = {
        {"MOVED 3999 127.0.0.1:6381", "127.0.0.1", 3999, 6381},
        {"ASK 0 node-7.cache.internal:1", "node-7.cache.internal", 0, 1},
        {"MOVED 16383 ::1:65535", "::1", 16383, 65535},
        {"MOVED 1 :6379", "", 1, 6379},
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        coffer__redirect redirect;
        assert_true(coffer__redirect_read(coffer_slice_text(good[i].text), &redirect));
        assert_true(coffer_slice_equal(redirect.host, coffer_slice_text(good[i].host)));
        assert_int_equal(redirect.slot, good[i].slot);
        assert_int_equal(redirect.port, good[i].port);
    }
}

static void test_malformed_ones_are_refused(void **state) {
    (void)state;
    static const char *const bad[] = {
        "",
        "MOVED",
        "MOVED ",
        "MOVED 1",
        "MOVED 1 ",
        "MOVED 1 h",
        "MOVED 1 h:",
        "MOVED 16384 h:1",
        "MOVED x h:1",
        "MOVED  h:1",
        "MOVED -1 h:1",
        "MOVED 99999 h:1",
        "MOVED 1 h:0",
        "MOVED 1 h:65536",
        "MOVED 1 h:70000",
        "MOVED 1 h:x",
        "MOVED 1 h:1 ",
        "MOVED 1 a b:1",
        "MOVED 1 ?:1",
        "MOVED 1 h:000001",
        "MOVED 1 \x01:1",
        "MOVED 1 h\xC3:1",
        "MOVED 000001 h:1",
        "MOVED 1 h:-1",
    };
    coffer__redirect redirect;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(coffer__redirect_read(coffer_slice_text(bad[i]), &redirect));
    }
    char longest[320] = "MOVED 1 ";
    memset(longest + 8, 'h', 254);
    memcpy(longest + 8 + 254, ":1", 3);
    assert_false(coffer__redirect_read(coffer_slice_text(longest), &redirect));
    memcpy(longest + 8 + 253, ":1", 3);
    assert_true(coffer__redirect_read(coffer_slice_text(longest), &redirect));
}

static void test_a_redirect_to_who_said_it(void **state) {
    (void)state;
    const coffer_endpoint asked = at("10.0.0.1", 7000);
    static const struct {
        const char *text;
        bool is_to;
    } told[] = {{"MOVED 1 10.0.0.1:7000", true}, {"MOVED 1 :7000", true}, {"MOVED 1 :7001", false}, {"MOVED 1 10.0.0.2:7000", false}};
    for (size_t i = 0; i < sizeof told / sizeof *told; i++) {
        coffer__redirect redirect;
        assert_true(coffer__redirect_read(coffer_slice_text(told[i].text), &redirect));
        assert_int_equal(coffer__redirect_is_to(&redirect, &asked), told[i].is_to);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_redirects_are_read),
        cmocka_unit_test(test_malformed_ones_are_refused),
        cmocka_unit_test(test_a_redirect_to_who_said_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
