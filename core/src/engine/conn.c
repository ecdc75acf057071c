#include "conn.h"

#include "base/alloc.h"
#include "base/log.h"
#include "resp/writer.h"
#include "waiter.h"

#include <stdio.h>

enum { IDLE_KEPT_BYTES = 16 << 10, DUE_AT_FIRST = 8 };

static coffer__guard_limits limits_of(const coffer_options *options) {
    coffer__guard_limits limits = COFFER__GUARD_LIMITS_INIT;
    limits.reply_bytes = (size_t)options->max_reply_bytes;
    size_t largest_value = (size_t)options->max_value_bytes + (1u << 20); /* room for the envelope */
    limits.bulk_bytes = largest_value > limits.bulk_bytes ? largest_value : limits.bulk_bytes;
    if (limits.bulk_bytes > (512u << 20)) {
        limits.bulk_bytes = 512u << 20;
    }
    return limits;
}

/* A sentinel has credentials of its own: those of the servers are none of its business. */
static bool set_login(coffer_conn *conn, coffer_slice username, coffer_slice password) {
    const coffer_options *options = coffer_client_options(conn->client);
    const coffer__topology *topology = conn->client->topology;
    conn->is_sentinel = topology != NULL && coffer__topology_is_sentinel(topology, conn->endpoint);
    return coffer__buf_append_slice(&conn->username, conn->is_sentinel ? coffer_slice_text(options->sentinel_username) : username) &&
           coffer__buf_append_slice(&conn->password, conn->is_sentinel ? coffer_slice_text(options->sentinel_password) : password);
}

/* Without its first output. */
static coffer_conn *new_conn(coffer_client *client, const coffer_endpoint *endpoint, uint64_t now_ms) {
    coffer_conn *made = (coffer_conn *)coffer__alloc_zero(sizeof *made);
    if (made == NULL) {
        return NULL;
    }
    made->client = client;
    made->endpoint = endpoint;
    made->started_ms = made->now_ms = now_ms;
    coffer_client_ref(client);
    coffer__guard_limits limits = limits_of(coffer_client_options(client));
    if (coffer__guard_new(&made->guard, &limits) != COFFER_OK || coffer__reader_new(&made->reader) != COFFER_OK) {
        coffer_conn_free(made);
        return NULL;
    }
    return made;
}

coffer_status coffer_conn_new_as(coffer_conn **conn, coffer_client *client, const coffer_endpoint *endpoint, coffer_slice username,
                                 coffer_slice password, uint64_t now_ms) {
    coffer_conn *made = new_conn(client, endpoint, now_ms);
    *conn = NULL;
    if (made == NULL || !set_login(made, username, password) || !coffer__handshake_begin(made)) {
        coffer_conn_free(made);
        return COFFER_NO_MEMORY;
    }
    *conn = made;
    return COFFER_OK;
}

coffer_status coffer_conn_resume(coffer_conn **conn, coffer_client *client, const coffer_endpoint *endpoint, uint64_t now_ms) {
    *conn = new_conn(client, endpoint, now_ms);
    if (*conn == NULL) {
        return COFFER_NO_MEMORY;
    }
    (*conn)->state = COFFER__CONN_READY;
    return COFFER_OK;
}

coffer_status coffer_conn_new(coffer_conn **conn, coffer_client *client, const coffer_endpoint *endpoint, uint64_t now_ms) {
    const coffer_options *options = coffer_client_options(client);
    return coffer_conn_new_as(conn, client, endpoint, coffer_slice_text(options->username), coffer_slice_text(options->password), now_ms);
}

