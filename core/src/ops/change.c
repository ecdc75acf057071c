/* delete, expire, touch: what is there goes, or lives shorter or longer. */
#include "entry.h"

#include "base/error.h"
#include "policy/ttl.h"

enum { MOST_TRIES = 8 };

typedef struct change_state {
    uint64_t ttl_ms;
    coffer__buf scratch;
    coffer__buf composed;
    coffer__stored stored;
    coffer__seen seen;
    unsigned tries;
} change_state;

static change_state *state_of(coffer_op *op) {
    return (change_state *)coffer__op_state(op);
}

static void clear_change(coffer_op *op) {
    coffer__buf_free(&state_of(op)->scratch);
    coffer__buf_free(&state_of(op)->composed);
}

/* ---- delete ---- */

static void deleted(coffer_op *op) {
    const coffer_call *call = &op->calls[0];
    coffer__key_changes(op);
    if (coffer__reply_counts(op, call, 1)) {
        coffer__op_count(op, COFFER__COUNT_deletes, 1);
        coffer__op_finish(op, call->reply.nodes[0].integer > 0 ? COFFER_OK : COFFER_MISS);
    }
}

static void begin_delete(coffer_op *op) {
    if (!coffer__op_prepare_key(op, false)) {
        return;
    }
    coffer__key_changes(op);
    if (coffer__is_bypassed(op)) {
        coffer__op_finish(op, COFFER_MISS);
    } else if (coffer__op_call_on_key(op, &coffer__command_unlink) != NULL) {
        coffer__op_then(op, "delete", deleted);
    }
}

coffer_status coffer_op_delete(coffer_op **op, coffer_namespace *ns, coffer_slice key, const coffer_read_options *options) {
    static const coffer__op_kind kind = {COFFER_OPERATION_DELETE, sizeof(change_state), begin_delete, clear_change};
    return coffer__op_new_on_key(op, &kind, ns, key, coffer__read_options(options).timeout_ms);
}

/* ---- expire, touch -------------------------------------------------------------------------------------------
 * Shorter than the entry's freshness: the server's own TTL ends it (PEXPIRE). Longer: the entry itself has to say so, and is written anew,
 * only over what was seen. */

static void look(coffer_op *op);

static void expired(coffer_op *op) {
    const coffer_call *call = &op->calls[0];
    if (coffer__reply_is(op, call, COFFER__REPLY_INTEGER)) {
        coffer__op_finish(op, call->reply.nodes[0].integer > 0 ? COFFER_OK : COFFER_MISS);
    }
}

static void written_anew(coffer_op *op) {
    const coffer_call *call = &op->calls[0];
    if (!coffer__reply_is(op, call, COFFER__REPLY_INTEGER)) {
        return;
    }
    if (call->reply.nodes[0].integer == 1) {
        coffer__op_finish(op, COFFER_OK);
    } else if (++state_of(op)->tries < MOST_TRIES) {
        look(op);
    } else {
        coffer__op_finish(op, COFFER_NOT_STORED);
    }
}

static void set_server_ttl(coffer_op *op) {
    coffer_call *call = coffer__op_call_on_key(op, &coffer__command_pexpire);
    if (call != NULL) {
        coffer__call_number(call, state_of(op)->ttl_ms);
        coffer__op_then(op, "expire", expired);
    }
}

/* PERSIST says 0 of a key that lives for ever already, as of one that is not there; PTTL says -2 of the latter only. */
static void persisted(coffer_op *op) {
    if (coffer__reply_is(op, &op->calls[0], COFFER__REPLY_INTEGER) && coffer__reply_is(op, &op->calls[1], COFFER__REPLY_INTEGER)) {
        coffer__op_finish(op, op->calls[1].reply.nodes[0].integer == -2 ? COFFER_MISS : COFFER_OK);
    }
}

static void end_server_ttl(coffer_op *op) {
    if (coffer__op_begin_calls(op, 2)) {
        coffer__call_argument(coffer__op_call(op, &coffer__command_persist), op->wire_key);
        coffer__call_argument(coffer__op_call(op, &coffer__command_pttl), op->wire_key);
        coffer__op_then(op, "persist", persisted);
    }
}

static void write_anew(coffer_op *op, uint64_t fresh_unix_ms) {
    change_state *state = state_of(op);
    coffer__entry entry = state->seen.entry;
    entry.fresh_unix_ms = fresh_unix_ms;
    entry.expires_unix_ms = coffer__ttl_end(fresh_unix_ms, op->ns->options->stale_ttl_ms);
    coffer__buf_clear(&state->composed);
    coffer_status status = coffer__compose_entry(op, op->key, &entry, &state->composed, &state->stored);
    if (status != COFFER_OK) {
        coffer__op_finish(op, status);
    } else if (coffer__call_store_if(op, &state->composed, &state->stored, &state->seen) != NULL) {
        coffer__op_then(op, "write_anew", written_anew);
    }
}

static void looked(coffer_op *op) {
    change_state *state = state_of(op);
    const coffer_call *call = &op->calls[0];
    if (!coffer__reply_is_stored(op, call)) {
        return;
    }
    if (!coffer__judge(op, op->key, &call->reply, 0, &state->scratch, &state->seen)) {
        return;
    }
    if (state->seen.found != COFFER__FOUND_FRESH) {
        coffer__op_finish(op, COFFER_MISS);
        return;
    }
    uint64_t fresh = coffer__ttl_end(coffer__op_unix_ms(op), state->ttl_ms);
    if (fresh <= state->seen.entry.fresh_unix_ms && fresh != UINT64_MAX) {
        set_server_ttl(op);
    } else {
        write_anew(op, fresh);
    }
}

static void look(coffer_op *op) {
    if (coffer__op_call_on_key(op, &coffer__command_get) != NULL) {
        coffer__op_then(op, "look", looked);
    }
}

static void begin_expire(coffer_op *op) {
    change_state *state = state_of(op);
    coffer_error error;
    if (!coffer__op_prepare_key(op, false)) {
        return;
    }
    if (coffer__ttl_check(state->ttl_ms, &error) != COFFER_OK) {
        coffer__op_say(op, "%s", error.text);
        coffer__op_finish(op, COFFER_ARG);
    } else if (coffer__is_bypassed(op)) {
        coffer__op_finish(op, COFFER_MISS);
    } else if (op->ns->options->raw && state->ttl_ms == COFFER_TTL_FOREVER) {
        end_server_ttl(op);
    } else if (op->ns->options->raw) {
        set_server_ttl(op);
    } else {
        look(op);
    }
}

coffer_status coffer_op_expire(coffer_op **op, coffer_namespace *ns, coffer_slice key, uint64_t ttl_ms, const coffer_read_options *options) {
    static const coffer__op_kind kind = {COFFER_OPERATION_EXPIRE, sizeof(change_state), begin_expire, clear_change};
    coffer_status status = coffer__op_new_on_key(op, &kind, ns, key, coffer__read_options(options).timeout_ms);
    if (status == COFFER_OK) {
        state_of(*op)->ttl_ms = ttl_ms;
    }
    return status;
}

coffer_status coffer_op_touch(coffer_op **op, coffer_namespace *ns, coffer_slice key, const coffer_read_options *options) {
    static const coffer__op_kind kind = {COFFER_OPERATION_TOUCH, sizeof(change_state), begin_expire, clear_change};
    coffer_status status = coffer__op_new_on_key(op, &kind, ns, key, coffer__read_options(options).timeout_ms);
    if (status == COFFER_OK) {
        state_of(*op)->ttl_ms = coffer_namespace_options(ns)->ttl_ms;
    }
    return status;
}
