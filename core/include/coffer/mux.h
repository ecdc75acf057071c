/* For authors of drivers on an event loop: everything but the sockets.
 *
 * driver.h says how one op is run. A mux runs any number of them over few connections: it knows who waits for what, sends what is asked of a server in one
 * turn as one write, keeps deadlines, connects anew, closes what is silent or unused, listens to sentinels, and does the client's chores. Like the core it
 * never does I/O, never reads a clock, never waits and never calls back: it is told what happened, and says what is to be done.
 *
 *     coffer_mux_submit(mux, op, data, now_us, &task);     DONE or LOAD at once, or later
 *
 *     after that, and after anything that is told to the mux:
 *
 *     while (coffer_mux_next_order(mux, now_us, &order))
 *         switch (order.kind) {
 *         case COFFER_ORDER_CONNECT: begin to connect order.link to order.endpoint; then coffer_mux_opened or coffer_mux_lost
 *         case COFFER_ORDER_WRITE:   write all of order.data, which is lent until the next call, to order.link
 *         case COFFER_ORDER_CLOSE:   close order.link, or stop connecting it; nothing is to be said of it any more
 *         }
 *     while ((task = coffer_mux_next_stopped(mux)) != NULL)
 *         its op is DONE or wants its loader to run: tell who waits
 *     call coffer_mux_tick(mux, now_us) when coffer_mux_due_us(mux) is reached
 *
 * Orders may be left for the end of the loop's turn: then what many callers asked in that turn is one write.
 *
 * A task is an op that a mux runs. A link is one connection, named by a number that is never used twice for different ones within 2^20 of them;
 * what is told of a link that is gone is ignored, so a late event does no harm.
 * All of a mux belongs to one thread at a time. Several muxes, each with a thread, may drive one client: they share loads, breakers and what is known of the
 * servers, but no connection. A client is driven by muxes or by the blocking driver of cache.h, not by both. */
#ifndef COFFER_MUX_H
#define COFFER_MUX_H

#include <coffer/driver.h>
#include <coffer/metrics.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct coffer_mux coffer_mux;
typedef struct coffer_task coffer_task;

/* Takes a reference of the client, and its wake hook. `notify` (may be NULL where no other thread uses the client) is called with `data`, from any thread,
 * when something of this mux may go on although nothing was told to it: have coffer_mux_tick called soon, by the mux's own thread. It may write to an
 * eventfd or set a flag, and nothing else; it may not call coffer. NO_MEMORY. */
COFFER_API coffer_status coffer_mux_new(coffer_mux **mux, coffer_client *client, void (*notify)(void *data), void *data);

/* No more ops: all tasks stop (their status is CLOSED_CACHE), and the next orders close all links. Twice is harmless. Takes NULL. Neither this nor
 * coffer_mux_free while the driver is still walking through its orders or the tasks that stopped. */
COFFER_API void coffer_mux_close(coffer_mux *mux);

/* After coffer_mux_close, or in a forked child at any time. Its tasks have to be freed before; takes NULL. */
COFFER_API void coffer_mux_free(coffer_mux *mux);

/* ---- tasks --------------------------------------------------------------------------------------------------- */

/* Runs the op, which is the task's from here on, as far as it goes now: coffer_task_want says how far. `data` is the caller's. On failure (NO_MEMORY,
 * CLOSED_CACHE) the op is still the caller's. */
COFFER_API coffer_status coffer_mux_submit(coffer_mux *mux, coffer_op *op, void *data, uint64_t now_us, coffer_task **task);

/* DONE: status, value and so on may be read; LOAD: its loader has to run; REPLY: it is under way. */
COFFER_API coffer_want coffer_task_want(const coffer_task *task);

/* Goes on after coffer_op_supply or coffer_op_abort; what coffer_task_want says then. */
COFFER_API coffer_want coffer_task_run(coffer_task *task, uint64_t now_us);

COFFER_API coffer_op *coffer_task_op(const coffer_task *task); /* lent */
COFFER_API void *coffer_task_data(const coffer_task *task);
COFFER_API coffer_slice coffer_task_key(const coffer_task *task); /* LOAD: whose loader has to run; lent until the task is freed */

/* Its op's status; CLOSED_CACHE where the mux was closed before its end, and the words for it. */
COFFER_API coffer_status coffer_task_status(const coffer_task *task);
COFFER_API const char *coffer_task_message(const coffer_task *task);

