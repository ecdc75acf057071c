/* A refresh of what is known of the servers: an op that the client owns and a driver runs (coffer_client_chores). It asks one node after another until
 * one has given an answer that is of use. */
#include "engine.h"

enum { REFRESH_MS = 1000 }; /* at most: a node that says nothing must not be waited for when another could be asked */

typedef struct refresh_state {
    coffer__topology *topology;
    coffer__refresh refresh;
    bool learnt;
} refresh_state;

static refresh_state *state_of(coffer_op *op) {
    return (refresh_state *)coffer__op_state(op);
}

static void asked(coffer_op *op);

static void ask_next(coffer_op *op) {
    refresh_state *state = state_of(op);
    const coffer_endpoint *endpoint = coffer__topology_ask(state->topology, &state->refresh);
    if (endpoint == NULL && op->call_count > 0) {
        coffer__op_finish_call(op, &op->calls[0]); /* the last one's reason */
        return;
    }
    if (endpoint == NULL) {
        coffer__op_finish(op, COFFER_CONNECT);
        return;
    }
    if (!coffer__op_begin_calls(op, 1)) {
        return;
    }
    size_t words;
    const coffer_slice *question = coffer__topology_question(state->topology, &words);
    coffer_call *call = coffer__op_call(op, &coffer__command_cluster); /* which is the first word */
    coffer__call_arguments(call, question + 1, words - 1); /* a few, for which there is room */
    call->endpoint = endpoint;
    call->pinned = call->chosen = true;
    coffer__op_then(op, "ask", asked);
}

static void asked(coffer_op *op) {
    refresh_state *state = state_of(op);
    coffer_call *call = &op->calls[0];
    if (call->status == COFFER_OK) {
        call->status = coffer__topology_learn(state->topology, &state->refresh, &call->reply);
        state->learnt = call->status == COFFER_OK;
    }
    if (state->learnt) {
        coffer__op_finish(op, COFFER_OK);
    } else if (op->late) {
        coffer__op_finish_call(op, call);
    } else {
        ask_next(op);
    }
}

static void clear_refresh(coffer_op *op) {
    refresh_state *state = state_of(op);
    coffer_status status = state->learnt ? COFFER_OK : op->done ? op->status : COFFER_AGAIN;
    coffer__topology_end(state->topology, status, coffer_op_message(op), op->now_ms);
}

static coffer_op *new_refresh(coffer_client *client) {
    static const coffer__op_kind kind = {COFFER__OPERATION_CHORE, sizeof(refresh_state), ask_next, clear_refresh};
    coffer_namespace *ns = NULL;
    if (coffer_namespace_new(&ns, client, NULL, NULL) != COFFER_OK) {
        return NULL;
    }
    uint64_t timeout_ms = client->options->timeout_ms;
    coffer_op *op = coffer__op_new(&kind, ns, timeout_ms < REFRESH_MS ? timeout_ms : REFRESH_MS);
    coffer_namespace_free(ns);
    return op;
}

coffer_op *coffer_client_chores(coffer_client *client, uint64_t now_ms) {
    coffer__refresh refresh;
    coffer__topology *topology = client->topology;
    if (topology == NULL || !coffer__topology_is_due(topology, now_ms) || !coffer__topology_begin(topology, now_ms, &refresh)) {
        return NULL;
    }
    coffer_op *op = new_refresh(client);
    if (op == NULL) {
        coffer__topology_end(topology, COFFER_NO_MEMORY, coffer_status_text(COFFER_NO_MEMORY), now_ms);
        return NULL;
    }
    *state_of(op) = (refresh_state){.topology = topology, .refresh = refresh};
    op->now_ms = now_ms;
    return op;
}
