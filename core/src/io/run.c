#include "run_internal.h"

#include "base/alloc.h"
#include "base/lock.h"
#include "clock.h"
#include "engine/access.h"

enum { CHORE_MS = 2, CONNECTING_US = 1000, QUEUED_US = 20000 };
enum { FLUSH_AT_BYTES = 256 << 10 }; /* a batch starts on its way while the rest is still being written into the conn */

/* ---- fork ------------------------------------------------------------------------------------------------------- */

/* In a forked child: what this op held was the parent's, and any mutex may have been in use by a thread that is not here. Links are left alone: their
 * sockets are the pool's to close. */
static void heed_fork(coffer__run *run, coffer_op *op) {
    uint64_t generation = coffer__fork_generation();
    if (run->generation == generation) {
        return;
    }
    run->generation = generation;
    coffer__wake_after_fork(&run->wake);
    coffer__op_orphan(op);
    for (coffer__hold *hold = &run->hold; hold != NULL; hold = hold->next) {
        hold->stage = COFFER__STAGE_NONE;
        hold->link = NULL;
        hold->leads = hold->follows = false;
    }
}

/* ---- what an op wants: true to ask it again, false where the slice is over -------------------------------------- */

/* Their op goes, and they with it. */
static void forget_postponed(coffer__run *run) {
    for (size_t i = 0; i < run->postponed_count; i++) {
        run->postponed[i].hold->postponed_count = 0;
    }
    run->postponed_count = 0;
}

static void let_go_all(coffer__run *run) {
    forget_postponed(run);
    for (coffer__hold *hold = &run->hold; hold != NULL; hold = hold->next) {
        coffer__hold_let_go(hold);
    }
}

static void refuse_call(coffer__run *run, coffer_status why) {
    coffer_call_fail(run->call, why, run->detail[0] == '\0' ? NULL : run->detail);
    run->call = NULL;
}

/* Into the conn, which stays locked for what follows. False where the link turned out to be dead: another has to be found. */
static bool put_in(coffer__run *run, coffer__hold *hold) {
    coffer__link *link = hold->link;
    coffer__run_lock(run, link);
    if (hold->fresh ? !coffer__link_is_usable(link, run->now_us) : coffer_conn_status(link->conn) != COFFER_OK) {
        coffer__run_unlock(run);
        return false;
    }
    hold->fresh = false;
    link->moved_us = coffer_conn_due(link->conn) == 0 ? run->now_us : link->moved_us;
    coffer_status status = coffer_call_send(run->call, link->conn);
    if (status == COFFER_OK && coffer_conn_output(link->conn).len >= FLUSH_AT_BYTES) {
        coffer__link_flush(link, run);
    }
    run->went_out = hold->has_put = true;
    if (status != COFFER_OK) {
        refuse_call(run, status);
    }
    run->call = NULL;
    return true;
}

static bool refuse_here(coffer__run *run, coffer_status why) {
    run->failed = why;
    run->failed_at = run->endpoint;
    refuse_call(run, why);
    return true;
}

static bool place_call(coffer__run *run) {
    if (run->failed != COFFER_OK && run->failed_at == run->endpoint) { /* it could not be had a moment ago for the call before */
        refuse_call(run, run->failed);
        return true;
    }
    coffer__hold *hold = coffer__run_hold(run, run->endpoint);
    run->detail[0] = '\0';
    if (hold == NULL) {
        return refuse_here(run, COFFER_NO_MEMORY);
    }
    for (;;) {
        if (hold->stage != COFFER__STAGE_OPEN) {
            coffer__run_unlock(run); /* it may have to be waited for */
        }
        coffer_status status = coffer__hold_acquire(hold);
        if (status == COFFER_AGAIN) {
            return false;
        }
        if (status != COFFER_OK) {
            return refuse_here(run, status);
        }
        if (put_in(run, hold)) {
            return true;
        }
        coffer__hold_replace(hold);
    }
}

/* ---- calls whose link has to be waited for: none of the op's others waits with them ------------------------------ */

/* The same without waiting. */
static bool place_at_once(coffer__run *run) {
    uint64_t slice_us = run->limits.slice_us;
    run->limits.slice_us = 0;
    bool placed = place_call(run);
    run->limits.slice_us = slice_us;
    return placed;
}

