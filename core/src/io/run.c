#include "run_internal.h"

#include "base/lock.h"
#include "clock.h"
#include "engine/access.h"

#include <errno.h>

enum { FLUSH_AT_BYTES = 256 << 10 }; /* a batch starts on its way while the rest is still being written into the conn */

/* ---- fork, sleep, wake ------------------------------------------------------------------------------------------ */

/* In a forked child: what this op held was the parent's, and its mutex may have been in use by a thread that is not here. */
static void heed_fork(coffer__run *run) {
    uint64_t generation = coffer__fork_generation();
    if (run->generation == generation) {
        return;
    }
    run->generation = generation;
    if (run->link != NULL && run->link->conn != NULL) {
        coffer_conn_fail(run->link->conn, COFFER_CLOSED, "the process has forked: the connection is its parent's");
    }
    coffer__link_free(run->link);
    run->link = NULL;
    run->stage = COFFER__STAGE_NONE;
    pthread_mutex_init(&run->mutex, NULL);
    coffer__ticket_init(&run->ticket);
}

void coffer__run_wake(void *data) {
    coffer__run *run = (coffer__run *)data;
    pthread_mutex_lock(&run->mutex);
    atomic_store(&run->woken, true);
    pthread_cond_signal(&run->cond);
    pthread_mutex_unlock(&run->mutex);
}

/* Until somebody wakes this run, or until_us. */
static void sleep_until(coffer__run *run, uint64_t until_us) {
    const struct timespec until = coffer__clock_deadline(until_us);
    int timed_out = 0;
    pthread_mutex_lock(&run->mutex);
    while (!atomic_load(&run->woken) && timed_out == 0) {
        timed_out = pthread_cond_timedwait(&run->cond, &run->mutex, &until);
    }
    pthread_mutex_unlock(&run->mutex);
    run->now_us = coffer__clock_us();
}

/* ---- what an op wants: true to ask it again, false where the slice is over -------------------------------------- */

static void refuse_call(coffer__run *run, coffer_status why) {
    coffer_call_fail(run->call, why, run->detail[0] == '\0' ? NULL : run->detail);
    run->call = NULL;
}

static bool place_call(coffer__run *run) {
    if (run->failed != COFFER_OK) { /* it could not be had a moment ago for the call before */
        refuse_call(run, run->failed);
        return true;
    }
    if (run->link != NULL && run->stage == COFFER__STAGE_OPEN && coffer_conn_status(run->link->conn) != COFFER_OK) {
        coffer__run_let_go(run);
    }
    run->detail[0] = '\0';
    coffer_status status = coffer__run_acquire(run);
    if (status == COFFER_AGAIN) {
        return false;
    }
    if (status != COFFER_OK) {
        run->failed = status;
        refuse_call(run, status);
        return true;
    }
    run->went_out = true;
    status = coffer_call_send(run->call, run->link->conn);
    if (status != COFFER_OK) {
        refuse_call(run, status);
    } else if (coffer_conn_output(run->link->conn).len >= FLUSH_AT_BYTES) {
        coffer__link_flush(run->link);
    }
    run->call = NULL;
    return true;
}

static bool want_call(coffer__run *run, const coffer_action *action) {
    run->call = action->call;
    run->endpoint = action->endpoint;
    return place_call(run);
}

static bool want_reply(coffer__run *run, const coffer_action *action) {
    (void)action;
    run->failed = COFFER_OK;
    char *buffer = coffer__thread_buffer();
    if (run->link == NULL || run->stage != COFFER__STAGE_OPEN) { /* an op that waits for what was never sent: until its deadline */
        sleep_until(run, coffer__limits_first(&run->limits));
        return run->now_us >= run->limits.deadline_us;
    }
    if (buffer == NULL) {
        coffer_conn_fail(run->link->conn, COFFER_NO_MEMORY, NULL);
        return true;
    }
    return coffer__link_exchange(run->link, &run->limits, &run->now_us, buffer, COFFER__READ_BYTES) != COFFER_AGAIN;
}

