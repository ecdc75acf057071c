/* get_or_load: one load per key and process, however many ask.
 *
 *     GET --fresh--> done                 --absent, stale, dead--> join the flight of this key
 *       lead: run the loader --> tell those who wait --> store, only while the key is as it was seen
 *       wait: the leader's value, or its failure; or the lead, where it went away
 *
 * A server that cannot be asked is no reason not to load: the caller gets its value, nothing is stored.
 */
#include "copied.h"

#include "base/bytes.h"
#include "base/log.h"
#include "engine/flight.h"

typedef struct load_state {
    coffer__flight *flight; /* until it is left */
    uint64_t ended_before; /* how many flights of its key had ended when this op last began to look */
    coffer__seen seen; /* what the value will be stored over */
    coffer__buf scratch;
    coffer__buf copy; /* a near one */
    coffer__asked asked;
    coffer__buf stale_data; /* a stale value, for when the loader fails */
    coffer_value stale;
    bool has_stale;
    bool away; /* the server could not be asked */
    coffer__buf composed;
    coffer__stored stored;
} load_state;

static load_state *state_of(coffer_op *op) {
    return (load_state *)coffer__op_state(op);
}

static void leave(coffer_op *op) {
    load_state *state = state_of(op);
    if (state->flight != NULL) {
        coffer__flight_leave(op->ns->client, state->flight, op);
        state->flight = NULL;
    }
}

static void clear_load(coffer_op *op) {
    load_state *state = state_of(op);
    leave(op);
    coffer__buf_free(&state->scratch);
    coffer__buf_free(&state->copy);
    coffer__buf_free(&state->stale_data);
    coffer__buf_free(&state->composed);
}

/* A loader may have run for longer than the stale value had to live. */
static bool finish_stale(coffer_op *op) {
    load_state *state = state_of(op);
    if (!state->has_stale || coffer__op_unix_ms(op) >= state->stale.expires_unix_ms) {
        return false;
    }
    op->value = state->stale;
    coffer__op_count(op, COFFER__COUNT_stale_hits, 1);
    coffer__op_count(op, COFFER__COUNT_bytes_read, op->value.data.len);
    coffer__op_finish(op, COFFER_STALE);
    return true;
}

static void finish_absent(coffer_op *op) {
    op->value = (coffer_value){.source = COFFER_SOURCE_NEGATIVE};
    coffer__op_finish(op, COFFER_MISS);
}

/* The reply's memory goes with the next call. */
static void keep_stale(coffer_op *op, const coffer__seen *seen) {
    load_state *state = state_of(op);
    state->has_stale = false;
    coffer__buf_clear(&state->stale_data);
    if (coffer__buf_append_slice(&state->stale_data, seen->entry.payload)) {
        state->stale = coffer__seen_value(op->ns, seen);
        state->stale.data = coffer__buf_slice(&state->stale_data);
        state->has_stale = true;
    }
}

/* ---- looking ---- */

/* On the primary: what is loaded is stored over what was seen there. */
static void look(coffer_op *op, coffer__step then, bool anywhere) {
    load_state *state = state_of(op);
    state->ended_before = coffer__flights_ended(op->ns->client->flights, op->wire_key);
    if (!coffer__op_begin_calls(op, 2)) {
        return;
    }
    coffer__copied_expect(op, op->wire_key, &state->asked);
    coffer__call_argument(coffer__op_call(op, &coffer__command_get), op->wire_key);
    if (coffer__copied_needs_life(&state->asked)) {
        coffer__call_argument(coffer__op_call(op, &coffer__command_pttl), op->wire_key);
    }
    for (size_t i = 0; anywhere && i < op->call_count; i++) {
        coffer__op_read_anywhere(op, &op->calls[i]);
    }
    coffer__op_then(op, "look", then);
}

/* What is there is kept; an absence is about to be loaded over. */
static void keep(coffer_op *op) {
    load_state *state = state_of(op);
    coffer__copied_keep(op, &state->asked, op->wire_key, &op->calls[0], 0, &state->seen, op->call_count > 1 ? &op->calls[1] : NULL);
}

