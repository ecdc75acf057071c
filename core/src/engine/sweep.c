#include "sweep.h"

#include "base/alloc.h"
#include "outage.h"
#include "route.h"

enum { LOOK_AGAIN_MS = 5 };

static const coffer_endpoint in_process = {.port = 0};

void coffer__sweep_clear(coffer__sweep *sweep) {
    coffer__release((void *)sweep->done);
    *sweep = (coffer__sweep){.server = NULL};
}

static const coffer_endpoint *next_server(const coffer_op *op, const coffer__sweep *sweep) {
    coffer__topology *topology = op->ns->client->topology;
    if (topology == NULL) {
        return sweep->done_count == 0 ? &in_process : NULL;
    }
    return coffer__topology_other_holder(topology, sweep->done, sweep->done_count);
}

bool coffer__sweep_choose(const coffer_op *op, coffer__sweep *sweep) {
    if (sweep->server == NULL) {
        sweep->server = next_server(op, sweep);
        sweep->cursor = 0;
    }
    return sweep->server != NULL;
}

/* To that server and no other, and once. */
coffer_call *coffer__sweep_call(coffer_op *op, const coffer__sweep *sweep, coffer_slice pattern, coffer_slice count) {
    coffer_call *call = coffer__op_call(op, &coffer__command_scan);
    const coffer_slice rest[] = {COFFER_SLICE("MATCH"), pattern, COFFER_SLICE("COUNT"), count};
    coffer__call_number(call, sweep->cursor);
    coffer__call_arguments(call, rest, sizeof rest / sizeof rest[0]); /* a few, for which there is room */
    call->endpoint = sweep->server == &in_process ? NULL : sweep->server;
    call->pinned = call->chosen = true;
    return call;
}

bool coffer__sweep_answered(coffer__sweep *sweep, uint64_t cursor) {
    sweep->failures = 0;
    sweep->cursor = cursor;
    if (cursor != 0) {
        return true;
    }
    const coffer_endpoint **more = (const coffer_endpoint **)coffer__resize((void *)sweep->done, (sweep->done_count + 1) * sizeof *sweep->done);
    if (more == NULL) {
        return false;
    }
    sweep->done = more;
    sweep->done[sweep->done_count++] = sweep->server;
    sweep->server = NULL;
    return true;
}

/* As any call would be, but from the beginning. */
bool coffer__sweep_again(coffer_op *op, coffer__sweep *sweep, const coffer_call *call, uint64_t *pause_ms) {
    const coffer__topology *topology = op->ns->client->topology;
    coffer__remedy remedy = coffer__remedy_for(call->status, topology != NULL && coffer__topology_is_learnt(topology));
    bool cured = remedy.cure == COFFER__CURE_ANEW || remedy.cure == COFFER__CURE_HERE;
    bool tries = remedy.most == COFFER__TRIES_UNTIL_THE_DEADLINE || sweep->failures < remedy.most;
    *pause_ms = remedy.at_once && sweep->failures == 0 ? 0 : coffer__route_pause_ms(sweep->failures);
    if (!cured || !tries || op->late || *pause_ms >= op->deadline_ms - op->now_ms || !coffer__outage_waits(op, call)) {
        return false;
    }
    sweep->failures++;
    sweep->server = NULL;
    coffer__op_count(op, COFFER__COUNT_retries, 1);
    return true;
}

coffer_status coffer__sweep_outlook(coffer_op *op, uint64_t *pause_ms) {
    char why[COFFER__TOPOLOGY_WHY_CAP];
    coffer__topology *topology = op->ns->client->topology;
    *pause_ms = LOOK_AGAIN_MS;
    if (topology == NULL || coffer__topology_is_known(topology)) {
        return COFFER_OK;
    }
    coffer_status status = coffer__topology_failure(topology, op->now_ms, why);
    if (status == COFFER_OK && !op->late) {
        return COFFER_AGAIN;
    }
    status = status == COFFER_OK ? COFFER_TIMEOUT : status;
    coffer__op_say(op, "%s (SCAN on no server) failed: %s%s%s", coffer_operation_name(op->kind->operation), coffer_status_text(status),
                   why[0] != '\0' ? ": " : "", why);
    return status;
}
