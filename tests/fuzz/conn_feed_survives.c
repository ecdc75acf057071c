/* Ops over three scripted conns. The input says what happens: bytes cut anywhere, answers of every kind in order, bytes that nobody asked for, ops freed and
 * conns broken at any moment, memory that fails, time that passes. An op that ends ends with a reply that came for it, never with another's; once all is
 * freed nothing is left; a conn that heard nothing but answers to its commands is idle once all of them were read. */
#include "scripted.h"

#include <coffer/driver.h>

#include "support/watched_alloc.h"

enum { CONNS = 3, SLOTS = 8, SHARED_KEYS = 2, MOST_STEPS = 400 };

typedef enum told { TOLD_NOTHING, TOLD_VALUE, TOLD_NIL, TOLD_OTHER } told;

typedef struct slot {
    coffer_op *op;
    unsigned kind;
    char key[WORD_CAP]; /* nobody else's, but for loads */
    char value[WORD_CAP]; /* of a set: lent to the op */
    told told; /* what the server last answered to a command with this key */
    bool doubtful; /* one of its conns heard bytes that were no answers */
    unsigned conns; /* a bit for each that has calls of it */
    unsigned written; /* of those, which may have written some of them */
    coffer_want want;
    unsigned wakes;
} slot;

typedef struct one_conn {
    coffer_conn *conn;
    scripted server;
    bool doubtful;
} one_conn;

typedef struct world {
    choices from;
    coffer_client *client;
    coffer_namespace *raw, *enveloped;
    one_conn conns[CONNS];
    slot slots[SLOTS];
    uint64_t now_ms;
    unsigned serial;
} world;

static world the; /* one at a time: the wake hook has no room for more */

static slot *next_slot(void) {
    return &the.slots[next_byte(&the.from) % SLOTS];
}

static one_conn *next_conn(void) {
    return &the.conns[next_byte(&the.from) % CONNS];
}

static void must_be_a_slot(const void *data) {
    const slot *one = (const slot *)data;
    MUST(one >= the.slots && one < the.slots + SLOTS);
}

static void wake(void *waiter_data) {
    must_be_a_slot(waiter_data);
    ((slot *)waiter_data)->wakes++;
}

/* ---- conns */

static void reconnect(one_conn *c) {
    static const coffer_endpoint endpoint = {.port = 1};
    unsigned bit = 1u << (c - the.conns);
    coffer_conn_free(c->conn);
    c->conn = NULL;
    c->doubtful = false;
    scripted_clear(&c->server);
    for (size_t i = 0; i < SLOTS; i++) {
        the.slots[i].conns &= ~bit;
        the.slots[i].written &= ~bit;
    }
    (void)coffer_conn_new(&c->conn, the.client, &endpoint, the.now_ms);
}

/* Stray bytes may be taken for the reply to what has left, and to nothing else. */
static void doubt(const one_conn *c) {
    unsigned bit = 1u << (c - the.conns);
    for (size_t i = 0; i < SLOTS; i++) {
        the.slots[i].doubtful |= c->doubtful && (the.slots[i].written & bit) != 0;
    }
}

static void write_out(one_conn *c, size_t most) {
    unsigned bit = 1u << (c - the.conns);
    coffer_slice out = c->conn == NULL ? coffer_slice_of(NULL, 0) : coffer_conn_output(c->conn);
    out.len = out.len < most ? out.len : most;
    if (out.len == 0) {
        return;
    }
    scripted_receive(&c->server, out);
    coffer_conn_sent(c->conn, out.len);
    for (size_t i = 0; i < SLOTS; i++) {
        the.slots[i].written |= the.slots[i].conns & bit;
    }
    doubt(c);
}

static void answer(one_conn *c, unsigned how) {
    const asked *one = scripted_answer(&c->server, how);
    for (size_t i = 0; one != NULL && i < SLOTS; i++) {
        for (size_t k = 0; k < one->key_count; k++) {
            const char *key = strrchr(one->keys[k], ':');
            if (key != NULL && strcmp(key + 1, the.slots[i].key) == 0) {
                the.slots[i].told = how == ANSWER_RIGHT ? TOLD_VALUE : how <= ANSWER_NIL_ARRAY ? TOLD_NIL : TOLD_OTHER;
            }
        }
    }
}