void coffer_conn_free(coffer_conn *conn) {
    if (conn == NULL) {
        return;
    }
    if (conn->state != COFFER__CONN_FAILED && conn->due_count > 0) {
        coffer__log(COFFER_LOG_CONNECTION_LOST, COFFER_OK, "given up, replies due: %zu", conn->due_count);
    }
    coffer__conn_end(conn, COFFER_CLOSED, NULL);
    coffer_waiter *waiter;
    while ((waiter = coffer_conn_pop_ready(conn)) != NULL) {
        coffer_waiter_free(waiter);
    }
    coffer__buf_wipe(&conn->out);
    coffer__buf_wipe(&conn->held);
    coffer__buf_wipe(&conn->username);
    coffer__buf_wipe(&conn->password);
    coffer__reply_free(&conn->reply);
    coffer__reader_free(conn->reader);
    coffer__guard_free(conn->guard);
    coffer__release(conn->due);
    coffer__release((void *)conn->ready);
    coffer_client_free(conn->client);
    coffer__release(conn);
}

/* ---- the row of what is due ---------------------------------------------------------------------------------- */

static coffer__due *due_at(coffer_conn *conn, size_t index) {
    return &conn->due[(conn->due_first + index) & (conn->due_cap - 1)];
}

static bool due_reserve(coffer_conn *conn) {
    if (conn->due_count < conn->due_cap) {
        return true;
    }
    size_t cap = conn->due_cap == 0 ? DUE_AT_FIRST : conn->due_cap * 2;
    coffer__due *larger = (coffer__due *)coffer__alloc(cap * sizeof *larger);
    if (larger == NULL) {
        return false;
    }
    for (size_t i = 0; i < conn->due_count; i++) {
        larger[i] = *due_at(conn, i);
    }
    coffer__release(conn->due);
    conn->due = larger;
    conn->due_first = 0;
    conn->due_cap = cap;
    return true;
}

static void due_push(coffer_conn *conn, coffer__due due) {
    *due_at(conn, conn->due_count) = due;
    conn->due_count++;
}

static coffer__due due_pop(coffer_conn *conn) {
    coffer__due due = *due_at(conn, 0);
    conn->due_first = (conn->due_first + 1) & (conn->due_cap - 1);
    conn->due_count--;
    return due;
}

/* Each call in flight may need a place among the waiters: it is reserved before the call is written, so that completing never fails. */
static bool ready_reserve(coffer_conn *conn) {
    size_t wanted = conn->ready_count + conn->due_count + 1;
    if (wanted <= conn->ready_cap) {
        return true;
    }
    coffer_waiter **larger = (coffer_waiter **)coffer__resize((void *)conn->ready, wanted * 2 * sizeof(coffer_waiter *));
    if (larger == NULL) {
        return false;
    }
    conn->ready = larger;
    conn->ready_cap = wanted * 2;
    return true;
}

coffer_waiter *coffer_conn_pop_ready(coffer_conn *conn) {
    return conn->ready_count == 0 ? NULL : conn->ready[--conn->ready_count];
}

/* The call is DONE: its waiter's reference goes from the call to the stack. */
static void name_waiter(coffer_conn *conn, coffer_waiter *waiter) {
    if (waiter != NULL) {
        conn->ready[conn->ready_count++] = waiter;
    }
}

/* ---- out ------------------------------------------------------------------------------------------------------ */

static uint64_t written_bytes(const coffer_conn *conn) {
    return conn->sent_bytes + (conn->out.len - conn->out_taken);
}

static bool say(coffer_conn *conn, coffer__due_kind kind, const coffer_slice *arguments, size_t count) {
    uint64_t begins_at = written_bytes(conn);
    if (!due_reserve(conn) || !coffer__write_argv(&conn->out, arguments, count)) {
        return false;
    }
    due_push(conn, (coffer__due){.kind = kind, .begins_at = begins_at});
    return true;
}

bool coffer__conn_ping(coffer_conn *conn) {
    static const coffer_slice ping = {"PING", 4};
    return say(conn, COFFER__DUE_PING, &ping, 1);
}

bool coffer__conn_command(coffer_conn *conn, coffer__due_kind kind, const coffer_slice *arguments, size_t count) {
    if (!say(conn, kind, arguments, count)) {
        return false;
    }
    for (size_t i = conn->due_count - 1; i > conn->greetings_due; i--) { /* before the calls that are held: so it will be on the wire */
        coffer__due later = *due_at(conn, i - 1);
        *due_at(conn, i - 1) = *due_at(conn, i);
        *due_at(conn, i) = later;
    }
    conn->greetings_due++;
    return true;
}

