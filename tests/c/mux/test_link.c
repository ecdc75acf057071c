/* Connections: held back, released, more than one, too slow, silent, unused. */
#include "mux/helpers.h"

static void test_what_is_held_back_is_written_later(void **state) {
    (void)state;
    world w;
    open_raw(&w);
    coffer_task *first = get(&w, "first");
    uint32_t link = connect_last(&w);
    coffer_mux_hold(w.mux, link, true);
    coffer_task *second = get(&w, "second");
    w.sent_bytes = 0;
    obey(&w);
    assert_int_equal(w.sent_bytes, 0);
    coffer_mux_hold(w.mux, link, false);
    obey(&w);
    assert_non_null(strstr(w.sent, "second"));
    coffer_task_free(first);
    coffer_task_free(second);
    close_world(&w);
}

static void test_a_socket_that_was_released_is_logged_in_when_it_comes_back(void **state) {
    (void)state;
    world w;
    open_raw(&w);
    coffer_task *task = get(&w, "k");
    uint32_t link = connect_last(&w);
    assert_false(coffer_mux_release(w.mux, link)); /* a reply is due */
    feed(&w, link, "$-1\r\n");
    assert_ended(&w, task, COFFER_MISS);
    assert_true(coffer_mux_link_idle(w.mux, link));
    assert_true(coffer_mux_release(w.mux, link));
    obey(&w);
    assert_int_equal(w.close_count, 0);
    task = get(&w, "again");
    obey(&w);
    assert_int_equal(w.connect_count, 2);
    w.sent_bytes = 0;
    coffer_mux_reopened(w.mux, w.connecting[1], w.now_us);
    obey(&w);
    assert_null(strstr(w.sent, "HELLO"));
    assert_non_null(strstr(w.sent, "again"));
    feed(&w, w.connecting[1], "$1\r\nA\r\n");
    assert_ended(&w, task, COFFER_OK);
    close_world(&w);
}

static void test_more_connections_are_made_where_the_option_says_so_and_all_are_busy(void **state) {
    (void)state;
    world w;
    open_world(&w, "redis://scripted?raw=true&timeout=1s&loop_connections=2");
    coffer_task *tasks[3];
    for (size_t i = 0; i < 3; i++) {
        tasks[i] = get(&w, "k");
    }
    obey(&w);
    assert_int_equal(w.connect_count, 2);
    for (size_t i = 0; i < 3; i++) {
        coffer_task_free(tasks[i]);
    }
    close_world(&w);
}

static void test_credentials_of_the_driver_are_those_that_log_in(void **state) {
    (void)state;
    world w;
    open_raw(&w);
    coffer_task *task = get(&w, "k");
    obey(&w);
    coffer_mux_opened(w.mux, w.connecting[0], COFFER_SLICE("ada"), COFFER_SLICE("secret"), w.now_us);
    obey(&w);
    assert_non_null(strstr(w.sent, "AUTH\r\n$3\r\nada\r\n$6\r\nsecret"));
    coffer_task_free(task);
    close_world(&w);
}

static void test_connections_are_counted(void **state) {
    (void)state;
    world w;
    open_raw(&w);
    coffer_metrics metrics = {.struct_size = sizeof metrics};
    coffer_task *task = get(&w, "k");
    obey(&w);
    coffer_mux_lost(w.mux, w.connecting[0], COFFER_CONNECT, NULL, w.now_us);
    assert_ended(&w, task, COFFER_CONNECT);
    task = get(&w, "k");
    connect_last(&w);
    coffer_mux_add_metrics(w.mux, &metrics);
    assert_int_equal(metrics.connections_open, 1);
    assert_int_equal(metrics.connections_made, 1);
    assert_int_equal(metrics.connections_failed, 1);
    coffer_task_free(task);
    close_world(&w);
}

static void test_a_connection_that_takes_too_long_is_given_up(void **state) {
    (void)state;
    world w;
    open_raw(&w);
    coffer_task *task = get(&w, "k");
    obey(&w);
    move(&w, TIMEOUT_MS);
    assert_ended(&w, task, COFFER_TIMEOUT);
    move(&w, 200);
    assert_int_equal(w.close_count, 1);
    assert_int_equal(w.closed[0], w.connecting[0]);
    coffer_mux_opened(w.mux, w.connecting[0], nobody, nobody, w.now_us); /* too late: ignored */
    obey(&w);
    assert_int_equal(w.write_count, 0);
    close_world(&w);
}

static const char map[] = "*1\r\n*3\r\n:0\r\n:16383\r\n*3\r\n$8\r\nscripted\r\n:6379\r\n$1\r\n1\r\n";

static void set(world *w, const char *key) {
    coffer_op *op;
    assert_int_equal(coffer_op_set(&op, w->ns, coffer_slice_text(key), COFFER_SLICE("v"), NULL), COFFER_OK);
    submit(w, op);
}

