/* set, add, replace, compare_and_set: present means live to a reader, so the last three judge what they see and store only while it is still that. */
#include "entry.h"

#include "base/bytes.h"

enum { MOST_TRIES = 8 }; /* for writers that overtake each other on one key */

typedef struct write_state {
    coffer_slice value;
    coffer_write_options options;
    coffer__buf composed;
    coffer__stored stored;
    coffer__buf scratch;
    coffer__seen seen;
    uint64_t expected_id;
    unsigned tries;
} write_state;

static write_state *state_of(coffer_op *op) {
    return (write_state *)coffer__op_state(op);
}

static void clear_write(coffer_op *op) {
    coffer__buf_free(&state_of(op)->composed);
    coffer__buf_free(&state_of(op)->scratch);
}

static coffer_status new_write(coffer_op **out, const coffer__op_kind *kind, coffer_namespace *ns, coffer_slice key, coffer_slice value,
                               const coffer_write_options *given) {
    coffer_write_options options = coffer__write_options(given);
    coffer_status status = coffer__op_new_on_key(out, kind, ns, key, options.timeout_ms);
    if (status == COFFER_OK) {
        state_of(*out)->value = value;
        state_of(*out)->options = options;
    }
    return status;
}

static void finish_not_stored(coffer_op *op) {
    coffer__key_changes(op);
    coffer__op_count(op, COFFER__COUNT_not_stored, 1);
    coffer__op_finish(op, COFFER_NOT_STORED);
}

static void finish_stored(coffer_op *op) {
    write_state *state = state_of(op);
    coffer__key_changes(op);
    coffer__op_count(op, COFFER__COUNT_sets, 1);
    coffer__op_count(op, COFFER__COUNT_bytes_written, state->value.len);
    coffer__op_count(op, COFFER__COUNT_stored_bytes, state->stored.len);
    op->value.entry_id = state->stored.entry_id;
    op->value.format = state->options.format;
    op->value.created_unix_ms = state->stored.entry.created_unix_ms;
    op->value.fresh_unix_ms = state->stored.entry.fresh_unix_ms;
    op->value.expires_unix_ms = state->stored.entry.expires_unix_ms;
    coffer__op_finish(op, COFFER_OK);
}

/* The value in its stored form, once. False: the op is finished. */
static bool compose(coffer_op *op) {
    write_state *state = state_of(op);
    coffer__buf_clear(&state->composed);
    coffer_status status = coffer__compose(op, op->key, state->value, &state->options, 0, &state->composed, &state->stored);
    if (status != COFFER_OK) {
        coffer__op_finish(op, status);
    }
    return status == COFFER_OK;
}

/* Everything that can be refused without a server, and the end where the cache is off. */
static bool begin_write(coffer_op *op) {
    write_state *state = state_of(op);
    if (!coffer__op_prepare_key(op, false) || !coffer__check_write(op, state->value, &state->options)) {
        return false;
    }
    if (state->options.absent && op->ns->options->raw) {
        coffer__op_say(op, "a raw namespace has no envelope that could say 'known to be absent'");
        coffer__op_finish(op, COFFER_UNSUPPORTED);
        return false;
    }
    if (coffer__is_bypassed(op)) {
        coffer__op_finish(op, COFFER_OK);
        return false;
    }
    if (state->options.absent && state->options.ttl_ms == 0 && op->ns->options->negative_ttl_ms == 0) {
        finish_not_stored(op);
        return false;
    }
    coffer__key_changes(op);
    return true;
}

/* A reply to SET with NX or XX, or without: a line where it was stored, nil where not. True where stored. */
static bool was_set(coffer_op *op, bool *failed) {
    const coffer_call *call = &op->calls[0];
    bool refused = call->status == COFFER_OK && call->reply.nodes[0].type == COFFER__REPLY_NIL;
    *failed = !refused && !coffer__reply_is(op, call, COFFER__REPLY_LINE);
    if (*failed) {
        coffer__key_changes(op);
    }
    return !refused && !*failed;
}

/* ---- set ---- */

static void set_done(coffer_op *op) {
    bool failed;
    if (was_set(op, &failed)) {
        finish_stored(op);
    } else if (!failed) {
        finish_not_stored(op);
    }
}

static void begin_set(coffer_op *op) {
    if (begin_write(op) && compose(op) && coffer__call_set(op, &state_of(op)->composed, &state_of(op)->stored, NULL) != NULL) {
        coffer__op_then(op, "set", set_done);
    }
}

coffer_status coffer_op_set(coffer_op **op, coffer_namespace *ns, coffer_slice key, coffer_slice value, const coffer_write_options *options) {
    static const coffer__op_kind kind = {COFFER_OPERATION_SET, sizeof(write_state), begin_set, clear_write};
    return new_write(op, &kind, ns, key, value, options);
}

/* ---- what is there, then store only over that ---- */

static void stored_if(coffer_op *op);

