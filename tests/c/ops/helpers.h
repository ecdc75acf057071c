/* What the suites of ops/ share: a client on mem:// and a namespace, whose operations are answered at once, in virtual time.
 *
 *     world w;
 *     open_world(&w, "mem://?ttl=10s");
 *     assert_int_equal(RUN(w, get, COFFER_SLICE("k"), NULL), COFFER_MISS);     w.op is the op, until the next
 *     close_world(&w);
 */
#ifndef COFFER_TESTS_OPS_HELPERS_H
#define COFFER_TESTS_OPS_HELPERS_H

#include "support/cmocka_all.h"

#include <coffer/coffer.h>

typedef struct world {
    coffer_client *client;
    coffer_namespace *ns;
    uint64_t now_ms;
    coffer_op *op; /* the last one */
} world;

static inline void open_world(world *w, const char *url) {
    coffer_options *options = coffer_options_new();
    coffer_error error = {COFFER_OK, ""};
    memset(w, 0, sizeof *w);
    w->now_ms = 5000;
    if (coffer_options_set_url(options, coffer_slice_text(url), &error) != COFFER_OK ||
        coffer_client_new(&w->client, options, (coffer_clock){w->now_ms, 1700000000000u}, &error) != COFFER_OK ||
        coffer_namespace_new(&w->ns, w->client, NULL, &error) != COFFER_OK) {
        fail_msg("%s", error.text);
    }
    coffer_options_free(options);
}

static inline void close_world(world *w) {
    coffer_op_free(w->op);
    coffer_namespace_free(w->ns);
    coffer_client_free(w->client);
}

/* A loader that is asked answers "loaded". */
static inline coffer_status run(world *w, coffer_status made, coffer_op *op) {
    coffer_action action;
    coffer_want want;
    coffer_op_free(w->op);
    w->op = op;
    assert_int_equal(made, COFFER_OK);
    while ((want = coffer_op_next(op, w->now_ms, &action)) == COFFER_WANT_LOAD) {
        coffer_op_supply(op, COFFER_SLICE("loaded"), NULL, 0);
    }
    assert_int_equal(want, COFFER_WANT_DONE);
    return coffer_op_status(op);
}

#define RUN(w, name, ...) (made = coffer_op_##name(&op, (w).ns, __VA_ARGS__), run(&(w), made, op))

__attribute__((unused)) static coffer_op *op; /* where a suite runs none */
__attribute__((unused)) static coffer_status made;

#endif
