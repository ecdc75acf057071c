#include "engine.h"

#include "access.h"
#include "base/alloc.h"
#include "base/error.h"
#include "flight.h"
#include "nearby.h"
#include "outage.h"
#include "policy/key.h"
#include "route.h"
#include "waiter.h"

#include <stdarg.h>
#include <stdio.h>

/* ---- an op's memory: an operation a moment needs no allocation when the one before has ended ------------------------ */

enum { STATE_BYTES = 640, KEPT_KEY_BYTES = 1024 }; /* every kind's state fits the first; longer keys are not kept */

static coffer_op *take_spare(coffer_client *client) {
    for (size_t i = 0; i < COFFER__SPARE_OPS; i++) {
        coffer_op *op = atomic_exchange_explicit(&client->spare_ops[i], NULL, memory_order_acquire);
        if (op != NULL) {
            return op;
        }
    }
    return NULL;
}

static void free_memory(coffer_op *op) {
    for (size_t i = 0; i < COFFER__OP_FEW; i++) {
        coffer__reply_free(&op->few[i].reply);
    }
    coffer__buf_free(&op->keys);
    coffer__release(op);
}

#if defined(__SANITIZE_ADDRESS__)
enum { KEPT_OPS = 0 }; /* so that a use after the end is seen */
#else
enum { KEPT_OPS = COFFER__SPARE_OPS };
#endif

static void give_spare(coffer_client *client, coffer_op *op) {
    for (int i = 0; op != NULL && i < KEPT_OPS; i++) {
        op = atomic_exchange_explicit(&client->spare_ops[i], op, memory_order_acq_rel);
    }
    if (op != NULL) {
        free_memory(op);
    }
}

void coffer__client_free_spare_ops(coffer_client *client) {
    for (coffer_op *op = take_spare(client); op != NULL; op = take_spare(client)) {
        free_memory(op);
    }
}

static coffer_op *new_memory(coffer_client *client, size_t state_bytes) {
    coffer_op *op = take_spare(client);
    if (op != NULL && op->state_cap >= state_bytes) {
        memset(op, 0, offsetof(coffer_op, keys));
        memset(op->state, 0, state_bytes);
        return op;
    }
    if (op != NULL) {
        free_memory(op);
    }
    size_t state_cap = state_bytes < STATE_BYTES ? (size_t)STATE_BYTES : state_bytes;
    op = (coffer_op *)coffer__alloc_zero(sizeof *op + state_cap);
    if (op != NULL) {
        op->state_cap = state_cap;
    }
    return op;
}

coffer_op *coffer__op_new(const coffer__op_kind *kind, coffer_namespace *ns, uint64_t timeout_ms) {
    coffer_op *op = new_memory(ns->client, kind->state_bytes);
    if (op == NULL) {
        return NULL;
    }
    op->kind = kind;
    op->ns = ns;
    coffer_namespace_ref(ns);
    op->timeout_ms = timeout_ms != 0 ? timeout_ms : ns->options->timeout_ms;
    op->deadline_ms = UINT64_MAX;
    op->calls = op->few;
    op->call_cap = COFFER__OP_FEW;
    op->then = kind->start;
    op->step_name = "start";
    return op;
}

coffer_status coffer__op_new_on_key(coffer_op **out, const coffer__op_kind *kind, coffer_namespace *ns, coffer_slice key, uint64_t timeout_ms) {
    coffer_op *op = coffer__op_new(kind, ns, timeout_ms);
    *out = op;
    if (op == NULL) {
        return COFFER_NO_MEMORY;
    }
    if (!coffer__buf_append_slice(&op->keys, key)) {
        coffer_op_free(op);
        *out = NULL;
        return COFFER_NO_MEMORY;
    }
    op->key = coffer_slice_of(op->keys.data, key.len);
    return COFFER_OK;
}

