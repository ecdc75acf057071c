#include "outage.h"

/* ---- calls ------------------------------------------------------------------------------------------------------ */

/* What only a person can mend (a certificate that is not trusted) stays what it is while it is not tried again: an open breaker makes no outage of it. */
static void refuse(coffer_call *call, coffer_status reason) {
    if (reason == COFFER_OK || coffer_status_is_outage(reason)) {
        coffer__call_end(call, COFFER_BREAKER_OPEN, call->detail == NULL ? coffer_status_text(COFFER_BREAKER_OPEN) : NULL);
    } else {
        coffer__call_end(call, reason, "it failed a moment ago, and is not tried again yet");
    }
}

bool coffer__outage_admit(coffer_op *op, coffer_call *call, const coffer_endpoint *endpoint) {
    call->server = endpoint == NULL ? NULL : coffer__watch_server(op->ns->client->watch, endpoint);
    if (call->server != NULL) {
        coffer__server_wanted(call->server, op->now_ms);
    }
    if (call->server == NULL || coffer__breaker_admit(call->server->breaker, op->now_ms, op->deadline_ms, &call->pass)) {
        return true;
    }
    coffer__op_count(op, COFFER__COUNT_outage_refusals, 1);
    refuse(call, coffer__breaker_reason(call->server->breaker));
    return false;
}

static void learn(const coffer_op *op, const coffer_call *call) {
    coffer__server *server = call->server;
    uint64_t took_ms = op->now_ms > call->pass.began_ms ? op->now_ms - call->pass.began_ms : 0;
    if (!coffer__breaker_is_success(call->status)) {
        return;
    }
    coffer__watch_answered(op->ns->client->watch, server, op->now_ms);
    if (atomic_load_explicit(&server->round_trip_ms, memory_order_relaxed) != took_ms) {
        atomic_store_explicit(&server->round_trip_ms, took_ms, memory_order_relaxed);
    }
    if (call->status == COFFER_NOPERM) {
        coffer__server_forbids(server, call->command->name);
    } else if (call->status == COFFER_OK && atomic_load_explicit(&server->has_forbidden, memory_order_relaxed)) {
        coffer__server_allows(server, call->command->name);
    }
}

/* A caller that gave it a moment only, and less than the option `timeout`, has learnt nothing of the server. */
static bool was_hasty(const coffer_op *op, const coffer_call *call) {
    enum { MOMENT_MS = 20 };
    bool at_deadline = op->late && (call->status == COFFER_TIMEOUT || call->status == COFFER_MAYBE_APPLIED);
    return at_deadline && op->timeout_ms < op->ns->client->options->timeout_ms && op->timeout_ms < MOMENT_MS;
}

static void tell_breaker(const coffer_op *op, coffer_call *call) {
    if (call->pass.breaker == NULL) {
        return;
    }
    learn(op, call);
    if (was_hasty(op, call)) {
        coffer__breaker_give_back(&call->pass, op->now_ms);
    } else {
        coffer__breaker_record(&call->pass, call->status, op->now_ms);
    }
}

void coffer__outage_remember(coffer_op *op, const coffer_slice *wire_keys, size_t count) {
    for (size_t i = 0; i < count; i++) {
        bool kept = coffer__owed_add(op->ns->client->owed, wire_keys[i]);
        coffer__op_count(op, kept ? COFFER__COUNT_outage_writes : COFFER__COUNT_outage_lost, 1);
    }
}

/* Where its keys are among the arguments. */
static void remember_keys(coffer_op *op, const coffer_call *call) {
    size_t first = call->command->script_sha1 != NULL ? 3 : 1;
    size_t count = call->command == &coffer__command_unlink ? call->argument_count - first : 1;
    coffer__outage_remember(op, call->arguments + first, count);
}

/* A key that is still owed its deletion has no value: whoever waited for its node to come back would read what was to be deleted. */
static void doubt_value(coffer_op *op, coffer_call *call) {
    bool many = call->command == &coffer__command_mget && call->reply.node_count == call->argument_count; /* an array of as many as keys */
    bool one = call->command == &coffer__command_get && call->reply.node_count == 1;
    for (size_t i = 1; call->status == COFFER_OK && (one || many) && i < call->argument_count; i++) {
        coffer__node *node = &call->reply.nodes[many ? i : 0];
        if (node->type == COFFER__REPLY_BULK && coffer__owed_holds(op->ns->client->owed, call->arguments[i])) {
            *node = (coffer__node){.type = COFFER__REPLY_NIL};
        }
    }
}

/* Whether nothing is known of what was to be written, or it is not there: the server could not be asked, or could not be understood. */
static bool is_owed(const coffer_op *op, coffer_status status) {
    switch (status) {
    case COFFER_TLS:
    case COFFER_CERTIFICATE:
    case COFFER_CREDENTIALS:
    case COFFER_PROTO:
    case COFFER_LIMIT:
        return true;
    case COFFER_READONLY: /* no primary could be found any more; on its own, a replica that nobody can write to */
        return coffer__topology_is_learnt(op->ns->client->topology);
    default:
        return coffer_status_is_outage(status);
    }
}

