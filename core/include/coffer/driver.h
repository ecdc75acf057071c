/* For authors of drivers: how to run Coffer on any event loop.
 *
 * The core never does I/O and never reads a clock. It is told what happened and answers what to do next.
 *
 *     op     one cache operation           "what next?"
 *     call   one command of it             redirects and retries; no cache knowledge
 *     conn   bytes <-> replies             handshake, order; no idea what the replies mean
 *     driver sockets, pool, threads, clock no idea what the commands mean       <- you
 *
 * The loop of every driver:
 *
 *     for (;;) {
 *         switch (coffer_op_next(op, now_ms, &action)) {
 *         case COFFER_WANT_CALL:  conn = a conn to action.endpoint that you hold;
 *                                 coffer_call_send(action.call, conn); write coffer_conn_output(conn); continue;
 *         case COFFER_WANT_REPLY: read; coffer_conn_feed(conn, bytes, now_ms); wake what coffer_conn_pop_ready names; continue;
 *         case COFFER_WANT_SLEEP: come back at action.wake_at_ms; continue;
 *         case COFFER_WANT_WAIT:  park until the client's wake hook names this op's waiter, or the deadline; continue;
 *         case COFFER_WANT_LOAD:  run the caller's loader, then coffer_op_supply or coffer_op_abort; continue;
 *         case COFFER_WANT_DONE:  coffer_op_status, coffer_op_value ...; coffer_op_free(op); return;
 *         }
 *     }
 *
 * Rules
 *  - An op hands out every unsent call before it says REPLY, so that batches are pipelined by any driver.
 *  - Each call goes to the endpoint that came with it: those of one op may go to several, and one that failed or was redirected may come again, for
 *    another. Equal pointers are equal endpoints, for as long as the client lives.
 *  - REPLY has a wake_at_ms too: other calls of the op wait until then to be sent (again). It is the deadline at the latest.
 *  - What is due without a caller: coffer_client_chores.
 *  - Where the driver cannot get or keep a conn: coffer_call_fail for a call not sent, coffer_conn_fail for a conn with calls in flight.
 *  - Bytes may appear in coffer_conn_output after a feed (handshake, a script sent again): write them.
 *  - Only its owner runs an op. Feeding a conn completes calls and names their ops' waiters; it never runs an op.
 *  - A conn, and the ops with calls in flight on it, are used by one thread at a time: share a conn between threads under a lock of
 *    yours, and hold it in coffer_op_free of an op with calls in flight there.
 *  - A client and its namespaces may be used by any number of threads.
 *  - An op may be freed in any state. Replies still due on its conns are read and dropped, never given to another.
 *  - Only an idle conn may be kept for later (coffer_conn_idle); others are closed.
 *  - Where an op must end (its deadline is the core's business: call coffer_op_next when coffer_op_deadline_ms is reached).
 */
#ifndef COFFER_DRIVER_H
#define COFFER_DRIVER_H

#include <coffer/metrics.h>
#include <coffer/options.h>
#include <coffer/status.h>
#include <coffer/value.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- the client: what all operations share ---------------------------------------------------------------- */

/* The time at which a client is made: `now_ms` of the driver's monotonic clock and the unix time of the same moment. */
typedef struct coffer_clock {
    uint64_t now_ms;
    uint64_t unix_ms;
} coffer_clock;

/* Takes a copy of the options. COFFER_OPTION, COFFER_NO_MEMORY. */
COFFER_API coffer_status coffer_client_new(coffer_client **client, const coffer_options *options, coffer_clock clock, coffer_error *error);
COFFER_API void coffer_client_ref(coffer_client *client);
COFFER_API void coffer_client_free(coffer_client *client); /* drops one reference; takes NULL */

/* The one hook: "wake this waiter", called with the data of a waiter whose op said WANT_WAIT, from whatever thread ended the wait.
 * It may set a flag, an eventfd or a condition, and nothing else; it may not call coffer. */
COFFER_API void coffer_client_set_wake(coffer_client *client, void (*wake)(void *waiter_data));

/* What the driver wants to find again from its client; NULL at first. Never looked at by the core. */
COFFER_API void coffer_client_set_driver(coffer_client *client, void *driver);
COFFER_API void *coffer_client_driver(const coffer_client *client);

/* The client's options, lent. */
COFFER_API const coffer_options *coffer_client_options(const coffer_client *client);

