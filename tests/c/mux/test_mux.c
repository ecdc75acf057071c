/* Many ops over few connections, with no connection at all: the test is the event loop, and the server. */
#include "support/cmocka_all.h"
#include "support/watched_alloc.h"

#include <coffer/coffer.h>

#include <pthread.h>
#include <stdatomic.h>

enum { MS = 1000, TIMEOUT_MS = 1000, SENT_CAP = 4096, LINKS_MOST = 8 };

static const char greeted[] = "+OK\r\n*2\r\n$1\r\n1\r\n$1\r\n0\r\n";

typedef struct world {
    coffer_client *client;
    coffer_namespace *ns;
    coffer_mux *mux;
    uint64_t now_us;
    uint32_t connecting[LINKS_MOST], closed[LINKS_MOST], written; /* links of the orders that came, in their order */
    size_t connect_count, close_count, write_count;
    char sent[SENT_CAP]; /* by all writes */
    size_t sent_bytes;
} world;

static coffer_slice nobody;

static void open_world(world *w, const char *url) {
    coffer_options *options = coffer_options_new();
    coffer_error error;
    memset(w, 0, sizeof *w);
    w->now_us = (uint64_t)1000 * MS;
    assert_int_equal(coffer_options_set_url(options, coffer_slice_text(url), &error), COFFER_OK);
    assert_int_equal(coffer_client_new(&w->client, options, (coffer_clock){w->now_us / MS, 0}, &error), COFFER_OK);
    assert_int_equal(coffer_namespace_new(&w->ns, w->client, NULL, &error), COFFER_OK);
    assert_int_equal(coffer_mux_new(&w->mux, w->client, NULL, NULL), COFFER_OK);
    coffer_options_free(options);
}

static void open_raw(world *w) {
    open_world(w, "redis://scripted?raw=true&timeout=1s&on_outage=error&breaker=false");
}

/* Does what is ordered. */
static void obey(world *w) {
    coffer_order order;
    while (coffer_mux_next_order(w->mux, w->now_us, &order)) {
        switch (order.kind) {
        case COFFER_ORDER_CONNECT:
            w->connecting[w->connect_count++] = order.link;
            break;
        case COFFER_ORDER_WRITE:
            assert_true(w->sent_bytes + order.data.len < SENT_CAP);
            memcpy(w->sent + w->sent_bytes, order.data.data, order.data.len);
            w->sent_bytes += order.data.len;
            w->sent[w->sent_bytes] = '\0';
            w->written = order.link;
            w->write_count++;
            break;
        case COFFER_ORDER_CLOSE:
            w->closed[w->close_count++] = order.link;
            break;
        }
    }
}

static void close_world(world *w) {
    coffer_mux_close(w->mux);
    obey(w);
    coffer_mux_free(w->mux);
    coffer_namespace_free(w->ns);
    coffer_client_free(w->client);
}

static coffer_task *submit(world *w, coffer_op *op) {
    coffer_task *task;
    assert_int_equal(coffer_mux_submit(w->mux, op, NULL, w->now_us, &task), COFFER_OK);
    return task;
}

static coffer_task *get(world *w, const char *key) {
    coffer_op *op;
    assert_int_equal(coffer_op_get(&op, w->ns, coffer_slice_text(key), NULL), COFFER_OK);
    return submit(w, op);
}

static coffer_task *load(world *w, const char *key) {
    coffer_op *op;
    assert_int_equal(coffer_op_get_or_load(&op, w->ns, coffer_slice_text(key), NULL), COFFER_OK);
    return submit(w, op);
}

static void feed(world *w, uint32_t link, const char *text) {
    coffer_mux_fed(w->mux, link, coffer_slice_text(text), w->now_us);
}

/* The connection that was ordered last: logged in, and what waited for it written. */
static uint32_t connect_last(world *w) {
    obey(w);
    uint32_t link = w->connecting[w->connect_count - 1];
    coffer_mux_opened(w->mux, link, nobody, nobody, w->now_us);
    obey(w);
    feed(w, link, greeted);
    w->sent_bytes = w->write_count = 0;
    obey(w);
    return link;
}

