/* What the suites of conns share: a client, a namespace and one conn, whose server is what the test feeds. */
#ifndef COFFER_TESTS_ENGINE_HELPERS_H
#define COFFER_TESTS_ENGINE_HELPERS_H

#include "support/cmocka_all.h"

#include <coffer/coffer.h>

typedef struct world {
    coffer_client *client;
    coffer_namespace *ns;
    coffer_conn *conn;
    coffer_op *op;
    coffer_action action;
} world;

static const char greeted[] = "+OK\r\n*2\r\n$1\r\n1\r\n$1\r\n0\r\n";

static inline void open_world(world *w) {
    coffer_options *options = coffer_options_new();
    const coffer_endpoint endpoint = {.port = 6379};
    coffer_error error;
    memset(w, 0, sizeof *w);
    assert_int_equal(coffer_options_set_url(options, COFFER_SLICE("redis://scripted?raw=true&timeout=1s&on_outage=error"), &error), COFFER_OK);
    assert_int_equal(coffer_client_new(&w->client, options, (coffer_clock){0, 0}, &error), COFFER_OK);
    assert_int_equal(coffer_namespace_new(&w->ns, w->client, NULL, &error), COFFER_OK);
    assert_int_equal(coffer_conn_new(&w->conn, w->client, &endpoint, 0), COFFER_OK);
    coffer_options_free(options);
}

static inline void close_world(world *w) {
    coffer_op_free(w->op);
    coffer_conn_free(w->conn);
    coffer_namespace_free(w->ns);
    coffer_client_free(w->client);
}

static inline void write_all(world *w) {
    coffer_conn_sent(w->conn, coffer_conn_output(w->conn).len);
}

static inline coffer_status feed_bytes(world *w, const char *bytes, size_t len) {
    return coffer_conn_feed(w->conn, coffer_slice_of(bytes, len), 1);
}

static inline coffer_status feed(world *w, const char *text) {
    return feed_bytes(w, text, strlen(text));
}

static inline void begin_get(world *w) {
    assert_int_equal(coffer_op_get(&w->op, w->ns, COFFER_SLICE("k"), NULL), COFFER_OK);
    assert_int_equal(coffer_op_next(w->op, 0, &w->action), COFFER_WANT_CALL);
}

#endif
