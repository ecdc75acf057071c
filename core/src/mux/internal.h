/* Inside of a mux.
 *
 *     task.c      an op that runs here, kept for the next one when it ends
 *     bell.c      how other threads say that an op may go on
 *     link.c      one connection: from the wish for it to its end
 *     listener.c  the one connection that hears a sentinel's announcements
 *     channels.c  those that hear what changes, where copies are kept
 *     mux.c       what the driver calls
 *
 * Tasks are woken by their waiters, whose data they are, and live until the last reference of theirs is gone: so a late wake finds a task that is at rest, or
 * runs another op by now, which is then asked once too often. */
#ifndef COFFER_MUX_INTERNAL_H
#define COFFER_MUX_INTERNAL_H

#include <coffer/mux.h>

#include "base/lock.h"
#include "engine/channel.h"

#include <stdatomic.h>

enum { COFFER__MUX_US_PER_MS = 1000, COFFER__MUX_LINKS_MOST = 1 << 12, COFFER__MUX_DETAIL_CAP = 320 };

/* ---- bell: outlives the mux, for waiters may ---------------------------------------------------------------------- */

typedef struct coffer__bell {
    atomic_size_t refs;
    atomic_uint woken_count; /* tasks that were woken and not looked at */
    atomic_bool rung; /* the mux's thread is in, or was told to come in */
    uint64_t generation; /* of forks */
    coffer__lock *lock; /* of what follows */
    void (*notify)(void *data);
    void *data;
} coffer__bell;

coffer__bell *coffer__bell_new(void (*notify)(void *data), void *data); /* NULL where memory is short */
coffer__bell *coffer__bell_ref(coffer__bell *bell);
void coffer__bell_unref(coffer__bell *bell); /* takes NULL */
void coffer__bell_silence(coffer__bell *bell); /* the mux goes */

/* ---- tasks ---------------------------------------------------------------------------------------------------------- */

typedef struct coffer__tasks {
    coffer_task *first, *last;
} coffer__tasks;

struct coffer_task {
    coffer_mux *mux;
    coffer_op *op; /* NULL: at rest */
    void *data;
    coffer_waiter *waiter;
    coffer__bell *bell;
    atomic_bool woken;
    bool is_chore; /* the client's, whom nobody waits for */
    bool went_out; /* something of it was for a server */
    bool closed; /* the mux was, before its end */
    coffer_want want;
    coffer_slice key; /* LOAD: the op's */
    uint64_t started_us, wake_at_us;
    unsigned lined_count; /* its calls that wait for a connection */
    bool under_way;
    coffer_task *before, *after; /* of those under way, or at rest */
    coffer__tasks *queue; /* of those that are ready to go on, or have stopped; NULL: neither */
    coffer_task *queue_before, *queue_after;
};

void coffer__mux_unref(coffer_mux *mux);

coffer_task *coffer__task_take(coffer_mux *mux, coffer_op *op, void *data); /* NULL where memory is short */
void coffer__task_enqueue(coffer__tasks *queue, coffer_task *task); /* unless it is in one */
void coffer__task_dequeue(coffer_task *task);
void coffer__task_set_under_way(coffer_task *task, bool under_way);
void coffer__task_forget_rest(coffer_mux *mux); /* those at rest */

/* The data of a waiter of a task: it is ready, if it is under way. For the mux's own thread. */
void coffer__task_ready(void *data);

/* The client's wake hook, from any thread. */
void coffer__task_wake(void *data);

/* ---- links ---------------------------------------------------------------------------------------------------------- */

typedef enum coffer__mux_link_state {
    COFFER__LINK_FREE,
    COFFER__LINK_WANTED, /* CONNECT is to be ordered */
    COFFER__LINK_CONNECTING,
    COFFER__LINK_OPEN,
    COFFER__LINK_CLOSING /* CLOSE is to be ordered */
} coffer__mux_link_state;

/* A call that waits for its connection. */
typedef struct coffer__lined {
    coffer_call *call;
    coffer_task *task;
} coffer__lined;

