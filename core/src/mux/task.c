#include "internal.h"

#include "base/alloc.h"
#include "engine/waiter.h"

enum { REST_MOST = 4096 };

/* ---- the two rows that a task may be in ----------------------------------------------------------------------------- */

static void put(coffer__tasks *row, coffer_task *task) {
    task->before = row->last;
    task->after = NULL;
    *(row->last == NULL ? &row->first : &row->last->after) = task;
    row->last = task;
}

static void take_out(coffer__tasks *row, coffer_task *task) {
    *(task->before == NULL ? &row->first : &task->before->after) = task->after;
    *(task->after == NULL ? &row->last : &task->after->before) = task->before;
    task->before = task->after = NULL;
}

void coffer__task_set_under_way(coffer_task *task, bool under_way) {
    if (task->under_way != under_way) {
        task->under_way = under_way;
        (under_way ? put : take_out)(&task->mux->under_way, task);
    }
}

void coffer__task_enqueue(coffer__tasks *queue, coffer_task *task) {
    if (task->queue == NULL) {
        task->queue = queue;
        task->queue_before = queue->last;
        task->queue_after = NULL;
        *(queue->last == NULL ? &queue->first : &queue->last->queue_after) = task;
        queue->last = task;
    }
}

void coffer__task_dequeue(coffer_task *task) {
    coffer__tasks *queue = task->queue;
    if (queue != NULL) {
        *(task->queue_before == NULL ? &queue->first : &task->queue_before->queue_after) = task->queue_after;
        *(task->queue_after == NULL ? &queue->last : &task->queue_after->queue_before) = task->queue_before;
        task->queue = NULL;
        task->queue_before = task->queue_after = NULL;
    }
}

void coffer__task_ready(void *data) {
    coffer_task *task = (coffer_task *)data;
    if (task->under_way) {
        coffer__task_enqueue(&task->mux->ready, task);
    }
}

/* ---- beginning and end ---------------------------------------------------------------------------------------------- */

/* The last reference of its waiter is gone: nobody can wake it any more. From any thread. */
static void release_task(void *data) {
    coffer_task *task = (coffer_task *)data;
    coffer__bell_unref(task->bell);
    coffer__release(task);
}

static coffer_task *new_task(coffer_mux *mux) {
    coffer_task *task = (coffer_task *)coffer__alloc_zero(sizeof *task);
    if (task == NULL) {
        return NULL;
    }
    task->bell = coffer__bell_ref(mux->bell);
    if (coffer__waiter_new_owning(&task->waiter, task, release_task) != COFFER_OK) {
        release_task(task);
        return NULL;
    }
    return task;
}

coffer_task *coffer__task_take(coffer_mux *mux, coffer_op *op, void *data) {
    coffer_task *task = mux->at_rest.first;
    if (task != NULL) {
        take_out(&mux->at_rest, task);
        mux->rest_count--;
    } else if ((task = new_task(mux)) == NULL) {
        return NULL;
    }
    mux->refs++;
    task->mux = mux;
    task->op = op;
    task->data = data;
    task->is_chore = task->went_out = task->closed = false;
    task->want = COFFER_WANT_REPLY;
    task->started_us = mux->now_us;
    task->wake_at_us = UINT64_MAX;
    coffer_op_set_waiter(op, task->waiter);
    return task;
}

/* To rest, or for good. */
static void give_back(coffer_mux *mux, coffer_task *task) {
    task->op = NULL;
    if (mux->closed || mux->rest_count == REST_MOST) {
        coffer_waiter_free(task->waiter);
        return;
    }
    put(&mux->at_rest, task);
    mux->rest_count++;
}

void coffer__task_forget_rest(coffer_mux *mux) {
    coffer_task *task;
    while ((task = mux->at_rest.first) != NULL) {
        take_out(&mux->at_rest, task);
        coffer_waiter_free(task->waiter);
    }
    mux->rest_count = 0;
}

void coffer_task_free(coffer_task *task) {
    if (task != NULL) {
        coffer_mux *mux = task->mux;
        coffer__mux_leave_lines(mux, task);
        coffer__task_dequeue(task);
        coffer__task_set_under_way(task, false);
        coffer_op_free(task->op);
        give_back(mux, task);
        coffer__mux_unref(mux);
    }
}

/* ---- what it says ---------------------------------------------------------------------------------------------------- */

coffer_want coffer_task_want(const coffer_task *task) {
    return task->want;
}

coffer_op *coffer_task_op(const coffer_task *task) {
    return task->op;
}

coffer_slice coffer_task_key(const coffer_task *task) {
    return task->key;
}

void *coffer_task_data(const coffer_task *task) {
    return task->data;
}

coffer_status coffer_task_status(const coffer_task *task) {
    return task->closed ? COFFER_CLOSED_CACHE : coffer_op_status(task->op);
}

const char *coffer_task_message(const coffer_task *task) {
    return task->closed ? coffer_status_text(COFFER_CLOSED_CACHE) : coffer_op_message(task->op);
}