void coffer__outage_record(coffer_op *op, coffer_call *call) {
    tell_breaker(op, call);
    if (call->server != NULL && coffer_status_is_outage(call->status)) {
        coffer__watch_unanswered(op->ns->client->watch, call->server, call->status, op->now_ms);
    }
    bool writes = call->command->writes && call->command != &coffer__command_add;
    if (writes && op->returning == NULL && is_owed(op, call->status)) {
        remember_keys(op, call);
    }
    doubt_value(op, call);
}

void coffer__outage_drop(coffer_op *op, coffer_call *call) {
    if (coffer__call_is(call, COFFER__CALL_DONE)) {
        tell_breaker(op, call);
    } else {
        coffer__breaker_give_back(&call->pass, op->now_ms);
    }
}

/* ---- the server is back ----------------------------------------------------------------------------------------- */

enum { KEYS_AT_ONCE = 16384, ROUTED_AT_ONCE = 256, ROUTED_SHARE = 4 }; /* of the op's time, which is for its own keys */

void coffer__outage_give_up(coffer_op *op) {
    if (op->returning != NULL) {
        coffer__owed_give_back(op->ns->client->owed, op->returning);
        op->returning = NULL;
    }
}

static size_t count_keys(const coffer__owed_key *key) {
    size_t count = 0;
    for (; key != NULL; key = key->next) {
        count++;
    }
    return count;
}

/* The keys are gone; or the server is not back, and they are kept; or it does not let us, and they are lost. */
static void settle(coffer_op *op, const coffer_call *call, coffer__owed_key *keys, size_t count) {
    coffer__owed *owed = op->ns->client->owed;
    if (is_owed(op, call->status)) {
        coffer__owed_give_back(owed, keys);
        return;
    }
    bool gone = call->status == COFFER_OK;
    coffer__op_count(op, gone ? COFFER__COUNT_outage_deletes : COFFER__COUNT_outage_lost, count);
    coffer__owed_lose(owed, gone ? 0 : count);
    coffer__owed_forget(owed, keys);
}

/* Where each key has a call of its own, each meets its own end. */
static void deleted(coffer_op *op) {
    coffer__owed_key *keys = op->returning;
    op->returning = NULL;
    op->deadline_ms = op->own_deadline_ms;
    op->late = op->now_ms >= op->deadline_ms;
    if (op->call_count == 1) {
        settle(op, &op->calls[0], keys, count_keys(keys));
    }
    for (size_t i = 0; op->call_count > 1 && keys != NULL; i++) {
        coffer__owed_key *next = keys->next;
        keys->next = NULL;
        settle(op, &op->calls[i], keys, 1);
        keys = next;
    }
    op->kind->start(op);
}

/* One command for all; in a cluster one for each, for they live in many places. False: no memory. */
static bool call_unlink(coffer_op *op, size_t count, bool routed) {
    if (!coffer__op_begin_calls(op, routed ? count : 1)) {
        return false;
    }
    coffer_call *call = NULL;
    for (const coffer__owed_key *key = op->returning; key != NULL; key = key->next) {
        call = call == NULL || routed ? coffer__op_call(op, &coffer__command_unlink) : call;
        if (!coffer__call_argument(call, coffer_slice_of(key->bytes, key->len))) {
            coffer__op_finish(op, COFFER_NO_MEMORY);
            return false;
        }
    }
    return true;
}

static void delete_owed(coffer_op *op) {
    const coffer__topology *topology = op->ns->client->topology;
    bool routed = topology != NULL && coffer__topology_is_routed(topology);
    size_t count = 0;
    op->returning = coffer__owed_take(op->ns->client->owed, routed ? ROUTED_AT_ONCE : KEYS_AT_ONCE, &count);
    if (op->returning == NULL) {
        op->kind->start(op);
    } else if (call_unlink(op, count, routed)) {
        op->own_deadline_ms = op->deadline_ms;
        op->deadline_ms -= routed ? (op->deadline_ms - op->now_ms) / ROUTED_SHARE * (ROUTED_SHARE - 1) : 0;
        coffer__op_then(op, "delete_owed", deleted);
    }
}

/* Not while every server that was asked is away: keys would only be taken out and put back. */
static bool may_ask(const coffer_op *op) {
    coffer__server *server = coffer__watch_first(op->ns->client->watch);
    bool known = server != NULL, may = false;
    for (; server != NULL && !may; server = server->next) {
        may = coffer__breaker_would_admit(server->breaker, op->now_ms);
    }
    return !known || may;
}

void coffer__outage_begin(coffer_op *op) {
    if (coffer__owed_any(op->ns->client->owed) && coffer__is_on(op, op->key) && may_ask(op)) {
        coffer__op_then(op, "delete_owed", delete_owed);
    }
}

/* ---- what operations come to ------------------------------------------------------------------------------------ */

typedef struct outcome {
    coffer_status status; /* AGAIN: the error stays */
    bool reads;
    bool forgets_key; /* a write that begins with a look: its key has to be remembered here */
    bool writes; /* what it does not do while caching is off has to be remembered */
} outcome;

