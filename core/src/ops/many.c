/* get_many, delete_many, set_many: one op, many keys, everything pipelined. Each key meets its own end; the first that is none well is the whole's.
 *
 * Reads and deletes name up to 512 keys a command (reliability: a reply stays within its budget), or one where keys live on several servers: each
 * command then goes its own way, all of them at once, so that a server that is away holds up nobody else's keys. Writes are a command each, 512 at a time,
 * so that what is composed at once stays bounded; for several servers that would be waiting for the slowest each time: there it is 32 MiB. */
#include "copied.h"

#include "base/alloc.h"
#include "engine/flight.h"
#include "engine/outage.h"
#include "policy/key.h"

enum { KEYS_A_COMMAND = 512, WRITES_AT_ONCE = 512, ROUTED_BYTES_AT_ONCE = 32 << 20 };

/* Row i: the copy of key i; and of the i-th key that is asked for, which it is. */
typedef struct near_row {
    coffer__buf copy;
    size_t index;
    coffer__asked asked;
} near_row;

typedef struct many_state {
    coffer_read_options read;
    coffer_write_options write;
    const coffer_item *items; /* set_many: lent */
    coffer_slice *keys; /* the callers', then the server's: each `count` */
    coffer_slice *wire_keys;
    coffer__buf key_bytes, wire_bytes;
    coffer__buf *scratches; /* get_many: one a key that needs it */
    size_t asked_count; /* get_many: the server is asked for the first so many of wire_keys */
    near_row *near; /* get_many: as many as keys; NULL: there are no near copies */
    bool needs_life; /* behind the calls for values is one of PTTL for each of them */
    coffer__buf composed;
    coffer__stored *stored; /* of the writes at hand */
    size_t stored_cap;
    size_t count, written; /* written: how many writes were tried */
    coffer_status failed; /* the first failure, which the op's message is about */
} many_state;

static many_state *state_of(coffer_op *op) {
    return (many_state *)coffer__op_state(op);
}

static void clear_many(coffer_op *op) {
    many_state *state = state_of(op);
    for (size_t i = 0; state->scratches != NULL && i < state->count; i++) {
        coffer__buf_free(&state->scratches[i]);
    }
    for (size_t i = 0; state->near != NULL && i < state->count; i++) {
        coffer__buf_free(&state->near[i].copy);
    }
    coffer__release(state->scratches);
    coffer__release(state->near);
    coffer__release(state->keys);
    coffer__release(state->stored);
    coffer__buf_free(&state->key_bytes);
    coffer__buf_free(&state->wire_bytes);
    coffer__buf_free(&state->composed);
}

static coffer_slice given_key(const coffer_slice *keys, const coffer_item *items, size_t index) {
    return items == NULL ? keys[index] : items[index].key;
}

/* Copies the keys into one buffer, which does not move while they come. */
static bool keep_keys(many_state *state, const coffer_slice *keys, size_t count) {
    state->count = count;
    state->keys = (coffer_slice *)coffer__alloc_zero((2 * count + 1) * sizeof *state->keys);
    if (state->keys == NULL) {
        return false;
    }
    state->wire_keys = state->keys + count;
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        size_t len = given_key(keys, state->items, i).len;
        if (len > SIZE_MAX / 4 - bytes) {
            return false;
        }
        bytes += len;
    }
    if (!coffer__buf_reserve(&state->key_bytes, bytes)) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        coffer_slice key = given_key(keys, state->items, i);
        state->keys[i] = coffer_slice_of(key.len == 0 ? NULL : state->key_bytes.data + state->key_bytes.len, key.len);
        coffer__buf_append_slice(&state->key_bytes, key); /* there is room */
    }
    return true;
}