static void feed(one_conn *c, coffer_slice bytes) {
    if (c->conn == NULL) {
        return;
    }
    char *copy = alone(bytes);
    coffer_status status = coffer_conn_feed(c->conn, coffer_slice_of(copy, bytes.len), the.now_ms);
    free(copy);
    MUST(status == coffer_conn_status(c->conn));
    MUST(status == COFFER_OK || coffer_conn_message(c->conn)[0] != '\0');
    MUST(c->doubtful || (status != COFFER_PROTO && status != COFFER_LIMIT));
    coffer_waiter *waiter;
    while ((waiter = coffer_conn_pop_ready(c->conn)) != NULL) {
        must_be_a_slot(coffer_waiter_data(waiter));
        coffer_waiter_free(waiter);
    }
}

static void feed_answers(one_conn *c, size_t most) {
    size_t len = c->server.answers.len < most ? c->server.answers.len : most;
    if (len > 0) {
        notes fed = {0};
        note(&fed, c->server.answers.data, len);
        notes_drop(&c->server.answers, len);
        feed(c, coffer_slice_of(fed.data, fed.len));
        notes_free(&fed);
    }
}

static void feed_anything(one_conn *c, coffer_slice bytes) {
    c->doubtful = true;
    doubt(c);
    feed(c, bytes);
}

/* ---- ops */

enum { GET, SET, GET_OR_LOAD, DELETE, INCREMENT, GET_MANY, TTL, ADD, COMPARE_AND_SET, PING, EXPIRE, SET_MANY, KINDS };

static coffer_status make(slot *one, coffer_namespace *ns) {
    static coffer_slice keys[3];
    static coffer_item items[2];
    const coffer_slice key = coffer_slice_text(one->key), value = coffer_slice_text(one->value);
    keys[0] = key;
    keys[1] = COFFER_SLICE("shared0");
    keys[2] = COFFER_SLICE("third");
    items[0] = (coffer_item){key, COFFER_SLICE("a"), 0};
    items[1] = (coffer_item){COFFER_SLICE("second"), COFFER_SLICE("b"), 1};
    switch (one->kind) {
    case SET:
        return coffer_op_set(&one->op, ns, key, value, NULL);
    case GET_OR_LOAD:
        return coffer_op_get_or_load(&one->op, ns, key, NULL);
    case DELETE:
        return coffer_op_delete(&one->op, ns, key, NULL);
    case INCREMENT:
        return coffer_op_increment(&one->op, ns, key, 5, NULL);
    case GET_MANY:
        return coffer_op_get_many(&one->op, ns, keys, 3, NULL);
    case TTL:
        return coffer_op_ttl(&one->op, ns, key, NULL);
    case ADD:
        return coffer_op_add(&one->op, ns, key, value, NULL);
    case COMPARE_AND_SET:
        return coffer_op_compare_and_set(&one->op, ns, key, 7, value, NULL);
    case PING:
        return coffer_op_ping(&one->op, ns, NULL);
    case EXPIRE:
        return coffer_op_expire(&one->op, ns, key, 5000, NULL);
    case SET_MANY:
        return coffer_op_set_many(&one->op, ns, items, 2, NULL);
    default:
        return coffer_op_get(&one->op, ns, key, NULL);
    }
}

static void let_go(slot *one) {
    coffer_op_free(one->op);
    *one = (slot){.wakes = one->wakes};
}

static void begin(slot *one, uint8_t what) {
    coffer_waiter *waiter;
    let_go(one);
    one->kind = (what & 0x7Fu) % (unsigned)KINDS;
    if (one->kind == GET_OR_LOAD) {
        snprintf(one->key, sizeof one->key, "shared%u", the.serial++ % SHARED_KEYS);
    } else {
        snprintf(one->key, sizeof one->key, "k%u", the.serial++);
    }
    snprintf(one->value, sizeof one->value, "stored by %u", the.serial);
    if (make(one, (what & 0x80) != 0 ? the.enveloped : the.raw) != COFFER_OK) {
        MUST(one->op == NULL && watched_alloc.refused_count > 0);
        return;
    }
    one->want = COFFER_WANT_CALL;
    if (coffer_waiter_new(&waiter, one) == COFFER_OK) {
        coffer_op_set_waiter(one->op, waiter);
        coffer_waiter_free(waiter);
    }
}

