/* Every allocation failed once, and from then on, in a scenario of every operation over a conn. The server is a few lines here, with memory of its own:
 * it does not know HELLO, nor any script before it was told its text. A read that succeeds gives the value of its key, whatever ran dry before. */
#include "engine/channel.h"
#include "engine/client.h"
#include "support/cmocka_all.h"
#include "support/watched_alloc.h"
#include <coffer/coffer.h>

enum { MOST_WORDS = 16, WORD_BYTES = 8192, ROWS = 4 };

typedef struct row {
    char key[64];
    char value[WORD_BYTES];
    size_t len; /* 0: free */
} row;

typedef struct server {
    row rows[ROWS];
    char words[MOST_WORDS][WORD_BYTES];
    size_t lens[MOST_WORDS];
    size_t count;
    char in[1 << 16], out[1 << 16];
    size_t in_len, out_len;
} server;

static server srv;
static coffer_client *client;
static coffer_namespace *ns;
static coffer_conn *conn;
static size_t failed_count; /* ops that ended with an error */

/* ---- the server ---- */

static void say(const char *text) {
    memcpy(srv.out + srv.out_len, text, strlen(text));
    srv.out_len += strlen(text);
}

static row *row_of(const char *key, bool make) {
    row *unused = NULL;
    for (size_t i = 0; i < ROWS; i++) {
        if (srv.rows[i].len > 0 && strcmp(srv.rows[i].key, key) == 0) {
            return &srv.rows[i];
        }
        unused = srv.rows[i].len == 0 ? &srv.rows[i] : unused;
    }
    if (make) {
        snprintf(unused->key, sizeof unused->key, "%.63s", key);
    }
    return make ? unused : NULL;
}

static void say_row(const char *key) {
    char header[32];
    const row *found = row_of(key, false);
    if (found == NULL) {
        say("$-1\r\n");
        return;
    }
    snprintf(header, sizeof header, "$%zu\r\n", found->len);
    say(header);
    memcpy(srv.out + srv.out_len, found->value, found->len);
    srv.out_len += found->len;
    say("\r\n");
}

static void store(const char *key, size_t word) {
    row *to = row_of(key, true);
    memcpy(to->value, srv.words[word], srv.lens[word]);
    to->len = srv.lens[word];
}

static void do_set(void) {
    bool nx = strcmp(srv.words[srv.count - 1], "NX") == 0;
    if (nx && row_of(srv.words[1], false) != NULL) {
        say("$-1\r\n");
        return;
    }
    store(srv.words[1], 2);
    say("+OK\r\n");
}

static void do_mget(void) {
    char header[16];
    snprintf(header, sizeof header, "*%zu\r\n", srv.count - 1);
    say(header);
    for (size_t i = 1; i < srv.count; i++) {
        say_row(srv.words[i]);
    }
}

static void do_unlink(void) {
    char answer[16];
    unsigned gone = 0;
    for (size_t i = 1; i < srv.count; i++) {
        row *found = row_of(srv.words[i], false);
        gone += found != NULL;
        if (found != NULL) {
            found->len = 0;
        }
    }
    snprintf(answer, sizeof answer, ":%u\r\n", gone);
    say(answer);
}

static void do_eval(void) {
    if (srv.count == 6) {
        say("$1\r\n5\r\n"); /* add */
        return;
    }
    store(srv.words[3], 6);
    say(":1\r\n");
}

/* Two pages, of which the first holds all. */
static void do_scan(void) {
    char header[128];
    unsigned count = 0;
    bool first = strcmp(srv.words[1], "0") == 0;
    for (size_t i = 0; first && i < ROWS; i++) {
        count += srv.rows[i].len > 0;
    }
    snprintf(header, sizeof header, "*2\r\n$1\r\n%u\r\n*%u\r\n", first ? 7 : 0, count);
    say(header);
    for (size_t i = 0; first && i < ROWS; i++) {
        if (srv.rows[i].len > 0) {
            snprintf(header, sizeof header, "$%zu\r\n%s\r\n", strlen(srv.rows[i].key), srv.rows[i].key);
            say(header);
        }
    }
}

static void do_get(void) {
    say_row(srv.words[1]);
}

static void carry_out(void) {
    static const struct {
        const char *name;
        const char *answer;
        void (*act)(void);
    } commands[] = {
        {"HELLO", "-ERR unknown command 'HELLO'\r\n", NULL},
        {"TIME", "*2\r\n$10\r\n1700000000\r\n$1\r\n0\r\n", NULL},
        {"EVALSHA", "-NOSCRIPT No matching script.\r\n", NULL},
        {"PTTL", ":1000\r\n", NULL},
        {"PEXPIRE", ":1\r\n", NULL},
        {"SET", NULL, do_set},
        {"GET", NULL, do_get},
        {"MGET", NULL, do_mget},
        {"UNLINK", NULL, do_unlink},
        {"SCAN", NULL, do_scan},
        {"EVAL", NULL, do_eval},
    };
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(srv.words[0], commands[i].name) == 0) {
            if (commands[i].act != NULL) {
                commands[i].act();
            } else {
                say(commands[i].answer);
            }
            return;
        }
    }
    say("+OK\r\n");
}