static coffer_status new_many(coffer_op **out, const coffer__op_kind *kind, coffer_namespace *ns, const coffer_slice *keys, const coffer_item *items,
                              size_t count, uint64_t timeout_ms) {
    coffer_op *op = coffer__op_new(kind, ns, timeout_ms);
    *out = op;
    if (op != NULL) {
        state_of(op)->items = items;
        if (count < SIZE_MAX / 1024 && keep_keys(state_of(op), keys, count)) {
            return COFFER_OK;
        }
    }
    coffer_op_free(op);
    *out = NULL;
    return COFFER_NO_MEMORY;
}

static bool no_memory(coffer_op *op) {
    coffer__op_finish(op, COFFER_NO_MEMORY);
    return false;
}

/* One bad key refuses the whole: nothing has been sent. */
static bool refuse_key(coffer_op *op, size_t index, coffer_status status, const coffer_error *error) {
    if (status == COFFER_KEY_INVALID) {
        coffer__op_say(op, "key %zu of %zu: %s", index + 1, state_of(op)->count, error->text);
    }
    coffer__op_finish(op, status);
    return false;
}

/* All keys checked, and written as on the server. */
static bool prepare_keys(coffer_op *op) {
    many_state *state = state_of(op);
    coffer_slice base = coffer__buf_slice(&op->ns->key_base);
    coffer_error error;
    if (!coffer__buf_reserve(&state->wire_bytes, state->count * base.len + state->key_bytes.len)) { /* what most come to */
        return no_memory(op);
    }
    for (size_t i = 0; i < state->count; i++) {
        size_t before = state->wire_bytes.len;
        coffer_status status = COFFER_NO_MEMORY;
        if (coffer__buf_append_slice(&state->wire_bytes, base)) {
            status = coffer__key_write(&state->wire_bytes, op->ns->options->key_rules, state->keys[i], false, &error);
        }
        if (status != COFFER_OK) {
            return refuse_key(op, i, status, &error);
        }
        state->wire_keys[i].len = state->wire_bytes.len - before;
    }
    const char *at = state->wire_bytes.data;
    for (size_t i = 0; i < state->count; at += state->wire_keys[i].len, i++) {
        state->wire_keys[i].data = at;
    }
    return true;
}

/* Each begins as AGAIN: what is not reached shares the end of the whole. */
static bool make_items(coffer_op *op, bool with_values) {
    size_t count = state_of(op)->count;
    op->item_statuses = (coffer_status *)coffer__alloc_zero(count * sizeof *op->item_statuses);
    op->item_values = with_values ? (coffer_value *)coffer__alloc_zero(count * sizeof *op->item_values) : NULL;
    if (op->item_statuses == NULL || (with_values && op->item_values == NULL)) {
        return no_memory(op);
    }
    for (size_t i = 0; i < count; i++) {
        op->item_statuses[i] = COFFER_AGAIN;
    }
    op->item_count = count;
    return true;
}

static void overtake_all(coffer_op *op) {
    for (size_t i = 0; i < state_of(op)->count; i++) {
        coffer__flight_overtake(op->ns->client, state_of(op)->wire_keys[i]);
    }
}

/* One call for every so many of the first `count` keys, and room for `more`. False: the op is finished. */
static bool call_on_keys(coffer_op *op, const coffer__command *command, size_t count, size_t keys_a_command, size_t more) {
    many_state *state = state_of(op);
    if (!coffer__op_begin_calls(op, (count + keys_a_command - 1) / keys_a_command + more)) {
        return false;
    }
    for (size_t i = 0; i < count;) {
        coffer_call *call = coffer__op_call(op, command);
        size_t key_count = count - i < keys_a_command ? count - i : keys_a_command;
        if (!coffer__call_arguments(call, state->wire_keys + i, key_count)) {
            return no_memory(op);
        }
        i += key_count;
    }
    return true;
}

static void note_failure(coffer_op *op, const coffer_call *call, coffer_status status) {
    many_state *state = state_of(op);
    if (state->failed == COFFER_OK) {
        state->failed = status;
        coffer__reply_say(op, call);
    }
}