/* One command of a call, whose place among the waiters is reserved. */
static bool write_due(coffer_conn *conn, coffer__due due, const coffer_slice *arguments, size_t count) {
    bool greeting = conn->state == COFFER__CONN_GREETING;
    due.begins_at = greeting ? UINT64_MAX : written_bytes(conn);
    if (!due_reserve(conn) || !ready_reserve(conn) || !coffer__write_argv(greeting ? &conn->held : &conn->out, arguments, count)) {
        return false;
    }
    due_push(conn, due);
    return true;
}

/* ASKING and its command go out together or not at all: behind a lone ASKING somebody else's command would be answered from a slot that is moving. */
static bool write_call(coffer_conn *conn, coffer_call *call) {
    static const coffer_slice asking = {"ASKING", 6};
    coffer__buf *out = conn->state == COFFER__CONN_GREETING ? &conn->held : &conn->out;
    size_t before = out->len;
    coffer__due due = {.kind = COFFER__DUE_CALL, .call = call, .writes = call->command->writes};
    if (call->asking && !write_due(conn, (coffer__due){.kind = COFFER__DUE_ASKING}, &asking, 1)) {
        return false;
    }
    if (!write_due(conn, due, call->arguments, call->argument_count)) {
        out->len = before;
        conn->due_count -= call->asking;
        return false;
    }
    return true;
}

coffer_status coffer_call_send(coffer_call *call, coffer_conn *conn) {
    if (conn->state == COFFER__CONN_FAILED) {
        return conn->status;
    }
    if (!coffer__call_is(call, COFFER__CALL_OPEN)) { /* given up while a conn was looked for: its op has said that it will never be sent */
        return COFFER_ARG;
    }
    if (conn->leaving != COFFER_OK) {
        return conn->leaving;
    }
    if (!write_call(conn, call)) {
        return COFFER_NO_MEMORY;
    }
    call->conn = conn;
    atomic_store_explicit(&call->state, COFFER__CALL_SENT, memory_order_release);
    return COFFER_OK;
}

/* The calls that waited for the handshake go out. */
void coffer__conn_greeted(coffer_conn *conn) {
    uint64_t begins_at = written_bytes(conn);
    conn->state = COFFER__CONN_READY;
    coffer__wipe(conn->out.data, conn->out_taken); /* it held the password */
    if (!coffer__buf_append_slice(&conn->out, coffer__buf_slice(&conn->held))) {
        coffer_conn_fail(conn, COFFER_NO_MEMORY, NULL);
        return;
    }
    for (size_t i = 0; i < conn->due_count; i++) {
        due_at(conn, i)->begins_at = begins_at;
    }
    coffer__buf_free(&conn->held);
    coffer__log(COFFER_LOG_CONNECTED, COFFER_OK, NULL);
}

coffer_slice coffer_conn_output(const coffer_conn *conn) {
    size_t len = conn->out.len - conn->out_taken;
    return coffer_slice_of(len == 0 ? NULL : conn->out.data + conn->out_taken, len);
}

void coffer_conn_sent(coffer_conn *conn, size_t sent_bytes) {
    conn->out_taken += sent_bytes;
    conn->sent_bytes += sent_bytes;
    if (conn->out_taken < conn->out.len) {
        return;
    }
    if (conn->state == COFFER__CONN_GREETING) {
        coffer__wipe(conn->out.data, conn->out.len);
    }
    if (conn->out.cap > IDLE_KEPT_BYTES) {
        coffer__buf_free(&conn->out);
    }
    coffer__buf_clear(&conn->out);
    conn->out_taken = 0;
}

/* ---- in ------------------------------------------------------------------------------------------------------- */