static void drop_calls(coffer_op *op) {
    bool few = op->calls == op->few;
    for (size_t i = 0; i < op->call_count; i++) {
        coffer__outage_drop(op, &op->calls[i]);
        if (few) {
            coffer__call_reset(&op->calls[i]);
        } else {
            coffer__call_clear(&op->calls[i]);
        }
    }
    op->call_count = op->next_open = op->next_due = 0;
}

/* What may have been sent and was not waited for. While the keys are still there. */
static void drop_copies(const coffer_op *op) {
    for (size_t i = 0; i < op->call_count; i++) {
        if (!op->calls[i].settled) {
            coffer__nearby_drop(op->ns->client, &op->calls[i]);
        }
    }
}

void coffer_op_free(coffer_op *op) {
    if (op == NULL) {
        return;
    }
    drop_copies(op);
    if (op->kind->clear != NULL) {
        op->kind->clear(op);
    }
    drop_calls(op);
    coffer__outage_give_up(op);
    if (op->calls != op->few) {
        coffer__release(op->calls);
    }
    coffer__buf_free(&op->supplied);
    coffer__release(op->item_statuses);
    coffer__release(op->item_values);
    coffer__release(op->error);
    coffer_waiter_free(op->waiter);
    coffer__buf_clear(&op->keys);
    if (op->keys.cap > KEPT_KEY_BYTES) {
        coffer__buf_free(&op->keys);
    }
    coffer_namespace *ns = op->ns;
    give_spare(ns->client, op);
    coffer_namespace_free(ns); /* last: it may take the client, and the spare ops, with it */
}

void coffer_op_set_parent(coffer_op *op, const coffer_op *parent) {
    op->parent = parent;
}

const coffer_op *coffer__op_parent(const coffer_op *op) {
    return op->parent;
}

void coffer_op_set_waiter(coffer_op *op, coffer_waiter *waiter) {
    coffer_waiter_free(op->waiter);
    op->waiter = coffer__waiter_ref(waiter);
}

/* ---- for operations ------------------------------------------------------------------------------------------- */

bool coffer__op_prepare_key(coffer_op *op, bool counter) {
    coffer_error error;
    coffer_status status = COFFER_NO_MEMORY;
    size_t given = op->key.len;
    coffer_slice base = coffer__buf_slice(&op->ns->key_base);
    /* Room for all that may be written, first: op->key is in the same buffer, which moves when it grows. */
    if (coffer__buf_reserve(&op->keys, base.len + (given > COFFER__KEY_BYTES_MAX ? 0 : 3 * given + 1))) {
        op->key = coffer_slice_of(op->keys.data, given);
        coffer__buf_append_slice(&op->keys, base);
        status = coffer__key_write(&op->keys, op->ns->options->key_rules, op->key, counter, &error);
    }
    if (status != COFFER_OK) {
        if (status == COFFER_KEY_INVALID) {
            coffer__op_say(op, "%s", error.text);
        }
        coffer__op_finish(op, status);
        return false;
    }
    op->wire_key = coffer_slice_of(op->keys.data + given, op->keys.len - given);
    return true;
}

bool coffer__op_begin_calls(coffer_op *op, size_t count) {
    drop_calls(op);
    if (count <= op->call_cap) {
        return true;
    }
    coffer_call *more = (coffer_call *)coffer__alloc_zero(count * sizeof *more);
    if (more == NULL) {
        coffer__op_finish(op, COFFER_NO_MEMORY);
        return false;
    }
    if (op->calls != op->few) {
        coffer__release(op->calls);
    }
    op->calls = more;
    op->call_cap = count;
    return true;
}

coffer_call *coffer__op_call(coffer_op *op, const coffer__command *command) {
    coffer_call *call = &op->calls[op->call_count++];
    coffer__call_init(call, command);
    call->waiter = coffer__waiter_ref(op->waiter);
    return call;
}