static void store_over_seen(coffer_op *op) {
    write_state *state = state_of(op);
    if (compose(op) && coffer__call_store_if(op, &state->composed, &state->stored, &state->seen) != NULL) {
        coffer__op_then(op, "store_if", stored_if);
    }
}

/* A reply to GET, judged. False: the op is finished. */
static bool look_done(coffer_op *op) {
    write_state *state = state_of(op);
    const coffer_call *call = &op->calls[0];
    if (!coffer__reply_is_stored(op, call)) {
        coffer__key_changes(op);
        return false;
    }
    if (!coffer__judge(op, op->key, &call->reply, 0, &state->scratch, &state->seen)) {
        coffer__key_changes(op);
        return false;
    }
    return true;
}

static void look(coffer_op *op, coffer__step then) {
    if (coffer__op_call_on_key(op, &coffer__command_get) != NULL) {
        coffer__op_then(op, "look", then);
    }
}

/* ---- add: a free key is the usual case, so it is tried first ---- */

static void looked_for_add(coffer_op *op) {
    if (!look_done(op)) {
        return;
    }
    if (state_of(op)->seen.found == COFFER__FOUND_FRESH) {
        finish_not_stored(op);
    } else {
        store_over_seen(op);
    }
}

static void add_tried(coffer_op *op) {
    bool failed;
    if (was_set(op, &failed)) {
        finish_stored(op);
    } else if (!failed && op->ns->options->raw) {
        finish_not_stored(op);
    } else if (!failed) {
        look(op, looked_for_add);
    }
}

static void begin_add(coffer_op *op) {
    if (begin_write(op) && compose(op) && coffer__call_set(op, &state_of(op)->composed, &state_of(op)->stored, "NX") != NULL) {
        coffer__op_then(op, "set_nx", add_tried);
    }
}

coffer_status coffer_op_add(coffer_op **op, coffer_namespace *ns, coffer_slice key, coffer_slice value, const coffer_write_options *options) {
    static const coffer__op_kind kind = {COFFER_OPERATION_ADD, sizeof(write_state), begin_add, clear_write};
    return new_write(op, &kind, ns, key, value, options);
}

/* ---- replace ---- */

static void looked_for_replace(coffer_op *op) {
    if (!look_done(op)) {
        return;
    }
    if (state_of(op)->seen.found == COFFER__FOUND_FRESH) {
        store_over_seen(op);
    } else {
        finish_not_stored(op);
    }
}

/* Somebody wrote in between. Who adds, or compares, has its answer; who replaces looks again. */
static void stored_if(coffer_op *op) {
    write_state *state = state_of(op);
    const coffer_call *call = &op->calls[0];
    if (!coffer__reply_counts(op, call, 1)) {
        coffer__key_changes(op);
    } else if (call->reply.nodes[0].integer == 1) {
        finish_stored(op);
    } else if (op->kind->operation == COFFER_OPERATION_REPLACE && ++state->tries < MOST_TRIES) {
        look(op, looked_for_replace);
    } else {
        finish_not_stored(op);
    }
}

static void begin_replace(coffer_op *op) {
    if (!begin_write(op)) {
        return;
    }
    if (!op->ns->options->raw) {
        look(op, looked_for_replace);
    } else if (compose(op) && coffer__call_set(op, &state_of(op)->composed, &state_of(op)->stored, "XX") != NULL) {
        coffer__op_then(op, "set_xx", set_done);
    }
}

coffer_status coffer_op_replace(coffer_op **op, coffer_namespace *ns, coffer_slice key, coffer_slice value, const coffer_write_options *options) {
    static const coffer__op_kind kind = {COFFER_OPERATION_REPLACE, sizeof(write_state), begin_replace, clear_write};
    return new_write(op, &kind, ns, key, value, options);
}

/* ---- compare_and_set: the id is all there is to compare ---- */

static void begin_compare_and_set(coffer_op *op) {
    write_state *state = state_of(op);
    if (op->ns->options->raw) {
        coffer__op_say(op, "compare_and_set needs entry ids, which a raw namespace does not have");
        coffer__op_finish(op, COFFER_UNSUPPORTED);
        return;
    }
    if (begin_write(op)) {
        state->seen.found = COFFER__FOUND_FRESH;
        state->seen.id_len = sizeof state->seen.id;
        coffer__put_u64(state->seen.id, state->expected_id);
        store_over_seen(op);
    }
}

coffer_status coffer_op_compare_and_set(coffer_op **op, coffer_namespace *ns, coffer_slice key, uint64_t entry_id, coffer_slice value,
                                        const coffer_write_options *options) {
    static const coffer__op_kind kind = {COFFER_OPERATION_COMPARE_AND_SET, sizeof(write_state), begin_compare_and_set, clear_write};
    coffer_status status = new_write(op, &kind, ns, key, value, options);
    if (status == COFFER_OK) {
        state_of(*op)->expected_id = entry_id;
    }
    return status;
}