/* The heart of it: a get that no stray bytes could have reached says what the server said of its key. */
static void must_be_answered(const slot *one) {
    coffer_status status = coffer_op_status(one->op);
    coffer_slice data = coffer_op_value(one->op)->data;
    touch(data);
    MUST(status >= 0 || coffer_op_message(one->op)[0] != '\0');
    for (size_t i = 0; i < coffer_op_count(one->op); i++) {
        coffer_value value;
        (void)coffer_op_item(one->op, i, &value);
        touch(value.data);
    }
    if (one->doubtful || one->kind != GET) {
        return;
    }
    MUST(status < 0 || one->told != TOLD_NOTHING);
    MUST(one->told != TOLD_NIL || status == COFFER_MISS || status < 0);
    if (one->told == TOLD_VALUE && status == COFFER_OK) {
        char wire_key[WORD_CAP + 8], wanted[WORD_CAP * 2];
        snprintf(wire_key, sizeof wire_key, "app:_:%s", one->key);
        value_of(wire_key, wanted);
        MUST(coffer_slice_equal(data, coffer_slice_text(wanted)));
    }
}

static void run(slot *one, one_conn *c, bool refuse) {
    coffer_action action;
    if (one->op == NULL) {
        return;
    }
    while ((one->want = coffer_op_next(one->op, the.now_ms, &action)) == COFFER_WANT_CALL) {
        if (refuse || c->conn == NULL || coffer_call_send(action.call, c->conn) != COFFER_OK) {
            coffer_call_fail(action.call, COFFER_CONNECT, "refused");
            continue;
        }
        one->conns |= 1u << (c - the.conns);
    }
    if (one->want == COFFER_WANT_DONE) {
        must_be_answered(one);
        let_go(one);
    }
}

static void load(slot *one, uint8_t how) {
    if (one->op == NULL || one->want != COFFER_WANT_LOAD) {
        return;
    }
    coffer_write_options options = COFFER_WRITE_OPTIONS_INIT;
    options.absent = (how & 2) != 0;
    if ((how & 1) != 0) {
        coffer_op_abort(one->op, (how & 2) != 0 ? COFFER_INTERRUPTED : COFFER_LOAD_FAILED);
    } else {
        coffer_op_supply(one->op, COFFER_SLICE("loaded"), &options, how);
    }
}

/* ---- what happens */

/* False: there was nothing to do. */
static bool exchange(one_conn *c) {
    bool more = c->conn != NULL && coffer_conn_output(c->conn).len > 0;
    write_out(c, SIZE_MAX);
    scripted_receive(&c->server, coffer_slice_of(NULL, 0));
    more = more || c->server.count > 0 || c->server.answers.len > 0;
    answer(c, ANSWER_RIGHT);
    feed_answers(c, SIZE_MAX);
    return more && c->conn != NULL;
}

static void all_goes_well(void) {
    for (size_t i = 0; i < CONNS; i++) {
        while (exchange(&the.conns[i])) {
        }
    }
    for (size_t i = 0; i < SLOTS; i++) {
        run(&the.slots[i], &the.conns[i % CONNS], false);
    }
}

static void fail_memory(uint8_t how) {
    if ((how & 3) == 0) {
        watched_alloc_dry_after(WATCHED_NEVER);
    } else if ((how & 3) == 1) {
        watched_alloc_dry_after(how >> 2);
    } else {
        watched_alloc_fail_once(1u + (how >> 2));
    }
}

static void break_conn(one_conn *c, uint8_t how) {
    static const coffer_status reasons[] = {COFFER_CLOSED, COFFER_IO, COFFER_TIMEOUT, COFFER_PROTO};
    if (c->conn != NULL && (how & 1) != 0) {
        coffer_conn_fail(c->conn, reasons[how >> 1 & 3], (how & 8) != 0 ? "broken" : NULL);
        c->doubtful = true;
    }
    if ((how & 16) != 0) {
        reconnect(c);
    }
}

