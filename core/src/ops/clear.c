/* clear: every key of a namespace goes: values, absences, counters.
 *
 *     SCAN 0 --page--> [ UNLINK its keys, SCAN where it ended ] --page--> ... --cursor 0--> [ UNLINK, the next server's SCAN 0 ] ...
 *
 * so that one page is in memory, and the next on its way. What was found on a server may be another's by now: each key is deleted wherever it lives. */
#include "entry.h"

#include "engine/flight.h"
#include "engine/nearby.h"
#include "engine/sweep.h"
#include "policy/key.h"

#include <stdio.h>

enum { KEYS_A_COMMAND = 512 };
#define KEYS_A_PAGE COFFER_SLICE("1000") /* about: what a server looks at within a millisecond */
#define WHOLE_MS ((uint64_t)10 * 60 * 1000) /* where no timeout was given, so that a server that never comes to an end ends too */

typedef struct clear_state {
    uint64_t given_ms; /* for the whole; 0: the option for each page */
    uint64_t ends_ms;
    coffer__buf pattern;
    coffer__sweep sweep;
    coffer__reply page; /* its keys are to be deleted: nodes FIRST_KEY and on; empty: none */
    bool scans; /* the last call is a SCAN */
} clear_state;

enum { CURSOR_NODE = 1, KEYS_NODE = 2, FIRST_KEY = 3 };

static clear_state *state_of(coffer_op *op) {
    return (clear_state *)coffer__op_state(op);
}

static void clear_clear(coffer_op *op) {
    clear_state *state = state_of(op);
    coffer__buf_free(&state->pattern);
    coffer__reply_free(&state->page);
    coffer__sweep_clear(&state->sweep);
}

/* Loads that are under way would store what they have read before; near copies would be read. */
static void overtake_all(coffer_op *op) {
    coffer__flights_overtake(op->ns->client, coffer__buf_slice(&op->ns->key_base));
    coffer__nearby_drop_all(op->ns->client);
}

/* ---- the end ---- */

static void finish_cleared(coffer_op *op) {
    overtake_all(op);
    coffer__op_finish(op, COFFER_OK);
}

/* The op's message is about the failure; what was done by then is done. */
static void fail(coffer_op *op, coffer_status status) {
    overtake_all(op);
    if (op->error != NULL) {
        size_t len = strlen(op->error->text);
        snprintf(op->error->text + len, sizeof op->error->text - len, ". Deleted by then, for good: %lld keys", (long long)op->integer);
    }
    coffer__op_finish(op, status);
}

static bool no_memory(coffer_op *op) {
    fail(op, COFFER_NO_MEMORY);
    return false;
}

static void fail_call(coffer_op *op, const coffer_call *call, coffer_status status) {
    coffer__reply_say(op, call);
    fail(op, status);
}

/* ---- a page ---- */

/* It has time of its own, where the whole was not given any. */
static void begin_page(coffer_op *op) {
    clear_state *state = state_of(op);
    if (state->given_ms == 0) {
        uint64_t page_ends_ms = op->timeout_ms > UINT64_MAX - op->now_ms ? UINT64_MAX : op->now_ms + op->timeout_ms;
        op->deadline_ms = page_ends_ms < state->ends_ms ? page_ends_ms : state->ends_ms;
    }
}

static size_t page_count(const clear_state *state) {
    return state->page.node_count < FIRST_KEY ? 0 : state->page.node_count - FIRST_KEY;
}

static bool put_deletions(coffer_op *op, size_t keys_a_command) {
    clear_state *state = state_of(op);
    coffer_call *call = NULL;
    for (size_t i = 0; i < page_count(state); i++) {
        call = i % keys_a_command == 0 ? coffer__op_call(op, &coffer__command_unlink) : call;
        if (!coffer__call_argument(call, coffer__reply_text(&state->page, FIRST_KEY + i))) {
            return no_memory(op);
        }
    }
    return true;
}

static void paged(coffer_op *op);
static void go_on(coffer_op *op);

static void rest(coffer_op *op) {
    uint64_t pause_ms;
    coffer_status outlook = coffer__sweep_outlook(op, &pause_ms);
    if (outlook == COFFER_AGAIN) {
        coffer__op_sleep_then(op, "await_servers", pause_ms, go_on);
    } else if (outlook != COFFER_OK) {
        fail(op, outlook);
    } else {
        finish_cleared(op);
    }
}

/* What was found is deleted, in a cluster by a command for each key, for each goes its own way; and the next page is asked for. */
static void go_on(coffer_op *op) {
    clear_state *state = state_of(op);
    size_t keys_a_command = coffer__client_is_routed(op->ns->client) ? 1 : KEYS_A_COMMAND;
    size_t deletions = (page_count(state) + keys_a_command - 1) / keys_a_command;
    state->scans = coffer__sweep_choose(op, &state->sweep);
    if (deletions + state->scans == 0) {
        rest(op);
    } else if (coffer__op_begin_calls(op, deletions + state->scans) && put_deletions(op, keys_a_command)) {
        if (state->scans) {
            coffer__sweep_call(op, &state->sweep, coffer__buf_slice(&state->pattern), KEYS_A_PAGE);
        }
        coffer__op_then(op, "page", paged);
    }
}

/* ---- what came of it ---- */

