/* get, exists, ttl, ping: one look at a key. */
#include "copied.h"

typedef struct read_state {
    coffer_read_options options;
    coffer__buf scratch;
    coffer__buf copy; /* a near one */
    coffer__asked asked;
    void (*finish)(coffer_op *op, const coffer__seen *seen); /* of get and exists: with what was seen, near or on the server */
} read_state;

static void clear_read(coffer_op *op) {
    read_state *state = (read_state *)coffer__op_state(op);
    coffer__buf_free(&state->scratch);
    coffer__buf_free(&state->copy);
}

static coffer_status new_read(coffer_op **out, const coffer__op_kind *kind, coffer_namespace *ns, coffer_slice key,
                              const coffer_read_options *given) {
    coffer_read_options options = coffer__read_options(given);
    coffer_status status = coffer__op_new_on_key(out, kind, ns, key, options.timeout_ms);
    if (status == COFFER_OK) {
        ((read_state *)coffer__op_state(*out))->options = options;
    }
    return status;
}

/* A reply to GET, judged. False: the op is finished. */
static bool judge_reply(coffer_op *op, const coffer_call *call, coffer__seen *seen) {
    read_state *state = (read_state *)coffer__op_state(op);
    if (!coffer__reply_is_stored(op, call)) {
        return false;
    }
    return coffer__judge(op, op->key, &call->reply, 0, &state->scratch, seen);
}

static void call_for(coffer_op *op, const coffer__command *command) {
    coffer_call *call = coffer__op_call(op, command);
    coffer__call_argument(call, op->wire_key);
    coffer__op_read_anywhere(op, call);
}

static void looked(coffer_op *op) {
    read_state *state = (read_state *)coffer__op_state(op);
    coffer__seen seen;
    if (judge_reply(op, &op->calls[0], &seen)) {
        coffer__copied_keep(op, &state->asked, op->wire_key, &op->calls[0], 0, &seen, op->call_count > 1 ? &op->calls[1] : NULL);
        state->finish(op, &seen);
    }
}

static bool is_near(coffer_op *op) {
    read_state *state = (read_state *)coffer__op_state(op);
    coffer__seen seen;
    if (!coffer__copied_look(op, op->key, op->wire_key, &state->copy, &state->scratch, &seen)) {
        return false;
    }
    coffer__copied_count(op->ns, &seen);
    state->finish(op, &seen);
    return true;
}

static void begin_look(coffer_op *op, const char *step_name, void (*finish)(coffer_op *op, const coffer__seen *seen)) {
    read_state *state = (read_state *)coffer__op_state(op);
    state->finish = finish;
    if (!coffer__op_prepare_key(op, false)) {
        return;
    }
    if (coffer__is_bypassed(op)) {
        coffer__op_finish(op, COFFER_MISS);
        return;
    }
    if (is_near(op) || !coffer__op_begin_calls(op, 2)) {
        return;
    }
    coffer__copied_expect(op, op->wire_key, &state->asked);
    call_for(op, &coffer__command_get);
    if (coffer__copied_needs_life(&state->asked)) {
        call_for(op, &coffer__command_pttl);
    }
    coffer__op_then(op, step_name, looked);
}

/* ---- get ---- */

static void got(coffer_op *op, const coffer__seen *seen) {
    coffer__finish_read(op, seen, ((const read_state *)coffer__op_state(op))->options.accept_stale);
}

static void begin_get(coffer_op *op) {
    begin_look(op, "get", got);
}

coffer_status coffer_op_get(coffer_op **op, coffer_namespace *ns, coffer_slice key, const coffer_read_options *options) {
    static const coffer__op_kind kind = {COFFER_OPERATION_GET, sizeof(read_state), begin_get, clear_read};
    return new_read(op, &kind, ns, key, options);
}

/* ---- exists ---- */

static void found(coffer_op *op, const coffer__seen *seen) {
    coffer__op_finish(op, seen->found == COFFER__FOUND_FRESH ? COFFER_OK : COFFER_MISS);
}

static void begin_exists(coffer_op *op) {
    begin_look(op, "look", found);
}

coffer_status coffer_op_exists(coffer_op **op, coffer_namespace *ns, coffer_slice key, const coffer_read_options *options) {
    static const coffer__op_kind kind = {COFFER_OPERATION_EXISTS, sizeof(read_state), begin_exists, clear_read};
    return new_read(op, &kind, ns, key, options);
}

/* ---- ttl: GET says how long it is fresh, PTTL how long the server keeps it ---- */

static int64_t shorter(int64_t a, int64_t b) { /* of two lives, where -1 is for ever */
    if (a < 0 || b < 0) {
        return a < 0 ? b : a;
    }
    return a < b ? a : b;
}

static void measured(coffer_op *op) {
    coffer__seen seen;
    if (!judge_reply(op, &op->calls[0], &seen) || !coffer__reply_is(op, &op->calls[1], COFFER__REPLY_INTEGER)) {
        return;
    }
    int64_t kept = op->calls[1].reply.nodes[0].integer;
    if (seen.found != COFFER__FOUND_FRESH || kept == -2) {
        coffer__op_finish(op, COFFER_MISS);
        return;
    }
    uint64_t fresh = op->ns->options->raw ? UINT64_MAX : seen.entry.fresh_unix_ms;
    uint64_t now = coffer__op_unix_ms(op);
    uint64_t left = fresh > now ? fresh - now : 0;
    op->integer = shorter(kept < 0 ? -1 : kept, left > INT64_MAX ? -1 : (int64_t)left);
    coffer__op_finish(op, COFFER_OK);
}

static void begin_ttl(coffer_op *op) {
    if (!coffer__op_prepare_key(op, false)) {
        return;
    }
    if (coffer__is_bypassed(op)) {
        coffer__op_finish(op, COFFER_MISS);
        return;
    }
    if (coffer__op_begin_calls(op, 2)) {
        call_for(op, &coffer__command_get);
        call_for(op, &coffer__command_pttl);
        coffer__op_then(op, "measure", measured);
    }
}

coffer_status coffer_op_ttl(coffer_op **op, coffer_namespace *ns, coffer_slice key, const coffer_read_options *options) {
    static const coffer__op_kind kind = {COFFER_OPERATION_TTL, sizeof(read_state), begin_ttl, clear_read};
    return new_read(op, &kind, ns, key, options);
}

/* ---- ping: whatever is well formed is an answer (a user without rights gets NOPERM, and the server is there) ---- */

static void ponged(coffer_op *op) {
    const coffer_call *call = &op->calls[0];
    if (call->status == COFFER_OK || call->reply.node_count > 0) {
        coffer__op_finish(op, COFFER_OK);
    } else {
        coffer__op_finish_call(op, call);
    }
}

static void begin_ping(coffer_op *op) {
    if (coffer__op_begin_calls(op, 1)) {
        coffer__op_call(op, &coffer__command_ping);
        coffer__op_then(op, "ping", ponged);
    }
}

coffer_status coffer_op_ping(coffer_op **op, coffer_namespace *ns, const coffer_read_options *options) {
    static const coffer__op_kind kind = {COFFER_OPERATION_PING, sizeof(read_state), begin_ping, clear_read};
    return new_read(op, &kind, ns, coffer_slice_of(NULL, 0), options);
}