/* What is due without a caller: an op of the client's own, for the driver to run like any other (it needs no waiter; its answer is its end) and to free; or
 * NULL, which costs next to nothing. Today: to ask a cluster who serves which slots, at the beginning, when an answer raised a doubt and every half a
 * minute. One is out at a time; one that is freed before its end is due again. Ask before an op is run, and whenever an op says SLEEP: ops wait so for
 * the first map of a cluster, which nobody else may be asking for. A driver with a loop asks on a timer too, at most every 100 ms. */
COFFER_API coffer_op *coffer_client_chores(coffer_client *client, uint64_t now_ms);

/* Whether every operation is answered in the process (mem://). */
COFFER_API bool coffer_client_is_local(const coffer_client *client);

/* After fork, in the child, before any other use: forgets loads and waits of the parent's threads. */
COFFER_API void coffer_client_after_fork(coffer_client *client);

/* A namespace of the client with the namespace options of `options` (NULL: the client's own). Shares all else; counted; COFFER_OPTION. */
COFFER_API coffer_status coffer_namespace_new(coffer_namespace **ns, coffer_client *client, const coffer_options *options, coffer_error *error);
COFFER_API void coffer_namespace_ref(coffer_namespace *ns);
COFFER_API void coffer_namespace_free(coffer_namespace *ns); /* drops one reference; takes NULL */
COFFER_API coffer_client *coffer_namespace_client(const coffer_namespace *ns);
COFFER_API const coffer_options *coffer_namespace_options(const coffer_namespace *ns);

/* ---- ops: one cache operation each -------------------------------------------------------------------------
 * Each makes an op that has done nothing yet. Keys are copied. Values (of set and its kin) are lent and must stay until the op is freed.
 * A refused argument is found at the first coffer_op_next (COFFER_KEY_INVALID, COFFER_TOO_LARGE, COFFER_ARG); COFFER_NO_MEMORY here.
 * Options may be NULL. What each answers: */
/* clang-format off */

COFFER_API coffer_status coffer_op_get(coffer_op **op, coffer_namespace *ns, coffer_slice key, const coffer_read_options *options);
    /* OK or STALE with a value; MISS */
COFFER_API coffer_status coffer_op_set(coffer_op **op, coffer_namespace *ns, coffer_slice key, coffer_slice value, const coffer_write_options *options);
    /* OK; integer: the low 63 bits mean nothing; coffer_op_value()->entry_id is the id of what was stored */
COFFER_API coffer_status coffer_op_add(coffer_op **op, coffer_namespace *ns, coffer_slice key, coffer_slice value, const coffer_write_options *options);
    /* OK, or NOT_STORED where a live value is there */
COFFER_API coffer_status coffer_op_replace(coffer_op **op, coffer_namespace *ns, coffer_slice key, coffer_slice value, const coffer_write_options *options);
    /* OK, or NOT_STORED where no live value is there */
COFFER_API coffer_status coffer_op_compare_and_set(coffer_op **op, coffer_namespace *ns, coffer_slice key, uint64_t entry_id, coffer_slice value,
                                                   const coffer_write_options *options);
    /* OK, or NOT_STORED where the key holds another entry or none */
COFFER_API coffer_status coffer_op_delete(coffer_op **op, coffer_namespace *ns, coffer_slice key, const coffer_read_options *options);
    /* OK, or MISS where nothing was there */
COFFER_API coffer_status coffer_op_exists(coffer_op **op, coffer_namespace *ns, coffer_slice key, const coffer_read_options *options);
    /* OK or MISS */
COFFER_API coffer_status coffer_op_ttl(coffer_op **op, coffer_namespace *ns, coffer_slice key, const coffer_read_options *options);
    /* OK, integer: milliseconds that it is still fresh (-1: for ever); MISS */
COFFER_API coffer_status coffer_op_expire(coffer_op **op, coffer_namespace *ns, coffer_slice key, uint64_t ttl_ms, const coffer_read_options *options);
    /* OK, or MISS; the value is fresh for ttl_ms from now (no jitter) */
COFFER_API coffer_status coffer_op_touch(coffer_op **op, coffer_namespace *ns, coffer_slice key, const coffer_read_options *options);
    /* expire with the namespace's TTL */
COFFER_API coffer_status coffer_op_increment(coffer_op **op, coffer_namespace *ns, coffer_slice key, int64_t delta, const coffer_write_options *options);
    /* OK, integer: the counter after it. The TTL (the namespace's, or the one given) starts when the counter is made. NOT_INTEGER on overflow */
COFFER_API coffer_status coffer_op_counter(coffer_op **op, coffer_namespace *ns, coffer_slice key, const coffer_read_options *options);
    /* OK, integer: the counter; MISS */
