#include "internal.h"

#include "base/alloc.h"
#include "engine/access.h"

enum { BUSY_EVERY_MS = 100, QUIET_EVERY_MS = 1000, SAMPLED_OF = 64 };

/* ---- beginning and end ---------------------------------------------------------------------------------------------- */

coffer_status coffer_mux_new(coffer_mux **mux, coffer_client *client, void (*notify)(void *data), void *data) {
    coffer_mux *made = (coffer_mux *)coffer__alloc_zero(sizeof *made);
    *mux = NULL;
    if (made == NULL || (made->bell = coffer__bell_new(notify, data)) == NULL || coffer__channels_new(&made->channels, client) != COFFER_OK) {
        coffer__bell_unref(made == NULL ? NULL : made->bell);
        coffer__release(made);
        return COFFER_NO_MEMORY;
    }
    made->refs = 1;
    made->client = client;
    coffer_client_ref(client);
    coffer_client_set_wake(client, coffer__task_wake);
    made->tasks_due_us = made->service_us = made->beat_us = UINT64_MAX;
    coffer__mux_listener_init(made);
    *mux = made;
    return COFFER_OK;
}

void coffer__mux_unref(coffer_mux *mux) {
    if (--mux->refs > 0) {
        return;
    }
    for (size_t i = 0; i < mux->link_count; i++) {
        coffer_conn_free(mux->links[i]->conn);
        coffer__release(mux->links[i]->line);
        coffer__release(mux->links[i]);
    }
    coffer__release((void *)mux->links);
    coffer__task_forget_rest(mux);
    coffer__bell_unref(mux->bell);
    coffer_client_free(mux->client);
    coffer__release(mux);
}

static void end_links(coffer_mux *mux) {
    for (size_t i = 0; i < mux->link_count; i++) {
        if (mux->links[i]->state != COFFER__LINK_FREE) {
            coffer__mux_link_end(mux, mux->links[i], COFFER_CLOSED, "the cache was closed", true);
        }
    }
}

void coffer_mux_close(coffer_mux *mux) {
    coffer_task *task;
    if (mux == NULL) {
        return;
    }
    mux->closed = true;
    while ((task = mux->under_way.first) != NULL) {
        coffer__task_dequeue(task);
        coffer__task_set_under_way(task, false);
        if (task->is_chore) {
            coffer_task_free(task);
        } else {
            task->closed = true;
            task->want = COFFER_WANT_DONE;
            coffer__task_enqueue(&mux->stopped, task);
        }
    }
    end_links(mux);
    coffer__channels_free(mux->channels);
    mux->channels = NULL;
    mux->tasks_due_us = mux->service_us = mux->beat_us = UINT64_MAX;
}

void coffer_mux_free(coffer_mux *mux) {
    if (mux != NULL) {
        coffer__bell_silence(mux->bell);
        coffer_mux_close(mux);
        coffer__mux_unref(mux);
    }
}

/* ---- running -------------------------------------------------------------------------------------------------------- */

static void record(coffer_mux *mux, const coffer_task *task) {
    if (!task->is_chore && (task->went_out || mux->sample++ % SAMPLED_OF == 0)) {
        coffer_metrics_record(coffer__op_namespace(task->op), coffer__op_operation(task->op), mux->now_us - task->started_us);
    }
}

static void wait_until(coffer_mux *mux, coffer_task *task, uint64_t wake_at_ms) {
    task->wake_at_us = coffer__mux_us(wake_at_ms);
    mux->tasks_due_us = task->wake_at_us < mux->tasks_due_us ? task->wake_at_us : mux->tasks_due_us;
    coffer__task_set_under_way(task, true);
}