/* ---- get_many ---- */

static void end_item(coffer_op *op, size_t index, const coffer__seen *seen) {
    bool fresh = seen->found == COFFER__FOUND_FRESH;
    bool stale = seen->found == COFFER__FOUND_STALE && state_of(op)->read.accept_stale;
    op->item_statuses[index] = fresh ? COFFER_OK : stale ? COFFER_STALE : COFFER_MISS;
    if (fresh || stale) {
        op->item_values[index] = coffer__seen_value(op->ns, seen);
        coffer__op_count(op, fresh ? COFFER__COUNT_hits : COFFER__COUNT_stale_hits, 1);
        coffer__op_count(op, COFFER__COUNT_bytes_read, op->item_values[index].data.len);
    } else if (seen->found == COFFER__FOUND_NEGATIVE) {
        op->item_values[index].source = COFFER_SOURCE_NEGATIVE;
        coffer__op_count(op, COFFER__COUNT_negative_hits, 1);
    } else {
        coffer__op_count(op, COFFER__COUNT_misses, 1);
    }
}

static size_t index_of_asked(const many_state *state, size_t asked) {
    return state->near == NULL ? asked : state->near[asked].index;
}

/* What the server says of the asked-th key that it was asked for. False: the op is finished. */
static bool read_asked(coffer_op *op, size_t asked, const coffer_call *call, size_t node) {
    many_state *state = state_of(op);
    size_t index = index_of_asked(state, asked);
    coffer__seen seen;
    if (!coffer__judge(op, state->keys[index], &call->reply, node, &state->scratches[index], &seen)) {
        return false;
    }
    if (state->near != NULL) {
        const coffer_call *life = state->needs_life ? &op->calls[op->call_count - state->asked_count + asked] : NULL;
        coffer__copied_keep(op, &state->near[asked].asked, state->wire_keys[asked], call, node, &seen, life);
    }
    end_item(op, index, &seen);
    return true;
}

static size_t value_call_count(const coffer_op *op) {
    const many_state *state = (const many_state *)(const void *)op->state;
    return op->call_count - (state->needs_life ? state->asked_count : 0);
}

/* True where the reply is a row of as many values as were asked for, each of them there or not. */
static bool is_row(const coffer_call *call) {
    const coffer__reply *reply = &call->reply;
    bool row = reply->nodes[0].len == call->argument_count - 1 && reply->node_count == call->argument_count;
    for (size_t node = 1; row && node < reply->node_count; node++) {
        row = reply->nodes[node].type == COFFER__REPLY_BULK || reply->nodes[node].type == COFFER__REPLY_NIL;
    }
    return row;
}

static void got_many(coffer_op *op) {
    size_t asked = 0;
    for (size_t c = 0; c < value_call_count(op); c++) {
        const coffer_call *call = &op->calls[c];
        if (!coffer__reply_is(op, call, COFFER__REPLY_ARRAY)) {
            return;
        }
        if (!is_row(call)) {
            coffer__op_say(op, "get_many: the server answered MGET with something else than the values it was asked for");
            coffer__op_finish(op, COFFER_SERVER);
            return;
        }
        for (size_t node = 1; node < call->argument_count; node++, asked++) {
            if (!read_asked(op, asked, call, node)) {
                return;
            }
        }
    }
    coffer__op_finish(op, COFFER_OK);
}

/* A reply for each key. What could not be asked for fails its own item, and the whole; the others have their values all the same. A key that holds
 * something else than a string is not there, as MGET says. */
