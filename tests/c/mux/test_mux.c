/* The way of an op through a mux, and its ends. */
#include "mux/helpers.h"
#include "support/watched_alloc.h"

/* ---- the way of an op ------------------------------------------------------------------------------------------------ */

static void test_what_is_asked_in_one_turn_is_one_write_and_each_gets_its_own_reply(void **state) {
    (void)state;
    world w;
    open_raw(&w);
    coffer_task *a = get(&w, "a"), *b = get(&w, "b");
    assert_int_equal(coffer_task_want(a), COFFER_WANT_REPLY);
    uint32_t link = connect_last(&w);
    assert_int_equal(w.connect_count, 1);
    assert_int_equal(w.write_count, 1);
    assert_non_null(strstr(w.sent, ":a\r\n*2"));
    assert_non_null(strstr(strstr(w.sent, ":a\r\n*2"), ":b\r\n"));
    assert_null(coffer_mux_next_stopped(w.mux));
    feed(&w, link, "$1\r\nA\r\n$1");
    assert_stopped(&w, a);
    assert_null(coffer_mux_next_stopped(w.mux));
    assert_value(a, "A");
    feed(&w, link, "\r\nB\r\n");
    assert_stopped(&w, b);
    assert_value(b, "B");
    coffer_task_free(a);
    coffer_task_free(b);
    close_world(&w);
}

static void test_an_op_that_needs_no_server_is_done_at_once(void **state) {
    (void)state;
    world w;
    open_raw(&w);
    coffer_task *refused = get(&w, "");
    assert_int_equal(coffer_task_want(refused), COFFER_WANT_DONE);
    assert_int_equal(coffer_task_status(refused), COFFER_KEY_INVALID);
    assert_null(coffer_mux_next_stopped(w.mux));
    obey(&w);
    assert_int_equal(w.connect_count, 0);
    coffer_task_free(refused);
    close_world(&w);
}

static void test_in_memory_nothing_is_ever_due(void **state) {
    (void)state;
    world w;
    open_world(&w, "mem://");
    coffer_task *miss = get(&w, "k");
    assert_int_equal(coffer_task_status(miss), COFFER_MISS);
    assert_true(coffer_mux_due_us(w.mux) == UINT64_MAX);
    coffer_task_free(miss);
    close_world(&w);
}

static void test_a_reply_to_an_op_that_is_gone_goes_to_nobody(void **state) {
    (void)state;
    world w;
    open_raw(&w);
    coffer_task *first = get(&w, "first");
    uint32_t link = connect_last(&w);
    coffer_task_free(first);
    coffer_task *second = get(&w, "second"); /* in the same memory, very likely */
    obey(&w);
    feed(&w, link, "$5\r\nFIRST\r\n");
    assert_null(coffer_mux_next_stopped(w.mux));
    feed(&w, link, "$6\r\nSECOND\r\n");
    assert_stopped(&w, second);
    assert_value(second, "SECOND");
    coffer_task_free(second);
    close_world(&w);
}

static void test_a_call_given_up_before_its_connection_is_there_is_never_sent(void **state) {
    (void)state;
    world w;
    open_raw(&w);
    coffer_task *gone = get(&w, "gone"), *stays = get(&w, "stays");
    coffer_task_free(gone);
    uint32_t link = connect_last(&w);
    assert_null(strstr(w.sent, "gone"));
    feed(&w, link, "$-1\r\n");
    assert_ended(&w, stays, COFFER_MISS);
    close_world(&w);
}

/* ---- ends ------------------------------------------------------------------------------------------------------------ */

static void test_a_deadline_is_kept_by_the_tick(void **state) {
    (void)state;
    world w;
    open_raw(&w);
    coffer_task *task = get(&w, "k");
    connect_last(&w);
    assert_true(coffer_mux_due_us(w.mux) <= w.now_us + (uint64_t)TIMEOUT_MS * MS);
    move(&w, TIMEOUT_MS - 1);
    assert_null(coffer_mux_next_stopped(w.mux));
    move(&w, 1);
    assert_ended(&w, task, COFFER_TIMEOUT);
    close_world(&w);
}

static void test_a_connection_that_cannot_be_made_fails_those_who_wait_for_it_in_words(void **state) {
    (void)state;
    world w;
    open_raw(&w);
    coffer_task *task = get(&w, "k");
    obey(&w);
    coffer_mux_lost(w.mux, w.connecting[0], COFFER_CONNECT, "nobody is there", w.now_us);
    assert_stopped(&w, task);
    assert_int_equal(coffer_task_status(task), COFFER_CONNECT);
    assert_non_null(strstr(coffer_task_message(task), "nobody is there"));
    coffer_task_free(task);
    coffer_task *next = get(&w, "k"); /* tries again */
    uint32_t link = connect_last(&w);
    assert_int_not_equal(link, w.connecting[0]);
    feed(&w, w.connecting[0], "$4\r\nlate\r\n"); /* of the one before, which had the same place */
    feed(&w, link, "$1\r\nA\r\n");
    assert_stopped(&w, next);
    assert_value(next, "A");
    coffer_task_free(next);
    close_world(&w);
}