/* Three keys are owed a deletion on the one node of a cluster; its connection is lost. */
static void owe_three(world *w) {
    static const char *const keys[] = {"1", "2", "3"};
    for (size_t i = 0; i < 3; i++) {
        set(w, keys[i]);
    }
    uint32_t link = connect_last(w);
    feed(w, link, map);
    move(w, 20); /* a call that waits for the map looks again */
    coffer_mux_lost(w->mux, link, COFFER_CLOSED, NULL, w->now_us);
    for (size_t i = 0; i < 3; i++) {
        coffer_task *task = coffer_mux_next_stopped(w->mux);
        assert_int_equal(coffer_task_status(task), COFFER_MAYBE_APPLIED);
        coffer_task_free(task);
    }
}

/* What an order lends is not written to behind it: so what the client itself asks for in that call goes with it, not after it. */
static void test_what_the_client_asks_for_as_an_order_is_taken_goes_with_it(void **state) {
    (void)state;
    world w;
    coffer_order order;
    bool asked = false;
    open_world(&w, "redis+cluster://scripted?raw=true&timeout=1s&on_outage=error&breaker=false");
    coffer_task *task = get(&w, "k");
    uint32_t link = connect_last(&w);
    feed(&w, link, map);
    move(&w, 20);
    feed(&w, link, "$-1\r\n");
    assert_ended(&w, task, COFFER_MISS);
    w.now_us += (uint64_t)20000 * MS;
    for (int i = 0; i < 30000 && !asked; i++) { /* for the map, every half a minute or so */
        task = get(&w, "k");
        w.now_us += MS;
        while (coffer_mux_next_order(w.mux, w.now_us, &order)) {
            assert_int_equal(order.kind, COFFER_ORDER_WRITE);
            assert_memory_equal(order.data.data, "*2\r\n$3\r\nGET", 11);
            asked = asked || order.data.data[order.data.len - 3] == 'S'; /* CLUSTER SLOTS */
        }
        coffer_task_free(task);
    }
    assert_true(asked);
    close_world(&w);
}

static void test_what_was_given_up_before_its_connection_is_there_is_not_sent_though_its_op_goes_on(void **state) {
    (void)state;
    static const coffer_slice keys[] = {{"4", 1}, {"5", 1}, {"6", 1}, {"7", 1}, {"8", 1}, {"9", 1}};
    world w;
    coffer_op *op;
    open_world(&w, "redis+cluster://scripted?raw=true&timeout=1s&on_outage=error&breaker=false");
    owe_three(&w);
    assert_int_equal(coffer_op_get_many(&op, w.ns, keys, 6, NULL), COFFER_OK);
    coffer_task *many = submit(&w, op);
    obey(&w);
    move(&w, TIMEOUT_MS / 4); /* which is what the deletions may take */
    connect_last(&w);
    assert_null(strstr(w.sent, "UNLINK"));
    assert_non_null(strstr(w.sent, ":9\r\n"));
    coffer_task_free(many);
    close_world(&w);
}

static void test_a_server_that_falls_silent_loses_its_connection(void **state) {
    (void)state;
    world w;
    open_raw(&w);
    coffer_task *task = get(&w, "k");
    uint32_t link = connect_last(&w);
    move(&w, TIMEOUT_MS);
    assert_ended(&w, task, COFFER_TIMEOUT);
    for (int i = 0; i < 12; i++) {
        move(&w, 100);
    }
    assert_int_equal(w.close_count, 1);
    assert_int_equal(w.closed[0], link);
    close_world(&w);
}

static void test_an_unused_connection_is_closed(void **state) {
    (void)state;
    world w;
    open_world(&w, "redis://scripted?raw=true&timeout=1s&pool_idle_timeout=3s");
    coffer_task *task = get(&w, "k");
    uint32_t link = connect_last(&w);
    feed(&w, link, "$-1\r\n");
    assert_ended(&w, task, COFFER_MISS);
    move(&w, 2000);
    assert_int_equal(w.close_count, 0);
    move(&w, 1000);
    assert_int_equal(w.close_count, 1);
    close_world(&w);
}

static void test_bytes_that_are_no_reply_close_the_connection(void **state) {
    (void)state;
    world w;
    open_raw(&w);
    coffer_task *task = get(&w, "k");
    uint32_t link = connect_last(&w);
    feed(&w, link, "?\r\n");
    obey(&w);
    assert_int_equal(w.close_count, 1);
    assert_ended(&w, task, COFFER_PROTO);
    feed(&w, link, "$1\r\nA\r\n"); /* what was read before the close was heard of */
    close_world(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_held_back_is_written_later),
        cmocka_unit_test(test_a_socket_that_was_released_is_logged_in_when_it_comes_back),
        cmocka_unit_test(test_more_connections_are_made_where_the_option_says_so_and_all_are_busy),
        cmocka_unit_test(test_credentials_of_the_driver_are_those_that_log_in),
        cmocka_unit_test(test_connections_are_counted),
        cmocka_unit_test(test_a_connection_that_takes_too_long_is_given_up),
        cmocka_unit_test(test_what_the_client_asks_for_as_an_order_is_taken_goes_with_it),
        cmocka_unit_test(test_what_was_given_up_before_its_connection_is_there_is_not_sent_though_its_op_goes_on),
        cmocka_unit_test(test_a_server_that_falls_silent_loses_its_connection),
        cmocka_unit_test(test_an_unused_connection_is_closed),
        cmocka_unit_test(test_bytes_that_are_no_reply_close_the_connection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
