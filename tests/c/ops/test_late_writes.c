/* set_many when its time is over between two batches: what was not sent is said, and owed a deletion. */
#include "helpers.h"

enum { MANY = 600, AT_ONCE = 512 };

static void feed(coffer_conn *conn, const char *text, uint64_t now_ms) {
    coffer_waiter *waiter;
    coffer_conn_sent(conn, coffer_conn_output(conn).len);
    assert_int_equal(coffer_conn_feed(conn, coffer_slice_text(text), now_ms), COFFER_OK);
    while ((waiter = coffer_conn_pop_ready(conn)) != NULL) {
        coffer_waiter_free(waiter);
    }
}

/* The op once the first batch was answered, at this time. */
static coffer_op *after_first_batch(world *w, coffer_conn **conn, uint64_t later_ms) {
    static coffer_item items[MANY];
    coffer_write_options options = COFFER_WRITE_OPTIONS_INIT;
    coffer_action action;
    for (size_t i = 0; i < MANY; i++) {
        items[i] = (coffer_item){.key = COFFER_SLICE("k"), .value = COFFER_SLICE("v")};
    }
    options.timeout_ms = 100;
    coffer_op *many = NULL;
    assert_int_equal(coffer_op_set_many(&many, w->ns, items, MANY, &options), COFFER_OK);
    size_t sent = 0;
    while (coffer_op_next(many, w->now_ms, &action) == COFFER_WANT_CALL) {
        if (*conn == NULL) {
            assert_int_equal(coffer_conn_new(conn, w->client, action.endpoint, w->now_ms), COFFER_OK);
            feed(*conn, "*0\r\n-ERR no clock\r\n", w->now_ms);
        }
        assert_int_equal(coffer_call_send(action.call, *conn), COFFER_OK);
        sent++;
    }
    assert_int_equal(sent, AT_ONCE);
    for (size_t i = 0; i < AT_ONCE; i++) {
        feed(*conn, "+OK\r\n", w->now_ms + later_ms);
    }
    w->now_ms += later_ms;
    return many;
}

static uint64_t owed(const world *w) {
    coffer_health health = COFFER_HEALTH_INIT;
    assert_int_equal(coffer_namespace_health(w->ns, w->now_ms, &health), COFFER_OK);
    uint64_t count = health.owed_count;
    coffer_health_clear(&health);
    return count;
}

static void end_late(const char *url, coffer_status status) {
    world w;
    coffer_conn *conn = NULL;
    coffer_action action;
    open_world(&w, url);
    coffer_op *many = after_first_batch(&w, &conn, 100);
    assert_int_equal(coffer_op_next(many, w.now_ms, &action), COFFER_WANT_DONE);
    assert_int_equal(coffer_op_status(many), status);
    assert_int_equal(coffer_op_item(many, AT_ONCE - 1, NULL), COFFER_OK);
    assert_int_equal(coffer_op_item(many, AT_ONCE, NULL), COFFER_NOT_SENT);
    assert_int_equal(owed(&w), 1);
    coffer_op_free(many);
    coffer_conn_free(conn);
    close_world(&w);
}

static void test_what_there_was_no_time_for_is_no_success(void **state) {
    (void)state;
    end_late("redis://127.0.0.1:1?on_outage=error", COFFER_TIMEOUT);
    end_late("redis://127.0.0.1:1", COFFER_NOT_STORED);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_there_was_no_time_for_is_no_success),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