static void got_each(coffer_op *op) {
    for (size_t i = 0; i < value_call_count(op); i++) {
        coffer_call *call = &op->calls[i];
        coffer_status *status = &op->item_statuses[index_of_asked(state_of(op), i)];
        if (call->status == COFFER_WRONGTYPE) {
            *status = COFFER_MISS;
            coffer__op_count(op, COFFER__COUNT_misses, 1);
            continue;
        }
        bool nil = call->status == COFFER_OK && call->reply.nodes[0].type == COFFER__REPLY_NIL;
        *status = nil ? COFFER_OK : coffer__reply_status(call, COFFER__REPLY_BULK);
        if (*status != COFFER_OK) {
            note_failure(op, call, *status);
        } else if (!read_asked(op, i, call, 0)) {
            return;
        }
    }
    coffer__op_finish(op, state_of(op)->failed);
}

static void call_for_lives(coffer_op *op) {
    many_state *state = state_of(op);
    for (size_t i = 0; state->needs_life && i < state->asked_count; i++) {
        coffer__call_argument(coffer__op_call(op, &coffer__command_pttl), state->wire_keys[i]);
    }
}

static void call_for_values(coffer_op *op) {
    many_state *state = state_of(op);
    bool routed = coffer__client_is_routed(op->ns->client);
    const coffer__command *command = routed ? &coffer__command_get : &coffer__command_mget;
    if (call_on_keys(op, command, state->asked_count, routed ? 1 : KEYS_A_COMMAND, state->needs_life ? state->asked_count : 0)) {
        call_for_lives(op);
        for (size_t i = 0; i < op->call_count; i++) {
            coffer__op_read_anywhere(op, &op->calls[i]);
        }
        coffer__op_then(op, "get", routed ? got_each : got_many);
    }
}

/* Those that near copies answer need not be asked for: the others move to the front. */
static void look_near(coffer_op *op) {
    many_state *state = state_of(op);
    size_t asked = 0;
    coffer__seen seen;
    for (size_t i = 0; i < state->count; i++) {
        if (coffer__copied_look(op, state->keys[i], state->wire_keys[i], &state->near[i].copy, &state->scratches[i], &seen)) {
            coffer__copied_count(op->ns, &seen);
            end_item(op, i, &seen);
            continue;
        }
        state->near[asked].index = i;
        state->wire_keys[asked] = state->wire_keys[i];
        coffer__copied_expect(op, state->wire_keys[asked], &state->near[asked].asked);
        state->needs_life = state->needs_life || coffer__copied_needs_life(&state->near[asked].asked);
        asked++;
    }
    state->asked_count = asked;
}

static void finish_all_missed(coffer_op *op) {
    for (size_t i = 0; i < op->item_count; i++) {
        op->item_statuses[i] = COFFER_MISS;
    }
    coffer__op_finish(op, COFFER_OK);
}

static void begin_get_many(coffer_op *op) {
    many_state *state = state_of(op);
    if (!prepare_keys(op) || !make_items(op, true)) {
        return;
    }
    if (state->count == 0 || coffer__is_bypassed_many(op, state_of(op)->wire_keys, state_of(op)->count)) {
        finish_all_missed(op);
        return;
    }
    bool has_copies = op->ns->copies != NULL;
    state->asked_count = state->count;
    state->scratches = (coffer__buf *)coffer__alloc_zero(state->count * sizeof *state->scratches);
    state->near = has_copies ? (near_row *)coffer__alloc_zero(state->count * sizeof *state->near) : NULL;
    if (state->scratches == NULL || (has_copies && state->near == NULL)) {
        no_memory(op);
        return;
    }
    if (has_copies) {
        look_near(op);
    }
    if (state->asked_count == 0) {
        coffer__op_finish(op, COFFER_OK);
    } else {
        call_for_values(op);
    }
}

coffer_status coffer_op_get_many(coffer_op **op, coffer_namespace *ns, const coffer_slice *keys, size_t count, const coffer_read_options *options) {
    static const coffer__op_kind kind = {COFFER_OPERATION_GET_MANY, sizeof(many_state), begin_get_many, clear_many};
    coffer_read_options given = coffer__read_options(options);
    coffer_status status = new_many(op, &kind, ns, keys, NULL, count, given.timeout_ms);
    if (status == COFFER_OK) {
        state_of(*op)->read = given;
    }
    return status;
}