static const outcome outcomes[COFFER_OPERATION_COUNT] = {
    [COFFER_OPERATION_GET] = {.status = COFFER_MISS, .reads = true},
    [COFFER_OPERATION_EXISTS] = {.status = COFFER_MISS, .reads = true},
    [COFFER_OPERATION_TTL] = {.status = COFFER_MISS, .reads = true},
    [COFFER_OPERATION_GET_MANY] = {.status = COFFER_OK}, /* its items are misses */
    [COFFER_OPERATION_SET] = {.status = COFFER_NOT_STORED, .writes = true},
    [COFFER_OPERATION_ADD] = {.status = COFFER_NOT_STORED, .writes = true},
    [COFFER_OPERATION_REPLACE] = {.status = COFFER_NOT_STORED, .forgets_key = true, .writes = true},
    [COFFER_OPERATION_COMPARE_AND_SET] = {.status = COFFER_NOT_STORED, .writes = true},
    [COFFER_OPERATION_SET_MANY] = {.status = COFFER_NOT_STORED, .writes = true},
    [COFFER_OPERATION_DELETE] = {.status = COFFER_MISS, .writes = true},
    [COFFER_OPERATION_DELETE_MANY] = {.status = COFFER_OK, .writes = true},
    [COFFER_OPERATION_EXPIRE] = {.status = COFFER_MISS, .forgets_key = true, .writes = true},
    [COFFER_OPERATION_TOUCH] = {.status = COFFER_MISS},
    [COFFER_OPERATION_INCREMENT] = {.status = COFFER_AGAIN}, /* nobody may be told a number that was not counted */
    [COFFER_OPERATION_COUNTER] = {.status = COFFER_AGAIN},
    [COFFER_OPERATION_RESET_COUNTER] = {.status = COFFER_AGAIN, .writes = true},
    [COFFER_OPERATION_GET_OR_LOAD] = {.status = COFFER_AGAIN}, /* its loader is what it comes to */
    [COFFER_OPERATION_PING] = {.status = COFFER_AGAIN},
    [COFFER_OPERATION_CLEAR] = {.status = COFFER_AGAIN}, /* which keys it leaves behind nobody knows */
};

void coffer__outage_bypassed(coffer_op *op, const coffer_slice *wire_keys, size_t count) {
    if (outcomes[op->kind->operation].writes && op->ns->options->enabled) {
        coffer__outage_remember(op, wire_keys, count);
    }
}

/* Without the server: a load goes on to its loader, and others to what the namespace makes of an outage. */
static bool has_answer(const coffer_op *op) {
    bool miss = op->ns->options->on_outage == COFFER_OUTAGE_MISS && outcomes[op->kind->operation].status != COFFER_AGAIN;
    return miss || op->kind->operation == COFFER_OPERATION_GET_OR_LOAD;
}

bool coffer__outage_waits(const coffer_op *op, const coffer_call *call) {
    char why[COFFER__TOPOLOGY_WHY_CAP];
    bool away = call->status == COFFER_BREAKER_OPEN || call->status == COFFER_LOADING;
    if (op->kind->operation == COFFER__OPERATION_CHORE) {
        return true;
    }
    if (op->returning != NULL && (coffer__topology_is_routed(op->ns->client->topology) || op->ns->client->reads_elsewhere)) {
        return !coffer_status_is_outage(call->status) || coffer__remedy_for(call->status, true).at_once;
    }
    return !away || (!has_answer(op) && coffer__topology_failure(op->ns->client->topology, op->now_ms, why) == COFFER_OK);
}

static void count_miss(coffer_op *op) {
    coffer__op_count(op, COFFER__COUNT_misses, 1);
    coffer__op_count(op, COFFER__COUNT_outage_misses, 1);
}

static void miss_items(coffer_op *op) {
    for (size_t i = 0; i < op->item_count; i++) {
        coffer_status *status = &op->item_statuses[i];
        if (*status == COFFER_AGAIN || (*status < 0 && coffer_status_is_outage(*status))) {
            *status = COFFER_MISS;
            op->item_values[i].source = COFFER_SOURCE_OUTAGE;
            count_miss(op);
        }
    }
}

coffer_status coffer__outage_outcome(coffer_op *op, coffer_status status) {
    if (status >= 0 || !coffer_status_is_outage(status)) {
        return status;
    }
    const outcome *row = &outcomes[op->kind->operation];
    if (row->forgets_key && op->wire_key.len > 0) {
        coffer__outage_remember(op, &op->wire_key, 1);
    }
    if (op->ns->options->on_outage != COFFER_OUTAGE_MISS || row->status == COFFER_AGAIN) {
        return status;
    }
    if (row->reads) {
        op->value.source = COFFER_SOURCE_OUTAGE;
        count_miss(op);
    }
    if (op->kind->operation == COFFER_OPERATION_GET_MANY) {
        miss_items(op);
    }
    op->integer = op->kind->operation == COFFER_OPERATION_DELETE_MANY ? op->integer : 0; /* those that are known of */
    return row->status;
}