/* True where a load is needed. False: the op is finished, with what was seen or an error. */
static bool is_load_needed(coffer_op *op) {
    load_state *state = state_of(op);
    const coffer_call *call = &op->calls[0];
    memset(&state->seen, 0, sizeof state->seen);
    if (call->status != COFFER_OK && coffer_status_is_outage(call->status)) {
        state->away = true;
        coffer__op_count(op, COFFER__COUNT_outage_misses, 1);
        return true;
    }
    if (!coffer__reply_is_stored(op, call)) {
        return false;
    }
    state->has_stale = false;
    if (!coffer__judge(op, op->key, &call->reply, 0, &state->scratch, &state->seen)) {
        return false;
    }
    if (state->seen.found == COFFER__FOUND_STALE) {
        keep_stale(op, &state->seen);
    }
    bool found = state->seen.found == COFFER__FOUND_FRESH || state->seen.found == COFFER__FOUND_NEGATIVE;
    if (found) {
        keep(op);
        coffer__finish_read(op, &state->seen, false);
    }
    return !found;
}

/* ---- the leader ---- */

static void loaded(coffer_op *op);

static void load(coffer_op *op) {
    coffer__op_count(op, COFFER__COUNT_loads, 1);
    coffer__op_load_then(op, "load", loaded);
}

/* The leader goes: whoever comes now finds the value in the store. */
static void conclude(coffer_op *op) {
    leave(op);
    if (op->value.source == COFFER_SOURCE_NEGATIVE) {
        finish_absent(op);
    } else {
        coffer__op_count(op, COFFER__COUNT_bytes_read, op->value.data.len);
        coffer__op_finish(op, COFFER_OK);
    }
}

/* The value does not go into the store; its caller has it all the same. */
static void not_stored(coffer_op *op, coffer_status why) {
    bool too_large = why == COFFER_TOO_LARGE || why == COFFER_OOM;
    coffer__op_count(op, too_large ? COFFER__COUNT_oversized_fills : COFFER__COUNT_errors, 1);
    coffer__log(COFFER_LOG_FILL_NOT_STORED, why, NULL);
}

/* An entry that is dead to every reader and gone in a moment. */
static bool compose_dead(coffer_op *op) {
    load_state *state = state_of(op);
    coffer__entry dead = {.created_unix_ms = 1, .fresh_unix_ms = 1, .expires_unix_ms = 1, .kind = COFFER__KIND_ABSENT};
    coffer__buf_clear(&state->composed);
    return coffer__compose_entry(op, op->key, &dead, &state->composed, &state->stored) == COFFER_OK;
}

/* A write overtook the load while its fill was on its way, and may have come to the server first: what was stored dies at once. In a raw namespace
 * nothing tells it from a newer value; the key goes all the same, for an empty cache is never wrong. */
static void take_back(coffer_op *op) {
    load_state *state = state_of(op);
    coffer__op_count(op, COFFER__COUNT_fills_refused, 1);
    state->seen.found = COFFER__FOUND_FRESH;
    state->seen.id_len = sizeof state->seen.id;
    coffer__put_u64(state->seen.id, state->stored.entry_id);
    if (!op->ns->options->raw && compose_dead(op)) {
        coffer__call_store_if(op, &state->composed, &state->stored, &state->seen);
    } else {
        coffer__op_call_on_key(op, &coffer__command_unlink);
    }
    coffer__op_then(op, "take_back", conclude);
}

/* What the server said to the fill: 1 or OK where it was stored; 0 or nil where the key is not as it was seen. */
static bool was_filled(const coffer_op *op, const coffer__reply *reply) {
    if (op->ns->options->raw) {
        return reply->nodes[0].type == COFFER__REPLY_LINE;
    }
    return reply->nodes[0].type == COFFER__REPLY_INTEGER && reply->nodes[0].integer == 1;
}

static void filled(coffer_op *op) {
    load_state *state = state_of(op);
    const coffer_call *call = &op->calls[0];
    if (call->status != COFFER_OK) {
        not_stored(op, call->status);
    } else if (!was_filled(op, &call->reply)) {
        coffer__op_count(op, COFFER__COUNT_fills_refused, 1);
    } else if (coffer__flight_is_overtaken(op->ns->client, state->flight)) {
        take_back(op);
        return;
    } else {
        coffer__op_count(op, COFFER__COUNT_sets, 1);
        coffer__op_count(op, COFFER__COUNT_bytes_written, op->value.data.len);
        coffer__op_count(op, COFFER__COUNT_stored_bytes, state->stored.len);
        op->value.entry_id = state->stored.entry_id;
    }
    conclude(op);
}

