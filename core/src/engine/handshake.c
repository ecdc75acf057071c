/* The first words on a connection.
 *
 *     HELLO 2 [AUTH user password] SETNAME name    one command that logs in; never HELLO 3
 *     SELECT db                                    where it is not 0
 *     TIME                                         the server's clock; may be refused
 *     READONLY                                     to a cluster's node that is read from as a replica
 *     INFO server                                  where the options name an availability zone: its own, if HELLO does not tell (Valkey 8.0); may be refused
 *
 * A sentinel gets the HELLO alone, with its own credentials. And where sentinels named the server, what HELLO answers for "role" must be "master" before
 * any call goes out; or "replica" or "slave", where it is one to read from. Who hears what comes unasked (coffer__hearing)
 * says what it has to say for that when all else is said: nothing else may follow a SUBSCRIBE.
 *
 * A server that does not know HELLO (before 6.0), or forbids it, gets AUTH, CLIENT SETNAME, SELECT and TIME instead; what it said to the SELECT and
 * TIME of the first round is ignored. Calls are kept back until all of this has succeeded.
 */
#include "conn.h"

#include "base/log.h"
#include "replicas.h"

#include <stdio.h>

static coffer_slice user_of(const coffer_conn *conn) {
    return conn->username.len > 0 ? coffer__buf_slice(&conn->username) : coffer_slice_text("default");
}

static bool say_hello(coffer_conn *conn, const coffer_options *options) {
    coffer_slice words[7] = {COFFER_SLICE("HELLO"), COFFER_SLICE("2")};
    size_t count = 2;
    if (conn->password.len > 0) {
        words[count++] = COFFER_SLICE("AUTH");
        words[count++] = user_of(conn);
        words[count++] = coffer__buf_slice(&conn->password);
    }
    if (options->client_name[0] != '\0') {
        words[count++] = COFFER_SLICE("SETNAME");
        words[count++] = coffer_slice_text(options->client_name);
    }
    return coffer__conn_command(conn, COFFER__DUE_HELLO, words, count);
}

static bool say_readonly(coffer_conn *conn) {
    const coffer_slice words[] = {COFFER_SLICE("READONLY")};
    bool reads = conn->endpoint != NULL && conn->endpoint->replica && coffer__topology_is_routed(conn->client->topology);
    return !reads || coffer__conn_command(conn, COFFER__DUE_READONLY, words, 1);
}

static bool say_info(coffer_conn *conn, const coffer_options *options) {
    const coffer_slice words[] = {COFFER_SLICE("INFO"), COFFER_SLICE("server")};
    bool asks = conn->client->reads_elsewhere && options->availability_zone[0] != '\0';
    return !asks || coffer__conn_command(conn, COFFER__DUE_INFO, words, 2);
}

static bool say_select_and_time(coffer_conn *conn, const coffer_options *options) {
    if (conn->is_sentinel) {
        return true;
    }
    if (options->db != 0) {
        char number[24];
        snprintf(number, sizeof number, "%llu", (unsigned long long)options->db);
        const coffer_slice select[] = {COFFER_SLICE("SELECT"), coffer_slice_text(number)};
        if (!coffer__conn_command(conn, COFFER__DUE_SELECT, select, 2)) {
            return false;
        }
    }
    const coffer_slice time[] = {COFFER_SLICE("TIME")};
    return coffer__conn_command(conn, COFFER__DUE_TIME, time, 1) && say_readonly(conn) && say_info(conn, options);
}

static bool say_auth(coffer_conn *conn) {
    if (conn->password.len == 0) {
        return true;
    }
    coffer_slice words[3] = {COFFER_SLICE("AUTH")};
    size_t count = 1;
    if (conn->username.len > 0) {
        words[count++] = user_of(conn);
    }
    words[count++] = coffer__buf_slice(&conn->password);
    return coffer__conn_command(conn, COFFER__DUE_AUTH, words, count);
}

static bool say_name(coffer_conn *conn, const coffer_options *options) {
    const coffer_slice words[] = {COFFER_SLICE("CLIENT"), COFFER_SLICE("SETNAME"), coffer_slice_text(options->client_name)};
    return options->client_name[0] == '\0' || coffer__conn_command(conn, COFFER__DUE_IGNORED, words, 3);
}

bool coffer__handshake_begin(coffer_conn *conn) {
    const coffer_options *options = coffer_client_options(conn->client);
    return say_hello(conn, options) && say_select_and_time(conn, options);
}

/* What is still due of the first round no longer counts. */
static void ignore_what_is_due(coffer_conn *conn) {
    for (size_t i = 0; i < conn->due_count; i++) {
        coffer__due *due = &conn->due[(conn->due_first + i) & (conn->due_cap - 1)];
        if (due->kind != COFFER__DUE_CALL && due->kind != COFFER__DUE_ASKING) {
            due->kind = COFFER__DUE_IGNORED;
        }
    }
}