/* Until it waits, is done, or wants its loader to run. */
static void run(coffer_mux *mux, coffer_task *task) {
    coffer_action action;
    if (coffer__mux_ms(mux->now_us) >= coffer_op_deadline_ms(task->op)) {
        coffer__mux_leave_lines(mux, task); /* the op gives its calls up, and may go on with others in their memory */
    }
    for (;;) {
        atomic_store_explicit(&task->woken, false, memory_order_relaxed); /* a wake before this is one that op_next will see the reason of */
        coffer_want want = coffer_op_next(task->op, coffer__mux_ms(mux->now_us), &action);
        switch (want) {
        case COFFER_WANT_CALL:
            coffer__mux_place(mux, task, &action);
            break;
        case COFFER_WANT_SLEEP:
            mux->slept = true;
            wait_until(mux, task, action.wake_at_ms);
            return;
        case COFFER_WANT_REPLY:
            wait_until(mux, task, action.wake_at_ms);
            return;
        case COFFER_WANT_WAIT:
            wait_until(mux, task, coffer_op_deadline_ms(task->op));
            return;
        default:
            coffer__mux_leave_lines(mux, task);
            task->want = want;
            task->key = want == COFFER_WANT_LOAD ? action.key : coffer_slice_of(NULL, 0);
            if (want == COFFER_WANT_DONE) {
                record(mux, task);
            }
            return;
        }
    }
}

/* Who was under way goes on; where that was its end, who waits for it is told. */
static void go_on(coffer_mux *mux, coffer_task *task) {
    run(mux, task);
    if (task->want == COFFER_WANT_REPLY) {
        return;
    }
    coffer__task_set_under_way(task, false);
    coffer__task_dequeue(task);
    if (task->is_chore) {
        coffer_task_free(task);
    } else {
        coffer__task_enqueue(&mux->stopped, task);
    }
}

/* One is out at a time. They are asked for once a millisecond at most, and where somebody sleeps: he may wait for what a chore finds out. */
static void do_chores(coffer_mux *mux) {
    uint64_t now_ms = coffer__mux_ms(mux->now_us);
    if (mux->closed || (mux->chores_ms == now_ms && !mux->slept)) {
        return;
    }
    mux->chores_ms = now_ms;
    mux->slept = false;
    coffer_op *op = coffer_client_chores(mux->client, now_ms);
    coffer_task *task = op == NULL ? NULL : coffer__task_take(mux, op, NULL);
    if (task == NULL) {
        coffer_op_free(op);
        return;
    }
    task->is_chore = true;
    go_on(mux, task);
}

static void run_ready(coffer_mux *mux) {
    coffer_task *task;
    while ((task = mux->ready.first) != NULL) {
        coffer__task_dequeue(task);
        go_on(mux, task);
    }
}

/* Those that were woken, here or by other threads, are ready. */
static bool take_woken(coffer_mux *mux) {
    if (atomic_load(&mux->bell->woken_count) == 0) {
        return false;
    }
    atomic_store(&mux->bell->woken_count, 0);
    for (coffer_task *task = mux->under_way.first; task != NULL; task = task->after) {
        if (atomic_load(&task->woken)) {
            coffer__task_enqueue(&mux->ready, task);
        }
    }
    return true;
}

/* Each entry begins with this: nobody has to ring while we are in. What the last order lent is with the kernel by now. */
static void enter(coffer_mux *mux, uint64_t now_us) {
    mux->now_us = now_us > mux->now_us ? now_us : mux->now_us;
    atomic_store_explicit(&mux->bell->rung, true, memory_order_relaxed);
    if (mux->written != NULL) {
        coffer_conn_sent(mux->written->conn, mux->written_bytes);
        mux->written = NULL;
    }
}

/* And ends with this: all who can go on have done so. */
static void leave(coffer_mux *mux) {
    if (mux->beat_us != UINT64_MAX && coffer__channels_should_look(mux->channels, coffer__mux_ms(mux->now_us))) {
        coffer__mux_beat(mux); /* nobody hears what changes: not only when its time has come */
    }
    do {
        run_ready(mux);
        do_chores(mux);
        run_ready(mux);
        atomic_store(&mux->bell->rung, false);
    } while (take_woken(mux));
    if (mux->service_us == UINT64_MAX && !mux->closed && !coffer_client_is_local(mux->client)) {
        mux->service_us = mux->now_us;
        mux->beat_us = mux->channels == NULL ? UINT64_MAX : mux->now_us;
    }
}

/* Who calls is told by what the task says now: not once more by the row of those that stopped, where it did so on the way out. */
static coffer_want told_by_itself(coffer_task *task) {
    if (task->want != COFFER_WANT_REPLY) {
        coffer__task_dequeue(task);
    }
    return task->want;
}