/* In any state: nobody waits for it any more. Frees its op too; a reply that is due is read and dropped. Takes NULL. */
COFFER_API void coffer_task_free(coffer_task *task);

/* A task that was under way and is DONE or wants its loader; each once. NULL: no more. */
COFFER_API coffer_task *coffer_mux_next_stopped(coffer_mux *mux);

/* ---- what is to be done -------------------------------------------------------------------------------------- */

typedef enum coffer_order_kind { COFFER_ORDER_CONNECT = 1, COFFER_ORDER_WRITE, COFFER_ORDER_CLOSE } coffer_order_kind;

typedef struct coffer_order {
    coffer_order_kind kind;
    uint32_t link;
    void *link_data; /* as of coffer_mux_set_link_data; NULL at first */
    const coffer_endpoint *endpoint; /* lent by the client */
    bool wants_login; /* CONNECT: where the driver has credentials of its own, they are for this one (a sentinel never gets them) */
    coffer_slice data; /* WRITE */
} coffer_order;

/* False where there is nothing to be done. */
COFFER_API bool coffer_mux_next_order(coffer_mux *mux, uint64_t now_us, coffer_order *order);

/* Whether there may be: for a driver that takes orders once a turn. */
COFFER_API bool coffer_mux_has_orders(const coffer_mux *mux);

/* When coffer_mux_tick is wanted; UINT64_MAX: not before something else happens. Ask when the orders have been taken: they may be due at once. */
COFFER_API uint64_t coffer_mux_due_us(const coffer_mux *mux);

/* ---- what happened ------------------------------------------------------------------------------------------- */

/* It is connected, TLS included. Both slices empty: to log in as the client's options say; else as these (coffer_conn_new_as). */
COFFER_API void coffer_mux_opened(coffer_mux *mux, uint32_t link, coffer_slice username, coffer_slice password, uint64_t now_us);

/* The same for a socket that coffer_mux_release has given back before: it is logged in. */
COFFER_API void coffer_mux_reopened(coffer_mux *mux, uint32_t link, uint64_t now_us);

/* Bytes came. */
COFFER_API void coffer_mux_fed(coffer_mux *mux, uint32_t link, coffer_slice in, uint64_t now_us);

/* It could not be connected (DNS, CONNECT, TLS, CERTIFICATE, CREDENTIALS ...) or broke (CLOSED). `detail` (may be NULL): in words, which
 * name the server, for the log shows nothing else. The driver has closed it,
 * or does so now. False where it was gone already, or its CLOSE is still among the orders. */
COFFER_API bool coffer_mux_lost(coffer_mux *mux, uint32_t link, coffer_status why, const char *detail, uint64_t now_us);

/* Back-pressure: while it is held there is no order to write to it. */
COFFER_API void coffer_mux_hold(coffer_mux *mux, uint32_t link, bool held);

/* Time has passed, or `notify` was called. */
COFFER_API void coffer_mux_tick(coffer_mux *mux, uint64_t now_us);

/* The process is about to end, and goes on with its last calls until then: whatever of this mux hears for all processes of the host what changes (near copies,
 * option near) ends at once, so that another one does it, and this one never does again. Its own reads go on as they are. Harmless where it hears nothing, and
 * twice. coffer_mux_close does as much, and does not need it. */
COFFER_API void coffer_mux_step_back(coffer_mux *mux, uint64_t now_us);

/* ---- links --------------------------------------------------------------------------------------------------- */

COFFER_API void coffer_mux_set_link_data(coffer_mux *mux, uint32_t link, void *data);

/* Whether nothing is due on it and nothing is to be written: an idle socket, which may be kept for later. */
COFFER_API bool coffer_mux_link_idle(const coffer_mux *mux, uint32_t link);

/* Takes an idle link's socket out of the mux, for coffer_mux_reopened later; the link is gone. False where it is not idle: it stays. */
COFFER_API bool coffer_mux_release(coffer_mux *mux, uint32_t link);

/* Adds its connections to a snapshot of coffer_metrics_read: open, made, failed. */
COFFER_API void coffer_mux_add_metrics(const coffer_mux *mux, coffer_metrics *metrics);

#ifdef __cplusplus
}
#endif
#endif