static bool is_worth_storing(const coffer_op *op, const load_state *state) {
    const coffer_write_options *options = &op->supplied_options;
    bool remembers = !options->absent || ((options->ttl_ms != 0 || op->ns->options->negative_ttl_ms != 0) && !op->ns->options->raw);
    return remembers && !state->away && coffer__is_on(op, op->key);
}

/* A value that is too large, or refused by its options, is the caller's all the same. */
static void fill(coffer_op *op) {
    load_state *state = state_of(op);
    if (!is_worth_storing(op, state)) {
        conclude(op);
        return;
    }
    if (coffer__flight_is_overtaken(op->ns->client, state->flight)) {
        coffer__op_count(op, COFFER__COUNT_fills_refused, 1);
        conclude(op);
        return;
    }
    coffer_status status =
        coffer__compose(op, op->key, coffer__buf_slice(&op->supplied), &op->supplied_options, op->load_cost_ms, &state->composed, &state->stored);
    if (status != COFFER_OK) {
        not_stored(op, status);
        conclude(op);
        return;
    }
    op->value.created_unix_ms = state->stored.entry.created_unix_ms;
    op->value.fresh_unix_ms = state->stored.entry.fresh_unix_ms;
    op->value.expires_unix_ms = state->stored.entry.expires_unix_ms;
    coffer_call *call = op->ns->options->raw ? coffer__call_set(op, &state->composed, &state->stored, "NX")
                                             : coffer__call_store_if(op, &state->composed, &state->stored, &state->seen);
    if (call != NULL) {
        coffer__op_then(op, "fill", filled);
    }
}

static void load_failed(coffer_op *op) {
    load_state *state = state_of(op);
    coffer__op_count(op, COFFER__COUNT_load_failures, 1);
    coffer__log(COFFER_LOG_LOAD_FAILED, COFFER_OK, "%s", state->has_stale ? "a stale value is served in its place" : "");
    coffer__flight_publish(op->ns->client, state->flight, COFFER_LOAD_FAILED, NULL);
    leave(op);
    if (!finish_stale(op)) {
        coffer__op_say(op, "get_or_load: the loader failed, and no stale value may be served in its place");
        coffer__op_finish(op, COFFER_LOAD_FAILED);
    }
}

/* What a caller may not ask of any write. (A value that is too large is still the caller's: fill counts it.) False: the op is finished, and another
 * one's loader, which may ask for something else, goes on in its place. */
static bool is_supply_acceptable(coffer_op *op) {
    if (coffer__check_write(op, coffer_slice_of(NULL, 0), &op->supplied_options)) {
        return true;
    }
    leave(op);
    return false;
}

static void loaded(coffer_op *op) {
    load_state *state = state_of(op);
    if (op->load_status == COFFER_INTERRUPTED || op->load_status == COFFER_NO_MEMORY) {
        leave(op); /* another one's loader goes on in its place */
        coffer__op_finish(op, op->load_status);
        return;
    }
    if (op->load_status != COFFER_OK) {
        load_failed(op);
        return;
    }
    if (!is_supply_acceptable(op)) {
        return;
    }
    bool absent = op->supplied_options.absent;
    op->value = (coffer_value){
        .data = absent ? coffer_slice_of(NULL, 0) : coffer__buf_slice(&op->supplied),
        .format = op->supplied_options.format,
        .source = absent ? COFFER_SOURCE_NEGATIVE : COFFER_SOURCE_LOADED,
        .load_cost_ms = op->load_cost_ms,
    };
    coffer__flight_publish(op->ns->client, state->flight, absent ? COFFER_MISS : COFFER_OK, &op->value);
    fill(op);
}

/* Another load of this key ended between this op's look and its lead: what it stored is looked at before loading again. */
static void looked_again(coffer_op *op) {
    load_state *state = state_of(op);
    if (is_load_needed(op)) {
        load(op);
        return;
    }
    bool found = op->status == COFFER_OK || (op->status == COFFER_MISS && op->value.source == COFFER_SOURCE_NEGATIVE);
    if (found) {
        coffer__flight_publish(op->ns->client, state->flight, op->status, &op->value);
    }
    leave(op);
}

/* ---- the others ---- */

