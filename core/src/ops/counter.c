/* Counters: integers of 64 bits under keys of their own (prefix:namespace:#key), which the server adds to. */
#include "entry.h"

#include "base/error.h"
#include "policy/ttl.h"

#include <stdio.h>

typedef struct counter_state {
    coffer_write_options options;
    int64_t delta;
    char delta_text[24];
} counter_state;

static counter_state *state_of(coffer_op *op) {
    return (counter_state *)coffer__op_state(op);
}

/* A decimal integer of 64 bits, nothing else. */
static bool parse_integer(coffer_slice text, int64_t *out) {
    bool negative = text.len > 0 && text.data[0] == '-';
    uint64_t size = 0;
    if (text.len == (size_t)negative || text.len > 20) {
        return false;
    }
    for (size_t i = negative; i < text.len; i++) {
        unsigned digit = (unsigned)(text.data[i] - '0');
        if (digit > 9 || size > (UINT64_MAX - digit) / 10) {
            return false;
        }
        size = size * 10 + digit;
    }
    if (size > (uint64_t)INT64_MAX + negative) {
        return false;
    }
    *out = (int64_t)(negative ? 0 - size : size);
    return true;
}

static void counted(coffer_op *op) {
    const coffer_call *call = &op->calls[0];
    if (call->status == COFFER_OK && call->reply.nodes[0].type == COFFER__REPLY_NIL) {
        coffer__op_finish(op, COFFER_MISS);
    } else if (coffer__reply_is(op, call, COFFER__REPLY_BULK)) {
        bool counts = parse_integer(coffer__reply_text(&call->reply, 0), &op->integer);
        coffer__op_finish(op, counts ? COFFER_OK : COFFER_NOT_INTEGER);
    }
}

/* ---- increment ---- */

/* Where the cache is off nothing is kept: each increment is the first. */
static void finish_bypassed(coffer_op *op) {
    op->integer = state_of(op)->delta;
    coffer__op_finish(op, COFFER_OK);
}

static void begin_increment(coffer_op *op) {
    counter_state *state = state_of(op);
    uint64_t ttl_ms = state->options.ttl_ms != 0 ? state->options.ttl_ms : op->ns->options->ttl_ms;
    coffer_error error;
    if (!coffer__op_prepare_key(op, true)) {
        return;
    }
    if (coffer__ttl_check(ttl_ms, &error) != COFFER_OK) {
        coffer__op_say(op, "%s", error.text);
        coffer__op_finish(op, COFFER_ARG);
        return;
    }
    if (coffer__is_bypassed(op)) {
        finish_bypassed(op);
        return;
    }
    coffer_call *call = coffer__op_call_on_key(op, &coffer__command_add);
    if (call != NULL) {
        snprintf(state->delta_text, sizeof state->delta_text, "%lld", (long long)state->delta);
        coffer__call_argument(call, coffer_slice_text(state->delta_text));
        coffer__call_number(call, ttl_ms == COFFER_TTL_FOREVER ? 0 : ttl_ms);
        coffer__op_then(op, "add", counted);
    }
}

coffer_status coffer_op_increment(coffer_op **op, coffer_namespace *ns, coffer_slice key, int64_t delta, const coffer_write_options *options) {
    static const coffer__op_kind kind = {COFFER_OPERATION_INCREMENT, sizeof(counter_state), begin_increment, NULL};
    coffer_write_options given = coffer__write_options(options);
    coffer_status status = coffer__op_new_on_key(op, &kind, ns, key, given.timeout_ms);
    if (status == COFFER_OK) {
        state_of(*op)->options = given;
        state_of(*op)->delta = delta;
    }
    return status;
}

/* ---- counter ---- */

static bool begin_look(coffer_op *op) {
    if (!coffer__op_prepare_key(op, true)) {
        return false;
    }
    if (coffer__is_bypassed(op)) {
        coffer__op_finish(op, COFFER_MISS);
        return false;
    }
    return true;
}

static void begin_counter(coffer_op *op) {
    if (begin_look(op) && coffer__op_call_on_key(op, &coffer__command_get) != NULL) {
        coffer__op_then(op, "get", counted);
    }
}

coffer_status coffer_op_counter(coffer_op **op, coffer_namespace *ns, coffer_slice key, const coffer_read_options *options) {
    static const coffer__op_kind kind = {COFFER_OPERATION_COUNTER, sizeof(counter_state), begin_counter, NULL};
    return coffer__op_new_on_key(op, &kind, ns, key, coffer__read_options(options).timeout_ms);
}

/* ---- reset_counter ---- */

static void reset(coffer_op *op) {
    const coffer_call *call = &op->calls[0];
    if (coffer__reply_is(op, call, COFFER__REPLY_INTEGER)) {
        coffer__op_finish(op, call->reply.nodes[0].integer > 0 ? COFFER_OK : COFFER_MISS);
    }
}

static void begin_reset(coffer_op *op) {
    if (begin_look(op) && coffer__op_call_on_key(op, &coffer__command_unlink) != NULL) {
        coffer__op_then(op, "reset", reset);
    }
}

coffer_status coffer_op_reset_counter(coffer_op **op, coffer_namespace *ns, coffer_slice key, const coffer_read_options *options) {
    static const coffer__op_kind kind = {COFFER_OPERATION_RESET_COUNTER, sizeof(counter_state), begin_reset, NULL};
    return coffer__op_new_on_key(op, &kind, ns, key, coffer__read_options(options).timeout_ms);
}