/* ---- delete_many ---- */

static void deleted_many(coffer_op *op) {
    size_t index = 0;
    int64_t gone = 0;
    overtake_all(op);
    for (size_t c = 0; c < op->call_count; c++) {
        const coffer_call *call = &op->calls[c];
        size_t key_count = call->argument_count - 1;
        coffer_status status = coffer__reply_count_status(call, key_count);
        for (size_t end = index + key_count; index < end; index++) {
            op->item_statuses[index] = status;
        }
        if (status != COFFER_OK) {
            note_failure(op, call, status);
        } else {
            gone += call->reply.nodes[0].integer;
            coffer__op_count(op, COFFER__COUNT_deletes, key_count);
        }
    }
    op->integer = gone;
    coffer__op_finish(op, state_of(op)->failed);
}

static void begin_delete_many(coffer_op *op) {
    if (!prepare_keys(op) || !make_items(op, false)) {
        return;
    }
    overtake_all(op);
    if (state_of(op)->count == 0 || coffer__is_bypassed_many(op, state_of(op)->wire_keys, state_of(op)->count)) {
        coffer__op_finish(op, COFFER_OK);
    } else if (call_on_keys(op, &coffer__command_unlink, state_of(op)->count, coffer__client_is_routed(op->ns->client) ? 1 : KEYS_A_COMMAND, 0)) {
        coffer__op_then(op, "delete", deleted_many);
    }
}

coffer_status coffer_op_delete_many(coffer_op **op, coffer_namespace *ns, const coffer_slice *keys, size_t count,
                                    const coffer_read_options *options) {
    static const coffer__op_kind kind = {COFFER_OPERATION_DELETE_MANY, sizeof(many_state), begin_delete_many, clear_many};
    return new_many(op, &kind, ns, keys, NULL, count, coffer__read_options(options).timeout_ms);
}

/* ---- set_many ---- */

static void written_some(coffer_op *op);

static coffer_write_options options_of(const many_state *state, size_t index) {
    coffer_write_options options = state->write;
    options.format = state->items[index].format;
    return options;
}

static size_t at_once(const coffer_op *op, const many_state *state) {
    size_t left = state->count - state->written;
    size_t count = left < WRITES_AT_ONCE ? left : WRITES_AT_ONCE, bytes = 0;
    if (!coffer__client_is_routed(op->ns->client)) {
        return count;
    }
    for (size_t i = 0; i < left && bytes <= ROUTED_BYTES_AT_ONCE; i++) {
        bytes += state->items[state->written + i].value.len;
        count = i >= count ? i + 1 : count;
    }
    return count;
}

static bool reserve_stored(many_state *state, size_t count) {
    coffer__stored *larger = count <= state->stored_cap ? state->stored : (coffer__stored *)coffer__resize(state->stored, count * sizeof *larger);
    if (larger != NULL) {
        state->stored = larger;
        state->stored_cap = count > state->stored_cap ? count : state->stored_cap;
    }
    return larger != NULL;
}

static bool compose_some(coffer_op *op, size_t count) {
    many_state *state = state_of(op);
    coffer__buf_clear(&state->composed);
    for (size_t i = 0; i < count; i++) {
        size_t index = state->written + i;
        coffer_write_options options = options_of(state, index);
        coffer_status status = coffer__compose(op, state->keys[index], state->items[index].value, &options, 0, &state->composed, &state->stored[i]);
        if (status != COFFER_OK) {
            coffer__op_finish(op, status);
            return false;
        }
    }
    return true;
}