/* It is no primary any more: what was sent is answered, and then the link goes. */
static bool is_demoted(const coffer_conn *conn) {
    coffer__topology *topology = conn->client->topology;
    bool demoted = conn->reply.nodes[0].type == COFFER__REPLY_ERROR && topology != NULL && coffer__topology_verifies(topology, conn->endpoint) &&
                   !conn->endpoint->replica && coffer__word_status(coffer__reply_text(&conn->reply, 0)) == COFFER_READONLY;
    if (demoted) {
        coffer__topology_refused(topology, conn->endpoint);
    }
    return demoted;
}

/* Once the call is DONE its owner may run and free it: it is not touched after that. */
static void call_replied(coffer_conn *conn, coffer_call *call) {
    bool readonly = is_demoted(conn);
    coffer_waiter *waiter = call->waiter;
    call->waiter = NULL;
    coffer__verdict verdict = coffer__call_replied(call, &conn->reply);
    if (verdict == COFFER__VERDICT_REPEAT) {
        call->waiter = waiter;
        if (write_call(conn, call)) {
            return;
        }
        call->waiter = NULL;
        coffer__call_end(call, COFFER_NO_MEMORY, NULL);
    }
    name_waiter(conn, waiter);
    if (verdict == COFFER__VERDICT_BROKEN) {
        coffer_conn_fail(conn, COFFER_PROTO, "a redirect that cannot be read");
    }
    if (readonly || verdict == COFFER__VERDICT_LEAVE) {
        conn->leaving = readonly ? COFFER_READONLY : COFFER_TRYAGAIN; /* on its next conn */
    }
}

/* One too many before it: from here on everybody would get another's reply. But an error before anything was sent is why a server hung up at once. */
static void fail_unsent(coffer_conn *conn) {
    if (conn->sent_bytes == 0 && conn->reply.nodes[0].type == COFFER__REPLY_ERROR) {
        coffer_slice said = coffer__reply_text(&conn->reply, 0);
        coffer__handshake_fail(conn, coffer__word_status(said), said);
    } else {
        coffer_conn_fail(conn, COFFER_PROTO, "a reply came before its command was sent");
    }
}

/* It may come before a reply that is due. */
static bool is_news(coffer_conn *conn) {
    return conn->hearing_rounds > 0 && conn->hearing->heard(conn, &conn->reply);
}

static coffer_status take_reply(coffer_conn *conn) {
    if (is_news(conn)) {
        return conn->status;
    }
    if (conn->due_count == 0) {
        coffer_conn_fail(conn, COFFER_PROTO, "a reply came that nobody had asked for");
        return conn->status;
    }
    if (due_at(conn, 0)->begins_at >= conn->sent_bytes) {
        fail_unsent(conn);
        return conn->status;
    }
    coffer__due due = due_pop(conn);
    if (due.kind == COFFER__DUE_CALL && due.call != NULL) {
        call_replied(conn, due.call);
    } else if (due.kind == COFFER__DUE_PING) {
        conn->hearing->replied(conn, due.kind, &conn->reply);
    } else if (due.kind != COFFER__DUE_CALL && due.kind != COFFER__DUE_ASKING) {
        coffer__handshake_replied(conn, due.kind, &conn->reply);
    }
    if (conn->leaving != COFFER_OK && conn->due_count == 0) {
        coffer_conn_fail(conn, COFFER_CLOSED, "the server sends its own keys on to itself, or is no primary any more");
    }
    return conn->status;
}

static coffer_status take_replies(coffer_conn *conn, coffer_slice frames) {
    coffer_status status = coffer__reader_feed(conn->reader, frames);
    while (status == COFFER_OK) {
        status = coffer__reader_next(conn->reader, &conn->reply);
        if (status == COFFER_OK) {
            status = take_reply(conn);
        }
    }
    return status == COFFER_AGAIN ? COFFER_OK : status;
}

/* Those that lie whole in the input. */
static coffer_status take_whole_replies(coffer_conn *conn, coffer_slice *in) {
    coffer_status status = COFFER_OK;
    while (status == COFFER_OK) {
        status = coffer__guard_take(conn->guard, in, &conn->reply);
        if (status == COFFER_OK) {
            status = take_reply(conn);
        }
    }
    return status == COFFER_AGAIN ? COFFER_OK : status;
}