typedef struct coffer__mux_link {
    coffer__mux_link_state state;
    uint32_t name; /* place in the mux, and how many have had that place */
    bool dirty; /* in the row of those with an order */
    bool held;
    bool listens; /* it is for no calls */
    coffer__standing *standing; /* a channel's; NULL: it is none */
    uint32_t next_dirty; /* place + 1; 0: none */
    const coffer_endpoint *endpoint;
    coffer_conn *conn; /* OPEN */
    void *data;
    uint64_t moved_us; /* when it began to connect; bytes last came, or the first call was put into an idle conn; it became idle */
    coffer__lined *line;
    size_t line_count, line_cap;
} coffer__mux_link;

struct coffer_mux {
    size_t refs; /* one for each task, one of the caller */
    coffer_client *client;
    coffer__bell *bell;
    bool closed, slept;
    coffer__tasks under_way, at_rest, ready, stopped;
    size_t rest_count;
    unsigned sample;
    coffer__mux_link **links;
    size_t link_count, link_cap;
    uint32_t first_dirty, last_dirty; /* place + 1 */
    coffer__mux_link *written; /* its output was lent by the last order */
    size_t written_bytes;
    uint64_t now_us;
    uint64_t tasks_due_us; /* the first wake_at_us of those under way, or before */
    uint64_t chores_ms; /* when they were last asked for */
    uint64_t service_us; /* when links are looked after again */
    struct {
        coffer__mux_link *link;
        uint64_t look_at_us; /* UINT64_MAX: nobody announces anything */
        size_t turn;
        unsigned failures;
    } listener;
    coffer__channels *channels; /* NULL: no copies are kept */
    uint64_t beat_us; /* when they are looked after again */
    uint64_t made_count, failed_count;
};

coffer__mux_link *coffer__mux_find(const coffer_mux *mux, uint32_t name); /* NULL where it is gone */
coffer__mux_link *coffer__mux_link_new(coffer_mux *mux, const coffer_endpoint *endpoint); /* WANTED; NULL: NO_MEMORY, or too many */
void coffer__mux_link_mark(coffer_mux *mux, coffer__mux_link *link); /* there is an order for it */
bool coffer__mux_link_order(coffer_mux *mux, coffer__mux_link *link, coffer_order *order);

/* A call to a connection of its endpoint, or into the line before it. */
void coffer__mux_place(coffer_mux *mux, coffer_task *task, const coffer_action *action);
void coffer__mux_leave_lines(coffer_mux *mux, coffer_task *task); /* its calls that wait go nowhere */

/* The conn is there, or (`made`) could not be made. */
void coffer__mux_link_opened(coffer_mux *mux, coffer__mux_link *link, coffer_status made);

/* Its end: whoever waits is told why. `order`: the driver has to close it. */
void coffer__mux_link_end(coffer_mux *mux, coffer__mux_link *link, coffer_status why, const char *detail, bool order);

/* After anything that its conn was told. */
void coffer__mux_link_told(coffer_mux *mux, coffer__mux_link *link);

/* Ends what is silent, takes too long to connect or is unused. */
void coffer__mux_link_look_after(coffer_mux *mux, coffer__mux_link *link);

/* ---- listener ------------------------------------------------------------------------------------------------------- */

void coffer__mux_listener_init(coffer_mux *mux);
void coffer__mux_listen(coffer_mux *mux); /* connects, where it is time to */
void coffer__mux_listener_lost(coffer_mux *mux, coffer__mux_link *link); /* also where it is another's */

/* ---- channels ------------------------------------------------------------------------------------------------------- */

void coffer__mux_beat(
    coffer_mux *mux); /* connects what should be, says what is to be said, ends what has to end; and when that is to be done again */

void coffer__mux_let_go(coffer_mux *mux); /* ends those that are not wanted any more, between beats */

static inline uint64_t coffer__mux_ms(uint64_t us) {
    return us / COFFER__MUX_US_PER_MS;
}

static inline uint64_t coffer__mux_us(uint64_t ms) {
    return ms > UINT64_MAX / COFFER__MUX_US_PER_MS ? UINT64_MAX : ms * COFFER__MUX_US_PER_MS;
}

#endif