static bool pause_until(coffer__run *run, uint64_t until_us) {
    run->failed = COFFER_OK;
    coffer__run_let_go(run);
    uint64_t slice_us = run->limits.slice_us;
    sleep_until(run, until_us < slice_us ? until_us : slice_us);
    return atomic_load(&run->woken) || run->now_us < slice_us || run->now_us >= run->limits.deadline_us;
}

static bool want_sleep(coffer__run *run, const coffer_action *action) {
    uint64_t wake_us = coffer__clock_add_ms(0, action->wake_at_ms);
    return pause_until(run, wake_us < run->limits.deadline_us ? wake_us : run->limits.deadline_us);
}

static bool want_wait(coffer__run *run, const coffer_action *action) {
    (void)action;
    return pause_until(run, run->limits.deadline_us);
}

/* ---- the loop --------------------------------------------------------------------------------------------------- */

static bool (*const wants[])(coffer__run *, const coffer_action *) = {
    [COFFER_WANT_CALL] = want_call,
    [COFFER_WANT_REPLY] = want_reply,
    [COFFER_WANT_SLEEP] = want_sleep,
    [COFFER_WANT_WAIT] = want_wait,
};

static void begin(coffer__run *run, coffer__pool *pool, uint64_t slice_ms) {
    heed_fork(run);
    run->pool = pool;
    run->now_us = coffer__clock_us();
    run->limits.slice_us = coffer__clock_add_ms(run->now_us, slice_ms);
    if (run->started_us == 0) {
        run->started_us = run->now_us;
    }
}

static void record(const coffer__run *run, const coffer_op *op) {
    if (run->went_out || coffer__thread_samples()) {
        uint64_t ended_us = run->went_out ? run->now_us : coffer__clock_us();
        coffer_metrics_record(coffer__op_namespace(op), coffer__op_operation(op), ended_us - run->started_us);
    }
}

/* The op has nothing more to do with the server, for now or for good. */
static coffer_want hand_over(coffer__run *run, coffer_op *op, coffer_want want) {
    run->failed = COFFER_OK;
    coffer__run_let_go(run);
    if (want == COFFER_WANT_DONE && run->started_us != UINT64_MAX) {
        record(run, op);
        run->started_us = UINT64_MAX; /* once */
    }
    return want;
}

coffer_want coffer__run_go(coffer__run *run, coffer__pool *pool, coffer_op *op, uint64_t slice_ms) {
    begin(run, pool, slice_ms);
    for (;;) {
        if (run->call != NULL && !place_call(run)) {
            return COFFER_WANT_REPLY;
        }
        coffer_action action;
        atomic_store_explicit(&run->woken, false, memory_order_relaxed); /* a wake before this is one that op_next will see the reason of */
        coffer_want want = coffer_op_next(op, run->now_us / COFFER__US_PER_MS, &action);
        run->limits.deadline_us = coffer__clock_add_ms(0, coffer_op_deadline_ms(op));
        if ((size_t)want >= sizeof wants / sizeof wants[0] || wants[want] == NULL) {
            return hand_over(run, op, want);
        }
        if (!wants[want](run, &action)) {
            return COFFER_WANT_REPLY;
        }
    }
}

/* ---- beginning and end ------------------------------------------------------------------------------------------ */

coffer__run *coffer__run_of(coffer_op *op) {
    coffer_waiter *waiter = coffer__op_waiter(op);
    if (waiter != NULL) {
        return (coffer__run *)coffer_waiter_data(waiter);
    }
    bool begun = coffer_op_deadline_ms(op) != UINT64_MAX; /* too late for a waiter: memory was short at the beginning */
    coffer__run *run = begun ? NULL : coffer__thread_take_run();
    if (run != NULL) {
        coffer_op_set_waiter(op, run->waiter);
    }
    return run;
}

void coffer__run_drop(coffer_op *op) {
    coffer_waiter *waiter = op == NULL ? NULL : coffer__op_waiter(op);
    coffer__run *run = waiter == NULL ? NULL : (coffer__run *)coffer_waiter_data(waiter);
    if (run != NULL) {
        heed_fork(run);
        coffer__run_let_go(run);
    }
    coffer_op_free(op);
    if (run != NULL) { /* not before: the op may be woken until it is gone */
        coffer__thread_give_run(run);
    }
}
