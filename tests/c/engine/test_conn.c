/* A server that says too much: a conn fails at the first byte that is wrong, and costs no more however much follows. */
#include "engine/helpers.h"
#include "support/watched_alloc.h"

#include <unistd.h>

static void greet(world *w) {
    write_all(w);
    assert_int_equal(feed(w, greeted), COFFER_OK);
    assert_true(coffer_conn_idle(w->conn));
}

static void ask(world *w) {
    begin_get(w);
    assert_int_equal(coffer_call_send(w->action.call, w->conn), COFFER_OK);
    write_all(w);
}

static coffer_status answer_of(world *w) {
    assert_int_equal(coffer_op_next(w->op, 1, &w->action), COFFER_WANT_DONE);
    return coffer_op_status(w->op);
}

static void test_a_conn_is_not_idle_while_a_reply_is_due(void **state) {
    (void)state;
    world w;
    open_world(&w);
    greet(&w);
    ask(&w);
    assert_false(coffer_conn_idle(w.conn));
    coffer_op_free(w.op); /* its reply comes all the same */
    w.op = NULL;
    assert_false(coffer_conn_idle(w.conn));
    assert_int_equal(coffer_conn_due(w.conn), 1);
    assert_int_equal(feed(&w, "$4\r\nla"), COFFER_OK);
    assert_false(coffer_conn_idle(w.conn));
    assert_int_equal(feed(&w, "te\r\n"), COFFER_OK);
    assert_true(coffer_conn_idle(w.conn));
    close_world(&w);
}

static size_t resident_bytes(void) {
    unsigned long total = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%lu %lu", &total, &resident), 2);
    fclose(file);
    return (size_t)resident * (size_t)sysconf(_SC_PAGESIZE);
}

enum { UNSOLICITED = 1000000, REPLY_BYTES = 5 };

/* So many +OK, in pieces of that many at a time. */
static void feed_unsolicited(world *w, size_t at_a_time) {
    char *piece = (char *)malloc(at_a_time * REPLY_BYTES);
    for (size_t i = 0; i < at_a_time; i++) {
        memcpy(piece + i * REPLY_BYTES, "+OK\r\n", REPLY_BYTES);
    }
    assert_int_equal(feed_bytes(w, piece, at_a_time * REPLY_BYTES), COFFER_PROTO);
    size_t requests = watched_alloc.request_count, live_bytes = watched_alloc.live_bytes, before = resident_bytes();
    for (size_t fed = at_a_time; fed < UNSOLICITED; fed += at_a_time) {
        assert_int_equal(feed_bytes(w, piece, at_a_time * REPLY_BYTES), COFFER_PROTO);
    }
    assert_int_equal(watched_alloc.request_count, requests);
    assert_int_equal(watched_alloc.live_bytes, live_bytes);
#if defined(__SANITIZE_THREAD__)
    (void)before; /* its own shadow of memory is resident too */
#else
    assert_true(resident_bytes() < before + (1 << 20));
#endif
    free(piece);
}

static void test_a_million_unsolicited_replies_fail_at_the_first_with_flat_memory(void **state) {
    (void)state;
    static const size_t at_a_time[] = {1, 1000, UNSOLICITED};
    for (size_t i = 0; i < sizeof at_a_time / sizeof at_a_time[0]; i++) {
        world w;
        watched_alloc_begin(WATCHED_NEVER);
        open_world(&w);
        greet(&w);
        size_t live_bytes = watched_alloc.live_bytes;
        feed_unsolicited(&w, at_a_time[i]);
        assert_true(watched_alloc.peak_bytes <= live_bytes + (64 << 10));
        assert_non_null(strstr(coffer_conn_message(w.conn), "nobody had asked for"));
        assert_false(coffer_conn_idle(w.conn));
        close_world(&w);
        assert_int_equal(watched_alloc.live_bytes, 0);
        watched_alloc_end();
    }
}

static char *error_line(size_t line_bytes) {
    char *line = (char *)malloc(line_bytes);
    memset(line, 'e', line_bytes);
    memcpy(line, "-ERR ", 5);
    memcpy(line + line_bytes - 2, "\r\n", 2);
    return line;
}

static void test_an_error_of_10_mib_fails_its_conn_and_one_of_64_kib_is_cut(void **state) {
    (void)state;
    enum { KEPT_BYTES = 512, LINE_BYTES = 64 << 10, LARGE_BYTES = 10 << 20 };
    const struct {
        size_t line_bytes, piece_bytes;
        coffer_status status;
    } rows[] = {{LINE_BYTES, 1000, COFFER_SERVER},
                {LINE_BYTES, LINE_BYTES, COFFER_SERVER},
                {LARGE_BYTES, 1000, COFFER_LIMIT},
                {LARGE_BYTES, LARGE_BYTES, COFFER_LIMIT}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        world w;
        watched_alloc_begin(WATCHED_NEVER);
        open_world(&w);
        greet(&w);
        ask(&w);
        char *line = error_line(rows[i].line_bytes);
        for (size_t at = 0; at < rows[i].line_bytes && coffer_conn_status(w.conn) == COFFER_OK; at += rows[i].piece_bytes) {
            size_t left = rows[i].line_bytes - at;
            feed_bytes(&w, line + at, left < rows[i].piece_bytes ? left : rows[i].piece_bytes);
        }
        free(line);
        assert_int_equal(answer_of(&w), rows[i].status);
        assert_true(strlen(coffer_op_message(w.op)) < KEPT_BYTES);
        assert_true(strlen(coffer_conn_message(w.conn)) < KEPT_BYTES);
        assert_int_equal(coffer_conn_idle(w.conn), rows[i].status == COFFER_SERVER);
        assert_true(watched_alloc.peak_bytes <= 4 * LINE_BYTES); /* guard, reader and reply hold the line once each */
        close_world(&w);
        assert_int_equal(watched_alloc.live_bytes, 0);
        watched_alloc_end();
    }
}

static void test_an_error_to_the_greeting_is_cut_too(void **state) {
    (void)state;
    enum { LINE_BYTES = 60000 };
    world w;
    open_world(&w);
    write_all(&w);
    char *line = error_line(LINE_BYTES);
    assert_true(feed_bytes(&w, line, LINE_BYTES) < 0);
    free(line);
    assert_true(strlen(coffer_conn_message(w.conn)) < 512);
    close_world(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_conn_is_not_idle_while_a_reply_is_due),
        cmocka_unit_test(test_a_million_unsolicited_replies_fail_at_the_first_with_flat_memory),
        cmocka_unit_test(test_an_error_of_10_mib_fails_its_conn_and_one_of_64_kib_is_cut),
        cmocka_unit_test(test_an_error_to_the_greeting_is_cut_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
