/* An op's calls: handed out, looked after, sent again. What comes of them is the op's step. */
#include "engine.h"

#include "access.h"
#include "nearby.h"
#include "outage.h"
#include "replicas.h"
#include "route.h"

bool coffer__op_has_several_calls(const coffer_op *op) {
    return op->call_count > 1;
}

static void give_up_sent(coffer_op *op, coffer_call *call) {
    coffer__conn_forget(call->conn, call);
    coffer__topology_timed_out(op->ns->client->topology, call->endpoint, op->now_ms);
    coffer__call_end(call, call->command->writes ? COFFER_MAYBE_APPLIED : COFFER_TIMEOUT, coffer_status_text(COFFER_TIMEOUT));
}

void coffer__op_give_up(coffer_op *op, const coffer_conn *conn) {
    for (size_t i = op->next_due; i < op->call_count; i++) {
        coffer_call *call = &op->calls[i];
        if (coffer__call_is(call, COFFER__CALL_SENT) && call->conn == conn) {
            give_up_sent(op, call);
        }
    }
}

void coffer__op_orphan(coffer_op *op) {
    for (size_t i = op->next_due; i < op->call_count; i++) {
        coffer_call *call = &op->calls[i];
        if (coffer__call_is(call, COFFER__CALL_SENT)) {
            coffer__call_end(call, call->command->writes ? COFFER_MAYBE_APPLIED : COFFER_CLOSED,
                             "the process has forked: the connection is its parent's");
        }
    }
}

/* The deadline has passed: what is in flight is given up (a tombstone stays in its conn), what was not sent never will be. */
void coffer__op_give_up_calls(coffer_op *op) {
    for (size_t i = op->next_due; i < op->call_count; i++) {
        coffer_call *call = &op->calls[i];
        if (coffer__call_is(call, COFFER__CALL_SENT)) {
            give_up_sent(op, call);
        } else if (coffer__call_is(call, COFFER__CALL_OPEN)) {
            coffer__call_end(call, COFFER_TIMEOUT, NULL);
        }
    }
}

static void run_local(coffer_op *op, coffer_call *call) {
    bool script = call->command->script_sha1 != NULL;
    coffer__local run = {
        .store = op->ns->client->store,
        .arguments = script ? call->arguments + 2 : call->arguments,
        .count = script ? call->argument_count - 2 : call->argument_count,
        .now_ms = op->now_ms,
        .reply = &call->reply,
    };
    coffer_status status = call->command->local(&run);
    if (status == COFFER_OK && call->reply.nodes[0].type == COFFER__REPLY_ERROR) {
        status = coffer__word_status(coffer__reply_text(&call->reply, 0));
    }
    coffer__call_end(call, status, NULL);
}

/* The next call that can be sent now, or NULL. Those of a store in the process are carried out on the way. */
static coffer_call *next_open(coffer_op *op) {
    while (op->next_open < op->call_count) {
        coffer_call *call = &op->calls[op->next_open++];
        if (!coffer__call_is(call, COFFER__CALL_OPEN) || call->handed_out) {
            continue;
        }
        coffer__nearby_drop(op->ns->client, call);
        if (op->ns->client->store != NULL) {
            run_local(op, call);
        } else if (coffer__call_route(call, op->ns->client, op->now_ms) && coffer__outage_admit(op, call, call->endpoint)) {
            call->handed_out = true;
            return call;
        }
    }
    return NULL;
}

/* A call that is DONE and not OK. */
static bool is_tried_again(coffer_op *op, coffer_call *call) {
    if (call->anywhere && !op->late && coffer__call_turns(call, op->ns->client, op->waiter, op->now_ms)) {
        return true;
    }
    return coffer__call_goes_again(call, op->ns->client->topology, op->waiter, op->now_ms, op->late || !coffer__outage_waits(op, call));
}

static bool goes_again(coffer_op *op, coffer_call *call) {
    coffer__topology *topology = op->ns->client->topology;
    if (topology == NULL) {
        return false;
    }
    if (call->endpoint != NULL && call->reply.node_count > 0) {
        coffer__topology_answered(topology, call->endpoint);
    }
    unsigned redirects = call->redirects;
    bool again = call->status != COFFER_OK && is_tried_again(op, call);
    if (again && op->kind->operation != COFFER__OPERATION_CHORE) {
        coffer__op_count(op, call->redirects > redirects ? COFFER__COUNT_redirects : COFFER__COUNT_retries, 1);
    }
    return again;
}

static void count_replicas(coffer_op *op, const coffer_call *call) {
    if (call->anywhere) {
        coffer__op_count(op, COFFER__COUNT_replica_reads, call->status == COFFER_OK && call->endpoint->replica);
        coffer__op_count(op, COFFER__COUNT_replica_fallbacks, call->fell_back);
    }
}

/* A call that is DONE. False where it goes again. */
static bool has_ended(coffer_op *op, coffer_call *call) {
    if (!call->settled) {
        if (call->anywhere) {
            coffer__replicas_measure(call, op->now_ms);
        }
        coffer__outage_drop(op, call); /* its breaker is told, each time */
        call->settled = !goes_again(op, call);
        if (call->settled) {
            coffer__nearby_drop(op->ns->client, call);
            coffer__outage_record(op, call);
            count_replicas(op, call);
        }
    }
    return call->settled;
}

typedef struct outlook {
    bool reply_due;
    uint64_t held_until_ms; /* the first of those that wait for their time; UINT64_MAX: none */
} outlook;

/* Looks at all calls that were handed out: those that have failed may go again, and those that wait may have waited enough. */
static outlook look_again(coffer_op *op) {
    outlook seen = {false, UINT64_MAX};
    bool all_ended = true; /* so far */
    for (size_t i = op->next_due; i < op->call_count; i++) {
        coffer_call *call = &op->calls[i];
        if (coffer__call_is(call, COFFER__CALL_DONE) && has_ended(op, call)) {
            op->next_due = all_ended ? i + 1 : op->next_due;
            continue;
        }
        all_ended = false;
        if (coffer__call_is(call, COFFER__CALL_OPEN) && !call->handed_out) {
            uint64_t from_ms = coffer__call_not_before_ms(call, op->ns->client->topology);
            seen.held_until_ms = from_ms < seen.held_until_ms ? from_ms : seen.held_until_ms;
            op->next_open = i < op->next_open ? i : op->next_open;
        } else {
            seen.reply_due = true;
        }
    }
    return seen;
}

bool coffer__op_await_calls(coffer_op *op, coffer_action *action, coffer_want *want) {
    while (op->next_due < op->call_count) {
        coffer_call *call = next_open(op);
        if (call != NULL) {
            action->call = call;
            action->endpoint = call->endpoint;
            *want = COFFER_WANT_CALL;
            return true;
        }
        outlook seen = look_again(op);
        if (seen.held_until_ms > op->now_ms) {
            action->wake_at_ms = seen.held_until_ms < op->deadline_ms ? seen.held_until_ms : op->deadline_ms;
            *want = seen.reply_due ? COFFER_WANT_REPLY : COFFER_WANT_SLEEP;
            return op->next_due < op->call_count;
        }
    }
    return false;
}
