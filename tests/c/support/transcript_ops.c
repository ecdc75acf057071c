#include "transcript_ops.h"

#include "cmocka_all.h"
#include "engine/access.h"
#include "engine/channel.h"
#include "engine/client.h"
#include "near/copies.h"

#include <stdio.h>
#include <string.h>

coffer_status transcript_make_op(coffer_op **op, coffer_namespace *ns, const char *what, const transcript_op *given) {
    const coffer_slice keys[3] = {given->key, COFFER_SLICE("second"), COFFER_SLICE("third")};
    for (size_t i = 0; i < 3; i++) {
        given->items[i] = (coffer_item){keys[i], given->value, given->write.format};
    }
    const struct {
        const char *name;
        coffer_status status;
    } made[] = {
#define MAKE(word, expression) {word, strcmp(what, word) == 0 ? (expression) : COFFER_MISS}
        MAKE("get", coffer_op_get(op, ns, given->key, &given->read)),
        MAKE("set", coffer_op_set(op, ns, given->key, given->value, &given->write)),
        MAKE("add", coffer_op_add(op, ns, given->key, given->value, &given->write)),
        MAKE("replace", coffer_op_replace(op, ns, given->key, given->value, &given->write)),
        MAKE("compare_and_set", coffer_op_compare_and_set(op, ns, given->key, given->id, given->value, &given->write)),
        MAKE("delete", coffer_op_delete(op, ns, given->key, &given->read)),
        MAKE("exists", coffer_op_exists(op, ns, given->key, &given->read)),
        MAKE("ttl", coffer_op_ttl(op, ns, given->key, &given->read)),
        MAKE("expire", coffer_op_expire(op, ns, given->key, given->write.ttl_ms, &given->read)),
        MAKE("increment", coffer_op_increment(op, ns, given->key, given->delta, &given->write)),
        MAKE("counter", coffer_op_counter(op, ns, given->key, &given->read)),
        MAKE("get_many", coffer_op_get_many(op, ns, keys, 3, &given->read)),
        MAKE("set_many", coffer_op_set_many(op, ns, given->items, 3, &given->write)),
        MAKE("delete_many", coffer_op_delete_many(op, ns, keys, 3, &given->read)),
        MAKE("get_or_load", coffer_op_get_or_load(op, ns, given->key, &given->read)),
        MAKE("clear", coffer_op_clear(op, ns, &given->read)),
        MAKE("ping", coffer_op_ping(op, ns, &given->read)),
#undef MAKE
    };
    for (size_t i = 0; i < sizeof made / sizeof made[0]; i++) {
        if (strcmp(made[i].name, what) == 0) {
            return made[i].status;
        }
    }
    return COFFER_MISS;
}

uint64_t transcript_count(coffer_namespace *ns, const char *name) {
    coffer_metrics metrics = {.struct_size = sizeof metrics};
    assert_int_equal(coffer_metrics_read(ns, &metrics), COFFER_OK);
    uint64_t got = UINT64_MAX;
#define COUNTED(field, help) got = strcmp(name, #field) == 0 ? metrics.counters.field : got;
    COFFER_COUNTER_MAP(COUNTED)
#undef COUNTED
#define COUNTED(field, help) got = strcmp(name, "topology." #field) == 0 ? metrics.topology.field : got;
    COFFER_TOPOLOGY_MAP(COUNTED)
#undef COUNTED
#define COUNTED(field, help) got = strcmp(name, "near." #field) == 0 ? metrics.near.field : got;
    COFFER_NEAR_MAP(COUNTED)
#undef COUNTED
    return got;
}

const char *transcript_items(const coffer_op *op, char *out, size_t cap) {
    out[0] = '\0';
    for (size_t i = 0; i < coffer_op_count(op); i++) {
        size_t len = strlen(out);
        snprintf(out + len, cap - len, "%s%s", i == 0 ? "" : ",", coffer_status_name(coffer_op_item(op, i, NULL)));
    }
    return out;
}

void transcript_near(coffer_client *client, const char *what, coffer_slice key, uint64_t now_ms) {
    coffer__coherence *coherence = coffer__near_coherence(client->copies);
    coffer__lead lead = {.fence = (uint16_t)(atomic_load(&coherence->lead) >> 48)};
    assert_true(coffer__lead_hold(coherence, &lead, 1, now_ms));
    const coffer_endpoint scripted = {.host = {"scripted", 8}, .path = {NULL, 0}, .port = 6379};
    int channel = coffer__channel_take(coherence, &lead, coffer__node_of(&scripted));
    assert_true(channel >= 0);
    if (strcmp(what, "live") == 0) {
        assert_true(coffer__channel_heard(coherence, &lead, (unsigned)channel, now_ms, now_ms));
    } else if (strcmp(what, "vouched") == 0) {
        assert_true(coffer__channel_vouched(coherence, &lead, (unsigned)channel, now_ms));
    } else if (strcmp(what, "lost") == 0) {
        coffer__channel_lost(coherence, &lead, (unsigned)channel);
    } else {
        assert_string_equal(what, "changed");
        coffer__near_drop(client->copies, key);
    }
}

coffer_conn *transcript_connect(coffer_client *client, const coffer_endpoint *at, bool listens, uint64_t now_ms) {
    static const coffer_endpoint somewhere = {.port = 6379};
    coffer_conn *conn = NULL;
    assert_int_equal(coffer_conn_new(&conn, client, at != NULL ? at : &somewhere, now_ms), COFFER_OK);
    if (listens) {
        coffer__conn_listen(conn);
    }
    return conn;
}

const char *transcript_state(const coffer_conn *conn) {
    return coffer_conn_status(conn) != COFFER_OK ? coffer_status_name(coffer_conn_status(conn))
           : coffer_conn_idle(conn)              ? "IDLE"
           : coffer_conn_ready(conn)             ? "READY"
                                                 : "GREETING";
}

const coffer_endpoint *transcript_announcer(const coffer_client *client, const char *host) {
    const coffer_endpoint *first = coffer__client_announcer(client, 0), *one = first;
    assert_non_null(first);
    for (size_t turn = 1; !coffer_slice_equal(one->host, coffer_slice_text(host)); turn++) {
        one = coffer__client_announcer(client, turn);
        assert_ptr_not_equal(one, first); /* that is all of them */
    }
    return one;
}