COFFER_API coffer_status coffer_op_reset_counter(coffer_op **op, coffer_namespace *ns, coffer_slice key, const coffer_read_options *options);
    /* OK, or MISS */
COFFER_API coffer_status coffer_op_get_many(coffer_op **op, coffer_namespace *ns, const coffer_slice *keys, size_t count, const coffer_read_options *options);
    /* OK; coffer_op_count and coffer_op_item, in the order of the keys */
COFFER_API coffer_status coffer_op_set_many(coffer_op **op, coffer_namespace *ns, const coffer_item *items, size_t count, const coffer_write_options *options);
    /* OK when all were stored, else the first error; coffer_op_item says which; `items` itself is lent too */
COFFER_API coffer_status coffer_op_delete_many(coffer_op **op, coffer_namespace *ns, const coffer_slice *keys, size_t count, const coffer_read_options *options);
    /* OK, integer: how many were there; else the first error; coffer_op_item says which are gone (OK) */
COFFER_API coffer_status coffer_op_get_or_load(coffer_op **op, coffer_namespace *ns, coffer_slice key, const coffer_read_options *options);
    /* WANT_LOAD where the loader has to run; then OK or STALE with a value, MISS (source NEGATIVE) for an absence, or LOAD_FAILED */
COFFER_API coffer_status coffer_op_clear(coffer_op **op, coffer_namespace *ns, const coffer_read_options *options);
    /* OK, integer: how many keys of the namespace were deleted, values, absences and counters. Scans all keys of the servers: see below */
COFFER_API coffer_status coffer_op_ping(coffer_op **op, coffer_namespace *ns, const coffer_read_options *options);
    /* OK where the server answered anything well formed; mem:// always */
/* clang-format on */

/* clear goes through the keys of the server, or of each primary of a cluster, by SCAN and UNLINK, a page at a time: keys that are not the namespace's (by
 * prefix, name and version) cost time alone. What is there when it begins and stays is gone when it ends; what is written meanwhile may be. In a cluster a
 * slot that moves from a node that is still to be scanned to one that was takes its keys past it: clear once more after a reshard.
 *  - Loads of this process that are under way when it begins, or begin before it ends, store nothing. One of another process that has seen nothing under its key may.
 *  - A timeout_ms in the options is for the whole. Without it each page may take the option `timeout`, and the whole ten minutes.
 *  - Where it fails (an outage is a failure whatever on_outage says) what was deleted by then stays deleted, and the message says how much that is.
 *  - With `enabled=false` it does nothing; while caching is turned off at run time it is refused (UNSUPPORTED): nobody would know the keys later.
 * On mem:// it is done at once. */

/* The op whose loader is running while this one is made, so that a load of X inside X's own loader is refused (LOAD_RECURSIVE)
 * instead of waiting for itself. `parent` must outlive `op`. */
COFFER_API void coffer_op_set_parent(coffer_op *op, const coffer_op *parent);

/* ---- near values without an op ------------------------------------------------------------------------------
 * What is in this host's memory (near copies of a server's values, and mem://) is answered at once: no op, no I/O, and no allocation but for the first uses
 * of a room. Everything else is AGAIN, and an op of the same key does it.
 *
 *     coffer_status status = coffer_peek(ns, COFFER_OPERATION_GET, key, coffer_now_coarse_ms(), room, &value);
 *     if (status == COFFER_AGAIN)  ... coffer_op_get(&op, ns, key, options) ...
 *
 * The operation is GET or GET_OR_LOAD: what it would answer, unless it is turned off, and what it is counted as. Any other is AGAIN. */

/* Memory of the caller's, used by one thread at a time and for any namespace: what a peek gives lies in it until it is used again or freed. */
typedef struct coffer_room coffer_room;
COFFER_API coffer_status coffer_room_new(coffer_room **room); /* NO_MEMORY */
COFFER_API void coffer_room_free(coffer_room *room); /* takes NULL */

/* OK: a fresh value (source NEAR). MISS: known to be absent (source NONE, where nothing has to be loaded, or NEGATIVE). AGAIN: ask by an op; also where the key
 * is refused, which the op will say in words. `now_ms` may be up to 16 ms behind. Counted where it answers; its time is the driver's to record. */
COFFER_API coffer_status coffer_peek(coffer_namespace *ns, coffer_operation operation, coffer_slice key, uint64_t now_ms, coffer_room *room,
                                     coffer_value *value);