/* All of them are whole: the driver below writes everything at once. */
static void answer_all(void) {
    for (char *at = srv.in; at < srv.in + srv.in_len;) {
        srv.count = strtoul(at + 1, &at, 10);
        at += 2;
        assert_true(srv.count <= MOST_WORDS);
        for (size_t i = 0; i < srv.count; i++) {
            size_t len = srv.lens[i] = strtoul(at + 1, &at, 10);
            assert_true(len < WORD_BYTES);
            memcpy(srv.words[i], at + 2, len);
            srv.words[i][len] = '\0';
            at += 2 + len + 2;
        }
        carry_out();
    }
    srv.in_len = 0;
}

/* ---- the driver ---- */

static void exchange(void) {
    coffer_slice out = coffer_conn_output(conn);
    assert_true(srv.in_len + out.len <= sizeof srv.in);
    memcpy(srv.in + srv.in_len, out.data, out.len);
    srv.in_len += out.len;
    coffer_conn_sent(conn, out.len);
    answer_all();
    size_t len = srv.out_len;
    srv.out_len = 0;
    coffer_conn_feed(conn, coffer_slice_of(srv.out, len), 2);
    coffer_waiter *waiter;
    while ((waiter = coffer_conn_pop_ready(conn)) != NULL) {
        coffer_waiter_free(waiter);
    }
}

static void send(coffer_call *call) {
    static const coffer_endpoint endpoint = {.port = 6379};
    if (conn != NULL && coffer_conn_status(conn) != COFFER_OK) {
        coffer_conn_free(conn);
        conn = NULL;
    }
    coffer_status status = conn != NULL ? COFFER_OK : coffer_conn_new(&conn, client, &endpoint, 2);
    status = status == COFFER_OK ? coffer_call_send(call, conn) : status;
    if (status != COFFER_OK) {
        coffer_call_fail(call, status, "no memory for a conn");
    }
}

static bool is_expected(coffer_status status) {
    return status >= 0 || status == COFFER_NO_MEMORY || status == COFFER_NOT_SENT || status == COFFER_MAYBE_APPLIED;
}

static coffer_status run(coffer_status made, coffer_op *op) {
    coffer_action action;
    coffer_want want;
    if (made != COFFER_OK) {
        assert_int_equal(made, COFFER_NO_MEMORY);
        assert_null(op);
        return made;
    }
    while ((want = coffer_op_next(op, 2, &action)) != COFFER_WANT_DONE) {
        if (want == COFFER_WANT_CALL) {
            send(action.call);
        } else if (want == COFFER_WANT_LOAD) {
            coffer_op_supply(op, COFFER_SLICE("loaded"), NULL, 1);
        } else {
            assert_int_equal(want, COFFER_WANT_REPLY);
            exchange();
        }
    }
    assert_true(coffer_op_status(op) != COFFER_NO_MEMORY || strstr(coffer_op_message(op), "memory") != NULL);
    failed_count += coffer_op_status(op) < 0;
    if (!is_expected(coffer_op_status(op))) {
        fail_msg("%s", coffer_op_message(op));
    }
    return coffer_op_status(op);
}

#define RUN(name, ...)                                                                                                                               \
    do {                                                                                                                                             \
        coffer_op *op_ = NULL;                                                                                                                       \
        coffer_status made_ = coffer_op_##name(&op_, ns, __VA_ARGS__);                                                                               \
        run(made_, op_);                                                                                                                             \
        coffer_op_free(op_);                                                                                                                         \
    } while (0)

static char text[3000];

static void read_back(coffer_slice key, char first) {
    coffer_op *op = NULL;
    coffer_status made = coffer_op_get(&op, ns, key, NULL);
    if (run(made, op) == COFFER_OK) {
        coffer_slice data = coffer_op_value(op)->data;
        assert_true(data.len > 0 && data.data[0] == first);
    }
    coffer_op_free(op);
}

static void read_both(const coffer_slice keys[2]) {
    coffer_op *op = NULL;
    coffer_status made = coffer_op_get_many(&op, ns, keys, 2, NULL);
    coffer_status status = run(made, op);
    for (size_t i = 0; op != NULL && i < coffer_op_count(op); i++) {
        coffer_value value;
        coffer_status item = coffer_op_item(op, i, &value);
        assert_true(status == COFFER_OK || item != COFFER_OK || value.data.len > 0);
        assert_true(item != COFFER_OK || value.data.data[0] == "xo"[i]);
    }
    coffer_op_free(op);
}