coffer_status coffer_mux_submit(coffer_mux *mux, coffer_op *op, void *data, uint64_t now_us, coffer_task **task) {
    *task = NULL;
    if (mux->closed) {
        return COFFER_CLOSED_CACHE;
    }
    enter(mux, now_us);
    do_chores(mux);
    *task = coffer__task_take(mux, op, data);
    if (*task != NULL) {
        run(mux, *task);
    }
    leave(mux);
    if (*task == NULL) {
        return COFFER_NO_MEMORY;
    }
    (void)told_by_itself(*task);
    return COFFER_OK;
}

coffer_want coffer_task_run(coffer_task *task, uint64_t now_us) {
    coffer_mux *mux = task->mux;
    if (mux->closed) {
        task->closed = true;
        return task->want = COFFER_WANT_DONE;
    }
    enter(mux, now_us);
    task->want = COFFER_WANT_REPLY;
    run(mux, task);
    leave(mux);
    return told_by_itself(task);
}

coffer_task *coffer_mux_next_stopped(coffer_mux *mux) {
    coffer_task *task = mux->stopped.first;
    if (task != NULL) {
        coffer__task_dequeue(task);
    }
    return task;
}

/* ---- orders ---------------------------------------------------------------------------------------------------------- */

bool coffer_mux_next_order(coffer_mux *mux, uint64_t now_us, coffer_order *order) {
    bool found = false;
    enter(mux, now_us);
    leave(mux); /* first: what an order lends is not to be written to behind it */
    while (!found && mux->first_dirty != 0) {
        coffer__mux_link *link = mux->links[mux->first_dirty - 1];
        mux->first_dirty = link->next_dirty;
        mux->last_dirty = mux->first_dirty == 0 ? 0 : mux->last_dirty;
        link->dirty = false;
        found = coffer__mux_link_order(mux, link, order);
    }
    return found;
}

bool coffer_mux_has_orders(const coffer_mux *mux) {
    return mux->first_dirty != 0;
}

uint64_t coffer_mux_due_us(const coffer_mux *mux) {
    uint64_t due_us = mux->tasks_due_us < mux->service_us ? mux->tasks_due_us : mux->service_us;
    return mux->beat_us < due_us ? mux->beat_us : due_us;
}

/* ---- what happened --------------------------------------------------------------------------------------------------- */

static coffer__mux_link *connecting(const coffer_mux *mux, uint32_t name) {
    coffer__mux_link *link = coffer__mux_find(mux, name);
    return link != NULL && link->state == COFFER__LINK_CONNECTING ? link : NULL;
}

static coffer__mux_link *open_one(const coffer_mux *mux, uint32_t name) {
    coffer__mux_link *link = coffer__mux_find(mux, name);
    return link != NULL && link->state == COFFER__LINK_OPEN ? link : NULL;
}

void coffer_mux_opened(coffer_mux *mux, uint32_t name, coffer_slice username, coffer_slice password, uint64_t now_us) {
    coffer__mux_link *link = connecting(mux, name);
    if (link != NULL) {
        bool own = username.len > 0 || password.len > 0;
        enter(mux, now_us);
        coffer__mux_link_opened(mux, link,
                                own ? coffer_conn_new_as(&link->conn, mux->client, link->endpoint, username, password, coffer__mux_ms(mux->now_us))
                                    : coffer_conn_new(&link->conn, mux->client, link->endpoint, coffer__mux_ms(mux->now_us)));
        leave(mux);
    }
}

void coffer_mux_reopened(coffer_mux *mux, uint32_t name, uint64_t now_us) {
    coffer__mux_link *link = connecting(mux, name);
    if (link != NULL) {
        enter(mux, now_us);
        coffer__mux_link_opened(mux, link, coffer_conn_resume(&link->conn, mux->client, link->endpoint, coffer__mux_ms(mux->now_us)));
        leave(mux);
    }
}