/* Whether the value that once had this near_version is still the one that a peek would give: for objects that were made of it. Then it counts as one. */
COFFER_API bool coffer_peek_confirms(coffer_namespace *ns, coffer_operation operation, coffer_slice key, uint64_t near_version, uint64_t now_ms,
                                     coffer_room *room);

/* ---- running an op ------------------------------------------------------------------------------------------ */

typedef enum coffer_want {
    COFFER_WANT_DONE = 0,
    COFFER_WANT_CALL, /* action.call has to go to action.endpoint */
    COFFER_WANT_REPLY, /* nothing to do before a reply comes, or action.wake_at_ms */
    COFFER_WANT_SLEEP, /* until action.wake_at_ms */
    COFFER_WANT_WAIT, /* until the wake hook names the waiter, or the deadline */
    COFFER_WANT_LOAD, /* run the loader for action.key */
    COFFER_WANT_SECRET, /* reserved: ask the caller's function for a credential or key */
    COFFER_WANT_TAKE /* reserved: hand a page of a scan to the caller */
} coffer_want;

/* Where a server is. `path` not empty: a unix socket; else host and port. Lent by the client, one for each server and always the same; but a server that
 * is read from as a replica has one more for that, so that its connections for this carry nothing else. */
typedef struct coffer_endpoint {
    coffer_slice host;
    coffer_slice path;
    uint16_t port;
    bool tls;
    bool replica; /* read from as a replica */
} coffer_endpoint;

/* "10.0.0.1:6379", "[::1]:6379", "/run/redis.sock", cut where `cap` is short. Gives `out` back. */
COFFER_API const char *coffer_endpoint_name(const coffer_endpoint *endpoint, char *out, size_t cap);

typedef struct coffer_call coffer_call;
typedef struct coffer_conn coffer_conn;
typedef struct coffer_waiter coffer_waiter;

typedef struct coffer_action {
    coffer_call *call;
    const coffer_endpoint *endpoint;
    uint64_t wake_at_ms;
    coffer_slice key; /* the caller's key, lent until the op is freed */
} coffer_action;

/* What to do next. `now_ms` never goes back. `action` is filled as the answer says. */
COFFER_API coffer_want coffer_op_next(coffer_op *op, uint64_t now_ms, coffer_action *action);

/* The loader's answer, after WANT_LOAD. The value is copied. `options` (NULL: the namespace's) may name TTL and format, or say `absent`.
 * `cost_ms` is how long the loader took. Call coffer_op_next then. */
COFFER_API void coffer_op_supply(coffer_op *op, coffer_slice value, const coffer_write_options *options, uint32_t cost_ms);

/* The loader failed (LOAD_FAILED) or will not run (INTERRUPTED: another waiter's loader goes on in its place). Call coffer_op_next then. */
COFFER_API void coffer_op_abort(coffer_op *op, coffer_status why);

COFFER_API coffer_status coffer_op_status(const coffer_op *op); /* once DONE */
COFFER_API const coffer_value *coffer_op_value(const coffer_op *op); /* lent until the op is freed; never NULL */
COFFER_API int64_t coffer_op_integer(const coffer_op *op);
COFFER_API size_t coffer_op_count(const coffer_op *op); /* of get_many, set_many, delete_many */
COFFER_API coffer_status coffer_op_item(const coffer_op *op, size_t index,
                                        coffer_value *value); /* that item's own status, the op's for one that was not reached; value may be NULL */
COFFER_API const char *coffer_op_message(const coffer_op *op); /* a sentence for a person; "" where all is well; lives on the op */
COFFER_API uint64_t coffer_op_deadline_ms(const coffer_op *op); /* UINT64_MAX before the first coffer_op_next */

/* What the op is doing, for logs: "get_or_load users:42 step=fill waiting=reply". Returns the whole length; writes at most cap bytes. */
COFFER_API size_t coffer_op_describe(const coffer_op *op, char *out, size_t cap);

/* Legal in every state. Takes NULL. */
COFFER_API void coffer_op_free(coffer_op *op);

/* A waiter stands for whoever runs an op: a thread, a task, a coroutine. Counted, so that an op freed early is never woken wrongly.
 * `data` comes back from coffer_waiter_data and goes to the wake hook. */
COFFER_API coffer_status coffer_waiter_new(coffer_waiter **waiter, void *data);
COFFER_API void *coffer_waiter_data(const coffer_waiter *waiter);
COFFER_API void coffer_waiter_free(coffer_waiter *waiter); /* drops one reference; takes NULL */
COFFER_API void coffer_op_set_waiter(coffer_op *op, coffer_waiter *waiter); /* the op takes a reference of its own; before the first next */

