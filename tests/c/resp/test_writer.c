#include "resp/writer.h"

#include "support/cmocka_all.h"
#include "support/watched_alloc.h"

static void assert_written(const coffer__buf *out, coffer_slice expected) {
    assert_int_equal(out->len, expected.len);
    assert_memory_equal(out->data, expected.data, expected.len);
}

static void test_a_command_is_an_array_of_bulks(void **state) {
    (void)state;
    coffer__buf out = COFFER__BUF_INIT;
    assert_true(coffer__write_command(&out, 4));
    assert_true(coffer__write_slice(&out, COFFER_SLICE("SET")));
    assert_true(coffer__write_slice(&out, COFFER_SLICE("a\r\n%s\0b")));
    assert_true(coffer__write_slice(&out, coffer_slice_of(NULL, 0)));
    assert_true(coffer__write_integer(&out, 5000));
    assert_written(&out, COFFER_SLICE("*4\r\n$3\r\nSET\r\n$7\r\na\r\n%s\0b\r\n$0\r\n\r\n$4\r\n5000\r\n"));
    coffer__buf_free(&out);
}

static void test_integers_are_written_to_their_limits(void **state) {
    (void)state;
    static const int64_t integers[] = {0, 1, 9, 10, 99, 100, -1, -10, INT64_MAX, INT64_MIN};
    for (size_t i = 0; i < sizeof integers / sizeof *integers; i++) {
        char text[32];
        char expected[64];
        snprintf(text, sizeof text, "%lld", (long long)integers[i]);
        snprintf(expected, sizeof expected, "$%zu\r\n%s\r\n", strlen(text), text);
        coffer__buf out = COFFER__BUF_INIT;
        assert_true(coffer__write_integer(&out, integers[i]));
        assert_written(&out, coffer_slice_text(expected));
        coffer__buf_free(&out);
    }
}

static void test_argv_writes_the_same_in_one_reservation(void **state) {
    (void)state;
    static char large[1000];
    const coffer_slice arguments[] = {COFFER_SLICE("MGET"), COFFER_SLICE("0123456789"), coffer_slice_of(large, sizeof large), COFFER_SLICE("")};
    coffer__buf one_by_one = COFFER__BUF_INIT;
    assert_true(coffer__write_command(&one_by_one, 4));
    for (size_t i = 0; i < 4; i++) {
        assert_true(coffer__write_slice(&one_by_one, arguments[i]));
    }
    coffer__buf out = COFFER__BUF_INIT;
    watched_alloc_begin(1);
    assert_true(coffer__write_argv(&out, arguments, 4));
    assert_written(&out, coffer__buf_slice(&one_by_one));
    coffer__buf_free(&out);
    watched_alloc_end();
    coffer__buf_free(&one_by_one);
}

static void test_without_memory_nothing_is_written(void **state) {
    (void)state;
    const coffer_slice arguments[] = {COFFER_SLICE("GET"), COFFER_SLICE("key")};
    coffer__buf out = COFFER__BUF_INIT;
    watched_alloc_begin(0);
    assert_false(coffer__write_argv(&out, arguments, 2));
    assert_false(coffer__write_command(&out, 2));
    assert_false(coffer__write_integer(&out, 2));
    assert_false(coffer__write_slice(&out, coffer_slice_of("", SIZE_MAX)));
    watched_alloc_end();
    assert_int_equal(out.len, 0);
    coffer__buf_free(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_command_is_an_array_of_bulks),
        cmocka_unit_test(test_integers_are_written_to_their_limits),
        cmocka_unit_test(test_argv_writes_the_same_in_one_reservation),
        cmocka_unit_test(test_without_memory_nothing_is_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