static void write_some(coffer_op *op) {
    many_state *state = state_of(op);
    size_t count = at_once(op, state);
    if (!reserve_stored(state, count)) {
        no_memory(op);
    }
    if (op->done || !compose_some(op, count) || !coffer__op_begin_calls(op, count)) {
        overtake_all(op);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        coffer_call *call = coffer__op_call(op, &coffer__command_set);
        coffer__call_argument(call, state->wire_keys[state->written + i]);
        coffer__call_argument(call, coffer_slice_of(state->composed.data + state->stored[i].offset, state->stored[i].len));
        if (state->stored[i].life_ms != COFFER_TTL_FOREVER) {
            coffer__call_argument(call, COFFER_SLICE("PX"));
            coffer__call_number(call, state->stored[i].life_ms);
        }
    }
    coffer__op_then(op, "set", written_some);
}

/* What was not tried any more was not sent; where all else went well, it is why the whole did not. */
static void finish_writes(coffer_op *op) {
    many_state *state = state_of(op);
    size_t left = state->count - state->written;
    overtake_all(op);
    for (size_t i = state->written; i < state->count; i++) {
        op->item_statuses[i] = COFFER_NOT_SENT;
    }
    coffer__outage_remember(op, state->wire_keys + state->written, left);
    if (left > 0 && state->failed == COFFER_OK) {
        state->failed = COFFER_TIMEOUT;
        coffer__op_say(op, "set_many: there was no time left for %zu of %zu keys. The option 'timeout' sets how long a call may take", left,
                       state->count);
    }
    coffer__op_finish(op, state->failed);
}

static void count_write(coffer_op *op, size_t index, const coffer__stored *stored) {
    coffer__op_count(op, COFFER__COUNT_sets, 1);
    coffer__op_count(op, COFFER__COUNT_bytes_written, state_of(op)->items[index].value.len);
    coffer__op_count(op, COFFER__COUNT_stored_bytes, stored->len);
}

/* Goes on as long as it may be of use: not without time, and not where the only server is away. */
static void written_some(coffer_op *op) {
    many_state *state = state_of(op);
    bool away = false;
    for (size_t i = 0; i < op->call_count; i++) {
        const coffer_call *call = &op->calls[i];
        coffer_status status = coffer__reply_status(call, COFFER__REPLY_LINE);
        op->item_statuses[state->written + i] = status;
        if (status == COFFER_OK) {
            count_write(op, state->written + i, &state->stored[i]);
        } else {
            away = away || coffer_status_is_outage(status);
            note_failure(op, call, status);
        }
    }
    state->written += op->call_count;
    if (state->written < state->count && !op->late && !(away && !coffer__client_is_routed(op->ns->client))) {
        write_some(op);
    } else {
        finish_writes(op);
    }
}

static bool check_writes(coffer_op *op) {
    many_state *state = state_of(op);
    for (size_t i = 0; i < state->count; i++) {
        coffer_write_options options = options_of(state, i);
        if (!coffer__check_write(op, state->items[i].value, &options)) {
            return false;
        }
    }
    return true;
}

static void begin_set_many(coffer_op *op) {
    many_state *state = state_of(op);
    if (!prepare_keys(op) || !check_writes(op) || !make_items(op, false)) {
        return;
    }
    overtake_all(op);
    if (state->count == 0 || coffer__is_bypassed_many(op, state_of(op)->wire_keys, state_of(op)->count)) {
        coffer__op_finish(op, COFFER_OK);
        return;
    }
    write_some(op);
}

coffer_status coffer_op_set_many(coffer_op **op, coffer_namespace *ns, const coffer_item *items, size_t count, const coffer_write_options *options) {
    static const coffer__op_kind kind = {COFFER_OPERATION_SET_MANY, sizeof(many_state), begin_set_many, clear_many};
    static const coffer_item none;
    coffer_write_options given = coffer__write_options(options);
    coffer_status status = new_many(op, &kind, ns, NULL, items == NULL ? &none : items, count, given.timeout_ms);
    if (status == COFFER_OK) {
        state_of(*op)->write = given;
    }
    return status;
}