static void postpone(coffer__run *run, coffer__hold *hold) {
    if (run->postponed_count == run->postponed_cap) {
        size_t cap = run->postponed_cap == 0 ? 16 : 2 * run->postponed_cap;
        coffer__postponed *larger = (coffer__postponed *)coffer__resize(run->postponed, cap * sizeof *larger);
        if (larger == NULL) {
            refuse_call(run, COFFER_NO_MEMORY);
            return;
        }
        run->postponed = larger;
        run->postponed_cap = cap;
    }
    run->postponed[run->postponed_count++] = (coffer__postponed){.call = run->call, .hold = hold};
    hold->postponed_count++;
    run->call = NULL;
}

/* Nothing else could be done meanwhile. */
static bool is_all_there_is(const coffer__run *run, const coffer__hold *wanted) {
    bool is_open = false;
    for (const coffer__hold *hold = &run->hold; hold != NULL; hold = hold->next) {
        is_open = is_open || hold->stage == COFFER__STAGE_OPEN;
    }
    return !is_open && wanted->postponed_count == run->postponed_count;
}

/* Each whose link is there by now; those for one server keep their order. */
static void place_postponed(coffer__run *run) {
    size_t count = run->postponed_count, kept = 0;
    run->pass++;
    for (size_t i = 0; i < count; i++) {
        coffer__postponed one = run->postponed[i];
        run->call = one.call;
        run->endpoint = one.hold->endpoint;
        bool waits = one.hold->waited_in == run->pass;
        if (!waits && (is_all_there_is(run, one.hold) ? place_call(run) : place_at_once(run))) {
            one.hold->postponed_count--;
            run->postponed_count--;
        } else {
            one.hold->waited_in = run->pass;
            run->postponed[kept++] = one;
        }
    }
    run->call = NULL;
}

/* When to look after them again: who waits in a queue is woken, a socket that is being connected wakes nobody. */
static uint64_t look_again_us(const coffer__run *run) {
    uint64_t at_us = run->postponed_count == 0 ? UINT64_MAX : run->now_us + QUEUED_US;
    for (const coffer__hold *hold = &run->hold; hold != NULL; hold = hold->next) {
        if (hold->postponed_count > 0 && hold->stage == COFFER__STAGE_CONNECTING) {
            at_us = run->now_us + CONNECTING_US;
        }
    }
    return at_us;
}

/* The deadline has passed: why each has no link. */
static void end_postponed(coffer__run *run) {
    if (run->postponed_count > 0) {
        coffer__run_unlock(run);
    }
    for (size_t i = 0; i < run->postponed_count; i++) {
        coffer__hold *hold = run->postponed[i].hold;
        bool waits = hold->stage == COFFER__STAGE_QUEUED || hold->stage == COFFER__STAGE_CONNECTING;
        if (hold->postponed_count > 0) {
            hold->postponed_count = 0;
            run->detail[0] = '\0';
            coffer_status status = waits ? coffer__hold_acquire(hold) : COFFER_TIMEOUT;
            hold->why = status < 0 ? status : COFFER_TIMEOUT;
        }
        run->call = run->postponed[i].call;
        refuse_call(run, hold->why);
    }
    run->postponed_count = 0;
}

static bool want_call(coffer__run *run, const coffer_action *action) {
    run->call = action->call;
    run->endpoint = action->endpoint;
    coffer__hold *hold = run->has_several ? coffer__run_hold(run, run->endpoint) : NULL;
    if (hold == NULL) {
        return place_call(run);
    }
    if (hold->postponed_count > 0 || !place_at_once(run)) {
        postpone(run, hold);
    }
    return true;
}

static bool has_passed(const coffer__run *run, uint64_t us) {
    return run->now_us >= us;
}

static bool want_reply(coffer__run *run, const coffer_action *action) {
    uint64_t until_us = coffer__clock_earlier(coffer__limits_first(&run->limits), coffer__clock_add_ms(0, action->wake_at_ms));
    run->failed = COFFER_OK;
    place_postponed(run);
    coffer__run_await(run, coffer__clock_earlier(until_us, look_again_us(run)), run->postponed_count == 0);
    return coffer__wake_is_up(&run->wake) || !has_passed(run, run->limits.slice_us) || has_passed(run, run->limits.deadline_us);
}

/* What is due without a caller is done by callers: in passing, for as long as a round trip takes, or while there is nothing else to do. What is not
 * done by until_us goes on with the next. */
