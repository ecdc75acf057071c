/* What a transcript cannot say of conns: bytes that come before the command they would answer, and calls that have ended before a driver sends them. */
#include "engine/helpers.h"

/* A server, or what is between, that says one thing too much in the greeting: without the guard each op of the conn would get the value before its own. */
static void test_a_reply_that_precedes_its_command_fails_the_conn(void **state) {
    (void)state;
    world w;
    open_world(&w);
    begin_get(&w);
    assert_int_equal(coffer_call_send(w.action.call, w.conn), COFFER_OK);
    write_all(&w);
    char both[64];
    snprintf(both, sizeof both, "%s$5\r\nghost\r\n", greeted);
    assert_int_equal(feed(&w, both), COFFER_PROTO);
    assert_int_equal(coffer_op_next(w.op, 1, &w.action), COFFER_WANT_DONE);
    assert_int_equal(coffer_op_value(w.op)->data.len, 0);
    assert_true(coffer_op_status(w.op) < 0);
    close_world(&w);
}

static void test_the_same_on_a_conn_that_was_idle(void **state) {
    (void)state;
    world w;
    open_world(&w);
    write_all(&w);
    assert_int_equal(feed(&w, greeted), COFFER_OK);
    begin_get(&w);
    assert_int_equal(coffer_call_send(w.action.call, w.conn), COFFER_OK);
    assert_int_equal(feed(&w, "$5\r\nghost\r\n"), COFFER_PROTO);
    assert_int_equal(coffer_op_next(w.op, 1, &w.action), COFFER_WANT_DONE);
    assert_int_equal(coffer_op_value(w.op)->data.len, 0);
    close_world(&w);
}

/* On a unix socket the first write fails where the server has hung up already, and what it said is there to be read. */
static void test_parting_words_are_told_though_the_greeting_never_left(void **state) {
    (void)state;
    world w;
    open_world(&w);
    assert_true(feed(&w, "-ERR max number of clients reached\r\n") < 0);
    assert_non_null(strstr(coffer_conn_message(w.conn), "max number of clients"));
    close_world(&w);
    open_world(&w);
    assert_int_equal(feed(&w, "-NOPERM there is nothing yet to fall back from\r\n"), COFFER_NOPERM);
    close_world(&w);
    open_world(&w);
    assert_int_equal(feed(&w, "+OK\r\n"), COFFER_PROTO);
    close_world(&w);
}

static void test_a_call_given_up_at_the_deadline_is_never_sent(void **state) {
    (void)state;
    world w;
    open_world(&w);
    write_all(&w);
    assert_int_equal(feed(&w, greeted), COFFER_OK);
    assert_int_equal(coffer_op_set(&w.op, w.ns, COFFER_SLICE("k"), COFFER_SLICE("v"), NULL), COFFER_OK);
    coffer_action waiting;
    assert_int_equal(coffer_op_next(w.op, 0, &w.action), COFFER_WANT_CALL);
    assert_int_equal(coffer_op_next(w.op, 1000, &waiting), COFFER_WANT_DONE); /* no conn became free in time */
    assert_int_equal(coffer_op_status(w.op), COFFER_TIMEOUT);
    assert_int_not_equal(coffer_call_send(w.action.call, w.conn), COFFER_OK);
    assert_int_equal(coffer_conn_output(w.conn).len, 0);
    assert_true(coffer_conn_idle(w.conn));
    close_world(&w);
}

static void test_deadlines_end_where_time_does(void **state) {
    (void)state;
    world w;
    open_world(&w);
    coffer_read_options options = COFFER_READ_OPTIONS_INIT;
    options.timeout_ms = UINT64_MAX;
    assert_int_equal(coffer_op_get(&w.op, w.ns, COFFER_SLICE("k"), &options), COFFER_OK);
    assert_int_equal(coffer_op_next(w.op, 5, &w.action), COFFER_WANT_CALL);
    assert_true(coffer_op_deadline_ms(w.op) == UINT64_MAX);
    assert_int_equal(coffer_op_next(w.op, UINT64_MAX - 1, &w.action), COFFER_WANT_REPLY);
    coffer_op_free(w.op);
    assert_int_equal(coffer_op_get(&w.op, w.ns, COFFER_SLICE("k"), NULL), COFFER_OK);
    assert_int_equal(coffer_op_next(w.op, UINT64_MAX - 10, &w.action), COFFER_WANT_CALL);
    assert_int_equal(coffer_op_next(w.op, UINT64_MAX - 9, &w.action), COFFER_WANT_REPLY);
    close_world(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_reply_that_precedes_its_command_fails_the_conn),
        cmocka_unit_test(test_the_same_on_a_conn_that_was_idle),
        cmocka_unit_test(test_parting_words_are_told_though_the_greeting_never_left),
        cmocka_unit_test(test_a_call_given_up_at_the_deadline_is_never_sent),
        cmocka_unit_test(test_deadlines_end_where_time_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