static void take_result(coffer_op *op) {
    const coffer__flight_result *result = coffer__flight_result_of(state_of(op)->flight);
    if (result->status == COFFER_OK) {
        op->value = result->value;
        coffer__op_count(op, COFFER__COUNT_bytes_read, op->value.data.len);
        coffer__op_finish(op, COFFER_OK);
    } else if (result->status == COFFER_MISS) {
        finish_absent(op);
    } else if (!finish_stale(op)) {
        coffer__op_say(op, "get_or_load: the loader of another caller, for which this one waited, failed");
        coffer__op_finish(op, COFFER_LOAD_FAILED);
    }
}

static void woken(coffer_op *op) {
    load_state *state = state_of(op);
    switch (coffer__flight_poll(op->ns->client, state->flight, op)) {
    case COFFER__FLIGHT_RESULT:
        take_result(op);
        return;
    case COFFER__FLIGHT_LEAD:
        load(op);
        return;
    default:
        break;
    }
    if (!op->late) {
        coffer__op_wait_then(op, "wait", woken);
    } else if (!finish_stale(op)) {
        coffer__op_say(op, "get_or_load: the loader of another caller did not end before this call's deadline (option 'timeout')");
        coffer__op_finish(op, COFFER_TIMEOUT);
    }
}

static void lead(coffer_op *op) {
    load_state *state = state_of(op);
    bool others_ended = coffer__flights_ended(op->ns->client->flights, op->wire_key) != state->ended_before;
    if (others_ended && !state->away && coffer__is_on(op, op->key)) {
        look(op, looked_again, false);
    } else {
        load(op);
    }
}

static void refuse_own_load(coffer_op *op) {
    coffer__op_say(op, "get_or_load: the loader of this key asked for the same key, and would wait for itself");
    coffer__op_finish(op, COFFER_LOAD_RECURSIVE);
}

static void join(coffer_op *op) {
    load_state *state = state_of(op);
    coffer__op_count(op, COFFER__COUNT_misses, 1);
    switch (coffer__flight_join(op->ns->client, op->wire_key, op, op->parent, op->waiter, &state->flight)) {
    case COFFER__FLIGHT_LEAD:
        lead(op);
        return;
    case COFFER__FLIGHT_WAIT:
        coffer__op_count(op, COFFER__COUNT_load_waits, 1);
        coffer__op_wait_then(op, "wait", woken);
        return;
    case COFFER__FLIGHT_RESULT:
        coffer__op_count(op, COFFER__COUNT_load_waits, 1);
        take_result(op);
        return;
    case COFFER__FLIGHT_RECURSIVE:
        refuse_own_load(op);
        return;
    case COFFER__FLIGHT_NO_MEMORY:
        coffer__op_finish(op, COFFER_NO_MEMORY);
        return;
    }
}

static void looked(coffer_op *op) {
    if (is_load_needed(op)) {
        join(op);
    }
}

/* A hit is a hit, whoever gave it. Anything else a replica may have said because it is behind. */
static void looked_anywhere(coffer_op *op) {
    const coffer_call *call = &op->calls[0];
    if (!coffer__call_may_be_behind(call)) {
        looked(op);
    } else if (call->status != COFFER_OK || is_load_needed(op)) {
        look(op, looked, false);
    }
}

/* Of what was not there a while ago the server is asked: what is loaded has to be stored over what is there now. */
static bool is_near(coffer_op *op) {
    load_state *state = state_of(op);
    bool near =
        coffer__copied_look(op, op->key, op->wire_key, &state->copy, &state->scratch, &state->seen) && state->seen.found != COFFER__FOUND_NOTHING;
    if (near) {
        coffer__copied_count(op->ns, &state->seen);
        coffer__finish_read(op, &state->seen, false);
    }
    return near;
}

static void begin_load(coffer_op *op) {
    if (!coffer__op_prepare_key(op, false)) {
        return;
    }
    if (coffer__is_bypassed(op)) {
        join(op);
    } else if (!is_near(op)) {
        look(op, looked_anywhere, true);
    }
}

coffer_status coffer_op_get_or_load(coffer_op **op, coffer_namespace *ns, coffer_slice key, const coffer_read_options *options) {
    static const coffer__op_kind kind = {COFFER_OPERATION_GET_OR_LOAD, sizeof(load_state), begin_load, clear_load};
    return coffer__op_new_on_key(op, &kind, ns, key, coffer__read_options(options).timeout_ms);
}