/* Decimal, of 64 bits. */
static bool read_cursor(coffer_slice text, uint64_t *cursor) {
    *cursor = 0;
    for (size_t i = 0; i < text.len; i++) {
        unsigned digit = (unsigned)(text.data[i] - '0');
        if (digit > 9 || *cursor > (UINT64_MAX - digit) / 10) {
            return false;
        }
        *cursor = *cursor * 10 + digit;
    }
    return text.len > 0;
}

/* [cursor, [key ...]], and nothing but keys of this namespace: whatever a server says, no other's are deleted. */
static bool is_page(const coffer_op *op, const coffer__reply *reply, uint64_t *cursor) {
    const coffer__node *nodes = reply->nodes;
    coffer_slice base = coffer__buf_slice(&op->ns->key_base);
    bool page = nodes[0].type == COFFER__REPLY_ARRAY && nodes[0].len == 2 && nodes[CURSOR_NODE].type == COFFER__REPLY_BULK &&
                nodes[KEYS_NODE].type == COFFER__REPLY_ARRAY && reply->node_count == FIRST_KEY + nodes[KEYS_NODE].len &&
                read_cursor(coffer__reply_text(reply, CURSOR_NODE), cursor);
    for (size_t node = FIRST_KEY; page && node < reply->node_count; node++) {
        coffer_slice key = coffer__reply_text(reply, node);
        page = nodes[node].type == COFFER__REPLY_BULK && key.len >= base.len && memcmp(key.data, base.data, base.len) == 0;
    }
    return page;
}

static bool count_deleted(coffer_op *op) {
    size_t count = op->call_count - state_of(op)->scans;
    coffer_status failed = COFFER_OK;
    const coffer_call *first = NULL;
    for (size_t i = 0; i < count; i++) {
        const coffer_call *call = &op->calls[i];
        coffer_status status = coffer__reply_count_status(call, call->argument_count - 1);
        if (status == COFFER_OK) {
            op->integer += call->reply.nodes[0].integer;
            coffer__op_count(op, COFFER__COUNT_deletes, call->argument_count - 1);
        } else if (failed == COFFER_OK) {
            failed = status;
            first = call;
        }
    }
    if (failed != COFFER_OK) {
        fail_call(op, first, failed);
    }
    return failed == COFFER_OK;
}

static void scan_again(coffer_op *op, const coffer_call *call) {
    uint64_t pause_ms;
    if (!coffer__sweep_again(op, &state_of(op)->sweep, call, &pause_ms)) {
        fail_call(op, call, call->status);
    } else if (pause_ms > 0) {
        coffer__op_sleep_then(op, "pause", pause_ms, go_on);
    } else {
        go_on(op);
    }
}

static void take_page(coffer_op *op, coffer_call *call) {
    clear_state *state = state_of(op);
    uint64_t cursor;
    if (!is_page(op, &call->reply, &cursor)) {
        coffer__op_say(op, "clear: the server answered SCAN with something else than a cursor and keys of this namespace");
        fail(op, COFFER_SERVER);
        return;
    }
    coffer__reply_swap(&state->page, &call->reply);
    begin_page(op);
    if (coffer__sweep_answered(&state->sweep, cursor)) {
        go_on(op);
    } else {
        no_memory(op);
    }
}

static void paged(coffer_op *op) {
    clear_state *state = state_of(op);
    coffer_call *scan = state->scans ? &op->calls[op->call_count - 1] : NULL;
    if (!count_deleted(op)) {
        return;
    }
    coffer__reply_clear(&state->page);
    if (scan == NULL) {
        go_on(op); /* a deletion may have told of another server */
    } else if (scan->status != COFFER_OK) {
        scan_again(op, scan);
    } else {
        take_page(op, scan);
    }
}

/* ---- the beginning ---- */

/* Which keys it would have deleted nobody knows, so they cannot be remembered until caching is on again: that is no success. */
static bool is_bypassed(coffer_op *op) {
    if (!coffer__is_bypassed_many(op, NULL, 0)) {
        return false;
    }
    if (op->ns->options->enabled) {
        coffer__op_say(op, "clear: caching is turned off, so nothing was deleted. Clear when it is on again");
        coffer__op_finish(op, COFFER_UNSUPPORTED);
    } else {
        coffer__op_finish(op, COFFER_OK);
    }
    return true;
}

static void begin_clear(coffer_op *op) {
    clear_state *state = state_of(op);
    overtake_all(op);
    if (is_bypassed(op)) {
        return;
    }
    if (!coffer__key_pattern(&state->pattern, coffer__buf_slice(&op->ns->key_base))) {
        no_memory(op);
        return;
    }
    state->ends_ms = op->now_ms > UINT64_MAX - WHOLE_MS ? UINT64_MAX : op->now_ms + WHOLE_MS;
    begin_page(op);
    go_on(op);
}

coffer_status coffer_op_clear(coffer_op **op, coffer_namespace *ns, const coffer_read_options *options) {
    static const coffer__op_kind kind = {COFFER_OPERATION_CLEAR, sizeof(clear_state), begin_clear, clear_clear};
    uint64_t timeout_ms = coffer__read_options(options).timeout_ms;
    *op = coffer__op_new(&kind, ns, timeout_ms);
    if (*op == NULL) {
        return COFFER_NO_MEMORY;
    }
    state_of(*op)->given_ms = timeout_ms;
    return COFFER_OK;
}
