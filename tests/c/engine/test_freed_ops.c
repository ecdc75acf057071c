/* Ops freed at random moments, conns shared by many of them, bytes cut at random: every op that ends has the value of its own key.
 * The server is a few lines here: it answers GET k with a value made from k, in order, late and in pieces. */
#include "base/buf.h"
#include "support/cmocka_all.h"
#include <coffer/coffer.h>

enum { CONNS = 4, OPS = 64, STEPS = 60000 };

static uint64_t seed = 42;

static size_t dice(size_t sides) { /* xorshift64: the same run each time */
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (size_t)(seed % sides);
}

typedef struct scripted {
    coffer_conn *conn;
    coffer__buf received;
    coffer__buf answers;
} scripted;

typedef struct asking {
    coffer_op *op;
    unsigned key;
} asking;

static void append(coffer__buf *buf, const char *text) {
    assert_true(coffer__buf_append(buf, text, strlen(text)));
}

static void make_value(char *out, size_t cap, unsigned key) {
    snprintf(out, cap, "value of %u, %.*s", key, (int)(key % 50), "..................................................");
}

/* One whole command off the front, or nothing. */
static bool answer_one(scripted *s) {
    if (s->received.len == 0) {
        return false;
    }
    char *at = s->received.data;
    unsigned long count = strtoul(at + 1, &at, 10);
    char words[8][64];
    at += 2;
    for (unsigned long i = 0; i < count; i++) {
        size_t len = strtoul(at + 1, &at, 10);
        assert_true(len < sizeof words[0]);
        memcpy(words[i], at + 2, len);
        words[i][len] = '\0';
        at += 2 + len + 2;
    }
    coffer__buf_consume(&s->received, (size_t)(at - s->received.data));
    if (strcmp(words[0], "GET") == 0) {
        char value[128], reply[200];
        make_value(value, sizeof value, (unsigned)strtoul(strrchr(words[1], ':') + 1, NULL, 10));
        snprintf(reply, sizeof reply, "$%zu\r\n%s\r\n", strlen(value), value);
        append(&s->answers, reply);
    } else {
        append(&s->answers, strcmp(words[0], "TIME") == 0 ? "*2\r\n$1\r\n1\r\n$1\r\n0\r\n" : "+OK\r\n");
    }
    return true;
}

static void write_some(scripted *s) {
    coffer_slice out = coffer_conn_output(s->conn);
    if (out.len == 0) {
        return;
    }
    assert_true(coffer__buf_append(&s->received, out.data, out.len));
    coffer_conn_sent(s->conn, out.len);
    while (answer_one(s)) {
    }
}

static void read_some(scripted *s, uint64_t now_ms) {
    if (s->answers.len == 0) {
        return;
    }
    size_t take = 1 + dice(s->answers.len);
    assert_int_equal(coffer_conn_feed(s->conn, coffer_slice_of(s->answers.data, take), now_ms), COFFER_OK);
    coffer__buf_consume(&s->answers, take);
    coffer_waiter *waiter;
    while ((waiter = coffer_conn_pop_ready(s->conn)) != NULL) {
        coffer_waiter_free(waiter);
    }
}

static void begin(asking *one, coffer_namespace *ns, scripted *conns) {
    char key[16];
    coffer_action action;
    one->key = (unsigned)dice(100000);
    snprintf(key, sizeof key, "%u", one->key);
    assert_int_equal(coffer_op_get(&one->op, ns, coffer_slice_text(key), NULL), COFFER_OK);
    while (coffer_op_next(one->op, 0, &action) == COFFER_WANT_CALL) {
        assert_int_equal(coffer_call_send(action.call, conns[dice(CONNS)].conn), COFFER_OK);
    }
}

static bool look(asking *one) {
    coffer_action action;
    if (coffer_op_next(one->op, 0, &action) != COFFER_WANT_DONE) {
        return false;
    }
    char expected[128];
    make_value(expected, sizeof expected, one->key);
    const coffer_value *value = coffer_op_value(one->op);
    assert_int_equal(coffer_op_status(one->op), COFFER_OK);
    assert_int_equal(value->data.len, strlen(expected));
    assert_memory_equal(value->data.data, expected, value->data.len);
    return true;
}

static void test_nobody_gets_another_ones_reply(void **state) {
    (void)state;
    coffer_options *options = coffer_options_new();
    coffer_client *client;
    coffer_namespace *ns;
    coffer_error error;
    assert_int_equal(coffer_options_set_url(options, COFFER_SLICE("redis://scripted?raw=true"), &error), COFFER_OK);
    assert_int_equal(coffer_client_new(&client, options, (coffer_clock){0, 0}, &error), COFFER_OK);
    assert_int_equal(coffer_namespace_new(&ns, client, NULL, &error), COFFER_OK);
    scripted conns[CONNS];
    memset(conns, 0, sizeof conns);
    const coffer_endpoint endpoint = {.port = 1};
    for (size_t i = 0; i < CONNS; i++) {
        assert_int_equal(coffer_conn_new(&conns[i].conn, client, &endpoint, 0), COFFER_OK);
    }
    asking ops[OPS];
    memset(ops, 0, sizeof ops);
    size_t ended = 0, freed = 0;
    for (size_t step = 0; step < STEPS; step++) {
        scripted *s = &conns[dice(CONNS)];
        asking *one = &ops[dice(OPS)];
        if (dice(3) == 0) {
            write_some(s);
        }
        if (dice(3) == 0) {
            read_some(s, 0);
        }
        if (one->op == NULL) {
            begin(one, ns, conns);
        } else if (look(one) || dice(5) == 0) {
            ended += coffer_op_status(one->op) == COFFER_OK && coffer_op_value(one->op)->data.len > 0;
            coffer_op_free(one->op);
            one->op = NULL;
            freed++;
        }
    }
    assert_true(ended > 1000 && freed - ended > 1000);
    for (size_t i = 0; i < OPS; i++) {
        coffer_op_free(ops[i].op);
    }
    for (size_t i = 0; i < CONNS; i++) {
        for (size_t round = 0; !coffer_conn_idle(conns[i].conn) && round < 100000; round++) {
            write_some(&conns[i]);
            read_some(&conns[i], 0);
        }
        assert_true(coffer_conn_idle(conns[i].conn));
        coffer_conn_free(conns[i].conn);
        coffer__buf_free(&conns[i].received);
        coffer__buf_free(&conns[i].answers);
    }
    coffer_namespace_free(ns);
    coffer_client_free(client);
    coffer_options_free(options);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_nobody_gets_another_ones_reply)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