static void use_everything(void) {
    coffer_slice key = COFFER_SLICE("k"), value = coffer_slice_of(text, sizeof text);
    coffer_slice keys[2] = {key, COFFER_SLICE("other")};
    coffer_item items[2] = {{keys[0], value, 0}, {keys[1], COFFER_SLICE("other"), 0}};
    /* three times as long on the server, so that their memory grows while they are written */
    coffer_slice escaped[2] = {COFFER_SLICE("{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{"), COFFER_SLICE("}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}")};
    RUN(set, key, value, NULL);
    read_back(key, 'x');
    RUN(add, key, value, NULL);
    RUN(replace, key, value, NULL);
    RUN(compare_and_set, key, 5, value, NULL);
    RUN(expire, key, 1u << 30, NULL);
    RUN(expire, key, 5, NULL);
    RUN(ttl, key, NULL);
    RUN(exists, key, NULL);
    RUN(increment, key, 1, NULL);
    RUN(counter, key, NULL);
    RUN(reset_counter, key, NULL);
    RUN(set_many, items, 2, NULL);
    read_both(keys);
    RUN(delete_many, keys, 2, NULL);
    RUN(get_or_load, COFFER_SLICE("loaded"), NULL);
    read_back(COFFER_SLICE("loaded"), 'l');
    RUN(delete, COFFER_SLICE("loaded"), NULL);
    RUN(exists, escaped[0], NULL);
    RUN(delete_many, escaped, 2, NULL);
    RUN(set, key, value, NULL);
    RUN(clear, NULL);
    coffer_op *op = NULL;
    coffer_status made = coffer_op_ping(&op, ns, NULL);
    run(made, op);
    coffer_op_free(op);
}

/* Somebody hears what changes, so that what is read is kept. */
static void listen_for_copies(void) {
    const coffer_endpoint scripted = {.host = {"scripted", 8}, .port = 6379};
    coffer__coherence *coherence = coffer__near_coherence(client->copies);
    coffer__lead lead = {0};
    assert_true(coffer__lead_hold(coherence, &lead, 1, 2));
    int channel = coffer__channel_take(coherence, &lead, coffer__node_of(&scripted));
    assert_true(coffer__channel_heard(coherence, &lead, (unsigned)channel, 2, 2));
}

static void peek(coffer_slice key) {
    coffer_room *room;
    coffer_value value;
    if (coffer_room_new(&room) == COFFER_OK && coffer_peek(ns, COFFER_OPERATION_GET, key, 2, room, &value) == COFFER_OK) {
        assert_true(value.data.len == sizeof text && value.data.data[0] == 'x');
    }
    coffer_room_free(room);
}

static void use_copies(void) {
    coffer_slice keys[2] = {COFFER_SLICE("k"), COFFER_SLICE("other")};
    RUN(set, keys[0], coffer_slice_of(text, sizeof text), NULL);
    RUN(set, keys[1], COFFER_SLICE("other"), NULL);
    for (int i = 0; i < 2; i++) {
        read_both(keys);
        read_back(keys[0], 'x');
        peek(keys[0]);
        RUN(get_or_load, COFFER_SLICE("loaded"), NULL);
        RUN(exists, COFFER_SLICE("absent"), NULL);
    }
    RUN(delete, keys[1], NULL);
    read_both(keys);
}

static void scenario(const char *url) {
    coffer_options *options = coffer_options_new();
    coffer_error error;
    memset(&srv, 0, sizeof srv);
    memset(text, 'x', sizeof text);
    if (options != NULL && coffer_options_set_url(options, coffer_slice_text(url), &error) == COFFER_OK &&
        coffer_client_new(&client, options, (coffer_clock){1, 1}, &error) == COFFER_OK &&
        coffer_namespace_new(&ns, client, NULL, &error) == COFFER_OK) {
        if (client->copies != NULL) {
            listen_for_copies();
            use_copies();
        } else {
            use_everything();
        }
    }
    coffer_conn_free(conn);
    coffer_namespace_free(ns);
    coffer_client_free(client);
    coffer_options_free(options);
    conn = NULL;
    ns = NULL;
    client = NULL;
}

static void fail_each(const char *url) {
    for (int for_good = 0; for_good < 2; for_good++) {
        size_t nth = 0;
        do {
            nth++;
            watched_alloc_begin(for_good ? nth - 1 : WATCHED_NEVER);
            if (!for_good) {
                watched_alloc_fail_once(nth);
            }
            failed_count = 0;
            scenario(url);
            assert_int_equal(watched_alloc.live_bytes, 0);
            watched_alloc_end();
        } while (watched_alloc.refused_count > 0 && nth < 3000);
        assert_true(nth > 60 && nth < 3000);
        assert_int_equal(failed_count, 0); /* the last of them had all it wanted */
    }
}

static void test_every_allocation_may_fail(void **state) {
    (void)state;
    fail_each("redis://user:password@scripted/3?compress=never");
}

static void test_every_allocation_may_fail_beside_near_copies(void **state) {
    (void)state;
    fail_each("redis://scripted?compress=never&near=process&near_bytes=1MiB");
    fail_each("redis://scripted?raw=true&near=process&near_bytes=1MiB");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_allocation_may_fail),
                                       cmocka_unit_test(test_every_allocation_may_fail_beside_near_copies)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
