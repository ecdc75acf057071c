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

void coffer__conn_listen(coffer_conn *conn) {
    conn->listens = true;
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