coffer_call *coffer__op_call_on_key(coffer_op *op, const coffer__command *command) {
    if (!coffer__op_begin_calls(op, 1)) {
        return NULL;
    }
    coffer_call *call = coffer__op_call(op, command);
    coffer__call_argument(call, op->wire_key);
    return call;
}

void coffer__op_then(coffer_op *op, const char *step_name, coffer__step then) {
    op->step_name = step_name;
    op->then = then;
}

static void park(coffer_op *op, coffer__parked parked, const char *step_name, coffer__step then) {
    coffer__op_then(op, step_name, then);
    op->parked = parked;
    op->told = false;
}

void coffer__op_wait_then(coffer_op *op, const char *step_name, coffer__step then) {
    park(op, COFFER__PARKED_WAIT, step_name, then);
}

void coffer__op_sleep_then(coffer_op *op, const char *step_name, uint64_t ms, coffer__step then) {
    op->wake_at_ms = op->now_ms + ms;
    park(op, COFFER__PARKED_SLEEP, step_name, then);
}

void coffer__op_load_then(coffer_op *op, const char *step_name, coffer__step then) {
    op->load_status = COFFER_AGAIN;
    park(op, COFFER__PARKED_LOAD, step_name, then);
}

void coffer__op_say(coffer_op *op, const char *format, ...) {
    if (op->error == NULL && (op->error = (coffer_error *)coffer__alloc_zero(sizeof *op->error)) == NULL) {
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(op->error->text, sizeof op->error->text, format, arguments);
    va_end(arguments);
}

static const char *name_of(const coffer_op *op) {
    return op->kind->operation == COFFER__OPERATION_CHORE ? "refresh" : coffer_operation_name(op->kind->operation);
}

static void count_end(coffer_op *op, coffer_status status) {
    if (op->kind->operation != COFFER__OPERATION_CHORE) {
        coffer__count_operation(op->ns->observer, op->kind->operation);
        coffer__op_count(op, COFFER__COUNT_errors, status < 0);
    }
}

void coffer__op_finish(coffer_op *op, coffer_status status) {
    bool is_chore = op->kind->operation == COFFER__OPERATION_CHORE;
    status = is_chore ? status : coffer__outage_outcome(op, status);
    op->done = true;
    op->status = status;
    op->step_name = "done";
    count_end(op, status);
    if (status < 0) {
        op->integer = 0;
        if (op->error == NULL) {
            coffer__op_say(op, "%s: %s", name_of(op), coffer_status_text(status));
        }
    }
}

/* ---- failures in words ---------------------------------------------------------------------------------------- */

static const char *advice(coffer_status status) {
    switch (status) {
    case COFFER_CONNECT:
        return ". Is a server running there, and is the address right?";
    case COFFER_DNS:
        return ". Is the host name right?";
    case COFFER_TIMEOUT:
        return ". The option 'timeout' sets how long a call may take";
    case COFFER_BREAKER_OPEN:
        return ". The options 'breaker...' say when that is, and 'on_outage' whether it is an error";
    case COFFER_POOL_TIMEOUT:
        return ". The options 'pool_max' and 'acquire_timeout' say how many connections there are and how long to wait for one";
    case COFFER_AUTH:
        return ". Check the options 'username' and 'password'";
    case COFFER_NOPERM:
        return ". The user's rights on the server (ACL) have to allow it";
    case COFFER_LIMIT:
        return ". The options 'max_value' and 'max_reply' set what is allowed";
    case COFFER_MOVED:
    case COFFER_ASK:
        return ". The server is part of a cluster: name its nodes in a URL with redis+cluster://";
    default:
        return "";
    }
}

/* More than advice: what was tried. */
static const char *advice_for(const coffer_call *call) {
    bool redirect = call->status == COFFER_MOVED || call->status == COFFER_ASK;
    if (call->endpoint == NULL) {
        return ""; /* what was said of the way to it holds some */
    }
    return call->routed && redirect ? ". The nodes of the cluster send this key round in a circle" : advice(call->status);
}

static void say_where(const coffer_op *op, const coffer_call *call, char *out, size_t cap) {
    const coffer_endpoint *at = call->endpoint;
    if (at == NULL) {
        snprintf(out, cap, op->ns->client->topology == NULL ? "in this process" : "no server");
    } else if (at->path.len > 0) {
        snprintf(out, cap, "%.*s", (int)at->path.len, at->path.data);
    } else {
        snprintf(out, cap, "%.*s:%u", (int)at->host.len, at->host.data, (unsigned)at->port);
    }
}

void coffer__op_say_call(coffer_op *op, const coffer_call *call) {
    char where[200];
    say_where(op, call, where, sizeof where);
    const char *meaning = coffer_status_text(call->status);
    bool more = call->detail != NULL && call->detail[0] != '\0' && strcmp(call->detail, meaning) != 0;
    coffer__op_say(op, "%s (%s on %s) failed: %s%s%s%s", name_of(op), call->command->name, where, meaning, more ? ": " : "", more ? call->detail : "",
                   advice_for(call));
}

void coffer__op_finish_call(coffer_op *op, const coffer_call *call) {
    coffer__op_say_call(op, call);
    coffer__op_finish(op, call->status);
}

/* ---- for drivers ---------------------------------------------------------------------------------------------- */

/* True where the op has to stay parked. */
static bool stay_parked(coffer_op *op, coffer_action *action, coffer_want *want) {
    bool first = !op->told;
    op->told = true;
    switch (op->parked) {
    case COFFER__PARKED_SLEEP:
        *want = COFFER_WANT_SLEEP;
        action->wake_at_ms = op->wake_at_ms;
        return op->now_ms < op->wake_at_ms && !op->late;
    case COFFER__PARKED_WAIT:
        *want = COFFER_WANT_WAIT;
        return first && !op->late;
    case COFFER__PARKED_LOAD:
        *want = COFFER_WANT_LOAD;
        action->key = op->key;
        return op->load_status == COFFER_AGAIN;
    case COFFER__PARKED_NO:
        break;
    }
    return false;
}

static void start(coffer_op *op) {
    op->started = true;
    op->deadline_ms = op->now_ms > UINT64_MAX - op->timeout_ms ? UINT64_MAX : op->now_ms + op->timeout_ms;
    if (op->kind->operation != COFFER__OPERATION_CHORE) {
        coffer__outage_begin(op);
    }
}

static void heed_deadline(coffer_op *op) {
    op->late = op->now_ms >= op->deadline_ms && op->parked != COFFER__PARKED_LOAD; /* a loader's time is its own */
    if (op->late) {
        coffer__op_give_up_calls(op);
    }
}

coffer_want coffer_op_next(coffer_op *op, uint64_t now_ms, coffer_action *action) {
    op->now_ms = now_ms > op->now_ms ? now_ms : op->now_ms;
    if (!op->started) {
        start(op);
    }
    while (!op->done) {
        heed_deadline(op);
        coffer_want want = COFFER_WANT_DONE;
        if (coffer__op_await_calls(op, action, &want)) {
            return want;
        }
        if (stay_parked(op, action, &want)) {
            return want;
        }
        op->parked = COFFER__PARKED_NO;
        op->then(op);
    }
    return COFFER_WANT_DONE;
}

/* The loader has answered: its time does not count against the deadline. */
static void answer_load(coffer_op *op, coffer_status status, uint32_t cost_ms) {
    op->load_status = status;
    op->load_cost_ms = cost_ms;
    if (op->deadline_ms < UINT64_MAX - cost_ms) {
        op->deadline_ms += cost_ms;
    }
}

void coffer_op_supply(coffer_op *op, coffer_slice value, const coffer_write_options *options, uint32_t cost_ms) {
    if (op->parked != COFFER__PARKED_LOAD || op->load_status != COFFER_AGAIN) {
        return;
    }
    coffer__buf_clear(&op->supplied);
    bool copied = coffer__buf_append_slice(&op->supplied, value);
    op->supplied_options = options == NULL ? (coffer_write_options)COFFER_WRITE_OPTIONS_INIT : *options;
    answer_load(op, copied ? COFFER_OK : COFFER_NO_MEMORY, cost_ms);
}

void coffer_op_abort(coffer_op *op, coffer_status why) {
    if (op->parked == COFFER__PARKED_LOAD && op->load_status == COFFER_AGAIN) {
        answer_load(op, why < 0 ? why : COFFER_LOAD_FAILED, 0);
    }
}

coffer_status coffer_op_status(const coffer_op *op) {
    return op->status;
}

const coffer_value *coffer_op_value(const coffer_op *op) {
    return &op->value;
}

int64_t coffer_op_integer(const coffer_op *op) {
    return op->integer;
}

size_t coffer_op_count(const coffer_op *op) {
    return op->item_count;
}

coffer_status coffer_op_item(const coffer_op *op, size_t index, coffer_value *value) {
    if (index >= op->item_count) {
        return COFFER_ARG;
    }
    if (value != NULL) {
        *value = op->item_values == NULL ? (coffer_value){.data = {NULL, 0}} : op->item_values[index];
    }
    return op->item_statuses[index] == COFFER_AGAIN && op->done ? op->status : op->item_statuses[index];
}

const char *coffer_op_message(const coffer_op *op) {
    if (op->error != NULL) {
        return op->error->text;
    }
    return op->done && op->status < 0 ? coffer_status_text(op->status) : "";
}

uint64_t coffer_op_deadline_ms(const coffer_op *op) {
    return op->deadline_ms;
}

coffer_operation coffer__op_operation(const coffer_op *op) {
    return op->kind->operation;
}

size_t coffer_op_describe(const coffer_op *op, char *out, size_t cap) {
    static const char *const waits[] = {"reply", "time", "other load", "loader"};
    char shown[COFFER__SHOWN_CAP];
    const char *waiting = op->done ? "nothing" : waits[op->parked];
    int len =
        snprintf(out, cap, "%s %s:%s step=%s waiting=%s", name_of(op), op->ns->options->name, coffer__show(op->key, shown), op->step_name, waiting);
    return len < 0 ? 0 : (size_t)len;
}

void coffer_metrics_record(coffer_namespace *ns, coffer_operation operation, uint64_t elapsed_us) {
    if (operation < COFFER_OPERATION_COUNT) { /* a chore is not counted */
        coffer__record_latency(ns->observer, operation, elapsed_us);
    }
}

coffer_status coffer_metrics_read(coffer_namespace *ns, coffer_metrics *metrics) {
    if (metrics->struct_size != sizeof *metrics) {
        return COFFER_ARG;
    }
    memset(metrics, 0, sizeof *metrics);
    metrics->struct_size = sizeof *metrics;
    coffer__observer_read(ns->observer, &metrics->counters, metrics->latency);
    coffer__watch_totals(ns->client->watch, &metrics->breakers_open, &metrics->breaker_opened, &metrics->breaker_refused);
    if (ns->client->topology != NULL) {
        coffer__topology_read(ns->client->topology, &metrics->topology);
    }
    if (ns->client->store != NULL) {
        coffer__near_stats near;
        coffer__near_stats_read(ns->client->store, &near);
        metrics->store = (coffer_store_stats){near.memory_bytes, near.used_bytes, near.entries, near.evictions, near.expirations};
    }
    coffer__nearby_read(ns->client, &metrics->near);
    return COFFER_OK;
}

bool coffer_metrics_refusal(coffer_namespace *ns, size_t index, coffer_refusal *refusal) {
    return coffer__observer_refusal(ns->observer, index, refusal);
}