/* ---- conns and calls ----------------------------------------------------------------------------------------- */

/* A conn's handshake (HELLO 2 with AUTH and name, or AUTH and SELECT on old servers) is its first output; calls are kept back until it succeeded.
 * Takes a reference of the client. NO_MEMORY. */
COFFER_API coffer_status coffer_conn_new(coffer_conn **conn, coffer_client *client, const coffer_endpoint *endpoint, uint64_t now_ms);

/* The same, to log in with these instead of the options'. An empty user name is the server's user "default", an empty password means not to log in.
 * Copied; wiped when the handshake is over. */
COFFER_API coffer_status coffer_conn_new_as(coffer_conn **conn, coffer_client *client, const coffer_endpoint *endpoint, coffer_slice username,
                                            coffer_slice password, uint64_t now_ms);

/* Whom the options say to log in as, for coffer_conn_new_as and coffer_mux_opened: `username`, and `password` or what is in `password_file` now; or what the
 * function says that coffer_set_credentials was given. Both are empty where there is nobody. Ask anew for each conn, but for a sentinel's; it is copied, and
 * wiped by coffer_login_free. CREDENTIALS: in words that name the file; NO_MEMORY; AGAIN: a binding's function has to be asked first
 * (coffer_credentials_wanted). */
typedef struct coffer_login coffer_login;
COFFER_API coffer_status coffer_login_new(coffer_login **login, coffer_client *client, coffer_error *error);
COFFER_API coffer_slice coffer_login_username(const coffer_login *login);
COFFER_API coffer_slice coffer_login_password(const coffer_login *login);
COFFER_API void coffer_login_free(coffer_login *login); /* takes NULL */

/* A conn for a socket that is logged in already: the conn it had before was idle when it was freed. */
COFFER_API coffer_status coffer_conn_resume(coffer_conn **conn, coffer_client *client, const coffer_endpoint *endpoint, uint64_t now_ms);
COFFER_API void coffer_conn_free(coffer_conn *conn); /* fails what is in flight (coffer_conn_fail with CLOSED); takes NULL */

/* Puts the call into the conn. On failure (conn failed, no memory) the call is as it was: fail it or send it elsewhere.
 * ARG where the call has ended meanwhile, its op having reached its deadline: it is not sent. READONLY, TRYAGAIN: the server has said that it is no
 * primary any more, or is not who its address says; the conn waits for the replies that are due and takes no more calls. */
COFFER_API coffer_status coffer_call_send(coffer_call *call, coffer_conn *conn);

/* No conn could be had for this call, which was not sent. `detail` (may be NULL) says more: "Connection refused". */
COFFER_API void coffer_call_fail(coffer_call *call, coffer_status why, const char *detail);

COFFER_API coffer_slice coffer_conn_output(const coffer_conn *conn); /* lent until the next call on this conn */
/* These were given to the kernel (before it is known how many: all of them may have been). Said before what comes back is fed: a reply to a command
 * that was not sent fails the conn. */
COFFER_API void coffer_conn_sent(coffer_conn *conn, size_t sent_bytes);

/* Bytes that came. An error is fatal to the conn: everything in flight has failed. The bytes are not kept. */
COFFER_API coffer_status coffer_conn_feed(coffer_conn *conn, coffer_slice in, uint64_t now_ms);

/* A waiter with a completed call; the reference is the caller's now. NULL when there are no more. */
COFFER_API coffer_waiter *coffer_conn_pop_ready(coffer_conn *conn);

COFFER_API bool coffer_conn_idle(const coffer_conn *conn); /* ready, nothing due, nothing buffered: may be pooled */
COFFER_API bool coffer_conn_ready(const coffer_conn *conn); /* the handshake has succeeded */
COFFER_API size_t coffer_conn_due(const coffer_conn *conn); /* replies still to come, tombstones included */
COFFER_API coffer_status coffer_conn_status(const coffer_conn *conn); /* OK, or why it failed */
COFFER_API const char *coffer_conn_message(const coffer_conn *conn); /* the same in words, "" while all is well */

/* The socket broke, or the driver gives the conn up. What may have reached the server and is not a read fails with MAYBE_APPLIED,
 * what was never sent with NOT_SENT, the rest with `why`. Sticky; the first reason stays. */
COFFER_API void coffer_conn_fail(coffer_conn *conn, coffer_status why, const char *detail);

#ifdef __cplusplus
}
#endif
#endif