static void test_a_read_whose_connection_broke_is_asked_once_more_and_a_write_is_not(void **state) {
    (void)state;
    world w;
    open_raw(&w);
    coffer_op *op;
    coffer_task *read = get(&w, "read");
    assert_int_equal(coffer_op_increment(&op, w.ns, COFFER_SLICE("n"), 1, NULL), COFFER_OK);
    coffer_task *write = submit(&w, op);
    uint32_t link = connect_last(&w);
    coffer_mux_lost(w.mux, link, COFFER_CLOSED, NULL, w.now_us);
    assert_ended(&w, write, COFFER_MAYBE_APPLIED);
    uint32_t second = connect_last(&w);
    assert_int_not_equal(link, second);
    feed(&w, second, "$1\r\nA\r\n");
    assert_ended(&w, read, COFFER_OK);
    assert_int_equal(w.close_count, 0); /* it was the driver who said that it is gone */
    close_world(&w);
}

static void test_closing_ends_all_that_is_under_way(void **state) {
    (void)state;
    world w;
    open_raw(&w);
    coffer_task *sent = get(&w, "sent");
    uint32_t link = connect_last(&w);
    coffer_task *late = get(&w, "late");
    coffer_mux_close(w.mux);
    obey(&w);
    assert_int_equal(w.closed[0], link);
    assert_ended(&w, sent, COFFER_CLOSED_CACHE);
    assert_ended(&w, late, COFFER_CLOSED_CACHE);
    coffer_op *op;
    coffer_task *refused;
    assert_int_equal(coffer_op_get(&op, w.ns, COFFER_SLICE("k"), NULL), COFFER_OK);
    assert_int_equal(coffer_mux_submit(w.mux, op, NULL, w.now_us, &refused), COFFER_CLOSED_CACHE);
    coffer_op_free(op);
    assert_true(coffer_mux_due_us(w.mux) == UINT64_MAX);
    close_world(&w);
}

/* ---- memory ---------------------------------------------------------------------------------------------------------- */

/* One get, where the n-th request for memory is refused: whatever comes of it, nothing leaks and nothing hangs. */
static bool get_without_memory(size_t nth) {
    world w;
    coffer_op *op;
    coffer_task *task;
    watched_alloc_begin(WATCHED_NEVER);
    open_raw(&w);
    watched_alloc_fail_once(nth);
    size_t refused = watched_alloc.refused_count;
    if (coffer_op_get(&op, w.ns, COFFER_SLICE("k"), NULL) == COFFER_OK) {
        if (coffer_mux_submit(w.mux, op, NULL, w.now_us, &task) != COFFER_OK) {
            coffer_op_free(op);
        } else {
            obey(&w);
            for (size_t i = 0; i < w.connect_count && i < LINKS_MOST; i++) {
                coffer_mux_opened(w.mux, w.connecting[i], nobody, nobody, w.now_us);
                obey(&w);
                feed(&w, w.connecting[i], greeted);
                obey(&w);
                feed(&w, w.connecting[i], "$1\r\nA\r\n");
                obey(&w);
            }
            move(&w, TIMEOUT_MS);
            assert_int_equal(coffer_task_want(task), COFFER_WANT_DONE);
            coffer_task_free(task);
        }
    }
    refused = watched_alloc.refused_count - refused;
    watched_alloc_dry_after(WATCHED_NEVER);
    close_world(&w);
    assert_int_equal(watched_alloc.live_bytes, 0);
    watched_alloc_end();
    return refused > 0;
}

static void test_any_allocation_may_fail(void **state) {
    (void)state;
    size_t nth = 1;
    while (nth < 500 && get_without_memory(nth)) {
        nth++;
    }
    assert_in_range(nth, 10, 499);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_asked_in_one_turn_is_one_write_and_each_gets_its_own_reply),
        cmocka_unit_test(test_an_op_that_needs_no_server_is_done_at_once),
        cmocka_unit_test(test_in_memory_nothing_is_ever_due),
        cmocka_unit_test(test_a_reply_to_an_op_that_is_gone_goes_to_nobody),
        cmocka_unit_test(test_a_call_given_up_before_its_connection_is_there_is_never_sent),
        cmocka_unit_test(test_a_deadline_is_kept_by_the_tick),
        cmocka_unit_test(test_a_connection_that_cannot_be_made_fails_those_who_wait_for_it_in_words),
        cmocka_unit_test(test_a_read_whose_connection_broke_is_asked_once_more_and_a_write_is_not),
        cmocka_unit_test(test_closing_ends_all_that_is_under_way),
        cmocka_unit_test(test_any_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
