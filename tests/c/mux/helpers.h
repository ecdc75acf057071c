/* What the suites of a mux share: many ops over few connections, with no connection at all. The test is the event loop, and the server. */
#ifndef COFFER_TESTS_MUX_HELPERS_H
#define COFFER_TESTS_MUX_HELPERS_H

#include "support/cmocka_all.h"

#include <coffer/coffer.h>

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

static const coffer_slice nobody = {NULL, 0};

static inline void open_world(world *w, const char *url) {
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

static inline void open_raw(world *w) {
    open_world(w, "redis://scripted?raw=true&timeout=1s&on_outage=error&breaker=false");
}

/* Does what is ordered. */
static inline void obey(world *w) {
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

static inline void close_world(world *w) {
    coffer_mux_close(w->mux);
    obey(w);
    coffer_mux_free(w->mux);
    coffer_namespace_free(w->ns);
    coffer_client_free(w->client);
}

static inline coffer_task *submit(world *w, coffer_op *op) {
    coffer_task *task;
    assert_int_equal(coffer_mux_submit(w->mux, op, NULL, w->now_us, &task), COFFER_OK);
    return task;
}

static inline coffer_task *get(world *w, const char *key) {
    coffer_op *op;
    assert_int_equal(coffer_op_get(&op, w->ns, coffer_slice_text(key), NULL), COFFER_OK);
    return submit(w, op);
}

static inline coffer_task *load(world *w, const char *key) {
    coffer_op *op;
    assert_int_equal(coffer_op_get_or_load(&op, w->ns, coffer_slice_text(key), NULL), COFFER_OK);
    return submit(w, op);
}

static inline void feed(world *w, uint32_t link, const char *text) {
    coffer_mux_fed(w->mux, link, coffer_slice_text(text), w->now_us);
}

/* The connection that was ordered last: logged in, and what waited for it written. */
static inline uint32_t connect_last(world *w) {
    obey(w);
    uint32_t link = w->connecting[w->connect_count - 1];
    coffer_mux_opened(w->mux, link, nobody, nobody, w->now_us);
    obey(w);
    feed(w, link, greeted);
    w->sent_bytes = w->write_count = 0;
    obey(w);
    return link;
}

static inline void move(world *w, uint64_t ms) {
    w->now_us += ms * MS;
    coffer_mux_tick(w->mux, w->now_us);
    obey(w);
}

static inline void assert_value(coffer_task *task, const char *value) {
    assert_int_equal(coffer_task_want(task), COFFER_WANT_DONE);
    assert_int_equal(coffer_task_status(task), COFFER_OK);
    coffer_slice data = coffer_op_value(coffer_task_op(task))->data;
    assert_int_equal(data.len, strlen(value));
    assert_memory_equal(data.data, value, data.len);
}

static inline void assert_stopped(world *w, coffer_task *task) {
    assert_ptr_equal(coffer_mux_next_stopped(w->mux), task);
}

static inline void assert_ended(world *w, coffer_task *task, coffer_status status) {
    assert_stopped(w, task);
    assert_int_equal(coffer_task_want(task), COFFER_WANT_DONE);
    assert_int_equal(coffer_task_status(task), status);
    coffer_task_free(task);
}

#endif