static void fall_back(coffer_conn *conn) {
    const coffer_options *options = coffer_client_options(conn->client);
    conn->fallback = true;
    ignore_what_is_due(conn);
    if (!say_auth(conn) || !say_name(conn, options) || !say_select_and_time(conn, options)) {
        coffer_conn_fail(conn, COFFER_NO_MEMORY, NULL);
    }
}

static bool begins_with(coffer_slice text, const char *start) {
    size_t len = strlen(start);
    return text.len >= len && memcmp(text.data, start, len) == 0;
}

/* What the server said goes into messages, but not where it repeats the password, nor its control bytes. */
void coffer__handshake_fail_as(coffer_conn *conn, coffer_log_event event, coffer_status status, coffer_slice text) {
    char said[200] = "";
    bool tells = coffer__words_tell(text, coffer__buf_slice(&conn->password));
    coffer_slice kept = coffer__words_kept(text, NULL, 0);
    for (size_t i = 0; !tells && i < kept.len && i < sizeof said - 1; i++) {
        uint8_t byte = (uint8_t)kept.data[i];
        said[i] = (char)(byte < 0x20 || byte >= 0x7F ? ' ' : byte);
    }
    coffer__log(event, status, NULL);
    coffer__conn_end(conn, status, said);
}

void coffer__handshake_fail(coffer_conn *conn, coffer_status status, coffer_slice text) {
    coffer__handshake_fail_as(conn, COFFER_LOG_GREETING_REFUSED, status, text);
}

static void hello_refused(coffer_conn *conn, coffer_slice text) {
    coffer_status status = coffer__word_status(text);
    if (begins_with(text, "ERR unknown command") || status == COFFER_NOPERM || begins_with(text, "NOPROTO")) {
        fall_back(conn);
        return;
    }
    coffer__handshake_fail(conn, status, text);
}

/* TIME answers [seconds, microseconds] as text. The moment it speaks of is taken to be the middle of the round trip. */
static void learn_time(coffer_conn *conn, const coffer__reply *reply) {
    uint64_t parts[2] = {0, 0};
    if (reply->node_count != 3) {
        return;
    }
    for (size_t part = 0; part < 2; part++) {
        coffer_slice text = coffer__reply_text(reply, part + 1);
        if (text.len == 0 || text.len > 12) {
            return;
        }
        for (size_t i = 0; i < text.len; i++) {
            if (text.data[i] < '0' || text.data[i] > '9') {
                return;
            }
            parts[part] = parts[part] * 10 + (uint64_t)(text.data[i] - '0');
        }
    }
    coffer__client_learn_time(conn->client, conn->started_ms + (conn->now_ms - conn->started_ms) / 2, parts[0] * 1000 + parts[1] / 1000);
}

/* HELLO 2 answers a row of names and values: "server", "redis", "version", "7.0.15" ... */
static void learn_version(coffer_conn *conn, const coffer__reply *reply) {
    coffer_slice name = COFFER_SLICE("server"), version = {NULL, 0};
    for (size_t i = 1; i + 1 < reply->node_count && i < 6; i += 2) {
        coffer_slice field = coffer__reply_text(reply, i);
        if (coffer_slice_equal(field, COFFER_SLICE("server"))) {
            name = coffer__reply_text(reply, i + 1);
        } else if (coffer_slice_equal(field, COFFER_SLICE("version"))) {
            version = coffer__reply_text(reply, i + 1);
        }
    }
    if (version.len > 0 && conn->endpoint != NULL) {
        coffer__watch_learn_version(conn->client->watch, conn->endpoint, name, version);
    }
}

/* What HELLO says by this name; empty where it does not. */
static coffer_slice field_of(const coffer__reply *reply, coffer_slice name) {
    for (size_t i = 1; i + 1 < reply->node_count; i = coffer__reply_after(reply, i + 1)) {
        if (coffer_slice_equal(coffer__reply_text(reply, i), name)) {
            return coffer__reply_text(reply, i + 1);
        }
    }
    return coffer_slice_of(NULL, 0);
}

/* Sentinels may name a server that is no primary yet, or not any more; or no replica. One that does not say is believed. */
static void verify_role(coffer_conn *conn, const coffer__reply *reply) {
    coffer__topology *topology = conn->client->topology;
    coffer_slice role = field_of(reply, COFFER_SLICE("role"));
    if (topology == NULL || role.len == 0 || !coffer__topology_verifies(topology, conn->endpoint)) {
        return;
    }
    bool is_master = coffer_slice_equal(role, COFFER_SLICE("master"));
    bool is_replica = coffer_slice_equal(role, COFFER_SLICE("replica")) || coffer_slice_equal(role, COFFER_SLICE("slave"));
    if (conn->endpoint->replica && !is_replica) {
        coffer__handshake_fail(conn, COFFER_CONNECT, COFFER_SLICE("the sentinels named it as a replica, and it says that it is none"));
    } else if (!conn->endpoint->replica && !is_master) {
        coffer__topology_refused(topology, conn->endpoint);
        coffer__handshake_fail(conn, COFFER_READONLY, COFFER_SLICE("the sentinels named it, and it says that it is no master"));
    }
}

