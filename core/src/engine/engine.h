/* What an operation may do. An operation is a kind (a row: name, first step, size of its state) and steps; each step is a small function named after what
 * just happened, and ends by asking for one thing:
 *
 *     static void looked(coffer_op *op)               the reply to the GET is here
 *     {
 *         if (... a value) { coffer__op_finish(op, COFFER_OK); return; }
 *         coffer_call *call = coffer__op_call(op, &coffer__command_set);
 *         ...
 *         coffer__op_then(op, "fill", filled);
 *     }
 *
 * Memory comes from the op and lives until it is freed. A step that could not get memory calls coffer__op_finish(op, COFFER_NO_MEMORY).
 */
#ifndef COFFER_ENGINE_ENGINE_H
#define COFFER_ENGINE_ENGINE_H

#include "call.h"
#include "client.h"

typedef void (*coffer__step)(coffer_op *op);

typedef struct coffer__op_kind {
    coffer_operation operation;
    size_t state_bytes;
    coffer__step start;
    void (*clear)(coffer_op *op); /* may be NULL */
} coffer__op_kind;

/* The operation of what the client does for itself: named "refresh", in no histogram and no count. */
#define COFFER__OPERATION_CHORE COFFER_OPERATION_COUNT

enum { COFFER__OP_FEW = 2 }; /* calls that need no memory of their own */

typedef enum coffer__parked { COFFER__PARKED_NO, COFFER__PARKED_SLEEP, COFFER__PARKED_WAIT, COFFER__PARKED_LOAD } coffer__parked;

struct coffer_op {
    const coffer__op_kind *kind;
    coffer_namespace *ns;
    coffer_waiter *waiter;
    const coffer_op *parent;
    coffer__step then;
    const char *step_name;
    coffer__parked parked;
    bool told; /* the driver has been told of the park */
    bool started, done, late; /* late: its deadline has passed */
    uint64_t now_ms, timeout_ms, deadline_ms, wake_at_ms;
    uint64_t own_deadline_ms; /* while it is returning, when it has less time; outage.c */
    coffer_status status;
    coffer_slice key; /* the caller's, inside `keys` */
    coffer_slice wire_key; /* the server's, inside `keys` */
    coffer_call *calls;
    size_t call_count, call_cap, next_open, next_due;
    coffer_value value;
    int64_t integer;
    coffer_status *item_statuses;
    coffer_value *item_values;
    size_t item_count;
    coffer__buf supplied; /* the loader's value */
    coffer_write_options supplied_options;
    coffer_status load_status;
    uint32_t load_cost_ms;
    coffer_error *error; /* NULL until something has to be said */
    coffer__owed_key *returning; /* keys that this op deletes first, because the server is back; outage.c */
    /* From here on, what an op leaves to the next one that is made of its memory. */
    coffer__buf keys; /* emptied */
    coffer_call few[COFFER__OP_FEW]; /* reset */
    size_t state_cap; /* how many bytes `state` has */
    union {
        uint64_t u64;
        void *pointer;
    } state[];
};

/* A new op that has done nothing; timeout_ms 0: the client's. The namespace is counted. NULL where memory is short. */
coffer_op *coffer__op_new(const coffer__op_kind *kind, coffer_namespace *ns, uint64_t timeout_ms);
/* The same with a copy of the caller's key, for the first step to check and escape. OK or NO_MEMORY (and *out is NULL). */
coffer_status coffer__op_new_on_key(coffer_op **out, const coffer__op_kind *kind, coffer_namespace *ns, coffer_slice key, uint64_t timeout_ms);
static inline void *coffer__op_state(coffer_op *op) {
    return op->state;
}

/* The first thing of most first steps: the key checked and written as on the server. False: the op is finished. */
bool coffer__op_prepare_key(coffer_op *op, bool counter);

/* Forgets the calls of the step before, and makes room for `count` new ones. False: the op is finished with NO_MEMORY. */
bool coffer__op_begin_calls(coffer_op *op, size_t count);
/* The next of those; add its arguments. Each is handed out, or carried out by the store in the process, when the step has ended. Never NULL. */
coffer_call *coffer__op_call(coffer_op *op, const coffer__command *command);
/* Both at once, for one call on the op's key. NULL: the op is finished. */
coffer_call *coffer__op_call_on_key(coffer_op *op, const coffer__command *command);

/* The call only reads, for a caller who takes an answer that may be a little behind: where the client reads from replicas, it may go to one. And, when it has
 * ended, whether its answer may be behind: no primary gave it. What is to be written over what was seen has to be seen on the primary. */
static inline void coffer__op_read_anywhere(coffer_op *op, coffer_call *call) {
    call->anywhere = op->ns->reads_elsewhere;
}
bool coffer__call_may_be_behind(const coffer_call *call);

/* What comes next, once all calls have ended. The name is for coffer_op_describe. */
void coffer__op_then(coffer_op *op, const char *step_name, coffer__step then);
void coffer__op_wait_then(coffer_op *op, const char *step_name, coffer__step then); /* when the waiter was woken, or the deadline has passed */
void coffer__op_sleep_then(coffer_op *op, const char *step_name, uint64_t ms, coffer__step then);
void coffer__op_load_then(coffer_op *op, const char *step_name, coffer__step then); /* when the loader has answered: supplied, load_status */

/* The end. A status below 0 without a message gets the status' own text. */
void coffer__op_finish(coffer_op *op, coffer_status status);
/* The end, because this call failed: the message says what, where and what to do. */
void coffer__op_finish_call(coffer_op *op, const coffer_call *call);
void coffer__op_say_call(coffer_op *op, const coffer_call *call); /* the message alone */
/* A sentence for the op's message; the status is the caller's to set. */
#if defined(__GNUC__)
__attribute__((format(printf, 2, 3)))
#endif
void coffer__op_say(coffer_op *op, const char *format, ...);

/* op_calls.c, for op.c. The deadline has passed: what is in flight is given up (a tombstone stays in its conn), what was not sent never will be. */
void coffer__op_give_up_calls(coffer_op *op);
/* Some calls have not ended: true, and what the driver has to do about them. */
bool coffer__op_await_calls(coffer_op *op, coffer_action *action, coffer_want *want);

static inline void coffer__op_count(coffer_op *op, coffer__counter counter, uint64_t add) {
    coffer__count(op->ns->observer, counter, add);
}
static inline uint64_t coffer__op_unix_ms(coffer_op *op) {
    return coffer__client_unix_ms(op->ns->client, op->now_ms);
}

#endif
