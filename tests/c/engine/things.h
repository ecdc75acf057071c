/* A client whose calls a test ends as it likes, at a time of its own. */
#ifndef COFFER_TESTS_ENGINE_THINGS_H
#define COFFER_TESTS_ENGINE_THINGS_H

#include "engine/client.h"

#include "support/cmocka_all.h"
#include <coffer/coffer.h>

typedef struct things {
    coffer_client *client;
    coffer_namespace *ns;
    uint64_t now_ms;
} things;

static inline things open_things(const char *url) {
    things made = {.now_ms = 1000};
    coffer_error error;
    coffer_options *options = coffer_options_new();
    assert_int_equal(coffer_options_set_url(options, coffer_slice_text(url), &error), COFFER_OK);
    assert_int_equal(coffer_client_new(&made.client, options, (coffer_clock){1000, 1700000000000}, &error), COFFER_OK);
    assert_int_equal(coffer_namespace_new(&made.ns, made.client, NULL, &error), COFFER_OK);
    coffer_options_free(options);
    return made;
}

static inline void close_things(things *one) {
    coffer_namespace_free(one->ns);
    coffer_client_free(one->client);
}

/* Runs an op whose calls all end so. */
static inline coffer_status run(const things *one, coffer_op *op, coffer_status end) {
    coffer_action action;
    while (coffer_op_next(op, one->now_ms, &action) == COFFER_WANT_CALL) {
        coffer_call_fail(action.call, end, NULL);
    }
    coffer_status status = coffer_op_status(op);
    coffer_op_free(op);
    return status;
}

static inline coffer_status get(const things *one, const char *key, coffer_status end) {
    coffer_op *op;
    assert_int_equal(coffer_op_get(&op, one->ns, coffer_slice_text(key), NULL), COFFER_OK);
    return run(one, op, end);
}

static inline coffer_status set(const things *one, const char *key, coffer_status end) {
    coffer_op *op;
    assert_int_equal(coffer_op_set(&op, one->ns, coffer_slice_text(key), COFFER_SLICE("v"), NULL), COFFER_OK);
    return run(one, op, end);
}

#endif
