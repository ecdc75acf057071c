/* conn: bytes <-> replies, in order.
 *
 *      calls -> [held until the handshake succeeded] -> out -> the driver writes it
 *                         due:  | HELLO | SELECT | TIME | call | (gone) | call |     a reply each, in this order
 *      the driver reads -> guard -> reader -> reply of the first that is due
 *
 * A call whose op was freed stays in the row as a tombstone: its reply is read and dropped.
 */
#ifndef COFFER_ENGINE_CONN_H
#define COFFER_ENGINE_CONN_H

#include "base/buf.h"
#include "call.h"
#include "client.h"
#include "resp/guard.h"
#include "resp/reader.h"
#include <coffer/hooks.h>

typedef enum coffer__due_kind {
    COFFER__DUE_CALL,
    COFFER__DUE_HELLO,
    COFFER__DUE_AUTH,
    COFFER__DUE_SELECT,
    COFFER__DUE_TIME,
    COFFER__DUE_HEARING, /* of its greeting */
    COFFER__DUE_PING, /* of a conn that hears */
    COFFER__DUE_READONLY,
    COFFER__DUE_INFO,
    COFFER__DUE_ASKING, /* the call behind it has the answer that matters */
    COFFER__DUE_IGNORED /* whatever it says */
} coffer__due_kind;

typedef struct coffer__due {
    coffer__due_kind kind;
    coffer_call *call; /* DUE_CALL: NULL is a tombstone */
    bool writes; /* of the call, kept for when it is gone */
    uint64_t begins_at; /* in the stream of bytes sent; from `held`, UINT64_MAX */
} coffer__due;

typedef enum coffer__conn_state { COFFER__CONN_GREETING, COFFER__CONN_READY, COFFER__CONN_FAILED } coffer__conn_state;

/* What a conn is for that takes no calls: it says more when all else of the greeting is said, one round after the other, and hears what comes unasked. */
typedef struct coffer__hearing {
    bool (*greet)(coffer_conn *conn, unsigned round); /* says it by coffer__conn_command (DUE_HEARING); false: that was all */
    void (*replied)(coffer_conn *conn, coffer__due_kind kind, const coffer__reply *reply); /* to that, and to coffer__conn_ping */
    bool (*heard)(coffer_conn *conn, const coffer__reply *message); /* false: it is nothing that comes unasked */
} coffer__hearing;

struct coffer_conn {
    coffer_client *client;
    const coffer_endpoint *endpoint; /* lent by the client */
    coffer__conn_state state;
    coffer_status status;
    coffer__buf out;
    size_t out_taken; /* of `out`, this much is with the kernel */
    uint64_t sent_bytes; /* since the start */
    coffer__buf held;
    coffer__due *due; /* a ring: cap is a power of two */
    size_t due_first, due_count, due_cap;
    coffer_waiter **ready; /* a stack of references */
    size_t ready_count, ready_cap;
    coffer__guard *guard;
    coffer__reader *reader;
    coffer__reply reply;
    uint64_t started_ms, now_ms;
    coffer__buf username, password; /* to log in with; wiped when that is over */
    unsigned greetings_due; /* replies of the handshake still to come */
    bool fallback; /* the server does not know HELLO */
    bool is_sentinel; /* only asked who the primary is */
    const coffer__hearing *hearing; /* NULL: it is for calls */
    void *hearer; /* whose it is then */
    unsigned hearing_rounds; /* begun */
    bool zone_told; /* by HELLO */
    coffer_status leaving; /* not OK: what a new call is told; the conn takes none, and is closed when nothing is due any more */
    char message[400];
};

/* handshake.c: writes the first output; takes a reply; */
bool coffer__handshake_begin(coffer_conn *conn);
void coffer__handshake_replied(coffer_conn *conn, coffer__due_kind kind, const coffer__reply *reply);
/* The conn fails, with as much of the server's words as may be shown. */
void coffer__handshake_fail(coffer_conn *conn, coffer_status status, coffer_slice text);
void coffer__handshake_fail_as(coffer_conn *conn, coffer_log_event event, coffer_status status, coffer_slice text); /* what the log is told */

/* conn.c, for the handshake: a command into the output with its place in the row. False where memory is short. */
bool coffer__conn_command(coffer_conn *conn, coffer__due_kind kind, const coffer_slice *arguments, size_t count);
bool coffer__conn_ping(coffer_conn *conn); /* of a conn that hears and is ready; DUE_PING */
void coffer__conn_greeted(coffer_conn *conn);
void coffer__conn_end(coffer_conn *conn, coffer_status why, const char *detail); /* coffer_conn_fail that logs nothing */

#endif