void coffer_mux_fed(coffer_mux *mux, uint32_t name, coffer_slice in, uint64_t now_us) {
    coffer__mux_link *link = open_one(mux, name);
    if (link != NULL) {
        enter(mux, now_us);
        link->moved_us = mux->now_us;
        bool is_channel = link->standing != NULL;
        coffer_conn_feed(link->conn, in, coffer__mux_ms(mux->now_us));
        coffer__mux_link_told(mux, link);
        if (is_channel) {
            coffer__mux_beat(mux);
        }
        leave(mux);
    }
}

bool coffer_mux_lost(coffer_mux *mux, uint32_t name, coffer_status why, const char *detail, uint64_t now_us) {
    coffer__mux_link *link = coffer__mux_find(mux, name);
    if (link == NULL || link->state == COFFER__LINK_CLOSING) {
        return false;
    }
    enter(mux, now_us);
    coffer__mux_link_end(mux, link, why, detail, false);
    leave(mux);
    return true;
}

void coffer_mux_hold(coffer_mux *mux, uint32_t name, bool held) {
    coffer__mux_link *link = coffer__mux_find(mux, name);
    if (link != NULL) {
        link->held = held;
        coffer__mux_link_mark(mux, link);
    }
}

/* Those whose time has come are ready; and when the first of the others is due. */
static void take_due(coffer_mux *mux) {
    mux->tasks_due_us = UINT64_MAX;
    for (coffer_task *task = mux->under_way.first; task != NULL; task = task->after) {
        if (task->wake_at_us <= mux->now_us) {
            coffer__task_enqueue(&mux->ready, task);
        } else if (task->wake_at_us < mux->tasks_due_us) {
            mux->tasks_due_us = task->wake_at_us;
        }
    }
}

/* Links that are silent, the connection that listens, and the chores of a client that nobody uses at the moment. */
static void serve(coffer_mux *mux) {
    bool busy = mux->under_way.first != NULL;
    for (size_t i = 0; i < mux->link_count; i++) {
        coffer__mux_link_look_after(mux, mux->links[i]);
        busy = busy || mux->links[i]->state == COFFER__LINK_CONNECTING;
    }
    coffer__mux_listen(mux);
    mux->service_us = mux->now_us + coffer__mux_us(busy || mux->listener.failures > 0 ? BUSY_EVERY_MS : QUIET_EVERY_MS);
}

void coffer_mux_step_back(coffer_mux *mux, uint64_t now_us) {
    enter(mux, now_us);
    coffer__channels_step_back(mux->channels);
    coffer__mux_let_go(mux);
    leave(mux);
}

void coffer_mux_tick(coffer_mux *mux, uint64_t now_us) {
    if (mux->closed) {
        return;
    }
    enter(mux, now_us);
    if (mux->now_us >= mux->tasks_due_us) {
        take_due(mux);
    }
    if (mux->now_us >= mux->service_us) {
        serve(mux);
    }
    if (mux->now_us >= mux->beat_us) {
        coffer__mux_beat(mux);
    }
    leave(mux);
}

/* ---- links ----------------------------------------------------------------------------------------------------------- */

void coffer_mux_set_link_data(coffer_mux *mux, uint32_t name, void *data) {
    coffer__mux_link *link = coffer__mux_find(mux, name);
    if (link != NULL) {
        link->data = data;
    }
}

bool coffer_mux_link_idle(const coffer_mux *mux, uint32_t name) {
    const coffer__mux_link *link = open_one(mux, name);
    return link != NULL && mux->written != link && !link->listens && coffer_conn_idle(link->conn);
}

bool coffer_mux_release(coffer_mux *mux, uint32_t name) {
    enter(mux, mux->now_us);
    bool idle = coffer_mux_link_idle(mux, name);
    if (idle) {
        coffer__mux_link *link = open_one(mux, name);
        coffer_conn_free(link->conn);
        link->conn = NULL;
        link->state = COFFER__LINK_FREE;
    }
    leave(mux);
    return idle;
}

void coffer_mux_add_metrics(const coffer_mux *mux, coffer_metrics *metrics) {
    for (size_t i = 0; i < mux->link_count; i++) {
        metrics->connections_open += mux->links[i]->state == COFFER__LINK_OPEN;
    }
    metrics->connections_made += mux->made_count;
    metrics->connections_failed += mux->failed_count;
}