static void step(uint8_t what) {
    slot *one;
    one_conn *c;
    switch (what % 14) {
    case 0:
    case 1:
        one = next_slot();
        begin(one, next_byte(&the.from));
        run(one, next_conn(), false);
        return;
    case 2:
        one = next_slot();
        c = next_conn();
        run(one, c, (next_byte(&the.from) & 15) == 15);
        return;
    case 3:
        c = next_conn();
        write_out(c, next_byte(&the.from));
        return;
    case 4:
        write_out(next_conn(), SIZE_MAX);
        return;
    case 5:
        c = next_conn();
        answer(c, next_byte(&the.from) % MENU_SIZE);
        return;
    case 6:
        c = next_conn();
        feed_answers(c, next_byte(&the.from));
        return;
    case 7:
        feed_answers(next_conn(), SIZE_MAX);
        return;
    case 8:
        c = next_conn();
        feed_anything(c, next_slice(&the.from, next_byte(&the.from)));
        return;
    case 9:
        let_go(next_slot());
        return;
    case 10:
        c = next_conn();
        break_conn(c, next_byte(&the.from));
        return;
    case 11:
        one = next_slot();
        load(one, next_byte(&the.from));
        return;
    case 12:
        fail_memory(next_byte(&the.from));
        return;
    default:
        the.now_ms += next_byte(&the.from) * 20u;
        if ((what & 0x40) != 0) {
            all_goes_well();
        }
    }
}

static void open_world(void) {
    coffer_error error;
    coffer_options *options = coffer_options_new();
    MUST(options != NULL);
    MUST(coffer_options_set_url(options, COFFER_SLICE("redis://user:word@scripted/1?raw=true&prefix=app&on_outage=error"), &error) == COFFER_OK);
    MUST(coffer_client_new(&the.client, options, (coffer_clock){0, 1700000000000u}, &error) == COFFER_OK);
    MUST(coffer_namespace_new(&the.raw, the.client, NULL, &error) == COFFER_OK);
    MUST(coffer_options_set(options, "raw", COFFER_SLICE("false"), &error) == COFFER_OK);
    MUST(coffer_options_set(options, "namespace", COFFER_SLICE("e"), &error) == COFFER_OK);
    MUST(coffer_options_set(options, "stale_ttl", COFFER_SLICE("1h"), &error) == COFFER_OK);
    MUST(coffer_namespace_new(&the.enveloped, the.client, options, &error) == COFFER_OK);
    coffer_options_free(options);
    coffer_client_set_wake(the.client, wake);
    for (size_t i = 0; i < CONNS; i++) {
        reconnect(&the.conns[i]);
        MUST(the.conns[i].conn != NULL);
    }
}

/* What is still due, tombstones too, is read: then the conn could be used by somebody else. */
static void must_become_idle(void) {
    watched_alloc_dry_after(WATCHED_NEVER);
    all_goes_well();
    for (size_t i = 0; i < CONNS; i++) {
        const one_conn *c = &the.conns[i];
        bool well = c->conn != NULL && !c->doubtful && coffer_conn_status(c->conn) == COFFER_OK && coffer_conn_output(c->conn).len == 0;
        MUST(!well || (coffer_conn_due(c->conn) == 0 && coffer_conn_idle(c->conn)));
    }
}

static void close_world(bool conns_first) {
    for (size_t i = 0; conns_first && i < CONNS; i++) {
        coffer_conn_free(the.conns[i].conn);
        the.conns[i].conn = NULL;
    }
    for (size_t i = 0; i < SLOTS; i++) {
        let_go(&the.slots[i]);
    }
    for (size_t i = 0; i < CONNS; i++) {
        coffer_conn_free(the.conns[i].conn);
        scripted_clear(&the.conns[i].server);
    }
    coffer_namespace_free(the.raw);
    coffer_namespace_free(the.enveloped);
    coffer_client_free(the.client);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    the = (world){.from = {data, size}};
    uint8_t ends = next_byte(&the.from);
    watched_alloc_begin(WATCHED_NEVER);
    open_world();
    if ((ends & 1) != 0) {
        all_goes_well();
    }
    for (unsigned steps = 0; the.from.left > 0 && steps < MOST_STEPS; steps++) {
        step(next_byte(&the.from));
    }
    if ((ends & 2) != 0) {
        must_become_idle();
    }
    close_world((ends & 4) != 0);
    MUST(watched_alloc.live_bytes == 0);
    watched_alloc_end();
    return 0;
}
