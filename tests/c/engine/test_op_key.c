/* An op's key, and what it is on the server, stay right whatever their length: both live in one buffer that moves while it grows. */
#include "support/cmocka_all.h"

#include "base/buf.h"
#include "engine/engine.h"
#include "policy/key.h"

enum { LONGEST = 250 };

typedef coffer_status (*new_op)(coffer_op **op, coffer_namespace *ns, coffer_slice key, const coffer_read_options *options);

static int open_client(void **state) {
    coffer_options *options = coffer_options_new();
    coffer_clock clock = {1000, 1700000000000};
    coffer_client *client = NULL;
    coffer_namespace *ns = NULL;
    assert_int_equal(coffer_options_set(options, "prefix", COFFER_SLICE("prod"), NULL), COFFER_OK);
    assert_int_equal(coffer_client_new(&client, options, clock, NULL), COFFER_OK);
    assert_int_equal(coffer_namespace_new(&ns, client, NULL, NULL), COFFER_OK);
    coffer_client_free(client);
    coffer_options_free(options);
    *state = ns;
    return 0;
}

static int close_client(void **state) {
    coffer_namespace_free((coffer_namespace *)*state);
    return 0;
}

static void check_key(coffer_namespace *ns, new_op make, coffer_slice key, bool counter) {
    coffer__buf wire = COFFER__BUF_INIT;
    assert_true(coffer__buf_append(&wire, "prod:_:", 7));
    assert_true(coffer__key_append(&wire, key, counter));
    coffer_op *op = NULL;
    coffer_action action;
    assert_int_equal(make(&op, ns, key, NULL), COFFER_OK);
    assert_int_equal(coffer_op_next(op, 1000, &action), COFFER_WANT_DONE);
    assert_int_equal(coffer_op_status(op), COFFER_MISS);
    assert_true(coffer_slice_equal(op->key, key));
    assert_true(coffer_slice_equal(op->wire_key, coffer__buf_slice(&wire)));
    coffer_op_free(op);
    coffer__buf_free(&wire);
}

static void check_all_lengths(void **state, char byte) {
    char key[LONGEST];
    memset(key, byte, sizeof key);
    for (size_t len = 1; len <= LONGEST; len++) {
        check_key((coffer_namespace *)*state, coffer_op_get, coffer_slice_of(key, len), false);
        check_key((coffer_namespace *)*state, coffer_op_counter, coffer_slice_of(key, len), true);
    }
}

static void test_plain_keys_of_every_length(void **state) {
    check_all_lengths(state, 'k');
}

static void test_escaped_keys_of_every_length(void **state) {
    check_all_lengths(state, '%');
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain_keys_of_every_length),
        cmocka_unit_test(test_escaped_keys_of_every_length),
    };
    return cmocka_run_group_tests(tests, open_client, close_client);
}