static void move(world *w, uint64_t ms) {
    w->now_us += ms * MS;
    coffer_mux_tick(w->mux, w->now_us);
    obey(w);
}

static void assert_value(coffer_task *task, const char *value) {
    assert_int_equal(coffer_task_want(task), COFFER_WANT_DONE);
    assert_int_equal(coffer_task_status(task), COFFER_OK);
    coffer_slice data = coffer_op_value(coffer_task_op(task))->data;
    assert_int_equal(data.len, strlen(value));
    assert_memory_equal(data.data, value, data.len);
}

static void assert_stopped(world *w, coffer_task *task) {
    assert_ptr_equal(coffer_mux_next_stopped(w->mux), task);
}

static void assert_ended(world *w, coffer_task *task, coffer_status status) {
    assert_stopped(w, task);
    assert_int_equal(coffer_task_want(task), COFFER_WANT_DONE);
    assert_int_equal(coffer_task_status(task), status);
    coffer_task_free(task);
}

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
    feed(&w, link, "$1\r\nA\r\n");
    assert_ended(&w, next, COFFER_OK);
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

/* ---- links ----------------------------------------------------------------------------------------------------------- */

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

/* ---- loads ----------------------------------------------------------------------------------------------------------- */

static void supply(world *w, coffer_task *task, const char *value) {
    assert_int_equal(coffer_task_want(task), COFFER_WANT_LOAD);
    coffer_op_supply(coffer_task_op(task), coffer_slice_text(value), NULL, 1);
    coffer_task_run(task, w->now_us);
}

static void test_one_loader_runs_and_the_others_are_woken(void **state) {
    (void)state;
    world w;
    open_world(&w, "mem://");
    coffer_task *first = load(&w, "k"), *second = load(&w, "k"), *third = load(&w, "k");
    assert_int_equal(coffer_task_want(second), COFFER_WANT_REPLY);
    coffer_task_free(third); /* lost interest */
    supply(&w, first, "loaded");
    assert_value(first, "loaded");
    assert_stopped(&w, second);
    assert_value(second, "loaded");
    assert_null(coffer_mux_next_stopped(w.mux));
    coffer_task_free(first);
    coffer_task_free(second);
    close_world(&w);
}

static void test_a_loader_that_is_cancelled_hands_its_load_on(void **state) {
    (void)state;
    world w;
    open_world(&w, "mem://");
    coffer_task *first = load(&w, "k"), *second = load(&w, "k");
    coffer_task_free(first);
    coffer_mux_tick(w.mux, w.now_us);
    assert_stopped(&w, second);
    supply(&w, second, "mine");
    assert_value(second, "mine");
    coffer_task_free(second);
    close_world(&w);
}

typedef struct elsewhere {
    world *w;
    pthread_barrier_t has_begun, may_end;
} elsewhere;

/* Another loop of the same client, on a thread of its own, which runs the loader. */
static void *load_elsewhere(void *argument) {
    elsewhere *other = (elsewhere *)argument;
    coffer_mux *mux;
    coffer_task *task;
    coffer_op *op;
    assert_int_equal(coffer_mux_new(&mux, other->w->client, NULL, NULL), COFFER_OK);
    assert_int_equal(coffer_op_get_or_load(&op, other->w->ns, COFFER_SLICE("k"), NULL), COFFER_OK);
    assert_int_equal(coffer_mux_submit(mux, op, NULL, 0, &task), COFFER_OK);
    pthread_barrier_wait(&other->has_begun);
    pthread_barrier_wait(&other->may_end);
    coffer_op_supply(op, COFFER_SLICE("from elsewhere"), NULL, 1);
    coffer_task_run(task, 0);
    coffer_task_free(task);
    coffer_mux_close(mux);
    coffer_mux_free(mux);
    return NULL;
}

static void count_ring(void *data) {
    atomic_fetch_add((atomic_int *)data, 1);
}