/* How long its first word took, for those who choose by it; and its zone, where HELLO tells (Valkey 8.1). */
static void learn_place(coffer_conn *conn, const coffer__reply *reply) {
    coffer_client *client = conn->client;
    coffer__server *server =
        conn->endpoint == NULL || conn->is_sentinel || !client->reads_elsewhere ? NULL : coffer__watch_server(client->watch, conn->endpoint);
    if (server == NULL) {
        return;
    }
    coffer__replicas_greeted(server, conn->now_ms - conn->started_ms, conn->now_ms);
    coffer_slice zone = field_of(reply, COFFER_SLICE("availability_zone"));
    conn->zone_told = zone.len > 0;
    if (conn->zone_told) {
        coffer__watch_learn_zone(client->watch, conn->endpoint, zone, coffer_slice_text(client->options->availability_zone));
    }
}

/* INFO answers lines of name:value. */
static coffer_slice line_of(coffer_slice text, coffer_slice name) {
    for (size_t from = 0, to; from < text.len; from = to + 1) {
        for (to = from; to < text.len && text.data[to] != '\n'; to++) {
        }
        coffer_slice line = coffer_slice_of(text.data + from, to - from);
        line.len -= line.len > 0 && line.data[line.len - 1] == '\r';
        if (line.len > name.len && memcmp(line.data, name.data, name.len) == 0) {
            return coffer_slice_of(line.data + name.len, line.len - name.len);
        }
    }
    return coffer_slice_of(NULL, 0);
}

static void learn_info(coffer_conn *conn, const coffer__reply *reply, bool refused) {
    coffer_slice text = refused ? coffer_slice_of(NULL, 0) : coffer__reply_text(reply, 0);
    if (conn->endpoint != NULL && !conn->zone_told) {
        coffer__watch_learn_zone(conn->client->watch, conn->endpoint, line_of(text, COFFER_SLICE("availability_zone:")),
                                 coffer_slice_text(conn->client->options->availability_zone));
    }
}

/* Without it every read would be sent on to the primary. */
static void readonly_refused(coffer_conn *conn, coffer_slice text) {
    coffer__server *server = coffer__watch_server(conn->client->watch, conn->endpoint);
    coffer_status status = coffer__word_status(text);
    if (status == COFFER_NOPERM && server != NULL) {
        coffer__server_forbids(server, "READONLY");
        atomic_store_explicit(&server->unreadable, true, memory_order_relaxed);
    }
    coffer__handshake_fail(conn, status, text);
}

static void time_refused(coffer_conn *conn, coffer_slice text) {
    coffer__server *server = conn->endpoint == NULL ? NULL : coffer__watch_server(conn->client->watch, conn->endpoint);
    coffer_status status = coffer__word_status(text);
    if (status == COFFER_AUTH) {
        coffer__handshake_fail(conn, COFFER_AUTH, text); /* an old server that wants a password and was given none */
    } else if (status == COFFER_NOPERM && server != NULL) {
        coffer__server_forbids(server, "TIME");
    }
}

/* True where more was said, which is still to be answered. */
static bool says_more(coffer_conn *conn) {
    size_t due_before = conn->due_count;
    if (conn->hearing == NULL || !conn->hearing->greet(conn, conn->hearing_rounds++)) {
        return false;
    }
    if (conn->due_count == due_before) {
        coffer_conn_fail(conn, COFFER_NO_MEMORY, NULL);
    }
    return true;
}

void coffer__handshake_replied(coffer_conn *conn, coffer__due_kind kind, const coffer__reply *reply) {
    bool refused = reply->nodes[0].type == COFFER__REPLY_ERROR;
    coffer_slice text = coffer__reply_text(reply, 0);
    conn->greetings_due--;
    if (kind == COFFER__DUE_HELLO && refused) {
        hello_refused(conn, text);
    } else if (kind == COFFER__DUE_HEARING) {
        conn->hearing->replied(conn, kind, reply);
    } else if ((kind == COFFER__DUE_AUTH || kind == COFFER__DUE_SELECT) && refused) {
        coffer__handshake_fail(conn, kind == COFFER__DUE_AUTH ? COFFER_AUTH : coffer__word_status(text), text);
    } else if (kind == COFFER__DUE_TIME && !refused) {
        learn_time(conn, reply);
    } else if (kind == COFFER__DUE_TIME) {
        time_refused(conn, text);
    } else if (kind == COFFER__DUE_HELLO) {
        learn_version(conn, reply);
        learn_place(conn, reply);
        verify_role(conn, reply);
    } else if (kind == COFFER__DUE_READONLY && refused) {
        readonly_refused(conn, text);
    } else if (kind == COFFER__DUE_INFO) {
        learn_info(conn, reply, refused);
    }
    if (conn->state == COFFER__CONN_GREETING && conn->greetings_due == 0 && !says_more(conn)) {
        coffer__buf_wipe(&conn->username);
        coffer__buf_wipe(&conn->password);
        coffer__conn_greeted(conn);
    }
}