/* True while there may be more in it. */
static bool take_pieces(coffer_conn *conn, coffer_slice *in) {
    coffer_slice frames;
    coffer_status status = coffer__guard_feed(conn->guard, in, &frames);
    if (status != COFFER_OK) {
        coffer_conn_fail(conn, status, coffer__guard_message(conn->guard));
        return false;
    }
    if (frames.len == 0) {
        return false;
    }
    status = take_replies(conn, frames);
    if (status != COFFER_OK) {
        coffer_conn_fail(conn, status, NULL);
    }
    return status == COFFER_OK;
}

coffer_status coffer_conn_feed(coffer_conn *conn, coffer_slice in, uint64_t now_ms) {
    conn->now_ms = now_ms;
    while (conn->state != COFFER__CONN_FAILED && take_whole_replies(conn, &in) == COFFER_OK && take_pieces(conn, &in)) {
    }
    return conn->status;
}

/* ---- ends ----------------------------------------------------------------------------------------------------- */

void coffer__conn_forget(coffer_conn *conn, coffer_call *call) {
    for (size_t i = 0; i < conn->due_count; i++) {
        if (due_at(conn, i)->call == call) {
            due_at(conn, i)->call = NULL;
            return;
        }
    }
}

/* Of a reply that breaks the protocol or the limits only the call is told that it came for: the others have lost their connection. */
static coffer_status end_of(const coffer_conn *conn, const coffer__due *due, bool is_first) {
    bool concerns = is_first || conn->state == COFFER__CONN_GREETING;
    coffer_status why = conn->status < -900 && !concerns ? COFFER_CLOSED : conn->status;
    if (due->begins_at >= conn->sent_bytes) {
        return conn->state == COFFER__CONN_GREETING || why < -900 ? why : COFFER_NOT_SENT;
    }
    return due->writes ? COFFER_MAYBE_APPLIED : why;
}

static void compose_message(coffer_conn *conn, const char *detail) {
    const char *meaning = coffer_status_text(conn->status);
    bool more = detail != NULL && detail[0] != '\0';
    snprintf(conn->message, sizeof conn->message, "%s%s%s", meaning, more ? ": " : "", more ? detail : "");
}

void coffer__conn_end(coffer_conn *conn, coffer_status why, const char *detail) {
    if (conn->state == COFFER__CONN_FAILED) {
        return;
    }
    conn->status = why;
    compose_message(conn, detail);
    coffer__conn_state was = conn->state;
    for (bool is_first = true; conn->due_count > 0; is_first = false) {
        coffer__due due = due_pop(conn);
        if (due.kind == COFFER__DUE_CALL && due.call != NULL) {
            coffer_waiter *waiter = due.call->waiter;
            due.call->waiter = NULL;
            conn->state = was;
            coffer__call_end(due.call, end_of(conn, &due, is_first), detail == NULL || detail[0] == '\0' ? coffer_status_text(why) : detail);
            name_waiter(conn, waiter);
        }
    }
    conn->state = COFFER__CONN_FAILED;
}

void coffer_conn_fail(coffer_conn *conn, coffer_status why, const char *detail) {
    if (conn->state != COFFER__CONN_FAILED) {
        coffer__log(why < -900 ? COFFER_LOG_REPLY_REFUSED : COFFER_LOG_CONNECTION_LOST, why, "%s", detail == NULL ? "" : detail);
        coffer__conn_end(conn, why, detail);
    }
}

bool coffer_conn_idle(const coffer_conn *conn) {
    return conn->state == COFFER__CONN_READY && conn->due_count == 0 && conn->out_taken == conn->out.len &&
           coffer__guard_between_replies(conn->guard);
}

bool coffer_conn_ready(const coffer_conn *conn) {
    return conn->state == COFFER__CONN_READY;
}

size_t coffer_conn_due(const coffer_conn *conn) {
    return conn->due_count;
}

coffer_status coffer_conn_status(const coffer_conn *conn) {
    return conn->status;
}

const char *coffer_conn_message(const coffer_conn *conn) {
    return conn->message;
}
