/* A refresh of what is known of the servers: an op that the client owns and a driver runs (coffer_client_chores). It asks one node after another until
 * what they say can be believed; or, where they are sentinels, all at once, and believes the newest. */
#include "engine.h"

/* At most: a node that says nothing must not be waited for when another could be asked; and hardly at all where another has answered. */
enum { REFRESH_MS = 1000, ASK_ALL_MS = 500, SECOND_OPINION_MS = 250 };

typedef struct refresh_state {
    coffer__topology *topology;
    coffer__refresh refresh;
    bool learnt;
    size_t first_count; /* where all are asked: how many calls ask the first question; the others ask the second */
} refresh_state;

static refresh_state *state_of(coffer_op *op) {
    return (refresh_state *)coffer__op_state(op);
}

static void asked(coffer_op *op);

static void put(coffer_op *op, const coffer_endpoint *endpoint, const coffer_slice *question, size_t words) {
    coffer__topology *topology = state_of(op)->topology;
    coffer_call *call =
        coffer__op_call(op, coffer__topology_asks_all(topology) ? &coffer__command_sentinel : &coffer__command_cluster); /* the first word */
    coffer__call_arguments(call, question + 1, words - 1); /* a few, for which there is room */
    call->endpoint = endpoint;
    call->pinned = call->chosen = true;
}

static void put_question(coffer_op *op, const coffer_endpoint *endpoint) {
    size_t words;
    const coffer_slice *question = coffer__topology_question(state_of(op)->topology, &words);
    put(op, endpoint, question, words);
}

static void all_asked(coffer_op *op) {
    refresh_state *state = state_of(op);
    for (size_t i = 0; i < op->call_count; i++) {
        coffer_call *call = &op->calls[i];
        state->refresh.asked = call->endpoint;
        if (call->status == COFFER_OK && i >= state->first_count) {
            coffer__topology_learn_replicas(state->topology, &state->refresh, &call->reply);
        } else if (call->status == COFFER_OK) {
            call->status = coffer__topology_learn(state->topology, &state->refresh, &call->reply);
        }
    }
    state->learnt = coffer__topology_settle(state->topology, &state->refresh) == COFFER_OK;
    if (state->learnt) {
        coffer__op_finish(op, COFFER_OK);
    } else {
        coffer__op_finish_call(op, &op->calls[0]);
    }
}

static void ask_all(coffer_op *op) {
    coffer__topology *topology = state_of(op)->topology;
    size_t count = 0;
    while (coffer__topology_candidate(topology, count) != NULL) {
        count++;
    }
    size_t words;
    const coffer_slice *second = coffer__topology_second_question(topology, &words);
    if (!coffer__op_begin_calls(op, second == NULL ? count : 2 * count)) {
        return;
    }
    state_of(op)->first_count = count;
    for (size_t i = 0; i < count; i++) {
        put_question(op, coffer__topology_candidate(topology, i));
    }
    for (size_t i = 0; second != NULL && i < count; i++) {
        put(op, coffer__topology_candidate(topology, i), second, words);
    }
    coffer__op_then(op, "ask", all_asked);
}

/* Nobody else is asked. Where nobody gave an answer: the last one's reason. */
static void settle(coffer_op *op) {
    refresh_state *state = state_of(op);
    state->learnt = coffer__topology_settle(state->topology, &state->refresh) == COFFER_OK;
    if (state->learnt) {
        coffer__op_finish(op, COFFER_OK);
    } else if (op->call_count > 0) {
        coffer__op_finish_call(op, &op->calls[0]);
    } else {
        coffer__op_finish(op, COFFER_CONNECT);
    }
}

static void ask_next(coffer_op *op) {
    refresh_state *state = state_of(op);
    const coffer_endpoint *endpoint = coffer__topology_ask(state->topology, &state->refresh);
    if (endpoint == NULL) {
        settle(op);
        return;
    }
    if (!coffer__op_begin_calls(op, 1)) {
        return;
    }
    put_question(op, endpoint);
    coffer__op_then(op, "ask", asked);
}

static void asked(coffer_op *op) {
    refresh_state *state = state_of(op);
    coffer_call *call = &op->calls[0];
    if (call->status == COFFER_OK) {
        call->status = coffer__topology_learn(state->topology, &state->refresh, &call->reply);
    }
    if (op->late || coffer__topology_is_settled(state->topology, &state->refresh)) {
        settle(op);
        return;
    }
    if (state->refresh.answer_count > 0 && op->now_ms + SECOND_OPINION_MS < op->deadline_ms) {
        op->deadline_ms = op->now_ms + SECOND_OPINION_MS;
    }
    ask_next(op);
}

static void clear_refresh(coffer_op *op) {
    refresh_state *state = state_of(op);
    coffer__refresh_clear(&state->refresh);
    coffer_status status = state->learnt ? COFFER_OK : op->done ? op->status : COFFER_AGAIN;
    coffer__topology_end(state->topology, status, coffer_op_message(op), op->now_ms);
}

static void begin(coffer_op *op) {
    if (coffer__topology_asks_all(state_of(op)->topology)) {
        ask_all(op);
    } else {
        ask_next(op);
    }
}

static coffer_op *new_refresh(coffer_client *client) {
    static const coffer__op_kind kind = {COFFER__OPERATION_CHORE, sizeof(refresh_state), begin, clear_refresh};
    coffer_namespace *ns = NULL;
    if (coffer_namespace_new(&ns, client, NULL, NULL) != COFFER_OK) {
        return NULL;
    }
    uint64_t timeout_ms = client->options->timeout_ms, most_ms = coffer__topology_asks_all(client->topology) ? ASK_ALL_MS : REFRESH_MS;
    coffer_op *op = coffer__op_new(&kind, ns, timeout_ms < most_ms ? timeout_ms : most_ms);
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