static void test_what_another_thread_ends_is_rung_for(void **state) {
    (void)state;
    world w;
    atomic_int rings = 0;
    elsewhere other = {.w = &w};
    pthread_t thread;
    open_world(&w, "mem://");
    coffer_mux_free(w.mux);
    assert_int_equal(coffer_mux_new(&w.mux, w.client, count_ring, &rings), COFFER_OK);
    pthread_barrier_init(&other.has_begun, NULL, 2);
    pthread_barrier_init(&other.may_end, NULL, 2);
    assert_int_equal(pthread_create(&thread, NULL, load_elsewhere, &other), 0);
    pthread_barrier_wait(&other.has_begun);
    coffer_task *waits = load(&w, "k"), *waits_too = load(&w, "k");
    assert_int_equal(coffer_task_want(waits), COFFER_WANT_REPLY);
    pthread_barrier_wait(&other.may_end);
    pthread_join(thread, NULL);
    assert_int_equal(atomic_load(&rings), 1); /* once for both */
    assert_null(coffer_mux_next_stopped(w.mux));
    coffer_mux_tick(w.mux, w.now_us);
    assert_stopped(&w, waits);
    assert_stopped(&w, waits_too);
    assert_value(waits, "from elsewhere");
    coffer_task_free(waits);
    coffer_task_free(waits_too);
    pthread_barrier_destroy(&other.has_begun);
    pthread_barrier_destroy(&other.may_end);
    close_world(&w);
}

/* ---- sentinels ------------------------------------------------------------------------------------------------------- */

static void test_a_sentinel_is_listened_to_and_never_gets_the_servers_credentials(void **state) {
    (void)state;
    world w;
    open_world(&w, "redis+sentinel://s1:26379/mymaster?raw=true&timeout=1s");
    coffer_order order;
    size_t sentinels = 0;
    coffer_task *task = get(&w, "k");
    coffer_mux_tick(w.mux, w.now_us);
    while (coffer_mux_next_order(w.mux, w.now_us, &order)) {
        assert_int_equal(order.kind, COFFER_ORDER_CONNECT);
        assert_false(order.wants_login);
        w.connecting[sentinels++] = order.link;
    }
    assert_int_equal(sentinels, 2); /* the one that is asked, the one that is listened to */
    bool subscribed = false;
    for (size_t i = 0; i < sentinels; i++) {
        coffer_mux_opened(w.mux, w.connecting[i], nobody, nobody, w.now_us);
        obey(&w);
        w.sent_bytes = 0;
        feed(&w, w.connecting[i], "+OK\r\n");
        obey(&w);
        subscribed = subscribed || strstr(w.sent, "SUBSCRIBE") != NULL;
    }
    assert_true(subscribed);
    coffer_task_free(task);
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
        cmocka_unit_test(test_a_connection_that_takes_too_long_is_given_up),
        cmocka_unit_test(test_a_read_whose_connection_broke_is_asked_once_more_and_a_write_is_not),
        cmocka_unit_test(test_a_server_that_falls_silent_loses_its_connection),
        cmocka_unit_test(test_bytes_that_are_no_reply_close_the_connection),
        cmocka_unit_test(test_an_unused_connection_is_closed),
        cmocka_unit_test(test_closing_ends_all_that_is_under_way),
        cmocka_unit_test(test_what_is_held_back_is_written_later),
        cmocka_unit_test(test_a_socket_that_was_released_is_logged_in_when_it_comes_back),
        cmocka_unit_test(test_more_connections_are_made_where_the_option_says_so_and_all_are_busy),
        cmocka_unit_test(test_credentials_of_the_driver_are_those_that_log_in),
        cmocka_unit_test(test_connections_are_counted),
        cmocka_unit_test(test_one_loader_runs_and_the_others_are_woken),
        cmocka_unit_test(test_a_loader_that_is_cancelled_hands_its_load_on),
        cmocka_unit_test(test_what_another_thread_ends_is_rung_for),
        cmocka_unit_test(test_a_sentinel_is_listened_to_and_never_gets_the_servers_credentials),
        cmocka_unit_test(test_any_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
