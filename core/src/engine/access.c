#include "access.h"

#include "conn.h"
#include "engine.h"

#include <stdio.h>

coffer_namespace *coffer__op_namespace(const coffer_op *op) {
    return op->ns;
}

coffer_waiter *coffer__op_waiter(const coffer_op *op) {
    return op->waiter;
}

const coffer_endpoint *coffer__client_announcer(const coffer_client *client, size_t turn) {
    return client->topology == NULL ? NULL : coffer__topology_announcer(client->topology, turn);
}

bool coffer__client_is_sentinel(const coffer_client *client, const coffer_endpoint *endpoint) {
    return client->topology != NULL && coffer__topology_is_sentinel(client->topology, endpoint);
}

static bool say_subscribe(coffer_conn *conn, unsigned round) {
    const coffer_slice words[] = {COFFER_SLICE("SUBSCRIBE"), COFFER_SLICE("+switch-master")};
    if (round == 0) {
        (void)coffer__conn_command(conn, COFFER__DUE_HEARING, words, 2);
    }
    return round == 0;
}

static void subscribed(coffer_conn *conn, coffer__due_kind kind, const coffer__reply *reply) {
    (void)kind;
    if (reply->nodes[0].type == COFFER__REPLY_ERROR) {
        coffer_slice text = coffer__reply_text(reply, 0);
        coffer__handshake_fail(conn, coffer__word_status(text), text);
    }
}

static bool heard_announcement(coffer_conn *conn, const coffer__reply *message) {
    return coffer__topology_announced(conn->client->topology, conn->endpoint, message, conn->now_ms);
}

void coffer__conn_listen(coffer_conn *conn) {
    static const coffer__hearing announcements = {.greet = say_subscribe, .replied = subscribed, .heard = heard_announcement};
    conn->hearing = &announcements;
}

const char *coffer_endpoint_name(const coffer_endpoint *endpoint, char *out, size_t cap) {
    bool six = endpoint->host.len > 0 && memchr(endpoint->host.data, ':', endpoint->host.len) != NULL;
    if (endpoint->path.len > 0) {
        snprintf(out, cap, "%.*s", (int)endpoint->path.len, endpoint->path.data);
    } else {
        snprintf(out, cap, "%s%.*s%s:%u", six ? "[" : "", (int)endpoint->host.len, endpoint->host.data, six ? "]" : "", (unsigned)endpoint->port);
    }
    return out;
}