static void do_chores(coffer__run *run, uint64_t until_us) {
    coffer_op *chore = run->is_chore ? NULL : coffer__pools_chore(run->pools, run->now_us / COFFER__US_PER_MS);
    coffer__run *own = chore == NULL ? NULL : coffer__run_of(chore);
    if (own == NULL) {
        coffer_op_free(chore);
        return;
    }
    coffer__run_is_chore(own);
    uint64_t left_ms = until_us > run->now_us ? (until_us - run->now_us) / COFFER__US_PER_MS : 0;
    if (coffer__run_go(own, run->pools, chore, left_ms) == COFFER_WANT_DONE) {
        coffer__run_drop(chore);
    } else {
        coffer__pools_put_back(run->pools, chore);
    }
    run->now_us = coffer__clock_us();
}

static bool pause_until(coffer__run *run, uint64_t until_us) {
    run->failed = COFFER_OK;
    let_go_all(run);
    coffer__run_sleep(run, coffer__clock_earlier(until_us, run->limits.slice_us));
    return coffer__wake_is_up(&run->wake) || !has_passed(run, run->limits.slice_us) || has_passed(run, run->limits.deadline_us);
}

static bool want_sleep(coffer__run *run, const coffer_action *action) {
    uint64_t wake_us = coffer__clock_earlier(coffer__clock_add_ms(0, action->wake_at_ms), run->limits.deadline_us);
    do_chores(run, coffer__clock_earlier(wake_us, run->limits.slice_us));
    return pause_until(run, wake_us);
}

static bool want_wait(coffer__run *run, const coffer_action *action) {
    (void)action;
    return pause_until(run, run->limits.deadline_us);
}

/* What is in flight will not be waited for any longer. */
static void give_up(coffer__run *run, coffer_op *op) {
    for (coffer__hold *hold = &run->hold; hold != NULL; hold = hold->next) {
        if (hold->stage == COFFER__STAGE_OPEN) {
            coffer__run_lock(run, hold->link);
            coffer__op_give_up(op, hold->link->conn);
            coffer__run_unlock(run);
        }
    }
}

/* ---- the loop --------------------------------------------------------------------------------------------------- */

static bool (*const wants[])(coffer__run *, const coffer_action *) = {
    [COFFER_WANT_CALL] = want_call,
    [COFFER_WANT_REPLY] = want_reply,
    [COFFER_WANT_SLEEP] = want_sleep,
    [COFFER_WANT_WAIT] = want_wait,
};

static void begin(coffer__run *run, coffer__pools *pools, coffer_op *op, uint64_t slice_ms) {
    heed_fork(run, op);
    run->pools = pools;
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
    let_go_all(run);
    if (want == COFFER_WANT_DONE && run->started_us != UINT64_MAX && !run->is_chore) {
        record(run, op);
        run->started_us = UINT64_MAX; /* once */
    }
    return want;
}

coffer_want coffer__run_go(coffer__run *run, coffer__pools *pools, coffer_op *op, uint64_t slice_ms) {
    begin(run, pools, op, slice_ms);
    if (pools != NULL) {
        do_chores(run, coffer__clock_earlier(coffer__clock_add_ms(run->now_us, CHORE_MS), run->limits.slice_us));
    }
    for (;;) {
        if (run->call != NULL && !place_call(run)) {
            return COFFER_WANT_REPLY;
        }
        coffer_action action;
        coffer__wake_clear(&run->wake); /* a wake before this is one that op_next will see the reason of */
        if (run->now_us / COFFER__US_PER_MS >= coffer_op_deadline_ms(op)) {
            end_postponed(run);
            give_up(run, op);
        }
        coffer_want want = coffer_op_next(op, run->now_us / COFFER__US_PER_MS, &action);
        run->limits.deadline_us = coffer__clock_add_ms(0, coffer_op_deadline_ms(op));
        run->has_several = want == COFFER_WANT_CALL && coffer__op_has_several_calls(op);
        if (want != COFFER_WANT_CALL && want != COFFER_WANT_REPLY) {
            coffer__run_unlock(run);
        }
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

void coffer__run_is_chore(coffer__run *run) {
    run->is_chore = true;
}

void coffer__run_drop(coffer_op *op) {
    coffer_waiter *waiter = op == NULL ? NULL : coffer__op_waiter(op);
    coffer__run *run = waiter == NULL ? NULL : (coffer__run *)coffer_waiter_data(waiter);
    if (run != NULL) {
        heed_fork(run, op);
        give_up(run, op);
        let_go_all(run);
    }
    coffer_op_free(op);
    if (run != NULL) { /* not before: the op may be woken until it is gone */
        coffer__thread_give_run(run);
    }
}
